"""What the filters know of a stack, whatever file it is in: its form, and readers of its pages."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gconv._cli.picture import NotSupported, is_tiff, reading

#: What marks a directory as an array or a group of Zarr, of version 2 and 3.
ZARR_FILES = (".zarray", ".zgroup", "zarr.json")


@dataclass(frozen=True)
class Form:
    """Shape and sample type of a stack.

    Attributes
    ----------
    axes : tuple of str
        The names of the axes along which pages follow each other, the slowest first.
    pages : tuple of int
        How many pages there are along each of them; () for a single page.
    channels : int or None
        The samples of a pixel; None where a page is a plane without an axis for them.
    height, width : int
        Of a page.
    dtype : str
        NumPy's name of the samples' type.
    """

    axes: tuple[str, ...]
    pages: tuple[int, ...]
    channels: int | None
    height: int
    width: int
    dtype: str

    @property
    def count(self) -> int:
        """How many pages there are in all."""
        return prod(self.pages)

    @property
    def inner(self) -> tuple[int, ...]:
        """The channels as the part of a shape that they are: (channels,), or ()."""
        return () if self.channels is None else (self.channels,)

    @property
    def shape(self) -> tuple[int, ...]:
        """All sizes, channels before height and width."""
        return (*self.pages, *self.inner, self.height, self.width)

    def where(self, page: int) -> tuple[int, ...]:
        """Return the indices of a page, which is counted from 0."""
        return tuple(int(index) for index in np.unravel_index(page, self.pages))

    def label(self, page: int) -> str:
        """Return what to call a page: its number from 1, and its indices where it has several."""
        if len(self.pages) < 2:
            return f"page {page + 1}"
        indices = zip(self.axes, self.where(page), strict=True)
        return f"page {page + 1} ({', '.join(f'{axis} {index}' for axis, index in indices)})"


class Reader(Protocol):
    """Some pages of a stack. It can be pickled, and opens the file anew for each call."""

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        """Return rows ``first`` to ``last - 1`` of its pages, shape (pages, C, rows, W).

        Raises
        ------
        OSError
            The file cannot be opened.
        ValueError
            What is there cannot be read.
        """
        ...

    def only(self, index: int) -> Reader:
        """Return the reader of one of its pages."""
        ...


class Source(Protocol):
    """A stack in a file.

    Attributes
    ----------
    path : Path
        The file, or the directory, as it was named.
    form : Form
        What is in it.
    together : tuple of int
        How many pages along each axis are best read at once, because they are stored together.
    in_bands : bool
        Whether a few rows of a page can be read without the others.
    """

    @property
    def path(self) -> Path: ...
    @property
    def form(self) -> Form: ...
    @property
    def together(self) -> tuple[int, ...]: ...
    @property
    def in_bands(self) -> bool: ...

    def reader(self, corner: Sequence[int], extent: Sequence[int]) -> Reader:
        """Return the reader of a block of pages: its first indices, and its extents."""
        ...

    def files(self) -> Iterable[Path]:
        """Return all files that it is in."""
        ...


def is_zarr(path: Path) -> bool:
    """Whether a path is a directory that Zarr wrote."""
    return path.is_dir() and any((path / name).exists() for name in ZARR_FILES)


def open_source(path: Path) -> Source:
    """Open a stack.

    Parameters
    ----------
    path : Path
        A TIFF file, or the directory of a Zarr array or of a group with one image.

    Raises
    ------
    OSError
        It cannot be opened.
    ImportError
        The library for its kind is not installed.
    ValueError
        It is not a stack, is damaged, or is of a kind that is not supported.
    """
    with reading():
        if is_zarr(path):
            from gconv._cli.stack.zarr_source import ZarrSource

            return ZarrSource.open(path)
        if path.is_dir() or not is_tiff(path):
            raise NotSupported("not a stack: neither a TIFF file nor the directory of a Zarr array")
        from gconv._cli.stack.tiff_source import TiffSource

        return TiffSource.open(path)


def state_of(source: Source) -> str:
    """Return a digest of names, sizes and times of a stack's files.

    It stays the same as long as nobody wrote to them. The time of the last change of status is
    part of it, since no program can set that back.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(source.files()):
        found = os.stat(path)
        entry = [
            os.path.relpath(path, source.path), found.st_size, found.st_mtime_ns,
            found.st_ctime_ns, found.st_ino,
        ]  # fmt: skip
        digest.update(json.dumps(entry).encode())
    return digest.hexdigest()


def has_scale(dtype: np.dtype[Any]) -> bool:
    """Whether samples of a type say by themselves what is black and what is white."""
    return dtype.kind == "b" or (dtype.kind == "u" and dtype.itemsize <= 2)


def as_planes(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Turn samples without colours into float32.

    Unsigned ones of up to 16 bits are brought to the scale from 0 to 1, as those of pictures are.
    All others stay as they are: the range of a page must not change what is comparable with other
    pages.
    """
    if has_scale(samples.dtype):
        white = 1 if samples.dtype.kind == "b" else np.iinfo(samples.dtype).max
        planes = samples.astype(np.float32)
        planes /= np.float32(white)
        return planes
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite
        return samples.astype(np.float32)


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of axes, numbered where one has come before."""
    before = [names[:at].count(name) for at, name in enumerate(names)]
    return tuple(f"{name}{n + 1 if n else ''}" for name, n in zip(names, before, strict=True))
