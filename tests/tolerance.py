"""How far a right answer may lie from the reference: the one place that says so."""

import numpy as np
from reference import reference


def error_bound(depth, dtype, magnitude):
    """Return the largest error of a sum of `depth` products rounded in `dtype`, elementwise.

    `magnitude` is the same sum over absolute values. However the sum is ordered, and with or
    without FMA, each of its depth + 1 roundings (the bias is one more term) moves the result by at
    most one unit roundoff of a partial sum, and no partial sum exceeds the magnitude: depth + 1
    units at most. Roundings of data without a pattern go either way, so that long sums stay within
    a few times sqrt(depth): one lost tap, about magnitude / depth, then stands out even at a depth
    of 10,000. The reference rounds too, in float64.
    """
    roundings = depth + 1
    units = min(roundings, 4 * np.sqrt(roundings))
    unit = np.finfo(dtype).eps / 2 + np.finfo(np.float64).eps / 2
    return units * unit * magnitude


def assert_close(got, want, magnitude, depth):
    """Assert that `got` is `want` (float64) up to the roundings of a sum in its own precision."""
    assert got.shape == want.shape
    error = np.abs(got.astype(np.float64) - want)
    bound = error_bound(depth, got.dtype, magnitude)
    # Written so that a NaN fails.
    bad = ~(error <= bound)
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise AssertionError(
            f"{bad.sum()} of {bad.size} elements are off; the first at {at}: got {got[at]!r}, "
            f"want {want[at]!r}, error {error[at]:.3g} > bound {bound[at]:.3g} (depth {depth})"
        )


def assert_right(got, x, weight, bias=None, **options):
    """Assert that `got` is the convolution of the batched arrays given, by the reference."""
    want = reference(x, weight, bias, **options)
    bias = None if bias is None else np.abs(bias)
    magnitude = reference(np.abs(x), np.abs(weight), bias, **options)
    assert_close(got, want, magnitude, int(np.prod(weight.shape[1:])))
