"""Models and inputs that are wrong: one error that names the node, at load or in the first run."""

import random
import warnings

import numpy as np
import pytest
from oracles import oracle

onnx = oracle("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.backend.test.case.node import collect_testcases  # noqa: E402
from onnx_drawn import FLOAT, PIECES, model, node, random_cnn  # noqa: E402
from onnx_mutated import drawn_feed, mutated  # noqa: E402

from gconv.onnx import InferenceSession  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*onnx.reference, which is slow"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # of onnx.reference's own arithmetic
]


def unchecked(nodes, shapes, constants=(), opset=17, outputs=("y",)):
    """The bytes of a model that nobody has looked at; None is an unknown rank."""
    graph = helper.make_graph(
        nodes, "unchecked",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name)
         for name, array in dict(constants).items()])
    proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return proto.SerializeToString()


def refused(data, shape, match):
    """The session refuses, at load or in its first run, in these words."""
    with pytest.raises(ValueError, match=match):
        InferenceSession(data).run(None, {"x": np.ones(shape, np.float32)})


# ---- attributes ---------------------------------------------------------------------------------

WEIGHT = np.ones((4, 4, 3, 3), np.float32)
WINDOWED = {
    "Conv": (("x", "w", "y"), {}),
    "ConvTranspose": (("x", "w", "y"), {}),
    "MaxPool": (("x", "y"), {"kernel_shape": [3, 3]}),
    "AveragePool": (("x", "y"), {"kernel_shape": [3, 3]}),
    "LpPool": (("x", "y"), {"kernel_shape": [3, 3]}),
}
WRONG = [
    ("pads", [0, 0, 0]), ("pads", [0] * 5), ("pads", [-1, 0, 0, 0]), ("strides", [1]),
    ("strides", [0, 1]), ("strides", [-1, 1]), ("strides", [1, 1, 1]), ("kernel_shape", [3]),
    ("kernel_shape", [0, 3]), ("kernel_shape", [-3, 3]), ("dilations", [1]), ("dilations", [0, 1]),
    ("auto_pad", "SAME"),
]
OF_TRANSPOSED = [
    ("output_padding", [1]), ("output_padding", [-1, 0]), ("output_shape", [5]), ("group", 0),
    ("group", -1), ("group", 3),
]


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (1, 4, "h", "w"), None], ids=str)
@pytest.mark.parametrize(("op", "key", "value"), [
    *((op, *wrong) for op in WINDOWED for wrong in WRONG
      if (op, wrong[0]) not in (("AveragePool", "dilations"), ("LpPool", "dilations"))),
    *(("ConvTranspose", *wrong) for wrong in OF_TRANSPOSED),
    ("Conv", "group", 0), ("Conv", "group", 3), ("LpPool", "p", 0),
])
def test_wrong_attributes_of_windows_are_refused_by_name(op, key, value, shape):
    """Lists of the wrong length, numbers that no window has, words that are none."""
    names, attributes = WINDOWED[op]
    wrong = helper.make_node(
        op, names[:-1], names[-1:], "the_node", **{**attributes, key: value})
    constants = {"w": WEIGHT} if "w" in names else {}
    for data in (
        unchecked([wrong], {"x": shape}, constants),
        *([unchecked([wrong], {"x": shape, "w": None})] if constants else ()),
    ):
        with pytest.raises(ValueError, match=rf"'the_node' \({op} of opset 17\).*{key}"):
            InferenceSession(data).run(
                None, {"x": np.ones((1, 4, 8, 8), np.float32),
                       **({"w": WEIGHT} if len(InferenceSession(data).get_inputs()) > 1 else {})})


@pytest.mark.parametrize("op", WINDOWED)
def test_empty_lists_are_left_out_ones(op):
    """As ONNX Runtime has it."""
    names, attributes = WINDOWED[op]
    constants = {"w": WEIGHT} if "w" in names else {}
    one, other = (helper.make_node(op, names[:-1], names[-1:], **attributes) for _ in range(2))
    for key in ("strides", "pads", "dilations"):
        if op not in ("AveragePool", "LpPool") or key != "dilations":
            other.attribute.add(name=key, type=onnx.AttributeProto.INTS)
    plain, empty = (
        InferenceSession(unchecked([each], {"x": None}, constants)) for each in (one, other))
    x = np.random.default_rng(0).standard_normal((1, 4, 8, 8)).astype(np.float32)
    assert np.array_equal(plain.run(None, {"x": x})[0], empty.run(None, {"x": x})[0])


