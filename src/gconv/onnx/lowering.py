"""From nodes to steps: where every value lies, and what computes it.

`operators.py` has a function for each operator that steps of our own compute. Everything else,
and what these refuse, is run by ONNX's reference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gconv._call.geometry import Shape
from gconv._engine import call
from gconv._plan.items import Layout
from gconv._steps import FIXED, Operand, Step, c_strides, copy
from gconv.onnx.checking import naming
from gconv.onnx.constants import Constants
from gconv.onnx.graph import Graph, Node
from gconv.onnx.memory import FOREVER, Root, View, in_order, new_view
from gconv.onnx.shapes import Shapes

Array: TypeAlias = NDArray[Any]

FLOAT32 = np.dtype(np.float32)
# Their results are the elements of their first input, in the same order.
RESHAPING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout")
# Their results are views of what they read, and so lie where that lies.
VIEWING = (*RESHAPING, "Transpose", "Slice", "Split", "Expand", "Gather")


class Refused(Exception):
    """Steps of our own do not serve a node."""


@dataclass(eq=False)
class Entry:
    """A step of a plan.

    Attributes
    ----------
    node : Node
    step : Step or None
        One of our own; None where the reference runs the node.
    inputs : list of View or None
        Of a node that the reference runs, one for each input, then the captured values.
    outputs : list of View or None
        What is written.
    """

    node: Node
    step: Step | None
    inputs: list[View | None]
    outputs: list[View | None]


class Lowering:
    """The steps of planned nodes, for one set of input shapes.

    Attributes
    ----------
    entries : list of Entry
    roots : list of Root
    results : list of str
        The values that the caller gets; each has a root of its own, in this order.
    packed_bytes : int
        Of the constants that were packed for these steps.
    """

    def __init__(
        self,
        graph: Graph,
        known: Shapes,
        constants: Constants,
        inputs: Sequence[str],
        results: Sequence[str],
    ) -> None:
        self.graph = graph
        self.known = known
        self.constants = constants
        self.results = list(results)
        self.packed_bytes = 0
        self.entries: list[Entry] = []
        self.roots: list[Root] = []
        self.values: dict[str, View] = {}
        self.copies: dict[str, View] = {}
        self.targets: dict[str, View] = {}
        self.results_at: dict[str, View] = {}
        self.index = 0  # of the node that is being lowered
        self.last_use: dict[str, int] = {}
        self.readers: dict[str, list[Node]] = {}
        self.makers: dict[str, Node] = {}
        for index, node in enumerate(known.planned):
            for name in node.reads:
                self.last_use[name] = index
                self.readers.setdefault(name, []).append(node)
            for name in node.writes:
                self.makers[name] = node
        for name in results:
            self.last_use[name] = FOREVER
        for number, name in enumerate(inputs):
            shape, dtype = known.shape[name], known.dtype[name]
            root = self.new_root("input", math.prod(shape) * dtype.itemsize, number)
            self.assign(name, new_view(root, shape, dtype))
        self.place_results()
        self.place_concatenations()
        for self.index, node in enumerate(known.planned):
            self.lower(node)
        self.index = FOREVER
        self.copy_results()

    # ---- roots and values ----

    def new_root(self, kind: str, nbytes: int, number: int = 0) -> Root:
        """Memory for values."""
        root = Root(kind, nbytes, number)
        self.provide(root)
        return root

    def provide(self, root: Root) -> None:
        """Let runs have this memory."""
        root.place = len(self.roots)
        self.roots.append(root)

    def assign(self, name: str, view: View) -> None:
        """Say where a value lies."""
        self.values[name] = view
        view.root.values.append(name)

    def new_value(self, shape: Shape, dtype: np.dtype[Any] = FLOAT32) -> View:
        """A place that only the node at hand knows."""
        return new_view(
            self.new_root("arena", math.prod(shape) * dtype.itemsize), shape, dtype)

    def constant(self, name: str) -> Array | None:
        """A value that is known before anything runs."""
        if not name:
            return None
        found = self.known.folded.get(name)
        return self.constants.get(name) if found is None else found

    def packed(self, name: str, layout: Layout) -> Array | None:
        """A constant as the tiles of a layout read it; None where they read it as it is."""
        packed, new = self.constants.by_name[name].packed(layout)
        if packed is not None and new:
            self.packed_bytes += packed.nbytes
        return packed

    def view(self, name: str) -> View:
        """Where a value lies."""
        found = self.values.get(name)
        if found is None:
            array = self.constant(name)
            assert array is not None
            found = self.fixed(array)
            self.values[name] = found
        return found

    def fixed(self, array: Array) -> View:
        """A constant as a value."""
        array = np.require(array, requirements=("C", "A"))
        return new_view(Root("constant", array.nbytes, 0, array), array.shape, array.dtype)

    def destination(self, name: str) -> View:
        """Where a node is to leave a value."""
        view = self.targets.get(name)
        if view is None:
            view = self.new_value(self.known.shape[name], self.known.dtype[name])
        self.assign(name, view)
        return view

    def channels_last(self, name: str) -> View:
        """A place for a value of the node at hand whose channels are neighbours."""
        batch, channels, *size = self.known.shape[name]
        view = self.new_value((batch, *size, channels)).transposed(
            (0, len(size) + 1, *range(1, len(size) + 1)))
        self.assign(name, view)
        return view

    def forget(self, name: str) -> None:
        """Take back where a value lies."""
        self.values.pop(name).root.values.remove(name)

    def ends_here(self, view: View) -> bool:
        """Whether nobody needs what shares memory with a view once the node at hand has run."""
        root = view.root
        return root.kind == "arena" and all(
            self.last_use.get(name, -1) <= self.index for name in root.values)

    def in_order(self, name: str) -> View:
        """A value in C order, copied where it is not."""
        view = self.view(name)
        if view.contiguous:
            return view
        found = self.copies.get(name)
        if found is None:
            found = self.copied(view)
            self.copies[name] = found
            found.root.values.append(name)
        return found

    def copied(self, view: View) -> View:
        """A copy in C order."""
        made = self.new_value(view.shape, view.dtype)
        self.copy(view, made)
        return made

    # ---- steps ----

    def at(self, view: View) -> Operand:
        """A view as steps take it; the buffer is the place of its root for now."""
        root, size = view.root, view.dtype.itemsize
        if root.array is not None:
            address = call.address_of(root.array) if root.array.size else 0
            return Operand(FIXED, address + view.offset * size, view.shape, view.strides, size)
        return Operand(root.place, view.offset * size, view.shape, view.strides, size)

    def own(self, step: Step | None, reads: Sequence[View | None], writes: View) -> None:
        """Add a step of our own.

        Raises
        ------
        Refused
            Where its builder made none.
        """
        if step is None:
            raise Refused
        for view in (*reads, writes):
            if view is not None:
                view.root.used(len(self.entries))
        self.entries.append(Entry(self.node, step, list(reads), [writes]))

    def copy(self, x: View, y: View) -> None:
        """Add a step that copies, where there is something to copy."""
        if x.size:
            self.own(copy(self.at(x), self.at(y)), [x], y)

    def lower(self, node: Node) -> None:
        """Add the steps of a node."""
        from gconv.onnx.composed import OPERATORS

        self.node = node
        if all(self.known.size(name) == 0 for name in node.writes):
            for name in node.writes:  # no elements, nothing to compute
                self.destination(name)
            return
        function = OPERATORS.get((node.domain, node.op))
        if function is not None:
            before = len(self.entries), dict(self.values), dict(self.copies)
            try:
                with naming(self.graph, node, self.known.shape):
                    function(self, node)
                return
            except Refused:
                del self.entries[before[0] :]
                self.values, self.copies = before[1], before[2]
        inputs = [self.view(name) if name else None for name in (*node.inputs, *node.captured)]
        outputs = [self.destination(name) if name else None for name in node.outputs]
        for view in (*inputs, *outputs):
            if view is not None:
                view.root.used(len(self.entries))
        self.entries.append(Entry(node, None, inputs, outputs))

    # ---- results and concatenations: where values are to lie before anything is lowered ----

    def place_results(self) -> None:
        """Every result is written where the caller gets it, by whoever makes it."""
        for number, name in enumerate(self.results):
            shape, dtype = self.known.shape[name], self.known.dtype[name]
            root = self.new_root("output", math.prod(shape) * dtype.itemsize, number)
            self.results_at[name] = new_view(root, shape, dtype)
            self.propose(name, self.results_at[name], result=True)

    def propose(self, name: str, view: View, *, result: bool = False) -> bool:
        """Let a value lie in a given place; whether it will."""
        maker = self.makers.get(name)
        if maker is None or name in self.targets or (not result and name in self.results):
            return False
        if maker.is_onnx(*VIEWING):
            source = maker.inputs[0]
            if not maker.is_onnx(*RESHAPING) or name != maker.outputs[0] or not view.contiguous:
                return False
            if self.known.dtype.get(source) != view.dtype:
                return False
            if not self.propose(source, view._replace(
                shape=self.known.shape[source], strides=c_strides(self.known.shape[source])
            )):
                return False
        elif not in_order(view.shape[1:], view.strides[1:]):
            return False
        self.targets[name] = view
        return True

    def place_concatenations(self) -> None:
        """What is concatenated is written where the concatenation wants it."""
        for node in reversed(self.known.planned):
            if not node.is_onnx("Concat"):
                continue
            name = node.outputs[0]
            whole = self.targets.get(name)
            if whole is None:
                root = Root("arena", 0)
                whole = new_view(root, self.known.shape[name], self.known.dtype[name])
                root.nbytes = whole.size * whole.dtype.itemsize
            placed = False
            for part, view in parts_of(node, whole, self.known):
                if view.size and part not in self.values and self.constant(part) is None:
                    placed = self.propose(part, view) or placed
            if placed:
                if name not in self.targets:
                    self.provide(whole.root)
                    self.targets[name] = whole
                whole.root.values.append(name)

    def copy_results(self) -> None:
        """Results that lie elsewhere (inputs, constants, views of others) are copied."""
        for name in self.results:
            wanted, view = self.results_at[name], self.view(name)
            if view.root is not wanted.root:
                self.node = self.makers.get(name) or Node("Identity", "", [name], [name])
                self.copy(view, wanted)


def parts_of(node: Node, whole: View, known: Shapes) -> Iterator[tuple[str, View]]:
    """The inputs of a concatenation, and where they lie in its result."""
    axis = node.attributes["axis"] % len(whole.shape)
    begin = 0
    for name in node.inputs:
        size = known.shape[name][axis]
        yield name, whole.sliced(axis, begin, size)
        begin += size
