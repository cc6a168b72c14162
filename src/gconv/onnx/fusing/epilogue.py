"""Activations and residual sums go into the operator before them.

An activation goes into the operator whose result it alone reads, through views of that: what is
done to every element may be done before they are transposed or reshaped. A sum goes into a
convolution or matrix product whose result it alone reads, which has no activation yet: a residual
that is added after the activation stays a sum. The other operand must have the very shape of the
result, whatever the sizes of the input: a residual is not broadcast.
"""

from __future__ import annotations

from dataclasses import replace

from gconv.onnx.fusing.sizes import Sizes
from gconv.onnx.fusing.views import RESHAPES
from gconv.onnx.graph import OURS, Graph, Node

TAKERS = ("Convolution", "Linear", "Product", "Elementwise", "ScaleShift")
PRODUCTS = {"Convolution": 3, "Linear": 3, "Product": 2}  # and where their residual stands


def is_activation(node: Node) -> bool:
    """Whether a node applies an activation, and nothing else."""
    return node.is_ours("Elementwise") and node.attributes["function"] == "identity"


def take_activations(graph: Graph) -> None:
    """Let operators apply the activation behind them."""
    for node in list(graph.nodes):
        if not is_activation(node):
            continue
        views, before = behind_views(graph, node)
        if before is None or not before.is_ours(*TAKERS):
            continue
        own, activation = before.attributes["activation"], node.attributes["activation"]
        if own is not None and activation is not None:
            continue
        outputs = before.outputs if views else node.outputs
        attributes = {**before.attributes, "activation": own or activation}
        made_of = [*before.made_of, *node.made_of]
        new = [Node(before.op, OURS, before.inputs, outputs, attributes, None, made_of)]
        if views:
            new += [*views[:-1], replace(views[-1], outputs=node.outputs)]
        graph.replace([before, *views, node], new)


def behind_views(graph: Graph, node: Node) -> tuple[list[Node], Node | None]:
    """The transpositions and changes of shape before a node, the first one first, and what makes
    the value that they show, where nobody else reads any of these."""
    views: list[Node] = []
    reader = node
    while True:
        x = reader.inputs[0]
        before = graph.producer(x)
        if before is None or graph.only_reader(x) is not reader:
            return views, None
        if not before.is_onnx("Transpose", *RESHAPES):
            return views, before
        views.insert(0, before)
        reader = before


def take_residuals(graph: Graph) -> None:
    """Let convolutions and matrix products add the residual."""
    sizes = Sizes(graph)
    for node in list(graph.nodes):
        if not node.is_ours("Elementwise") or node.attributes["function"] != "add":
            continue
        a, b = node.inputs
        order = {id(each): index for index, each in enumerate(graph.nodes)}
        # Of two products the later one adds: the other result must be there by then anyway.
        candidates = [
            (before, x, other)
            for x, other in ((a, b), (b, a))
            if (before := graph.producer(x)) is not None
            and before.is_ours(*PRODUCTS)
            and before.attributes["activation"] is None
            and not before.input(PRODUCTS[before.op])
            and graph.only_reader(x) is node
            and sizes.equal(x, other)
        ]
        if not candidates:
            continue
        before, _, other = max(candidates, key=lambda each: order[id(each[0])])
        inputs = list(before.inputs)
        inputs[PRODUCTS[before.op]] = other
        attributes = {**before.attributes, "activation": node.attributes["activation"]}
        made_of = [*before.made_of, *node.made_of]
        graph.replace(
            [before, node], Node(before.op, OURS, inputs, node.outputs, attributes, None, made_of)
        )
