"""Transposed convolution is the scatter it stands for, on every instruction set."""

import concurrent.futures
import copy
import itertools
import math
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from arrays import LAYOUTS, OUT_LAYOUTS, integers, normals
from hypothesis import assume, event, given
from hypothesis import strategies as st
from interpreter import printed
from kernels import KERNELS, Kernel, plain, plans
from reference import reference, transposed
from test_properties import dtypes, isas, layouts, seeds, threads
from tolerance import assert_close

import gconv
from gconv._call.isa import machine_of
from gconv._families.transposed import family as transposed_family
from gconv._plan import choose

FUNCTIONS = {1: gconv.conv_transpose1d, 2: gconv.conv_transpose2d, 3: gconv.conv_transpose3d}
LAYERS = {1: gconv.ConvTranspose1d, 2: gconv.ConvTranspose2d, 3: gconv.ConvTranspose3d}
#: None leaves the choice to the plan; others serve the parts, or the whole.
families = st.none() | st.sampled_from(KERNELS)


@dataclass(frozen=True)
class Geometry:
    """The shapes and options of one transposed convolution."""

    x: tuple
    weight: tuple
    options: dict

    @property
    def dims(self):
        return len(self.weight) - 2

    @property
    def out_channels(self):
        return self.weight[1] * self.options["groups"]


#: Largest extents of x per dimension, and of the kernel. The last is the width, along which
#: vectors lie: it passes the longest (16 floats).
_INPUT = {1: (60,), 2: (5, 40), 3: (3, 3, 20)}
_KERNEL = {1: (12,), 2: (5, 6), 3: (3, 3, 4)}


@st.composite
def _extents(draw, most, most_taps):
    """One dimension: (input, kernel, stride, (before, after), output padding, dilation)."""
    size, kernel = draw(st.integers(1, most)), draw(st.integers(1, most_taps))
    # Vectors interleave two, four and eight phases; other strides have a way of their own.
    stride = draw(st.sampled_from([1, 2, 3, 4, 5, 8]))
    dilation = draw(st.just(1) | st.integers(1, 4))
    more = draw(st.just(0) | st.integers(0, max(stride, dilation) - 1))
    out = (size - 1) * stride + dilation * (kernel - 1) + 1 + more
    before = draw(st.integers(0, min(out - 1, dilation * kernel + stride)))
    after = draw(st.just(min(before, out - 1 - before)) | st.integers(0, out - 1 - before))
    return size, kernel, stride, (before, after), more, dilation


@st.composite
def geometries(draw, dims=(1, 2, 3), batch=(0, 1, 2)):
    """Any transposed convolution: few and many channels, phases without taps, crops of any size."""
    dims = draw(st.sampled_from(dims))
    groups, inputs, outputs = draw(
        st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20))
        | st.tuples(st.integers(1, 20), st.just(1), st.just(1))
    )
    extents = [
        draw(_extents(most, most_taps))
        for most, most_taps in zip(_INPUT[dims], _KERNEL[dims], strict=True)
    ]
    size, kernel, stride, padding, output_padding, dilation = zip(*extents, strict=True)
    assume(math.prod(size) * math.prod(kernel) < 4000)  # the reference takes each one by one
    return Geometry(
        x=(draw(st.sampled_from(batch)), groups * inputs, *size),
        weight=(groups * inputs, outputs, *kernel),
        options={
            "stride": stride,
            "padding": padding,
            "output_padding": output_padding,
            "dilation": dilation,
            "groups": groups,
        },
    )


@given(geometries(), dtypes, isas, families, threads, seeds, st.booleans(),
       st.tuples(layouts, layouts, layouts))
