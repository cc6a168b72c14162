"""The project's targets, and whether a run meets them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gconv._bench.layers import GROUPED_CLASSES
from gconv._bench.ratios import (
    Row,
    by_threads,
    fastest,
    geometric_mean,
    memory_bound,
    ratio,
    roofline_fraction,
)

# Large groups of 3x3 and 5x5, where some peers use Winograd's algorithm.
WINOGRAD_LAYERS = ("alexnet_conv2_g2", "alexnet_conv4_g2", "regnety_16gf", "regnetx_24")

# Below, overheads decide.
MEASURABLE_FLOPS = 5e6
SHARED_FLOPS = 20e6

MOST_BALANCE, BALANCE_THREADS = 1.15, 64


@dataclass(frozen=True)
class Target:
    """A bound on a value that rows have, or on its geometric mean.

    Attributes
    ----------
    what
        As in the table.
    bound
        The least that is wanted, or the most.
    value
        Of a row; None where the row does not count or was not measured so.
    mean, at_most
        Whether the mean is meant rather than every row, and whether `bound` is the most.
    """

    what: str
    bound: float
    value: Callable[[Row], float | None]
    mean: bool = False
    at_most: bool = False

    def met_by(self, value: float) -> bool:
        return value <= self.bound if self.at_most else value >= self.bound


@dataclass(frozen=True)
class Outcome:
    """A target in a run: what was measured (None: nothing was), and the rows that miss it,
    the worst first."""

    target: Target
    measured: float | None
    missed_by: dict[str, float]

    @property
    def met(self) -> bool | None:
        return None if self.measured is None else self.target.met_by(self.measured)


def outcome(target: Target, rows: list[Row], named: str = "layer") -> Outcome:
    """Whether rows of one thread count meet a target; `named` is the field that names a row."""
    values = {row[named]: v for row in rows if (v := target.value(row)) is not None}
    if target.mean:
        return Outcome(target, geometric_mean(values.values()), {})
    worst_first = sorted(values, key=values.__getitem__, reverse=target.at_most)
    missed_by = {name: values[name] for name in worst_first if not target.met_by(values[name])}
    return Outcome(target, values[worst_first[0]] if values else None, missed_by)


def outcomes(results: dict[str, Any]) -> dict[int, list[Outcome]]:
    """All targets, by thread count."""
    groups = by_threads(results)
    found = {}
    for threads, rows in groups.items():
        targets = list(TARGETS)
        if threads == 2 and 1 in groups:
            targets.append(_two_threads({row["layer"]: row for row in groups[1]}))
        found[threads] = [outcome(target, rows) for target in targets]
    return found


# ---- the targets -------------------------------------------------------------------------------


def _grouped(row: Row) -> bool:
    return row["class"] in GROUPED_CLASSES and row["layer"] not in WINOGRAD_LAYERS


def _ahead_of_all(row: Row) -> bool:
    return row["class"] in GROUPED_CLASSES and row["class"] != "grouped"


def _measurable(row: Row) -> bool:
    return bool(row["flops"] > MEASURABLE_FLOPS)


def _only(counts: Callable[[Row], bool], value: Callable[[Row], float | None]) -> Any:
    return lambda row: value(row) if counts(row) else None


def _to_best(row: Row) -> float | None:
    return ratio(row, "layer", fastest(row))


def _of_roofline(row: Row) -> float | None:
    return roofline_fraction(row, "layer")


TARGETS = (
    Target(
        "every row, × best direct peer",
        1.0,
        lambda row: ratio(row, "layer", fastest(row, direct=True)),
    ),
    Target(
        "every row of the grouped classes but `grouped`, × best peer",
        1.0,
        _only(_ahead_of_all, _to_best),
    ),
    Target("grouped classes*, × best peer, mean", 2.0, _only(_grouped, _to_best), mean=True),
    Target(
        "grouped classes*, × PyTorch, mean",
        4.0,
        _only(_grouped, lambda row: ratio(row, "layer", "torch")),
        mean=True,
    ),
    Target(
        "depthwise above 5 MFLOP, of the roofline, mean",
        0.5,
        _only(lambda row: _measurable(row) and row["class"] == "depthwise", _of_roofline),
        mean=True,
    ),
    Target(
        "others above 5 MFLOP, of the roofline, mean",
        0.75,
        _only(lambda row: _measurable(row) and row["class"] != "depthwise", _of_roofline),
        mean=True,
    ),
    Target(
        "function, every row, × PyTorch's function",
        1.0,
        lambda row: ratio(row, "function", "torch"),
    ),
    Target(
        "channels-last arrays, every 2-D row, × PyTorch channels-last",
        1.0,
        _only(
            lambda row: row["class"] != "conv3d",
            lambda row: ratio(row, "layer-cl", "torch-cl"),
        ),
    ),
    Target(
        "float64, every row, of the float32 rate",
        0.45,
        lambda row: ratio(row, "layer-f64", "layer"),
    ),
    Target(
        f"every row above 20 MFLOP, balance on {BALANCE_THREADS} threads",
        MOST_BALANCE,
        _only(lambda row: row["flops"] > SHARED_FLOPS, lambda row: row.get("balance")),
        at_most=True,
    ),
)


def _two_threads(alone: dict[str, Row]) -> Target:
    """Two threads against one, where neither arithmetic nor memory is the limit of one core."""

    def value(row: Row) -> float | None:
        one = alone.get(row["layer"])
        if one is None or not _measurable(row) or memory_bound(row):
            return None
        if "layer" not in row["seconds"] or "layer" not in one["seconds"]:
            return None
        return float(one["seconds"]["layer"] / row["seconds"]["layer"])

    return Target("every row above 5 MFLOP not bound by memory, × one thread", 1.8, value)
