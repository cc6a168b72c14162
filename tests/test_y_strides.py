"""Every kernel writes some channels of a larger array as it writes an array of their own."""

import numpy as np
import pytest
from arrays import normals
from kernels import Kernel

import gconv
from gconv._call import isa as instruction_sets

#: name: (layer, x, weight, options, the kernel that is forced); each kernel and each wrapper.
CASES = {
    "plain": ("Conv2d", (2, 4, 9, 11), (6, 2, 3, 3), {"groups": 2}, Kernel("plain")),
    "width": ("Conv2d", (2, 4, 9, 50), (6, 2, 3, 3), {"groups": 2}, Kernel("width", "")),
    "rows shorter than a vector": (
        "Conv2d", (2, 4, 9, 5), (6, 2, 3, 3), {"groups": 2, "padding": 1}, Kernel("width", "")),
    "masked": (
        "Conv2d", (2, 8, 9, 14), (8, 4, 3, 3), {"groups": 2, "padding": 1},
        Kernel("width", "masked")),
    "depthwise": ("Conv2d", (2, 4, 9, 11), (4, 1, 3, 3), {"groups": 4}, Kernel("depthwise")),
    "channel": ("Conv2d", (2, 8, 9, 11), (40, 8, 3, 3), {"padding": 1}, Kernel("channel")),
    "sliding": (
        "Conv2d", (2, 4, 30, 40), (8, 1, 5, 5), {"groups": 4, "padding": 2}, Kernel("sliding")),
    "through channels-last": (
        "Conv2d", (2, 20, 7, 7), (20, 1, 3, 3), {"groups": 20, "padding": 1},
        Kernel("through_channels_last")),
    "transposed": (
        "ConvTranspose2d", (2, 8, 9, 11), (8, 4, 3, 3), {"stride": 2, "groups": 2},
        Kernel("width")),
    "transposed, straight to y": (
        "ConvTranspose2d", (2, 4, 5, 7), (4, 2, 3, 3), {"stride": (2, 3), "groups": 2},
        Kernel("plain")),
    "upsampling": (
        "ConvTranspose2d", (2, 4, 9, 40), (4, 1, 4, 4),
        {"stride": 2, "padding": 1, "groups": 4}, Kernel("transposed", "upsampling")),
}


@pytest.mark.parametrize("activation", [None, "relu", "silu"])
@pytest.mark.parametrize("with_residual", [False, True], ids=["alone", "residual"])
@pytest.mark.parametrize("name", CASES)
def test_some_channels_of_a_buffer(isa, dtype, rng, name, with_residual, activation):
    """The bits are those of an array of its own; the rest of the buffer is left alone."""
    assert instruction_sets.current() == isa
    layer, x, weight, options, kernel = CASES[name]
    layer = getattr(gconv, layer)(normals(rng, weight, dtype), activation=activation, **options)
    x = normals(rng, x, dtype)
    shape = layer.out_shape(x.shape)
    residual = normals(rng, shape, dtype) if with_residual else None
    buffer = np.full((shape[0], shape[1] + 5, *shape[2:]), 7, dtype)
    part = buffer[:, 2 : 2 + shape[1]]
    with kernel.forced():
        want = layer(x, residual=residual)
        assert layer(x, residual=residual, out=part) is part
        np.testing.assert_array_equal(part, want)
        if with_residual:  # which may be the result's place itself
            part[...] = residual
            layer(x, residual=part, out=part)
            np.testing.assert_array_equal(part, want)
    np.testing.assert_array_equal(buffer[:, :2], 7)
    np.testing.assert_array_equal(buffer[:, 2 + shape[1] :], 7)
