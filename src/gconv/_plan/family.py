"""What a kernel family is to the planner: the interface that every folder of `_families` fills."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gconv._plan.items import Layout, balanced, flops_inside, work_before
from gconv._plan.memory import Slab

if TYPE_CHECKING:
    from gconv._plan.costs import Costs, Tile
    from gconv._plan.machine import Machine
    from gconv._plan.problem import Problem
    from gconv._plan.record import Keep

Array = NDArray[Any]
UNPACKED = 2**18  # elements of packed weights that are put back at once
STORES_ROWS = "stores rows of neighbours: needs a result in C order"  # a common refusal


class Words(NamedTuple):
    """A kernel in the words of `explain`: its name, and what its tiles' rows and vectors are."""

    kernel: str
    rows: str
    vectors: str


class Choice(NamedTuple):
    """The family that serves a problem best, by its estimate."""

    cycles: float  # of one image
    family: Family
    tile: Tile
    forced: bool = False  # it is the forced family, or wraps it


# Wrappers are given this to ask for what they wrap; with `wrap` that may be a wrapper as well.
Choose = Callable[..., Choice]


class Family:
    """A kernel family.

    Attributes
    ----------
    name : str
        Under which the engine's table has its kernel, and tests force it.
    words : dict
        Words by kind of tile.
    transposed : bool or None
        Whether it serves transposed convolutions, or ordinary ones; None: both.
    wraps : bool
        Whether it is a wrapper: it serves a problem by other families' plans of other problems.
    records : dict
        The dtypes of the records that its kernels read, by the kernels' names in the engine.
    specialised : bool
        Whether it is for few layers only, and so wants a measured CPU.
    in_blocks : bool
        Whether its kernel may compute blocks of groups in a wrapper's scratch: it needs no sums
        or panel there.
    """

    name: ClassVar[str]
    words: ClassVar[dict[str, Words]]
    transposed: ClassVar[bool | None] = False
    wraps: ClassVar[bool] = False
    specialised: ClassVar[bool] = False
    in_blocks: ClassVar[bool] = False
    layout_class: ClassVar[type[Layout]] = Layout
    records: ClassVar[dict[str, np.dtype[Any]]] = {}

    def estimate(self, p: Problem, machine: Machine, choose: Choose) -> str | Costs:
        """Why the family cannot serve a problem, or the cycles of one image with each tile; at
        infinity, it serves where no other does."""
        raise NotImplementedError

    def layout(
        self, p: Problem, machine: Machine, tile: Tile, choose: Choose, like: Layout | None = None
    ) -> Layout:
        """How the work is laid out; as `like`, a sibling's layout, where that is given."""
        if like is not None:
            layout = self.layout_class(self, p, machine, tile)
            layout.follow(like)
            return layout
        return balanced(self.layout_class, self, p, machine, tile)

    def own(self, layout: Layout, keep: Keep) -> Array | None:
        """The record that the family's kernel alone reads; `keep` gets what it points into."""
        return None

    def says(self, layout: Layout) -> Words:
        """The kernel in words."""
        return self.words[layout.tile.kind]

    # ---- weights ----

    def pack_key(self, layout: Layout) -> tuple[object, ...] | None:
        """What the packed weights depend on; None where tiles read them as they are."""
        p = layout.p
        return None if p.weights_are_in_order else (p.weights, p.kernel)

    def packed_size(self, layout: Layout) -> int:
        """Elements of the packed weights."""
        p = layout.p
        return p.groups * p.out_channels * p.taps

    def elements(self, layout: Layout) -> int:
        """How many of the weights the packed ones have: some taps of a transposed convolution
        meet no output."""
        p = layout.p
        return p.groups * p.out_channels * p.taps

    def pack(self, layout: Layout, ordered: Array, packed: Array) -> None:
        """Pack weights of shape (groups, out_channels, taps), taps in the order (in_channels,
        *kernel); these tiles read them in this order. Elements are moved, whatever they are:
        `unpacked_weights` packs integers."""
        packed.reshape(ordered.shape)[...] = ordered

    def pack_all(self, layout: Layout, weight: Array, packed: Array) -> None:
        """Pack weights in C order, of any shape."""
        self.pack(layout, ordered_weights(layout.p, weight), packed)

    # ---- work ----

    def work(self, layout: Layout, images: int, numbers: NDArray[np.intp]) -> NDArray[np.float64]:
        """The work of all items before each number."""
        return work_before(layout, images, numbers)

    def flops_inside(self, layout: Layout) -> int:
        """Floating-point operations of one image on elements of the image."""
        return flops_inside(layout.p)


def ordered_weights(p: Problem, weight: Array, origin: int | None = None) -> Array:
    """Weights in C order, of any shape, as (groups, out_channels, taps), taps in the order
    (in_channels, *kernel); from the problem's first tap on, or from another."""
    where = p.weights
    steps = (where.group, where.channel, where.input, *where.axis)
    return np.lib.stride_tricks.as_strided(
        weight.reshape(-1)[where.origin if origin is None else origin :],
        (p.groups, p.out_channels, p.in_channels, *p.kernel),
        [step * weight.itemsize for step in steps],
    ).reshape(p.groups, p.out_channels, p.taps)


def packed_weights(layout: Layout, weight: Array, slab: Slab | None = None) -> Array:
    """Weights in C order, of any shape, as the tiles of a layout read them, from a cache line on;
    in memory of their own, or of a slab."""
    size = layout.family.packed_size(layout)
    packed = (slab or Slab(0)).zeros(size, weight.dtype)
    layout.family.pack_all(layout, weight, packed)
    return packed


def packs_all(layout: Layout, size: int) -> bool:
    """Whether the packed weights have every element of weights of a size."""
    return layout.family.elements(layout) == size


def unpacked_weights(layout: Layout, packed: Array, shape: Sequence[int]) -> Array:
    """The weights that `packed_weights` made these of, in C order. They must have been packed
    whole: `packs_all`."""
    size = math.prod(shape)
    # Numbers that are packed in place of the weights tell where each of these went; 0 is filling.
    number = np.int32 if size < 2**31 else np.int64
    numbers = packed_weights(layout, np.arange(1, size + 1, dtype=number).reshape(shape))
    weight = np.empty(size + 1, packed.dtype)  # the last one takes the filling
    for first in range(0, packed.size, UNPACKED):
        behind = first + UNPACKED
        weight[numbers[first:behind] - 1] = packed[first:behind]
    return weight[:size].reshape(shape)


class Packings:
    """One weight's packings for the plans that it is used with, a bounded number of them: which
    was used last is dropped last. Threads may share it.

    Parameters
    ----------
    most : int
        How many are kept.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.kept: tuple[tuple[tuple[object, ...], Array], ...] = ()  # replaced whole

    @property
    def nbytes(self) -> int:
        """Of all packings."""
        return sum(packed.nbytes for _, packed in self.kept)

    def packed_for(self, layout: Layout, weight: Array) -> tuple[Array | None, bool]:
        """The weight as the tiles of a layout read it, None where they read it as it is; and
        whether another packing was dropped for it."""
        key = layout.family.pack_key(layout)
        if key is None:
            return None, False
        kept = self.kept
        found = [packed for known, packed in kept if known == key]
        packed = found[0] if found else packed_weights(layout, weight)
        others = [entry for entry in kept if entry[0] != key]
        self.kept = ((key, packed), *others[: self.most - 1])
        return packed, len(others) >= self.most
