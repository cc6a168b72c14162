"""Plans of transposed convolutions: one part for each stride phase (see `_phases`).

The parts share bands, blocks and panel; `_families/transposed/kernel.pxi` computes one band of each
of them and interleaves what they give. Where groups have few input channels, AVX-512 has tiles that
compute all parts of a row and interleave them in registers (`_families/transposed/upsampling.pxi`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np

from gconv._call.geometry import Geometry, Shape
from gconv._plan.layout import OUTPUT_BYTES, SCRATCH_BYTES
from gconv._plan.packing import packed_size
from gconv._plan.phases import ONE, Axis, Phase, axes_of
from gconv._plan.problem import (
    NO_EPILOGUE,
    Addresses,
    Family,
    PaddingMode,
    Problem,
    Spec,
    c_steps,
    epilogue_of,
    on_three_axes,
    problem_of,
)
from gconv._plan.spec import apart, balanced_spec, part_spec, plain_spec, spec_of
from gconv._plan.tiles import Machine, Tile, choose_tile, sliding_tile

MOST_PLACES = 5  # of the engine: columns of x that all phases of a row may take
# Input channels of a group that tiles of whole rows take. Measured on Zen 4: 1.2 to 1.6 times as
# fast as part by part with 2 and 4 of them, 0.65 to 1.1 times with 8.
MOST_CHANNELS = 4


def transposed_spec_of(
    geometry: Geometry, x_strides: Shape, machine: Machine, forced: Tile | None, packs: bool
) -> Spec:
    """The spec of a transposed convolution: that of its only part, or one that holds several."""
    axes = axes_of(geometry)
    if not all(axis.phases for axis in axes):  # no output has a tap: the bias alone
        empty = geometry._replace(
            transposed=False, in_channels=0, in_size=geometry.out_size,
            kernel=(1,) * len(axes), stride=(1,) * len(axes), dilation=(1,) * len(axes),
            padding=((0, 0),) * len(axes),
        )
        return spec_of(problem_of(empty, x_strides), machine, forced, packs)
    depth, row, column = (ONE,) * (3 - len(axes)) + axes
    axes = (depth, row, column)
    problem_of_part = PartProblems(geometry, x_strides, axes)
    if {axis.step for axis in axes} == {1}:
        only = problem_of_part(next(problem_of_part.phases()))
        only.part_counts = (0, 0, 0)
        only.epilogue = epilogue_of(geometry.activation)
        return spec_of(only, machine, forced, packs)
    largest = problem_of_part(
        max(problem_of_part.phases(), key=lambda phases: math.prod(p.kernel for p in phases))
    )
    whole_rows = upsamples(largest, axes, machine, forced)
    if whole_rows and largest.in_channels == 1:
        family, rows, vectors = sliding_tile(largest, machine, None)[1]
    else:
        family, rows, vectors = choose_tile(largest, machine, forced)
        whole_rows = whole_rows and family == Family.WIDTH
        if whole_rows:  # one output channel at a time
            rows = vectors = 1
    if family != Family.PLAIN:
        like = balanced_spec(largest, machine, family, rows, vectors, packs)
        if whole_rows and like.in_block < like.in_channels:  # such tiles take all channels at once
            whole_rows = False
            like = balanced_spec(largest, machine, *choose_tile(largest, machine, forced), packs)
        spec = with_parts(
            like,
            problem_of_part.specs(
                lambda problem: part_spec(like, problem, machine, packs), packs
            ),
            geometry, axes, machine.itemsize, packs, whole_rows,
        )
        if spec.scratch_bytes <= SCRATCH_BYTES:
            if whole_rows:
                rows = max(phase.kernel for phase in row.phases)
                vectors = machine.tiles["upsampling"][column.step, rows]
                spec = spec.replace(tile_rows=rows, tile_vectors=vectors)
            return spec
    # The plain loop nest writes each part's own outputs, and straight to y.
    problem_of_part.own_outputs = True
    parts = problem_of_part.specs(lambda problem: plain_spec(problem, machine, packs), packs)
    like = plain_spec(largest, machine, packs)
    return with_parts(like, parts, geometry, axes, machine.itemsize, packs)


def upsamples(
    largest: Problem, axes: tuple[Axis, Axis, Axis], machine: Machine, forced: Tile | None
) -> bool:
    """Whether tiles may compute all phases of a row's columns and interleave them: few input
    channels in a group, windows without dilation that lie within a few columns, and a tile for
    the strides and the kernel rows.

    Measured on Zen 4: 1.4 to 2.9 times as fast as part by part.
    """
    depth, row, column = axes
    before = max(phase.padding for phase in column.phases)
    places = max(before - phase.padding + phase.kernel for phase in column.phases)
    one = largest.in_channels == 1
    return (
        (forced is None or (one and forced[0] == Family.SLIDING))
        and (one or (largest.in_channels <= MOST_CHANNELS and largest.column_padding))
        and largest.x_axis[2] == 1
        and all(axis.complete for axis in axes)
        and len(column.phases) == column.step
        and places <= MOST_PLACES
        and all(phase.kernel == 1 for phase in depth.phases)
        and all(phase.dilation == 1 for phase in row.phases + column.phases)
        and all((column.step, phase.kernel) in machine.tiles["upsampling"] for phase in row.phases)
    )


class PartProblems:
    """The ordinary convolutions that compute the outputs of one phase on every axis.

    Attributes
    ----------
    own_outputs : bool
        Whether a part counts its own outputs and has its place in y. Otherwise it counts those of
        the longest phase, and its y is not yet known: it lies in scratch, as large as a band.
    """

    def __init__(
        self, geometry: Geometry, x_strides: Shape, axes: tuple[Axis, Axis, Axis]
    ) -> None:
        g = geometry
        self.axes = axes
        self.own_outputs = False
        self.y_size = on_three_axes(g.out_size, 1)
        self.tap = tap = c_steps(on_three_axes(g.kernel, 1))
        in_channels, out_channels = g.in_channels // g.groups, g.out_channels // g.groups
        volume = math.prod(g.kernel)
        before = tuple(max(phase.padding for phase in axis.phases) for axis in axes)
        after = tuple(max(phase.reach - phase.padding for phase in axis.phases) for axis in axes)
        out_size = tuple(axis.positions for axis in axes)
        pixels = math.prod(out_size)
        self.common = Problem(
            dimensions=len(g.kernel),
            groups=g.groups,
            in_channels=in_channels,
            out_channels=out_channels,
            in_size=on_three_axes(g.in_size, 1),
            out_size=out_size,  # type: ignore[arg-type]
            kernel=(1, 1, 1),
            stride=(1, 1, 1),
            dilation=(1, 1, 1),
            padding=(0, 0, 0),
            padding_mode=PaddingMode.ZEROS,
            x_image=x_strides[0],
            x_channel=x_strides[1],
            x_axis=on_three_axes(x_strides[2:], 0),
            y_image=g.out_channels * pixels,
            y_channel=pixels,
            y_axis=c_steps(out_size),  # type: ignore[arg-type]
            y_in_order=True,
            # Of the shape (groups, in_channels, out_channels, *kernel), the taps backwards.
            weights=Addresses(
                0,
                in_channels * out_channels * volume,
                volume,
                out_channels * volume,
                tuple(  # type: ignore[arg-type]
                    -axis.phases[0].tap_step * step for axis, step in zip(axes, tap, strict=True)
                ),
            ),
            flops=g.flops,
            channel_major=False,
            room=False,
            panel_padding=before,  # type: ignore[arg-type]
            panel_reach=tuple(  # type: ignore[arg-type]
                b + a for b, a in zip(before, after, strict=True)
            ),
            part_counts=tuple(len(axis.phases) for axis in axes),  # type: ignore[arg-type]
            epilogue=NO_EPILOGUE,  # it is that of the whole
        )

    def phases(self) -> Iterator[tuple[Phase, ...]]:
        """The phases of each part, in the order of the parts."""
        return product(*(axis.phases for axis in self.axes))

    def origin(self, phases: tuple[Phase, ...]) -> int:
        """Where a part's first tap lies among the weights."""
        return sum(
            phase.first_tap * step for phase, step in zip(phases, self.tap, strict=True)
        )

    def own_size(self, phases: tuple[Phase, ...]) -> Shape:
        """How many outputs a part has, where that is asked for."""
        if not self.own_outputs:
            return self.common.out_size
        return tuple(
            -(-(size - phase.phase) // axis.step)
            for size, phase, axis in zip(self.y_size, phases, self.axes, strict=True)
        )

    def __call__(self, phases: tuple[Phase, ...]) -> Problem:
        problem = self.common.replace(
            kernel=tuple(phase.kernel for phase in phases),
            dilation=tuple(phase.dilation for phase in phases),
            padding=tuple(phase.padding for phase in phases),
            weights=self.common.weights._replace(origin=self.origin(phases)),
            out_size=self.own_size(phases),
        )
        if self.own_outputs:
            pixels = math.prod(self.y_size)
            problem.y_image = problem.groups * problem.out_channels * pixels
            problem.y_channel = pixels
            problem.y_axis = tuple(  # type: ignore[assignment]
                axis.step * step
                for axis, step in zip(self.axes, c_steps(self.y_size), strict=True)
            )
        return problem

    def specs(self, make: Callable[[Problem], Spec], packs: bool) -> list[Spec]:
        """The specs of all parts. There may be thousands of phases, but they are of few kinds:
        `make` is called once for each of these."""
        kinds: dict[object, Spec] = {}
        parts = []
        for phases in self.phases():
            key = (self.own_size(phases), *((p.kernel, p.dilation, p.padding) for p in phases))
            if key not in kinds:
                kinds[key] = make(self(phases)).replace(kind=len(kinds))
            like = kinds[key]
            weights = like.weights._replace(origin=self.origin(phases))
            parts.append(like.replace(weights=weights, read=weights if packs else like.read))
        return parts


def with_parts(
    like: Spec,
    parts: list[Spec],
    geometry: Geometry,
    axes: tuple[Axis, ...],
    itemsize: int,
    packs: bool,
    whole_rows: bool = False,
) -> Spec:
    """A spec that holds those of its parts, laid out like one of them; `whole_rows` as `upsamples`
    says."""
    y_size = on_three_axes(geometry.out_size, 1)
    line = 64 // itemsize
    packed = 0
    for part in parts:
        if not packs:
            part.packed_at = packed
            packed += -(-packed_size(part) // line) * line
    outputs_at = max(part.outputs_at for part in parts)
    outputs = column_parts = 0
    if like.family != Family.PLAIN:
        # In scratch: [column's phase][channel][band].
        for part in parts:
            part.y_image = 0
            part.y_channel = math.prod(like.band)
            part.y_axis = c_steps(like.band)
            part.items, part.slices, part.slice_axis = like.items, like.slices, like.slice_axis
        of_a_part = like.group_block * like.channel_block * math.prod(like.band)
        most = max(1, OUTPUT_BYTES // (of_a_part * itemsize))
        column_parts = min(like.part_counts[2], most)
        outputs = column_parts * of_a_part
    if whole_rows:  # the weights of an output channel for a row of parts, instead of outputs
        rows = max(part.kernel[1] for part in parts)
        outputs = like.in_channels * MOST_PLACES * like.part_counts[2] * rows
    return like.replace(
        y_image=geometry.out_channels * math.prod(y_size),
        y_channel=math.prod(y_size),
        y_axis=c_steps(y_size),
        parts=tuple(parts),
        part_phases=tuple(
            np.array([phase.phase for phase in axis.phases], np.intp) for axis in axes
        ),
        y_step=tuple(axis.step for axis in axes),
        y_size=y_size,
        bias_alone=not all(axis.complete for axis in axes),
        column_parts=column_parts,
        upsamples=whole_rows,
        epilogue=epilogue_of(geometry.activation),
        outputs_at=outputs_at,
        scratch_bytes=apart(64 + (outputs_at + outputs) * itemsize),
    )
