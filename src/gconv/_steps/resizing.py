"""Resizing by tables: the nearest element, or a linear combination of two along each axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gconv._engine import call, program
from gconv._plan.record import ADDRESS, FLAG, INT
from gconv._steps.axes import axes_of, by_steps, collapsed, fits, walked
from gconv._steps.operand import Operand, check_float32, check_shape
from gconv._steps.record import AXES, Kind
from gconv._steps.step import Step, bytes_of, written

RESIZE = np.dtype(
    [
        ("linear", FLAG), ("images", AXES), ("in_size", INT, 3), ("out_size", INT, 3),
        ("x_axis", INT, 3), ("y_axis", INT, 3), ("low", ADDRESS, 3), ("high", ADDRESS, 3),
        ("weight", ADDRESS, 3), ("factor", INT),
    ],
    align=True,
)


class Table(NamedTuple):
    """Where an axis of the result takes its elements from.

    Attributes
    ----------
    low : numpy.ndarray
        Of each element, the one of x that it is ("nearest"), or the first of two.
    high : numpy.ndarray or None
        The second of two.
    weight : numpy.ndarray or None
        The weight of the second, that of the first is what it lacks to 1.
    """

    low: NDArray[np.integer[Any]]
    high: NDArray[np.integer[Any]] | None = None
    weight: NDArray[np.floating[Any]] | None = None


def resize(x: Operand, y: Operand, mode: str, tables: Sequence[Table]) -> Step | None:
    """y = x, resized along its last axes by tables.

    Parameters
    ----------
    x, y : Operand
        Equal in all axes but the last ones. Columns are neighbours.
    mode : {"nearest", "linear"}
    tables : sequence of Table
        Of the last one to three axes.

    Returns
    -------
    Step or None
        None where columns are not neighbours, or too many axes do not collapse.

    Raises
    ------
    ValueError
        Where a table does not fit its axis.
    """
    check_float32(x, y)
    dimensions = len(tables)
    first = len(x.shape) - dimensions
    check_shape("y", y, (*x.shape[:first], *y.shape[first:]))
    linear = mode == "linear"
    for axis, table in enumerate(tables, first):
        for numbers in (table.low, table.high if linear else None):
            if numbers is not None and (
                numbers.shape != (y.shape[axis],)
                or (numbers.size > 0 and not 0 <= numbers.min() <= numbers.max() < x.shape[axis])
            ):
                raise ValueError(f"gconv: a table of axis {axis} leads out of x")
    if (x.strides[-1] != 1 and x.shape[-1] > 1) or (y.strides[-1] != 1 and y.shape[-1] > 1):
        return None
    images = collapsed(by_steps(
        axes_of(x.shape[:first], [x.strides[:first], y.strides[:first]]), 1))
    if not fits(images):
        return None
    missing = 3 - dimensions
    low = [np.zeros(1, np.int32)] * missing
    high = [np.zeros(1, np.int32)] * missing
    weight = [np.zeros(1, np.float32)] * missing
    for table in tables:
        low.append(np.ascontiguousarray(table.low, np.int32))
        high.append(np.ascontiguousarray(
            table.low if table.high is None or not linear else table.high, np.int32))
        weight.append(
            np.zeros(len(table.low), np.float32) if table.weight is None or not linear
            else np.ascontiguousarray(table.weight, np.float32))
    ones = (1,) * missing
    in_size, out_size = ones + x.shape[first:], ones + y.shape[first:]
    own = np.array(
        (
            linear, walked(images), in_size, out_size, (0,) * missing + x.strides[first:],
            (0,) * missing + y.strides[first:], [call.address_of(array) for array in low],
            [call.address_of(array) for array in high],
            [call.address_of(array) for array in weight],
            factor_of(low[2], high[2], weight[2], in_size[2], linear),
        ),
        RESIZE,
    )
    return written(
        Kind.RESIZE, [x, y], own,
        words=f"resize, {mode}",
        items=0 if y.size == 0 else y.size // out_size[2],
        flops=y.size * 6 if linear else 0,
        work=bytes_of(x, y) + 4 * y.size * (3 if linear else 1),
        scratch=4 * (in_size[2] + program.room),
        keep=(*low, *high, *weight),
    )


def factor_of(
    low: NDArray[np.int32], high: NDArray[np.int32], weight: NDArray[np.float32], size: int,
    linear: bool,
) -> int:
    """How many times each column is repeated, or 2 where a linear table has the columns halfway
    between two of x's at a quarter and three quarters; 0 where there is no such number."""
    if size == 0 or len(low) % size != 0:
        return 0
    factor = len(low) // size
    places = np.arange(len(low))
    if not linear:
        return factor if np.array_equal(low, places // factor) else 0
    if factor != 2:
        return 0
    # Columns 2 j and 2 j + 1 lie a quarter before and behind the middle of column j.
    before = np.clip((places - 1) // 2, 0, size - 1)
    behind = np.clip((places + 1) // 2, 0, size - 1)
    share = np.where(places % 2 == 0, 0.75, 0.25).astype(np.float32)
    inner = (before != behind)
    fits_table = (
        np.array_equal(low[inner], before[inner]) and np.array_equal(high[inner], behind[inner])
        and np.array_equal(weight[inner], share[inner])
    )
    edges = ~inner
    same = np.all(
        np.where(weight[edges] == 0, low[edges],
                 np.where(low[edges] == high[edges], low[edges], -1)) == before[edges])
    return 2 if fits_table and same else 0
