"""What one task does: it reads a block of pages or rows and makes the chunks that it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

import gconv
from gconv._cli.messages import reason
from gconv._cli.stack.output import Chunk, Output, digest_of
from gconv._cli.stack.source import Reader, Source

#: Bytes of float32 samples that a task reads at once, if a single chunk does not need more.
READ_BYTES = 64 << 20


@dataclass(frozen=True)
class Block:
    """A block of a stack, and its chunks that are wanted.

    Attributes
    ----------
    reader : Reader
        Of its pages.
    chunks : tuple of (int, int, int)
        Which page of the reader, the number of that page in the stack, and the band.
    """

    reader: Reader
    chunks: tuple[tuple[int, int, int], ...]


@dataclass
class Report:
    """What became of a block.

    Attributes
    ----------
    done : list of (int, int)
        Page and band of the chunks that are finished.
    damaged : dict
        The pages that cannot be read, and why.
    changed : list of int
        The pages whose samples are others than those that a finished chunk was made from.
    fatal : str or None
        What keeps all other blocks from being done too.
    """

    done: list[Chunk] = field(default_factory=list)
    damaged: dict[int, str] = field(default_factory=dict)
    changed: list[int] = field(default_factory=list)
    fatal: str | None = None


def blocks(source: Source, output: Output, wanted: Callable[[Chunk], bool]) -> Iterator[Block]:
    """Cut a stack into what is read at once, for the chunks that are wanted.

    Pages that are stored together are read together, and as many rows of them as READ_BYTES
    allow: an input of large chunks is then decoded about once. A page that cannot be read in
    bands is one block, however large it is.
    """
    form = output.form
    of_rows = (form.channels or 1) * form.width * 4
    extent = list(source.together)
    at_least = of_rows * (output.rows + output.kernels[1] - 1)
    while prod(extent) > 1 and prod(extent) * at_least > READ_BYTES:
        axis = next(axis for axis, pages in enumerate(extent) if pages > 1)
        extent[axis] = (extent[axis] + 1) // 2
    bands = max(1, READ_BYTES // (prod(extent) * of_rows * output.rows))
    if not source.in_bands:
        bands = output.bands
    starts = (range(0, pages, step) for pages, step in zip(form.pages, extent, strict=True))
    for corner in product(*starts):
        inside = tuple(
            min(step, pages - at)
            for at, step, pages in zip(corner, extent, form.pages, strict=True)
        )
        pages = [
            int(np.ravel_multi_index([a + b for a, b in zip(corner, at, strict=True)], form.pages))
            if corner
            else 0
            for at in np.ndindex(inside)
        ]
        reader = source.reader(corner, inside)
        for first in range(0, output.bands, bands):
            chunks = tuple(
                (index, page, band)
                for index, page in enumerate(pages)
                for band in range(first, min(first + bands, output.bands))
                if wanted((page, band))
            )
            if chunks:
                yield Block(reader, chunks)


def make(output: Output, kernels: NDArray[np.float32], block: Block) -> Report:
    """Filter a block and write its chunks. One thread does it: others do other blocks."""
    report = Report()
    try:
        for page, band, x in _samples(output, block, report):
            y = gconv.filter_bank(x, kernels, num_threads=1)
            try:
                output.write(page, band, y, digest_of(x))
            except (OSError, ValueError) as error:
                report.fatal = f"{output.path} cannot be written: {reason(error)}"
                return report
            report.done.append((page, band))
    except (OSError, ImportError, MemoryError) as error:
        report.fatal = reason(error)
    return report


def check(output: Output, task: tuple[Block, Sequence[str]]) -> Report:
    """Compare a block's samples with the digests of those that its chunks were made from."""
    block, digests = task
    expected = {chunk[1:]: digest for chunk, digest in zip(block.chunks, digests, strict=True)}
    report = Report()
    try:
        for page, band, x in _samples(output, block, report):
            if digest_of(x) != expected[page, band]:
                report.changed.append(page)
            report.done.append((page, band))
    except (OSError, ImportError, MemoryError) as error:
        report.fatal = reason(error)
    return report


def _samples(
    output: Output, block: Block, report: Report
) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Yield page, band and samples (C, rows, W) of each chunk, the rows below it included.

    The samples are in C order always: the strides of what is filtered are part of what decides
    on the responses' last bits, and those must not depend on how chunks are read.
    """
    bands = [band for _, _, band in block.chunks]
    begin = output.band(min(bands))[0]
    halo = output.kernels[1] - 1
    try:
        x = block.reader.read(begin, output.band(max(bands))[1] + halo)
    except ValueError as error:
        if len(block.chunks) == 1:
            report.damaged[block.chunks[0][1]] = reason(error)
            return
        # Only some of it may be damaged.
        for index, page, band in block.chunks:
            alone = Block(block.reader.only(index), ((0, page, band),))
            yield from _samples(output, alone, report)
        return
    for index, page, band in block.chunks:
        first, last = output.band(band)
        yield page, band, np.ascontiguousarray(x[index, :, first - begin : last + halo - begin])
