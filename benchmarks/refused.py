"""What a benchmark cannot do, and files that it writes."""

from __future__ import annotations

from pathlib import Path


class Refused(Exception):
    """Something that cannot be done; the message is one line."""


def prepare_plots(directory: Path) -> None:
    """Find out before measuring whether plots can be drawn and written."""
    try:
        import gconv._bench.plots  # noqa: F401
    except ImportError as error:
        raise Refused(f"--plots needs the extra gconv[bench]: {error}") from None
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"--plots {directory}: {error.strerror}") from error


def write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from error


def print_or_write(text: str, path: Path | None) -> None:
    """Write a text to a file, or to standard output where there is none."""
    if path:
        write(path, text)
    else:
        print(text)
