"""One convolution, from its operands to the result."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gconv._call import arrays, isa
from gconv._call.arrays import Array
from gconv._call.geometry import Geometry, Parameters, Shape
from gconv._call.threads import resolve
from gconv._engine import call
from gconv._plan import choose


class Prepared(NamedTuple):
    """A convolution that is ready to run.

    Attributes
    ----------
    plan : call.Plan
    x : numpy.ndarray
    y : numpy.ndarray
        What the engine writes, in the plan's memory order.
    residual : numpy.ndarray or None
        Laid out as y is, and sharing no memory with it unless it is y and the engine allows that.
    result : numpy.ndarray
        y itself, or where y is copied to.
    """

    plan: call.Plan
    x: Array
    y: Array
    residual: Array | None
    result: Array


def convolve(
    name: str,
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    residual: ArrayLike | None,
    out: Array | None,
    num_threads: int | None,
    *,
    parameters_of: Callable[[Shape, Shape | None], Parameters],
    keep: Callable[[call.ShortCut], None],
    packed_for: Callable[[call.Plan], Array | None] = lambda plan: None,
    **options: Any,
) -> Array:
    """The whole way of a call, from whatever it was given to the result.

    Everything is checked first. `parameters_of` validates what does not depend on x, from the
    shapes of weight and bias; `packed_for` returns the weights as a plan wants them, if they are
    kept; `keep` is given the short cut for the next call like this one. `options` are those of
    `choose.plan_for`.
    """
    threads = resolve(name, num_threads)
    x, weight, bias = arrays.operands(name, x, weight, bias)
    bias_shape = None if bias is None else bias.shape
    geometry = parameters_of(weight.shape, bias_shape).applied_to(x.shape, x.itemsize)
    if out is not None:
        arrays.check_out(name, out, geometry.out_shape, x.dtype)
    if residual is not None:
        residual = arrays.residual_for(name, residual, geometry.out_shape, x.dtype)
    weight = np.ascontiguousarray(weight)
    bias = None if bias is None else np.ascontiguousarray(bias)
    prepared = prepare(geometry, x, out, weight, bias, residual=residual, **options)
    packed = packed_for(prepared.plan)
    keep(short_cut(geometry, prepared, packed))
    return run(geometry, prepared, weight, packed, bias, threads)


def prepare(
    geometry: Geometry,
    x: Array,
    out: Array | None,
    *inputs: Array | None,
    residual: Array | None = None,
    **options: Any,
) -> Prepared:
    """The plan of a convolution of x, and where its result goes.

    The plan depends on x alone: the result is channels-last in memory where an image of x is, and
    in C order elsewhere, or where it is both. The engine writes an `out` of that order, or a slice
    of the channels of such an array, unless it overlaps x or the other inputs. Any other `out`
    takes a copy of the result.
    """
    batched = geometry.batched
    in_order = (
        call.is_image(x, batched, True)
        or not call.is_image(x, batched, False)  # some other order: C order is taken
        or geometry.out_channels == 1
        or math.prod(geometry.out_size) == 1
    )
    plan = choose.plan_for(
        geometry, x.dtype, strides_of(x, batched), isa.machine(x.dtype), y_in_order=in_order,
        **options,
    )
    engine_order = in_order or plan.copied  # of what the engine writes
    shape = geometry.out_shape
    result = new_result(shape, x.dtype, batched, in_order) if out is None else out
    writes = (
        engine_order == in_order
        and (out is None or arrays.can_take_result(out, in_order, batched, x, *inputs))
    )
    y = result if writes else new_result(shape, x.dtype, batched, engine_order)
    if residual is None:
        return Prepared(plan, x, y, None, result)
    # The engine reads a residual that lies as y does. It may be y itself in C order; every other
    # one is copied: into y where it may be that, for then it needs no memory of its own.
    same = arrays.same_layout(residual, y)
    if (engine_order and same and arrays.same_memory(residual, y)) or (
        same and not np.may_share_memory(residual, y)
    ):
        return Prepared(plan, x, y, residual, result)
    if engine_order:
        y[...] = residual
        return Prepared(plan, x, y, y, result)
    copy = new_result(shape, x.dtype, batched, engine_order)
    copy[...] = residual
    if not arrays.same_layout(copy, y):  # y is a slice of a larger array
        y = new_result(shape, x.dtype, batched, engine_order)
    return Prepared(plan, x, y, copy, result)


def new_result(shape: Shape, dtype: np.dtype[Any], batched: bool, in_order: bool) -> Array:
    """An array for the result, in C order or channels-last; its elements are not set."""
    if in_order:
        return np.empty(shape, dtype)
    return call.channels_last_output(shape, dtype, batched)


def strides_of(array: Array, batched: bool) -> tuple[int, ...]:
    """Strides within an image behind a 0 for the batch, of which no plan depends."""
    strides = image_strides(array.shape, array.strides, array.itemsize)
    return (0, *strides[batched:])


def image_strides(shape: Shape, strides: Shape, step: int) -> Shape:
    """Strides as plans see them, in the unit of `step`, that of an element. Along an axis of one
    element, and of an empty array, where a stride means nothing, it is that of C order, so that
    all such arrays have the same plan."""
    empty = 0 in shape
    found = []
    for stride, extent in zip(reversed(strides), reversed(shape), strict=True):
        found.append(step if extent <= 1 or empty else stride)
        step = found[-1] * max(extent, 1)
    return tuple(reversed(found))


def short_cut(geometry: Geometry, prepared: Prepared, packed: Array | None) -> call.ShortCut:
    """The way to the result for the next x like this one."""
    return call.ShortCut(prepared.plan, packed, prepared.x, geometry.out_shape)


def run(
    geometry: Geometry,
    prepared: Prepared,
    weight: Array,
    packed: Array | None,
    bias: Array | None,
    threads: int,
) -> Array:
    """Compute what `prepare` has prepared."""
    plan, x, y, residual, result = prepared
    image = ... if geometry.batched else None  # with a batch dimension, whatever there was
    last = None
    if plan.copied and call.is_slice(result, geometry.batched, False):
        last = result[image]
    plan.run(x[image], weight, packed, bias, y[image], threads, residual, last)
    if result is not y and last is None:
        arrays.copy_result(result, y, geometry.batched)
    return result
