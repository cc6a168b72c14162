"""Which output channels make a vector, and which input channels each of its lanes reads.

A vector is neighbouring output channels of a block of groups; where the block ends within a
vector, its last one overlaps the one before, or leaves lanes unused.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Vectors(NamedTuple):
    """The vectors of output channels, group block after group block.

    Attributes
    ----------
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

    blocks: int
    wide: int
    first: NDArray[np.intp]
    base: NDArray[np.intp]
    picks: NDArray[np.int32]


def vectors_of(
    groups: int,
    in_channels: int,
    out_channels: int,
    group_block: int,
    lanes: int,
    *,
    overlap: bool,
    whole_groups: bool,
    whole: bool,
) -> Vectors | None:
    """The vectors of a layer, its channels counted per group; None where some vector's lanes read
    more input channels than a vector holds.

    Without `overlap` a last vector may be longer than what is left of the group block. With
    `whole_groups` vectors that would read too much hold as many groups as fit. With `whole` there
    must be whole vectors of inputs and of outputs.
    """
    if whole and min(groups * in_channels, groups * out_channels) < lanes:
        return None
    found = _vectors(groups, in_channels, out_channels, group_block, lanes, lanes, overlap)
    if found is None and whole_groups:
        wide = lanes // max(in_channels, out_channels) * out_channels
        if wide > 0:
            found = _vectors(groups, in_channels, out_channels, group_block, lanes, wide, False)
    return found


def _vectors(
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
    return Vectors(
        -(-block // wide), wide, start, base.astype(np.intp), np.ascontiguousarray(picks, np.int32))
