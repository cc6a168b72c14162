"""The work in a plan: its arithmetic, and how evenly its items share it among threads."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gconv._geometry import Shape
    from gconv._problem import Problem, Spec


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
    # Tap k lies inside for the outputs first[k] to last[k] - 1.
    reach = p.padding[axis] - np.arange(p.kernel[axis]) * p.dilation[axis]
    first = np.clip(-(-reach // p.stride[axis]), 0, p.out_size[axis])
    last = np.clip((p.in_size[axis] - 1 + reach) // p.stride[axis] + 1, first, p.out_size[axis])
    before: NDArray[np.intp] = np.clip(positions[:, None], first, last).sum(axis=1) - first.sum()
    return before


def balance(spec: Spec, images: int, threads: int) -> float:
    """The most work of a thread over the mean, as the engine's static schedule shares items out.

    Threads get consecutive items, the first ``items % threads`` of them one more than the
    others. The work of an item is the taps that it computes: those of all its outputs but for
    kernel planes and rows that meet zeros of padding. Kernel columns there count as well, unless
    the plan skips them: kernels multiply the panel's zeros.
    """
    least, more = divmod(spec.items * images, threads)
    thread = np.arange(threads + 1)
    begins = thread * least + np.minimum(thread, more)
    # An item of a transposed convolution computes its band of every part.
    edges = sum(
        (work_before(part, images, begins) for part in spec.parts or (spec,)),
        np.zeros(threads + 1),
    )
    if edges[-1] == 0:
        return 1.0
    return float(np.max(np.diff(edges)) * threads / edges[-1])


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
    columns = _edges(spec.out_size[2], spec.band[2])
    image = (None, np.arange(images + 1))
    groups = (None, _edges(spec.groups, spec.group_block))
    channels = (None, _edges(spec.out_channels, spec.channel_block) * spec.in_channels)
    bands = [
        (0, taps_before(spec, 0, _edges(spec.out_size[0], spec.band[0]))),
        (1, taps_before(spec, 1, _edges(spec.out_size[1], spec.band[1]))),
        (2, taps_before(spec, 2, columns) if spec.column_runs else columns * spec.kernel[2]),
    ]
    inner = [channels, *bands] if spec.bands_inside else [*bands, channels]
    return [
        Level(axis, np.diff(edges).astype(np.float64)) for axis, edges in (image, groups, *inner)
    ]


def slice_shares(spec: Spec) -> NDArray[np.float64]:
    """Of each band's work, the share of each of its slices; shape (bands, slices)."""
    axis = spec.slice_axis
    edges = _edges(spec.out_size[axis], spec.band[axis])
    cuts = edges[:-1, None] + np.arange(spec.slices + 1) * spec.slice_size
    cuts = np.minimum(cuts, edges[1:, None])
    work = np.diff(taps_before(spec, axis, cuts.ravel()).reshape(cuts.shape), axis=1)
    total = work.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = np.zeros(work.shape)
    np.divide(work, total, out=shares, where=total > 0)
    return shares


def work_before(spec: Spec, images: int, numbers: NDArray[np.intp]) -> NDArray[np.float64]:
    """The work of all items before each number, without a list of the items."""
    levels = levels_of(spec, images)
    work = np.zeros(len(numbers))
    rest, first_slices = np.divmod(numbers, spec.slices)
    factor = np.ones(len(numbers))
    band = np.zeros(len(numbers), np.intp)
    for index, (axis, level) in enumerate(levels):
        inner = [other for _, other in levels[index + 1 :]]
        digit, rest = np.divmod(rest, math.prod(map(len, inner)))
        below = np.concatenate([[0.0], np.cumsum(level)])
        work += factor * below[digit] * math.prod(float(other.sum()) for other in inner)
        # Behind the last item there is no further part.
        factor = factor * np.append(level, 0.0)[digit]
        if axis == spec.slice_axis:
            band = np.minimum(digit, len(level) - 1)
    if spec.slices == 1:
        return work
    shares = slice_shares(spec)
    before = np.concatenate([np.zeros((len(shares), 1)), np.cumsum(shares, axis=1)], axis=1)
    work += factor * before[band, first_slices]
    return work


def _edges(total: int, part: int) -> NDArray[np.intp]:
    """Where parts of a size begin, and where the last, perhaps smaller one ends."""
    return np.minimum(np.arange(-(-total // part) + 1) * part, total)
