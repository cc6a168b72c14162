"""Our own operators on arrays of any type: where steps do not compute them, as in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import gconv
from gconv.onnx.graph import Node
from gconv.onnx.shapes import parameters_of

Array: TypeAlias = NDArray[Any]

CONVOLUTIONS = (gconv.conv1d, gconv.conv2d, gconv.conv3d)
TRANSPOSED = (gconv.conv_transpose1d, gconv.conv_transpose2d, gconv.conv_transpose3d)


def computed(node: Node, values: Sequence[Array | None]) -> Array:
    """The result of one of our operators."""
    with np.errstate(all="ignore"):
        return OPERATORS[node.op](node, [*values, None, None, None])


def activated(x: Array, activation: Any) -> Array:
    """An activation of every element, by the engine: a convolution with one weight of 1."""
    if activation is None:
        return x
    pixels = np.ascontiguousarray(x).reshape(1, 1, -1)
    if not pixels.size:
        return x
    one = np.ones((1, 1, 1), x.dtype)
    return gconv.conv1d(pixels, one, activation=activation).reshape(x.shape)


def convolution(node: Node, values: Sequence[Any]) -> Array:
    """By gconv's own functions."""
    x, weight, bias, residual = values[:4]
    p = parameters_of(node, x.shape, weight.shape)
    options: dict[str, Any] = {
        "stride": p.stride, "padding": p.padding, "dilation": p.dilation, "groups": p.groups,
        "activation": p.activation, "residual": residual,
    }
    number = len(p.kernel) - 1
    if p.transposed:
        return TRANSPOSED[number](x, weight, bias, output_padding=p.output_padding, **options)
    return CONVOLUTIONS[number](x, weight, bias, **options)


def linear(node: Node, values: Sequence[Any]) -> Array:
    """Rows times a matrix."""
    x, weight, bias, residual = values[:4]
    y = x @ weight.T
    for other in (bias, residual):
        if other is not None:
            y = y + other
    return activated(y, node.attributes["activation"])


def product(node: Node, values: Sequence[Any]) -> Array:
    """A matrix product."""
    a, b, residual = values[:3]
    if node.attributes["transpose_a"]:
        a = a.swapaxes(-1, -2)
    if node.attributes["transpose_b"]:
        b = b.swapaxes(-1, -2)
    y = np.asarray(a @ b)
    return activated(y if residual is None else y + residual, node.attributes["activation"])


UNARY: dict[str, Callable[[Any], Any]] = {
    "identity": lambda x: x, "sqrt": np.sqrt, "negative": np.negative, "absolute": np.abs,
    "reciprocal": np.reciprocal, "exp": np.exp, "log": np.log, "square": np.square,
    "erf": lambda x: np.vectorize(math.erf, otypes=[x.dtype])(x) if x.size else x,
}


def elementwise(node: Node, values: Sequence[Any]) -> Array:
    """NumPy's function of that name."""
    function = node.attributes["function"]
    a, b = values[:2]
    if function in UNARY:
        y = UNARY[function](a)
    elif function == "divide" and a.dtype.kind in "iu":
        y = np.trunc(a / b).astype(a.dtype)
    else:
        y = getattr(np, function)(a, b)
    return activated(np.asarray(y).astype(a.dtype, copy=False), node.attributes["activation"])


def scale_shift(node: Node, values: Sequence[Any]) -> Array:
    """By channel."""
    x, scale, shift = values[:3]
    shape = (-1, *[1] * (x.ndim - 2))
    return activated(
        x * scale.reshape(shape) + shift.reshape(shape), node.attributes["activation"])


def layer_norm(node: Node, values: Sequence[Any]) -> Array:
    """From an axis to the last one."""
    x, scale, bias = values[:3]
    axes = tuple(range(node.attributes["axis"] % x.ndim, x.ndim))
    centred = x - x.mean(axis=axes, keepdims=True)
    variance = np.square(centred).mean(axis=axes, keepdims=True)
    y = centred / np.sqrt(variance + x.dtype.type(node.attributes["epsilon"]))
    if scale is not None:
        y = y * scale
    return np.asarray(y if bias is None else y + bias)


OPERATORS: dict[str, Callable[[Node, Sequence[Any]], Array]] = {
    "Convolution": convolution,
    "Linear": linear,
    "Product": product,
    "Elementwise": elementwise,
    "ScaleShift": scale_shift,
    "LayerNorm": layer_norm,
}
