"""One convolution, from validated operands to the result."""

from __future__ import annotations

import numpy as np

from gconv import _arrays, _plan
from gconv._arrays import Array
from gconv._engine import call
from gconv._geometry import Geometry


def plan_for(
    geometry: Geometry, x: Array, *, packs: bool = False, channel_major: bool = False,
    one_bank: bool = False,
) -> call.Plan:
    """The plan of a convolution of x, whose strides it depends on; see `_plan.plan_for`."""
    strides = x.strides if geometry.batched else (0, *x.strides)
    if geometry.batch == 1:
        strides = (0, *strides[1:])  # never used; one plan for all of them
    return _plan.plan_for(geometry, x.dtype, strides, packs=packs,
                          channel_major=channel_major, one_bank=one_bank)


def short_cut(
    geometry: Geometry, plan: call.Plan, packed: Array | None, x: Array
) -> call.ShortCut:
    """The way to the result for the next x like this one, which is in C order."""
    return call.ShortCut(plan, packed, x.shape, geometry.out_shape, x.dtype)


def run(
    geometry: Geometry,
    plan: call.Plan,
    x: Array,
    weight: Array,
    packed: Array | None,
    bias: Array | None,
    out: Array | None,
    threads: int,
    residual: Array | None = None,
) -> Array:
    """Compute into `out`, which has been checked, or into a new array.

    A result is channels-last where x is, and in C order otherwise.
    """
    batched_x = x if geometry.batched else x[None]
    if out is not None and _arrays.can_take_result(out, x, weight, bias):
        result = out
    else:
        result = np.empty(geometry.out_shape, x.dtype)
    # The engine reads a residual where the result has its strides, if they do not overlap or are
    # the same memory. Any other takes its place in the result first.
    if residual is not None and not (
        _arrays.same_memory(residual, result)
        or (residual.flags.c_contiguous and not np.may_share_memory(residual, result))
    ):
        result[...] = residual
        residual = result
    plan.run(batched_x, weight, packed, bias, result, threads, residual)
    if out is None and _arrays.is_channels_last(x, geometry.batched):
        out = _arrays.channels_last_output(geometry.out_shape, x.dtype, geometry.batched)
    if out is None or out is result:
        return result
    out[...] = result
    return out