# Of other operators: (node, shape of x, constants, opset, what the message says).
OTHERS = {
    "axis of softmax": (node("Softmax", "x", "y", axis=4), (2, 3), {}, 17, "axis"),
    "axes of a mean": (node("ReduceMean", "x", "y", axes=[3]), (2, 3), {}, 17, "axis"),
    "order of axes": (node("Transpose", "x", "y", perm=[0]), (2, 3), {}, 17, "perm"),
    "order with one twice": (node("Transpose", "x", "y", perm=[1, 1]), (2, 3), {}, 17, "perm"),
    "axis of a layer norm": (node("LayerNormalization", "x", "s", "y", axis=3), (2, 3),
                             {"s": np.ones(3, np.float32)}, 17, "axis"),
    "scale of a layer norm": (node("LayerNormalization", "x", "s", "y"), (2, 3),
                              {"s": np.ones(2, np.float32)}, 17, "scale"),
    "scale by channel": (node("InstanceNormalization", "x", "s", "s", "y"), (2, 3, 4),
                         {"s": np.ones(2, np.float32)}, 17, "scale"),
    "groups of channels": (node("GroupNormalization", "x", "s", "s", "y", num_groups=2), (2, 3, 4),
                           {"s": np.ones(3, np.float32)}, 21, "num_groups"),
    "blocks": (node("DepthToSpace", "x", "y", blocksize=0), (1, 4, 2, 2), {}, 17, "[Bb]locksize"),
    "a word": (node("DepthToSpace", "x", "y", blocksize=2, mode="X"), (1, 4, 2, 2), {}, 17, "mode"),
    "size of a norm": (node("LRN", "x", "y", size=0), (1, 4, 2, 2), {}, 17, "size"),
    "short pads": (node("Pad", "x", "p", "y"), (2, 3), {"p": np.array([1, 1, 1])}, 17, "[Pp]ads"),
    "short old pads": (node("Pad", "x", "y", pads=[1, 1, 1]), (2, 3), {}, 9, "pads"),
    "pads that take too much": (node("Pad", "x", "p", "y"), (2, 3),
                                {"p": np.array([0, -2, 0, -2])}, 17, "take|shape"),
    "mode of pads": (node("Pad", "x", "p", "y", mode="round"), (2, 3), {"p": np.array([1] * 4)}, 17,
                     "mode"),
    "slope": (node("PRelu", "x", "s", "y"), (2, 3), {"s": np.ones(2, np.float32)}, 17, "slope"),
    "step of 0": (node("Slice", "x", "a", "b", "c", "a", "y"), (2, 3),
                  {"a": np.array([0]), "b": np.array([2]), "c": np.array([1])}, 17, "step"),
    "ends that are missing": (node("Slice", "x", "a", "b", "y"), (2, 3),
                              {"a": np.array([0, 0]), "b": np.array([2])}, 17, "ends|[Ii]ncorrect"),
    "axes of a slice": (node("Slice", "x", "a", "b", "b", "y"), (2, 3),
                        {"a": np.array([0]), "b": np.array([2])}, 17, "ax[ei]s"),
    "scales of fewer axes": (node("Resize", "x", "", "s", "y"), (1, 2, 3, 3),
                             {"s": np.ones(3, np.float32)}, 17, "scales|dimension"),
    "scales of 0": (node("Resize", "x", "", "s", "y"), (1, 2, 3, 3),
                    {"s": np.array([1, 1, 0, 2], np.float32)}, 17, "scales|[Ss]cale"),
    "a type": (node("Cast", "x", "y", to=99), (2, 3), {}, 17, "type"),
    "channels": (node("Conv", "x", "w", "y"), (1, 5, 8, 8), {"w": WEIGHT}, 17, "channels"),
    "a kernel": (node("Conv", "x", "w", "y", kernel_shape=[5, 5]), (1, 4, 8, 8), {"w": WEIGHT}, 17,
                 "kernel_shape"),
    "a matrix": (node("MatMul", "x", "w", "y"), (2, 3), {"w": np.ones((4, 5), np.float32)}, 17,
                 "dimension|elements"),
    "an axis beyond every array": (node("LayerNormalization", "x", "s", "y", axis=2**31), (2, 3),
                                   {"s": np.ones(3, np.float32)}, 17, "axis"),
}


@pytest.mark.parametrize("open_sizes", [False, True], ids=["fixed", "open"])
@pytest.mark.parametrize("case", OTHERS)
def test_wrong_attributes_and_operands_are_refused_by_name(case, open_sizes):
    """Whether shapes are known at load or in the first run alone."""
    wrong, shape, constants, opset, match = OTHERS[case]
    named = onnx.NodeProto()
    named.CopyFrom(wrong)
    named.name = "the_node"
    declared = [f"d{axis}" for axis in range(len(shape))] if open_sizes else shape
    data = unchecked([named], {"x": declared}, constants, opset)
    refused(data, shape, f"'the_node'.*({wrong.op_type}|Linear).*({match})")


