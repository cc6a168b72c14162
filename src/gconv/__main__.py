"""The command line: ``gconv run``, ``filter``, ``info`` and ``bench``, also ``python -m gconv``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import gconv
from gconv._cli.parser import parse


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; those of this process if left out.

    Returns
    -------
    int
        The exit status: 0; 1 where `gconv bench` finds a wrong result; 2 where something could
        not be done; as of a signal, 130 after an interrupt and 141 where the reader of a pipe has
        gone.
    """
    try:
        gconv.get_num_threads()  # reads what the import has not read of the environment
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    run = parse(arguments)
    try:
        status = run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        # Only printing fails here: the reader of a pipe has gone (`| head`), or a disk is full.
        # Point stdout elsewhere, or the interpreter's last flush would fail as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return 141
        print(f"gconv: stdout cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    return status


if __name__ == "__main__":
    sys.exit(main())
