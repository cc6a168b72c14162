"""`gconv.onnx.InferenceSession`: every model gives what ONNX says it gives."""

import copy
import multiprocessing
import os
import pickle
import random
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import oracle

onnx = oracle("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.backend.test.case.node import collect_testcases  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402
from onnx_drawn import FLOAT, PIECES, model, node, random_cnn  # noqa: E402

from gconv._bench.zoo import import_timm  # noqa: E402
from gconv.onnx import InferenceSession  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*onnx.reference, which is slow"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # of onnx.reference's own arithmetic
]

# Cases of the onnx package that no runtime can be held to, and why.
LEFT_OUT = {
    "bernoulli": "random numbers",
    "test_scan_sum": "onnx.reference does not run Scan of opset 8",
    "_bf16": "bfloat16 is computed in float32, more exactly than the case",
    "test_gradient_of": "training",
    "type_positive_delta_expanded": "onnx.reference gives what a Loop gathers another axis",
    "type_negative_delta_expanded": "the same",
}


def counts(name):
    """Whether a case is not left out."""
    return not any(part in name for part in LEFT_OUT)


def same(got, wanted):
    """Compare two values: arrays, lists of them, nothing."""
    if wanted is None or got is None:
        assert got is None or wanted is None
        return
    if isinstance(got, list) and not isinstance(wanted, list):
        (got,) = got  # an optional one
    if isinstance(wanted, list):
        assert len(got) == len(wanted)
        for one, other in zip(got, wanted, strict=True):
            same(one, other)
        return
    wanted = np.asarray(wanted)
    assert got.shape == wanted.shape
    if wanted.dtype.kind in "OUS":
        assert got.tolist() == wanted.tolist()
        return
    assert got.dtype == wanted.dtype
    if wanted.dtype.kind != "c":
        got, wanted = got.astype(np.float64), wanted.astype(np.float64)
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-5)


def array_of(value):
    """An input or result of a case as a session takes and gives it."""
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    NODE_CASES = {case.name: case for case in collect_testcases(None)}


@pytest.mark.parametrize("part", LEFT_OUT)
def test_what_is_left_out_is_there(part):
    names = [*NODE_CASES, *(path.parent.name for path in DATA.glob("*/*/model.onnx"))]
    assert any(part in name for name in names)


@pytest.mark.parametrize("name", sorted(filter(counts, NODE_CASES)))
def test_every_node_case_of_onnx_gives_what_onnx_says(name):
    case = NODE_CASES[name]
    session = InferenceSession(case.model.SerializeToString())
    names = [each.name for each in case.model.graph.input]
    for inputs, outputs in case.data_sets:
        feed = dict(zip(names, map(array_of, inputs), strict=False))
        for got, wanted in zip(session.run(None, feed), outputs, strict=True):
            same(got, array_of(wanted))


DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
MODEL_CASES = sorted(
    path for kind in ("pytorch-converted", "pytorch-operator", "simple")
    for path in (DATA / kind).glob("*/model.onnx") if counts(path.parent.name)
)


def read(path, info):
    """An input or output of a case, from its file."""
    kind = info.type.WhichOneof("value")
    proto, convert = {
        "tensor_type": (TensorProto(), numpy_helper.to_array),
        "sequence_type": (onnx.SequenceProto(), numpy_helper.to_list),
        "optional_type": (onnx.OptionalProto(), numpy_helper.to_optional),
    }[kind]
    proto.ParseFromString(path.read_bytes())
    return convert(proto)


@pytest.mark.parametrize("path", MODEL_CASES, ids=lambda path: path.parent.name)
def test_every_model_case_of_onnx_gives_what_onnx_says(path):
    session = InferenceSession(path)
    graph = onnx.load(path).graph
    initializers = {each.name for each in graph.initializer}
    inputs = [each for each in graph.input if each.name not in initializers]
    for folder in sorted(path.parent.glob("test_data_set_*")):
        feed = {
            each.name: read(folder / f"input_{number}.pb", each)
            for number, each in enumerate(inputs) if (folder / f"input_{number}.pb").exists()
        }
        for number, got in enumerate(session.run(None, feed)):
            same(got, read(folder / f"output_{number}.pb", graph.output[number]))


@pytest.mark.parametrize("path", sorted((DATA / "light").glob("*.onnx")), ids=lambda p: p.stem)
def test_light_models_give_what_onnx_says(path):
    """Their weights are made by nodes, and all alike."""
    session = InferenceSession(path)
    graph = onnx.load(path).graph
    (x,) = session.get_inputs()
    shape = [size if isinstance(size, int) else 1 for size in x.shape]
    count = int(np.prod(shape))
    feed = {x.name: (np.arange(count).reshape(shape) / count).astype(np.float32)}
    (got,) = session.run(None, feed)
    same(got, read(path.with_name(f"{path.stem}_output_0.pb"), graph.output[0]))


