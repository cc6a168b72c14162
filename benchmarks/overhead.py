"""What a call costs when there is nothing to compute: conv2d of (1, 1, 1, 1), one thread.

Usage::

    python -m gconv._bench.overhead

Exits with status 1 where a target is missed.
"""

from __future__ import annotations

import sys
import timeit
from functools import partial

import numpy as np

import gconv
from gconv._bench.options import Parser
from gconv._bench.timing import no_gc

CALLS = 2_000
ROUNDS = 15


def main(argv: list[str] | None = None) -> int:
    Parser("overhead", __doc__).parse_args(argv)
    try:
        import torch
    except ImportError as error:
        print(f"without PyTorch there is nothing to compare with: {error}", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    gconv.set_num_threads(1)
    x = weight = np.ones((1, 1, 1, 1), np.float32)
    names = {
        "torch": torch,
        "gconv": gconv,
        "x": x,
        "weight": weight,
        "tx": torch.from_numpy(x),
        "tweight": torch.from_numpy(weight),
        "layer": gconv.Conv2d(weight),
        "out": np.empty((1, 1, 1, 1), np.float32),
        "conv2d": gconv.conv2d,
        "torch_conv2d": torch.nn.functional.conv2d,
    }
    # As statements: wrapping each in a function would add to the short ones most.
    statements = {
        "PyTorch function, inference mode": "torch_conv2d(tx, tweight)",
        "gconv function": "conv2d(x, weight)",
        "gconv layer": "layer(x)",
        "gconv layer, out=": "layer(x, out=out)",
    }
    targets = {"gconv function": 0.4, "gconv layer, out=": 0.15}
    with torch.inference_mode(), no_gc():
        timers = {
            title: partial(timeit.Timer(statement, globals=names).timeit, CALLS)
            for title, statement in statements.items()
        }
        samples: dict[str, list[float]] = {title: [] for title in timers}
        for _ in range(ROUNDS):
            for title, timer in timers.items():
                samples[title].append(timer() / CALLS)
    seconds = {title: float(np.percentile(times, 25)) for title, times in samples.items()}
    base = next(iter(seconds.values()))
    missed = False
    for title, time in seconds.items():
        verdict = ""
        if title in targets:
            met = time / base <= targets[title]
            verdict = f"  at most {targets[title]:.2f}: {'met' if met else 'missed'}"
            missed = missed or not met
        print(f"{title:34} {time * 1e9:8.0f} ns {time / base:6.2f} x{verdict}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
