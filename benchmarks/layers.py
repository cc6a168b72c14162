"""The layers that are benchmarked: rows of ``layers.csv`` with their arithmetic."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LAYERS_CSV = Path(__file__).with_name("layers.csv")

# The classes in which padded im2col and blocked layouts serve the peers worst, and where gconv
# has to be ahead of everyone; the others are dense (groups = 1).
GROUPED_CLASSES = ("multiplier", "grouped", "grouped1x1", "depthwise", "conv1d", "conv3d")


@dataclass(frozen=True)
class Layer:
    """One convolution: shapes, options, and what it costs.

    Every per-dimension field has one entry per spatial dimension, first dimension first.
    `padding` holds (before, after) pairs.
    """

    name: str
    kind: str  # the "class" column
    batch: int
    in_channels: int
    spatial: tuple[int, ...]
    out_channels: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int
    source: str = ""

    @property
    def dims(self) -> int:
        return len(self.spatial)

    @property
    def symmetric(self) -> bool:
        """Whether every dimension is padded alike before and after, as PyTorch wants it."""
        return all(before == after for before, after in self.padding)

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (self.batch, self.in_channels, *self.spatial)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.out_channels, self.in_channels // self.groups, *self.kernel)

    @property
    def out_spatial(self) -> tuple[int, ...]:
        return tuple(
            (size + before + after - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, (before, after), dilation in zip(
                self.spatial, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )

    @property
    def out_shape(self) -> tuple[int, ...]:
        return (self.batch, self.out_channels, *self.out_spatial)

    @property
    def depth(self) -> int:
        """Products summed for one output, taps in the padding included."""
        return math.prod(self.weight_shape[1:])

    @property
    def flops(self) -> int:
        """Two per product, all taps counted: the figure that GFLOP/s are quoted in."""
        return 2 * math.prod(self.out_shape) * self.depth

    @property
    def flops_inside(self) -> int:
        """Two per product, only taps that fall inside the image: what has to be computed."""
        taps = 1
        for axis, size in enumerate(self.spatial):
            taps *= sum(
                0 <= p * self.stride[axis] + k * self.dilation[axis] - self.padding[axis][0] < size
                for p in range(self.out_spatial[axis])
                for k in range(self.kernel[axis])
            )
        return 2 * self.batch * self.out_channels * (self.in_channels // self.groups) * taps

    @property
    def compulsory_bytes(self) -> int:
        """Input and weights read once, output written once, in float32."""
        shapes = (self.x_shape, self.weight_shape, self.out_shape)
        return 4 * sum(math.prod(shape) for shape in shapes)

    def arrays(
        self, dtype: type[np.floating] = np.float32
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Input and weights, uniform in [-1, 1), the same numbers in any dtype."""
        rng = np.random.default_rng(0)
        x = rng.random(self.x_shape, dtype=np.float32) * 2 - 1
        weight = rng.random(self.weight_shape, dtype=np.float32) * 2 - 1
        return x.astype(dtype, copy=False), weight.astype(dtype, copy=False)


def _per_dimension(text: str, dims: int) -> tuple[int, ...]:
    """``"3"`` or ``"1x2x2"`` as one int per spatial dimension."""
    values = tuple(int(part) for part in text.split("x"))
    return values * dims if len(values) == 1 else values


def _padding(text: str, dims: int) -> tuple[tuple[int, int], ...]:
    """``"1"``, ``"1x2"`` or per side ``"3:0"`` (before:after) as a pair per dimension."""
    pairs = []
    for part in text.split("x"):
        before, _, after = part.partition(":")
        pairs.append((int(before), int(after or before)))
    return tuple(pairs * dims if len(pairs) == 1 else pairs)


def read_layers(path: Path = LAYERS_CSV) -> list[Layer]:
    """All rows of the table, in its order."""
    layers = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            spatial = tuple(int(size) for size in row["spatial"].split("x"))
            dims = len(spatial)
            layers.append(
                Layer(
                    name=row["name"],
                    kind=row["class"],
                    batch=int(row["N"]),
                    in_channels=int(row["C"]),
                    spatial=spatial,
                    out_channels=int(row["O"]),
                    kernel=_per_dimension(row["kernel"], dims),
                    stride=_per_dimension(row["stride"], dims),
                    padding=_padding(row["padding"], dims),
                    dilation=_per_dimension(row["dilation"], dims),
                    groups=int(row["groups"]),
                    source=row["source"],
                )
            )
    return layers


def select_layers(layers: list[Layer], wanted: str | None) -> list[Layer]:
    """The layers that a ``--rows`` option names: ``NAME,NAME`` or ``class:depthwise``, mixed.

    Raises
    ------
    ValueError
        If a name or class is not in the table.
    """
    if not wanted:
        return layers
    chosen: set[str] = set()
    for item in wanted.split(","):
        kind = item.removeprefix("class:")
        matches = {
            layer.name for layer in layers if (layer.kind if kind != item else layer.name) == kind
        }
        if not matches:
            raise ValueError(f"no layer or class matches {item!r}; gconv bench --list names them")
        chosen |= matches
    return [layer for layer in layers if layer.name in chosen]
