"""Max and average pooling of one to three axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gconv._engine import call, program
from gconv._plan.record import ADDRESS, ENUM, INT
from gconv._steps.operand import Operand, check_float32, check_shape
from gconv._steps.record import Kind
from gconv._steps.step import Step, bytes_of, written

POOL = np.dtype(
    [
        ("operation", ENUM), ("images", INT), ("channels", INT), ("in_size", INT, 3),
        ("out_size", INT, 3), ("kernel", INT, 3), ("stride", INT, 3), ("dilation", INT, 3),
        ("padding", INT, 3), ("x_image", INT), ("x_channel", INT), ("x_axis", INT, 3),
        ("y_image", INT), ("y_channel", INT), ("y_axis", INT, 3), ("counts", ADDRESS, 3),
        ("room", INT), ("rows", INT),
    ],
    align=True,
)

SCRATCH_BYTES = 8192  # of rows: they stay in the first-level cache

OPERATIONS = {"max": program.reductions["MAX"], "average": program.reductions["MEAN"]}


def pool(
    operation: str,
    x: Operand,
    y: Operand,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[tuple[int, int]],
    count_include_pad: bool = False,
) -> Step | None:
    """y = the largest, or the average, of every window of x, in ONNX's sense.

    Parameters
    ----------
    operation : {"max", "average"}
        The largest is NaN where the window holds NaN.
    x, y : Operand
        (batch, channels, *spatial), one to three spatial axes of any strides. y's size says how
        many windows there are: with `ceil_mode` the last ones may reach beyond the padding.
    kernel, stride, dilation : sequence of int
        Of each spatial axis.
    padding : sequence of (int, int)
        Elements before and after each spatial axis. They never are the largest.
    count_include_pad : bool
        Whether the average is over the padding too, as zeros. What lies beyond the padding does
        not count.

    Raises
    ------
    ValueError
        Where the shapes do not fit each other.
    """
    dimensions = len(kernel)
    check_float32(x, y)
    if len(x.shape) != dimensions + 2 or not 1 <= dimensions <= 3:
        raise ValueError(f"gconv: a pool of {dimensions} axes of x of shape {x.shape}")
    check_shape("y", y, (*x.shape[:2], *y.shape[2:]))
    missing = 3 - dimensions
    axes = list(zip(
        (1,) * missing + x.shape[2:], (1,) * missing + y.shape[2:], (1,) * missing + tuple(kernel),
        (1,) * missing + tuple(stride), (1,) * missing + tuple(dilation),
        ((0, 0),) * missing + tuple(padding), strict=True))
    counts = [
        window_counts(n, m, k, s, d, before, after if count_include_pad else 0,
                      before if count_include_pad else 0)
        for n, m, k, s, d, (before, after) in axes
    ]
    in_size, out_size, kernels, strides, dilations, paddings = zip(*axes, strict=True)
    # A row of x's columns, padded, and room behind it for vectors that reach beyond its end.
    room = program.room + paddings[2][0] + max(
        in_size[2], (out_size[2] - 1) * strides[2] + (kernels[2] - 1) * dilations[2] + 1)
    rows = max(1, min(out_size[1], SCRATCH_BYTES // (4 * room)))
    own = np.array(
        (
            OPERATIONS[operation], x.shape[0], x.shape[1], in_size, out_size, kernels, strides,
            dilations, [before for before, _ in paddings], *x.strides[:2],
            (0,) * missing + x.strides[2:], *y.strides[:2], (0,) * missing + y.strides[2:],
            [call.address_of(count) for count in counts], room, rows,
        ),
        POOL,
    )
    taps = math.prod(kernel)
    return written(
        Kind.POOL, [x, y], own,
        words=f"{operation} pool",
        items=0 if y.size == 0 else y.size // out_size[2],
        flops=y.size * taps,
        work=bytes_of(x, y) + 4 * y.size * (kernels[0] * kernels[1] * strides[2] + kernels[2]),
        scratch=4 * room * rows,
        keep=counts,
    )


def window_counts(
    size: int, windows: int, kernel: int, stride: int, dilation: int, padding: int,
    after: int, before: int,
) -> NDArray[np.float32]:
    """How many elements each window has along an axis, of an image with so many counted elements
    before and after it."""
    taps = (np.arange(windows)[:, None] * stride - padding) + np.arange(kernel) * dilation
    inside = (taps >= -before) & (taps < size + after)
    return np.asarray(inside.sum(axis=1), np.float32)
