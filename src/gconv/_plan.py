"""From a geometry to a plan: which kernel, which tiles, which work items, how much scratch.

A plan depends on one image's geometry, the dtype, the strides of x and the instruction set, and
on nothing else: never on the batch or the number of threads. So the order in which the taps of
an output element are added, and with it every bit of the result, is the same for all of these.

Constants say where they come from; `benchmarks/` measures them again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cache, lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gconv import _isa
from gconv._across import NONE as NO_VECTORS
from gconv._across import Lanes, vectors_of
from gconv._engine import call
from gconv._geometry import Activation, Geometry, Shape
from gconv._phases import ONE, Axis, Phase, axes_of
from gconv._work import balance

Triple = tuple[int, int, int]

# A panel should leave the second-level cache (512 KiB on Zen 3, 1 MiB on Zen 4) room for the
# output; one that feeds few output channels is read so little that it should stay in the first.
PANEL_BYTES = 192 * 1024
DEPTHWISE_PANEL_BYTES = 24 * 1024
# A width-lane tile whose rows of input leave the first-level cache (32 KiB) little room waits for
# the second: measured on Zen 4, transposed convolutions of 128 and 256 channels run at 55 GFLOP/s
# where channel lanes reach 90.
ROWS_BYTES = 20 * 1024
FAR_LOADS = 8.0
# Weights of one block of output channels stay in the first-level cache (32 KiB).
WEIGHT_BLOCK_BYTES = 24 * 1024
# What lanes across groups read of x for one vector of channels.
ACROSS_BYTES = 48 * 1024
# Sums of a channel-lane item: pixels x lanes.
SUMS_BYTES = 48 * 1024
# Outputs of a transposed convolution's parts, before they are interleaved.
OUTPUT_BYTES = 128 * 1024
SCRATCH_BYTES = 512 * 1024  # promised: no thread ever has more
MOST_COLUMN_RUNS = 64  # of the engine; a tap begins and ends one at most
# Work items: enough for 64 threads to share evenly, yet each worth its overhead.
ITEMS = 480
ITEM_FLOPS = (40_000, 400_000)
MANY_THREADS = 64
FEW_ITEMS = 8  # but enough for most machines, where more would pack weights again
EVEN = 1.15  # the most work of a thread over the mean
# Large items first: they repeat less. Below a half, weights would be read too often.
ITEM_SIZES = (4.0, 2.0, 1.0, 0.5)
SMALL_FLOPS = 20_000_000  # below, few threads are worth waking, and items may be larger
SMALL_ITEM_FLOPS = 150_000


class Family(IntEnum):
    """The kernel families of the engine, numbered as there."""

    PLAIN = 0
    WIDTH = 1
    DEPTHWISE = 2
    CHANNEL = 3
    SLIDING = 4
    SHORT = 5
    ACROSS = 6
    PIXELS = 7


LAST = (Family.ACROSS, Family.PIXELS)  # those of channels-last arrays


class Addresses(NamedTuple):
    """Where weights lie: elements from the first tap of all, and from one to the next."""

    origin: int
    group: int
    channel: int
    input: int
    axis: Triple


class Epilogue(NamedTuple):
    """The activation, numbered as in the engine, and its parameters."""

    activation: int
    low: float
    high: float


NO_EPILOGUE = Epilogue(0, 0.0, 0.0)


def epilogue_of(activation: Activation | None) -> Epilogue:
    """What the engine does for an activation: several of them are clamps."""
    if activation is None:
        return NO_EPILOGUE
    kind, *numbers = (activation,) if isinstance(activation, str) else activation
    clamps = {"relu": (0.0, math.inf), "relu6": (0.0, 6.0), "clip": numbers}
    if kind in clamps:
        return Epilogue(1, *clamps[kind])
    if kind == "hardswish":
        return Epilogue(3, 0.0, 6.0)
    others = ("leaky_relu", "hardswish", "sigmoid", "tanh", "silu")
    return Epilogue(2 + others.index(kind), *numbers, *(0.0,) * (2 - len(numbers)))


class PaddingMode(IntEnum):
    """What the padding holds, numbered as in the engine."""

    ZEROS = 0
    REFLECT = 1
    REPLICATE = 2
    CIRCULAR = 3


# Problem and Spec are not frozen: it would add 3 ms to every import. Nothing changes them.
@dataclass(eq=False, repr=False)
class Problem:
    """One image on three axes (depth, row, column), channels counted per group.

    A convolution of fewer dimensions has extents of 1 in front; a pointwise one over contiguous
    memory is one long row. Strides count elements.
    """

    dimensions: int
    groups: int
    in_channels: int
    out_channels: int
    in_size: Triple
    out_size: Triple
    kernel: Triple
    stride: Triple
    dilation: Triple
    padding: Triple
    padding_mode: PaddingMode
    x_image: int
    x_channel: int
    x_axis: Triple
    y_image: int
    y_channel: int
    y_axis: Triple
    y_in_order: bool  # C order
    weights: Addresses
    flops: int
    channel_major: bool  # the order of taps depends on the kernel and the channels alone
    room: bool  # behind x a vector may be read
    # What a panel holds before the first input, and from the first input of an output to the
    # last. Parts of a transposed convolution share it: so many do along each axis, 0 otherwise.
    panel_padding: Triple
    panel_reach: Triple
    part_counts: Triple
    epilogue: Epilogue

    @property
    def volume(self) -> int:
        """Taps of one channel."""
        return math.prod(self.kernel)

    @property
    def taps(self) -> int:
        """Taps of one output element."""
        return self.in_channels * self.volume

    def reach(self, axis: int) -> int:
        """Where the last tap of the last output lies, along an axis."""
        return (
            (self.out_size[axis] - 1) * self.stride[axis]
            - self.padding[axis]
            + (self.kernel[axis] - 1) * self.dilation[axis]
        )

    def has_padding(self, axis: int) -> bool:
        """Whether a tap of some output lies outside the image, along an axis."""
        return self.padding[axis] > 0 or self.reach(axis) >= self.in_size[axis]

    def filled(self, axis: int) -> tuple[int, int]:
        """The positions, from the first up to the second, that hold elements of the image: in
        padding of zeros none."""
        if self.zero_padding:
            return 0, self.in_size[axis]
        return -self.padding[axis], max(self.in_size[axis], self.reach(axis) + 1)

    @property
    def column_padding(self) -> bool:
        """Whether a column tap of some output, of any part, lies outside the image."""
        reach = (
            (self.out_size[2] - 1) * self.stride[2] - self.panel_padding[2] + self.panel_reach[2]
        )
        return self.panel_padding[2] > 0 or reach >= self.in_size[2]

    @property
    def channels_last(self) -> bool:
        """Whether the channels of a pixel of x are neighbours, and its columns are not."""
        return self.x_channel == 1 and self.x_axis[2] != 1

    @property
    def weights_in_order(self) -> Addresses:
        """Weights of the shape (groups, out_channels, in_channels, *kernel) in C order."""
        _, rows, columns = self.kernel
        return Addresses(0, self.out_channels * self.taps, self.taps, self.volume,
                         (rows * columns, columns, 1))

    @property
    def zero_padding(self) -> bool:
        """Whether taps in the padding add nothing, and so may be left out."""
        return self.padding_mode == PaddingMode.ZEROS


@dataclass(eq=False, repr=False)
class Spec(Problem):
    """Every field of the engine's ConvPlan (`_engine/plan.pxd` says what they mean)."""

    lanes: int
    items: int
    group_block: int
    group_blocks: int
    band: Triple
    bands: Triple
    channel_block: int
    channel_blocks: int
    bands_inside: bool
    family: Family
    tile_rows: int
    tile_vectors: int
    in_place: bool
    phases: int
    phase_step: int
    pixel_step: int
    panel_channels: int
    panel_planes: int
    panel_rows: int
    panel_line: tuple[int, int]
    panel_tap: tuple[int, int]
    expanded: tuple[bool, bool]
    panel_channel: int
    panel_plane: int
    panel_row: int
    panel_phase: int
    panel_columns: int
    in_block: int
    column_runs: bool
    prefetches: bool
    three_columns: bool
    down_the_rows: bool
    x_taps: NDArray[np.intp]
    w_taps: NDArray[np.intp]
    tap_places: NDArray[np.intp]
    lanes_are: int
    across_blocks: int
    across_first: NDArray[np.intp]
    across_base: NDArray[np.intp]
    across_picks: NDArray[np.int32]
    read: Addresses
    w_in_order: bool
    panel_offset: int
    accumulators_at: int
    weights_at: int
    outputs_at: int
    scratch_bytes: int
    # A transposed convolution of more than one part.
    parts: tuple[Spec, ...] = ()
    part_phases: tuple[NDArray[np.intp], ...] = ()
    y_step: Triple = (1, 1, 1)
    y_size: Triple = (0, 0, 0)
    bias_alone: bool = False
    column_parts: int = 0
    packed_at: int = 0