# ---- graphs that hypothesis draws ---------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(st.sampled_from(sorted(PIECES)), min_size=1, max_size=6),
    seed=st.integers(0, 2**16),
    batch=st.integers(1, 3),
)
def test_drawn_graphs_give_what_the_reference_gives(pieces, seed, batch):
    rng = np.random.default_rng(seed)
    data = random_cnn(rng, pieces)
    x = rng.standard_normal((batch, 4, 6, 5)).astype(np.float32)
    before = x.copy()
    session = InferenceSession(data)
    (got,) = session.run(None, {"x": x})
    (wanted,) = ReferenceEvaluator(data).run(None, {"x": x})
    scale = max(1.0, float(np.abs(wanted).max()))
    # Softmax of squares: ONNX Runtime differs from the reference by up to 1.5e-4 as well.
    np.testing.assert_allclose(got / scale, wanted / scale, rtol=1e-3, atol=2e-6)
    assert np.array_equal(x, before)
    assert not any(row["by"] == "reference" for row in session.explain({"x": x.shape}))


@settings(max_examples=30, deadline=None)
@given(
    pieces=st.lists(st.sampled_from(sorted(PIECES)), min_size=1, max_size=5),
    seed=st.integers(0, 2**16),
)
def test_a_sample_has_the_bits_that_it_has_in_a_batch_and_on_any_number_of_threads(pieces, seed):
    rng = np.random.default_rng(seed)
    data = random_cnn(rng, pieces)
    x = rng.standard_normal((3, 4, 6, 5)).astype(np.float32)
    alone = InferenceSession(data, num_threads=1)
    shared = InferenceSession(data, num_threads=2)
    (whole,) = shared.run(None, {"x": x})
    assert np.array_equal(whole, alone.run(None, {"x": x})[0], equal_nan=True)
    for number in range(3):
        (one,) = alone.run(None, {"x": x[number : number + 1]})
        assert np.array_equal(one[0], whole[number], equal_nan=True)


def test_matrix_products_have_the_bits_of_a_sample_alone(rng):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Transpose", ["h"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["h", "t"], ["y"]),
    ]
    data = model(
        nodes, {"x": (FLOAT, ["N", 7, 40])}, {"h": (FLOAT, None), "y": (FLOAT, None)},
        {"w": rng.standard_normal((40, 33)).astype(np.float32)})
    session = InferenceSession(data)
    x = rng.standard_normal((5, 7, 40)).astype(np.float32)
    together = session.run(None, {"x": x})
    for number in range(5):
        for one, whole in zip(
            session.run(None, {"x": x[number : number + 1]}), together, strict=True
        ):
            assert np.array_equal(one[0], whole[number])
    np.testing.assert_allclose(
        together[1], together[0] @ together[0].swapaxes(1, 2), rtol=1e-4, atol=1e-4)


# ---- memory -------------------------------------------------------------------------------------


