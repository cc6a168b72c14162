"""Stacks in TIFF files: OME-TIFF, ImageJ's and others that describe axes, and plain pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconv._cli.picture import NotSupported, one_kind_of_error, upright
from gconv._cli.stack.source import Form, Reader, as_planes, distinct, has_scale
from gconv._cli.tiff import (
    GREY,
    JPEG,
    MASK,
    ORIENTATION,
    SMALLER,
    as_shown,
    check_kind,
    check_whole,
    find_pages,
    opened,
    page_of,
    without_association,
)

try:
    from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC, TiffFile, TiffPage
except ImportError as error:
    raise ImportError("needs tifffile, part of the extra gconv[cli]") from error

STRIP_OFFSETS = 273  # the number of a tag
ALPHA = (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)

#: Those whose decoder wants the tables that a page's strips or tiles share.
JPEG_KINDS = (*JPEG, COMPRESSION.JPEG_LOSSY, COMPRESSION.ALT_JPEG)

#: What tifffile calls files whose pages say nothing of axes.
PLAIN = ("generic", "uniform")


@dataclass(frozen=True)
class TiffReader:
    """A page of a TIFF file.

    Attributes
    ----------
    path : str or None
        Its file; None for a page that is described but is in no file.
    directory : int
        Where in the file its tags are.
    data : int or None
        Where its samples are, if its tags do not say so: many writers describe the first page
        alone, and the others follow it.
    shape : tuple of int
        Channels, height and width that the stack's pages have.
    """

    path: str | None
    directory: int
    data: int | None
    shape: tuple[int, int, int]

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        """Return rows, as `gconv._cli.stack.source.Reader` says."""
        if self.path is None:
            raise NotSupported("the file does not have it")
        with one_kind_of_error(), TiffFile(self.path) as file:
            page = _page_at(file, self.directory)
            planes = _planes(page, _rows(page, first, last, self.data))
        expected = (self.shape[0], last - first, self.shape[2])
        if planes.shape != expected:
            raise NotSupported(f"it has the shape {planes.shape} where {expected} is expected")
        return planes[np.newaxis]

    def only(self, index: int) -> Reader:
        """Return itself: it has one page."""
        assert index == 0
        return self


@dataclass(frozen=True)
class TiffSource:
    """A TIFF file as a stack; the attributes are those of `gconv._cli.stack.source.Source`."""

    path: Path
    form: Form
    in_bands: bool
    readers: tuple[TiffReader, ...]

    @property
    def together(self) -> tuple[int, ...]:
        """One page at a time."""
        return (1,) * len(self.form.pages)

    def reader(self, corner: Sequence[int], extent: Sequence[int]) -> Reader:
        """Return the reader of one page."""
        assert prod(extent) == 1, "a page of a TIFF file is read by itself"
        return self.readers[int(np.ravel_multi_index(corner, self.form.pages)) if corner else 0]

    def files(self) -> Iterable[Path]:
        """Return the files that have pages; OME-TIFF may refer to others."""
        others = (Path(reader.path) for reader in self.readers if reader.path)
        return {self.path.absolute(), *others}

    @staticmethod
    def open(path: Path) -> TiffSource:
        """Find the pages of a file."""
        path_ = path.absolute()
        with opened(path_) as file:
            images = [
                series
                for series in file.series
                if not series.keyframe.subfiletype & (SMALLER | MASK)
            ]
            if len(images) == 1 and images[0].kind not in PLAIN:
                return _from_series(path, file, images[0])
        return _from_pages(path, path_)


def _from_series(path: Path, file: TiffFile, series: Any) -> TiffSource:
    """Return the stack that the file's metadata describe."""
    first = series.keyframe
    check_kind(first)
    inner = len(first.shape)
    pages = series.shape[:-inner]
    # Where all pages follow each other as they are, their file may describe the first one alone.
    begin = None if series.is_multifile else series.dataoffset
    count = len(series) if begin is None else prod(pages)
    if series.shape[-inner:] != first.shape or prod(pages) != count or series.transform:
        raise NotSupported(f"pages {first.shape} in an image {series.shape}")
    channels, dtype = _shown(first)
    form = Form(_names(series.axes[:-inner]), pages, channels, *_size(first), dtype)
    shape = (channels or 1, form.height, form.width)
    if begin is not None:
        here = str(path.absolute())
        readers = [
            TiffReader(here, first.offset, begin + number * first.nbytes, shape)
            for number in range(form.count)
        ]
    else:
        readers = [
            TiffReader(None, 0, None, shape)
            if page is None
            else TiffReader(str(_file_of(page)), page.offset, None, shape)
            for page in series
        ]
    return TiffSource(path, form, _comes_in_bands(first), tuple(readers))


