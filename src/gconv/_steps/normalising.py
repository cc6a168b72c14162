"""Softmax and layer norm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconv._engine import program
from gconv._plan.record import FLAG, INT
from gconv._steps.axes import Axis, axes_of, by_steps, collapsed, fits, walked
from gconv._steps.operand import Operand, check_array, check_float32, check_shape, fixed
from gconv._steps.record import AXES, Kind
from gconv._steps.step import Step, bytes_of, written

SOFTMAX = np.dtype(
    [
        ("log", FLAG), ("rows", AXES), ("size", INT), ("x_step", INT), ("y_step", INT),
        ("columns", INT), ("blocks", INT),
    ],
    align=True,
)
LAYER_NORM = np.dtype([("rows", AXES), ("size", INT), ("epsilon", np.float64)], align=True)

COLUMNS = program.softmax_columns  # that are computed at once
# As bytes that are copied in the same time for each byte. Measured on Zen 4.
SOFTMAX_WORK = 4
LAYER_NORM_WORK = 2


def softmax(x: Operand, y: Operand, axis: int, log: bool = False) -> Step | None:
    """y = softmax(x) over an axis, or its logarithm.

    Parameters
    ----------
    x, y : Operand
        Of one shape; y may be x.
    axis : int
        Not negative.
    log : bool

    Returns
    -------
    Step or None
        None where neither the elements of that axis nor those of the last other one are
        neighbours, or where too many axes do not collapse.
    """
    check_float32(x, y)
    check_shape("y", y, x.shape)
    own_axis = Axis(x.shape[axis], (x.strides[axis], y.strides[axis]))
    others = [n for n in range(len(x.shape)) if n != axis]
    rows = collapsed(by_steps(axes_of(
        [x.shape[n] for n in others],
        [[operand.strides[n] for n in others] for operand in (x, y)]), 1))
    across = own_axis.size > 1 and own_axis.steps != (1, 1)
    columns = 1
    if across:
        if not rows or rows[-1].steps != (1, 1):
            return None
        columns = rows.pop().size
    if not fits(rows):
        return None
    blocks = -(-columns // COLUMNS)
    own = np.array(
        (log, walked(rows), own_axis.size, *own_axis.steps, columns if across else 0, blocks),
        SOFTMAX,
    )
    return written(
        Kind.SOFTMAX, [x, y], own,
        words="log-softmax" if log else "softmax",
        items=0 if x.size == 0 else blocks * math.prod(row.size for row in rows),
        flops=4 * x.size,
        work=SOFTMAX_WORK * bytes_of(x, y),
        scratch=own_axis.size * program.vector_bytes if across else 0,
    )


def layer_norm(
    x: Operand,
    scale: NDArray[Any] | None,
    bias: NDArray[Any] | None,
    y: Operand,
    axis: int,
    epsilon: float,
) -> Step | None:
    """y = (x - mean) / sqrt(variance + epsilon) * scale + bias, from an axis to the last one.

    Parameters
    ----------
    x, y : Operand
        Of one shape; y may be x.
    scale, bias : numpy.ndarray or None
        Of the shape of the normalised axes; None for 1 and 0.
    axis : int
        The first normalised axis, not negative.
    epsilon : float

    Returns
    -------
    Step or None
        None where the normalised axes of x or y are not contiguous, or too many others do not
        collapse.
    """
    check_float32(x, y)
    check_shape("y", y, x.shape)
    check_array("scale", scale, x.shape[axis:])
    check_array("bias", bias, x.shape[axis:])
    inner = collapsed(axes_of(x.shape[axis:], [x.strides[axis:], y.strides[axis:]]))
    if len(inner) > 1 or (inner and inner[0].steps != (1, 1)):
        return None
    rows = collapsed(by_steps(axes_of(x.shape[:axis], [x.strides[:axis], y.strides[:axis]]), 1))
    if not fits(rows):
        return None
    constants = [array for array in (scale, bias) if array is not None]
    own = np.array((walked(rows), math.prod(x.shape[axis:]), epsilon), LAYER_NORM)
    return written(
        Kind.LAYER_NORM,
        [x, None if scale is None else fixed(scale), None if bias is None else fixed(bias), y],
        own,
        words="layer norm",
        items=0 if x.size == 0 else math.prod(row.size for row in rows),
        flops=8 * x.size,
        work=LAYER_NORM_WORK * bytes_of(x, y),
        keep=constants,
    )
