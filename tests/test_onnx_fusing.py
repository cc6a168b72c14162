"""What gconv.onnx makes of a model's nodes: the same results, in as few nodes as may be."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import oracle

onnx = oracle("onnx")

from onnx_graphs import Maker, agrees, fused, ops_of  # noqa: E402

CONV = "Convolution"


def only(graph):
    """The only node of a graph."""
    (node,) = graph.nodes
    return node


# Activations.


def gelu_erf(m, x, form):
    """Gelu as exporters write it, in one of several orders."""
    root, one, half = m.constant(math.sqrt(2)), m.constant(1), m.constant([0.5])
    factor = m.constant(math.sqrt(0.5))
    inner = m.node("Div", x, root) if form % 2 else m.node("Mul", factor, x)
    erf = m.node("Erf", inner)
    term = m.node("Add", one, erf) if form % 3 else m.node("Add", erf, one)
    if form < 3:
        return m.node("Mul", m.node("Mul", x, term), half)
    if form < 6:
        return m.node("Mul", m.node("Mul", half, x), term)
    return m.node("Mul", x, m.node("Mul", term, half))


def gelu_tanh(m, x, form):
    """The other gelu; the cube as a power or as products, the half in several places."""
    if form % 3 == 0:
        cube = m.node("Pow", x, m.constant(3))
    elif form % 3 == 1:
        cube = m.node("Mul", m.node("Mul", x, x), x)
    else:
        cube = m.node("Mul", x, m.node("Pow", x, m.constant(2)))
    inner = m.node("Add", x, m.node("Mul", m.constant(0.044715), cube))
    inner = m.node("Mul", inner, m.constant(math.sqrt(2 / math.pi)))
    if form == 5:  # x · (k + c · x²)
        slope = math.sqrt(2 / math.pi)
        square = m.node("Mul", m.node("Mul", x, x), m.constant(slope * 0.044715))
        inner = m.node("Mul", x, m.node("Add", square, m.constant(slope)))
    term = m.node("Add", m.node("Tanh", inner), m.constant(1))
    if form % 2:
        return m.node("Mul", m.node("Mul", x, m.constant(0.5)), term)
    return m.node("Mul", x, m.node("Mul", term, m.constant(0.5)))


def hard_clip(m, x, form):
    """Clip(x + 3, 0, 6) or what stands for it."""
    added = m.node("Add", x, m.constant(3)) if form % 2 else m.node("Add", m.constant(3), x)
    if form % 3 == 0:
        return m.node("Clip", added, m.constant(0), m.constant(6))
    if form % 3 == 1:
        return m.node("Min", m.node("Relu", added), m.constant(6))
    return m.node("Clip", m.node("Max", added, m.constant([0])), "", m.constant(6))


def hardswish(m, x, form):
    clip = hard_clip(m, x, form)
    if form < 3:
        return m.node("Div", m.node("Mul", x, clip), m.constant(6))
    if form < 6:
        return m.node("Mul", m.node("Div", clip, m.constant(6)), x)
    if form < 9:
        return m.node("Mul", m.node("Mul", x, m.constant(1 / 6)), clip)
    return m.node("Mul", x, m.node("HardSigmoid", x, alpha=1 / 6, beta=0.5))


def hardsigmoid(m, x, form):
    if form == 0:
        return m.node("HardSigmoid", x, alpha=1 / 6, beta=0.5)
    if form == 1:
        scaled = m.node("Add", m.node("Mul", x, m.constant(1 / 6)), m.constant(0.5))
        return m.node("Clip", scaled, m.constant(0), m.constant(1))
    clip = hard_clip(m, x, form)
    return (
        m.node("Div", clip, m.constant(6)) if form % 2 else m.node("Mul", clip, m.constant(1 / 6))
    )


def clip(m, x, form):
    if form == 0:
        return m.node("Clip", x, m.constant(-1), m.constant(1.5))
    return m.node("Min", m.constant(1.5), m.node("Max", x, m.constant(-1)))


ACTIVATIONS = {
    "relu": (2, lambda m, x, form: m.node("Max", x, m.constant(0)) if form else m.node("Relu", x)),
    "sigmoid": (1, lambda m, x, form: m.node("Sigmoid", x)),
    "tanh": (1, lambda m, x, form: m.node("Tanh", x)),
    "leaky_relu": (
        2,
        lambda m, x, form: (
            m.node("PRelu", x, m.constant([0.2])) if form else m.node("LeakyRelu", x, alpha=0.2)
        ),
    ),
    "clip": (2, clip),
    "silu": (
        2,
        lambda m, x, form: m.node("Mul", *[x, m.node("Sigmoid", x)][:: 1 if form else -1]),
    ),
    "hardsigmoid": (8, hardsigmoid),
    "hardswish": (10, hardswish),
    "gelu": (9, gelu_erf),
    "gelu_tanh": (6, gelu_tanh),
}
FORMS = [(name, form) for name, (count, _) in ACTIVATIONS.items() for form in range(count)]


@pytest.mark.parametrize("before", ["conv", "linear", "add", "input"])
@pytest.mark.parametrize(("name", "form"), FORMS)
def test_activation_however_it_is_written(name, form, before):
    """An activation is one node, or part of the node before it."""
    m = Maker()
    x = m.input(2, 4, 5, 6, value=np.linspace(-8, 8, 240).reshape(2, 4, 5, 6))
    source = x
    if before == "conv":
        source = m.conv(x, 4, 8)
    elif before == "linear":
        source = m.node("MatMul", x, m.normal(6, 3))
    elif before == "add":
        source = m.node("Add", x, m.input(2, 4, 5, 6))
    graph = agrees(m.model(ACTIVATIONS[name][1](m, source, form)), m.feeds)
    node = only(graph)
    kind = node.attributes["activation"]
    assert (kind if isinstance(kind, str) else kind[0]) == name
    wanted = {"conv": CONV, "linear": "Linear", "add": "Elementwise", "input": "Elementwise"}
    assert node.op == wanted[before]
    assert len(node.made_of) >= 1 + (before != "input")


@pytest.mark.parametrize("op", ["Gelu", "HardSwish", "Swish"])
def test_activation_operators_of_newer_opsets(op):
    """What newer opsets have as one operator is one activation."""
    m = Maker(opset={"Gelu": 20, "HardSwish": 14, "Swish": 24}[op])
    if op not in [schema.name for schema in onnx.defs.get_all_schemas()]:
        pytest.skip(f"onnx {onnx.__version__} has no {op}")
    x = m.input(2, 3, 8, 8)
    graph = agrees(m.model(m.node(op, m.conv(x, 3, 4)), ir_version=10), m.feeds)
    wanted = {"Gelu": "gelu", "HardSwish": "hardswish", "Swish": "silu"}
    assert only(graph).attributes["activation"] == wanted[op]


def test_gelu_that_is_approximated():
    """The attribute of Gelu chooses the other formula."""
    m = Maker(opset=20)
    y = m.node("Gelu", m.conv(m.input(1, 3, 8, 8), 3, 4), approximate="tanh")
    graph = agrees(m.model(y, ir_version=9), m.feeds)
    assert only(graph).attributes["activation"] == "gelu_tanh"


def test_numbers_near_those_of_a_pattern_stay():
    """Another factor than √2, or another slope, is another function."""
    m = Maker()
    x = m.input(2, 8)
    erf = m.node("Erf", m.node("Div", x, m.constant(1.41)))
    first = m.node("Mul", m.node("Mul", x, m.node("Add", erf, m.constant(1))), m.constant(0.5))
    second = m.node("Mul", x, m.node("Sigmoid", m.node("Mul", x, m.constant(1.702))))
    third = m.node("Mul", x, m.node("HardSigmoid", x, alpha=0.2, beta=0.5))
    graph = agrees(m.model(first, second, third), m.feeds)
    activations = {node.attributes["activation"] for node in graph.nodes}
    assert activations <= {None, "sigmoid", ("clip", 0.0, 1.0)}


def test_pattern_whose_middle_is_read_by_others():
    """A value inside a pattern that somebody else needs keeps the pattern apart."""
    m = Maker()
    x = m.input(2, 8)
    gate = m.node("Sigmoid", x)
    graph = agrees(m.model(m.node("Mul", x, gate), gate), m.feeds)
    assert ops_of(graph) == ["Elementwise"] * 2
    m = Maker()
    x = m.input(2, 8)
    gate = m.node("Sigmoid", x)
    y = m.node("Mul", x, gate)
    graph = agrees(m.model(m.node("Concat", y, gate, axis=0)), m.feeds)
    assert ops_of(graph) == ["Elementwise"] * 2 + ["onnx.Concat"]


def test_a_pattern_of_two_values_is_none():
    """x · sigmoid(z) is a product."""
    m = Maker()
    x, z = m.input(2, 8), m.input(2, 8)
    graph = agrees(m.model(m.node("Mul", x, m.node("Sigmoid", z))), m.feeds)
    assert ops_of(graph) == ["Elementwise"] * 2


@pytest.mark.parametrize("lo", [0.5, None])
def test_clip_with_a_bound_that_is_a_result(lo):
    """Bounds that are not constant leave Clip to the reference."""
    m = Maker()
    x = m.conv(m.input(1, 3, 8, 8), 3, 4)
    hi = m.node("ReduceMax", m.input(4, value=[1, 2, 0.7, 1]), keepdims=0)
    y = m.node("Clip", x, m.constant(lo) if lo is not None else "", hi)
    graph = agrees(m.model(y), m.feeds)
    assert ops_of(graph)[-1] == "onnx.Clip"


def test_clip_whose_bounds_cross():
    """With min above max ONNX gives max everywhere; that is no activation of ours."""
    m = Maker()
    y = m.node("Clip", m.conv(m.input(1, 3, 8, 8), 3, 4), m.constant(1), m.constant(-1))
    assert ops_of(agrees(m.model(y), m.feeds)) == [CONV, "onnx.Clip"]


def test_prelu_by_channel_stays():
    """Several slopes are no activation of ours; equal ones are one slope."""
    m = Maker()
    x = m.conv(m.input(1, 3, 8, 8), 3, 4)
    graph = agrees(
        m.model(m.node("PRelu", x, m.constant([[[0.1]], [[0.2]], [[1]], [[-1]]]))), m.feeds
    )
    assert ops_of(graph) == [CONV, "onnx.PRelu"]
    m = Maker()
    x = m.conv(m.input(1, 3, 8, 8), 3, 4)
    graph = agrees(m.model(m.node("PRelu", x, m.constant(np.full((4, 1, 1), 0.25)))), m.feeds)
    assert only(graph).attributes["activation"] == ("leaky_relu", 0.25)


def test_integers_are_no_elementwise_of_ours():
    """Arithmetic on integers and on float64 stays ONNX's."""
    m = Maker()
    x = m.input(3, value=[1, 2, 3], dtype=np.int64)
    y = m.node("Cast", m.node("Add", x, m.constant([1, 1, 1], np.int64)), to=1)
    z = m.node("Cast", m.node("Relu", m.input(3, dtype=np.float64)), to=1)
    graph = agrees(m.model(y, z), m.feeds)
    assert ops_of(graph) == ["onnx.Add", "onnx.Cast", "onnx.Relu", "onnx.Cast"]


