"""What the command line prints: every message is one line, whatever names it has to mention."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def say(lines: Sequence[str]) -> None:
    """Print lines on stdout, whatever its encoding."""
    encoding = sys.stdout.encoding or "utf-8"
    for line in lines:
        print(printable(line).encode(encoding, "backslashreplace").decode(encoding))


def complain(command: str, line: str) -> None:
    """Print on stderr what a command could not do."""
    print(f"gconv {command}: {printable(line)}", file=sys.stderr)


def reason(error: BaseException) -> str:
    """Return an error's message in one line, without the file name, which the caller knows."""
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or " ".join(str(error).split()) or type(error).__name__


def counted(number: int, noun: str) -> str:
    """Return "1 channel", "3 channels"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """Return text without what would break the line or could not be encoded."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
