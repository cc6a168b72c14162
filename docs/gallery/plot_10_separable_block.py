"""
A depthwise separable block with folded batch norm
==================================================

The block that mobile networks are made of: a depthwise 3 × 3 convolution, which looks at the
neighbourhood of a pixel, and a 1 × 1 convolution, which mixes the channels. Each is followed by a
batch norm and a ReLU. In inference nothing of this needs a pass of its own.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import gconv

rng = np.random.default_rng(0)
channels, out_channels = 64, 128
depthwise = rng.standard_normal((channels, 1, 3, 3), np.float32) / 3
pointwise = rng.standard_normal((out_channels, channels, 1, 1), np.float32) / 8


def statistics(count):
    """What training leaves in a batch norm: mean, variance, scale and shift."""
    draws = [rng.normal(0, 0.2, count), rng.uniform(0.5, 2, count),
             rng.uniform(0.5, 1.5, count), rng.normal(0, 0.2, count)]
    return [draw.astype(np.float32) for draw in draws]


first, second = statistics(channels), statistics(out_channels)

# %%
# As it is written down
# ---------------------
# Six steps, each of which reads and writes all of its pixels.


def normalise(y, mean, var, scale, shift):
    """Batch norm with the statistics of training."""
    mean, var, scale, shift = (v[:, None, None] for v in (mean, var, scale, shift))
    return (y - mean) / np.sqrt(var + 1e-5) * scale + shift


def step_by_step(x):
    """Convolution, batch norm and ReLU, twice."""
    y = gconv.conv2d(x, depthwise, padding=1, groups=channels)
    y = np.maximum(normalise(y, *first), 0)
    y = gconv.conv2d(y, pointwise)
    return np.maximum(normalise(y, *second), 0)


# %%
# As it should run
# ----------------
# In inference a batch norm is a scale and a shift for each channel. ``fold_batch_norm`` puts them
# into the weights and the bias of the convolution before it, in float64, once. ReLU is done while
# the sums are still in registers.

spatial = gconv.Conv2d(depthwise, padding=1, groups=channels, activation="relu")
mixing = gconv.Conv2d(pointwise, activation="relu")
spatial, mixing = spatial.fold_batch_norm(*first), mixing.fold_batch_norm(*second)
print(spatial, mixing, sep="\n")


def folded(x):
    """The same block in two passes."""
    return mixing(spatial(x))


x = rng.standard_normal((1, channels, 112, 112), np.float32)
difference = np.abs(folded(x) - step_by_step(x)).max()
print(f"largest difference: {difference:.1e} of {folded(x).max():.1f}")
assert difference < 1e-4

# %%
# What that gains, and what separating gains in the first place: a dense 3 × 3 convolution with as
# many channels has eight times the arithmetic.

dense = gconv.Conv2d(
    rng.standard_normal((out_channels, channels, 3, 3), np.float32), padding=1, activation="relu"
)


def milliseconds(call):
    """The best of five calls, after one that is not counted."""
    times = []
    for _ in range(6):
        begin = time.perf_counter()
        call(x)
        times.append(1000 * (time.perf_counter() - begin))
    return min(times[1:])


calls = {"step by step": step_by_step, "folded": folded, "one dense 3 × 3": dense}
with gconv.thread_limit(1):
    times = [milliseconds(call) for call in calls.values()]
figure, panel = plt.subplots(figsize=(8, 2.2))
bars = panel.barh(list(calls), times, color="#0072B2")
panel.bar_label(bars, fmt="%.1f", padding=3)
panel.invert_yaxis()
panel.set_xlabel("milliseconds on one thread for 64 → 128 channels of 112 × 112 pixels")
plt.show()

flops = sum(layer.explain(x.shape).flops for layer in (spatial, mixing))
print(f"{dense.explain(x.shape).flops / flops:.1f} times the arithmetic")
