"""Operators that several steps compute one behind the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gconv import _steps as steps
from gconv._plan.problem import NO_EPILOGUE, Epilogue, epilogue_of
from gconv.onnx.checking import broadcasts
from gconv.onnx.graph import Node
from gconv.onnx.lowering import Lowering, Refused
from gconv.onnx.memory import View
from gconv.onnx.operators import OPERATORS, float32, lowers, only_output, reduced_axes, result

__all__ = ["OPERATORS"]

# Selu's numbers where a node has none of its own.
SELU_ALPHA = 1.67326319217681884765625
SELU_GAMMA = 1.05070102214813232421875


def apply(
    low: Lowering, function: str, operands: Sequence[View | float], y: View,
    activation: Epilogue = NO_EPILOGUE,
) -> View:
    """Add a step for a function of elements, some of whose operands may be numbers."""
    views = [
        operand if isinstance(operand, View) else low.fixed(np.full((), operand, np.float32))
        for operand in operands
    ]
    low.own(
        steps.elementwise(function, [low.at(view) for view in views], low.at(y), activation),
        views, y)
    return y


def operand(low: Lowering, node: Node) -> View:
    """The first input, where steps compute with it."""
    x = low.view(node.inputs[0])
    float32(x)
    if not x.size:
        raise Refused
    return x


def scratch(low: Lowering, x: View) -> View:
    """A place for values of the shape of another."""
    return low.new_value(x.shape)


# ---- activations without a step of their own ----------------------------------------------------


@lowers("Elu", "Selu", "Celu")
def exponential_unit(low: Lowering, node: Node) -> None:
    """gamma * (max(x, 0) + alpha * (exp(min(x, 0) / slope) - 1))."""
    x, attributes = operand(low, node), node.attributes
    gamma, slope = 1.0, 1.0
    alpha = attributes.get("alpha", 1.0)
    if node.op == "Selu":
        alpha, gamma = attributes.get("alpha", SELU_ALPHA), attributes.get("gamma", SELU_GAMMA)
    elif node.op == "Celu":
        slope = alpha
    factor = alpha * gamma
    if not all(map(math.isfinite, (factor, gamma, slope))) or slope == 0:
        raise Refused
    t = apply(low, "minimum", [x, 0.0], scratch(low, x))
    if slope != 1:
        apply(low, "divide", [t, slope], t)
    apply(low, "exp", [t], t)
    apply(low, "multiply_add", [t, factor, -factor], t)
    y = result(low, node.outputs[0], x)
    apply(low, "maximum", [x, 0.0], y)
    apply(low, "multiply_add", [y, gamma, t], y)


def softplus_of(low: Lowering, x: View, y: View, activation: Epilogue = NO_EPILOGUE) -> None:
    """y = activation(log(exp(x) + 1)): max(x, 0) + log(exp(-|x|) + 1), which no x overflows."""
    t = apply(low, "absolute", [x], scratch(low, x))
    apply(low, "negative", [t], t)
    apply(low, "exp", [t], t)
    apply(low, "add", [t, 1.0], t)
    apply(low, "log", [t], t)
    apply(low, "maximum", [x, 0.0], y)
    apply(low, "add", [y, t], y, activation)


@lowers("Softplus")
def softplus(low: Lowering, node: Node) -> None:
    """A rectifier without a corner."""
    x = operand(low, node)
    softplus_of(low, x, result(low, node.outputs[0], x))


@lowers("Mish")
def mish(low: Lowering, node: Node) -> None:
    """x * tanh(softplus(x))."""
    x = operand(low, node)
    t = scratch(low, x)
    softplus_of(low, x, t, epilogue_of("tanh"))
    apply(low, "multiply", [x, t], result(low, node.outputs[0], x))


@lowers("Softsign")
def softsign(low: Lowering, node: Node) -> None:
    """x / (|x| + 1)."""
    x = operand(low, node)
    t = apply(low, "absolute", [x], scratch(low, x))
    apply(low, "add", [t, 1.0], t)
    apply(low, "divide", [x, t], result(low, node.outputs[0], x))


@lowers("PRelu")
def prelu(low: Lowering, node: Node) -> None:
    """max(x, 0) + slope * min(x, 0), the slope of any shape that broadcasts, or by channel."""
    x, slope = operand(low, node), low.view(node.inputs[1])
    float32(slope)
    if not broadcasts(slope.shape, x.shape):
        ones = (1,) * (len(x.shape) - 2)
        slope = slope._replace(
            shape=(*slope.shape, *ones), strides=(*slope.strides, *ones))
    t = apply(low, "minimum", [x, 0.0], scratch(low, x))
    y = result(low, node.outputs[0], x, beside=[slope])
    apply(low, "maximum", [x, 0.0], y)
    apply(low, "multiply_add", [t, slope, y], y)


# ---- sums over axes, of functions of the elements -----------------------------------------------

# What is done to each element before the sum, and to the sum.
SUMS = {
    "ReduceL1": ("absolute", "identity"),
    "ReduceL2": ("square", "sqrt"),
    "ReduceSumSquare": ("square", "identity"),
    "ReduceLogSum": ("identity", "log"),
}


@lowers(*SUMS)
def reduce_function(low: Lowering, node: Node) -> None:
    """The root of a sum of squares, and its like."""
    before, after = SUMS[node.op]
    x = operand(low, node)
    axes = reduced_axes(low, node)
    t = x if before == "identity" else apply(low, before, [x], scratch(low, x))
    y = low.destination(node.outputs[0])
    low.own(steps.reduce("sum", low.at(t), low.at(y), axes), [t], y)
    if after != "identity":
        apply(low, after, [y], y)


# ---- local response normalisation ---------------------------------------------------------------


@lowers("LRN")
def local_response_norm(low: Lowering, node: Node) -> None:
    """x / (bias + alpha * the mean of the squares of neighbouring channels) ** beta."""
    x = low.in_order(node.inputs[0])
    float32(x)
    if not x.size or len(x.shape) < 3:
        raise Refused
    attributes = node.attributes
    size = attributes["size"]
    t, squares = scratch(low, x), apply(low, "square", [x], scratch(low, x))
    # Channels are the rows of an image of one channel, whose columns are the pixels.
    shape = (x.shape[0], 1, x.shape[1], math.prod(x.shape[2:]))
    image, mean = squares.reshaped(shape), t.reshaped(shape)
    assert image is not None
    assert mean is not None
    low.own(
        steps.pool("average", low.at(image), low.at(mean), (size, 1), (1, 1), (1, 1),
                   (((size - 1) // 2, size // 2), (0, 0)), count_include_pad=True),
        [squares], t)
    apply(low, "multiply_add",
          [t, attributes.get("alpha", 1e-4), attributes.get("bias", 1.0)], t)
    apply(low, "power", [t, attributes.get("beta", 0.75)], t)
    apply(low, "divide", [x, t], result(low, only_output(node), x))
