"""Where ONNX's Resize takes each element from, along each axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gconv._call.geometry import Shape
from gconv._steps import Table

Array: TypeAlias = NDArray[Any]

MOST_AXES = 3

# How a place that lies between two elements becomes one of them.
ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def tables_of(
    op: str,
    attributes: Mapping[str, Any],
    x_shape: Shape,
    y_shape: Shape,
    scales: Array | None,
) -> tuple[str, Sequence[Table]] | None:
    """The mode, and a table for each of the last axes from the first that changes; None where
    steps of our own do not serve."""
    mode = attributes.get("mode", "nearest")
    upsample = op == "Upsample"
    where = attributes.get("coordinate_transformation_mode", "half_pixel")
    if upsample:
        where = "asymmetric"
    if (
        mode not in ("nearest", "linear") or where == "tf_crop_and_resize"
        or attributes.get("antialias", 0)
        or attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch"
    ):
        return None
    rounding = "floor" if upsample else attributes.get("nearest_mode", "round_prefer_floor")
    rank = len(x_shape)
    axes = [axis % rank for axis in attributes.get("axes") or range(rank)]
    factors = [out / size for size, out in zip(x_shape, y_shape, strict=True)]
    if scales is not None:
        for axis, scale in zip(axes, scales, strict=True):
            factors[axis] = float(scale)
    changed = [axis for axis in range(rank)
               if x_shape[axis] != y_shape[axis] or factors[axis] != 1]
    if not changed:
        return mode, []
    first = changed[0]
    if rank - first > MOST_AXES:
        return None
    tables = []
    for axis in range(first, rank):
        places = coordinates(where, x_shape[axis], y_shape[axis], factors[axis])
        if places is None:
            return None
        last = x_shape[axis] - 1
        if mode == "nearest":
            low = np.clip(ROUNDINGS[rounding](places), 0, last).astype(np.int32)
            tables.append(Table(low))
        else:
            places = np.clip(places, 0, last)
            low = np.floor(places).astype(np.int32)
            high = np.minimum(low + 1, last).astype(np.int32)
            tables.append(Table(low, high, (places - low).astype(np.float32)))
    return mode, tables


def coordinates(where: str, size: int, out: int, scale: float) -> Array | None:
    """The place in x of each element of the result."""
    x = np.arange(out, dtype=np.float64)
    if where == "half_pixel":
        return (x + 0.5) / scale - 0.5
    if where == "pytorch_half_pixel":
        return (x + 0.5) / scale - 0.5 if out > 1 else np.zeros(out)
    if where == "asymmetric":
        return x / scale
    if where == "align_corners":
        length = size * scale
        return np.zeros(out) if length == 1 or out == 1 else x * (size - 1) / (length - 1)
    if where == "half_pixel_symmetric":
        adjustment = out / (scale * size)
        centre = size / 2
        return centre * (1 - adjustment) + (x + 0.5) / scale - 0.5
    return None
