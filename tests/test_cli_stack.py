"""``gconv filter`` on stacks: right responses, nothing finished is lost, nothing wrong is kept."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from interpreter import on_a_terminal, run_python
from oracles import oracle

import gconv
from gconv.__main__ import main
from gconv._cli.kernels import named_bank

tifffile = oracle("tifffile")
zarr = oracle("zarr")

from gconv._cli.stack import output as outputs  # noqa: E402
from gconv._cli.stack import work  # noqa: E402

EXTRA = ("zarr", "distributed", "dask", "tifffile")
KERNELS = named_bank().kernels
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def noise(*shape, dtype=np.uint8):
    """Return samples over a good part of a type's range."""
    if np.dtype(dtype).kind == "f":
        return RNG.standard_normal(shape).astype(dtype)
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min // 2, limits.max // 2, shape).astype(dtype)


def save_tiff(name, samples, **options):
    """Write pages that nothing describes as one image."""
    colour = samples.ndim == 4
    options = {"photometric": "rgb" if colour else "minisblack", "metadata": None} | options
    tifffile.imwrite(name, samples, **options)
    return samples


def save_zarr(name, samples, *, zarr_format=3, chunks=None, names=None, **options):
    """Write an array."""
    if names and zarr_format == 3:
        options["dimension_names"] = names
    array = zarr.create_array(
        name,
        shape=samples.shape,
        chunks=chunks or (1, *samples.shape[1:]),
        dtype=samples.dtype,
        zarr_format=zarr_format,
        **options,
    )
    array[...] = samples
    return samples


def filtered(samples, kernels=KERNELS):
    """Filter pages (..., H, W) by one call of the public function."""
    x = samples.astype(np.float32)
    if samples.dtype in (np.uint8, np.uint16):
        x /= np.float32(np.iinfo(samples.dtype).max)
    x = np.ascontiguousarray(x)
    responses = gconv.filter_bank(x.reshape(-1, 1, *x.shape[-2:]), kernels)
    return responses.reshape(*x.shape[:-2], *responses.shape[2:])


def responses(name="out.zarr"):
    return zarr.open_array(name, mode="r")[...]


def close(got, expected, kernels=KERNELS):
    """Whether responses are equal to rounding: bands of a page may be summed in another order."""
    bound = 64 * np.finfo(np.float32).eps * np.abs(kernels).sum(axis=(1, 2)).max()
    scale = np.nanmax(np.abs(expected))
    np.testing.assert_allclose(got, expected, rtol=0, atol=bound * max(scale, 1))
    return True


def run_filter(*arguments):
    return main(["filter", *map(str, arguments)])


def fails_in_one_line(capsys, *arguments):
    """Run ``gconv filter`` with something wrong; return the one line it says about it."""
    assert run_filter(*arguments) == 2
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("gconv filter: ")
    return lines[0]


def run(*arguments, before="", **options):
    """Run the command line in a process of its own, which may do something before."""
    code = f"import sys\n{before}\nfrom gconv.__main__ import main\nsys.exit(main())"
    return run_python("-c", code, "filter", *map(str, arguments), **options)


