"""
A spectrogram by a filter bank
==============================

A short-time Fourier transform multiplies each window of a signal by cosines and sines. These
products are a strided convolution: the window's length is the kernel's, the hop is the stride,
and every frequency has two kernels.
"""

import matplotlib.pyplot as plt
import numpy as np

import gconv

rate = 16_000
time = np.arange(2 * rate) / rate
rng = np.random.default_rng(0)
chirp = np.sin(2 * np.pi * (200 * time + 900 * time**2))
vibrato = 0.6 * np.sin(2 * np.pi * 5000 * time + 40 * np.sin(2 * np.pi * 3 * time))
clicks = 4.0 * (np.arange(time.size) % 8000 == 4000)
signal = (chirp + vibrato + clicks + 0.05 * rng.standard_normal(time.size)).astype(np.float32)

# %%
# Kernels of 512 samples under a Hann window, one frequency for each 31 Hz up to 8 kHz.

length, hop = 512, 160
frequencies = np.arange(length // 2 + 1)
window = np.hanning(length + 1)[:-1]
phase = 2 * np.pi * frequencies[:, None] * np.arange(length) / length
kernels = np.concatenate([window * np.cos(phase), -window * np.sin(phase)]).astype(np.float32)

# %%
# The signal is mirrored at both ends, so that the first column belongs to its first sample.

(response,) = gconv.filter_bank(
    signal[None], kernels, stride=hop, padding=length // 2, padding_mode="reflect"
)
real, imaginary = np.split(response, 2)
decibels = 20 * np.log10(np.hypot(real, imaginary) + 1e-3)

figure, panel = plt.subplots(figsize=(9, 4))
extent = (0, time[-1], 0, rate / 2000)
panel.imshow(decibels, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=-10)
panel.set_xlabel("seconds")
panel.set_ylabel("kHz")
plt.show()

# %%
# NumPy's FFT of each window gives the same numbers. It needs less arithmetic where all
# frequencies are wanted. The filter bank is the way where they are not: kernels may be mel or
# constant-Q filters, of any spacing, or learned ones, and nothing else changes.

padded = np.pad(signal, length // 2, mode="reflect")
windows = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]
theirs = np.fft.rfft(windows * window, axis=1).T
difference = np.abs(theirs - (real + 1j * imaginary)).max()
print(f"largest difference to the FFT: {difference:.1e} of {np.abs(theirs).max():.0f}")
assert difference < 1e-5 * np.abs(theirs).max()

# %%
# Fifty frequencies that are spaced as notes are, with windows as long as sixteen of their
# periods, need 100 kernels. All kernels of a bank have one length; shorter ones stand in the
# middle of zeros.

notes = 220 * 2 ** (np.arange(50) / 12)
length = 1163  # the longest window: an odd number, so that it has a middle
middle = np.arange(length) - length // 2
bell = np.exp(-0.5 * (middle * notes[:, None] / rate / 4) ** 2)
bell /= bell.sum(axis=1, keepdims=True)
phase = 2 * np.pi * notes[:, None] * middle / rate
kernels = np.concatenate([bell * np.cos(phase), bell * np.sin(phase)]).astype(np.float32)
(response,) = gconv.filter_bank(signal[None], kernels, stride=hop, padding=length // 2)
level = 20 * np.log10(np.hypot(*np.split(response, 2)) + 1e-3)

figure, panel = plt.subplots(figsize=(9, 4))
panel.imshow(level, origin="lower", aspect="auto", extent=(0, time[-1], 0, 50), cmap="magma")
panel.set_yticks(np.arange(0, 50, 12) + 0.5, [f"{note:.0f} Hz" for note in notes[::12]])
panel.set_xlabel("seconds")
plt.show()
