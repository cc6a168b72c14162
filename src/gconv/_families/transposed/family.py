"""Transposed convolutions: an ordinary one for each stride phase of the output (see `phases`).

A wrapper: the parts share bands, blocks and panel, and `kernel.pxi` interleaves what they give.
Where groups have few input channels, the kernel of `upsampling.pxi` computes all parts of a row and
interleaves them in registers.

    weights: those of each part as its own tiles read them, each from a cache line on
"""

from __future__ import annotations

import math
from functools import cached_property
from itertools import product
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gconv._families.transposed.phases import Axis, Phase, axes_of
from gconv._plan.costs import Costs, Tile
from gconv._plan.family import STORES_ROWS, Array, Choice, Choose, Family, Words, ordered_weights
from gconv._plan.items import Layout, balanced, flops_inside, work_before
from gconv._plan.machine import Machine
from gconv._plan.problem import NO_EPILOGUE, Addresses, PaddingMode, Problem, Triple, c_steps
from gconv._plan.record import ADDRESS, FLAG, INT, Keep, address, addresses, written
from gconv._plan.scratch import LINE_BYTES, Regions

PART = np.dtype([("plan", ADDRESS), ("weights_at", INT)], align=True)
OWN = np.dtype(
    [
        ("parts", ADDRESS), ("counts", INT, 3), ("phases", ADDRESS, 3), ("y_step", INT, 3),
        ("y_size", INT, 3), ("bias_alone", FLAG), ("straight", FLAG), ("column_parts", INT),
        ("outputs", INT),
    ],
    align=True,
)
UPSAMPLING = np.dtype([("parts", OWN), ("vectors", INT), ("weights", INT)], align=True)


WHOLE_ROWS = "upsampling"
COLUMNS = "columns"  # what the vectors of tiles must be that whole rows can take the place of


class Part(NamedTuple):
    """The outputs of one phase on every axis: the layout of their kind, and their weights."""

    layout: Layout
    origin: int  # the first tap among all weights
    packed_at: int  # where packed weights begin among those of all parts


