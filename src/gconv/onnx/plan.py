"""A plan: the steps of some nodes for one set of input shapes, and how they are run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gconv._call import isa
from gconv._call.geometry import Shape
from gconv._engine.program import Program
from gconv._plan.memory import HUGE_PAGE, give_back
from gconv._steps import Step
from gconv.onnx.constants import Constants
from gconv.onnx.graph import Graph, Node
from gconv.onnx.lowering import Lowering
from gconv.onnx.memory import Root, View, allocate
from gconv.onnx.shapes import Shapes

Array: TypeAlias = NDArray[Any]
Compute: TypeAlias = Callable[[Node, list[Any]], list[Any]]

ARENA = 0  # the first buffer of a program; inputs and then results follow


class OtherShape(Exception):
    """The reference made another shape or type than shape inference had said."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.node = node


class Result(NamedTuple):
    """A value that a plan gives back."""

    name: str
    shape: Shape
    dtype: np.dtype[Any]


class Reader(NamedTuple):
    """How a step that the reference runs finds a value: an array, or where it lies in a buffer."""

    array: Array | None
    buffer: int
    offset: int  # in bytes
    shape: Shape
    strides: Shape  # in bytes
    dtype: np.dtype[Any]

    def __call__(self, buffers: Sequence[Array]) -> Array:
        """The value."""
        if self.array is not None:
            return self.array
        return np.ndarray(
            self.shape, self.dtype, buffers[self.buffer].reshape(-1).view(np.uint8),
            self.offset, self.strides)


class ReferenceStep(NamedTuple):
    """A node that the reference runs between steps of our own."""

    number: int  # of its entry
    node: Node
    reads: list[Reader | None]
    writes: list[Reader | None]


class Plan:
    """What is known once the shapes of the inputs are.

    Attributes
    ----------
    inputs : tuple of str
        The values that `run` takes, in this order.
    results : list of Result
        The values that it returns.
    entries : list of Entry
    program : Program
        All own steps.
    arena_bytes : int
    packed_bytes, fixed_bytes : int
        Of weights packed for this plan, and of constants that it made.
    nbytes : int
        What the plan itself keeps alive.
    known : Shapes
        With the nodes that it leaves to the next plan.
    """

    def __init__(
        self,
        graph: Graph,
        known: Shapes,
        constants: Constants,
        inputs: Sequence[str],
        results: Sequence[str],
        compute: Compute,
    ) -> None:
        low = Lowering(graph, known, constants, inputs, results)
        self.known = known
        self.inputs = tuple(inputs)
        self.results = [
            Result(name, known.shape[name], known.dtype[name]) for name in results]
        self.entries = low.entries
        self.compute = compute
        self.arena_bytes = allocate(
            [root for root in low.roots if root.kind == "arena" and root.end >= 0])
        places = [self._place(root) for root in low.roots]
        own: list[Step] = []
        self.actions: list[tuple[int, int] | ReferenceStep] = []
        for number, entry in enumerate(low.entries):
            if entry.step is None:
                count = len(entry.node.inputs) + len(entry.node.captured)
                assert len(entry.inputs) == count
                self.actions.append(ReferenceStep(
                    number, entry.node, [self._reader(view) for view in entry.inputs],
                    [self._reader(view) for view in entry.outputs]))
                continue
            for place in entry.step.record["place"]:
                if place["buffer"] >= 0:
                    buffer, begin = places[place["buffer"]]
                    place["buffer"], place["offset"] = buffer, begin + place["offset"]
            if self.actions and isinstance(self.actions[-1], tuple) and not isinstance(
                self.actions[-1], ReferenceStep
            ):
                self.actions[-1] = (self.actions[-1][0], len(own) + 1)
            else:
                self.actions.append((len(own), len(own) + 1))
            own.append(entry.step)
        self.numbers = [n for n, entry in enumerate(low.entries) if entry.step is not None]
        self.program = Program(own, isa.steps())
        self.fixed_bytes = sum(array.nbytes for array in known.folded.values())
        self.packed_bytes = low.packed_bytes
        if low.packed_bytes >= HUGE_PAGE:
            give_back()  # the weights as they were
        self.whole = len(self.actions) == 1 and not isinstance(self.actions[0], ReferenceStep)

    @property
    def nbytes(self) -> int:
        """What it keeps alive: steps, weights that were packed for it, values that it knows."""
        return self.program.nbytes + self.packed_bytes + self.fixed_bytes

    def _place(self, root: Root) -> tuple[int, int]:
        """The buffer and the first byte of a root."""
        if root.kind == "arena":
            return ARENA, root.offset
        if root.kind == "input":
            return 1 + root.number, 0
        return 1 + len(self.inputs) + root.number, 0

    def _reader(self, view: View | None) -> Reader | None:
        if view is None:
            return None
        size = view.dtype.itemsize
        strides = tuple(step * size for step in view.strides)
        if view.root.array is not None:
            array = np.lib.stride_tricks.as_strided(
                view.root.array.reshape(-1)[view.offset :], view.shape, strides, writeable=False)
            return Reader(array, -1, 0, view.shape, strides, view.dtype)
        buffer, begin = self._place(view.root)
        return Reader(None, buffer, begin + view.offset * size, view.shape, strides, view.dtype)

    def run(
        self,
        inputs: Sequence[Array],
        arena: Array,
        threads: int,
        times: NDArray[np.int64] | None = None,
    ) -> list[Array]:
        """Compute the results, each an array of its own.

        `times`, one for each entry, gets nanoseconds.

        Raises
        ------
        OtherShape
            Where the plan rests on a wrong shape.
        """
        results = [np.empty(shape, dtype) for _, shape, dtype in self.results]
        buffers = [arena, *inputs, *results]
        if self.whole and times is None:
            self.program.run(buffers, threads)
            return results
        own = None if times is None else np.zeros(len(self.program), np.int64)
        for action in self.actions:
            if isinstance(action, ReferenceStep):
                begin = time.perf_counter_ns()
                self._refer(action, buffers)
                if times is not None:
                    times[action.number] = time.perf_counter_ns() - begin
            else:
                self.program.run(buffers, threads, own, *action)
        if times is not None and own is not None:
            times[self.numbers] = own
        return results

    def _refer(self, step: ReferenceStep, buffers: Sequence[Array]) -> None:
        values: list[Array | None] = []
        for reader in step.reads:
            value = None if reader is None else reader(buffers)
            if value is not None:
                value.flags.writeable = False
            values.append(value)
        made = self.compute(step.node, values)
        for reader, value in zip(step.writes, made, strict=False):
            if reader is not None:
                if (
                    not isinstance(value, np.ndarray | np.generic)
                    or value.shape != reader.shape or value.dtype != reader.dtype
                ):
                    raise OtherShape(step.node)
                reader(buffers)[...] = value
