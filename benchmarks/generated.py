"""Layers that nobody picked: of every class, with sizes drawn log-uniformly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gconv
from gconv._engine.call import channels_last_output

LAYERS = {
    False: (gconv.Conv1d, gconv.Conv2d, gconv.Conv3d),
    True: (gconv.ConvTranspose1d, gconv.ConvTranspose2d, gconv.ConvTranspose3d),
}
# Those of layers.csv, layers that read an image, and transposed ones.
KINDS = (
    "multiplier", "grouped", "grouped1x1", "depthwise", "conv1d", "conv3d", "dense", "dense1x1",
    "first", "transposed",
)
FLOPS = 2e5, 1.5e8  # large enough to be measured, small enough for hundreds
MOST_ELEMENTS = 4_000_000  # of x, weight and y together
CHANNELS_LAST = 0.4  # how many layers of those that can be


@dataclass(frozen=True)
class Generated:
    """One layer, and the array that it is given.

    `weight_shape` is (O, C/groups, *kernel), of a transposed layer (C, O/groups, *kernel).
    """

    kind: str
    transposed: bool
    channels_last: bool
    in_channels: int
    out_channels: int
    groups: int
    spatial: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (1, self.in_channels, *self.spatial)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        if self.transposed:
            return (self.in_channels, self.out_channels // self.groups, *self.kernel)
        return (self.out_channels, self.in_channels // self.groups, *self.kernel)

    @cached_property
    def out_spatial(self) -> tuple[int, ...]:
        sizes = []
        for size, k, s, (before, after), d in zip(
            self.spatial, self.kernel, self.stride, self.padding, self.dilation, strict=True
        ):
            reach = d * (k - 1) + 1
            if self.transposed:
                sizes.append((size - 1) * s + reach - before - after)
            else:
                sizes.append((size + before + after - reach) // s + 1)
        return tuple(sizes)

    @property
    def flops(self) -> int:
        """Two per product, all taps counted."""
        each = math.prod(self.weight_shape[1:]) * 2
        if self.transposed:
            return each * self.in_channels * math.prod(self.spatial)
        return each * self.out_channels * math.prod(self.out_spatial)

    @property
    def sound(self) -> bool:
        """Whether it has outputs, and as much work and memory as can be measured."""
        if min(self.out_spatial) < 1:
            return False
        elements = (
            math.prod(self.x_shape) + math.prod(self.weight_shape)
            + self.out_channels * math.prod(self.out_spatial)
        )
        return FLOPS[0] <= self.flops <= FLOPS[1] and elements <= MOST_ELEMENTS

    @property
    def options(self) -> dict[str, Any]:
        """The keywords of the layer."""
        padding: tuple[Any, ...] = self.padding
        if self.transposed:
            padding = tuple(before for before, _ in padding)
        return {"stride": self.stride, "padding": padding, "dilation": self.dilation,
                "groups": self.groups}

    def layer(self) -> Any:
        """A new gconv layer."""
        rng = np.random.default_rng(0)
        weight = rng.random(self.weight_shape, np.float32) * 2 - 1
        return LAYERS[self.transposed][len(self.spatial) - 1](weight, **self.options)

    def x(self) -> NDArray[np.float32]:
        """Its input; beginning on a cache line where it is channels-last."""
        values = np.random.default_rng(1).random(self.x_shape, np.float32) * 2 - 1
        if not self.channels_last:
            return values
        last: NDArray[np.float32] = channels_last_output(self.x_shape, values.dtype, True)
        last[...] = values
        return last

    def __str__(self) -> str:
        def sizes(values: tuple[int, ...]) -> str:
            return "x".join(map(str, values))

        words = [f"{self.in_channels}→{self.out_channels}", sizes(self.spatial),
                 f"k{sizes(self.kernel)}"]
        if set(self.stride) != {1}:
            words.append(f"s{sizes(self.stride)}")
        if set(self.dilation) != {1}:
            words.append(f"d{sizes(self.dilation)}")
        if any(map(any, self.padding)):
            sides = [str(b) if b == a else f"{b}:{a}" for b, a in self.padding]
            words.append(f"p{'x'.join(sides)}")
        if self.groups > 1:
            words.append(f"g{self.groups}")
        if self.channels_last:
            words.append("channels-last")
        return " ".join(words)


def generate(layers: int, seed: int, kinds: tuple[str, ...] = KINDS) -> list[Generated]:
    """Layers of all kinds in turn. The first ones of a seed do not depend on how many there are."""
    found = []
    for index in range(layers):
        kind = kinds[index % len(kinds)]
        rng = np.random.default_rng((seed, index, KINDS.index(kind)))
        layer = _draw(rng, kind)
        while not layer.sound:
            layer = _draw(rng, kind)
        found.append(layer)
    return found


Rng = np.random.Generator


def _size(rng: Rng, low: int, high: int) -> int:
    """A log-uniform integer from `low` to `high`."""
    return min(high, int(math.exp(rng.uniform(math.log(low), math.log(high + 1)))))


def _pick(rng: Rng, *values: int) -> int:
    return values[int(rng.integers(len(values)))]


def _draw(rng: Rng, kind: str) -> Generated:
    transposed = kind == "transposed"
    dims = {"conv1d": 1, "conv3d": 3}.get(kind) or _pick(rng, 1, 2, 2, 2, 2, 2, 2, 2, 3)
    pointwise = kind.endswith("1x1")
    channels = _channels(rng, kind)
    kernel = (1,) * dims if pointwise else _kernel(rng, kind, dims)
    stride = _repeated(rng, dims, _pick(rng, 1, 1, 1, 1, 1, 2, 2, 3))
    dilation = _repeated(rng, dims, _pick(rng, 1, 1, 1, 1, 1, 1, 2, 3, _size(rng, 2, 16)))
    if pointwise or kind == "first":
        dilation = (1,) * dims
    if transposed:
        stride = _repeated(rng, dims, _pick(rng, 1, 2, 2, 2, 2, 3, 4, 8))
    padding = []
    way = rng.random()
    for k, d in zip(kernel, dilation, strict=True):
        reach = (k - 1) * d
        if transposed:
            half = int(rng.integers(0, k // 2 + 1))
            padding.append((half, half))
        elif way < 0.25:
            padding.append((0, 0))
        elif way < 0.9:
            padding.append((reach // 2, reach // 2))
        else:
            padding.append((reach, 0))
    spatial = _spatial(rng, kind, dims)
    in_channels, out_channels, groups = channels
    several = min(in_channels, out_channels, math.prod(spatial)) > 1
    layer = Generated(
        kind, transposed, several and bool(rng.random() < CHANNELS_LAST), in_channels,
        out_channels, groups, spatial, kernel, stride, tuple(padding), dilation)
    if layer.channels_last and math.prod(max(0, size) for size in layer.out_spatial) == 1:
        return _draw(rng, kind)
    return layer


def _channels(rng: Rng, kind: str) -> tuple[int, int, int]:
    """(in_channels, out_channels, groups)."""
    grouping = kind
    if kind in ("conv1d", "conv3d", "transposed"):
        grouping = ("multiplier", "grouped", "depthwise", "dense")[_pick(rng, 0, 1, 1, 2, 2, 3)]
    if grouping == "first":
        return _size(rng, 1, 4), _size(rng, 8, 128), 1
    if grouping.startswith("dense"):
        return _size(rng, 8, 768), _size(rng, 8, 768), 1
    if grouping == "depthwise":
        groups = _size(rng, 8, 1024)
        return groups, groups, groups
    if grouping == "multiplier":
        groups = _size(rng, 3, 128)
        return groups, groups * _size(rng, 2, 12), groups
    groups, each = _size(rng, 2, 64), _size(rng, 2, 128)
    out = each if rng.random() < 0.6 else _size(rng, 2, 128)
    return groups * each, groups * out, groups


def _kernel(rng: Rng, kind: str, dims: int) -> tuple[int, ...]:
    if kind == "transposed":
        return _repeated(rng, dims, _pick(rng, 2, 3, 4, 4, 5, 8, 16 if dims == 1 else 4))
    if dims == 1:
        return (_size(rng, 2, 64),)
    if dims == 3:
        return _repeated(rng, dims, _pick(rng, 1, 2, 3, 3, 3, 3, 5))
    if kind in ("depthwise", "multiplier") and rng.random() < 0.25:
        return _repeated(rng, dims, _size(rng, 4, 31))
    return _repeated(rng, dims, _pick(rng, 2, 3, 3, 3, 3, 3, 4, 5, 5, 7))


def _spatial(rng: Rng, kind: str, dims: int) -> tuple[int, ...]:
    low, high = {1: (16, 16000), 2: (4, 160), 3: (3, 32)}[dims]
    if kind == "first":
        low, high = {1: (400, 16000), 2: (24, 320), 3: (8, 48)}[dims]
    size = _size(rng, low, high)
    if rng.random() < 0.5:
        return (size,) * dims
    return tuple(_size(rng, low, high) for _ in range(dims))


def _repeated(rng: Rng, dims: int, value: int) -> tuple[int, ...]:
    """A value along every axis, now and then 1 along one of several."""
    if dims > 1 and rng.random() < 0.15:
        other = int(rng.integers(dims))
        return tuple(1 if axis == other else value for axis in range(dims))
    return (value,) * dims
