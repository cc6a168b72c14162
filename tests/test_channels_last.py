"""Channels-last arrays: read and written in place, by kernels of their own."""

import tracemalloc

import numpy as np
import pytest
from arrays import channels_last, integers
from geometries import geometries
from hypothesis import given
from hypothesis import strategies as st
from kernels import KERNELS, layout_of, plans, refuse_the_whole_way
from reference import reference

import gconv
from gconv._call.isa import machine_of, usable
from gconv._plan import choose

#: What serves channels-last arrays, each kind of tiles apart.
CHANNELS_LAST = [
    kernel for kernel in KERNELS if kernel.family in ("channels_last", "channel", "via_c_order")
]
ACROSS = ("fitting", "picked", "neighbours")  # a vector of channels at a time
PIXELS = ("pixels", "descending", "wide")  # tiles of several pixels
FUNCTIONS = {1: gconv.conv1d, 2: gconv.conv2d, 3: gconv.conv3d}
LAYERS = {1: gconv.Conv1d, 2: gconv.Conv2d, 3: gconv.Conv3d}


def is_channels_last(array):
    return np.moveaxis(array, 1, -1).flags.c_contiguous


@given(
    g=geometries(batch=(1, 2)),
    isa=st.sampled_from(usable()),
    dtype=st.sampled_from([np.float32, np.float64]),
    family=st.none() | st.sampled_from(CHANNELS_LAST),
    threads=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_family_and_geometry(g, isa, dtype, family, threads, seed):
    rng = np.random.default_rng(seed)
    x, weight, bias = (integers(rng, s, dtype) for s in (g.x, g.weight, g.weight[:1]))
    want = reference(x, weight, bias, **g.options)
    layer = LAYERS[g.dims](weight, bias, **g.options)
    with plans(isa, family):
        function = FUNCTIONS[g.dims](
            channels_last(x), weight, bias, num_threads=threads, **g.options)
        results = [function] + [layer(channels_last(x), num_threads=threads) for _ in range(2)]
    for y in results:
        np.testing.assert_array_equal(y, want)


# name: (x, weight, options, the family that is meant for it, or the kinds of its tiles)
LAYER_SHAPES = {
    "depthwise": ((2, 40, 13, 17), (40, 1, 3, 3), {"padding": 1, "groups": 40}, PIXELS),
    "depthwise s2": (
        (1, 35, 14, 15), (35, 1, 5, 5), {"padding": 2, "stride": 2, "groups": 35}, PIXELS),
    "depthwise d3": (
        (1, 33, 12, 19), (33, 1, 3, 3), {"padding": 3, "dilation": 3, "groups": 33},
        PIXELS),
    "depthwise 3-D": (
        (1, 20, 4, 9, 11), (20, 1, 3, 3, 3), {"padding": 1, "groups": 20}, PIXELS),
    "depthwise 7": ((1, 47, 9, 30), (47, 1, 7, 7), {"padding": 3, "groups": 47}, PIXELS),
    "depthwise 31": ((1, 17, 9, 30), (17, 1, 31, 31), {"padding": 15, "groups": 17}, None),
    "depthwise 15": ((1, 32, 9, 30), (32, 1, 15, 15), {"padding": 7, "groups": 32}, None),
    "depthwise 1x9 d2": (
        (2, 35, 4, 3), (35, 1, 1, 9), {"padding": (0, 40), "dilation": (1, 2), "groups": 35},
        PIXELS),
    "depthwise 65": ((1, 18, 3, 70), (18, 1, 1, 65), {"groups": 18}, ACROSS),
    "depthwise 1x4": ((1, 18, 3, 30), (18, 1, 1, 4), {"groups": 18}, ACROSS),
    "multiplier": ((1, 20, 9, 11), (60, 1, 3, 3), {"padding": 1, "groups": 20}, PIXELS),
    "multiplier d2": (
        (2, 11, 9, 21), (55, 1, 3, 3), {"padding": 2, "dilation": (1, 2), "groups": 11},
        PIXELS),
    "multiplier 2x3": ((1, 20, 9, 11), (60, 1, 2, 3), {"padding": 1, "groups": 20}, None),
    "few channels": ((1, 3, 9, 11), (30, 1, 3, 3), {"padding": 1, "groups": 3}, None),
    "one row": ((1, 40, 1, 13), (40, 1, 3, 3), {"padding": 1, "groups": 40}, PIXELS),
    "two rows": ((1, 40, 2, 1), (40, 1, 3, 3), {"padding": 1, "groups": 40}, PIXELS),
    "only padding": (
        (1, 17, 3, 3, 4), (17, 1, 1, 3, 3), {"padding": (1, 3, 2), "groups": 17}, PIXELS),
    "4 per group": ((1, 32, 9, 30), (32, 4, 3, 3), {"padding": 1, "groups": 8}, ACROSS),
    "8 per group": ((2, 32, 5, 29), (32, 8, 3, 3), {"padding": 1, "groups": 4}, None),
    "wide padding": ((1, 32, 5, 7), (32, 4, 3, 3), {"padding": (1, 3), "groups": 8}, None),
    "ragged": ((1, 40, 9, 11), (60, 2, 3, 3), {"padding": 1, "groups": 20}, ACROSS),
    "narrow": ((1, 6, 9, 11), (4, 3, 3, 3), {"padding": 1, "groups": 2}, None),
    "dense": ((1, 24, 9, 11), (40, 24, 3, 3), {"padding": 1}, "channel"),
    "dense 7x7": ((1, 24, 7, 7), (40, 24, 3, 3), {"padding": 1}, "channel"),
    "1x1": ((2, 24, 9, 11), (40, 24, 1, 1), {}, "channel"),
    "1-D": ((2, 24, 50), (24, 1, 5), {"padding": 2, "groups": 24}, None),
    "reflect": (
        (1, 20, 9, 11), (40, 20, 3, 3), {"padding": 1, "padding_mode": "reflect"}, "channel"),
    "reflect depthwise": (
        (1, 20, 9, 11), (20, 1, 3, 3), {"padding": 1, "groups": 20, "padding_mode": "reflect"},
        None),
    # The result in C order first, and then copied.
    "few out": ((2, 16, 9, 33), (2, 16, 5, 5), {"padding": 2}, "width"),
    "few out of a group": ((1, 32, 9, 33), (4, 16, 5, 5), {"padding": 2, "groups": 2}, None),
}


@pytest.fixture(params=LAYER_SHAPES)
def case(request, dtype, rng):
    """(layer, x, weight, options, family), all small whole numbers."""
    x, weight, options, family = LAYER_SHAPES[request.param]
    x, weight = integers(rng, x, dtype), integers(rng, weight, dtype)
    bias = integers(rng, weight.shape[:1], dtype)
    return LAYERS[x.ndim - 2](weight, bias, **options), x, weight, options, family


def has_pixels(isa, dtype):
    return bool(machine_of(isa, np.dtype(dtype)).tiles["channels_last"]["pixels"])


def test_the_family_that_is_meant_serves(isa, dtype, case):
    _, x, weight, options, family = case
    layout = layout_of(channels_last(x), weight, **options)
    if family == PIXELS and not has_pixels(isa, dtype):
        if layout.copied:  # faster where most columns meet padding
            return
        family = ACROSS
    least = {PIXELS: 0, None: 0, "channel": 4}.get(family, 8)
    if machine_of(isa, np.dtype(dtype)).lanes < least:
        return  # few lanes hold the inputs of too few groups; other families may serve
    if family is not None:
        if isinstance(family, str):
            assert layout.family.name == family
        else:
            assert layout.family.name == "channels_last"
            assert layout.tile.kind in family
        assert layout.copied == (family == "width")


@pytest.mark.parametrize("out_channels", [3, 9, 30])
def test_an_image_of_three_channels_goes_by_pixels_where_these_tiles_are(isa, dtype, out_channels):
    x, weight = np.zeros((1, 3, 20, 30), dtype), np.zeros((out_channels, 1, 3, 3), dtype)
    layout = layout_of(channels_last(x), weight, padding=1, groups=3)
    assert (layout.tile.kind in PIXELS) == has_pixels(isa, dtype)


@pytest.mark.parametrize(
    ("in_channels", "out_channels"), [(3, 3), (5, 5), (6, 6), (7, 3), (2, 6), (12, 9)])
def test_vectors_of_whole_groups(isa, dtype, rng, in_channels, out_channels):
    """Groups that would cross the borders of vectors leave some lanes of these unused."""
    machine = machine_of(isa, np.dtype(dtype))
    groups, options = 40, {"padding": 1, "groups": 40}
    weight = integers(rng, (groups * out_channels, in_channels, 3, 3), dtype)
    bias = integers(rng, weight.shape[:1], dtype)
    x = integers(rng, (2, groups * in_channels, 12, 13), dtype)
    layer = gconv.Conv2d(weight, bias, **options)
    want = layer(x)
    with choose.use_tile("channels_last"):
        for threads in (1, 3):
            np.testing.assert_array_equal(layer(channels_last(x), num_threads=threads), want)
            got = gconv.conv2d(channels_last(x), weight, bias, num_threads=threads, **options)
            np.testing.assert_array_equal(got, want)
        layout = layout_of(channels_last(x), weight, **options)
    if (
        machine.tiles["channels_last"]["neighbours"]
        and machine.lanes >= max(in_channels, out_channels)
    ):
        assert layout.family.name == "channels_last"
        whole = machine.lanes // max(in_channels, out_channels) * out_channels
        assert layout.vectors.wide in (whole, machine.lanes)
        assert layout.group_blocks > 1 or layout.vectors.wide == machine.lanes


#: Layers for each kind of tiles of pixels: (channels, filters per channel, kernel, stride).
PIXEL_TILES = {
    "pixels": (19, 1, (5, 5), 1),
    "pixels, stride 2": (19, 1, (3, 7), 2),
    "down the rows": (19, 1, (3, 3), 1),
    "down the rows, several filters": (19, 3, (3, 3), 1),
    "wide": (19, 1, (2, 11), 1),
}


@pytest.mark.parametrize("rows", range(1, 10))
@pytest.mark.parametrize("kind", PIXEL_TILES)
def test_every_tile_of_pixels(isa, dtype, rng, kind, rows):
    """Or the nearest that there is."""
    channels, filters, kernel, stride = PIXEL_TILES[kind]
    options = {"stride": stride, "padding": tuple(k // 2 for k in kernel), "groups": channels}
    weight = integers(rng, (channels * filters, 1, *kernel), dtype)
    layer = gconv.Conv2d(weight, **options)
    for width in (1, 2 * stride * rows, 2 * stride * rows + 1):
        x = integers(rng, (1, channels, 5, width), dtype)
        want = layer(x)
        with choose.use_tile("channels_last", rows):
            np.testing.assert_array_equal(layer(channels_last(x)), want)
            np.testing.assert_array_equal(gconv.conv2d(channels_last(x), weight, **options), want)
            np.testing.assert_array_equal(layer(x), want)  # in blocks of channels


def test_the_result_is_that_of_c_order_and_comes_back_channels_last(isa, case):
    layer, x, *_ = case
    want = layer(x)
    assert want.flags.c_contiguous
    for got in (layer(channels_last(x)), layer(channels_last(x))):
        np.testing.assert_array_equal(got, want)
        assert is_channels_last(got)


def test_out_decides_where_it_is_given(isa, case):
    layer, x, *_ = case
    want = layer(x)
    spaced = np.zeros(tuple(2 * n for n in want.shape), want.dtype)
    for given_x in (x, channels_last(x)):
        for out in (
            np.zeros_like(want),
            channels_last(np.zeros_like(want)),
            spaced[(slice(None, None, 2),) * want.ndim],
            np.zeros_like(want)[..., ::-1],
            np.asfortranarray(np.zeros_like(want)),
        ):
            assert layer(given_x, out=out) is out
            np.testing.assert_array_equal(out, want)
    written = spaced[(slice(None, None, 2),) * want.ndim].size
    assert np.count_nonzero(spaced) <= written  # and nothing between


def test_one_image_without_a_batch(isa, case):
    layer, x, *_ = case
    got = layer(channels_last(x)[0])
    np.testing.assert_array_equal(got, layer(x[:1])[0])
    assert np.moveaxis(got, 0, -1).flags.c_contiguous


def test_same_bits_for_any_number_of_threads(isa, dtype, rng):
    for x, weight, options, _ in LAYER_SHAPES.values():
        x = rng.standard_normal(x).astype(dtype) * np.exp(rng.standard_normal(x) * 4).astype(dtype)
        layer = LAYERS[x.ndim - 2](rng.standard_normal(weight).astype(dtype), **options)
        last = channels_last(np.concatenate([x, x]))
        want = layer(last, num_threads=1)
        for threads in (2, 3, 7):
            assert layer(last, num_threads=threads).tobytes() == want.tobytes()
        alone = layer(channels_last(x), num_threads=2)
        np.testing.assert_array_equal(alone, want[: len(x)])


def test_a_function_gives_the_bits_of_a_layer(isa, case):
    layer, x, weight, options, _ = case
    function = FUNCTIONS[x.ndim - 2]
    for _ in range(2):
        got = function(channels_last(x), weight, layer.bias, **options)
        assert got.tobytes() == layer(channels_last(x)).tobytes()
        assert is_channels_last(got)


@pytest.mark.parametrize("has_residual", [False, True])
def test_no_copy_is_made(has_residual):
    """Of a large image, in or out: a call allocates its result and little else."""
    x = channels_last(np.ones((1, 64, 256, 256), np.float32))
    residual = x if has_residual else None
    layer = gconv.Conv2d(
        np.ones((64, 1, 3, 3), np.float32), padding=1, groups=64, activation="silu"
    )
    layer(x)
    tracemalloc.start()
    try:
        y = layer(x, residual=residual)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert is_channels_last(y)
    assert peak < y.nbytes + 2**20


def test_not_finite_inputs_stay_where_they_are(isa, dtype):
    """A NaN reaches the outputs that see it, in its own channel, and no other."""
    x = np.ones((1, 40, 9, 11), dtype)
    x[0, 17, 4, 5] = np.nan
    x[0, 39, 0, 0] = np.inf
    weight = np.ones((40, 1, 3, 3), dtype)
    got = gconv.conv2d(channels_last(x), weight, padding=1, groups=40)
    np.testing.assert_array_equal(got, gconv.conv2d(x, weight, padding=1, groups=40))
    assert np.isnan(got).sum() == 9


@pytest.mark.parametrize("activation", [
    "relu", "relu6", ("leaky_relu", 0.25), "silu", "tanh", "hardsigmoid", "gelu", "gelu_tanh"])
def test_an_activation_and_a_residual(isa, case, activation, rng):
    """The bits of C order where the sums are whole numbers."""
    layer, x, weight, options, _ = case
    finished = type(layer)(weight, layer.bias, **options, activation=activation)
    for _ in range(2):
        got = finished(channels_last(x))
        np.testing.assert_array_equal(got, finished(x))
        assert is_channels_last(got)
    residual = integers(rng, got.shape, got.dtype)
    want = finished(x, residual=residual)
    np.testing.assert_array_equal(finished(channels_last(x), residual=residual), want)
    for _ in range(2):  # where it lies as the result does, nothing is copied
        before = channels_last(residual)
        got = finished(channels_last(x), residual=before)
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(before, residual)
        assert is_channels_last(got)
    out = channels_last(residual)
    assert finished(channels_last(x), residual=out, out=out) is out
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("out_channels", [1, 2, 3, 8, 9, 20])
@pytest.mark.parametrize("batched", [True, False])
def test_the_second_call_takes_the_short_cut(isa, dtype, rng, batched, out_channels, monkeypatch):
    """Also where the result is computed in C order first, as few output channels are."""
    x, weight = integers(rng, (2, 9, 11, 13), dtype), integers(rng, (out_channels, 9, 3, 3), dtype)
    want = reference(x, weight, padding=1)
    x = channels_last(x)
    if not batched:
        x, want = x[0], want[0]
    layer = gconv.Conv2d(weight, padding=1)
    out = layer(x)
    np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(gconv.conv2d(x, weight, padding=1), want)

    refuse_the_whole_way(monkeypatch)
    for again in (layer(x), gconv.conv2d(x, weight, padding=1)):
        np.testing.assert_array_equal(again, want)
        assert again.strides == out.strides
    out[...] = np.nan
    assert layer(x, out=out) is out
    np.testing.assert_array_equal(out, want)


def test_calls_of_the_same_shape_give_the_same_bits_whatever_came_before(rng):
    """A result that overlaps x, or holds the residual, is computed in C order first; this must not
    become the way of the calls that follow."""
    for out_channels in (1, 3, 9, 16):
        x = channels_last(rng.standard_normal((1, 9, 10, 12)).astype(np.float32))
        weight = rng.standard_normal((out_channels, 9, 3, 3)).astype(np.float32)
        want = gconv.Conv2d(weight, padding=1)(x)
        room = np.empty((1, 10, 12, max(9, out_channels)), np.float32)
        at, to = (np.moveaxis(room.reshape(-1)[: 120 * c].reshape(1, 10, 12, c), -1, 1)
                  for c in (9, out_channels))
        layer = gconv.Conv2d(weight, padding=1)
        at[...] = x
        layer(at, out=to)  # overlaps
        np.testing.assert_allclose(to, want, rtol=1e-4, atol=1e-4)
        assert layer(x).tobytes() == want.tobytes()
        held = channels_last(np.zeros(want.shape, np.float32))
        layer(x, residual=held, out=held)
        np.testing.assert_allclose(held, want, rtol=1e-4, atol=1e-4)
        assert layer(x).tobytes() == want.tobytes()


@pytest.mark.parametrize("out_channels", [2, 3, 32])
def test_results_begin_on_a_cache_line(isa, dtype, rng, out_channels):
    for shape in ((0, 5, 3, 4), (1, 5, 1, 1), (2, 5, 60, 70), (5, 60, 70), (5, 0, 3)):
        x, weight = rng.random(shape).astype(dtype), rng.random((out_channels, 5, 1, 1), dtype)
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -3, -1)), -1, -3)
        layer = gconv.Conv2d(weight, padding=1)
        for y in (layer(x), layer(x), gconv.conv2d(x, weight, padding=1)):
            assert y.shape == (*shape[:-3], out_channels, shape[-2] + 2, shape[-1] + 2)
            np.testing.assert_allclose(y, layer(np.ascontiguousarray(x)), rtol=1e-5)
            if not x.flags.c_contiguous:
                assert y.ctypes.data % 64 == 0
                assert np.moveaxis(y, -3, -1).flags.c_contiguous
            assert y.flags.writeable
            assert y.flags.aligned
