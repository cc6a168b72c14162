"""Tables of steps: what they were made of, what runs them, how long they took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gconv._call.geometry import Shape
from gconv.onnx.lowering import Entry
from gconv.onnx.plan import Plan

HEADERS = ("#", "made of", "runs", "shape", "ms", "GFLOP/s")
WIDEST = 48  # characters of a cell


class Table:
    """The steps of a model for one set of input shapes; `print` it, or take `rows`.

    Attributes
    ----------
    rows : list of dict
        One for each step: "made_of" (names of the model's nodes), "operator", "runs" (the kernel
        family of a convolution, what a step of our own does, or "reference"), "by" ("convolution",
        "own" or "reference"), "shape" (of the result), "flops", "bytes" (read and written), and
        where it was measured "ms" and "gflops" (billions of floating-point operations in a
        second), None elsewhere.
    """

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ms(self) -> float | None:
        """Milliseconds of all steps, where they were measured."""
        times = [row["ms"] for row in self.rows]
        return None if None in times else float(sum(times))

    def __str__(self) -> str:
        lines = [HEADERS, *(self._cells(number, row) for number, row in enumerate(self.rows))]
        if self.rows and self.ms is not None:
            flops = sum(row["flops"] for row in self.rows)
            rate = f"{flops / self.ms / 1e6:.1f}" if self.ms else ""
            lines.append(("", "all", "", "", f"{self.ms:.3f}", rate))
        columns = list(zip(*lines, strict=True))
        widths = [max(map(len, column)) for column in columns]
        right = (0, 4, 5)
        return "\n".join(
            "  ".join(
                cell.rjust(width) if column in right else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )

    def __repr__(self) -> str:
        return f"<Table of {len(self)} steps>"

    @staticmethod
    def _cells(number: int, row: dict[str, Any]) -> tuple[str, ...]:
        made_of = " + ".join(row["made_of"]) or row["operator"]
        if len(made_of) > WIDEST:
            made_of = made_of[: WIDEST - 3] + "..."
        shape = " x ".join(map(str, row["shape"])) or "scalar"
        ms = "" if row["ms"] is None else f"{row['ms']:.3f}"
        gflops = f"{row['gflops']:.1f}" if row["gflops"] else ""
        return (str(number), made_of, row["runs"], shape, ms, gflops)


def rows_of(plan: Plan, nanoseconds: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """The rows of a plan's steps, then those of nodes whose shapes only a run knows."""
    rows = []
    for number, entry in enumerate(plan.entries):
        ms = None if nanoseconds is None else int(nanoseconds[number]) / 1e6
        shape = plan.known.shape.get(entry.node.outputs[0])
        rows.append(row_of(entry, shape, ms))
    if nanoseconds is None:
        rows += [unplanned_row(node.op, node.made_of)
                 for node in (*plan.known.unplanned, *plan.known.deferred)]
    return rows


def row_of(entry: Entry, shape: Shape | None, ms: float | None) -> dict[str, Any]:
    """The row of a step of a node whose first result has this shape."""
    step = entry.step
    flops = 0 if step is None else step.flops
    by = "reference" if step is None else "own" if step.plan is None else "convolution"
    return {
        "made_of": list(entry.node.made_of),
        "operator": entry.node.op,
        "runs": "reference" if step is None else step.words,
        "by": by,
        "shape": shape or (),
        "flops": flops,
        "bytes": 0 if step is None else step.nbytes,
        "ms": ms,
        "gflops": flops / ms / 1e6 if ms else None,
    }


def unplanned_row(op: str, made_of: Sequence[str], ms: float | None = None) -> dict[str, Any]:
    """The row of a node whose shape depends on data, or may."""
    return {
        "made_of": list(made_of), "operator": op, "runs": "reference", "by": "reference",
        "shape": (), "flops": 0, "bytes": 0, "ms": ms, "gflops": None,
    }
