"""Pictures of every kind but TIFF, by Pillow."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from gconv._cli.picture import NotSupported, Picture, on_own_range
from gconv._cli.png import check_rows

# Pillow has no mode for 16-bit colour and keeps the high byte of each sample. Unpacking the same
# file in the other byte order keeps the low byte: that is where the other half is read from.
_OPPOSITE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_COLOUR_16 = {f"{layout};16{order}" for layout in ("RGB", "RGBA", "RGBX") for order in _OPPOSITE}
_GREY_ALPHA_16 = "LA;16B"


def count_frames(path: Path) -> int:
    """Return how many frames a file has."""
    with _opened(path) as image:
        return int(getattr(image, "n_frames", 1))


def read_frame(path: Path, number: int) -> Picture:
    """Return one frame, counted from 1, as `gconv._cli.picture.read_picture` does."""
    with _opened(path) as image:
        if number > 1:
            image.seek(number - 1)
        samples: NDArray[Any] | None = _samples_of_16_bits(image, path)
        if samples is None:
            samples = _samples(image)
        is_png = image.format == "PNG" and number == 1
    if is_png:
        check_rows(path)
    if samples.dtype.kind != "u":
        return on_own_range(samples)
    return Picture(samples, 0, np.iinfo(samples.dtype).max)


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    try:
        with Image.open(path) as image:
            yield image
    except Image.DecompressionBombError as error:
        raise NotSupported(f"too many pixels ({error})") from error
    except UnidentifiedImageError as error:
        raise NotSupported("not a picture that Pillow or tifffile can read") from error


def _samples(image: ImageFile.ImageFile) -> NDArray[Any]:
    """Return an image's samples, of shape (H, W) or (H, W, 3), turned upright."""
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)  # in native byte order
    if image.mode == "I" and image.format == "PPM":  # 16 bits arrive as 32
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("I", "F"):
        return np.asarray(image)
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    return np.asarray(image if image.mode == mode else image.convert(mode))


def _samples_of_16_bits(image: ImageFile.ImageFile, path: Path) -> NDArray[np.uint16] | None:
    """Return the samples of a picture whose 16 bits Pillow would cut, turned upright."""
    layouts = _layouts(image)
    if layouts == {_GREY_ALPHA_16}:
        # Taken for RGBA, the four bytes of a pixel are grey (high, low) and alpha (high, low).
        _unpack_as(image, "RGBA")
        grey = _samples(image)
        return _join(grey[..., 0], grey[..., 1])
    if layouts and layouts <= _COLOUR_16:
        high = _samples(image)
        with Image.open(path) as again:
            layout = layouts.pop()
            _unpack_as(again, layout[:-1] + _OPPOSITE[layout[-1]])
            return _join(high, _samples(again))
    return None


def _layouts(image: ImageFile.ImageFile) -> set[str]:
    """Return how the file packs its samples, in Pillow's words: ``{"RGB;16B"}``, say."""
    return {
        str(tile.args[0] if isinstance(tile.args, tuple) else tile.args) for tile in image.tile
    }


def _unpack_as(image: ImageFile.ImageFile, layout: str) -> None:
    """Have the file's samples, not loaded yet, unpacked by another layout of the same size."""
    image.tile = [
        tile._replace(args=(layout, *tile.args[1:]) if isinstance(tile.args, tuple) else layout)
        for tile in image.tile
    ]


def _join(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint16]:
    samples = high.astype(np.uint16)
    samples *= np.uint16(256)
    samples += low
    return samples
