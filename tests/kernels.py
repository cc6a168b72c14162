"""The kernel families: their names, how to force one, and the plans that calls use."""

import contextlib
from typing import NamedTuple

from gconv._api import functional
from gconv._call import isa, run
from gconv._call.geometry import Parameters
from gconv._families import FAMILIES
from gconv._plan import choose


class Kernel(NamedTuple):
    """A kernel family, and which of its kinds of tiles; None: any of them."""

    family: str
    kind: str | None = None

    def __str__(self):
        return f"{self.family} {self.kind or ''}".rstrip()

    def forced(self):
        """Make plans with it, wherever it can serve."""
        return choose.use_tile(self.family, kind=self.kind)


#: Every family, each of its kinds apart where it has several; wrappers have those that they wrap.
KERNELS = [
    Kernel(family.name, kind)
    for family in FAMILIES
    for kind in ([None] if family.wraps else family.words)
]
#: Those that serve ordinary convolutions; short rows serve the steps of streams alone.
ORDINARY = [kernel for kernel in KERNELS if kernel.family not in ("short", "transposed")]


@contextlib.contextmanager
def plans(instruction_set, kernel=None):
    """Make plans for an instruction set, of one kernel wherever it can serve."""
    forced = contextlib.nullcontext() if kernel is None else kernel.forced()
    with isa.use_isa(instruction_set), forced:
        yield


def plain():
    """Make plans with the plain loop nest, which is compared with the reference."""
    return choose.use_tile("plain")


def layout_of(x, weight, *, transposed=False, **options):
    """The layout of the plan that a call with this x and new output uses."""
    validate = Parameters.of_transposed if transposed else Parameters.of_convolution
    parameters = validate("test", weight.ndim - 2, weight.shape, None, **options)
    return plan_of(parameters, x).layout


def plan_of(parameters, x, out=None, **options):
    """The plan of a call, from the parameters of its layer; options are those of plans."""
    return run.prepare(parameters.applied_to(x.shape, x.itemsize), x, out, **options).plan


def family_of(x, weight, **options):
    """The name of the family that serves a call."""
    return layout_of(x, weight, **options).family.name


@contextlib.contextmanager
def tuned(**changes):
    """Make new plans, with other constants in the tuning record."""
    kept = isa.machine_of, functional.short_cuts, choose.plans
    machine_of = isa.machine_of

    def changed(*args):
        machine = machine_of(*args)
        return machine._replace(tuning=machine.tuning._replace(name=repr(changes), **changes))

    isa.machine_of = changed
    functional.short_cuts, choose.plans = choose.BoundedCache(2**20), choose.BoundedCache(2**20)
    try:
        yield
    finally:
        isa.machine_of, functional.short_cuts, choose.plans = kept


def refuse_the_whole_way(monkeypatch):
    """Let no call succeed from here on but by a short cut."""

    def whole_way(*args, **kwargs):
        raise AssertionError("no short cut was kept")

    monkeypatch.setattr(run, "convolve", whole_way)
