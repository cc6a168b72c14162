"""The problem on three axes: what a plan must compute, and nothing of how."""

from __future__ import annotations

import math
from copy import copy
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from gconv._engine import call

if TYPE_CHECKING:
    from gconv._call.geometry import Activation, Geometry, Shape



class Operation(IntEnum):
    """What is done to a sum; the engine has the numbers."""

    IDENTITY = call.activations["IDENTITY"]
    CLAMP = call.activations["CLAMP"]
    LEAKY_RELU = call.activations["LEAKY_RELU"]
    HARDSIGMOID = call.activations["HARDSIGMOID"]
    HARDSWISH = call.activations["HARDSWISH"]
    SIGMOID = call.activations["SIGMOID"]
    TANH = call.activations["TANH"]
    SILU = call.activations["SILU"]
    GELU = call.activations["GELU"]
    GELU_TANH = call.activations["GELU_TANH"]


class PaddingMode(IntEnum):
    """What the padding holds; the engine has the numbers."""

    ZEROS = call.padding_modes["ZEROS"]
    REFLECT = call.padding_modes["REFLECT"]
    REPLICATE = call.padding_modes["REPLICATE"]
    CIRCULAR = call.padding_modes["CIRCULAR"]


class ItemOrder(IntEnum):
    """How the levels of an item's number are nested; the engine has the numbers."""

    CHANNELS_FASTEST = call.item_orders["CHANNELS_FASTEST"]
    BANDS_FASTEST = call.item_orders["BANDS_FASTEST"]
    BANDS_SLOWEST = call.item_orders["BANDS_SLOWEST"]


FLAT = call.flat  # a slice axis: the rows and columns of a plane as one

Triple = tuple[int, int, int]
FEW_TAPS = 64  # along an axis: more are counted by NumPy


class Addresses(NamedTuple):
    """Where weights lie: elements from the first tap of all, and from one to the next."""

    origin: int
    group: int
    channel: int
    input: int
    axis: Triple


class Epilogue(NamedTuple):
    """What is done to a sum, and its parameters."""

    activation: Operation
    low: float = 0.0
    high: float = 0.0


NO_EPILOGUE = Epilogue(Operation.IDENTITY)


def epilogue_of(activation: Activation | None) -> Epilogue:
    """The operation of an activation: several of them are clamps."""
    if activation is None:
        return NO_EPILOGUE
    kind, *numbers = (activation,) if isinstance(activation, str) else activation
    clamps = {"relu": (0.0, math.inf), "relu6": (0.0, 6.0), "clip": numbers}
    if kind in clamps:
        return Epilogue(Operation.CLAMP, *clamps[kind])
    if kind in ("hardsigmoid", "hardswish"):
        numbers = [0.0, 6.0]
    return Epilogue(Operation[kind.upper()], *numbers)


