"""Pad of zeros goes into the convolution or average pooling behind it.

Only zeros, along spatial axes, that are added and not taken away; only where every reader can
take them. A maximum would see the zeros, and an average has to count them.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from gconv.onnx.graph import Graph, Node
from gconv.onnx.old_operators import onnx_node

Pairs: TypeAlias = list[tuple[int, int]]


def absorb(graph: Graph) -> None:
    """Let convolutions and average pooling pad for themselves."""
    for node in list(graph.nodes):
        if not node.is_onnx("Pad") or graph.is_output(node.outputs[0]):
            continue
        pairs = spatial_zeros(graph, node)
        readers = graph.readers(node.outputs[0])
        if pairs is None or not readers:
            continue
        new = [padded(reader, node, pairs) for reader in readers]
        if all(each is not None for each in new):
            for reader, each in zip(list(readers), new, strict=True):
                assert each is not None
                graph.replace([reader], each)
            graph.remove([node])


def spatial_zeros(graph: Graph, node: Node) -> Pairs | None:
    """The zeros before and after each spatial axis; None if a Pad does anything else."""
    attributes = node.attributes
    if attributes.get("mode", "constant") != "constant":
        return None
    value: Any = attributes.get("value", 0)
    if node.input(2):
        value = graph.constant(node.input(2))
    pads: Any = attributes.get("pads")
    if node.input(1):
        pads = graph.constant(node.input(1))
    if value is None or np.any(np.asarray(value) != 0) or pads is None:
        return None
    rank, pads = graph.rank(node.inputs[0]), [int(pad) for pad in np.ravel(pads)]
    axes: Any = None
    if node.input(3):
        axes = graph.constant(node.input(3))
        if axes is None or axes.ndim != 1 or rank is None:
            return None
    elif rank is None:
        rank = len(pads) // 2
    if axes is None:
        axes = range(rank)
    if len(pads) != 2 * len(axes) or rank < 3 or min(pads, default=0) < 0:
        return None
    if not all(-rank <= axis < rank for axis in axes):
        return None
    pairs = [(0, 0)] * rank
    for index, axis in enumerate(axes):
        pairs[int(axis)] = (pads[index], pads[index + len(axes)])
    return None if np.any(pairs[:2]) else pairs[2:]


def padded(reader: Node, pad: Node, pairs: Pairs) -> Node | None:
    """The reader with the zeros in its own padding; None if it cannot have them."""
    made_of = [*pad.made_of, *reader.made_of]
    inputs = [pad.inputs[0], *reader.inputs[1:]]
    if reader.inputs[0] != pad.outputs[0] or pad.outputs[0] in inputs:
        return None
    attributes = dict(reader.attributes)
    if reader.is_ours("Convolution"):
        if attributes["padding"] is None or attributes["transposed"]:
            return None
        if len(attributes["padding"]) != len(pairs):
            return None
        attributes["padding"] = tuple(
            (before + more, after + further)
            for (before, after), (more, further) in zip(attributes["padding"], pairs, strict=True)
        )
        return Node("Convolution", reader.domain, inputs, reader.outputs, attributes, None, made_of)
    if not reader.is_onnx("AveragePool"):
        return None
    kernel, dimensions = attributes["kernel_shape"], len(pairs)
    own = attributes.get("pads") or [0] * 2 * dimensions
    if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    if attributes.get("ceil_mode", 0) or any(n != 1 for n in attributes.get("dilations") or [1]):
        return None
    if np.any(own) and not attributes.get("count_include_pad", 0):
        return None
    if len(own) != 2 * dimensions or len(kernel) != dimensions:
        return None
    total = [n + pairs[i % dimensions][i // dimensions] for i, n in enumerate(own)]
    if any(n >= kernel[i % dimensions] for i, n in enumerate(total)):
        return None  # windows of padding alone, which pooling need not allow
    attributes.pop("auto_pad", None)
    attributes |= {"pads": total, "count_include_pad": 1}
    return onnx_node("AveragePool", inputs, reader.outputs, made_of, **attributes)