SPLITS = [[2, 3], [2, 5], [-1, 7], [6], [2, 2, 2]]


@pytest.mark.parametrize("size", [6, "n"])
@pytest.mark.parametrize("sizes", SPLITS)
@pytest.mark.parametrize("opset", [11, 17])
def test_a_split_that_does_not_fit_is_refused(sizes, opset, size):
    """Sizes must be as many as the outputs, and sum up to the axis."""
    wrong = helper.make_node("Split", ["x"] if opset == 11 else ["x", "s"], ["y", "z"], "the_node",
                             axis=1, **({"split": sizes} if opset == 11 else {}))
    constants = {} if opset == 11 else {"s": np.array(sizes)}
    data = unchecked([wrong], {"x": (1, size)}, constants, opset, ("y", "z"))
    refused(data, (1, 6), rf"'the_node' \(Split of opset {opset}\).*[Ss]plit")


# ---- images that are too small ------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 2, 4])
@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("op", WINDOWED)
def test_an_image_smaller_than_the_window_is_refused(op, constant, size):
    """No empty results; where padding makes it large enough, it is."""
    names, attributes = WINDOWED[op]
    if op == "ConvTranspose":
        attributes = {"pads": [5] * 4}
    elif "kernel_shape" in attributes:
        attributes = {"kernel_shape": [5, 5]}
    weight = np.ones((4, 4, 5, 5), np.float32)
    small = helper.make_node(op, names[:-1], names[-1:], "the_node", **attributes)
    if "w" not in names:
        data, feed = unchecked([small], {"x": (1, 4, "h", "w")}), {}
    elif constant:
        data, feed = unchecked([small], {"x": (1, 4, "h", "w")}, {"w": weight}), {}
    else:
        data, feed = unchecked([small], {"x": (1, 4, "h", "w"), "w": weight.shape}), {"w": weight}
    session = InferenceSession(data)
    x = np.ones((1, 4, 9, size), np.float32)
    with pytest.raises(ValueError, match=rf"'the_node' \(Conv.*|'the_node' \({op}"):
        session.run(None, {"x": x, **feed})
    with pytest.raises(ValueError, match="the_node"):
        session.memory({"x": x.shape})
    (y,) = session.run(None, {"x": np.ones((1, 4, 9, 9), np.float32), **feed})
    assert y.size


# ---- pools in ceil_mode -------------------------------------------------------------------------


CEILING = {"MaxPool": (12, 21, 22), "AveragePool": (12, 19, 21, 22), "LpPool": (18, 21, 22)}


@pytest.mark.parametrize(
    ("op", "opset"), [(op, opset) for op, opsets in CEILING.items() for opset in opsets])
@pytest.mark.parametrize(("size", "kernel", "stride", "pad"), [
    (6, 2, 3, 0), (5, 2, 3, 1), (7, 2, 3, 1), (7, 3, 2, 0), (3, 1, 3, 0),
])
@pytest.mark.parametrize("symbol", [False, True])
def test_shape_of_a_pool_is_that_of_its_result(op, opset, size, kernel, stride, pad, symbol):
    """Also where sizes are known at load, one pool behind another, and within a branch."""
    attributes = {"kernel_shape": [kernel], "strides": [stride], "pads": [pad] * 2, "ceil_mode": 1}
    branch = helper.make_graph(
        [helper.make_node(op, ["a"], ["b"], **attributes)], "branch", [],
        [helper.make_tensor_value_info("b", FLOAT, None)])
    nodes = [
        helper.make_node(op, ["x"], ["a"], "first", **attributes),
        helper.make_node(op, ["a"], ["y"], "second", kernel_shape=[1], strides=[2], ceil_mode=1),
        helper.make_node("If", ["c"], ["w"], "choice", then_branch=branch, else_branch=branch),
        *(helper.make_node("Shape", [name], [f"{name}_shape"]) for name in "ayw"),
    ]
    graph = helper.make_graph(
        nodes, "ceiled",
        [helper.make_tensor_value_info("x", FLOAT, (1, 2, "n" if symbol else size)),
         helper.make_tensor_value_info("c", TensorProto.BOOL, ())],
        [*(helper.make_tensor_value_info(name, FLOAT, None) for name in "ayw"),
         *(helper.make_tensor_value_info(f"{name}_shape", TensorProto.INT64, None)
           for name in "ayw")])
    data = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString()
    x = np.random.default_rng(0).standard_normal((1, 2, size)).astype(np.float32)
    session = InferenceSession(data)
    values = session.run(None, {"x": x, "c": np.array(True)})
    begins = [at for at in range(-pad, size, stride)
              if at == -pad or at + kernel - stride < size + pad]
    assert values[0].shape == (1, 2, len(begins))
    for value, shape in zip(values[:3], values[3:], strict=True):
        assert tuple(shape) == value.shape
    (row,) = [row for row in session.explain() if "first" in row["made_of"]]
    assert row["runs"] != "reference" or op == "LpPool"