def _from_pages(path: Path, absolute: Path) -> TiffSource:
    """Return the stack of all pages that are no smaller copies or masks."""
    numbers = find_pages(absolute, None).chosen
    readers = []
    form, in_bands = None, True
    with opened(absolute) as file:
        for number in numbers:
            page = page_of(file, number)
            check_kind(page)
            channels, dtype = _shown(page)
            one = Form(("page",), (len(numbers),), channels, *_size(page), dtype)
            form = form or one
            if one != form:
                raise NotSupported(
                    f"its pages differ: page {numbers[0]} is {form.shape[1:]} {form.dtype}, "
                    f"page {number} is {one.shape[1:]} {one.dtype}"
                )
            in_bands &= _comes_in_bands(page)
            shape = (channels or 1, form.height, form.width)
            readers.append(TiffReader(str(absolute), page.offset, None, shape))
    assert form is not None, "tifffile opens no file without a page"
    return TiffSource(path, form, in_bands, tuple(readers))


def _page_at(file: TiffFile, directory: int) -> TiffPage:
    """Return the page whose tags are there, without a look at the pages before it."""
    file.filehandle.seek(directory)
    page = TiffPage(file, 0)
    check_kind(page)
    return page


def _file_of(page: Any) -> Path:
    handle = page.parent.filehandle
    return Path(handle.path).absolute()


def _names(letters: str) -> tuple[str, ...]:
    """Return names of axes; tifffile calls those that it knows nothing of Q and I."""
    return distinct(["page" if letter in "QI" else letter.lower() for letter in letters])


def _dtype(page: TiffPage) -> np.dtype[Any]:
    assert page.dtype is not None, "check_kind has looked at it"
    return page.dtype


def _turned(page: TiffPage) -> int:
    return int(page.tags.valueof(ORIENTATION, 1))


def _size(page: TiffPage) -> tuple[int, int]:
    """Return height and width of a page that stands upright."""
    size = page.imagelength, page.imagewidth
    return (size[1], size[0]) if _turned(page) in (5, 6, 7, 8) else size


def _shown(page: TiffPage) -> tuple[int | None, str]:
    """Return channels and dtype of the planes that a page gives."""
    pixel = np.zeros((1, 1, page.samplesperpixel), page.dtype)
    count = len(_planes(page, pixel))
    return (None if count == 1 else count), _dtype(page).name


def _channels(page: TiffPage) -> int:
    """Return how many samples of a pixel are not alpha."""
    return int(page.samplesperpixel - sum(kind in ALPHA for kind in page.extrasamples))


def _planes(page: TiffPage, samples: NDArray[Any]) -> NDArray[np.float32]:
    """Bring samples (rows, W, S) to planes (C, rows, W), in the colours in which they are shown."""
    channels = _channels(page)
    on_scale = has_scale(_dtype(page))
    samples = without_association(page, samples)
    if page.photometric in GREY or (channels == 1 and page.photometric != PHOTOMETRIC.PALETTE):
        # Samples that the file gives no meaning are channels, as microscopes write them.
        channel = [_grey(page, samples[..., c : c + 1], on_scale) for c in range(channels)]
        return np.concatenate(channel)
    if on_scale:
        picture = as_shown(page, samples)
        return picture.rows(0, len(samples))
    if page.photometric != PHOTOMETRIC.RGB:
        name = getattr(page.photometric, "name", page.photometric)
        raise NotSupported(f"colours of the kind {name} in samples of {samples.dtype}")
    return np.ascontiguousarray(as_planes(samples[..., :3]).transpose(2, 0, 1))


