"""Results that are channels-last and computed in C order first: they are copied by the engine."""

import numpy as np
import pytest
from arrays import channels_last, integers
from kernels import KERNELS, plans

import gconv

VIA_C_ORDER = next(kernel for kernel in KERNELS if kernel.family == "via_c_order")
# (channels out, height, width): whole squares of lanes, what is left of them, less than a vector,
# more than a block of 64, and rows that share sets of the first-level cache.
SIZES = [
    (2, 3, 3), (3, 40, 41), (4, 1, 130), (8, 8, 8), (15, 9, 7), (16, 16, 16), (17, 5, 13),
    (31, 32, 32), (63, 7, 9), (64, 8, 16), (65, 13, 5), (128, 32, 32), (130, 11, 12),
]


@pytest.fixture(params=SIZES, ids=lambda size: "x".join(map(str, size)))
def case(request, isa, dtype, rng):
    """(layer, x, what a layer on x in C order computes), all small whole numbers."""
    channels, height, width = request.param
    x = integers(rng, (2, 4, height, width), dtype)
    weight, bias = integers(rng, (channels, 4, 1, 1), dtype), integers(rng, (channels,), dtype)
    want = gconv.Conv2d(weight, bias)(x)
    with plans(isa, VIA_C_ORDER):
        yield gconv.Conv2d(weight, bias), channels_last(x), want


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_copy_is_the_result(case, threads):
    layer, x, want = case
    for _ in range(2):  # the whole way, then the short cut
        y = layer(x, num_threads=threads)
        np.testing.assert_array_equal(y, want)
        assert y.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("threads", [1, 3])
def test_nothing_is_written_beside_some_channels_of_an_array(case, threads):
    layer, x, want = case
    channels = want.shape[1]
    whole = channels_last(np.full((2, channels + 5, *want.shape[2:]), 99, want.dtype))
    out = whole[:, 2:-3]
    for _ in range(2):
        whole[:] = 99
        assert layer(x, out=out, num_threads=threads) is out
        np.testing.assert_array_equal(out, want)
        assert (whole[:, :2] == 99).all()
        assert (whole[:, -3:] == 99).all()


@pytest.mark.parametrize("order", ["C", "reversed images", "columns apart"])
def test_an_out_of_another_order_takes_it(case, order):
    layer, x, want = case
    if order == "C":
        out = np.empty(want.shape, want.dtype)
    elif order == "reversed images":
        out = channels_last(np.empty(want.shape, want.dtype))[::-1]
    else:
        out = np.empty((*want.shape[:-1], 2 * want.shape[-1]), want.dtype)[..., ::2]
    for _ in range(2):
        out[:] = 99
        assert layer(x, out=out) is out
        np.testing.assert_array_equal(out, want)


def test_a_single_image_and_a_residual(case):
    layer, x, want = case
    np.testing.assert_array_equal(layer(x[0]), want[0])
    residual = channels_last(np.ones_like(want))
    np.testing.assert_array_equal(layer(x, residual=residual), want + 1)
