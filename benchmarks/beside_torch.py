"""gconv in turn with PyTorch operators in one process: is it as fast as alone?

Usage::

    python -m gconv._bench.beside_torch [--rows …] [--threads 2]

Two libraries that each bring threads can slow one another down: threads of one still spin when
the other's begin. Each import order runs in a process of its own, because the first library
imported may decide which OpenMP runtime both use. There the layer's calls are timed one by one,

- alone: one after the other;
- after NumPy: each behind a NumPy operation on another array, so that caches hold as much else;
- after PyTorch: each behind PyTorch's operator on that array, on as many threads.

Exits with status 1 where calls after PyTorch's are more than 5 % slower than alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from gconv._bench import affinity, checking
from gconv._bench.contenders.gconv import GconvLayer
from gconv._bench.layers import Layer, read_layers, select_layers
from gconv._bench.options import Parser, add_rounds, add_rows, add_threads
from gconv._bench.progress import tracked
from gconv._bench.timing import (
    DISTURBED,
    MIN_SAMPLES,
    TURN_SECONDS,
    Timing,
    no_gc,
    quietly,
    settle,
)

# Large enough to be worth several threads, of every kernel family.
ROWS = "article_ten_per_channel,resnext50_c2,convnext_dw7_56,resnet_3x3_56"
ORDERS = ("gconv, torch", "torch, gconv")
MOST = 1.05
# PyTorch shares out elementwise operations from 32768 elements on; these fit a cache.
OTHER_ELEMENTS = 1 << 16
# At the beginning of a turn threads wake up and caches fill.
WARM_CALLS = 3


def turn(call: Callable[[], Any], before: Callable[[], Any]) -> list[float]:
    """Seconds of each call in a turn, `before` run in front of each."""
    clock = time.perf_counter
    samples: list[float] = []
    end = clock() + TURN_SECONDS
    while clock() < end or len(samples) <= WARM_CALLS + MIN_SAMPLES:
        before()
        start = clock()
        call()
        samples.append(clock() - start)
    return samples[WARM_CALLS:]


def measure(layer: Layer, threads: int, rounds: int) -> dict[str, Timing]:
    """The time of a call by what is before it."""
    import torch

    torch.set_num_threads(threads)
    call = GconvLayer().prepare(layer, *layer.arrays(), threads).call
    array = np.ones(OTHER_ELEMENTS, np.float32)
    tensor = torch.from_numpy(array)
    ways: dict[str, Callable[[], Any]] = {
        "alone": lambda: None,
        "after NumPy": lambda: np.maximum(array, 0, out=array),
        "after PyTorch": tensor.relu_,
    }
    samples: dict[str, list[float]] = {name: [] for name in ways}
    waited: dict[str, list[float]] = {name: [] for name in ways}
    with torch.inference_mode(), no_gc():
        for work in (call, tensor.relu_):  # where each brings threads of its own
            settle()
            affinity.pin_workers(work, threads)
        for _ in range(rounds):
            for name, before in ways.items():
                times, share = quietly(partial(turn, call, before), TURN_SECONDS)
                samples[name] += times
                waited[name].append(share)
    return {
        name: Timing(float(np.percentile(samples[name], 25)), float(np.mean(waited[name])))
        for name in ways
    }


def in_subprocess(layer: Layer, order: str, threads: int, rounds: int) -> dict[str, Timing]:
    """`measure` in a fresh process that imports the two in this order."""
    code = f"import sys, {order}; from gconv._bench.beside_torch import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "--child", layer.name]
    command += ["--threads", str(threads), "--rounds", str(rounds)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(result.stderr)
    return {name: Timing(**timing) for name, timing in json.loads(result.stdout).items()}


def main(argv: list[str] | None = None) -> int:
    parser = Parser("beside_torch", __doc__)
    add_rows(parser, ROWS)
    add_threads(parser, 2)
    add_rounds(parser, 9)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        (layer,) = select_layers(read_layers(), options.child)
        timings = measure(layer, options.threads, options.rounds)
        print(json.dumps({name: asdict(timing) for name, timing in timings.items()}))
        return 0
    if not checking.has_torch():
        print("without PyTorch there is nothing to run beside", file=sys.stderr)
        return 2
    missed, lines = False, []
    work = [(layer, order) for layer in options.rows for order in ORDERS]
    for layer, order in tracked(work, lambda item: f"{item[0].name}, {item[1]}"):
        timings = in_subprocess(layer, order, options.threads, options.rounds)
        slower = timings["after PyTorch"].seconds / timings["alone"].seconds
        missed = missed or slower > MOST
        cells = " ".join(f"{timing.seconds * 1e6:13.1f}" for timing in timings.values())
        verdict = "met" if slower <= MOST else "missed"
        if any(timing.waited > DISTURBED for timing in timings.values()):
            verdict += ", disturbed"
        lines.append(f"{layer.name:24} {order:14} {cells} {slower:6.2f} x  {verdict}")
    heads = " ".join(f"{name:>13}" for name in timings)
    title = f"µs on {options.threads} threads"
    print(f"{title:24} {'imported':14} {heads}  slower, at most {MOST}")
    print(*lines, sep="\n")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
