"""The same bits for any number of threads, however often, for an image alone or in a batch, and
wherever the result and the residual lie."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from arrays import normals
from geometries import geometries
from hypothesis import given
from hypothesis import strategies as st
from kernels import layout_of, plan_of, tuned

import gconv
from gconv._call import run
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
        with tuned(small_flops=0, serial_flops=0):
            assert shares < 5000 or "one row" in name or layout_of(x, weight, **options).slices > 1
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


# ---- where the result and the residual lie, and which images there are

#: Each kernel and each wrapper, on some instruction set: (operator, image, weight, options).
PLACED = {
    "one channel": ("conv", (2, 2, 8), (1, 2, 2, 2), {}),
    "depthwise": ("conv", (20, 9, 11), (20, 1, 3, 3), {"padding": 1, "groups": 20}),
    "depthwise, wide": ("conv", (3, 30, 70), (3, 1, 3, 3), {"padding": 1, "groups": 3}),
    "multiplier": ("conv", (6, 9, 21), (18, 1, 3, 3), {"padding": 1, "groups": 6}),
    "4 per group": ("conv", (16, 9, 13), (16, 4, 3, 3), {"padding": 1, "groups": 4}),
    "strided": ("conv", (16, 9, 13), (8, 8, 3, 3), {"padding": 1, "stride": 2, "groups": 2}),
    "dense": ("conv", (24, 7, 7), (40, 24, 3, 3), {"padding": 1}),
    "few out": ("conv", (16, 9, 33), (2, 16, 3, 3), {"padding": 1}),
    "1x1": ("conv", (24, 6, 7), (20, 24, 1, 1), {}),
    "reflect": ("conv", (12, 9, 11), (20, 12, 3, 3), {"padding": 1, "padding_mode": "reflect"}),
    "one dimension": ("conv", (8, 120), (12, 4, 9), {"padding": 4, "groups": 2}),
    "three dimensions": ("conv", (8, 4, 6, 9), (12, 4, 3, 3, 3), {"padding": 1, "groups": 2}),
    "one row": ("conv", (6, 1, 40), (6, 3, 3, 3), {"padding": 1, "groups": 2}),
    "one column": ("conv", (18, 12, 1), (18, 1, 3, 3), {"padding": 1, "groups": 18}),
    "transposed": ("transpose", (12, 7, 9), (12, 5, 4, 4), {"stride": 2, "padding": 1}),
    "transposed, few": ("transpose", (4, 7, 20), (4, 1, 4, 4), {
        "stride": 2, "padding": 1, "groups": 4}),
    "transposed, stride 1": ("transpose", (12, 7, 9), (12, 5, 3, 3), {"padding": 1}),
}
ACTIVATIONS = [None, "relu", "silu"]  # in tiles, and in a pass over what an item has stored


def channels_last(shape, dtype):
    """An array whose channels are neighbours."""
    return np.moveaxis(np.zeros((shape[0], *shape[2:], shape[1]), dtype), -1, 1)


def outputs(shape, dtype):
    """Everything that `out` may be, by name."""
    more = (shape[0], shape[1] + 5, *shape[2:])
    around = (*shape[:2], *(n + 3 for n in shape[2:]))
    yield "C order", np.zeros(shape, dtype)
    yield "channels", np.zeros(more, dtype)[:, 2:-3]
    yield "first channels", np.zeros(more, dtype)[:, :-5]
    yield "channels-last", channels_last(shape, dtype)
    yield "channels of channels-last", channels_last(more, dtype)[:, 2:-3]
    yield "every second channel", np.zeros((shape[0], 2 * shape[1], *shape[2:]), dtype)[:, ::2]
    yield "crop", np.zeros(around, dtype)[(..., *[slice(1, -2)] * (len(shape) - 2))]
    yield "Fortran order", np.zeros(shape, dtype, "F")
    yield "backwards", np.zeros(shape, dtype)[..., ::-1]
    yield "images backwards", np.zeros(shape, dtype)[::-1]
    yield "images apart", np.zeros((3 * shape[0], *shape[1:]), dtype)[::3]


def inputs(rng, shape, dtype):
    """x in both orders, and as part of larger arrays; magnitudes far apart make the order of a sum
    visible."""
    x = normals(rng, shape, dtype) * np.exp(normals(rng, shape, dtype) * 3)
    last = channels_last(shape, dtype)
    last[...] = x
    room = np.zeros((shape[0], shape[1] + 3, *shape[2:-1], shape[-1] + 2), dtype)
    room[:, 1:-2, ..., 1:-1] = x
    return {"C order": x, "channels-last": last, "crop": room[:, 1:-2, ..., 1:-1]}


@pytest.fixture(params=PLACED)
def placed(request, dtype, rng):
    """(function, layer of an activation, x by its order, weight, bias, options)."""
    operator, shape, weight, options = PLACED[request.param]
    dims = len(shape) - 1
    name, kind = {"conv": (f"conv{dims}d", f"Conv{dims}d"),
                  "transpose": (f"conv_transpose{dims}d", f"ConvTranspose{dims}d")}[operator]
    x = inputs(rng, (2, *shape), dtype)
    weight = normals(rng, weight, dtype)
    channels = len(weight) if operator == "conv" else weight.shape[1] * options.get("groups", 1)
    bias = normals(rng, (channels,), dtype)

    def layer(activation=None):
        return getattr(gconv, kind)(weight, bias, **options, activation=activation)

    return getattr(gconv, name), layer, x, weight, bias, options


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_any_out(placed, activation, isa, dtype):
    """New or given, of any strides: the short cut and the whole way, layers and functions."""
    function, make, xs, weight, bias, options = placed
    layer = make(activation)
    for x in xs.values():
        want = layer(x).tobytes()
        for _, out in outputs(layer.out_shape(x.shape), dtype):
            for call in (
                layer, layer,
                lambda x, out: function(
                    x, weight, bias, **options, activation=activation, out=out),
            ):
                out[...] = np.nan
                assert call(x, out=out) is out
                assert out.tobytes() == want
            out[...] = np.nan
            assert make(activation)(x, out=out).tobytes() == want  # this is its first call


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_any_residual(placed, activation, isa, dtype, rng):
    """Of any strides, out itself, or overlapping it."""
    function, make, xs, weight, bias, options = placed
    layer = make(activation)
    shape = layer.out_shape(next(iter(xs.values())).shape)
    numbers = normals(rng, shape, dtype)
    for x in xs.values():
        want = layer(x, residual=numbers).tobytes()
        for _, residual in outputs(shape, dtype):
            residual[...] = numbers
            assert layer(x, residual=residual).tobytes() == want
            np.testing.assert_array_equal(residual, numbers)
            for _ in range(2):
                residual[...] = numbers
                assert layer(x, residual=residual, out=residual).tobytes() == want
            residual[...] = numbers
            out = residual[:, ::-1]  # overlaps it
            assert layer(x, residual=residual, out=out).tobytes() == want
            residual[...] = numbers
            got = function(x, weight, bias, **options, activation=activation, residual=residual,
                           out=residual)
            assert got.tobytes() == want
        for (_, residual), (_, out) in itertools.product(
            itertools.islice(outputs(shape, dtype), 5), repeat=2
        ):
            residual[...] = numbers
            assert layer(x, residual=residual, out=out).tobytes() == want


def test_any_images_of_a_batch(placed, isa, dtype):
    """One, every second, in reverse, one image many times, none apart: each has its own bits."""
    function, make, xs, weight, bias, options = placed
    layer = make()
    for x in xs.values():
        want = layer(x)
        apart = np.lib.stride_tricks.as_strided(
            np.zeros(5 * x.strides[0] // x.itemsize, dtype), x.shape,
            (3 * x.strides[0], *x.strides[1:]))
        apart[...] = x
        for images, which in (
            (x[:1], [0]), (x[1:], [1]), (x[::2], [0]), (x[::-1], [1, 0]), (apart, [0, 1]),
            (np.broadcast_to(x[1:], (3, *x.shape[1:])), [1, 1, 1]), (x[:0], []),
        ):
            for got in (
                layer(images), layer(images), make()(images),
                function(images, weight, bias, **options),
                layer(images, out=np.zeros((len(images), *want.shape[1:]), dtype)),
            ):
                assert got.tobytes() == want[which].tobytes()
        for image, wanted in zip(x, want, strict=True):
            assert layer(image).tobytes() == wanted.tobytes()
            assert layer(image, out=np.zeros(want.shape[1:], dtype)).tobytes() == wanted.tobytes()


def test_channels_of_the_array_that_x_is_part_of(placed, isa, dtype):
    """Concatenation without a copy: x and result are channels of one buffer, in either order."""
    function, make, xs, weight, bias, options = placed
    layer, x = make(), xs["C order"]
    shape = layer.out_shape(x.shape)
    if shape[2:] != x.shape[2:]:  # no one buffer has room for both
        return
    both = (x.shape[0], x.shape[1] + shape[1], *x.shape[2:])
    for buffer in (np.zeros(both, dtype), channels_last(both, dtype)):
        at, out = buffer[:, : x.shape[1]], buffer[:, x.shape[1] :]
        at[...] = x
        want = layer(at).tobytes()
        for call in (layer, layer, lambda x, out: function(x, weight, bias, **options, out=out)):
            out[...] = np.nan
            call(at, out=out)
            assert out.tobytes() == want
            np.testing.assert_array_equal(at, x)


def test_out_that_overlaps_x(placed, isa, dtype):
    """A little, or wholly: x is read as it was."""
    _, make, xs, *_ = placed
    layer = make()
    for x in xs.values():
        shape = layer.out_shape(x.shape)
        room = np.zeros(x.size + math.prod(shape), dtype)
        at = room[: x.size].reshape(x.shape)
        out = room[x.size // 2 :][: math.prod(shape)].reshape(shape)
        at[...] = x
        want = layer(at.copy()).tobytes()
        assert layer(at, out=out).tobytes() == want
        at[...] = x
        assert layer(at, out=out).tobytes() == want


@pytest.mark.parametrize("num_threads", [1, 3])
def test_a_filter_bank_writes_any_out(isa, dtype, rng, num_threads):
    kernels = normals(rng, (5, 3, 3), dtype)
    for x in inputs(rng, (2, 3, 12, 17), dtype).values():
        want = gconv.filter_bank(x, kernels, padding=1)
        for _, out in outputs(want.shape, dtype):
            for _ in range(2):
                out[...] = np.nan
                gconv.filter_bank(x, kernels, padding=1, out=out, num_threads=num_threads)
                assert out.tobytes() == want.tobytes()


def test_out_and_the_batch_choose_no_plan(placed, isa, dtype):
    """The plan is the very same object, whatever the result, the batch and its stride."""
    _, make, xs, *_ = placed
    parameters = make()._parameters
    for x in xs.values():
        plan = plan_of(parameters, x)
        shape = make().out_shape(x.shape)
        for _, out in outputs(shape, dtype):
            assert plan_of(parameters, x, out) is plan
        for images in (x[:1], x[::-1], np.broadcast_to(x[:1], (4, *x.shape[1:])), x[0]):
            assert plan_of(parameters, images) is plan


# ---- what it costs to write into part of a larger array


@pytest.fixture
def results(monkeypatch):
    """The temporary results that the whole way of a call makes."""
    made = []
    new_result = run.new_result
    monkeypatch.setattr(run, "new_result", lambda *args: made.append(args) or new_result(*args))
    return made


def test_channels_of_a_buffer_in_the_order_of_x_take_no_temporary(
    placed, isa, dtype, results, monkeypatch
):
    """Nor the whole way of a call again, once there is a short cut."""
    function, make, xs, weight, bias, options = placed
    calls = []
    for order, names in (("C order", ("C order", "channels", "first channels", "images apart")),
                         ("channels-last", ("channels-last", "channels of channels-last"))):
        x, layer = xs[order], make()
        plan = plan_of(layer._parameters, x)
        shape = layer.out_shape(x.shape)
        if plan.copied or (order == "channels-last" and shape[1] == 1):  # C order first, or taken
            continue
        chosen = [out for name, out in outputs(shape, dtype) if name in names]
        want = layer(x).tobytes()
        assert function(x, weight, bias, **options).tobytes() == want
        results.clear()
        for out in chosen:
            make()(x, out=out)
        assert not results
        calls += [(layer, x, out, want) for out in chosen]
        calls += [
            (lambda x, out: function(x, weight, bias, **options, out=out), x, out, want)
            for out in chosen
        ]
    assert calls
    monkeypatch.setattr(run, "convolve", None)
    for call, x, out, want in calls:
        out[...] = np.nan
        call(x, out=out)
        assert out.tobytes() == want


def test_any_other_out_takes_one_temporary(placed, isa, dtype, results):
    _, make, xs, *_ = placed
    for x in xs.values():
        layer = make()
        for name, out in outputs(layer.out_shape(x.shape), dtype):
            results.clear()
            layer(x, out=out)
            assert len(results) <= 1, name


@pytest.mark.parametrize("order", ["C order", "channels-last"])
def test_memory_of_writing_into_part_of_a_buffer(order):
    """Channels of a buffer: nothing of the size of the result; a crop: one temporary of it."""
    shape = (1, 32, 128, 128)
    x = {"C order": np.zeros(shape, np.float32), "channels-last": channels_last(shape, np.float32)}
    layer = gconv.Conv2d(np.ones((32, 1, 3, 3), np.float32), padding=1, groups=32)
    name = "channels" if order == "C order" else "channels of channels-last"
    out = dict(outputs(shape, np.float32))
    peaks = {}
    for which in (name, "crop"):
        layer(x[order], out=out[which])
        tracemalloc.start()
        try:
            layer(x[order], out=out[which])
            peaks[which] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    size = x[order].nbytes
    assert peaks[name] < size / 20
    assert size < peaks["crop"] < 1.1 * size
