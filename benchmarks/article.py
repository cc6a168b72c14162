"""Ten kernels on each channel of a picture: one grouped call against a loop in Python.

Usage::

    python benchmarks/article.py [--threads 1]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import affinity
import gconv
from timing import Schedule, interleave, settle, warm_allocator

CHANNELS, KERNELS, SIZE = 3, 10, 224


def contenders(threads: int) -> dict[str, Callable[[], Any]]:
    """The same 30 responses, (1, 30, 224, 224), computed in several ways."""
    rng = np.random.default_rng(0)
    x = rng.random((1, CHANNELS, SIZE, SIZE), dtype=np.float32)
    weight = rng.random((CHANNELS * KERNELS, 1, 3, 3), dtype=np.float32)
    tx, tw = torch.from_numpy(x), torch.from_numpy(weight)
    per_channel = [slice(c * KERNELS, (c + 1) * KERNELS) for c in range(CHANNELS)]
    layer = gconv.Conv2d(weight, padding=1, groups=CHANNELS)

    def gconv_kernels() -> Any:
        responses = [
            gconv.conv2d(x[:, c : c + 1], weight[o : o + 1], padding=1, num_threads=threads)
            for c, outputs in enumerate(per_channel)
            for o in range(outputs.start, outputs.stop)
        ]
        return np.concatenate(responses, axis=1)

    def gconv_channels() -> Any:
        responses = [
            gconv.conv2d(x[:, c : c + 1], weight[outputs], padding=1, num_threads=threads)
            for c, outputs in enumerate(per_channel)
        ]
        return np.concatenate(responses, axis=1)

    def torch_kernels() -> Any:
        responses = [
            F.conv2d(tx[:, c : c + 1], tw[o : o + 1], padding=1)
            for c, outputs in enumerate(per_channel)
            for o in range(outputs.start, outputs.stop)
        ]
        return torch.cat(responses, dim=1)

    def torch_channels() -> Any:
        responses = [
            F.conv2d(tx[:, c : c + 1], tw[outputs], padding=1)
            for c, outputs in enumerate(per_channel)
        ]
        return torch.cat(responses, dim=1)

    return {
        "gconv, one grouped call, layer": lambda: layer(x, num_threads=threads),
        "gconv, one grouped call": lambda: gconv.conv2d(
            x, weight, padding=1, groups=CHANNELS, num_threads=threads
        ),
        "gconv, loop over channels": gconv_channels,
        "gconv, loop over channels and kernels": gconv_kernels,
        "PyTorch, one grouped call": lambda: F.conv2d(tx, tw, padding=1, groups=CHANNELS),
        "PyTorch, loop over channels": torch_channels,
        "PyTorch, loop over channels and kernels": torch_kernels,
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    warm_allocator()
    with torch.inference_mode():
        calls = contenders(arguments.threads)
        expected = np.asarray(calls["PyTorch, one grouped call"]())
        for title, call in calls.items():
            np.testing.assert_allclose(np.asarray(call()), expected, atol=1e-5, err_msg=title)
        try:
            for call in calls.values():
                settle()
                affinity.pin_workers(call, arguments.threads)
            timings = interleave(calls, Schedule())
        finally:
            affinity.release()
    base = next(iter(timings.values())).seconds
    for title, timing in timings.items():
        print(f"{title:42} {timing.seconds * 1e3:8.3f} ms {timing.seconds / base:7.1f} x")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
