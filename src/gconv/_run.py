"""One convolution, from validated operands to the result."""

from __future__ import annotations

from typing import Any

import numpy as np

from gconv import _arrays, _plan
from gconv._arrays import Array
from gconv._engine import call
from gconv._geometry import Geometry
from gconv._plan import Family


def prepare(
    geometry: Geometry,
    x: Array,
    out: Array | None,
    *others: Array | None,
    residual: Array | None = None,
    **options: Any,
) -> tuple[call.Plan, Array | None, Array | None]:
    """The plan of a convolution of x, the array y that the engine writes to, and the result.

    y is None where it is a new array in C order; it is the result itself wherever the engine can
    write to that, and that overlaps none of the inputs (x and the others). The result is None
    where it is y: it is `out` if given, else channels-last where x is.

    `options` are those of `_plan.plan_for`. With a residual the engine writes in C order.
    """
    if out is None and _arrays.is_channels_last(x, geometry.batched):
        out = _arrays.channels_last_output(geometry.out_shape, x.dtype, geometry.batched)
    in_order = out is None or out.flags.c_contiguous
    y = out if out is not None and _arrays.can_take_result(out, x, *others) else None
    if y is not None and not in_order and residual is None and not geometry.transposed:
        plan = _plan.plan_for(
            geometry, x.dtype, _strides(geometry, x), y_strides=_strides(geometry, y), **options
        )
        if plan.spec.family != Family.PLAIN:
            return plan, y, out
    plan = _plan.plan_for(geometry, x.dtype, _strides(geometry, x), **options)
    return plan, y if in_order else None, out


def _strides(geometry: Geometry, array: Array) -> tuple[int, ...]:
    """Strides, the batch's first; 0 along an axis of one element, where they mean nothing, so
    that all such arrays have the same plan."""
    strides = tuple(
        stride if extent > 1 else 0
        for stride, extent in zip(array.strides, array.shape, strict=True)
    )
    return strides if geometry.batched else (0, *strides)


def short_cut(
    geometry: Geometry, plan: call.Plan, packed: Array | None, x: Array, y: Array | None
) -> call.ShortCut | None:
    """The way to the result for the next x like this one, where it and the result y are both in
    C order or both channels-last."""
    if x.flags.c_contiguous and plan.spec.y_in_order:
        return call.ShortCut(plan, packed, x.shape, geometry.out_shape, x.dtype)
    if (
        y is not None
        and not plan.spec.y_in_order
        and _arrays.is_channels_last(x, geometry.batched)
        and _arrays.is_channels_last(y, geometry.batched)
    ):
        return call.ShortCut(
            plan, packed, x.shape, geometry.out_shape, x.dtype, x.strides, y.strides
        )
    return None


def run(
    geometry: Geometry,
    plan: call.Plan,
    x: Array,
    weight: Array,
    packed: Array | None,
    bias: Array | None,
    y: Array | None,
    out: Array | None,
    threads: int,
    residual: Array | None = None,
) -> Array:
    """Compute what `prepare` has prepared."""
    if y is None:
        y = np.empty(geometry.out_shape, x.dtype)
    # The engine reads a residual where the result has its strides, if they do not overlap or are
    # the same memory. Any other takes its place in the result first.
    if residual is not None and not (
        _arrays.same_memory(residual, y)
        or (residual.flags.c_contiguous and not np.may_share_memory(residual, y))
    ):
        y[...] = residual
        residual = y
    batched_x, batched_y = (x, y) if geometry.batched else (x[None], y[None])
    plan.run(batched_x, weight, packed, bias, batched_y, threads, residual)
    if out is None or out is y:
        return y
    out[...] = y
    return out
