"""Stacks in Zarr arrays of version 2 or 3, and in groups with one image (OME-Zarr)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconv._cli.picture import NotSupported, one_kind_of_error
from gconv._cli.stack.source import Form, Reader, as_planes

try:
    import zarr
except ImportError as error:
    raise ImportError("needs zarr, part of the extra gconv[stack]") from error


@dataclass(frozen=True)
class ZarrReader:
    """A block of pages of a Zarr array.

    Attributes
    ----------
    path : str
        The array's directory.
    corner, extent : tuple of int
        The first indices of the block, and how many pages it has along each axis.
    y, x : int
        Which axes of the array are a page's height and width; those before both are of pages,
        all others of channels.
    """

    path: str
    corner: tuple[int, ...]
    extent: tuple[int, ...]
    y: int
    x: int

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        """Return rows, as `gconv._cli.stack.source.Reader` says."""
        with one_kind_of_error():
            array = zarr.open_array(self.path, mode="r")
            block = [slice(at, at + n) for at, n in zip(self.corner, self.extent, strict=True)]
            rest = [slice(None)] * (array.ndim - len(block))
            index = [*block, *rest]
            index[self.y] = slice(first, last)
            samples = np.asarray(array[tuple(index)])
        samples = np.moveaxis(samples, (self.y, self.x), (-2, -1))
        shape = (prod(self.extent), -1, *samples.shape[-2:])
        return as_planes(samples.reshape(shape))

    def only(self, index: int) -> Reader:
        """Return the reader of one of its pages."""
        inside = np.unravel_index(index, self.extent)
        corner = tuple(a + int(b) for a, b in zip(self.corner, inside, strict=True))
        return replace(self, corner=corner, extent=(1,) * len(corner))


@dataclass(frozen=True)
class ZarrSource:
    """A Zarr array as a stack; attributes as in `gconv._cli.stack.source.Source`."""

    path: Path
    form: Form
    together: tuple[int, ...]
    array: str
    y: int
    x: int
    in_bands: bool = True

    def reader(self, corner: Sequence[int], extent: Sequence[int]) -> Reader:
        """Return the reader of a block of pages."""
        return ZarrReader(self.array, tuple(corner), tuple(extent), self.y, self.x)

    def files(self) -> Iterable[Path]:
        """Return all files below the array's directory."""
        for directory, _, names in os.walk(self.array):
            for name in names:
                yield Path(directory, name)

    @staticmethod
    def open(path: Path) -> ZarrSource:
        """Find the array, and which of its axes are a page's."""
        node = zarr.open(path.absolute(), mode="r")
        names: Sequence[str] | None = None
        array_path = path.absolute()
        if isinstance(node, zarr.Group):
            name, names = _image_of(node, path)
            array_path /= name
            node = node[name]
        assert isinstance(node, zarr.Array)
        names = names or _names_of(node)
        return _described(path, array_path, node, names)


def _image_of(group: zarr.Group, path: Path) -> tuple[str, Sequence[str] | None]:
    """Return the path of a group's image, and the names of its axes where the group has them."""
    attributes: dict[str, Any] = dict(group.attrs)
    images = attributes.get("ome", attributes).get("multiscales")
    if images and len(images) == 1:  # OME-Zarr: the first data set is the one of full size
        axes = [
            axis["name"] if isinstance(axis, dict) else axis
            for axis in images[0].get("axes") or ()  # versions before 0.3 have none
        ]
        return images[0]["datasets"][0]["path"], axes or None
    names = sorted(group.array_keys())
    if len(names) == 1:
        return names[0], None
    there = ", ".join(str(path / name) for name in names) or "none"
    raise NotSupported(f"a group of {len(names)} arrays; name one of them: {there}")


def _names_of(array: zarr.Array[Any]) -> Sequence[str] | None:
    """Return the names of the axes that an array itself has."""
    names: Any = getattr(array.metadata, "dimension_names", None)
    names = names or array.attrs.get("_ARRAY_DIMENSIONS")  # xarray's, of version 2
    return names if names and all(names) else None


def _described(
    path: Path, array_path: Path, array: zarr.Array[Any], names: Sequence[str] | None
) -> ZarrSource:
    dtype = np.dtype(array.dtype)
    if dtype.kind not in "buif":
        raise NotSupported(f"samples are real numbers, not dtype {dtype}")
    if array.ndim < 2 or 0 in array.shape:
        raise NotSupported(f"a page has height and width; the array's shape is {array.shape}")
    lower = [name.lower() for name in names or ()]
    if len(lower) not in (0, array.ndim):
        raise NotSupported(f"{len(lower)} axes are named, of {array.ndim}: {', '.join(lower)}")
    y, x = array.ndim - 2, array.ndim - 1
    if {"y", "x"} <= set(lower):
        y, x = lower.index("y"), lower.index("x")
    pages = min(y, x)
    others = [axis for axis in range(pages, array.ndim) if axis not in (y, x)]
    form = Form(
        tuple(lower[:pages]) or tuple(f"axis{axis}" for axis in range(pages)),
        array.shape[:pages],
        prod(array.shape[axis] for axis in others) if others else None,
        array.shape[y],
        array.shape[x],
        dtype.name,
    )
    return ZarrSource(path, form, array.chunks[:pages], str(array_path), y, x)
