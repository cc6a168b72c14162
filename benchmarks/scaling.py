"""How a gconv layer's speed grows with threads.

Usage::

    python benchmarks/scaling.py [--rows …] [--threads 1,2,4]
"""

from __future__ import annotations

import argparse

import numpy as np

import affinity
import machine
from contenders import load_contenders
from layers import Layer, read_layers, select_layers
from progress import tracked
from timing import DISTURBED, Schedule, interleave, settle, warm_allocator


def scaling(layer: Layer, counts: list[int], schedule: Schedule) -> str:
    """One line of the table; thread counts are interleaved like contenders."""
    (contender,), _ = load_contenders(["layer"])
    x, weight = layer.arrays()
    calls = {
        str(count): contender.prepare(layer, x, weight, count).call for count in sorted(counts)
    }
    most = max(counts)
    try:
        settle()
        affinity.pin_workers(calls[str(most)], most)
        timings = interleave(calls, schedule)
    finally:
        affinity.release()
    copies = machine.CopyProbe(layer.compulsory_bytes, most)
    bandwidth = float(np.percentile([copies.rate() for _ in range(5)], 75))
    memory = layer.compulsory_bytes / bandwidth > layer.flops_inside / machine.peak_flops(most)
    base = timings[str(min(counts))].seconds
    cells = [f"{layer.flops / timing.seconds / 1e9:8.1f}" for timing in timings.values()]
    cells += [f"{base / timing.seconds:6.2f} x" for timing in timings.values()]
    notes = ["memory-bound"] * memory
    notes += ["disturbed"] * any(timing.waited > DISTURBED for timing in timings.values())
    return f"{layer.name:24} {layer.flops / 1e6:9.1f} {' '.join(cells)}  {' '.join(notes)}"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", metavar="NAME,class:KIND", help="which layers (all)")
    parser.add_argument("--threads", metavar="N,N", help="thread counts (1 to all cores, doubling)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    arguments = parser.parse_args(argv)
    layers = select_layers(read_layers(), arguments.rows)
    cores = len(affinity.cpus())
    doubling = [1 << power for power in range(cores.bit_length())]
    counts = [int(n) for n in arguments.threads.split(",")] if arguments.threads else doubling
    warm_allocator()
    schedule = Schedule(rounds=arguments.rounds)
    lines = [scaling(layer, counts, schedule) for layer in tracked(layers, lambda one: one.name)]
    rates = " ".join(f"{f'{count} thr.':>8}" for count in sorted(counts))
    print(f"{'layer':24} {'MFLOP':>9} {rates}  (GFLOP/s), speed-up over the fewest threads")
    print(*lines, sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
