"""Sliding windows: a row of input is loaded once, and slides to each of its taps in registers.

    weights: as they are, or [group][channel][tap]

Serves groups of one input channel, strides 1 and 2, kernels of few rows; on instruction sets that
load some lanes of a vector and take vectors from two registers at any place.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from gconv._plan.costs import Costs, Tile, panel_cycles, slots_read, split
from gconv._plan.family import STORES_ROWS, Array, Choose, Family, Words
from gconv._plan.items import Layout
from gconv._plan.machine import Machine
from gconv._plan.problem import Problem
from gconv._plan.record import FLAG, INT, Keep

OWN = np.dtype(
    [("vectors", INT), ("prefetches", FLAG)],
    align=True,
)


class SlidingLayout(Layout):
    """Strips of whole rows, from top to bottom of a band."""

    sorts_columns = False  # tiles take columns apart by themselves
    shares_rows = True

    def reads_in_place(self) -> bool:
        """Lanes in padding of zeros are not loaded."""
        return self.p.zero_padding

    def panel_limit(self) -> int:
        """A panel stays in the first-level cache, unless bands would share many planes."""
        small = self.p.kernel[0] == 1
        return self.tuning.small_panel_bytes if small else self.tuning.panel_bytes

    def cut_band(self, target: int) -> None:
        """As for any family; and what a strip asks for ahead fits the second-level cache."""
        super().cut_band(target)
        if self.prefetches():
            p = self.p
            row = p.in_size[2] * p.stride[1] + p.out_size[2]
            rows = self.tuning.ahead_bytes // (row * self.itemsize)
            if self.band[1] > rows:
                self.shrink(1, max(self.least_band(1), rows))

    def least_band(self, axis: int) -> int:
        """Rows worth a strip."""
        return self.strip_rows() if axis == 1 else super().least_band(axis)

    def prefetches(self) -> bool:
        """Whether strips ask for what the next item reads and writes: where they lie side by side,
        in several rows, and x and y exceed the second-level cache.

        Measured on Zen 4: 1.2 to 4 times as fast where x or y come from memory, and 0.98 times
        where they are in the third-level cache."""
        p = self.p
        return (
            p.alone
            and self.band[1] > 1
            and self.band[2] > self.columns
            and p.groups * (p.inputs + p.pixels * p.out_channels) * self.itemsize
            > self.tuning.l2_bytes
        )

    def weight_bytes(self) -> int:
        """A kernel, put in order."""
        return self.kernel_bytes()


class Sliding(Family):
    """See the module."""

    name = "sliding"
    records: ClassVar = {"sliding": OWN}
    words: ClassVar = {"": Words("sliding windows", "kernel rows", "columns")}
    specialised = True
    layout_class = SlidingLayout

    def estimate(self, p: Problem, machine: Machine, choose: Choose) -> str | Costs:
        """Tiles as wide as can be, and narrower ones in proportion."""
        stride, rows = p.stride[2], p.kernel[1]
        widest = machine.tiles[self.name]["sliding"]  # by stride and kernel rows
        reach = (p.kernel[2] - 1) * p.dilation[2]
        if not p.y_in_order:
            return STORES_ROWS
        if p.in_channels != 1:
            return "needs one input channel per group"
        if (stride, rows) not in widest:
            return f"has no tile for stride {stride} and {rows} kernel rows"
        if p.x_axis[2] != 1:
            return "needs columns of x that are neighbours"
        if reach > (8 if stride == 1 else 2) * machine.lanes:
            return "needs the taps of a row within a few vectors"
        if p.out_size[1] > 1 and p.stride[1] != stride:
            return "needs one stride for rows and columns"
        if stride > 1 and not p.dilation[1] == p.dilation[2] == 1:
            return "needs stride 1 or dilation 1"
        most = widest[stride, rows]
        best = self._cycles(p, machine, most)
        # The fewer vectors, the more strips: as likely as not the widest is the best.
        return [(best, Tile(rows, most))] + [
            (best * (2 - vectors / most), Tile(rows, vectors)) for vectors in range(1, most)
        ]

    def _cycles(self, p: Problem, machine: Machine, vectors: int) -> float:
        t, rows, stride = machine.tuning, p.kernel[1], p.stride[2]
        neighbours = rows in (1, p.kernel[2]) and p.dilation[2] == 1
        # Of a single row, taps k and k + LANES share the shifted vectors.
        paired = (
            rows == stride == 1 and neighbours and not p.channel_major
            and p.kernel[2] > machine.lanes)
        met = p.taps_met / p.taps  # kernel planes and rows in the padding are skipped
        load = t.sliding_load[2 * (rows == 1) + stride - 1] * met * p.kernel[0]
        start = t.sliding_line[rows == 1 or not neighbours]

        def line(vectors: int) -> float:
            adds = vectors * p.taps_met
            slides = met * p.kernel[0] * p.kernel[2] * ((vectors + 1) / 2 if paired else vectors)
            # Two a cycle; slides by a literal distance have a port of their own, but for those
            # that take the columns of a single row apart.
            literal = neighbours and (rows > 1 or stride == 1)
            busy = max(adds, (adds + slides) * 2 / 3) if literal else adds + slides
            return busy / 2 + load * (vectors + 1) + start

        row_vectors = -(-p.out_size[2] // machine.lanes)
        row = sum(n * line(v) for n, v in split(row_vectors, vectors))
        sets = min(p.dilation[1], p.out_size[1])  # of rows that share input rows
        lines = p.out_size[1] + t.sliding_starts * sets * (rows // stride)
        strips = t.sliding_set * (sets - 1) * -(-row_vectors // vectors)
        elements = p.groups * (p.inputs + p.out_channels * p.pixels)
        far = elements * machine.itemsize > t.far_bytes
        less = 1.0
        if rows == p.out_channels == 1 and p.zero_padding and p.column_padding and far:
            less = t.sliding_far_row
        if p.dilation[1] > 2 and row_vectors <= vectors and far:
            less *= t.far_rows  # strips side by side ask for rows ahead
        strips += t.sliding_plane[rows == 1]
        cycles = p.out_channels * p.out_size[0] * (less * lines * row + strips)
        if not p.zero_padding:
            cycles += panel_cycles(t, p, machine, slots_read(p, 0), slots_read(p, 1))
        return p.groups * cycles

    def layout(
        self, p: Problem, machine: Machine, tile: Tile, choose: Choose, like: Layout | None = None
    ) -> Layout:
        """A sibling's tile depends on its kernel."""
        if like is not None:
            widest = machine.tiles[self.name]["sliding"]
            tile = Tile(p.kernel[1], widest[p.stride[2], p.kernel[1]])
        return super().layout(p, machine, tile, choose, like)

    def own(self, layout: Layout, keep: Keep) -> Array:
        """The widest tile."""
        assert isinstance(layout, SlidingLayout)
        return np.array((layout.tile.vectors, layout.prefetches()), OWN)
