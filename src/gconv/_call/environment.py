"""Environment variables that are read while gconv is imported.

A bad value is an error of the import. But who types `gconv info` sees no import: gconv's own
program says in one line what is wrong and ends with exit status 2, as for wrong arguments.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def read_at_import(read: Callable[[], T]) -> T:
    """Return what `read` makes of an environment variable.

    Raises
    ------
    ValueError
        As `read` raises it, where somebody imports gconv.
    SystemExit
        In its place, where gconv's own program runs; the message is on stderr.
    """
    try:
        return read()
    except ValueError as error:
        if not _is_own_program():
            raise
        print(error, file=sys.stderr)
        raise SystemExit(2) from None


def _is_own_program() -> bool:
    """Whether the process is ``gconv ...`` or ``python -m gconv ...``, asked during the import."""
    program = sys.argv[0] if getattr(sys, "argv", None) else ""
    if program == "-m":  # it stands there while Python looks for the module, and so imports gconv
        names = (argument.removeprefix("-m") for argument in sys.orig_argv)
        return any(name.split(".")[0] == "gconv" for name in names)
    return os.path.basename(program) == "gconv"
