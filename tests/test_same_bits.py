"""The same bits for any number of threads, however often, and for an image alone or in a batch."""

import numpy as np
import pytest
from arrays import normals
from geometries import geometries
from hypothesis import given
from hypothesis import strategies as st
from kernels import layout_of, tuned

import gconv
from gconv._call.isa import usable, use_isa
from gconv._plan import items

FUNCTIONS = {1: gconv.conv1d, 2: gconv.conv2d, 3: gconv.conv3d}
LAYERS = {1: gconv.Conv1d, 2: gconv.Conv2d, 3: gconv.Conv3d}

#: One image each, with work for several threads; x, weight, options.
CASES = {
    "multiplier": ((16, 56, 57), (160, 1, 3, 3), {"padding": 1, "groups": 16}),
    "multiplier strided": ((32, 64, 64), (64, 1, 7, 7), {"stride": 2, "padding": 3, "groups": 32}),
    "4 per group": ((64, 40, 41), (64, 4, 3, 3), {"padding": 1, "groups": 16}),
    "16 per group": ((128, 14, 14), (128, 16, 3, 3), {"padding": 1, "groups": 8}),
    "ragged": ((35, 31, 29), (55, 7, 3, 3), {"padding": 1, "groups": 5}),
    "few items": ((48, 33, 31), (2, 24, 5, 5), {"padding": 2, "groups": 2}),
    "depthwise": ((64, 40, 43), (64, 1, 3, 3), {"padding": 1, "groups": 64}),
    "depthwise strided": ((64, 57, 55), (64, 1, 5, 5), {"stride": 2, "padding": 2, "groups": 64}),
    "depthwise 31": ((16, 28, 28), (16, 1, 31, 31), {"padding": 15, "groups": 16}),
    "dense": ((32, 30, 31), (40, 32, 3, 3), {"padding": 1}),
    "dense small map": ((256, 7, 7), (256, 256, 3, 3), {"padding": 1}),
    "dense small volume": ((64, 7, 6, 6), (128, 64, 3, 3, 3), {"padding": 1}),
    "dense dilated": ((64, 33, 33), (33, 64, 3, 3), {"padding": 6, "dilation": 6}),
    "1x1": ((128, 28, 28), (70, 128, 1, 1), {}),
    "1x1 strided": ((128, 56, 56), (70, 128, 1, 1), {"stride": 2}),
    "one dimension": ((96, 500), (96, 12, 64), {"padding": 32, "groups": 8}),
    "causal": ((256, 1000), (256, 1, 4), {"padding": ((3, 0),), "groups": 256}),
    "three dimensions": ((32, 8, 20, 21), (32, 4, 3, 3, 3), {"padding": 1, "groups": 8}),
}


@pytest.fixture(params=CASES)
def case(request, dtype, rng):
    """Return (function, layer, x with a batch of 2, weight, bias, options) in one precision."""
    x, weight, options = CASES[request.param]
    dims = len(x) - 1
    # Magnitudes far apart make the order of a sum visible.
    x = normals(rng, (2, *x), dtype) * np.exp(normals(rng, (2, *x), dtype) * 4)
    weight, bias = normals(rng, weight, dtype), normals(rng, weight[:1], dtype)
    return FUNCTIONS[dims], LAYERS[dims](weight, bias, **options), x, weight, bias, options


def same_bits(got, want):
    assert got.shape == want.shape
    assert got.tobytes() == want.tobytes()


def test_any_number_of_threads_any_number_of_times(case, isa):
    function, layer, x, weight, bias, options = case
    want = function(x, weight, bias, **options, num_threads=1)
    for num_threads in (1, 2, 3, 7, 64, 2, 1):
        same_bits(function(x, weight, bias, **options, num_threads=num_threads), want)
        same_bits(layer(x, num_threads=num_threads), want)


def test_an_image_alone_or_in_a_batch(case, isa):
    function, layer, x, weight, bias, options = case
    for num_threads in (1, 2):
        batch = function(x, weight, bias, **options, num_threads=num_threads)
        for image, want in zip(x, batch, strict=True):
            same_bits(function(image, weight, bias, **options), want)
            same_bits(function(image[None], weight, bias, **options)[0], want)
            same_bits(layer(image.copy(), num_threads=num_threads), want)
        same_bits(layer(x[1:]), batch[1:])


