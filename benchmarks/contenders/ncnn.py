"""ncnn."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from gconv._bench.contenders.base import Array, Contender, Prepared
from gconv._bench.layers import Layer

# ncnn's parameter numbers, last spatial dimension first: width, height, depth.
_KERNEL, _DILATION, _STRIDE = (1, 11, 21), (2, 12, 22), (3, 13, 23)
_PAD_BEFORE, _PAD_AFTER = (4, 14, 24), (15, 16, 17)


def _param(layer: Layer, weight: Array) -> str:
    """ncnn's text format: an input and one convolution."""
    suffix = {1: "1D", 2: "", 3: "3D"}[layer.dims]
    depthwise = "DepthWise" if layer.groups > 1 else ""
    values = {0: layer.out_channels, 5: 0, 6: weight.size}
    if depthwise:
        values[7] = layer.groups
    for i in range(layer.dims):
        axis = layer.dims - 1 - i
        values[_KERNEL[i]] = layer.kernel[axis]
        values[_DILATION[i]] = layer.dilation[axis]
        values[_STRIDE[i]] = layer.stride[axis]
        values[_PAD_BEFORE[i]], values[_PAD_AFTER[i]] = layer.padding[axis]
    options = " ".join(f"{key}={value}" for key, value in values.items())
    return f"7767517\n2 2\nInput x 0 1 x\nConvolution{depthwise}{suffix} conv 1 1 x y {options}\n"


class Ncnn(Contender):
    name = "ncnn"
    title = "ncnn"
    package = "ncnn"
    direct = False

    def load(self) -> None:
        import ncnn  # noqa: F401

    def prepare(self, layer: Layer, x: Array, weight: Array, threads: int) -> Prepared:
        import ncnn

        net = ncnn.Net()
        net.opt.num_threads = threads
        net.opt.use_vulkan_compute = False
        for option in dir(net.opt):
            if option.startswith(("use_fp16", "use_bf16")):
                setattr(net.opt, option, False)
        net.opt.lightmode = True  # its default: intermediate blobs are recycled
        with tempfile.TemporaryDirectory() as directory:
            param, model = Path(directory, "conv.param"), Path(directory, "conv.bin")
            param.write_text(_param(layer, weight))
            # A zero tag: float32 weights, as they are.
            model.write_bytes(np.zeros(1, np.int32).tobytes() + weight.tobytes())
            if net.load_param(os.fspath(param)) or net.load_model(os.fspath(model)):
                raise RuntimeError(f"ncnn cannot load {layer.name}")
        # No batch dimension: images one after the other, as a user of ncnn has to.
        images = [ncnn.Mat(image).clone() for image in x]

        def call() -> Any:
            results = []
            for image in images:
                extractor = net.create_extractor()
                extractor.input("x", image)
                status, y = extractor.extract("y")
                if status:
                    raise RuntimeError(f"ncnn: status {status} on {layer.name}")
                results.append(y)
            return results

        return Prepared(call, lambda ys: np.stack([np.array(y) for y in ys]), x.nbytes)
