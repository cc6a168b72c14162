"""Which elements of x each chunk of the result reads, along one spatial axis.

All kinds of convolution go one way. What a chunk of outputs meets is a stretch of the padded
axis; `runs` says which elements of x lie on it, and `Piece` cuts these at the borders of the
chunks of x. What remains for the call on the worker is the padding at the sides of the stretch,
or, of a transposed convolution, how much to crop.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from gconv._call.geometry import Geometry, dilated_extent


class Run(NamedTuple):
    """Elements of x that follow each other on the padded axis."""

    first: int
    length: int
    step: int = 1  # 1: as in x; -1: backwards; 0: one element again and again


class Stretch(NamedTuple):
    """What a chunk of outputs meets along one axis.

    Attributes
    ----------
    zeros : int
        Zeros that lie before the first run, or, without any, alone.
    runs : tuple of Run
    padding : (int, int)
        For the call: zeros beside the stretch; of a transposed convolution, outputs to crop.
    output_padding : int
        For the call of a transposed convolution.
    """

    zeros: int
    runs: tuple[Run, ...]
    padding: tuple[int, int] = (0, 0)
    output_padding: int = 0

    @property
    def size(self) -> int:
        """Elements that the call is given."""
        return self.zeros + sum(run.length for run in self.runs)


class Piece(NamedTuple):
    """A part of one chunk of x, and where it lies in what the call is given."""

    chunk: int
    part: slice | None  # None: the whole chunk
    place: slice  # as long as the part, or longer where one element is repeated


class Block(NamedTuple):
    """One chunk of outputs along one axis."""

    outputs: int
    size: int
    pieces: tuple[Piece, ...]
    padding: tuple[int, int]
    output_padding: int


class Axis(NamedTuple):
    """One spatial axis of a convolution; all fields as in `Geometry`, output_padding added."""

    size: int
    kernel: int
    stride: int
    dilation: int
    padding: tuple[int, int]
    outputs: int
    padding_mode: str
    transposed: bool
    output_padding: int

    @property
    def reach(self) -> int:
        """The extent of the kernel with its dilation."""
        return dilated_extent(self.kernel, self.dilation)


def axes_of(geometry: Geometry, output_padding: Sequence[int]) -> list[Axis]:
    """The spatial axes of a convolution."""
    g = geometry
    return [
        Axis(size, kernel, stride, dilation, padding, outputs, g.padding_mode, g.transposed, more)
        for size, kernel, stride, dilation, padding, outputs, more in zip(
            g.in_size, g.kernel, g.stride, g.dilation, g.padding, g.out_size,
            output_padding or (0,) * len(g.kernel), strict=True,
        )
    ]


def blocks(axis: Axis, chunks: Sequence[int]) -> list[Block]:
    """The chunks of outputs along an axis whose x has chunks of these sizes.

    Their borders divide the outputs as those of x divide its elements, so that results of the
    size of x have its chunks. Chunks of no outputs are left out.
    """
    starts = [0, *accumulate(chunks)]
    if len(chunks) == 1:  # x as it is, padded by the call
        whole = slice(0, axis.size)
        piece = Piece(0, None, whole)
        return [Block(axis.outputs, axis.size, (piece,), axis.padding, axis.output_padding)]
    size = max(axis.size, 1)
    borders = sorted({0, axis.outputs, *(start * axis.outputs // size for start in starts)})
    found = []
    for begin, end in pairwise(borders):
        stretch = (transposed_stretch if axis.transposed else stretch_of)(axis, begin, end)
        pieces = tuple(cut(stretch, starts))
        found.append(
            Block(end - begin, stretch.size, pieces, stretch.padding, stretch.output_padding)
        )
    return found


def stretch_of(axis: Axis, begin: int, end: int) -> Stretch:
    """What the outputs from begin to end meet."""
    before = axis.padding[0]
    low = begin * axis.stride - before
    high = (end - 1) * axis.stride - before + axis.reach
    if axis.padding_mode == "zeros":
        first, last = max(low, 0), min(high, axis.size)
        if first >= last:  # padding alone
            return Stretch(0, (), (high - low, 0))
        return Stretch(0, (Run(first, last - first),), (first - low, high - last))
    return Stretch(0, tuple(runs(low, high, axis.size, axis.padding_mode)))


def runs(low: int, high: int, size: int, mode: str) -> Iterator[Run]:
    """The elements of x at the positions from low to high of an axis that is padded in a mode
    other than zeros; position 0 is the first element of x."""
    before = min(high, 0) - low
    if before > 0:
        yield {
            "reflect": Run(-low, before, -1),
            "replicate": Run(0, before, 0),
            "circular": Run(low + size, before),
        }[mode]
    first, last = max(low, 0), min(high, size)
    if last > first:
        yield Run(first, last - first)
    beyond = max(low, size)
    if high > beyond:
        yield {
            "reflect": Run(2 * (size - 1) - beyond, high - beyond, -1),
            "replicate": Run(size - 1, high - beyond, 0),
            "circular": Run(beyond - size, high - beyond),
        }[mode]


def transposed_stretch(axis: Axis, begin: int, end: int) -> Stretch:
    """What the outputs from begin to end of a transposed convolution meet.

    Element i of x reaches the outputs from i * stride - padding on, as many as the kernel with
    its dilation is long. Where a stride beyond that leaves outputs that no element reaches, zeros
    stand for the elements that would begin the stretch.
    """
    before, stride = axis.padding[0], axis.stride
    origin = (begin + before) // stride  # the last element that begins no later than the outputs
    first = max(-((axis.reach - 1 - begin - before) // stride), 0)
    end_of_reach = (end - 1 + before) // stride
    last = min(end_of_reach, axis.size - 1)
    found: tuple[Run, ...] = ()
    if first <= last:
        origin = min(origin, first)
        zeros, found = first - origin, (Run(first, last - first + 1),)
    else:
        last = end_of_reach
        zeros = last - origin + 1
    more = last * stride - before + axis.reach - end  # outputs of the call beyond the end
    return Stretch(zeros, found, (begin - origin * stride + before, max(more, 0)), max(-more, 0))


def cut(stretch: Stretch, starts: Sequence[int]) -> Iterator[Piece]:
    """The pieces of a stretch; `starts` are the borders of the chunks of x."""
    at = stretch.zeros
    for first, left, step in stretch.runs:
        while left:
            chunk = bisect_right(starts, first) - 1
            begin, end = starts[chunk], starts[chunk + 1]
            inside = first - begin
            if step > 0:
                length = min(left, end - first)
                part = slice(inside, inside + length)
            elif step < 0:
                length = min(left, inside + 1)
                part = slice(inside, inside - length if inside >= length else None, -1)
            else:
                length, part = left, slice(inside, inside + 1)
            is_whole = step > 0 and length == end - begin
            yield Piece(chunk, None if is_whole else part, slice(at, at + length))
            first, left, at = first + step * length, left - length, at + length
