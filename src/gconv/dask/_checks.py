"""Validation of Dask arrays, by the rules and in the words of the functions on NumPy arrays.

Those see arrays of the right shape and dtype that have no elements of their own, so that nothing
is computed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import dask.array as da
import numpy as np

from gconv._call.geometry import Geometry


def unwrapped(value: Any) -> Any:
    """The Dask array that an object of xarray holds; anything else as it is."""
    inner = getattr(value, "data", None)
    return inner if isinstance(inner, da.Array) else value


def check_x(name: str, x: object) -> None:
    """Refuse an x that is no Dask array."""
    if not isinstance(x, da.Array):
        raise TypeError(
            f"{name}: x must be a dask.array.Array, got {type(x).__name__}; use "
            "dask.array.from_array(x, chunks=...)"
        )


def stand_in(name: str, argument: str, value: Any) -> Any:
    """For a Dask array a NumPy array of its shape and dtype, without elements of its own;
    anything else as it is.

    Raises
    ------
    ValueError
        Where its chunks have unknown sizes.
    TypeError
        Where its chunks are no NumPy arrays.
    """
    if not isinstance(value, da.Array):
        return value
    if any(map(math.isnan, value.shape)):
        raise ValueError(
            f"{name}: {argument} has chunks of unknown size, {value.chunks}; call "
            f"{argument}.compute_chunk_sizes() first"
        )
    meta = value._meta
    if not isinstance(meta, np.ndarray):
        raise TypeError(
            f"{name}: the chunks of {argument} must be NumPy arrays, but are "
            f"{type(meta).__module__}.{type(meta).__name__}; use "
            f"{argument}.map_blocks(..., dtype={argument}.dtype) with what makes them so"
        )
    array = np.broadcast_to(np.empty((), value.dtype), value.shape)
    return array if type(meta) is np.ndarray else array.view(type(meta))


def check_channels(name: str, x: da.Array, geometry: Geometry) -> None:
    """Refuse chunks of x that cut a group of channels."""
    axis = int(geometry.batched)
    chunks = x.chunks[axis]
    inputs = geometry.in_channels // geometry.groups
    if all(size % inputs == 0 for size in chunks) if inputs else len(chunks) == 1:
        return
    raise ValueError(
        f"{name}: x has chunks {chunks} along its channels (axis {axis}), but groups="
        f"{geometry.groups} of {inputs} channels must not be cut, since each output channel sums "
        f"over a whole group; use x.rechunk({{{axis}: {whole_groups(chunks, inputs)}}})"
    )


def whole_groups(chunks: Sequence[int], inputs: int) -> tuple[int, ...]:
    """Chunks like these, their borders moved up to those of groups."""
    total, borders, at = sum(chunks), {0}, 0
    for size in chunks:
        at += size
        borders.add(min(total, -(-at // inputs) * inputs) if inputs else total)
    ordered = sorted(borders)
    return tuple(end - begin for begin, end in pairwise(ordered)) or (0,)
