"""How evenly many threads would share each layer's work: a count, nothing is run.

Usage::

    python -m gconv._bench.balance [--threads 64]

One column for each instruction set that this CPU has: the most work of a thread over the mean.
Exits with status 1 where a layer above 20 MFLOP exceeds the target.
"""

from __future__ import annotations

import numpy as np

from gconv._bench.contenders.gconv import layer_of
from gconv._bench.layers import Layer
from gconv._bench.options import Parser, add_rows, add_threads
from gconv._bench.targets import BALANCE_THREADS, MOST_BALANCE, SHARED_FLOPS
from gconv._call.isa import usable, use_isa


def balance(layer: Layer, threads: int) -> float:
    """The most work of a thread over the mean, on the current instruction set."""
    module = layer_of(layer, np.zeros(layer.weight_shape, np.float32))
    return float(module.explain(layer.x_shape, threads).balance)


def main(argv: list[str] | None = None) -> int:
    parser = Parser("balance", __doc__)
    add_rows(parser)
    add_threads(parser, BALANCE_THREADS)
    arguments = parser.parse_args(argv)
    isas = usable()
    print(f"{'layer':24} {'MFLOP':>9} " + " ".join(f"{isa:>8}" for isa in isas))
    missed = False
    for layer in arguments.rows:
        values = []
        for isa in isas:
            with use_isa(isa):
                values.append(balance(layer, arguments.threads))
        counts = layer.flops > SHARED_FLOPS
        above = counts and max(values) > MOST_BALANCE
        missed = missed or above
        cells = " ".join(f"{value:8.3f}" for value in values)
        note = f"above {MOST_BALANCE}" if above else "" if counts else "small"
        print(f"{layer.name:24} {layer.flops / 1e6:9.1f} {cells}  {note}".rstrip())
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
