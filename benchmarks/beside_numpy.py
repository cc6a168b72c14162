"""gconv in turn with other libraries' threads, and called by many: does anybody slow down?

Usage::

    python -m gconv._bench.beside_numpy [--rows …] [--threads 2] [--only NAME …]

NumPy's OpenBLAS lets its threads spin for some 26 ms after a matrix product, and OpenMP runtimes
do so after a loop. Two calls of the layer and one of somebody else's functions follow each other,
in a fresh process for each table row:

- NumPy's products of a vector, and of a matrix, with a matrix;
- a prediction of scikit-learn's, which brings an OpenMP runtime of its own;
- nothing, but eight threads call the layer at once.

PyTorch's convolution takes the layer's place where it is installed, for comparison. What is timed:

- alone: the two calls, and the other function, each without the other;
- in turn with the layer on one thread, and on several.

Exits with status 1 where a mean cycle with gconv on several threads takes more than 1.2 times as
long as with gconv on one, or the median of gconv's or of the other's calls takes longer than its
limit: see `LIMITS`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from gconv._bench.contenders import CONTENDERS
from gconv._bench.layers import Layer
from gconv._bench.options import Parser, add_rounds, add_rows, add_threads
from gconv._bench.progress import tracked
from gconv._bench.timing import no_gc, settle

ROWS = "resnext50_c2"
CALLS = 2  # of the layer in a cycle
CALLERS = 8
AT_ONCE = f"{CALLERS} callers"
# The means are of turns so long that the first late calls and the trials belong to them.
TURN_SECONDS = 3.0
ALONE_SECONDS = 0.3
WARM_SECONDS = 0.2

MOST_OF_MEAN = 1.2
#: The median of the layer's calls, times that alone; that of the other's, times the longer of its
#: times alone and beside the layer on one thread. Eight callers have no median: they share CPUs.
LIMITS: dict[str, tuple[float | None, float | None]] = {
    "small product": (2.0, 1.5),
    "large product": (2.0, 1.5),
    "scikit-learn": (2.0, 1.5),
    AT_ONCE: (None, None),
}

Call = Callable[[], Any]


def other_of(name: str) -> Call:
    """What the layer takes turns with."""
    rng = np.random.default_rng(0)
    if name == "scikit-learn":
        from sklearn.ensemble import HistGradientBoostingRegressor

        x = rng.standard_normal((4000, 8))
        model = HistGradientBoostingRegressor(max_iter=20).fit(x, x[:, 0])
        return lambda: model.predict(x)
    rows, inner, columns = (1, 2048, 1000) if name == "small product" else (500, 500, 500)
    a = rng.standard_normal((rows, inner), np.float32)
    b = rng.standard_normal((inner, columns), np.float32)
    return lambda: a @ b


def nothing() -> None:
    """In place of the layer, or of the other."""


def cycles(ours: Call, other: Call, seconds: float) -> list[tuple[float, float]]:
    """Seconds of the layer's calls and of the other in each cycle."""
    clock = time.perf_counter
    taken: list[tuple[float, float]] = []
    start = clock()
    end = start + seconds
    while start < end:
        for _ in range(CALLS):
            ours()
        middle = clock()
        other()
        stop = clock()
        taken.append((middle - start, stop - middle))
        start = stop
    return taken


def called_at_once(ours: Call, seconds: float) -> list[tuple[float, float]]:
    """As many callers at once. A cycle is the time for two calls, whoever makes them."""
    counts = [0] * CALLERS
    end = time.perf_counter() + seconds

    def work(caller: int) -> None:
        while time.perf_counter() < end:
            ours()
            counts[caller] += 1

    callers = [threading.Thread(target=work, args=(caller,)) for caller in range(CALLERS)]
    start = time.perf_counter()
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return [(CALLS * (time.perf_counter() - start) / sum(counts), 0.0)]