def test_whole_numbers_are_summed_exactly_in_any_layout(
    geometry, dtype, isa, family, num_threads, seed, has_bias, layout
):
    rng = np.random.default_rng(seed)
    x = LAYOUTS[layout[0]](integers(rng, geometry.x, dtype))
    weight = LAYOUTS[layout[1]](integers(rng, geometry.weight, dtype))
    bias = LAYOUTS[layout[2]](integers(rng, (geometry.out_channels,), dtype)) if has_bias else None
    event(f"{geometry.dims} dimensions")
    want = transposed(x, weight, bias, **geometry.options)
    with plans(isa, family):
        got = FUNCTIONS[geometry.dims](x, weight, bias, **geometry.options, num_threads=num_threads)
        layer = LAYERS[geometry.dims](weight, bias, **geometry.options)
        by_layer = layer(x, num_threads=num_threads)
        how = layer.explain(x.shape, num_threads)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(by_layer, want)
    assert layer.out_shape(x.shape) == how.y_shape == want.shape


@given(geometries(batch=(1, 2)), dtypes, isas, families, seeds)
def test_any_numbers_are_summed_to_within_their_roundings(geometry, dtype, isa, family, seed):
    rng = np.random.default_rng(seed)
    x, weight = normals(rng, geometry.x, dtype), normals(rng, geometry.weight, dtype)
    bias = normals(rng, (geometry.out_channels,), dtype)
    with plans(isa, family):
        got = FUNCTIONS[geometry.dims](x, weight, bias, **geometry.options)
    want = transposed(x, weight, bias, **geometry.options)
    magnitude = transposed(abs(x), abs(weight), abs(bias), **geometry.options)
    depth = len(weight) // geometry.options["groups"] * math.prod(geometry.weight[2:])
    assert_close(got, want, magnitude, depth)


@given(geometries(batch=(2,)), dtypes, isas, threads, seeds)
def test_same_bits_for_any_threads_batch_and_layer(geometry, dtype, isa, num_threads, seed):
    rng = np.random.default_rng(seed)
    x, weight = normals(rng, geometry.x, dtype), normals(rng, geometry.weight, dtype)
    x = x * np.exp(4 * normals(rng, x.shape, dtype))  # the order of a sum is visible
    function = FUNCTIONS[geometry.dims]
    with plans(isa):
        layer = LAYERS[geometry.dims](weight, **geometry.options)
        batch = function(x, weight, **geometry.options, num_threads=num_threads)
        assert layer(x).tobytes() == batch.tobytes()
        for image, want in zip(x, batch, strict=True):
            alone = function(image, weight, **geometry.options, num_threads=1)
            assert alone.tobytes() == want.tobytes()
            assert layer(image, num_threads=num_threads).tobytes() == want.tobytes()


