"""Peak memory of each contender over its input, weights and output, in a process of its own.

Usage::

    python -m gconv._bench.memory [--rows …] [--contenders …] [--threads 1]

Needs Linux's /proc.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import gc
import json
import math
import subprocess
import sys
from pathlib import Path

from gconv._bench.contenders import Unsupported, load_contenders
from gconv._bench.layers import Layer, read_layers, select_layers
from gconv._bench.options import Parser, add_contenders, add_rows, add_threads, writable
from gconv._bench.progress import tracked

# One of each kind, where a contender's copies would show.
ROWS = (
    "article_ten_per_channel,multiplier10_c64,resnext50_c2,regnety_16gf,mobilenetv1_dw_28_b8,"
    "wav2vec2_pos_g16,wavenet_d512,mamba_causal4,x3d_dw_3d,resnet_3x3_56,resnet_1x1_56"
)
CALLS = 5


def _status(field: str) -> int:
    """A field of /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def small(layer: Layer) -> Layer:
    """The layer on as few pixels as it can have, to load a library's code before measuring."""
    spatial = tuple(
        max(1, dilation * (kernel - 1) + 1 - before - after)
        for kernel, dilation, (before, after) in zip(
            layer.kernel, layer.dilation, layer.padding, strict=True
        )
    )
    return dataclasses.replace(layer, name=f"{layer.name}_small", batch=1, spatial=spatial)


def overhead_bytes(name: str, layer: Layer, threads: int) -> int:
    """Peak resident memory above what held input and weights, less one output.

    A layer's packed copy of the weights, reordered inputs and outputs, and scratch all count; a
    contender's own form of the input array does not.
    """
    (contender,), _ = load_contenders([name])
    if not contender.ours:  # whose scratch outlives the call, and shall count
        contender.prepare(small(layer), *small(layer).arrays(contender.dtype), threads).call()
    x, weight = layer.arrays(contender.dtype)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    # Forget the peak of the imports (proc(5)).
    Path("/proc/self/clear_refs").write_text("5")
    baseline = _status("VmRSS")
    prepared = contender.prepare(layer, x, weight, threads)
    for _ in range(CALLS):
        prepared.call()
    output = math.prod(layer.out_shape) * x.itemsize
    return _status("VmHWM") - baseline - output - prepared.own_input_bytes


def in_subprocess(name: str, layer: Layer, threads: int) -> int | str:
    """`overhead_bytes` in a fresh process; a dash for what the contender cannot compute."""
    command = [sys.executable, "-m", "gconv._bench.memory", "--child", name, layer.name]
    command += ["--threads", str(threads)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        last = result.stderr.strip().splitlines()[-1:] or ["failed"]
        return f"failed: {last[0]}"
    answer: int | str = json.loads(result.stdout.splitlines()[-1])
    return answer


def main(argv: list[str] | None = None) -> int:
    parser = Parser("memory", __doc__)
    add_rows(parser, ROWS)
    add_threads(parser, 1)
    add_contenders(parser)
    parser.add_argument("--json", type=writable, metavar="FILE", help="write the results here")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.child:
        name, row = arguments.child
        (layer,) = select_layers(read_layers(), row)
        try:
            print(json.dumps(overhead_bytes(name, layer, arguments.threads)))
        except Unsupported:
            print(json.dumps("–"))
        return 0
    # Here only to learn which are installed.
    loaded, missing = load_contenders(arguments.contenders)
    for name, reason in missing.items():
        print(f"without {name}: {reason}", file=sys.stderr)
    work = [(layer, contender.name) for layer in arguments.rows for contender in loaded]
    results: dict[str, dict[str, int | str]] = {layer.name: {} for layer in arguments.rows}
    for layer, name in tracked(work, lambda item: f"{item[0].name}, {item[1]}"):
        results[layer.name][name] = in_subprocess(name, layer, arguments.threads)
    titles = [contender.title for contender in loaded]
    print("MiB over input, weights and one output\n")
    print("| layer | " + " | ".join(titles) + " |")
    print("| :-- | " + " | ".join("--:" for _ in titles) + " |")
    for row, cells in results.items():
        shown = [f"{c / 2**20:.2f}" if isinstance(c, int) else c for c in cells.values()]
        print(f"| {row} | " + " | ".join(shown) + " |")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
