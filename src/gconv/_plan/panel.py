"""Where tiles read x from: where it lies, or a panel in scratch that holds a band of it."""

from __future__ import annotations

import math
from functools import cached_property

from gconv._plan.problem import CHANNELS_LAST, Family, Problem, Triple
from gconv._plan.tiles import (
    TALL_ROWS,
    WEIGHT_BLOCK_BYTES,
    Machine,
    columns_computed,
    may_skip_columns,
)

# A panel should leave the second-level cache (512 KiB on Zen 3, 1 MiB on Zen 4) room for the
# output; one that feeds few output channels (DEPTHWISE_PANEL_BYTES) should stay in the first.
PANEL_BYTES = 192 * 1024
# Channels of a block that may share a set of the cache, of 8 ways; the weights need most of it.
WAYS = 3
# Sums of a channel-lane item: pixels x lanes.
SUMS_BYTES = 48 * 1024
# Where the taps of pixels near the padding lie.
BORDER_BYTES = 128 * 1024


class Panel:
    """What a band of outputs reads of x, and where it lies, for a family and its tile."""

    def __init__(
        self,
        problem: Problem,
        machine: Machine,
        family: Family,
        rows: int,
        vectors: int,
    ) -> None:
        self.p = problem
        self.machine = machine
        self.family = family
        self.rows = rows
        self.vectors = vectors
        self.lanes = machine.lanes
        self.band: Triple = problem.out_size
        self.group_block = 1
        self.panel_channels = max(problem.in_channels, 1)
        self.in_place = self.can_read_in_place()

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

    # -- transposed panels of channels-last tiles --

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

    # -- channel lanes at the padding --

    @property
    def tall(self) -> bool:
        return self.rows >= TALL_ROWS

    @property
    def sums_bytes(self) -> int:
        """Of a pixel's sums in a channel-lane item."""
        return self.vectors * self.lanes * self.machine.itemsize

    def channels_in(self, weight_bytes: int) -> int:
        """Input channels, in equal parts, whose weights in a block of output channels take no
        more."""
        block = self.p.volume * self.vectors * self.lanes * self.machine.itemsize
        return even_part(self.p.in_channels, max(1, weight_bytes // block))

    @cached_property
    def skips_columns(self) -> bool:
        """Whether channel lanes skip kernel columns in the padding."""
        if self.family != Family.CHANNEL or not may_skip_columns(self.p):
            return False
        return self.skips_in_place() or columns_computed(self.p) < 1

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


def even_part(total: int, most: int) -> int:
    """The size of equal parts of `total`, none larger than `most`."""
    parts = -(-total // max(1, min(most, total)))
    return -(-total // parts)
