"""Matplotlib in the colours of light and dark pages, on no background."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

#: What text and axes are drawn in. "both" is read on white and on the dark theme's background.
INK = {"light": "#222832", "dark": "#ced6dd", "both": "#7b8590"}
THEMES = ("light", "dark")


def style(theme: str) -> dict[str, Any]:
    """Settings of Matplotlib."""
    ink = INK[theme]
    drawn = ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color",
             "ytick.color", "legend.labelcolor")
    return {
        **dict.fromkeys(drawn, ink),
        "grid.color": ink,
        "grid.alpha": 0.25,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "legend.facecolor": "none",
        "legend.edgecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.constrained_layout.use": True,
        "svg.hashsalt": "gconv",
    }


def save(draw: Callable[[], Figure], theme: str, path: Path) -> None:
    """Call a function that draws a figure, in a theme's colours."""
    with plt.rc_context(style(theme)):
        figure = draw()
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
