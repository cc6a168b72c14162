"""``gconv run --plot``: where a model's time goes, as bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gconv._cli.messages import counted, printable

#: Okabe and Ito's colours: told apart by everyone.
COLOURS = {"convolution": "#0072B2", "own": "#E69F00", "reference": "#D55E00"}
WORDS = {
    "convolution": "convolutions and matrix products",
    "own": "other steps of gconv's own",
    "reference": "ONNX's reference",
}
MOST_STEPS = 25
WIDEST = 40  # characters of a step's name


def draw_steps(rows: Sequence[dict[str, Any]], name: str, path: Path) -> None:
    """Draw the time of each kind of step, and that of the longest steps.

    Parameters
    ----------
    rows : sequence of dict
        Those of a table that a session's profile returns.
    name : str
        The model's name.
    path : Path
        Where the PNG goes.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    kinds: dict[tuple[str, str], float] = {}
    for row in rows:
        key = row["by"], row["operator"]
        kinds[key] = kinds.get(key, 0.0) + row["ms"]
    longest = sorted(range(len(rows)), key=lambda index: -rows[index]["ms"])[:MOST_STEPS]
    longest.sort()
    total = sum(row["ms"] for row in rows)
    height = 1.6 + 0.22 * max(len(kinds), len(longest))
    with matplotlib.rc_context({"text.usetex": False, "text.parse_math": False, "font.size": 8}):
        figure = Figure(figsize=(12, height), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
        by_time = sorted(kinds, key=lambda key: kinds[key])
        left.barh(
            [operator if by != "reference" else f"{operator} (reference)"
             for by, operator in by_time],
            [kinds[key] for key in by_time], color=[COLOURS[by] for by, _ in by_time],
        )
        left.set_title("by kind of step")
        names = [f"{index}  {_label(rows[index])}" for index in longest]
        right.barh(
            names, [rows[index]["ms"] for index in longest],
            color=[COLOURS[rows[index]["by"]] for index in longest],
        )
        right.invert_yaxis()
        few = len(longest) < len(rows)
        right.set_title(f"the {len(longest)} longest steps" if few else "step by step")
        for axes in (left, right):
            axes.set_xlabel("ms")
            axes.grid(axis="x", alpha=0.3)
            axes.set_axisbelow(True)
        present = dict.fromkeys(row["by"] for row in rows)
        figure.legend(
            handles=[Patch(color=COLOURS[by], label=WORDS[by]) for by in COLOURS if by in present],
            loc="outside lower center", ncols=3,
        )
        figure.suptitle(f"{printable(name)}: {counted(len(rows), 'step')}, {total:.3f} ms")
        figure.savefig(path, format="png", dpi=120)


def _label(row: dict[str, Any]) -> str:
    """What a step was made of, its end where that is long, since names begin alike."""
    text = printable(" + ".join(row["made_of"]) or row["operator"])
    return text if len(text) <= WIDEST else f"…{text[1 - WIDEST:]}"
