"""Plots of a run: the ratio to the best peer on each layer and the roofline; or of whole models.

Usage::

    python -m gconv._bench.plots RESULTS.json DIRECTORY
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from gconv._bench.contenders.whole_models import RUNNERS
from gconv._bench.models_report import OURS, circumstances, groups_of
from gconv._bench.ratios import Row, by_threads, fastest, ratio, roofline_seconds

# Okabe and Ito's colours: told apart by everyone.
_COLOURS = {
    "multiplier": "#E69F00",
    "grouped": "#0072B2",
    "grouped1x1": "#56B4E9",
    "depthwise": "#D55E00",
    "conv1d": "#009E73",
    "conv3d": "#CC79A7",
    "dense": "#000000",
    "dense1x1": "#999999",
}


def _subject(rows: list[Row]) -> str | None:
    """Whom the plots are about: gconv's layer, or None in a run of the peers alone."""
    return "layer" if any("layer" in row["seconds"] for row in rows) else None


def ratio_plot(results: dict[str, Any], path: Path) -> None:
    """gconv's layer over the fastest peer on each layer, a mark for each thread count."""
    groups = by_threads(results)
    names = list(dict.fromkeys(row["layer"] for row in results["rows"]))
    positions = {name: index for index, name in enumerate(names)}
    figure, axes = plt.subplots(figsize=(8, 0.24 * len(names) + 1.5), layout="constrained")
    for (threads, rows), marker, offset in zip(
        groups.items(), "os^D", np.linspace(-0.15, 0.15, max(2, len(groups))), strict=False
    ):
        points = [
            (value, positions[row["layer"]] + offset, _COLOURS.get(row["class"], "grey"))
            for row in rows
            if (value := ratio(row, "layer", fastest(row))) is not None
        ]
        if points:
            x, y, colours = zip(*points, strict=True)
            axes.scatter(x, y, c=colours, marker=marker, s=24, zorder=3)
        label = f"{threads} thread{'s' if threads > 1 else ''}"
        axes.scatter([], [], c="grey", marker=marker, s=24, label=label)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("speed over that of the fastest peer")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    kinds = {row["layer"]: row["class"] for row in results["rows"]}
    for tick, name in zip(axes.get_yticklabels(), names, strict=True):
        tick.set_color(_COLOURS.get(kinds[name], "grey"))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.3)
    axes.set_title(f"gconv layer, {results['cpu']}, {results['date']}", fontsize=10)
    figure.legend(loc="outside upper right", ncols=len(groups), fontsize=8)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _roofline(axes: Axes, rows: list[Row], name: str | None, threads: int) -> None:
    """One thread count: what each layer reaches, hanging from what it could reach."""
    intensity = np.array([row["flops_inside"] / row["bytes"] for row in rows])
    peak = float(np.median([row["peak"] for row in rows]))
    span = np.geomspace(intensity.min() / 1.5, intensity.max() * 1.5, 200)
    # Bandwidth depends on the footprint: the layers' roofs lie between these two.
    for bandwidth, style in (
        (min(row["bandwidth"] for row in rows), "-"),
        (max(row["bandwidth"] for row in rows), ":"),
    ):
        label = f"{bandwidth / 1e9:.0f} GB/s, {peak / 1e9:.0f} GFLOP/s"
        roof = np.minimum(peak, span * bandwidth) / 1e9
        axes.plot(span, roof, "k" + style, linewidth=1, label=label)
    for row, x in zip(rows, intensity, strict=True):
        subject = name or fastest(row)
        if subject is None or subject not in row["seconds"]:
            continue
        reached = row["flops_inside"] / row["seconds"][subject] / 1e9
        roof = row["flops_inside"] / roofline_seconds(row) / 1e9
        colour = _COLOURS.get(row["class"], "grey")
        axes.plot([x, x], [reached, roof], color=colour, linewidth=0.6, alpha=0.6)
        axes.plot(x, roof, "_", color=colour, markersize=6)
        axes.plot(x, reached, "o", color=colour, markersize=4)
        axes.annotate(
            row["layer"],
            (x, reached),
            xytext=(3, -1),
            textcoords="offset points",
            fontsize=4.5,
            color=colour,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("FLOPs inside the image per compulsory byte")
    axes.set_title(f"{threads} thread{'s' if threads > 1 else ''}", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="upper left", title="slowest and fastest copies", title_fontsize=7)


def roofline_plot(results: dict[str, Any], path: Path) -> None:
    """All layers under the roofs measured in the run (the fastest peer's, without gconv)."""
    groups = by_threads(results)
    figure, panels = plt.subplots(
        1, len(groups), figsize=(7 * len(groups), 6), layout="constrained", squeeze=False
    )
    name = _subject(results["rows"])
    for axes, (threads, rows) in zip(panels[0], groups.items(), strict=True):
        _roofline(axes, rows, name, threads)
    for kind in dict.fromkeys(row["class"] for row in results["rows"]):
        panels[0][-1].plot([], [], "o", color=_COLOURS.get(kind, "grey"), label=kind)
    handles, labels = panels[0][-1].get_legend_handles_labels()
    figure.legend(handles[2:], labels[2:], loc="outside right center", fontsize=8)
    panels[0][-1].legend(handles[:2], labels[:2], fontsize=7, loc="upper left")
    panels[0][0].set_ylabel("GFLOP/s inside the image")
    who = "gconv layer" if name else "fastest peer"
    figure.suptitle(f"{who}, {results['cpu']}, {results['date']}", fontsize=11)
    figure.savefig(path, dpi=150)
    plt.close(figure)


_MARKS = dict(zip(
    ("torch", "torch-cl", "torch-compile", "torch-gconv", "onnxruntime", "openvino", "mnn"),
    (("#999999", "o"), ("#000000", "o"), ("#CC79A7", "o"), ("#E69F00", "o"), ("#0072B2", "s"),
     ("#D55E00", "D"), ("#009E73", "^")),
    strict=True,
))


def models_plot(results: dict[str, Any], path: Path) -> Path:
    """The session's speed over that of each peer, a panel for each batch and thread count."""
    groups = groups_of(results)
    names = list(dict.fromkeys(row["model"] for row in results["rows"]))
    figure, panels = plt.subplots(
        1, len(groups), figsize=(2 + 3.2 * len(groups), 0.3 * len(names) + 1.8),
        layout="constrained", squeeze=False, sharey=True,
    )
    for axes, (key, rows) in zip(panels[0], groups.items(), strict=True):
        for row in rows:
            y = names.index(row["model"])
            axes.axhline(y, color="black", linewidth=0.4, alpha=0.2)
            for peer, (colour, marker) in _MARKS.items():
                value = ratio(row, OURS, peer)
                if value is not None:
                    axes.plot(value, y, marker, color=colour, markersize=5)
        axes.axvline(1, color="black", linewidth=1)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_title(circumstances(*key), fontsize=10)
        axes.grid(axis="x", alpha=0.3)
    panels[0][0].set_yticks(range(len(names)), names, fontsize=8)
    panels[0][0].set_ylim(len(names) - 0.4, -0.6)
    for peer, (colour, marker) in _MARKS.items():
        if any(peer in row["seconds"] for row in results["rows"]):
            panels[0][0].plot([], [], marker, color=colour, label=RUNNERS[peer].title)
    what = "speed of a gconv session over that of each peer"
    figure.suptitle(f"{what}, {results['cpu']}, {results['date']}", fontsize=10)
    handles, labels = panels[0][0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return path


def write_plots(results: dict[str, Any], directory: Path) -> list[Path]:
    """Write the plots as PNG files into `directory` and return their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    if _subject(results["rows"]):
        paths.append(directory / "ratio.png")
        ratio_plot(results, paths[-1])
    paths.append(directory / "roofline.png")
    roofline_plot(results, paths[-1])
    return paths


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="plots from the JSON of a benchmark run")
    parser.add_argument("results", type=Path)
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args(argv)
    results = json.loads(arguments.results.read_text(encoding="utf-8"))
    if any("model" in row for row in results["rows"]):
        arguments.directory.mkdir(parents=True, exist_ok=True)
        print(models_plot(results, arguments.directory / "models.png"))
    else:
        print(*write_plots(results, arguments.directory), sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
