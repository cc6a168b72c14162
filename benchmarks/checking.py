"""Whether a contender computed the sum: what PyTorch computes, where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconv._bench.contenders.base import Array
from gconv._bench.contenders.gconv import function_of
from gconv._bench.contenders.pytorch import torch_conv
from gconv._bench.layers import Layer
from gconv._plan import choose

# Winograd's transforms amplify rounding, by how much depends on the tile; bfloat16 or float16
# products still stand out by far.
WINOGRAD_ALLOWANCE = 32.0


@cache
def has_torch() -> bool:
    """Whether PyTorch can be imported."""
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True


def reference_name() -> str:
    """Whose result the others are held against."""
    return "PyTorch in float64" if has_torch() else "gconv's plain loop nest in float64"


def reference(layer: Layer, x: Array, weight: Array) -> NDArray[np.float64]:
    """The result in float64: PyTorch's, or without PyTorch that of gconv's plain loop nest."""
    x, weight = x.astype(np.float64), weight.astype(np.float64)
    result: NDArray[np.float64]
    if has_torch():
        import torch

        with torch.inference_mode():
            y = torch_conv(layer)(torch.from_numpy(x), torch.from_numpy(weight))
        result = y.numpy()
    else:
        with choose.use_tile("plain"):
            result = function_of(layer)(x, weight)
    return result


def tolerance(layer: Layer, x: Array, weight: Array, dtype: type[np.floating]) -> float:
    """Largest absolute error that summing in the dtype explains.

    Rounding after each of K additions to a partial sum of magnitude sqrt(k) rms(x) rms(w) adds up
    to an error of about 0.15 eps K rms(x) rms(w); the largest over all outputs lies some 6 times
    higher, over millions of them 12 times. Twice that is allowed, and the short sums get the
    products' rounding on top.
    """

    def rms(array: Array) -> float:
        return float(np.sqrt(np.mean(np.square(array), dtype=np.float64)))

    return 4 * float(np.finfo(dtype).eps) * (layer.depth + 16) * rms(x) * rms(weight)


def error(result: Array, expected: NDArray[np.float64], allowed: float) -> float:
    """Largest absolute error as a multiple of `allowed`; infinite for a wrong shape."""
    if result.shape != expected.shape:
        return float("inf")
    return float(np.max(np.abs(result - expected), initial=0.0)) / allowed


def report_wrong(
    results: dict[str, Any], contenders: Mapping[str, Any], name_of: Callable[[Any], str]
) -> int:
    """Name the results that are wrong; the exit status tells about gconv's."""
    status = 0
    for row in results["rows"]:
        for name, off in row["errors"].items():
            if off > 1:
                print(
                    f"{name_of(row)}: {contenders[name].title} is off by {off:.1f} times the "
                    "tolerance",
                    file=sys.stderr,
                )
                status = status or int(contenders[name].ours)
    return status
