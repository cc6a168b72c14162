"""Where the results of a command go: their names, what may not be replaced, whole files."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

EXISTS = "exists already (--force replaces it)"


@dataclass(frozen=True)
class Outputs:
    """The files that one picture's results go to.

    Attributes
    ----------
    sheet : Path
        The contact sheet, a PNG.
    responses : Path or None
        The responses, a ``.npy`` file beside the sheet; None where they are not asked for.
    """

    sheet: Path
    responses: Path | None

    def paths(self) -> list[Path]:
        """Return the files there will be."""
        return [self.sheet] if self.responses is None else [self.sheet, self.responses]


def name_outputs(
    pictures: Sequence[tuple[Path, int | None]], target: Path | None, *, several: bool, save: bool
) -> list[Outputs]:
    """Say which files each picture's results go to.

    Parameters
    ----------
    pictures : sequence of (Path, int or None)
        Picture files, each with the page if it is one of several.
    target : Path or None
        For one picture the sheet's name, or a directory there is; for several the directory of
        their sheets, made if it is missing. None stands for the current directory.
    several : bool
        Whether there are, or were to be, several pictures or pages.
    save : bool
        Whether the responses are written too.

    Returns
    -------
    list of Outputs
        One for each picture, in the same order. A sheet without a name of its own is called after
        its picture: ``<stem>.gconv.png``, or ``<stem>.page<N>.gconv.png``.

    Raises
    ------
    ValueError
        The target is a file where a directory is wanted, or is not called ``.png``.
    OSError
        The directory cannot be made; the message names it.
    """
    directory = target or Path()
    if target is not None and not os.path.isdir(target):
        is_png = target.suffix.lower() == ".png"
        if not several:
            if not is_png:
                raise ValueError(f"-o {target}: a sheet is called .png; a directory has to exist")
            return [Outputs(target, target.with_suffix(".npy") if save else None)] * len(pictures)
        if is_png or os.path.lexists(target):
            raise ValueError(
                f"-o {target}: for several pictures or pages -o is a directory, not a file"
            )
        try:
            target.mkdir(parents=True)
        except OSError as error:
            raise OSError(f"-o {target}: {error.strerror}") from error
    stems = [
        directory / f"{picture.stem}{'' if page is None else f'.page{page}'}.gconv"
        for picture, page in pictures
    ]
    return [Outputs(Path(f"{stem}.png"), Path(f"{stem}.npy") if save else None) for stem in stems]


def check_outputs(
    jobs: Sequence[Outputs], inputs: Iterable[Path], *, force: bool
) -> list[str | None]:
    """Say of each picture's outputs why they may not be written, before anything is done.

    Parameters
    ----------
    jobs : sequence of Outputs
        What is going to be written.
    inputs : iterable of Path
        Files that are read. No output may replace one of them, not even by force.
    force : bool
        Whether other files may be replaced.

    Returns
    -------
    list of str or None
        One reason for each job, None where nothing stands in its way.
    """
    read = {os.path.realpath(path) for path in inputs}
    taken: set[str] = set()
    reasons: list[str | None] = []
    for job in jobs:
        found = (_obstacle(path, read, taken, force=force) for path in job.paths())
        reason = next(filter(None, found), None)
        if reason is None:
            taken.update(os.path.realpath(path) for path in job.paths())
        reasons.append(reason)
    return reasons


def check_files(paths: Iterable[Path], inputs: Iterable[Path], *, force: bool) -> None:
    """Refuse files that may not be written, before anything is done.

    Parameters
    ----------
    paths : iterable of Path
        What is going to be written: files of different names.
    inputs, force
        As for `check_outputs`.

    Raises
    ------
    ValueError
        One may not be written; the message names it.
    """
    read = {os.path.realpath(path) for path in inputs}
    for path in paths:
        reason = _obstacle(path, read, set(), force=force)
        if reason is not None:
            raise ValueError(reason)


def _obstacle(path: Path, read: set[str], taken: set[str], *, force: bool) -> str | None:
    """Return why ``path`` may not be written, or None."""
    if os.path.realpath(path) in read:
        return f"{path} would replace a file that is read"
    if os.path.realpath(path) in taken:
        return f"{path} is written for another of these pictures"
    if os.path.isdir(path):
        return f"{path} is a directory"
    if os.path.lexists(path) and not force:
        return f"{path} {EXISTS}"
    if not os.path.isdir(path.parent):
        return f"there is no directory {path.parent}"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return f"the directory {path.parent} is not writable"
    return None


class NotWritten(OSError):
    """An output that cannot be written; the message names it."""


@contextlib.contextmanager
def whole_file(path: Path, *, force: bool) -> Iterator[Path]:
    """Have a file written under another name, so that it is either complete or not there.

    Parameters
    ----------
    path : Path
        The file's name.
    force : bool
        Whether a file of this name may be replaced. It is asked again here, because the work
        before may have taken long enough for somebody else to write one.

    Yields
    ------
    Path
        What to write meanwhile. It is renamed at the end, or taken away after any error.

    Raises
    ------
    NotWritten
        The file cannot be written, or exists.
    """
    unfinished = path.with_name(f".gconv-{os.getpid()}{path.suffix}.part")
    try:
        yield unfinished
        if os.path.lexists(path) and not force:
            raise OSError(EXISTS)
        unfinished.replace(path)
    except NotWritten:  # another file, written within
        raise
    except OSError as error:
        raise NotWritten(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):  # it is gone, or never was
            unfinished.unlink()


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Make exceptions of signals that end the process, so that unfinished files are taken away."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    changed = []
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores one
                signal.signal(number, end)
                changed.append(number)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)