def tree(path):
    """Return the content of all files below a directory, by their names."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(Path(path).rglob("*"))
        if file.is_file()
    }


def chunks_and_markers(path):
    """Return the files that a resumed run has to share with an undisturbed one."""
    files = tree(path)
    about = json.loads(files.pop("zarr.json"))
    about["attributes"]["gconv"]["input"].pop("state")  # names and times of the input's files
    return about, files


def markers(path="out.zarr"):
    return sorted(os.listdir(Path(path, outputs.MARKERS)))


def small_chunks(monkeypatch, rows=8):
    """Have pages come in chunks of a few rows, each read by itself."""
    monkeypatch.setattr(outputs, "CHUNK_BYTES", rows * len(KERNELS) * 4 * 30)
    monkeypatch.setattr(work, "READ_BYTES", 1)


class TestInputs:
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
    @pytest.mark.parametrize("colour", [False, True])
    def test_pages_of_a_tiff_file(self, colour, dtype, capsys):
        pages = save_tiff("a.tif", noise(4, 40, 30, *[3] * colour, dtype=dtype))
        assert run_filter("a.tif", "-o", "out.zarr") == 0
        planes = np.moveaxis(pages, -1, 1) if colour else pages
        expected = filtered(planes)
        assert responses().dtype == np.float32
        assert responses().shape == (4, *[3] * colour, 10, 34, 24)
        np.testing.assert_array_equal(responses(), expected)
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
    @pytest.mark.parametrize("planar", ["contig", "separate"])
    def test_every_layout_of_tiff_is_read_in_bands(self, planar, compression):
        from gconv._cli.stack.source import open_source

        pages = noise(2, 60, 36, 3, dtype=np.uint16)
        planes = np.moveaxis(pages, -1, 1) / np.float32(65535)
        stored = pages if planar == "contig" else np.moveaxis(pages, -1, 1)
        for layout in ({}, {"rowsperstrip": 16}, {"tile": (16, 32)}, {"predictor": True}):
            if layout.get("predictor") and not compression:
                continue
            for order in "<>":
                save_tiff(
                    "a.tif", stored,
                    planarconfig=planar, compression=compression, byteorder=order, **layout,
                )  # fmt: skip
                source = open_source(Path("a.tif"))
                one_strip = not {"rowsperstrip", "tile"} & set(layout)
                assert source.in_bands == (compression is None or not one_strip)
                for first, last in ((0, 60), (0, 1), (5, 23), (15, 49), (59, 60)):
                    rows = source.reader((1,), (1,)).read(first, last)
                    np.testing.assert_array_equal(rows, planes[1:, :, first:last])

    def test_bands_of_a_page_are_the_page(self, monkeypatch):
        small_chunks(monkeypatch)
        pages = save_tiff("a.tif", noise(2, 60, 30), compression="zlib", rowsperstrip=16)
        assert run_filter("a.tif", "-o", "out.zarr") == 0
        assert len(markers()) == 2 * 6
        assert close(responses(), filtered(pages))

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("a.ome.tif", {"ome": True}),
            ("a.ome.tif", {"ome": True, "compression": "zlib"}),
            ("a.tif", {"imagej": True}),
            ("a.tif", {"imagej": True, "compression": "zlib"}),
            ("a.tif", {"compression": "zlib"}),
            ("a.tif", {"truncate": True}),
        ],
    )
    def test_axes_that_the_file_describes_are_kept(self, name, options):
        pages = noise(2, 3, 4, 40, 30, dtype=np.uint16)
        save_tiff(name, pages, metadata={"axes": "TZCYX"}, **options)
        assert run_filter(name, "-o", "out.zarr") == 0
        array = zarr.open_array("out.zarr", mode="r")
        assert array.metadata.dimension_names == ("t", "z", "c", "kernel", "y", "x")
        np.testing.assert_array_equal(array[...], filtered(pages))

    def test_ome_tiff_in_colour_with_smaller_copies(self):
        pages = noise(2, 3, 40, 30, 3)
        with tifffile.TiffWriter("a.ome.tif") as file:
            options = {"photometric": "rgb", "tile": (16, 16)}
            file.write(pages, subifds=1, metadata={"axes": "TZYXS"}, **options)
            file.write(pages[:, :, ::2, ::2], subfiletype=1, **options)
        assert run_filter("a.ome.tif", "-o", "out.zarr") == 0
        np.testing.assert_array_equal(responses(), filtered(np.moveaxis(pages, -1, 2)))

    def test_pages_that_were_written_one_by_one(self):
        pages = noise(3, 40, 30)
        with tifffile.TiffWriter("a.tif") as file:
            for page in pages:
                file.write(page, photometric="minisblack")
        assert run_filter("a.tif", "-o", "out.zarr") == 0
        np.testing.assert_array_equal(responses(), filtered(pages))

    def test_samples_without_a_meaning_are_channels_and_alpha_is_none(self):
        options = {"photometric": "minisblack", "planarconfig": "contig"}
        five = save_tiff("five.tif", noise(2, 40, 30, 5), **options)
        assert run_filter("five.tif", "-o", "five.zarr") == 0
        np.testing.assert_array_equal(responses("five.zarr"), filtered(np.moveaxis(five, -1, 1)))
        rgba = save_tiff("rgba.tif", noise(2, 40, 30, 4), extrasamples=["unassalpha"])
        assert run_filter("rgba.tif", "-o", "rgba.zarr") == 0
        planes = np.moveaxis(rgba[..., :3], -1, 1)
        np.testing.assert_array_equal(responses("rgba.zarr"), filtered(planes))

    @pytest.mark.parametrize("orientation", [2, 3, 6, 8])
    def test_pages_stand_upright(self, orientation, monkeypatch):
        from gconv._cli.picture import read_picture

        small_chunks(monkeypatch)
        tag = (274, 3, 1, orientation, False)
        for name, metadata in (("plain.tif", None), ("shaped.tif", {"axes": "ZYX"})):
            save_tiff(name, noise(2, 40, 30), extratags=[tag], metadata=metadata)
            assert run_filter(name, "-o", f"{name}.zarr") == 0
            whole = [read_picture(Path(name), number).samples for number in (1, 2)]
            assert close(responses(f"{name}.zarr"), filtered(np.stack(whole)))

    @pytest.mark.parametrize("zarr_format", [2, 3])
    @pytest.mark.parametrize(
        ("dtype", "chunks"),
        [(np.uint8, (1, 40, 30)), (np.uint16, (3, 16, 16)), (np.float32, (5, 40, 7))],
    )
    def test_zarr(self, dtype, chunks, zarr_format, monkeypatch):
        small_chunks(monkeypatch)
        pages = noise(5, 40, 30, dtype=dtype)
        save_zarr("a.zarr", pages, zarr_format=zarr_format, chunks=chunks)
        assert run_filter("a.zarr") == 0
        assert close(responses("a.gconv.zarr"), filtered(pages))
        assert Path("a.gconv.png").exists()

    def test_what_is_stored_together_is_read_together(self, monkeypatch):
        """A chunk of five pages is not decoded five times."""
        pages = save_zarr("a.zarr", noise(10, 40, 30), chunks=(5, 40, 30))
        reads = []
        read = zarr.Array.__getitem__
        monkeypatch.setattr(
            zarr.Array, "__getitem__", lambda self, at: reads.append(at) or read(self, at)
        )
        assert run_filter("a.zarr", "-o", "out.zarr") == 0
        of_input = [at for at in reads if len(at) == 3]
        assert len(of_input) - 1 == 2  # one is the sheet's
        np.testing.assert_array_equal(responses(), filtered(pages))

    def test_names_of_axes_say_which_are_a_page(self):
        pages = noise(2, 30, 40, 3)
        save_zarr("v3.zarr", pages, names=("z", "x", "y", "c"))
        attributes = {"_ARRAY_DIMENSIONS": ["z", "x", "y", "c"]}
        save_zarr("v2.zarr", pages, zarr_format=2, attributes=attributes)
        for name in ("v3.zarr", "v2.zarr"):
            assert run_filter(name, "-o", f"out-{name}") == 0
            assert zarr.open_array(f"out-{name}").metadata.dimension_names == (
                "z", "sample", "kernel", "y", "x",
            )  # fmt: skip
            np.testing.assert_array_equal(
                responses(f"out-{name}"), filtered(pages.transpose(0, 3, 2, 1))
            )

    @pytest.mark.parametrize("zarr_format", [2, 3])
    def test_ome_zarr_is_its_image_of_full_size(self, zarr_format):
        axes = [{"name": name} for name in "tzyx"]
        scales = [{"axes": axes, "datasets": [{"path": "0"}, {"path": "1"}]}]
        attributes = {"multiscales": scales}
        if zarr_format == 3:
            attributes = {"ome": attributes}
        zarr.create_group("a.zarr", zarr_format=zarr_format, attributes=attributes)
        pages = noise(2, 3, 40, 30)
        save_zarr("a.zarr/0", pages, zarr_format=zarr_format)
        save_zarr("a.zarr/1", pages[..., ::2, ::2], zarr_format=zarr_format)
        assert run_filter("a.zarr") == 0
        array = zarr.open_array("a.gconv.zarr", mode="r")
        assert array.metadata.dimension_names == ("t", "z", "kernel", "y", "x")
        np.testing.assert_array_equal(array[...], filtered(pages))

    def test_a_group_is_its_only_array_or_names_them(self, capsys):
        zarr.create_group("a.zarr")
        pages = save_zarr("a.zarr/one", noise(2, 40, 30))
        assert run_filter("a.zarr", "-o", "out.zarr") == 0
        np.testing.assert_array_equal(responses(), filtered(pages))
        save_zarr("a.zarr/two", noise(2, 40, 30))
        line = fails_in_one_line(capsys, "a.zarr", "-o", "two.zarr")
        assert "name one of them: a.zarr/one, a.zarr/two" in line
        assert run_filter("a.zarr/two", "-o", "two.zarr") == 0

    def test_a_single_page_is_a_stack_of_one(self):
        page = save_tiff("a.tif", noise(40, 30))
        assert run_filter("a.tif", "-o", "out.zarr") == 0
        np.testing.assert_array_equal(responses()[0], filtered(page))

    def test_floating_point_samples_stay_as_they_are(self):
        """A page's range is not its own business here; nan stays nan."""
        pages = noise(2, 40, 30, dtype=np.float32) * np.float32(1e3)
        pages[1] = np.nan
        save_tiff("a.tif", pages)
        assert run_filter("a.tif", "-o", "out.zarr") == 0
        np.testing.assert_array_equal(responses()[0], filtered(pages[:1])[0])
        assert np.isnan(responses()[1]).all()

    def test_other_kernels(self):
        kernels = RNG.standard_normal((3, 5, 2)).astype(np.float32)
        np.save("bank.npy", kernels)
        pages = save_tiff("a.tif", noise(2, 40, 30))
        assert run_filter("a.tif", "-o", "out.zarr", "--bank", "bank.npy") == 0
        np.testing.assert_array_equal(responses(), filtered(pages, kernels))


