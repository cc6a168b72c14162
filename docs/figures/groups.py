"""How groups work: everything that is drawn here has been computed by gconv."""

from __future__ import annotations

import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
from matplotlib import get_data_path
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from numpy.typing import NDArray

import gconv

# Okabe and Ito's colours: told apart by everyone.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
IN_CHANNELS, OUT_CHANNELS = 4, 8
GROUPS = (1, 2, 4)


def weights(groups: int) -> NDArray[np.float64]:
    """Random weights of a convolution from four to eight channels."""
    rng = np.random.default_rng(groups)
    return rng.standard_normal((OUT_CHANNELS, IN_CHANNELS // groups, 3, 3))


def reached(groups: int) -> NDArray[np.bool_]:
    """Which output channel changes where one input channel does: [output, input]."""
    answers = []
    for channel in range(IN_CHANNELS):
        x = np.zeros((IN_CHANNELS, 5, 5))
        x[channel] = 1
        y = gconv.conv2d(x, weights(groups), groups=groups)
        answers.append(np.any(y != 0, axis=(1, 2)))
    return np.stack(answers, axis=1)


def channels() -> Figure:
    """Input channels above, output channels below, a line wherever one reaches the other."""
    figure, panels = plt.subplots(1, len(GROUPS), figsize=(10, 3.1))
    for axes, groups in zip(panels, GROUPS, strict=True):
        _channels(axes, groups)
    return figure


def _channels(axes: Axes, groups: int) -> None:
    above = np.arange(IN_CHANNELS) * 2 + 0.5
    below = np.arange(OUT_CHANNELS)
    answer = reached(groups)
    for output, channel in np.argwhere(answer):
        group = channel * groups // IN_CHANNELS
        axes.plot(
            [above[channel], below[output]], [1, 0], color=COLOURS[group], linewidth=1.2, zorder=1
        )
    for places, y, count, letter in (
        (above, 1, IN_CHANNELS, "x"), (below, 0, OUT_CHANNELS, "y")
    ):
        for index, place in enumerate(places):
            colour = COLOURS[index * groups // count]
            box = FancyBboxPatch(
                (place - 0.3, y - 0.09), 0.6, 0.18, boxstyle="round,pad=0.02,rounding_size=0.08",
                facecolor=colour, edgecolor="none", zorder=2, mutation_aspect=0.3,
            )
            axes.add_patch(box)
            axes.text(place, y - 0.005, f"{letter}{index}", ha="center", va="center",
                      color="white", fontsize=8, zorder=3)
    names = {1: "groups = 1", 2: "groups = 2", IN_CHANNELS: f"groups = C = {IN_CHANNELS}"}
    axes.set_title(
        f"{names[groups]}\nweight {weights(groups).shape}, {answer.sum()} pairs", fontsize=10
    )
    axes.set(xlim=(-0.6, OUT_CHANNELS - 0.4), ylim=(-0.2, 1.2))
    axes.axis("off")


def as_matrix(groups: int) -> NDArray[np.float64]:
    """The matrix that turns a window of all channels into the outputs at one place.

    The convolution is applied to as many windows as a window has elements; in each of them
    another element is 1.
    """
    size = IN_CHANNELS * 3 * 3
    windows = np.eye(size).reshape(size, IN_CHANNELS, 3, 3)
    return gconv.conv2d(windows, weights(groups), groups=groups).reshape(size, OUT_CHANNELS).T


def matrices() -> Figure:
    """The convolutions as matrices: groups are blocks, and what is outside of them is zero."""
    figure, panels = plt.subplots(len(GROUPS), 1, figsize=(7, 5.6), sharex=True)
    for axes, groups in zip(panels, GROUPS, strict=True):
        matrix = as_matrix(groups)
        shown = np.ma.masked_equal(matrix, 0)
        axes.imshow(shown, cmap="RdBu_r", vmin=-2.5, vmax=2.5, aspect="auto")
        axes.set_title(
            f"groups = {groups}: {np.count_nonzero(matrix)} of {matrix.size} elements are weights",
            fontsize=10, loc="left",
        )
        axes.set_yticks(range(0, OUT_CHANNELS, 2), [f"y{o}" for o in range(0, OUT_CHANNELS, 2)])
        for channel in range(1, IN_CHANNELS):
            axes.axvline(9 * channel - 0.5, color="grey", linewidth=0.5, linestyle=":")
    panels[-1].set_xticks(
        [9 * channel + 4 for channel in range(IN_CHANNELS)],
        [f"the 9 pixels of x{channel}" for channel in range(IN_CHANNELS)],
    )
    for axes in panels:
        axes.tick_params(length=0)
    return figure


def costs() -> Figure:
    """Weights and arithmetic of a layer by its number of groups, as `explain` counts them."""
    count = 64
    divisors = [groups for groups in range(1, count + 1) if count % groups == 0]
    layers = [
        gconv.Conv2d(
            np.ones((count, count // groups, 3, 3), np.float32), padding=1, groups=groups
        )
        for groups in divisors
    ]
    flops = [layer.explain((count, 56, 56)).flops / 1e6 for layer in layers]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.8))
    places = range(len(divisors))
    for axes, values, title in (
        (left, [layer.weight.size for layer in layers], "weights"),
        (right, flops, "MFLOP for 56 × 56 pixels"),
    ):
        bars = axes.bar(places, values, color=COLOURS[0])
        axes.bar_label(bars, [f"{value:,.0f}" for value in values], fontsize=8, padding=2)
        axes.set_yscale("log")
        axes.set_yticks([])
        axes.minorticks_off()
        axes.spines["left"].set_visible(False)
        axes.set_xticks(places, divisors)
        axes.set_xlabel("groups")
        axes.set_title(title, fontsize=10)
        axes.margins(y=0.1)
    return figure


def photograph() -> NDArray[np.float32]:
    """A part of the photograph that Matplotlib brings along: (3, height, width), from 0 to 1."""
    path = f"{get_data_path()}/sample_data/grace_hopper.jpg"
    picture = matplotlib.image.imread(path)[20:340, 100:420]
    return np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32) / 255


def bank() -> tuple[list[str], NDArray[np.float32]]:
    """Ten kernels of 5 × 5 pixels, with their names."""
    y, x = np.mgrid[-2:3, -2:3].astype(np.float32)
    bell = np.exp(-(x**2 + y**2) / 2)
    mean = bell / bell.sum()
    point = (x**2 + y**2 == 0).astype(np.float32)
    hat = (x**2 + y**2 - 2) * bell

    def wave(angle: float) -> NDArray[np.float32]:
        along = x * np.cos(angle) + y * np.sin(angle)
        values = bell * np.cos(2 * along)
        return values - values.mean()

    kernels = {
        "identity": point,
        "mean": mean,
        "sharpen": 2.5 * point - 1.5 * mean,
        "edge →": x * bell,
        "edge ↓": y * bell,
        "edge ↘": (x + y) * bell,
        "spots": hat - hat.mean(),
        "wave 0°": wave(0),
        "wave 60°": wave(np.pi / 3),
        "wave 120°": wave(2 * np.pi / 3),
    }
    return list(kernels), np.stack(list(kernels.values())).astype(np.float32)


def ten_kernels() -> Figure:
    """Ten kernels on the three channels of a photograph: thirty responses of one call."""
    names, kernels = bank()
    x = photograph()
    responses = gconv.filter_bank(x, kernels, padding="same", padding_mode="reflect")
    figure, panels = plt.subplots(4, 11, figsize=(11, 4.4))
    for axes in panels.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    panels[0, 0].imshow(x.transpose(1, 2, 0))
    for m, name in enumerate(names):
        reach = np.abs(kernels[m]).max()
        panels[0, m + 1].imshow(kernels[m], cmap="RdBu_r", vmin=-reach, vmax=reach)
        panels[0, m + 1].set_title(name, fontsize=8)
    for c, colour in enumerate(("red", "green", "blue")):
        panels[c + 1, 0].imshow(x[c], cmap="gray", vmin=0, vmax=1)
        panels[c + 1, 0].set_ylabel(colour, fontsize=9)
        for m, kernel in enumerate(kernels):
            keeps_brightness = kernel.sum() > 0.5
            low, high = 0.0, 1.0
            if not keeps_brightness:
                high = float(np.percentile(np.abs(responses[c, m]), 99))
                low = -high
            panels[c + 1, m + 1].imshow(responses[c, m], cmap="gray", vmin=low, vmax=high)
    return figure
