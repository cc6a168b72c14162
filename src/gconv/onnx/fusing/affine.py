"""Scales and shifts by channel go into the weights of a neighbour, or become ScaleShift.

They come from BatchNormalization, and from Mul, Div, Add and Sub with constants. Sums and
products are made in float64 and rounded once.

Into the neighbour before: Convolution and Linear whose result nobody else reads, which have
neither activation nor residual. Into the one behind: what scales alone goes into any convolution;
what shifts only into one that is not padded, since padding would have to be the shifted zero, and
not transposed, since there the number of taps that meet differs at the border.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gconv.onnx.graph import OURS, Graph, Node

Vector = NDArray[np.float64]


class Affine(NamedTuple):
    """x · scale + shift along one axis; each has one element, or one for each channel."""

    x: str
    scale: Vector
    shift: Vector


def scale_shift(
    graph: Graph,
    x: str,
    scale: Vector,
    shift: Vector,
    output: str,
    made_of: Sequence[str],
) -> Node:
    """Make a ScaleShift node; its constants stay float64 until `join` is done."""
    inputs = [
        x,
        graph.add_constant(f"{output}/scale", scale),
        graph.add_constant(f"{output}/shift", shift),
    ]
    return Node("ScaleShift", OURS, inputs, [output], {"activation": None}, None, list(made_of))


def affine_of(graph: Graph, node: Node | None, rank: int | None, axis: int) -> Affine | None:
    """What a node does to the channels of its input; None if it does something else.

    `rank` is that of the input (None: unknown), `axis` the axis of its channels, negative for
    those counted from the last one.
    """
    if node is None or node.attributes.get("activation") is not None:
        return None
    if node.is_ours("ScaleShift"):
        if axis != 1 and not (axis == -1 and rank == 2):
            return None
        scale, shift = (graph.constants[name].astype(np.float64) for name in node.inputs[1:])
        return Affine(node.inputs[0], scale, shift)
    if not node.is_ours("Elementwise"):
        return None
    function, one, zero = node.attributes["function"], np.ones(1), np.zeros(1)
    if function == "negative":
        return Affine(node.inputs[0], -one, zero)
    if function not in ("add", "subtract", "multiply", "divide"):
        return None
    a, b = node.inputs
    constant, x = (b, a) if b in graph.constants else (a, b)
    if constant not in graph.constants or x in graph.constants:
        return None
    value = vector_along(graph.constants[constant], rank, axis)
    if value is None:
        return None
    if function == "add":
        return Affine(x, one, value)
    if function == "multiply":
        return Affine(x, value, zero)
    if function == "subtract":
        return Affine(x, one, -value) if x == a else Affine(x, -one, value)
    if x != a or not value.all():
        return None
    return Affine(x, 1 / value, zero)


def vector_along(value: NDArray[Any], rank: int | None, axis: int) -> Vector | None:
    """A constant as one number, or one for each channel; None if it varies along other axes."""
    if value.ndim and (rank is None or value.ndim > rank) and not (axis == -1 and value.ndim == 1):
        return None
    if value.size == 1:
        return value.reshape(1).astype(np.float64)
    position = -1 if axis == -1 else axis - (rank or 0)  # counted from the last axis
    if -position > value.ndim or value.size != value.shape[position]:
        return None
    return value.reshape(-1).astype(np.float64)


def channels_of(graph: Graph, node: Node) -> tuple[int, int | None, int]:
    """Of a Convolution or Linear: its output channels, the rank of its result, their axis."""
    weight = graph.constants[node.inputs[1]]
    if node.op == "Linear":
        return weight.shape[0], graph.rank(node.outputs[0]), -1
    if node.attributes["transposed"]:
        return weight.shape[1] * node.attributes["groups"], weight.ndim, 1
    return weight.shape[0], weight.ndim, 1


def fold_into_products(graph: Graph) -> None:
    """Fold scales and shifts into the convolutions and matrix products around them."""
    for node in list(graph.nodes):
        if node.is_ours("Convolution", "Linear"):
            fold_behind(graph, node)
    for node in list(graph.nodes):
        if node.is_ours("Convolution", "Linear"):
            fold_before(graph, node)


def fold_behind(graph: Graph, node: Node) -> None:
    """Fold what is done to the result of a convolution or matrix product into its weights."""
    if node.attributes["activation"] is not None or node.input(3):
        return
    channels, rank, axis = channels_of(graph, node)
    scale, shift, chain = np.ones(channels), np.zeros(channels), [node]
    while True:
        reader = graph.only_reader(chain[-1].outputs[0])
        found = affine_of(graph, reader, rank, axis)
        if reader is None or found is None or not usable(found, channels):
            break
        scale, shift = scale * found.scale, shift * found.scale + found.shift
        chain.append(reader)
    if len(chain) == 1:
        return
    weight = graph.constants[node.inputs[1]]
    if node.op == "Convolution" and node.attributes["transposed"]:
        by_group = scale.reshape(node.attributes["groups"], 1, weight.shape[1])
        rows = weight.shape[0] // node.attributes["groups"]
        factor = np.repeat(by_group, rows, axis=1).reshape(weight.shape[:2])
        factor = factor.reshape(*factor.shape, *[1] * (weight.ndim - 2))
    else:
        factor = scale.reshape(-1, *[1] * (weight.ndim - 1))
    bias = graph.constants[node.inputs[2]] if node.inputs[2] else np.zeros(channels)
    bias = bias.astype(np.float64) * scale + shift
    if replace_weights(graph, node, weight, factor, bias):
        last = chain[-1].outputs[0]
        made_of = [name for each in chain for name in each.made_of]
        new = Node(node.op, OURS, node.inputs, [last], node.attributes, None, made_of)
        graph.replace(chain, new)


def usable(found: Affine, channels: int) -> bool:
    """Whether these are numbers, and as many as there are channels."""
    return (
        found.scale.size in (1, channels)
        and found.shift.size in (1, channels)
        and bool(np.isfinite(found.scale).all() and np.isfinite(found.shift).all())
    )


def replace_weights(
    graph: Graph, node: Node, weight: NDArray[Any], factor: Vector, bias: Vector
) -> bool:
    """Give a node weight · factor and another bias, where float32 has such numbers."""
    with np.errstate(over="ignore"):
        new_weight = np.multiply(weight, factor, dtype=np.float64).astype(np.float32)
        new_bias = bias.astype(np.float32)
    if not (np.isfinite(new_weight).all() or not np.isfinite(weight).all()):
        return False
    inputs = list(node.inputs)
    inputs[1] = graph.add_constant(f"{node.outputs[0]}/weight", new_weight)
    inputs[2] = graph.add_constant(f"{node.outputs[0]}/bias", new_bias)
    forget_unread(graph, node, inputs)
    return True


def forget_unread(graph: Graph, node: Node, inputs: list[str]) -> None:
    """Let a node read other constants, and drop those that nobody reads any more."""
    old = node.inputs[1:3]
    graph.set_inputs(node, inputs)
    for name in old:
        if name and not graph.readers(name) and not graph.is_output(name):
            graph.constants.pop(name, None)


def fold_before(graph: Graph, node: Node) -> None:
    """Fold what is done to the input of a convolution or matrix product into its weights."""
    weight, attributes = graph.constants[node.inputs[1]], node.attributes
    if node.op == "Linear":
        channels, rank, axis = weight.shape[1], graph.rank(node.inputs[0]), -1
        shifts = True
    else:
        transposed = attributes["transposed"]
        channels = weight.shape[0] if transposed else weight.shape[1] * attributes["groups"]
        rank, axis = weight.ndim, 1
        padding = attributes["padding"]
        shifts = not transposed and padding is not None and not np.any(padding)
    scale, shift, chain = np.ones(channels), np.zeros(channels), [node]
    x = node.inputs[0]
    while graph.only_reader(x) is chain[0]:
        before = graph.producer(x)
        found = affine_of(graph, before, rank, axis)
        if before is None or found is None or not usable(found, channels):
            break
        if found.shift.any() and not shifts:
            break
        if not keeps_shape(graph, found, rank, axis, channels):
            break
        shift, scale = shift + scale * found.shift, scale * found.scale
        chain.insert(0, before)
        x = found.x
    if len(chain) == 1:
        return
    factor, bias = weights_before(node, weight, scale, shift)
    if node.inputs[2]:
        bias = bias + graph.constants[node.inputs[2]]
    if replace_weights(graph, node, weight, factor, bias):
        made_of = [name for each in chain for name in each.made_of]
        inputs = [x, *node.inputs[1:]]
        new = Node(node.op, OURS, inputs, node.outputs, attributes, None, made_of)
        graph.replace(chain, new)


def keeps_shape(graph: Graph, found: Affine, rank: int | None, axis: int, channels: int) -> bool:
    """Whether the result of a scale and shift has the shape of its input for sure."""
    if rank is None or graph.rank(found.x) != rank:
        return False
    alone = found.scale.size == found.shift.size == 1
    return alone or graph.size(found.x, axis) == channels


def weights_before(
    node: Node, weight: NDArray[Any], scale: Vector, shift: Vector
) -> tuple[Vector, Vector]:
    """The factor of the weights and the bias that stand for a scale and shift of the input."""
    taps = [1] * (weight.ndim - 2)
    if node.op == "Linear":
        return scale.reshape(1, -1), weight.astype(np.float64) @ shift
    groups = node.attributes["groups"]
    if node.attributes["transposed"]:
        return scale.reshape(-1, 1, *taps), np.zeros(weight.shape[1] * groups)
    rows = weight.shape[0] // groups
    by_row = [
        np.repeat(each.reshape(groups, 1, -1), rows, axis=1).reshape(weight.shape[:2])
        for each in (scale, shift)
    ]
    sums = weight.reshape(*weight.shape[:2], -1).sum(axis=2, dtype=np.float64)
    return by_row[0].reshape(*weight.shape[:2], *taps), (sums * by_row[1]).sum(axis=1)


def join(graph: Graph) -> None:
    """Make one ScaleShift of what scales and shifts by channel in a row; round to float32."""
    for node in list(graph.nodes):
        if node.is_ours("ScaleShift", "Elementwise") and graph.producer(node.outputs[0]) is node:
            join_from(graph, node)
    for node in graph.nodes:
        if node.is_ours("ScaleShift"):
            for name in node.inputs[1:]:
                if graph.constants[name].dtype == np.float64:
                    with np.errstate(over="ignore"):
                        value = graph.constants[name].astype(np.float32)
                    graph.constants[name] = value
                    graph.infos[name].dtype = value.dtype


def join_from(graph: Graph, first: Node) -> None:
    """Join a node with those behind it."""
    rank, channels = graph.rank(first.outputs[0]), graph.size(first.outputs[0], 1)
    if rank is None or not isinstance(channels, int):
        return
    scale, shift, x = np.ones(channels), np.zeros(channels), ""
    chain: list[Node] = []
    reader: Node | None = first
    while reader is not None:
        found = affine_of(graph, reader, rank, 1)
        if found is None or not usable(found, channels):
            break
        if not chain:
            x = found.x
        elif found.x != chain[-1].outputs[0]:
            break
        scale, shift = scale * found.scale, shift * found.scale + found.shift
        chain.append(reader)
        reader = graph.only_reader(reader.outputs[0])
    if len(chain) < 2 or (graph.rank(x), graph.size(x, 1)) != (rank, channels):
        return
    made_of = [name for each in chain for name in each.made_of]
    graph.replace(chain, scale_shift(graph, x, scale, shift, chain[-1].outputs[0], made_of))
