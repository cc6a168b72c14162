"""What a call costs when there is nothing to compute: conv2d of (1, 1, 1, 1), one thread.

Usage::

    python benchmarks/overhead.py
"""

from __future__ import annotations

import argparse
import timeit
from functools import partial

import numpy as np
import torch

import gconv
from timing import no_gc

CALLS = 2_000
ROUNDS = 15


def main(argv: list[str] | None = None) -> int:
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args(argv)
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
    for title, time in seconds.items():
        print(f"{title:34} {time * 1e9:8.0f} ns {time / base:6.2f} x")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
