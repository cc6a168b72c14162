"""What a plan is made of: the problem on three axes, and the engine's view of how to solve it."""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any, NamedTuple, Self, dataclass_transform

import numpy as np
from numpy.typing import NDArray

from gconv._call.geometry import Activation, Geometry, Shape

Triple = tuple[int, int, int]


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
    MASKED = 8


CHANNELS_LAST = (Family.ACROSS, Family.PIXELS)  # those of channels-last arrays


class Addresses(NamedTuple):
    """Where weights lie: elements from the first tap of all, and from one to the next."""

    origin: int
    group: int
    channel: int
    input: int
    axis: Triple


class Operation(IntEnum):
    """What is done to a sum, numbered as in the engine."""

    IDENTITY = 0
    CLAMP = 1
    LEAKY_RELU = 2
    HARDSWISH = 3
    SIGMOID = 4
    TANH = 5
    SILU = 6


class Epilogue(NamedTuple):
    """What is done to a sum, and its parameters."""

    activation: Operation
    low: float = 0.0
    high: float = 0.0


NO_EPILOGUE = Epilogue(Operation.IDENTITY)


def epilogue_of(activation: Activation | None) -> Epilogue:
    """What the engine does for an activation: several of them are clamps."""
    if activation is None:
        return NO_EPILOGUE
    kind, *numbers = (activation,) if isinstance(activation, str) else activation
    clamps = {"relu": (0.0, math.inf), "relu6": (0.0, 6.0), "clip": numbers}
    if kind in clamps:
        return Epilogue(Operation.CLAMP, *clamps[kind])
    if kind == "hardswish":
        return Epilogue(Operation.HARDSWISH, 0.0, 6.0)
    return Epilogue(Operation[kind.upper()], *numbers)


class PaddingMode(IntEnum):
    """What the padding holds, numbered as in the engine."""

    ZEROS = 0
    REFLECT = 1
    REPLICATE = 2
    CIRCULAR = 3


@dataclass_transform(kw_only_default=True, eq_default=False)
class Record:
    """Fields given by name, as in a dataclass; the constructor is one for all, as those that
    `dataclasses` writes and compiles take milliseconds of every import. Nothing changes a record
    once it is part of a plan."""

    def __init__(self, **fields: Any) -> None:
        vars(self).update(fields)

    def replace(self, **changes: Any) -> Self:
        """A copy with other values in some fields."""
        return type(self)(**{**vars(self), **changes})


class Problem(Record):
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
        return Addresses(0, self.out_channels * self.taps, self.taps, self.volume,
                         c_steps(self.kernel))

    def in_order(self, weights: Addresses) -> bool:
        """Whether the taps of an output channel are contiguous, in the order
        (in_channels, *kernel)."""
        wanted = self.weights_in_order
        extents = (self.in_channels, *self.kernel)
        steps = zip((weights.input, *weights.axis), (wanted.input, *wanted.axis), strict=True)
        return all(n <= 1 or step == right for n, (step, right) in zip(extents, steps, strict=True))

    @property
    def zero_padding(self) -> bool:
        """Whether taps in the padding add nothing, and so may be left out."""
        return self.padding_mode == PaddingMode.ZEROS


FLAT = 3  # a slice axis: the rows and columns of a plane as one


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
    groups_inside: bool
    slices: int
    slice_axis: int
    work: NDArray[np.float64] | None
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
    rows_at_once: int
    gathers_border: bool
    prefetches: bool
    three_columns: bool
    down_the_rows: bool
    x_taps: NDArray[np.intp]
    w_taps: NDArray[np.intp]
    tap_places: NDArray[np.intp]
    masks: NDArray[np.uint8]
    mask_taps: NDArray[np.intp]
    lanes_are: int
    neighbours: bool
    across_blocks: int
    across_wide: int
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
    upsamples: bool = False
    column_parts: int = 0
    kind: int = 0  # of a part: parts of one kind differ in where their weights begin alone
    packed_at: int = 0


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
    pixels = math.prod(out_size)
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
        y_axis=y_axis or c_steps(out_size),
        y_in_order=y_strides is None,
        weights=Addresses(0, g.out_channels // g.groups * taps, taps, volume, c_steps(kernel)),
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


def c_steps(size: Triple) -> Triple:
    """From an element to the next one along each axis, in C order."""
    return size[1] * size[2], size[2], 1


def is_one_row(axis: Triple, size: Triple) -> bool:
    """Whether the pixels of an image are all equally far apart."""
    return (size[1] == 1 or axis[1] == size[2] * axis[2]) and (
        size[0] == 1 or axis[0] == size[1] * size[2] * axis[2]
    )


def on_three_axes(values: Shape, fill: int) -> Triple:
    """Values of one to three spatial dimensions, and those of the missing ones in front."""
    return (fill,) * (3 - len(values)) + values  # type: ignore[return-value]
