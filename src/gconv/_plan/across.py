"""Lanes across groups: which output channels make a vector, and what each lane reads.

For channels-last arrays (`_families/channels_last`). A vector is LANES neighbouring output
channels of a block of groups; where the block ends within a vector, its last one overlaps the one
before.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Lanes(IntEnum):
    """How output lanes go with input channels, numbered as in the engine."""

    FITTING = 0  # one by one
    PICKED = 1  # each picks its own
    NARROW = 2  # each picks its own, from or into less than a vector


class Vectors(NamedTuple):
    """The vectors of output channels, group block after group block.

    Attributes
    ----------
    kind : Lanes
    blocks : int
        Vectors of a group block; the last one may have fewer.
    wide : int
        Output channels of a vector: as many as there are lanes, or as fit of whole groups.
    first : numpy.ndarray of intp
        The first output channel of each.
    base : numpy.ndarray of intp
        The first of the input channels that it loads.
    picks : numpy.ndarray of int32
        Shape (vectors, in_channels, lanes): which of these a lane takes.
    """

    kind: Lanes
    blocks: int
    wide: int
    first: NDArray[np.intp]
    base: NDArray[np.intp]
    picks: NDArray[np.int32]


NONE = Vectors(Lanes.FITTING, 0, 0, np.zeros(0, np.intp), np.zeros(0, np.intp),
               np.zeros((0, 0, 0), np.int32))


def vectors_of(
    groups: int,
    in_channels: int,
    out_channels: int,
    group_block: int,
    lanes: int,
    *,
    overlap: bool = True,
    whole_groups: bool = False,
) -> Vectors | None:
    """The vectors of a layer, its channels counted per group; None where some vector's lanes read
    more input channels than a vector holds. Without `overlap` a last vector may be longer than
    what is left of the group block. With `whole_groups` vectors that would read too much hold as
    many groups as fit, and leave lanes unused."""
    wide = lanes
    found = _vectors_of(groups, in_channels, out_channels, group_block, lanes, wide, overlap)
    if found is None and whole_groups:
        wide = lanes // max(in_channels, out_channels) * out_channels
        if wide > 0:
            found = _vectors_of(groups, in_channels, out_channels, group_block, lanes, wide, False)
    return found


def _vectors_of(
    groups: int,
    in_channels: int,
    out_channels: int,
    group_block: int,
    lanes: int,
    wide: int,
    overlap: bool,
) -> Vectors | None:
    total_in, total_out = groups * in_channels, groups * out_channels
    block = min(group_block * out_channels, total_out)
    first = []
    for begin in range(0, total_out, block):
        end = min(begin + block, total_out)
        starts = range(begin, end, wide)
        first += [max(min(start, end - lanes), 0) if overlap else start for start in starts]
    start = np.array(first, np.intp)
    lane = start[:, None] + np.minimum(np.arange(lanes), wide - 1)
    lane = np.minimum(lane, total_out - 1)
    source = lane // out_channels * in_channels  # of each lane's group, the first input channel
    base = np.clip(source[:, 0], 0, max(total_in - lanes, 0))
    picks = (source - base[:, None])[:, None, :] + np.arange(in_channels)[:, None]
    if picks.size and picks.max() >= lanes:
        return None
    kind = Lanes.PICKED
    if min(total_in, total_out, wide) < lanes:
        kind = Lanes.NARROW
    elif in_channels == out_channels == 1:
        kind = Lanes.FITTING
    return Vectors(kind, -(-block // wide), wide, start, base.astype(np.intp),
                   np.ascontiguousarray(picks, np.int32))
