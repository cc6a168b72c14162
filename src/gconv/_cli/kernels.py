"""The filter banks of the command line: ten named kernels, or those of a ``.npy`` file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gconv._cli.npy import read_npy

Taps = NDArray[np.float64]  # of shape (7, 7), before they become a bank

#: Height and width of the named kernels. One size for all of them makes the bank one array, and so
#: the whole job one grouped call; the 3 x 3 kernels stand in the middle of a border of zeros.
SIZE = 7


@dataclass(frozen=True)
class Bank:
    """Kernels that are applied together, each of them to every channel.

    Attributes
    ----------
    kernels : ndarray of float32, shape (M, kh, kw)
        Correlated with the picture as they stand, not flipped.
    names : tuple of str
        One title for each kernel.
    """

    kernels: NDArray[np.float32]
    names: tuple[str, ...]

    def keeps_brightness(self, index: int) -> bool:
        """Whether a flat area's response is brighter than zero, as the area itself is.

        It is not where the taps sum to zero (or less): such responses lie on both sides of zero,
        as those of Sobel or Gabor kernels do. The bound allows for what is left over when taps
        that cancel are rounded to float32.
        """
        taps = self.kernels[index].astype(np.float64)
        return bool(taps.sum() > 1e-5 * np.abs(taps).sum())


def named_bank() -> Bank:
    """Return the ten named kernels, in the order of the contact sheet's columns.

    Returns
    -------
    Bank
        Identity, Gaussian, sharpen and emboss, whose taps sum to one; Sobel x and y, Laplacian,
        Laplacian of Gaussian and two Gabor kernels, whose taps sum to zero.

    Notes
    -----
    ``y`` runs down the picture, as rows do. A Gabor kernel's angle is the direction in which its
    wave travels, counted counter-clockwise from the x axis as one sees it: Gabor 45° answers to
    stripes that run from the upper left to the lower right.
    """
    bank = {
        "identity": _centred([[1]]),
        "Gaussian": _gaussian(sigma=1.5),
        "sharpen": _centred([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
        "emboss": _centred([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]),
        "Sobel x": _centred([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
        "Sobel y": _centred([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
        "Laplacian": _centred([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
        "Laplacian of Gaussian": _laplacian_of_gaussian(sigma=1.2),
        "Gabor 45°": _gabor(degrees=45, wavelength=4.0, sigma=1.7),
        "Gabor 135°": _gabor(degrees=135, wavelength=4.0, sigma=1.7),
    }
    return Bank(np.stack(list(bank.values())).astype(np.float32), tuple(bank))


def load_bank(path: Path) -> Bank:
    """Read a bank of kernels from a ``.npy`` file.

    Parameters
    ----------
    path : Path
        An array of shape (M, kh, kw) with at least one kernel and one tap, of integers or floating
        point numbers; it is used as float32.

    Returns
    -------
    Bank
        Its kernels are called "kernel 1" to "kernel M".

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is no such array. Pickled arrays are refused, because reading one runs its code.
    """
    array = read_npy(path)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"kernels are real numbers, not dtype {array.dtype}")
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(f"kernels have the shape (M, kh, kw), not {array.shape}")
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused below
        kernels = array.astype(np.float32)
        # The most that a response can be, and as much again and more for what a thumbnail's
        # filter adds at edges.
        greatest = 4 * np.abs(kernels).sum(axis=(1, 2))
    if not np.isfinite(greatest).all():
        raise ValueError("taps must be finite, and a kernel's taps must add up to less than 8e37")
    return Bank(kernels, tuple(f"kernel {m}" for m in range(1, len(kernels) + 1)))


def _centred(taps: Sequence[Sequence[float]]) -> Taps:
    border = (SIZE - len(taps)) // 2
    return np.pad(np.asarray(taps, dtype=np.float64), border)


def _grid() -> tuple[Taps, Taps]:
    """Return x (to the right) and y (down) of each tap, the middle one at the origin."""
    y, x = np.mgrid[:SIZE, :SIZE] - float(SIZE // 2)
    return x, y


def _gaussian(sigma: float) -> Taps:
    x, y = _grid()
    bell: Taps = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return bell / np.float64(bell.sum())


def _laplacian_of_gaussian(sigma: float) -> Taps:
    x, y = _grid()
    square = (x**2 + y**2) / sigma**2
    kernel: Taps = (square - 2) / sigma**2 * _gaussian(sigma)
    # The sum vanishes over the whole plane only: take what the 7 x 7 cut leaves out of the bell.
    return kernel - np.float64(kernel.sum()) * _gaussian(sigma)


def _gabor(degrees: float, wavelength: float, sigma: float) -> Taps:
    x, y = _grid()
    angle = np.deg2rad(degrees)
    along = x * np.cos(angle) - y * np.sin(angle)  # minus: y runs down, the angle turns up
    wave: Taps = np.cos(2 * np.pi * along / wavelength)
    bell = _gaussian(sigma)
    kernel = bell * wave
    return kernel - np.float64(kernel.sum()) * bell
