"""Every geometry, layout, precision, number of threads and instruction set gives the right sum."""

import numpy as np
from arrays import LAYOUTS, OUT_LAYOUTS, integers, normals
from geometries import geometries
from hypothesis import event, given
from hypothesis import strategies as st
from kernels import ORDINARY, plans
from reference import reference
from tolerance import assert_right

import gconv
from gconv._call.isa import usable

FUNCTIONS = {1: gconv.conv1d, 2: gconv.conv2d, 3: gconv.conv3d}
LAYERS = {1: gconv.Conv1d, 2: gconv.Conv2d, 3: gconv.Conv3d}

dtypes = st.sampled_from([np.float32, np.float64])
isas = st.sampled_from(usable())
#: None leaves the choice to the plan, as every user does.
kernels = st.none() | st.sampled_from(ORDINARY)
layouts = st.sampled_from(sorted(LAYOUTS))
threads = st.integers(1, 4)
seeds = st.integers(0, 2**32 - 1)


@given(
    geometries(),
    dtypes,
    isas,
    kernels,
    threads,
    seeds,
    st.booleans(),
    st.tuples(layouts, layouts, layouts),
)
def test_whole_numbers_are_summed_exactly_in_any_layout(
    geometry, dtype, isa, kernel, num_threads, seed, has_bias, layout
):
    rng = np.random.default_rng(seed)
    x = LAYOUTS[layout[0]](integers(rng, geometry.x, dtype))
    weight = LAYOUTS[layout[1]](integers(rng, geometry.weight, dtype))
    bias = LAYOUTS[layout[2]](integers(rng, geometry.weight[:1], dtype)) if has_bias else None
    event(f"{geometry.dims} dimensions")
    with plans(isa, kernel):
        got = FUNCTIONS[geometry.dims](x, weight, bias, **geometry.options, num_threads=num_threads)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, reference(x, weight, bias, **geometry.options))


@given(geometries(batch=(1, 2)), dtypes, isas, kernels, threads, seeds)
def test_any_numbers_are_summed_to_within_their_roundings(
    geometry, dtype, isa, kernel, num_threads, seed
):
    rng = np.random.default_rng(seed)
    x, weight = normals(rng, geometry.x, dtype), normals(rng, geometry.weight, dtype)
    bias = normals(rng, geometry.weight[:1], dtype)
    with plans(isa, kernel):
        got = FUNCTIONS[geometry.dims](x, weight, bias, **geometry.options, num_threads=num_threads)
    assert_right(got, x, weight, bias, **geometry.options)


@given(geometries(), dtypes, isas, threads, seeds, st.sampled_from(OUT_LAYOUTS), layouts)
def test_out_is_filled_whatever_its_layout(
    geometry, dtype, isa, num_threads, seed, out_layout, layout
):
    rng = np.random.default_rng(seed)
    x = LAYOUTS[layout](integers(rng, geometry.x, dtype))
    weight = integers(rng, geometry.weight, dtype)
    want = reference(x, weight, **geometry.options)
    out = LAYOUTS[out_layout](np.full(want.shape, np.nan, dtype))
    with plans(isa):
        got = FUNCTIONS[geometry.dims](
            x, weight, **geometry.options, num_threads=num_threads, out=out
        )
    assert got is out
    np.testing.assert_array_equal(out, want)


@given(geometries(batch=(1, 2)), dtypes, isas, seeds)
def test_what_lies_between_the_elements_of_out_is_left_alone(geometry, dtype, isa, seed):
    rng = np.random.default_rng(seed)
    x, weight = integers(rng, geometry.x, dtype), integers(rng, geometry.weight, dtype)
    want = reference(x, weight, **geometry.options)
    steps = tuple(slice(1, None, int(step)) for step in rng.integers(1, 4, want.ndim))
    frame = np.full([n * s.step + 1 for n, s in zip(want.shape, steps, strict=True)], np.pi, dtype)
    between = np.ones(frame.shape, bool)
    between[steps] = False
    with plans(isa):
        FUNCTIONS[geometry.dims](x, weight, **geometry.options, out=frame[steps])
    np.testing.assert_array_equal(frame[steps], want)
    assert (frame[between] == dtype(np.pi)).all()


@given(geometries(), dtypes, isas, threads, seeds, layouts)
def test_a_layer_is_the_function_to_the_bit_and_knows_its_output_shape(
    geometry, dtype, isa, num_threads, seed, layout
):
    rng = np.random.default_rng(seed)
    x = LAYOUTS[layout](normals(rng, geometry.x, dtype))
    weight = normals(rng, geometry.weight, dtype)
    bias = normals(rng, geometry.weight[:1], dtype)
    with plans(isa):
        layer = LAYERS[geometry.dims](weight, bias, **geometry.options)
        want = FUNCTIONS[geometry.dims](x, weight, bias, **geometry.options)
        got = layer(x, num_threads=num_threads)
    np.testing.assert_array_equal(got, want)
    assert layer.out_shape(geometry.x) == want.shape
    assert layer.out_shape(geometry.x[1:]) == want.shape[1:]


@given(geometries(batch=(1,)), dtypes, isas, seeds)
def test_an_unbatched_image_is_a_batch_of_one_without_its_batch(geometry, dtype, isa, seed):
    rng = np.random.default_rng(seed)
    x, weight = normals(rng, geometry.x, dtype), normals(rng, geometry.weight, dtype)
    with plans(isa):
        batched = FUNCTIONS[geometry.dims](x, weight, **geometry.options)
        got = FUNCTIONS[geometry.dims](x[0], weight, **geometry.options)
    assert got.shape == batched.shape[1:]
    np.testing.assert_array_equal(got, batched[0])


@given(geometries(batch=(1, 2)), dtypes, isas, seeds, st.sampled_from(OUT_LAYOUTS))
def test_a_filter_bank_puts_every_kernel_on_every_channel(geometry, dtype, isa, seed, layout):
    rng = np.random.default_rng(seed)
    channels, (count, _, *kernel) = min(5, geometry.x[1]), geometry.weight
    x = integers(rng, (geometry.x[0], channels, *geometry.x[2:]), dtype)
    kernels = integers(rng, (count, *kernel), dtype)
    options = {key: value for key, value in geometry.options.items() if key != "groups"}
    with plans(isa):
        got = gconv.filter_bank(x, kernels, **options)
        unbatched = gconv.filter_bank(x[0], kernels, **options)
        out = LAYOUTS[layout](np.full_like(got, np.nan))
        assert gconv.filter_bank(x, kernels, **options, out=out) is out
    assert got.shape[:3] == (len(x), channels, count)
    for channel in range(channels):
        want = reference(x[:, [channel]], kernels[:, None], **options)
        np.testing.assert_array_equal(got[:, channel], want)
    np.testing.assert_array_equal(unbatched, got[0])
    np.testing.assert_array_equal(out, got)