class TestTheOutput:
    def test_it_says_what_was_done(self, capsys):
        save_tiff("a.tif", noise(4, 40, 30))
        assert run_filter("a.tif", "-o", "out.zarr") == 0
        title, shapes, chunks = capsys.readouterr().out.splitlines()
        assert title == "a.tif -> out.zarr, out.png"
        assert shapes.strip() == (
            "input (4, 40, 30) uint8 (page, y, x), kernels (10, 7, 7) -> "
            "responses (4, 10, 34, 24), float32"
        )
        assert re.fullmatch(r"  4 chunks of \(1, 10, 34, 24\) in [\d.]+ s, \d+ MB/s", chunks)

    def test_each_response_can_be_read_by_itself(self):
        save_tiff("a.tif", noise(4, 40, 30))
        assert run_filter("a.tif", "-o", "out.zarr") == 0
        array = zarr.open_array("out.zarr", mode="r")
        assert (array.chunks, array.shards) == ((1, 1, 34, 24), (1, 10, 34, 24))
        assert array.attrs["gconv"]["kernels"] == list(named_bank().names)

    def test_what_is_not_done_is_nan(self):
        save_tiff("a.tif", noise(3, 40, 30))
        assert run_filter("a.tif", "-o", "out.zarr") == 0
        Path("out.zarr/c.1.0.0.0").unlink()
        assert np.isnan(responses()[1]).all()
        assert not np.isnan(responses()[[0, 2]]).any()

    @pytest.mark.parametrize("zarr_format", [2, 3])
    @pytest.mark.parametrize("colour", [False, True])
    def test_the_sheet_shows_the_middle_page_or_the_one_that_is_named(self, zarr_format, colour):
        from PIL import Image

        pages = noise(3, 60, 50, *[3] * colour)
        names = ("z", "y", "x", "c")[: pages.ndim]
        options = {"attributes": {"_ARRAY_DIMENSIONS": list(names)}} if zarr_format == 2 else {}
        save_zarr("a.zarr", pages, zarr_format=zarr_format, names=names, **options)
        assert run_filter("a.zarr", "-o", "two.zarr") == 0
        assert run_filter("a.zarr", "-o", "three.zarr", "--page", "3") == 0
        for page, sheet in ((1, "two.png"), (2, "three.png")):
            Image.fromarray(pages[page]).save("page.png")
            assert run_filter("page.png", "--force") == 0
            with Image.open(sheet) as ours, Image.open("page.gconv.png") as theirs:
                assert ours.size == theirs.size
                # The title names another file; the pictures below are the same.
                below = (0, 80, *ours.size)
                ours, theirs = (np.asarray(each.crop(below), int) for each in (ours, theirs))
                assert np.abs(ours - theirs).max() <= 1

    def test_the_sheet_of_floating_point_pages_is_on_their_range(self):
        from PIL import Image

        grey = noise(2, 60, 50, dtype=np.uint8)
        grey[:, 0, :2] = 0, 255
        save_tiff("grey.tif", grey)
        save_tiff("float.tif", grey * 3.5 - 100)
        for name in ("grey", "float"):
            assert run_filter(f"{name}.tif", "-o", f"{name}.zarr") == 0
        with Image.open("grey.png") as one, Image.open("float.png") as other:
            below = (0, 80, *one.size)
            one, other = (np.asarray(each.crop(below), int) for each in (one, other))
        assert np.abs(one - other).max() <= 1

    def test_a_sheet_of_pages_that_have_no_numbers_at_all(self):
        save_tiff("a.tif", np.full((3, 40, 30), np.nan, np.float32))
        assert run_filter("a.tif", "-o", "out.zarr") == 0
        assert Path("out.png").exists()

    def test_memory_is_bounded_whatever_the_page(self):
        """A page of 96 million samples, 384 MB of responses: a few chunks are in memory."""
        np.save("bank.npy", np.ones((1, 2, 2)))
        page = np.zeros((12000, 8000), np.uint8)
        save_tiff("a.tif", page, compression="zlib", tile=(256, 256))
        save_zarr("a.zarr", page, chunks=(512, 512))
        before = (
            "import resource, atexit, gconv._cli.stack.sheet, gconv._cli.stack.output\n"
            "import tifffile, imagecodecs, matplotlib\n"
            "rss = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10\n"
            "start = rss()\n"
            "atexit.register(lambda: print('MB:', rss() - start))"
        )
        for name in ("a.tif", "a.zarr"):
            out = f"out-{name}.zarr"
            arguments = (name, "-o", out, "--bank", "bank.npy")
            done = run(*arguments, before=before, GCONV_NUM_THREADS=2, timeout=120)
            assert done.returncode == 0, done.stderr
            assert int(re.search(r"MB: (\d+)", done.stdout)[1]) < 300
            shutil.rmtree(out)


