"""Pictures as the filters take them: decoded whole, brought to their scale a band at a time."""

from __future__ import annotations

import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The rows that are worked on together where samples are looked at or converted.
ROWS = 64
#: From here on a sample counts as so large that differences could overflow.
HUGE = 1e300


class NotSupported(ValueError):
    """A picture that is whole, but of a kind that is not supported."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright, with the scale on which it is shown.

    Its samples stay as the file has them. `rows` turns a few of them into float32 at a time,
    because that takes up to four times the room.

    Attributes
    ----------
    samples : ndarray, shape (H, W) or (H, W, 3)
        Grey or red, green and blue; real numbers of any dtype, order in memory and byte order.
    black, white : float
        The samples that are shown as 0 and as 1. Black is the greater where zero means white. A
        picture where they are equal is shown as 0.
    missing : float or None
        A sample that stands for no value, as NaN does; it is shown as 0.
    """

    samples: NDArray[Any]
    black: float
    white: float
    missing: float | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels (1 or 3), height and width."""
        height, width = self.samples.shape[:2]
        return 1 if self.samples.ndim == 2 else 3, height, width

    @property
    def has_own_range(self) -> bool:
        """Whether its dtype says nothing of black and white, so that its samples decide."""
        return self.samples.dtype.kind not in "bu" or self.samples.itemsize > 2

    def rows(self, first: int, last: int) -> NDArray[np.float32]:
        """Return rows ``first`` to ``last - 1`` on the scale from 0 to 1.

        Returns
        -------
        ndarray of float32, shape (C, last - first, W)
            In C order. Infinite samples are shown as 0 or 1, missing ones and NaN as 0.
        """
        block = np.atleast_3d(self.samples[first:last]).transpose(2, 0, 1)
        if self.black == self.white:
            return np.zeros(block.shape, np.float32)
        planes = np.empty(block.shape, np.float64 if self.has_own_range else np.float32)
        planes[...] = block
        if not self.has_own_range:
            if self.black:
                planes -= np.float32(self.black)
            planes /= np.float32(self.white - self.black)
            return planes
        absent = np.isnan(planes)
        if self.missing is not None:
            absent |= planes == self.missing
        # Where a difference could overflow, that of the halves does not.
        half = 0.5 if max(abs(self.black), abs(self.white)) > HUGE else 1.0
        planes *= half
        planes -= half * self.black
        planes /= half * self.white - half * self.black
        planes[absent] = 0
        return np.clip(planes, 0, 1, out=planes).astype(np.float32)


def on_own_range(
    samples: NDArray[Any], *, inverted: bool = False, missing: float | None = None
) -> Picture:
    """Return a picture whose least finite sample is black and whose greatest is white.

    Parameters
    ----------
    samples : ndarray, shape (H, W) or (H, W, 3)
        As in `Picture`.
    inverted : bool, default False
        Whether the least sample is white, and the greatest black.
    missing : float or None
        As in `Picture`.

    Raises
    ------
    NotSupported
        No sample is finite.
    """
    least, greatest = np.inf, -np.inf
    for first in range(0, len(samples), ROWS):
        values = samples[first : first + ROWS]
        low, high = values.min(), values.max()
        if missing is not None or not np.isfinite(low) or not np.isfinite(high):
            present = np.isfinite(values)
            if missing is not None:
                present &= values != missing
            values = values[present]
            if not values.size:
                continue
            low, high = values.min(), values.max()
        least, greatest = min(least, float(low)), max(greatest, float(high))
    if least > greatest:
        raise NotSupported("none of its samples is a finite number")
    black, white = (greatest, least) if inverted else (least, greatest)
    return Picture(samples, black, white, missing)


def upright(samples: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn samples (H, W, ...) as the orientation of EXIF and TIFF says, without a copy."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return samples


@dataclass(frozen=True)
class Pages:
    """The pages of a file.

    Attributes
    ----------
    count : int
        How many there are; 1 for an animation of which no frame was named.
    chosen : tuple of int
        The numbers, from 1, of those that are wanted.
    """

    count: int
    chosen: tuple[int, ...]


def find_pages(path: Path, wanted: int | None = None) -> Pages:
    """Say which pages of a file are to be shown.

    Parameters
    ----------
    path : Path
        A picture file.
    wanted : int, optional
        The number, from 1, of the only page wanted. Without it all pages of a TIFF file are, but
        those that it calls smaller copies or masks; and the first frame of any other file.

    Raises
    ------
    OSError, ImportError, ValueError
        As `read_picture`; ValueError also where there is no such page.
    """
    with reading():
        if is_tiff(path):
            from gconv._cli import tiff

            pages = tiff.find_pages(path, wanted)
        elif wanted is None:
            return Pages(1, (1,))
        else:
            from gconv._cli import other_kinds

            pages = Pages(other_kinds.count_frames(path), (wanted,))
    if wanted is not None and not 1 <= wanted <= pages.count:
        has = "is one page" if pages.count == 1 else f"are {pages.count} pages"
        raise ValueError(f"there is no page {wanted}: there {has}")
    return pages


def read_picture(path: Path, page: int = 1) -> Picture:
    """Read a picture as it is meant to be seen.

    Parameters
    ----------
    path : Path
        A TIFF file that tifffile reads, or a file of any other kind that Pillow reads.
    page : int, default 1
        The page of a TIFF file, or the frame of another, counted from 1.

    Returns
    -------
    Picture
        Grey, or in colour: palettes and other colour spaces become RGB. Turned upright as the
        orientation says; alpha and other extra samples are dropped. Unsigned samples of up to 16
        bits keep the scale of their bits. Signed, wider and floating point ones are shown on
        their own range.

    Raises
    ------
    OSError
        The file cannot be opened.
    ImportError
        The library for its kind is not installed.
    ValueError
        It is not a picture, is damaged, or is of a kind that is not supported.
    """
    with reading():
        if is_tiff(path):
            from gconv._cli import tiff

            return tiff.read_page(path, page)
        from gconv._cli import other_kinds

        return other_kinds.read_frame(path, page)


def is_tiff(path: Path) -> bool:
    """Whether a file begins as TIFF or BigTIFF files do."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a pipe could be read only once
        raise NotSupported("not a file that can be read more than once")
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@contextmanager
def reading() -> Iterator[None]:
    """Make one kind of error of what readers raise, and keep their warnings from stderr."""
    with warnings.catch_warnings(), one_kind_of_error():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def one_kind_of_error() -> Iterator[None]:
    """Make one kind of error of what readers raise; threads may do so at once."""
    try:
        yield
    except (FileNotFoundError, PermissionError, IsADirectoryError, MemoryError, ImportError):
        raise
    except NotSupported:
        raise
    except Exception as error:
        # A damaged file may make readers raise nearly anything (SyntaxError, struct.error,
        # IndexError ...), and one bad picture must not end the whole run.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"cannot be read: {reason}") from error
