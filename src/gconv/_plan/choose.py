"""From a geometry to a plan: which kernel, which tiles, which work items, how much scratch.

A plan depends on one image's geometry, the dtype, the strides of x and of the result and the
instruction set, and on nothing else: never on the batch or the number of threads. So the order in
which the taps of an output element are added, and with it every bit of the result, is the same for
all of these.

Constants say where they come from; `benchmarks/` measures them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache

import numpy as np

from gconv._call.environment import read_at_import
from gconv._call.geometry import Geometry, Shape
from gconv._call.isa import chosen, engine, usable
from gconv._engine import call
from gconv._plan.problem import Family, problem_of
from gconv._plan.spec import spec_of
from gconv._plan.tiles import Machine, Tile
from gconv._plan.transposed import transposed_spec_of

# ---- the current instruction set, and tests' way to another -----------------------------------

_isa_name = read_at_import(chosen)
_forced_tile: Tile | None = None


def usable_isas() -> tuple[str, ...]:
    """The instruction sets that plans can be made for here."""
    return usable()


def current_isa() -> str:
    """The instruction set that plans are made for."""
    return _isa_name


def current() -> tuple[str, Tile | None]:
    """All that a new plan depends on besides its problem."""
    return _isa_name, _forced_tile


@contextmanager
def use_isa(name: str) -> Iterator[None]:
    """Make plans for another instruction set; not thread-safe, for tests and benchmarks."""
    global _isa_name
    if name not in usable_isas():
        raise ValueError(f"gconv: instruction set {name!r} is not one of {usable_isas()}")
    before, _isa_name = _isa_name, name
    try:
        yield
    finally:
        _isa_name = before


@contextmanager
def use_tile(family: Family, rows: int = 0, vectors: int = 0) -> Iterator[None]:
    """Make plans with one kernel family, or one tile, wherever it can serve.

    Not thread-safe; for tests and benchmarks.
    """
    global _forced_tile
    before, _forced_tile = _forced_tile, (family, rows, vectors)
    try:
        yield
    finally:
        _forced_tile = before


# ---- making a plan ----------------------------------------------------------------------------


def plan_for(
    geometry: Geometry,
    dtype: np.dtype[np.floating],
    x_strides: Shape,
    *,
    packs: bool = False,
    channel_major: bool = False,
    room: bool = False,
    one_bank: bool = False,
    y_strides: Shape | None = None,
) -> call.Plan:
    """The plan of a convolution of an x with these strides (in bytes), from the cache or new.

    `y_strides` (in bytes) are those of the result where it is not in C order.

    `packs` says that weights come as they are, and are packed as they are needed; `one_bank` that
    they are those of one group, and serve every group.
    `channel_major` makes the order of the sum independent of the size of x: all plans for the
    same kernel, channels, dtype and instruction set then give the same bits.
    `room` says that a vector may be read from where the last element of x lies.
    """
    return _cached(geometry._replace(operator="", batch=1, batched=True), dtype, x_strides,
                   packs, channel_major, room, one_bank, y_strides, _isa_name, _forced_tile)


@lru_cache(maxsize=512)
def _cached(
    geometry: Geometry,
    dtype: np.dtype[np.floating],
    x_strides: Shape,
    packs: bool,
    channel_major: bool,
    room: bool,
    one_bank: bool,
    y_strides: Shape | None,
    isa: str,
    forced: Tile | None,
) -> call.Plan:
    strides = tuple(s // dtype.itemsize for s in x_strides)
    if geometry.transposed:
        spec = transposed_spec_of(geometry, strides, machine(isa, dtype), forced, packs)
    else:
        to = None if y_strides is None else tuple(s // dtype.itemsize for s in y_strides)
        problem = problem_of(geometry, strides, to)
        problem.channel_major = channel_major
        problem.room = room
        if one_bank:
            problem.weights = problem.weights._replace(group=0)
        spec = spec_of(problem, machine(isa, dtype), forced, packs)
    return call.Plan(spec, engine(isa, dtype))


@cache
def machine(isa: str, dtype: np.dtype[np.floating]) -> Machine:
    """The lanes and tiles of an instruction set in a precision."""
    module = engine(isa, dtype)
    return Machine(module.lanes, dtype.itemsize, module.tile_limits())
