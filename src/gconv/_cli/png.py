"""Whether a PNG file has all its rows: Pillow takes one whose picture data ends early."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

SIGNATURE_BYTES = 8
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by the colour type
#: First column and row, and steps between columns and between rows, of the seven passes of an
#: interlaced picture (PNG specification, section 8.2).
PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
PIECE = 1 << 14  # bytes that are inflated at a time: at most 1032 times as many come out


def check_rows(path: Path) -> None:
    """Raise ValueError where the picture data is damaged, or holds fewer rows than the picture."""
    with path.open("rb") as file:
        file.seek(SIGNATURE_BYTES)
        _, header = next(_chunks(file))
        wanted = _size_of_rows(file.read(header))
        file.seek(SIGNATURE_BYTES)
        found = _inflated(file)
    if found < wanted:
        raise ValueError(f"its picture data ends after {found} of {wanted} bytes")


def _size_of_rows(header: bytes) -> int:
    """Return the bytes of all rows, each with the byte that names its filter."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    total = 0
    for x, y, dx, dy in PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -((x - width) // dx), -((y - height) // dy)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * depth * SAMPLES[colour] + 7) // 8)
    return total


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield kind and length of each chunk, the file standing at its content."""
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        content = file.tell()
        yield kind, length
        file.seek(content + length + 4)  # over the checksum


def _inflated(file: BinaryIO) -> int:
    """Return how many bytes the picture data is, all its chunks together."""
    inflate = zlib.decompressobj()
    found = 0
    for kind, length in _chunks(file):
        if kind == b"IDAT":
            for begin in range(0, length, PIECE):
                found += len(inflate.decompress(file.read(min(PIECE, length - begin))))
    return found + len(inflate.flush())
