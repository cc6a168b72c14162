"""Activations written as several nodes become one: gelu, silu, hardswish, hardsigmoid.

Exporters write the same function in many orders: x · 0.5 · (1 + erf(x / √2)), or with the half
inside, or with products in another order. So nodes are not compared one by one. Each of these
functions is y = A(x) + B(x) · f(C(x)) with polynomials A, B, C of x and one function f that is no
polynomial. Around every such f the nodes are multiplied out, and the polynomials are looked up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

from gconv.onnx.fusing import elementwise
from gconv.onnx.graph import Graph, Node

# The coefficient of x**i · f**j, by (i, j).
Polynomial: TypeAlias = dict[tuple[int, int], float]

MOST_NODES = 12  # of a pattern
MOST_DEGREE = 4

GELU_SLOPE = math.sqrt(2 / math.pi)


class Pattern(NamedTuple):
    """An activation: the function f, its argument C, and A + B · f."""

    activation: str
    function: Any
    argument: Polynomial
    whole: Polynomial


HALF_AND_HALF: Polynomial = {(1, 0): 0.5, (1, 1): 0.5}
PATTERNS = [
    Pattern("gelu", "erf", {(1, 0): math.sqrt(0.5)}, HALF_AND_HALF),
    Pattern(
        "gelu_tanh",
        "tanh",
        {(1, 0): GELU_SLOPE, (3, 0): GELU_SLOPE * 0.044715},
        HALF_AND_HALF,
    ),
    Pattern("silu", "sigmoid", {(1, 0): 1}, {(1, 1): 1}),
    Pattern("hardswish", "hardsigmoid", {(1, 0): 1}, {(1, 1): 1}),
    Pattern("hardswish", ("clip", 0, 6), {(1, 0): 1, (0, 0): 3}, {(1, 1): 1 / 6}),
    Pattern("hardswish", ("clip", 0, 1), {(1, 0): 1 / 6, (0, 0): 0.5}, {(1, 1): 1}),
    Pattern("hardsigmoid", ("clip", 0, 6), {(1, 0): 1, (0, 0): 3}, {(0, 1): 1 / 6}),
    Pattern("hardsigmoid", ("clip", 0, 1), {(1, 0): 1 / 6, (0, 0): 0.5}, {(0, 1): 1}),
]


def recognise(graph: Graph) -> None:
    """Replace the activations that are written as several nodes."""
    join_clips(graph)
    for node in list(graph.nodes):
        if node.is_ours("Elementwise") and graph.producer(node.outputs[0]) is node:
            function = function_of(node)
            if function is not None:
                recognise_around(graph, node, function)


def join_clips(graph: Graph) -> None:
    """Make one clip of a lower and an upper bound that follow each other."""
    for node in list(graph.nodes):
        limits = limits_of(node)
        before = graph.producer(node.inputs[0]) if limits else None
        if limits is None or before is None or graph.only_reader(node.inputs[0]) is not node:
            continue
        first = limits_of(before)
        if first is None:
            continue
        lo, hi = (min(max(bound, limits[0]), limits[1]) for bound in first)
        activation: Any = "relu" if (lo, hi) == (0, math.inf) else ("clip", lo, hi)
        made_of = [*before.made_of, *node.made_of]
        new = elementwise.make(before.inputs, node.outputs[0], "identity", made_of, activation)
        graph.replace([before, node], new)


def limits_of(node: Node) -> tuple[float, float] | None:
    """The bounds of a clip and nothing else."""
    if not node.is_ours("Elementwise") or node.attributes["function"] != "identity":
        return None
    activation = node.attributes["activation"]
    if activation == "relu":
        return 0, math.inf
    if isinstance(activation, tuple) and activation[0] == "clip":
        return activation[1], activation[2]
    return None


def function_of(node: Node) -> Any:
    """The function f that a node is, as patterns have it."""
    function, activation = node.attributes["function"], node.attributes["activation"]
    if function == "erf" and activation is None:
        return "erf"
    return activation if function == "identity" else None


def recognise_around(graph: Graph, inner: Node, function: Any) -> None:
    """Replace the longest pattern around f."""
    patterns = [pattern for pattern in PATTERNS if pattern.function == function]
    if not patterns:
        return
    tops = roots(graph, inner)
    for x in bases(graph, inner):
        argument = Expansion(graph, x, None)
        arguments = argument.of(inner.inputs[0])
        if arguments is None:
            continue
        for root in reversed(tops):
            whole = Expansion(graph, x, inner.outputs[0])
            wholes = whole.of(root.outputs[0])
            if wholes is None:
                continue
            for pattern in patterns:
                if near(graph, arguments, pattern.argument) and near(graph, wholes, pattern.whole):
                    nodes = {id(n): n for n in (*argument.nodes, inner, *whole.nodes)}
                    if closed(graph, nodes.values(), root):
                        put(graph, list(nodes.values()), x, root, pattern.activation)
                        return


def put(graph: Graph, nodes: list[Node], x: str, root: Node, activation: str) -> None:
    """Replace the nodes of a pattern."""
    order = {id(node): index for index, node in enumerate(graph.nodes)}
    nodes.sort(key=lambda node: order[id(node)])
    made_of = [name for node in nodes for name in node.made_of]
    new = elementwise.make([x], root.outputs[0], "identity", made_of, activation)
    graph.replace(nodes, new)


def closed(graph: Graph, nodes: Iterable[Node], root: Node) -> bool:
    """Whether nobody else reads what the nodes make, that of the root apart."""
    members = {id(node) for node in nodes}
    return all(
        not graph.is_output(name) and all(id(r) in members for r in graph.readers(name))
        for node in nodes
        if node is not root
        for name in node.writes
    )


def bases(graph: Graph, inner: Node) -> list[str]:
    """What x may be: the values that the argument of f is computed from, the nearest first."""
    found: list[str] = []
    waiting = [inner.inputs[0]]
    while waiting and len(found) < MOST_NODES:
        name = waiting.pop(0)
        if name in graph.constants or name in found:
            continue
        found.append(name)
        producer = graph.producer(name)
        if producer is not None and is_arithmetic(producer):
            waiting.extend(producer.inputs)
    return found


def roots(graph: Graph, inner: Node) -> list[Node]:
    """Where a pattern may end: the nodes that follow f one by one, f first."""
    found = [inner]
    while len(found) < MOST_NODES:
        reader = graph.only_reader(found[-1].outputs[0])
        if reader is None or not is_arithmetic(reader):
            break
        found.append(reader)
    return found


def is_arithmetic(node: Node) -> bool:
    """Whether a node can be multiplied out."""
    return (
        node.is_ours("Elementwise")
        and node.attributes["activation"] is None
        and node.attributes["function"] in ARITHMETIC
    )


ARITHMETIC = ("add", "subtract", "multiply", "divide", "negative", "square", "power", "identity")


class Expansion:
    """A value multiplied out in x and f, and the nodes that this went through."""

    def __init__(self, graph: Graph, x: str, f: str | None) -> None:
        self.graph, self.x, self.f = graph, x, f
        self.nodes: list[Node] = []

    def of(self, name: str) -> Polynomial | None:
        """The polynomial; None if there is none, or one that no pattern has."""
        if name == self.x:
            return {(1, 0): 1}
        if name == self.f:
            return {(0, 1): 1}
        constant = self.graph.constant(name)
        if constant is not None:
            if constant.size != 1 or not elementwise.no_wider(self.graph, constant, self.x):
                return None
            return {(0, 0): float(constant.item())}
        node = self.graph.producer(name)
        if node is None or not is_arithmetic(node) or len(self.nodes) >= MOST_NODES:
            return None
        self.nodes.append(node)
        function, inputs = node.attributes["function"], node.inputs
        first = self.of(inputs[0])
        if first is None:
            return None
        if function == "identity":
            return first
        if function == "negative":
            return times(first, {(0, 0): -1})
        if function == "square":
            return times(first, first)
        second = self.of(inputs[1])
        if second is None:
            return None
        if function == "multiply":
            return times(first, second)
        if function in ("add", "subtract"):
            return plus(first, second, 1 if function == "add" else -1)
        number = second.get((0, 0), 0.0) if set(second) <= {(0, 0)} else 0.0
        if function == "divide":
            return times(first, {(0, 0): 1 / number}) if number else None
        if number not in (2, 3):
            return None
        power = times(first, first)
        return times(power, first) if number == 3 and power is not None else power


def times(a: Polynomial, b: Polynomial | None) -> Polynomial | None:
    """The product, if its degree is not too high."""
    product: Polynomial = {}
    for (i, j), value in a.items():
        for (k, m), other in (b or {}).items():
            if i + k + j + m > MOST_DEGREE:
                return None
            power = (i + k, j + m)
            product[power] = product.get(power, 0) + value * other
    return product


def plus(a: Polynomial, b: Polynomial, sign: int) -> Polynomial:
    """The sum or difference."""
    return {key: a.get(key, 0) + sign * b.get(key, 0) for key in {*a, *b}}


def near(graph: Graph, a: Polynomial, b: Polynomial) -> bool:
    """Whether two polynomials are the same but for the rounding of their numbers."""
    return all(
        math.isclose(a.get(key, 0), b.get(key, 0), rel_tol=graph.tolerance, abs_tol=1e-30)
        for key in {*a, *b}
    )
