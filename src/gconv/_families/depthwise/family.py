"""Depthwise rows: rows of a tile are image rows, so that a loaded row serves every row it touches.

    weights: as they are, or [group][tap]

Serves groups of one input and one output channel, kernels of several rows, and rows of stride 1:
other strides go to `sliding`, `width` or `through_channels_last`.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from gconv._plan.costs import Costs, Tile, grid_of, panel_cycles, parted, split
from gconv._plan.family import STORES_ROWS, Array, Choose, Family, Words
from gconv._plan.items import Layout
from gconv._plan.machine import Machine
from gconv._plan.problem import Problem, Triple
from gconv._plan.record import ADDRESS, FLAG, INT, Keep, address
from gconv._plan.tuning import Tuning

OWN = np.dtype(
    [("rows", INT), ("vectors", INT), ("columns", ADDRESS), ("three_columns", FLAG)],
    align=True,
)


class DepthwiseLayout(Layout):
    """Small panels: one output channel reads them."""

    shares_rows = True

    def panel_limit(self) -> int:
        """A panel stays in the first-level cache."""
        return self.tuning.small_panel_bytes

    def weight_bytes(self) -> int:
        """A kernel, put in order."""
        return self.kernel_bytes()


class Depthwise(Family):
    """See the module."""

    name = "depthwise"
    records: ClassVar = {"depthwise": OWN}
    words: ClassVar = {"": Words("depthwise rows", "rows", "columns")}
    layout_class = DepthwiseLayout

    def estimate(self, p: Problem, machine: Machine, choose: Choose) -> str | Costs:
        """Sets of output rows that share input rows, tile by tile."""
        if not p.y_in_order:
            return STORES_ROWS
        if p.in_channels != 1 or p.out_channels != 1:
            return "needs one input and one output channel per group"
        if p.stride[1] != 1 or p.kernel[1] == 1:
            return "needs kernel rows that share input rows: several, with stride 1"
        return self.costs(p, machine)

    def costs(self, p: Problem, machine: Machine) -> Costs:
        """The cycles of each tile."""
        t, lanes = machine.tuning, machine.lanes
        row_vectors = -(-p.out_size[2] // lanes)
        copying = p.groups * (t.ready_cycles + t.plane_cycles * p.out_size[0])
        if p.stride[2] > 1 or p.column_padding or p.channels_last:
            # The bands of a small panel share planes and rows, which are copied for each of them.
            columns = p.out_size[2] + p.source_reach[2]
            most = t.small_panel_bytes // (columns * machine.itemsize)
            planes, rows = copied(p, most)
            copying += panel_cycles(t, p, machine, p.groups * planes, rows)
        if p.out_size[2] < lanes:
            copying += t.short_row * p.groups * p.out_size[0] * p.out_size[1]
        apart = 1.0
        if p.dilation[1] > 1 and lanes * machine.itemsize == 64:
            far = p.groups * (p.inputs + p.pixels) * machine.itemsize > t.far_bytes
            apart = t.far_rows if far else t.apart_rows
        three = three_columns(p)
        kind = "three" if three else "depthwise"
        tiles = grid_of(machine.tiles[self.name][kind])
        images = apart * p.groups * p.out_size[0]
        met = p.taps_met / p.taps  # kernel planes and rows in the padding are skipped
        # Output rows one dilation apart share input rows.
        sets = min(p.dilation[1], p.out_size[1])
        counts = parted(p.out_size[1], sets)
        known: dict[tuple[int, int], float] = {}
        costs = []
        for tile_rows, tile_vectors in tiles:
            if tile_rows > p.kernel[1] + 1:  # an assumption of the kernel
                continue
            cycles = 0.0
            for count, out_rows in counts:
                for n, r in split(out_rows, tile_rows):
                    for m, v in split(row_vectors, tile_vectors):
                        if (r, v) not in known:
                            known[r, v] = tile_cycles(t, p.kernel, r, v, three, met)
                        cycles += count * n * m * known[r, v]
            costs.append((copying + images * cycles, Tile(tile_rows, tile_vectors)))
        return costs

    def layout(
        self, p: Problem, machine: Machine, tile: Tile, choose: Choose, like: Layout | None = None
    ) -> Layout:
        """A sibling's tile depends on its kernel."""
        if like is not None:
            tile = min(self.costs(p, machine))[1]
        return super().layout(p, machine, tile, choose, like)

    def own(self, layout: Layout, keep: Keep) -> Array:
        """The largest tile, and where the taps of a kernel row lie."""
        columns = np.array(layout.tap_steps()[3], np.intp)
        tile = layout.tile
        return np.array(
            (tile.rows, tile.vectors, address(columns, keep), three_columns(layout.p)), OWN)


def three_columns(p: Problem) -> bool:
    """Whether a kernel row's three taps are neighbours, in x or in a panel sorted by phase."""
    return p.kernel[2] == 3 and p.stride[2] == p.dilation[2]


def copied(p: Problem, most: int) -> tuple[int, int]:
    """Planes of a channel, and rows of each of them, that the bands of a panel of so many rows
    copy: bands of fewer planes first, and then of fewer rows."""
    band = list(p.out_size[:2])

    def extents() -> tuple[int, int]:
        """Planes and rows of a band's panel."""
        planes, rows = (
            (band[axis] - 1) * p.stride[axis] + p.source_reach[axis] + 1 for axis in (0, 1))
        return planes, rows

    for axis in (0, 1):
        while band[axis] > 1 and math.prod(extents()) > most:
            band[axis] //= 2
    planes, rows = (
        extent * -(-size // part)
        for extent, size, part in zip(extents(), p.out_size[:2], band, strict=True))
    return planes, rows


def tile_cycles(
    t: Tuning, kernel: Triple, rows: int, vectors: int, three: bool, met: float
) -> float:
    """Cycles of a tile, window row by window row."""
    planes, height, width = kernel
    cycles = t.tile_start + t.sum_cycles * rows * vectors
    for window in range(height + rows - 1):
        active = min(window, height - 1) - max(window - rows + 1, 0) + 1
        sums = active * vectors
        per_tap = max(
            sums / 2 + t.issue * (2 * active + vectors),
            (active + vectors * t.split_loads) / 2, min(t.latency, sums * t.latency))
        cycles += met * width * planes * per_tap + 1
    # Three columns of weights stay in registers, too.
    full = rows > 1 and (rows + 1) * vectors + (3 if three else 0) >= t.full_tile
    return cycles * t.full_depthwise if full else cycles
