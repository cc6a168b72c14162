"""Means, sums and extremes over axes: global pools, ReduceMean."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gconv._engine import program
from gconv._plan.record import ENUM, FLAG, INT
from gconv._steps.axes import Axis, axes_of, by_steps, collapsed, fits, walked
from gconv._steps.operand import Operand, check_float32
from gconv._steps.record import AXES, Kind
from gconv._steps.step import Step, written

REDUCE = np.dtype(
    [
        ("operation", ENUM), ("across", FLAG), ("kept", AXES), ("reduced", AXES),
        ("runs", INT), ("size", INT), ("x_step", INT), ("columns", INT), ("x_column", INT),
        ("y_column", INT), ("blocks", INT), ("count", np.float32),
    ],
    align=True,
)

OPERATIONS = {name.lower(): number for name, number in program.reductions.items()}
COLUMNS = program.reduced_columns  # that are reduced at once


def reduce(operation: str, x: Operand, y: Operand, axes: Sequence[int]) -> Step | None:
    """y = the mean, sum, maximum or minimum of x over some axes.

    Sums are added in a fixed order: neighbours by the lanes of four vectors, others one behind the
    other, in blocks, whose sums are added in double precision.

    Parameters
    ----------
    operation : {"mean", "sum", "max", "min"}
        The extremes are NaN where an element is.
    x : Operand
        Any strides.
    y : Operand
        The kept axes of x in their order, or the same with reduced axes of one element.
    axes : sequence of int
        Not negative.

    Returns
    -------
    Step or None
        None where the operands have too many axes that do not collapse.

    Raises
    ------
    ValueError
        Where y has another shape.
    """
    check_float32(x, y)
    reduced_axes = set(axes)
    kept_shape = tuple(n for axis, n in enumerate(x.shape) if axis not in reduced_axes)
    with_ones = tuple(1 if axis in reduced_axes else n for axis, n in enumerate(x.shape))
    if y.shape == with_ones:
        y_strides = [s for axis, s in enumerate(y.strides) if axis not in reduced_axes]
    elif y.shape == kept_shape:
        y_strides = list(y.strides)
    else:
        raise ValueError(f"gconv: y has shape {y.shape}, not {kept_shape}")
    x_kept = [s for axis, s in enumerate(x.strides) if axis not in reduced_axes]
    kept = collapsed(by_steps(axes_of(kept_shape, [x_kept, y_strides]), 1))
    reduced = collapsed(by_steps(
        axes_of([x.shape[axis] for axis in sorted(reduced_axes)],
                [[x.strides[axis] for axis in sorted(reduced_axes)]]), 0))
    # Vectors go along the last kept axis where its elements are neighbours and those of the
    # reduced ones are not; else along the last reduced one.
    beside = [axis for axis in kept if axis.steps[0] == 1]
    across = bool(beside) and not (reduced and reduced[-1].steps[0] == 1)
    columns = Axis(1, (0, 0))
    if across:
        columns = beside[-1]
        kept.remove(columns)
    last = Axis(1, (1,))
    if reduced and not across:
        last = reduced.pop()
    if not fits(kept) or not fits(reduced):
        return None
    blocks = -(-columns.size // COLUMNS)
    count = math.prod(x.shape[axis] for axis in reduced_axes)
    own = np.array(
        (
            OPERATIONS[operation], across, walked(kept), walked(reduced),
            math.prod(axis.size for axis in reduced), last.size, last.steps[0], columns.size,
            *columns.steps, blocks, count if operation == "mean" else 1,
        ),
        REDUCE,
    )
    if count == 0:
        return None
    return written(
        Kind.REDUCE, [x, y], own,
        words=operation,
        items=0 if y.size == 0 else blocks * math.prod(axis.size for axis in kept),
        flops=x.size,
    )
