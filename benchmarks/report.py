"""Turn the JSON of a run into tables, and into the README's speed section.

Usage::

    python benchmarks/report.py RESULTS.json                  # tables to standard output
    python benchmarks/report.py RESULTS.json --readme README.md
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from contenders import CONTENDERS
from layers import GROUPED_CLASSES
from timing import DISTURBED

BEGIN, END = "<!-- speed:begin -->", "<!-- speed:end -->"

# Large groups of 3x3 and 5x5, where some peers use Winograd's algorithm.
WINOGRAD_LAYERS = ("alexnet_conv2_g2", "alexnet_conv4_g2", "regnety_16gf", "regnetx_24")

Row = dict[str, Any]


def fastest(row: Row, *, direct: bool = False) -> str | None:
    """The fastest peer whose result is right.

    Parameters
    ----------
    row
        A row of the results.
    direct
        Count only the peers that compute the sum as it stands.
    """
    peers = [
        name
        for name in row["seconds"]
        if not CONTENDERS[name].ours
        and row["errors"][name] <= 1
        and (CONTENDERS[name].direct or not direct)
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


def roofline_fraction(row: Row, name: str) -> float | None:
    """Share of the roofline that a contender reaches, counting only taps inside the image."""
    if name not in row["seconds"]:
        return None
    return roofline_seconds(row) / float(row["seconds"][name])


def geometric_mean(values: Iterable[float | None]) -> float | None:
    logs = [math.log(value) for value in values if value]
    return math.exp(sum(logs) / len(logs)) if logs else None


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _table(header: list[str], rows: list[list[str]], left: int = 1) -> str:
    """A markdown table whose first `left` columns are text."""
    rule = [":--"] * left + ["--:"] * (len(header) - left)
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *rows]) + "\n"


def heading(results: dict[str, Any]) -> str:
    """One paragraph: when, on what, with which versions."""
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    peaks = ", ".join(
        f"{max(row['peak'] for row in rows) / 1e9:.0f} GFLOP/s on {threads}"
        for threads, rows in by_threads(results).items()
    )
    return (
        f"{results['date']}, {results['cpu']} ({results['cores']} cores, "
        f"{' '.join(results['isas'])}), {results['system']}. {versions}. "
        f"FMA peak by threads: {peaks}. float32, lower quartile of {results['rounds']} rounds.\n"
    )


def by_threads(results: dict[str, Any]) -> dict[int, list[Row]]:
    """The rows of each thread count."""
    groups: dict[int, list[Row]] = {}
    for row in results["rows"]:
        groups.setdefault(row["threads"], []).append(row)
    return groups


def row_table(rows: list[Row]) -> str:
    """GFLOP/s of everyone, the ratio to the best peers, the fraction of the roofline."""
    names = [name for name in CONTENDERS if any(name in row["seconds"] for row in rows)]
    header = ["layer", "class", *(CONTENDERS[name].title for name in names)]
    header += ["× best direct", "× best", "roofline"]
    lines = []
    for row in rows:
        best = fastest(row)
        line = [row["layer"], row["class"]]
        for name in names:
            if name not in row["seconds"]:
                line.append("–")
                continue
            cell = f"{row['flops'] / row['seconds'][name] / 1e9:.1f}"
            cell = f"**{cell}**" if name == best else cell
            cell += " †" if row["errors"][name] > 1 else ""
            line.append(cell + (" ‡" if row["waited"][name] > DISTURBED else ""))
        line += [
            _number(ratio(row, "layer", fastest(row, direct=True))),
            _number(ratio(row, "layer", best)),
            _number(roofline_fraction(row, "layer")),
        ]
        lines.append(line)
    return _table(header, lines, left=2)


def summary_table(rows: list[Row]) -> str:
    """The run against the project's targets, for one thread count."""

    def over(select: Callable[[Row], bool], value: Callable[[Row], float | None]) -> list[float]:
        return [v for row in rows if select(row) and (v := value(row)) is not None]

    def grouped(row: Row) -> bool:
        return row["class"] in GROUPED_CLASSES and row["layer"] not in WINOGRAD_LAYERS

    def large(row: Row) -> bool:
        return bool(row["flops"] > 5e6)

    def to_best(row: Row) -> float | None:
        return ratio(row, "layer", fastest(row))

    def fraction(row: Row) -> float | None:
        return roofline_fraction(row, "layer")

    def lowest(values: list[float]) -> float | None:
        return min(values, default=None)

    def strict(row: Row) -> bool:
        return row["class"] in GROUPED_CLASSES and row["class"] != "grouped"

    lines = [
        (
            "every row, best direct peer, lowest",
            lowest(over(lambda r: True, lambda r: ratio(r, "layer", fastest(r, direct=True)))),
            1.0,
        ),
        (
            "all grouped classes but `grouped`, best peer, lowest",
            lowest(over(strict, to_best)),
            1.0,
        ),
        ("all grouped classes*, best peer, mean", geometric_mean(over(grouped, to_best)), 2.0),
        (
            "all grouped classes*, PyTorch, mean",
            geometric_mean(over(grouped, lambda r: ratio(r, "layer", "torch"))),
            4.0,
        ),
        (
            "roofline, depthwise above 5 MFLOP, mean",
            geometric_mean(over(lambda r: large(r) and r["class"] == "depthwise", fraction)),
            0.5,
        ),
        (
            "roofline, others above 5 MFLOP, mean",
            geometric_mean(over(lambda r: large(r) and r["class"] != "depthwise", fraction)),
            0.75,
        ),
        (
            "function, every row, PyTorch's function, lowest",
            lowest(over(lambda r: True, lambda r: ratio(r, "function", "torch"))),
            1.0,
        ),
    ]
    cells = [
        [what, f"{target:.2f}", _number(value), _verdict(value, target)]
        for what, value, target in lines
    ]
    return _table(["what (gconv layer unless named)", "target", "measured", ""], cells)


