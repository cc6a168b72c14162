"""Whether a contender computed what PyTorch computes."""

from __future__ import annotations

import numpy as np

from contenders.base import Array
from contenders.pytorch import torch_conv
from layers import Layer

# Winograd's transforms amplify rounding, by how much depends on the tile; bfloat16 or float16
# products still stand out by far.
WINOGRAD_ALLOWANCE = 64.0


def reference(layer: Layer, x: Array, weight: Array) -> np.ndarray:
    """PyTorch's result in float64."""
    import torch

    with torch.inference_mode():
        y = torch_conv(layer)(torch.from_numpy(x).double(), torch.from_numpy(weight).double())
    result: np.ndarray = y.numpy()
    return result


def tolerance(layer: Layer, x: Array, weight: Array) -> float:
    """Largest absolute error that summing in float32 explains.

    Rounding after each of K additions to a partial sum of magnitude sqrt(k) rms(x) rms(w) adds up
    to an error of about 0.15 eps K rms(x) rms(w); the largest over all outputs lies some 6 times
    higher. Twice that is allowed, and the short sums get the products' rounding on top.
    """

    def rms(array: Array) -> float:
        return float(np.sqrt(np.mean(np.square(array), dtype=np.float64)))

    return 2 * float(np.finfo(np.float32).eps) * (layer.depth + 16) * rms(x) * rms(weight)


def error(result: Array, expected: np.ndarray, allowed: float) -> float:
    """Largest absolute error as a multiple of `allowed`; infinite for a wrong shape."""
    if result.shape != expected.shape:
        return float("inf")
    return float(np.max(np.abs(result - expected), initial=0.0)) / allowed
