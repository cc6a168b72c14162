"""PyTorch's functions, on contiguous and on channels-last tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gconv._bench.contenders.base import Array, Contender, Prepared, Unsupported
from gconv._bench.layers import Layer


def torch_conv(layer: Layer) -> Callable[[Any, Any], Any]:
    """``(x, weight) -> y`` through ``torch.nn.functional.conv{1,2,3}d``.

    PyTorch pads symmetrically; where the layer does not, ``pad`` is part of the call, as it is
    part of what a user has to write.
    """
    import torch.nn.functional as F

    conv = (F.conv1d, F.conv2d, F.conv3d)[layer.dims - 1]
    stride, dilation, groups = layer.stride, layer.dilation, layer.groups
    if layer.symmetric:
        padding = tuple(before for before, _ in layer.padding)
        return lambda x, weight: conv(x, weight, None, stride, padding, dilation, groups)
    # F.pad wants the last dimension first.
    sides = [side for pair in reversed(layer.padding) for side in pair]
    return lambda x, weight: conv(F.pad(x, sides), weight, None, stride, 0, dilation, groups)


class TorchContiguous(Contender):
    name = "torch"
    title = "PyTorch"
    package = "torch"

    def load(self) -> None:
        import torch

        # For good: entering inference mode in each call would be counted. It ends with the object.
        self._mode = torch.inference_mode()
        self._mode.__enter__()

    def prepare(self, layer: Layer, x: Array, weight: Array, threads: int) -> Prepared:
        import torch

        # Process-wide, so whoever interleaves contenders uses one thread count at a time.
        torch.set_num_threads(threads)
        conv, tx, tw = torch_conv(layer), torch.from_numpy(x), torch.from_numpy(weight)
        return Prepared(lambda: conv(tx, tw), lambda y: y.numpy())


class TorchChannelsLast(TorchContiguous):
    name = "torch-cl"
    title = "PyTorch channels-last"

    def prepare(self, layer: Layer, x: Array, weight: Array, threads: int) -> Prepared:
        import torch

        if layer.dims == 1:
            raise Unsupported("PyTorch has no channels-last format for 1-D")
        order = torch.channels_last if layer.dims == 2 else torch.channels_last_3d
        torch.set_num_threads(threads)
        conv = torch_conv(layer)
        tx = torch.from_numpy(x).contiguous(memory_format=order)
        tw = torch.from_numpy(weight).contiguous(memory_format=order)
        return Prepared(
            lambda: conv(tx, tw), lambda y: y.contiguous().numpy(), own_input_bytes=x.nbytes
        )


class TorchFloat64(TorchContiguous):
    name = "torch-f64"
    title = "PyTorch, float64"
    dtype = np.float64
