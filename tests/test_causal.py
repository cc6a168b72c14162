"""A causal convolution gives the same bits at once and chunk by chunk, however long the chunks."""

import copy
import gc
import pickle
import warnings

import numpy as np
import pytest
from arrays import LAYOUTS, integers, normals
from hypothesis import given
from hypothesis import strategies as st
from kernels import plan_of
from oracles import oracle
from reference import reference
from tolerance import assert_right

import gconv
from gconv._call.isa import usable, use_isa
from gconv._plan import choose

#: Channels in, channels out, groups, kernel, dilation, length: every kernel family, in the whole
#: signal or in some chunk, and every way to cut input channels into blocks.
CASES = {
    "depthwise": (96, 96, 96, 4, 1, 150),
    "depthwise dilated": (40, 40, 40, 3, 8, 90),
    "multiplier": (12, 36, 12, 5, 2, 70),
    "few per group": (24, 20, 4, 3, 1, 90),
    "dense": (64, 64, 1, 4, 1, 60),
    "dense, blocks of channels": (300, 40, 1, 3, 1, 50),
    "dense dilated": (33, 50, 1, 3, 16, 100),
    "long kernel": (6, 6, 2, 64, 1, 200),
    "long kernel, many channels": (40, 17, 1, 33, 3, 130),
    "pointwise": (32, 48, 1, 1, 1, 40),
    "one channel": (1, 1, 1, 7, 1, 300),
}


