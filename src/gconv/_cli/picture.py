"""Reading a picture file into the array that the filters take."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

# Pillow has no mode for 16-bit colour and keeps the high byte of each sample. Unpacking the same
# file in the other byte order keeps the low byte: that is where the other half is read from.
_OPPOSITE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_COLOUR_16 = {f"{layout};16{order}" for layout in ("RGB", "RGBA", "RGBX") for order in _OPPOSITE}
_GREY_ALPHA_16 = "LA;16B"


def read_picture(path: Path) -> NDArray[np.float32]:
    """Read a picture as it is meant to be seen, on a scale from 0 (black) to 1 (white).

    Parameters
    ----------
    path : Path
        A file of any kind that Pillow reads. The first frame counts where there are several.

    Returns
    -------
    ndarray of float32, shape (C, H, W)
        C is 1 for a grey picture and 3 for one in colour, palettes and other colour spaces
        included. Turned upright as the EXIF orientation says; alpha is dropped. 16-bit samples
        (grey, and RGB in PNG and TIFF) keep all their bits.

    Raises
    ------
    OSError
        The file cannot be opened.
    ValueError
        It is not a picture, is damaged, or has pixels of more than 16 bits.
    """
    try:
        samples = _samples(path)
    except Image.DecompressionBombError as error:
        raise ValueError(f"too many pixels ({error})") from error
    except UnidentifiedImageError as error:
        raise ValueError("not a picture that Pillow can read") from error
    except (FileNotFoundError, PermissionError, IsADirectoryError, MemoryError):
        raise
    except Exception as error:
        # A damaged file may make Pillow's readers raise nearly anything (SyntaxError, struct.error,
        # IndexError …), and one bad picture must not end the whole run.
        raise ValueError(f"cannot be read: {' '.join(str(error).split())}") from error
    white = np.float32(np.iinfo(samples.dtype).max)
    channels = samples[np.newaxis] if samples.ndim == 2 else samples.transpose(2, 0, 1)
    return np.ascontiguousarray(channels, dtype=np.float32) / white


def _samples(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the samples, uint8 or uint16, of shape (H, W) or (H, W, 3)."""
    with Image.open(path) as image:
        layouts = _layouts(image)
        if layouts == {_GREY_ALPHA_16}:
            # Taken for RGBA, the four bytes of a pixel are grey (high, low) and alpha (high, low).
            _unpack_as(image, "RGBA")
            grey = np.asarray(ImageOps.exif_transpose(image))
            return _join(grey[..., 0], grey[..., 1])
        if layouts and layouts <= _COLOUR_16:
            high = np.asarray(ImageOps.exif_transpose(image))[..., :3]
            with Image.open(path) as again:
                layout = layouts.pop()
                _unpack_as(again, layout[:-1] + _OPPOSITE[layout[-1]])
                low = np.asarray(ImageOps.exif_transpose(again))[..., :3]
            return _join(high, low)
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I;16"):
            return np.asarray(upright).astype(np.uint16)  # in native byte order
        if upright.mode == "I":  # 16-bit PGM arrives as 32-bit integers
            wide = np.asarray(upright)
            if wide.min() >= 0 and wide.max() <= 0xFFFF:
                return wide.astype(np.uint16)
        if upright.mode in ("I", "F"):
            raise ValueError("pixels of 32 bits; 8 or 16 bits are accepted")
        is_grey = upright.mode in ("1", "L", "LA", "La")
        return np.asarray(upright.convert("L" if is_grey else "RGB"))


def _layouts(image: Image.Image) -> set[str]:
    """Return how the file packs its samples, in Pillow's words: ``{"RGB;16B"}``, say."""
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else ()
    return {str(tile.args[0] if isinstance(tile.args, tuple) else tile.args) for tile in tiles}


def _unpack_as(image: ImageFile.ImageFile, layout: str) -> None:
    """Have the file's samples, not loaded yet, unpacked by another layout of the same size."""
    image.tile = [
        tile._replace(args=(layout, *tile.args[1:]) if isinstance(tile.args, tuple) else layout)
        for tile in image.tile
    ]


def _join(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return high.astype(np.uint16) * np.uint16(256) + low
