"""The plain loop nest: serves everything, and only where no other family does."""

from __future__ import annotations

import math
from typing import ClassVar

from gconv._plan.costs import Costs, Tile
from gconv._plan.family import Choose, Family, Words
from gconv._plan.items import Layout
from gconv._plan.machine import Machine
from gconv._plan.problem import Problem


class PlainLayout(Layout):
    """An item for each output channel; no panel, no scratch."""

    def reads_in_place(self) -> bool:
        """Always."""
        return True

    def finishes(self) -> tuple[bool, bool]:
        """The residual is added to each sum, wherever it lies."""
        return False, True

    def decide(self) -> None:
        """One output channel an item, of the whole image."""
        self.channel_block = 1


class Plain(Family):
    """One sum after the other, as it is defined."""

    name = "plain"
    words: ClassVar = {"": Words("plain loop nest", "outputs", "outputs")}
    layout_class = PlainLayout

    def estimate(self, p: Problem, machine: Machine, choose: Choose) -> str | Costs:
        """Not estimated: the last resort."""
        return [(math.inf, Tile(1, 1))]

    def layout(
        self, p: Problem, machine: Machine, tile: Tile, choose: Choose, like: Layout | None = None
    ) -> PlainLayout:
        """The same for every problem."""
        layout = PlainLayout(self, p, machine, tile)
        layout.decide()
        return layout
