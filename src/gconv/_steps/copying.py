"""Copies: parts of concatenations, transpositions, slices, arrays that are repeated."""

from __future__ import annotations

import math

import numpy as np

from gconv._engine import program
from gconv._plan.record import ENUM, INT
from gconv._steps.axes import Axis, axes_of, by_steps, collapsed, fits, walked
from gconv._steps.operand import Operand, check_shape
from gconv._steps.record import AXES, Kind
from gconv._steps.step import Step, bytes_of, written

COPY = np.dtype(
    [
        ("itemsize", INT), ("mode", ENUM), ("outer", AXES), ("size", INT), ("x_step", INT),
        ("y_step", INT), ("chunk", INT), ("chunks", INT), ("columns", INT), ("x_column", INT),
        ("y_column", INT), ("blocks", INT),
    ],
    align=True,
)

RUNS = program.copy_modes["RUNS"]  # of neighbours
STRIDED = program.copy_modes["STRIDED"]
TRANSPOSED = program.copy_modes["TRANSPOSED"]  # what are neighbours in x are rows in y

CHUNK_BYTES = 32 * 1024  # of a run that threads do not share
TRANSPOSED_CHUNK = 4096  # items of a row of a transposition that threads do not share
ITEMSIZES = (1, 2, 4, 8)


def copy(x: Operand, y: Operand) -> Step | None:
    """y = x, which NumPy's rules broadcast to y's shape.

    Parameters
    ----------
    x, y : Operand
        Of one itemsize (1, 2, 4 or 8) and any strides, x's negative ones included; they do not
        overlap.

    Returns
    -------
    Step or None
        None where they have too many axes that do not collapse.

    Raises
    ------
    ValueError
        Where x does not fill y.
    """
    if x.itemsize != y.itemsize or x.itemsize not in ITEMSIZES:
        raise ValueError(f"gconv: a copy of items of {x.itemsize} bytes to such of {y.itemsize}")
    x = x.broadcast(y.shape)
    check_shape("x", x, y.shape)
    axes = collapsed(by_steps(axes_of(y.shape, [x.strides, y.strides]), 1))
    *outer, last = axes or [Axis(1, (1, 1))]
    mode = RUNS if last.steps == (1, 1) else STRIDED
    chunk = max(1, CHUNK_BYTES // x.itemsize)
    other, blocks = Axis(1, (0, 0)), 1
    neighbours = [axis for axis in outer if axis.steps[0] == 1]
    if mode == STRIDED and last.steps[1] == 1 and neighbours:
        mode = TRANSPOSED
        other = neighbours[-1]
        outer.remove(other)
        chunk = TRANSPOSED_CHUNK
        blocks = -(-other.size // program.transposed_rows)
    if not fits(outer):
        return None
    chunks = -(-last.size // chunk) * blocks
    own = np.array(
        (
            x.itemsize, mode, walked(outer), last.size, *last.steps, chunk, chunks, other.size,
            *other.steps, blocks,
        ),
        COPY,
    )
    return written(
        Kind.COPY, [x, y], own,
        words="transpose" if mode == TRANSPOSED else "copy",
        items=0 if y.size == 0 else chunks * math.prod(axis.size for axis in outer),
        flops=0,
        work=bytes_of(x, y) * (1 if mode == RUNS else 2),
    )
