"""What a padding mode costs: the time of each over that of zeros, of gconv's layers.

Usage::

    python -m gconv._bench.padding_modes [--rows …] [--threads 1,2]

Rows without padding are left out. In a mode other than zeros every tap counts, those in the
padding too; "taps" is how many more these are. The kernels compute a part of them for zeros as
well, so that the least to expect of a mode lies between 1 and that.
"""

from __future__ import annotations

from functools import partial

from gconv._bench.contenders.gconv import layer_of
from gconv._bench.options import Parser, add_rounds, add_rows, add_thread_counts
from gconv._bench.progress import tracked
from gconv._bench.timing import DISTURBED, Schedule, interleave, warm_allocator

MODES = ("zeros", "reflect", "replicate", "circular")
ROWS = "class:multiplier,class:grouped,class:dense,mobilenetv1_dw_112,mobilenetv1_dw_14"


def main(argv: list[str] | None = None) -> int:
    parser = Parser("padding_modes", __doc__)
    add_rows(parser, ROWS)
    add_thread_counts(parser, [1])
    add_rounds(parser, 9)
    arguments = parser.parse_args(argv)
    rows = [layer for layer in arguments.rows if any(map(any, layer.padding))]
    if not rows:
        parser.error("none of these rows has padding")
    warm_allocator()
    work = [(threads, layer) for threads in arguments.threads for layer in rows]
    lines = []
    for threads, layer in tracked(work, lambda item: f"{item[1].name}, threads={item[0]}"):
        x, weight = layer.arrays()
        modules = {mode: layer_of(layer, weight, padding_mode=mode) for mode in MODES}
        calls = {mode: partial(module, x, num_threads=threads) for mode, module in modules.items()}
        timings = interleave(calls, Schedule(rounds=arguments.rounds))
        zeros = timings["zeros"].seconds
        ratios = "".join(f"{timings[mode].seconds / zeros:10.3f}" for mode in MODES[1:])
        disturbed = max(timing.waited for timing in timings.values()) > DISTURBED
        counted = [modules[mode].explain(x.shape).flops_inside for mode in ("reflect", "zeros")]
        lines.append(
            f"{layer.name:24} {layer.kind:11} {threads:7} {zeros * 1e6:10.1f}"
            f"{counted[0] / counted[1]:7.3f}{ratios} {'disturbed' if disturbed else ''}".rstrip()
        )
    print(f"{'row':24} {'class':11} {'threads':>7} {'zeros µs':>10}{'taps':>7}"
          + "".join(f"{mode:>10}" for mode in MODES[1:]))
    print(*lines, sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
