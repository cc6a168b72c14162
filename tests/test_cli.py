"""The command line does its job, says so, and fails in one line without harm to anything."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
from interpreter import on_a_terminal, printed, run_python
from PIL import Image
from scipy.signal import correlate2d

import gconv
from gconv.__main__ import main
from gconv._cli.bands import loop_over_channels
from gconv._cli.kernels import named_bank

EXTRA = ("PIL", "matplotlib", "rich", "tifffile", "imagecodecs")


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def save_picture(name, *, size=(20, 16), mode="RGB", seed=0):
    """Write a picture of noise; ``size`` is width and height."""
    channels = {"L": (), "RGB": (3,)}[mode]
    rng = np.random.default_rng(seed)
    samples = rng.integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(samples).save(name)
    return samples


def files():
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


def fails_in_one_line(capsys, *arguments):
    """Run ``gconv filter`` with something wrong; return the one line it says about it."""
    assert main(["filter", *map(str, arguments)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("gconv filter: ")
    return lines[0]


def run(*arguments, before="", then="sys.exit(main())"):
    """Run the command line in a process of its own, which may do something before."""
    code = ["import sys", before, "from gconv.__main__ import main", then]
    return run_python("-c", "\n".join(code), *arguments)


class TestTheJob:
    def test_without_a_picture_it_takes_the_photograph_that_matplotlib_ships(self, capsys):
        assert main(["filter"]) == 0
        assert files() == ["grace_hopper.gconv.png"]
        assert "input (3, 600, 512)" in capsys.readouterr().out

    def test_it_prints_shapes_groups_output_channels_and_both_times(self, capsys):
        save_picture("a.png")
        assert main(["filter", "a.png"]) == 0
        said = capsys.readouterr()
        title, shapes, grouped, loop = said.out.splitlines()
        assert title == "a.png -> a.gconv.png"
        assert shapes.strip() == (
            "input (3, 16, 20), kernels (10, 7, 7), groups=3 -> "
            "30 output channels (3, 10, 10, 14), float32"
        )
        for line, what in ((grouped, "one grouped call:"), (loop, "loop over 3 channels:")):
            assert line.strip().startswith(what)
            milliseconds, ms, rate, unit, *_ = line.split(":")[1].split()
            assert float(milliseconds) > 0
            assert float(rate) >= 0
            assert (ms, unit) == ("ms", "GFLOP/s")
            assert "best of 5" in line
        assert said.err == ""

    def test_a_large_picture_comes_in_bands_and_the_times_are_their_sums(self, capsys):
        save_picture("a.png", size=(1500, 1200), mode="L")
        assert main(["filter", "a.png"]) == 0
        _, shapes, grouped, loop = capsys.readouterr().out.splitlines()
        assert shapes.strip().endswith("10 output channels (1, 10, 1194, 1494), float32")
        (bands,) = re.findall(r"^  (\d+) grouped calls:", grouped)
        assert int(bands) > 1
        for line in (grouped, loop):
            assert f"(sum over {bands} bands, best of " in line

    def test_a_grey_picture_is_one_group(self, capsys):
        save_picture("a.png", mode="L")
        assert main(["filter", "a.png", "--save"]) == 0
        said = capsys.readouterr().out
        assert "groups=1 -> 10 output channels (1, 10, 10, 14)" in said
        assert "loop over 1 channel:" in said
        assert np.load("a.gconv.npy").shape == (1, 10, 10, 14)

    def test_case_5_ten_kernels_on_each_of_three_channels_are_thirty_correlations(self):
        samples = save_picture("a.png", size=(40, 30))
        assert main(["filter", "a.png", "--save"]) == 0
        responses = np.load("a.gconv.npy")
        assert responses.dtype == np.float32
        assert responses.shape == (3, 10, 24, 34)
        for channel in range(3):
            plane = samples[..., channel] / 255
            for kernel, taps in enumerate(named_bank().kernels.astype(np.float64)):
                expected = correlate2d(plane, taps, mode="valid")
                bound = np.abs(taps).sum() * 49 * np.finfo(np.float32).eps
                np.testing.assert_allclose(responses[channel, kernel], expected, atol=bound, rtol=0)

    def test_case_7_the_loop_over_the_channels_gives_the_same(self):
        x = np.random.default_rng(1).random((3, 30, 40), dtype=np.float32)
        kernels = named_bank().kernels
        np.testing.assert_allclose(
            loop_over_channels(x, kernels), gconv.filter_bank(x, kernels), atol=1e-5
        )

    def test_without_save_there_is_the_sheet_alone(self):
        save_picture("a.png")
        assert main(["filter", "a.png"]) == 0
        assert files() == ["a.gconv.png", "a.png"]

    def test_the_sheet_is_a_png_with_the_usual_permissions(self):
        save_picture("a.png")
        assert main(["filter", "a.png"]) == 0
        with Image.open("a.gconv.png") as sheet:
            assert (sheet.format, sheet.mode) == ("PNG", "RGB")
        assert Path("a.gconv.png").stat().st_mode == Path("a.png").stat().st_mode


class TestNames:
    def test_each_of_several_pictures_has_its_own_sheet(self, capsys):
        for name in ("a.png", "sub/b.jpg", "c.tif"):
            save_picture(name)
        assert main(["filter", "a.png", "sub/b.jpg", "c.tif"]) == 0
        assert {"a.gconv.png", "b.gconv.png", "c.gconv.png"} <= set(files())
        assert capsys.readouterr().out.count("one grouped call") == 3

    def test_o_names_the_sheet_of_one_picture_and_the_responses_beside_it(self):
        save_picture("a.jpg")
        Path("sub").mkdir()
        assert main(["filter", "a.jpg", "-o", "sub/b.png", "--save"]) == 0
        assert files() == ["a.jpg", "sub/b.npy", "sub/b.png"]

    def test_o_may_be_a_directory_there_is(self):
        save_picture("a.jpg")
        Path("sub").mkdir()
        assert main(["filter", "a.jpg", "-o", "sub"]) == 0
        assert files() == ["a.jpg", "sub/a.gconv.png"]

    def test_o_is_the_directory_of_several_and_is_made(self):
        save_picture("a.jpg")
        save_picture("b.jpg")
        assert main(["filter", "a.jpg", "b.jpg", "-o", "new/sub"]) == 0
        assert files() == ["a.jpg", "b.jpg", "new/sub/a.gconv.png", "new/sub/b.gconv.png"]

    @pytest.mark.parametrize("target", ["sheet.jpg", "sheet", "new/"])
    def test_the_sheet_of_one_picture_is_called_png(self, target, capsys):
        save_picture("a.png")
        assert ".png" in fails_in_one_line(capsys, "a.png", "-o", target)
        assert files() == ["a.png"]

    @pytest.mark.parametrize("target", ["sheet.png", "a.png", "file"])
    def test_o_is_no_file_for_several(self, target, capsys):
        save_picture("a.png")
        save_picture("b.png")
        Path("file").touch()
        before = files()
        assert "directory" in fails_in_one_line(capsys, "a.png", "b.png", "-o", target)
        assert files() == before

    def test_odd_names_stay_in_their_line(self, capsys):
        name = "line\nbreak \udcff[bold] ñ.png"
        try:
            save_picture(name)
        except (OSError, UnicodeError):
            pytest.skip("this file system does not take such names")
        assert main(["filter", name]) == 0
        assert r"line\nbreak \udcff[bold] ñ.png -> " in capsys.readouterr().out


class TestNothingIsOverwritten:
    def test_a_sheet_that_exists_is_kept(self, capsys):
        save_picture("a.png")
        Path("a.gconv.png").write_text("precious")
        assert "--force" in fails_in_one_line(capsys, "a.png")
        assert Path("a.gconv.png").read_text() == "precious"

    def test_responses_that_exist_are_kept_and_nothing_is_done(self, capsys):
        save_picture("a.png")
        Path("a.gconv.npy").write_text("precious")
        assert "a.gconv.npy" in fails_in_one_line(capsys, "a.png", "--save")
        assert Path("a.gconv.npy").read_text() == "precious"
        assert files() == ["a.gconv.npy", "a.png"]

    def test_force_replaces_both(self):
        save_picture("a.png")
        Path("a.gconv.png").write_text("old")
        Path("a.gconv.npy").write_text("old")
        assert main(["filter", "a.png", "--save", "--force"]) == 0
        assert np.load("a.gconv.npy").shape == (3, 10, 10, 14)
        with Image.open("a.gconv.png") as sheet:
            sheet.verify()

    def test_all_outputs_are_looked_at_first_and_the_others_done(self, capsys):
        for name in "abc":
            save_picture(f"{name}.png")
        Path("c.gconv.png").write_text("precious")
        Path("a.png").write_text("no picture any more")
        assert main(["filter", "a.png", "b.png", "c.png"]) == 2
        first, second = capsys.readouterr().err.splitlines()
        assert first.startswith("gconv filter: c.png: c.gconv.png exists already")
        assert second.startswith("gconv filter: a.png: ")
        assert "b.gconv.png" in files()
        assert Path("c.gconv.png").read_text() == "precious"

    def test_what_is_read_is_not_replaced_even_by_force(self, capsys):
        save_picture("a.png")
        np.save("bank.npy", np.ones((2, 3, 3)))
        before = {name: Path(name).read_bytes() for name in files()}
        fails_in_one_line(capsys, "a.png", "-o", "a.png", "--force")
        arguments = ("-o", "bank.png", "--save", "--bank", "bank.npy", "--force")
        assert "bank.npy" in fails_in_one_line(capsys, "a.png", *arguments)
        assert {name: Path(name).read_bytes() for name in files()} == before

    def test_two_pictures_never_share_a_sheet(self, capsys):
        save_picture("a.png")
        save_picture("sub/a.jpg")
        line = fails_in_one_line(capsys, "a.png", "sub/a.jpg", "--force")
        assert line.startswith("gconv filter: sub/a.jpg: a.gconv.png is written for another")
        assert "a.gconv.png" in files()

    def test_a_file_that_appears_meanwhile_is_kept(self, capsys, monkeypatch):
        save_picture("a.png")
        compute = gconv.filter_bank

        def somebody_else_writes(*arguments, **options):
            Path("a.gconv.png").write_text("precious")
            return compute(*arguments, **options)

        monkeypatch.setattr(gconv, "filter_bank", somebody_else_writes)
        assert "exists already" in fails_in_one_line(capsys, "a.png")
        assert Path("a.gconv.png").read_text() == "precious"
        assert files() == ["a.gconv.png", "a.png"]


class TestPicturesThatCannotBeDone:
    @staticmethod
    def spoil(name):
        """Make ``bad.*``, a picture that cannot be done for the reason in its name."""
        if name == "directory.png":
            Path(name).mkdir()
        elif name == "text.png":
            Path(name).write_text("This is not a picture.")
        elif name == "empty.png":
            Path(name).touch()
        elif name == "small.png":
            save_picture(name, size=(6, 20))
        elif name.startswith("truncated"):
            save_picture(name)
            content = Path(name).read_bytes()
            Path(name).write_bytes(content[: len(content) // 2])
        elif name == "nan.tif":
            Image.fromarray(np.full((20, 20), np.nan, np.float32)).save(name)
        elif name == "lab.tif":
            Image.new("LAB", (20, 20)).save(name)

    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            ("missing.png", "No such file"),
            ("directory.png", "directory"),
            ("text.png", "not a picture"),
            ("empty.png", "not a picture"),
            ("truncated.png", "cannot be read"),
            ("truncated.jpg", "cannot be read"),
            ("truncated.tif", "cannot be read"),
            ("small.png", "6 x 20 pixels are too few for kernels of 7 x 7"),
            ("nan.tif", "finite"),
            ("lab.tif", "CIELAB"),
        ],
    )
    def test_one_line_and_the_others_are_done(self, bad, reason, capsys):
        self.spoil(bad)
        save_picture("a.png")
        save_picture("z.png")
        line = fails_in_one_line(capsys, "a.png", bad, "z.png")
        assert line.startswith(f"gconv filter: {bad}: ")
        assert reason in line
        done = {name for name in files() if ".gconv." in name}
        assert done == {"a.gconv.png", "z.gconv.png"}

    def test_a_pipe_is_one_line(self, capsys):
        os.mkfifo("a.png")
        assert "more than once" in fails_in_one_line(capsys, "a.png")

    def test_a_picture_of_the_kernels_size_is_large_enough(self):
        save_picture("a.png", size=(7, 7))
        assert main(["filter", "a.png", "--save"]) == 0
        assert np.load("a.gconv.npy").shape == (3, 10, 1, 1)

    def test_too_little_memory_is_one_line(self, capsys, monkeypatch):
        def refuse(*_, **__):
            raise MemoryError

        save_picture("a.png")
        monkeypatch.setattr(gconv, "filter_bank", refuse)
        assert "MemoryError" in fails_in_one_line(capsys, "a.png")

    def test_a_picture_of_far_too_many_pixels_is_one_line(self, capsys, monkeypatch):
        save_picture("a.png")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        assert "too many pixels" in fails_in_one_line(capsys, "a.png")


class TestBank:
    @pytest.mark.parametrize(
        "dtype", [np.float32, np.float64, ">f4", np.float16, np.int8, np.uint16]
    )
    def test_other_kernels(self, dtype, capsys):
        samples = save_picture("a.png")
        kernels = np.random.default_rng(2).integers(0, 9, (4, 3, 5)).astype(dtype)
        np.save("bank.npy", np.asfortranarray(kernels))
        assert main(["filter", "a.png", "--bank", "bank.npy", "--save"]) == 0
        assert "kernels (4, 3, 5), groups=3 -> 12 output channels" in capsys.readouterr().out
        responses = np.load("a.gconv.npy")
        expected = correlate2d(samples[..., 1] / 255, kernels[2].astype(np.float64), mode="valid")
        np.testing.assert_allclose(responses[1, 2], expected, rtol=1e-5)

    @pytest.mark.parametrize(
        ("array", "reason"),
        [
            (np.ones((3, 3)), "(M, kh, kw), not (3, 3)"),
            (np.ones((2, 1, 3, 3)), "(M, kh, kw), not (2, 1, 3, 3)"),
            (np.ones((0, 3, 3)), "(M, kh, kw), not (0, 3, 3)"),
            (np.ones((2, 0, 3)), "(M, kh, kw), not (2, 0, 3)"),
            (np.ones((2, 3, 3), complex), "complex128"),
            (np.ones((2, 3, 3), bool), "bool"),
            (np.full((2, 3, 3), "one"), "<U3"),
            (np.ones((2, 3, 3), [("a", "f4")]), "dtype"),
            (np.full((2, 3, 3), np.nan), "finite"),
            (np.full((2, 3, 3), 1e300), "finite"),
            (np.full((2, 3, 3), 3e38), "finite"),
            (np.full((2, 3, 3), 1e37), "add up"),
            (np.full((2, 3, 3), None), "pickle"),
        ],
    )
    def test_a_wrong_array_is_one_line(self, array, reason, capsys):
        save_picture("a.png")
        np.save("bank.npy", array)
        line = fails_in_one_line(capsys, "a.png", "--bank", "bank.npy")
        assert line.startswith("gconv filter: --bank bank.npy: ")
        assert reason in line.lower() or reason in line
        assert files() == ["a.png", "bank.npy"]

    @pytest.mark.parametrize("taps", [8e36, -8e36, 1e-45])
    def test_extreme_taps_warn_of_nothing(self, taps, capsys):
        """Warnings are errors here."""
        chequered = np.kron(np.indices((9, 9)).sum(axis=0) % 2, np.ones((40, 40)))
        Image.fromarray((chequered * 255).astype(np.uint8)).save("a.png")
        kernels = np.full((2, 3, 3), taps)
        kernels[1, ::2] *= -1
        np.save("bank.npy", kernels)
        assert main(["filter", "a.png", "--bank", "bank.npy"]) == 0
        assert capsys.readouterr().err == ""

    def test_a_wrong_file_is_one_line(self, capsys):
        save_picture("a.png")
        np.savez("bank.npz", np.ones((2, 3, 3)))
        np.save("short.npy", np.ones((2, 3, 3)))
        Path("short.npy").write_bytes(Path("short.npy").read_bytes()[:-8])
        Path("header.npy").write_bytes(b"\x93NUMPY\x01\x00\x05\x00oops\n")
        Path("empty.npy").touch()
        Path("directory.npy").mkdir()
        for bank, reason in [
            ("bank.npz", "not a .npy file"),
            ("a.png", "not a .npy file"),
            ("empty.npy", "not a .npy file"),
            ("short.npy", "cannot be read"),
            ("header.npy", "cannot be read"),
            ("missing.npy", "No such file"),
            ("directory.npy", "directory"),
        ]:
            assert reason in fails_in_one_line(capsys, "a.png", "--bank", bank)

    def test_a_pickle_in_it_is_never_run(self, capsys):
        class Trap:
            def __reduce__(self):
                return Path.touch, (Path("sprung"),)

        save_picture("a.png")
        np.save("bank.npy", np.array([Trap()], dtype=object), allow_pickle=True)
        fails_in_one_line(capsys, "a.png", "--bank", "bank.npy")
        assert not Path("sprung").exists()

    def test_kernels_larger_than_the_picture_are_one_line(self, capsys):
        save_picture("a.png", size=(20, 16))
        np.save("bank.npy", np.ones((2, 17, 3)))
        line = fails_in_one_line(capsys, "a.png", "--bank", "bank.npy")
        assert "20 x 16 pixels are too few for kernels of 3 x 17" in line


class TestOutputsThatCannotBeWritten:
    @pytest.mark.parametrize(
        "target",
        ["missing/sheet.png", "file/sheet.png", "directory.png/x/sheet.png", "x" * 300 + ".png"],
    )
    def test_one_line(self, target, capsys):
        save_picture("a.png")
        Path("file").touch()
        fails_in_one_line(capsys, "a.png", "-o", target)
        assert files() == ["a.png", "file"]

    def test_a_directory_in_the_sheets_place(self, capsys):
        save_picture("a.png")
        Path("a.gconv.png").mkdir()
        assert "is a directory" in fails_in_one_line(capsys, "a.png", "--force")

    def test_a_directory_that_cannot_be_made(self, capsys):
        save_picture("a.png")
        save_picture("b.png")
        Path("file").touch()
        line = fails_in_one_line(capsys, "a.png", "b.png", "-o", "file/sheets")
        assert line.startswith("gconv filter: -o file/sheets: ")

    def test_a_directory_without_permission(self, capsys, monkeypatch):
        save_picture("a.png")
        Path("locked").mkdir(mode=0o555)
        if os.access("locked", os.W_OK):  # root may write anywhere
            monkeypatch.setattr(os, "access", lambda path, *_, **__: str(path) != "locked")
        assert "not writable" in fails_in_one_line(capsys, "a.png", "-o", "locked/sheet.png")

    def test_a_full_disk_leaves_no_half_file_and_the_others_are_done(self, capsys, monkeypatch):
        save_picture("a.png")
        save_picture("b.png")

        def run_out_of_space(*_):
            if Path("a.gconv.npy").exists():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "posix_fallocate", run_out_of_space, raising=False)
        line = fails_in_one_line(capsys, "a.png", "b.png", "--save")
        assert line.startswith("gconv filter: b.png: b.gconv.npy cannot be written: No space left")
        assert files() == ["a.gconv.npy", "a.gconv.png", "a.png", "b.png"]

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_a_run_that_is_ended_leaves_nothing(self, number):
        save_picture("a.png", size=(4000, 3000))
        process = subprocess.Popen(
            [sys.executable, "-m", "gconv", "filter", "a.png", "--save"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Under nohup the tests ignore SIGHUP, and their children would inherit that.
            preexec_fn=partial(signal.signal, number, signal.SIG_DFL),
        )
        while len(files()) == 1 and process.poll() is None:
            time.sleep(0.01)
        assert any(name.endswith(".part") for name in files())
        process.send_signal(number)
        assert process.communicate(timeout=120) == ("", "")
        assert process.returncode == 128 + number
        assert files() == ["a.png"]

    def test_a_sheet_that_cannot_be_written_leaves_no_responses(self, capsys, monkeypatch):
        def run_out_of_space(*_, **__):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        save_picture("a.png")
        monkeypatch.setattr(Image.Image, "save", run_out_of_space)
        line = fails_in_one_line(capsys, "a.png", "--save")
        assert line == "gconv filter: a.png: a.gconv.png cannot be written: No space left on device"
        assert files() == ["a.png"]

    def test_a_failed_run_leaves_the_old_file(self, capsys, monkeypatch):
        def run_out_of_space(*_, **__):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        save_picture("a.png")
        Path("a.gconv.png").write_text("old")
        monkeypatch.setattr(Image.Image, "save", run_out_of_space)
        fails_in_one_line(capsys, "a.png", "--force")
        assert Path("a.gconv.png").read_text() == "old"
        assert files() == ["a.gconv.png", "a.png"]


class TestProgress:
    def test_several_pictures_show_a_bar_on_a_terminal(self):
        save_picture("a.png")
        save_picture("b.png")
        shown, out = on_a_terminal("filter", "a.png", "b.png")
        assert "2/2" in shown
        assert "one grouped call" not in shown  # stdout is not the terminal, and keeps its text
        assert out.count("one grouped call") == 2

    def test_one_picture_shows_none(self):
        save_picture("a.png")
        assert on_a_terminal("filter", "a.png")[0] == ""

    def test_a_large_picture_shows_how_many_of_its_bands_are_done(self):
        save_picture("a.png", size=(1500, 1200), mode="L")
        shown, out = on_a_terminal("filter", "a.png")
        assert "a.png" in shown
        assert " 100 %" in shown
        assert re.search(r"\d+ grouped calls:", out)

    def test_without_a_terminal_there_is_none(self):
        save_picture("a.png")
        save_picture("b.png")
        done = run("filter", "a.png", "b.png")
        assert (done.returncode, done.stderr) == (0, "")


class TestWithoutTheExtra:
    @pytest.mark.parametrize("missing", [["PIL"], ["matplotlib"], list(EXTRA)])
    def test_one_line_names_it(self, missing):
        save_picture("a.png")
        done = run("filter", "a.png", before=f"sys.modules.update(dict.fromkeys({missing!r}))")
        assert done.returncode == 2
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert "gconv[cli]" in done.stderr
        assert files() == ["a.png"]

    @pytest.mark.parametrize("terminal", [True, False])
    def test_rich_is_missed_only_where_a_bar_would_be(self, terminal):
        save_picture("a.png")
        save_picture("b.png")
        before = f"sys.modules['rich'] = None; sys.stderr.isatty = lambda: {terminal}"
        done = run("filter", "a.png", "b.png", before=before)
        assert done.returncode == (2 if terminal else 0)
        assert ("Rich, part of the extra gconv[cli]" in done.stderr) == terminal

    def test_rich_is_missed_where_a_single_picture_is_large(self):
        save_picture("a.png", size=(1500, 1200), mode="L")
        before = "sys.modules['rich'] = None; sys.stderr.isatty = lambda: True"
        done = run("filter", "a.png", "--save", before=before)
        assert done.returncode == 2
        assert done.stderr == "gconv filter: a.png: needs Rich, part of the extra gconv[cli]\n"
        assert files() == ["a.png"]

    @pytest.mark.parametrize("then", ["", "main(['info'])"])
    def test_nothing_else_imports_it(self, then):
        done = run(then=f"{then}\nprint([name for name in {EXTRA!r} if name in sys.modules])")
        assert done.stdout.splitlines()[-1] == "[]"


class TestTheProgram:
    def test_info_is_show_config(self, capsys):
        gconv.show_config()
        expected = capsys.readouterr().out
        assert main(["info"]) == 0
        assert capsys.readouterr().out == expected

    def test_info_says_what_is_wrong_in_one_line(self, capsys, monkeypatch):
        def refuse():
            raise ValueError("GCONV_NUM_THREADS=many is not a number of threads")

        monkeypatch.setattr(gconv, "show_config", refuse)
        assert main(["info"]) == 2
        assert capsys.readouterr().err.splitlines() == [
            "GCONV_NUM_THREADS=many is not a number of threads"
        ]

    @pytest.mark.parametrize(
        ("program", "command"),
        [
            *(
                ("-m gconv", command)
                for command in (
                    "info",
                    "filter",
                    "filter a.png",
                    "filter --help",
                    "bench --list",
                    "--version",
                    "",
                    "blur",
                )
            ),
            ("-Im gconv", "info"),
            ("script", "info"),
            ("script", "filter a.png"),
            ("script", "--version"),
        ],
    )
    @pytest.mark.parametrize("variable", ["GCONV_ISA=sse9", "GCONV_NUM_THREADS=many\n"])
    def test_a_bad_environment_variable_is_one_line(self, variable, program, command):
        save_picture("a.png")
        name, value = variable.split("=")
        done = run_python(*self.started_by(program), *command.split(), **{name: value})
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"gconv: {name}")
        assert repr(value) in line
        assert files() == ["a.png"]

    @pytest.mark.parametrize("program", ["-m gconv", "-Im gconv", "script"])
    def test_a_good_environment_variable_is_used(self, program):
        done = run_python(*self.started_by(program), "info", GCONV_ISA="generic")
        assert "instruction set: generic" in done.stdout

    @staticmethod
    def started_by(program):
        """Return the arguments of Python that start the program in one of the ways there are."""
        if program != "script":
            return program.split()
        (script,) = (
            Path(file.locate())
            for file in distribution("gconv").files
            if file.name == "gconv" and "bin" in file.parts
        )
        return [str(script)]

    def test_python_m_gconv(self):
        assert printed("-m", "gconv", "--version") == f"gconv {gconv.__version__}"

    @pytest.mark.parametrize("arguments", [[], ["blur"], ["filter", "--sideways"]])
    def test_wrong_usage_is_status_2(self, arguments, capsys):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        assert "usage: gconv" in capsys.readouterr().err

    def test_help_says_what_o_means(self, capsys):
        with pytest.raises(SystemExit):
            main(["filter", "--help"])
        said = " ".join(capsys.readouterr().out.split())
        assert "with several pictures" in said
        assert "<stem>.gconv.png" in said

    def test_an_interrupt_has_no_traceback(self, capsys, monkeypatch):
        def interrupt(*_, **__):
            raise KeyboardInterrupt

        save_picture("a.png")
        monkeypatch.setattr(gconv, "filter_bank", interrupt)
        assert main(["filter", "a.png", "--save"]) == 130
        assert capsys.readouterr().err == ""
        assert files() == ["a.png"]

    def test_a_reader_that_goes_away_has_no_traceback(self):
        process = subprocess.Popen(
            [sys.executable, "-m", "gconv", "info"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        process.stderr.close()
        assert process.wait(timeout=120) == 141

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
    def test_a_full_disk_under_stdout_has_no_traceback(self):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "gconv", "info"],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=120,
                check=False,
            )
        assert done.returncode == 2
        assert done.stderr == "gconv: stdout cannot be written: No space left on device\n"


def test_no_warning_reaches_stderr():
    """A palette with transparency, and more pixels than Pillow takes without one."""
    palette = Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).quantize(4)
    palette.save("a.png", transparency=bytes([0, 100, 200, 255]))
    Image.new("1", (10000, 9000)).save("b.png")
    np.save("bank.npy", np.ones((1, 1, 1)))
    arguments = ("filter", "a.png", "b.png", "--bank", "bank.npy")
    done = run_python("-X", "dev", "-W", "default", "-m", "gconv", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
