"""The weights as the tiles of a plan read them, packed once by a layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gconv._plan.problem import CHANNELS_LAST, Family, Spec


def packing(spec: Spec) -> tuple[object, ...] | None:
    """What the packed weights of a plan depend on; None where it reads them as they are."""
    if spec.parts:
        return tuple(map(_packing_of_one, spec.parts))
    if spec.family in (Family.CHANNEL, *CHANNELS_LAST) or not spec.in_order(spec.weights):
        return _packing_of_one(spec)
    return None


def _packing_of_one(spec: Spec) -> tuple[object, ...]:
    if spec.family in CHANNELS_LAST:
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
    if spec.family in CHANNELS_LAST:
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
    if spec.family in CHANNELS_LAST:
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
