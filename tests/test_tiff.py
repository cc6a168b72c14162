"""TIFF files are read as they are meant to be seen: every sample format, layout and page."""

from __future__ import annotations

import itertools
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from interpreter import run_python
from PIL import Image

from gconv.__main__ import main
from gconv._cli.picture import find_pages, read_picture

RNG = np.random.default_rng(0)
SIZE = (40, 30)
GREY_16 = RNG.integers(0, 1 << 16, SIZE, dtype=np.uint16)
COLOUR_16 = RNG.integers(0, 1 << 16, (*SIZE, 3), dtype=np.uint16)
COLOUR_8 = COLOUR_16.astype(np.uint8)


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(samples, **options):
    """Write ``a.tif``, without tifffile's own description of it."""
    options.setdefault("photometric", "rgb" if samples.shape[-1] in (3, 4) else "minisblack")
    tifffile.imwrite("a.tif", samples, metadata=None, **options)


def shown(page=1):
    """Read ``a.tif``: (H, W) or (H, W, 3) on the scale from 0 to 1."""
    picture = read_picture(Path("a.tif"), page)
    x = picture.rows(0, picture.shape[1])
    assert x.dtype == np.float32
    return x[0] if len(x) == 1 else x.transpose(1, 2, 0)


def on_own_range(samples):
    samples = samples.astype(np.float64)
    return (samples - samples.min()) / np.ptp(samples)


def files():
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


class TestLayouts:
    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("planar", ["contig", "separate"])
    @pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits", "zstd"])
    def test_colour_of_16_bits_keeps_them(self, compression, planar, order):
        samples = COLOUR_16 if planar == "contig" else COLOUR_16.transpose(2, 0, 1)
        predictors = [False, True] if compression in ("lzw", "zlib") else [False]
        for tile, big, predictor in itertools.product(
            [None, (16, 32)], [False, True], predictors
        ):
            write(
                samples,
                photometric="rgb",
                planarconfig=planar,
                compression=compression,
                byteorder=order,
                tile=tile,
                bigtiff=big,
                predictor=predictor,
            )
            np.testing.assert_array_equal(shown(), COLOUR_16.astype(np.float32) / 65535)

    @pytest.mark.parametrize("rows", [1, 7, 40])
    def test_strips_of_any_height(self, rows):
        write(GREY_16, rowsperstrip=rows, compression="zlib")
        np.testing.assert_array_equal(shown(), GREY_16.astype(np.float32) / 65535)

    @pytest.mark.parametrize("mode", ["L", "RGB", "YCbCr", "CMYK"])
    @pytest.mark.parametrize("compression", ["jpeg", "tiff_lzw", "tiff_adobe_deflate", None])
    def test_what_pillow_writes_is_shown_as_pillow_shows_it(self, compression, mode):
        smooth = Image.fromarray(COLOUR_8[:5, :5]).resize((30, 40), Image.Resampling.BICUBIC)
        smooth.convert(mode).save("a.tif", compression=compression)
        with Image.open("a.tif") as again:
            expected = np.asarray(again.convert("L" if mode == "L" else "RGB")) / 255
        # The decoders of JPEG round YCbCr in their own ways.
        np.testing.assert_allclose(shown(), expected, atol=4 / 255 if mode == "YCbCr" else 1e-6)

    @pytest.mark.parametrize("tile", [None, (32, 32)])
    def test_jpeg_in_strips_and_tiles(self, tile):
        smooth = np.linspace(0, 255, 40 * 30 * 3).reshape(40, 30, 3).astype(np.uint8)
        write(smooth, compression="jpeg", tile=tile)
        np.testing.assert_allclose(shown(), smooth / 255, atol=0.1)


