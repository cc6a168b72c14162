"""Where a step finds an array, or leaves one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gconv._engine import call

FIXED = -1  # the buffer of arrays that do not move
ABSENT = -2  # the buffer of operands that are not there

Shape = tuple[int, ...]


class Operand(NamedTuple):
    """An array in one of the buffers of a program.

    Attributes
    ----------
    buffer : int
        Which of the buffers that `Program.run` is given; FIXED for an array that does not move.
    offset : int
        Bytes from the buffer's first one to the first element; the address where it is FIXED.
    shape : tuple of int
    strides : tuple of int
        In elements; 0 along an axis that an array is repeated along.
    itemsize : int
        Bytes of an element: 4 for the float32 that steps compute with. `copy` takes others.
    """

    buffer: int
    offset: int
    shape: Shape
    strides: Shape
    itemsize: int = 4

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def broadcast(self, shape: Shape) -> Operand:
        """The same elements, repeated by NumPy's rules to fill a shape.

        Raises
        ------
        ValueError
            Where they cannot.
        """
        missing = len(shape) - len(self.shape)
        own = (1,) * missing + self.shape
        if missing < 0 or any(n not in (1, m) for n, m in zip(own, shape, strict=True)):
            raise ValueError(f"gconv: an operand of shape {self.shape} does not fill {shape}")
        steps = (0,) * missing + self.strides
        strides = tuple(
            0 if n != m else step for n, m, step in zip(own, shape, steps, strict=True))
        return self._replace(shape=shape, strides=strides)


def c_strides(shape: Shape) -> Shape:
    """The strides of C order, in elements."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def fixed(array: NDArray[Any]) -> Operand:
    """An array that does not move. Whoever takes the operand keeps the array alive."""
    strides = tuple(step // array.itemsize for step in array.strides)
    return Operand(FIXED, call.address_of(array), array.shape, strides, array.itemsize)


def within(buffer: int, base: NDArray[Any], view: NDArray[Any]) -> Operand:
    """A view of an array that is a buffer."""
    return fixed(view)._replace(
        buffer=buffer, offset=call.address_of(view) - call.address_of(base))


def check_float32(*operands: Operand | None) -> None:
    """Refuse operands of another element size than the one that steps compute with.

    Raises
    ------
    ValueError
    """
    for operand in operands:
        if operand is not None and operand.itemsize != 4:
            raise ValueError(f"gconv: a step computes with float32, not with {operand}")


def check_shape(name: str, operand: Operand | None, shape: Sequence[int]) -> None:
    """Refuse an operand of another shape.

    Raises
    ------
    ValueError
    """
    if operand is not None and operand.shape != tuple(shape):
        raise ValueError(f"gconv: {name} has shape {operand.shape}, not {tuple(shape)}")


def check_array(name: str, array: NDArray[Any] | None, shape: Sequence[int]) -> None:
    """Refuse a constant that is not a float32 array in C order of this shape.

    Raises
    ------
    ValueError
    """
    if array is not None and (
        array.dtype != np.float32 or array.shape != tuple(shape)
        or not array.flags.c_contiguous
    ):
        raise ValueError(
            f"gconv: {name} is {array.dtype} of shape {array.shape}, not float32 in C order of "
            f"shape {tuple(shape)}")
