"""The main job, ``gconv filter``: every kernel on every channel of a picture, and a sheet of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import gconv
from gconv._cli.kernels import Bank, load_bank, named_bank
from gconv._cli.matplotlib_data import matplotlib_data
from gconv._cli.messages import complain, counted, printable, reason, say
from gconv._cli.outputs import (
    Outputs,
    check_outputs,
    ended_by_signals,
    name_outputs,
    whole_file,
)
from gconv._cli.progress import Bar
from gconv._cli.stack.run import Options, filter_stack
from gconv._cli.stack.source import is_zarr

if TYPE_CHECKING:
    from gconv._cli.bands import Filtered, Timing
    from gconv._cli.picture import Picture

COMMAND = "filter"
PHOTOGRAPH = ("sample_data", "grace_hopper.jpg")


@dataclass(frozen=True)
class Job:
    """A picture that is to be filtered.

    Attributes
    ----------
    path : Path
        Its file.
    page : int
        Which page of it, counted from 1.
    names_page : bool
        Whether the file has others that count, so that names have to say which one it is.
    """

    path: Path
    page: int
    names_page: bool

    def label(self, name: str) -> str:
        """Return the file's name, with the page where that is needed."""
        return f"{name}, page {self.page}" if self.names_page else name


def run_filter(
    pictures: Sequence[Path],
    target: Path | None = None,
    *,
    bank: Path | None = None,
    page: int | None = None,
    save: bool = False,
    force: bool = False,
    resume: bool = False,
    scheduler: str | None = None,
) -> int:
    """Filter pictures, draw their contact sheets and print the times; or filter a stack.

    A stack it is where a directory of Zarr is to be read or written, or an option says so.

    Parameters
    ----------
    pictures : sequence of Path
        Picture files; none of them stands for the photograph that Matplotlib ships.
    target : Path, optional
        The sheet's name for one picture, the sheets' directory for several; the Zarr directory
        of a stack's responses.
    bank : Path, optional
        A ``.npy`` file of kernels (M, kh, kw), in place of the ten named ones.
    page : int, optional
        The page that counts, from 1; all of them if left out. Of a stack all are filtered, and
        it is the page that the sheet shows.
    save : bool, default False
        Also write the responses, float32 (C, M, H - kh + 1, W - kw + 1), beside each sheet.
    force : bool, default False
        Replace files that exist.
    resume : bool, default False
        Go on with the responses of a stack that an earlier run began.
    scheduler : str, optional
        The address of the Dask scheduler whose workers filter a stack.

    Returns
    -------
    int
        The exit status: 0, or 2 where anything could not be done. Each such thing is one line on
        stderr, and the other pictures are done all the same.
    """
    try:
        _import_extra()
        kernels = _read_bank(bank)
        if resume or scheduler or _names_zarr(target) or any(map(is_zarr, pictures)):
            stack = _the_stack(pictures, target, save=save)
            return filter_stack(
                stack,
                kernels,
                Options(target, page=page, resume=resume, force=force, scheduler=scheduler),
            )
        pictures = pictures or [matplotlib_data(*PHOTOGRAPH)]
        jobs, failed = _find_jobs(pictures, page)
        several = len(pictures) > 1 or len(jobs) > 1
        named = [(job.path, job.page if job.names_page else None) for job in jobs]
        outputs = name_outputs(named, target, several=several, save=save)
    except (OSError, ValueError, ImportError) as error:
        complain(COMMAND, reason(error))
        return 2
    inputs = [*pictures, bank] if bank else pictures
    obstacles = check_outputs(outputs, inputs, force=force)
    todo = []
    for job, its_outputs, obstacle in zip(jobs, outputs, obstacles, strict=True):
        if obstacle is None:
            todo.append((job, its_outputs))
        else:
            complain(COMMAND, f"{job.label(str(job.path))}: {obstacle}")
            failed = True
    try:
        with ended_by_signals(), Bar(len(todo)) as bar:
            for job, its_outputs in todo:
                failed |= not _do(job, its_outputs, kernels, bar, force=force)
    except ImportError as error:
        complain(COMMAND, reason(error))
        return 2
    return 2 if failed else 0


def _names_zarr(target: Path | None) -> bool:
    return target is not None and target.suffix.lower() == ".zarr"


