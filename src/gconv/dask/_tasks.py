"""What workers do: the functions and the weights that the tasks of a graph call."""

from __future__ import annotations

import math
import threading
from typing import Any, NamedTuple

import numpy as np

from gconv._api import functional
from gconv._call import run
from gconv._call.arrays import Array
from gconv._call.geometry import Parameters, Shape
from gconv._engine import call
from gconv._plan.choose import BoundedCache
from gconv._plan.family import Packings

MOST_PACKINGS = 4  # as of a layer
# Of weights that a process keeps, so that they are packed once although each task brings them
# (as the multiprocessing scheduler does), or another graph does.
KEPT_BYTES = 64 * 2**20


class Window(NamedTuple):
    """What the call for one chunk of the result is given.

    Attributes
    ----------
    shape : tuple of int
        Of its x.
    places : tuple of tuples of slices
        Where each piece lies in it; zeros are everywhere else.
    padding, padding_mode, output_padding
        Of the call.
    groups : (int, int)
        The first group of its channels, and how many they are.
    """

    shape: Shape
    places: tuple[tuple[slice, ...], ...]
    padding: tuple[tuple[int, int], ...]
    padding_mode: str
    output_padding: Shape
    groups: tuple[int, int]


class Convolution:
    """An operator with its weights: one node of a graph, which every task of it is given.

    A process that is sent it several times keeps one, and with it the packed weights.
    """

    __slots__ = ("_lock", "_parts", "bias", "parameters", "token", "weight")

    def __init__(
        self, token: str, parameters: Parameters, weight: Array, bias: Array | None
    ) -> None:
        self.token, self.parameters = token, parameters
        self.weight, self.bias = weight, bias
        self._lock = threading.Lock()
        self._parts: dict[tuple[int, int], Part] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return kept, (type(self), self.token, self.parameters, self.weight, self.bias)

    def __dask_tokenize__(self) -> object:
        return type(self).__name__, self.token

    @property
    def nbytes(self) -> int:
        """Of the weights and the bias."""
        return self.weight.nbytes + (0 if self.bias is None else self.bias.nbytes)

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self.nbytes

    def __call__(
        self, x: Array, window: Window, residual: Array | None, num_threads: int | None
    ) -> Array:
        """The result for one chunk."""
        part = self._part(window.groups)
        parameters = part.parameters._replace(
            padding=window.padding,
            padding_mode=window.padding_mode,
            output_padding=window.output_padding,
        )
        return run.convolve(
            parameters.operator, x, part.weight, part.bias, residual, None, num_threads,
            parameters_of=lambda weight_shape, bias_shape: parameters,
            keep=lambda short_cut: None,
            packed_for=part.packed_for,
        )

    def _part(self, groups: tuple[int, int]) -> Part:
        with self._lock:
            part = self._parts.get(groups)
            if part is None:
                part = self._parts[groups] = Part(self, *groups)
            return part


class Part:
    """The weights of some groups, and their packings."""

    __slots__ = ("_lock", "_packings", "bias", "parameters", "weight")

    def __init__(self, whole: Convolution, first: int, count: int) -> None:
        p = whole.parameters
        inputs, outputs = p.in_channels // p.groups, p.out_channels // p.groups
        rows = inputs if p.transposed else outputs  # of the weight, in each group
        last = first + count
        self.weight = whole.weight[first * rows : last * rows]
        self.bias = None if whole.bias is None else whole.bias[first * outputs : last * outputs]
        self.parameters = p._replace(
            in_channels=count * inputs, out_channels=count * outputs, groups=count
        )
        self._packings = Packings(MOST_PACKINGS)
        self._lock = threading.Lock()

    def packed_for(self, plan: call.Plan) -> Array | None:
        """The weights as a plan wants them. Others wait while they are packed."""
        with self._lock:
            return self._packings.packed_for(plan.layout, self.weight)[0]


class Bank(Convolution):
    """`filter_bank` with its kernels, which are not packed."""

    __slots__ = ()

    def __call__(
        self, x: Array, window: Window, residual: Array | None, num_threads: int | None
    ) -> Array:
        """The responses of one chunk."""
        p = self.parameters
        return functional.filter_bank(
            x, self.weight, stride=p.stride, padding=window.padding, dilation=p.dilation,
            padding_mode=window.padding_mode, activation=p.activation, num_threads=num_threads,
        )


_kept: BoundedCache[Convolution] = BoundedCache(KEPT_BYTES)
_kept_lock = threading.Lock()


def kept(
    kind: type[Convolution],
    token: str,
    parameters: Parameters,
    weight: Array,
    bias: Array | None,
) -> Convolution:
    """The process's own convolution of this token."""
    with _kept_lock:
        known = _kept.get(token)
        if known is None:
            native = np.ascontiguousarray(weight, weight.dtype.newbyteorder("="))
            known = kind(token, parameters, native, bias)
            if known.nbytes <= KEPT_BYTES:
                _kept.put(token, known)
        return known


def cut_out(chunk: Array, part: tuple[slice, ...]) -> Array:
    """A part of a chunk; a copy where the chunk would otherwise stay in memory for little."""
    piece = chunk[part]
    return piece.copy(order="K") if 2 * piece.size <= chunk.size else piece


def convolve(
    convolution: Convolution,
    window: Window,
    pieces: list[Array],
    residual: Array | None,
    num_threads: int | None,
) -> Array:
    """One chunk of the result."""
    x = put_together(pieces, window, convolution.weight.dtype)
    return convolution(x, window, residual, num_threads)


def put_together(pieces: list[Array], window: Window, dtype: np.dtype[Any]) -> Array:
    """The x of a window, in the memory order of its largest piece."""
    shape, places = window.shape, window.places
    if len(pieces) == 1 and pieces[0].shape == shape:
        return pieces[0]
    if not pieces:
        return np.zeros(shape, dtype)
    largest = max(pieces, key=lambda piece: piece.size)
    x = np.empty_like(largest, shape=shape)
    lead = math.prod(shape[: len(shape) - len(window.padding)])
    covered = sum(math.prod(s.stop - s.start for s in place) for place in places)
    if lead * covered < x.size:
        x[...] = 0
    for piece, place in zip(pieces, places, strict=True):
        where: tuple[Any, ...] = (..., *place)
        x[where] = piece
    return x