class TransposedLayout(Layout):
    """The layout of one part, which all share, and the parts."""

    parts: list[Part]
    axes: tuple[Axis, Axis, Axis]
    straight: bool  # parts write their own outputs to y, and need no scratch
    column_parts: int  # of a row of parts, so many are computed before they are interleaved

    def __init__(
        self, family: Family, whole: Problem, like: Layout, axes: tuple[Axis, Axis, Axis],
        parts: list[Part], kind: str = "", *, straight: bool = False,
    ) -> None:
        vars(self).update(vars(like))
        vars(self).pop("regions", None)
        self.family, self.like, self.axes, self.parts, self.kind = family, like, axes, parts, kind
        self.straight = straight
        self.p = like.p.placed(
            y_image=whole.y_image, y_channel=whole.y_channel, y_axis=whole.y_axis,
            epilogue=whole.epilogue)
        most = max(1, self.tuning.output_bytes // (self.part_outputs * self.itemsize))
        self.column_parts = 0 if self.straight else min(like.p.siblings[2], most)
        self.y_size = whole.out_size
        self.weight_offset = 0  # the parts know where their weights begin
        self.kernel = kind or family.name

    @property
    def part_outputs(self) -> int:
        """Outputs of a part in an item."""
        return self.group_block * self.channel_block * self.band_pixels

    def finishes(self) -> tuple[bool, bool]:
        """Whole rows are finished in registers; interleaved ones have their residual only."""
        in_tiles, _ = super().finishes()
        return in_tiles and self.kind == WHOLE_ROWS, True

    @cached_property
    def regions(self) -> Regions:
        """Those of the parts, one after the other in the same place, and their outputs."""
        inner = max(part.layout.regions.end for part in self.parts) * self.itemsize
        outputs = self.column_parts * self.part_outputs
        if self.kind == WHOLE_ROWS:  # the weights of an output channel for a row of parts
            rows = max(part.layout.p.kernel[1] for part in self.parts)
            places = self.machine.tiles[WHOLE_ROWS]["most_places"]
            outputs = self.p.in_channels * places * self.p.siblings[2] * rows
        return Regions(self.itemsize, parts=inner, outputs=outputs * self.itemsize)

    def taps(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The parts have theirs."""
        none = np.zeros(0, np.intp)
        return none, none

    def source_fields(self) -> tuple[object, ...]:
        """Those of a part: they share the panel."""
        return self.like.source_fields()


class UpsamplingLayout(Layout):
    """Bands of rows of which tiles compute all columns: x in place for one input channel, else a
    panel for all of them."""

    def reads_in_place(self) -> bool:
        """One channel slides through registers."""
        return self.p.in_channels == 1

    def least_band(self, axis: int) -> int:
        """Rows worth a strip, where one slides."""
        slides = axis == 1 and self.in_place
        return self.strip_rows() if slides else super().least_band(axis)


class Upsampling(Family):
    """The kernel of whole rows, as parts of it are laid out."""

    name = WHOLE_ROWS
    layout_class = UpsamplingLayout


class Transposed(Family):
    """See the module."""

    name = "transposed"
    words: ClassVar = {WHOLE_ROWS: Words("windows of all column phases", "kernel rows",
                               "columns of each phase")}
    transposed = True
    wraps = True
    records: ClassVar = {"transposed": OWN, WHOLE_ROWS: UPSAMPLING}

    def estimate(self, p: Problem, machine: Machine, choose: Choose) -> str | Costs:
        """The largest part, so many times; whole rows take half as long."""
        if not p.y_in_order:
            return STORES_ROWS
        axes = axes_of(p)
        single = single_problem(p, axes)
        if single is not None:
            choice = choose(single, wrap=True)
            return [(choice.cycles, Tile(1, 1, inner=choice))]
        largest = largest_part(p, axes)
        choice = choose(largest)
        cycles = choice.cycles * math.prod(largest.siblings)
        costs = [(cycles, Tile(1, 1, inner=choice))]
        if not choice.forced and upsamples(largest, axes, machine, choice):
            costs.append((cycles / 2, Tile(1, 1, WHOLE_ROWS)))
        return costs

    def layout(
        self, p: Problem, machine: Machine, tile: Tile, choose: Choose, like: Layout | None = None
    ) -> Layout:
        """One part decides for all; parts without scratch write their own outputs to y."""
        axes = axes_of(p)
        single = single_problem(p, axes)
        if single is not None:
            choice = tile.inner or choose(single, wrap=True)
            return choice.family.layout(single, machine, choice.tile, choose)
        largest = largest_part(p, axes)
        if tile.kind == WHOLE_ROWS:
            family: Family = UPSAMPLING_FAMILY
            shared = balanced(UpsamplingLayout, family, largest, machine, tile)
            if shared.in_block == largest.in_channels:  # such tiles take all channels at once
                rows = max(phase.kernel for phase in axes[1].phases)
                vectors = machine.tiles[WHOLE_ROWS][WHOLE_ROWS][axes[2].step, rows]
                parts = all_parts(p, axes, family, tile, shared, choose, own_outputs=False)
                whole = TransposedLayout(self, p, shared, axes, parts, WHOLE_ROWS)
                whole.tile = Tile(rows, vectors, WHOLE_ROWS)
                return whole
        choice = tile.inner or choose(largest)
        shared = choice.family.layout(largest, machine, choice.tile, choose)
        straight = math.isinf(choice.cycles)  # of the last resort
        parts = all_parts(p, axes, choice.family, choice.tile, shared, choose,
                          own_outputs=straight)
        return TransposedLayout(self, p, shared, axes, parts, straight=straight)

    def own(self, layout: Layout, keep: Keep) -> Array:
        """The parts, of few kinds though there may be thousands, and how they interleave."""
        assert isinstance(layout, TransposedLayout)
        kinds: dict[int, int] = {}
        parts = np.zeros(len(layout.parts), PART)
        for part, entry in zip(layout.parts, parts, strict=True):
            where = kinds.get(id(part.layout))
            if where is None:
                where = kinds[id(part.layout)] = address(written(part.layout, keep), keep)
            entry["plan"] = where
            entry["weights_at"] = part.origin if layout.p.packs else part.packed_at
        phases = [
            np.array([phase.phase for phase in axis.phases], np.intp) for axis in layout.axes
        ]
        regions = layout.regions
        own = np.array(
            (
                address(parts, keep), [len(axis.phases) for axis in layout.axes],
                addresses(keep, *phases), [axis.step for axis in layout.axes],
                layout.y_size, not all(axis.complete for axis in layout.axes), layout.straight,
                layout.column_parts, regions["outputs"],
            ),
            OWN,
        )
        if layout.kind != WHOLE_ROWS:
            return own
        return np.array((own, layout.tile.vectors, regions["outputs"]), UPSAMPLING)

    def says(self, layout: Layout) -> Words:
        """The kernel of the parts, or of whole rows."""
        assert isinstance(layout, TransposedLayout)
        return self.words.get(layout.kind) or layout.like.family.says(layout.like)

    def pack_key(self, layout: Layout) -> tuple[object, ...]:
        """That of each part."""
        assert isinstance(layout, TransposedLayout)
        return tuple(
            (part.origin, part.layout.family.pack_key(part.layout), part.layout.p.kernel)
            for part in layout.parts
        )

    def packed_size(self, layout: Layout) -> int:
        """Of all parts."""
        assert isinstance(layout, TransposedLayout)
        last = layout.parts[-1]
        return last.packed_at + last.layout.family.packed_size(last.layout)

    def elements(self, layout: Layout) -> int:
        """Of all parts: they share no tap."""
        assert isinstance(layout, TransposedLayout)
        return sum(part.layout.family.elements(part.layout) for part in layout.parts)

    def pack_all(self, layout: Layout, weight: Array, packed: Array) -> None:
        """See the module."""
        assert isinstance(layout, TransposedLayout)
        for part in layout.parts:
            one, size = part.layout, part.layout.family.packed_size(part.layout)
            ordered = ordered_weights(one.p, weight, part.origin)
            one.family.pack(one, ordered, packed[part.packed_at : part.packed_at + size])

    def work(self, layout: Layout, images: int, numbers: NDArray[np.intp]) -> NDArray[np.float64]:
        """An item computes its band of every part."""
        assert isinstance(layout, TransposedLayout)
        return sum(
            (work_before(part.layout, images, numbers) for part in layout.parts),
            np.zeros(len(numbers)),
        )

    def flops_inside(self, layout: Layout) -> int:
        """A part may count more outputs than its phase has."""
        assert isinstance(layout, TransposedLayout)
        phases = product(*(axis.phases for axis in layout.axes))
        return sum(
            flops_inside(part.layout.p, own_size(layout.y_size, layout.axes, own))
            for part, own in zip(layout.parts, phases, strict=True)
        )


UPSAMPLING_FAMILY = Upsampling()


# ---- the parts ----------------------------------------------------------------------------------


def single_problem(p: Problem, axes: tuple[Axis, Axis, Axis]) -> Problem | None:
    """The ordinary problem that a transposed one is: of its only part, or, where no output has a
    tap, of the bias alone; None where there are several parts."""
    ones: Triple = (1, 1, 1)
    if not all(axis.phases for axis in axes):
        return p.replace(
            transposed=False, in_channels=0, in_size=p.out_size, kernel=ones, stride=ones,
            dilation=ones, padding=(0, 0, 0), source_padding=(0, 0, 0), source_reach=(0, 0, 0),
        )
    if {axis.step for axis in axes} != {1}:
        return None
    only = part_problem(p, axes, tuple(axis.phases[0] for axis in axes), own_outputs=False)
    return only.replace(siblings=(0, 0, 0), epilogue=p.epilogue)


def largest_part(p: Problem, axes: tuple[Axis, Axis, Axis]) -> Problem:
    """The part of most taps."""
    phases = product(*(axis.phases for axis in axes))
    most = max(phases, key=lambda own: math.prod(phase.kernel for phase in own))
    return part_problem(p, axes, most, own_outputs=False)


def part_problem(
    p: Problem, axes: tuple[Axis, Axis, Axis], phases: tuple[Phase, ...], *, own_outputs: bool
) -> Problem:
    """The ordinary convolution that computes the outputs of one phase on every axis.

    With `own_outputs` it counts its own outputs and has its place in y. Otherwise it counts those
    of the longest phase, and its y is scratch.
    """
    tap = c_steps(p.kernel)
    out_size: Triple = tuple(axis.positions for axis in axes)  # type: ignore[assignment]
    before = tuple(max(phase.padding for phase in axis.phases) for axis in axes)
    after = tuple(max(phase.reach - phase.padding for phase in axis.phases) for axis in axes)
    pixels = math.prod(out_size)
    y_image, y_channel, y_axis = p.groups * p.out_channels * pixels, pixels, c_steps(out_size)
    if own_outputs:
        out_size = own_size(p.out_size, axes, phases)
        y_image, y_channel = p.y_image, p.y_channel
        y_axis = tuple(  # type: ignore[assignment]
            axis.step * step for axis, step in zip(axes, p.y_axis, strict=True))
    volume = math.prod(p.kernel)
    return p.replace(
        transposed=False,
        out_size=out_size,
        kernel=tuple(phase.kernel for phase in phases),
        stride=(1, 1, 1),
        dilation=tuple(phase.dilation for phase in phases),
        padding=tuple(phase.padding for phase in phases),
        padding_mode=PaddingMode.ZEROS,
        y_image=y_image,
        y_channel=y_channel,
        y_axis=y_axis,
        # Of the shape (groups, in_channels, out_channels, *kernel), the taps backwards.
        weights=Addresses(
            origin_of(p, phases), p.in_channels * p.out_channels * volume, volume,
            p.out_channels * volume,
            tuple(  # type: ignore[arg-type]
                -axis.phases[0].tap_step * step for axis, step in zip(axes, tap, strict=True)),
        ),
        source_padding=before,
        source_reach=tuple(b + a for b, a in zip(before, after, strict=True)),
        siblings=tuple(len(axis.phases) for axis in axes),
        epilogue=NO_EPILOGUE,  # it is that of the whole
    )


def origin_of(p: Problem, phases: tuple[Phase, ...]) -> int:
    """Where a part's first tap lies among the weights."""
    return sum(
        phase.first_tap * step for phase, step in zip(phases, c_steps(p.kernel), strict=True))


def own_size(size: Triple, axes: tuple[Axis, Axis, Axis], phases: tuple[Phase, ...]) -> Triple:
    """How many outputs of y a part has."""
    return tuple(  # type: ignore[return-value]
        -(-(extent - phase.phase) // axis.step)
        for extent, phase, axis in zip(size, phases, axes, strict=True)
    )


def all_parts(
    p: Problem, axes: tuple[Axis, Axis, Axis], family: Family, tile: Tile, like: Layout,
    choose: Choose, *, own_outputs: bool,
) -> list[Part]:
    """All parts. There may be thousands of phases, but they are of few kinds: one layout serves
    each of these."""
    kinds: dict[object, Layout] = {}
    parts: list[Part] = []
    line, packed = LINE_BYTES // like.itemsize, 0
    for phases in product(*(axis.phases for axis in axes)):
        size = own_size(p.out_size, axes, phases) if own_outputs else ()
        key = (size, *((phase.kernel, phase.dilation, phase.padding) for phase in phases))
        layout = kinds.get(key)
        if layout is None:
            problem = part_problem(p, axes, phases, own_outputs=own_outputs)
            layout = family.layout(
                problem, like.machine, tile, choose, like=None if own_outputs else like)
            if not own_outputs:  # in scratch: [column's phase][channel][band]
                layout.p = problem.placed(
                    y_image=0, y_channel=math.prod(like.band), y_axis=c_steps(like.band))
            kinds[key] = layout
        parts.append(Part(layout, origin_of(p, phases), packed))
        if not p.packs:
            packed += -(-layout.family.packed_size(layout) // line) * line
    return parts


def upsamples(
    largest: Problem, axes: tuple[Axis, Axis, Axis], machine: Machine, choice: Choice
) -> bool:
    """Whether tiles may compute all phases of a row's columns and interleave them: few input
    channels in a group, windows without dilation that lie within a few columns, and a tile for
    the strides and the kernel rows.

    Measured on Zen 4: 1.4 to 2.9 times as fast as part by part.
    """
    depth, row, column = axes
    tiles = machine.tiles[WHOLE_ROWS]
    before = max(phase.padding for phase in column.phases)
    places = max(before - phase.padding + phase.kernel for phase in column.phases)
    one = largest.in_channels == 1
    few = largest.in_channels <= machine.tuning.upsampling_channels
    return (
        (one or (few and largest.column_padding and lanes_are(choice) == COLUMNS))
        and largest.x_axis[2] == 1
        and all(axis.complete for axis in axes)
        and len(column.phases) == column.step
        and places <= tiles["most_places"]
        and all(phase.kernel == 1 for phase in depth.phases)
        and all(phase.dilation == 1 for phase in row.phases + column.phases)
        and all((column.step, phase.kernel) in tiles[WHOLE_ROWS] for phase in row.phases)
    )


def lanes_are(choice: Choice) -> str:
    """What the lanes of a tile are, in words."""
    words = choice.family.words.get(choice.tile.kind)
    return words.vectors if words else ""
