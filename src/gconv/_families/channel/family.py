"""Channel lanes: rows of a tile are output pixels, lanes are output channels of a group.

    weights: [group][channel block][tap][lanes]

A block of output channels is as wide as the widest tile, the last one as wide as what is left;
lanes beyond the last channel are zero. Taps go in the order of the sum, which is here: block of
input channels, kernel plane, row, column, channel.

Serves groups of any number of channels; best where a group has vectors of output channels.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gconv._plan.costs import Costs, Tile, grid_costs, panel_cycles
from gconv._plan.family import Array, Choose, Family, Words
from gconv._plan.items import Layout, even_part
from gconv._plan.machine import Machine
from gconv._plan.problem import FLAT, ItemOrder, Problem
from gconv._plan.record import ADDRESS, FLAG, INT, Keep, address
from gconv._plan.scratch import MOST_BYTES, PAGE_BYTES
from gconv._plan.source import NO_TAPS

OWN = np.dtype(
    [
        ("rows", INT), ("vectors", INT), ("tap_places", ADDRESS), ("column_runs", FLAG),
        ("gathers_border", FLAG), ("rows_at_once", INT), ("border", INT),
    ],
    align=True,
)


class ChannelLayout(Layout):
    """Bands of contiguous pixels, whose sums stay in the cache while blocks of input channels are
    added to them."""

    sorts_columns = False  # pixels are apart by the stride
    aligns_phases = False
    planes_first = True

    # ---- where x is read ----

    def reads_in_place(self) -> bool:
        """Kernel columns in padding of zeros are skipped, other padding is looked up."""
        if not self.p.zero_padding:
            return self.gathers_border
        if not self.p.column_padding:
            return True
        return self.skips_columns and self.skips_in_place()

    @cached_property
    def skips_columns(self) -> bool:
        """Whether pixels skip kernel columns in the padding."""
        return may_skip_columns(self.p, self.machine) and (
            self.skips_in_place() or columns_computed(self.p, self.machine) < 1)

    def skips_in_place(self) -> bool:
        """Whether x can stand in for a panel where pixels skip the columns in the padding: a
        tap's channels must lie in different places of the first-level cache.

        Measured on Zen 4: 1.02 to 1.19 times as fast as with a panel; 0.7 to 1.0 times where
        all channels of a block share the same sets, as in planes of 32 x 32 or 64 x 64.
        """
        p, t = self.p, self.tuning
        if not p.alone:
            return False
        # A kernel column more in the padding is one run more; down few rows it is a short one.
        least_rows = 1 if self.rows_fill_visits else t.channel_skip_run
        long = (
            p.out_size[1] >= least_rows or p.out_size[2] >= t.channel_run_columns * p.kernel[2])
        return p.channels_last or (long and self.channels_apart())

    def channels_apart(self) -> bool:
        """Whether the channels of a tap lie in different places of the first-level cache, and
        neighbouring columns on the same lines. Blocks of weights may have more channels than
        are counted here: 512 channels of 8x8 are 1.03 times as fast in place even so."""
        p, way = self.p, self.tuning.way_bytes
        sets = min(64, way // math.gcd(way, p.x_channel * self.itemsize))
        channels = self.channels_in(self.tuning.weight_block_bytes)
        return p.x_axis[2] == 1 and channels <= self.tuning.channel_ways * sets

    @cached_property
    def rows_fill_visits(self) -> bool:
        """Whether kernel rows had better go apart, each for all pixels, than all taps of one pixel
        after the other: pixels at the border then find more others that meet the same taps, and
        go through whole tiles with them. But each tile is visited, and its sums are read and
        written, once for each kernel row.

        Small tiles read more of x, and lose from 14x14 on if its channels are not neighbours. One
        to three rows of 8 or 16 channels are left as they are: 0.6 to 1 times there."""
        p, t = self.p, self.tuning
        padded = p.in_channels * p.kernel[2] * p.padding[1]
        if p.kernel[1] == 1 or padded < t.channel_visit_padding * p.out_size[1]:
            return False
        if p.in_channels * p.out_size[1] < t.channel_visit_rows:  # visits too short
            return False
        few_rows = p.out_size[1] <= t.channel_visit_size * p.padding[1]
        return self.tall or p.channels_last or few_rows

    @property
    def rows_apart(self) -> bool:
        """Whether kernel rows go apart, each for all pixels."""
        return self.skips_columns and self.in_place and self.rows_fill_visits

    @cached_property
    def gathers_border(self) -> bool:
        """Whether x is read in place where the padding holds elements of the image: pixels with
        taps there look up where each of these lies.

        Measured on Zen 4: 1.2 to 1.25 times as fast as with a panel where groups have up to 32
        channels, 1.0 to 1.06 times with more, 1.2 times with a dilation."""
        p, t = self.p, self.tuning
        return (
            not p.zero_padding
            and not p.channel_major
            and (p.channels_last or self.channels_apart())
            and t.border_bytes
            >= self.table_bytes(min(p.pixels, t.sums_bytes // self.pixel_sum_bytes))
        )

    def table_bytes(self, pixels: int) -> int:
        """Where the taps of border pixels lie, and those of a band's columns."""
        return 8 * (pixels * self.p.volume + self.p.out_size[2] * self.p.kernel[2])

    # ---- bands and blocks ----

    @property
    def unit(self) -> int:
        """Output channels of a tile."""
        return self.tile.vectors * self.lanes

    @property
    def columns(self) -> int:
        """Pixels of a tile."""
        return self.tile.rows

    @property
    def tall(self) -> bool:
        """Whether tiles have so many pixels that weights may come from the second-level cache."""
        return self.tile.rows >= self.tuning.tall_rows

    @property
    def pixel_sum_bytes(self) -> int:
        """Of a pixel's sums."""
        return self.unit * self.itemsize

    @property
    def pixel_bytes(self) -> int:
        """Of a pixel in an item: its sums, where its taps lie, and its place in y."""
        ordered = self.skips_columns or self.gathers_border or not self.p.y_in_order
        return self.pixel_sum_bytes + (16 if ordered else 8)

    def decide(self) -> None:
        """Sums and weights first."""
        self.limit_pixels(self.tuning.sums_bytes // self.pixel_bytes)
        self.in_block = self.weights_block()
        super().decide()
        self.order_items()

    def limit_pixels(self, most: int) -> None:
        """Shrink the band to a number of pixels: columns where a row has more, else rows."""
        depth, rows, columns = self.p.out_size
        if columns > most:
            self.band = (1, 1, even_part(columns, most))
        elif rows * columns > most:
            self.band = (1, even_part(rows, most // columns), columns)
        else:
            self.band = (even_part(depth, most // (rows * columns)), rows, columns)

    def channels_in(self, weight_bytes: int) -> int:
        """Input channels, in equal parts, whose weights in a block of output channels take no
        more."""
        block = self.p.volume * self.pixel_sum_bytes
        return even_part(self.p.in_channels, max(1, weight_bytes // block))

    def weights_block(self) -> int:
        """So many input channels that their weights stay in the cache."""
        t = self.tuning
        if self.rows_apart:  # a kernel row's stay there; functions pack those of all rows
            several = t.weight_block_bytes * self.p.kernel[1]
            return self.channels_in(t.packed_bytes if self.tall else min(several, t.packed_bytes))
        return self.channels_in(t.tall_weight_block_bytes if self.tall else t.weight_block_bytes)

    def limit_panel(self) -> None:
        """As for any family; but each band of siblings would pack the weights of all of them."""
        band = self.band
        super().limit_panel()
        # Blocks of channels stay what they are for a layer: they are the order of the sum.
        repacks = self.p.packs and not self.p.alone
        if repacks and self.panel_channels == self.p.in_channels:
            smaller, self.band = self.band, band
            if self.panel_bytes > self.tuning.repacking_panel_bytes:
                self.band = smaller

    def may_join_groups(self) -> bool:
        """Each group has weights and sums of its own."""
        return False

    def cut_band(self, target: int) -> None:
        """As for any family; but each band of siblings would pack the weights of all of them."""
        blocks = self.p.groups * self.channel_blocks
        if self.p.packs and not self.p.alone and blocks >= self.tuning.few_items:
            return
        super().cut_band(target)

    def least_band(self, axis: int) -> int:
        """An item reads its weights once for all its pixels."""
        p, t = self.p, self.tuning
        least = 0 if self.in_place else math.ceil(t.band_repeats * self.shared(axis))
        least = max(least, t.channel_pixels // math.prod(p.out_size[axis + 1 :]))
        if axis == 1 and self.skips_columns:  # its runs go down the rows
            least = max(least, t.channel_run_rows)
        return max(1, round(least * min(1.0, self.size)))

    def order_items(self) -> None:
        """Bands vary fastest where weights are packed on the way and there are several bands: a
        block of channels then packs its weights once for all of them. They vary slowest where
        pixels are neighbours in y: groups share its cache lines there, and two threads should not
        write them at the same time.

        Measured on Zen 4, two threads, groups of 12 and 20 output channels: 1 to 1.4 times as
        fast, depending on which of the threads is ahead."""
        p = self.p
        block = p.taps * self.pixel_sum_bytes
        if self.gathers_border:
            block += self.table_bytes(self.band_pixels)
        needed = self.panel_bytes + self.tuning.sums_bytes + block + PAGE_BYTES
        if p.packs and p.alone and self.band != p.out_size and needed <= MOST_BYTES:
            self.order = ItemOrder.BANDS_FASTEST
            self.channel_block = min(self.unit, p.out_channels)
        elif not p.y_in_order:
            self.order = ItemOrder.BANDS_SLOWEST

    def skips(self, axis: int) -> bool:
        """Columns are skipped, too, where that pays."""
        return axis != 2 or self.skips_columns

    def slice_along(self) -> tuple[int, int]:
        """Bands are contiguous in a y in order, and so have to be their slices."""
        planes, rows, columns = self.band
        if self.p.y_in_order and self.p.alone and planes == 1:
            return FLAT, rows * columns
        return super().slice_along()

    # ---- scratch ----

    def sum_bytes(self) -> int:
        """Sums of all pixels of a band, where their taps lie, and their places in y."""
        return -(-self.band_pixels * self.pixel_bytes // 64) * 64

    def weight_bytes(self) -> int:
        """Of a block of input channels, or of all."""
        every = self.order == ItemOrder.BANDS_FASTEST
        channels = self.p.in_channels if every else self.in_block
        return channels * self.p.volume * self.pixel_sum_bytes

    def own_regions(self) -> dict[str, int]:
        """The table of border pixels."""
        return {"border": self.table_bytes(self.band_pixels) if self.gathers_border else 0}

    def ordered(self, taps: NDArray[np.intp]) -> NDArray[np.intp]:
        """Columns before channels, as runs of pixels meet the same columns."""
        return (taps if self.p.channel_major else taps.swapaxes(2, 3)).ravel()


class Channel(Family):
    """See the module."""

    name = "channel"
    records: ClassVar = {"channel": OWN}
    words: ClassVar = {"": Words("channel lanes", "pixels", "output channels")}
    layout_class = ChannelLayout

    def estimate(self, p: Problem, machine: Machine, choose: Choose) -> str | Costs:
        """Tiles of pixels by vectors of output channels; sums in and out."""
        t, lanes = machine.tuning, machine.lanes
        tiles = machine.tiles[self.name]["channel"]
        block = p.volume * max(tiles.values()) * lanes * machine.itemsize
        if p.in_channels == 0:
            return "needs input channels"
        if block > 2 * t.weight_block_bytes:
            return "needs the weights of an input channel in the first-level cache"
        vectors, taps = -(-p.out_channels // lanes), p.taps_met
        if p.in_channels >= t.channel_skip_channels:
            taps *= columns_computed(p, machine)
        starts = 0.0
        if p.in_channels == 1:  # few taps of a kernel row follow each other
            starts = t.channel_row * p.kernel[0] * p.kernel[1]
        # Bias in, transposed out; or where y is channels-last, to the place of each pixel.
        pixel = t.channel_sums * vectors
        if not p.y_in_order:
            pixel = t.channel_last_sums * vectors
            if p.out_channels % lanes:
                pixel += t.channel_tail
            band = min(p.pixels, t.channel_pixels) * p.groups * p.out_channels
            if 4 * band * machine.itemsize > 3 * t.l2_bytes:
                pixel += t.channel_far_sums * vectors
        blocks = -(-vectors // max(tiles.values()))
        plane = t.channel_plane * blocks
        copying = 0.0
        if skips_columns(p, machine):
            run, row = t.channel_run_cycles
            plane += (column_runs(p) - 1) * (run + row * p.out_size[1]) * blocks
        elif p.column_padding and p.zero_padding:
            copying = panel_cycles(t, p, machine, p.in_channels * p.in_size[0], p.in_size[1])
        around = p.groups * (
            p.pixels * pixel + p.out_size[0] * plane + t.channel_ready_cycles + copying)
        return [
            (p.groups * p.pixels * cycles + around, Tile(rows, wide))
            for cycles, rows, wide in grid_costs(
                t, tiles, None, vectors, taps, 1.0, starts=starts)
        ]

    def own(self, layout: Layout, keep: Keep) -> Array:
        """The largest tile; who packs asks for the places of the taps in memory."""
        assert isinstance(layout, ChannelLayout)
        places = np.argsort(layout.taps()[1]) if layout.p.packs else NO_TAPS
        rows_at_once = 1 if layout.rows_apart else max(1, layout.p.kernel[1])
        return np.array(
            (
                layout.tile.rows, layout.tile.vectors, address(places, keep), layout.skips_columns,
                layout.gathers_border, rows_at_once,
                layout.regions["border"],
            ),
            OWN,
        )

    def pack_key(self, layout: Layout) -> tuple[object, ...]:
        """Blocks of input channels change the order of the taps, unless that is fixed."""
        p = layout.p
        in_block = 0 if p.channel_major else layout.in_block
        return (p.weights, p.kernel, layout.lanes, layout.tile.vectors, in_block)

    def packed_size(self, layout: Layout) -> int:
        """Output channels are filled up to whole vectors."""
        p, lanes = layout.p, layout.lanes
        return p.groups * -(-p.out_channels // lanes) * lanes * p.taps

    def pack(self, layout: Layout, ordered: Array, packed: Array) -> None:
        """See the module."""
        p, lanes = layout.p, layout.lanes
        taps = layout.taps()[1]
        wide = layout.tile.vectors * lanes
        filled = -(-p.out_channels // lanes) * lanes
        blocks = packed.reshape(p.groups, filled * p.taps)
        for first in range(0, p.out_channels, wide):
            block = ordered[:, first : first + wide, taps].swapaxes(1, 2)  # [group][tap][channel]
            lanes_here = min(wide, filled - first)
            to = blocks[:, first * p.taps : (first + lanes_here) * p.taps]
            to.reshape(p.groups, p.taps, lanes_here)[:, :, : block.shape[2]] = block


def may_skip_columns(p: Problem, machine: Machine) -> bool:
    """Whether kernel columns that lie in the padding may be skipped: a tap begins and ends a run
    at most."""
    most_runs = machine.tiles["channel"]["most_column_runs"]
    return (
        p.column_padding
        and not p.channel_major
        and p.zero_padding
        and 2 * p.kernel[2] + 1 <= most_runs
    )


def column_runs(p: Problem) -> int:
    """Runs of pixels that meet the same columns, along a row."""
    ends = {end for pair in p.column_outputs if pair[0] < pair[1] for end in pair}
    return 1 + sum(0 < end < p.out_size[2] for end in ends)


def skips_columns(p: Problem, machine: Machine) -> bool:
    """Whether a layout will skip columns, about: it depends on the tile, too."""
    t = machine.tuning
    if not p.alone or not may_skip_columns(p, machine):
        return False
    return (
        p.channels_last
        or p.out_size[1] >= t.channel_skip_run
        or p.out_size[2] >= t.channel_run_columns * p.kernel[2]
    )


def columns_computed(p: Problem, machine: Machine) -> float:
    """The share of kernel columns that are computed: those in the padding are skipped where that
    leaves runs of pixels, along a row or down the rows, long enough for a tile, and saves some of
    the taps."""
    if not may_skip_columns(p, machine):
        return 1.0
    t = machine.tuning
    inside = p.inside[2] / p.kernel[2]
    runs = column_runs(p)
    along, down = t.channel_skip_inside
    pays = (inside < along and p.out_size[2] >= t.channel_skip_run * runs) or (
        inside < down and p.out_size[1] >= t.channel_skip_run)
    return inside if pays else 1.0
