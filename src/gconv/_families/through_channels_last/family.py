"""Through channels-last: depthwise layers in C order, block by block in channels-last scratch.

    x[channel][plane][row][column]  ->  panel[plane][row][column][channel]
    result[plane][row][column][channel]  ->  y[channel][plane][row][column]

Lanes along a row are hard to fill where rows are short or strides long, and much of what they
multiply is padding where a kernel is large beside the image; lanes of channels are full. A wrapper:
the block is computed by the plan of a channels-last problem.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from gconv._plan.costs import Costs, Tile
from gconv._plan.family import Array, Choose, Family, Words, ordered_weights
from gconv._plan.items import Layout, even_part
from gconv._plan.machine import Machine
from gconv._plan.problem import Problem, Triple
from gconv._plan.record import ADDRESS, INT, Keep, address, written
from gconv._plan.tuning import Tuning

OWN = np.dtype(
    [("inner", ADDRESS), ("result", INT)],
    align=True,
)


class ThroughLayout(Layout):
    """A band whose panel and result stay in the second-level cache, of the groups of one vector,
    or of several where they stay in the first."""

    shares_rows = True
    inner: Layout

    def reads_in_place(self) -> bool:
        """Never."""
        return False

    def decide(self) -> None:
        """Bands that fit the cache, and blocks of groups."""
        p, t, target = self.p, self.tuning, self.item_flops()
        self.group_block = min(p.groups, self.lanes)
        for axis in range(3):
            while self.block_bytes > t.block_bytes and self.band[axis] > 1:
                self.cut(axis, -(-self.band[axis] // 2))
        for axis in (1, 0):
            least = t.band_repeats * p.source_reach[axis] // p.stride[axis] + t.band_repeats
            least = min(self.band[axis], least)
            if self.flops() > t.item_slack * target and self.band[axis] > least:
                self.cut(axis, max(least, round(self.band[axis] * target / self.flops())))
        blocks = -(-p.groups // self.lanes)
        rows = -(-p.out_size[1] // self.band[1])
        if blocks * rows < t.few_items and self.flops() > t.item_slack * target:
            self.cut(1, max(1, p.out_size[1] * blocks // t.few_items))
        most = max(1, min(target // self.flops(), t.small_block_bytes // self.block_bytes))
        self.group_block = min(p.groups, even_part(blocks, most) * self.lanes)

    def flops(self) -> int:
        """Of a work item."""
        return 2 * self.p.taps * self.group_block * self.band_pixels

    @property
    def pixel(self) -> int:
        """Elements of a pixel of panel and result: the channels of a block, in whole vectors."""
        return -(-self.group_block // self.lanes) * self.lanes

    @property
    def band_inputs(self) -> Triple:
        """What a band reads of the image, at most."""
        planes, rows, columns = (
            min(self.p.in_size[axis], self.band_rows(axis)) for axis in range(3))
        return planes, rows, columns

    @property
    def panel_row(self) -> int:
        """From a row of the panel to the next."""
        return self.band_inputs[2] * self.pixel

    @property
    def panel_plane(self) -> int:
        """From a plane of the panel to the next."""
        return self.band_inputs[1] * self.panel_row

    @property
    def panel_bytes(self) -> int:
        """Of the transposed inputs."""
        return self.band_inputs[0] * self.panel_plane * self.itemsize

    @property
    def result_bytes(self) -> int:
        """Of a band's outputs before they are transposed."""
        return self.pixel * self.band_pixels * self.itemsize

    @property
    def block_bytes(self) -> int:
        """Of both."""
        return self.panel_bytes + self.result_bytes

    def weight_bytes(self) -> int:
        """Those of the inner plan."""
        return self.inner.weight_bytes()

    def own_regions(self) -> dict[str, int]:
        """The result."""
        return {"result": self.result_bytes}


