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


@pytest.mark.parametrize("activation", [None, "relu", "silu"])
@pytest.mark.parametrize("family", ["plain", "channel", "via_c_order"])
def test_a_residual_is_added_once_to_channels_last_results(isa, dtype, rng, family, activation):
    """Whether tiles add it or the pass behind them, with and without an activation."""
    x = normals(rng, (2, 5, 6, 8), dtype).transpose(0, 3, 1, 2)
    layer = gconv.Conv2d(normals(rng, (6, 4, 3, 3), dtype), padding=1, groups=2,
                         activation=activation)
    residual = normals(rng, (2, 6, 5, 6), dtype)
    sums = gconv.Conv2d(layer.weight, padding=1, groups=2)(x) + residual
    want = {
        None: sums, "relu": np.maximum(sums, 0), "silu": sums / (1 + np.exp(-sums)),
    }[activation]
    with Kernel(family).forced():
        for laid in (residual, np.moveaxis(np.moveaxis(residual, 1, -1).copy(), -1, 1)):
            np.testing.assert_allclose(layer(x, residual=laid), want, rtol=1e-4, atol=1e-5)


def test_an_out_that_overlaps_itself_is_refused_by_repeated_calls(rng):
    """A short cut looks at the strides of the batch as the first call does."""
    x = normals(rng, (2, 4, 5, 6), np.float32)
    layer = gconv.Conv2d(normals(rng, (4, 1, 3, 3), np.float32), padding=1, groups=4)
    memory = np.zeros(400, np.float32)
    for stride in (0, 4, 4 * 119, -4 * 100):
        out = np.lib.stride_tricks.as_strided(memory[100:], x.shape, (stride, 120, 24, 4))
        for _ in range(2):
            layer(x)
            with pytest.raises(ValueError, match="overlaps itself"):
                layer(x, out=out)
    assert not memory.any()
