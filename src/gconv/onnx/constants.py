"""Constants of a model, each in one of the forms that steps read: as it is, or packed.

Weights are most of a model, and most convolutions read them packed alone. So the form that was
asked for last is the one that is kept; plans keep those that their steps read, and what some plan
keeps is found again. A form that nobody keeps any more is made of the kept one when it is asked
for: packed weights are put back in order, to the same bits.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gconv._call.geometry import Shape
from gconv._plan.family import packed_weights, packs_all, unpacked_weights
from gconv._plan.items import Layout
from gconv._plan.memory import Slab

Array: TypeAlias = NDArray[Any]


class Constant:
    """A value that does not change. Threads may share it.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    nbytes : int
        As it is, whatever form is kept.
    slab : Slab, optional
        Where packed forms lie.
    """

    __slots__ = ("_array", "_kept", "_packed", "dtype", "nbytes", "shape", "slab")

    def __init__(self, array: Array, slab: Slab | None = None) -> None:
        self.slab = slab
        self.shape: Shape = array.shape
        self.dtype: np.dtype[Any] = array.dtype
        self.nbytes: int = array.nbytes
        # The array and no layout, or what is packed and its layout: replaced whole.
        self._kept: tuple[Array, Layout | None] = (array, None)
        self._array = weakref.ref(array)
        self._packed: weakref.WeakValueDictionary[Hashable, Array] = weakref.WeakValueDictionary()

    @property
    def held(self) -> int:
        """Bytes of the value as it is, where somebody keeps it so."""
        return 0 if self._array() is None else self.nbytes

    @property
    def packings(self) -> list[Array]:
        """The packed forms that somebody keeps."""
        found = (reference() for reference in self._packed.valuerefs())
        return [packed for packed in found if packed is not None]

    def as_it_is(self) -> Array:
        """The value; the kept form stays the kept one."""
        kept, layout = self._kept
        if layout is None:
            return kept
        array = self._array()
        if array is None:
            array = unpacked_weights(layout, kept, self.shape)
            array.flags.writeable = False
            self._array = weakref.ref(array)
        return array

    def array(self) -> Array:
        """The value, which is kept as it is from here on."""
        array = self.as_it_is()
        self._kept = array, None
        return array

    def packed(self, layout: Layout) -> tuple[Array | None, bool]:
        """The value as the tiles of a layout read it, None where they read it as it is; and
        whether it has been packed for that. The packed form is kept from here on."""
        key = layout.family.pack_key(layout)
        if key is None:
            return None, False
        packed = self._packed.get(key)
        new = packed is None
        if packed is None:
            packed = self._packed[key] = packed_weights(
                layout, self.as_it_is(), self.slab)
        if packs_all(layout, math.prod(self.shape)):
            self._kept = packed, layout
        return packed, new


class Constants(Mapping[str, Array]):
    """Constants by their names: a mapping to arrays, which asks for them as they are.

    Parameters
    ----------
    arrays : mapping of str to array
    known : iterable of (array, Constant), optional
        What some of the arrays are kept in already; arrays of several names are kept once.

    Attributes
    ----------
    by_name : dict of str to Constant
    """

    def __init__(
        self, arrays: Mapping[str, Array], known: Iterable[tuple[Array, Constant]] = (),
    ) -> None:
        found = {id(array): constant for array, constant in known}
        slab = Slab(sum(array.nbytes for array in arrays.values() if id(array) not in found))
        self.by_name: dict[str, Constant] = {}
        for name, array in arrays.items():
            constant = found.get(id(array))
            if constant is None:
                constant = found[id(array)] = Constant(array, slab)
            self.by_name[name] = constant

    def __getitem__(self, name: str) -> Array:
        return self.by_name[name].array()

    def __contains__(self, name: object) -> bool:
        return name in self.by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name)

    def __len__(self) -> int:
        return len(self.by_name)

    @property
    def distinct(self) -> list[Constant]:
        """Every constant once."""
        return list({id(constant): constant for constant in self.by_name.values()}.values())

    @property
    def nbytes(self) -> int:
        """Of all constants as they are, whatever forms are kept."""
        return sum(constant.nbytes for constant in self.distinct)

    def arrays(self) -> dict[str, Array]:
        """All of them as they are; the kept forms stay the kept ones."""
        values = {id(constant): constant.as_it_is() for constant in self.distinct}
        return {name: values[id(constant)] for name, constant in self.by_name.items()}

    def beside(self, arrays: Mapping[str, Array]) -> Constants:
        """These and others; of two that have one name, the other."""
        both = Constants(arrays)
        both.by_name = {**self.by_name, **both.by_name}
        return both
