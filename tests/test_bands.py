"""A picture in bands gives what it gives whole, and takes the memory of a band."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile
from interpreter import printed
from PIL import Image

import gconv
from gconv._cli import bands
from gconv._cli.bands import filter_in_bands
from gconv._cli.kernels import Bank, named_bank
from gconv._cli.picture import Picture
from gconv._cli.thumbnails import Thumbnails

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def noise(height, width, channels=3, dtype=np.uint8):
    shape = (height, width) if channels == 1 else (height, width, channels)
    samples = RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    return Picture(samples, 0, np.iinfo(dtype).max)


class TestBands:
    @pytest.mark.parametrize("rows", [1, 2, 7, 50, 53, 54, 1000])
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("kernel", [(7, 7), (1, 1), (2, 5), (60, 3)])
    def test_any_number_of_rows_gives_the_same(self, kernel, channels, rows, monkeypatch):
        picture = noise(60, 70, channels)
        kernels = RNG.standard_normal((4, *kernel)).astype(np.float32)
        bank = Bank(kernels, tuple("abcd"))
        whole = filter_in_bands(picture, bank, save=Path("whole.npy"))
        assert whole.bands == 1
        of_row = channels * 4 * (70 - kernel[1] + 1) * 4
        monkeypatch.setattr(bands, "ONE_BAND_BYTES", 0)
        monkeypatch.setattr(bands, "BAND_BYTES", rows * of_row)
        told = []
        banded = filter_in_bands(
            picture, bank, save=Path("a.npy"), on_band=lambda *numbers: told.append(numbers)
        )
        assert banded.bands == -(-(60 - kernel[0] + 1) // rows)
        assert told == [(done, banded.bands) for done in range(banded.bands + 1)]
        assert banded.shape == whole.shape == np.load("a.npy").shape
        expected = gconv.filter_bank(picture.rows(0, 60), kernels)
        bound = 60 * 7 * np.finfo(np.float32).eps * np.abs(kernels).sum(axis=(1, 2)).max()
        np.testing.assert_allclose(np.load("whole.npy"), expected, atol=bound)
        np.testing.assert_allclose(np.load("a.npy"), expected, atol=bound)
        np.testing.assert_allclose(banded.original, whole.original, atol=1e-5)
        np.testing.assert_allclose(banded.responses, whole.responses, atol=2 * bound)

    def test_a_row_too_large_for_a_band_is_a_band(self, monkeypatch):
        monkeypatch.setattr(bands, "ONE_BAND_BYTES", 0)
        monkeypatch.setattr(bands, "BAND_BYTES", 1)
        assert filter_in_bands(noise(20, 30), named_bank()).bands == 14

    def test_the_loop_and_the_grouped_call_are_both_timed(self):
        done = filter_in_bands(noise(20, 30), named_bank())
        for timing in (done.grouped, done.looped):
            assert timing.seconds > 0
            assert timing.repetitions == bands.REPETITIONS_MOST

    def test_responses_are_saved_as_numpy_saves_them(self):
        done = filter_in_bands(noise(20, 30), named_bank(), save=Path("a.npy"))
        np.save("b.npy", np.load("a.npy"))
        assert Path("a.npy").read_bytes() == Path("b.npy").read_bytes()
        assert np.load("a.npy").shape == done.shape


class TestThumbnails:
    @pytest.mark.parametrize("steps", [[], [1], [10, 11, 40], [45], range(1, 90)])
    @pytest.mark.parametrize("box", [(33, 40), (80, 90), (1, 1), (79, 1), (1, 89)])
    def test_they_are_what_pillow_makes_of_the_whole(self, box, steps):
        planes = RNG.standard_normal((2, 90, 80)).astype(np.float32)
        thumbnails = Thumbnails(2, (80, 90), box)
        for first, last in pairwise([0, *steps, 90]):
            thumbnails.add(planes[:, first:last])
        for plane, reduced in zip(planes, thumbnails.reduced(), strict=True):
            whole = Image.fromarray(plane).resize(box, Image.Resampling.LANCZOS)
            np.testing.assert_allclose(reduced, np.asarray(whole), atol=1e-5)

    @pytest.mark.parametrize("box", [(9, 7), (18, 21), (20, 30), (130, 100)])
    def test_pixels_are_repeated_where_they_grow(self, box):
        planes = RNG.standard_normal((3, 7, 9)).astype(np.float32)
        thumbnails = Thumbnails(3, (9, 7), box)
        for row in range(7):
            thumbnails.add(planes[:, row : row + 1])
        for plane, grown in zip(planes, thumbnails.reduced(), strict=True):
            whole = Image.fromarray(plane).resize(box, Image.Resampling.NEAREST)
            np.testing.assert_array_equal(grown, np.asarray(whole))

    def test_a_flat_plane_stays_flat(self):
        thumbnails = Thumbnails(1, (1000, 900), (156, 140))
        for _ in range(9):
            thumbnails.add(np.full((1, 100, 1000), 0.7, np.float32))
        np.testing.assert_allclose(thumbnails.reduced(), 0.7, rtol=1e-5)


#: Prints by how many bytes a picture raises the most memory that the process ever had.
MEASURE = """
import resource, sys
from gconv.__main__ import main

def peak():
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024)

first, *others = sys.argv[1:]
main(["filter", first, "-o", "first.png"])
before = peak()
assert main(["filter", *others]) == 0
print("peak:", peak() - before)
"""


class TestMemory:
    @staticmethod
    def peak(*arguments):
        Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save("first-of-all.png")
        out = printed("-c", MEASURE, "first-of-all.png", *arguments, timeout=300)
        return int(out.splitlines()[-1].removeprefix("peak: "))

    @pytest.mark.parametrize("options", [[], ["--save"]])
    def test_at_most_24_bytes_for_each_pixel_beyond_the_picture(self, options):
        height, width = 2000, 3000
        samples = np.zeros((height, width, 3), np.uint8)
        samples[::3, ::2] = 200
        Image.fromarray(samples).save("a.png")
        assert self.peak("a.png", *options) <= samples.nbytes + 24 * height * width

    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
    @pytest.mark.parametrize("options", [{}, {"compression": "zlib", "byteorder": ">"}])
    def test_a_tiff_takes_no_more(self, options, dtype):
        samples = np.zeros((2000, 3000, 3), dtype)
        samples[::3, ::2] = 100
        tifffile.imwrite("a.tif", samples, photometric="rgb", rowsperstrip=64, **options)
        assert self.peak("a.tif") <= samples.nbytes + 24 * 2000 * 3000