class TestResume:
    def test_a_finished_run_has_nothing_to_do(self, capsys):
        save_tiff("a.tif", noise(4, 40, 30))
        assert run_filter("a.tif", "-o", "out.zarr") == 0
        before = tree("out.zarr"), Path("out.png").stat().st_mtime_ns
        capsys.readouterr()
        assert run_filter("a.tif", "-o", "out.zarr", "--resume") == 0
        assert (tree("out.zarr"), Path("out.png").stat().st_mtime_ns) == before
        assert "  0 chunks" in capsys.readouterr().out

    def test_without_anything_to_go_on_with_it_begins(self):
        pages = save_tiff("a.tif", noise(2, 40, 30))
        assert run_filter("a.tif", "-o", "out.zarr", "--resume") == 0
        np.testing.assert_array_equal(responses(), filtered(pages))

    def test_chunks_are_known_by_their_markers_and_not_by_their_content(self, capsys, monkeypatch):
        """A chunk with a marker is kept whatever is in it; one without is made again."""
        small_chunks(monkeypatch)
        pages = save_tiff("a.tif", noise(3, 40, 30))
        assert run_filter("a.tif", "-o", "out.zarr") == 0
        expected = responses()
        array = zarr.open_array("out.zarr", mode="r+")
        array[0] = 7.0
        array[1] = 7.0
        for marker in markers():
            if marker.startswith("1-"):
                Path("out.zarr", outputs.MARKERS, marker).unlink()
        capsys.readouterr()
        assert run_filter("a.tif", "-o", "out.zarr", "--resume") == 0
        assert (responses()[0] == 7.0).all()
        np.testing.assert_array_equal(responses()[1:], expected[1:])
        assert close(expected, filtered(pages))
        bands = len(markers()) // 3
        assert f"{2 * bands} were there already" in capsys.readouterr().out

    def test_black_pages_are_finished_too(self, capsys):
        """Zeros, and the fill value, are responses like any other."""
        pages = noise(4, 40, 30, dtype=np.float32)
        pages[1], pages[2] = 0, np.nan
        save_tiff("a.tif", pages)
        assert run_filter("a.tif", "-o", "out.zarr") == 0
        assert len(markers()) == 4
        capsys.readouterr()
        assert run_filter("a.tif", "-o", "out.zarr", "--resume") == 0
        assert "  0 chunks" in capsys.readouterr().out

    def test_another_bank_is_refused(self, capsys):
        save_tiff("a.tif", noise(2, 40, 30))
        assert run_filter("a.tif", "-o", "out.zarr") == 0
        before = tree("out.zarr")
        kernels = KERNELS.copy()
        kernels[3, 3, 3] = np.nextafter(kernels[3, 3, 3], 2)
        for bank in (kernels, KERNELS[:9], KERNELS.transpose(0, 2, 1)):
            np.save("bank.npy", bank)
            line = fails_in_one_line(
                capsys, "a.tif", "-o", "out.zarr", "--resume", "--bank", "bank.npy"
            )
            assert "another bank of kernels" in line
        assert tree("out.zarr") == before
        np.save("bank.npy", KERNELS.astype(np.float64))
        assert run_filter("a.tif", "-o", "out.zarr", "--resume", "--bank", "bank.npy") == 0

    @pytest.mark.parametrize("kind", ["tif", "zarr"])
    @pytest.mark.parametrize("change", ["shape", "dtype", "a sample", "a sample and no time"])
    def test_another_input_is_refused(self, change, kind, capsys):
        name = f"a.{kind}"
        save = save_tiff if kind == "tif" else save_zarr
        pages = noise(4, 40, 30)
        save(name, pages)
        assert run_filter(name, "-o", "out.zarr") == 0
        before = tree("out.zarr")
        files = [Path(name), *Path(name).rglob("*")]
        times = [(file.stat().st_atime_ns, file.stat().st_mtime_ns) for file in files]
        if kind == "zarr":
            shutil.rmtree(name)
        if change == "shape":
            save(name, pages[:3])
        elif change == "dtype":
            save(name, pages.astype(np.uint16))
        else:
            other = pages.copy()
            other[2, 20, 20] ^= 1
            save(name, other)
        if change == "a sample and no time":
            for file, its_times in zip(files, times, strict=True):
                os.utime(file, ns=its_times)
        line = fails_in_one_line(capsys, name, "-o", "out.zarr", "--resume")
        assert "the input has changed" in line
        assert "--force begins anew" in line
        if change.startswith("a sample"):
            assert "page 3" in line
        assert tree("out.zarr") == before

    @pytest.mark.parametrize("kind", ["tif", "zarr"])
    def test_a_copy_of_the_input_is_the_same_input(self, kind):
        pages = noise(4, 40, 30)
        (save_tiff if kind == "tif" else save_zarr)(f"a.{kind}", pages)
        assert run_filter(f"a.{kind}", "-o", "out.zarr") == 0
        before = chunks_and_markers("out.zarr")
        shutil.move(f"a.{kind}", "old")
        if kind == "tif":
            shutil.copyfile("old", "a.tif")
        else:
            shutil.copytree("old", "a.zarr", copy_function=shutil.copyfile)
        for marker in markers()[::2]:
            Path("out.zarr", outputs.MARKERS, marker).unlink()
        assert run_filter(f"a.{kind}", "-o", "out.zarr", "--resume") == 0
        assert chunks_and_markers("out.zarr") == before

    def test_an_input_that_is_changed_meanwhile_is_noticed(self, capsys, monkeypatch):
        save_tiff("a.tif", noise(3, 40, 30))
        write = outputs.Output.write

        def touch(*arguments):
            os.utime("a.tif", ns=(1, 1))
            write(*arguments)

        monkeypatch.setattr(outputs.Output, "write", touch)
        line = fails_in_one_line(capsys, "a.tif", "-o", "out.zarr")
        assert "changed while it was read" in line

    def test_a_task_that_outlives_its_run_does_not_write_to_another(self):
        """A worker may still filter with the old bank when the array has been made anew."""
        from gconv._cli.kernels import Bank
        from gconv._cli.stack.source import open_source, state_of

        save_tiff("a.tif", noise(2, 40, 30))
        source = open_source(Path("a.tif"))
        old = Bank(KERNELS * 2, named_bank().names)
        late = outputs.plan(Path("out.zarr"), source.form, old, state_of(source))
        assert run_filter("a.tif", "-o", "out.zarr") == 0
        before = tree("out.zarr")
        (block, *_) = work.blocks(source, late, lambda chunk: True)
        report = work.make(late, old.kernels, block)
        assert report.fatal.endswith("out.zarr cannot be written: another process has replaced it")
        assert tree("out.zarr") == before

    @pytest.mark.parametrize("kind", ["empty", "file", "another array", "another program's"])
    def test_what_gconv_did_not_make_is_neither_gone_on_with_nor_replaced(self, kind, capsys):
        save_tiff("a.tif", noise(2, 40, 30))
        target = Path("out.zarr")
        if kind == "empty":
            target.mkdir()
        elif kind == "file":
            target.write_text("precious")
        elif kind == "another array":
            save_zarr("out.zarr", noise(2, 40, 30))
        else:
            target.mkdir()
            (target / "zarr.json").write_text("{}")
        before = tree(".")
        for option in ("--resume", "--force"):
            line = fails_in_one_line(capsys, "a.tif", "-o", "out.zarr", option)
            assert "no array that gconv filter made" in line
        assert "exists already" in fails_in_one_line(capsys, "a.tif", "-o", "out.zarr")
        assert tree(".") == before

    def test_force_begins_anew(self):
        save_tiff("a.tif", noise(2, 40, 30))
        assert run_filter("a.tif", "-o", "out.zarr") == 0
        pages = save_tiff("a.tif", noise(3, 40, 30))
        assert run_filter("a.tif", "-o", "out.zarr", "--force") == 0
        np.testing.assert_array_equal(responses(), filtered(pages))
        assert sorted(os.listdir()) == ["a.tif", "out.png", "out.zarr"]

    def test_two_processes_do_not_write_to_one_array(self, capsys):
        pytest.importorskip("fcntl")
        save_tiff("a.tif", noise(2, 40, 30))
        assert run_filter("a.tif", "-o", "out.zarr") == 0
        with outputs.locked(Path("out.zarr")):
            for option in ("--resume", "--force"):
                line = fails_in_one_line(capsys, "a.tif", "-o", "out.zarr", option)
                assert "another process is writing to" in line
        assert run_filter("a.tif", "-o", "out.zarr", "--force") == 0