class TestScales:
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    @pytest.mark.parametrize("compression", [None, "lzw"])
    def test_zero_may_be_white(self, compression, dtype):
        samples = GREY_16.astype(dtype)
        write(samples, photometric="miniswhite", compression=compression)
        white = np.iinfo(dtype).max
        np.testing.assert_array_equal(shown(), (white - samples).astype(np.float32) / white)

    @pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
    def test_black_and_white(self, photometric):
        bits = GREY_16 > 20000
        write(bits, photometric=photometric)
        np.testing.assert_array_equal(shown(), bits == (photometric == "minisblack"))

    @pytest.mark.parametrize("bits", [2, 4, 12])
    def test_packed_samples_are_shown_on_the_scale_of_their_bits(self, bits):
        white = (1 << bits) - 1
        samples = (GREY_16 & white).astype(np.uint8 if bits < 8 else np.uint16)
        write_packed(Path("a.tif"), samples, bits)
        np.testing.assert_array_equal(shown(), samples.astype(np.float32) / np.float32(white))

    @pytest.mark.parametrize(
        "dtype", ["i1", "i2", "i4", "i8", "u4", "u8", "f2", "f4", "f8"], ids=np.dtype
    )
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_signed_wide_and_float_samples_are_shown_on_their_own_range(self, order, dtype):
        samples = (GREY_16.astype(np.int64) % 200 - (0 if dtype[0] == "u" else 100)).astype(dtype)
        write(samples, byteorder=order)
        np.testing.assert_allclose(shown(), on_own_range(samples), atol=1e-6)
        write(samples, byteorder=order, photometric="miniswhite")
        np.testing.assert_allclose(shown(), 1 - on_own_range(samples), atol=1e-6)

    @pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_the_channels_of_a_float_picture_share_their_range(self, dtype, compression):
        samples = (COLOUR_16 / 65535 * [1, 2, 3] - 1).astype(dtype)
        write(samples, compression=compression)
        np.testing.assert_allclose(shown(), on_own_range(samples), atol=1e-6)

    def test_nan_is_black_and_infinities_are_the_ends_of_the_range(self):
        samples = RNG.standard_normal(SIZE).astype(np.float32)
        expected = on_own_range(samples[2:])
        samples[:2] = samples[2]
        samples[0, :3] = np.nan, np.inf, -np.inf
        write(samples)
        np.testing.assert_allclose(shown()[2:], expected, atol=1e-6)
        np.testing.assert_array_equal(shown()[0, :3], [0, 1, 0])
        write(samples, photometric="miniswhite")
        np.testing.assert_array_equal(shown()[0, :3], [0, 0, 1])

    def test_the_value_for_no_data_is_no_part_of_the_range(self):
        samples = RNG.integers(0, 100, SIZE).astype(np.int16)
        expected = on_own_range(samples)
        samples[3, 4] = -32768
        expected[3, 4] = 0
        write(samples, extratags=[(42113, 2, 0, "-32768", True)])
        np.testing.assert_allclose(shown(), expected, atol=1e-6)

    @pytest.mark.parametrize("value", [0.0, -3.5, 1e308, 5e-324])
    def test_a_flat_picture_is_black(self, value):
        write(np.full(SIZE, value))
        np.testing.assert_array_equal(shown(), np.zeros(SIZE))

    @pytest.mark.parametrize("step", [5e-324, 2e303])
    def test_a_range_may_be_as_small_or_large_as_float64_has_it(self, step):
        samples = (np.arange(1200).reshape(SIZE) - 600) * step
        write(samples)
        np.testing.assert_allclose(shown(), np.arange(1200).reshape(SIZE) / 1199, atol=1e-6)


