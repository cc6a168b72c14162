"""Every spelling of padding means what PyTorch and ONNX mean by it."""

import warnings

import numpy as np
import pytest
from arrays import integers, normals
from hypothesis import given
from hypothesis import strategies as st
from oracles import oracle
from tolerance import assert_right

import gconv
from gconv._call.isa import use_isa
from gconv._plan import choose


def impulse_response(padding, size=8, kernel=3, **options):
    """Return the 1-D result for x = 1, 2, 3, ... and a kernel of decimal digits.

    With the kernel 100, 10, 1 an output reads as the three elements it saw, padding as 0.
    """
    x = np.arange(1.0, size + 1)[None]
    weight = 10.0 ** np.arange(kernel - 1, -1, -1)[None, None]
    return gconv.conv1d(x, weight, padding=padding, **options)[0].tolist()


def test_the_default_is_none():
    assert impulse_response(0, size=4) == [123, 234]
    assert gconv.conv1d(np.ones((1, 4)), np.ones((1, 1, 3))).shape == (1, 2)


def test_an_int_is_both_sides():
    assert impulse_response(1, size=4) == [12, 123, 234, 340]
    assert impulse_response((1,), size=4) == [12, 123, 234, 340]
    assert impulse_response([1], size=4) == [12, 123, 234, 340]


def test_a_pair_is_before_and_after():
    assert impulse_response(((2, 0),), size=4) == [1, 12, 123, 234]
    assert impulse_response([(0, 2)], size=4) == [123, 234, 340, 400]


def test_padding_may_exceed_the_kernel():
    assert impulse_response(((4, 5),), size=1) == [0, 0, 1, 10, 100, 0, 0, 0]


@pytest.mark.parametrize(
    ("padding", "options", "want"),
    [
        ("valid", {}, [123, 234, 345, 456, 567, 678]),
        ("valid", {"stride": 3}, [123, 456]),
        ("same", {}, [12, 123, 234, 345, 456, 567, 678, 780]),
        ("same_upper", {}, [12, 123, 234, 345, 456, 567, 678, 780]),
        ("same_lower", {}, [12, 123, 234, 345, 456, 567, 678, 780]),
        # One odd element of padding: at the end, except for same_lower.
        ("same", {"kernel": 2}, [12, 23, 34, 45, 56, 67, 78, 80]),
        ("same_upper", {"kernel": 2}, [12, 23, 34, 45, 56, 67, 78, 80]),
        ("same_lower", {"kernel": 2}, [1, 12, 23, 34, 45, 56, 67, 78]),
        ("same_upper", {"stride": 2}, [123, 345, 567, 780]),
        ("same_lower", {"stride": 2}, [12, 234, 456, 678]),
        # ceil(7 / 3) = 3 outputs need 9 elements: one on each side.
        ("same_upper", {"size": 7, "stride": 3}, [12, 345, 670]),
        ("same_lower", {"size": 7, "stride": 3}, [12, 345, 670]),
        # The stride passes over more than the kernel needs: no padding at all.
        ("same_upper", {"stride": 5}, [123, 678]),
        ("same_lower", {"stride": 5}, [123, 678]),
        ("same", {"dilation": 2}, [13, 24, 135, 246, 357, 468, 570, 680]),
        ("same_upper", {"dilation": 2, "stride": 2}, [24, 246, 468, 680]),
        ("same_lower", {"dilation": 2, "stride": 2}, [13, 135, 357, 570]),
    ],
)
def test_the_names(padding, options, want):
    assert impulse_response(padding, **options) == want


def test_pairs_run_first_dimension_first():
    x, weight = np.ones((1, 1, 1, 1, 1)), np.ones((1, 1, 1, 1, 1))
    assert gconv.conv3d(x, weight, padding=(1, 2, 3)).shape == (1, 1, 3, 5, 7)
    got = gconv.conv3d(x, weight, padding=((0, 1), (2, 0), (3, 4)))
    assert got.shape == (1, 1, 2, 3, 8)
    assert np.argwhere(got).tolist() == [[0, 0, 0, 2, 3]]


@pytest.mark.parametrize("padding", ["same", "same_upper", "same_lower"])
@given(data=st.data())
def test_same_keeps_the_size_per_dimension(padding, data):
    size, kernel, dilation = (
        data.draw(st.lists(st.integers(1, most), min_size=3, max_size=3)) for most in (9, 4, 3)
    )
    x, weight = np.ones((1, 1, *size)), np.ones((1, 1, *kernel))
    got = gconv.conv3d(x, weight, padding=padding, dilation=dilation)
    assert got.shape == x.shape


@given(st.integers(1, 12), st.integers(1, 6), st.integers(1, 3), st.integers(0, 99))
def test_same_is_pytorchs(size, kernel, dilation, seed):
    torch = oracle("torch")
    rng = np.random.default_rng(seed)
    x, weight = integers(rng, (1, 1, size), np.float64), integers(rng, (1, 1, kernel), np.float64)
    got = gconv.conv1d(x, weight, padding="same", dilation=dilation)
    with warnings.catch_warnings():
        # PyTorch says that an odd padding costs it a copy.
        warnings.simplefilter("ignore")
        want = torch.nn.functional.conv1d(
            torch.from_numpy(x), torch.from_numpy(weight), padding="same", dilation=dilation
        )
    np.testing.assert_array_equal(got, want.numpy())


@pytest.mark.parametrize(
    ("size", "options", "in_place"),
    [
        ((14, 14), {"padding": 1}, True),
        ((15, 13), {"padding": 6, "dilation": 6}, True),
        ((28, 27), {"padding": ((1, 0), (2, 1)), "stride": 2}, True),
        ((2, 20), {"padding": 1}, True),
        # Pixels of all channels share a set of the cache; rows too few for runs to go down them.
        ((32, 32), {"padding": 1}, False),
        ((1, 20), {"padding": 1}, False),
    ],
)
def test_channel_lanes_skip_columns_of_padding_in_place(size, options, in_place, isa, dtype, rng):
    x, weight = normals(rng, (2, 43, *size), dtype), normals(rng, (37, 43, 3, 3), dtype)
    with use_isa(isa), choose.use_tile("channel"):
        layer = gconv.Conv2d(weight, **options)
        assert_right(layer(x), x, weight, **options)
        assert_right(gconv.conv2d(x, weight, **options), x, weight, **options)
        assert layer.explain(x.shape).in_place == in_place