#: Work for several threads, on every kernel family; x without its batch, weight, options.
LARGE = {
    "dense": ((64, 14, 15), (64, 48, 4, 4), {"stride": 2, "padding": 1}),
    "a panel as large as a function's may be": (
        (512, 8, 8), (512, 20, 4, 4), {"stride": 2, "padding": 1}),
    "grouped": ((32, 32, 33), (32, 8, 8, 8), {"stride": 4, "padding": 2, "groups": 4}),
    "depthwise": ((48, 40, 41), (48, 1, 4, 4), {"stride": 2, "padding": 1, "groups": 48}),
    "one dimension": ((64, 900), (64, 24, 16), {"stride": 8, "padding": 4}),
    "odd": ((24, 30, 31), (24, 5, 5, 3), {"stride": (3, 2), "dilation": (2, 3), "groups": 2}),
    "no padding": ((64, 20, 40), (64, 20, 2, 2), {"stride": 2}),
    "stride 1": ((32, 30, 31), (32, 33, 3, 3), {"padding": 1}),
    "three dimensions": ((8, 9, 20, 21), (8, 6, 3, 3, 3), {"stride": 2, "padding": 1}),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_ones_are_the_plain_loop_nest_with_the_same_bits_for_any_threads(
    name, isa, dtype, rng
):
    x, weight, options = LARGE[name]
    dims = len(x) - 1
    x, weight = integers(rng, (2, *x), dtype), integers(rng, weight, dtype)
    bias = integers(rng, (weight.shape[1] * options.get("groups", 1),), dtype)
    with plain():
        want = FUNCTIONS[dims](x, weight, bias, **options)
    np.testing.assert_array_equal(FUNCTIONS[dims](x, weight, bias, **options), want)
    normal = normals(rng, x.shape, dtype)
    layer = LAYERS[dims](weight, bias, **options)
    wanted = layer(normal, num_threads=1)
    for num_threads in (1, 2, 3, 7):
        got = FUNCTIONS[dims](normal, weight, bias, **options, num_threads=num_threads)
        assert got.tobytes() == wanted.tobytes()
        assert layer(normal, num_threads=num_threads).tobytes() == wanted.tobytes()


@given(geometries(batch=(1, 2)), dtypes, isas, seeds, st.sampled_from(OUT_LAYOUTS))
def test_out_is_filled_whatever_its_layout(geometry, dtype, isa, seed, layout):
    rng = np.random.default_rng(seed)
    x, weight = integers(rng, geometry.x, dtype), integers(rng, geometry.weight, dtype)
    want = transposed(x, weight, **geometry.options)
    out = LAYOUTS[layout](np.full(want.shape, np.nan, dtype))
    with plans(isa):
        assert FUNCTIONS[geometry.dims](x, weight, **geometry.options, out=out) is out
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("which", ["x", "weight", "bias"])
def test_out_may_overlap_the_inputs(which, isa, dtype, rng):
    shapes = {"x": (1, 4, 6, 7), "weight": (4, 3, 3, 3), "bias": (6,)}
    options = {"stride": 2, "padding": 1, "groups": 2}
    arrays = {name: integers(rng, shape, dtype) for name, shape in shapes.items()}
    want = transposed(**arrays, **options)
    room = np.zeros(want.size + 10, dtype)
    shared = room[5 : 5 + arrays[which].size].reshape(shapes[which])
    shared[...] = arrays[which]
    out = room[: want.size].reshape(want.shape)
    gconv.conv_transpose2d(**(arrays | {which: shared}), **options, out=out)
    np.testing.assert_array_equal(out, want)


def test_channels_last_stays_channels_last(dtype, rng):
    x, weight = integers(rng, (2, 6, 7, 9), dtype), integers(rng, (6, 4, 4, 4), dtype)
    got = gconv.conv_transpose2d(LAYOUTS["channels last"](x), weight, stride=2, padding=1)
    np.testing.assert_array_equal(got, transposed(x, weight, stride=2, padding=1))
    assert np.moveaxis(got, 1, -1).flags.c_contiguous


@given(geometries(batch=(1,)), seeds)
def test_it_is_the_adjoint_of_the_convolution(geometry, seed):
    """<y, T x> = <C y, x>, whatever x and y."""
    options = geometry.options
    rng = np.random.default_rng(seed)
    x, weight = integers(rng, geometry.x, float), integers(rng, geometry.weight, float)
    out = FUNCTIONS[geometry.dims](x, weight, **options)
    y = integers(rng, out.shape, float)
    common = {name: options[name] for name in ("stride", "padding", "dilation", "groups")}
    back = reference(y, weight, **common)
    # Output padding may leave room for one more position of the kernel, of no x.
    back = back[(..., *(slice(n) for n in x.shape[2:]))]
    assert (out * y).sum() == (back * x[(..., *(slice(n) for n in back.shape[2:]))]).sum()


EXTREMES = {
    "one tap, far apart": ((1, 2, 3), (2, 3, 1), {"stride": 100}),
    "phases without taps": ((1, 2, 30), (2, 3, 2), {"stride": 5, "padding": 1}),
    "no output has a tap": ((1, 2, 2), (2, 3, 1), {"stride": 4, "padding": ((1, 1),)}),
    "a dilation that shares a factor": ((1, 2, 30), (2, 3, 4), {"stride": 6, "dilation": 4}),
    "a dilation of the stride": ((1, 2, 30), (2, 3, 4), {"stride": 3, "dilation": 3}),
    "one row, a stride beyond everything": ((1, 2, 1, 20), (2, 3, 2, 2), {"stride": (10**30, 2)}),
    "one tap, a dilation beyond everything": ((1, 2, 20), (2, 3, 1), {"dilation": 10**30}),
    "cropped to one": ((1, 2, 20), (2, 3, 4), {"stride": 2, "padding": ((20, 21),)}),
    "cropped beyond the kernel": ((1, 2, 40), (2, 3, 4), {"stride": 2, "padding": 12}),
    "rows that few channels fit a panel of": (
        (1, 4, 5, 200), (4, 1, 2, 4),
        {"stride": 2, "dilation": (201, 1), "padding": ((0, 0), (1, 1))}
    ),
    "planes that few channels fit a panel of": (
        (1, 4, 3, 4, 150), (4, 2, 3, 4, 4),
        {"stride": (3, 2, 2), "dilation": (100, 1, 1), "padding": ((0, 0), (1, 1), (1, 1))}
    ),
    "a long stride": ((1, 1, 40), (1, 2, 300), {"stride": 150, "padding": 7}),
    "no pixels": ((1, 2, 0), (2, 3, 4), {}),
    "no pixels, batched": ((2, 4, 0, 5), (4, 3, 4, 2), {"groups": 2, "stride": (1, 2)}),
}


@pytest.mark.parametrize("family", [None, *KERNELS], ids=str)
@pytest.mark.parametrize("name", EXTREMES)
def test_extremes(name, family, isa, dtype, rng):
    x, weight, options = EXTREMES[name]
    dims = len(x) - 2
    x, weight = integers(rng, x, dtype), integers(rng, weight, dtype)
    bias = integers(rng, (weight.shape[1] * options.get("groups", 1),), dtype)
    # Strides of one position and dilations of one tap step nowhere.
    small = {
        name: tuple(min(n, 1000) for n in value) if isinstance(value, tuple) else min(value, 1000)
        for name, value in options.items()
        if name in ("stride", "dilation")
    }
    want = transposed(x, weight, bias, **options | small)
    with plans(isa, family):
        np.testing.assert_array_equal(FUNCTIONS[dims](x, weight, bias, **options), want)
        layer = LAYERS[dims](weight, bias, **options)
        np.testing.assert_array_equal(layer(x), want)
        np.testing.assert_array_equal(layer(x), want)


@pytest.mark.parametrize("family", [None, Kernel("plain")], ids=str)
def test_thousands_of_phases_are_planned_as_their_few_kinds(family, isa, dtype, rng, monkeypatch):
    """1,000 phases: some have two taps, others one; with crops, some begin an input later."""
    made = []
    written = transposed_family.written
    monkeypatch.setattr(
        transposed_family, "written", lambda *args: made.append(1) or written(*args))
    x, weight = integers(rng, (1, 2, 30), dtype), integers(rng, (2, 3, 1300), dtype)
    options = {"stride": 1000, "padding": 210}
    want = transposed(x, weight, **options)
    with plans(isa, family):
        np.testing.assert_array_equal(gconv.conv_transpose1d(x, weight, **options), want)
        np.testing.assert_array_equal(gconv.ConvTranspose1d(weight, **options)(x), want)
    assert 0 < len(made) < 40


#: Rows of parts that end early, bands of rows, strides with and without interleaving in vectors.
STORED = {
    "phases of unequal rows": ((6, 23, 37), (6, 2, 4, 4), {
        "stride": (3, 2), "padding": ((4, 4), (1, 1))}),
    "cropped rows": ((4, 40, 40), (4, 1, 8, 8), {"stride": 4, "padding": 7, "groups": 4}),
    "a column stride of three": ((8, 19, 40), (8, 6, 3, 5), {"stride": 3, "dilation": (2, 1)}),
    "phases without taps": ((8, 17, 33), (8, 5, 2, 2), {"stride": (3, 4), "dilation": (1, 2)}),
    "planes": ((4, 5, 9, 20), (4, 3, 3, 2, 4), {
        "stride": (2, 3, 2), "padding": ((1, 1), (1, 1), (3, 3))}),
}


@pytest.mark.parametrize("with_residual", [False, True])
@pytest.mark.parametrize("name", STORED)
def test_rows_of_all_parts_are_stored_with_residual_and_activation(
    name, with_residual, isa, dtype, rng
):
    x, weight, options = STORED[name]
    dims = len(x) - 1
    x, weight = integers(rng, (2, *x), dtype), integers(rng, weight, dtype)
    bias = integers(rng, (weight.shape[1] * options.get("groups", 1),), dtype)
    want = transposed(x, weight, bias, **options)
    residual = integers(rng, want.shape, dtype) if with_residual else None
    want = np.maximum(want if residual is None else want + residual, 0)
    more = {"activation": "relu"}
    with plans(isa, None):
        got = FUNCTIONS[dims](x, weight, bias, **options, **more, residual=residual)
        np.testing.assert_array_equal(got, want)
        layer = LAYERS[dims](weight, bias, **options, **more)
        np.testing.assert_array_equal(layer(x, residual=residual), want)


def test_groups_are_transposed_convolutions_side_by_side(isa, dtype, rng):
    x, weight = normals(rng, (2, 6, 9, 10), dtype), normals(rng, (6, 4, 3, 3), dtype)
    got = gconv.conv_transpose2d(x, weight, None, 2, 1, 1, 3)
    parts = [
        gconv.conv_transpose2d(x[:, c : c + 2], weight[c : c + 2], None, 2, 1, 1)
        for c in (0, 2, 4)
    ]
    np.testing.assert_allclose(got, np.concatenate(parts, 1), rtol=1e-4, atol=1e-5)


def test_memory_is_bounded_by_scratch():
    """A temporary for each phase, or x with zeros inserted, would take 16 MiB and more."""
    program = (
        "import os, numpy as np, gconv\n"
        "x, w = np.ones((1, 16, 512, 512), 'f'), np.ones((16, 1, 4, 4), 'f')\n"
        "out = np.ones((1, 16, 1024, 1024), 'f')\n"
        "gconv.conv_transpose2d(x[:, :, :99], w, None, 2, 1, 0, 16, num_threads=2)\n"
        "def memory(key):\n"
        "    lines = open('/proc/self/status').read().splitlines()\n"
        "    return int(next(line for line in lines if line.startswith(key)).split()[1])\n"
        "open('/proc/self/clear_refs', 'w').write('5')\n"
        "before = memory('VmRSS')\n"
        "gconv.conv_transpose2d(x, w, None, 2, 1, 0, 16, out=out, num_threads=2)\n"
        "print(memory('VmHWM') - before)\n"
    )
    assert int(printed("-c", program)) <= 2 * 512 + 1024


@given(geometries(batch=(1,)), isas, dtypes)
def test_scratch_is_bounded(geometry, isa, dtype):
    layer = LAYERS[geometry.dims](np.ones(geometry.weight, dtype), **geometry.options)
    with plans(isa):
        assert layer.explain(geometry.x, 1).scratch_bytes <= 512 * 1024


# ---- layers


@pytest.fixture
def layer(dtype, rng):
    """A layer with every option set."""
    return gconv.ConvTranspose2d(
        normals(rng, (6, 4, 3, 4), dtype), normals(rng, (12,), dtype), stride=(2, 3),
        padding=((1, 0), (2, 1)), output_padding=(1, 0), dilation=(1, 2), groups=3,
    )


def test_a_layer_goes_wherever_it_is_taken(layer, isa, rng):
    x = normals(rng, (2, 6, 9, 20), layer.weight.dtype)
    want = layer(x).tobytes()
    for again in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert type(again) is gconv.ConvTranspose2d
        assert again(x).tobytes() == want
        assert repr(again) == repr(layer)


def test_a_layer_reads_like_pytorchs(layer):
    text = repr(layer)
    assert text.startswith("ConvTranspose2d(6, 12, kernel_size=(3, 4), stride=(2, 3), padding=")
    assert "output_padding=(1, 0), dilation=(1, 2), groups=3" in text
    assert "bias" not in text
    short = repr(gconv.ConvTranspose1d(np.ones((2, 3, 4))))
    assert short == "ConvTranspose1d(2, 3, kernel_size=(4,), stride=(1,), bias=False)"


def test_a_layer_packs_once_for_all_sizes(isa, rng):
    x = normals(rng, (1, 64, 20, 21), np.float32)
    layer = gconv.ConvTranspose2d(normals(rng, (64, 32, 4, 4), np.float32), stride=2, padding=1)
    want = layer(x).tobytes()
    (packed,) = layer._packings.kept
    layer(x[:, :, :19])
    assert layer(x).tobytes() == want
    assert layer._packings.kept == (packed,)


def test_a_call_like_the_last_makes_no_geometry(layer, monkeypatch):
    x = np.ones((1, 6, 9, 20), layer.weight.dtype)
    want = layer(x)
    function_options = layer._settings
    function_want = gconv.conv_transpose2d(x, layer.weight, layer.bias, **function_options)
    monkeypatch.setattr(choose, "plan_for", None)
    monkeypatch.setattr(gconv._call.geometry.Parameters, "applied_to", None)
    assert layer(x).tobytes() == want.tobytes()
    again = gconv.conv_transpose2d(x, layer.weight, layer.bias, **function_options)
    assert again.tobytes() == function_want.tobytes() == want.tobytes()


def test_layers_are_shared_by_threads(isa, rng):
    """Their images differ in size, so that they keep replacing what the layer keeps."""
    layer = gconv.ConvTranspose2d(
        normals(rng, (16, 6, 4, 4), np.float32), stride=2, padding=1, groups=4
    )
    images = [normals(rng, (1, 16, 20 + i % 3, 9 + i), np.float32) for i in range(6)]
    wants = [layer(x, num_threads=1).tobytes() for x in images]

    def use(first):
        for i in range(30):
            which = (first + i) % len(images)
            assert layer(images[which]).tobytes() == wants[which]

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for future in [pool.submit(use, first) for first in range(6)]:
            future.result()


def test_its_options_and_arrays_do_not_change(layer):
    for name in ("weight", "output_padding", "anything"):
        with pytest.raises(AttributeError):
            setattr(layer, name, 1)
    with pytest.raises(ValueError, match="read-only"):
        layer.weight[...] = 0


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_sizes_are_not_weights(dims):
    with pytest.raises(TypeError, match=rf"ConvTranspose{dims}d.*weights.*output_padding=0.*C_in"):
        LAYERS[dims](3, 9, 3)


# ---- explain


@given(geometries())
def test_flops_are_the_products_counted_one_by_one(geometry):
    how = LAYERS[geometry.dims](np.ones(geometry.weight), **geometry.options).explain(geometry.x)
    options = geometry.options
    hits = [
        sum(
            0 <= i * s + k * d - before < out
            for i, k in itertools.product(range(n), range(kernel))
        )
        for n, kernel, s, d, (before, _), out in zip(
            geometry.x[2:], geometry.weight[2:], options["stride"], options["dilation"],
            options["padding"], how.y_shape[2:], strict=True,
        )
    ]
    pairs = 2 * geometry.x[0] * geometry.weight[0] * geometry.weight[1]
    assert how.flops == pairs * math.prod(geometry.x[2:]) * math.prod(geometry.weight[2:])
    assert how.flops_inside == pairs * math.prod(hits)
    assert how.balance >= 1


def test_explain_says_what_is_kept(isa, dtype):
    layer = gconv.ConvTranspose2d(np.ones((64, 40, 4, 4), dtype), stride=2, padding=1)
    how = layer.explain((1, 64, 14, 15), 2)
    assert layer._packings.nbytes == 0
    layer(np.ones((1, 64, 14, 15), dtype))
    assert how.packed_weight_bytes == layer._packings.nbytes
    assert "output channels of 40" in str(how).replace("channel of", "channels of")
    assert how.y_shape == (1, 40, 28, 30)


@pytest.mark.parametrize("channels", [1, 3])
def test_explain_says_that_tiles_compute_whole_rows(channels, isa, dtype):
    layer = gconv.ConvTranspose2d(
        np.ones((4 * channels, 1, 4, 4), dtype), stride=2, padding=1, groups=4
    )
    has_tiles = machine_of(isa, np.dtype(dtype)).tiles["upsampling"]["upsampling"]
    how = layer.explain((1, 4 * channels, 40, 40))
    assert ("column phases" in str(how)) == bool(has_tiles)
    if has_tiles:
        assert (how.tile_rows, how.tile_vectors) == (2, has_tiles[2, 2])


# ---- refusals


def f32(*shape):
    return np.ones(shape, np.float32)


X, W = (2, 6, 8, 9), (6, 4, 3, 3)  # right together
INT, VALUE = TypeError, ValueError

#: error, what the message names, x, weight, options
REFUSED = {
    "x too flat": (VALUE, ["(8, 9)", "4 dimensions"], (8, 9), W, {}),
    "x too deep": (VALUE, ["(1, 2, 6, 8, 9)"], (1, *X), W, {}),
    "weight too flat": (VALUE, ["(6, 4, 3)", "C_in, C_out/groups"], X, (6, 4, 3), {}),
    "groups zero": (VALUE, ["groups", "0"], X, W, {"groups": 0}),
    "groups a float": (INT, ["groups", "2.0"], X, W, {"groups": 2.0}),
    "groups a bool": (INT, ["groups", "True"], X, W, {"groups": True}),
    "groups of the weight": (VALUE, ["groups=4", "in_channels=6"], X, W, {"groups": 4}),
    "groups of x": (VALUE, ["groups=3", "in_channels=8"], (2, 8, 8, 9), W, {"groups": 3}),
    "other channels": (
        VALUE, ["groups=2", "(6, 4, 3, 3)", "6 input", "8"], (2, 8, 8, 9), W, {"groups": 2}),
    "no input channels": (VALUE, ["(0, 4, 3, 3)", "input"], (2, 0, 8, 9), (0, 4, 3, 3), {}),
    "no output channels": (VALUE, ["(6, 0, 3, 3)", "output"], X, (6, 0, 3, 3), {}),
    "no taps": (VALUE, ["kernel", "(3, 0)"], X, (6, 4, 3, 0), {}),
    "bias of one group": (VALUE, ["bias", "(8,)", "(4,)"], X, W, {"groups": 2, "bias": f32(4)}),
    "bias 2-D": (VALUE, ["bias", "(4,)", "(4, 1)"], X, W, {"bias": f32(4, 1)}),
    "stride zero": (VALUE, ["stride", "0"], X, W, {"stride": 0}),
    "stride of three": (VALUE, ["stride", "(1, 1, 1)"], X, W, {"stride": (1, 1, 1)}),
    "stride a float": (INT, ["stride", "2.0"], X, W, {"stride": 2.0}),
    "dilation zero": (VALUE, ["dilation", "0"], X, W, {"dilation": (1, 0)}),
    "padding negative": (VALUE, ["padding", "-1"], X, W, {"padding": -1}),
    "padding negative on a side": (
        VALUE, ["padding", "-1"], X, W, {"padding": ((0, -1), (0, 0))}),
    "padding a name": (VALUE, ["padding", "'same'"], X, W, {"padding": "same"}),
    "padding valid": (VALUE, ["padding", "'valid'"], X, W, {"padding": "valid"}),
    "padding None": (INT, ["padding", "None"], X, W, {"padding": None}),
    "output padding of the stride": (
        VALUE, ["output_padding", "2", "stride", "dilation"], X, W,
        {"stride": 2, "output_padding": 2}),
    "output padding of one dimension": (
        VALUE, ["output_padding=(1, 3)", "stride=(2, 3)"], X, W,
        {"stride": (2, 3), "output_padding": (1, 3)}),
    "output padding without a stride": (
        VALUE, ["output_padding", "1"], X, W, {"output_padding": 1}),
    "output padding negative": (VALUE, ["output_padding", "-1"], X, W, {"output_padding": -1}),
    "output padding a float": (INT, ["output_padding", "0.0"], X, W, {"output_padding": 0.0}),
    "output padding of three": (
        VALUE, ["output_padding", "(0, 0, 0)"], X, W, {"output_padding": (0, 0, 0)}),
    "nothing left": (VALUE, ["padding", "((5, 5), (0, 0))", "0", "11"], X, W,
                     {"padding": ((5, 5), (0, 0))}),
    "less than nothing left": (VALUE, ["padding", "-9"], X, W, {"padding": 10}),
    "no pixels": (VALUE, ["(0, 9)"], (2, 6, 0, 9), W, {"stride": 4}),
    "an empty batch": (VALUE, ["padding", "-9"], (0, 6, 8, 9), W, {"padding": 10}),
}


@pytest.mark.parametrize(
    ("error", "words", "x", "weight", "options"), REFUSED.values(), ids=REFUSED
)
def test_refused(error, words, x, weight, options):
    out = np.full((2, 4, 10, 11), np.pi, np.float32)
    with pytest.raises(error) as of_function:
        gconv.conv_transpose2d(f32(*x), f32(*weight), **options, out=out)
    with pytest.raises(error) as of_layer:
        gconv.ConvTranspose2d(f32(*weight), **options)(f32(*x), out=out)
    for caught, name in ((of_function, "conv_transpose2d"), (of_layer, "ConvTranspose2d")):
        message = str(caught.value)
        assert message.startswith(f"{name}: ")
        for word in words:
            assert word in message
    assert (out == np.float32(np.pi)).all()


def test_output_padding_may_reach_the_dilation(rng):
    x, weight = integers(rng, (1, 2, 5), float), integers(rng, (2, 3, 2), float)
    options = {"stride": 2, "dilation": 3, "output_padding": 2}
    got = gconv.conv_transpose1d(x, weight, **options)
    np.testing.assert_array_equal(got, transposed(x, weight, **options))


def test_there_are_no_padding_modes():
    with pytest.raises(TypeError, match="padding_mode"):
        gconv.conv_transpose1d(f32(1, 1, 5), f32(1, 1, 3), padding_mode="zeros")


@pytest.mark.parametrize("options", [
    {"stride": 2**62}, {"dilation": 2**62}, {"stride": 10**30}, {"stride": 2**61, "padding": 2**61},
])
def test_sizes_that_overflow(options):
    for call in (
        lambda: gconv.conv_transpose1d(f32(1, 1, 2), f32(1, 1, 2), **options),
        lambda: gconv.ConvTranspose1d(f32(1, 1, 2), **options)(f32(1, 1, 2)),
    ):
        with pytest.raises((ValueError, MemoryError), match=r"^[Cc]onv_?[Tt]ranspose1d: .*\d{10}"):
            call()


def test_precisions_do_not_mix():
    with pytest.raises(TypeError, match="float64"):
        gconv.conv_transpose1d(f32(1, 1, 5), np.ones((1, 1, 3)))