def write_packed(path, samples, bits):
    """Write grey samples of fewer bits than a byte or two, each row from a new byte on."""
    rows = []
    for row in samples:
        text = "".join(f"{value:0{bits}b}" for value in row.tolist())
        text += "0" * (-len(text) % 8)
        rows.append(int(text, 2).to_bytes(len(text) // 8, "big"))
    height, width = samples.shape
    content = b"".join(rows)
    entries = [
        (256, width), (257, height), (258, bits), (259, 1), (262, 1), (273, 8), (277, 1),
        (278, height), (279, len(content)),
    ]  # fmt: skip
    directory = len(entries).to_bytes(2, "little")
    for tag, value in entries:
        kind = (4).to_bytes(2, "little") + (1).to_bytes(4, "little")
        directory += tag.to_bytes(2, "little") + kind + value.to_bytes(4, "little")
    start = (8 + len(content)).to_bytes(4, "little")
    path.write_bytes(b"II*\0" + start + content + directory + bytes(4))


class TestColours:
    PALETTE = RNG.integers(0, 256, (3, 256), dtype=np.uint16)

    @pytest.mark.parametrize("factor", [1, 256, 257])
    def test_a_palette_of_8_bits_in_any_of_the_ways_it_is_written(self, factor):
        indices = COLOUR_8[..., 0]
        write(indices, photometric="palette", colormap=self.PALETTE * np.uint16(factor))
        expected = self.PALETTE.T[indices].astype(np.float32) / 255
        np.testing.assert_array_equal(shown(), expected)

    def test_a_palette_of_16_bits_keeps_them(self):
        indices = COLOUR_8[..., 0]
        palette = RNG.integers(0, 1 << 16, (3, 256), dtype=np.uint16)
        write(indices, photometric="palette", colormap=palette)
        np.testing.assert_array_equal(shown(), palette.T[indices].astype(np.float32) / 65535)

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_ink_takes_light_away(self, dtype):
        samples = RNG.integers(0, 1 << 16, (*SIZE, 4), dtype=np.uint16).astype(dtype)
        write(samples, photometric="separated")
        light = 1 - samples / np.iinfo(dtype).max
        step = 1 / np.iinfo(dtype).max
        np.testing.assert_allclose(shown(), light[..., :3] * light[..., 3:], atol=step)

    @pytest.mark.parametrize("planar", ["contig", "separate"])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    @pytest.mark.parametrize(
        "extra", [["unassalpha"], ["unspecified"], ["unassalpha", "unspecified"]]
    )
    def test_extra_samples_are_dropped(self, extra, dtype, planar):
        white = np.float32(np.iinfo(dtype).max)
        for colours, photometric in ((1, "minisblack"), (3, "rgb")):
            shape = (*SIZE, colours + len(extra))
            samples = RNG.integers(0, 1 << 16, shape, dtype=np.uint16).astype(dtype)
            written = samples if planar == "contig" else samples.transpose(2, 0, 1)
            write(written, photometric=photometric, planarconfig=planar, extrasamples=extra)
            expected = samples[..., :colours].astype(np.float32) / white
            np.testing.assert_array_equal(shown(), np.squeeze(expected))

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
    def test_colours_multiplied_by_alpha_are_divided_by_it(self, dtype):
        white = 1 if dtype == np.float32 else np.iinfo(dtype).max
        alpha = RNG.random((*SIZE, 1)) * 0.8 + 0.2
        alpha[:2] = 0
        colours = RNG.random((*SIZE, 3))
        colours[3, :2] = [[0] * 3, [1] * 3]  # so that a picture's own range is 0 to 1
        alpha[3, :2] = 1
        samples = np.concatenate([colours * alpha, alpha], axis=2) * white
        write(samples.astype(dtype), extrasamples=["assocalpha"])
        expected = np.where(alpha > 0, colours, 0)
        np.testing.assert_allclose(shown(), expected, atol=1e-6 if white == 1 else 7 / white)

    @pytest.mark.parametrize("planar", ["contig", "separate"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_the_orientation_is_honoured_as_pillow_does(self, orientation, planar):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(COLOUR_8).save("same.png", exif=exif)
        picture = read_picture(Path("same.png"))
        samples = COLOUR_8 if planar == "contig" else COLOUR_8.transpose(2, 0, 1)
        tag = (274, 3, 1, orientation, True)
        write(samples, photometric="rgb", planarconfig=planar, extratags=[tag])
        expected = picture.rows(0, picture.shape[1]).transpose(1, 2, 0)
        np.testing.assert_array_equal(shown(), expected)


class TestPages:
    @staticmethod
    def write_pages(*pages, name="a.tif", **options):
        with tifffile.TiffWriter(name) as file:
            for samples in pages:
                photometric = "rgb" if samples.ndim == 3 else "minisblack"
                file.write(samples, photometric=photometric, metadata=None, **options)

    def test_each_page_has_its_sheet(self, capsys):
        self.write_pages(COLOUR_8, GREY_16, GREY_16[:20, :20].astype(np.float32))
        assert main(["filter", "a.tif"]) == 0
        assert files() == ["a.page1.gconv.png", "a.page2.gconv.png", "a.page3.gconv.png", "a.tif"]
        out = capsys.readouterr().out
        for page, shape in enumerate([(3, 40, 30), (1, 40, 30), (1, 20, 20)], 1):
            assert f"a.tif, page {page} -> a.page{page}.gconv.png\n  input {shape}" in out

    def test_one_page_is_named_as_any_other_picture(self):
        self.write_pages(GREY_16)
        assert main(["filter", "a.tif", "--page", "1"]) == 0
        assert files() == ["a.gconv.png", "a.tif"]

    def test_page_picks_one(self):
        self.write_pages(*(np.full((9, 9), grey, np.uint8) for grey in (10, 20, 30)))
        assert main(["filter", "a.tif", "--page", "2", "--save", "-o", "sheet.png"]) == 0
        np.testing.assert_allclose(np.load("sheet.npy")[0, 0], 20 / 255, rtol=1e-6)
        assert main(["filter", "a.tif", "--page", "3"]) == 0
        assert files() == ["a.page3.gconv.png", "a.tif", "sheet.npy", "sheet.png"]

    def test_page_picks_one_of_each(self):
        self.write_pages(GREY_16, GREY_16)
        self.write_pages(GREY_16, GREY_16, GREY_16, name="b.tif")
        assert main(["filter", "a.tif", "b.tif", "--page", "2", "-o", "sub"]) == 0
        assert files() == ["a.tif", "b.tif", "sub/a.page2.gconv.png", "sub/b.page2.gconv.png"]

    @pytest.mark.parametrize("page", ["0", "-1", "4", "99999999999999999999"])
    def test_a_page_there_is_not_is_one_line_and_the_others_are_done(self, page, capsys):
        self.write_pages(GREY_16, GREY_16, GREY_16)
        assert main(["filter", "a.tif", f"--page={page}"]) == 2
        line = f"gconv filter: a.tif: there is no page {page}: there are 3 pages\n"
        assert capsys.readouterr().err == line
        assert files() == ["a.tif"]
        self.write_pages(*[GREY_16] * 4, name="b.tif")
        assert main(["filter", "a.tif", "b.tif", "--page", "4"]) == 2
        assert files() == ["a.tif", "b.page4.gconv.png", "b.tif"]

    def test_other_pictures_have_one_page(self, capsys):
        Image.fromarray(COLOUR_8).save("a.png")
        assert main(["filter", "a.png", "--page", "2"]) == 2
        line = "gconv filter: a.png: there is no page 2: there is one page\n"
        assert capsys.readouterr().err == line
        assert main(["filter", "a.png", "--page", "1"]) == 0
        assert files() == ["a.gconv.png", "a.png"]

    def test_o_is_a_directory_for_several_pages(self, capsys):
        self.write_pages(GREY_16, GREY_16)
        assert main(["filter", "a.tif", "-o", "sheet.png"]) == 2
        assert "directory" in capsys.readouterr().err
        assert main(["filter", "a.tif", "-o", "sheets"]) == 0
        assert files() == ["a.tif", "sheets/a.page1.gconv.png", "sheets/a.page2.gconv.png"]

    def test_smaller_copies_and_masks_are_no_pages_unless_they_are_named(self):
        with tifffile.TiffWriter("a.tif") as file:
            smaller, mask = GREY_16[:20, :15], GREY_16 > 9
            for subfiletype, samples in ((0, GREY_16), (1, smaller), (4, mask)):
                file.write(
                    samples, photometric="minisblack", subfiletype=subfiletype, metadata=None
                )
        assert find_pages(Path("a.tif")).chosen == (1,)
        assert main(["filter", "a.tif"]) == 0
        assert main(["filter", "a.tif", "--page", "2"]) == 0
        assert files() == ["a.gconv.png", "a.page2.gconv.png", "a.tif"]

    def test_a_bad_page_is_one_line_and_the_others_are_done(self, capsys):
        self.write_pages(GREY_16, GREY_16[:3], GREY_16)
        assert main(["filter", "a.tif"]) == 2
        line = capsys.readouterr().err
        assert line.startswith("gconv filter: a.tif, page 2: 30 x 3 pixels are too few")
        assert files() == ["a.page1.gconv.png", "a.page3.gconv.png", "a.tif"]

    def test_the_own_range_is_printed(self, capsys):
        self.write_pages(np.linspace(-2, 7.5, 900, dtype=np.float32).reshape(30, 30))
        assert main(["filter", "a.tif"]) == 0
        assert "  samples from -2 to 7.5 are taken for 0 to 1\n" in capsys.readouterr().out


class TestDamage:
    """Always a ValueError; and a run of the command says so in one line and nothing else."""

    @staticmethod
    def damaged():
        """Yield what is wrong with it, and the bytes of a damaged file."""
        for compression, tile in itertools.product([None, "lzw", "zlib", "jpeg"], [None, (16, 16)]):
            write(COLOUR_8, compression=compression, tile=tile, rowsperstrip=8)
            whole = Path("a.tif").read_bytes()
            for sixteenth in range(1, 16):
                yield f"{compression}, {sixteenth}/16", whole[: len(whole) * sixteenth // 16]

    @staticmethod
    def complaint():
        """Read all of ``a.tif``; return what is wrong with it, "" where it can be read."""
        try:
            for page in find_pages(Path("a.tif")).chosen:
                read_picture(Path("a.tif"), page)
        except (ValueError, MemoryError) as error:
            return str(error) or "MemoryError"
        return ""

    def test_a_file_that_is_cut_off(self):
        for what, content in self.damaged():
            Path("a.tif").write_bytes(content)
            assert "cannot be read: " in self.complaint(), what

    @pytest.mark.parametrize("compression", [None, "lzw", "zlib", "jpeg", "zstd"])
    def test_any_byte_may_be_wrong(self, compression):
        """What comes of it may be a picture or an error, but no other exception and no crash."""
        write(COLOUR_8, compression=compression, rowsperstrip=8)
        whole = Path("a.tif").read_bytes()
        rng = np.random.default_rng(3)
        for at in (*range(8), *rng.integers(0, len(whole), 60), *range(8, 240)):
            content = bytearray(whole)
            content[at] ^= 1 << int(rng.integers(8))
            Path("a.tif").write_bytes(content)
            assert "\n" not in self.complaint()

    def test_a_strip_that_is_missing(self):
        write(GREY_16, rowsperstrip=8, compression="zlib")
        with tifffile.TiffFile("a.tif", mode="r+b") as file:
            counts = list(file.pages[0].tags[279].value)
            counts[3] = 0
            file.pages[0].tags[279].overwrite(counts)
        with pytest.raises(ValueError, match="4 of 5 strips or tiles are there"):
            read_picture(Path("a.tif"))

    def test_a_strip_that_is_too_short(self):
        write(GREY_16, rowsperstrip=40, compression="zlib")
        with tifffile.TiffFile("a.tif") as file:
            (at,), (count,) = file.pages[0].dataoffsets, file.pages[0].databytecounts
        content = bytearray(Path("a.tif").read_bytes())
        short = zlib.compress(GREY_16[:10].tobytes())
        content[at : at + count] = short.ljust(count, b"\0")
        Path("a.tif").write_bytes(content)
        with pytest.raises(ValueError, match="cannot be read"):
            read_picture(Path("a.tif"))

    def test_a_list_of_pages_that_leads_nowhere(self):
        TestPages.write_pages(GREY_16, GREY_16)
        with tifffile.TiffFile("a.tif") as file:
            at = file.pages.next_page_offset
        content = bytearray(Path("a.tif").read_bytes())
        content[at : at + 4] = (1 << 30).to_bytes(4, "little")
        Path("a.tif").write_bytes(content)
        with pytest.raises(ValueError, match="breaks off after page 2"):
            find_pages(Path("a.tif"))
        assert find_pages(Path("a.tif"), 2).chosen == (2,)

    def test_a_header_that_claims_too_much_takes_no_memory(self):
        write(GREY_16, compression="zlib")
        with tifffile.TiffFile("a.tif", mode="r+b") as file:
            for tag in (256, 257, 278):
                file.pages[0].tags[tag].overwrite(60000)
        with pytest.raises(ValueError, match="cannot come out of a file of"):
            read_picture(Path("a.tif"))

    def test_the_command_says_one_line_and_nothing_else(self):
        TestPages.write_pages(GREY_16, GREY_16)
        whole = Path("a.tif").read_bytes()
        Path("a.tif").write_bytes(whole[: len(whole) // 2])  # tifffile would log that, too
        Image.fromarray(COLOUR_8).save("b.tif")
        done = run_python("-W", "default", "-m", "gconv", "filter", "a.tif", "b.tif")
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith("gconv filter: a.tif: cannot be read: ")
        assert "b.tif -> b.gconv.png" in done.stdout


class TestWithoutTheLibraries:
    def test_without_tifffile_one_line_names_the_extra(self):
        write(GREY_16)
        Image.fromarray(COLOUR_8).save("b.png")
        done = run_python(
            "-c",
            "import sys; sys.modules['tifffile'] = None; from gconv.__main__ import main; "
            "sys.exit(main(['filter', 'a.tif', 'b.png']))",
        )
        assert done.returncode == 2
        expected = "gconv filter: a.tif: needs tifffile, part of the extra gconv[cli]"
        assert done.stderr.splitlines() == [expected]
        assert files() == ["a.tif", "b.gconv.png", "b.png"]
