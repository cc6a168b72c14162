"""Benchmark gconv's session against its peers on whole models.

Usage::

    gconv bench --models --names six,unet --threads 1,2 --batch 1,8 --json FILE --markdown FILE

Needs PyTorch, timm for its models, and onnx. Peers that are not installed are left out with a
note. benchmarks/README.md says what is measured and how.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconv._bench import machine
from gconv._bench.checking import report_wrong
from gconv._bench.contenders.base import Unsupported
from gconv._bench.contenders.whole_models import RUNNERS, Runner
from gconv._bench.models_report import OURS, markdown
from gconv._bench.options import (
    Parser,
    add_thread_counts,
    count,
    counts,
    known_names,
    writable,
)
from gconv._bench.progress import tracked
from gconv._bench.refused import Refused, prepare_plots, print_or_write, write
from gconv._bench.timing import TURN_SECONDS
from gconv._bench.worker import Failed, Worker, interleave
from gconv._bench.zoo import GROUPS, ZOO, Exported, names_of

PROGRAM = "gconv bench --models"
ROUNDS, QUICK_ROUNDS = 9, 3
# Errors are held against that of PyTorch's float32 result: another order of the same sums has
# about the same one. Winograd's transforms amplify it.
ALLOWANCE, WINOGRAD_ALLOWANCE = 8.0, 64.0
# That of a result that happens to be exact is no measure.
LEAST_ERROR = 4 * float(np.finfo(np.float32).eps)
# Steps are measured for so long, in so many runs at most.
STEPS_SECONDS, MOST_STEP_RUNS = 0.5, 50


def parser() -> argparse.ArgumentParser:
    """The options of ``gconv bench --models``."""
    options = Parser("--models", __doc__)
    options.epilog = (
        "Exit status: 0; 1 where a result of gconv is wrong; 2 where something cannot be done. "
        "Needs PyTorch, onnx, and timm for its models; the plot needs the extra gconv[bench]."
    )
    options.add_argument(
        "--names", type=_names, default=names_of("six"), metavar="NAME,GROUP",
        help=f"which models (six): of {', '.join(ZOO)}; or a group: {', '.join(GROUPS)}",
    )
    options.add_argument("--list", action="store_true", help="name the models and stop")
    add_thread_counts(options, [1, 2])
    options.add_argument(
        "--batch", type=counts, default=[1], metavar="N,N", help="samples of the input (1)"
    )
    options.add_argument(
        "--contenders", type=partial(known_names, RUNNERS), default=list(RUNNERS),
        metavar="NAME,NAME",
        help=f"which of {', '.join(RUNNERS)} (all)",
    )
    options.add_argument(
        "--rounds", type=count, metavar="N", help=f"turns of each contender ({ROUNDS})"
    )
    options.add_argument(
        "--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds: an orientation, no more"
    )
    options.add_argument(
        "--keep", type=Path, metavar="DIR",
        help="keep the exported models here, and take those that are here already",
    )
    options.add_argument(
        "--export", action="store_true",
        help="only write the models to the directory of --keep; measure nothing",
    )
    options.add_argument(
        "--read", type=_results, nargs="+", metavar="FILE",
        help="measure nothing: report results written with --json, together",
    )
    for name, what in (("json", "results"), ("markdown", "tables")):
        options.add_argument(
            f"--{name}", type=writable, metavar="FILE", help=f"write the {what} here"
        )
    options.add_argument("--plots", type=Path, metavar="DIR", help="write the plot here")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print or write what was asked for, return the exit status."""
    options = parser().parse_args(argv)
    if options.list:
        for name in options.names:
            print(f"{name:24} {ZOO[name].kind}")
        return 0
    try:
        return _bench(options)
    except Refused as reason:
        print(f"{PROGRAM}: {reason}", file=sys.stderr)
        return 2


def _bench(options: argparse.Namespace) -> int:
    if options.export and not options.keep:
        raise Refused("--export wants --keep DIR")
    if options.plots:
        prepare_plots(options.plots)
    results = together(options.read) if options.read else _measure_all(options)
    if options.export:
        return 0
    if options.json:
        write(options.json, json.dumps(results, indent=1) + "\n")
    print_or_write(markdown(results), options.markdown)
    if options.plots:
        from gconv._bench.plots import models_plot

        print(models_plot(results, options.plots / "models.png"))
    return report_wrong(results, RUNNERS, _row_name)