# ---- the current instruction set, and tests' way to another -----------------------------------

Tile = tuple[Family, int, int]  # family, rows, vectors; 0 leaves rows and vectors to the plan

_isa_name = _isa.chosen()
_forced_tile: Tile | None = None


def usable_isas() -> tuple[str, ...]:
    """The instruction sets that plans can be made for here."""
    return _isa.usable()


def current_isa() -> str:
    """The instruction set that plans are made for."""
    return _isa_name


def current() -> tuple[str, Tile | None]:
    """All that a new plan depends on besides its problem."""
    return _isa_name, _forced_tile


@contextmanager
def use_isa(name: str) -> Iterator[None]:
    """Make plans for another instruction set; not thread-safe, for tests and benchmarks."""
    global _isa_name
    if name not in usable_isas():
        raise ValueError(f"gconv: instruction set {name!r} is not one of {usable_isas()}")
    before, _isa_name = _isa_name, name
    try:
        yield
    finally:
        _isa_name = before


@contextmanager
def use_tile(family: Family, rows: int = 0, vectors: int = 0) -> Iterator[None]:
    """Make plans with one kernel family, or one tile, wherever it can serve.

    Not thread-safe; for tests and benchmarks.
    """
    global _forced_tile
    before, _forced_tile = _forced_tile, (family, rows, vectors)
    try:
        yield
    finally:
        _forced_tile = before


# ---- making a plan ----------------------------------------------------------------------------


def plan_for(
    geometry: Geometry,
    dtype: np.dtype[np.floating],
    x_strides: Shape,
    *,
    packs: bool = False,
    channel_major: bool = False,
    room: bool = False,
    one_bank: bool = False,
    y_strides: Shape | None = None,
) -> call.Plan:
    """The plan of a convolution of an x with these strides (in bytes), from the cache or new.

    `y_strides` (in bytes) are those of the result where it is not in C order.

    `packs` says that weights come as they are, and are packed as they are needed; `one_bank` that
    they are those of one group, and serve every group.
    `channel_major` makes the order of the sum independent of the size of x: all plans for the
    same kernel, channels, dtype and instruction set then give the same bits.
    `room` says that a vector may be read from where the last element of x lies.
    """
    return _cached(replace(geometry, operator="", batch=1, batched=True), dtype, x_strides,
                   packs, channel_major, room, one_bank, y_strides, _isa_name, _forced_tile)


