"""Peak memory of each contender over its input, weights and output, in a process of its own.

Usage::

    python benchmarks/memory.py [--rows …] [--contenders …] [--threads 1]

Needs Linux's /proc.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import gc
import json
import subprocess
import sys
from pathlib import Path

from contenders import CONTENDERS, Unsupported, load_contenders
from layers import Layer, read_layers, select_layers
from progress import tracked

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
        contender.prepare(small(layer), *small(layer).arrays(), threads).call()
    x, weight = layer.arrays()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    # Forget the peak of the imports (proc(5)).
    Path("/proc/self/clear_refs").write_text("5")
    baseline = _status("VmRSS")
    prepared = contender.prepare(layer, x, weight, threads)
    for _ in range(CALLS):
        prepared.call()
    output = layer.compulsory_bytes - x.nbytes - weight.nbytes
    return _status("VmHWM") - baseline - output - prepared.own_input_bytes


def in_subprocess(name: str, layer: Layer, threads: int) -> int | str:
    """`overhead_bytes` in a fresh process; a dash for what the contender cannot compute."""
    command = [sys.executable, __file__, "--child", name, layer.name, "--threads", str(threads)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        last = result.stderr.strip().splitlines()[-1:] or ["failed"]
        return f"failed: {last[0]}"
    answer: int | str = json.loads(result.stdout.splitlines()[-1])
    return answer


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", default=ROWS, metavar="NAME,class:KIND", help="which layers")
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--contenders", metavar="NAME,NAME", help=", ".join(CONTENDERS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results here")
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
    layers = select_layers(read_layers(), arguments.rows)
    names = arguments.contenders.split(",") if arguments.contenders else None
    # Here only to learn which are installed.
    loaded, missing = load_contenders(names)
    for name, reason in missing.items():
        print(f"without {name}: {reason}", file=sys.stderr)
    work = [(layer, contender.name) for layer in layers for contender in loaded]
    results: dict[str, dict[str, int | str]] = {layer.name: {} for layer in layers}
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
