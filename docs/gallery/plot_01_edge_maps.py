"""
Edge maps of a photograph
=========================

Where does the brightness of a picture change, how fast, and in which direction? Derivatives
answer, and derivatives of a picture are convolutions. Three of them are one call of
:func:`gconv.filter_bank`.
"""

import matplotlib.pyplot as plt
import numpy as np
import scipy.ndimage
import skimage

import gconv

photograph = skimage.data.coffee()[:, :400] / np.float32(255)
grey = photograph @ np.array([0.2125, 0.7154, 0.0721], np.float32)

# %%
# Derivatives of a Gaussian are less afraid of noise than differences of neighbours. With a
# standard deviation of 1.5 pixels, kernels of 11 × 11 hold all that matters of them.

sigma, radius = 1.5, 5
y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1] / sigma
bell = np.exp(-(x**2 + y**2) / 2) / (2 * np.pi * sigma**2)
kernels = np.stack([x * bell / sigma, y * bell / sigma, (x**2 + y**2 - 2) * bell / sigma**2])
kernels = kernels.astype(np.float32)

# %%
# A grey picture is one channel, ``grey[None]``. Its border is mirrored: with zeros beyond the
# edge the frame of the picture would be the strongest edge of all.

((across, down, laplacian),) = gconv.filter_bank(
    grey[None], kernels, padding="same", padding_mode="reflect"
)
strength = np.hypot(across, down)
direction = np.arctan2(down, across)

# %%
# An edge is where the Laplacian changes its sign and the gradient is not small.

positive = laplacian > 0
crossing = np.zeros_like(positive)
crossing[:, :-1] |= positive[:, :-1] != positive[:, 1:]
crossing[:-1] |= positive[:-1] != positive[1:]
edges = crossing & (strength > 0.03)

figure, axes = plt.subplots(2, 2, figsize=(8, 8))
wheel = plt.colormaps["hsv"]((direction + np.pi) / (2 * np.pi))[..., :3]
pictures = {
    "photograph": photograph,
    "strength of the gradient": strength,
    "its direction, as a colour": wheel * np.minimum(strength / 0.1, 1)[..., None],
    "edges": edges,
}
for panel, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
    panel.imshow(picture, cmap="gray")
    panel.set_title(title)
    panel.axis("off")
plt.show()

# %%
# The same numbers as SciPy's, but for its smaller error in the tails of the bell, which it
# follows further out.

theirs = scipy.ndimage.gaussian_gradient_magnitude(grey, sigma, mode="mirror")
print(f"largest difference to SciPy: {np.abs(theirs - strength).max():.4f} "
      f"of {strength.max():.3f}")
assert np.abs(theirs - strength).max() < 0.02 * strength.max()