def _measure_all(options: argparse.Namespace) -> dict[str, Any]:
    runners = []
    for runner in (RUNNERS[name] for name in options.contenders):
        if runner.is_installed:
            runners.append(runner)
        else:
            print(f"without {runner.name}: {runner.package} is not installed", file=sys.stderr)
    if not runners:
        raise Refused("none of these contenders is installed")
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    results: dict[str, Any] = {
        **machine.description(["onnx", "timm", *(runner.package for runner in runners)]),
        "reference": "PyTorch in float64",
        "rounds": rounds,
        "rows": [],
    }
    work = [(name, batch) for name in options.names for batch in options.batch]
    last_reason = ""
    for name, batch in tracked(work, lambda item: f"{item[0]}, batch={item[1]}"):
        with ExitStack() as stack:
            folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            try:
                files = exported(name, batch, folder / f"{name}-{batch}")
            except Failed as reason:
                last_reason = str(reason)
                print(f"without {name}: {reason}", file=sys.stderr)
                continue
            for runner in runners:
                runner.prepare_files(files.directory)
            for threads in [] if options.export else options.threads:
                results["rows"].append(
                    measure(name, batch, threads, runners, rounds, files))
                if options.json:  # after every row: an interrupted run is not lost
                    write(options.json, json.dumps(results, indent=1) + "\n")
    if not results["rows"] and not options.export:
        raise Refused(f"none of these models can be made: {last_reason}")
    return results


def exported(name: str, batch: int, directory: Path) -> Exported:
    """The files of a model, made in a process of its own where they are not there.

    Raises
    ------
    Failed
        It cannot be made; the message is the last line of why.
    """
    files = Exported(directory)
    if not files.about.exists():
        command = [sys.executable, "-m", "gconv._bench.zoo", name, str(batch), os.fspath(directory)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"]
            raise Failed(said[-1])
    return files


def measure(
    name: str, batch: int, threads: int, runners: Sequence[Runner], rounds: int, files: Exported
) -> dict[str, Any]:
    """Time one model at one thread count: a row of the results."""
    about, expected = files.description(), np.load(files.expected)
    seconds, best, waited = {}, {}, {}
    load, growth, errors, skipped = {}, {}, {}, {}
    outside = None
    with ExitStack() as stack:
        workers = []
        for runner in runners:
            path = files.onnx.with_suffix(runner.reads)
            try:
                worker = stack.enter_context(Worker(runner.name, path, files.feeds, threads))
                (result, *_) = worker.results().values()
            except (Unsupported, ImportError, Failed) as reason:
                skipped[runner.name] = str(reason)
                continue
            errors[runner.name] = error(result, expected, about, runner)
            load[runner.name], growth[runner.name] = worker.load_seconds, worker.growth
            workers.append(worker)
        for who, (samples, share) in interleave(workers, rounds, TURN_SECONDS).items():
            seconds[who] = float(np.percentile(samples, 25))
            best[who], waited[who] = min(samples), share
        for worker in workers:
            if worker.name == OURS:
                outside = share_outside(worker, seconds[OURS])
    return {
        "model": name,
        "kind": ZOO[name].kind,
        "batch": batch,
        "threads": threads,
        "weights": about["weights"],
        "seconds": seconds,
        "best": best,
        "waited": waited,
        "errors": errors,
        "skipped": skipped,
        "load": load,
        "growth": growth,
        "outside": outside,
    }


def error(
    result: NDArray[Any], expected: NDArray[Any], about: dict[str, Any], runner: Runner
) -> float:
    """Largest absolute error as a multiple of what is allowed; infinite for a wrong shape."""
    if result.shape != expected.shape:
        return float("inf")
    allowed = max(about["error"], LEAST_ERROR * about["largest"])
    allowed *= ALLOWANCE if runner.direct else WINOGRAD_ALLOWANCE
    largest = float(np.max(np.abs(result - expected), initial=0.0))
    return largest / allowed if np.isfinite(largest) else float("inf")


def share_outside(worker: Worker, seconds: float) -> float | None:
    """Share of a run's wall time that is neither convolution nor matrix product."""
    rows = worker.steps(max(3, min(MOST_STEP_RUNS, round(STEPS_SECONDS / seconds))))
    if rows is None:
        return None
    inside = sum(row["ms"] for row in rows if row["by"] == "convolution") / 1e3
    return float(max(0.0, 1 - inside / seconds))


def together(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several runs as one; of rows that both have, those of the later run."""
    rows = {
        (row["model"], row["batch"], row["threads"]): row for run in runs for row in run["rows"]
    }
    rounds = min(run["rounds"] for run in runs)
    return {**runs[-1], "rounds": rounds, "rows": list(rows.values())}


def _row_name(row: dict[str, Any]) -> str:
    return f"{row['model']} (batch={row['batch']}, threads={row['threads']})"


def _names(text: str) -> list[str]:
    try:
        return list(dict.fromkeys(name for part in text.split(",") for name in names_of(part)))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}") from error


def _results(text: str) -> dict[str, Any]:
    try:
        results: dict[str, Any] = json.loads(Path(text).read_text(encoding="utf-8"))
        if not all("model" in row for row in results["rows"]):
            raise ValueError("these are no results of whole models")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"{text} cannot be read: {error}") from error
    return results


if __name__ == "__main__":
    raise SystemExit(main())
