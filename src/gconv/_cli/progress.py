"""A progress bar on stderr, where that is a terminal and the work takes a while."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

from gconv._cli.messages import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bar:
    """How many pictures are done; a large one counts band by band.

    A single picture, or model, has no bar unless it comes in many bands, or rounds.

    Parameters
    ----------
    pictures : int
        How many there will be.
    measures : bool, default False
        The work is being timed: the bar is drawn only where something is said, since a thread
        that redraws it would take a core; and there is none where Rich is not installed.
    remaining : bool, default False
        Also say how much longer it takes.

    Raises
    ------
    ImportError
        There would be a bar, but Rich is not installed. For a single picture `advance` raises it.
    """

    def __init__(self, pictures: int, *, measures: bool = False, remaining: bool = False) -> None:
        self._pictures = pictures
        self._measures = measures
        self._remaining = remaining
        self._finished = 0
        self._name = ""
        self._bar: tuple[Progress, TaskID] | None = None
        if pictures > 1:
            self._show()

    def start(self, name: str) -> None:
        """Say which picture is next."""
        self._name = name
        self._update(0.0)

    def advance(self, done: int, bands: int) -> None:
        """Say how many of the picture's bands are done."""
        if self._bar is None and bands > 1:
            self._show()
        self._update(done / bands)

    def finish(self, pictures: int = 1) -> None:
        """Say that the picture, or several, are done, or cannot be."""
        self._finished += pictures
        self._update(0.0)

    def _update(self, part: float) -> None:
        if self._bar is not None:
            from rich.markup import escape

            progress, task = self._bar
            name = escape(printable(self._name))
            progress.update(
                task, description=name, completed=self._finished + part, refresh=self._measures
            )

    def _show(self) -> None:
        if not sys.stderr.isatty():
            return
        try:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )
        except ImportError as error:
            if self._measures:
                return
            raise ImportError("needs Rich, part of the extra gconv[cli]") from error
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn() if self._pictures > 1 else TextColumn("{task.percentage:3.0f} %"),
            *([TimeRemainingColumn()] if self._remaining else []),
            console=Console(stderr=True),
            transient=True,
            auto_refresh=not self._measures,
            # Rich prints around its bar what goes to stdout, but on stderr: right only on a
            # terminal.
            redirect_stdout=sys.stdout.isatty(),
        )
        progress.start()
        self._bar = progress, progress.add_task("", total=self._pictures)

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar[0].stop()