def everything(rng):
    """A session whose outputs are an input, a constant, views of others, and one value twice."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Reshape", ["c", "shape"], ["v"]),
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("Transpose", ["c"], ["t"], perm=[0, 2, 3, 1]),
        helper.make_node("Slice", ["c", "zero", "two", "one"], ["s"]),
    ]
    data = model(
        nodes, {"x": (FLOAT, ["N", 3, 5, 6])},
        {**dict.fromkeys(("c", "r", "v", "same", "t", "s"), (FLOAT, None)),
         "w": (FLOAT, [4, 3, 3, 3])},
        {"w": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
         "shape": np.array([0, -1], np.int64), "zero": np.array([0], np.int64),
         "two": np.array([2], np.int64), "one": np.array([1], np.int64)})
    return data, InferenceSession(data)


def test_outputs_are_arrays_of_their_own(rng):
    data, session = everything(rng)
    x = rng.standard_normal((2, 3, 5, 6)).astype(np.float32)
    kept = x.copy()
    first = session.run(["c", "r", "v", "same", "t", "s", "w", "c"], {"x": x})
    for number, one in enumerate(first):
        assert one.flags.writeable
        assert one.flags.c_contiguous
        assert not np.shares_memory(one, x)
        assert not any(np.shares_memory(one, other) for other in first[:number])
    for one, right in zip(first, ReferenceEvaluator(data).run(None, {"x": x}), strict=False):
        np.testing.assert_allclose(one, right, rtol=1e-4, atol=1e-5)
    copies = copy.deepcopy(first)
    for one in session.run(None, {"x": x + 1}):
        one[...] = 7
    for one, right in zip(first, copies, strict=True):
        assert np.array_equal(one, right)
    again = session.run(["w"], {"x": x})[0]
    assert np.array_equal(again, first[6])
    assert np.array_equal(x, kept)


# Nodes that make y of r and are added to r, which nobody reads later: (nodes, shape, constants).
ADDED_TO_THEIR_INPUT = {
    "convolution": ([node("Conv", "r", "w", "m", pads=[1, 1, 1, 1]), node("Add", "m", "r", "y")],
                    (2, 8, 9, 9), {"w": (8, 8, 3, 3)}),
    "pointwise": ([node("Conv", "r", "w", "m"), node("Add", "r", "m", "y")],
                  (1, 64, 14, 14), {"w": (64, 64, 1, 1)}),
    "depthwise": ([node("Conv", "r", "w", "m", pads=[1, 1], group=5), node("Add", "m", "r", "y")],
                  (3, 5, 40), {"w": (5, 1, 3)}),
    "linear": ([node("MatMul", "r", "w", "m"), node("Add", "m", "r", "y")],
               (2, 33, 40), {"w": (40, 40)}),
    "product": ([node("MatMul", "r", "r", "m"), node("Add", "m", "r", "y")], (3, 16, 16), {}),
    "product of a view": ([node("Transpose", "r", "t"), node("MatMul", "r", "t", "m"),
                           node("Add", "m", "r", "y")], (16, 16), {}),
    "layer norm": ([node("LayerNormalization", "r", "r", "r", "y")], (16,), {}),
}


@pytest.mark.parametrize("case", ADDED_TO_THEIR_INPUT)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_residual_that_is_read_elsewhere_too_is_not_written_over(rng, case, threads):
    """y = f(r) + r, where r ends: the result must not lie where f still reads."""
    nodes, shape, weights = ADDED_TO_THEIR_INPUT[case]
    data = model(
        [node("Abs", "x", "r"), *nodes, node("Softmax", "y", "z")],
        {"x": (FLOAT, shape)}, {"z": (FLOAT, None)},
        {name: rng.standard_normal(size).astype(np.float32) * 0.2
         for name, size in weights.items()})
    x = rng.standard_normal(shape).astype(np.float32)
    (z,) = InferenceSession(data, num_threads=threads).run(None, {"x": x})
    (wanted,) = ReferenceEvaluator(data).run(None, {"x": x})
    np.testing.assert_allclose(z, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("features", [3, 5, 8, 17, 33])
def test_a_residual_of_rows_is_not_written_over_before_it_is_read(rng, features):
    """softmax(r) + x @ w of many rows, which kernels compute by blocks of channels and pixels."""
    data = model(
        [node("Softmax", "r", "a"), node("MatMul", "x", "w", "m"), node("Add", "m", "a", "y"),
         node("Softmax", "y", "z")],
        {"x": (FLOAT, (2, 96, 3)), "r": (FLOAT, (2, 96, features))}, {"z": (FLOAT, None)},
        {"w": rng.standard_normal((3, features)).astype(np.float32)})
    feed = {"x": rng.standard_normal((2, 96, 3)).astype(np.float32),
            "r": rng.standard_normal((2, 96, features)).astype(np.float32)}
    (z,) = InferenceSession(data).run(None, feed)
    (wanted,) = ReferenceEvaluator(data).run(None, feed)
    np.testing.assert_allclose(z, wanted, rtol=1e-4, atol=1e-5)


def test_a_subset_of_the_outputs_is_the_same(rng):
    _, session = everything(rng)
    x = rng.standard_normal((1, 3, 5, 6)).astype(np.float32)
    c, r = session.run(["c", "r"], {"x": x})
    assert np.array_equal(session.run(["r"], {"x": x})[0], r)
    assert np.array_equal(r, np.maximum(c, 0))


TURNED = {  # nodes that read "e", whose axes lie in another order in memory
    "output": [],
    "reshape": [node("Reshape", "e", "all", "y")],
    "transpose": [node("Transpose", "e", "y", perm=[0, 3, 1, 2])],
    "convolution": [node("Conv", "e", "kernel", "y", pads=[1] * 4)],
    "product": [node("MatMul", "e", "square", "y")],
    "product of results": [node("Transpose", "e", "t", perm=[0, 1, 3, 2]),
                           node("MatMul", "e", "t", "y")],
    "softmax": [node("Softmax", "e", "y", axis=-1)],
    "softmax of another axis": [node("Softmax", "e", "y", axis=1)],
    "layer norm": [node("LayerNormalization", "e", "scale", "y")],
    "batch norm": [node("BatchNormalization", "e", "five", "five", "five", "five", "y")],
    "sum with another order": [node("Add", "e", "x", "y")],
    "sum with the input of the view": [node("Add", "e", "t0", "y")],
    "broadcast": [node("Mul", "e", "scale", "s"), node("Add", "s", "e", "y")],
    "mean": [node("ReduceMean", "e", "y", axes=[1, 3])],
    "mean of neighbours": [node("ReduceMean", "e", "y", axes=[1])],
    "pool": [node("MaxPool", "e", "y", kernel_shape=[3, 3], pads=[1] * 4)],
    "concat": [node("Concat", "e", "x", "e", "y", axis=1)],
    "slice": [node("Slice", "e", "two", "minus", "last", "y")],
    "split": [node("Relu", "e", "r"), node("Concat", "r", "e", "y", axis=-1)],
    "twice": [node("Sigmoid", "e", "r"), node("Add", "r", "e", "q"), node("Exp", "q", "y")],
    "resize": [node("Resize", "e", "", "factors", "y", mode="linear")],
}


@pytest.mark.parametrize(
    "perm", [(0, 1, 3, 2), (0, 2, 3, 1), (0, 3, 1, 2), (2, 0, 1, 3), (3, 2, 1, 0)])
@pytest.mark.parametrize("reader", TURNED)
@pytest.mark.parametrize("threads", [1, 2])
def test_functions_of_elements_in_any_memory_order(rng, perm, reader, threads):
    """What is computed of a transposed value may lie as that does; every reader gets it right."""
    shape = 2, 5, 6, 7
    inverse = [perm.index(axis) for axis in range(4)]
    before = tuple(shape[axis] for axis in inverse)
    constants = {
        "half": np.float32(0.5), "all": np.int64([-1]), "scale": rng.standard_normal(7),
        "kernel": rng.standard_normal((4, 5, 3, 3)), "square": rng.standard_normal((7, 8)),
        "five": np.arange(1, 6), "two": np.int64([2]), "minus": np.int64([-1]),
        "last": np.int64([2]), "factors": [1, 1, 2, 1.5],
    }
    constants = {name: value if np.asarray(value).dtype == np.int64 and name != "five"
                 else np.asarray(value, np.float32) for name, value in constants.items()}
    nodes = [
        node("Transpose", "w", "t0", perm=perm), node("Mul", "t0", "half", "e"), *TURNED[reader]]
    outputs = {"y" if TURNED[reader] else "e": (FLOAT, None)}
    data = model(nodes, {"w": (FLOAT, before), "x": (FLOAT, shape)}, outputs, constants)
    feeds = {"w": rng.standard_normal(before).astype(np.float32),
             "x": rng.standard_normal(shape).astype(np.float32)}
    wanted = ReferenceEvaluator(onnx.load_from_string(data)).run(None, feeds)
    session = InferenceSession(data, num_threads=threads)
    for _ in range(2):
        for got, want in zip(session.run(None, feeds), wanted, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_sizes_may_alternate(rng):
    data = random_cnn(rng, ["conv_relu", "branches", "squeeze_and_excite"], batch="N")
    proto = onnx.load_from_string(data)
    for axis in (2, 3):
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"size_{axis}"
    session = InferenceSession(proto.SerializeToString())
    reference = ReferenceEvaluator(proto)
    for shape in [(1, 4, 6, 5), (2, 4, 9, 3), (1, 4, 6, 5), (3, 4, 1, 1), (2, 4, 9, 3)] * 2:
        x = rng.standard_normal(shape).astype(np.float32)
        np.testing.assert_allclose(
            session.run(None, {"x": x})[0], reference.run(None, {"x": x})[0], rtol=1e-4, atol=1e-5)


def test_memory_says_what_runs_hold(rng):
    data = random_cnn(rng, ["conv", "residual", "residual", "conv"])
    session = InferenceSession(data)
    small, large = session.memory({"x": (1, 4, 6, 5)}), session.memory({"x": (8, 4, 6, 5)})
    assert 0 < small.arena < large.arena
    assert small.constants == large.constants > 0
    # The block's input, its middle and its result: never more than three at once.
    assert large.arena <= 3 * (8 * 8 * 6 * 5 * 4 + 128)


@pytest.mark.parametrize("groups", [1, 12])
@pytest.mark.parametrize("reader", ["rows", "convolution", "sum", "result", "both"])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_convolution_of_rows_writes_rows_where_its_readers_take_them(
        rng, groups, reader, threads):
    """As in transformers with depthwise layers between matrix products: nothing is transposed."""
    constants = {"w": rng.standard_normal((12, 12 // groups, 3, 3)).astype(np.float32),
                 "v": rng.standard_normal((5, 12, 1, 1)).astype(np.float32),
                 "m": rng.standard_normal((12, 12)).astype(np.float32),
                 "image": np.array([2, 12, 6, 7]), "rows": np.array([2, 12, 42])}
    nodes = [
        helper.make_node("MatMul", ["x", "m"], ["p"]),
        helper.make_node("Transpose", ["p"], ["q"], perm=[0, 2, 1]),
        helper.make_node("Reshape", ["q", "image"], ["i"]),
        helper.make_node("Conv", ["i", "w"], ["c"], pads=[1] * 4, group=groups),
    ]
    if reader in ("rows", "both"):
        nodes += [helper.make_node("Reshape", ["c", "rows"], ["s"]),
                  helper.make_node("Transpose", ["s"], ["t"], perm=[0, 2, 1]),
                  helper.make_node("Tanh", ["t"], ["u"]),
                  helper.make_node("MatMul", ["u", "m"], ["y"])]
    outputs = {"y": (FLOAT, None)}
    if reader == "convolution":
        nodes.append(helper.make_node("Conv", ["c", "v"], ["y"]))
    elif reader == "sum":
        nodes.append(helper.make_node("Mul", ["c", "i"], ["y"]))
    elif reader == "result":
        outputs = {"c": (FLOAT, None)}
    elif reader == "both":
        nodes.append(helper.make_node("Mul", ["c", "i"], ["z"]))
        outputs["z"] = (FLOAT, None)
    data = model(nodes, {"x": (FLOAT, (2, 42, 12))}, outputs, constants)
    x = rng.standard_normal((2, 42, 12)).astype(np.float32)
    session = InferenceSession(data, num_threads=threads)
    wanted = ReferenceEvaluator(data).run(None, {"x": x})
    for _ in range(2):
        for got, want in zip(session.run(None, {"x": x}), wanted, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    steps = [row["runs"] for row in session.explain({"x": x.shape})]
    if reader == "rows":
        assert "transpose" not in steps, steps


# ---- processes and threads ----------------------------------------------------------------------


def test_eight_threads_may_call_one_session(rng):
    data = random_cnn(rng, ["conv_relu", "branches", "shuffle", "squeeze_and_excite"])
    session = InferenceSession(data)
    xs = [rng.standard_normal((1 + number % 3, 4, 6, 5)).astype(np.float32)
          for number in range(64)]
    wanted = [InferenceSession(data).run(None, {"x": x})[0] for x in xs[:8]]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda x: session.run(None, {"x": x})[0], xs))
    for one, right in zip(got, wanted, strict=False):
        assert np.array_equal(one, right)
    for one, x in zip(got, xs, strict=True):
        assert np.array_equal(one, session.run(None, {"x": x})[0])


def test_a_pickled_session_gives_the_same(rng):
    data = random_cnn(rng, ["conv_relu", "residual"])
    session = InferenceSession(data, num_threads=1)
    x = rng.standard_normal((2, 4, 6, 5)).astype(np.float32)
    again = pickle.loads(pickle.dumps(session))
    assert np.array_equal(again.run(None, {"x": x})[0], session.run(None, {"x": x})[0])
    assert again.get_inputs() == session.get_inputs()


def _run_in_child(session, x, connection):
    connection.send(session.run(None, {"x": x})[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_session_works_after_a_fork(rng):
    session = InferenceSession(random_cnn(rng, ["conv_relu", "residual"]))
    x = rng.standard_normal((2, 4, 6, 5)).astype(np.float32)
    (wanted,) = session.run(None, {"x": x})
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_run_in_child, args=(session, x, theirs))
    child.start()
    assert ours.poll(60)
    got = ours.recv()
    child.join(60)
    assert np.array_equal(got, wanted)


# ---- what a session says of itself --------------------------------------------------------------


def test_inputs_and_outputs_are_described_as_in_onnx_runtime(rng):
    session = InferenceSession(random_cnn(rng, ["conv"]))
    (x,) = session.get_inputs()
    (y,) = session.get_outputs()
    assert (x.name, x.type, x.shape) == ("x", "tensor(float)", ["N", 4, 6, 5])
    assert (y.name, y.type) == ("y", "tensor(float)")
    assert session.get_providers() == ["CPUExecutionProvider"]


def test_explain_and_profile_name_every_step(rng):
    session = InferenceSession(random_cnn(rng, ["conv_relu", "squeeze_and_excite"]))
    x = rng.standard_normal((1, 4, 6, 5)).astype(np.float32)
    planned = session.explain({"x": x.shape})
    _, measured = session.run(None, {"x": x}, profile=True)
    assert len(planned) == len(measured) > 3
    for one, other in zip(planned, measured, strict=True):
        assert one["runs"] == other["runs"]
        assert one["shape"] == other["shape"]
        assert one["ms"] is None
        assert other["ms"] >= 0
    assert planned.rows[0]["by"] == "convolution"
    assert planned.rows[0]["made_of"]
    text = str(measured)
    assert len(text.splitlines()) == len(measured) + 2
    assert "GFLOP/s" in text


def test_operators_without_steps_warn_once_and_are_marked(rng):
    data = model([helper.make_node("Det", ["x"], ["y"], name="the_node")],
                 {"x": (FLOAT, ["N", 3, 3])}, {"y": (FLOAT, None)})
    with pytest.warns(UserWarning, match="Det"):
        session = InferenceSession(data)
    x = rng.standard_normal((4, 3, 3)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (y,) = session.run(None, {"x": x})
        (row,) = session.explain({"x": (4, 3, 3)})
    np.testing.assert_allclose(y, np.linalg.det(x), rtol=1e-4)
    assert row["by"] == "reference"
    assert row["made_of"] == ["the_node"]


def test_providers_are_those_of_the_cpu(rng):
    data = random_cnn(rng, ["conv"])
    InferenceSession(data, providers=["CUDAExecutionProvider", ("CPUExecutionProvider", {})])
    with pytest.raises(ValueError, match="CPUExecutionProvider"):
        InferenceSession(data, providers=["CUDAExecutionProvider"])
    with pytest.raises(TypeError, match="providers"):
        InferenceSession(data, providers="CPUExecutionProvider")


# ---- data that shapes depend on, other types ----------------------------------------------------


def test_shapes_that_depend_on_data_run_right(rng):
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("NonZero", ["r"], ["places"]),
        helper.make_node("Transpose", ["places"], ["rows"], perm=[1, 0]),
        helper.make_node("GatherND", ["r", "rows"], ["found"]),
        helper.make_node("Exp", ["found"], ["e"]),
        helper.make_node("ReduceSum", ["e"], ["y"], keepdims=0),
    ]
    data = model(nodes, {"x": (FLOAT, ["N", 5])},
                 {"y": (FLOAT, None), "found": (FLOAT, None)})
    session = InferenceSession(data)
    for size in (3, 1, 4):
        x = rng.standard_normal((size, 5)).astype(np.float32)
        y, found = session.run(None, {"x": x})
        np.testing.assert_allclose(found, x[x > 0], rtol=1e-6)
        np.testing.assert_allclose(y, np.exp(x[x > 0]).sum(), rtol=1e-5)


@pytest.mark.parametrize("opset", [7, 8, 9, 13, 14, 17])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("how", ["constant scale", "given scale", "constant x"])
def test_a_batch_norm_has_the_given_statistics_in_every_opset(rng, opset, dtype, how):
    values = {name: rng.random(4) + 0.5 for name in ("scale", "shift", "mean", "var")}
    values = {name: value.astype(dtype) for name, value in values.items()}
    x = rng.standard_normal((2, 4, 3, 5)).astype(dtype)
    tensor = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    feeds = {"z": x}
    inputs = {"z": (tensor, x.shape)}
    nodes = [helper.make_node("BatchNormalization", ["x", *values], ["n"]),
             helper.make_node("Add", ["n", "z"], ["y"])]
    constants = {**values, "x": x}
    if how != "constant x":
        nodes[0].input[0] = "z"
        del constants["x"]
    if how == "given scale":
        inputs["scale"], feeds["scale"] = (tensor, (4,)), constants.pop("scale")
    data = model(nodes, inputs, {"y": (tensor, None)}, constants, opset=opset)
    (got,) = InferenceSession(data).run(None, feeds)
    scale, shift, mean, var = (value.reshape(4, 1, 1) for value in values.values())
    wanted = (x - mean) / np.sqrt(var + 1e-5) * scale + shift + x
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_a_constant_that_onnx_reference_cannot_compute_is_left_to_steps(rng):
    """The windows of three axes of an image as large as this are beyond its own pool."""
    x = rng.random((1, 3, 7, 5, 16)).astype(np.float32)
    pool = helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[3] * 3, pads=[1] * 6)
    add = helper.make_node("Add", ["p", "z"], ["y"])
    data = model([pool, add], {"z": (FLOAT, x.shape)}, {"y": (FLOAT, None)}, {"x": x})
    alone = model([pool], {"x": (FLOAT, x.shape)}, {"p": (FLOAT, None)})
    z = np.zeros_like(x)
    np.testing.assert_array_equal(
        InferenceSession(data).run(None, {"z": z})[0],
        InferenceSession(alone).run(None, {"x": x})[0])


def test_float64_models_are_computed_in_float64(rng):
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Add", ["r", "x"], ["y"]),
    ]
    data = model(nodes, {"x": (TensorProto.DOUBLE, ["N", 3, 8])},
                 {"y": (TensorProto.DOUBLE, None)},
                 {"w": rng.standard_normal((3, 3, 3)), "b": rng.standard_normal(3)})
    x = rng.standard_normal((2, 3, 8))
    (y,) = InferenceSession(data).run(None, {"x": x})
    (wanted,) = ReferenceEvaluator(data).run(None, {"x": x})
    np.testing.assert_allclose(y, wanted, rtol=1e-12, atol=1e-12)


def test_float16_models_keep_their_types(rng):
    half = TensorProto.FLOAT16
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1]),
        helper.make_node("Softmax", ["c"], ["y"], axis=1),
    ]
    data = model(nodes, {"x": (half, ["N", 3, 8])}, {"y": (half, None)},
                 {"w": rng.standard_normal((4, 3, 3)).astype(np.float16)})
    session = InferenceSession(data)
    assert session.get_inputs()[0].type == "tensor(float16)"
    x = rng.standard_normal((2, 3, 8)).astype(np.float16)
    (y,) = session.run(None, {"x": x})
    assert y.dtype == np.float16
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=2e-3)


def test_initializers_that_are_inputs_are_defaults(rng):
    w = rng.standard_normal((4, 3, 3)).astype(np.float32)
    data = model([helper.make_node("Conv", ["x", "w"], ["y"])],
                 {"x": (FLOAT, ["N", 3, 8]), "w": (FLOAT, [4, 3, 3])}, {"y": (FLOAT, None)},
                 {"w": w})
    session = InferenceSession(data)
    assert [each.name for each in session.get_inputs()] == ["x"]
    assert [each.name for each in session.get_overridable_initializers()] == ["w"]
    x = rng.standard_normal((2, 3, 8)).astype(np.float32)
    (y,) = session.run(None, {"x": x})
    (doubled,) = session.run(None, {"x": x, "w": 2 * w})
    np.testing.assert_allclose(doubled, 2 * y, rtol=1e-4, atol=1e-5)
    assert np.array_equal(session.run(None, {"x": x})[0], y)


# ---- inputs that are refused, and such that are not ---------------------------------------------


def test_any_memory_order_of_an_input_is_right(rng):
    session = InferenceSession(random_cnn(rng, ["conv_relu", "branches"]))
    x = rng.standard_normal((2, 4, 6, 5)).astype(np.float32)
    (wanted,) = session.run(None, {"x": x})
    turned = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    swapped = x.astype(x.dtype.newbyteorder())
    odd = np.frombuffer(b"_" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    read_only = x.copy()
    read_only.flags.writeable = False
    backwards = np.ascontiguousarray(x[:, :, ::-1])[:, :, ::-1]
    for other in (turned, swapped, odd, read_only, backwards, np.array(x, order="F")):
        assert np.array_equal(session.run(None, {"x": other})[0], wanted)


X = np.zeros((2, 4, 6, 5), np.float32)


@pytest.mark.parametrize(
    ("feed", "names", "error", "match"),
    [
        ({}, None, ValueError, "'x' is missing"),
        ({"x": X, "z": X}, None, ValueError, "no input 'z'"),
        ({"x": X[0]}, None, ValueError, r"'x' must be .*\(N, 4, 6, 5\).*\(4, 6, 5\)"),
        ({"x": X[:, :3]}, None, ValueError, "'x' must be .*4, 6, 5.*3, 6, 5"),
        ({"x": X.astype(np.float64)}, None, TypeError, "'x' must be of dtype float32.*float64"),
        ({"x": [["a"]]}, None, TypeError, "'x' must be of dtype float32, got <U1"),
        ({"x": None}, None, TypeError, "'x' must be an array"),
        ({"x": np.ma.masked_array(X)}, None, TypeError, "MaskedArray"),
        ([X], None, TypeError, "dict"),
        ({"x": X}, ["q"], ValueError, "no output 'q'"),
        ({"x": X}, "y", TypeError, "output_names"),
    ],
)
def test_bad_inputs_are_refused_in_words(rng, feed, names, error, match):
    session = InferenceSession(random_cnn(rng, ["conv"]))
    with pytest.raises(error, match=match):
        session.run(names, feed)


def test_an_empty_batch_gives_an_empty_result(rng):
    session = InferenceSession(random_cnn(rng, ["conv_relu", "branches", "tokens"]))
    (y,) = session.run(None, {"x": np.zeros((0, 4, 6, 5), np.float32)})
    assert y.shape == (0, 5, 6, 5)


@pytest.mark.parametrize(("op", "attributes"), [
    ("GlobalAveragePool", {}), ("AveragePool", {"kernel_shape": [2, 2]}), ("LogSoftmax", {}),
    ("InstanceNormalization", {}), ("Mish", {}),
])
def test_results_without_elements_need_no_computation(rng, op, attributes):
    """Batches of none go through operators that the reference fails to compute for them."""
    ones = ["one", "one"] if op == "InstanceNormalization" else []
    data = model(
        [node(op, "x", *ones, "y", **attributes)], {"x": (FLOAT, ("N", 3, 4, 5))},
        {"y": (FLOAT, None)}, {"one": np.ones(3, np.float32)}, opset=18)
    session = InferenceSession(data)
    x = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    (y,) = session.run(None, {"x": x})
    (none,) = session.run(None, {"x": x[:0]})
    assert none.dtype == np.float32
    assert none.shape == (0, *y.shape[1:])


# Nodes whose operands do not fit, which shape inference lets pass: (node, shape of x, constants).
MISFITS = {
    "a reshape to more": (node("Reshape", "r", "s", "y"), (3, 5), {"s": np.array([30, 40])}),
    "a reshape to less": (node("Reshape", "r", "s", "y"), (30, 40), {"s": np.array([3, 5])}),
    "a bias of fewer": (node("Conv", "r", "w", "b", "y"), (1, 3, 5, 5),
                        {"w": np.ones((4, 3, 3, 3), np.float32), "b": np.ones(3, np.float32)}),
    "blocks of channels": (node("DepthToSpace", "r", "y", blocksize=2), (1, 6, 2, 2), {}),
    "blocks of pixels": (node("SpaceToDepth", "r", "y", blocksize=2), (1, 6, 3, 2), {}),
}


@pytest.mark.parametrize("case", MISFITS)
def test_operands_that_do_not_fit_are_refused_before_memory_is_read(case):
    """A model is data from strangers: no view reaches beyond what it is a view of."""
    misfit, shape, constants = MISFITS[case]
    names = [f"d{axis}" for axis in range(len(shape))]
    graph = helper.make_graph(
        [node("Relu", "x", "r"), misfit], "misfit",
        [helper.make_tensor_value_info("x", FLOAT, names)],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()])
    data = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    with pytest.raises(ValueError, match=misfit.op_type):
        InferenceSession(data).run(None, {"x": np.ones(shape, np.float32)})


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(("size", "kernel", "stride", "pad"), [
    (3, 1, 3, 0), (6, 2, 3, 0), (5, 2, 3, 1), (7, 2, 3, 1), (7, 3, 2, 0),
])
def test_windows_that_begin_behind_x_are_left_out(rng, op, size, kernel, stride, pad):
    """With ceil_mode in every opset, whatever shape inference says of the old ones."""
    data = model(
        [node(op, "x", "y", kernel_shape=[kernel], strides=[stride], pads=[pad, pad], ceil_mode=1)],
        {"x": (FLOAT, (1, 2, "n"))}, {"y": (FLOAT, None)}, opset=12 if op == "MaxPool" else 19)
    x = rng.standard_normal((1, 2, size)).astype(np.float32)
    (y,) = InferenceSession(data).run(None, {"x": x})
    begins = [at for at in range(-pad, size, stride)
              if at == -pad or at + kernel - stride < size + pad]
    right = np.stack(
        [getattr(x[..., max(at, 0):at + kernel], "max" if op == "MaxPool" else "mean")(-1)
         for at in begins], -1)
    np.testing.assert_allclose(y, right, rtol=1e-5, atol=1e-6)


def test_num_threads_is_checked(rng):
    with pytest.raises(ValueError, match="num_threads"):
        InferenceSession(random_cnn(rng, ["conv"]), num_threads=0)


def test_damaged_files_are_refused_or_run(rng):
    """Whatever the bytes, there is a session or one of the errors that users expect."""
    data = random_cnn(rng, ["conv_relu", "branches"])
    dice = random.Random(7)
    damaged = [data[: dice.randrange(len(data))] for _ in range(30)]
    for _ in range(120):
        changed = bytearray(data)
        for _ in range(dice.randrange(1, 4)):
            changed[dice.randrange(len(changed))] = dice.randrange(256)
        damaged.append(bytes(changed))
    messages = []
    for each in damaged:
        try:
            session = InferenceSession(each)
            session.run(None, {"x": np.zeros((1, 4, 6, 5), np.float32)})
        except (ValueError, TypeError, FileNotFoundError) as error:
            messages.append(str(error))
    assert len(messages) >= 30
    assert all(messages)


# ---- models of timm -----------------------------------------------------------------------------

TIMM_MODELS = ("resnext50_32x4d", "mobilenetv2_100", "efficientnet_b0", "ghostnet_100",
               "resnet50", "regnety_016")


@pytest.mark.parametrize("name", TIMM_MODELS)
def test_timm_models_give_what_pytorch_gives(name, tmp_path):
    torch = oracle("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        timm = oracle("timm") if find_spec("timm") is None else import_timm()
        torch.manual_seed(1)
        network = timm.create_model(name, pretrained=False).eval()
        x = torch.randn(2, 3, 64, 64)
        path = tmp_path / "model.onnx"
        torch.onnx.export(network, (x,), str(path), dynamo=False, opset_version=17,
                          input_names=["x"], output_names=["y"],
                          dynamic_axes={"x": {0: "N"}, "y": {0: "N"}})
        with torch.no_grad():
            wanted = network.double()(x.double()).numpy()
    session = InferenceSession(path)
    (y,) = session.run(None, {"x": x.numpy()})
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(y / scale, wanted / scale, rtol=0, atol=2e-5)
    assert np.array_equal(session.run(None, {"x": x.numpy()[1:]})[0], y[1:])


# ---- operators that several steps compute -------------------------------------------------------

SLOPES = {"of all": (), "by channel": (5, 1, 1), "by channel, short": (5,), "of pixels": (7, 3)}
COMPOSED = {
    **{op: (node(op, "r", "y"), {}) for op in
       ("Elu", "Selu", "Celu", "Softplus", "Mish", "Softsign", "ReduceL1", "ReduceL2",
        "ReduceSumSquare")},
    "Elu of another slope": (node("Elu", "r", "y", alpha=2.0), {}),
    "Celu of another slope": (node("Celu", "r", "y", alpha=0.5), {}),
    "Selu of other numbers": (node("Selu", "r", "y", alpha=1.2, gamma=0.7), {}),
    "ReduceL2 of channels": (node("ReduceL2", "r", "a", "y", keepdims=0), {"a": np.array([1])}),
    "ReduceL1 of rows": (node("ReduceL1", "r", "a", "y"), {"a": np.array([-1])}),
    **{f"PRelu {name}": (node("PRelu", "r", "s", "y"),
                         {"s": np.random.default_rng(1).standard_normal(shape).astype(np.float32)})
       for name, shape in SLOPES.items()},
}


@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("case", COMPOSED)
def test_composed_operators_give_what_the_reference_gives(rng, case, batch):
    """No reference runs, and their input is not written where somebody else reads it."""
    composed, constants = COMPOSED[case]
    data = model(
        [node("Neg", "x", "r"), composed, node("Identity", "r", "kept")],
        {"x": (FLOAT, ("N", 5, 7, 3))}, {"y": (FLOAT, None), "kept": (FLOAT, None)}, constants,
        opset=18)
    x = (4 * rng.standard_normal((batch, 5, 7, 3))).astype(np.float32)
    x.reshape(-1)[:5] = [0, 100, -100, 1e-6, -1e-6][: x.size]
    session = InferenceSession(data)
    got, kept = session.run(None, {"x": x})
    (wanted, _) = ReferenceEvaluator(data).run(None, {"x": x})
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=2e-6, atol=3e-7 * np.abs(x).max(initial=1))
    assert np.array_equal(kept, -x)
    assert batch == 0 or not any(
        row["by"] == "reference" for row in session.explain({"x": x.shape}))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("shape", [(2, 6, 7, 3), (1, 2, 4), (3, 5, 2, 3, 2)])
def test_local_response_norm_is_over_neighbouring_channels(rng, size, shape):
    """Before and behind, as many as there are; onnx.reference leaves out most channels."""
    data = model([node("LRN", "x", "y", size=size, alpha=0.1, beta=0.6, bias=1.5)],
                 {"x": (FLOAT, shape)}, {"y": (FLOAT, None)})
    x = rng.standard_normal(shape).astype(np.float32)
    session = InferenceSession(data)
    (y,) = session.run(None, {"x": x})
    squares = np.square(x, dtype=np.float64)
    sums = np.stack(
        [squares[:, max(0, c - (size - 1) // 2) : c + size // 2 + 1].sum(1)
         for c in range(shape[1])], 1)
    np.testing.assert_allclose(y, x / (1.5 + 0.1 / size * sums) ** 0.6, rtol=1e-5, atol=1e-6)
    assert not any(row["by"] == "reference" for row in session.explain())


@pytest.mark.parametrize("op", ["Elu", "Selu", "Celu", "Softplus", "Mish"])
@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
def test_functions_of_elements_take_any_number_of_dimensions(op, shape):
    graph = helper.make_graph(
        [helper.make_node(op, ["x"], ["y"])], "one",
        [helper.make_tensor_value_info("x", FLOAT, shape)],
        [helper.make_tensor_value_info("y", FLOAT, shape)])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    x = np.full(shape, -0.75, np.float32)
    (got,) = InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    (wanted,) = ReferenceEvaluator(proto).run(None, {"x": x})
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
