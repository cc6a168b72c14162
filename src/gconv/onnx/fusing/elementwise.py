"""Arithmetic, functions and activations of float32 values become Elementwise.

Everything that comes after reads these nodes alone, so that Sum, Add and a Relu written as Clip
or Max look the same. Integers (shapes) stay ONNX's nodes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gconv.onnx.graph import OURS, Graph, Info, Node

BINARY = {
    "Add": "add",
    "Sub": "subtract",
    "Mul": "multiply",
    "Div": "divide",
    "Pow": "power",
}
CHAINED = {"Sum": "add", "Max": "maximum", "Min": "minimum"}
UNARY = {
    "Sqrt": "sqrt",
    "Neg": "negative",
    "Abs": "absolute",
    "Reciprocal": "reciprocal",
    "Exp": "exp",
    "Log": "log",
    "Erf": "erf",
}
ACTIVATIONS = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "HardSwish": "hardswish"}


def make(
    inputs: list[str], output: str, function: str, made_of: list[str], activation: Any = None
) -> Node:
    """Make an Elementwise node."""
    attributes = {"function": function, "activation": activation}
    return Node("Elementwise", OURS, inputs, [output], attributes, None, list(made_of))


def translate(graph: Graph) -> None:
    """Replace every operator that Elementwise covers."""
    for node in list(graph.nodes):
        if node.domain or len(node.outputs) != 1 or not node.inputs:
            continue
        if graph.dtype(node.outputs[0]) != np.float32:
            continue
        if any(graph.dtype(name) != np.float32 for name in node.inputs[:1]):
            continue
        new = translated(graph, node)
        if new:
            graph.replace([node], new)


def translated(graph: Graph, node: Node) -> list[Node] | None:
    """The nodes that take the place of an ONNX node; None if it stays."""
    inputs, (y,), made_of = node.inputs, node.outputs, node.made_of
    if node.op in UNARY:
        return [make(inputs, y, UNARY[node.op], made_of)]
    if node.op in BINARY or node.op in CHAINED:
        if any(graph.dtype(name) != np.float32 for name in inputs):
            return None
        if node.op == "Pow":
            return [power(graph, node)]
        if node.op in BINARY:
            if node.op == "Mul" and inputs[0] == inputs[1]:
                return [make(inputs[:1], y, "square", made_of)]
            return [make(inputs, y, BINARY[node.op], made_of)]
        return chain(graph, node, CHAINED[node.op])
    activation = activation_of(graph, node)
    if activation is None:
        return hard_sigmoid(graph, node) if node.op == "HardSigmoid" else None
    return [make(inputs[:1], y, "identity", made_of, activation)]


def power(graph: Graph, node: Node) -> Node:
    """x to a power; a square where the power is 2 for all."""
    exponent = graph.constant(node.inputs[1])
    if exponent is not None and exponent.size == 1 and no_wider(graph, exponent, node.inputs[0]):
        if exponent.item() == 2:
            return make(node.inputs[:1], node.outputs[0], "square", node.made_of)
        if exponent.item() == 1:
            return make(node.inputs[:1], node.outputs[0], "identity", node.made_of)
    return make(node.inputs, node.outputs[0], "power", node.made_of)


def no_wider(graph: Graph, constant: np.ndarray[Any, Any], other: str) -> bool:
    """Whether a constant of one element leaves the shape of a value as it is when they meet."""
    rank = graph.rank(other)
    return constant.ndim == 0 or (rank is not None and constant.ndim <= rank)


def chain(graph: Graph, node: Node, function: str) -> list[Node]:
    """Several inputs, two at a time, first to last."""
    first, *others = node.inputs
    nodes = []
    for index, other in enumerate(others):
        last = index == len(others) - 1
        y = node.outputs[0]
        name = y if last else graph.free_name(f"{y}/{index}")
        if not last:
            graph.infos[name] = Info(name, np.dtype(np.float32), None)
        bound = clip_of(graph, function, first, other) or clip_of(graph, function, other, first)
        if bound is not None:
            x, activation = bound
            nodes.append(make([x], name, "identity", node.made_of, activation))
        else:
            nodes.append(make([first, other], name, function, node.made_of))
        first = name
    return nodes


def clip_of(graph: Graph, function: str, x: str, bound: str) -> tuple[str, Any] | None:
    """The maximum or minimum of a value and a number, as an activation."""
    value = graph.constant(bound)
    if function not in ("maximum", "minimum") or value is None or value.size != 1:
        return None
    number = value.item()
    if math.isnan(number) or x in graph.constants or not no_wider(graph, value, x):
        return None
    if function == "maximum":
        return x, "relu" if number == 0 else ("clip", number, math.inf)
    return x, ("clip", -math.inf, number)


def activation_of(graph: Graph, node: Node) -> Any:
    """The activation that an operator is; None if it is none, or one with parameters not fixed."""
    attributes = node.attributes
    if node.op in ACTIVATIONS:
        return ACTIVATIONS[node.op]
    if node.op == "LeakyRelu":
        return leaky(attributes.get("alpha", 0.01))
    if node.op == "PRelu":
        slope = graph.constant(node.inputs[1])
        if slope is None or not slope.size or not (slope == slope.flat[0]).all():
            return None
        rank = graph.rank(node.inputs[0])
        if slope.size > 1 and (rank is None or slope.ndim > rank or not fits(graph, node)):
            return None
        return leaky(slope.flat[0].item()) if no_wider(graph, slope, node.inputs[0]) else None
    if node.op == "Clip":
        return clip(graph, node)
    if node.op == "HardSigmoid":
        alpha, beta = attributes.get("alpha", 0.2), attributes.get("beta", 0.5)
        if beta == 0.5 and math.isclose(alpha, 1 / 6, rel_tol=graph.tolerance):
            return "hardsigmoid"
    if node.op == "Gelu":
        return "gelu_tanh" if attributes.get("approximate", "none") == "tanh" else "gelu"
    if node.op == "Swish" and attributes.get("alpha", 1.0) == 1:
        return "silu"
    return None


def fits(graph: Graph, node: Node) -> bool:
    """Whether the sizes of the second input are 1 or those of the first, axis by axis."""
    x, slope = node.inputs
    shape = graph.constants[slope].shape
    return all(shape[-axis] in (1, graph.size(x, -axis)) for axis in range(1, len(shape) + 1))


def leaky(slope: float) -> Any:
    """The activation with a slope, where it is a number that float32 has."""
    return ("leaky_relu", slope) if abs(slope) < 3e38 else None


def clip(graph: Graph, node: Node) -> Any:
    """Clip with bounds that are known; attributes before opset 11, inputs since."""
    bounds = []
    for index, key, default in ((1, "min", -math.inf), (2, "max", math.inf)):
        value = node.attributes.get(key, default)
        if node.input(index):
            constant = graph.constant(node.input(index))
            if constant is None or constant.size != 1:
                return None
            value = constant.item()
        bounds.append(float(value))
    lo, hi = bounds
    if not lo <= hi:  # NaN, or the wrong way round
        return None
    return "relu" if (lo, hi) == (0, math.inf) else ("clip", lo, hi)


def hard_sigmoid(graph: Graph, node: Node) -> list[Node]:
    """HardSigmoid with other numbers than PyTorch's: a product, a sum and a clip."""
    (x,), (y,) = node.inputs, node.outputs
    nodes = []
    for key, default, function in (("alpha", 0.2, "multiply"), ("beta", 0.5, "add")):
        number = np.array(node.attributes.get(key, default), np.float32)
        constant = graph.add_constant(f"{y}/{key}", number)
        name = y if key == "beta" else graph.free_name(f"{y}/product")
        info = graph.infos[node.inputs[0]]
        if name != y:
            graph.infos[name] = Info(name, info.dtype, info.shape)
        activation = ("clip", 0.0, 1.0) if name == y else None
        nodes.append(make([x, constant], name, function, node.made_of, activation))
        x = name
    return nodes
