"""Axes of several operands at once: fewer and longer ones wherever their memory allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gconv._steps.record import AXES, MOST_AXES


class Axis(NamedTuple):
    """An axis that operands share: its extent, and the elements from one to the next in each."""

    size: int
    steps: tuple[int, ...]


def axes_of(shape: Sequence[int], strides: Sequence[Sequence[int]]) -> list[Axis]:
    """The axes of operands of one shape, those of one element left out."""
    return [
        Axis(size, tuple(steps[axis] for steps in strides))
        for axis, size in enumerate(shape) if size != 1
    ]


def collapsed(axes: Sequence[Axis]) -> list[Axis]:
    """The same elements on as few axes as possible, the order kept.

    >>> collapsed([Axis(2, (12, 1)), Axis(3, (4, 0)), Axis(4, (1, 0))])
    [Axis(size=2, steps=(12, 1)), Axis(size=12, steps=(1, 0))]
    """
    found: list[Axis] = []
    for axis in axes:
        if found and all(
            outer == inner * axis.size
            for outer, inner in zip(found[-1].steps, axis.steps, strict=True)
        ):
            found[-1] = Axis(found[-1].size * axis.size, axis.steps)
        else:
            found.append(axis)
    return found


def by_steps(axes: Sequence[Axis], operand: int) -> list[Axis]:
    """Axes in the order of an operand's memory, the longest steps first."""
    return sorted(axes, key=lambda axis: -abs(axis.steps[operand]))


def fits(axes: Sequence[Axis]) -> bool:
    """Whether the engine can walk along so many axes."""
    return len(axes) <= MOST_AXES


def walked(axes: Sequence[Axis]) -> NDArray[Any]:
    """The record of axes that the engine walks along, the last of them fastest."""
    record = np.zeros((), AXES)
    record["size"] = 1
    missing = MOST_AXES - len(axes)
    for number, axis in enumerate(axes):
        record["size"][missing + number] = axis.size
        record["step"][: len(axis.steps), missing + number] = axis.steps
    return record