def measure(
    layer: Layer, contender: str, beside: str, threads: int, rounds: int, seconds: float
) -> dict[str, Any]:
    """Medians and means by what is done, in seconds."""
    implementation = CONTENDERS[contender]
    implementation.load()
    x, weight = layer.arrays()
    at_once = beside == AT_ONCE
    other = nothing if at_once else other_of(beside)
    ways = {
        "alone": (threads, nothing),
        "other": (None, other),
        "one": (1, other),
        "several": (threads, other),
    }
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    with no_gc():
        for _ in range(rounds):
            for way, (number, then) in ways.items():
                # It may set a number of threads for the whole process: again in each turn.
                ours = (nothing if number is None
                        else implementation.prepare(layer, x, weight, number).call)
                settle()
                in_turn = way in ("one", "several")
                length = seconds if in_turn else min(seconds, ALONE_SECONDS)
                cycles(ours, then, min(seconds, WARM_SECONDS))
                taken[way] += (called_at_once(ours, length) if at_once and in_turn
                               else cycles(ours, then, length))
    return {
        "crowds": crowds() if implementation.ours else 0,
        **{
            way: {"ours": float(np.median([ours for ours, _ in times])),
                  "other": float(np.median([other for _, other in times])),
                  "mean": float(np.mean([ours + other for ours, other in times]))}
            for way, times in taken.items()
        },
    }


def crowds() -> int:
    """How often gconv saw a crowd in this process."""
    from gconv._engine import call

    return call.crowds_seen()[0]


def in_subprocess(
    layer: Layer, contender: str, beside: str, threads: int, rounds: int, seconds: float
) -> dict[str, Any]:
    """`measure` in a fresh process."""
    command = [sys.executable, "-m", "gconv._bench.beside_numpy", "--rows", layer.name]
    command += ["--threads", str(threads), "--rounds", str(rounds)]
    command += ["--seconds", str(seconds), "--child", contender, beside]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(result.stderr)
    measured: dict[str, Any] = json.loads(result.stdout)
    return measured


def verdict(beside: str, times: dict[str, Any]) -> list[str]:
    """What takes longer than it should."""
    of_ours, of_other = LIMITS[beside]
    missed = []
    if times["several"]["mean"] > MOST_OF_MEAN * times["one"]["mean"]:
        missed.append("mean")
    if of_ours and times["several"]["ours"] > of_ours * times["alone"]["ours"]:
        missed.append("layer")
    other = max(times["other"]["other"], times["one"]["other"])
    if of_other and times["several"]["other"] > of_other * other:
        missed.append("other")
    return missed


def main(argv: list[str] | None = None) -> int:
    parser = Parser("beside_numpy", __doc__)
    add_rows(parser, ROWS)
    add_threads(parser, 2)
    add_rounds(parser, 2)
    parser.add_argument(
        "--only", choices=LIMITS, nargs="+", default=list(LIMITS), metavar="NAME",
        help=f"which of {', '.join(LIMITS)} (all)",
    )
    parser.add_argument(
        "--seconds", type=float, default=TURN_SECONDS, metavar="S",
        help=f"length of a turn ({TURN_SECONDS:g})",
    )
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        (layer,) = options.rows
        contender, beside = options.child
        print(json.dumps(measure(layer, contender, beside, options.threads, options.rounds,
                                 options.seconds)))
        return 0
    work = [
        (layer, beside, contender)
        for layer in options.rows
        for beside in options.only
        if beside != "scikit-learn" or find_spec("sklearn")
        for contender in (("layer", "torch") if find_spec("torch") else ("layer",))
    ]
    any_missed, lines = False, []
    for layer, beside, contender in tracked(work, lambda item: f"{item[2]}, {item[1]}"):
        times = in_subprocess(layer, contender, beside, options.threads, options.rounds,
                              options.seconds)
        cells = [times["alone"]["ours"], times["one"]["ours"], times["several"]["ours"],
                 times["other"]["other"], times["one"]["other"], times["several"]["other"],
                 times["one"]["mean"], times["several"]["mean"]]
        line = f"{layer.name:20} {CONTENDERS[contender].title:12} {beside:14} "
        line += " ".join(f"{cell * 1e6:7.0f}" for cell in cells)
        line += f" {times['several']['mean'] / times['one']['mean']:6.2f} x"
        if CONTENDERS[contender].ours:
            missed = verdict(beside, times)
            any_missed = any_missed or bool(missed)
            line += f"  {times['crowds']:6}  {'missed: ' + ', '.join(missed) if missed else 'met'}"
        lines.append(line)
    several = f"on {options.threads}"
    title = f"µs, {CALLS} calls and one of the other"
    print(f"{title:48} {'the layer, median':>23} {'the other, median':>23} {'cycle, mean':>15}")
    print(f"{'layer':20} {'by':12} {'beside':14} " + " ".join(
        f"{head:>7}" for head in ("alone", "on 1", several, "alone", "on 1", several, "on 1",
                                  several)) + f" {'ratio':>8}  crowds")
    print(*lines, sep="\n")
    print(f"at most {MOST_OF_MEAN} x the cycle with the layer on 1 thread")
    return 1 if any_missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
