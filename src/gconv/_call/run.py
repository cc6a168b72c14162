"""One convolution, from its operands to the result."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gconv._call import arrays, threads
from gconv._call.arrays import Array
from gconv._call.geometry import Geometry, Parameters
from gconv._engine import call
from gconv._plan import choose
from gconv._plan.problem import Family


def convolve(
    name: str,
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    residual: ArrayLike | None,
    out: Array | None,
    num_threads: int | None,
    *,
    parameters_of: Callable[[Array, Array | None], Parameters],
    keep: Callable[[call.ShortCut], None],
    packed_for: Callable[[call.Plan], Array | None] = lambda plan: None,
    **options: Any,
) -> Array:
    """The whole way of a call, from whatever it was given to the result.

    Everything is checked first. `parameters_of` validates what does not depend on x, from weight
    and bias; `packed_for` returns the weights as a plan wants them, if they are kept; `keep` is
    given the short cut for the next call like this one. `options` are those of `choose.plan_for`.
    """
    workers = threads.resolve(name, num_threads)
    x, weight, bias = arrays.operands(name, x, weight, bias)
    geometry = parameters_of(weight, bias).applied_to(x.shape, x.itemsize)
    if out is not None:
        arrays.check_out(name, out, geometry.out_shape, x.dtype)
    if residual is not None:
        residual = arrays.residual_for(name, residual, geometry.out_shape, x.dtype)
    weight = np.ascontiguousarray(weight)
    bias = None if bias is None else np.ascontiguousarray(bias)
    plan, y, out, copies = prepare(geometry, x, out, weight, bias, residual=residual, **options)
    packed = packed_for(plan)
    next_time = short_cut(geometry, plan, packed, x, out if copies else y, copies)
    if next_time is not None:
        keep(next_time)
    return run(geometry, plan, x, weight, packed, bias, y, out, workers, residual)


def prepare(
    geometry: Geometry,
    x: Array,
    out: Array | None,
    *others: Array | None,
    residual: Array | None = None,
    **options: Any,
) -> tuple[call.Plan, Array | None, Array | None, bool]:
    """The plan of a convolution of x, the array y that the engine writes to, the result, and
    whether it is copied there although the engine could write to it: see `choose_tile`.

    y is None where it is a new array in C order; it is the result itself wherever the engine can
    write to that, and that overlaps none of the inputs (x and the others). The result is None
    where it is y: it is `out` if given, else channels-last where x is.

    `options` are those of `choose.plan_for`. A residual takes the engine to C order unless it lies
    as the result does, but elsewhere.
    """
    if out is None and arrays.is_channels_last(x, geometry.batched):
        out = call.channels_last_output(geometry.out_shape, x.dtype, geometry.batched)
    in_order = out is None or out.flags.c_contiguous
    y = out if out is not None and arrays.can_take_result(out, x, *others) else None
    fits = residual is None or (
        y is not None
        and arrays.same_layout(residual, y)
        and not np.may_share_memory(residual, y)
    )
    other_order = y if not in_order and fits else None
    if other_order is not None and not geometry.transposed:
        plan = choose.plan_for(
            geometry, x.dtype, _strides(geometry, x), y_strides=_strides(geometry, other_order),
            **options,
        )
        if plan.spec.family != Family.PLAIN:
            return plan, other_order, out, False
    plan = choose.plan_for(geometry, x.dtype, _strides(geometry, x), **options)
    return plan, y if in_order else None, out, other_order is not None


def _strides(geometry: Geometry, array: Array) -> tuple[int, ...]:
    """Strides, the batch's first; 0 along an axis of one element, where they mean nothing, so
    that all such arrays have the same plan."""
    strides = tuple(
        stride if extent > 1 else 0
        for stride, extent in zip(array.strides, array.shape, strict=True)
    )
    return strides if geometry.batched else (0, *strides)


def short_cut(
    geometry: Geometry,
    plan: call.Plan,
    packed: Array | None,
    x: Array,
    result: Array | None,
    copies: bool,
) -> call.ShortCut | None:
    """The way to the result for the next x like this one, where it and the result are both in C
    order or both channels-last; `copies` says that the engine writes C order first even so."""
    if x.flags.c_contiguous and plan.spec.y_in_order:
        return call.ShortCut(plan, packed, x.shape, geometry.out_shape, x.dtype)
    if (
        result is not None
        and arrays.is_channels_last(x, geometry.batched)
        and arrays.may_be_channels_last(result, geometry.batched)
    ):
        return call.ShortCut(
            plan, packed, x.shape, geometry.out_shape, x.dtype, x.strides, result.strides,
            partial(arrays.copy_result, batched=geometry.batched) if copies else None,
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
    workers: int,
    residual: Array | None = None,
) -> Array:
    """Compute what `prepare` has prepared."""
    if y is None:
        y = np.empty(geometry.out_shape, x.dtype)
    # The engine reads a residual where the result has its strides, if they do not overlap or are
    # the same memory. Any other takes its place in the result first.
    if residual is not None and not (
        arrays.same_memory(residual, y)
        or (arrays.same_layout(residual, y) and not np.may_share_memory(residual, y))
    ):
        y[...] = residual
        residual = y
    batched_x, batched_y = (x, y) if geometry.batched else (x[None], y[None])
    plan.run(batched_x, weight, packed, bias, batched_y, workers, residual)
    if out is None or out is y:
        return y
    arrays.copy_result(out, y, geometry.batched)
    return out
