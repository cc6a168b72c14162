"""gconv: the function, and the layer with and without ``out=``."""

from __future__ import annotations

from typing import Any

import numpy as np

from layers import Layer

from .base import Array, Contender, Prepared


def _options(layer: Layer) -> dict[str, Any]:
    return {
        "stride": layer.stride,
        "padding": layer.padding,
        "dilation": layer.dilation,
        "groups": layer.groups,
    }


class GconvFunction(Contender):
    name = "function"
    title = "gconv function"
    package = "gconv"
    ours = True

    def load(self) -> None:
        import gconv  # noqa: F401

    def prepare(self, layer: Layer, x: Array, weight: Array, threads: int) -> Prepared:
        import gconv

        conv = (gconv.conv1d, gconv.conv2d, gconv.conv3d)[layer.dims - 1]
        options = _options(layer)
        return Prepared(lambda: conv(x, weight, **options, num_threads=threads))


class GconvLayer(GconvFunction):
    name = "layer"
    title = "gconv layer"

    def prepare(self, layer: Layer, x: Array, weight: Array, threads: int) -> Prepared:
        import gconv

        conv = (gconv.Conv1d, gconv.Conv2d, gconv.Conv3d)[layer.dims - 1]
        module = conv(weight, **_options(layer))
        return Prepared(lambda: module(x, num_threads=threads))


class GconvLayerOut(GconvFunction):
    name = "layer-out"
    title = "gconv layer, out="

    def prepare(self, layer: Layer, x: Array, weight: Array, threads: int) -> Prepared:
        import gconv

        conv = (gconv.Conv1d, gconv.Conv2d, gconv.Conv3d)[layer.dims - 1]
        module = conv(weight, **_options(layer))
        out = np.empty(layer.out_shape, np.float32)
        return Prepared(lambda: module(x, out=out, num_threads=threads))
