"""What an activation costs: fused into a layer, against the bare layer and NumPy after it.

Usage::

    python -m gconv._bench.epilogue [--rows …] [--threads 1,2]

For each activation two ratios: of the fused layer to the bare one, and of the bare layer with
NumPy's passes after it, in place, to the fused one: how many times as fast fusing is. "add" is a
residual of the result's shape, without an activation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gconv._bench.contenders.base import Array
from gconv._bench.contenders.gconv import layer_of
from gconv._bench.options import Parser, add_rounds, add_rows, add_thread_counts
from gconv._bench.progress import tracked
from gconv._bench.timing import DISTURBED, Schedule, interleave, warm_allocator

ROWS = (
    "multiplier10_c64,resnext50_c2,resnext50_c4,shufflenet_1x1_g3,mobilenetv1_dw_112,"
    "mobilenetv1_dw_14,efficientnet_dw5_28,mamba_causal4,resnet_3x3_56,resnet_3x3_7,"
    "resnet_1x1_56,mobilenetv2_1x1_14"
)


def passed(call: Callable[[], Array], apply: Callable[[Array], Array]) -> Array:
    return apply(call())


def add(residual: Array, y: Array) -> Array:
    return np.add(y, residual, out=y)


def relu(y: Array) -> Array:
    return np.maximum(y, 0, out=y)


def hardswish(y: Array) -> Array:
    gate = y + 3
    np.clip(gate, 0, 6, out=gate)
    gate *= y.dtype.type(1 / 6)
    return np.multiply(y, gate, out=y)


def silu(y: Array) -> Array:
    gate = np.exp(-y)
    gate += 1
    return np.divide(y, gate, out=y)


PASSES: dict[str, Callable[[Array], Array]] = {
    "relu": relu, "hardswish": hardswish, "silu": silu
}


def main(argv: list[str] | None = None) -> int:
    parser = Parser("epilogue", __doc__)
    add_rows(parser, ROWS)
    add_thread_counts(parser, [1])
    add_rounds(parser, 9)
    arguments = parser.parse_args(argv)
    warm_allocator()
    work = [(threads, layer) for threads in arguments.threads for layer in arguments.rows]
    lines = []
    for threads, layer in tracked(work, lambda item: f"{item[1].name}, threads={item[0]}"):
        x, weight = layer.arrays()
        residual = np.ones(layer.out_shape, x.dtype)
        bare = partial(layer_of(layer, weight), x, num_threads=threads)
        calls: dict[str, Callable[[], Any]] = {
            "bare": bare,
            "add": partial(bare, residual=residual),
            "add, NumPy": partial(passed, bare, partial(add, residual)),
        }
        for name, apply in PASSES.items():
            fused = layer_of(layer, weight, activation=name)
            calls[name] = partial(fused, x, num_threads=threads)
            calls[f"{name}, NumPy"] = partial(passed, bare, apply)
        timings = interleave(calls, Schedule(rounds=arguments.rounds))
        seconds = {name: timing.seconds for name, timing in timings.items()}
        ratios = "".join(
            f"{seconds[name] / seconds['bare']:10.3f}"
            f"{seconds[name + ', NumPy'] / seconds[name]:8.2f}"
            for name in ("add", *PASSES)
        )
        disturbed = max(timing.waited for timing in timings.values()) > DISTURBED
        lines.append(
            f"{layer.name:22} {threads:7} {seconds['bare'] * 1e6:9.1f}{ratios}"
            f"{' disturbed' if disturbed else ''}"
        )
    heads = "".join(f"{name:>10}{'gain':>8}" for name in ("add", *PASSES))
    print(f"{'row':22} {'threads':>7} {'bare µs':>9}{heads}")
    print(*lines, sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
