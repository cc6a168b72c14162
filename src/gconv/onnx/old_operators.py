"""Operators whose meaning changed between opsets, brought up to date.

Their attributes mean something else today, or have other defaults, and onnx.reference computes
only what they mean today. The opset of the model stays what it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx.helper

from gconv.onnx.graph import Graph, Info, Node


def bring_up_to_date(graph: Graph) -> None:
    """Rewrite the operators of a graph of ONNX's nodes that mean something else today."""
    version = graph.opsets.get("", 0)
    for node in list(graph.nodes):
        if not node.domain and node.op in CHANGES:
            since, change = CHANGES[node.op]
            if version < since:
                change(graph, node)


def onnx_node(
    op: str, inputs: list[str], outputs: list[str], made_of: list[str], **attributes: Any
) -> Node:
    """Make a node of ONNX's."""
    proto = onnx.helper.make_node(op, inputs, outputs, name=made_of[0], **attributes)
    return Node(op, "", inputs, outputs, attributes, proto, list(made_of))


def set_attributes(graph: Graph, node: Node, op: str = "", **attributes: Any) -> None:
    """Give a node attributes, and another operator where one is named."""
    new = onnx_node(
        op or node.op, node.inputs, node.outputs, node.made_of, **{**node.attributes, **attributes}
    )
    graph.replace([node], new)


def softmax_of_rows(graph: Graph, node: Node) -> None:
    """Before opset 13 the softmax went over all axes from `axis` on, taken as one."""
    axis, (x,), (y,) = node.attributes.get("axis", 1), node.inputs, node.outputs
    rank = graph.rank(x)
    if axis == -1 or (rank is not None and axis % rank == rank - 1):
        set_attributes(graph, node, axis=-1)
        return
    shape, rows, result = (graph.free_name(f"{y}/{part}") for part in ("shape", "rows", "softmax"))
    dtype = graph.infos[x].dtype
    graph.infos[shape] = Info(shape, np.dtype(np.int64), (rank,))
    for name in (rows, result):
        graph.infos[name] = Info(name, dtype, (None, None))
    graph.replace(
        [node],
        [
            onnx_node("Shape", [x], [shape], node.made_of),
            onnx_node("Flatten", [x], [rows], node.made_of, axis=axis),
            onnx_node(node.op, [rows], [result], node.made_of, axis=-1),
            onnx_node("Reshape", [result, shape], [y], node.made_of),
        ],
    )


def resize_by_scales(graph: Graph, node: Node) -> None:
    """The first Resize had two inputs and took the position for the scaled index rounded down."""
    x, scales = node.inputs
    new = onnx_node(
        "Resize",
        [x, "", scales],
        node.outputs,
        node.made_of,
        mode=node.attributes.get("mode", "nearest"),
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    graph.replace([node], new)


def upsample(graph: Graph, node: Node) -> None:
    """Upsample is what Resize was at first; before opset 9 its scales were an attribute."""
    if "scales" in node.attributes:
        value = np.array(node.attributes["scales"], np.float32)
        scales = graph.add_constant(f"{node.outputs[0]}/scales", value)
        graph.set_inputs(node, [node.inputs[0], scales])
    resize_by_scales(graph, node)


def scatter(graph: Graph, node: Node) -> None:
    """Scatter was renamed."""
    set_attributes(graph, node, "ScatterElements")


def roi_align(graph: Graph, node: Node) -> None:
    """Before opset 16 pixels were not centred on halves."""
    set_attributes(graph, node, coordinate_transformation_mode="output_half_pixel")


def grid_sample(graph: Graph, node: Node) -> None:
    """Before opset 20 the modes had other names."""
    mode = node.attributes.get("mode", "bilinear")
    set_attributes(graph, node, mode={"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode))


# Operator: (the first opset with today's meaning, what to do in those before).
CHANGES: dict[str, tuple[int, Callable[[Graph, Node], None]]] = {
    "Softmax": (13, softmax_of_rows),
    "LogSoftmax": (13, softmax_of_rows),
    "Hardmax": (13, softmax_of_rows),
    "Resize": (11, resize_by_scales),
    "Upsample": (10, upsample),
    "Scatter": (11, scatter),
    "RoiAlign": (16, roi_align),
    "GridSample": (20, grid_sample),
}
