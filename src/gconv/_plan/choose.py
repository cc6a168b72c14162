"""From a geometry to a plan: the problem, the family that serves it best, its layout.

A plan depends on one image's geometry, the dtype, the strides of x within an image, the
instruction set and the tuning record, and on nothing else: never on the batch, the result's
strides or the number of threads. So the order in which the taps of an output element are added,
and with it every bit of the result, is the same for all of these.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from gconv._engine import call
from gconv._plan import record
from gconv._plan.costs import Costs, Tile
from gconv._plan.family import Choice, Family
from gconv._plan.machine import Machine
from gconv._plan.problem import Problem, problem_of

if TYPE_CHECKING:
    from types import ModuleType

    import numpy as np

    from gconv._call.geometry import Geometry, Shape
    from gconv._plan.tuning import Tuning


class Sized(Protocol):
    """Something whose size is known."""

    @property
    def nbytes(self) -> int:
        """Of what it keeps alive, Python's own objects apart."""


V = TypeVar("V", bound=Sized)
CACHE_BYTES = 16 * 2**20
ENTRY_BYTES = 8192  # of the Python objects of a plan, about


class BoundedCache(Generic[V]):
    """Values under keys, bounded in bytes: those that were put in first go first.

    Reading is atomic and takes no lock, so any number of threads may share it.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._entries: dict[Hashable, V] = {}
        self._sizes: dict[Hashable, int] = {}
        self._bytes = 0
        self._lock = threading.Lock()
        self.get = self._entries.get

    def put(self, key: Hashable, value: V) -> None:
        """Keep a value, and drop the oldest where there is no room."""
        size = value.nbytes + ENTRY_BYTES
        with self._lock:
            self._bytes += size - self._sizes.pop(key, 0)
            self._entries.pop(key, None)
            self._entries[key], self._sizes[key] = value, size
            while self._bytes > self.most_bytes and len(self._entries) > 1:
                oldest = next(iter(self._sizes))
                self._entries.pop(oldest, None)
                self._bytes -= self._sizes.pop(oldest)

    def __len__(self) -> int:
        return len(self._entries)


plans: BoundedCache[call.Plan] = BoundedCache(CACHE_BYTES)


class Forced(NamedTuple):
    """A family, or one tile of it, for tests and benchmarks; 0 and None leave that open."""

    family: str
    rows: int = 0
    vectors: int = 0
    kind: str | None = None


forced_tile: Forced | None = None  # what `use_tile` forces now


@contextmanager
def use_tile(
    family: str, rows: int = 0, vectors: int = 0, kind: str | None = None
) -> Iterator[None]:
    """Make plans with one kernel family, or one tile, wherever it can serve, also within a
    wrapper. Not thread-safe; for tests and benchmarks.

    Raises
    ------
    ValueError
        Where there is no family of that name.
    """
    global forced_tile
    names = [one.name for one in families()]
    if family not in names:
        raise ValueError(f"gconv: family {family!r} is not one of {names}")
    before, forced_tile = forced_tile, Forced(family, rows, vectors, kind)
    try:
        yield
    finally:
        forced_tile = before


def families() -> tuple[Family, ...]:
    """The kernel families, imported at the first plan."""
    from gconv._families import FAMILIES

    return FAMILIES


def machine_of(isa: str, engine: ModuleType, itemsize: int, tuning: Tuning) -> Machine:
    """What plans must know of an engine module; its structs are compared with the families'
    records first.

    Raises
    ------
    ImportError
        Where they do not fit each other.
    """
    records = {name: own for family in families() for name, own in family.records.items()}
    record.check(engine, records)
    tiles = {name: tiles for name, (_, _, tiles) in engine.families.items()}
    tuning = tuning.with_vectors(engine.lanes * itemsize)
    return Machine(isa, engine, engine.lanes, itemsize, tiles, tuning)


def plan_for(
    geometry: Geometry,
    dtype: np.dtype[np.floating],
    x_strides: Shape,
    machine: Machine,
    *,
    y_in_order: bool = True,
    one_bank: bool = False,
    packs: bool = False,
    channel_major: bool = False,
    room: bool = False,
) -> call.Plan:
    """The plan of a convolution of an x with these strides (in bytes, the batch's first), from the
    cache or new. The result is in C order, or channels-last; `problem_of` explains the other
    options."""
    options = (y_in_order, one_bank, packs, channel_major, room)
    strides = (0, *x_strides[1:])  # the batch's is given with each call
    key = (geometry._replace(operator="", batch=1, batched=True), dtype, strides, options,
           machine.isa, machine.tuning.name, forced_tile)
    plan = plans.get(key)
    if plan is None:
        problem = problem_of(
            geometry, tuple(step // dtype.itemsize for step in strides), y_in_order=y_in_order,
            one_bank=one_bank, packs=packs, channel_major=channel_major, room=room)
        plan = make(problem, machine)
        plans.put(key, plan)
    return plan


def make(problem: Problem, machine: Machine) -> call.Plan:
    """A new plan of a problem."""
    chosen = choose(problem, machine, forced_tile)
    layout = chosen.family.layout(
        problem, machine, chosen.tile,
        lambda inner, wrap=False: choose(inner, machine, forced_tile, wrap=wrap))
    if not layout.regions.fit:  # taps so far apart that no panel can hold them
        last = last_resort(problem, machine)
        layout = last.family.layout(
            problem, machine, last.tile, lambda inner, wrap=False: last_resort(inner, machine))
    return record.written_plan(layout)


def choose(
    problem: Problem, machine: Machine, forced: Forced | None = None, *, wrap: bool = True
) -> Choice:
    """The family and tile that serve a problem in the least time, by their estimates.

    A forced family is taken where it serves, by itself or in a wrapper; elsewhere the choice is
    free. Without `wrap` no wrapper is asked.
    """
    candidates = [family for family in families() if wrap or not family.wraps]
    if forced is not None:
        own = [family for family in candidates if family.name == forced.family]
        wrappers = [family for family in candidates if family.wraps]
        for family in own + wrappers:
            found = cheapest([family], problem, machine, forced)
            if found is not None and found.forced:
                return found
    found = cheapest(candidates, problem, machine, None)
    assert found is not None  # the last family serves every ordinary problem, a wrapper others
    return found


def last_resort(problem: Problem, machine: Machine) -> Choice:
    """The family that needs no scratch, or the wrapper that leads to it."""
    for family in reversed(families()):
        answer = ask(family, problem, machine)
        if not isinstance(answer, str):
            return Choice(math.inf, family, answer[0][1]._replace(inner=None))
    raise AssertionError("the last family serves everything, by itself or in a wrapper")


def cheapest(
    candidates: list[Family], problem: Problem, machine: Machine, forced: Forced | None
) -> Choice | None:
    """The cheapest tile of some families, the first of equals; None where none of them serves."""
    best: Choice | None = None
    for family in candidates:
        met: list[bool] = []
        answer = ask(family, problem, machine, forced, met)
        if isinstance(answer, str):
            continue
        own = forced is not None and family.name == forced.family
        for cycles, tile in answer:
            if own and not matches(tile, forced):
                continue
            if best is None or cycles < best.cycles:
                best = Choice(cycles, family, tile, own or any(met))
    return best


def matches(tile: Tile, forced: Forced | None) -> bool:
    """Whether a tile is one that is forced."""
    return forced is None or (
        forced.rows in (0, tile.rows) and forced.vectors in (0, tile.vectors)
        and forced.kind in (None, tile.kind)
    )


def ask(
    family: Family,
    problem: Problem,
    machine: Machine,
    forced: Forced | None = None,
    met: list[bool] | None = None,
) -> str | Costs:
    """A family's estimates, or why it refuses; `met` gets whether what it wraps is forced."""

    def choose_inner(inner: Problem, wrap: bool = False) -> Choice:
        found = choose(inner, machine, forced, wrap=wrap)
        if met is not None:
            met.append(found.forced)
        return found

    if family.transposed is not None and family.transposed != problem.transposed:
        return f"serves {'transposed' if family.transposed else 'ordinary'} convolutions"
    answer = family.estimate(problem, machine, choose_inner)
    if isinstance(answer, str) or not family.specialised:
        return answer
    margin = machine.tuning.specialised
    return [(cycles * margin, tile) for cycles, tile in answer]


class Verdict(NamedTuple):
    """What a family says of a problem: why it refuses, or the cycles of its tiles."""

    family: Family
    refusal: str
    costs: Costs


def verdicts(problem: Problem, machine: Machine) -> list[Verdict]:
    """What every family says, in their order."""
    found = []
    for family in families():
        answer = ask(family, problem, machine)
        if isinstance(answer, str):
            found.append(Verdict(family, answer, []))
        else:
            found.append(Verdict(family, "", answer))
    return found