class Problem:
    """One image on three axes (depth, row, column), channels counted per group.

    A convolution of fewer dimensions has extents of 1 in front; a pointwise one over contiguous
    memory is one long row. Strides count elements.
    """

    dimensions: int
    transposed: bool
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
    y_in_order: bool  # C order; channels-last otherwise
    weights: Addresses
    flops: int
    packs: bool  # the engine packs weights as it needs them: nobody keeps packed ones
    channel_major: bool  # the order of the sum depends on the kernel and the channels alone
    room: bool  # a vector may be read from where the last element of x lies
    # Problems that share a panel (siblings) lie side by side in y: `siblings` along each axis, 0
    # for a problem alone. The panel holds `source_padding` elements before the first input, and
    # `source_reach` from the first input of an output to the last.
    siblings: Triple
    source_padding: Triple
    source_reach: Triple
    epilogue: Epilogue

    # ---- what follows from these ----
    volume: int  # taps of one channel
    taps: int  # of one output element
    alone: bool  # it has no siblings
    pixels: int  # outputs of a channel
    inputs: int  # elements of a channel of x
    zero_padding: bool  # taps in the padding add nothing, and so may be left out
    column_padding: bool  # a column tap of some output, of any sibling, lies outside the image
    channels_last: bool  # the channels of a pixel of x are neighbours, and its columns are not
    inside: tuple[float, float, float]  # taps of an output that lie in the image, on average
    taps_met: float  # of an output whose kernel planes and rows lie in the image, on average
    column_outputs: list[tuple[int, int]]  # those for which each of few column taps does
    weights_in_order: Addresses  # of shape (groups, out_channels, in_channels, *kernel), C order
    weights_are_in_order: bool  # so are those that are given
    # The positions along each axis, from the first up to the second, that hold elements of the
    # image: with padding of zeros itself, else all that taps meet.
    filled_begin: Triple
    filled_end: Triple

    def __init__(self, **fields: Any) -> None:
        """All fields above the line; the others follow from these, once, as families read them
        often. (A constructor that `dataclasses` writes would take milliseconds of every import.)
        """
        vars(self).update(fields)
        self.volume = math.prod(self.kernel)
        self.taps = self.in_channels * self.volume
        self.alone = self.siblings == (0, 0, 0)
        self.pixels = math.prod(self.out_size)
        self.inputs = math.prod(self.in_size)
        reaches = [
            (self.out_size[axis] - 1) * self.stride[axis] - self.padding[axis]
            + (self.kernel[axis] - 1) * self.dilation[axis]
            for axis in range(3)
        ]
        if all(
            padding <= 0 and reach < size
            for padding, reach, size in zip(self.padding, reaches, self.in_size, strict=True)
        ):
            self.padding_mode = PaddingMode.ZEROS  # no tap lies there
        self.zero_padding = self.padding_mode == PaddingMode.ZEROS
        reach = (
            (self.out_size[2] - 1) * self.stride[2] - self.source_padding[2] + self.source_reach[2]
        )
        self.column_padding = self.source_padding[2] > 0 or reach >= self.in_size[2]
        self.channels_last = self.x_channel == 1 and self.x_axis[2] != 1
        self.column_outputs = []
        self.inside = (
            self._mean_inside(0), self._mean_inside(1), self._mean_inside(2)
        )
        planes, rows, _ = self.inside
        self.taps_met = self.in_channels * planes * rows * self.kernel[2]
        self.weights_in_order = Addresses(
            0, self.out_channels * self.taps, self.taps, self.volume, c_steps(self.kernel))
        self.weights_are_in_order = self.in_order(self.weights)
        self.filled_begin = (0, 0, 0)
        self.filled_end = self.in_size
        if not self.zero_padding:
            self.filled_begin = tuple(-padding for padding in self.padding)  # type: ignore[assignment]
            self.filled_end = tuple(  # type: ignore[assignment]
                max(size, reach + 1) for size, reach in zip(self.in_size, reaches, strict=True))

    def _mean_inside(self, axis: int) -> float:
        kernel, dilation, out = self.kernel[axis], self.dilation[axis], self.out_size[axis]
        if not self.zero_padding:
            return float(kernel)
        padding, size, stride = self.padding[axis], self.in_size[axis], self.stride[axis]
        if kernel > FEW_TAPS:
            first, last = outputs_of_taps(self, axis)
            return float((last - first).sum()) / out
        total = 0
        outputs = []
        for tap in range(kernel):
            start = padding - tap * dilation
            begin = min(max(-(-start // stride), 0), out)
            end = max(min((size - 1 + start) // stride + 1, out), begin)
            total += end - begin
            outputs.append((begin, end))
        if axis == 2:
            self.column_outputs = outputs
        return total / out

    def replace(self, **changes: Any) -> Self:
        """A copy with other values in some fields."""
        return type(self)(**{**vars(self), **changes})

    def placed(self, **fields: Any) -> Self:
        """A copy with another place in y, or another epilogue: nothing follows from these."""
        other = copy(self)
        vars(other).update(fields)
        return other

    def in_order(self, weights: Addresses) -> bool:
        """Whether the taps of an output channel are contiguous, in the order
        (in_channels, *kernel)."""
        wanted = self.weights_in_order
        extents = (self.in_channels, *self.kernel)
        steps = zip((weights.input, *weights.axis), (wanted.input, *wanted.axis), strict=True)
        return all(n <= 1 or step == right for n, (step, right) in zip(extents, steps, strict=True))


def outputs_of_taps(p: Problem, axis: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Tap k of an axis lies inside the image for the outputs first[k] to last[k] - 1."""
    start = p.padding[axis] - np.arange(p.kernel[axis]) * p.dilation[axis]
    first = np.clip(-(-start // p.stride[axis]), 0, p.out_size[axis])
    last = np.clip((p.in_size[axis] - 1 + start) // p.stride[axis] + 1, first, p.out_size[axis])
    return first, last


def taps_before(p: Problem, axis: int, positions: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """How many taps of all outputs before each position lie inside the image, along an axis;
    all of them do in padding that holds elements of the image."""
    if not p.zero_padding:
        return positions * p.kernel[axis]
    first, last = outputs_of_taps(p, axis)
    before: np.ndarray[Any, Any] = (
        np.clip(positions[:, None], first, last).sum(axis=1) - first.sum())
    return before


def problem_of(
    geometry: Geometry,
    x_strides: Shape,
    *,
    y_in_order: bool = True,
    one_bank: bool = False,
    packs: bool = False,
    channel_major: bool = False,
    room: bool = False,
) -> Problem:
    """The geometry on three axes, for an x of given strides (in elements, the batch's first).

    `one_bank` says that the weights are those of one group, and serve every group; the other
    options are fields of `Problem`.
    """
    g = geometry
    in_size, out_size = on_three_axes(g.in_size, 1), on_three_axes(g.out_size, 1)
    kernel, stride = on_three_axes(g.kernel, 1), on_three_axes(g.stride, 1)
    dilation = on_three_axes(g.dilation, 1)
    padding = on_three_axes(tuple(before for before, _ in g.padding), 0)
    if not g.transposed:
        # A stride that takes no step and a dilation without a second tap mean nothing, however
        # large.
        stride = _where(out_size, stride)
        dilation = _where(kernel, dilation)
    x_axis = on_three_axes(x_strides[2:], 0)
    if in_size[2] <= 1 and not g.transposed:  # a stride that takes no step either
        x_axis = (x_axis[0], x_axis[1], 1)
    if (
        not g.transposed
        and set(kernel) == {1} and set(stride) == {1} and in_size == out_size and not any(padding)
        and is_one_row(x_axis, in_size)
        and (x_axis[2] == 1 or not y_in_order)
    ):
        in_size = out_size = (1, 1, math.prod(in_size))
        x_axis = (0, 0, x_axis[2])
    pixels = math.prod(out_size)
    volume = math.prod(kernel)
    taps = g.in_channels // g.groups * volume
    y_channel, y_axis = pixels, c_steps(out_size)
    if not y_in_order:
        rows = c_steps(out_size)
        y_channel = 1
        y_axis = tuple(step * g.out_channels for step in rows)  # type: ignore[assignment]
    weights = Addresses(0, g.out_channels // g.groups * taps, taps, volume, c_steps(kernel))
    return Problem(
        dimensions=len(g.kernel),
        transposed=g.transposed,
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
        y_image=g.out_channels * pixels,
        y_channel=y_channel,
        y_axis=y_axis,
        y_in_order=y_in_order,
        weights=weights._replace(group=0) if one_bank else weights,
        flops=g.flops,
        packs=packs,
        channel_major=channel_major,
        room=room,
        siblings=(0, 0, 0),
        source_padding=padding,
        source_reach=tuple(
            (k - 1) * d for k, d in zip(kernel, dilation, strict=True)),
        epilogue=epilogue_of(g.activation),
    )


def _where(extents: Triple, steps: Triple) -> Triple:
    """Steps along axes of several elements, 1 along the others."""
    return tuple(  # type: ignore[return-value]
        step if extent > 1 else 1 for extent, step in zip(extents, steps, strict=True))


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
