"""Channels-last tiles: lanes are neighbouring output channels, across the borders of groups.

    weights: [vector][tap][lanes]

Serves channels-last arrays and groups so small that a vector holds the input channels of a vector
of outputs. Five kinds of tiles: `fitting` (an input channel for each output channel), `picked`
(lanes pick their input channels), `neighbours` (pixels share picks), and for one input channel per
group `pixels` (a loaded vector serves all kernel columns), `descending` (and all rows of a 3x3
kernel) and `wide` (kernels of more than 8 columns).
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gconv._families.channels_last.vectors import Vectors, vectors_of
from gconv._plan.costs import Costs, Tile
from gconv._plan.family import Array, Choose, Family, Words
from gconv._plan.items import Layout
from gconv._plan.machine import Machine
from gconv._plan.problem import Problem
from gconv._plan.record import ADDRESS, ENUM, FLAG, INT, Keep, addresses

OWN = np.dtype(
    [
        ("kernel", ENUM), ("pixels", INT), ("blocks", INT), ("wide", INT), ("first", ADDRESS),
        ("base", ADDRESS), ("picks", ADDRESS), ("prefetches", FLAG), ("cached_vectors", INT),
    ],
    align=True,
)


FITTING, PICKED, NEIGHBOURS = "fitting", "picked", "neighbours"
PIXELS, DESCENDING, WIDE = "pixels", "descending", "wide"
ONE_BY_ONE = (FITTING, PICKED, NEIGHBOURS)  # kinds that compute a vector of a row at a time
MOST_NARROW = 8  # kernel columns of tiles of pixels; wider ones take a row in pieces


class ChannelsLastLayout(Layout):
    """Bands whose inputs, of one vector of channels, stay in the cache."""

    shares_rows = True

    def reads_in_place(self) -> bool:
        """Always: x is channels-last."""
        return True

    def decide(self) -> None:
        """Where items are still too large, tiles that go down the rows and those of wide kernels
        get blocks of groups that fill vectors, and then smaller bands; the others smaller bands
        first."""
        p, t, kind = self.p, self.tuning, self.tile.kind
        size = self.lanes * self.itemsize
        down, wide = kind == DESCENDING, kind == WIDE
        # A small band reads most rows again for the next one; tiles that go down the rows read
        # none again within a band.
        least_rows = t.kernels_high * p.kernel[1] * (p.dilation[1] if down else 1)
        rows = p.out_size[1] if down else least_rows
        for axis, least in ((0, 1), (1, rows), (2, t.uncut_columns)):
            while self.band[axis] > least and size * math.prod(
                (band - 1) * stride + kernel
                for band, stride, kernel in zip(self.band, p.stride, p.kernel, strict=True)
            ) > t.channels_last_bytes:
                self.cut(axis, max(least, -(-self.band[axis] // 2)))
        self.group_block = p.groups
        target = self.item_flops()
        if down:
            least = t.far_descending_vectors if self.prefetches() else t.near_vectors
            self.cut_groups(target / self.flops(), least)
        if wide:  # the weights of a vector fill a cache, and serve a band of any size
            self.cut_groups(target / self.flops(), 1)
            least_rows = t.kernels_high * p.kernel[1] if p.packs else t.wide_rows
        for axis in (0, 1):
            least = min(self.band[axis], least_rows if axis else t.kernels_high * p.kernel[0])
            if self.flops() > t.item_slack * target and self.band[axis] > least:
                self.cut(axis, max(least, round(self.band[axis] * target / self.flops())))
        if not down and not wide:
            least = t.far_vectors if self.prefetches() else t.near_vectors
            self.cut_groups(target / self.flops(), least)

    def flops(self) -> int:
        """Of a work item."""
        p = self.p
        return 2 * p.taps * p.out_channels * self.group_block * self.band_pixels

    def cut_groups(self, part: float, least: int) -> None:
        """Blocks of about a part of the groups, where that is far from all of them, which fill
        `least` vectors or more."""
        p, wide = self.p, self.vectors_with(self.p.groups).wide
        whole = wide // math.gcd(wide, p.out_channels)  # so many groups fill vectors
        if part * self.tuning.item_slack < 1 and p.groups > least * whole:
            parts = min(math.ceil(1 / part), p.groups // (least * whole))
            self.group_block = -(-p.groups // parts // whole) * whole
            while 0 < (p.groups % self.group_block) * p.out_channels < wide:
                self.group_block += whole  # no vector fits what would be left
            self.group_block = min(self.group_block, p.groups)

    @property
    def vectors(self) -> Vectors:
        """The vectors of output channels."""
        return self.vectors_with(self.group_block)

    def vectors_with(self, group_block: int) -> Vectors:
        """The same for another block of groups."""
        return vectors_for(self.p, self.machine, group_block, self.tile.kind)

    def prefetches(self) -> bool:
        """Whether tiles ask for pixels ahead: where x and y exceed the second-level cache.

        Measured on Zen 4: tiles that go down the rows are 2 times as fast there, and 0.85 times
        where they fit; tiles that compute a row at a time, 1 to 1.3 times."""
        if self.in_scratch:
            return False
        p = self.p
        elements = p.groups * (p.inputs * p.in_channels + p.pixels * p.out_channels)
        return elements * self.itemsize > self.tuning.l2_bytes

    def weight_bytes(self) -> int:
        """Of a vector, or of all vectors of an item; only who packs needs them."""
        p = self.p
        if not p.packs:
            return 0
        vectors = 1
        if self.tile.kind not in ONE_BY_ONE:
            vectors = -(-self.group_block * p.out_channels // self.lanes)
        return p.taps * vectors * self.lanes * self.itemsize

    def taps(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """x: a place for each kernel position; weights: planes, rows, columns, channels."""
        p = self.p
        read = p.weights if p.packs else p.weights_in_order
        plane, row, _, columns = self.tap_steps()
        kd, kh, kw = (np.arange(k) for k in p.kernel)
        x_tap = kd[:, None, None] * plane + kh[:, None] * row + np.array(columns)
        w_tap = (
            kd[:, None, None, None] * read.axis[0] + kh[:, None, None] * read.axis[1]
            + kw[:, None] * read.axis[2] + np.arange(p.in_channels) * read.input
        )
        return x_tap.ravel().astype(np.intp), w_tap.ravel().astype(np.intp)


class ChannelsLast(Family):
    """See the module."""

    name = "channels_last"
    records: ClassVar = {"channels_last": OWN}
    words: ClassVar = {
        FITTING: Words("lanes across groups", "pixels", "channels"),
        PICKED: Words("lanes across groups, picked", "pixels", "output channels"),
        NEIGHBOURS: Words("lanes across groups, shared picks", "pixels", "output channels"),
        PIXELS: Words("tiles of pixels", "pixels", "channels"),
        DESCENDING: Words("tiles of pixels down the rows", "pixels", "channels"),
        WIDE: Words("tiles of pixels, wide kernels", "pixels", "channels"),
    }
    in_blocks = True
    layout_class = ChannelsLastLayout

    def estimate(self, p: Problem, machine: Machine, choose: Choose) -> str | Costs:
        """The tiles of the kind that serves the layer best."""
        if p.y_in_order or p.x_channel != 1:
            return "needs channels-last arrays"
        if not p.zero_padding:
            return "needs padding of zeros"
        if p.channel_major:
            return "adds columns before channels"
        kind = kind_of(p, machine)
        if p.in_channels == 0 or kind is None:
            return "needs groups whose channels fit a vector"
        vectors = vectors_for(p, machine, p.groups, kind).first.size
        return [
            (vectors * cycles, Tile(pixels, 1, kind))
            for cycles, pixels in vector_cycles(p, machine, kind)
        ]

    def own(self, layout: Layout, keep: Keep) -> Array:
        """The kind, the largest tile, the vectors."""
        assert isinstance(layout, ChannelsLastLayout)
        vectors, tile = layout.vectors, layout.tile
        kinds = layout.machine.tiles[self.name]["kernels"]
        vector_bytes = layout.p.taps * layout.lanes * layout.itemsize
        return np.array(
            (
                kinds[tile.kind.upper()], tile.rows, vectors.blocks, vectors.wide,
                *addresses(keep, vectors.first, vectors.base, vectors.picks), layout.prefetches(),
                max(1, layout.tuning.wide_weight_bytes // vector_bytes),
            ),
            OWN,
        )

    def pack_key(self, layout: Layout) -> tuple[object, ...]:
        """Vectors depend on the block of groups."""
        assert isinstance(layout, ChannelsLastLayout)
        p = layout.p
        return (p.weights, p.kernel, layout.lanes, layout.vectors.first.tobytes())

    def packed_size(self, layout: Layout) -> int:
        """Vectors are filled."""
        assert isinstance(layout, ChannelsLastLayout)
        return layout.vectors.first.size * layout.p.taps * layout.lanes

    def pack(self, layout: Layout, ordered: Array, packed: Array) -> None:
        """See the module."""
        assert isinstance(layout, ChannelsLastLayout)
        p, lanes = layout.p, layout.lanes
        rows, taps = ordered.reshape(-1, p.taps), layout.taps()[1]
        for vector, first in zip(
            packed.reshape(-1, p.taps, lanes), layout.vectors.first, strict=True
        ):
            block = rows[first : first + lanes, taps].T
            vector[:, : block.shape[1]] = block


# ---- kinds --------------------------------------------------------------------------------------


def most_pixels(p: Problem, machine: Machine, kind: str) -> int:
    """The most pixels of a tile of a kind; 0 where there is none for the stride and the kernel."""
    tiles = machine.tiles["channels_last"]
    if kind == NEIGHBOURS:
        found = tiles["neighbours"].get("pixels")
    elif kind in ONE_BY_ONE:
        found = tiles["across"].get(tiles["kernels"][kind.upper()])
    elif kind == DESCENDING:
        found = tiles["descending"].get(p.out_channels > 1)
    elif kind == WIDE:
        found = tiles["wide"].get("pixels")
    else:
        found = tiles["pixels"].get((p.stride[2], p.kernel[2]))
    return int(found or 0)


def kind_of(p: Problem, machine: Machine) -> str | None:
    """The kind of tiles that serves a layer, and None where there is none."""
    several = p.in_channels > 1 or p.out_channels > 1
    kinds = [PICKED if several else FITTING]
    # Measured on Zen 4: 1.15 to 1.4 times as fast with 4 to 8 channels per group; 0.7 times with
    # stride 2, where a pick serves half as many multiply-adds.
    if several and p.kernel[2] == 3 and p.stride[2] == p.dilation[2] == 1:
        kinds.insert(0, NEIGHBOURS)
    if p.in_channels == 1:
        if p.kernel == (1, 3, 3) and p.stride[1] == p.stride[2] == 1:
            kinds.insert(0, DESCENDING)
        elif p.out_channels == 1 and p.kernel[2] > MOST_NARROW:
            widest = machine.tiles["channels_last"]["wide"].get("columns", 0)
            if p.stride[2] == 1 and p.kernel[2] <= widest:
                kinds.insert(0, WIDE)
        elif p.out_channels == 1 and (p.stride[2] == 1 or p.dilation[2] == 1):
            kinds.insert(0, PIXELS)
    for kind in kinds:
        if most_pixels(p, machine, kind) and fits(p, machine, kind):
            return kind
    return None


def fits(p: Problem, machine: Machine, kind: str) -> bool:
    """Whether a vector's lanes read no more input channels than a vector holds."""
    return vectors_or_none(p, machine, p.groups, kind) is not None


