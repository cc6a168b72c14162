"""What follows from the times of a row: ratios to the peers, and to the roofline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from gconv._bench.contenders import CONTENDERS

Row = dict[str, Any]


def fastest(
    row: Row, *, direct: bool = False, contenders: Mapping[str, Any] = CONTENDERS
) -> str | None:
    """The fastest peer whose result is right.

    Parameters
    ----------
    row
        A row of the results.
    direct
        Count only the peers that compute the sum as it stands.
    contenders
        Who is who: those of layers, or `RUNNERS` for a row of a whole model.
    """
    peers = [
        name
        for name in row["seconds"]
        if contenders[name].is_peer
        and row["errors"][name] <= 1
        and (contenders[name].direct or not direct)
    ]
    return min(peers, key=row["seconds"].__getitem__, default=None)


def ratio(row: Row, ours: str, peer: str | None) -> float | None:
    """How many times faster `ours` is; None where one of them has no time."""
    if peer is None or ours not in row["seconds"] or peer not in row["seconds"]:
        return None
    return float(row["seconds"][peer] / row["seconds"][ours])


def roofline_seconds(row: Row) -> float:
    """The least time that the machine's peak and bandwidth, measured in the run, allow."""
    return float(max(row["flops_inside"] / row["peak"], row["bytes"] / row["bandwidth"]))


def memory_bound(row: Row) -> bool:
    """Whether moving the bytes takes longer than the arithmetic, at the rates of the run."""
    return bool(row["bytes"] / row["bandwidth"] > row["flops_inside"] / row["peak"])


def roofline_fraction(row: Row, name: str) -> float | None:
    """Share of the roofline that a contender reaches, counting only taps inside the image."""
    if name not in row["seconds"]:
        return None
    return roofline_seconds(row) / float(row["seconds"][name])


def geometric_mean(values: Iterable[float | None]) -> float | None:
    logs = [math.log(value) for value in values if value]
    return math.exp(sum(logs) / len(logs)) if logs else None


def by_threads(results: dict[str, Any]) -> dict[int, list[Row]]:
    """The rows of each thread count."""
    groups: dict[int, list[Row]] = {}
    for row in results["rows"]:
        groups.setdefault(row["threads"], []).append(row)
    return groups
