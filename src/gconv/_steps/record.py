"""The engine's `StepPlan` as a NumPy record: `_engine/steps.pxd` says what the fields mean.

Each kind of step has a record of its own besides, beside its builder. `check` compares all their
sizes with what the compiler made of the structs.
"""

from __future__ import annotations

from enum import IntEnum
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from gconv._engine import program
from gconv._plan.record import ADDRESS, ENUM, INT

if TYPE_CHECKING:
    from types import ModuleType

MOST_PLACES = program.most_places  # operands of a step
MOST_AXES = program.most_axes  # axes of an operand that do not collapse
MOST_OPERANDS = program.most_operands  # of a step that walks along axes


class Kind(IntEnum):
    """What a step does; the engine has the numbers."""

    CONVOLUTION = program.kinds["CONVOLUTION"]
    ELEMENTWISE = program.kinds["ELEMENTWISE"]
    COPY = program.kinds["COPY"]
    POOL = program.kinds["POOL"]
    REDUCE = program.kinds["REDUCE"]
    SOFTMAX = program.kinds["SOFTMAX"]
    LAYER_NORM = program.kinds["LAYER_NORM"]
    RESIZE = program.kinds["RESIZE"]


PLACE = np.dtype([("buffer", INT), ("offset", INT)], align=True)
STEP = np.dtype(
    [
        ("kind", ENUM), ("items", INT), ("work", INT), ("scratch", INT),
        ("place", PLACE, MOST_PLACES), ("own", ADDRESS),
    ],
    align=True,
)
AXES = np.dtype([("size", INT, MOST_AXES), ("step", INT, (MOST_OPERANDS, MOST_AXES))], align=True)

# Where the records of the kinds are: module of this package, name.
OWN = {
    Kind.CONVOLUTION: ("convolution", "CONVOLUTION"),
    Kind.ELEMENTWISE: ("elementwise", "ELEMENTWISE"),
    Kind.COPY: ("copying", "COPY"),
    Kind.POOL: ("pooling", "POOL"),
    Kind.REDUCE: ("reducing", "REDUCE"),
    Kind.SOFTMAX: ("normalising", "SOFTMAX"),
    Kind.LAYER_NORM: ("normalising", "LAYER_NORM"),
    Kind.RESIZE: ("resizing", "RESIZE"),
}


def check(engine: ModuleType) -> None:
    """Compare the records with the structs of the program and of an engine module of steps.

    Raises
    ------
    ImportError
        Where a record and its struct differ in size.
    """
    theirs = {**program.struct_sizes, **engine.struct_sizes}
    ours = {"STEP": STEP.itemsize, "AXES": AXES.itemsize}
    for kind, (module, name) in OWN.items():
        own: np.dtype[Any] = getattr(import_module(f"gconv._steps.{module}"), name)
        ours[kind.name] = own.itemsize
    if theirs != ours:
        raise ImportError(f"gconv: {engine.__name__} has other steps: {theirs}, not {ours}")
