"""What is done to every channel of a concatenation is done to its parts.

So scales and shifts and activations behind it reach the convolutions before it, which compute
them: networks that mix kernels of several sizes are written so.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gconv.onnx.fusing.affine import Affine, Vector, affine_of, channels_of, scale_shift, usable
from gconv.onnx.fusing.epilogue import TAKERS, is_activation
from gconv.onnx.graph import OURS, Graph, Node


def pass_on(graph: Graph) -> None:
    """Put scales, shifts and activations behind concatenations before them."""
    for node in list(graph.nodes):
        while node.is_onnx("Concat"):
            reader, before = graph.only_reader(node.outputs[0]), makers(graph, node)
            if reader is None or before is None:
                break
            pushed = activated if is_activation(reader) else scaled
            parts = pushed(graph, node, before, reader)
            if parts is None:
                break
            whole = replace(
                node, inputs=[part.outputs[0] for part in parts], outputs=reader.outputs)
            graph.replace([node, reader], [*parts, whole])
            node = whole


def makers(graph: Graph, node: Node) -> list[Node] | None:
    """What makes the parts of a concatenation, where nobody else reads these; None elsewhere."""
    found = []
    for name in node.inputs:
        maker = graph.producer(name)
        if maker is None or graph.only_reader(name) is not node:
            return None
        found.append(maker)
    return found


def activated(
    graph: Graph, node: Node, before: list[Node], reader: Node
) -> list[Node] | None:
    """Nodes that activate the parts, where each is made by what can do that as well."""
    if not all(
        maker.is_ours(*TAKERS) and maker.attributes["activation"] is None for maker in before
    ):
        return None
    return [
        Node("Elementwise", OURS, [name], [part_name(graph, name)], dict(reader.attributes),
             None, list(reader.made_of))
        for name in node.inputs
    ]


def scaled(graph: Graph, node: Node, before: list[Node], reader: Node) -> list[Node] | None:
    """Nodes that scale and shift the parts, where each is made by what can take that up."""
    rank = graph.rank(node.inputs[0])
    if rank is None or node.attributes["axis"] not in (1, 1 - rank):
        return None
    sizes = [size for maker in before if (size := channels_made(graph, maker)) is not None]
    found = affine_of(graph, reader, rank, 1)
    if found is None or len(sizes) < len(before) or not usable(found, sum(sizes)):
        return None
    return [
        scale_shift(graph, name, scale, shift, part_name(graph, name), reader.made_of)
        for name, scale, shift in zip(node.inputs, *split(found, sizes), strict=True)
    ]


def channels_made(graph: Graph, node: Node) -> int | None:
    """The channels of what a node makes, where a scale and shift of these can become part of it."""
    if node.attributes.get("activation") is not None:
        return None
    if node.is_ours("ScaleShift"):
        return graph.constants[node.inputs[1]].size
    if node.is_ours("Convolution") and not node.input(3):
        return channels_of(graph, node)[0]
    return None


def split(found: Affine, sizes: list[int]) -> tuple[list[Vector], list[Vector]]:
    """The scales and the shifts of parts of so many channels."""
    ends = np.cumsum(sizes)[:-1]
    scale, shift = (
        np.split(np.broadcast_to(vector, sum(sizes)), ends) for vector in (found.scale, found.shift)
    )
    return scale, shift


def part_name(graph: Graph, name: str) -> str:
    """A free name for what a part becomes, about which the same is known."""
    free = graph.free_name(f"{name}/part")
    if name in graph.infos:
        graph.infos[free] = replace(graph.infos[name], name=free)
    return free