def test_where_the_arrays_begin_in_memory(case, isa):
    _, layer, x, _, _, _ = case
    want = layer(x[0])
    room = np.empty(x[0].size + 16, x.dtype)
    out_room = np.empty(want.size + 16, x.dtype)
    for shift in (1, 3, 8):
        moved = room[shift : shift + x[0].size].reshape(x[0].shape)
        moved[...] = x[0]
        out = out_room[shift + 1 : shift + 1 + want.size].reshape(want.shape)
        same_bits(layer(moved, out=out), want)


SLICED = {
    "channel lanes": ((2, 64, 7, 7), (70, 64, 3, 3), {"padding": 1}),
    "channel lanes, bands": ((1, 64, 30, 14), (70, 64, 3, 3), {"padding": (2, 1)}),
    "channel lanes, panel": ((1, 40, 13, 15), (35, 40, 3, 3), {"stride": 2, "padding": 1}),
    "channel lanes, kernel rows at once": ((2, 32, 14, 14), (64, 32, 3, 3), {"padding": 1}),
    "channel lanes, rows and planes": ((1, 40, 3, 4, 5), (33, 40, 3, 3, 3), {"padding": 1}),
    "channel lanes, planes": ((1, 24, 5, 6, 7), (33, 24, 3, 3, 3), {"padding": 1}),
    "width lanes": ((2, 12, 30, 45), (18, 4, 3, 3), {"padding": 1, "groups": 3}),
    "masked lanes": ((2, 16, 28, 28), (16, 8, 3, 3), {"padding": 1, "groups": 2}),
    "masked lanes, one row": ((1, 8, 900), (8, 4, 5), {"padding": 2, "groups": 2}),
    "masked lanes, planes": ((1, 8, 5, 9, 14), (8, 4, 3, 3, 3), {"padding": 1, "groups": 2}),
    "one row": ((2, 24, 10, 113), (11, 24, 1, 1), {}),
    "depthwise": ((1, 3, 40, 43), (3, 1, 5, 5), {"padding": 2, "groups": 3}),
    "planes": ((1, 4, 9, 10, 11), (8, 4, 3, 3, 3), {"padding": 1}),
}


# In tiles, and in a pass over what an item has stored.
@pytest.mark.parametrize("activation", ["relu", "silu"])
@pytest.mark.parametrize("name", SLICED)
def test_slices_of_any_size(name, activation, isa, dtype, rng, monkeypatch):
    """Bands that are cut, by their work, into slices for many threads."""
    shape, weight_shape, options = SLICED[name]
    options = options | {"activation": activation}
    x, weight = normals(rng, shape, dtype), normals(rng, weight_shape, dtype)
    function = FUNCTIONS[weight.ndim - 2]
    channels_last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    wanted = [function(array, weight, **options, num_threads=1) for array in (x, channels_last)]
    monkeypatch.setattr(items, "EVEN", 0)
    for shares in (7, 50, 5000):
        monkeypatch.setattr(items, "SHARES", shares)
        with tuned(small_flops=0):
            assert layout_of(x, weight, **options).slices > 1
            for num_threads in (1, 2, 3, 7, 64):
                for array, want in zip((x, channels_last), wanted, strict=True):
                    same_bits(function(array, weight, **options, num_threads=num_threads), want)


@given(
    geometries(batch=(2, 3)),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from(usable()),
    st.integers(1, 7),
    st.integers(0, 2**32 - 1),
)
def test_any_geometry(geometry, dtype, isa, num_threads, seed):
    rng = np.random.default_rng(seed)
    x, weight = normals(rng, geometry.x, dtype), normals(rng, geometry.weight, dtype)
    function = FUNCTIONS[geometry.dims]
    with use_isa(isa):
        batch = function(x, weight, **geometry.options, num_threads=num_threads)
        for image, want in zip(x, batch, strict=True):
            same_bits(function(image, weight, **geometry.options, num_threads=1), want)
