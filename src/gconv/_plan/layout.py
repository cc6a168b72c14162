"""How the work of a problem is laid out: bands, blocks and work items."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy

from gconv._plan.across import Vectors, vectors_of
from gconv._plan.panel import PANEL_BYTES, SUMS_BYTES, Panel, even_part
from gconv._plan.problem import CHANNELS_LAST, Addresses, Family, Problem, Spec
from gconv._plan.tiles import (
    BLOCK_BYTES,
    DEPTHWISE_PANEL_BYTES,
    TALL_WEIGHT_BLOCK_BYTES,
    WEIGHT_BLOCK_BYTES,
    Machine,
    across_vectors,
    depthwise_tile,
    down_the_rows,
    sliding_tile,
    wide_kernel,
)

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
# Fewer rows are not worth the start of a strip.
SLIDING_ROWS = 16
# Outputs of a transposed convolution's parts, before they are interleaved.
OUTPUT_BYTES = 128 * 1024
SCRATCH_BYTES = 512 * 1024  # promised: no thread ever has more
# Work items: enough for 64 threads to share evenly, yet each worth its overhead.
ITEMS = 480
ITEM_FLOPS = (40_000, 400_000)
FEW_ITEMS = 8  # but enough for most machines, where more would pack weights again
SMALL_FLOPS = 20_000_000  # below, few threads are worth waking, and items may be larger
SMALL_ITEM_FLOPS = 150_000
# Multiply-adds that a copied element should serve, in all output channels of an item.
COPY_USES = 128


class Layout(Panel):
    """Bands, blocks and work items for a family and its tile."""

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
        super().__init__(problem, machine, family, rows, vectors)
        self.packs = packs  # the engine packs weights as they are needed
        self.in_block = self.panel_channels
        self.size = size  # of a work item, over the usual one
        self.channel_block = problem.out_channels
        self.bands_inside = False

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

    @property
    def is_small(self) -> bool:
        """Whether few threads are worth waking."""
        return self.p.flops < SMALL_FLOPS

    def item_flops(self) -> int:
        """Of a work item, about."""
        low, high = ITEM_FLOPS
        flops = self.p.flops
        if self.is_small:
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

    @property
    def read(self) -> Addresses:
        """Where the engine finds the weights: a layer has put them in order."""
        return self.p.weights if self.packs else self.p.weights_in_order