def _verdict(value: float | None, target: float) -> str:
    if value is None:
        return ""
    return "met" if value >= target else "**missed**"


def markdown(results: dict[str, Any]) -> str:
    """The whole report."""
    parts = ["# Benchmark\n", heading(results)]
    for threads, rows in by_threads(results).items():
        parts.append(f"## {threads} thread{'s' if threads > 1 else ''}\n")
        if any("layer" in row["seconds"] for row in rows):
            parts.append(summary_table(rows))
        parts.append(row_table(rows))
    parts.append(
        "GFLOP/s count every tap, those in the padding too; **bold**: the fastest peer. "
        "× best direct, × best: the gconv layer's speed over that of the fastest peer that "
        "computes the sum as it stands, and over that of the fastest peer. roofline: the gconv "
        "layer's share of min(peak, bandwidth at the layer's footprint), counting taps inside "
        "the image. †: off by more than float32 explains, not counted as a peer. "
        "‡: its threads had to wait for a core, so the time is too long. "
        "Means are geometric. \\*: without "
        + ", ".join(WINOGRAD_LAYERS)
        + ", where peers use Winograd's algorithm.\n"
    )
    return "\n".join(parts)


def speed_section(results: dict[str, Any]) -> str:
    """The README's speed section: per class, gconv's layer against each peer."""
    groups = by_threads(results)
    threads = min(groups)
    rows = [row for row in groups[threads] if "layer" in row["seconds"]]
    peers = [
        name
        for name, contender in CONTENDERS.items()
        if not contender.ours and any(name in row["seconds"] for row in rows)
    ]
    header = ["layers", "rows", *(CONTENDERS[name].title for name in peers), "best peer"]
    lines = []
    for kind in dict.fromkeys(row["class"] for row in rows):
        members = [row for row in rows if row["class"] == kind]
        cells = [geometric_mean(ratio(row, "layer", name) for row in members) for name in peers]
        cells.append(geometric_mean(ratio(row, "layer", fastest(row)) for row in members))
        lines.append([kind, str(len(members)), *(_number(cell, 1) for cell in cells)])
    count = f"{threads} thread{'s' if threads > 1 else ''}"
    return (
        f"How many times faster a gconv layer is than each peer, {count} "
        "(geometric mean over the rows of each class; best peer: the fastest on each row):\n\n"
        + _table(header, lines)
        + f"\n{heading(results)}"
    )


def update_readme(path: Path, section: str) -> None:
    """Replace what stands between the marker comments.

    Raises
    ------
    ValueError
        If the file lacks the markers.
    """
    text = path.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} lacks {BEGIN} … {END}")
    path.write_text(f"{before}{BEGIN}\n{section}{END}{after}")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="tables from the JSON of a benchmark run")
    parser.add_argument("results", type=Path)
    parser.add_argument("--readme", type=Path, help="rewrite this file's speed section instead")
    arguments = parser.parse_args(argv)
    results = json.loads(arguments.results.read_text())
    if arguments.readme is None:
        print(markdown(results))
    else:
        update_readme(arguments.readme, speed_section(results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
