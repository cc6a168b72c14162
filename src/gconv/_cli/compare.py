"""``gconv run --compare``: the same model in ONNX Runtime and OpenVINO, in turn with gconv."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconv._bench.contenders.base import Unsupported
from gconv._bench.contenders.whole_models import RUNNERS
from gconv._bench.timing import TURN_SECONDS
from gconv._bench.worker import Failed, Worker, interleave, write_arrays
from gconv._cli.messages import counted

OURS = "session"
PEERS = ("onnxruntime", "openvino")
ROUNDS = 15


def compare(
    model: Path, feeds: Mapping[str, NDArray[Any]], outputs: Mapping[str, Any], threads: int,
    advance: Callable[[int, int], None],
) -> list[str]:
    """Time everyone in a process of its own, in turn; return what to print.

    Parameters
    ----------
    model : Path
    feeds, outputs : mapping
        Its inputs, and what gconv computes from them.
    threads : int
        How many everyone gets.
    advance : callable
        Is told how many turns are done, and how many there will be.
    """
    workers, notes, off = [], [], {}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        inputs = Path(folder, "feeds.npz")
        write_arrays(inputs, feeds)
        for name in (OURS, *PEERS):
            runner = RUNNERS[name]
            if not runner.is_installed:
                notes.append(f"  without {runner.title}: {runner.package} is not installed")
                continue
            try:
                worker = stack.enter_context(Worker(name, model, inputs, threads))
                theirs = list(worker.results().values())
            except (Unsupported, ImportError, Failed) as error:
                notes.append(f"  without {runner.title}: {error}")
                continue
            workers.append(worker)
            off[name] = largest_difference(list(outputs.values()), theirs)
        timed = interleave(workers, ROUNDS, TURN_SECONDS, advance)
        loads = {worker.name: worker.load_seconds for worker in workers}
    median = {name: float(np.median(samples)) for name, (samples, _) in timed.items()}
    lines = [
        f"  {counted(threads, 'thread')}, each in a process of its own, in turn:",
        f"  {'':<14}{'load ms':>10}{'best ms':>10}{'median ms':>11}{'× gconv':>9}"
        f"{'largest difference':>23}",
    ]
    for name, (samples, _) in timed.items():
        ratio = f"{median[name] / median[OURS]:.2f}" if OURS in median else ""
        lines.append(
            f"  {RUNNERS[name].title:<14}{loads[name] * 1e3:10.1f}{min(samples) * 1e3:10.3f}"
            f"{median[name] * 1e3:11.3f}{ratio:>9}{off[name]:>23}"
        )
    return [*lines, *notes]


def largest_difference(ours: list[Any], theirs: list[Any]) -> str:
    """The largest difference between results, and the largest value of the output that has it."""
    if len(ours) != len(theirs):
        return f"{len(theirs)} outputs"
    worst, largest = 0.0, 0.0
    for a, b in zip(ours, theirs, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        if a.dtype.hasobject or b.dtype.kind in "OSU":
            continue
        if a.shape != b.shape:
            return "other shapes"
        a, b = a.astype(np.float64), b.astype(np.float64)
        with np.errstate(invalid="ignore"):
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            apart = np.where(same, 0.0, np.abs(a - b))
        here = float(np.max(apart, initial=0.0))
        if np.isnan(here):
            return "NaN and numbers"
        if here >= worst:
            finite = np.abs(a[np.isfinite(a)])
            worst, largest = here, float(np.max(finite, initial=0.0))
    return f"{worst:.1e} of {largest:.3g}"