# ---- shapes that are asked about ----------------------------------------------------------------


@pytest.mark.parametrize(("shapes", "error", "match"), [
    ({"x": ("a", 4, 6, 5)}, TypeError, "'x' must be a sequence of whole numbers.*'a'"),
    ({"x": (1.5, 4, 6, 5)}, TypeError, r"whole numbers.*1\.5"),
    ({"x": (True, 4, 6, 5)}, TypeError, "whole numbers.*True"),
    ({"x": (None, 4, 6, 5)}, TypeError, "whole numbers.*None"),
    ({"x": "1465"}, TypeError, "whole numbers"),
    ({"x": 4}, TypeError, "whole numbers.*4"),
    ({"x": (-1, 4, 6, 5)}, ValueError, "negative"),
    ({"x": (1, 4, 6)}, ValueError, r"'x' must be .*\(N, 4, 6, 5\).*\(1, 4, 6\)"),
    ({"x": (1, 3, 6, 5)}, ValueError, "'x' must be "),
    ({"x": (10**30, 4, 6, 5)}, ValueError, "shape"),
    ({"z": (1, 4, 6, 5)}, ValueError, "no input 'z'.*'x'"),
    ([(1, 4, 6, 5)], TypeError, "dict"),
])
def test_shapes_that_are_no_shapes_are_refused(shapes, error, match):
    """`memory` and `explain` ask of shapes what `run` asks of arrays."""
    session = InferenceSession(random_cnn(np.random.default_rng(0), ["conv"]))
    for method in (session.memory, session.explain):
        with pytest.raises(error, match=match):
            method(shapes)
    assert session.memory({"x": np.array([2, 4, 6, 5])}).arena >= 0
    assert session.memory({"x": (0, 4, 6, 5)}).arena == 0


# ---- names of sizes -----------------------------------------------------------------------------


def test_sizes_of_one_name_may_differ():
    """Nobody holds callers to names, so that nothing may rest on them where they do not agree."""
    weight = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
    data = model(
        [node("MatMul", "x", "w", "m"), node("Add", "m", "a", "y")],
        {"x": (FLOAT, ("n", 4)), "a": (FLOAT, ("n", 4))}, {"y": (FLOAT, None)}, {"w": weight})
    session = InferenceSession(data)
    x = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
    fused = session.explain({"x": (3, 4), "a": (3, 4)})
    assert len(fused) == 1
    for a in (x, x[:1], x):
        (y,) = session.run(None, {"x": x, "a": a})
        np.testing.assert_allclose(y, x @ weight + a, rtol=1e-5, atol=1e-5)
    assert len(session.explain({"x": (3, 4), "a": (1, 4)})) == 2
    with pytest.raises(ValueError, match=r"'Add\(y\)'.*\(3, 4\).*\(2, 4\)"):
        session.run(None, {"x": x, "a": x[:2]})


# ---- what strangers send ------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 99])
def test_inputs_without_a_type_are_refused(value):
    """ONNX's checker lets them pass."""
    proto = onnx.ModelProto.FromString(unchecked([node("Relu", "x", "y")], {"x": (2, 3)}))
    proto.graph.input[0].type.tensor_type.elem_type = value
    with pytest.raises(ValueError, match="input 'x' has elements of an unknown type"):
        InferenceSession(proto.SerializeToString())


def test_negative_sizes_of_an_input_are_open():
    """As some exporters write them, and as ONNX Runtime takes them."""
    session = InferenceSession(unchecked([node("Relu", "x", "y")], {"x": (-1, 3)}))
    assert session.get_inputs()[0].shape == [None, 3]
    assert session.run(None, {"x": np.ones((2, 3), np.float32)})[0].shape == (2, 3)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    CASES = [case.model.SerializeToString() for case in collect_testcases(None)
             if len(case.model.graph.node) < 30]


@pytest.mark.parametrize("seed", range(12))
def test_mutated_models_run_or_are_refused(seed):
    """Whatever is wrong with a model, it is one of the errors that users expect."""
    dice = random.Random(seed)
    drawn = np.random.default_rng(seed)
    messages = []
    for _ in range(40):
        data = dice.choice(CASES)
        if dice.random() < 0.5:
            data = random_cnn(drawn, list(drawn.choice(sorted(PIECES), 3)))
        data = mutated(data, dice)
        try:
            session = InferenceSession(data)
            feed = drawn_feed(session, dice)
            if feed is not None:
                session.run(None, feed)
        except (ValueError, TypeError, FileNotFoundError, MemoryError) as error:
            messages.append(str(error))
    assert len(messages) >= 10
    assert all(messages)
