"""
A stack by Dask
===============

A microscope's film has more pixels than fit into memory, and its responses to a bank of kernels
are several times as large. :mod:`gconv.dask` has the functions of gconv for Dask arrays: nothing
is computed before it is asked for, and then it is chunk by chunk.
"""

import tempfile
from pathlib import Path

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np

import gconv.dask

# %%
# A film on disk: spots that wander about, page by page. Yours may be a TIFF or Zarr file; this
# one is small enough for a page of documentation.

pages, size, count = 32, 384, 60
rng = np.random.default_rng(0)
folder = tempfile.TemporaryDirectory()
path = Path(folder.name, "film.npy")
film = np.lib.format.open_memmap(path, "w+", np.float32, (pages, size, size))
places = rng.uniform(0, size, (count, 2))
y, x = np.mgrid[-12:13, -12:13]
bells = np.exp(-(x**2 + y**2) / (2 * rng.uniform(1.5, 4, (count, 1, 1)) ** 2))
for page in film:
    page[:] = rng.normal(0, 0.08, page.shape)
    corners = np.clip(places.astype(int), 12, size - 13)
    for (row, column), bell in zip(corners, bells, strict=True):
        page[row - 12 : row + 13, column - 12 : column + 13] += bell
    places += rng.normal(0, 4, places.shape)
film.flush()
del film

# %%
# Three kernels answer to spots of three sizes.

kernels = []
for sigma in (1.5, 2.5, 4.0):
    r2 = (x**2 + y**2) / sigma**2
    kernel = (2 - r2) * np.exp(-r2 / 2)
    kernels.append((kernel - kernel.mean()) / (np.pi * sigma**2) / 2)
kernels = np.array(kernels, np.float32)

# %%
# Chunks may cut the stack anywhere, also across pages: each task reads the pixels beyond its
# borders that its outputs need, and the result is that of one call. ``[:, None]`` says that a
# page has one channel.

stack = da.from_array(np.load(path, mmap_mode="r"), chunks=(4, 200, 200))[:, None]
responses = gconv.dask.filter_bank(stack, kernels, padding="same", padding_mode="reflect")
print(f"{responses.shape}, {responses.nbytes / 1e6:.0f} MB in {responses.npartitions} chunks "
      f"of {np.prod(responses.chunksize) * 4 / 1e6:.1f} MB")

# %%
# What is wanted of them is little: the strongest response at each pixel in all the pages, and how
# much of each page is spots. Both are computed in one pass, and no array of the responses' size
# is ever made.

strongest = responses.max(axis=(1, 2))
share = (strongest > 0.35).mean(axis=(1, 2))
brightest, share = da.compute(strongest.max(axis=0), share)

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.4))
first = np.load(path, mmap_mode="r")[0]
left.imshow(first, cmap="gray")
left.set_title("the first page")
middle.imshow(brightest, cmap="magma", vmin=0)
middle.set_title("strongest response of all pages")
for panel in (left, middle):
    panel.axis("off")
right.plot(100 * share, color="#0072B2")
right.set_xlabel("page")
right.set_title("% of pixels in spots")
plt.show()

# %%
# A page by itself, without Dask, gives the same.

plain = gconv.filter_bank(first[None], kernels, padding="same", padding_mode="reflect")
np.testing.assert_allclose(responses[0].compute(), plain, rtol=1e-4, atol=1e-5)

# %%
# With ``distributed.Client()`` the same lines run on worker processes or on a cluster.

folder.cleanup()
