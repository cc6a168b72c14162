"""The main job, ``gconv filter``: every kernel on every channel of a picture, in one call."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import gconv
from gconv._cli.kernels import Bank, load_bank, named_bank
from gconv._cli.outputs import Outputs, check_outputs, name_outputs, write_whole

# What is timed runs five times; large pictures, which take long, at least twice: the first time
# includes fetching memory from the operating system.
REPETITIONS_LEAST, REPETITIONS_MOST = 2, 5
ENOUGH_SECONDS = 4.0


def run_filter(
    pictures: Sequence[Path],
    target: Path | None = None,
    *,
    bank: Path | None = None,
    save: bool = False,
    force: bool = False,
) -> int:
    """Filter pictures, draw their contact sheets and print the times.

    Parameters
    ----------
    pictures : sequence of Path
        Picture files; none of them stands for the photograph that Matplotlib ships.
    target : Path, optional
        The sheet's name for one picture, the sheets' directory for several.
    bank : Path, optional
        A ``.npy`` file of kernels (M, kh, kw), in place of the ten named ones.
    save : bool, default False
        Also write the responses, float32 (C, M, H - kh + 1, W - kw + 1), beside each sheet.
    force : bool, default False
        Replace files that exist.

    Returns
    -------
    int
        The exit status: 0, or 2 where anything could not be done. Each such thing is one line on
        stderr, and the other pictures are done all the same.
    """
    try:
        _import_extra(shows_progress=_shows_progress(pictures))
        kernels = _read_bank(bank)
        pictures = pictures or [_shipped_photograph()]
        outputs = name_outputs(pictures, target, save=save)
    except (OSError, ValueError, ImportError) as error:
        _complain(_reason(error))
        return 2
    inputs = [*pictures, bank] if bank else pictures
    obstacles = check_outputs(outputs, inputs, force=force)
    jobs = []
    for picture, output, obstacle in zip(pictures, outputs, obstacles, strict=True):
        if obstacle is None:
            jobs.append((picture, output))
        else:
            _complain(f"{picture}: {obstacle}")
    failed = len(jobs) < len(pictures)
    for picture, output in _with_progress(jobs, shown=_shows_progress(pictures)):
        try:
            report = _filter_one(picture, output, kernels, force=force)
        except (OSError, ValueError, MemoryError) as error:
            _complain(f"{picture}: {_reason(error)}")
            failed = True
        else:
            _say(report)
    return 2 if failed else 0


def _filter_one(picture: Path, outputs: Outputs, bank: Bank, *, force: bool) -> list[str]:
    """Filter one picture, write what there is to write, return what to print."""
    from gconv._cli.contact_sheet import draw_sheet
    from gconv._cli.picture import read_picture

    x = read_picture(picture)
    channels, height, width = x.shape
    count, kernel_height, kernel_width = bank.kernels.shape
    if height < kernel_height or width < kernel_width:
        raise ValueError(
            f"{width} x {height} pixels are too few for kernels of {kernel_width} x {kernel_height}"
        )
    # The loop first: what the last of them returns is kept.
    calls = (loop_over_channels, gconv.filter_bank)
    responses, (looped, grouped) = time_in_turn([partial(call, x, bank.kernels) for call in calls])

    if outputs.responses is not None:
        write_whole(outputs.responses, lambda file: np.save(file, responses), force=force)
    sheet = draw_sheet(_printable(picture.name), x, responses, bank)
    write_whole(outputs.sheet, lambda file: sheet.save(file, format="PNG"), force=force)

    operations = 2 * responses.size * kernel_height * kernel_width
    made = f"{_counted(channels * count, 'output channel')} {responses.shape}, {responses.dtype}"
    return [
        f"{picture.name} -> {', '.join(map(str, outputs.paths()))}",
        f"  input {x.shape}, kernels {bank.kernels.shape}, groups={channels} -> {made}",
        f"  one grouped call:      {grouped.describe(operations)}",
        f"  loop over {_counted(channels, 'channel') + ':':<13}{looped.describe(operations)}",
    ]


def loop_over_channels(x: NDArray[np.float32], kernels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the one grouped call returns, by one call for each channel.

    This is what one writes without groups; it is here to be timed beside the grouped call.

    Parameters
    ----------
    x : ndarray of float32, shape (C, H, W)
        The picture.
    kernels : ndarray of float32, shape (M, kh, kw)
        The bank.

    Returns
    -------
    ndarray of float32, shape (C, M, H - kh + 1, W - kw + 1)
        The responses.
    """
    for c, channel in enumerate(x):
        of_channel = gconv.filter_bank(channel[np.newaxis], kernels)
        if c == 0:
            responses = np.empty((len(x), *of_channel.shape[1:]), of_channel.dtype)
        responses[c] = of_channel[0]
    return responses


