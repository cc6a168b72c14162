"""Transposed convolutions of well-known networks: gconv's layer and function against PyTorch's.

Usage::

    python -m gconv._bench.transposed [--threads 1,2] [--rounds 5]

Exits with status 1 where a result is wrong, or gconv's layer is not ahead by its target: twice
as fast as PyTorch where the work is grouped or has one dimension, as fast where it is dense.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import gconv
from gconv._bench import affinity
from gconv._bench.options import Parser, add_rounds, add_thread_counts
from gconv._bench.progress import tracked
from gconv._bench.timing import DISTURBED, Schedule, Timing, interleave, settle, warm_allocator


@dataclass(frozen=True)
class Case:
    """A transposed convolution of a batch of one, its target as a multiple of PyTorch's speed."""

    name: str
    x: tuple[int, ...]
    weight: tuple[int, ...]
    stride: int
    padding: int
    groups: int
    target: float

    @property
    def options(self) -> dict[str, int]:
        """The keywords of a function or a layer."""
        return {"stride": self.stride, "padding": self.padding, "groups": self.groups}

    @property
    def depth(self) -> int:
        """Products in the longest sum of an output."""
        taps = -(-self.weight[-1] // self.stride)
        return self.weight[0] // self.groups * int(taps ** (len(self.weight) - 2))

    @property
    def flops(self) -> int:
        """Two for every input and tap, those that padding crops included."""
        return 2 * int(np.prod(self.weight)) * int(np.prod(self.x[1:]))


CASES = [
    Case("dcgan_4x4_s2", (512, 8, 8), (512, 256, 4, 4), 2, 1, 1, 1),
    Case("upsample4_groups8", (64, 32, 32), (64, 8, 8, 8), 4, 2, 8, 2),
    Case("upsample4_depthwise", (64, 32, 32), (64, 1, 8, 8), 4, 2, 64, 2),
    Case("bilinear2_depthwise", (128, 56, 56), (128, 1, 4, 4), 2, 1, 128, 2),
    Case("unet_2x2_s2", (128, 56, 56), (128, 64, 2, 2), 2, 0, 1, 1),
    Case("hifigan_512_k16_s8", (512, 100), (512, 256, 16), 8, 4, 1, 2),
    Case("hifigan_256_k16_s8", (256, 800), (256, 128, 16), 8, 4, 1, 2),
    Case("hifigan_128_k4_s2", (128, 6400), (128, 64, 4), 2, 1, 1, 2),
    Case("hifigan_64_k4_s2", (64, 12800), (64, 32, 4), 2, 1, 1, 2),
]

FUNCTIONS: dict[int, Callable[..., Any]] = {
    1: gconv.conv_transpose1d, 2: gconv.conv_transpose2d
}
LAYERS: dict[int, Callable[..., Any]] = {1: gconv.ConvTranspose1d, 2: gconv.ConvTranspose2d}


def measure(case: Case, threads: int, schedule: Schedule) -> tuple[dict[str, Timing], bool]:
    """The times of all contenders, and whether their results agree."""
    import torch

    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, *case.x), np.float32)
    weight = rng.standard_normal(case.weight, np.float32)
    dims = len(case.x) - 1
    layer, function = LAYERS[dims](weight, **case.options), FUNCTIONS[dims]
    theirs = getattr(torch.nn.functional, f"conv_transpose{dims}d")
    tensors = torch.from_numpy(x), torch.from_numpy(weight)
    torch.set_num_threads(threads)
    calls: dict[str, Callable[[], Any]] = {
        "torch": lambda: theirs(*tensors, **case.options),
        "function": lambda: function(x, weight, **case.options, num_threads=threads),
        "layer": lambda: layer(x, num_threads=threads),
    }
    exact = theirs(*(tensor.double() for tensor in tensors), **case.options).numpy()
    allowed = 2 * float(np.finfo(np.float32).eps) * (case.depth + 16)
    right = all(np.max(np.abs(np.asarray(call()) - exact)) <= allowed for call in calls.values())
    try:
        for call in calls.values():
            settle()
            affinity.pin_workers(call, threads)
        return interleave(calls, schedule), right
    finally:
        affinity.release()


def main(argv: list[str] | None = None) -> int:
    parser = Parser("transposed", __doc__)
    add_thread_counts(parser, [1, 2])
    add_rounds(parser, 5)
    arguments = parser.parse_args(argv)
    try:
        import torch
    except ImportError as error:
        print(f"without PyTorch there is nothing to compare with: {error}", file=sys.stderr)
        return 2
    warm_allocator()
    work = [(threads, case) for threads in arguments.threads for case in CASES]
    lines, failed = [], False
    with torch.inference_mode():
        for threads, case in tracked(work, lambda item: f"{item[1].name}, threads={item[0]}"):
            timings, right = measure(case, threads, Schedule(rounds=arguments.rounds))
            torch_s, function_s, layer_s = (timing.seconds for timing in timings.values())
            behind = torch_s / layer_s < case.target
            failed = failed or behind or not right
            notes = [
                note for note, applies in (
                    ("BEHIND", behind),
                    ("WRONG", not right),
                    ("disturbed", max(t.waited for t in timings.values()) > DISTURBED),
                ) if applies
            ]
            lines.append(
                f"{case.name:20} {threads:7} {torch_s * 1e3:9.3f} {function_s * 1e3:9.3f}"
                f" {layer_s * 1e3:9.3f} {case.flops / layer_s / 1e9:8.1f}"
                f" {torch_s / function_s:9.2f} {torch_s / layer_s:9.2f} {case.target:7.1f}"
                f" {' '.join(notes)}"
            )
    print(f"{'case':20} {'threads':>7} {'torch ms':>9} {'func. ms':>9} {'layer ms':>9}"
          f" {'GFLOP/s':>8} {'x torch f':>9} {'x torch l':>9} {'target':>7}")
    print(*lines, sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
