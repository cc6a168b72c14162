"""
wav2vec's positional layer
==========================

Transformers for speech such as wav2vec 2.0 and HuBERT learn where they are from a convolution:
768 channels in 16 groups, kernels of 128 samples, normalised weights, then GELU. It is one module
of the model, and takes a good part of the time of a short recording.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
import torch

import gconv

# %%
# The layer as the models have it. Its weights here are random; those of a trained model go the
# same way.

torch.manual_seed(0)
convolution = torch.nn.Conv1d(768, 768, kernel_size=128, padding=64, groups=16)
convolution = torch.nn.utils.parametrizations.weight_norm(convolution, dim=2)
block = torch.nn.Sequential(convolution, torch.nn.GELU()).eval()

# %%
# :func:`gconv.from_torch` resolves the weight normalisation, takes the activation along, and
# packs the weight once.

layer = gconv.from_torch(block)
print(layer)

# %%
# Two seconds of sound are 99 frames. An even kernel with padding on both sides gives one frame
# too many, and the models drop the last.

frames = torch.randn(1, 768, 99)
with torch.inference_mode():
    theirs = block(frames)[:, :, :-1].numpy()
ours = layer(frames)[:, :, :-1]
print(f"largest difference: {np.abs(ours - theirs).max():.1e} of {np.abs(theirs).max():.2f}")
assert np.abs(ours - theirs).max() < 1e-5


# %%
# How long do both take? One thread each, so that neither waits for the other's.

torch.set_num_threads(1)


def milliseconds(call):
    """The best of five calls, after one that is not counted."""
    times = []
    for _ in range(6):
        begin = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - begin))
    return min(times[1:])


lengths = [25, 50, 99, 199]
pytorch, with_gconv = [], []
for length in lengths:
    frames = torch.randn(1, 768, length)
    with torch.inference_mode():
        pytorch.append(milliseconds(lambda x=frames: block(x)))
    with_gconv.append(milliseconds(lambda x=frames: layer(x, num_threads=1)))

figure, panel = plt.subplots(figsize=(8, 3))
places = np.arange(len(lengths))
panel.barh(places - 0.2, pytorch, 0.38, label="PyTorch", color="#E69F00")
panel.barh(places + 0.2, with_gconv, 0.38, label="gconv", color="#0072B2")
panel.set_yticks(places, [f"{length} frames" for length in lengths])
panel.invert_yaxis()
panel.set_xlabel("milliseconds on one thread: shorter is better")
panel.legend()
plt.show()

# %%
# ``print(layer.explain(shape))`` tells how gconv computes it.

print(layer.explain((1, 768, 99)))
