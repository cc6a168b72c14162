"""One picture through the filters, in bands of rows: memory is bounded by a band, not the picture.

Without padding a row of the responses needs as many rows of the picture as the kernels are high.
So a band of responses is made of its own rows of the picture and the halo of kh - 1 rows below
them, is reduced to its share of the sheet's thumbnails and, where that is asked for, saved.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

import gconv
from gconv._cli.contact_sheet import Layout
from gconv._cli.kernels import Bank
from gconv._cli.picture import Picture
from gconv._cli.thumbnails import Thumbnails

#: Bytes of the responses of a band: of 4 to 128 rows of a picture of 12 megapixels, those of 32
#: (16 MB) were filtered and reduced fastest. Pictures whose responses are not much larger than
#: that are one band, and so one call.
BAND_BYTES = 16 << 20
ONE_BAND_BYTES = 48 << 20

#: What is timed runs several times over, where that takes no longer than this altogether.
REPETITIONS_MOST = 5
ENOUGH_SECONDS = 0.5


@dataclass(frozen=True)
class Timing:
    """Seconds of the best of a few repetitions, added up over the bands."""

    seconds: float
    repetitions: int


@dataclass(frozen=True)
class Filtered:
    """What the bank made of a picture, as far as it is kept.

    Attributes
    ----------
    layout : Layout
        The sheet's layout, which decides the sizes of the thumbnails.
    original : ndarray of float32, shape (C, height, width)
        The picture's thumbnail.
    responses : ndarray of float32, shape (C, M, height, width)
        Those of the responses.
    shape : (int, int, int, int)
        That of all responses: C, M, H - kh + 1, W - kw + 1.
    bands : int
        In how many bands they were made.
    grouped, looped : Timing
        Of the grouped calls, one for each band, and of the loop over the channels.
    """

    layout: Layout
    original: NDArray[np.float32]
    responses: NDArray[np.float32]
    shape: tuple[int, int, int, int]
    bands: int
    grouped: Timing
    looped: Timing


def filter_in_bands(
    picture: Picture,
    bank: Bank,
    *,
    save: Path | None = None,
    on_band: Callable[[int, int], object] = lambda done, bands: None,
) -> Filtered:
    """Apply every kernel to every channel of a picture.

    Parameters
    ----------
    picture : Picture
        The picture.
    bank : Bank
        The kernels.
    save : Path, optional
        A ``.npy`` file to write the responses to, band by band.
    on_band : callable
        Is told before the first band and after each how many are done, and of how many.

    Raises
    ------
    ValueError
        The picture is smaller than the kernels.
    OSError
        The file cannot be written.
    """
    channels, height, width = picture.shape
    count, kernel_height, kernel_width = bank.kernels.shape
    if height < kernel_height or width < kernel_width:
        raise ValueError(
            f"{width} x {height} pixels are too few for kernels of {kernel_width} x {kernel_height}"
        )
    shape = channels, count, height - kernel_height + 1, width - kernel_width + 1
    rows = _rows_of_a_band(shape)
    bands = -(-shape[2] // rows)
    layout = Layout(channels, count, (width, height), (shape[3], shape[2]))
    original = Thumbnails(channels, (width, height), _size(layout.original))
    thumbnails = Thumbnails(channels * count, (shape[3], shape[2]), _size(layout.panel(0, 0)))
    memory = np.empty(channels * count * rows * shape[3], np.float32)
    if save is not None:
        _create(save, shape)
    seconds = np.zeros(2)
    on_band(0, bands)
    for band in range(bands):
        first = band * rows
        last = min(first + rows, shape[2])
        x = picture.rows(first, last + kernel_height - 1)
        y = memory[: channels * count * (last - first) * shape[3]]
        y = y.reshape(channels, count, last - first, shape[3])
        # The loop first: what the grouped call leaves is kept.
        calls = [
            partial(call, x, bank.kernels, out=y)
            for call in (loop_over_channels, gconv.filter_bank)
        ]
        if band == 0:
            repetitions = _choose_repetitions(calls, bands)
        seconds += best_in_turn(calls, repetitions)
        thumbnails.add(y.reshape(channels * count, last - first, shape[3]))
        original.add(x if last == shape[2] else x[:, : last - first])
        if save is not None:
            _write_rows(save, first, y)
        on_band(band + 1, bands)
    looped, grouped = (Timing(float(total), repetitions) for total in seconds)
    responses = thumbnails.reduced()
    return Filtered(
        layout,
        original.reduced(),
        responses.reshape(channels, count, *responses.shape[1:]),
        shape,
        bands,
        grouped,
        looped,
    )


def loop_over_channels(
    x: NDArray[np.float32], kernels: NDArray[np.float32], out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return what the one grouped call returns, by one call for each channel.

    This is what one writes without groups; it is here to be timed beside the grouped call.

    Parameters
    ----------
    x : ndarray of float32, shape (C, H, W)
        The picture, or a band of it.
    kernels : ndarray of float32, shape (M, kh, kw)
        The bank.
    out : ndarray of float32, shape (C, M, H - kh + 1, W - kw + 1), optional
        Where the responses are gathered; a new array if left out.

    Returns
    -------
    ndarray of float32
        The responses; `out` where it is given.
    """
    if out is None:
        size = [full - taps + 1 for full, taps in zip(x.shape[1:], kernels.shape[1:], strict=True)]
        out = np.empty((len(x), len(kernels), *size), np.float32)
    for channel in range(len(x)):
        one = slice(channel, channel + 1)
        gconv.filter_bank(x[one], kernels, out=out[one])
    return out


def best_in_turn(calls: Sequence[Callable[[], object]], repetitions: int) -> list[float]:
    """Return the best seconds of each call.

    They run one after the other and all over again, because a machine that is busy or slow for a
    moment should not count against one.
    """
    best = [float("inf")] * len(calls)
    for _ in range(repetitions):
        for number, call in enumerate(calls):
            start = time.perf_counter()
            call()
            best[number] = min(best[number], time.perf_counter() - start)
    return best


def _choose_repetitions(calls: Sequence[Callable[[], object]], bands: int) -> int:
    """Return how often to repeat what runs once for each band; it also fetches the memory."""
    once = bands * sum(best_in_turn(calls, 1))
    return int(min(max(ENOUGH_SECONDS / once, 1), REPETITIONS_MOST))


def _rows_of_a_band(shape: tuple[int, int, int, int]) -> int:
    """Return of how many rows the responses of a band are."""
    channels, count, height, width = shape
    of_row = channels * count * width * np.dtype(np.float32).itemsize
    return height if height * of_row <= ONE_BAND_BYTES else max(1, BAND_BYTES // of_row)


def _size(box: tuple[int, int, int, int]) -> tuple[int, int]:
    """Return width and height of a box."""
    return box[2] - box[0], box[3] - box[1]


def _create(path: Path, shape: tuple[int, ...]) -> None:
    """Make the file of an array, with room on the disk for all of it.

    A full disk would otherwise be found out by writing to mapped memory, which ends the process.
    """
    open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise  # the others mean that this file system cannot do it


def _write_rows(path: Path, first: int, rows: NDArray[np.float32]) -> None:
    """Write rows of all responses; the file is not mapped any longer than that."""
    open_memmap(path, mode="r+")[:, :, first : first + rows.shape[2]] = rows
