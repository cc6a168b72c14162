"""A picture arrives as it is meant to be seen: scale, depth, colour, alpha, orientation.

This is about every kind but TIFF beyond what Pillow writes, which test_tiff.py is about.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gconv._cli.picture import find_pages, read_picture

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
    picture = read_picture(path)
    x = picture.rows(0, picture.shape[1])
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


def test_rows_are_those_of_the_whole_picture(tmp_path):
    Image.fromarray(COLOUR_8).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    whole = picture.rows(0, 5)
    for first, last in ((0, 2), (2, 3), (1, 5)):
        np.testing.assert_array_equal(picture.rows(first, last), whole[:, first:last])


def test_float_pixels_are_shown_on_their_own_range(tmp_path):
    samples = RNG.standard_normal((5, 7)).astype(np.float32)
    Image.fromarray(samples).save(tmp_path / "a.pfm")
    picture = read_picture(tmp_path / "a.pfm")
    expected = (samples - samples.min()) / np.ptp(samples)
    np.testing.assert_allclose(picture.rows(0, 5)[0], expected, atol=1e-6)


# ---- PNG that ends early, though cleanly


def cut_png(path, picture, rows, *, interlaced=False, spoil_checksum=False):
    """Write a PNG whose picture data holds some rows of those that its header names.

    Where it is interlaced, `rows` is None for all of the data, which is zeros, or -1 for all but
    the last byte.
    """
    picture.save(path)
    content = path.read_bytes()
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    header = dict(chunks)[b"IHDR"][:12] + bytes([interlaced])
    data = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    if interlaced:
        data = bytes(adam7_bytes(*picture.size, 3))[:rows]
    else:
        data = data[: rows * len(data) // picture.height]
    data = zlib.compress(data)
    if spoil_checksum:
        data = data[:-1] + bytes([data[-1] ^ 1])
    rest = [(kind, body) for kind, body in chunks if kind not in (b"IHDR", b"IDAT", b"IEND")]
    written = content[:8]
    for kind, body in [(b"IHDR", header), *rest, (b"IDAT", data), (b"IEND", b"")]:
        check = zlib.crc32(kind + body)
        written += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)
    path.write_bytes(written)


def adam7_bytes(width, height, bytes_per_pixel):
    """Count the bytes of an interlaced picture by asking of each pixel which pass it is in."""
    pattern = "1646264677777777565656567777777736463646777777775656565677777777"
    passes = {}
    for y in range(height):
        for x in range(width):
            rows = passes.setdefault(pattern[y % 8 * 8 + x % 8], {})
            rows[y] = rows.get(y, 1) + bytes_per_pixel
    return sum(sum(rows.values()) for rows in passes.values())


@pytest.mark.parametrize("rows", [0, 1, 50, 89])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA", "I;16"])
def test_a_png_that_ends_cleanly_after_some_rows_is_damaged(mode, rows, tmp_path):
    noise = RNG.integers(0, 256, (90, 31, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    if mode == "I;16":
        picture = Image.fromarray(noise[..., 0].astype(np.uint16) * np.uint16(257))
    elif mode != "RGB":
        picture = picture.quantize(256) if mode == "P" else picture.convert(mode)
    path = tmp_path / "a.png"
    cut_png(path, picture, rows)
    with pytest.raises(ValueError, match=r"cannot be read: .*(ends after|truncated)"):
        read_picture(path)
    cut_png(path, picture, 90)
    assert read_picture(path).shape[1:] == (90, 31)


def test_a_png_of_black_rows_is_whole(tmp_path):
    Image.fromarray(np.zeros((90, 31, 3), np.uint8)).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").shape == (3, 90, 31)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (5, 5), (8, 8), (17, 9), (1, 40), (40, 1)])
def test_an_interlaced_png_is_counted_pass_by_pass(size, tmp_path):
    width, height = size
    path = tmp_path / "a.png"
    cut_png(path, Image.new("RGB", size), None, interlaced=True)
    assert read_picture(path).shape == (3, height, width)
    cut_png(path, Image.new("RGB", size), -1, interlaced=True)
    with pytest.raises(ValueError, match="cannot be read"):
        read_picture(path)


def test_damaged_picture_data_is_an_error_even_where_all_rows_came_out(tmp_path):
    """The checksum at the end of the picture data is wrong; Pillow does not look at it."""
    path = tmp_path / "a.png"
    cut_png(path, Image.fromarray(COLOUR_8), 5, spoil_checksum=True)
    with pytest.raises(ValueError, match="cannot be read"):
        read_picture(path)


# ---- warnings


@pytest.mark.parametrize(
    ("suffix", "transparency"), [("png", bytes([0, 100, 200, 255])), ("png", 2), ("gif", 2)]
)
def test_transparency_of_a_palette_warns_of_nothing(suffix, transparency, tmp_path, recwarn):
    picture = Image.fromarray(COLOUR_8).quantize(4)
    path = tmp_path / f"a.{suffix}"
    picture.save(path, transparency=transparency)
    expect(path, np.asarray(picture.convert("RGB")))
    assert not recwarn.list


def test_a_picture_of_many_pixels_warns_of_nothing(tmp_path, recwarn, monkeypatch):
    """Pillow warns from 89 megapixels on, and refuses twice as many."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    Image.fromarray(COLOUR_8).save(tmp_path / "a.png")
    expect(tmp_path / "a.png", COLOUR_8)
    assert not recwarn.list


# ---- frames


def test_a_page_of_another_kind_of_file_is_a_frame(tmp_path):
    frames = [Image.fromarray(np.full((9, 9), grey, np.uint8)) for grey in (10, 100, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert find_pages(tmp_path / "a.gif").chosen == (1,)
    for page, grey in enumerate((10, 100, 200), 1):
        assert find_pages(tmp_path / "a.gif", page).chosen == (page,)
        x = read_picture(tmp_path / "a.gif", page).rows(0, 9)
        np.testing.assert_allclose(x, grey / 255, atol=1e-6)