def _grey(page: TiffPage, samples: NDArray[Any], on_scale: bool) -> NDArray[np.float32]:
    """Return samples (rows, W, 1) as one plane."""
    if on_scale:
        return as_shown(page, samples).rows(0, len(samples))
    return as_planes(samples[..., 0])[np.newaxis]


def _has_whole(page: TiffPage) -> bool:
    """Whether tifffile decodes a page as a whole only."""
    striped = STRIP_OFFSETS in page.tags
    return bool(
        (page.is_contiguous and not page.is_final)
        or (page.jpegheader is not None and striped and page.is_tiled)  # a slide's single JPEG
    )


def _comes_in_bands(page: TiffPage) -> bool:
    """Whether a few rows of a page can be read without the others."""
    if _turned(page) != 1 or _has_whole(page):
        return False
    rows = page.tilelength if page.is_tiled else page.rowsperstrip
    return bool(page.is_final or rows < page.imagelength)


def _rows(page: TiffPage, first: int, last: int, data: int | None) -> NDArray[Any]:
    """Return rows ``first`` to ``last - 1`` of the upright page as samples (rows, W, S)."""
    size = page.parent.filehandle.size
    if data is None:
        check_whole(page, size)
    elif data + page.nbytes > size:
        raise NotSupported("the file is truncated")
    turned = _turned(page)
    if turned != 1:
        return upright(_stored_rows(page, 0, page.imagelength, data), turned)[first:last]
    return _stored_rows(page, first, last, data)


def _stored_rows(page: TiffPage, first: int, last: int, data: int | None) -> NDArray[Any]:
    """Return rows as the file has them."""
    if _has_whole(page):
        whole = page.asarray()
        if page.axes == "SYX":
            whole = whole.transpose(1, 2, 0)
        return np.atleast_3d(whole)[first:last]
    if page.is_final:
        rows = _raw_rows(page, first, last, page.dataoffsets[0] if data is None else data)
    else:
        rows = _decoded_rows(page, first, last)
    in_order: NDArray[Any] = rows[0] if len(rows) == 1 else rows[..., 0].transpose(1, 2, 0)
    return in_order


def _raw_rows(page: TiffPage, first: int, last: int, data: int) -> NDArray[Any]:
    """Read rows that lie in the file as they are: (planes, rows, W, S)."""
    planes, _, height, width, samples = page.shaped
    dtype = _dtype(page).newbyteorder(page.parent.byteorder)
    row = width * samples * dtype.itemsize
    rows = np.empty((planes, last - first, width, samples), dtype)
    for plane in range(planes):
        page.parent.filehandle.seek(data + (plane * height + first) * row)
        content = page.parent.filehandle.read((last - first) * row)
        if len(content) < (last - first) * row:
            raise NotSupported("the file is truncated")
        rows[plane] = np.frombuffer(content, dtype).reshape(rows.shape[1:])
    return rows


def _decoded_rows(page: TiffPage, first: int, last: int) -> NDArray[Any]:
    """Decode the strips or tiles that have a share in rows: (planes, rows, W, S)."""
    planes, _, height, width, samples = page.shaped
    part_height = page.tilelength if page.is_tiled else page.rowsperstrip
    part_width = page.tilewidth if page.is_tiled else width
    down, across = ceil(height / part_height), ceil(width / part_width)
    wanted = [
        (plane * down + y) * across + x
        for plane in range(planes)
        for y in range(first // part_height, ceil(last / part_height))
        for x in range(across)
    ]
    options: dict[str, Any] = {"_fullsize": False}
    if page.compression in JPEG_KINDS:
        options |= {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
    rows = np.full((planes, last - first, width, samples), page.nodata, _dtype(page))
    parts = page.parent.filehandle.read_segments(
        [page.dataoffsets[index] for index in wanted],
        [page.databytecounts[index] for index in wanted],
        wanted,
    )
    for content, index in parts:
        part, (plane, _, y, x, _), _ = page.decode(content, index, **options)
        if part is None:  # GDAL leaves empty tiles out
            continue
        top, bottom = max(y, first), min(y + part.shape[1], last)
        right = min(x + part.shape[2], width)
        rows[plane, top - first : bottom - first, x:right] = part[
            0, top - y : bottom - y, : right - x
        ]
    return rows
