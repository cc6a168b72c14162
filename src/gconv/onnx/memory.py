"""Where values lie: views of roots, and one arena that the roots share in turn.

A root is a piece of memory with a time of its own: from the step that first writes it to the last
one that reads it. Values are views of roots; several may be views of one, as the result of a
`Reshape` is, or the parts of a concatenation. Roots that never live at once share the arena's
bytes.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gconv._call.geometry import Shape
from gconv._plan.scratch import LINE_BYTES
from gconv._steps import c_strides

Array: TypeAlias = NDArray[Any]

ROOM_BYTES = 64  # between two roots: a vector's tail does not meet the neighbour's cache line
FOREVER = 2**31


class Root:
    """Memory that values are views of.

    Attributes
    ----------
    kind : str
        "arena"; "input" and "output", the caller's arrays; "constant".
    nbytes : int
    number : int
        Of an input or output, which one.
    place : int
        In the list of the roots that runs provide; -1 for a constant.
    array : numpy.ndarray or None
        Of a constant.
    begin, end : int
        The first step that writes it and the last one that needs it.
    values : list of str
        Names of the values that are views of it.
    offset : int
        Of an arena's root, its first byte there.
    """

    __slots__ = ("array", "begin", "end", "kind", "nbytes", "number", "offset", "place", "values")

    def __init__(
        self, kind: str, nbytes: int, number: int = 0, array: Array | None = None
    ) -> None:
        self.kind = kind
        self.nbytes = nbytes
        self.number = number
        self.place = -1
        self.array = array
        self.begin, self.end = FOREVER, -1
        self.values: list[str] = []
        self.offset = 0

    def used(self, step: int) -> None:
        """A step reads or writes it."""
        self.begin = min(self.begin, step)
        self.end = max(self.end, step)


class View(NamedTuple):
    """A value: elements of a root.

    Attributes
    ----------
    root : Root
    offset : int
        Elements from the root's first byte to the first element.
    shape : tuple of int
    strides : tuple of int
        In elements.
    dtype : numpy.dtype
    """

    root: Root
    offset: int
    shape: Shape
    strides: Shape
    dtype: np.dtype[Any]

    @property
    def contiguous(self) -> bool:
        """Whether the elements follow each other in C order."""
        return in_order(self.shape, self.strides)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def reshaped(self, shape: Shape) -> View | None:
        """The same elements in another shape; None where that takes a copy."""
        strides = reshaped_strides(self.shape, self.strides, shape)
        return None if strides is None else self._replace(shape=shape, strides=strides)

    def transposed(self, order: Sequence[int]) -> View:
        """The axes in another order."""
        return self._replace(
            shape=tuple(self.shape[axis] for axis in order),
            strides=tuple(self.strides[axis] for axis in order),
        )

    def sliced(self, axis: int, begin: int, size: int, step: int = 1) -> View:
        """Some positions of an axis."""
        shape, strides = list(self.shape), list(self.strides)
        offset = self.offset + begin * strides[axis] if size else self.offset
        shape[axis] = size
        strides[axis] *= step
        return self._replace(offset=offset, shape=tuple(shape), strides=tuple(strides))

    def broadcast(self, shape: Shape) -> View:
        """The elements as an operand of a larger shape, by steps of 0."""
        missing = len(shape) - len(self.shape)
        strides = tuple(
            0 if extent == 1 and wanted != 1 else stride
            for extent, wanted, stride in zip(
                self.shape, shape[missing:], self.strides, strict=True)
        )
        return self._replace(shape=shape, strides=(0,) * missing + strides)

    def without(self, axis: int) -> View:
        """The first position of an axis, which goes."""
        return self._replace(
            shape=self.shape[:axis] + self.shape[axis + 1 :],
            strides=self.strides[:axis] + self.strides[axis + 1 :],
        )


def in_order(shape: Shape, strides: Shape) -> bool:
    """Whether elements follow each other in C order; along an axis of one element any stride is
    right."""
    step = 1
    for extent, stride in zip(reversed(shape), reversed(strides), strict=True):
        if extent == 0:
            return True
        if extent != 1 and stride != step:
            return False
        step *= extent
    return True


def reshaped_strides(shape: Shape, strides: Shape, new: Shape) -> Shape | None:
    """Strides of the same elements in a new shape; None where there are none."""
    if 0 in shape or in_order(shape, strides):
        return c_strides(new)
    old = [(extent, stride) for extent, stride in zip(shape, strides, strict=True) if extent != 1]
    result: list[int] = []
    at = 0  # of the old axes
    index = 0  # of the new axes
    while index < len(new):
        if new[index] == 1:
            result.append(1)
            index += 1
            continue
        # The fewest axes, old and new, that hold equally many elements.
        first, begin = at, index
        many, wanted = old[at][0], new[index]
        at += 1
        index += 1
        while many != wanted:
            if many < wanted:
                many *= old[at][0]
                at += 1
            else:
                wanted *= new[index]
                index += 1
        for (_, outer), (extent, inner) in zip(old[first : at - 1], old[first + 1 : at],
                                               strict=True):
            if outer != extent * inner:
                return None
        step = old[at - 1][1]
        steps = []
        for extent in reversed(new[begin:index]):
            steps.append(step)
            step *= extent
        result.extend(reversed(steps))
    return tuple(result)


def new_view(root: Root, shape: Shape, dtype: np.dtype[Any]) -> View:
    """All of a root, in C order."""
    return View(root, 0, shape, c_strides(shape), dtype)


def allocate(roots: Sequence[Root]) -> int:
    """Give every root of the arena its place, the lowest one that is free all its life; return
    the arena's bytes.

    Low places are those that were used a short while ago and are still in the caches.
    """
    living: list[tuple[int, int, Root]] = []  # (begin, end, root), by place
    total = 0
    for root in sorted(roots, key=lambda root: root.begin):
        living = [entry for entry in living if entry[2].end >= root.begin]
        size = -(-(root.nbytes + ROOM_BYTES) // LINE_BYTES) * LINE_BYTES
        place = 0
        for begin, end, _ in living:
            if begin - place >= size:
                break
            place = max(place, end)
        root.offset = place
        entry = (place, place + size, root)
        living.insert(bisect_left([begin for begin, _, _ in living], place), entry)
        total = max(total, place + size)
    return total