class ThroughChannelsLast(Family):
    """See the module."""

    name = "through_channels_last"
    records: ClassVar = {"through_channels_last": OWN}
    wraps = True
    layout_class = ThroughLayout

    def estimate(self, p: Problem, machine: Machine, choose: Choose) -> str | Costs:
        """The inner plan; to transpose a vector's channels of x and of y."""
        if not p.y_in_order or p.x_axis[2] != 1:
            return "needs arrays whose columns are neighbours"
        if p.in_channels != 1 or p.out_channels != 1:
            return "needs one input and one output channel per group"
        if not p.zero_padding or p.channel_major:
            return "needs padding of zeros, and adds columns before channels"
        if not p.alone:
            return "shares no panel"
        vectors = -(-p.groups // machine.lanes)
        moved = transposing_cycles(machine.tuning, p, machine)
        if math.isinf(moved):
            return "needs a row of inputs and outputs in the second-level cache"
        inner = choose(inner_of(p, machine))
        if not inner.family.in_blocks:
            return "needs tiles for blocks of groups that are channels-last"
        cycles = inner.cycles + vectors * moved + machine.tuning.transpose_call
        return [(cycles, inner.tile._replace(inner=inner))]

    def layout(
        self, p: Problem, machine: Machine, tile: Tile, choose: Choose, like: Layout | None = None
    ) -> Layout:
        """The inner plan has the same bands, in arrays that lie in scratch."""
        choice = tile.inner or choose(inner_of(p, machine))
        # Items are as large for the inner problem, whatever its kernel.
        outer = super().layout(p, machine, choice.tile, choose, like)
        assert isinstance(outer, ThroughLayout)
        problem = inner_of(p, machine, outer)
        inner = choice.family.layout(problem, machine, choice.tile, choose, like=outer)
        inner.group_block, inner.in_scratch = outer.pixel, True
        outer.inner = inner
        return outer

    def own(self, layout: Layout, keep: Keep) -> Array:
        """The inner plan, with the regions of the whole, and the result's region."""
        assert isinstance(layout, ThroughLayout)
        inner = written(layout.inner, keep)
        regions = layout.regions
        inner["scratch"] = (regions["sums"], regions["weights"], regions.bytes)
        return np.array((address(inner, keep), regions["result"]), OWN)

    def says(self, layout: Layout) -> Words:
        """The inner kernel in words."""
        assert isinstance(layout, ThroughLayout)
        words = layout.inner.family.says(layout.inner)
        return words._replace(kernel=f"{words.kernel}, transposed block by block")

    def pack_key(self, layout: Layout) -> tuple[object, ...] | None:
        """That of the inner plan."""
        assert isinstance(layout, ThroughLayout)
        return layout.inner.family.pack_key(layout.inner)

    def packed_size(self, layout: Layout) -> int:
        """That of the inner plan."""
        assert isinstance(layout, ThroughLayout)
        return layout.inner.family.packed_size(layout.inner)

    def pack_all(self, layout: Layout, weight: Array, packed: Array) -> None:
        """As the inner plan does; groups beyond the last have weights of 0."""
        assert isinstance(layout, ThroughLayout)
        ordered = ordered_weights(layout.p, weight)
        filled = np.zeros((layout.inner.p.groups, 1, layout.p.taps), weight.dtype)
        filled[: layout.p.groups] = ordered
        layout.inner.family.pack(layout.inner, filled, packed)


def inner_of(p: Problem, machine: Machine, outer: ThroughLayout | None = None) -> Problem:
    """The channels-last problem of whole vectors of groups, in arrays of their own, or in the
    scratch of the layout around it."""
    groups = -(-p.groups // machine.lanes) * machine.lanes
    rows = p.in_size[2] * groups
    x_axis = (p.in_size[1] * rows, rows, groups)
    if outer is not None:
        x_axis = (outer.panel_plane, outer.panel_row, outer.pixel)
    columns = p.out_size[2] * groups
    return p.replace(
        groups=groups, x_image=0, x_channel=1, x_axis=x_axis, y_image=0, y_channel=1,
        y_axis=(p.out_size[1] * columns, columns, groups), y_in_order=False,
    )


def transposing_cycles(t: Tuning, p: Problem, machine: Machine) -> float:
    """Estimated cycles to transpose a vector's channels of x and of y; infinity where not even a
    row fits the cache."""
    lanes, itemsize = machine.lanes, machine.itemsize
    most = t.block_bytes // (lanes * itemsize)  # pixels of panel and result
    (planes, rows, _), columns = p.source_reach, p.in_size[2]
    reloads = 1.0
    if p.inputs + p.pixels > most:
        reloads = planes / p.stride[0] + 1
        columns *= planes + 1
    # Bands share the rows that the last row's taps reach beyond it.
    band = (most - columns * rows) // (columns * p.stride[1] + p.out_size[2])
    if band < 1:
        return math.inf
    band = min(band, t.band_repeats * rows // p.stride[1] + t.band_repeats)
    if band < p.out_size[1]:
        reloads *= 1 + rows / (p.stride[1] * band)
    narrow = 64 / (lanes * itemsize)
    # Rows of which outputs read a part are runs of their own, those shorter than a vector copied
    # once more.
    read = (p.out_size[2] - 1) * p.stride[2] + p.source_reach[2] + 1 - max(p.padding[2], 0)
    starts = t.ready_cycles
    if read < p.in_size[2]:
        runs = p.in_size[0] * p.in_size[1] * reloads * (1 if read >= lanes else 2)
        starts += runs * lanes * t.transpose_row
    return starts + narrow * sum(
        (pixels + lanes)
        * (t.transpose_in_sets_cycles if machine.share_sets(channel) else t.transpose_cycles)
        for pixels, channel in ((p.inputs * reloads, p.x_channel), (p.pixels, p.y_channel))
    )
