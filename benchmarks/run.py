"""Benchmark gconv against its peers on the layers of a table.

Usage::

    gconv bench --threads 1,2 --json FILE --markdown FILE --plots DIR

Peers that are not installed are left out with a note. benchmarks/README.md says what is measured
and how.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gconv._bench import checking, machine
from gconv._bench.contenders import CONTENDERS, FLOAT32, FLOAT64, load_contenders
from gconv._bench.measuring import measure
from gconv._bench.options import (
    Parser,
    add_contenders,
    add_rows,
    add_thread_counts,
    count,
    writable,
)
from gconv._bench.progress import tracked
from gconv._bench.refused import Refused, prepare_plots, print_or_write, write
from gconv._bench.report import markdown
from gconv._bench.timing import Schedule, warm_allocator

QUICK_ROUNDS = 3


def parser() -> argparse.ArgumentParser:
    """The options of ``gconv bench``."""
    options = Parser(None, __doc__)
    options.epilog = (
        "Exit status: 0; 1 where a result of gconv is wrong; 2 where something cannot be done. "
        "The plots need the extra gconv[bench], which also brings the progress bar."
    )
    add_rows(options)
    options.add_argument("--list", action="store_true", help="name the layers and stop")
    options.add_argument(
        "--choices", action="store_true",
        help="how far the planner's choices are from the best, on generated layers; its options: "
        "gconv bench --choices --help",
    )
    options.add_argument(
        "--models", action="store_true",
        help="whole models instead of layers; its options: gconv bench --models --help",
    )
    add_thread_counts(options, [1, 2])
    add_contenders(options)
    options.add_argument(
        "--float64", action="store_true", help="gconv and PyTorch in float64 as well"
    )
    options.add_argument(
        "--rounds", type=count, metavar="N", help=f"turns of each contender ({Schedule.rounds})"
    )
    options.add_argument(
        "--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds: an orientation, no more"
    )
    for name, what in (("json", "results"), ("markdown", "tables")):
        options.add_argument(
            f"--{name}", type=writable, metavar="FILE", help=f"write the {what} here"
        )
    options.add_argument("--plots", type=Path, metavar="DIR", help="write the plots here")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print or write what was asked for, return the exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if "--choices" in argv:
        from gconv._bench.choices import main as measure_choices  # it has its own options

        return measure_choices([word for word in argv if word != "--choices"])
    if "--models" in argv:
        from gconv._bench.models import main as measure_models

        return measure_models([word for word in argv if word != "--models"])
    options = parser().parse_args(argv)
    if options.list:
        for layer in options.rows:
            print(f"{layer.name:24} {layer.kind:11} {layer.flops / 1e6:9.1f} MFLOP  {layer.source}")
        return 0
    try:
        return _bench(options)
    except Refused as reason:
        print(f"gconv bench: {reason}", file=sys.stderr)
        return 2


def _bench(options: argparse.Namespace) -> int:
    if options.plots:
        prepare_plots(options.plots)
    names = options.contenders or FLOAT32
    loaded, missing = load_contenders([*names, *(FLOAT64 if options.float64 else [])])
    for name, reason in missing.items():
        print(f"without {name}: {reason}", file=sys.stderr)
    if not loaded:
        raise Refused("none of these contenders is installed")
    if not checking.has_torch():
        print(f"PyTorch is not installed: results are checked against "
              f"{checking.reference_name()}", file=sys.stderr)
    warm_allocator()
    schedule = Schedule(
        rounds=options.rounds or (QUICK_ROUNDS if options.quick else Schedule.rounds)
    )
    results: dict[str, Any] = {
        **machine.description([contender.package for contender in loaded]),
        "reference": checking.reference_name(),
        "rounds": schedule.rounds,
        "rows": [],
    }
    # Threads outermost: PyTorch's setting is process-wide, and changing it costs its pool.
    work = [(threads, layer) for threads in options.threads for layer in options.rows]
    for threads, layer in tracked(work, lambda item: f"{item[1].name}, threads={item[0]}"):
        results["rows"].append(measure(layer, loaded, threads, schedule))
        if options.json:  # after every row: an interrupted run is not lost
            write(options.json, json.dumps(results, indent=1) + "\n")
    print_or_write(markdown(results), options.markdown)
    if options.plots:
        from gconv._bench.plots import write_plots

        print(*write_plots(results, options.plots), sep="\n")
    return checking.report_wrong(results, CONTENDERS, _row_name)


def _row_name(row: dict[str, Any]) -> str:
    return f"{row['layer']} (threads={row['threads']})"


if __name__ == "__main__":
    raise SystemExit(main())
