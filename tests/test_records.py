"""The engine's structs and the planner's records are the same."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gconv._call.isa import PRECISIONS, engine, usable
from gconv._plan import record

SOURCE = Path(__file__).parents[1] / "src" / "gconv"
ENGINE = SOURCE / "_engine" / "plan.pxd"


def own(family: str, file: str = "kernel") -> tuple[Path, object]:
    """The source that has a family's struct, and the module of its records."""
    source = SOURCE / "_families" / family / f"{file}.pxi"
    return source, import_module(f"gconv._families.{family}.family")


STRUCTS = {
    "ProblemPlan": (ENGINE, record, "PROBLEM"),
    "WorkPlan": (ENGINE, record, "WORK"),
    "SourcePlan": (ENGINE, record, "SOURCE"),
    "EpiloguePlan": (ENGINE, record, "EPILOGUE"),
    "ScratchPlan": (ENGINE, record, "SCRATCH"),
    "ConvPlan": (ENGINE, record, "PLAN"),
    "WidthPlan": (*own("width"), "OWN"),
    "DepthwisePlan": (*own("depthwise"), "OWN"),
    "ChannelPlan": (*own("channel"), "OWN"),
    "SlidingPlan": (*own("sliding"), "OWN"),
    "ChannelsLastPlan": (*own("channels_last"), "OWN"),
    "ThroughChannelsLastPlan": (*own("through_channels_last"), "OWN"),
    "PartPlan": (*own("transposed"), "PART"),
    "TransposedPlan": (*own("transposed"), "OWN"),
    "UpsamplingPlan": (*own("transposed", "upsampling"), "UPSAMPLING"),
}


def fields_of(source: Path, struct: str) -> list[str]:
    """The names of a struct's fields, in their order."""
    lines = iter(source.read_text().splitlines())
    for line in lines:
        if line == f"cdef struct {struct}:":
            break
    names = []
    for line in lines:
        if line and not line.startswith(" "):
            break
        declaration = line.partition("#")[0].strip()
        if declaration:
            names += [
                re.search(r"(\w+)(\[\d+\])?$", part.strip())[1] for part in declaration.split(",")
            ]
    return names


@pytest.mark.parametrize("struct", STRUCTS)
def test_a_record_has_the_fields_of_its_struct(struct):
    """Names and order are those in the engine's source; sizes are compared at import."""
    source, module, name = STRUCTS[struct]
    assert fields_of(source, struct) == list(getattr(module, name).names)


def test_every_struct_of_a_plan_has_a_record():
    """No struct that ends in Plan is left out of the table above."""
    sources = [ENGINE, *SOURCE.glob("_families/*/*.pxi")]
    found = {
        name
        for source in sources
        for name in re.findall(r"^cdef struct (\w+Plan):", source.read_text(), re.MULTILINE)
    }
    assert found == set(STRUCTS)


@pytest.mark.parametrize("isa", usable())
@pytest.mark.parametrize("dtype", PRECISIONS)
def test_an_engine_with_another_plan_is_refused(isa, dtype):
    """A module whose ConvPlan, or whose family's record, has another size must not be used."""
    module = engine(isa, dtype)
    sizes, families = dict(module.struct_sizes), dict(module.families)
    own_records = {
        name: np.dtype((np.void, size)) for name, (_, size, _) in families.items() if size
    }
    record.check(module, own_records)

    other = ModuleType("other")
    other.struct_sizes, other.families = sizes | {"WORK": sizes["WORK"] + 8}, families
    with pytest.raises(ImportError, match="other has other plans"):
        record.check(other, own_records)
    other.struct_sizes = sizes
    other.families = families | {"width": (0, families["width"][1] + 8, {})}
    with pytest.raises(ImportError, match="other has another plan of width"):
        record.check(other, own_records)
