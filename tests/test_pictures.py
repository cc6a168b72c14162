"""A picture arrives as it is meant to be seen: scale, depth, colour, alpha, orientation."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gconv._cli.picture import read_picture

RNG = np.random.default_rng(0)
COLOUR_8 = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY_16 = RNG.integers(0, 1 << 16, (5, 7), dtype=np.uint16)
COLOUR_16 = RNG.integers(0, 1 << 16, (5, 7, 3), dtype=np.uint16)
ALPHA_16 = RNG.integers(0, 1 << 16, (5, 7, 1), dtype=np.uint16)
UPRIGHT = {  # EXIF orientation: what makes it upright, on (H, W, ...)
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def expect(path, samples):
    """Read a picture back and compare it with its samples, (H, W) or (H, W, 3), to the bit."""
    x = read_picture(path)
    planes = samples[np.newaxis] if samples.ndim == 2 else samples.transpose(2, 0, 1)
    white = np.float32(np.iinfo(samples.dtype).max)
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    np.testing.assert_array_equal(x, planes.astype(np.float32) / white)


def write_png_16(path, samples, colour_type, *, orientation=None):
    """Write a 16-bit PNG, which Pillow does for grey only; samples are (H, W, C)."""

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    height, width, _ = samples.shape
    rows = samples.astype(">u2").reshape(height, -1)
    content = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    if orientation:
        exif = Image.Exif()
        exif[0x0112] = orientation
        content += chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    content += chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content + chunk(b"IEND", b""))


def write_tiff_16(path, samples, order):
    """Write an uncompressed 16-bit RGB TIFF in the byte order "<" or ">"."""
    height, width, channels = samples.shape
    content = samples.astype(f"{order}u2").tobytes()
    entries = [  # tag, type (3: 16 bits, 4: 32 bits), values
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [16] * channels),
        (259, 3, [1]),
        (262, 3, [2]),
        (273, 4, [8]),
        (277, 3, [channels]),
        (278, 4, [height]),
        (279, 4, [len(content)]),
    ]
    directory_at = 8 + len(content)
    bits_at = directory_at + 2 + 12 * len(entries) + 4
    directory = struct.pack(f"{order}H", len(entries))
    for tag, kind, values in entries:
        value = struct.pack(f"{order}{'HI'[kind - 3]}", values[0]).ljust(4, b"\0")
        if len(values) > 1:
            value = struct.pack(f"{order}I", bits_at)
        directory += struct.pack(f"{order}HHI", tag, kind, len(values)) + value
    mark = b"II" if order == "<" else b"MM"
    path.write_bytes(
        mark
        + struct.pack(f"{order}HI", 42, directory_at)
        + content
        + directory
        + struct.pack(f"{order}I{channels}H", 0, *[16] * channels)
    )


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "ppm", "webp"])
def test_colour_of_8_bits(suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(COLOUR_8).save(path, **options)
    expect(path, COLOUR_8)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_grey_of_8_bits(suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(COLOUR_8[..., 0]).save(path)
    expect(path, COLOUR_8[..., 0])


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_grey_of_16_bits_keeps_them(suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(GREY_16).save(path)
    expect(path, GREY_16)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate"])
def test_compressed_grey_tiff_of_16_bits_keeps_them(compression, tmp_path):
    Image.fromarray(GREY_16).save(tmp_path / "a.tif", compression=compression)
    expect(tmp_path / "a.tif", GREY_16)


def test_colour_png_of_16_bits_keeps_them(tmp_path):
    write_png_16(tmp_path / "a.png", COLOUR_16, colour_type=2)
    expect(tmp_path / "a.png", COLOUR_16)


@pytest.mark.parametrize("order", ["<", ">"])
def test_colour_tiff_of_16_bits_keeps_them(order, tmp_path):
    write_tiff_16(tmp_path / "a.tif", COLOUR_16, order)
    expect(tmp_path / "a.tif", COLOUR_16)


def test_alpha_of_16_bits_is_dropped(tmp_path):
    write_png_16(tmp_path / "a.png", np.concatenate([COLOUR_16, ALPHA_16], 2), colour_type=6)
    expect(tmp_path / "a.png", COLOUR_16)
    write_png_16(tmp_path / "b.png", np.stack([GREY_16, ALPHA_16[..., 0]], 2), colour_type=4)
    expect(tmp_path / "b.png", GREY_16)


def test_alpha_is_dropped_and_what_lies_under_it_kept(tmp_path):
    alpha = np.zeros((5, 7, 1), np.uint8)
    Image.fromarray(np.concatenate([COLOUR_8, alpha], 2)).save(tmp_path / "a.png")
    expect(tmp_path / "a.png", COLOUR_8)
    grey = Image.merge("LA", [Image.fromarray(COLOUR_8[..., 0]), Image.new("L", (7, 5))])
    grey.save(tmp_path / "b.png")
    expect(tmp_path / "b.png", COLOUR_8[..., 0])


@pytest.mark.parametrize("transparency", [None, 1])
@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_palette_is_looked_up(suffix, transparency, tmp_path):
    path = tmp_path / f"a.{suffix}"
    picture = Image.fromarray(COLOUR_8).quantize(4)
    options = {} if transparency is None else {"transparency": transparency}
    picture.save(path, **options)
    expect(path, np.asarray(picture.convert("RGB")))


def test_black_and_white_is_grey(tmp_path):
    bits = COLOUR_8[..., 0] > 127
    Image.fromarray(bits).save(tmp_path / "a.png")
    expect(tmp_path / "a.png", bits.astype(np.uint8) * np.uint8(255))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_other_colour_spaces_become_rgb(mode, tmp_path):
    picture = Image.fromarray(COLOUR_8).convert(mode)
    picture.save(tmp_path / "a.tif")
    expect(tmp_path / "a.tif", np.asarray(picture.convert("RGB")))


def test_the_first_of_several_frames_counts(tmp_path):
    frames = [Image.fromarray(COLOUR_8), Image.fromarray(255 - COLOUR_8)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    expect(tmp_path / "a.tif", COLOUR_8)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_honoured(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = UPRIGHT[orientation]
    for samples in (COLOUR_8, COLOUR_8[..., 0], GREY_16):
        Image.fromarray(samples).save(tmp_path / "a.png", exif=exif)
        expect(tmp_path / "a.png", turned(samples))
    write_png_16(tmp_path / "b.png", COLOUR_16, colour_type=2, orientation=orientation)
    expect(tmp_path / "b.png", turned(COLOUR_16))
    grey = np.stack([GREY_16, ALPHA_16[..., 0]], 2)
    write_png_16(tmp_path / "c.png", grey, colour_type=4, orientation=orientation)
    expect(tmp_path / "c.png", turned(GREY_16))


def test_the_orientation_of_a_jpeg(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOUR_8).save(tmp_path / "a.jpg", exif=exif)
    assert read_picture(tmp_path / "a.jpg").shape == (3, 7, 5)