#: Makes the moments around a chunk longer, so that a process is killed within them.
SLOW = """
import time
from gconv._cli.stack import output
flush, open_ = output._flush, output.Output._open
def slow_flush(path):
    time.sleep(0.01)
    flush(path)
    time.sleep(0.01)
def slow_open(*arguments):
    time.sleep(0.01)
    return open_(*arguments)
output._flush, output.Output._open = slow_flush, slow_open
output.CHUNK_BYTES = 12000
"""


class TestKilled:
    @pytest.mark.parametrize("kind", ["tif", "zarr"])
    def test_any_moment_leaves_what_resume_completes_to_the_same_bytes(self, kind):
        pages = noise(6, 60, 30, dtype=np.uint16)
        pages[2] = 0
        name = f"a.{kind}"
        if kind == "tif":
            save_tiff(name, pages, compression="zlib", rowsperstrip=16)
        else:
            save_zarr(name, pages, chunks=(2, 32, 30))
        undisturbed = run(name, "-o", "whole.zarr", before="output = None\n" + SLOW)
        assert undisturbed.returncode == 0, undisturbed.stderr
        chosen = random.Random(kind)
        code = f"import sys\n{SLOW}\nfrom gconv.__main__ import main\nsys.exit(main())"
        command = [sys.executable, "-c", code, "filter", name, "-o", "out.zarr", "--resume"]
        killed = 0
        for _ in range(6):
            already = len(markers()) if Path("out.zarr").exists() else 0
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            wanted = already + chosen.randint(1, 6)
            while process.poll() is None and (
                not Path("out.zarr").exists() or len(markers()) < wanted
            ):
                time.sleep(0.002)
            time.sleep(chosen.random() * 0.04)
            process.kill()
            killed += process.wait() == -signal.SIGKILL
        assert killed >= 3
        left = markers()
        done = run(name, "-o", "out.zarr", "--resume", before=SLOW)
        assert done.returncode == 0, done.stderr
        assert f"{len(left)} were there already" in done.stdout
        assert chunks_and_markers("out.zarr") == chunks_and_markers("whole.zarr")
        assert close(responses(), filtered(pages))

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_an_interrupt_keeps_what_is_finished(self, number):
        pages = save_tiff("a.tif", noise(20, 60, 30))
        code = f"import sys\n{SLOW}\nfrom gconv.__main__ import main\nsys.exit(main())"
        process = subprocess.Popen(
            [sys.executable, "-c", code, "filter", "a.tif", "-o", "out.zarr"],
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=partial(signal.signal, number, signal.default_int_handler)
            if number == signal.SIGINT
            else None,
        )
        while not Path("out.zarr").exists() or len(markers()) < 3:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(number)
        assert process.communicate(timeout=60)[1] == ""
        assert process.returncode == 128 + number
        assert 3 <= len(markers()) < 60
        assert run_filter("a.tif", "-o", "out.zarr", "--resume") == 0
        assert close(responses(), filtered(pages))

    def test_the_marker_is_made_after_the_chunk_is_on_the_disk(self, monkeypatch):
        save_tiff("a.tif", noise(2, 40, 30))
        events = []
        sync = os.fsync

        def note(file):
            events.append(os.path.basename(os.readlink(f"/proc/self/fd/{file}")))
            assert len(markers()) == events.count("out.zarr") - (events[-1] == "out.zarr")
            sync(file)

        if not Path("/proc/self/fd").exists():
            pytest.skip("the names of open files are in /proc")
        monkeypatch.setattr(os, "fsync", note)
        with gconv.thread_limit(1):
            assert run_filter("a.tif", "-o", "out.zarr") == 0
        assert [name for name in events if name.startswith("c.")] == ["c.0.0.0.0", "c.1.0.0.0"]


