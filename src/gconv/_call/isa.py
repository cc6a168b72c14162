"""Which instruction set a call uses: the best that the CPU has, or the one asked for.

Instruction sets stand in order of preference. An engine module exists for each of them and for
each precision; it is imported when it is first needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import numpy as np

from gconv._call.environment import read_at_import
from gconv._engine import call
from gconv._plan import choose
from gconv._plan.machine import Machine, tuning
from gconv._plan.tuning import forced_record

PREFERENCE = ("avx512", "avx2", "generic")
VARIABLE = "GCONV_ISA"
PRECISIONS = {np.dtype(np.float32): "f32", np.dtype(np.float64): "f64"}


@cache
def usable() -> tuple[str, ...]:
    """The instruction sets that are built and that this CPU can run, best first."""
    return tuple(
        isa
        for isa in PREFERENCE
        if call.cpu_supports(isa) and find_spec(f"gconv._engine.{isa}_f32") is not None
    )


def chosen() -> str:
    """The instruction set to use: GCONV_ISA where it is set, else the best.

    Raises
    ------
    ValueError
        Where GCONV_ISA names no instruction set, or one that this CPU or build lacks.
    """
    asked = os.environ.get(VARIABLE, "")
    if not asked:
        return usable()[0]
    if asked not in PREFERENCE:
        raise ValueError(f"gconv: {VARIABLE}={asked!r} is not one of {', '.join(PREFERENCE)}")
    if asked not in usable():
        raise ValueError(
            f"gconv: {VARIABLE}={asked!r} cannot run here (this CPU or this build lacks it); "
            f"usable: {', '.join(usable())}"
        )
    return asked


_current = read_at_import(chosen)
read_at_import(forced_record)  # a bad name is an error now, not at the first plan


def current() -> str:
    """The instruction set that calls use."""
    return _current


def setting() -> tuple[object, ...]:
    """All that a plan depends on besides its problem."""
    return _current, choose.forced_tile


@contextmanager
def use_isa(name: str) -> Iterator[None]:
    """Make plans for another instruction set; not thread-safe, for tests and benchmarks.

    Raises
    ------
    ValueError
        Where it is not usable.
    """
    global _current
    if name not in usable():
        raise ValueError(f"gconv: instruction set {name!r} is not one of {usable()}")
    before, _current = _current, name
    try:
        yield
    finally:
        _current = before


@cache
def engine(isa: str, dtype: np.dtype[np.floating]) -> ModuleType:
    """The engine module for an instruction set and a precision."""
    return import_module(f"gconv._engine.{isa}_{PRECISIONS[dtype]}")


def machine(dtype: np.dtype[np.floating]) -> Machine:
    """What plans must know of the current instruction set in a precision."""
    return machine_of(_current, dtype)


@cache
def machine_of(isa: str, dtype: np.dtype[np.floating]) -> Machine:
    """The same of any instruction set; the engine's records are compared with ours once."""
    return choose.machine_of(isa, engine(isa, dtype), dtype.itemsize, tuning())


@cache
def steps_of(isa: str) -> ModuleType:
    """The engine's module of steps for any instruction set; the records are compared with ours
    once."""
    from gconv._steps import record  # no call of a layer needs steps

    module = import_module(f"gconv._engine.{isa}_steps")
    record.check(module)
    return module


def steps() -> ModuleType:
    """The same for the current instruction set."""
    return steps_of(_current)
