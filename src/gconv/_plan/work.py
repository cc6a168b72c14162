"""The work in a plan: its arithmetic, and how evenly its items share it among threads."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gconv._plan.problem import FLAT, Family

if TYPE_CHECKING:
    from gconv._call.geometry import Shape
    from gconv._plan.problem import Problem, Spec


def flops_inside(spec: Spec) -> int:
    """Floating-point operations of one image, taps that meet zeros of padding left out."""
    pairs = 2 * spec.groups * spec.out_channels * spec.in_channels
    if not spec.parts:
        return pairs * _taps_inside(spec, spec.out_size)
    taps = 0
    for part, phases in zip(spec.parts, product(*spec.part_phases), strict=True):
        # A part may count more outputs than its phase has.
        own = (
            -(-(size - int(phase)) // step)
            for size, phase, step in zip(spec.y_size, phases, spec.y_step, strict=True)
        )
        taps += _taps_inside(part, tuple(own))
    return pairs * taps


def _taps_inside(p: Problem, outputs: Shape) -> int:
    return math.prod(
        int(taps_before(p, axis, np.array([outputs[axis]]))[0]) for axis in range(3)
    )


def taps_before(p: Problem, axis: int, positions: NDArray[np.intp]) -> NDArray[np.intp]:
    """How many taps of all outputs before each position lie inside the image, along an axis;
    all of them do in padding that holds elements of the image."""
    if not p.zero_padding:
        return positions * p.kernel[axis]
    first, last = outputs_of_taps(p, axis)
    before: NDArray[np.intp] = np.clip(positions[:, None], first, last).sum(axis=1) - first.sum()
    return before


def outputs_of_taps(p: Problem, axis: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Tap k of an axis lies inside the image for the outputs first[k] to last[k] - 1."""
    reach = p.padding[axis] - np.arange(p.kernel[axis]) * p.dilation[axis]
    first = np.clip(-(-reach // p.stride[axis]), 0, p.out_size[axis])
    last = np.clip((p.in_size[axis] - 1 + reach) // p.stride[axis] + 1, first, p.out_size[axis])
    return first, last


def shares(spec: Spec, images: int, threads: int) -> NDArray[np.intp]:
    """The first item of each thread, and the number of all: `share_begin` in
    `_engine/engine.pxi`."""
    items = spec.items * images
    thread = np.arange(threads + 1)
    if spec.work is None:
        least, more = divmod(items, threads)
        return thread * least + np.minimum(thread, more)
    total = spec.work[-1]
    before = thread * (images * total / threads)
    image = (before / total).astype(np.intp)
    middles = (spec.work[:-1] + spec.work[1:]) / 2
    within = np.searchsorted(middles, before - image * total)
    begins: NDArray[np.intp] = image * spec.items + within
    begins[-1] = items
    return begins


def balance(spec: Spec, images: int, threads: int) -> float:
    """The most work of a thread over the mean, as the engine shares consecutive items out.

    The work of an item is the taps that it computes: those of all its outputs but for kernel
    planes and rows that meet zeros of padding. Kernel columns there count as well, unless the
    plan skips them: kernels multiply the panel's zeros. So do kernel rows with masked lanes.
    """
    begins = shares(spec, images, threads)
    # An item of a transposed convolution computes its band of every part.
    edges = sum(
        (work_before(part, images, begins) for part in spec.parts or (spec,)),
        np.zeros(threads + 1),
    )
    if edges[-1] == 0:
        return 1.0
    return float(np.max(np.diff(edges)) * threads / edges[-1])


def counted_before(spec: Spec, axis: int, positions: NDArray[np.intp]) -> NDArray[np.intp]:
    """The taps of all outputs before each position that the plan does not skip."""
    if (axis == 2 and not spec.column_runs) or (axis == 1 and spec.family == Family.MASKED):
        return positions * spec.kernel[axis]
    return taps_before(spec, axis, positions.ravel()).reshape(positions.shape)


class Level(NamedTuple):
    """One of the parts that an item is found by: the axis, if it is a band's, and how much work
    each of its values stands for, as a factor."""

    axis: int | None
    work: NDArray[np.float64]


def levels_of(spec: Spec, images: int) -> list[Level]:
    """The levels of a plan's items but for the slices, slowest first: the work of a band and
    channel block is the product of one factor of each.

    They are those of `find_item` in `_engine/items.pxi`.
    """
    image = (None, np.arange(images + 1))
    groups = (None, _edges(spec.groups, spec.group_block))
    channels = (None, _edges(spec.out_channels, spec.channel_block) * spec.in_channels)
    bands = [
        (axis, counted_before(spec, axis, _edges(spec.out_size[axis], spec.band[axis])))
        for axis in range(3)
    ]
    levels = [groups, *bands, channels]
    if spec.bands_inside:
        levels = [groups, channels, *bands]
    elif spec.groups_inside:
        levels = [*bands, groups, channels]
    return [
        Level(axis, np.diff(edges).astype(np.float64)) for axis, edges in (image, *levels)
    ]


def slices_before(spec: Spec) -> NDArray[np.float64]:
    """Of each band's work, the share that lies before each of its slices, and all of it; shape
    (bands of rows, bands of columns, slices + 1), or (bands, 1, slices + 1) along another axis."""

    def taps(axis: int, begin: NDArray[np.intp], end: NDArray[np.intp]) -> NDArray[np.intp]:
        return counted_before(spec, axis, end) - counted_before(spec, axis, begin)

    def bands(axis: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        edges = _edges(spec.out_size[axis], spec.band[axis])
        return edges[:-1, None, None], np.diff(edges)[:, None, None]

    number = np.arange(spec.slices + 1)
    if spec.slice_axis == FLAT:
        row, height = bands(1)
        column, width = (part.reshape(1, -1, 1) for part in bands(2))
        down, across = np.divmod(height * width * number // spec.slices, width)
        done = taps(1, row, row + down) * taps(2, column, column + width)
        done += taps(1, row + down, row + down + 1) * taps(2, column, column + across)
    else:
        begin, extent = bands(spec.slice_axis)
        cut = extent * number // spec.slices
        if spec.slice_axis == 2:
            cut[..., :-1] = np.minimum(cut[..., :-1], np.maximum(extent - spec.lanes, 0))
            cut[..., :-1] -= cut[..., :-1] % spec.lanes
        done = taps(spec.slice_axis, begin, begin + cut)
    whole = done[..., -1:]
    before: NDArray[np.float64] = np.zeros(done.shape)
    np.divide(done, whole, out=before, where=whole > 0)
    return before


def work_before(spec: Spec, images: int, numbers: NDArray[np.intp]) -> NDArray[np.float64]:
    """The work of all items before each number, without a list of the items."""
    levels = levels_of(spec, images)
    work = np.zeros(len(numbers))
    rest, first_slices = np.divmod(numbers, spec.slices)
    factor = np.ones(len(numbers))
    band = [np.zeros(len(numbers), np.intp)] * 2
    for index, (axis, level) in enumerate(levels):
        inner = [other for _, other in levels[index + 1 :]]
        digit, rest = np.divmod(rest, math.prod(map(len, inner)))
        work += factor * _before(level)[digit] * math.prod(float(other.sum()) for other in inner)
        # Behind the last item there is no further part.
        factor = factor * np.append(level, 0.0)[digit]
        if axis == spec.slice_axis or (spec.slice_axis == FLAT and axis == 1):
            band[0] = np.minimum(digit, len(level) - 1)
        if spec.slice_axis == FLAT and axis == 2:
            band[1] = np.minimum(digit, len(level) - 1)
    if spec.slices > 1:
        work += factor * slices_before(spec)[*band, first_slices]
    return np.rint(work)  # the shares were rounded


def _edges(total: int, part: int) -> NDArray[np.intp]:
    """Where parts of a size begin, and where the last, perhaps smaller one ends."""
    return np.minimum(np.arange(-(-total // part) + 1) * part, total)


def _before(parts: NDArray[Any]) -> NDArray[Any]:
    """The sums of all parts before each, and of all."""
    return np.concatenate([np.zeros(1, parts.dtype), np.cumsum(parts)])
