"""Via C order: compute a channels-last result in C order first, and copy it then.

A wrapper round the plan of the same problem with a result in C order. It serves what no other
family stores channels-last: transposed convolutions, and layers of few output channels, whose
lanes of channels would be mostly empty.
"""

from __future__ import annotations

import math

from gconv._plan.costs import Costs, Tile, near_or_far
from gconv._plan.family import Choose, Family
from gconv._plan.items import Layout
from gconv._plan.machine import Machine
from gconv._plan.problem import Problem, c_steps


class ViaCOrder(Family):
    """See the module."""

    name = "via_c_order"
    transposed = None
    wraps = True

    def estimate(self, p: Problem, machine: Machine, choose: Choose) -> str | Costs:
        """The inner plan; to copy the result, which threads share out as well.

        Measured on Zen 4: 2 to 5 times as fast as lanes of channels where groups have 1 to 4
        output channels.
        """
        if p.y_in_order:
            return "serves channels-last results"
        inner = choose(inner_of(p), wrap=p.transposed)
        t = machine.tuning
        back = near_or_far(t.scatter_cycles, p, machine)
        if machine.share_sets(p.pixels):
            back = max(back, t.scatter_in_sets_cycles)
        channels = p.groups * p.out_channels
        last = channels % machine.lanes
        moved = ((channels - last) * back + last * max(back, t.scatter_one_cycles)) * p.pixels
        if p.transposed:  # others count what they gather
            gathered = p.groups * p.in_channels * p.inputs
            moved += near_or_far(t.gather_cycles, p, machine) * gathered
        cycles = inner.cycles + moved + t.copy_call_cycles
        if not p.channels_last and not p.transposed:
            cycles = math.inf  # x is not a channels-last array of several columns
        return [(cycles, Tile(1, 1, inner=inner))]

    def layout(
        self, p: Problem, machine: Machine, tile: Tile, choose: Choose, like: Layout | None = None
    ) -> Layout:
        """The inner layout, whose result is copied."""
        inner = inner_of(p)
        choice = tile.inner or choose(inner, wrap=p.transposed)
        layout = choice.family.layout(inner, machine, choice.tile, choose)
        layout.copied = True
        return layout


def inner_of(p: Problem) -> Problem:
    """The same problem with a result in C order."""
    return p.placed(
        y_in_order=True, y_channel=p.pixels, y_axis=c_steps(p.out_size))
