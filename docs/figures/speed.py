"""Speed, from the results that are committed in `benchmarks/results`: the newest of each kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gconv._bench.contenders import CONTENDERS
from gconv._bench.contenders.whole_models import RUNNERS
from gconv._bench.models_report import OURS
from gconv._bench.ratios import by_threads, fastest, ratio

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
DATE = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
# Okabe and Ito's colours: told apart by everyone.
COLOURS = {
    "torch": "#999999", "torch-cl": "#56B4E9", "onnxruntime": "#0072B2", "openvino": "#D55E00",
    "ncnn": "#CC79A7", "mnn": "#009E73",
}
MARKERS = dict(zip(COLOURS, "oosD^v", strict=True))


def newest(kind: str = "") -> Any:
    """The newest results of layers (""), "-models" or "-torch"."""
    return json.loads(sorted(RESULTS.glob(f"{DATE}{kind}.json"))[-1].read_text())


def _ratio_axis(axes: Axes, label: str) -> None:
    axes.axvline(1, color="#E69F00", linewidth=1.5, zorder=1)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel(label)
    axes.grid(axis="x")


def _legend(figure: Figure, titles: dict[str, str]) -> None:
    handles = [
        Line2D([], [], linestyle="", marker=MARKERS[peer], color=COLOURS[peer], label=title)
        for peer, title in titles.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=9)


def layers() -> Figure:
    """How many times faster a gconv layer is than each peer, on one thread."""
    rows = by_threads(newest())[1]
    figure, axes = plt.subplots(figsize=(7.5, 0.26 * len(rows) + 1.5))
    kind = ""
    for place, row in enumerate(rows):
        if row["class"] != kind:
            kind = row["class"]
            axes.axhline(place - 0.5, color="#7b8590", linewidth=0.5)
            axes.text(
                1.01, place, kind, transform=axes.get_yaxis_transform(), fontsize=8, va="center"
            )
        for peer, colour in COLOURS.items():
            value = ratio(row, "layer", peer)
            if value is not None and row["errors"][peer] <= 1:
                fill = colour if peer == fastest(row) else "none"
                axes.plot(value, place, MARKERS[peer], color=colour, markerfacecolor=fill,
                          markersize=5)
    axes.set_yticks(range(len(rows)), [row["layer"] for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    _ratio_axis(axes, "how many times faster gconv is; filled: the fastest peer")
    _legend(figure, {peer: CONTENDERS[peer].title for peer in COLOURS})
    return figure


def models() -> Figure:
    """How many times faster a session is than each peer, by model and threads."""
    rows = [row for row in newest("-models")["rows"] if row["batch"] == 1]
    names = list(dict.fromkeys(row["model"] for row in rows))
    threads = sorted({row["threads"] for row in rows})
    figure, panels = plt.subplots(
        1, len(threads), figsize=(8, 0.34 * len(names) + 1.8), sharey=True, squeeze=False
    )
    peers = [peer for peer in COLOURS if any(peer in row["seconds"] for row in rows)]
    for axes, count in zip(panels[0], threads, strict=True):
        for row in rows:
            if row["threads"] != count:
                continue
            best = fastest(row, contenders=RUNNERS)
            for peer in peers:
                value = ratio(row, OURS, peer)
                if value is not None and row["errors"][peer] <= 1:
                    fill = COLOURS[peer] if peer == best else "none"
                    axes.plot(value, names.index(row["model"]), MARKERS[peer],
                              color=COLOURS[peer], markerfacecolor=fill, markersize=6)
        axes.set_title(f"{count} thread{'s' if count > 1 else ''}", fontsize=10)
        _ratio_axis(axes, "times faster")
    panels[0, 0].set_yticks(range(len(names)), names)
    panels[0, 0].set_ylim(len(names) - 0.5, -0.5)
    _legend(figure, {peer: RUNNERS[peer].title for peer in peers})
    return figure


def swapped() -> Figure:
    """PyTorch models before and after `replace_convs_`, each in its faster memory order."""
    rows = [row for row in newest("-torch") if row["batch"] == 1 and row["threads"] == 1]
    gains = []
    for row in rows:
        best = {
            who: min(seconds for name, seconds in row["seconds"].items() if name.startswith(who))
            for who in ("PyTorch", "gconv.torch")
        }
        gains.append(best["PyTorch"] / best["gconv.torch"])
    order = np.argsort(gains)
    figure, axes = plt.subplots(figsize=(7.5, 0.27 * len(rows) + 1))
    bars = axes.barh(
        [rows[index]["name"] for index in order], [gains[index] for index in order],
        color="#0072B2",
    )
    axes.bar_label(
        bars,
        [f"{gains[index]:.2f}   ({rows[index]['convolutions']:.0%} convolutions)"
         for index in order],
        padding=3, fontsize=8,
    )
    axes.axvline(1, color="#E69F00", linewidth=1.5)
    axes.set_xlim(0, max(gains) * 1.3)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("times as fast as PyTorch, one thread, one image")
    return figure


def machine(kind: str = "") -> str:
    """What the results of a kind were measured on, as a sentence."""
    found = newest(kind)
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return f"{found['date']}, {found['cpu']} ({' '.join(found['isas'])}). {versions}."
