"""How the work of a problem is laid out: bands, blocks, work items, panel and scratch."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gconv._across import NONE as NO_VECTORS
from gconv._across import Vectors, vectors_of
from gconv._problem import CHANNELS_LAST, FLAT, Addresses, Family, Problem, Spec, Triple
from gconv._tiles import (
    BLOCK_BYTES,
    DEPTHWISE_PANEL_BYTES,
    TALL_ROWS,
    TALL_WEIGHT_BLOCK_BYTES,
    WEIGHT_BLOCK_BYTES,
    Machine,
    Tile,
    across_vectors,
    choose_tile,
    columns_computed,
    depthwise_tile,
    down_the_rows,
    may_skip_columns,
    neighbours_fit,
    sliding_tile,
    three_columns,
    wide_kernel,
)
from gconv._work import balance, work_before

# A panel should leave the second-level cache (512 KiB on Zen 3, 1 MiB on Zen 4) room for the
# output; one that feeds few output channels (DEPTHWISE_PANEL_BYTES) should stay in the first.
PANEL_BYTES = 192 * 1024
# Channels of a block that may share a set of the cache, of 8 ways; the weights need most of it.
WAYS = 3
# Of a transposed convolution's function, each of whose bands packs the weights of all parts.
# Measured on Zen 4: 1.3 times as fast where one band takes the place of two.
REPACKING_PANEL_BYTES = 224 * 1024
# Panel and result of channels-last tiles in arrays in C order, of several vectors of channels.
SMALL_BLOCK_BYTES = 24 * 1024
# What lanes across groups read of x for one vector of channels.
ACROSS_BYTES = 48 * 1024
# What an item of sliding windows asks for ahead: it waits in the second-level cache.
AHEAD_BYTES = 128 * 1024
# Weights that a function packs at once; the promise for scratch leaves room for no more.
PACKED_BYTES = 320 * 1024
# Sums of a channel-lane item: pixels x lanes.
SUMS_BYTES = 48 * 1024
# Fewer rows are not worth the start of a strip.
SLIDING_ROWS = 16
# Where the taps of pixels near the padding lie.
BORDER_BYTES = 128 * 1024
# Outputs of a transposed convolution's parts, before they are interleaved.
OUTPUT_BYTES = 128 * 1024
SCRATCH_BYTES = 512 * 1024  # promised: no thread ever has more
PAGE_BYTES = 4096
# Work items: enough for 64 threads to share evenly, yet each worth its overhead.
ITEMS = 480
ITEM_FLOPS = (40_000, 400_000)
MANY_THREADS = 64
FEW_ITEMS = 8  # but enough for most machines, where more would pack weights again
EVEN = 1.15  # the most work of a thread over the mean
# Large items first: they repeat less. Below a half, weights would be read too often.
ITEM_SIZES = (8.0, 4.0, 2.0, 1.0, 0.5)
SHARES = 1024  # where a thread's share of an image may begin, where items alone are uneven
SMALL_FLOPS = 20_000_000  # below, few threads are worth waking, and items may be larger
SMALL_ITEM_FLOPS = 150_000
# Multiply-adds that a copied element should serve, in all output channels of an item.
COPY_USES = 128

NO_TAPS = np.zeros(0, np.intp)
NO_MASKS = np.zeros(0, np.uint8)


def spec_of(
    problem: Problem, machine: Machine, forced: Tile | None = None, packs: bool = False
) -> Spec:
    """Decide everything that the engine wants to know."""
    family, rows, vectors = choose_tile(problem, machine, forced)
    if family == Family.SHORT:
        return Layout(problem, machine, family, rows, vectors).short()
    if family != Family.PLAIN:
        spec = balanced_spec(problem, machine, family, rows, vectors, packs)
        if spec.scratch_bytes <= SCRATCH_BYTES:
            return spec
    # The plain loop nest needs no scratch: for taps so far apart that no panel can hold them.
    return Layout(problem, machine, Family.PLAIN, 1, 1, packs).plain()


def balanced_spec(
    problem: Problem, machine: Machine, family: Family, rows: int, vectors: int, packs: bool
) -> Spec:
    """A spec with work items as large as can be that many threads can still share evenly."""
    found: list[tuple[float, int, Layout, Spec]] = []
    for size in ITEM_SIZES:
        layout = Layout(problem, machine, family, rows, vectors, packs, size)
        layout.decide()
        spec = layout.outline()
        if problem.flops < SMALL_FLOPS:
            return layout.with_tables(spec)
        if found and spec.items == found[-1][1]:  # the same items
            continue
        uneven = balance(spec, 1, MANY_THREADS)
        if uneven <= EVEN:
            return layout.with_tables(spec)
        if family == Family.WIDTH and not spec.in_place:  # smaller items copy more rows again
            in_slices = sliced(spec)
            if balance(in_slices, 1, MANY_THREADS) <= EVEN:
                return layout.with_tables(in_slices)
        if size != ITEM_SIZES[-1] or not found:  # the smallest cost something, and do not help
            found.append((uneven, spec.items, layout, spec))
    # None is even: the most even, in slices.
    *_, layout, spec = min(found, key=lambda entry: entry[:2])
    return layout.with_tables(sliced(spec))


def sliced(spec: Spec) -> Spec:
    """The spec with its bands in slices that many threads can share evenly, by their work.

    That costs nothing where threads are few: each computes its slices of a band together.
    """
    # Bands of channel lanes are contiguous in y, and so have to be their slices.
    planes, rows, columns = spec.band
    axis, most = (0, planes) if planes > 1 else (1, rows)
    contiguous = spec.y_in_order and spec.part_counts == (0, 0, 0)
    if spec.family == Family.CHANNEL and contiguous and planes == 1:
        axis, most = FLAT, rows * columns
    elif spec.family in (Family.WIDTH, Family.MASKED) and spec.in_place and planes == rows == 1:
        axis, most = 2, columns // spec.lanes
    slices = max(1, min(most, -(-SHARES // spec.items)))
    spec = spec.replace(items=spec.items * slices, slices=slices, slice_axis=axis)
    return spec.replace(work=work_before(spec, 1, np.arange(spec.items + 1)))


class Layout:
    """Bands, blocks, panel and scratch for a family and its tile."""

    def __init__(
        self,
        problem: Problem,
        machine: Machine,
        family: Family,
        rows: int,
        vectors: int,
        packs: bool = False,
        size: float = 1.0,
    ) -> None:
        self.p = problem
        self.machine = machine
        self.family = family
        self.rows = rows
        self.vectors = vectors
        self.packs = packs
        self.bands_inside = False
        self.size = size  # of a work item, over the usual one
        self.lanes = machine.lanes
        self.band: Triple = problem.out_size
        self.group_block = 1
        self.channel_block = problem.out_channels
        self.in_block = max(problem.in_channels, 1)
        self.panel_channels = self.in_block
        self.in_place = self.can_read_in_place()

    @classmethod
    def of_part(cls, like: Spec, problem: Problem, machine: Machine, packs: bool) -> Layout:
        """The layout of a part whose bands, blocks and panel are those of another part."""
        tile = (like.family, like.tile_rows, like.tile_vectors)
        if like.family == Family.DEPTHWISE:  # which tiles there are depends on the kernel
            tile = depthwise_tile(problem, machine, None)[1]
        if like.family == Family.SLIDING:
            tile = sliding_tile(problem, machine, None)[1]
        layout = cls(problem, machine, *tile, packs)
        layout.band = like.band
        layout.group_block = like.group_block
        layout.channel_block = like.channel_block
        layout.in_block = like.in_block
        layout.panel_channels = like.panel_channels
        return layout

    def can_read_in_place(self) -> bool:
        """Whether tiles may read x itself: no padded columns, and rows of unit stride. Rows of
        padding are left out where they are zeros, and have to be in a panel otherwise. Channel
        lanes need neither: they skip the columns in padding of zeros, and gather other padding.
        Channels-last tiles read arrays in C order from a transposed panel."""
        p = self.p
        if self.family in CHANNELS_LAST:
            return not p.y_in_order
        if self.family in (Family.SLIDING, Family.MASKED):  # they have zeros for what is in padding
            return p.zero_padding
        if p.in_channels == 0:
            return False
        if not p.zero_padding:
            return self.gathers_border
        if p.column_padding and not self.skips_columns:
            return False
        if self.family == Family.CHANNEL and p.column_padding:
            return self.skips_in_place()
        if self.family == Family.CHANNEL:
            return True
        return p.x_axis[2] == 1 and p.stride[2] == 1 and p.out_size[2] >= self.lanes

    # -- the panel, for the band as it is now --

    @property
    def phase_step(self) -> int:
        """Pixels of a channel tile are apart by the stride, and sliding windows take columns
        apart themselves; those of the others are apart by 1."""
        return 1 if self.family in (Family.CHANNEL, Family.SLIDING) else self.p.stride[2]

    @property
    def phases(self) -> int:
        """Phases of the columns that some tap uses."""
        return min(self.phase_step, self.p.panel_reach[2] + 1)

    @property
    def panel_phase(self) -> int:
        """From a phase to the next: whole vectors, so that most of a tile's loads are aligned."""
        if self.family == Family.CHANNEL:
            return self.panel_columns
        return -(-self.panel_columns // self.lanes) * self.lanes

    @property
    def panel_columns(self) -> int:
        """Columns of one phase: what the widest vector of the band's rows reads."""
        p = self.p
        taps = p.panel_reach[2]
        if self.family in (Family.CHANNEL, Family.SLIDING):
            return (self.band[2] - 1) * p.stride[2] + taps + 1
        return max(self.band[2], self.lanes) + taps // self.phase_step

    @property
    def panel_row(self) -> int:
        if self.in_blocks:
            return self.inputs[2] * self.pixel
        return self.phases * self.panel_phase

    def plain_slots(self, axis: int) -> int:
        """Input rows between the first and the last that a band reads, along an axis."""
        p = self.p
        return (self.band[axis] - 1) * p.stride[axis] + p.panel_reach[axis] + 1

    def expanded(self, axis: int) -> bool:
        """Whether a row for each pair of output row and kernel row takes less than that."""
        # Such tiles use a row for several kernel rows, and parts of different kernels do.
        shared = self.family in (Family.DEPTHWISE, Family.SLIDING, *CHANNELS_LAST)
        if shared or self.p.part_counts != (0, 0, 0):
            return False
        return self.band[axis] * self.p.kernel[axis] < self.plain_slots(axis)

    def slots(self, axis: int) -> int:
        """Rows (or planes) of the panel."""
        if self.expanded(axis):
            return self.band[axis] * self.p.kernel[axis]
        return self.plain_slots(axis)

    def line_and_tap(self, axis: int) -> tuple[int, int]:
        """Rows from an output row's first tap to the next one's, and from tap to tap."""
        if self.expanded(axis):
            return 1, self.band[axis]
        return self.p.stride[axis], self.p.dilation[axis]

    @property
    def panel_plane(self) -> int:
        if self.in_blocks:
            return self.inputs[1] * self.panel_row
        return self.slots(1) * self.panel_row

    @property
    def panel_channel(self) -> int:
        """From a channel to the next: not a multiple of 4 KiB, where they would share few sets
        of the cache."""
        elements = self.slots(0) * self.panel_plane
        page = 4096 // self.machine.itemsize
        if elements % page < self.lanes and self.panel_channels > 1:
            elements += 2 * self.lanes
        return elements

    @property
    def panel_bytes(self) -> int:
        if self.in_place:
            return 0
        if self.in_blocks:
            return self.inputs[0] * self.panel_plane * self.machine.itemsize
        return (self.panel_channels * self.panel_channel + self.lanes) * self.machine.itemsize

    # -- deciding --

    def decide(self) -> None:
        """Bands, blocks and items."""
        if self.in_blocks:
            self.limit_blocks()
            return
        if self.family in CHANNELS_LAST:
            self.limit_across()
            return
        if self.family == Family.CHANNEL:
            self.limit_sums()
            self.in_block = self.weights_block()
        self.limit_panel()
        if self.family == Family.WIDTH and self.in_block < self.p.in_channels and self.vectors < 3:
            # A last tile of one vector may overlap the tile before it, which has then gone on
            # from the partial sums already. Splitting by 3 leaves no such tile.
            self.rows, self.vectors = 4, 3
        if self.p.part_counts != (0, 0, 0):
            self.limit_outputs()
        self.limit_item()
        self.order_items()

    def limit_across(self) -> None:
        """Bands whose inputs, of one vector of channels, stay in the cache. Where items are still
        too large, tiles that go down the rows and those of wide kernels get blocks of groups that
        fill vectors, and then smaller bands; the others smaller bands first."""
        p, lanes = self.p, self.lanes
        size = lanes * self.machine.itemsize
        down = self.family == Family.PIXELS and down_the_rows(p)
        wide = self.family == Family.PIXELS and wide_kernel(p)
        # A small band reads most rows again for the next one; tiles that go down the rows read
        # none again within a band.
        least_rows = 2 * p.kernel[1] * (p.dilation[1] if down else 1)
        for axis, least in ((0, 1), (1, p.out_size[1] if down else least_rows), (2, 1024)):
            while self.band[axis] > least and size * math.prod(
                (band - 1) * stride + kernel
                for band, stride, kernel in zip(self.band, p.stride, p.kernel, strict=True)
            ) > ACROSS_BYTES:
                self.cut(axis, max(least, -(-self.band[axis] // 2)))
        self.group_block = p.groups
        target = self.item_flops()

        def flops() -> int:
            return 2 * p.taps * p.out_channels * self.group_block * math.prod(self.band)

        # Neighbouring channels share cache lines: four vectors at least, and more where they come
        # from beyond the second-level cache. (Lanes across groups, 16 for 4 vectors: measured on
        # Zen 4, 1 to 1.4 times as fast there.)
        if down:
            self.cut_groups(target / flops(), 8 if self.prefetches() else 4)
        if wide:  # the weights of a vector fill a cache, and serve a band of any size
            self.cut_groups(target / flops(), 1)
            least_rows = 2 * p.kernel[1] if self.packs else 4
        for axis in (0, 1):
            least = min(self.band[axis], least_rows if axis else 2 * p.kernel[0])
            if flops() > 1.5 * target and self.band[axis] > least:
                self.cut(axis, max(least, round(self.band[axis] * target / flops())))
        if not down and not wide:
            self.cut_groups(target / flops(), 16 if self.prefetches() else 4)

    def cut_groups(self, part: float, least: int) -> None:
        """Blocks of about a part of the groups, where that is far from all of them, which fill
        `least` vectors or more."""
        p, wide = self.p, self.across_vectors(self.p.groups).wide
        whole = wide // math.gcd(wide, p.out_channels)  # so many groups fill vectors
        if part * 1.5 < 1 and p.groups > least * whole:
            parts = min(math.ceil(1 / part), p.groups // (least * whole))
            self.group_block = -(-p.groups // parts // whole) * whole
            while 0 < (p.groups % self.group_block) * p.out_channels < wide:
                self.group_block += whole  # no vector fits what would be left
            self.group_block = min(self.group_block, p.groups)

    @property
    def in_blocks(self) -> bool:
        """Whether channels-last tiles compute arrays in C order, which are transposed."""
        return self.family in CHANNELS_LAST and not self.in_place

    @property
    def pixel(self) -> int:
        """Elements of a pixel of the panel: in blocks, the channels of a block of groups, in whole
        vectors."""
        if not self.in_blocks:
            return 1
        return -(-self.group_block // self.lanes) * self.lanes

    @property
    def result_bytes(self) -> int:
        """Of a band's outputs before they are transposed."""
        return self.pixel * math.prod(self.band) * self.machine.itemsize if self.in_blocks else 0

    @property
    def inputs(self) -> Triple:
        """What a band reads of the image, at most."""
        planes, rows, columns = (
            min(self.p.in_size[axis], self.plain_slots(axis)) for axis in range(3))
        return planes, rows, columns

    def limit_blocks(self) -> None:
        """Where arrays in C order are transposed: a band whose panel and result stay in the
        second-level cache, of the groups of one vector, or of several where they stay in the
        first."""
        p, target = self.p, self.item_flops()

        def size() -> int:
            return self.panel_bytes + self.result_bytes

        def flops() -> int:
            return 2 * p.taps * self.group_block * math.prod(self.band)

        self.group_block = min(p.groups, self.lanes)
        for axis, least in ((0, 1), (1, 1), (2, 1)):
            while size() > BLOCK_BYTES and self.band[axis] > least:
                self.cut(axis, -(-self.band[axis] // 2))
        for axis in (1, 0):
            least = min(self.band[axis], 4 * p.panel_reach[axis] // p.stride[axis] + 4)
            if flops() > 1.5 * target and self.band[axis] > least:
                self.cut(axis, max(least, round(self.band[axis] * target / flops())))
        blocks = -(-p.groups // self.lanes)
        if blocks * -(-p.out_size[1] // self.band[1]) < FEW_ITEMS and flops() > 1.5 * target:
            self.cut(1, max(1, p.out_size[1] * blocks // FEW_ITEMS))
        most = max(1, min(target // flops(), SMALL_BLOCK_BYTES // size()))
        self.group_block = min(
            p.groups, even_part(-(-p.groups // self.lanes), most) * self.lanes)

    def across_vectors(self, group_block: int) -> Vectors:
        """The vectors of a channels-last family."""
        p = self.p
        if self.in_blocks:  # lanes beyond the last group are there, in scratch
            filled = -(-p.groups // self.lanes) * self.lanes
            vectors = vectors_of(filled, 1, 1, self.pixel, self.lanes)
        elif self.family == Family.ACROSS:
            vectors = across_vectors(p, self.machine, group_block)
        else:
            vectors = vectors_of(
                p.groups, p.in_channels, p.out_channels, group_block, self.lanes, overlap=False)
        assert vectors is not None  # across_fits has asked
        return vectors

    def cut(self, axis: int, size: int) -> None:
        """A smaller band of any size."""
        band = list(self.band)
        band[axis] = even_part(self.p.out_size[axis], size)
        self.band = (band[0], band[1], band[2])

    @property
    def sums_bytes(self) -> int:
        """Of a pixel's sums in a channel-lane item."""
        return self.vectors * self.lanes * self.machine.itemsize

    @property
    def pixel_bytes(self) -> int:
        """Of a pixel in a channel-lane item: its sums, where its taps lie, and its place in y."""
        ordered = self.skips_columns or self.gathers_border or not self.p.y_in_order
        spots = 16 if ordered else 8
        return self.sums_bytes + spots

    def limit_sums(self) -> None:
        """Bands of few enough pixels that their sums stay in the cache."""
        self.limit_pixels(SUMS_BYTES // self.pixel_bytes)

    def limit_pixels(self, most: int) -> None:
        """Shrink the band to a number of pixels: columns where a row has more, else rows."""
        depth, rows, columns = self.p.out_size
        if columns > most:
            self.band = (1, 1, even_part(columns, most))
        elif rows * columns > most:
            self.band = (1, even_part(rows, most // columns), columns)
        else:
            self.band = (even_part(depth, most // (rows * columns)), rows, columns)

    def weights_block(self) -> int:
        """So many input channels that their weights stay in the cache."""
        if self.rows_apart:  # a kernel row's stay there; functions pack those of all rows
            several = WEIGHT_BLOCK_BYTES * self.p.kernel[1]
            return self.channels_in(PACKED_BYTES if self.tall else min(several, PACKED_BYTES))
        return self.channels_in(TALL_WEIGHT_BLOCK_BYTES if self.tall else WEIGHT_BLOCK_BYTES)

    @property
    def tall(self) -> bool:
        return self.rows >= TALL_ROWS

    def channels_in(self, weight_bytes: int) -> int:
        """Input channels, in equal parts, whose weights in a block of output channels take no
        more."""
        block = self.p.volume * self.vectors * self.lanes * self.machine.itemsize
        return even_part(self.p.in_channels, max(1, weight_bytes // block))

    def limit_panel(self) -> None:
        """Shrink the band, and at last the block of channels, until the panel fits."""
        p = self.p
        few_outputs = self.family == Family.DEPTHWISE or (
            self.family == Family.SLIDING and p.kernel[0] == 1  # bands would share many planes
        )
        limit = DEPTHWISE_PANEL_BYTES if few_outputs else PANEL_BYTES
        band, least = self.band, self.least_lines()
        for axis in (0, 1):
            while self.panel_bytes > limit and self.band[axis] > least[axis]:
                self.shrink(axis, max(least[axis], self.band[axis] // 2))
        tile = self.vectors * self.lanes if self.family != Family.CHANNEL else self.rows
        self.shrink_columns(8 * tile, lambda: self.panel_bytes > PANEL_BYTES)
        if self.panel_bytes > PANEL_BYTES and self.panel_channels > 1:
            channel = self.panel_bytes // self.panel_channels
            channels = even_part(p.in_channels, max(1, PANEL_BYTES // channel))
            self.in_block = self.panel_channels = min(self.in_block, channels)
        self.shrink_columns(self.lanes, lambda: self.panel_bytes > PANEL_BYTES)
        repacks = self.packs and self.family == Family.CHANNEL and p.part_counts != (0, 0, 0)
        # Blocks of channels stay what they are for a layer: they are the order of the sum.
        if repacks and self.panel_channels == p.in_channels:
            smaller, self.band = self.band, band
            if self.panel_bytes > REPACKING_PANEL_BYTES:
                self.band = smaller

    def least_lines(self) -> tuple[int, int]:
        """The fewest planes and rows that are worth a panel. Where few output channels use what
        width lanes copy, a band repeats at most half of it for the next one along each axis, if
        the panel has room for one input channel of such a band; with far dilations it has not.
        (Bands of channel lanes are contiguous in y: a part of a row is a band of one row.)"""
        p = self.p
        few = self.family == Family.WIDTH and self.least_blocks() * self.unit > p.out_channels
        if not few or p.part_counts != (0, 0, 0):
            return 1, 1
        planes, rows, columns = (
            min(size, max(least, 2 * (kernel - 1) // stride))
            for size, least, kernel, stride in zip(
                p.out_size, (1, 1, 8 * self.lanes), p.kernel, p.stride, strict=True)
        )
        one = copy(self)
        one.band, one.panel_channels = (planes, rows, columns), 1
        return (planes, rows) if one.panel_bytes <= PANEL_BYTES else (1, 1)

    def shrink_columns(self, least: int, too_large: Callable[[], bool]) -> None:
        """Shrink the band's columns, to `least` at most, until something fits."""
        while too_large() and self.band[2] > least:
            before = self.band[2]
            self.shrink(2, max(least, before // 2))
            if self.band[2] == before:
                break

    def shrink(self, axis: int, size: int) -> None:
        """A smaller band; columns in whole vectors, and none left that a tile cannot read in
        place."""
        extent = self.p.out_size[axis]
        size = even_part(extent, size)
        if axis == 2:
            size = -(-size // self.lanes) * self.lanes
            while self.in_place and 0 < extent % size < self.lanes:
                size += self.lanes
            size = min(size, self.band[2])
        band = list(self.band)
        band[axis] = size
        self.band = (band[0], band[1], band[2])

    @property
    def unit(self) -> int:
        """Output channels of a tile."""
        if self.family in (Family.DEPTHWISE, Family.SLIDING):
            return 1
        whole = (Family.WIDTH, Family.MASKED)
        return self.rows if self.family in whole else self.vectors * self.lanes

    def output_bytes(self) -> int:
        """Of a work item's outputs for a row of parts, one group's; sixteen parts at most, as
        more are not computed at once where they are too large."""
        outputs = self.channel_block * math.prod(self.band) * min(16, self.p.part_counts[2])
        return outputs * self.machine.itemsize

    def limit_outputs(self) -> None:
        """Fewer channels, then a smaller band, until the outputs of the parts fit scratch."""
        blocks = -(-self.p.out_channels // self.unit)
        block = max(1, self.output_bytes() // blocks)
        self.channel_block = even_part(blocks, OUTPUT_BYTES // block) * self.unit
        for axis in (0, 1):
            while self.output_bytes() > OUTPUT_BYTES and self.band[axis] > 1:
                self.shrink(axis, max(1, self.band[axis] // 2))
        self.shrink_columns(self.lanes, lambda: self.output_bytes() > OUTPUT_BYTES)

    def item_flops(self) -> int:
        """Of a work item, about."""
        low, high = ITEM_FLOPS
        flops = self.p.flops
        if flops < SMALL_FLOPS:
            return min(SMALL_ITEM_FLOPS, max(flops // 16, low))
        return round(min(max(flops // ITEMS, low), high) * self.size)

    def limit_item(self) -> None:
        """Work items of a size worth sharing out: several groups, or a part of one."""
        p = self.p
        target = self.item_flops()

        def flops() -> int:
            return 2 * p.taps * self.channel_block * math.prod(self.band) * copies

        copies = math.prod(p.part_counts) or 1  # parts of a transposed convolution
        whole = self.band == p.out_size and self.channel_block >= p.out_channels
        if flops() < target and whole and self.family != Family.CHANNEL:
            most = max(1, min(p.groups, target // max(flops(), 1)))
            if p.part_counts != (0, 0, 0):
                most = max(1, min(most, OUTPUT_BYTES // self.output_bytes()))
            # A block that divides the groups leaves no smaller one behind.
            divisors = (n for n in range(most, most // 2, -1) if p.groups % n == 0)
            self.group_block = next(divisors, even_part(p.groups, most))
            return
        if self.family != Family.DEPTHWISE and flops() > target:
            blocks = -(-self.channel_block // self.unit)
            wanted = max(math.ceil(blocks * target / flops()), min(blocks, self.least_blocks()))
            self.channel_block = even_part(-(-p.out_channels // self.unit), wanted) * self.unit
        # Channel-lane bands must be contiguous in y: outer axes first, down to 1. For the others
        # the rows of one plane come first, as they share less of their input than planes do.
        channel = self.family == Family.CHANNEL
        blocks = p.groups * -(-p.out_channels // self.channel_block)
        if channel and self.packs and p.part_counts != (0, 0, 0) and blocks >= FEW_ITEMS:
            return  # every band would pack the weights of all parts again
        for axis in (0, 1) if channel else (1, 0):
            least = self.least_band(axis)
            if flops() > 1.5 * target and self.band[axis] > least:
                parts = round(flops() / target)
                self.shrink(axis, max(least, self.band[axis] // parts))
            if channel and self.band[axis] > 1:
                return
        if flops() > 1.5 * target and self.band[2] > 16 * self.lanes:
            parts = round(flops() / target)
            self.shrink(2, max(16 * self.lanes, self.band[2] // parts))
        if self.strips_side_by_side and self.prefetches():
            row = p.in_size[2] * p.stride[1] + p.out_size[2]
            rows = AHEAD_BYTES // (row * self.machine.itemsize)
            if self.band[1] > rows:
                self.shrink(1, max(self.least_band(1), rows))

    def least_blocks(self) -> int:
        """The fewest tiles of output channels that a panel is worth copying for."""
        if self.in_place or self.family != Family.WIDTH:
            return 1
        copied = math.prod(map(min, self.p.kernel, self.p.stride))  # elements for an output
        return math.ceil(COPY_USES * copied / self.p.volume / self.unit)

    def order_items(self) -> None:
        """Where weights are packed on the way and channel lanes have several bands: bands inside,
        so that a block of channels packs its weights once for all of them."""
        lanes = self.vectors * self.lanes
        block = self.p.taps * lanes * self.machine.itemsize
        if self.gathers_border:
            block += self.border_bytes(math.prod(self.band))
        if (
            self.packs
            and self.p.part_counts == (0, 0, 0)
            and self.family == Family.CHANNEL
            and self.band != self.p.out_size
            and self.panel_bytes + SUMS_BYTES + block + 4096 <= SCRATCH_BYTES
        ):
            self.bands_inside = True
            self.channel_block = min(lanes, self.p.out_channels)

    @property
    def groups_inside(self) -> bool:
        """Whether the bands vary slowest: groups that are neighbours in y share its cache lines,
        and two threads should not write them at the same time.

        Measured on Zen 4, two threads, groups of 12 and 20 output channels: 1 to 1.4 times as
        fast, depending on which of the threads is ahead."""
        return self.family == Family.CHANNEL and not self.p.y_in_order and not self.bands_inside

    def least_band(self, axis: int) -> int:
        """The smallest band worth having: it repeats the copy of the rows that it shares with
        the next one, at most a quarter of them; sliding windows compute them anew for every
        strip, at most an eighth of them; and a channel-lane item reads its weights once for all
        its pixels, at least three hundred (measured on Zen 4: 1 to 1.05 times as fast as with one
        hundred, 1.13 times where the weights come from beyond the second-level cache)."""
        p = self.p
        shared = p.panel_reach[axis] / p.stride[axis]
        if self.family == Family.SLIDING and axis == 1:
            return max(SLIDING_ROWS, math.ceil(8 * shared))
        if self.family == Family.MASKED:  # two bands compute the vector where one ends
            return max(1, 32 * self.lanes // p.out_size[2]) if axis == 1 else 1
        least = 0 if self.in_place else math.ceil(4 * shared)
        if self.family == Family.CHANNEL:
            least = max(least, 300 // math.prod(p.out_size[axis + 1 :]))
            if axis == 1 and self.skips_columns:  # its runs go down the rows
                least = max(least, 6)
        return max(1, round(least * min(1.0, self.size)))

    def skips_in_place(self) -> bool:
        """Whether x can stand in for a panel where pixels skip the columns in the padding: a
        tap's channels must lie in different places of the first-level cache.

        Measured on Zen 4: 1.02 to 1.19 times as fast as with a panel; 0.7 to 1.0 times where
        all channels of a block share the same sets, as in planes of 32 x 32 or 64 x 64.
        """
        p = self.p
        if p.part_counts != (0, 0, 0):
            return False
        # A kernel column more in the padding is one run more; down few rows it is a short one.
        least_rows = 1 if self.rows_fill_visits else 5
        long = p.out_size[1] >= least_rows or p.out_size[2] >= 32 * p.kernel[2]
        return p.channels_last or (long and self.channels_apart())

    def channels_apart(self) -> bool:
        """Whether the channels of a tap lie in different places of the first-level cache, and
        neighbouring columns on the same lines. Blocks of weights may have more channels than
        are counted here: 512 channels of 8x8 are 1.03 times as fast in place even so."""
        p, way = self.p, 4096
        sets = min(64, way // math.gcd(way, p.x_channel * self.machine.itemsize))
        return p.x_axis[2] == 1 and self.channels_in(WEIGHT_BLOCK_BYTES) <= WAYS * sets

    @property
    def rows_fill_visits(self) -> bool:
        """Whether channel lanes had better take kernel rows apart, each for all pixels, than all
        taps of one pixel after the other: pixels at the border then find more others that meet the
        same taps, and go through whole tiles with them. But each tile is visited, and its sums
        are read and written, once for each kernel row.

        Measured on Zen 4, 16 to 512 channels: 1.05 to 1.5 times as fast from 4x4 to 8x8 pixels,
        1.02 to 1.04 times at 14x14, more with larger kernels; 0.95 times with 16 channels. Small
        tiles read more of x, and lose from 14x14 on if its channels are not neighbours. One to
        three rows of 8 or 16 channels are left as they are: 0.6 to 1 times there."""
        p = self.p
        if p.kernel[1] == 1 or p.in_channels * p.kernel[2] * p.padding[1] < 13 * p.out_size[1]:
            return False
        if p.in_channels * p.out_size[1] < 48:  # visits too short
            return False
        return self.tall or p.channels_last or p.out_size[1] <= 8 * p.padding[1]

    @cached_property
    def rows_apart(self) -> bool:
        """Whether channel lanes take one kernel row at once."""
        return self.skips_columns and self.in_place and self.rows_fill_visits

    @cached_property
    def gathers_border(self) -> bool:
        """Whether channel lanes read x in place where the padding holds elements of the image:
        pixels with taps there look up where each of these lies.

        Measured on Zen 4: 1.2 to 1.25 times as fast as with a panel where groups have up to 32
        channels, 1.0 to 1.06 times with more, 1.2 times with a dilation."""
        p = self.p
        return (
            self.family == Family.CHANNEL
            and not p.zero_padding
            and not p.channel_major
            and (p.channels_last or self.channels_apart())
            and self.border_bytes(min(math.prod(p.out_size), SUMS_BYTES // self.sums_bytes))
            <= BORDER_BYTES
        )

    def border_bytes(self, pixels: int) -> int:
        """Where the taps of so many pixels lie, and those of a band's columns."""
        return 8 * (pixels * self.p.volume + self.p.out_size[2] * self.p.kernel[2])

    @cached_property
    def skips_columns(self) -> bool:
        """Whether channel lanes skip kernel columns in the padding."""
        if self.family != Family.CHANNEL or not may_skip_columns(self.p):
            return False
        return self.skips_in_place() or columns_computed(self.p) < 1

    def prefetches(self) -> bool:
        """Whether weights should be asked for ahead: more than the second-level cache holds.
        Measured: 1.2 times as fast at 7x7, up to 1.15 times with more pixels; as fast as without,
        or a little slower, where the weights are fewer.

        Channels-last tiles ask for pixels where x and y are more than that cache holds (1 MiB on
        Zen 4). Measured: tiles that go down the rows are 2 times as fast there, and 0.85 times
        where they fit; lanes across groups, 1 to 1.3 times. Sliding windows do so where they take
        several strips to a row: 1.2 to 4 times as fast where x or y come from memory, and 0.98
        times where they are in the third-level cache."""
        p = self.p
        if self.family == Family.SLIDING and not self.strips_side_by_side:
            return False
        if self.family in CHANNELS_LAST and not self.in_place:
            return False
        if self.family in (*CHANNELS_LAST, Family.SLIDING):
            elements = (math.prod(p.in_size) * p.in_channels
                        + math.prod(p.out_size) * p.out_channels)
            return p.groups * elements * self.machine.itemsize > 2**20
        weights = p.groups * p.out_channels * p.taps * self.machine.itemsize
        weights *= math.prod(p.part_counts) or 1  # about so much, in all parts
        return weights > 2**20

    @property
    def strips_side_by_side(self) -> bool:
        """Whether sliding windows take several strips of several rows, in an ordinary
        convolution."""
        return (
            self.family == Family.SLIDING
            and self.p.part_counts == (0, 0, 0)
            and self.band[1] > 1
            and self.band[2] > self.vectors * self.lanes
        )

    # -- writing it down --

    def taps(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Where each tap lies in the panel (or x), and its weight, in the order of the sum."""
        p = self.p
        kd, kh, kw = (np.arange(k) for k in p.kernel)
        column = kw * p.dilation[2]
        if self.in_place:
            column = column * p.x_axis[2]
            plane, row = p.dilation[0] * p.x_axis[0], p.dilation[1] * p.x_axis[1]
            channel = p.x_channel
        else:
            if self.in_blocks:
                column = column * self.pixel
            else:
                column = column % self.phase_step * self.panel_phase + column // self.phase_step
            plane = self.line_and_tap(0)[1] * self.panel_plane
            row = self.line_and_tap(1)[1] * self.panel_row
            channel = self.panel_channel
        read = self.read
        if self.family in (Family.DEPTHWISE, Family.SLIDING):
            w_tap = (
                kd[:, None, None] * read.axis[0] + kh[:, None] * read.axis[1] + kw * read.axis[2]
            )
            return column.astype(np.intp), w_tap.ravel().astype(np.intp)
        if self.family in CHANNELS_LAST:
            c = np.arange(p.in_channels)
            x_tap = kd[:, None, None] * plane + kh[:, None] * row + column
            w_tap = (
                kd[:, None, None, None] * read.axis[0]
                + kh[:, None, None] * read.axis[1]
                + kw[:, None] * read.axis[2]
                + c * read.input
            )
            return x_tap.ravel().astype(np.intp), w_tap.ravel().astype(np.intp)
        whole_panel = self.in_place or self.panel_channels >= p.in_channels
        x_taps, w_taps = [], []
        for first in range(0, p.in_channels, self.in_block):
            c = np.arange(first, min(first + self.in_block, p.in_channels))
            where = c if whole_panel else c - first
            x_tap = (
                kd[:, None, None, None] * plane
                + kh[:, None, None] * row
                + where[:, None] * channel
                + column
            )
            w_tap = (
                kd[:, None, None, None] * read.axis[0]
                + kh[:, None, None] * read.axis[1]
                + c[:, None] * read.input
                + kw * read.axis[2]
            )
            if self.family == Family.CHANNEL and not p.channel_major:
                x_tap, w_tap = x_tap.swapaxes(2, 3), w_tap.swapaxes(2, 3)
            x_taps.append(x_tap)
            w_taps.append(w_tap)
        empty = [np.zeros(0, np.intp)]
        return (
            np.concatenate([t.ravel() for t in x_taps] or empty).astype(np.intp),
            np.concatenate([t.ravel() for t in w_taps] or empty).astype(np.intp),
        )

    def masks(self) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
        """Which pixels of a plane meet an element of the image, a bit each, for each kernel row
        and column; and where, in bytes, those of each tap begin, in the order of the sum."""
        p = self.p
        _, rows, columns = p.out_size
        vectors = -(-rows * columns // self.lanes)
        pixel = np.arange(vectors * self.lanes)
        row, column = (
            position + (np.arange(p.kernel[axis]) * p.dilation[axis])[:, None] - p.padding[axis]
            for axis, position in ((1, pixel // columns), (2, pixel % columns))
        )
        inside = ((row >= 0) & (row < p.in_size[1]))[:, None]
        inside = inside & (column >= 0) & (column < p.in_size[2]) & (pixel < rows * columns)
        masks = np.packbits(inside.reshape(-1, len(pixel)), axis=1, bitorder="little")
        masks = np.pad(masks, ((0, 0), (0, -masks.shape[1] % 2)))  # a vector's may be two bytes
        tap = np.arange(p.kernel[1] * p.kernel[2]).reshape(1, p.kernel[1], 1, p.kernel[2])
        tap = np.broadcast_to(tap, (p.kernel[0], p.kernel[1], p.in_channels, p.kernel[2]))
        return masks, (tap * masks.shape[1]).ravel().astype(np.intp)

    @property
    def read(self) -> Addresses:
        """Where the engine finds the weights: a layer has put them in order."""
        return self.p.weights if self.packs else self.p.weights_in_order

    def finished(self) -> Spec:
        """Everything that the engine wants to know."""
        return self.with_tables(self.outline())

    def with_tables(self, spec: Spec) -> Spec:
        """The spec with its tables of taps."""
        x_taps, w_taps = self.taps()
        if self.family == Family.MASKED:
            masks, mask_taps = self.masks()
            spec = spec.replace(masks=masks, mask_taps=mask_taps)
        places = np.argsort(w_taps) if self.packs else NO_TAPS  # who packs asks for them
        return spec.replace(x_taps=x_taps, w_taps=w_taps, tap_places=places)

    def outline(self) -> Spec:
        """The spec but for its tables of taps."""
        p, size = self.p, self.machine.itemsize
        bands = tuple(-(-n // b) for n, b in zip(p.out_size, self.band, strict=True))
        group_blocks = -(-p.groups // self.group_block)
        channel_blocks = -(-p.out_channels // self.channel_block)
        line = 64 // size  # elements
        panel = -(-self.panel_bytes // size // line) * line
        if self.family == Family.CHANNEL:
            lanes = self.vectors * self.lanes
            pixels = math.prod(self.band)
            sums = -(-(pixels * self.pixel_bytes) // 64) * line
            weights = (p.in_channels if self.bands_inside else self.in_block) * p.volume * lanes
        else:
            sums, weights = self.rows * self.lanes, 0
            if self.family in (Family.DEPTHWISE, Family.SLIDING) and not p.in_order(self.read):
                weights = p.volume
            if self.family == Family.ACROSS and self.packs:
                weights = p.taps * self.lanes
            if self.family == Family.PIXELS and self.packs:
                channels = self.group_block * p.out_channels
                weights = p.taps * -(-channels // self.lanes) * self.lanes
        across = NO_VECTORS
        if self.family in CHANNELS_LAST:
            across = self.across_vectors(self.group_block)
        outputs = -(-(panel + sums + weights) // line) * line
        border = self.border_bytes(math.prod(self.band)) if self.gathers_border else 0
        scratch = apart(64 + outputs * size + border + self.result_bytes)
        shift = [
            inside - before for inside, before in zip(p.panel_padding, p.padding, strict=True)
        ]
        pixel_step = p.stride[2] * (p.x_axis[2] if self.in_place else self.pixel)
        return Spec(
            **vars(p),
            lanes=self.lanes,
            items=group_blocks * math.prod(bands) * channel_blocks,
            slices=1,
            slice_axis=1,
            work=None,
            group_block=self.group_block,
            group_blocks=group_blocks,
            band=self.band,
            bands=bands,  # type: ignore[arg-type]
            channel_block=self.channel_block,
            channel_blocks=channel_blocks,
            bands_inside=self.bands_inside,
            groups_inside=self.groups_inside,
            family=self.family,
            tile_rows=self.rows,
            tile_vectors=self.vectors,
            in_place=self.in_place,
            phases=self.phases,
            phase_step=self.phase_step,
            pixel_step=pixel_step,
            panel_channels=self.panel_channels,
            panel_planes=self.slots(0),
            panel_rows=self.slots(1),
            panel_line=(self.line_and_tap(0)[0], self.line_and_tap(1)[0]),
            panel_tap=(self.line_and_tap(0)[1], self.line_and_tap(1)[1]),
            expanded=(self.expanded(0), self.expanded(1)),
            panel_channel=self.panel_channel,
            panel_plane=self.panel_plane,
            panel_row=self.panel_row,
            panel_phase=self.panel_phase,
            panel_columns=self.panel_columns,
            in_block=self.in_block,
            column_runs=self.skips_columns,
            rows_at_once=1 if self.rows_apart else max(1, p.kernel[1]),
            gathers_border=self.gathers_border,
            prefetches=self.prefetches(),
            three_columns=three_columns(p),
            down_the_rows=self.family == Family.PIXELS and down_the_rows(p),
            x_taps=NO_TAPS,
            w_taps=NO_TAPS,
            masks=NO_MASKS,
            mask_taps=NO_TAPS,
            tap_places=NO_TAPS,
            lanes_are=across.kind,
            neighbours=self.family == Family.ACROSS and neighbours_fit(p, self.machine),
            across_blocks=across.blocks,
            across_wide=across.wide,
            across_first=across.first,
            across_base=across.base,
            across_picks=across.picks,
            read=self.read,
            w_in_order=p.in_order(self.read),
            panel_offset=shift[0] * self.panel_plane + shift[1] * self.panel_row + shift[2],
            accumulators_at=panel,
            weights_at=panel + sums,
            outputs_at=outputs,
            scratch_bytes=scratch,
        )

    def short(self) -> Spec:
        """Short rows: items of several groups, no panel."""
        self.in_place = True
        group = 2 * self.p.taps * self.p.out_channels * self.p.out_size[2]
        self.group_block = even_part(self.p.groups, ITEM_FLOPS[1] // group)
        return self.finished()

    def plain(self) -> Spec:
        """The plain loop nest: an item for each output channel, no panel, no scratch."""
        self.in_place = True
        self.channel_block = 1
        return self.finished()


def apart(scratch: int) -> int:
    """Bytes of scratch, and so many more that threads, whose scratch lies side by side, do not ask
    for each other's lines ahead.

    Measured on Zen 4, two threads: 1.1 to 1.5 times as fast with a panel."""
    spaced = (-(-scratch // PAGE_BYTES) + 1) * PAGE_BYTES
    return spaced if spaced <= SCRATCH_BYTES else -(-scratch // 64) * 64


def even_part(total: int, most: int) -> int:
    """The size of equal parts of `total`, none larger than `most`."""
    parts = -(-total // max(1, min(most, total)))
    return -(-total // parts)
