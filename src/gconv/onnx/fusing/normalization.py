"""BatchNormalization becomes ScaleShift; LayerNormalization, or its nodes, LayerNorm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconv.onnx.fusing.affine import scale_shift
from gconv.onnx.graph import OURS, Graph, Node


def translate(graph: Graph) -> None:
    """Replace the operators; see `batch_norm` and `layer_norm` for those that stay."""
    for node in list(graph.nodes):
        new = None
        if node.is_onnx("BatchNormalization"):
            new = batch_norm(graph, node)
        elif node.is_onnx("LayerNormalization"):
            new = layer_norm(graph, node)
        if new is not None:
            graph.replace([node], new)


def batch_norm(graph: Graph, node: Node) -> Node | None:
    """The ScaleShift that a BatchNormalization is.

    None in training mode, where statistics are results or read by others, and where they are not
    by channel (`spatial` of opset 7).
    """
    attributes = node.attributes
    if attributes.get("training_mode", 0) or not attributes.get("spatial", 1):
        return None
    if any(node.outputs[1:]) or graph.dtype(node.outputs[0]) != np.float32:
        return None
    constants = [graph.constant(name) for name in node.inputs[1:5]]
    values = [value.astype(np.float64) for value in constants if value is not None]
    if len(values) < 4 or any(value.shape != values[0].shape for value in values):
        return None
    if values[0].ndim != 1:
        return None
    scale, bias, mean, variance = values
    with np.errstate(all="ignore"):
        scale = scale / np.sqrt(variance + attributes.get("epsilon", 1e-5))
        shift = bias - mean * scale
    return scale_shift(graph, node.inputs[0], scale, shift, node.outputs[0], node.made_of)


def layer_norm(graph: Graph, node: Node) -> Node | None:
    """The LayerNorm that a LayerNormalization is.

    None where mean or deviation are read, or scale and bias are not constants of the normalised
    shape.
    """
    if any(node.outputs[1:]) or graph.dtype(node.outputs[0]) != np.float32:
        return None
    if node.attributes.get("stash_type", 1) != 1:
        return None
    x, axis = node.inputs[0], node.attributes.get("axis", -1)
    scale, bias = graph.constant(node.input(1)), graph.constant(node.input(2))
    if scale is None or (node.input(2) and bias is None):
        return None
    rank = graph.rank(x)
    axes = -axis if axis < 0 else None if rank is None else rank - axis
    if scale.ndim != axes or (bias is not None and bias.shape != scale.shape):
        return None
    if not has_sizes(graph, x, scale.shape):
        return None
    inputs = [x, node.inputs[1], node.input(2)]
    return make(inputs, node.outputs[0], -axes, node.attributes.get("epsilon", 1e-5), node.made_of)


def has_sizes(graph: Graph, x: str, shape: Sequence[int]) -> bool:
    """Whether the last sizes of a value are these."""
    return all(graph.size(x, -axis) == shape[-axis] for axis in range(1, len(shape) + 1))


def make(inputs: list[str], output: str, axis: int, epsilon: float, made_of: Sequence[str]) -> Node:
    """Make a LayerNorm node."""
    attributes = {"axis": axis, "epsilon": epsilon}
    return Node("LayerNorm", OURS, inputs, [output], attributes, None, list(made_of))


def recognise(graph: Graph) -> None:
    """Find layer norms that are written as nodes.

    With d = x - mean(x): d / sqrt(mean(d · d) + epsilon), the means over the last axes, then as
    the file has it · scale and + bias.
    """
    for node in list(graph.nodes):
        if node.is_ours("Elementwise") and node.attributes["function"] == "subtract":
            recognise_from(graph, node)


def recognise_from(graph: Graph, centred: Node) -> None:
    """Replace the layer norm that this difference begins, if it begins one."""
    x, mean_name = centred.inputs
    mean = mean_over_last(graph, graph.producer(mean_name))
    if mean is None or mean[0] != x or plain(centred, "subtract") is None:
        return
    axes, d = mean[1], centred.outputs[0]
    chain = [graph.producer(mean_name), centred]
    square = next((n for n in graph.readers(d) if plain(n, "square") is not None), None)
    if square is None:
        square = next((n for n in graph.readers(d) if power_of(graph, n, 2)), None)
    if square is None:
        return
    chain.append(square)
    variance = graph.only_reader(square.outputs[0])
    found = mean_over_last(graph, variance)
    if variance is None or found is None or found[1] != axes:
        return
    chain.append(variance)
    shifted = graph.only_reader(variance.outputs[0])
    if shifted is None or plain(shifted, "add") is None:
        return
    epsilon = next((graph.constant(n) for n in shifted.inputs if n in graph.constants), None)
    if epsilon is None or epsilon.size != 1 or epsilon.ndim > len(axes):
        return
    chain.append(shifted)
    root = graph.only_reader(shifted.outputs[0])
    if root is None or not (plain(root, "sqrt") is not None or power_of(graph, root, 0.5)):
        return
    chain.append(root)
    quotient = graph.only_reader(root.outputs[0])
    if quotient is not None and plain(quotient, "reciprocal") is not None:
        chain.append(quotient)
        reciprocal = quotient.outputs[0]
        quotient = graph.only_reader(reciprocal)
        if quotient is None or sorted(plain(quotient, "multiply") or []) != sorted([d, reciprocal]):
            return
    elif quotient is None or plain(quotient, "divide") != [d, root.outputs[0]]:
        return
    chain.append(quotient)
    nodes = [node for node in chain if node is not None]
    if not closed(graph, nodes):
        return
    scale = bias = ""
    for function in ("multiply", "add"):
        reader = graph.only_reader(nodes[-1].outputs[0])
        constant = parameter(graph, reader, function, nodes[-1].outputs[0], len(axes))
        if reader is None or not constant:
            continue
        if not has_sizes(graph, x, graph.constants[constant].shape):
            continue
        if function == "multiply":
            scale = constant
        else:
            bias = constant
        nodes.append(reader)
    made_of = [name for node in nodes for name in node.made_of]
    new = make([x, scale, bias], nodes[-1].outputs[0], axes[0], float(epsilon.item()), made_of)
    graph.replace(nodes, new)


def plain(node: Node | None, function: str) -> list[str] | None:
    """The inputs of an Elementwise of this function without activation; None of others."""
    if node is None or not node.is_ours("Elementwise"):
        return None
    if node.attributes["function"] != function or node.attributes["activation"] is not None:
        return None
    return node.inputs


def power_of(graph: Graph, node: Node, exponent: float) -> bool:
    """Whether a node takes this power."""
    inputs = plain(node, "power")
    value = None if inputs is None else graph.constant(inputs[1])
    return value is not None and value.size == 1 and value.item() == exponent


def mean_over_last(graph: Graph, node: Node | None) -> tuple[str, list[int]] | None:
    """What a ReduceMean averages, and its axes, where they are the last ones and are kept."""
    if node is None or not node.is_onnx("ReduceMean") or not node.attributes.get("keepdims", 1):
        return None
    x = node.inputs[0]
    axes: Any = node.attributes.get("axes")
    if node.input(1):
        axes = graph.constant(node.input(1))
    if axes is None or not len(axes):
        return None
    axes = [int(axis) for axis in axes]
    if max(axes) >= 0:
        rank = graph.rank(x)
        if rank is None:
            return None
        axes = [axis - rank if axis >= 0 else axis for axis in axes]
    axes.sort()
    return (x, axes) if axes == list(range(-len(axes), 0)) else None


def parameter(graph: Graph, node: Node | None, function: str, x: str, axes: int) -> str:
    """The constant that a node multiplies with or adds, of the normalised shape; or ""."""
    inputs = plain(node, function)
    if inputs is None or x not in inputs:
        return ""
    other = inputs[1 - inputs.index(x)]
    value: NDArray[Any] | None = graph.constant(other)
    return other if value is not None and value.ndim == axes else ""


def closed(graph: Graph, nodes: Sequence[Node]) -> bool:
    """Whether nobody but these nodes reads what they make, that of the last one apart."""
    members = {id(node) for node in nodes}
    return all(
        id(reader) in members
        for node in nodes[:-1]
        for name in node.writes
        for reader in graph.readers(name)
    ) and not any(graph.is_output(name) for node in nodes[:-1] for name in node.writes)
