"""Sizes, steps and distances in memory beyond 32 bits are as good as any other."""

import itertools
import sys

import numpy as np
import pytest
from arrays import integers
from reference import reference

import gconv

pytestmark = pytest.mark.skipif(sys.maxsize < 2**32, reason="addresses have 32 bits")

FAR = 2**31 + 3


def endless(*shape, dtype=np.float32):
    """Return ones of any size on a few bytes."""
    return np.broadcast_to(dtype(1), shape)


def test_dilation(isa, dtype):
    x, weight = endless(1, 1, FAR + 7, dtype=dtype), np.array([[[2, 5]]], dtype)
    got = gconv.conv1d(x, weight, dilation=FAR)
    assert got.tolist() == [[[7] * 7]]
    got = gconv.conv1d(x, weight, dilation=FAR, padding=((3, 2),))
    assert got.tolist() == [[[5] * 3 + [7] * 7 + [2] * 2]]


def test_stride(isa, dtype):
    x, weight = endless(1, 2, 3 * FAR + 2, dtype=dtype), np.array([[[2, 5], [1, 1]]], dtype)
    assert gconv.conv1d(x, weight, stride=FAR).tolist() == [[[9] * 4]]
    assert gconv.conv1d(x, weight, stride=2**62).tolist() == [[[9]]]


@pytest.mark.parametrize("number", [2**31, 2**63, 2**70])
def test_numbers_that_have_no_effect(number, isa, dtype):
    """One output takes no stride, one tap no dilation."""
    x = np.array([[1, 2, 3]], dtype)
    assert gconv.conv1d(x, np.array([[[1, 10, 100]]], dtype), stride=number).tolist() == [[321]]
    got = gconv.conv1d(x, np.array([[[10]]], dtype), dilation=number, stride=2)
    assert got.tolist() == [[10, 30]]


def test_stride_with_padding(isa, dtype):
    x, weight = np.arange(1, 6, dtype=dtype)[None], np.array([[[1, 10]]], dtype)
    assert gconv.conv1d(x, weight, stride=FAR, padding=((2, FAR),)).tolist() == [[0, 0]]
    # The second output sees the third and the fourth element.
    assert gconv.conv1d(x, weight, stride=FAR, padding=((FAR - 2, 0),)).tolist() == [[0, 43]]


def test_rows_far_apart_by_stride_and_dilation(isa, dtype):
    x, weight = endless(1, 2, FAR + 5, 9, dtype=dtype), np.ones((3, 2, 2, 3), dtype)
    got = gconv.conv2d(x, weight, stride=(FAR, 1), padding=((0, FAR), (1, 1)))
    # The third row lies in the padding.
    assert got[0, 0].tolist() == [[8] + [12] * 7 + [8]] * 2 + [[0] * 9]
    got = gconv.conv2d(x, weight, dilation=(FAR, 1))
    assert (got == 12).all()
    assert got.shape == (1, 3, 5, 7)


#: Strides in bytes of up to (2, 4, 5, 6) elements; a step, or a few, lead past 2**31 elements.
STRIDES = {
    "images": (2**33 + 64, 2000, 200, 8),
    "channels": (2000, 2**32 + 64, 200, 8),
    "rows": (2000, 200, 2**32 + 64, 8),
    "columns": (2000, 200, 20, 2**32 + 64),
    "images backwards": (-(2**33) - 64, 2000, 200, 8),
    "columns backwards": (2000, 200, 20, -(2**32) - 64),
}


@pytest.fixture
def laid_out(tmp_path):
    """Return a function that lays an array out at strides in bytes, on a file that is all hole."""
    numbers = itertools.count()

    def lay_out(array, strides):
        steps = [abs(stride) for stride in strides]
        nbytes = array.itemsize + sum(
            (n - 1) * step for n, step in zip(array.shape, steps, strict=True)
        )
        room = np.memmap(tmp_path / f"{next(numbers)}", np.uint8, "w+", shape=(nbytes,))
        backwards = tuple(slice(None, None, -1 if stride < 0 else 1) for stride in strides)
        view = np.ndarray(array.shape, array.dtype, room, 0, steps)[backwards]
        view[...] = array
        return view

    return lay_out


@pytest.mark.parametrize("name", STRIDES)
@pytest.mark.parametrize(("groups", "kernel", "stride"), [(1, 3, 1), (4, 3, 2), (2, 1, 1)])
def test_elements_far_apart_in_memory(name, groups, kernel, stride, isa, rng, laid_out):
    x = integers(rng, (2, 4, 5, 6), np.float32)
    weight = integers(rng, (4, 4 // groups, kernel, kernel), np.float32)
    options = {"stride": stride, "padding": kernel // 2, "groups": groups}
    want = reference(x, weight, **options)
    far_x = laid_out(x, STRIDES[name])
    np.testing.assert_array_equal(gconv.conv2d(far_x, weight, **options), want)
    np.testing.assert_array_equal(gconv.Conv2d(weight, **options)(far_x), want)
    far_out = laid_out(np.zeros(want.shape, np.float32), STRIDES[name])
    assert gconv.conv2d(x, weight, **options, out=far_out) is far_out
    np.testing.assert_array_equal(far_out, want)
    far_weight = laid_out(weight, STRIDES[name])
    np.testing.assert_array_equal(gconv.conv2d(x, far_weight, **options), want)
