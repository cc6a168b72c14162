"""What `replace_convs_` has done, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

COLUMNS = {
    "layer": "layer", "module": "module", "shape": "input", "pytorch_ms": "PyTorch, ms",
    "gconv_ms": "gconv, ms", "chosen": "chosen", "why": "why",
}
NUMBERS = ("pytorch_ms", "gconv_ms")


@dataclass
class Report:
    """What was measured, what was chosen, and why.

    Printed it is a table; `to_markdown` makes another of it.

    Attributes
    ----------
    layers : list of dict
        For each convolution or pooling module and each shape that the example gave it: ``layer``
        (its name), ``module`` (its class, with those of what is fused into it), ``shape``,
        ``pytorch_ms`` and ``gconv_ms`` (None where it was not measured), ``chosen`` ("gconv" or
        "PyTorch"), ``why``.
    before_ms, after_ms : float
        A call of the whole model on the example, before and after.
    difference : float
        The biggest difference of the outputs on the example, before and after.
    magnitude : float
        The biggest absolute value among the outputs before.
    threads : int
        PyTorch's number of threads while it was measured.
    notes : list of str
        What keeps the model as it is now from running on gconv, and what else to know.
    """

    layers: list[dict[str, Any]] = field(default_factory=list)
    before_ms: float = 0.0
    after_ms: float = 0.0
    difference: float = 0.0
    magnitude: float = 0.0
    threads: int = 1
    notes: list[str] = field(default_factory=list)

    @property
    def speedup(self) -> float:
        """How many times as fast the whole model is."""
        return self.before_ms / self.after_ms if self.after_ms else 1.0

    def as_dicts(self) -> list[dict[str, Any]]:
        """The rows of the table."""
        return [dict(row) for row in self.layers]

    def to_markdown(self) -> str:
        """The table and what stands below it, in Markdown."""
        lines = [
            "| " + " | ".join(COLUMNS.values()) + " |",
            "| " + " | ".join("--:" if name in NUMBERS else ":--" for name in COLUMNS) + " |",
            *("| " + " | ".join(cells) + " |" for cells in self._cells()),
        ]
        return "\n".join([*lines, "", *self._summary()])

    def __str__(self) -> str:
        rows = [[*COLUMNS.values()], *self._cells()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        right = [name in NUMBERS for name in COLUMNS]
        lines = [
            "  ".join(
                cell.rjust(width) if is_number else cell.ljust(width)
                for cell, width, is_number in zip(row, widths, right, strict=True)
            ).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, *self._summary()])

    def _cells(self) -> list[list[str]]:
        return [
            [
                "" if row[name] is None
                else f"{row[name]:.3f}" if name in NUMBERS
                else "×".join(map(str, row[name])) if name == "shape"
                else str(row[name])
                for name in COLUMNS
            ]
            for row in self.layers
        ]

    def _summary(self) -> list[str]:
        replaced = len({row["layer"] for row in self.layers if row["chosen"] == "gconv"})
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return [
            f"{replaced} of {len({row['layer'] for row in self.layers})} convolutions and pools on "
            f"gconv, {threads}",
            f"whole model: {self.before_ms:.2f} ms before, {self.after_ms:.2f} ms after "
            f"({self.speedup:.2f} times as fast)",
            f"biggest difference of the outputs: {self.difference:.2g}, of values up to "
            f"{self.magnitude:.2g}",
            *self.notes,
        ]
