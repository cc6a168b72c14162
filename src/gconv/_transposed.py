"""Plans of transposed convolutions: one part for each stride phase (see `_phases`).

The parts share bands, blocks and panel; `_engine/transposed.pxi` computes one band of each of
them and interleaves what they give.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np

from gconv._geometry import Geometry, Shape
from gconv._layout import OUTPUT_BYTES, SCRATCH_BYTES, Layout, balanced_spec, spec_of
from gconv._packing import packed_size
from gconv._phases import ONE, Axis, Phase, axes_of
from gconv._problem import (
    NO_EPILOGUE,
    Addresses,
    Family,
    PaddingMode,
    Problem,
    Spec,
    epilogue_of,
    on_three_axes,
    problem_of,
)
from gconv._tiles import Machine, Tile, choose_tile


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
    problems = [
        part_problem(geometry, x_strides, axes, phases)
        for phases in product(*(axis.phases for axis in axes))
    ]
    if {axis.step for axis in axes} == {1}:
        (only,) = problems
        only.part_counts = (0, 0, 0)
        only.epilogue = epilogue_of(geometry.activation)
        return spec_of(only, machine, forced, packs)
    largest = max(problems, key=lambda problem: problem.volume)
    family, rows, vectors = choose_tile(largest, machine, forced)
    if family != Family.PLAIN:
        like = balanced_spec(largest, machine, family, rows, vectors, packs)
        spec = with_parts(like, [
            Layout.of_part(like, problem, machine, packs).finished() for problem in problems
        ], geometry, axes, machine.itemsize, packs)
        if spec.scratch_bytes <= SCRATCH_BYTES:
            return spec
    like = Layout(largest, machine, Family.PLAIN, 1, 1, packs).plain()
    # The plain loop nest writes each part's own outputs, and straight to y.
    rows_of_y, columns_of_y = on_three_axes(geometry.out_size, 1)[1:]
    pixels = math.prod(geometry.out_size)
    exact = [
        problem.replace(
            out_size=tuple(
                -(-(size - phase.phase) // axis.step)
                for size, phase, axis in zip(
                    on_three_axes(geometry.out_size, 1), phases, axes, strict=True
                )
            ),
            y_image=geometry.out_channels * pixels,
            y_channel=pixels,
            y_axis=(depth.step * rows_of_y * columns_of_y, row.step * columns_of_y, column.step),
        )
        for problem, phases in zip(
            problems, product(*(axis.phases for axis in axes)), strict=True
        )
    ]
    parts = [Layout(problem, machine, Family.PLAIN, 1, 1, packs).plain() for problem in exact]
    return with_parts(like, parts, geometry, axes, machine.itemsize, packs)


def part_problem(
    geometry: Geometry, x_strides: Shape, axes: tuple[Axis, Axis, Axis], phases: tuple[Phase, ...]
) -> Problem:
    """The ordinary convolution that computes the outputs of one phase on every axis.

    Its y is not yet known: it lies in scratch, as large as a band.
    """
    g = geometry
    kernel = on_three_axes(g.kernel, 1)
    in_channels, out_channels = g.in_channels // g.groups, g.out_channels // g.groups
    volume = math.prod(kernel)
    tap = (kernel[1] * kernel[2], kernel[2], 1)
    before = tuple(max(phase.padding for phase in axis.phases) for axis in axes)
    after = tuple(max(phase.reach - phase.padding for phase in axis.phases) for axis in axes)
    out_size = tuple(axis.positions for axis in axes)
    rows = out_size[1] * out_size[2]
    pixels = out_size[0] * rows
    return Problem(
        dimensions=len(g.kernel),
        groups=g.groups,
        in_channels=in_channels,
        out_channels=out_channels,
        in_size=on_three_axes(g.in_size, 1),
        out_size=out_size,  # type: ignore[arg-type]
        kernel=tuple(phase.kernel for phase in phases),  # type: ignore[arg-type]
        stride=(1, 1, 1),
        dilation=tuple(phase.dilation for phase in phases),  # type: ignore[arg-type]
        padding=tuple(phase.padding for phase in phases),  # type: ignore[arg-type]
        padding_mode=PaddingMode.ZEROS,
        x_image=x_strides[0],
        x_channel=x_strides[1],
        x_axis=on_three_axes(x_strides[2:], 0),
        y_image=g.out_channels * pixels,
        y_channel=pixels,
        y_axis=(rows, out_size[2], 1),
        y_in_order=True,
        # Of the shape (groups, in_channels, out_channels, *kernel), the taps backwards.
        weights=Addresses(
            sum(phase.first_tap * step for phase, step in zip(phases, tap, strict=True)),
            in_channels * out_channels * volume,
            volume,
            out_channels * volume,
            tuple(  # type: ignore[arg-type]
                -phase.tap_step * step for phase, step in zip(phases, tap, strict=True)
            ),
        ),
        flops=g.flops,
        channel_major=False,
        room=False,
        panel_padding=before,  # type: ignore[arg-type]
        panel_reach=tuple(b + a for b, a in zip(before, after, strict=True)),  # type: ignore[arg-type]
        part_counts=tuple(len(axis.phases) for axis in axes),  # type: ignore[arg-type]
        epilogue=NO_EPILOGUE,  # it is that of the whole
    )


def with_parts(
    like: Spec,
    parts: list[Spec],
    geometry: Geometry,
    axes: tuple[Axis, ...],
    itemsize: int,
    packs: bool,
) -> Spec:
    """A spec that holds those of its parts, laid out like one of them."""
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
        rows, columns = like.band[1:]
        for part in parts:
            part.y_image = 0
            part.y_channel = math.prod(like.band)
            part.y_axis = (rows * columns, columns, 1)
            part.items, part.slices = like.items, like.slices
            part.slice_size, part.slice_axis = like.slice_size, like.slice_axis
        of_a_part = like.group_block * like.channel_block * math.prod(like.band)
        most = max(1, OUTPUT_BYTES // (of_a_part * itemsize))
        column_parts = min(like.part_counts[2], most)
        outputs = column_parts * of_a_part
    return like.replace(
        y_image=geometry.out_channels * math.prod(y_size),
        y_channel=math.prod(y_size),
        y_axis=(y_size[1] * y_size[2], y_size[2], 1),
        parts=tuple(parts),
        part_phases=tuple(
            np.array([phase.phase for phase in axis.phases], np.intp) for axis in axes
        ),
        y_step=tuple(axis.step for axis in axes),
        y_size=y_size,
        bias_alone=not all(axis.complete for axis in axes),
        column_parts=column_parts,
        epilogue=epilogue_of(geometry.activation),
        outputs_at=outputs_at,
        scratch_bytes=-(-(64 + (outputs_at + outputs) * itemsize) // 64) * 64,
    )