def causal(rng, dtype, case, bias=True):
    """Return a layer and a signal with magnitudes far apart: the order of a sum shows."""
    c_in, c_out, groups, kernel, dilation, length = case
    weight = normals(rng, (c_out, c_in // groups, kernel), dtype)
    x = normals(rng, (2, c_in, length), dtype) * np.exp(normals(rng, (2, c_in, length), dtype) * 4)
    bias = normals(rng, (c_out,), dtype) if bias else None
    return gconv.CausalConv1d(weight, bias, dilation=dilation, groups=groups), x


def in_chunks(layer, x, sizes, state=None, **options):
    """Return the outputs of the chunks in one array, and the last state."""
    ys, begin = [], 0
    while begin < x.shape[-1]:
        size = next(sizes)
        y, state = layer.step(x[..., begin : begin + size], state, **options)
        ys.append(y)
        begin += size
    return np.concatenate(ys, axis=-1), state


def always(size):
    while True:
        yield size


def same_bits(got, want):
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    assert got.tobytes() == want.tobytes()


# ---- the sum


@pytest.mark.parametrize("case", CASES)
def test_it_is_a_convolution_padded_at_the_beginning(case, isa, dtype, rng):
    c_in, c_out, groups, kernel, dilation, length = CASES[case]
    weight = normals(rng, (c_out, c_in // groups, kernel), dtype)
    bias = normals(rng, (c_out,), dtype)
    layer = gconv.CausalConv1d(weight, bias, dilation=dilation, groups=groups)
    x = normals(rng, (2, c_in, length), dtype)
    options = {"padding": (((kernel - 1) * dilation, 0),), "dilation": dilation, "groups": groups}
    assert layer(x).shape == layer.out_shape(x.shape) == (2, c_out, length)
    assert_right(layer(x), x, weight, bias, **options)
    same_bits(layer(x[1]), layer(x)[1])


def test_no_output_depends_on_a_later_input(isa, dtype, rng):
    layer, x = causal(rng, dtype, CASES["depthwise dilated"])
    want = layer(x)
    for length in (1, 2, 17, 60):
        changed = x.copy()
        changed[..., length:] = np.nan
        same_bits(layer(changed)[..., :length], want[..., :length])
        same_bits(layer(x[..., :length]), want[..., :length])


# ---- the same bits


@pytest.mark.parametrize("case", CASES)
def test_chunks_of_any_size_give_the_bits_of_the_whole(case, isa, dtype, rng):
    layer, x = causal(rng, dtype, CASES[case])
    want = layer(x)
    length = x.shape[-1]
    for size in (1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 64, length - 1, length):
        got, state = in_chunks(layer, x, always(size))
        same_bits(got, want)
        past = state.shape[-1]
        same_bits(state, np.concatenate([np.zeros_like(x), x], axis=-1)[..., 2 * length - past :])


@given(
    st.tuples(st.integers(1, 12), st.integers(1, 8), st.integers(1, 8)),
    st.integers(1, 9),
    st.integers(1, 6),
    st.integers(1, 90),
    st.lists(st.integers(1, 40), min_size=1),
    st.booleans(),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from(usable()),
    st.integers(0, 2**32 - 1),
)
def test_any_chunks(channels, kernel, dilation, length, sizes, bias, dtype, isa, seed):
    groups, inputs, outputs = channels
    case = (groups * inputs, groups * outputs, groups, kernel, dilation, length)
    with use_isa(isa):
        layer, x = causal(np.random.default_rng(seed), dtype, case, bias)
        want = layer(x)
        turns = (sizes[i % len(sizes)] for i in range(length))
        got, _ = in_chunks(layer, x, turns)
        same_bits(got, want)
        alone, _ = in_chunks(layer, x[1], always(sizes[0]))
        same_bits(alone, want[1])


@pytest.mark.parametrize("case", CASES)
def test_every_kernel_family_adds_in_the_same_order(case, isa, dtype, rng):
    layer, x = causal(rng, dtype, CASES[case])
    want = layer(x)
    for family in ("plain", "width", "channel", "sliding", "short"):
        with choose.use_tile(family):
            again = pickle.loads(pickle.dumps(layer))
            same_bits(again(x), want)
            same_bits(in_chunks(again, x, always(5))[0], want)
            same_bits(in_chunks(again, x, always(35))[0], want)


def test_the_cases_meet_every_kernel_family(dtype, rng):
    """Else the tests above would promise less than they seem to."""
    met = set()
    for case in CASES.values():
        c_in, *_, kernel, dilation, _ = case
        layer, x = causal(rng, dtype, case)
        met.add(layer.explain(x.shape).kernel)
        for size in (1, 16, 64):
            past = (kernel - 1) * dilation
            unpadded = layer._parameters._replace(padding=((0, 0),))
            buffer = np.zeros((1, c_in, past + size), dtype)
            plan = plan_of(unpadded, buffer, channel_major=True, room=True)
            met.add(plan.layout.family.name)
    assert met >= {"width lanes", "channel lanes", "width", "channel", "short"}


@pytest.mark.parametrize("c_out", [3, 9, 21, 40, 100])
def test_one_packing_of_the_weights_serves_every_length(c_out, isa, dtype, rng):
    """A step must not pack them again that a whole signal has packed, and the other way round."""
    layer, x = causal(rng, dtype, (300, c_out, 1, 3, 1, 50))
    packings = []
    with choose.use_tile("channel"):
        for size in (1, 2, 5, 13, 7, 50):
            layer(x[..., :size])
            packings.append(layer._packings.kept[0][1])
            layer.step(x[..., :size], None)
            packings.append(layer._packings.kept[0][1])
    assert all(packed is packings[0] for packed in packings)


def test_any_number_of_threads(isa, dtype, rng):
    layer, x = causal(rng, dtype, (64, 64, 4, 9, 1, 700))
    want = layer(x, num_threads=1)
    for num_threads in (1, 2, 3, 7):
        same_bits(layer(x, num_threads=num_threads), want)
        same_bits(in_chunks(layer, x, always(300), num_threads=num_threads)[0], want)


# ---- zeros, infinities, NaNs


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("what", ["weight", "x", "zeros"])
def test_values_that_are_not_ordinary(case, what, isa, dtype, rng):
    """Weights that are not finite meet the zeros before the signal, and sums of -0 are kept."""
    c_in, c_out, groups, kernel, dilation, length = CASES[case]
    weight = normals(rng, (c_out, c_in // groups, kernel), dtype)
    x = normals(rng, (2, c_in, length), dtype)
    bias = normals(rng, (c_out,), dtype)
    if what == "weight":
        weight[::3, 0, 0], weight[1::3, -1, -1] = np.inf, np.nan
    elif what == "x":
        x[0, 0, 5], x[0, -1, 9], x[1, 0, 7] = np.inf, np.nan, -np.inf
    else:
        x[...], bias[...] = -0.0, -0.0
    layer = gconv.CausalConv1d(weight, bias, dilation=dilation, groups=groups)
    want = layer(x)
    if what == "zeros":
        assert (want == 0).all()
    else:
        assert np.isfinite(want).any() or what == "weight"
        assert not np.isfinite(want).all()
    for size in (1, 3, 16, 20, 45):
        # NaNs are equal, whatever their bits; all other values are the same bits.
        got, _ = in_chunks(layer, x, always(size))
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(np.signbit(got) & ~np.isnan(got),
                                      np.signbit(want) & ~np.isnan(want))


def test_taps_further_apart_than_any_panel_is_wide(isa, dtype, rng):
    dilation = 300_000
    weight, bias = normals(rng, (2, 2, 2), dtype), np.full(2, -0.0, dtype)
    weight[0, 0, 0] = np.inf
    layer = gconv.CausalConv1d(weight, bias, dilation=dilation)
    x = normals(rng, (1, 2, 80), dtype)
    x[0, :, 40:] = -0.0
    assert layer.explain(x.shape).kernel == "plain loop nest"
    want = layer(x)
    assert np.isnan(want[0, 0]).all()  # inf * 0 before the signal
    for size in (1, 30, 79):
        got, state = in_chunks(layer, x, always(size))
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(np.signbit(got[0, 1]), np.signbit(want[0, 1]))
        assert state.shape == (1, 2, dilation)


# ---- states


def test_the_first_state_is_zeros(isa, dtype, rng):
    layer, x = causal(rng, dtype, CASES["few per group"])
    y, state = layer.step(x[..., :5], np.zeros((2, 24, 2), dtype))
    want, want_state = layer.step(x[..., :5], None)
    same_bits(y, want)
    same_bits(state, want_state)
    same_bits(state, x[..., 3:5])


@pytest.mark.parametrize("past", range(0, 40))
@pytest.mark.parametrize("size", [1, 2, 3, 5, 17])
def test_states_of_every_length(past, size, dtype, rng):
    """Copies of short rows overshoot, and only where there is room."""
    layer = gconv.CausalConv1d(integers(rng, (7, 1, past + 1), dtype), groups=7)
    state = integers(rng, (3, 7, past), dtype)
    chunk = integers(rng, (3, 7, size), dtype)
    both = np.concatenate([state, chunk], axis=2)
    y, after = layer.step(chunk, state)
    np.testing.assert_array_equal(y, reference(both, layer.weight, groups=7))
    np.testing.assert_array_equal(after, both[..., size:])
    assert after.shape == (3, 7, past)
    y, after = layer.step(chunk, None)
    np.testing.assert_array_equal(after, np.concatenate([0 * state, chunk], axis=2)[..., size:])


@pytest.mark.parametrize("kernel", [1, 4])
def test_arrays_are_new_and_the_callers_are_left_alone(kernel, dtype, rng):
    layer = gconv.CausalConv1d(normals(rng, (6, 3, kernel), dtype), groups=2)
    chunk, state = normals(rng, (2, 6, 9), dtype), normals(rng, (2, 6, kernel - 1), dtype)
    chunk_before, state_before = chunk.copy(), state.copy()
    results = []
    for _ in range(3):
        y, after = layer.step(chunk, state)
        for array in (y, after):
            assert array.flags.owndata
            assert array.flags.writeable
            assert array.flags.c_contiguous
            others = [chunk, state, layer.weight, *results]
            assert not any(np.shares_memory(array, other) for other in others)
            results.append(array)
    same_bits(chunk, chunk_before)
    same_bits(state, state_before)
    # What a caller does to a result reaches no other.
    want = [array.copy() for array in results[2:]]
    results[0][...] = np.nan
    results[1][...] = np.nan
    for array, kept in zip(results[2:], want, strict=True):
        same_bits(array, kept)


def test_a_step_leaves_no_reference_behind(dtype, rng):
    layer, x = causal(rng, dtype, CASES["depthwise"])
    layer.step(x, None)
    gc.collect()
    before = len(gc.get_objects())
    state = None
    for _ in range(100):
        _, state = layer.step(x[..., :3], state)
    gc.collect()
    assert len(gc.get_objects()) < before + 50


def test_a_state_may_start_several_streams(dtype, rng):
    layer, x = causal(rng, dtype, CASES["dense"])
    _, state = layer.step(x[..., :10], None)
    first = layer.step(x[..., 10:14], state)[0]
    layer.step(x[..., 20:24], state)
    same_bits(layer.step(x[..., 10:14], state)[0], first)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_chunks_and_states_in_any_layout(layout, isa, dtype, rng):
    layer = gconv.CausalConv1d(integers(rng, (6, 2, 4), dtype), groups=3)
    chunk = LAYOUTS[layout](integers(rng, (2, 6, 5), dtype))
    state = LAYOUTS[layout](integers(rng, (2, 6, 3), dtype))
    want = reference(np.concatenate([state, chunk], axis=2), layer.weight, groups=3)
    for _ in range(2):
        y, after = layer.step(chunk, state)
        np.testing.assert_array_equal(y, want)
        np.testing.assert_array_equal(after, chunk[..., 2:])
        assert y.dtype == after.dtype == dtype


def test_one_stream_without_a_batch(isa, dtype, rng):
    layer, x = causal(rng, dtype, CASES["depthwise"])
    y, state = layer.step(x[0, :, :4], None)
    assert (y.shape, state.shape) == ((96, 4), (96, 3))
    want, want_state = layer.step(x[:1, :, :4], None)
    same_bits(y, want[0])
    same_bits(state, want_state[0])


def test_no_streams_at_all(dtype):
    layer = gconv.CausalConv1d(np.ones((4, 1, 3), dtype), groups=4)
    y, state = layer.step(np.ones((0, 4, 5), dtype), None)
    assert (y.shape, state.shape) == ((0, 4, 5), (0, 4, 2))
    y, state = layer.step(np.ones((0, 4, 5), dtype), state)
    assert (y.shape, state.shape) == ((0, 4, 5), (0, 4, 2))


def test_no_input_channels(dtype):
    layer = gconv.CausalConv1d(np.ones((2, 0, 3), dtype), np.array([1, 2], dtype))
    y, state = layer.step(np.ones((1, 0, 4), dtype), None)
    np.testing.assert_array_equal(y, [[[1] * 4, [2] * 4]])
    assert state.shape == (1, 0, 2)


def test_lists_take_the_layers_dtype(dtype):
    layer = gconv.CausalConv1d(np.array([[[1, 10]]], dtype))
    for _ in range(2):
        y, state = layer.step([[1, 2]], [[5]])
        assert y.dtype == state.dtype == dtype
        np.testing.assert_array_equal(y, [[15, 21]])


def test_many_chunk_shapes_are_not_all_remembered(dtype):
    layer = gconv.CausalConv1d(np.ones((1, 1, 2), dtype))
    for length in range(1, 100):
        y, _ = layer.step(np.ones((1, length), dtype), np.ones((1, 1), dtype))
        assert (y == 2).all()
    assert len(layer._steps) == layer._most_steps


# ---- refusals

NAME = r"^CausalConv1d\.step: "


@pytest.fixture
def layer():
    return gconv.CausalConv1d(np.ones((6, 2, 4), np.float32), dilation=2, groups=3)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((6,), ["chunk", "(6,)", "(N, C_in, L)"]),
        ((1, 2, 6, 5), ["chunk", "(1, 2, 6, 5)"]),
        ((2, 5, 3), ["chunk", "6 channels", "got 5", "(2, 5, 3)", "groups=3"]),
        ((2, 6, 0), ["chunk", "at least one sample", "(2, 6, 0)"]),
        ((), ["chunk", "()"]),
    ],
)
def test_chunks_of_the_wrong_shape(layer, shape, words):
    with pytest.raises(ValueError, match=NAME) as caught:
        layer.step(np.zeros(shape, np.float32), None)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    "shape", [(2, 6, 5), (2, 6, 7), (1, 6, 6), (6, 6), (2, 3, 6), (2, 6), (), (2, 6, 6, 1)]
)
def test_states_of_the_wrong_shape(layer, shape):
    chunk = np.zeros((2, 6, 3), np.float32)
    for _ in range(2):  # the second time there is a prepared step
        with pytest.raises(ValueError, match=NAME) as caught:
            layer.step(chunk, np.zeros(shape, np.float32))
        for word in ("state", "(2, 6, 6)", str(shape), "(2, 6, 3)"):
            assert word in str(caught.value)
        layer.step(chunk, None)


def test_dtypes_that_differ(layer):
    chunk, state = np.zeros((6, 3), np.float32), np.zeros((6, 6), np.float32)
    for _ in range(2):
        with pytest.raises(TypeError, match=NAME + "chunk must be float32.* is float64$"):
            layer.step(chunk.astype(np.float64), state)
        with pytest.raises(TypeError, match=NAME + "state must be float32.* is float64$"):
            layer.step(chunk, state.astype(np.float64))
        with pytest.raises(TypeError, match=r"chunk\.astype\(numpy\.float32\)"):
            layer.step(chunk.astype(np.int64), state)
        with pytest.raises(TypeError, match=NAME + "state must not be a MaskedArray"):
            layer.step(chunk, np.ma.masked_array(state))
        with pytest.raises(TypeError, match=NAME + ".*chunk"):
            layer.step(None, state)
        layer.step(chunk, state)


def test_threads_and_arguments(layer):
    chunk = np.zeros((6, 3), np.float32)
    for _ in range(2):
        with pytest.raises(ValueError, match=NAME + "num_threads"):
            layer.step(chunk, None, num_threads=0)
        with pytest.raises(TypeError, match=NAME + "num_threads"):
            layer.step(chunk, None, num_threads=True)
        with pytest.raises(TypeError):
            layer.step(chunk)
        layer.step(chunk, None)


@pytest.mark.parametrize("arguments", [(3, 9, 3), (3, 9), (np.ones((2, 1, 3)), None, 2)])
def test_made_wrongly(arguments):
    with pytest.raises(TypeError, match=r"^CausalConv1d is made from trained weights"):
        gconv.CausalConv1d(*arguments)


@pytest.mark.parametrize("option", ["stride", "padding"])
def test_options_that_it_does_not_have(option):
    with pytest.raises(TypeError, match=option):
        gconv.CausalConv1d(np.ones((2, 1, 3)), **{option: 1})


@pytest.mark.parametrize(
    ("weight", "options", "word"),
    [
        ((4, 2), {}, "weight"),
        ((4, 1, 0), {}, "kernel"),
        ((4, 1, 3), {"groups": 3}, "groups=3"),
        ((4, 1, 3), {"dilation": 0}, "dilation"),
        ((4, 1, 3), {"dilation": (1, 1)}, "dilation"),
    ],
)
def test_weights_and_options_are_checked(weight, options, word):
    with pytest.raises(ValueError, match=r"^CausalConv1d: ") as caught:
        gconv.CausalConv1d(np.ones(weight), **options)
    assert word in str(caught.value)


# ---- a layer like the others


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy,
                                       lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copied_and_pickled(duplicate, dtype, rng):
    layer, x = causal(rng, dtype, CASES["dense dilated"])
    want, want_state = layer.step(x, None)
    again = duplicate(layer)
    assert type(again) is gconv.CausalConv1d
    assert repr(again) == repr(layer)
    same_bits(again(x), want)
    same_bits(again.step(x, None)[1], want_state)


def test_it_reads_like_what_it_was_made_from():
    weight = np.ones((8, 2, 4))
    assert repr(gconv.CausalConv1d(weight)) == "CausalConv1d(2, 8, kernel_size=(4,), bias=False)"
    layer = gconv.CausalConv1d(weight, np.ones(8), dilation=2, groups=4)
    assert repr(layer) == "CausalConv1d(8, 8, kernel_size=(4,), dilation=(2,), groups=4)"


def test_its_attributes_cannot_be_set(layer):
    for name in ("weight", "dilation", "anything"):
        with pytest.raises(AttributeError):
            setattr(layer, name, 1)


def test_out_of_a_whole_signal(layer, rng):
    x = normals(rng, (2, 6, 20), np.float32)
    out = np.empty_like(x)
    assert layer(x, out=out) is out
    same_bits(out, layer(x))
    same_bits(layer(x, out=x), out)  # in place


# ---- the operator of ONNX


def onnx_cases():
    """Yield the float32 cases of the operator CausalConvWithState, if this ONNX has it."""
    loader = oracle("onnx.backend.test.loader")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = loader.load_model_tests(kind="node")
    for case in cases:
        nodes = case.model.graph.node
        if len(nodes) == 1 and nodes[0].op_type == "CausalConvWithState":
            for inputs, outputs in case.data_sets:
                if inputs[0].dtype == np.float32:
                    yield case.name, nodes[0], inputs, outputs


def test_the_cases_of_onnx(isa):
    ran = set()
    for name, node, inputs, (want, want_state) in onnx_cases():
        # An input that is left out has an empty name in the middle, and none at the end.
        given = iter(inputs)
        operands = [next(given) if wanted else None for wanted in node.input]
        x, weight, bias, state = operands + [None] * (4 - len(operands))
        layer = gconv.CausalConv1d(weight, bias, groups=x.shape[1])
        y, state = layer.step(x, state)
        activation = {a.name: a.s for a in node.attribute}.get("activation", b"none")
        if activation in (b"silu", b"swish"):
            y = y / (1 + np.exp(-y))
        np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-6, err_msg=name)
        np.testing.assert_array_equal(state, want_state, err_msg=name)
        ran.add(name)
    if not ran:
        pytest.skip("this version of ONNX has no CausalConvWithState")
    assert "test_causal_conv_with_state_decode_step" in ran
    assert len(ran) >= 6
