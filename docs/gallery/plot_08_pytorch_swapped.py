"""
A PyTorch model, swapped
========================

A model that is written in PyTorch, and stays so. One line lets its convolutions run on gconv,
each where that is measured to be faster on this machine.
"""

import matplotlib.pyplot as plt
import torch

import gconv.torch

# %%
# A small network of separable blocks stands for yours. It must be in evaluation mode.


def block(channels, out_channels, stride):
    """Depthwise 3 × 3 and 1 × 1, each with batch norm and an activation."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False),
        torch.nn.BatchNorm2d(channels),
        torch.nn.Hardswish(),
        torch.nn.Conv2d(channels, out_channels, 1, bias=False),
        torch.nn.BatchNorm2d(out_channels),
        torch.nn.Hardswish(),
    )


torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Conv2d(3, 32, 3, 2, 1),
    block(32, 64, 1),
    block(64, 128, 2),
    block(128, 128, 1),
    block(128, 256, 2),
    torch.nn.AdaptiveAvgPool2d(1),
    torch.nn.Flatten(),
    torch.nn.Linear(256, 10),
).eval()
x = torch.rand(1, 3, 128, 128)
with torch.inference_mode():
    before = model(x)

# %%
# The example's shape, its memory order and PyTorch's number of threads decide what is measured.
# So give an input as the model will see it, and set the threads before.

torch.set_num_threads(1)
with torch.inference_mode():
    report = gconv.torch.replace_convs_(model, x)
print(report)

# %%
# The model is called as before. All its modules are the objects that they were, with their names
# and parameters; where gradients are wanted, or in training, they run PyTorch's own code.

with torch.inference_mode():
    after = model(x)
print(f"largest difference: {(after - before).abs().max():.1e} of {before.abs().max():.2f}")
assert torch.allclose(after, before, atol=1e-4)
assert type(model[0]).__name__ == "Conv2d"

rows = [row for row in report.as_dicts() if row["gconv_ms"] is not None]
figure, panel = plt.subplots(figsize=(8, 4))
places = range(len(rows))
panel.barh([p - 0.2 for p in places], [r["pytorch_ms"] for r in rows], 0.38, label="PyTorch",
           color="#E69F00")
panel.barh([p + 0.2 for p in places], [r["gconv_ms"] for r in rows], 0.38, label="gconv",
           color="#0072B2")
panel.set_yticks(places, [row["layer"] for row in rows])
panel.invert_yaxis()
panel.set_xlabel("milliseconds of a convolution with what follows it: shorter is better")
panel.legend()
plt.show()

# %%
# ``restore`` undoes it.

gconv.torch.restore(model)
