"""gconv: the function, and the layer as it is, with ``out=``, channels-last and in float64."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from gconv._bench.contenders.base import Array, Contender, Prepared, Unsupported
from gconv._bench.layers import Layer


def _options(layer: Layer) -> dict[str, Any]:
    return {
        "stride": layer.stride,
        "padding": layer.padding,
        "dilation": layer.dilation,
        "groups": layer.groups,
    }


def function_of(layer: Layer) -> Any:
    """``(x, weight, num_threads=) -> y`` through gconv's function."""
    import gconv

    return partial((gconv.conv1d, gconv.conv2d, gconv.conv3d)[layer.dims - 1], **_options(layer))


def layer_of(layer: Layer, weight: Array, **options: Any) -> Any:
    """The row of the table as a gconv layer."""
    import gconv

    kind = (gconv.Conv1d, gconv.Conv2d, gconv.Conv3d)[layer.dims - 1]
    return kind(weight, **_options(layer), **options)


class GconvFunction(Contender):
    name = "function"
    title = "gconv function"
    package = "gconv"
    ours = True

    def load(self) -> None:
        import gconv  # noqa: F401

    def prepare(self, layer: Layer, x: Array, weight: Array, threads: int) -> Prepared:
        function = function_of(layer)
        return Prepared(lambda: function(x, weight, num_threads=threads))


class GconvLayer(GconvFunction):
    name = "layer"
    title = "gconv layer"

    def prepare(self, layer: Layer, x: Array, weight: Array, threads: int) -> Prepared:
        module = layer_of(layer, weight)
        return Prepared(lambda: module(x, num_threads=threads))


class GconvLayerOut(GconvFunction):
    name = "layer-out"
    title = "gconv layer, out="

    def prepare(self, layer: Layer, x: Array, weight: Array, threads: int) -> Prepared:
        module = layer_of(layer, weight)
        out = np.empty(layer.out_shape, x.dtype)
        return Prepared(lambda: module(x, out=out, num_threads=threads))


class GconvLayerChannelsLast(GconvFunction):
    name = "layer-cl"
    title = "gconv layer, channels-last"

    def prepare(self, layer: Layer, x: Array, weight: Array, threads: int) -> Prepared:
        if layer.dims == 1:
            raise Unsupported("PyTorch has no such column for 1-D")
        from gconv._engine.call import channels_last_output

        module = layer_of(layer, weight)
        last = channels_last_output(x.shape, x.dtype, batched=True)  # as a layer before it gives
        last[...] = x
        return Prepared(lambda: module(last, num_threads=threads), own_input_bytes=x.nbytes)


class GconvLayerFloat64(GconvLayer):
    name = "layer-f64"
    title = "gconv layer, float64"
    dtype = np.float64
