"""Ten kernels on each channel of a picture: one grouped call against a loop in Python.

Usage::

    python -m gconv._bench.article [--threads 1]
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

import gconv
from gconv._bench import affinity, checking
from gconv._bench.options import Parser, add_threads
from gconv._bench.timing import Schedule, interleave, settle, warm_allocator

CHANNELS, KERNELS, SIZE = 3, 10, 224

Calls = dict[str, Callable[[], Any]]


def ways(name: str, conv: Callable[..., Any], concatenate: Any, x: Any, weight: Any) -> Calls:
    """The same 30 responses, (1, 30, 224, 224), in one call and in loops of several."""

    def loop(kernels: int) -> Any:
        responses = []
        for o in range(0, CHANNELS * KERNELS, kernels):
            c = o // KERNELS
            responses.append(conv(x[:, c : c + 1], weight[o : o + kernels], padding=1))
        return concatenate(responses, 1)

    return {
        f"{name}, one grouped call": lambda: conv(x, weight, padding=1, groups=CHANNELS),
        f"{name}, loop over channels": lambda: loop(KERNELS),
        f"{name}, loop over channels and kernels": lambda: loop(1),
    }


def contenders(threads: int) -> Calls:
    """gconv's layer and functions, and PyTorch's function where it is installed."""
    rng = np.random.default_rng(0)
    x = rng.random((1, CHANNELS, SIZE, SIZE), dtype=np.float32)
    weight = rng.random((CHANNELS * KERNELS, 1, 3, 3), dtype=np.float32)
    layer = gconv.Conv2d(weight, padding=1, groups=CHANNELS)
    calls: Calls = {"gconv, one grouped call, layer": lambda: layer(x, num_threads=threads)}
    calls |= ways("gconv", partial(gconv.conv2d, num_threads=threads), np.concatenate, x, weight)
    if checking.has_torch():
        import torch

        torch.set_num_threads(threads)
        arrays = torch.from_numpy(x), torch.from_numpy(weight)
        calls |= ways("PyTorch", torch.nn.functional.conv2d, torch.cat, *arrays)
    return calls


def main(argv: list[str] | None = None) -> int:
    parser = Parser("article", __doc__)
    add_threads(parser, 1)
    threads = parser.parse_args(argv).threads
    warm_allocator()
    with ExitStack() as stack:
        if checking.has_torch():
            import torch

            stack.enter_context(torch.inference_mode())
        calls = contenders(threads)
        expected = next(reversed(calls.values()))()  # a loop over everything
        for title, call in calls.items():
            np.testing.assert_allclose(call(), expected, atol=1e-5, err_msg=title)
        try:
            for call in calls.values():
                settle()
                affinity.pin_workers(call, threads)
            timings = interleave(calls, Schedule())
        finally:
            affinity.release()
    base = next(iter(timings.values())).seconds
    for title, timing in timings.items():
        print(f"{title:42} {timing.seconds * 1e3:8.3f} ms {timing.seconds / base:7.1f} x")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
