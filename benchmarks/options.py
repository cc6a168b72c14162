"""Options that the benchmarks share. What is wrong with one is a line, and exit status 2."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import NoReturn

from gconv._bench.contenders import CONTENDERS
from gconv._bench.layers import Layer, read_layers, select_layers


class Parser(argparse.ArgumentParser):
    """A parser that refuses in one line, without the usage.

    Parameters
    ----------
    module
        The benchmark's module below `gconv._bench`; None for ``gconv bench`` itself, or an option
        of it for what that option stands for.
    doc
        Its docstring; the first line is the description.
    """

    def __init__(self, module: str | None, doc: str | None) -> None:
        prog = f"python -m gconv._bench.{module}"
        if module is None or module.startswith("--"):
            prog = " ".join(["gconv bench", *([module] if module else [])])
        super().__init__(prog=prog, description=(doc or "").splitlines()[0])

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def add_rows(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """``--rows``, a list of layers."""
    parser.add_argument(
        "--rows",
        type=_layers,
        default=default or read_layers(),
        metavar="NAME,class:KIND",
        help="which layers (some of each kind)" if default else "which layers (all)",
    )


def add_thread_counts(
    parser: argparse.ArgumentParser, default: list[int], shown: str = ""
) -> None:
    """``--threads``, a list of thread counts."""
    shown = shown or ",".join(map(str, default))
    parser.add_argument(
        "--threads", type=counts, default=default, metavar="N,N", help=f"thread counts ({shown})"
    )


def add_threads(parser: argparse.ArgumentParser, default: int) -> None:
    """``--threads``, one thread count."""
    parser.add_argument(
        "--threads", type=count, default=default, metavar="N", help=f"threads ({default})"
    )


def add_rounds(parser: argparse.ArgumentParser, default: int) -> None:
    """``--rounds``, how often each contender has a turn."""
    parser.add_argument(
        "--rounds", type=count, default=default, metavar="N", help=f"rounds ({default})"
    )


def add_contenders(parser: argparse.ArgumentParser) -> None:
    """``--contenders``, a list of names; None for the usual ones."""
    parser.add_argument(
        "--contenders",
        type=partial(known_names, CONTENDERS),
        metavar="NAME,NAME",
        help=f"which of {', '.join(CONTENDERS)} (those in float32)",
    )


def count(text: str) -> int:
    """A positive number."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return number


def writable(text: str) -> Path:
    """A file that can be written as far as its directory is concerned."""
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path.parent} is not a directory")
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a directory")
    return path


def _layers(text: str) -> list[Layer]:
    try:
        return select_layers(read_layers(), text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}") from error


def counts(text: str) -> list[int]:
    """Positive numbers, the least first."""
    return sorted({count(part) for part in text.split(",")})


def known_names(known: Collection[str], text: str) -> list[str]:
    """Names of contenders, each once."""
    names = list(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(
                f"no contender {name!r}; there are {', '.join(known)}"
            )
    return names
