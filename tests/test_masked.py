"""Masked lanes: lanes are pixels of a whole plane, and x is read in place."""

import contextlib

import numpy as np
import pytest
from arrays import integers
from kernels import Kernel, layout_of, plain

import gconv
from gconv._call.isa import machine_of

MASKED = Kernel("width", "masked")
FUNCTIONS = {1: gconv.conv1d, 2: gconv.conv2d, 3: gconv.conv3d}
LAYERS = {1: gconv.Conv1d, 2: gconv.Conv2d, 3: gconv.Conv3d}

# name: (x, weight, options); planes that fill vectors and that do not, rows narrower and wider than
# a vector, padding that whole rows and planes lie in, more and fewer rows than before.
SHAPES = {
    "28x28": ((2, 16, 28, 28), (16, 8, 3, 3), {"padding": 1, "groups": 2}),
    "5x7 kernel": ((1, 6, 13, 11), (9, 2, 5, 7), {"padding": (2, 3), "groups": 3}),
    "dilation": ((1, 6, 20, 30), (6, 3, 3, 3), {"padding": 3, "dilation": 3, "groups": 2}),
    "wider than x": ((1, 4, 3, 3), (4, 2, 7, 7), {"padding": 3, "groups": 2}),
    "fewer rows": ((1, 4, 9, 7), (4, 4, 3, 3), {"padding": (0, 1)}),
    "more rows": ((1, 4, 5, 17), (3, 4, 3, 3), {"padding": (4, 1)}),
    "one side": ((1, 4, 9, 18), (5, 4, 1, 3), {"padding": ((0, 0), (2, 0))}),
    "1-D": ((2, 6, 1000), (4, 3, 5), {"padding": 2, "groups": 2}),
    "3-D": ((1, 4, 5, 6, 7), (6, 2, 3, 3, 3), {"padding": 1, "groups": 2}),
    "3-D, stride": ((1, 4, 7, 6, 9), (6, 4, 3, 1, 3), {"padding": (2, 0, 1), "stride": (2, 1, 1)}),
}


@pytest.fixture(params=SHAPES)
def case(request, dtype, rng):
    """(x, weight, bias, options), all small whole numbers."""
    x, weight, options = SHAPES[request.param]
    arrays = (integers(rng, shape, dtype) for shape in (x, weight, weight[:1]))
    return *arrays, options


def expected(x, weight, bias, **options):
    """The plain loop nest's, which is compared with the reference elsewhere."""
    with plain():
        return FUNCTIONS[x.ndim - 2](x, weight, bias, **options)


def has_masks(isa, dtype):
    return bool(machine_of(isa, np.dtype(dtype)).tiles["width"]["masked"])


def is_masked(x, weight, **options):
    layout = layout_of(x, weight, **options)
    return (layout.family.name, layout.tile.kind) == MASKED


@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_right(case, isa, dtype, num_threads):
    x, weight, bias, options = case
    want = expected(x, weight, bias, **options)
    dimensions = x.ndim - 2
    with MASKED.forced():
        assert is_masked(x, weight, **options) == has_masks(isa, dtype)
        got = FUNCTIONS[dimensions](x, weight, bias, **options, num_threads=num_threads)
        layer = LAYERS[dimensions](weight, bias, **options)
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(layer(x, num_threads=num_threads), want)


@pytest.mark.parametrize("activation", [None, "relu", "silu"])
def test_a_residual_that_is_also_the_output(case, isa, dtype, activation):
    x, weight, bias, options = case
    want = expected(x, weight, bias, **options)
    residual = want[..., ::-1].copy()
    with MASKED.forced():
        out = residual.copy()
        FUNCTIONS[x.ndim - 2](
            x, weight, bias, **options, residual=out, activation=activation, out=out)
    with plain():
        want = FUNCTIONS[x.ndim - 2](
            x, weight, bias, **options, residual=residual, activation=activation)
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_the_padding_hides_stays_out(isa, dtype, rng, value):
    """Lanes whose tap lies in the padding get zeros, not what lies there in memory: the end of
    the row before, the plane before, the next channel."""
    shape, weight_shape, options = SHAPES["28x28"]
    x, weight = integers(rng, shape, dtype), integers(rng, weight_shape, dtype)
    x[0, 3, 4, 27] = value
    with MASKED.forced():
        got = gconv.conv2d(x, weight, **options)
    touched = np.zeros(got.shape, bool)
    touched[0, :8, 3:6, 26:] = True
    assert (np.isfinite(got) == ~touched).all()


def test_chosen_where_it_is_fastest(isa, dtype):
    """Groups of a few channels at widths that are no multiple of a vector; not where the columns
    change, or x has none to pad, or the padding holds elements of the image."""
    x, weight = np.zeros((1, 128, 56, 56), dtype), np.zeros((128, 4, 3, 3), dtype)
    same = {"padding": 1, "groups": 32}
    assert is_masked(x, weight, **same) == has_masks(isa, dtype)
    for other in ({"stride": 2}, {"padding": 0}, {"padding": 2}, {"padding_mode": "reflect"}):
        with MASKED.forced():
            assert not is_masked(x, weight, **{**same, **other})
    with MASKED.forced():
        assert not is_masked(x[..., ::-1], weight, **same)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_not_chosen_where_most_kernel_rows_lie_in_the_padding(isa, dtype, rows):
    """The other families skip these rows; masked lanes multiply their zeros."""
    x, weight = np.zeros((1, 64, rows, 20), dtype), np.zeros((64, 4, 7, 7), dtype)
    assert not is_masked(x, weight, padding=3, groups=16)


def test_no_tap_in_the_image(isa, dtype):
    """Kernel rows that all lie in the padding leave the bias."""
    x, weight = np.ones((1, 4, 1, 20), dtype), np.ones((4, 2, 2, 3), dtype)
    options = {"padding": ((1, 2), (1, 1)), "dilation": (3, 1), "groups": 2}
    for forced in (contextlib.nullcontext, MASKED.forced):
        with forced():
            got = gconv.conv2d(x, weight, np.ones(4, dtype), **options)
        np.testing.assert_array_equal(got, np.ones((1, 4, 1, 20), dtype))
