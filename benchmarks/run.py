"""Benchmark gconv against its peers on every layer of the table.

Usage::

    python benchmarks/run.py --threads 1,2 --json FILE --markdown FILE --plots DIR

Contenders that are not installed are left out with a note. See README.md beside this file for
what is measured and how.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import machine
from contenders import CONTENDERS, load_contenders
from layers import read_layers, select_layers
from measuring import measure
from progress import tracked
from report import markdown
from timing import Schedule, warm_allocator


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", metavar="NAME,class:KIND", help="which layers (all)")
    parser.add_argument("--threads", default="1,2", metavar="N,N", help="thread counts (1,2)")
    parser.add_argument("--contenders", metavar="NAME,NAME", help=", ".join(CONTENDERS))
    parser.add_argument("--rounds", type=int, default=Schedule.rounds, metavar="N")
    parser.add_argument("--quick", action="store_true", help="3 rounds: an orientation, no more")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results here")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables here")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write the plots here")
    arguments = parser.parse_args(argv)
    try:
        arguments.layers = select_layers(read_layers(), arguments.rows)
        arguments.thread_counts = [int(count) for count in arguments.threads.split(",")]
        names = arguments.contenders.split(",") if arguments.contenders else None
        arguments.loaded, arguments.missing = load_contenders(names)
    except ValueError as error:
        parser.error(str(error))
    return arguments


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    for name, reason in arguments.missing.items():
        print(f"without {name}: {reason}", file=sys.stderr)
    warm_allocator()
    schedule = Schedule(rounds=3 if arguments.quick else arguments.rounds)
    results: dict[str, Any] = {
        **machine.description([contender.package for contender in arguments.loaded]),
        "rounds": schedule.rounds,
        "rows": [],
    }
    # Threads outermost: PyTorch's setting is process-wide, and changing it costs its pool.
    work = [(threads, layer) for threads in arguments.thread_counts for layer in arguments.layers]
    for threads, layer in tracked(work, lambda item: f"{item[1].name}, threads={item[0]}"):
        results["rows"].append(measure(layer, arguments.loaded, threads, schedule))
        if arguments.json:  # after every row: an interrupted run is not lost
            arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    tables = markdown(results)
    if arguments.markdown:
        arguments.markdown.write_text(tables)
    else:
        print(tables)
    if arguments.plots:
        from plots import write_plots

        for path in write_plots(results, arguments.plots):
            print(path)
    wrong = [
        f"{row['layer']} (threads={row['threads']}): {CONTENDERS[name].title} is off by "
        f"{error:.1f} times the tolerance"
        for row in results["rows"]
        for name, error in row["errors"].items()
        if error > 1
    ]
    print(*wrong, sep="\n", file=sys.stderr)
    ours = {name for name, contender in CONTENDERS.items() if contender.ours}
    failed = any(row["errors"].get(name, 0) > 1 for row in results["rows"] for name in ours)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