# Scales and shifts.


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("bias", [False, True])
def test_batch_norm_after_a_convolution(transposed, groups, bias):
    """It becomes part of the weights, padded or not."""
    m = Maker()
    x = m.input(2, 4, 7, 6)
    shape = (4, 8 // groups, 3, 2) if transposed else (8, 4 // groups, 3, 2)
    inputs = [x, m.normal(*shape)] + ([m.normal(8)] if bias else [])
    y = m.node("ConvTranspose" if transposed else "Conv", *inputs, group=groups, pads=[1, 0, 1, 1])
    graph = agrees(m.model(m.node("Relu", m.batch_norm(y, 8))), m.feeds)
    node = only(graph)
    assert node.op == CONV
    assert node.attributes["activation"] == "relu"
    assert sorted(graph.constants) == sorted(name for name in node.inputs[1:] if name)


@pytest.mark.parametrize("dimensions", [1, 3])
def test_batch_norm_after_a_convolution_of_other_ranks(dimensions):
    """Lines and volumes as planes."""
    m = Maker()
    x = m.input(2, 3, *[6] * dimensions)
    y = m.node("Conv", x, m.normal(5, 3, *[3] * dimensions))
    assert ops_of(agrees(m.model(m.batch_norm(y, 5)), m.feeds)) == [CONV]


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_batch_norm_before_a_convolution(padded, groups):
    """It becomes part of the weights of one without padding, and of no other."""
    m = Maker()
    x = m.batch_norm(m.input(2, 4, 7, 6), 4)
    graph = agrees(m.model(m.conv(x, 4, 6, pad=int(padded), groups=groups)), m.feeds)
    assert ops_of(graph) == (["ScaleShift", CONV] if padded else [CONV])


def test_batch_norm_before_a_convolution_that_pads_by_itself():
    """SAME is padding."""
    m = Maker()
    x = m.batch_norm(m.input(2, 4, 7, 6), 4)
    y = m.node("Conv", x, m.normal(3, 4, 3, 3), auto_pad="SAME_UPPER")
    assert ops_of(agrees(m.model(y), m.feeds)) == ["ScaleShift", CONV]


def test_batch_norm_before_a_transposed_convolution():
    """At the border fewer taps see the shift, so that no bias stands for it."""
    m = Maker()
    x = m.batch_norm(m.input(2, 4, 7, 6), 4)
    y = m.node("ConvTranspose", x, m.normal(4, 3, 3, 3), strides=[2, 2])
    assert ops_of(agrees(m.model(y), m.feeds)) == ["ScaleShift", CONV]


@pytest.mark.parametrize("transposed", [False, True])
def test_scale_before_a_padded_convolution(transposed):
    """Zeros stay zeros when they are scaled, so that scales alone fold."""
    m = Maker()
    x = m.node("Mul", m.input(2, 4, 7, 6), m.normal(4, 1, 1))
    op = "ConvTranspose" if transposed else "Conv"
    y = m.node(op, x, m.normal(4, 4, 3, 3), pads=[1, 1, 1, 1])
    assert ops_of(agrees(m.model(y), m.feeds)) == [CONV]


def test_scale_that_also_broadcasts():
    """A constant that makes more channels of one stays a product."""
    m = Maker()
    x = m.node("Mul", m.input(2, 1, 7, 6), m.normal(4, 1, 1))
    graph = agrees(m.model(m.conv(x, 4, 4, pad=0)), m.feeds)
    assert ops_of(graph) == ["Elementwise", CONV]
    m = Maker()
    y = m.node("Add", m.conv(m.input(2, 3, 7, 6), 3, 1), m.normal(4, 1, 1))
    assert ops_of(agrees(m.model(y), m.feeds)) == [CONV, "Elementwise"]
    m = Maker()
    y = m.node("Mul", m.conv(m.input(2, 3, 7, 6), 3, 4), m.normal(1, 1, 4, 1, 1))
    assert ops_of(agrees(m.model(y), m.feeds)) == [CONV, "Elementwise"]


def test_constants_that_vary_over_the_image_stay():
    """What is not by channel is a sum of its own."""
    m = Maker()
    y = m.node("Add", m.conv(m.input(2, 3, 4, 4), 3, 4), m.normal(4, 4))
    assert ops_of(agrees(m.model(y), m.feeds)) == [CONV, "Elementwise"]


@pytest.mark.parametrize("what", ["conv", "linear", "transposed"])
@pytest.mark.parametrize("steps", list(itertools.permutations(["Mul", "Add", "Sub", "Div"], 3)))
def test_arithmetic_by_channel_folds(what, steps):
    """Any chain of sums and products with constants by channel becomes weights and bias."""
    m = Maker()
    shape = (6,) if what == "linear" else (6, 1, 1)
    y = m.input(2, 4, 5, 5)
    if what == "linear":
        y = m.node("MatMul", y, m.normal(5, 6))
    else:
        op = "Conv" if what == "conv" else "ConvTranspose"
        y = m.node(op, y, m.normal(*((6, 4) if what == "conv" else (4, 6)), 3, 3))
    for step in steps:
        y = m.node(step, y, m.normal(*shape, least=0.5))
    y = m.node("Sub", m.constant(1.5), m.node("Neg", y))
    assert len(agrees(m.model(y), m.feeds).nodes) == 1


def test_division_by_zero_is_kept():
    """Infinite weights would make NaN of zeros."""
    m = Maker()
    y = m.node("Div", m.conv(m.input(1, 2, 4, 4), 2, 2), m.constant(0))
    assert ops_of(agrees(m.model(y), m.feeds)) == [CONV, "Elementwise"]


def test_a_result_that_a_constant_is_divided_by_stays():
    """c / x is not affine."""
    m = Maker()
    y = m.node("Div", m.constant(2), m.conv(m.input(1, 2, 4, 4), 2, 2))
    assert ops_of(agrees(m.model(y), m.feeds, 1e-3)) == [CONV, "Elementwise"]


def test_batch_norm_in_training_mode_stays():
    """Its statistics are those of the batch."""
    m = Maker(opset=15)
    constants = [m.normal(4) for _ in range(3)] + [m.normal(4, least=0.1)]
    x = m.conv(m.input(2, 3, 7, 6), 3, 4)
    y = m.node("BatchNormalization", x, *constants, outputs=3, training_mode=1)[0]
    assert ops_of(fused(m.model(y))) == [CONV, "onnx.BatchNormalization"]


def test_batch_norm_whose_statistics_are_outputs_stays():
    """Before opset 14 further outputs mean training."""
    m = Maker(opset=9)
    constants = [m.normal(4) for _ in range(3)] + [m.normal(4, least=0.1)]
    x = m.conv(m.input(2, 3, 7, 6), 3, 4)
    y = m.node("BatchNormalization", x, *constants, outputs=5)[0]
    assert ops_of(fused(m.model(y))) == [CONV, "onnx.BatchNormalization"]


def test_batch_norm_with_parameters_that_are_results_stays():
    """Only constants fold."""
    m = Maker()
    constants = [m.normal(4) for _ in range(2)] + [m.normal(4, least=0.1)]
    x = m.conv(m.input(2, 3, 7, 6), 3, 4)
    y = m.node("BatchNormalization", x, m.input(4), *constants)
    assert ops_of(agrees(m.model(y), m.feeds)) == [CONV, "onnx.BatchNormalization"]


def test_one_batch_norm_alone():
    """What no neighbour can take is one node with the activation behind it."""
    m = Maker()
    y = m.node("Relu", m.batch_norm(m.input(2, 4, 3, 3), 4))
    node = only(agrees(m.model(y), m.feeds))
    assert (node.op, node.attributes["activation"]) == ("ScaleShift", "relu")


def test_scales_and_shifts_in_a_row_are_one():
    """Mul, Add and a batch norm of what no product makes are one ScaleShift."""
    m = Maker()
    x = m.node("MaxPool", m.input(2, 4, 6, 6), kernel_shape=[2, 2])
    x = m.node("Add", m.node("Mul", x, m.normal(4, 1, 1)), m.normal(1, 4, 1, 1))
    graph = agrees(m.model(m.batch_norm(x, 4)), m.feeds)
    assert ops_of(graph) == ["onnx.MaxPool", "ScaleShift"]


def test_weights_that_two_convolutions_share():
    """Each gets weights of its own when a batch norm changes one of them."""
    m = Maker()
    x, weight = m.input(1, 3, 5, 5), m.normal(3, 3, 3, 3)
    first = m.node("Conv", x, weight)
    second = m.batch_norm(m.node("Conv", first, weight), 3)
    graph = agrees(m.model(first, second), m.feeds)
    assert ops_of(graph) == [CONV, CONV]
    assert len({node.inputs[1] for node in graph.nodes}) == 2


# Views.


@pytest.mark.parametrize("steps", [
    [("Reshape", (2, 8, 30))],
    [("Transpose", (0, 2, 3, 1))],
    [("Reshape", (2, 8, 30)), ("Transpose", (0, 2, 1))],
    [("Transpose", (0, 2, 3, 1)), ("Reshape", (2, 30, 8)), ("Transpose", (2, 0, 1))],
    [("Flatten", None)],
], ids=str)
@pytest.mark.parametrize("activation", ["Relu", "gelu", "Sigmoid"])
def test_activation_behind_views_of_a_convolution(steps, activation):
    """An activation goes into the convolution, through transpositions and changes of shape."""
    m = Maker()
    y = m.conv(m.input(2, 4, 6, 5), 4, 8)
    for op, value in steps:
        if op == "Reshape":
            y = m.node(op, y, m.constant(value, np.int64))
        else:
            y = m.node(op, y, **({"perm": value} if value else {}))
    y = gelu_erf(m, y, 0) if activation == "gelu" else m.node(activation, y)
    graph = agrees(m.model(m.node("Softmax", y, axis=-1)), m.feeds)
    ops = ops_of(graph)
    assert ops[0] == CONV
    assert graph.nodes[0].attributes["activation"] is not None
    assert "Elementwise" not in ops


@pytest.mark.parametrize("where", ["convolution", "view", "output"])
def test_activation_behind_a_view_with_a_second_reader(where):
    """What others read stays as it was."""
    m = Maker()
    conv = m.conv(m.input(2, 4, 6, 5), 4, 8)
    view = m.node("Transpose", conv, perm=(0, 2, 3, 1))
    y = m.node("Relu", view)
    others = {"convolution": [m.node("Neg", conv)], "view": [m.node("Neg", view)],
              "output": [view]}[where]
    graph = agrees(m.model(y, *others), m.feeds)
    assert graph.nodes[0].attributes["activation"] is None


def test_activation_behind_a_view_of_an_activated_result():
    """A convolution has one activation; a sum behind the view stays a sum."""
    m = Maker()
    y = m.node("Relu", m.conv(m.input(2, 4, 6, 5), 4, 8))
    y = m.node("Sigmoid", m.node("Transpose", y, perm=(0, 2, 3, 1)))
    graph = agrees(m.model(m.node("Add", y, m.input(2, 6, 5, 8))), m.feeds)
    assert ops_of(graph) == [CONV, "onnx.Transpose", "Elementwise", "Elementwise"]


# Residuals.


def residual_block(m, x, channels, activation="Relu"):
    y = m.node("Relu", m.conv(x, channels, channels))
    return m.node(activation, m.node("Add", m.conv(y, channels, channels), x))


@pytest.mark.parametrize("symbols", [None, ("n", 4, "h", "w"), (None, 4, None, None)])
def test_residual_block(symbols):
    """The sum and the activation behind it go into the convolution, whatever the sizes."""
    m = Maker()
    x = m.input(2, 4, 6, 5, symbols=symbols)
    graph = agrees(m.model(residual_block(m, x, 4)), m.feeds)
    assert ops_of(graph) == [CONV, CONV]
    assert graph.nodes[1].inputs[3] == x
    assert graph.nodes[1].attributes["activation"] == "relu"


@pytest.mark.parametrize("symbols", [None, ("n", 4, "h", "w"), (None, 4, None, None)])
def test_residual_block_that_halves_the_image(symbols):
    """Two ways to the same size are known to be the same size."""
    m = Maker()
    x = m.input(2, 4, 7, 8, symbols=symbols)
    y = m.conv(m.node("Relu", m.conv(x, 4, 8, stride=2)), 8, 8)
    y = m.node("Relu", m.node("Add", y, m.conv(x, 4, 8, kernel=1, stride=2)))
    graph = agrees(m.model(y), m.feeds)
    assert ops_of(graph) == [CONV] * 3
    assert sum(bool(node.inputs[3]) for node in graph.nodes) == 1


def test_sizes_that_may_differ():
    """A residual of another name for its size may be broadcast, and stays a sum."""
    m = Maker()
    x = m.input(2, 4, 6, 5, symbols=("n", 4, "h", "w"))
    z = m.input(2, 4, 6, 5, symbols=("n", 4, "h", "v"))
    graph = agrees(m.model(m.node("Add", m.conv(x, 4, 4), z)), m.feeds)
    assert ops_of(graph) == [CONV, "Elementwise"]


@pytest.mark.parametrize("shape", [(2, 4, 1, 1), (1, 4, 6, 5), (4, 6, 5), (2, 1, 6, 5)])
def test_residual_that_is_broadcast(shape):
    """It stays a sum."""
    m = Maker()
    y = m.node("Add", m.conv(m.input(2, 4, 6, 5), 4, 4), m.input(*shape))
    assert ops_of(agrees(m.model(y), m.feeds)) == [CONV, "Elementwise"]


def test_result_that_is_broadcast_to_the_residual():
    """Where the residual is the larger one the sum is no epilogue."""
    m = Maker()
    y = m.node("Add", m.conv(m.input(1, 4, 6, 5), 4, 4), m.input(3, 4, 6, 5))
    assert ops_of(agrees(m.model(y), m.feeds)) == [CONV, "Elementwise"]


def test_residual_added_after_the_activation():
    """relu(conv(x)) + x is not relu(conv(x) + x)."""
    m = Maker()
    x = m.input(2, 4, 6, 5)
    graph = agrees(m.model(m.node("Add", m.node("Relu", m.conv(x, 4, 4)), x)), m.feeds)
    assert ops_of(graph) == [CONV, "Elementwise"]
    assert graph.nodes[0].attributes["activation"] == "relu"


def test_a_convolution_added_to_itself():
    """It cannot be its own residual."""
    m = Maker()
    y = m.conv(m.input(2, 4, 6, 5), 4, 4)
    assert ops_of(agrees(m.model(m.node("Add", y, y)), m.feeds)) == [CONV, "Elementwise"]


@pytest.mark.parametrize("where", ["conv", "sum", "both"])
def test_graph_outputs_in_the_middle(where):
    """What the caller gets must exist."""
    m = Maker()
    x = m.input(2, 4, 6, 5)
    convolution = m.conv(x, 4, 4)
    total = m.node("Add", convolution, x)
    end = m.node("Relu", total)
    outputs = {"conv": [convolution], "sum": [total], "both": [convolution, total]}[where]
    graph = agrees(m.model(end, *outputs), m.feeds)
    wanted = {
        "conv": [CONV, "Elementwise"],
        "sum": [CONV, "Elementwise"],
        "both": [CONV, "Elementwise", "Elementwise"],
    }
    assert ops_of(graph) == wanted[where]


def test_second_readers():
    """A sum or activation that somebody else reads exists on its own."""
    m = Maker()
    x = m.input(2, 4, 6, 5)
    convolution = m.conv(x, 4, 4)
    total = m.node("Add", convolution, x)
    y = m.node("Concat", m.node("Relu", total), total, convolution, axis=1)
    graph = agrees(m.model(y), m.feeds)
    assert ops_of(graph) == [CONV, "Elementwise", "Elementwise", "onnx.Concat"]


def test_batch_norm_behind_a_result_with_a_second_reader():
    """The other reader wants the result without it."""
    m = Maker()
    y = m.conv(m.input(2, 4, 6, 5), 4, 4)
    graph = agrees(m.model(m.node("Add", m.batch_norm(y, 4), m.node("Abs", y))), m.feeds)
    assert ops_of(graph)[:2] == [CONV, "ScaleShift"]


def test_batch_norm_after_a_sum():
    """The residual would have to be scaled, too."""
    m = Maker()
    x = m.input(2, 4, 6, 5)
    y = m.batch_norm(m.node("Add", m.conv(x, 4, 4), x), 4)
    assert ops_of(agrees(m.model(y), m.feeds)) == [CONV, "ScaleShift"]


def test_batch_norm_after_an_activation():
    """The activation is in between."""
    m = Maker()
    y = m.batch_norm(m.node("Relu", m.conv(m.input(2, 4, 6, 5), 4, 4)), 4)
    assert ops_of(agrees(m.model(y), m.feeds)) == [CONV, "ScaleShift"]


def test_residual_of_a_matrix_product():
    """Linear and Product add it as convolutions do."""
    m = Maker()
    x, z = m.input(2, 7, 6, symbols=("n", "t", 6)), m.input(2, 6, 6)
    y = m.node("Add", m.node("MatMul", x, m.normal(6, 6)), m.normal(6))
    graph = agrees(m.model(m.node("Relu", m.node("Add", x, y))), m.feeds)
    assert (only(graph).op, only(graph).inputs[3]) == ("Linear", x)
    m = Maker()
    x, z = m.input(2, 7, 6), m.input(2, 6, 6)
    graph = agrees(m.model(m.node("Relu", m.node("Add", m.node("MatMul", x, z), x))), m.feeds)
    assert (only(graph).op, only(graph).inputs[2]) == ("Product", x)


# Padding.


@pytest.mark.parametrize("opset", [7, 13, 18])
def test_pad_of_zeros_before_a_convolution(opset):
    """The convolution pads for itself, in addition to what it pads already."""
    m = Maker(opset=opset)
    x, pads = m.input(1, 3, 5, 6), [0, 0, 1, 2, 0, 0, 0, 3]
    if opset < 11:
        x = m.node("Pad", x, pads=pads)
    elif opset < 18:
        x = m.node("Pad", x, m.constant(pads, np.int64))
    else:
        axes = m.constant([-1, 2], np.int64)
        x = m.node("Pad", x, m.constant([2, 1, 3, 0], np.int64), m.constant(0), axes)
    graph = agrees(m.model(m.conv(x, 3, 4, pad=1)), m.feeds)
    assert only(graph).attributes["padding"] == ((2, 1), (3, 4))


def test_pad_that_two_convolutions_read():
    """Both pad for themselves."""
    m = Maker()
    x = m.node("Pad", m.input(1, 3, 5, 6), m.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
    graph = agrees(m.model(m.conv(x, 3, 4, pad=0), m.conv(x, 3, 4, kernel=1)), m.feeds)
    assert ops_of(graph) == [CONV, CONV]


@pytest.mark.parametrize(
    ("pads", "more"),
    [
        ([0, 0, 1, 1, 0, 0, 1, 1], {"value": 1.0}),
        ([0, 0, 1, 1, 0, 0, 1, 1], {"mode": "reflect"}),
        ([0, 0, 1, 1, 0, 0, 1, 1], {"mode": "edge"}),
        ([0, 0, -1, 1, 0, 0, 1, 1], {}),
        ([0, 1, 1, 1, 0, 0, 1, 1], {}),
        ([1, 0, 1, 1, 0, 0, 1, 1], {}),
    ],
)
def test_pads_that_stay(pads, more):
    """Other values than zero, other modes, negative pads, and pads of channels or batch."""
    m = Maker()
    inputs = [m.constant(pads, np.int64), m.constant(more.pop("value", 0.0))]
    x = m.node("Pad", m.input(1, 3, 5, 6), *inputs, **more)
    graph = agrees(m.model(m.conv(x, 3 + pads[1], 4)), m.feeds)
    assert ops_of(graph) == ["onnx.Pad", CONV]


@pytest.mark.parametrize("reader", ["ConvTranspose", "MaxPool", "same", "output", "Relu"])
def test_pads_whose_reader_cannot_pad(reader):
    """Pad stays before what would see other padding, or needs the padded values."""
    m = Maker()
    x = m.node("Pad", m.input(1, 3, 5, 6), m.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
    outputs = []
    if reader == "ConvTranspose":
        y = m.node("ConvTranspose", x, m.normal(3, 2, 3, 3))
    elif reader == "MaxPool":
        y = m.node("MaxPool", x, kernel_shape=[2, 2])
    elif reader == "same":
        y = m.node("Conv", x, m.normal(2, 3, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2])
    else:
        y = m.conv(x, 3, 4)
        outputs = [x if reader == "output" else m.node("Relu", x)]
    graph = agrees(m.model(y, *outputs), m.feeds)
    assert ops_of(graph)[0] == "onnx.Pad"


@pytest.mark.parametrize(
    ("attributes", "fits"),
    [
        ({}, True),
        ({"pads": [1, 0, 0, 1], "count_include_pad": 1}, True),
        ({"pads": [1, 0, 0, 1]}, False),
        ({"ceil_mode": 1}, False),
        ({"auto_pad": "SAME_UPPER"}, False),
    ],
)
def test_pad_before_average_pooling(attributes, fits):
    """Its zeros count; padding that does not count cannot be joined with it."""
    m = Maker()
    x = m.node("Pad", m.input(1, 3, 6, 7), m.constant([0, 0, 1, 0, 0, 0, 1, 1], np.int64))
    y = m.node("AveragePool", x, kernel_shape=[3, 3], strides=[2, 1], **attributes)
    graph = agrees(m.model(y), m.feeds)
    assert ops_of(graph) == (["onnx.AveragePool"] if fits else ["onnx.Pad", "onnx.AveragePool"])


# Matrix products.


@pytest.mark.parametrize("alpha", [1.0, 0.3])
@pytest.mark.parametrize("beta", [1.0, 0.7])
@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("shape", [(5,), (1, 5), (1,), (), (1, 1), None, (3, 5), (3, 1)])
def test_gemm_with_constants(alpha, beta, transposed, shape):
    """Factors and transposition go into the weights, a row that is added is the bias."""
    m = Maker()
    weight = m.normal(5, 4) if transposed else m.normal(4, 5)
    inputs = [m.input(3, 4), weight] + ([m.normal(*shape)] if shape is not None else [])
    y = m.node("Gemm", *inputs, alpha=alpha, beta=beta, transB=transposed)
    graph = agrees(m.model(m.node("Relu", y)), m.feeds)
    assert ops_of(graph) == (["Linear", "Elementwise"] if shape == (3, 1) else ["Linear"])
    assert bool(graph.nodes[0].inputs[3]) == (shape == (3, 5))


@pytest.mark.parametrize("alpha", [1.0, 2.0])
@pytest.mark.parametrize("beta", [0.0, 1.0, 0.5])
@pytest.mark.parametrize("transposes", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_gemm_of_results(alpha, beta, transposes):
    """A product of two results, and the sum with a third; factors leave it to the reference."""
    m = Maker()
    shapes = [(3, 4), (4, 5)]
    inputs = [m.input(*(s[::-1] if t else s)) for s, t in zip(shapes, transposes, strict=True)]
    y = m.node(
        "Gemm", *inputs, m.input(3, 5), alpha=alpha, beta=beta,
        transA=transposes[0], transB=transposes[1],
    )  # fmt: skip
    graph = agrees(m.model(y), m.feeds)
    fits = alpha == 1 and beta in (0, 1)
    assert ops_of(graph) == (["Product"] if fits else ["onnx.Gemm"])


def test_gemm_whose_first_operand_is_transposed():
    """With a constant second operand it is a product of a result and a constant."""
    m = Maker()
    y = m.node("Gemm", m.input(4, 3), m.normal(4, 5), m.normal(5), transA=1)
    assert ops_of(agrees(m.model(y), m.feeds)) == ["Product", "Elementwise"]


@pytest.mark.parametrize("shapes", [((6,), (6, 3)), ((2, 6), (6, 3)), ((2, 5, 6), (6, 3))])
def test_matrix_product_with_constant_weights(shapes):
    """Vectors, matrices and stacks of them."""
    m = Maker()
    y = m.node("MatMul", m.input(*shapes[0]), m.normal(*shapes[1]))
    node = only(agrees(m.model(m.node("Add", y, m.normal(3))), m.feeds))
    assert node.op == "Linear"


@pytest.mark.parametrize("shapes", [((2, 6), (6,)), ((6,), (6,)), ((6,), (2, 6, 3))])
def test_products_of_vectors_stay(shapes):
    """They are no matrix products of ours."""
    m = Maker()
    y = m.node("MatMul", m.input(*shapes[0]), m.input(*shapes[1]))
    assert ops_of(agrees(m.model(y), m.feeds)) == ["onnx.MatMul"]


@pytest.mark.parametrize(
    "shapes", [((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 6))]
)
def test_products_of_stacks(shapes):
    """Batch axes are broadcast."""
    m = Maker()
    y = m.node("MatMul", m.input(*shapes[0]), m.input(*shapes[1]))
    assert ops_of(agrees(m.model(y), m.feeds)) == ["Product"]


def test_transposed_operands():
    """A product reads an operand from before the last two axes traded places."""
    m = Maker()
    a, b = m.input(2, 4, 3), m.input(2, 5, 4)
    y = m.node(
        "MatMul", m.node("Transpose", a, perm=[0, 2, 1]), m.node("Transpose", b, perm=[0, 2, 1])
    )
    node = only(agrees(m.model(y), m.feeds))
    assert node.inputs[:2] == [a, b]
    m = Maker()
    b = m.node("Transpose", m.input(2, 3, 4, 5), perm=[0, 2, 3, 1])
    graph = agrees(m.model(m.node("MatMul", m.input(2, 4, 4, 5), b)), m.feeds)
    assert ops_of(graph) == ["onnx.Transpose", "Product"]


def test_batch_norm_after_a_matrix_product():
    """The channels of a matrix are its columns; those of a stack of matrices are not."""
    m = Maker()
    y = m.node("MatMul", m.input(3, 4), m.normal(4, 5))
    assert ops_of(agrees(m.model(m.batch_norm(y, 5)), m.feeds)) == ["Linear"]
    m = Maker()
    y = m.node("MatMul", m.input(3, 5, 4), m.normal(4, 5))
    assert ops_of(agrees(m.model(m.batch_norm(y, 5)), m.feeds)) == ["Linear", "ScaleShift"]


# Concatenations.


def branches(m, sizes=(3, 5, 2), axis=1, **options):
    """Convolutions of several kernel sizes of one input, concatenated."""
    x = m.input(2, 4, 7, 6)
    parts = [m.conv(x, 4, out, kernel=2 * i + 1, **options) for i, out in enumerate(sizes)]
    return parts, m.node("Concat", *parts, axis=axis)


@pytest.mark.parametrize("axis", [1, -3])
@pytest.mark.parametrize("bias", [True, False])
def test_what_follows_a_concatenation_is_computed_by_its_convolutions(axis, bias):
    """Batch norm and activation, by channel, by number, and several times."""
    m = Maker()
    _, y = branches(m, axis=axis, bias=bias)
    y = m.node("Mul", m.batch_norm(y, 10), m.constant(0.7))
    y = m.node("Add", y, m.normal(10, 1, 1))
    y = m.node("Mul", y, m.node("Sigmoid", y))
    graph = agrees(m.model(y), m.feeds)
    assert ops_of(graph) == [CONV] * 3 + ["onnx.Concat"]
    assert [node.attributes.get("activation") for node in graph.nodes] == ["silu"] * 3 + [None]
    assert len({name for node in graph.nodes[:3] for name in node.made_of}) > 3


def test_a_concatenation_along_another_axis_passes_on_activations_alone():
    m = Maker()
    _, y = branches(m, sizes=(3, 3), axis=2)
    graph = agrees(m.model(m.node("Relu", y)), m.feeds)
    assert ops_of(graph) == [CONV] * 2 + ["onnx.Concat"]
    m = Maker()
    _, y = branches(m, sizes=(3, 3), axis=2)
    graph = agrees(m.model(m.batch_norm(y, 3)), m.feeds)
    assert ops_of(graph) == [CONV] * 2 + ["onnx.Concat", "ScaleShift"]


@pytest.mark.parametrize(
    "who", ["a reader of the whole", "a reader of a part", "an output", "an input", "an activation"]
)
def test_what_a_part_cannot_take_stays_behind_the_concatenation(who):
    """Others see the whole, or a part, as it was; what no convolution made; what is activated."""
    m = Maker()
    x = m.input(2, 4, 7, 6)
    first, second = m.conv(x, 4, 3), m.conv(x, 4, 5)
    others = []
    if who == "an input":
        second = m.input(2, 5, 7, 6)
    elif who == "an activation":
        second = m.node("Tanh", second)
    elif who == "a reader of a part":
        others.append(m.node("Exp", first))
    whole = m.node("Concat", first, second, axis=1)
    if who == "a reader of the whole":
        others.append(m.node("Exp", whole))
    elif who == "an output":
        others.append(whole)
    y = m.node("Relu", m.batch_norm(whole, 8))
    graph = agrees(m.model(y, *others), m.feeds)
    assert ops_of(graph).count("ScaleShift") == 1


def test_sums_and_products_of_equals_behind_a_concatenation_stay():
    m = Maker()
    _, y = branches(m, sizes=(3, 5))
    graph = agrees(m.model(m.node("Add", y, m.input(2, 8, 7, 6))), m.feeds)
    assert ops_of(graph) == [CONV] * 2 + ["onnx.Concat", "Elementwise"]


def test_a_concatenation_of_groups_and_transposed_convolutions():
    m = Maker()
    x = m.input(1, 4, 5, 5)
    wide = m.node("ConvTranspose", x, m.normal(4, 3, 3, 3), group=2, pads=[1] * 4)
    y = m.node("Concat", m.conv(x, 4, 4, groups=4), wide, axis=1)
    graph = agrees(m.model(m.node("Relu", m.batch_norm(y, 10))), m.feeds)
    assert ops_of(graph) == [CONV] * 2 + ["onnx.Concat"]


# Layer norm.


def layer_norm(m, x, form, axes=(-1,), size=6):
    """Layer norm as exporters write it."""
    axes = {"axes": list(axes)}
    mean = m.node("ReduceMean", x, **axes)
    d = m.node("Sub", x, mean)
    if form == 0:
        square = m.node("Pow", d, m.constant(2))
    elif form == 1:
        square = m.node("Mul", d, d)
    else:  # the difference is written twice
        square = m.node("Pow", m.node("Sub", x, mean), m.constant([2.0]))
    variance = m.node("Add", m.node("ReduceMean", square, **axes), m.constant(1e-3))
    if form == 1:
        y = m.node("Mul", d, m.node("Reciprocal", m.node("Sqrt", variance)))
    else:
        y = m.node("Div", d, m.node("Sqrt", variance))
    return y


@pytest.mark.parametrize("form", range(3))
@pytest.mark.parametrize("tail", ["", "scale", "both", "bias"])
def test_layer_norm_from_its_nodes(form, tail):
    """Nine nodes are one."""
    m = Maker()
    y = layer_norm(m, m.input(2, 5, 6), form)
    if tail in ("scale", "both"):
        y = m.node("Mul", m.normal(6), y)
    if tail in ("bias", "both"):
        y = m.node("Add", y, m.normal(6))
    node = only(agrees(m.model(y), m.feeds))
    assert node.op == "LayerNorm"
    assert node.attributes["epsilon"] == pytest.approx(1e-3)


def test_layer_norm_over_several_axes():
    """They must be the last ones."""
    m = Maker()
    y = m.node("Mul", layer_norm(m, m.input(2, 5, 6), 0, (1, 2)), m.normal(5, 6))
    assert only(agrees(m.model(y), m.feeds)).attributes["axis"] == -2
    m = Maker()
    graph = agrees(m.model(layer_norm(m, m.input(2, 5, 6), 0, (1,))), m.feeds)
    assert "LayerNorm" not in ops_of(graph)


def test_layer_norm_that_others_look_into():
    """Somebody who reads the mean needs its node."""
    m = Maker()
    x = m.input(2, 5, 6)
    y = layer_norm(m, x, 0)
    mean = m.nodes[0].output[0]
    assert "LayerNorm" not in ops_of(agrees(m.model(y, mean), m.feeds))


@pytest.mark.parametrize("axis", [-1, 2, 1])
@pytest.mark.parametrize("bias", [True, False])
def test_layer_norm_operator(axis, bias):
    """The operator of opset 17."""
    m = Maker()
    shape = (5, 6)[axis % 3 - 1 :]
    inputs = [m.normal(*shape)] + ([m.normal(*shape)] if bias else [])
    y = m.node("LayerNormalization", m.input(2, 5, 6), *inputs, axis=axis, epsilon=1e-3)
    assert only(agrees(m.model(y), m.feeds)).op == "LayerNorm"


def test_layer_norm_operators_that_stay():
    """With statistics as outputs, or a scale that is broadcast."""
    m = Maker()
    y, mean = m.node("LayerNormalization", m.input(2, 5, 6), m.normal(6), outputs=2)
    assert ops_of(agrees(m.model(y, mean), m.feeds)) == ["onnx.LayerNormalization"]
    m = Maker()
    y = m.node("LayerNormalization", m.input(2, 5, 6), m.normal(1))
    assert ops_of(agrees(m.model(y), m.feeds)) == ["onnx.LayerNormalization"]


# Convolutions that stay, and other attributes.


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("transposed", [False, True])
def test_padding_by_name(auto_pad, transposed):
    """Names become numbers where they do not depend on sizes."""
    m = Maker()
    op = "ConvTranspose" if transposed else "Conv"
    y = m.node(op, m.input(1, 3, 7, 8), m.normal(3, 3, 3, 4), strides=[2, 3], auto_pad=auto_pad)
    padding = only(agrees(m.model(y), m.feeds)).attributes["padding"]
    assert padding == (((0, 0), (0, 0)) if auto_pad == "VALID" else None)


def test_transposed_convolution_of_a_given_size():
    """The size is kept for the run, which knows that of the input."""
    m = Maker()
    x, weight = m.input(1, 3, 3, 3), m.normal(3, 2, 3, 3)
    y = m.node("ConvTranspose", x, weight, strides=[3, 2], output_shape=[10, 8])
    assert only(agrees(m.model(y), m.feeds)).attributes["output_shape"] == (10, 8)


def test_convolutions_that_stay():
    """Weights or bias that are results, and float64."""
    m = Maker()
    x = m.input(1, 3, 7, 7)
    first = m.node("Conv", x, m.input(2, 3, 3, 3))
    second = m.node("Conv", x, m.normal(2, 3, 3, 3), m.input(2))
    graph = agrees(m.model(first, second), m.feeds)
    assert ops_of(graph) == ["onnx.Conv"] * 2


# Transpositions and reshapes.


def test_transpositions_that_cancel():
    """There and back is nothing; two others are one."""
    m = Maker()
    x = m.input(2, 3, 4, 5)
    y = m.node("Transpose", m.node("Transpose", x, perm=[0, 2, 3, 1]), perm=[0, 3, 1, 2])
    z = m.node("Transpose", m.node("Transpose", x, perm=[1, 0, 3, 2]), perm=[2, 3, 0, 1])
    graph = agrees(m.model(m.node("Relu", y), z), m.feeds)
    assert sorted(ops_of(graph)) == ["Elementwise", "onnx.Transpose"]


def test_reshapes_in_a_row():
    """The last one says it all, if it copies no size."""
    m = Maker()
    x = m.node("Flatten", m.input(2, 3, 4))
    y = m.node(
        "Reshape", m.node("Reshape", x, m.constant([6, -1], np.int64)), m.constant([4, 6], np.int64)
    )
    assert ops_of(agrees(m.model(y), m.feeds)) == ["onnx.Reshape"]
    m = Maker()
    x = m.node("Flatten", m.input(2, 3, 4))
    y = m.node("Reshape", x, m.constant([0, 4, 3], np.int64))
    assert ops_of(agrees(m.model(y), m.feeds)) == ["onnx.Flatten", "onnx.Reshape"]


# Any graph.


@st.composite
def models(draw):
    """A network of convolutions, branches, sums, gates and concatenations."""
    m = Maker(seed=draw(st.integers(0, 1000)))
    symbols = draw(st.sampled_from([None, ("n", 4, "h", "w"), (None, 4, None, None)]))
    x = m.input(2, 4, 6, 6, symbols=symbols)
    values = [x]  # all of 4 channels and of the same size
    for _ in range(draw(st.integers(1, 7))):
        x = draw(st.sampled_from(values[-3:]))
        kind = draw(
            st.sampled_from(
                ["conv", "norm", "act", "sum", "affine", "gate", "concat", "pad", "linear"]
            )
        )
        if kind == "conv":
            groups = draw(st.sampled_from([1, 2, 4]))
            x = m.conv(x, 4, 4, kernel=draw(st.sampled_from([1, 3])), groups=groups)
        elif kind == "norm":
            x = m.batch_norm(x, 4)
        elif kind == "act":
            name, form = draw(st.sampled_from(FORMS))
            x = ACTIVATIONS[name][1](m, x, form)
        elif kind == "sum":
            x = m.node("Add", x, draw(st.sampled_from(values)))
        elif kind == "affine":
            op = draw(st.sampled_from(["Add", "Mul", "Sub", "Div"]))
            shape = draw(st.sampled_from([(), (1,), (4, 1, 1), (1, 4, 1, 1), (6,)]))
            x = m.node(op, x, m.normal(*shape, least=0.5))
        elif kind == "gate":
            pooled = m.node("GlobalAveragePool", x)
            hidden = m.node("Relu", m.conv(pooled, 4, 2, kernel=1))
            x = m.node("Mul", x, m.node("Sigmoid", m.conv(hidden, 2, 4, kernel=1)))
        elif kind == "concat":
            joined = m.node("Concat", x, draw(st.sampled_from(values)), axis=1)
            x = m.conv(joined, 8, 4, kernel=1)
        elif kind == "pad":
            padded = m.node("Pad", x, m.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
            x = m.conv(padded, 4, 4, pad=0)
        else:
            x = m.node("MatMul", x, m.normal(6, 6, scale=0.3))
        values.append(x)
    more = draw(st.lists(st.sampled_from(values[1:]), max_size=2, unique=True))
    outputs = [values[-1], *(name for name in more if name != values[-1])]
    return m.model(*outputs), m.feeds


@given(models())
def test_any_network(case):
    """Fused or not, a network gives what onnx.reference gives."""
    model, feeds = case
    agrees(model, feeds, tolerance=1e-3)
