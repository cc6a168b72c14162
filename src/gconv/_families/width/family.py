"""Width lanes: rows of a tile are output channels, lanes are neighbouring output columns.

    weights: as they are, or [group][channel][tap]

Serves every layer whose result is in C order. Where the columns stay as many as they are and some
taps lie in padding of zeros, x may be read in place with masks: lanes are then pixels of the whole
plane.
"""

from __future__ import annotations

import math
from copy import copy
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gconv._plan.costs import Costs, Tile, grid_costs, panel_cycles, slots_read
from gconv._plan.family import STORES_ROWS, Array, Choose, Family, Words
from gconv._plan.items import Layout
from gconv._plan.machine import Machine
from gconv._plan.problem import Problem
from gconv._plan.record import ADDRESS, INT, Keep, addresses

OWN = np.dtype(
    [("rows", INT), ("vectors", INT), ("masks", ADDRESS), ("mask_taps", ADDRESS)],
    align=True,
)


MASKED = "masked"


class WidthLayout(Layout):
    """Bands of rows; a panel where rows meet padding or are not of unit stride."""

    slices_before_size = True

    @property
    def masked(self) -> bool:
        """Whether x is read in place, with masks."""
        return self.tile.kind == MASKED

    def reads_in_place(self) -> bool:
        """With masks always."""
        return self.masked or super().reads_in_place()

    @property
    def unit(self) -> int:
        """Output channels of a tile."""
        return self.tile.rows

    def limit_panel(self) -> None:
        """As for any family; blocks of input channels want tiles that do not overlap."""
        if self.in_place:
            return
        super().limit_panel()
        if self.in_block < self.p.in_channels and self.tile.vectors < 3:
            # A last tile of one vector may overlap the tile before it, which has then gone on
            # from the partial sums already. Splitting by 3 leaves no such tile.
            self.tile = Tile(4, 3)

    def least_lines(self) -> tuple[int, int]:
        """Where few output channels use what is copied, a band repeats at most half of it for the
        next one along each axis, if the panel has room for one input channel of such a band; with
        far dilations it has not."""
        p = self.p
        few = not self.masked and self.least_blocks() * self.unit > p.out_channels
        if not few or not p.alone:
            return 1, 1
        fewest = (1, 1, self.tuning.panel_tiles * self.lanes)
        planes, rows, columns = (
            min(size, max(least, 2 * (kernel - 1) // stride))
            for size, least, kernel, stride in zip(
                p.out_size, fewest, p.kernel, p.stride, strict=True)
        )
        one = copy(self)
        one.band, one.panel_channels = (planes, rows, columns), 1
        return (planes, rows) if one.panel_bytes <= self.tuning.panel_bytes else (1, 1)

    def least_blocks(self) -> int:
        """A copied element serves `copy_uses` multiply-adds."""
        if self.in_place:
            return 1
        copied = math.prod(map(min, self.p.kernel, self.p.stride))  # elements for an output
        return math.ceil(self.tuning.copy_uses * copied / self.p.volume / self.unit)

    def least_band(self, axis: int) -> int:
        """With masks, two bands compute the vector where one ends."""
        if self.masked:
            pixels = self.tuning.masked_vectors * self.lanes
            return max(1, pixels // self.p.out_size[2]) if axis == 1 else 1
        return super().least_band(axis)

    def skips(self, axis: int) -> bool:
        """Masked kernel rows in the padding are multiplied like any others."""
        return super().skips(axis) and not (axis == 1 and self.masked)

    def slice_along(self) -> tuple[int, int]:
        """One long row is cut where a vector would be."""
        planes, rows, columns = self.band
        if self.in_place and planes == rows == 1:
            return 2, columns // self.lanes
        return super().slice_along()


class Width(Family):
    """See the module."""

    name = "width"
    records: ClassVar = {"width": OWN}
    words: ClassVar = {
        "": Words("width lanes", "output channels", "columns"),
        MASKED: Words("masked lanes", "output channels", "pixels"),
    }
    layout_class = WidthLayout

    def estimate(self, p: Problem, machine: Machine, choose: Choose) -> str | Costs:
        """Tiles of rows, and with masks tiles of planes."""
        if not p.y_in_order:
            return STORES_ROWS
        t, lanes = machine.tuning, machine.lanes
        copying = 0.0
        if p.stride[2] > 1 or p.column_padding or p.channels_last:
            planes = p.groups * p.in_channels * slots_read(p, 0)
            copying = panel_cycles(t, p, machine, planes, slots_read(p, 1))
        copying += p.groups * (t.ready_cycles + t.plane_cycles * p.out_size[0])
        lines = p.groups * p.out_size[0] * p.out_size[1]
        if p.out_size[2] < lanes:
            copying += t.short_row * lines * p.out_channels
        tiles = machine.tiles[self.name]["width"]
        loads = [t.split_loads] * (1 + max(tiles.values()))
        if not p.alone:
            for vectors in range(len(loads)):
                rows = p.in_channels * p.kernel[0] * p.kernel[1] * (vectors + (p.kernel[2] > 1))
                if rows * lanes * machine.itemsize > t.sibling_row_bytes:
                    loads[vectors] = t.far_loads
        # Of tiles that keep multiply-adds as busy, those of more output channels read less of x.
        waits = t.read_cycles * p.taps_met if p.in_channels > 1 else 0.0
        costs = [
            (copying + lines * cycles, Tile(rows, vectors))
            for cycles, rows, vectors in grid_costs(
                t, tiles, p.out_channels, -(-p.out_size[2] // lanes), p.taps_met, loads, waits)
        ]
        return costs + self._masked_costs(p, machine)

    def _masked_costs(self, p: Problem, machine: Machine) -> Costs:
        """Groups of several input channels, in rows that follow each other, as many columns as
        before, some taps in padding of zeros, and no more pixels than masks are worth."""
        t = machine.tuning
        tiles = machine.tiles[self.name]["masked"]
        _, rows, columns = p.out_size
        if not (
            tiles
            and p.in_channels > 1
            and p.stride[1:] == (1, 1)
            and p.in_size[2] == columns
            and p.x_axis[2] == 1
            and (rows == 1 or p.x_axis[1] == p.y_axis[1] == columns <= t.masked_columns)
            and p.column_padding
            and p.zero_padding
            and not p.channel_major
            and p.alone
            and rows * columns * p.kernel[1] * p.kernel[2] <= 8 * t.mask_bytes
        ):
            return []
        slower = t.masked_in_sets if machine.share_sets(p.x_channel) else t.masked
        slower *= t.specialised
        taps = p.taps * p.inside[0] / p.kernel[0]  # kernel rows in the padding are not skipped
        planes = slower * p.groups * p.out_size[0]
        return [
            (planes * cycles, Tile(rows_here, vectors, MASKED))
            for cycles, rows_here, vectors in grid_costs(
                t, tiles, p.out_channels, -(-rows * columns // machine.lanes), taps, 2.0,
                t.read_cycles * taps)
        ]

    def own(self, layout: Layout, keep: Keep) -> Array:
        """The largest tile; the masks, a bit for each kernel row and column and each pixel."""
        masks, starts = NO_MASKS
        if layout.tile.kind == MASKED:
            masks, starts = masks_of(layout.p, layout.lanes)
        tile = layout.tile
        return np.array(
            (tile.rows, tile.vectors, *addresses(keep, masks, starts)), OWN)


NO_MASKS = np.zeros(0, np.uint8), np.zeros(0, np.intp)


def masks_of(p: Problem, lanes: int) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Which pixels of a plane meet an element of the image, a bit each, for each kernel row
    and column; and where, in bytes, those of each tap begin, in the order of the sum."""
    _, rows, columns = p.out_size
    whole = max(16, lanes)  # a vector's masks may be two bytes
    pixel = np.arange(-(-rows * columns // whole) * whole)
    row, column = (
        position + (np.arange(p.kernel[axis]) * p.dilation[axis])[:, None] - p.padding[axis]
        for axis, position in ((1, pixel // columns), (2, pixel % columns))
    )
    inside = ((row >= 0) & (row < p.in_size[1]))[:, None]
    inside = inside & (column >= 0) & (column < p.in_size[2]) & (pixel < rows * columns)
    masks = np.packbits(inside.reshape(-1, len(pixel)), axis=1, bitorder="little")
    tap = np.arange(p.kernel[1] * p.kernel[2]).reshape(1, p.kernel[1], 1, p.kernel[2])
    tap = np.broadcast_to(tap, (p.kernel[0], p.kernel[1], p.in_channels, p.kernel[2]))
    return masks, (tap * masks.shape[1]).ravel().astype(np.intp)