class TestWhatGoesWrong:
    def test_a_full_disk_keeps_what_is_finished(self, capsys):
        """Files may not be larger than 40 KB: chunks of black pages are smaller, others not."""
        resource = pytest.importorskip("resource")
        pages = noise(6, 80, 60)
        pages[:3] = 0
        save_tiff("a.tif", pages)
        before = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (40000, 40000))"
        assert resource.RLIMIT_FSIZE is not None
        done = run("a.tif", "-o", "out.zarr", before=before, GCONV_NUM_THREADS=1)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith("gconv filter: a.tif: ")
        assert "out.zarr cannot be written: File too large" in line
        assert line.endswith("3 of 6 chunks are finished in out.zarr, --resume goes on from there")
        assert done.stdout == ""
        assert [marker[:3] for marker in markers()] == ["0-0", "1-0", "2-0"]
        assert run_filter("a.tif", "-o", "out.zarr", "--resume") == 0
        assert "3 were there already" in capsys.readouterr().out
        np.testing.assert_array_equal(responses(), filtered(pages))

    @pytest.mark.parametrize("where", ["the chunk", "the marker"])
    def test_no_space_left_is_one_line(self, where, capsys, monkeypatch):
        save_tiff("a.tif", noise(4, 40, 30))
        owner, name = (os, "fsync") if where == "the chunk" else (Path, "open")
        real = getattr(owner, name)

        def fail(what, *arguments, **options):
            wanted = where == "the chunk" or str(outputs.MARKERS) in str(what)
            if wanted and Path("out.zarr").exists() and len(markers()) >= 2:
                raise OSError(28, "No space left on device")
            return real(what, *arguments, **options)

        monkeypatch.setattr(owner, name, fail)
        with gconv.thread_limit(1):
            line = fails_in_one_line(capsys, "a.tif", "-o", "out.zarr")
        assert "out.zarr cannot be written: No space left on device; 2 of 4 chunks" in line
        assert len(markers()) == 2

    def test_a_full_disk_at_the_start_leaves_nothing(self, capsys, monkeypatch):
        save_tiff("a.tif", noise(4, 40, 30))

        def fail(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(zarr, "create_array", fail)
        line = fails_in_one_line(capsys, "a.tif", "-o", "out.zarr")
        assert "out.zarr cannot be written: No space left on device" in line
        assert os.listdir() == ["a.tif"]

    @pytest.mark.parametrize("compression", ["zlib", "lzw", None])
    def test_a_damaged_page_is_one_line_and_the_others_are_done(self, compression, capsys):
        pages = save_tiff("a.tif", noise(5, 40, 30), compression=compression)
        with tifffile.TiffFile("a.tif") as file:
            page = file.pages[2]
            offset, count = page.dataoffsets[0], page.databytecounts[0]
            entry = page.tags["StripOffsets"].valueoffset
        content = bytearray(Path("a.tif").read_bytes())
        whole = bytes(content)
        if compression:
            content[offset : offset + count] = b"\xff" * count
        else:
            content[entry : entry + 4] = len(content).to_bytes(4, "little")  # beyond the end
        Path("a.tif").write_bytes(content)
        line = fails_in_one_line(capsys, "a.tif", "-o", "out.zarr")
        assert line.startswith("gconv filter: a.tif: page 3: ")
        assert "4 of 5 chunks are finished in out.zarr, --resume goes on from there" in line
        good = [0, 1, 3, 4]
        np.testing.assert_array_equal(responses()[good], filtered(pages[good]))
        assert np.isnan(responses()[2]).all()
        assert Path("out.png").exists()
        # It stays damaged: the same line again, and nothing is done twice.
        again = fails_in_one_line(capsys, "a.tif", "-o", "out.zarr", "--resume")
        assert again == line
        Path("a.tif").write_bytes(whole)
        assert run_filter("a.tif", "-o", "out.zarr", "--resume") == 0
        assert "  1 chunk of" in capsys.readouterr().out
        np.testing.assert_array_equal(responses(), filtered(pages))

    def test_many_damaged_pages_are_one_line(self, capsys):
        save_tiff("a.tif", noise(30, 40, 30), compression="zlib")
        with tifffile.TiffFile("a.tif") as file:
            places = [(p.dataoffsets[0], p.databytecounts[0]) for p in file.pages[5:25]]
        content = bytearray(Path("a.tif").read_bytes())
        for offset, count in places:
            content[offset : offset + count] = b"\xff" * count
        Path("a.tif").write_bytes(content)
        line = fails_in_one_line(capsys, "a.tif", "-o", "out.zarr")
        assert "page 6: " in line
        assert "(also damaged: 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 and 9 more)" in line
        assert "10 of 30 chunks are finished" in line

    def test_a_file_that_breaks_off(self, capsys):
        save_tiff("a.tif", noise(5, 40, 30), metadata={"axes": "ZYX"})
        content = Path("a.tif").read_bytes()
        Path("a.tif").write_bytes(content[: len(content) - 2 * 1200 - 600])
        line = fails_in_one_line(capsys, "a.tif", "-o", "out.zarr")
        assert "truncated" in line or "breaks off" in line or "cannot be read" in line

    def test_a_page_that_ome_describes_but_the_file_lacks(self, capsys):
        pages = noise(4, 40, 30)
        tifffile.imwrite("a.ome.tif", pages[:1], metadata={"axes": "ZYX"}, photometric="minisblack")
        content = Path("a.ome.tif").read_bytes()
        xml = re.search(rb"<\?xml.*</OME>", content, re.DOTALL)[0].decode()
        longer = xml.replace('SizeZ="1"', 'SizeZ="4"').encode()
        tifffile.imwrite(
            "b.ome.tif", pages[:1], metadata=None, photometric="minisblack", description=longer
        )
        assert longer != xml.encode()
        line = fails_in_one_line(capsys, "b.ome.tif", "-o", "out.zarr")
        assert "page 2: the file does not have it (also damaged: 3, 4)" in line
        assert "1 of 4 chunks are finished" in line
        np.testing.assert_array_equal(responses()[0], filtered(pages)[0])

    @pytest.mark.parametrize("zarr_format", [2, 3])
    def test_a_truncated_chunk_of_zarr(self, zarr_format, capsys):
        pages = save_zarr("a.zarr", noise(6, 40, 30), zarr_format=zarr_format, chunks=(2, 40, 30))
        chunk = Path("a.zarr", "1.0.0" if zarr_format == 2 else "c/1/0/0")
        whole = chunk.read_bytes()
        chunk.write_bytes(whole[: len(whole) // 2])
        line = fails_in_one_line(capsys, "a.zarr", "-o", "out.zarr")
        assert line.startswith("gconv filter: a.zarr: page 3: cannot be read: ")
        assert "(also damaged: 4); 4 of 6 chunks" in line
        good = [0, 1, 4, 5]
        np.testing.assert_array_equal(responses()[good], filtered(pages[good]))
        chunk.write_bytes(whole)
        assert run_filter("a.zarr", "-o", "out.zarr", "--resume") == 0
        np.testing.assert_array_equal(responses(), filtered(pages))

    def test_pages_are_called_by_their_indices(self, capsys):
        save_zarr("a.zarr", noise(2, 3, 40, 30), chunks=(1, 1, 40, 30), names=("t", "z", "y", "x"))
        Path("a.zarr/c/1/0/0/0").write_bytes(b"nothing")
        line = fails_in_one_line(capsys, "a.zarr", "-o", "out.zarr")
        assert "a.zarr: page 4 (t 1, z 0): cannot be read" in line

    def test_part_of_a_page_may_be_done(self, capsys, monkeypatch):
        small_chunks(monkeypatch)
        pages = save_zarr("a.zarr", noise(1, 60, 30), chunks=(1, 20, 30))
        Path("a.zarr/c/0/2/0").write_bytes(b"nothing")
        fails_in_one_line(capsys, "a.zarr", "-o", "out.zarr")
        done = ~np.isnan(responses()[0, 0]).any(axis=1)
        assert 0 < done.sum() < 54
        assert close(responses()[0][:, done], filtered(pages)[0][:, done])

    @pytest.mark.parametrize(
        ("samples", "reason"),
        [
            (np.zeros((3, 6, 30), np.uint8), "30 x 6 pixels are too few for kernels of 7 x 7"),
            (np.zeros((3, 40, 30), np.complex64), "real numbers"),
            (np.zeros((40,), np.uint8), "height and width"),
            (np.zeros((0, 40, 30), np.uint8), "height and width"),
        ],
    )
    def test_arrays_that_are_no_stacks(self, samples, reason, capsys):
        save_zarr("a.zarr", samples, chunks=tuple(max(1, n) for n in samples.shape))
        line = fails_in_one_line(capsys, "a.zarr", "-o", "out.zarr")
        assert line.startswith("gconv filter: a.zarr: ")
        assert reason in line
        assert os.listdir() == ["a.zarr"]

    def test_pages_that_differ(self, capsys):
        with tifffile.TiffWriter("a.tif") as file:
            file.write(noise(40, 30), photometric="minisblack")
            file.write(noise(40, 31), photometric="minisblack")
        line = fails_in_one_line(capsys, "a.tif", "-o", "out.zarr")
        assert "its pages differ: page 1 is (40, 30) uint8, page 2 is (40, 31) uint8" in line

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("a.tif", "-o", "a.tif.zarr", "--page", "5"), "no page 5: there are 4 pages"),
            (("a.tif", "-o", "a.tif.zarr", "--page", "0"), "no page 0"),
            (("a.tif", "-o", "missing/out.zarr"), "no directory missing"),
            (("a.tif", "a.tif", "-o", "out.zarr"), "one stack is filtered at a time"),
            (("-o", "out.zarr"), "one stack is filtered at a time"),
            (("a.tif", "-o", "out.zarr", "--save"), "always written"),
            (("a.tif", "-o", "out.png", "--resume"), "called .zarr"),
            (("a.zarr", "-o", "a.zarr", "--force"), "would replace what is read"),
            (("a.zarr", "-o", "a.zarr/out.zarr"), "would replace what is read, or be part of it"),
            (("a.tif", "-o", "out.zarr", "--resume", "--force"), "give one of them"),
            (("text.tif", "-o", "out.zarr"), "not a stack"),
            (("missing.tif", "-o", "out.zarr"), "No such file"),
            (("directory", "-o", "out.zarr"), "not a stack"),
            (("empty.zarr", "-o", "out.zarr"), "cannot be read"),
            (("a.tif", "-o", "sheet.zarr"), "sheet.png exists already"),
        ],
    )
    def test_what_cannot_be_meant_is_refused_before_anything_is_done(
        self, arguments, reason, capsys
    ):
        save_tiff("a.tif", noise(4, 40, 30))
        save_zarr("a.zarr", noise(4, 40, 30))
        Path("text.tif").write_text("This is not a stack.")
        Path("sheet.png").write_text("precious")
        Path("directory").mkdir()
        Path("empty.zarr").mkdir()
        Path("empty.zarr/zarr.json").touch()
        before = tree(".")
        assert reason in fails_in_one_line(capsys, *arguments)
        assert tree(".") == before

    @pytest.mark.parametrize(
        ("missing", "arguments", "named"),
        [
            ("zarr", ("a.tif", "-o", "out.zarr"), "zarr, part of the extra gconv[stack]"),
            ("zarr", ("a.zarr",), "zarr, part of the extra gconv[stack]"),
            ("tifffile", ("a.tif", "-o", "out.zarr"), "tifffile, part of the extra gconv[cli]"),
            (
                "distributed",
                ("a.tif", "-o", "out.zarr", "--scheduler", "tcp://127.0.0.1:1"),
                "Dask, part of the extra gconv[stack]",
            ),
        ],
    )
    def test_a_missing_extra_is_one_line(self, missing, arguments, named):
        save_tiff("a.tif", noise(2, 40, 30))
        save_zarr("a.zarr", noise(2, 40, 30))
        done = run(*arguments, before=f"sys.modules[{missing!r}] = None")
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert named in line
        assert sorted(os.listdir()) == ["a.tif", "a.zarr"]

    def test_a_picture_needs_none_of_it(self):
        save_tiff("a.tif", noise(2, 40, 30))
        before = "sys.modules.update(dict.fromkeys(('zarr', 'distributed', 'dask')))"
        done = run("a.tif", before=before)
        assert (done.returncode, done.stderr) == (0, "")
        assert {"a.page1.gconv.png", "a.page2.gconv.png"} <= set(os.listdir())


