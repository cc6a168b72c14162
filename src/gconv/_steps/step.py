"""A step of a program, and how its record is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gconv._engine import call
from gconv._steps.operand import ABSENT, Operand
from gconv._steps.record import MOST_PLACES, STEP, Kind

if TYPE_CHECKING:
    from gconv._engine.call import Plan


# Threads' scratch begins this far apart: cache lines are fetched in pairs.
LINES = 128


@dataclass(frozen=True, eq=False)
class Step:
    """What a `Program` runs. It is the same for every instruction set.

    Attributes
    ----------
    record : numpy.ndarray
        The engine's `StepPlan`.
    words : str
        What the step does, for tables.
    flops : int
        Floating-point operations.
    nbytes : int
        Bytes that it reads and writes.
    keep : tuple of numpy.ndarray
        What the addresses in the record point into.
    plan : call.Plan or None
        Of a convolution.
    """

    record: NDArray[Any]
    words: str
    flops: int
    nbytes: int
    keep: tuple[NDArray[Any], ...] = ()
    plan: Plan | None = None

    @property
    def own_bytes(self) -> int:
        """Of the record that its kind has."""
        return self.keep[0].nbytes


def bytes_of(*operands: Operand | None) -> int:
    """The bytes that operands occupy; along axes that an array is repeated along, once."""
    total = 0
    for operand in operands:
        if operand is not None:
            size = operand.itemsize
            for n, step in zip(operand.shape, operand.strides, strict=True):
                size *= n if step != 0 else 1
            total += size
    return total


def written(
    kind: Kind,
    operands: Sequence[Operand | None],
    own: NDArray[Any],
    *,
    words: str,
    items: int,
    flops: int,
    work: int | None = None,
    scratch: int = 0,
    keep: Sequence[NDArray[Any]] = (),
    plan: Plan | None = None,
) -> Step:
    """A step of these operands, with the record that its kind has besides STEP.

    Parameters
    ----------
    items : int
        The parts that threads share out.
    work : int, optional
        What one thread does in the time in which it copies so many bytes. Those of the operands
        if not given.
    scratch : int
        Bytes that each thread needs.
    """
    record = np.zeros((), STEP)
    places = [(ABSENT, 0)] * MOST_PLACES
    for number, operand in enumerate(operands):
        if operand is not None:
            places[number] = (operand.buffer, operand.offset)
    nbytes = bytes_of(*operands)
    record["kind"] = kind
    record["items"] = items
    record["work"] = nbytes if work is None else work
    record["scratch"] = -(-scratch // LINES) * LINES
    record["place"] = places
    record["own"] = call.address_of(own)
    return Step(record, words, flops, nbytes, (own, *keep), plan)
