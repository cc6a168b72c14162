"""How a gconv layer's speed grows with threads.

Usage::

    python -m gconv._bench.scaling [--rows …] [--threads 1,2,4]
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from gconv._bench import affinity, machine
from gconv._bench.contenders import load_contenders
from gconv._bench.layers import Layer
from gconv._bench.options import Parser, add_rounds, add_rows, add_thread_counts
from gconv._bench.progress import tracked
from gconv._bench.timing import DISTURBED, Schedule, interleave, settle, warm_allocator


def scaling(layer: Layer, counts: list[int], schedule: Schedule) -> str:
    """One line of the table; thread counts are interleaved like contenders."""
    (contender,), _ = load_contenders(["layer"])
    x, weight = layer.arrays()
    calls = {
        str(count): contender.prepare(layer, x, weight, count).call for count in counts
    }
    most = max(counts)

    @contextmanager
    def pinned(count: str) -> Iterator[None]:
        """Pin the threads for a turn: GCC's OpenMP runtime ends those that a smaller number leaves
        over, and new ones inherit the CPU of the thread that calls."""
        settle()
        try:
            affinity.pin_workers(calls[count], int(count))
            yield
        finally:
            affinity.release()

    timings = interleave(calls, schedule, around=pinned)
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
    cores = len(affinity.cpus())
    doubling = [1 << power for power in range(cores.bit_length())]
    parser = Parser("scaling", __doc__)
    add_rows(parser)
    add_thread_counts(parser, doubling, "1 to all cores, doubling")
    add_rounds(parser, 5)
    arguments = parser.parse_args(argv)
    counts = arguments.threads
    warm_allocator()
    schedule = Schedule(rounds=arguments.rounds)
    layers = tracked(arguments.rows, lambda layer: layer.name)
    lines = [scaling(layer, counts, schedule) for layer in layers]
    rates = " ".join(f"{f'{count} thr.':>8}" for count in counts)
    print(f"{'layer':24} {'MFLOP':>9} {rates}  (GFLOP/s), speed-up over the fewest threads")
    print(*lines, sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