@dataclass(frozen=True)
class Timing:
    """The best time of a few repetitions."""

    seconds: float
    repetitions: int

    def describe(self, operations: int) -> str:
        """Return time, rate and circumstances, for that many floating point operations."""
        return (
            f"{self.seconds * 1e3:9.3f} ms {operations / self.seconds / 1e9:7.1f} GFLOP/s  "
            f"(best of {self.repetitions}, {_counted(gconv.get_num_threads(), 'thread')})"
        )


def time_in_turn(
    calls: Sequence[Callable[[], NDArray[np.float32]]],
) -> tuple[NDArray[np.float32], list[Timing]]:
    """Time calls that return the same, one after the other and all over again.

    In turn, because a machine that is busy or slow for a moment should not count against one.

    Returns
    -------
    ndarray
        What the last call returned.
    list of Timing
        One for each call.
    """
    times: list[list[float]] = [[] for _ in calls]
    began = time.perf_counter()
    for repetition in range(REPETITIONS_MOST):
        if repetition >= REPETITIONS_LEAST and time.perf_counter() - began > ENOUGH_SECONDS:
            break
        for call, its_times in zip(calls, times, strict=True):
            result = None  # given back before the next is made: responses may be large
            start = time.perf_counter()
            result = call()
            its_times.append(time.perf_counter() - start)
    assert result is not None
    return result, [Timing(min(its_times), len(its_times)) for its_times in times]


def _import_extra(*, shows_progress: bool) -> None:
    """Import what the extra brings, or say in one line what is missing."""
    parts = {"PIL": "Pillow", "matplotlib": "Matplotlib"}
    if shows_progress:
        parts["rich"] = "Rich"
    missing = []
    for module, name in parts.items():
        try:
            import_module(module)
        except ImportError:
            missing.append(name)
    if missing:
        raise ImportError(f"needs {' and '.join(missing)}, part of the extra gconv[cli]")


def _read_bank(path: Path | None) -> Bank:
    if path is None:
        return named_bank()
    try:
        return load_bank(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"--bank {path}: {_reason(error)}") from error


def _shipped_photograph() -> Path:
    from matplotlib import get_data_path

    return Path(get_data_path(), "sample_data", "grace_hopper.jpg")


def _shows_progress(pictures: Sequence[Path]) -> bool:
    return len(pictures) > 1 and sys.stderr.isatty()


Job = tuple[Path, Outputs]


def _with_progress(jobs: Sequence[Job], *, shown: bool) -> Iterator[Job]:
    """Yield the jobs, with a progress bar on stderr where it is shown."""
    if not shown:
        yield from jobs
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        transient=True,
        # Rich prints around its bar what goes to stdout, but on stderr: right only on a terminal.
        redirect_stdout=sys.stdout.isatty(),
    )
    with progress:
        task = progress.add_task("", total=len(jobs))
        for job in jobs:
            progress.update(task, description=escape(_printable(job[0].name)))
            yield job
            progress.advance(task)


def _reason(error: BaseException) -> str:
    """Return an error's message in one line, without the file name, which the caller knows."""
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or " ".join(str(error).split()) or type(error).__name__


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _printable(text: str) -> str:
    """Return text without what would break the line or could not be encoded."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _say(lines: Sequence[str]) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    for line in lines:
        print(_printable(line).encode(encoding, "backslashreplace").decode(encoding))


def _complain(line: str) -> None:
    print(f"gconv filter: {_printable(line)}", file=sys.stderr)