class TestProgress:
    def test_a_terminal_shows_how_many_chunks_are_done(self):
        save_tiff("a.tif", noise(6, 40, 30))
        shown, out = on_a_terminal("filter", "a.tif", "-o", "out.zarr")
        assert out.startswith("a.tif -> out.zarr")
        assert "6/6" in shown

    def test_without_a_terminal_there_is_none(self):
        save_tiff("a.tif", noise(6, 40, 30))
        done = run("a.tif", "-o", "out.zarr")
        assert (done.returncode, done.stderr) == (0, "")


@contextmanager
def cluster(workers):
    """Run a scheduler and workers, each in a process of its own.

    Yields the address, the scheduler's process and those of the workers.
    """
    distributed = oracle("distributed")
    processes = []

    def start(module, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{module}", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        processes.append(process)
        return process

    file = Path("scheduler.json")
    try:
        scheduler = start(
            "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
            "--no-jupyter", "--scheduler-file", str(file),
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not file.exists() or not file.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        file.unlink()
        start_worker = partial(
            start, "dask_worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard",
            "--host", "127.0.0.1", "--local-directory", os.path.abspath("dask"),
        )  # fmt: skip
        started = [start_worker() for _ in range(workers)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with distributed.Client(address, set_as_default=False) as client:
                client.wait_for_workers(workers, timeout=60)
        yield address, scheduler, started
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
        shutil.rmtree("dask", ignore_errors=True)


@contextmanager
def killed_after(chunks, process):
    """Kill a process when so many chunks are finished, while what is within runs."""

    def kill():
        deadline = time.monotonic() + 100
        while not Path("out.zarr").exists() or len(markers()) < chunks:
            if time.monotonic() > deadline:
                return
            time.sleep(0.01)
        process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    yield
    killer.join()
    assert process.wait(timeout=10) == -signal.SIGKILL


class TestCluster:
    def test_its_workers_make_the_same_bytes(self, capsys):
        pages = noise(6, 40, 30, dtype=np.uint16)
        save_tiff("a.tif", pages)
        assert run_filter("a.tif", "-o", "here.zarr") == 0
        with cluster(workers=2) as (address, _, _):
            assert run_filter("a.tif", "-o", "there.zarr", "--scheduler", address) == 0
        assert chunks_and_markers("here.zarr") == chunks_and_markers("there.zarr")
        assert capsys.readouterr().err == ""

    def test_what_a_lost_worker_had_to_do_is_done_by_the_others(self, capsys):
        pages = save_tiff("a.tif", noise(150, 40, 30))
        with cluster(workers=2) as (address, _, workers), killed_after(10, workers[0]):
            assert run_filter("a.tif", "-o", "out.zarr", "--scheduler", address) == 0
        assert capsys.readouterr().err == ""
        np.testing.assert_array_equal(responses(), filtered(pages))

    @pytest.mark.parametrize("what", ["worker", "scheduler"])
    def test_the_last_worker_or_the_scheduler_lost_is_one_line(self, what, capsys, monkeypatch):
        from gconv._cli.stack import pool

        monkeypatch.setattr(pool, "NO_WORKER_SECONDS", 2)
        pages = save_tiff("a.tif", noise(200, 40, 30))
        with cluster(workers=1) as (address, scheduler, (worker,)):
            lost = worker if what == "worker" else scheduler
            with killed_after(5, lost):
                line = fails_in_one_line(capsys, "a.tif", "-o", "out.zarr", "--scheduler", address)
        why = {
            "worker": "the cluster has no worker",
            "scheduler": "the connection to the scheduler is lost",
        }
        assert line.startswith(f"gconv filter: a.tif: {why[what]}; ")
        assert line.endswith("of 200 chunks are finished in out.zarr, --resume goes on from there")
        kept = len(markers())
        assert 5 <= kept < 200
        assert run_filter("a.tif", "-o", "out.zarr", "--resume") == 0
        assert f"{kept} were there already" in capsys.readouterr().out
        np.testing.assert_array_equal(responses(), filtered(pages))

    def test_a_damaged_page_is_one_line(self, capsys):
        save_zarr("a.zarr", noise(4, 40, 30))
        Path("a.zarr/c/1/0/0").write_bytes(b"nothing")
        with cluster(workers=1) as (address, _, _):
            line = fails_in_one_line(capsys, "a.zarr", "-o", "out.zarr", "--scheduler", address)
        assert "page 2: cannot be read" in line
        assert "3 of 4 chunks are finished" in line

    def test_no_scheduler_is_one_line(self, capsys, monkeypatch):
        oracle("distributed")
        from gconv._cli.stack import pool

        monkeypatch.setattr(pool, "CONNECT_SECONDS", 1)
        save_tiff("a.tif", noise(2, 40, 30))
        for address in ("tcp://127.0.0.1:1", "nonsense://"):
            line = fails_in_one_line(capsys, "a.tif", "-o", "out.zarr", "--scheduler", address)
            assert f"--scheduler {address}: no scheduler answers there" in line
        assert os.listdir() == ["a.tif"]


def test_a_sheet_without_its_array_is_not_replaced(capsys):
    save_tiff("a.tif", noise(2, 20, 20))
    Path("out.png").write_text("a photograph")
    for option in ("--force", "--resume"):
        assert "out.png exists already" in fails_in_one_line(
            capsys, "a.tif", "-o", "out.zarr", option)
        assert Path("out.png").read_text() == "a photograph"
        assert not Path("out.zarr").exists()


def test_files_of_others_among_the_markers_are_none(capsys):
    save_tiff("a.tif", noise(2, 20, 20))
    assert main(["filter", "a.tif", "-o", "out.zarr"]) == 0
    before = responses()
    Path("out.zarr", outputs.MARKERS, ".DS_Store").touch()
    assert main(["filter", "a.tif", "-o", "out.zarr", "--resume"]) == 0
    assert np.array_equal(responses(), before)
