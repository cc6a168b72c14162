"""Work items: bands, blocks and slices, of a size that many threads can share evenly.

An item is a block of groups x a band of outputs x a block of output channels x a slice; the plan
fixes all of it from one image. `find_item` in `_engine/items.pxi` finds an item by its number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from gconv._plan.costs import Tile
from gconv._plan.problem import FLAT, ItemOrder, Operation, taps_before
from gconv._plan.scratch import Regions
from gconv._plan.source import Source

if TYPE_CHECKING:
    from gconv._plan.family import Family
    from gconv._plan.machine import Machine
    from gconv._plan.problem import Problem, Triple

MANY_THREADS = 64
EVEN = 1.15  # the most work of a thread over the mean
# The same of small problems. Whether a thread more has anything to do matters most to them: on 16
# cores a 1x1 convolution of 10 MFLOP in two items was no faster than on one, and in slices four
# times as fast.
SOME_THREADS, FAIR = 16, 1.5
# Large items first: they repeat less. Below a half, weights would be read too often.
ITEM_SIZES = (8.0, 4.0, 2.0, 1.0, 0.5)
SHARES = 1024  # where a thread's share of an image may begin, where items alone are uneven


class Layout(Source):
    """How the work of a problem is laid out for a family's tile.

    `decide` chooses bands, blocks and slices. Families override the steps in which they differ;
    the class attributes say the rest.
    """

    family: Family
    # Bands shrink by planes, then rows, or the other way round: the rows of a plane share less of
    # their input than planes do, but bands of some families must be contiguous in y.
    planes_first: ClassVar[bool] = False
    # Smaller items would copy more of x again: bands are cut into slices before they get smaller.
    slices_before_size: ClassVar[bool] = False

    def __init__(
        self, family: Family, problem: Problem, machine: Machine, tile: Tile, size: float = 1.0
    ) -> None:
        super().__init__(problem, machine, tile)
        self.in_place = self.reads_in_place()
        self.family = family
        self.size = size  # of a work item, over the usual one
        self.group_block = 1
        self.channel_block = problem.out_channels
        self.order = ItemOrder.CHANNELS_FASTEST
        self.slices = 1
        self.slice_axis = 1
        self.work_before: NDArray[np.float64] | None = None
        self.in_scratch = False  # x and y are scratch of a wrapper's, and so in the cache already
        self.weight_offset = problem.weights.origin  # of the first tap, where none are packed
        self.kernel = family.name  # in the engine's table
        self.copied = False  # the result is in C order first, and copied from there

    # ---- the decisions ----

    def decide(self) -> None:
        """Bands, blocks and items."""
        self.limit_panel()
        if not self.p.alone:
            self.limit_outputs()
        self.limit_item()

    def follow(self, like: Layout) -> None:
        """Take the bands, blocks and panel of a sibling."""
        self.band = like.band
        self.group_block = like.group_block
        self.channel_block = like.channel_block
        self.in_block = like.in_block
        self.panel_channels = like.panel_channels
        self.order, self.slices, self.slice_axis = like.order, like.slices, like.slice_axis

    @property
    def unit(self) -> int:
        """Output channels of a tile."""
        return 1

    @property
    def columns(self) -> int:
        """Output columns of a tile."""
        return self.tile.vectors * self.lanes

    def panel_limit(self) -> int:
        """Bytes that a panel should not exceed, as far as smaller bands help."""
        return self.tuning.panel_bytes

    def limit_panel(self) -> None:
        """Shrink the band, and at last the block of input channels, until the panel fits."""
        if self.in_place:
            return
        limit, most = self.panel_limit(), self.tuning.panel_bytes
        least = self.least_lines()
        for axis in (0, 1):
            while self.panel_bytes > limit and self.band[axis] > least[axis]:
                self.shrink(axis, max(least[axis], self.band[axis] // 2))
        self.shrink_columns(self.tuning.panel_tiles * self.columns, lambda: self.panel_bytes > most)
        if self.panel_bytes > most and self.panel_channels > 1:
            channel = self.panel_bytes // self.panel_channels
            channels = even_part(self.p.in_channels, max(1, most // channel))
            self.in_block = self.panel_channels = min(self.in_block, channels)
        self.shrink_columns(self.lanes, lambda: self.panel_bytes > most)

    def least_lines(self) -> tuple[int, int]:
        """The fewest planes and rows that are worth a panel."""
        return 1, 1

    def shrink_columns(self, least: int, too_large: Callable[[], bool]) -> None:
        """Shrink the band's columns, to `least` at most, until something fits."""
        while too_large() and self.band[2] > least:
            before = self.band[2]
            self.shrink(2, max(least, before // 2))
            if self.band[2] == before:
                break

    def shrink(self, axis: int, size: int) -> None:
        """A smaller band: columns in whole vectors, at least LANES of them in the last band too
        where tiles load whole vectors from x in place."""
        extent = self.p.out_size[axis]
        size = even_part(extent, size)
        if axis == 2:
            size = -(-size // self.lanes) * self.lanes
            while self.in_place and 0 < extent % size < self.lanes:
                size += self.lanes
            size = min(size, self.band[2])
        self.set_band(axis, size)

    def cut(self, axis: int, size: int) -> None:
        """A smaller band of any size."""
        self.set_band(axis, even_part(self.p.out_size[axis], size))

    def set_band(self, axis: int, size: int) -> None:
        """Change one extent of the band."""
        band = list(self.band)
        band[axis] = size
        self.band = (band[0], band[1], band[2])

    # ---- outputs of siblings, which wait in scratch ----

    def output_bytes(self) -> int:
        """Of a work item's outputs for a row of siblings, one group's."""
        siblings = min(self.tuning.siblings_at_once, self.p.siblings[2])
        return self.channel_block * self.band_pixels * siblings * self.itemsize

    def limit_outputs(self) -> None:
        """Fewer channels, then a smaller band, until the outputs of siblings fit scratch."""
        most = self.tuning.output_bytes
        blocks = -(-self.p.out_channels // self.unit)
        block = max(1, self.output_bytes() // blocks)
        self.channel_block = even_part(blocks, most // block) * self.unit
        for axis in (0, 1):
            while self.output_bytes() > most and self.band[axis] > 1:
                self.shrink(axis, max(1, self.band[axis] // 2))
        self.shrink_columns(self.lanes, lambda: self.output_bytes() > most)

    # ---- the size of an item ----

    @property
    def is_small(self) -> bool:
        """Whether few threads are worth waking."""
        return self.p.flops < self.tuning.small_flops

    def item_flops(self) -> int:
        """Of a work item, about."""
        t, flops = self.tuning, self.p.flops
        if self.is_small:
            return min(t.small_item_flops, max(flops // 16, t.least_item_flops))
        usual = min(max(flops // t.items, t.least_item_flops), t.most_item_flops)
        return round(usual * self.size)

    def flops(self) -> int:
        """Of a work item, of one group; of all siblings."""
        siblings = math.prod(self.p.siblings) or 1
        return 2 * self.p.taps * self.channel_block * math.prod(self.band) * siblings

    def limit_item(self) -> None:
        """Work items of a size worth sharing out: several groups, or a part of one."""
        target = self.item_flops()
        whole = self.band == self.p.out_size and self.channel_block >= self.p.out_channels
        if self.flops() < target and whole and self.may_join_groups():
            self.join_groups(target)
            return
        self.cut_channels(target)
        self.cut_band(target)

    def may_join_groups(self) -> bool:
        """Whether an item may compute several groups."""
        return True

    def join_groups(self, target: int) -> None:
        """Several groups an item: a number that divides the groups leaves no smaller block
        behind."""
        groups = self.p.groups
        most = max(1, min(groups, target // max(self.flops(), 1)))
        if not self.p.alone:
            most = max(1, min(most, self.tuning.output_bytes // self.output_bytes()))
        divisors = (n for n in range(most, most // 2, -1) if groups % n == 0)
        self.group_block = next(divisors, even_part(groups, most))

    def cut_channels(self, target: int) -> None:
        """Fewer output channels an item."""
        flops = self.flops()
        if flops > target:
            unit = self.unit
            blocks = -(-self.channel_block // unit)
            wanted = max(math.ceil(blocks * target / flops), min(blocks, self.least_blocks()))
            self.channel_block = even_part(-(-self.p.out_channels // unit), wanted) * unit

    def least_blocks(self) -> int:
        """The fewest tiles of output channels that a panel is worth copying for."""
        return 1

    def cut_band(self, target: int) -> None:
        """A smaller band an item."""
        t = self.tuning
        for axis in (0, 1) if self.planes_first else (1, 0):
            least, flops = self.least_band(axis), self.flops()
            if flops > t.item_slack * target and self.band[axis] > least:
                self.shrink(axis, max(least, self.band[axis] // round(flops / target)))
            if self.planes_first and self.band[axis] > 1:
                return
        flops, columns = self.flops(), t.item_vectors * self.lanes
        if flops > t.item_slack * target and self.band[2] > columns:
            self.shrink(2, max(columns, self.band[2] // round(flops / target)))

    def least_band(self, axis: int) -> int:
        """The smallest band worth having."""
        least = 0 if self.in_place else math.ceil(self.tuning.band_repeats * self.shared(axis))
        return max(1, round(least * min(1.0, self.size)))

    def strip_rows(self) -> int:
        """The fewest rows of a band whose strips compute the rows that bands share anew."""
        return max(
            self.tuning.strip_rows, math.ceil(self.tuning.strip_repeats * self.shared(1)))

    def shared(self, axis: int) -> float:
        """Output rows whose inputs a band shares with the next one."""
        return self.p.source_reach[axis] / self.p.stride[axis]

    # ---- what follows ----

    @property
    def bands(self) -> Triple:
        """Bands along each axis."""
        depth, rows, columns = (
            -(-n // b) for n, b in zip(self.p.out_size, self.band, strict=True))
        return depth, rows, columns

    @property
    def group_blocks(self) -> int:
        """Blocks of groups."""
        return -(-self.p.groups // self.group_block)

    @property
    def channel_blocks(self) -> int:
        """Blocks of a group's output channels."""
        return -(-self.p.out_channels // self.channel_block)

    @property
    def items(self) -> int:
        """Work items of an image."""
        return self.group_blocks * math.prod(self.bands) * self.channel_blocks * self.slices

    def skips(self, axis: int) -> bool:
        """Whether tiles leave out the taps of an axis that lie in the padding. Rows and planes are
        never computed there; columns of a panel are multiplied like any others."""
        return axis != 2

    def slice_along(self) -> tuple[int, int]:
        """The axis that slices cut, and the most slices of a band."""
        planes, rows, _ = self.band
        return (0, planes) if planes > 1 else (1, rows)

    def sliced(self) -> Self:
        """Cut the bands into slices that many threads can share evenly, by their work. That costs
        little where threads are few: each computes the slices together that it takes together."""
        axis, most = self.slice_along()
        slices = max(1, min(most, -(-SHARES // self.items)))
        self.slices, self.slice_axis = slices, axis
        self.work_before = work_before(self, 1, np.arange(self.items + 1))
        return self

    @cached_property
    def regions(self) -> Regions:
        """The regions of a thread's scratch; asked for when all is decided."""
        return Regions(
            self.itemsize, panel=0 if self.in_place else self.panel_bytes, sums=self.sum_bytes(),
            weights=self.weight_bytes(), **self.own_regions(),
        )

    def work_fields(self) -> tuple[object, ...]:
        """The engine's `WorkPlan`, but for the address of its table."""
        return (
            self.items, self.group_block, self.group_blocks, self.band, self.bands,
            self.channel_block, self.channel_blocks, self.order, self.slices, self.slice_axis, 0,
            self.in_block,
        )

    def sum_bytes(self) -> int:
        """Of the sums of a row that is shorter than a vector, for each row of a tile."""
        return self.tile.rows * self.lanes * self.itemsize

    def weight_bytes(self) -> int:
        """Of the weights that an item puts in order for itself."""
        return 0

    def kernel_bytes(self) -> int:
        """Of the kernel of one output channel, where its taps are not contiguous."""
        in_order = not self.p.packs or self.p.weights_are_in_order
        return 0 if in_order else self.p.volume * self.itemsize

    def own_regions(self) -> dict[str, int]:
        """Bytes of the family's own regions, by name."""
        return {}

    def finishes(self) -> tuple[bool, bool]:
        """Whether tiles apply the activation, and whether they add the residual; elsewhere a pass
        over the item's outputs does. Tiles leave activations with an exponential to that pass:
        they would be too large with them."""
        in_order = self.p.y_in_order
        return in_order and self.p.epilogue.activation <= Operation.HARDSWISH, in_order


# ---- even shares ------------------------------------------------------------------------------


def balanced(
    layout_class: type[Layout], family: Family, problem: Problem, machine: Machine, tile: Tile
) -> Layout:
    """The layout with work items as large as can be that many threads can still share evenly."""
    found: list[tuple[float, int, Layout]] = []
    for size in ITEM_SIZES:
        layout = layout_class(family, problem, machine, tile, size)
        layout.decide()
        if layout.p.flops < layout.tuning.serial_flops:  # one thread
            return layout
        if found and layout.items == found[-1][1]:  # the same items
            continue
        threads, even = (SOME_THREADS, FAIR) if layout.is_small else (MANY_THREADS, EVEN)
        uneven = balance(layout, 1, threads)
        if uneven <= even:
            return layout
        if layout.slices_before_size and not layout.in_place:
            sliced = layout_class(family, problem, machine, tile, size)
            sliced.decide()
            if balance(sliced.sliced(), 1, threads) <= even:
                return sliced
        if size != ITEM_SIZES[-1] or not found:  # the smallest cost something, and do not help
            found.append((uneven, layout.items, layout))
    # None is even: the most even, in slices.
    return min(found, key=lambda entry: entry[:2])[2].sliced()


def balance(layout: Layout, images: int, threads: int) -> float:
    """The most work of a thread over the mean, as the engine shares consecutive items out.

    The work of an item is the taps that it computes: those of all its outputs but for the ones
    that the layout skips.
    """
    begins = shares(layout, images, threads)
    edges = layout.family.work(layout, images, begins)
    if edges[-1] == 0:
        return 1.0
    return float(np.max(np.diff(edges)) * threads / edges[-1])


def shares(layout: Layout, images: int, threads: int) -> NDArray[np.intp]:
    """The first item of each thread, and the number of all: `share_begin` in
    `_engine/engine.pxi`."""
    of_image = layout.items
    items = of_image * images
    thread = np.arange(threads + 1)
    before = layout.work_before
    if before is None:
        least, more = divmod(items, threads)
        return thread * least + np.minimum(thread, more)
    total = before[-1]
    behind = thread * (images * total / threads)
    image = (behind / total).astype(np.intp)
    middles = (before[:-1] + before[1:]) / 2
    within = np.searchsorted(middles, behind - image * total)
    begins: NDArray[np.intp] = image * of_image + within
    begins[-1] = items
    return begins


def counted_before(layout: Layout, axis: int, positions: NDArray[np.intp]) -> NDArray[np.intp]:
    """The taps of all outputs before each position that the layout does not skip."""
    if not layout.skips(axis):
        return positions * layout.p.kernel[axis]
    return taps_before(layout.p, axis, positions.ravel()).reshape(positions.shape)


class Level(NamedTuple):
    """One of the levels that an item is found by: the axis, if it is a band's, and how much work
    each of its values stands for, as a factor."""

    axis: int | None
    work: NDArray[np.float64]


def levels_of(layout: Layout, images: int) -> list[Level]:
    """The levels of a layout's items but for the slices, slowest first: the work of a band and
    channel block is the product of one factor of each."""
    p = layout.p
    image = (None, np.arange(images + 1))
    groups = (None, _edges(p.groups, layout.group_block))
    channels = (None, _edges(p.out_channels, layout.channel_block) * p.in_channels)
    bands = [
        (axis, counted_before(layout, axis, _edges(p.out_size[axis], layout.band[axis])))
        for axis in range(3)
    ]
    levels = {
        ItemOrder.CHANNELS_FASTEST: [groups, *bands, channels],
        ItemOrder.BANDS_FASTEST: [groups, channels, *bands],
        ItemOrder.BANDS_SLOWEST: [*bands, groups, channels],
    }[layout.order]
    return [
        Level(axis, np.diff(edges).astype(np.float64)) for axis, edges in (image, *levels)
    ]


def slices_before(layout: Layout) -> NDArray[np.float64]:
    """Of each band's work, the share that lies before each of its slices, and all of it; shape
    (bands of rows, bands of columns, slices + 1), or (bands, 1, slices + 1) along another axis."""

    def taps(axis: int, begin: NDArray[np.intp], end: NDArray[np.intp]) -> NDArray[np.intp]:
        return counted_before(layout, axis, end) - counted_before(layout, axis, begin)

    def bands(axis: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        edges = _edges(layout.p.out_size[axis], layout.band[axis])
        return edges[:-1, None, None], np.diff(edges)[:, None, None]

    number = np.arange(layout.slices + 1)
    if layout.slice_axis == FLAT:
        row, height = bands(1)
        column, width = (part.reshape(1, -1, 1) for part in bands(2))
        down, across = np.divmod(height * width * number // layout.slices, width)
        done = taps(1, row, row + down) * taps(2, column, column + width)
        done += taps(1, row + down, row + down + 1) * taps(2, column, column + across)
    else:
        begin, extent = bands(layout.slice_axis)
        cut = extent * number // layout.slices
        if layout.slice_axis == 2:  # a vector is left to the last slice, whole vectors to others
            cut[..., :-1] = np.minimum(cut[..., :-1], np.maximum(extent - layout.lanes, 0))
            cut[..., :-1] -= cut[..., :-1] % layout.lanes
        done = taps(layout.slice_axis, begin, begin + cut)
    whole = done[..., -1:]
    before: NDArray[np.float64] = np.zeros(done.shape)
    np.divide(done, whole, out=before, where=whole > 0)
    return before


def work_before(layout: Layout, images: int, numbers: NDArray[np.intp]) -> NDArray[np.float64]:
    """The work of all items before each number, without a list of the items."""
    levels = levels_of(layout, images)
    work = np.zeros(len(numbers))
    rest, first_slices = np.divmod(numbers, layout.slices)
    factor = np.ones(len(numbers))
    band = [np.zeros(len(numbers), np.intp)] * 2
    axis_of_slices, flat = layout.slice_axis, layout.slice_axis == FLAT
    for index, (axis, level) in enumerate(levels):
        inner = [other for _, other in levels[index + 1 :]]
        digit, rest = np.divmod(rest, math.prod(map(len, inner)))
        work += factor * _before(level)[digit] * math.prod(float(other.sum()) for other in inner)
        # Behind the last item there is nothing further.
        factor = factor * np.append(level, 0.0)[digit]
        if axis == axis_of_slices or (flat and axis == 1):
            band[0] = np.minimum(digit, len(level) - 1)
        if flat and axis == 2:
            band[1] = np.minimum(digit, len(level) - 1)
    if layout.slices > 1:
        work += factor * slices_before(layout)[*band, first_slices]
    return np.rint(work)  # the shares were rounded


def flops_inside(p: Problem, outputs: Triple | None = None) -> int:
    """Floating-point operations of one image, taps that meet zeros of padding left out."""
    pairs = 2 * p.groups * p.out_channels * p.in_channels
    return pairs * math.prod(
        int(taps_before(p, axis, np.array([(outputs or p.out_size)[axis]]))[0])
        for axis in range(3)
    )


def even_part(total: int, most: int) -> int:
    """The size of equal parts of `total`, none larger than `most`."""
    parts = -(-total // max(1, min(most, total)))
    return -(-total // parts)


def _edges(total: int, part: int) -> NDArray[np.intp]:
    """Where parts of a size begin, and where the last, perhaps smaller one ends."""
    return np.minimum(np.arange(-(-total // part) + 1) * part, total)


def _before(parts: NDArray[Any]) -> NDArray[Any]:
    """The sums of all parts before each, and of all."""
    return np.concatenate([np.zeros(1, parts.dtype), np.cumsum(parts)])
