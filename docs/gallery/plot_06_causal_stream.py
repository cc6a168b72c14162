"""
A causal filter on a stream
===========================

Sound from a microphone and values from a sensor arrive in chunks, and each chunk must be answered
before the next one is there. A causal convolution needs no later sample.
:class:`gconv.CausalConv1d` runs it chunk by chunk, with the same bits as on the whole signal.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import gconv

# %%
# Three sensors, each of which needs a filter of its own length: three groups. The taps of a
# causal filter are in the order of time: the last one meets the sample that has just come.
# Shorter filters have zeros in front.

rate, taps = 500, 64
weight = np.zeros((3, 1, taps), np.float32)
for sensor, width in enumerate((8, 24, 64)):
    ramp = np.hanning(2 * width + 1)[1 : width + 1]  # recent samples count more
    weight[sensor, 0, -width:] = ramp / ramp.sum()
layer = gconv.CausalConv1d(weight, groups=3)

# %%
# A stream is a loop that keeps the state: the samples that later outputs will need. ``None``
# begins a stream.

rng = np.random.default_rng(0)
moments = np.arange(2 * rate) / rate
clean = np.sign(np.sin(2 * np.pi * np.array([[0.7], [1.0], [0.5]]) * moments))
noisy = (clean + 0.5 * rng.standard_normal(clean.shape)).astype(np.float32)

state, answers, microseconds = None, [], []
for begin in range(0, noisy.shape[1], 10):
    chunk = noisy[:, begin : begin + 10]
    start = time.perf_counter()
    answer, state = layer.step(chunk, state)
    microseconds.append(1e6 * (time.perf_counter() - start))
    answers.append(answer)
stream = np.concatenate(answers, axis=1)

assert np.array_equal(stream, layer(noisy))  # the whole signal at once: the same bits
print(f"state {state.shape}, {np.median(microseconds):.1f} µs for a chunk of 10 samples (median)")

figure, axes = plt.subplots(3, 1, figsize=(9, 5), sharex=True)
for panel, before, after, width in zip(axes, noisy, stream, (8, 24, 64), strict=True):
    panel.plot(moments, before, color="#7b8590", linewidth=0.5)
    panel.plot(moments, after, color="#D55E00")
    panel.set_ylabel(f"{width} taps")
axes[-1].set_xlabel("seconds")
plt.show()

# %%
# Several streams at once are a batch: a chunk of shape (streams, channels, samples), and a state
# for each of them. The state is an ordinary array; who wants to go on after a restart saves it.
