"""Infinities, NaN and subnormal numbers go where the sum takes them, and nowhere else."""

import numpy as np
import pytest
from arrays import integers
from reference import reference

import gconv

GEOMETRIES = [
    pytest.param((1, 2, 9, 37), (3, 2, 3, 3), {"padding": 1}, id="padded"),
    pytest.param((2, 6, 9, 21), (9, 2, 3, 3), {"groups": 3}, id="grouped"),
    pytest.param((1, 5, 9, 19), (5, 1, 5, 5), {"padding": 4, "groups": 5}, id="depthwise"),
    pytest.param((1, 3, 7, 23), (6, 3, 3, 3), {"stride": 2, "dilation": 2}, id="strided"),
    pytest.param((1, 17, 5, 7), (19, 17, 1, 1), {}, id="1x1"),
]


def same(got, want):
    """Assert the same numbers, NaN in the same places."""
    np.testing.assert_array_equal(got, want.astype(got.dtype))


@pytest.mark.parametrize(("x", "weight", "options"), GEOMETRIES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_pixel_that_is_no_number_reaches_its_own_outputs_alone(
    x, weight, options, value, isa, dtype, rng
):
    # No weight is zero, which would make NaN of an infinity.
    weight = np.abs(integers(rng, weight, dtype)) + 1
    clean = integers(rng, x, dtype)
    want = reference(clean, weight, **options)
    for at in ((0, 0, 0, 0), (-1, -1, -1, -1), (0, 1, x[2] // 2, x[3] // 2)):
        dirty = clean.copy()
        dirty[at] = value
        reached = np.zeros(x, dtype)
        reached[at] = 1
        hit = reference(reached, np.ones_like(weight), **options) > 0
        got = gconv.conv2d(dirty, weight, **options)
        same(got, np.where(hit, value, want))


@pytest.mark.parametrize(("x", "weight", "options"), GEOMETRIES)
def test_opposite_infinities_are_nan(x, weight, options, isa, dtype, rng):
    pixels = rng.choice(np.array([1, 2, np.inf, -np.inf], dtype), x, p=[0.48, 0.48, 0.02, 0.02])
    weight = rng.choice(np.array([-1, 1, 2], dtype), weight)
    with np.errstate(invalid="ignore"):
        want = reference(pixels, weight, **options)
    assert np.isnan(want).any()
    assert np.isinf(want).any()
    assert np.isfinite(want).any()
    same(gconv.conv2d(pixels, weight, **options), want)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_filter_that_is_no_number_spoils_its_own_channel_alone(value, isa, dtype, rng):
    x, weight = np.abs(integers(rng, (1, 4, 9, 21), dtype)) + 1, integers(rng, (14, 2, 3, 3), dtype)
    for spoilt in (0, 6, 7, 13):
        dirty = weight.copy()
        dirty[spoilt] = value
        got = gconv.conv2d(x, dirty, groups=2)
        want = reference(x, weight, groups=2)
        want[:, spoilt] = value
        same(got, want)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_bias_that_is_no_number_spoils_its_own_channel_alone(value, isa, dtype, rng):
    x, weight = integers(rng, (1, 4, 9, 21), dtype), integers(rng, (14, 2, 3, 3), dtype)
    bias = integers(rng, (14,), dtype)
    bias[3] = value
    same(gconv.conv2d(x, weight, bias, groups=2), reference(x, weight, bias, groups=2))


def test_a_product_beyond_the_largest_number_is_infinite(isa, dtype):
    largest = np.finfo(dtype).max
    x, weight = np.full((1, 1, 40), largest), np.array([[[2.0]], [[-2.0]], [[0.5]]], dtype)
    got = gconv.conv1d(x, weight)
    assert (got[0, 0] == np.inf).all()
    assert (got[0, 1] == -np.inf).all()
    assert (got[0, 2] == largest / 2).all()


@pytest.mark.parametrize("num_threads", [1, 2])
def test_subnormal_numbers_are_kept(num_threads, isa, dtype):
    """A compiler's fast mathematics would switch the processor to rounding them to zero."""
    smallest = np.finfo(dtype).smallest_subnormal
    x = np.full((8, 16, 40, 40), smallest, dtype)
    weight = np.ones((16, 1, 3, 3), dtype)
    got = gconv.conv2d(x, weight, groups=16, num_threads=num_threads)
    assert (got == 9 * smallest).all()
    # Nor does it change the processor's mode for others.
    assert smallest * dtype(3) == 3 * smallest > 0
    assert (x + x == 2 * smallest).all()
