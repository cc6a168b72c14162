"""TIFF files, by tifffile: every page, sample format, order and compression that it decodes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gconv._cli.picture import ROWS, NotSupported, Pages, Picture, on_own_range, upright

try:
    from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC, TiffFile, TiffPage
except ImportError as error:
    raise ImportError("needs tifffile, part of the extra gconv[cli]") from error

ORIENTATION, NODATA = 274, 42113  # numbers of tags; the second is GDAL's
SMALLER, MASK = 1, 4  # bits of the tag NewSubfileType
GREY = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MASK)
#: Those whose decoder turns YCbCr into RGB.
JPEG = (COMPRESSION.OJPEG, COMPRESSION.JPEG)
#: The most bytes that a byte of a file becomes (Deflate's 1032, and some), and how many have to be
#: claimed before that counts: what claims more is damaged, and would take memory for nothing.
EXPANSION, CLAIMED = 1100, 1 << 30


def find_pages(path: Path, wanted: int | None) -> Pages:
    """Return the pages of a file, as `gconv._cli.picture.find_pages` does."""
    with opened(path) as file:
        count = len(file.pages)
        if wanted is not None:
            return Pages(count, (wanted,))
        if not _chain_ends(file):
            raise ValueError(f"its list of pages breaks off after page {count}")
        pages = [page_of(file, number) for number in range(1, count + 1)]
        whole = [n for n, page in enumerate(pages, 1) if not page.subfiletype & (SMALLER | MASK)]
        return Pages(count, tuple(whole or range(1, count + 1)))


def read_page(path: Path, number: int) -> Picture:
    """Return one page, counted from 1, as `gconv._cli.picture.read_picture` does."""
    with opened(path) as file:
        page = page_of(file, number)
        check_kind(page)
        check_whole(page, file.filehandle.size)
        samples = page.asarray()
        if page.axes == "SYX":  # separate planes
            samples = samples.transpose(1, 2, 0)
        samples = np.atleast_3d(samples)
        orientation = int(page.tags.valueof(ORIENTATION, 1))
        samples = upright(without_association(page, samples), orientation)
        return as_shown(page, samples)


@contextmanager
def opened(path: Path) -> Iterator[TiffFile]:
    """Open a file; what tifffile would log to stderr goes nowhere."""
    with without_logging(), TiffFile(path) as file:
        yield file


@contextmanager
def without_logging() -> Iterator[None]:
    """Send what tifffile would log to stderr nowhere."""
    logger = logging.getLogger("tifffile")
    disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = disabled


def page_of(file: TiffFile, number: int) -> TiffPage:
    """Return a page, counted from 1."""
    page = file.pages[number - 1]
    assert isinstance(page, TiffPage)  # what tifffile has besides is made on request only
    return page


def _chain_ends(file: TiffFile) -> bool:
    """Whether the last page says that it is the last, and not that the next is out of reach."""
    at = file.pages.next_page_offset
    if at is None:
        return True
    size = file.tiff.offsetsize
    file.filehandle.seek(at)
    return bool(file.filehandle.read(size) == bytes(size))


def check_kind(page: TiffPage) -> None:
    """Raise NotSupported for what is no picture of real numbers."""
    if page.dtype is None:
        raise NotSupported(f"samples of {page.bitspersample} bits, format {page.sampleformat}")
    if page.dtype.kind not in "buif":
        raise NotSupported(f"samples are real numbers, not dtype {page.dtype}")
    if page.imagedepth != 1:
        raise NotSupported(f"a volume of {page.imagedepth} slices; pages are accepted")
    if 0 in page.shape:
        raise NotSupported("it has no pixels")


def check_whole(page: TiffPage, size: int) -> None:
    """Raise ValueError where strips or tiles are missing: tifffile takes them for black."""
    wanted = prod(page.chunked)
    parts = list(zip(page.dataoffsets, page.databytecounts, strict=False))[:wanted]
    empty = sum(offset == 0 or count == 0 for offset, count in parts)
    if any(offset + count > size for offset, count in parts):
        raise ValueError("the file is truncated")
    if len(parts) < wanted or (empty and not page.is_geotiff):  # GDAL leaves empty tiles out
        found = len(parts) - empty
        raise ValueError(f"{found} of {wanted} strips or tiles are there")
    if page.nbytes > max(CLAIMED, EXPANSION * size):
        raise ValueError(f"{page.nbytes} bytes cannot come out of a file of {size}")


def without_association(page: TiffPage, samples: NDArray[Any]) -> NDArray[Any]:
    """Divide samples by the alpha that they have been multiplied by, where the page says so."""
    if EXTRASAMPLE.ASSOCALPHA not in page.extrasamples[:1]:
        return samples
    colours = samples.shape[2] - len(page.extrasamples)
    is_float = samples.dtype.kind == "f"
    white = 1 if is_float else np.iinfo(samples.dtype).max

    def divide(rows: NDArray[Any]) -> NDArray[Any]:
        alpha = rows[..., colours, np.newaxis].astype(np.float64)
        product = rows[..., :colours].astype(np.float64) * white
        quotient = np.divide(product, alpha, out=np.zeros_like(product), where=alpha > 0)
        return quotient if is_float else np.floor(np.minimum(quotient, white))

    return _by_rows(divide, samples, colours, samples.dtype)


def as_shown(page: TiffPage, samples: NDArray[Any]) -> Picture:
    """Return samples (H, W, S) as a grey or RGB picture with its scale."""
    kind, count = page.photometric, samples.shape[2]
    decodes_colour = (
        page.compression in JPEG and page.planarconfig == 1 and not page.extrasamples
    )
    missing = float(page.nodata) if NODATA in page.tags else None
    if kind in GREY or (count == 1 and kind != PHOTOMETRIC.PALETTE):
        inverted = kind == PHOTOMETRIC.MINISWHITE
        return _scaled(samples[..., 0], page.bitspersample, inverted=inverted, missing=missing)
    if kind == PHOTOMETRIC.PALETTE and page.colormap is not None:
        return _scaled(_looked_up(samples[..., 0], page.colormap))
    if kind == PHOTOMETRIC.SEPARATED and count >= 4 and samples.dtype.kind == "u":
        return _scaled(_without_ink(samples))
    if count >= 3:
        if kind == PHOTOMETRIC.RGB or (kind == PHOTOMETRIC.YCBCR and decodes_colour):
            return _scaled(samples[..., :3], page.bitspersample, missing=missing)
        if kind == PHOTOMETRIC.YCBCR and samples.dtype == np.uint8:
            return _scaled(_converted(samples[..., :3], "YCbCr"))
    name = getattr(kind, "name", kind)
    raise NotSupported(f"colours of the kind {name} in {count} samples of {samples.dtype}")


def _scaled(
    samples: NDArray[Any], bits: Any = None, *, inverted: bool = False, missing: float | None = None
) -> Picture:
    """Return a picture on the scale of its bits, or on its own range if those are no scale."""
    if samples.dtype.kind not in "bu" or samples.itemsize > 2:
        return on_own_range(samples, inverted=inverted, missing=missing)
    if not isinstance(bits, int):  # each sample has its own, and tifffile brings them to one scale
        bits = 8 * samples.itemsize
    black, white = 0, 2**bits - 1
    return Picture(samples, white, black) if inverted else Picture(samples, black, white)


def _looked_up(indices: NDArray[Any], colours: NDArray[np.uint16]) -> NDArray[Any]:
    """Return the colours that indices stand for; the palette has the shape (3, 2**bits)."""
    if colours.max() < 256:  # written by programs that took its 16 bits for 8
        colours = colours.astype(np.uint8)
    else:
        high, low = colours >> 8, colours & 255
        if not low.any() or np.array_equal(high, low):  # 8 bits, times 256 or times 257
            colours = high.astype(np.uint8)
    table = np.ascontiguousarray(colours.T)
    return _by_rows(lambda rows: table[rows], indices, 3, table.dtype)


def _without_ink(samples: NDArray[Any]) -> NDArray[Any]:
    """Return as RGB what cyan, magenta, yellow and black leave of the light."""
    if samples.dtype == np.uint8:
        return _converted(samples[..., :4], "CMYK")
    white = np.iinfo(samples.dtype).max

    def reflect(rows: NDArray[Any]) -> NDArray[Any]:
        light = (white - rows[..., :4]).astype(np.float64)
        return np.rint(light[..., :3] * light[..., 3:] / white)

    return _by_rows(reflect, samples, 3, samples.dtype)


def _converted(samples: NDArray[np.uint8], mode: str) -> NDArray[np.uint8]:
    """Return 8-bit samples of one of Pillow's modes as RGB."""

    def convert(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        picture = Image.frombytes(mode, (rows.shape[1], rows.shape[0]), rows.tobytes())
        return np.asarray(picture.convert("RGB"))

    return _by_rows(convert, samples, 3, np.dtype(np.uint8))


def _by_rows(
    convert: Callable[[NDArray[Any]], NDArray[Any]],
    samples: NDArray[Any],
    colours: int,
    dtype: np.dtype[Any],
) -> NDArray[Any]:
    """Convert samples (H, W, ...) to (H, W, colours), a few rows at a time to save memory."""
    converted = np.empty((*samples.shape[:2], colours), dtype)
    for first in range(0, len(samples), ROWS):
        converted[first : first + ROWS] = convert(samples[first : first + ROWS])
    return converted
