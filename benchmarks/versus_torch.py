"""gconv's functions against PyTorch's, both on contiguous tensors and packing at each call.

Usage::

    python -m gconv._bench.versus_torch [--rows …] [--threads 1,2]

Exits with status 1 if PyTorch is ahead on a row of the grouped classes where it is below
30 GFLOP/s; the other rows are printed only.
"""

from __future__ import annotations

import sys

from gconv._bench.contenders import load_contenders
from gconv._bench.layers import GROUPED_CLASSES
from gconv._bench.measuring import measure
from gconv._bench.options import Parser, add_rounds, add_rows, add_thread_counts
from gconv._bench.progress import tracked
from gconv._bench.timing import DISTURBED, Schedule, warm_allocator

# PyTorch above this rate runs a kernel that suits the layer.
SLOW_GFLOPS = 30.0


def main(argv: list[str] | None = None) -> int:
    parser = Parser("versus_torch", __doc__)
    add_rows(parser)
    add_thread_counts(parser, [1, 2])
    add_rounds(parser, 5)
    arguments = parser.parse_args(argv)
    loaded, missing = load_contenders(["torch", "function"])
    if missing:
        print(*missing.values(), sep="\n", file=sys.stderr)
        return 2
    warm_allocator()
    work = [(threads, layer) for threads in arguments.threads for layer in arguments.rows]
    lines, behind, wrong = [], [], []
    for threads, layer in tracked(work, lambda item: f"{item[1].name}, threads={item[0]}"):
        for rounds in (arguments.rounds, 3 * arguments.rounds):
            row = measure(layer, loaded, threads, Schedule(rounds=rounds))
            torch, ours = (row["flops"] / row["seconds"][one.name] / 1e9 for one in loaded)
            counts = layer.kind in GROUPED_CLASSES and torch < SLOW_GFLOPS
            if ours >= torch or not counts:  # a defeat is measured twice
                break
        notes = []
        if counts and ours < torch:
            notes.append("BEHIND")
            behind.append(layer.name)
        if row["errors"]["function"] > 1:
            notes.append("WRONG")
            wrong.append(layer.name)
        if max(row["waited"].values()) > DISTURBED:
            notes.append("disturbed")
        lines.append(
            f"{layer.name:24} {layer.kind:11} {threads:7} {torch:13.1f} {ours:13.1f}"
            f" {ours / torch:6.2f} {'x' if counts else '':6} {' '.join(notes)}"
        )
    header = ("row", "class", "threads", "torch GFLOP/s", "gconv GFLOP/s", "ratio", "counts")
    print("{:24} {:11} {:>7} {:>13} {:>13} {:>6} {:6}".format(*header))
    print(*lines, sep="\n")
    if behind:
        print(f"{len(behind)} behind PyTorch: {', '.join(behind)}", file=sys.stderr)
    if wrong:
        print(f"{len(wrong)} differ from PyTorch: {', '.join(wrong)}", file=sys.stderr)
    return 1 if behind or wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
