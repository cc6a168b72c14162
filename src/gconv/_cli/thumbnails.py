"""Planes that come in bands of rows, brought to the size of a box without keeping them.

What a reduced row takes from the rows of a plane are products and sums, so the rows may be given
back as soon as their share is added. This is the part that has to keep up with the filters, and
it is a convolution: the rows of a band are channels, the reduced rows that they touch are output
channels, and the kernel is one column wide.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import gconv

LOBES = 3  # of the Lanczos filter, on either side of its middle


class Thumbnails:
    """Planes of one size on their way to another.

    Averaged by a Lanczos filter along an axis that shrinks; along one that grows, the nearest
    pixel is repeated, so that the pixels of a small picture are seen.

    Parameters
    ----------
    planes : int
        How many there are.
    size, box : (int, int)
        Width and height before and after.
    """

    def __init__(self, planes: int, size: tuple[int, int], box: tuple[int, int]) -> None:
        self._reduced = np.empty((planes, box[1], box[0]), np.float32)
        self._shares = _shares(size[1], box[1])
        self._narrowed = None if size[0] == box[0] else gconv.Conv1d(_matrix(size[0], box[0]))
        self._row = 0  # the first that has not been added
        self._done = 0  # reduced rows that lack nothing
        self._begun = np.empty((planes, 0, size[0]), np.float32)  # those after them, so far

    def add(self, band: NDArray[np.float32]) -> None:
        """Add the rows that follow.

        Parameters
        ----------
        band : ndarray of float32, shape (planes, rows, W)
            As many rows as one likes.
        """
        first, last = self._row, self._row + band.shape[1]
        touched = [share for share in self._shares[self._done :] if share[0] < last]
        weight = np.zeros((len(touched), last - first, 1), np.float32)
        finished = 0
        for row, (begin, taps) in zip(weight, touched, strict=True):
            end = begin + len(taps)
            at, to = max(begin, first), min(end, last)
            row[at - first : to - first, 0] = taps[at - begin : to - begin]
            finished += end <= last
        sums = gconv.conv1d(band, weight)
        sums[:, : self._begun.shape[1]] += self._begun
        self._reduced[:, self._done : self._done + finished] = self._narrow(sums[:, :finished])
        self._begun = sums[:, finished:].copy()
        self._row, self._done = last, self._done + finished

    def _narrow(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring finished rows (planes, n, W) to the box's width: here columns are channels."""
        if self._narrowed is None or rows.shape[1] == 0:
            return rows[:, :, : self._reduced.shape[2]]
        flat = rows.reshape(-1, rows.shape[2])
        return self._narrowed(flat.T).T.reshape(*rows.shape[:2], -1)

    def reduced(self) -> NDArray[np.float32]:
        """Return the planes in their new size, (planes, height, width), all rows being added."""
        assert self._done == self._reduced.shape[1], "rows are missing"
        return self._reduced


def _shares(rows: int, reduced: int) -> list[tuple[int, NDArray[np.float64]]]:
    """Return, for each reduced row, the first row that has a share in it, and the shares."""
    scale = rows / reduced
    middles = (np.arange(reduced) + 0.5) * scale  # in rows, whose own middles lie at 0.5, 1.5, ...
    if scale <= 1:
        return [(int(middle), np.ones(1)) for middle in middles]
    shares = []
    for middle in middles:
        begin = max(0, round(middle - LOBES * scale))
        end = min(rows, round(middle + LOBES * scale))
        distance = (np.arange(begin, end) + 0.5 - middle) / scale
        taps = np.sinc(distance) * np.sinc(distance / LOBES)
        shares.append((begin, taps / taps.sum()))
    return shares


def _matrix(columns: int, reduced: int) -> NDArray[np.float32]:
    """Return all shares of the columns as a weight of shape (reduced, columns, 1)."""
    weight = np.zeros((reduced, columns, 1), np.float32)
    for row, (begin, taps) in zip(weight, _shares(columns, reduced), strict=True):
        row[begin : begin + len(taps), 0] = taps
    return weight