@lru_cache(maxsize=512)
def _cached(
    geometry: Geometry,
    dtype: np.dtype[np.floating],
    x_strides: Shape,
    packs: bool,
    channel_major: bool,
    room: bool,
    one_bank: bool,
    y_strides: Shape | None,
    isa: str,
    forced: Tile | None,
) -> call.Plan:
    strides = tuple(s // dtype.itemsize for s in x_strides)
    if geometry.transposed:
        spec = transposed_spec_of(geometry, strides, machine(isa, dtype), forced, packs)
    else:
        to = None if y_strides is None else tuple(s // dtype.itemsize for s in y_strides)
        problem = problem_of(geometry, strides, to)
        problem.channel_major = channel_major
        problem.room = room
        if one_bank:
            problem.weights = problem.weights._replace(group=0)
        spec = spec_of(problem, machine(isa, dtype), forced, packs)
    return call.Plan(spec, _isa.engine(isa, dtype))


@dataclass(frozen=True, slots=True)
class Machine:
    """What a plan must know of an engine module: its vectors and its tiles."""

    lanes: int
    itemsize: int
    tiles: dict[str, dict[Any, int]]  # family: {rows: most vectors}; sliding: {(stride, rows): ...}


@cache
def machine(isa: str, dtype: np.dtype[np.floating]) -> Machine:
    """The lanes and tiles of an instruction set in a precision."""
    engine = _isa.engine(isa, dtype)
    return Machine(engine.lanes, dtype.itemsize, engine.tile_limits())


def problem_of(
    geometry: Geometry, x_strides: Shape, y_strides: Shape | None = None
) -> Problem:
    """The geometry on three axes, for an x of given strides, and a y of given strides or in C
    order."""
    g = geometry
    in_size, out_size = on_three_axes(g.in_size, 1), on_three_axes(g.out_size, 1)
    kernel = on_three_axes(g.kernel, 1)
    # A stride that takes no step and a dilation without a second tap mean nothing, however large.
    stride = on_three_axes(
        tuple(s if out > 1 else 1 for s, out in zip(g.stride, g.out_size, strict=True)), 1
    )
    dilation = on_three_axes(
        tuple(d if k > 1 else 1 for d, k in zip(g.dilation, g.kernel, strict=True)), 1
    )
    padding = on_three_axes(tuple(before for before, _ in g.padding), 0)
    x_axis = on_three_axes(x_strides[2:], 0)
    if in_size[2] <= 1:  # a stride that takes no step either
        x_axis = (x_axis[0], x_axis[1], 1)
    y_axis: Triple | None = None
    if y_strides is not None:
        y_axis = on_three_axes(y_strides[2:], 0)
    pointwise = (
        set(kernel) == {1} and set(stride) == {1} and in_size == out_size and not any(padding)
    )
    if (
        pointwise
        and is_one_row(x_axis, in_size)
        and (is_one_row(y_axis, in_size) if y_axis else x_axis[2] == 1)
    ):
        in_size = out_size = (1, 1, math.prod(in_size))
        x_axis = (0, 0, x_axis[2])
        y_axis = y_axis and (0, 0, y_axis[2])
    rows = out_size[1] * out_size[2]
    pixels = out_size[0] * rows
    taps, volume = g.taps, math.prod(kernel)
    y_image, y_channel = g.out_channels * pixels, pixels
    if y_strides is not None:
        y_image, y_channel = y_strides[:2]
    problem = Problem(
        dimensions=len(g.kernel),
        groups=g.groups,
        in_channels=g.in_channels // g.groups,
        out_channels=g.out_channels // g.groups,
        in_size=in_size,
        out_size=out_size,
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        padding=padding,
        padding_mode=PaddingMode[g.padding_mode.upper()],
        x_image=x_strides[0],
        x_channel=x_strides[1],
        x_axis=x_axis,
        y_image=y_image,
        y_channel=y_channel,
        y_axis=y_axis or (rows, out_size[2], 1),
        y_in_order=y_strides is None,
        weights=Addresses(0, g.out_channels // g.groups * taps, taps, volume,
                          (kernel[1] * kernel[2], kernel[2], 1)),
        flops=g.flops,
        channel_major=False,
        room=False,
        panel_padding=padding,
        panel_reach=(
            (kernel[0] - 1) * dilation[0],
            (kernel[1] - 1) * dilation[1],
            (kernel[2] - 1) * dilation[2],
        ),
        part_counts=(0, 0, 0),
        epilogue=epilogue_of(g.activation),
    )
    if not any(map(problem.has_padding, range(3))):  # the stride may pass over it
        problem.padding_mode = PaddingMode.ZEROS
    return problem


def is_one_row(axis: Triple, size: Triple) -> bool:
    """Whether the pixels of an image are all equally far apart."""
    return (size[1] == 1 or axis[1] == size[2] * axis[2]) and (
        size[0] == 1 or axis[0] == size[1] * size[2] * axis[2]
    )


def on_three_axes(values: Shape, fill: int) -> Triple:
    """Values of one to three spatial dimensions, and those of the missing ones in front."""
    return (fill,) * (3 - len(values)) + values  # type: ignore[return-value]


def spec_of(
    problem: Problem, machine: Machine, forced: Tile | None = None, packs: bool = False
) -> Spec:
    """Decide everything that the engine wants to know."""
    family, rows, vectors = choose_tile(problem, machine, forced)
    if family == Family.SHORT:
        return Layout(problem, machine, family, rows, vectors).short()
    if family != Family.PLAIN:
        spec = balanced_spec(problem, machine, family, rows, vectors, packs)
        if spec.scratch_bytes <= SCRATCH_BYTES:
            return spec
    # The plain loop nest needs no scratch: for taps so far apart that no panel can hold them.
    return Layout(problem, machine, Family.PLAIN, 1, 1, packs).plain()


def balanced_spec(
    problem: Problem, machine: Machine, family: Family, rows: int, vectors: int, packs: bool
) -> Spec:
    """A spec with work items as large as can be that many threads can still share evenly."""
    specs = []
    for size in ITEM_SIZES:
        spec = Layout(problem, machine, family, rows, vectors, packs, size).spec()
        if problem.flops < SMALL_FLOPS:
            return spec
        specs.append((balance(spec, 1, MANY_THREADS), spec.items, spec))
        if specs[-1][0] <= EVEN:
            return spec
    # None is even: the most even of those whose size costs nothing.
    return min(specs[:-1], key=lambda entry: entry[:2])[2]


# ---- transposed convolutions: parts (see _phases and _engine/transposed.pxi) -------------------


def transposed_spec_of(
    geometry: Geometry, x_strides: Shape, machine: Machine, forced: Tile | None, packs: bool
) -> Spec:
    """The spec of a transposed convolution: that of its only part, or one that holds several."""
    axes = axes_of(geometry)
    if not all(axis.phases for axis in axes):  # no output has a tap: the bias alone
        empty = replace(
            geometry, transposed=False, in_channels=0, in_size=geometry.out_size,
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
        replace(
            problem,
            out_size=tuple(  # type: ignore[arg-type]
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
        of_a_part = like.group_block * like.channel_block * math.prod(like.band)
        most = max(1, OUTPUT_BYTES // (of_a_part * itemsize))
        column_parts = min(like.part_counts[2], most)
        outputs = column_parts * of_a_part
    return replace(
        like,
        y_image=geometry.out_channels * math.prod(y_size),
        y_channel=math.prod(y_size),
        y_axis=(y_size[1] * y_size[2], y_size[2], 1),
        parts=tuple(parts),
        part_phases=tuple(
            np.array([phase.phase for phase in axis.phases], np.intp) for axis in axes
        ),
        y_step=tuple(axis.step for axis in axes),  # type: ignore[arg-type]
        y_size=y_size,
        bias_alone=not all(axis.complete for axis in axes),
        column_parts=column_parts,
        epilogue=epilogue_of(geometry.activation),
        outputs_at=outputs_at,
        scratch_bytes=-(-(64 + (outputs_at + outputs) * itemsize) // 64) * 64,
    )


# ---- which tile -------------------------------------------------------------------------------


def choose_tile(p: Problem, machine: Machine, forced: Tile | None) -> Tile:
    """The tile with the least estimated time, among those that can serve."""
    wanted = forced[0] if forced else None
    if wanted == Family.PLAIN:
        return Family.PLAIN, 1, 1
    candidates = []
    if not p.y_in_order:  # the others store whole rows
        if wanted in (None, Family.CHANNEL) and channel_lanes_fit(p, machine):
            candidates.append(channel_tile(p, machine, forced))
        if wanted in (None, Family.ACROSS) and across_fits(p, machine):
            candidates.append(across_tile(p, machine))
        if wanted in (None, Family.PIXELS) and pixels_fit(p, machine):
            candidates.append(pixels_tile(p, machine, forced))
        return min(candidates)[1] if candidates else (Family.PLAIN, 1, 1)
    if depthwise_fits(p) and wanted in (None, Family.DEPTHWISE):
        candidates.append(depthwise_tile(p, machine, forced))
    if sliding_fits(p, machine) and wanted in (None, Family.SLIDING):
        candidates.append(sliding_tile(p, machine, forced))
    if channel_lanes_fit(p, machine) and wanted in (None, Family.CHANNEL):
        candidates.append(channel_tile(p, machine, forced))
    if not candidates or wanted in (None, Family.WIDTH):
        candidates.append(width_tile(p, machine, forced if wanted == Family.WIDTH else None))
    cycles, best = min(candidates)
    if wanted is None and short_rows_fit(p):
        cycles += p.groups * READY_CYCLES[best[0]]
        return min((cycles, best), (short_cycles(p, machine), (Family.SHORT, 1, 1)))[1]
    return best


def tiles_of(
    p: Problem, family: Family, machine: Machine, forced: Tile | None
) -> Iterator[tuple[int, int]]:
    """The tiles (rows, vectors) that a family has for a problem, or the one that is forced."""
    kind = family.name.lower()
    if family == Family.DEPTHWISE and three_columns(p):
        kind = "three"
    for rows, most in machine.tiles[kind].items():
        if family == Family.DEPTHWISE and rows > p.kernel[1] + 1:  # an assumption of the kernel
            continue
        for vectors in range(1, most + 1):
            if forced is None or (forced[1] in (0, rows) and forced[2] in (0, vectors)):
                yield rows, vectors


def split(total: int, most: int) -> list[tuple[int, int]]:
    """`total` in the fewest parts of at most `most`, as equal as can be: [(count, size)]."""
    parts = -(-total // most)
    size, larger = divmod(total, parts)
    return [(n, s) for n, s in ((larger, size + 1), (parts - larger, size)) if n]


def tile_cycles(rows: int, vectors: int, taps: int, row_loads: float, vector_loads: float) -> float:
    """Estimated cycles of a tile: two multiply-adds or two loads a cycle, latency 4.

    To start and to end a tile costs about a cycle for each accumulator, and 10 for the loop.
    """
    sums = rows * vectors
    per_tap = max(sums / 2, (rows * row_loads + vectors * vector_loads) / 2, 4.0)
    return taps * per_tap + sums + 10


def width_tile(p: Problem, machine: Machine, forced: Tile | None) -> tuple[float, Tile]:
    """(estimated cycles of one image, tile) of the best width-lane tile."""
    row_vectors = -(-p.out_size[2] // machine.lanes)

    def vector_loads(vectors: int) -> float:
        lines = p.in_channels * p.kernel[0] * p.kernel[1] * (vectors + (p.kernel[2] > 1))
        if p.part_counts != (0, 0, 0) and lines * machine.lanes * machine.itemsize > ROWS_BYTES:
            return FAR_LOADS
        return 1.5  # half of the loads are split

    def cycles(rows: int, vectors: int) -> float:
        return p.groups * p.out_size[0] * p.out_size[1] * sum(
            n * m * tile_cycles(r, v, p.taps, 1.0, vector_loads(v))
            for n, r in split(p.out_channels, rows)
            for m, v in split(row_vectors, vectors)
        )

    return best_tile(p, Family.WIDTH, machine, forced, cycles)


def sliding_fits(p: Problem, machine: Machine) -> bool:
    """Whether the sliding-window kernel may serve: one input channel per group, a stride and
    kernel rows that it has tiles for, and a row's taps within a few vectors."""
    stride, reach = p.stride[2], (p.kernel[2] - 1) * p.dilation[2]
    return (
        (stride, p.kernel[1]) in machine.tiles["sliding"]
        and p.in_channels == 1
        and p.x_axis[2] == 1
        and p.zero_padding
        and reach <= (8 if stride == 1 else 2) * machine.lanes
        and (p.out_size[1] == 1 or p.stride[1] == stride)
        and (stride == 1 or p.dilation[1] == p.dilation[2] == 1)
    )


def sliding_tile(p: Problem, machine: Machine, forced: Tile | None) -> tuple[float, Tile]:
    """(estimated cycles of one image, tile): as wide as can be."""
    rows = p.kernel[1]
    vectors = machine.tiles["sliding"][p.stride[2], rows]
    if forced and forced[2]:
        vectors = min(vectors, forced[2])
    neighbours = rows == p.kernel[2] and p.dilation[2] == 1

    def line(vectors: int) -> float:
        adds = vectors * p.volume
        slides = vectors * p.kernel[0] * p.kernel[2]
        # Two a cycle, as in tile_cycles; slides by a literal distance have a port of their own.
        busy = max(adds, (adds + slides) * 2 / 3) if neighbours else adds + slides
        return busy / 2 + p.kernel[0] * (vectors + 1) * p.stride[2] + 2

    row_vectors = -(-p.out_size[2] // machine.lanes)
    lines = p.out_size[1] + rows // p.stride[2]
    row = sum(n * line(v) for n, v in split(row_vectors, vectors))
    # Other families pay for a panel besides, and start more tiles: measured on the layer table.
    cycles = 0.8 * p.groups * p.out_channels * p.out_size[0] * lines * row
    return cycles, (Family.SLIDING, rows, vectors)


def channel_lanes_fit(p: Problem, machine: Machine) -> bool:
    """Whether the channel-lane kernel may serve: a weight block must fit scratch."""
    block = p.volume * max(machine.tiles["channel"].values()) * machine.lanes * machine.itemsize
    return p.in_channels > 0 and block <= 2 * WEIGHT_BLOCK_BYTES


def channel_tile(p: Problem, machine: Machine, forced: Tile | None) -> tuple[float, Tile]:
    """(estimated cycles of one image, tile) of the best channel-lane tile."""
    all_vectors = -(-p.out_channels // machine.lanes)
    pixels = math.prod(p.out_size)

    def cycles(rows: int, vectors: int) -> float:
        sums = sum(
            n * pixels / rows * tile_cycles(rows, v, p.taps, 1.0, 1.0)
            for n, v in split(all_vectors, vectors)
        )
        # Bias in, transposed out: about six instructions for each vector of sums.
        return p.groups * (sums + 6 * all_vectors * pixels)

    return best_tile(p, Family.CHANNEL, machine, forced, cycles)


def across_fits(p: Problem, machine: Machine) -> bool:
    """Whether lanes across groups may serve: channels-last arrays, and groups so small that a
    vector holds the input channels of a vector of outputs."""
    return (
        p.x_channel == p.y_channel == 1
        and p.in_channels > 0
        and p.zero_padding
        and not p.channel_major
        and vectors_of(p.groups, p.in_channels, p.out_channels, p.groups, machine.lanes)
        is not None
    )


def pixels_fit(p: Problem, machine: Machine) -> bool:
    """Whether tiles of pixels may serve: channels-last layers with one input channel per group,
    and a tile for the stride and the kernel."""
    if not (across_fits(p, machine) and p.in_channels == 1 and machine.tiles["pixels"]):
        return False
    if down_the_rows(p):
        return True
    if wide_kernel(p):
        most = machine.tiles["wide"]["columns"]
        return p.out_channels == p.stride[2] == 1 and p.kernel[2] <= most
    return (
        p.out_channels == 1
        and (p.stride[2], p.kernel[2]) in machine.tiles["pixels"]
        and (p.stride[2] == 1 or p.dilation[2] == 1)
    )


def down_the_rows(p: Problem) -> bool:
    """Whether tiles of pixels go down the rows: with plain 3x3 kernels."""
    return p.kernel == (1, 3, 3) and p.stride[1] == p.stride[2] == 1


def wide_kernel(p: Problem) -> bool:
    """Whether tiles of pixels take a kernel row in pieces: the others are up to 8 wide."""
    return p.kernel[2] > 8


def pixels_tile(p: Problem, machine: Machine, forced: Tile | None) -> tuple[float, Tile]:
    """(less than any estimate, tile): the one that leaves least of its pixels unused."""
    if down_the_rows(p):
        rows = machine.tiles["descending"][p.out_channels > 1]
        return 0.0, (Family.PIXELS, min(forced[1], rows) if forced and forced[1] else rows, 1)
    columns = -(-p.out_size[2] // p.dilation[2])
    if wide_kernel(p):
        rows = machine.tiles["wide"]["pixels"]
        return 0.0, (Family.PIXELS, min(forced[1], rows) if forced and forced[1] else rows, 1)
    most = machine.tiles["pixels"][p.stride[2], p.kernel[2]]
    rows = min(range(2, most + 1), key=lambda n: (-(-columns // n) * (n + 1), -n))
    return 0.0, (Family.PIXELS, forced[1] if forced and forced[1] else rows, 1)


def across_tile(p: Problem, machine: Machine) -> tuple[float, Tile]:
    """(estimated cycles of one image, tile) of lanes across groups."""
    vectors = vectors_of(p.groups, p.in_channels, p.out_channels, p.groups, machine.lanes)
    assert vectors is not None  # across_fits has asked
    rows = machine.tiles["across"][vectors.kind]
    # A tap takes a load and a multiply-add, or a pick and a multiply-add for every channel.
    tap = 1.0 if vectors.kind == Lanes.FITTING else 0.5 + p.in_channels
    if vectors.kind == Lanes.NARROW:
        tap += 10.0
    cycles = math.prod(p.out_size) * vectors.first.size * (p.volume * tap + 2)
    return cycles, (Family.ACROSS, rows, 1)


# What the estimates of these families leave out, and short rows hardly need: to get ready, for
# each group, and, with channel lanes, a tile's pixels beyond the last. Measured on Zen 4 with
# 512 groups of 1 channel and 4 taps, 1 and 16 samples: 18 us and 50 us.
READY_CYCLES = {Family.WIDTH: 60, Family.SLIDING: 60, Family.CHANNEL: 250}


def short_rows_fit(p: Problem) -> bool:
    """Whether the kernel for short rows may serve."""
    return (
        p.room
        and p.dimensions == 1
        and p.taps > 0
        and set(p.stride) == {1}
        and not p.column_padding
        and p.x_axis[2] == 1
    )


def short_cycles(p: Problem, machine: Machine) -> float:
    """Estimated cycles of one image as short rows: two loads for every multiply-add."""
    vectors = -(-p.out_size[2] // machine.lanes)
    return p.groups * p.out_channels * vectors * (p.taps + 5.0)


def depthwise_fits(p: Problem) -> bool:
    """Whether the depthwise kernel may serve, and has rows to share."""
    return p.in_channels == p.out_channels == 1 and p.stride[1] == 1 and p.kernel[1] > 1


def depthwise_tile(p: Problem, machine: Machine, forced: Tile | None) -> tuple[float, Tile]:
    """(estimated cycles of one image, tile) of the best depthwise tile."""
    row_vectors = -(-p.out_size[2] // machine.lanes)

    def cycles(rows: int, vectors: int) -> float:
        return p.groups * p.out_size[0] * sum(
            n * m * depthwise_cycles(p, r, v)
            for n, r in split(p.out_size[1], rows)
            for m, v in split(row_vectors, vectors)
        )

    return best_tile(p, Family.DEPTHWISE, machine, forced, cycles)


def three_columns(p: Problem) -> bool:
    """Whether a kernel row's three taps are neighbours, in x or in a panel sorted by phase."""
    return p.kernel[2] == 3 and p.stride[2] == p.dilation[2]


def best_tile(
    p: Problem,
    family: Family,
    machine: Machine,
    forced: Tile | None,
    cycles: Callable[[int, int], float],
) -> tuple[float, Tile]:
    """(estimated cycles, tile) of the best tile of a family."""
    return min(
        (cycles(rows, vectors), (family, rows, vectors))
        for rows, vectors in tiles_of(p, family, machine, forced)
    )


def depthwise_cycles(p: Problem, rows: int, vectors: int) -> float:
    """Estimated cycles of a depthwise tile, window row by window row."""
    kernel = p.kernel[1]
    cycles = 10.0 + rows * vectors
    for window in range(kernel + rows - 1):
        active = min(window, kernel - 1) - max(window - rows + 1, 0) + 1
        sums = active * vectors
        per_tap = max(sums / 2, (active + vectors * 1.5) / 2, min(4.0, sums * 4.0))
        cycles += p.kernel[2] * p.kernel[0] * per_tap + 3
    return cycles


# ---- how the work is laid out -----------------------------------------------------------------


class Layout:
    """Bands, blocks, panel and scratch for a family and its tile."""

    def __init__(
        self,
        problem: Problem,
        machine: Machine,
        family: Family,
        rows: int,
        vectors: int,
        packs: bool = False,
        size: float = 1.0,
    ) -> None:
        self.p = problem
        self.machine = machine
        self.family = family
        self.rows = rows
        self.vectors = vectors
        self.packs = packs
        self.bands_inside = False
        self.size = size  # of a work item, over the usual one
        self.lanes = machine.lanes
        self.band: Triple = problem.out_size
        self.group_block = 1
        self.channel_block = problem.out_channels
        self.in_block = max(problem.in_channels, 1)
        self.panel_channels = self.in_block
        self.in_place = self.can_read_in_place()

    @classmethod
    def of_part(cls, like: Spec, problem: Problem, machine: Machine, packs: bool) -> Layout:
        """The layout of a part whose bands, blocks and panel are those of another part."""
        tile = (like.family, like.tile_rows, like.tile_vectors)
        if like.family == Family.DEPTHWISE:  # which tiles there are depends on the kernel
            tile = depthwise_tile(problem, machine, None)[1]
        if like.family == Family.SLIDING:
            tile = sliding_tile(problem, machine, None)[1]
        layout = cls(problem, machine, *tile, packs)
        layout.band = like.band
        layout.group_block = like.group_block
        layout.channel_block = like.channel_block
        layout.in_block = like.in_block
        layout.panel_channels = like.panel_channels
        return layout

    def can_read_in_place(self) -> bool:
        """Whether tiles may read x itself: no padded columns, and rows of unit stride. Rows of
        padding are left out where they are zeros, and have to be in a panel otherwise."""
        p = self.p
        if self.family in (Family.SLIDING, *LAST):
            return True
        if not p.zero_padding or p.in_channels == 0:
            return False
        if p.column_padding and not self.skips_columns():
            return False
        if self.family == Family.CHANNEL and p.column_padding:
            return p.channels_last and p.part_counts == (0, 0, 0)
        if self.family == Family.CHANNEL:
            return True
        return p.x_axis[2] == 1 and p.stride[2] == 1 and p.out_size[2] >= self.lanes

    # -- the panel, for the band as it is now --

    @property
    def phase_step(self) -> int:
        """Pixels of a channel tile are apart by the stride, those of the others by 1."""
        return 1 if self.family == Family.CHANNEL else self.p.stride[2]

    @property
    def phases(self) -> int:
        """Phases of the columns that some tap uses."""
        return min(self.phase_step, self.p.panel_reach[2] + 1)

    @property
    def panel_phase(self) -> int:
        """From a phase to the next: whole vectors, so that most of a tile's loads are aligned."""
        if self.family == Family.CHANNEL:
            return self.panel_columns
        return -(-self.panel_columns // self.lanes) * self.lanes

    @property
    def panel_columns(self) -> int:
        """Columns of one phase: what the widest vector of the band's rows reads."""
        p = self.p
        taps = p.panel_reach[2]
        if self.family == Family.CHANNEL:
            return (self.band[2] - 1) * p.stride[2] + taps + 1
        return max(self.band[2], self.lanes) + taps // self.phase_step

    @property
    def panel_row(self) -> int:
        return self.phases * self.panel_phase

    def plain_slots(self, axis: int) -> int:
        """Input rows between the first and the last that a band reads, along an axis."""
        p = self.p
        return (self.band[axis] - 1) * p.stride[axis] + p.panel_reach[axis] + 1

    def expanded(self, axis: int) -> bool:
        """Whether a row for each pair of output row and kernel row takes less than that."""
        # Depthwise tiles use a row for several kernel rows, and parts of different kernels do.
        if self.family == Family.DEPTHWISE or self.p.part_counts != (0, 0, 0):
            return False
        return self.band[axis] * self.p.kernel[axis] < self.plain_slots(axis)

    def slots(self, axis: int) -> int:
        """Rows (or planes) of the panel."""
        if self.expanded(axis):
            return self.band[axis] * self.p.kernel[axis]
        return self.plain_slots(axis)

    def line_and_tap(self, axis: int) -> tuple[int, int]:
        """Rows from an output row's first tap to the next one's, and from tap to tap."""
        if self.expanded(axis):
            return 1, self.band[axis]
        return self.p.stride[axis], self.p.dilation[axis]

    @property
    def panel_plane(self) -> int:
        return self.slots(1) * self.panel_row

    @property
    def panel_channel(self) -> int:
        """From a channel to the next: not a multiple of 4 KiB, where they would share few sets
        of the cache."""
        elements = self.slots(0) * self.panel_plane
        page = 4096 // self.machine.itemsize
        if elements % page < self.lanes and self.panel_channels > 1:
            elements += 2 * self.lanes
        return elements

    @property
    def panel_bytes(self) -> int:
        if self.in_place:
            return 0
        return (self.panel_channels * self.panel_channel + self.lanes) * self.machine.itemsize

    # -- deciding --

    def spec(self) -> Spec:
        """Everything, decided."""
        if self.family in LAST:
            self.limit_across()
            return self.finished()
        if self.family == Family.CHANNEL:
            self.limit_sums()
            self.limit_weights()
        self.limit_panel()
        if self.family == Family.WIDTH and self.in_block < self.p.in_channels and self.vectors < 3:
            # A last tile of one vector may overlap the tile before it, which has then gone on
            # from the partial sums already. Splitting by 3 leaves no such tile.
            self.rows, self.vectors = 4, 3
        if self.p.part_counts != (0, 0, 0):
            self.limit_outputs()
        self.limit_item()
        self.order_items()
        return self.finished()

    def limit_across(self) -> None:
        """Bands whose inputs, of one vector of channels, stay in the cache; then blocks of groups
        that fill vectors; then smaller bands."""
        p, lanes = self.p, self.lanes
        size = lanes * self.machine.itemsize
        down = self.family == Family.PIXELS and down_the_rows(p)
        wide = self.family == Family.PIXELS and wide_kernel(p)
        # A small band reads most rows again for the next one; tiles that go down the rows read
        # none again within a band.
        least_rows = 2 * p.kernel[1] * (p.dilation[1] if down else 1)
        for axis, least in ((0, 1), (1, p.out_size[1] if down else least_rows), (2, 1024)):
            while self.band[axis] > least and size * math.prod(
                (band - 1) * stride + kernel
                for band, stride, kernel in zip(self.band, p.stride, p.kernel, strict=True)
            ) > ACROSS_BYTES:
                self.cut(axis, max(least, -(-self.band[axis] // 2)))
        self.group_block = p.groups
        target = self.item_flops()

        def flops() -> int:
            return 2 * p.taps * p.out_channels * self.group_block * math.prod(self.band)

        # Neighbouring channels share cache lines: four vectors at least, and more where they come
        # from beyond the second-level cache.
        if down:
            self.cut_groups(target / flops(), 8 if self.prefetches() else 4)
        if wide:  # the weights of a vector fill a cache, and serve a band of any size
            self.cut_groups(target / flops(), 1)
            least_rows = 2 * p.kernel[1] if self.packs else 4
        for axis in (0, 1):
            least = min(self.band[axis], least_rows if axis else 2 * p.kernel[0])
            if flops() > 1.5 * target and self.band[axis] > least:
                self.cut(axis, max(least, round(self.band[axis] * target / flops())))
        if not down and not wide:
            self.cut_groups(target / flops(), 4)

    def cut_groups(self, part: float, least: int) -> None:
        """Blocks of about a part of the groups, where that is far from all of them, which fill
        `least` vectors or more."""
        p, lanes = self.p, self.lanes
        whole = lanes // math.gcd(lanes, p.out_channels)  # so many groups fill vectors
        if part * 1.5 < 1 and p.groups > least * whole:
            parts = min(math.ceil(1 / part), p.groups // (least * whole))
            self.group_block = -(-p.groups // parts // whole) * whole
            while 0 < (p.groups % self.group_block) * p.out_channels < lanes:
                self.group_block += whole  # no vector fits what would be left
            self.group_block = min(self.group_block, p.groups)

    def cut(self, axis: int, size: int) -> None:
        """A smaller band of any size."""
        band = list(self.band)
        band[axis] = even_part(self.p.out_size[axis], size)
        self.band = (band[0], band[1], band[2])

    @property
    def pixel_bytes(self) -> int:
        """Of a pixel in a channel-lane item: its sums, where its taps lie, and its place in y."""
        spots = 16 if self.skips_columns() or not self.p.y_in_order else 8
        return self.vectors * self.lanes * self.machine.itemsize + spots

    def limit_sums(self) -> None:
        """Bands of few enough pixels that their sums stay in the cache."""
        self.limit_pixels(SUMS_BYTES // self.pixel_bytes)

    def limit_pixels(self, most: int) -> None:
        """Shrink the band to a number of pixels: columns where a row has more, else rows."""
        depth, rows, columns = self.p.out_size
        if columns > most:
            self.band = (1, 1, even_part(columns, most))
        elif rows * columns > most:
            self.band = (1, even_part(rows, most // columns), columns)
        else:
            self.band = (even_part(depth, most // (rows * columns)), rows, columns)

    def limit_weights(self) -> None:
        """Blocks of input channels whose weights stay in the first-level cache."""
        block = self.p.volume * self.vectors * self.lanes * self.machine.itemsize
        self.in_block = even_part(self.p.in_channels, max(1, WEIGHT_BLOCK_BYTES // block))

    def limit_panel(self) -> None:
        """Shrink the band, and at last the block of channels, until the panel fits."""
        p = self.p
        limit = DEPTHWISE_PANEL_BYTES if self.family == Family.DEPTHWISE else PANEL_BYTES
        for axis in (0, 1):
            while self.panel_bytes > limit and self.band[axis] > 1:
                self.shrink(axis, max(1, self.band[axis] // 2))
        tile = self.vectors * self.lanes if self.family != Family.CHANNEL else self.rows
        self.shrink_columns(8 * tile)
        if self.panel_bytes > PANEL_BYTES and self.panel_channels > 1:
            channel = self.panel_bytes // self.panel_channels
            channels = even_part(p.in_channels, max(1, PANEL_BYTES // channel))
            self.in_block = self.panel_channels = min(self.in_block, channels)
        self.shrink_columns(self.lanes)

    def shrink_columns(self, least: int) -> None:
        """Shrink the band's columns, to `least` at most, until the panel fits."""
        while self.panel_bytes > PANEL_BYTES and self.band[2] > least:
            before = self.band[2]
            self.shrink(2, max(least, before // 2))
            if self.band[2] == before:
                break

    def shrink(self, axis: int, size: int) -> None:
        """A smaller band; columns in whole vectors, and none left that a tile cannot read in
        place."""
        extent = self.p.out_size[axis]
        size = even_part(extent, size)
        if axis == 2:
            size = -(-size // self.lanes) * self.lanes
            while self.in_place and 0 < extent % size < self.lanes:
                size += self.lanes
            size = min(size, self.band[2])
        band = list(self.band)
        band[axis] = size
        self.band = (band[0], band[1], band[2])

    @property
    def unit(self) -> int:
        """Output channels of a tile."""
        if self.family in (Family.DEPTHWISE, Family.SLIDING):
            return 1
        return self.rows if self.family == Family.WIDTH else self.vectors * self.lanes

    def output_bytes(self) -> int:
        """Of a work item's outputs for a row of parts, one group's; sixteen parts at most, as
        more are not computed at once where they are too large."""
        outputs = self.channel_block * math.prod(self.band) * min(16, self.p.part_counts[2])
        return outputs * self.machine.itemsize

    def limit_outputs(self) -> None:
        """Fewer channels, then a smaller band, until the outputs of the parts fit scratch."""
        blocks = -(-self.p.out_channels // self.unit)
        block = max(1, self.output_bytes() // blocks)
        self.channel_block = even_part(blocks, OUTPUT_BYTES // block) * self.unit
        for axis in (0, 1):
            while self.output_bytes() > OUTPUT_BYTES and self.band[axis] > 1:
                self.shrink(axis, max(1, self.band[axis] // 2))
        while self.output_bytes() > OUTPUT_BYTES and self.band[2] > self.lanes:
            before = self.band[2]
            self.shrink(2, max(self.lanes, before // 2))
            if self.band[2] == before:
                break

    def item_flops(self) -> int:
        """Of a work item, about."""
        low, high = ITEM_FLOPS
        flops = self.p.flops
        if flops < SMALL_FLOPS:
            return min(SMALL_ITEM_FLOPS, max(flops // 16, low))
        return round(min(max(flops // ITEMS, low), high) * self.size)

    def limit_item(self) -> None:
        """Work items of a size worth sharing out: several groups, or a part of one."""
        p = self.p
        target = self.item_flops()

        def flops() -> int:
            return 2 * p.taps * self.channel_block * math.prod(self.band) * copies

        copies = math.prod(p.part_counts) or 1  # parts of a transposed convolution
        whole = self.band == p.out_size and self.channel_block >= p.out_channels
        if flops() < target and whole and self.family != Family.CHANNEL:
            most = max(1, min(p.groups, target // max(flops(), 1)))
            if p.part_counts != (0, 0, 0):
                most = max(1, min(most, OUTPUT_BYTES // self.output_bytes()))
            # A block that divides the groups leaves no smaller one behind.
            divisors = (n for n in range(most, most // 2, -1) if p.groups % n == 0)
            self.group_block = next(divisors, even_part(p.groups, most))
            return
        if self.family != Family.DEPTHWISE and flops() > target:
            blocks = -(-self.channel_block // self.unit)
            wanted = max(1, math.ceil(blocks * target / flops()))
            self.channel_block = even_part(-(-p.out_channels // self.unit), wanted) * self.unit
        # Channel-lane bands must be contiguous in y: outer axes first, down to 1. For the others
        # the rows of one plane come first, as they share less of their input than planes do.
        channel = self.family == Family.CHANNEL
        blocks = p.groups * -(-p.out_channels // self.channel_block)
        if channel and self.packs and p.part_counts != (0, 0, 0) and blocks >= FEW_ITEMS:
            return  # every band would pack the weights of all parts again
        for axis in (0, 1) if channel else (1, 0):
            least = self.least_band(axis)
            if flops() > 1.5 * target and self.band[axis] > least:
                parts = round(flops() / target)
                self.shrink(axis, max(least, self.band[axis] // parts))
            if channel and self.band[axis] > 1:
                return
        if flops() > 1.5 * target and self.band[2] > 16 * self.lanes:
            parts = round(flops() / target)
            self.shrink(2, max(16 * self.lanes, self.band[2] // parts))

    def order_items(self) -> None:
        """Where weights are packed on the way and channel lanes have several bands: bands inside,
        so that a block of channels packs its weights once for all of them."""
        lanes = self.vectors * self.lanes
        block = self.p.taps * lanes * self.machine.itemsize
        if (
            self.packs
            and self.p.part_counts == (0, 0, 0)
            and self.family == Family.CHANNEL
            and self.band != self.p.out_size
            and self.panel_bytes + SUMS_BYTES + block + 4096 <= SCRATCH_BYTES
        ):
            self.bands_inside = True
            self.channel_block = min(lanes, self.p.out_channels)

    def least_band(self, axis: int) -> int:
        """The smallest band worth having: it repeats the copy of the rows that it shares with
        the next one, at most a quarter of them; and a channel-lane item reads its weights once
        for all its pixels, at least a hundred."""
        p = self.p
        shared = p.panel_reach[axis] / p.stride[axis]
        least = 0 if self.in_place else math.ceil(4 * shared)
        if self.family == Family.CHANNEL:
            least = max(least, 100 // math.prod(p.out_size[axis + 1 :]))
            if axis == 1 and self.skips_columns():  # its runs go down the rows
                least = max(least, 6)
        return max(1, round(least * min(1.0, self.size)))

    def skips_columns(self) -> bool:
        """Whether to skip kernel columns in the padding: where that leaves runs of pixels, along
        a row or down the rows, long enough for a tile, and saves some of the taps."""
        p = self.p
        if (
            self.family != Family.CHANNEL
            or not p.column_padding
            or p.channel_major
            or not p.zero_padding
            or 2 * p.kernel[2] + 1 > MOST_COLUMN_RUNS
        ):
            return False
        if p.channels_last and p.part_counts == (0, 0, 0):  # read in place
            return True
        kernel, stride, dilation, size = p.kernel[2], p.stride[2], p.dilation[2], p.in_size[2]
        start = np.arange(p.out_size[2])[:, None] * stride - p.padding[2]
        column = start + np.arange(kernel) * dilation
        inside = (column >= 0) & (column < size)
        runs = 1 + np.count_nonzero((inside[1:] != inside[:-1]).any(axis=1))
        # Measured: 1.07 times as fast at 7x7 with a 3x3 kernel, no faster at 14x14.
        return bool(
            (inside.mean() < 0.95 and p.out_size[2] >= 5 * runs)
            or (inside.mean() < 0.93 and p.out_size[1] >= 5)
        )

    def prefetches(self) -> bool:
        """Whether weights should be asked for ahead: more than the second-level cache holds, and
        few pixels to use them on. Measured: 1.2 times as fast at 7x7, slower where not needed.

        Tiles of pixels that go down the rows ask for pixels where x and y are more than that
        cache holds (1 MiB on Zen 4). Measured: 2 times as fast there, 0.85 times where they fit."""
        p = self.p
        if self.family == Family.PIXELS:
            elements = (math.prod(p.in_size) * p.in_channels
                        + math.prod(p.out_size) * p.out_channels)
            return p.groups * elements * self.machine.itemsize > 2**20
        weights = p.groups * p.out_channels * p.taps * self.machine.itemsize
        return weights > 2**21 and math.prod(p.out_size) <= 256

    # -- writing it down --

    def taps(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Where each tap lies in the panel (or x), and its weight, in the order of the sum."""
        p = self.p
        kd, kh, kw = (np.arange(k) for k in p.kernel)
        column = kw * p.dilation[2]
        if self.in_place:
            column = column * p.x_axis[2]
            plane, row = p.dilation[0] * p.x_axis[0], p.dilation[1] * p.x_axis[1]
            channel = p.x_channel
        else:
            column = column % self.phase_step * self.panel_phase + column // self.phase_step
            plane = self.line_and_tap(0)[1] * self.panel_plane
            row = self.line_and_tap(1)[1] * self.panel_row
            channel = self.panel_channel
        read = self.read
        if self.family in (Family.DEPTHWISE, Family.SLIDING):
            w_tap = (
                kd[:, None, None] * read.axis[0] + kh[:, None] * read.axis[1] + kw * read.axis[2]
            )
            return column.astype(np.intp), w_tap.ravel().astype(np.intp)
        if self.family in LAST:
            c = np.arange(p.in_channels)
            x_tap = kd[:, None, None] * plane + kh[:, None] * row + column
            w_tap = (
                kd[:, None, None, None] * read.axis[0]
                + kh[:, None, None] * read.axis[1]
                + kw[:, None] * read.axis[2]
                + c * read.input
            )
            return x_tap.ravel().astype(np.intp), w_tap.ravel().astype(np.intp)
        whole_panel = self.in_place or self.panel_channels >= p.in_channels
        x_taps, w_taps = [], []
        for first in range(0, p.in_channels, self.in_block):
            c = np.arange(first, min(first + self.in_block, p.in_channels))
            where = c if whole_panel else c - first
            x_tap = (
                kd[:, None, None, None] * plane
                + kh[:, None, None] * row
                + where[:, None] * channel
                + column
            )
            w_tap = (
                kd[:, None, None, None] * read.axis[0]
                + kh[:, None, None] * read.axis[1]
                + c[:, None] * read.input
                + kw * read.axis[2]
            )
            if self.family == Family.CHANNEL and not p.channel_major:
                x_tap, w_tap = x_tap.swapaxes(2, 3), w_tap.swapaxes(2, 3)
            x_taps.append(x_tap)
            w_taps.append(w_tap)
        empty = [np.zeros(0, np.intp)]
        return (
            np.concatenate([t.ravel() for t in x_taps] or empty).astype(np.intp),
            np.concatenate([t.ravel() for t in w_taps] or empty).astype(np.intp),
        )

    @property
    def read(self) -> Addresses:
        """Where the engine finds the weights: a layer has put them in order."""
        return self.p.weights if self.packs else self.p.weights_in_order

    def finished(self) -> Spec:
        p, size = self.p, self.machine.itemsize
        bands = tuple(-(-n // b) for n, b in zip(p.out_size, self.band, strict=True))
        group_blocks = -(-p.groups // self.group_block)
        channel_blocks = -(-p.out_channels // self.channel_block)
        line = 64 // size  # elements
        panel = -(-self.panel_bytes // size // line) * line
        if self.family == Family.CHANNEL:
            lanes = self.vectors * self.lanes
            pixels = math.prod(self.band)
            sums = -(-(pixels * self.pixel_bytes) // 64) * line
            weights = (p.in_channels if self.bands_inside else self.in_block) * p.volume * lanes
        else:
            sums, weights = self.rows * self.lanes, 0
            if self.family in (Family.DEPTHWISE, Family.SLIDING) and not in_order(p, self.read):
                weights = p.volume
            if self.family == Family.ACROSS and self.packs:
                weights = p.taps * self.lanes
            if self.family == Family.PIXELS and self.packs:
                channels = self.group_block * p.out_channels
                weights = p.taps * -(-channels // self.lanes) * self.lanes
        across = NO_VECTORS
        if self.family in LAST:
            vectors = vectors_of(
                p.groups, p.in_channels, p.out_channels, self.group_block, self.lanes,
                overlap=self.family == Family.ACROSS)
            assert vectors is not None  # across_fits has asked
            across = vectors
        x_taps, w_taps = self.taps()
        scratch = -(-(64 + (panel + sums + weights) * size) // 64) * 64
        shift = [
            inside - before for inside, before in zip(p.panel_padding, p.padding, strict=True)
        ]
        pixel_step = p.stride[2] * (p.x_axis[2] if self.in_place else 1)
        return Spec(
            **{name: getattr(p, name) for name in Problem.__dataclass_fields__},
            lanes=self.lanes,
            items=group_blocks * math.prod(bands) * channel_blocks,
            group_block=self.group_block,
            group_blocks=group_blocks,
            band=self.band,
            bands=bands,  # type: ignore[arg-type]
            channel_block=self.channel_block,
            channel_blocks=channel_blocks,
            bands_inside=self.bands_inside,
            family=self.family,
            tile_rows=self.rows,
            tile_vectors=self.vectors,
            in_place=self.in_place,
            phases=self.phases,
            phase_step=self.phase_step,
            pixel_step=pixel_step,
            panel_channels=self.panel_channels,
            panel_planes=self.slots(0),
            panel_rows=self.slots(1),
            panel_line=(self.line_and_tap(0)[0], self.line_and_tap(1)[0]),
            panel_tap=(self.line_and_tap(0)[1], self.line_and_tap(1)[1]),
            expanded=(self.expanded(0), self.expanded(1)),
            panel_channel=self.panel_channel,
            panel_plane=self.panel_plane,
            panel_row=self.panel_row,
            panel_phase=self.panel_phase,
            panel_columns=self.panel_columns,
            in_block=self.in_block,
            column_runs=self.skips_columns(),
            prefetches=self.prefetches(),
            three_columns=three_columns(p),
            down_the_rows=self.family == Family.PIXELS and down_the_rows(p),
            x_taps=x_taps,
            w_taps=w_taps,
            tap_places=np.argsort(w_taps),
            lanes_are=across.kind,
            across_blocks=across.blocks,
            across_first=across.first,
            across_base=across.base,
            across_picks=across.picks,
            read=self.read,
            w_in_order=in_order(p, self.read),
            panel_offset=shift[0] * self.panel_plane + shift[1] * self.panel_row + shift[2],
            accumulators_at=panel,
            weights_at=panel + sums,
            outputs_at=-(-(panel + sums + weights) // line) * line,
            scratch_bytes=scratch,
        )

    def short(self) -> Spec:
        """Short rows: items of several groups, no panel."""
        self.in_place = True
        group = 2 * self.p.taps * self.p.out_channels * self.p.out_size[2]
        self.group_block = even_part(self.p.groups, ITEM_FLOPS[1] // group)
        return self.finished()

    def plain(self) -> Spec:
        """The plain loop nest: an item for each output channel, no panel, no scratch."""
        self.in_place = True
        self.channel_block = 1
        return replace(self.finished(), items=self.p.groups * self.p.out_channels)


def even_part(total: int, most: int) -> int:
    """The size of equal parts of `total`, none larger than `most`."""
    parts = -(-total // max(1, min(most, total)))
    return -(-total // parts)


# ---- packed weights ---------------------------------------------------------------------------


def in_order(p: Problem, weights: Addresses) -> bool:
    """Whether the taps of an output channel are contiguous, in the order (in_channels, *kernel)."""
    wanted = p.weights_in_order
    extents = (p.in_channels, *p.kernel)
    steps = zip((weights.input, *weights.axis), (wanted.input, *wanted.axis), strict=True)
    return all(n <= 1 or step == right for n, (step, right) in zip(extents, steps, strict=True))


def packing(spec: Spec) -> tuple[object, ...] | None:
    """What the packed weights of a plan depend on; None where it reads them as they are."""
    if spec.parts:
        return tuple(map(_packing_of_one, spec.parts))
    if spec.family in (Family.CHANNEL, *LAST) or not in_order(spec, spec.weights):
        return _packing_of_one(spec)
    return None


def _packing_of_one(spec: Spec) -> tuple[object, ...]:
    if spec.family in LAST:
        return (spec.weights, spec.kernel, spec.lanes, spec.across_first.tobytes())
    if spec.family != Family.CHANNEL:
        return (spec.weights, spec.kernel)
    in_block = 0 if spec.channel_major else spec.in_block  # the order is the same for all
    return (spec.weights, spec.kernel, spec.lanes, spec.tile_vectors, in_block)


def packed_size(spec: Spec) -> int:
    """Elements of the packed weights: channel lanes fill output channels up to whole vectors."""
    if spec.parts:
        return spec.parts[-1].packed_at + packed_size(spec.parts[-1])
    channels = spec.out_channels
    if spec.family in LAST:
        return spec.across_first.size * spec.taps * spec.lanes
    if spec.family == Family.CHANNEL:
        channels = -(-channels // spec.lanes) * spec.lanes
    return spec.groups * channels * spec.taps


def pack_weights(spec: Spec, weight: NDArray[np.floating]) -> NDArray[np.floating]:
    """The weights, of any shape in C order, as the tiles of a plan read them.

    Lanes across groups: [vector][tap][lanes].
    Channel lanes: [group][channel block][tap][lanes]. A block is `tile_vectors` vectors of output
    channels wide, the last one as wide as what is left; lanes beyond the last channel are zero.
    Other tiles: [group][channel][tap]. Parts follow each other, each from a cache line on.
    """
    line = 64 // weight.itemsize
    size = packed_size(spec)
    memory = np.zeros(size + line, weight.dtype)
    start = -(memory.ctypes.data // weight.itemsize) % line
    packed = memory[start : start + size]
    for part in spec.parts or (spec,):
        _pack_one(part, weight, packed[part.packed_at : part.packed_at + packed_size(part)])
    return packed


def _pack_one(
    spec: Spec, weight: NDArray[np.floating], packed: NDArray[np.floating]
) -> None:
    groups, channels, taps = spec.groups, spec.out_channels, spec.taps
    where = spec.weights
    steps = (where.group, where.channel, where.input, *where.axis)
    ordered = np.lib.stride_tricks.as_strided(
        weight.reshape(-1)[where.origin :],
        (groups, channels, spec.in_channels, *spec.kernel),
        [step * weight.itemsize for step in steps],
    ).reshape(groups, channels, taps)
    if spec.family in LAST:
        rows = ordered.reshape(groups * channels, taps)[:, spec.w_taps]
        for vector, first in zip(
            packed.reshape(-1, taps, spec.lanes), spec.across_first, strict=True
        ):
            block = rows[first : first + spec.lanes].T
            vector[:, : block.shape[1]] = block
        return
    if spec.family != Family.CHANNEL:
        packed.reshape(ordered.shape)[...] = ordered
        return
    ordered = ordered[:, :, spec.w_taps]
    lanes, wide = spec.lanes, spec.tile_vectors * spec.lanes
    filled = -(-channels // lanes) * lanes
    blocks = packed.reshape(groups, filled * taps)
    for first in range(0, channels, wide):
        block = ordered[:, first : first + wide].swapaxes(1, 2)  # [group][tap][channel]
        lanes_here = min(wide, filled - first)
        to = blocks[:, first * taps : (first + lanes_here) * taps]
        to.reshape(groups, taps, lanes_here)[:, :, : block.shape[2]] = block
