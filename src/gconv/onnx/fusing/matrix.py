"""MatMul and Gemm become Linear where the right operand is constant, and Product otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconv.onnx.fusing import elementwise
from gconv.onnx.graph import OURS, Graph, Info, Node


def translate(graph: Graph) -> None:
    """Replace the matrix products of float32 that are not of vectors."""
    for node in list(graph.nodes):
        if not node.is_onnx("MatMul", "Gemm"):
            continue
        if any(graph.dtype(name) != np.float32 for name in (*node.reads, *node.writes)):
            continue
        new = (matmul if node.op == "MatMul" else gemm)(graph, node)
        if new:
            graph.replace([node], new)


def linear(graph: Graph, node: Node, weight: NDArray[Any], bias: str, output: str) -> Node:
    """A Linear node; the weight is (M, K)."""
    weight = np.ascontiguousarray(weight, np.float32)
    name = graph.add_constant(f"{node.inputs[1]}/weight", weight)
    inputs = [node.inputs[0], name, bias, ""]
    return Node("Linear", OURS, inputs, [output], {"activation": None}, None, list(node.made_of))


def product(node: Node, transpose_a: bool, transpose_b: bool, output: str) -> Node:
    """A Product node."""
    attributes = {"transpose_a": transpose_a, "transpose_b": transpose_b, "activation": None}
    inputs = [node.inputs[0], node.inputs[1], ""]
    return Node("Product", OURS, inputs, [output], attributes, None, list(node.made_of))


def matmul(graph: Graph, node: Node) -> list[Node] | None:
    """The nodes that a MatMul becomes; None if it stays."""
    a, b = node.inputs
    weight = graph.constant(b)
    if weight is not None and weight.ndim == 2 and a not in graph.constants and weight.size:
        return [linear(graph, node, weight.T, "", node.outputs[0])]
    ranks = graph.rank(a), graph.rank(b)
    if any(rank is None or rank < 2 for rank in ranks):
        return None
    return [product(node, False, False, node.outputs[0])]


def gemm(graph: Graph, node: Node) -> list[Node] | None:
    """The nodes that a Gemm becomes; None if it stays."""
    attributes = node.attributes
    alpha, beta = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
    transpose_a = bool(attributes.get("transA", 0))
    transpose_b = bool(attributes.get("transB", 0))
    weight, (y,) = graph.constant(node.inputs[1]), node.outputs
    bias, addend = gemm_addend(graph, node, beta, weight, transpose_b)
    if addend is None:
        return None
    result = graph.free_name(f"{y}/product") if addend else y
    if weight is not None and weight.ndim == 2 and not transpose_a and weight.size:
        rows = weight if transpose_b else weight.T
        if alpha != 1:
            rows = (rows.astype(np.float64) * alpha).astype(np.float32)
        new = linear(graph, node, rows, bias, result)
    elif alpha == 1 and not bias:
        new = product(node, transpose_a, transpose_b, result)
    else:
        return None
    if not addend:
        return [new]
    info = graph.infos[y]
    graph.infos[result] = Info(result, info.dtype, info.shape)
    return [new, elementwise.make([result, addend], y, "add", node.made_of)]


def gemm_addend(
    graph: Graph, node: Node, beta: float, weight: NDArray[Any] | None, transpose_b: bool
) -> tuple[str, str | None]:
    """What a Gemm adds: a bias by column, or a value ("" if none; None if it cannot be told)."""
    name = node.input(2)
    if not name or beta == 0:
        return "", ""
    value = graph.constant(name)
    if value is None:
        return "", name if beta == 1 else None
    scaled = value if beta == 1 else (value.astype(np.float64) * beta).astype(np.float32)
    by_column = value.ndim < 2 or (value.ndim == 2 and value.shape[0] == 1)
    if weight is None or weight.ndim != 2 or node.attributes.get("transA", 0) or not by_column:
        return "", name if beta == 1 else graph.add_constant(f"{name}/scaled", scaled)
    columns = weight.shape[0] if transpose_b else weight.shape[1]
    if scaled.size not in (1, columns):
        return "", None
    if scaled.shape == (columns,) and beta == 1:
        return name, ""
    row = np.ascontiguousarray(np.broadcast_to(scaled.reshape(-1), (columns,)))
    return graph.add_constant(f"{name}/bias", row), ""
