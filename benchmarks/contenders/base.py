"""What the runner asks of a contender."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconv._bench.layers import Layer

Array = NDArray[np.floating]  # float32, or the dtype of the contender


class Unsupported(Exception):
    """The contender cannot compute this layer; the message says why."""


@dataclass(frozen=True)
class Prepared:
    """One layer, ready to be called over and over.

    Attributes
    ----------
    call
        Computes the layer once; this is what is timed.
    to_numpy
        The result of `call` as an array of the layer's ``out_shape``; not timed.
    own_input_bytes
        Size of a copy of the input that exists only because the contender's input has another
        form than a C-ordered NumPy array (not counted as its memory).
    """

    call: Callable[[], Any]
    to_numpy: Callable[[Any], Array] = np.asarray
    own_input_bytes: int = 0


class Contender(ABC):
    """A library, or one way to call it.

    Attributes
    ----------
    name
        As in ``--contenders``.
    title
        As in tables.
    package
        The distribution whose version is reported and whose absence skips the contender.
    direct
        Whether it computes the sum as it stands, as against Winograd's algorithm.
    ours
        Whether it is gconv.
    dtype
        What it computes in. Those in float64 are columns of their own, and nobody's peers.
    """

    name: str
    title: str
    package: str
    direct = True
    ours = False
    dtype: type[np.floating] = np.float32

    @property
    def is_peer(self) -> bool:
        """Whether gconv is to be compared with it."""
        return not self.ours and self.dtype is np.float32

    @abstractmethod
    def load(self) -> None:
        """Import the library; raise ImportError where it is missing."""

    @abstractmethod
    def prepare(self, layer: Layer, x: Array, weight: Array, threads: int) -> Prepared:
        """Build the layer, weights packed ahead where the library can.

        Raises
        ------
        Unsupported
            If the library has no such layer.
        """
