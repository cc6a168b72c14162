"""Transpositions and reshapes that follow each other become one."""

from __future__ import annotations

from gconv.onnx.folding import remove_identity
from gconv.onnx.graph import Graph, Node
from gconv.onnx.old_operators import onnx_node

RESHAPES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")


def merge(graph: Graph) -> None:
    """Join what follows each other, and let products transpose their operands."""
    for node in list(graph.nodes):
        if node.is_onnx("Transpose"):
            join_transposes(graph, node)
        elif node.is_onnx("Reshape"):
            join_reshapes(graph, node)
        elif node.is_ours("Product"):
            take_transposes(graph, node)


def order_of(graph: Graph, node: Node) -> list[int] | None:
    """The axes of the input in the order of the result."""
    perm = node.attributes.get("perm")
    if perm is not None:
        return list(perm)
    rank = graph.rank(node.inputs[0])
    return None if rank is None else list(range(rank))[::-1]


def join_transposes(graph: Graph, node: Node) -> None:
    """Read from before another transposition."""
    before = graph.producer(node.inputs[0])
    if before is None or not before.is_onnx("Transpose"):
        return
    outer, inner = order_of(graph, node), order_of(graph, before)
    if outer is None or inner is None or len(outer) != len(inner):
        return
    perm = [inner[axis] for axis in outer]
    made_of = [*before.made_of, *node.made_of]
    new = onnx_node("Transpose", [before.inputs[0]], node.outputs, made_of, perm=perm)
    graph.replace([node], new)
    if perm == sorted(perm):
        remove_identity(graph, new)


def join_reshapes(graph: Graph, node: Node) -> None:
    """Read from before another change of shape, where this one says all of its sizes."""
    shape, before = graph.constant(node.input(1)), graph.producer(node.inputs[0])
    if shape is None or (shape == 0).any() or before is None or not before.is_onnx(*RESHAPES):
        return
    attributes = dict(node.attributes)
    inputs = [before.inputs[0], node.inputs[1]]
    made_of = [*before.made_of, *node.made_of]
    graph.replace([node], onnx_node("Reshape", inputs, node.outputs, made_of, **attributes))


def take_transposes(graph: Graph, node: Node) -> None:
    """Let a product read an operand from before the last two axes traded places."""
    inputs, attributes = list(node.inputs), dict(node.attributes)
    made_of = list(node.made_of)
    for index, key in enumerate(("transpose_a", "transpose_b")):
        before = graph.producer(inputs[index])
        if before is None or not before.is_onnx("Transpose"):
            continue
        order = order_of(graph, before)
        if order is None or len(order) < 2:
            continue
        last = len(order) - 1
        if order == [*range(last - 1), last, last - 1]:
            inputs[index] = before.inputs[0]
            attributes[key] = not attributes[key]
            made_of = [*before.made_of, *made_of]
    if inputs != node.inputs:
        new = Node("Product", node.domain, inputs, node.outputs, attributes, None, made_of)
        graph.replace([node], new)
