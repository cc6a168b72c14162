"""Short rows: a vector over an output row, x read in place.

    weights: as they are, or [group][channel][tap]

Serves the next few samples of a stream, for which other families take longest to get ready.
"""

from __future__ import annotations

from typing import ClassVar

from gconv._plan.costs import Costs, Tile
from gconv._plan.family import Choose, Family, Words
from gconv._plan.items import Layout, even_part
from gconv._plan.machine import Machine
from gconv._plan.problem import Problem


class ShortLayout(Layout):
    """Items of several groups; no panel."""

    def reads_in_place(self) -> bool:
        """Always."""
        return True

    def decide(self) -> None:
        """As many groups an item as its work allows."""
        p = self.p
        group = 2 * p.taps * p.out_channels * p.out_size[2]
        self.group_block = even_part(p.groups, self.tuning.most_item_flops // group)


class Short(Family):
    """See the module."""

    name = "short"
    words: ClassVar = {"": Words("short rows", "output channels", "samples")}
    layout_class = ShortLayout

    def estimate(self, p: Problem, machine: Machine, choose: Choose) -> str | Costs:
        """Two loads for every multiply-add."""
        if not p.room:
            return "needs room for a vector behind x: serves streams"
        if p.dimensions != 1 or set(p.stride) != {1} or p.column_padding or p.x_axis[2] != 1:
            return "needs one dimension, stride 1, no padding, samples that are neighbours"
        if p.taps == 0 or not p.y_in_order:
            return "needs input channels, and a result in C order"
        vectors = -(-p.out_size[2] // machine.lanes)
        sums = p.taps + machine.tuning.short_sums
        return [(p.groups * p.out_channels * vectors * sums, Tile(1, 1))]

    def layout(
        self, p: Problem, machine: Machine, tile: Tile, choose: Choose, like: Layout | None = None
    ) -> ShortLayout:
        """The same for every problem."""
        layout = ShortLayout(self, p, machine, tile)
        layout.decide()
        return layout