def vectors_or_none(p: Problem, machine: Machine, group_block: int, kind: str) -> Vectors | None:
    """The vectors of a layer in blocks of groups. Only tiles that load some lanes of a vector
    leave lanes unused."""
    return vectors_of(
        p.groups, p.in_channels, p.out_channels, group_block, machine.lanes,
        overlap=kind in ONE_BY_ONE, whole_groups=kind == NEIGHBOURS,
        whole=kind in (FITTING, PICKED))


def vectors_for(p: Problem, machine: Machine, group_block: int, kind: str) -> Vectors:
    """The same of a layer that the kind serves."""
    vectors = vectors_or_none(p, machine, group_block, kind)
    assert vectors is not None  # kind_of has asked
    return vectors


# ---- costs --------------------------------------------------------------------------------------


def vector_cycles(p: Problem, machine: Machine, kind: str) -> list[tuple[float, int]]:
    """(cycles of one vector of channels, pixels) of each tile of a kind."""
    t, most = machine.tuning, most_pixels(p, machine, kind)
    kernel_rows, inside, width = p.inside[0] * p.inside[1], p.inside[2], p.kernel[2]
    lines = p.out_size[0] * p.out_size[1]
    if kind in ONE_BY_ONE:
        # About so many columns at the border meet some taps only, and are computed one by one.
        alone = min(p.out_size[2], 2 * p.out_size[2] * (1 - inside / width))
        columns = p.out_size[2] - alone
        if kind == FITTING:
            line = alone * (kernel_rows * inside * t.border_tap + t.border_pixel)
            line += kernel_rows * width * columns * t.inner_tap
            line += -(-columns // most) * t.inner_tile
        else:
            tap = t.neighbour_tap * p.in_channels
            if kind == PICKED:
                tap = t.picked_tap[0] + t.picked_tap[1] * p.in_channels
            line = kernel_rows * tap * (alone * inside + columns * width)
            line += p.out_size[2] * t.tile_pixels + alone * t.picked_border
        return [(lines * line, most)]
    columns = -(-p.out_size[2] // p.dilation[2])
    sets = min(p.dilation[2], p.out_size[2])  # of columns that share columns of the input
    lines *= sets
    starts = t.column_start * (sets - 1) / sets
    least = 2 if kind == PIXELS else 1

    def tile(pixels: int) -> float:
        if kind == DESCENDING:
            return (kernel_rows * 3 * pixels + 2 * pixels + 7) / t.descending_throughput
        if kind == WIDE:
            met = min(width, inside + pixels - 1)
            busy = met * (pixels + (pixels + 7) / 4) + 8
            return kernel_rows * busy / t.wide_throughput + t.wide_start
        loads = (pixels - 1) * p.stride[2] + 2 * width
        busy = (t.pixels_tap * width * pixels + t.pixels_load * loads) / 2
        return kernel_rows * busy + t.pixels_tile

    def cycles(pixels: int) -> float:
        return lines * (-(-columns // pixels) * tile(pixels) + starts)

    best = most
    if kind == PIXELS:  # the tile that leaves least of its pixels unused
        best = min(range(2, most + 1), key=lambda n: (-(-columns // n) * (n + 1), -n))
    least_cycles = cycles(best)
    others = [
        (max(cycles(n), least_cycles * (1 + 1e-9)), n) for n in range(least, most + 1) if n != best
    ]
    return [(least_cycles, best), *others]
