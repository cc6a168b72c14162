"""Where tiles read x: in place, or from a panel in scratch that holds what a band reads.

    panel[channel][plane][row][phase][column]

`_engine/panel.pxi` draws a panel and fills it; `items.py` decides how large one may be.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gconv._plan.costs import Tile

if TYPE_CHECKING:
    from gconv._plan.machine import Machine
    from gconv._plan.problem import Problem, Triple

NO_TAPS = np.zeros(0, np.intp)


class Source:
    """What a band of outputs reads of x, and where that lies, for a family's tile.

    Families say what differs in the class attributes, and where they read x in `reads_in_place`.
    """

    # The columns of a panel row are sorted by stride phase, so that pixels a stride apart are
    # neighbours. Without it a tile steps over them.
    sorts_columns = True
    # A tile uses a panel row for several kernel rows, so each row must be stored once.
    shares_rows = False
    # Each phase of a panel row begins a whole number of vectors behind the one before.
    aligns_phases = True

    def __init__(self, problem: Problem, machine: Machine, tile: Tile) -> None:
        self.p = problem
        self.machine = machine
        self.tuning = machine.tuning
        self.lanes = machine.lanes
        self.itemsize = machine.itemsize
        self.tile = tile
        self.band: Triple = problem.out_size
        self.panel_channels = max(problem.in_channels, 1)
        self.in_block = self.panel_channels  # input channels that are summed before the next
        self.in_place = False  # until `reads_in_place` was asked

    def reads_in_place(self) -> bool:
        """Whether tiles may read x itself. Rows of zeros in the padding are left out, and need no
        panel; columns there do, and so does a row shorter than a vector."""
        p = self.p
        return (
            p.in_channels > 0
            and p.zero_padding
            and not p.column_padding
            and p.x_axis[2] == 1
            and p.stride[2] == 1
            and p.out_size[2] >= self.lanes
        )

    @property
    def phase_step(self) -> int:
        """From a column of a phase to its next one."""
        return self.p.stride[2] if self.sorts_columns else 1

    @property
    def phases(self) -> int:
        """Phases of the columns that some tap uses."""
        return min(self.phase_step, self.p.source_reach[2] + 1)

    @property
    def panel_columns(self) -> int:
        """Columns of one phase: what the last vector of the band's rows reads as well."""
        p, taps = self.p, self.p.source_reach[2]
        if self.sorts_columns:
            return max(self.band[2], self.lanes) + taps // p.stride[2]
        return (self.band[2] - 1) * p.stride[2] + taps + 1

    @property
    def panel_phase(self) -> int:
        """From a phase to the next."""
        columns = self.panel_columns
        return -(-columns // self.lanes) * self.lanes if self.aligns_phases else columns

    def band_rows(self, axis: int) -> int:
        """Rows (or planes) from the first to the last that a band reads."""
        return (self.band[axis] - 1) * self.p.stride[axis] + self.p.source_reach[axis] + 1

    def expanded(self, axis: int) -> bool:
        """Whether a slot for each pair of output row and kernel row takes less than that."""
        # Siblings of different kernels share a panel, too.
        if self.shares_rows or not self.p.alone:
            return False
        return self.band[axis] * self.p.kernel[axis] < self.band_rows(axis)

    def slots(self, axis: int) -> int:
        """Rows (or planes) of the panel."""
        if self.expanded(axis):
            return self.band[axis] * self.p.kernel[axis]
        return self.band_rows(axis)

    def line_and_tap(self, axis: int) -> tuple[int, int]:
        """Slots from an output row's first tap to the next one's, and from tap to tap."""
        if self.expanded(axis):
            return 1, self.band[axis]
        return self.p.stride[axis], self.p.dilation[axis]

    @property
    def panel_row(self) -> int:
        """From a row to the next, in elements."""
        return self.phases * self.panel_phase

    @property
    def panel_plane(self) -> int:
        """From a plane to the next."""
        return self.slots(1) * self.panel_row

    @property
    def panel_channel(self) -> int:
        """From a channel to the next: not a multiple of a way of the cache, where they would
        share few of its sets."""
        elements = self.slots(0) * self.panel_plane
        way = self.tuning.way_bytes // self.itemsize
        if elements % way < self.lanes and self.panel_channels > 1:
            elements += 2 * self.lanes
        return elements

    @property
    def panel_bytes(self) -> int:
        """Of the panel, and a vector that may be read behind it."""
        if self.in_place:
            return 0
        return (self.panel_channels * self.panel_channel + self.lanes) * self.itemsize

    @property
    def pixel_step(self) -> int:
        """From an output pixel's first tap to its right neighbour's."""
        return self.p.stride[2] * (self.p.x_axis[2] if self.in_place else 1)

    def source_fields(self) -> tuple[object, ...]:
        """The engine's `SourcePlan`."""
        p = self.p
        (plane_line, plane_tap), (row_line, row_tap) = map(self.line_and_tap, (0, 1))
        plane, row = self.panel_plane, self.panel_row
        before = [ours - own for ours, own in zip(p.source_padding, p.padding, strict=True)]
        return (
            self.in_place, self.phases, self.phase_step, self.pixel_step, self.panel_channels,
            self.panel_channel, self.panel_phase, (plane, row), self.panel_columns,
            (self.slots(0), self.slots(1)), (plane_line, row_line), (plane_tap, row_tap),
            (self.expanded(0), self.expanded(1)), p.source_padding, p.source_reach,
            before[0] * plane + before[1] * row + before[2],
        )

    def tap_steps(self) -> tuple[int, int, int, list[int]]:
        """From a kernel plane, a kernel row, an input channel to the next, and where each kernel
        column lies: in x, or in the panel."""
        p = self.p
        columns = [k * p.dilation[2] for k in range(p.kernel[2])]
        if self.in_place:
            return (
                p.dilation[0] * p.x_axis[0], p.dilation[1] * p.x_axis[1], p.x_channel,
                [column * p.x_axis[2] for column in columns],
            )
        step, phase = self.phase_step, self.panel_phase
        return (
            self.line_and_tap(0)[1] * self.panel_plane, self.line_and_tap(1)[1] * self.panel_row,
            self.panel_channel,
            [column % step * phase + column // step for column in columns],
        )

    def taps(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Where each tap lies in the panel (or x), and its weight, in the order of the sum: blocks
        of input channels, planes, rows, channels, columns."""
        p = self.p
        plane, row, channel, columns = self.tap_steps()
        read = p.weights if p.packs else p.weights_in_order
        kd, kh, kw = (np.arange(k) for k in p.kernel)
        whole_panel = self.in_place or self.panel_channels >= p.in_channels
        x_taps, w_taps = [NO_TAPS], [NO_TAPS]
        for first in range(0, p.in_channels, self.in_block):
            c = np.arange(first, min(first + self.in_block, p.in_channels))
            where = c if whole_panel else c - first
            x_tap = (
                kd[:, None, None, None] * plane + kh[:, None, None] * row
                + where[:, None] * channel + np.array(columns)
            )
            w_tap = (
                kd[:, None, None, None] * read.axis[0] + kh[:, None, None] * read.axis[1]
                + c[:, None] * read.input + kw * read.axis[2]
            )
            x_taps.append(self.ordered(x_tap))
            w_taps.append(self.ordered(w_tap))
        return (
            np.concatenate(x_taps).astype(np.intp), np.concatenate(w_taps).astype(np.intp)
        )

    def ordered(self, taps: NDArray[np.intp]) -> NDArray[np.intp]:
        """Taps of shape (planes, rows, channels, columns) in the order of the sum."""
        return taps.ravel()

    @property
    def band_pixels(self) -> int:
        """Outputs of a channel in a band."""
        return math.prod(self.band)
