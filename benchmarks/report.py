"""Turn the JSON of a run, of layers or of whole models, into tables and sections of the README.

Usage::

    python -m gconv._bench.report RESULTS.json                  # tables to standard output
    python -m gconv._bench.report RESULTS.json --readme README.md
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from gconv._bench.contenders import CONTENDERS
from gconv._bench.ratios import (
    Row,
    by_threads,
    fastest,
    geometric_mean,
    ratio,
    roofline_fraction,
)
from gconv._bench.targets import WINOGRAD_LAYERS, Outcome, outcomes
from gconv._bench.timing import DISTURBED

# Rows that a target names at most.
MOST_NAMED = 6


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def table(header: list[str], rows: list[list[str]], left: int = 1) -> str:
    """A markdown table whose first `left` columns are text."""
    rule = [":--"] * left + ["--:"] * (len(header) - left)
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *rows]) + "\n"


def origin(results: dict[str, Any]) -> str:
    """When, on what, with which versions: two sentences."""
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (
        f"{results['date']}, {results['cpu']} ({results['cores']} cores, "
        f"{' '.join(results['isas'])}), {results['system']}. {versions}."
    )


def heading(results: dict[str, Any]) -> str:
    """One paragraph: where results are from, and what was measured."""
    peaks = ", ".join(
        f"{max(row['peak'] for row in rows) / 1e9:.0f} GFLOP/s on {threads}"
        for threads, rows in by_threads(results).items()
    )
    return (
        f"{origin(results)} FMA peak by threads: {peaks}. float32 unless named, lower quartile of "
        f"{results['rounds']} rounds.\n"
    )


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
    return table(header, lines, left=2)


def target_table(found: list[Outcome], subject: str = "gconv layer") -> str:
    """The run against the project's targets, for one thread count."""
    lines = []
    for one in found:
        named = [f"{name} {value:.2f}" for name, value in one.missed_by.items()]
        if len(named) > MOST_NAMED:
            named[MOST_NAMED:] = [f"and {len(named) - MOST_NAMED} more"]
        target = one.target
        verdict = {True: "met", False: "**missed**", None: "not measured"}[one.met]
        lines.append(
            [
                target.what,
                f"{'≤' if target.at_most else '≥'} {target.bound:.2f}",
                _number(one.measured),
                verdict,
                ", ".join(named),
            ]
        )
    return table(
        [f"what ({subject} unless named)", "target", "mean or worst", "", "rows that miss it"],
        lines,
    )


def markdown(results: dict[str, Any]) -> str:
    """The whole report."""
    parts = ["# Benchmark\n", heading(results)]
    found = outcomes(results)
    for threads, rows in by_threads(results).items():
        parts.append(f"## {threads} thread{'s' if threads > 1 else ''}\n")
        if any("layer" in row["seconds"] for row in rows):
            parts.append(target_table(found[threads]))
        parts.append(row_table(rows))
    parts.append(
        "GFLOP/s count every tap, those in the padding too; **bold**: the fastest peer. "
        "× best direct, × best: the gconv layer's speed over that of the fastest peer that "
        "computes the sum as it stands, and over that of the fastest peer. roofline: the gconv "
        "layer's share of min(peak, bandwidth at the layer's footprint), counting taps inside "
        "the image. †: off by more than its precision explains, not counted as a peer. "
        "‡: its threads had to wait for a core, so the time is too long. "
        f"Results were checked against {results.get('reference', 'PyTorch')}. "
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
        if contender.is_peer and any(name in row["seconds"] for row in rows)
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
        + table(header, lines)
        + f"\n{heading(results)}"
    )


def update_readme(path: Path, section: str, name: str) -> None:
    """Replace what stands between the comments ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``.

    Raises
    ------
    ValueError
        If the file lacks the markers.
    """
    first, last = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"{path} lacks {first} … {last}")
    path.write_text(f"{before}{first}\n{section}{last}{after}", encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    from gconv._bench import models_report  # which takes tables from here

    parser = argparse.ArgumentParser(description="tables from the JSON of a benchmark run")
    parser.add_argument("results", type=Path)
    parser.add_argument(
        "--readme", type=Path, help="rewrite this file's section of layers or of models instead"
    )
    arguments = parser.parse_args(argv)
    results = json.loads(arguments.results.read_text(encoding="utf-8"))
    of_models = any("model" in row for row in results["rows"])
    if arguments.readme is None:
        print(models_report.markdown(results) if of_models else markdown(results))
    elif of_models:
        update_readme(arguments.readme, models_report.readme_section(results), "models")
    else:
        update_readme(arguments.readme, speed_section(results), "speed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
