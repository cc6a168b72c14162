"""
A blur of each colour, with every border mode
=============================================

A blur near the edge of a picture needs pixels from beyond the edge. ``padding_mode`` says what
they are.
"""

import matplotlib.pyplot as plt
import numpy as np
import skimage

import gconv

picture = skimage.data.astronaut()[:200, 130:380] / np.float32(255)  # (height, width, colour)

# %%
# The colours are the last axis of the picture. ``transpose`` makes a view of it whose channels
# come first, nothing is copied, and the result has the memory order of the input. One kernel on
# each of three channels is a depthwise convolution: three groups.

radius = 15
offsets = np.arange(-radius, radius + 1)
bell = np.exp(-(offsets**2) / (2 * 6.0**2))
kernel = np.outer(bell, bell) / bell.sum() ** 2
weight = np.tile(kernel.astype(np.float32), (3, 1, 1, 1))  # (3, 1, 31, 31)

x = picture.transpose(2, 0, 1)
blurred = {
    mode: gconv.conv2d(x, weight, padding=radius, groups=3, padding_mode=mode).transpose(1, 2, 0)
    for mode in ("zeros", "reflect", "replicate", "circular")
}
assert all(y.shape == picture.shape for y in blurred.values())

# %%
# Zeros are black, and darken the edge. ``reflect`` mirrors the picture about its first and last
# pixels, ``replicate`` repeats these pixels, and ``circular`` goes on at the other end, which
# suits pictures that tile.

figure, axes = plt.subplots(2, 2, figsize=(8, 6.8))
for panel, (mode, y) in zip(axes.flat, blurred.items(), strict=True):
    panel.imshow(np.clip(y, 0, 1))
    panel.set_title(mode)
    panel.axis("off")
plt.show()

# %%
# What lies beyond the edge can be seen by convolving with a single 1 in the corner of a kernel,
# which shifts the picture by its radius.

shift = np.zeros((3, 1, 121, 121), np.float32)
shift[:, :, 0, 0] = 1
figure, axes = plt.subplots(2, 2, figsize=(8, 6.8))
for panel, mode in zip(axes.flat, blurred, strict=True):
    y = gconv.conv2d(x, shift, padding=60, groups=3, padding_mode=mode)
    panel.imshow(y.transpose(1, 2, 0))
    panel.axhline(59.5, color="white", linewidth=0.8, linestyle=":")
    panel.axvline(59.5, color="white", linewidth=0.8, linestyle=":")
    panel.set_title(mode)
    panel.axis("off")
plt.show()

# %%
# Inside, where the kernel touches no edge, the mode makes no difference at all.

inside = np.s_[radius:-radius, radius:-radius]
for y in blurred.values():
    np.testing.assert_allclose(y[inside], blurred["zeros"][inside], rtol=1e-5, atol=1e-6)