def _the_stack(pictures: Sequence[Path], target: Path | None, *, save: bool) -> Path:
    """Return the stack, where the arguments name one and nothing that only pictures have."""
    if len(pictures) != 1:
        raise ValueError(f"one stack is filtered at a time; {len(pictures)} files are named")
    if target is not None and not _names_zarr(target):
        raise ValueError(f"-o {target}: the responses of a stack are called .zarr")
    if save:
        raise ValueError("--save is for pictures: the responses of a stack are always written")
    return pictures[0]


def _find_jobs(pictures: Sequence[Path], page: int | None) -> tuple[list[Job], bool]:
    """Return a job for each page that is wanted, and whether a picture had to be left out."""
    from gconv._cli.picture import find_pages

    jobs = []
    failed = False
    for path in pictures:
        try:
            pages = find_pages(path, page)
        except (OSError, ValueError, ImportError, MemoryError) as error:
            complain(COMMAND, f"{path}: {reason(error)}")
            failed = True
            continue
        names_page = len(pages.chosen) > 1 or (page is not None and pages.count > 1)
        jobs += [Job(path, number, names_page) for number in pages.chosen]
    return jobs, failed


def _do(job: Job, outputs: Outputs, bank: Bank, bar: Bar, *, force: bool) -> bool:
    """Do one job; say what was done, or what could not be, and whether it was."""
    bar.start(job.label(job.path.name))
    try:
        report = _filter_one(job, outputs, bank, bar, force=force)
    except (OSError, ValueError, MemoryError, ImportError) as error:
        complain(COMMAND, f"{job.label(str(job.path))}: {reason(error)}")
        return False
    finally:
        bar.finish()
    say(report)
    return True


def _filter_one(job: Job, outputs: Outputs, bank: Bank, bar: Bar, *, force: bool) -> list[str]:
    """Filter one picture, write what there is to write, return what to print."""
    from gconv._cli.bands import filter_in_bands
    from gconv._cli.contact_sheet import draw_sheet
    from gconv._cli.picture import read_picture

    name = job.label(job.path.name)
    picture = read_picture(job.path, job.page)
    with ExitStack() as files:
        save = outputs.responses and files.enter_context(
            whole_file(outputs.responses, force=force)
        )
        done = filter_in_bands(picture, bank, save=save, on_band=bar.advance)
        sheet = draw_sheet(
            printable(name), done.layout, done.original, done.responses, bank, calls=done.bands
        )
        with whole_file(outputs.sheet, force=force) as path:
            sheet.save(path, format="PNG")
    return [f"{name} -> {', '.join(map(str, outputs.paths()))}", *_describe(done, picture, bank)]


def _describe(done: Filtered, picture: Picture, bank: Bank) -> list[str]:
    """Return what to print of shapes, scale and times."""
    channels, count, _, _ = done.shape
    operations = 2 * prod(done.shape) * prod(bank.kernels.shape[1:])
    made = f"{counted(channels * count, 'output channel')} {done.shape}, float32"
    calls = "one grouped call" if done.bands == 1 else f"{done.bands} grouped calls"
    lines = [
        f"  input {picture.shape}, kernels {bank.kernels.shape}, groups={channels} -> {made}",
        f"  {calls + ':':<23}{_describe_time(done.grouped, operations, done.bands)}",
        f"  loop over {counted(channels, 'channel') + ':':<13}"
        f"{_describe_time(done.looped, operations, done.bands)}",
    ]
    if picture.has_own_range:
        low, high = sorted((picture.black, picture.white))
        lines.insert(1, f"  samples from {low:g} to {high:g} are taken for 0 to 1")
    return lines


def _describe_time(timing: Timing, operations: int, bands: int) -> str:
    """Return time, rate and circumstances, for that many floating point operations."""
    best = f"best of {timing.repetitions}"
    return (
        f"{timing.seconds * 1e3:9.3f} ms {operations / timing.seconds / 1e9:7.1f} GFLOP/s  "
        f"({best if bands == 1 else f'sum over {bands} bands, {best}'}, "
        f"{counted(gconv.get_num_threads(), 'thread')})"
    )


def _import_extra() -> None:
    """Look for what the extra brings, or say in one line what is missing."""
    missing = []
    try:
        import_module("PIL")
    except ImportError:
        missing.append("Pillow")
    try:
        matplotlib_data()
    except ImportError:
        missing.append("Matplotlib")
    if missing:
        raise ImportError(f"needs {' and '.join(missing)}, part of the extra gconv[cli]")


def _read_bank(path: Path | None) -> Bank:
    if path is None:
        return named_bank()
    try:
        return load_bank(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"--bank {path}: {reason(error)}") from error
