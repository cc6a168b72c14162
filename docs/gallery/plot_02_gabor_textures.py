"""
Gabor features tell textures apart
==================================

Brick, grass and gravel are about equally bright. What differs is how often and in which direction
the brightness goes up and down. Gabor kernels measure that: waves under a bell. Twelve of them, a
cosine and a sine each, are one bank of 24 kernels and one call.
"""

# sphinx_gallery_thumbnail_number = 2

import matplotlib.pyplot as plt
import numpy as np
import skimage

import gconv

size = 128
brick, grass, gravel = (
    skimage.transform.downscale_local_mean(texture, (2, 2))
    for texture in (skimage.data.brick(), skimage.data.grass(), skimage.data.gravel())
)
textures = [part[:size, :size] for part in (brick, grass, gravel, brick.T)]
textures = [(t - t.mean()) / t.std() for t in textures]
mosaic = np.block([textures[:2], textures[2:]]).astype(np.float32)
truth = np.kron([[0, 1], [2, 3]], np.ones((size, size), int))

# %%
# Kernels
# -------
# Four directions and three wavelengths. The mean is taken off, so that flat areas give nothing.

wavelengths, radius = (3, 5, 8), 8
y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
kernels = []
for wavelength in wavelengths:
    bell = np.exp(-(x**2 + y**2) / (2 * (0.45 * wavelength) ** 2))
    for angle in np.arange(4) * np.pi / 4:
        along = (x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / wavelength
        for wave in (np.cos(along), np.sin(along)):
            kernel = bell * (wave - (bell * wave).sum() / bell.sum())
            kernels.append(kernel / np.abs(kernel).sum())
bank = np.array(kernels, np.float32)

# %%
# Features
# --------
# Cosine and sine together tell how much of the wave there is, wherever its crests lie. That
# energy is then averaged over a neighbourhood: twelve channels with one kernel, which is again a
# filter bank, once along each axis.

(responses,) = gconv.filter_bank(
    mosaic[None], bank, padding="same", padding_mode="reflect"
)
energy = np.hypot(responses[0::2], responses[1::2])

offsets = np.arange(-28, 29)
curve = np.exp(-(offsets**2) / (2 * 12.0**2))
curve = (curve / curve.sum()).astype(np.float32)
features = energy
for kernel in (curve[None, :, None], curve[None, None, :]):
    smooth = gconv.filter_bank(features, kernel, padding="same", padding_mode="reflect")
    features = smooth[:, 0]

figure, axes = plt.subplots(3, 4, figsize=(8, 6.2))
for index, panel in enumerate(axes.flat):
    panel.imshow(features[index], cmap="gray")
    title = f"wavelength {wavelengths[index // 4]}, {45 * (index % 4)}°"
    panel.set_title(title, fontsize=9)
    panel.axis("off")

# %%
# Classes
# -------
# A window of each texture is labelled by hand; every pixel goes to the nearest of the four means.

normal = features - features.mean((1, 2), keepdims=True)
normal /= features.std((1, 2), keepdims=True)
corners = [(r, c) for r in (32, 160) for c in (32, 160)]
windows = [normal[:, r : r + 64, c : c + 64] for r, c in corners]
means = np.stack([window.mean((1, 2)) for window in windows])
distance = ((normal[None] - means[:, :, None, None]) ** 2).sum(axis=1)
found = distance.argmin(axis=0)
print(f"{np.mean(found == truth):.1%} of the pixels have the right texture")
assert np.mean(found == truth) > 0.9

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 4))
left.imshow(mosaic, cmap="gray")
left.set_title("brick, grass, gravel, brick on its side")
right.imshow(found, cmap="viridis")
right.set_title("nearest mean of the features")
for panel in (left, right):
    panel.axis("off")
plt.show()
