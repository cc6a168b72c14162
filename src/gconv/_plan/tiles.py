"""Which kernel family and which of its tiles a problem gets: the fastest by estimate.

Estimates are cycles of one image on a core that starts two multiply-adds or loads a cycle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from gconv._plan.across import Lanes, Vectors, vectors_of
from gconv._plan.problem import CHANNELS_LAST, Family, Problem, Triple
from gconv._plan.work import outputs_of_taps, taps_before

# A width-lane tile whose rows of input leave the first-level cache (32 KiB) little room waits for
# the second: measured on Zen 4, transposed convolutions of 128 and 256 channels run at 55 GFLOP/s
# where channel lanes reach 90.
ROWS_BYTES = 20 * 1024
FAR_LOADS = 8.0
# To copy a vector of input into a panel, or an element where the stride is more than 2. Measured on
# Zen 4: on 1,500 layers that width and channel lanes may serve, 3 to 5 choose best between the two.
COPY_CYCLES = 4.0
COPY_ELEMENT_CYCLES = 1.0
# To move an element from channels-last order to C order, or back.
MOVE_CYCLES = 2.0
# To wait for a vector of x in width and masked lanes, beyond what multiply-adds hide. Measured on
# Zen 4, width lanes on 330 layers: the tile chosen takes 1.014 times as long as the best one; 1.019
# times if left out. Masked lanes gain 1.03 to 1.06 times by it where groups have 7 to 24 channels.
READ_CYCLES = 0.05
# More than this of x and y together comes from memory (32 MiB of third-level cache for 8 cores).
# Measured on Zen 4: sliding windows over single rows of 3 to 15 neighbours are 1 to 1.7 times as
# fast as width lanes there, and 0.8 to 1 times below.
FAR_BYTES = 8 * 1024 * 1024
# What the estimates of tiles that go down rows which are a dilation apart are multiplied by: with
# vectors of 64 bytes, and where x and y come from memory. Measured on Zen 4, 120 depthwise layers
# with dilations of 2 to 24: the family chosen takes 1.05 times as long as the fastest, 1.1 times
# without the first and 1.2 times without both. Vectors of 32 bytes lose nothing by such rows.
APART_ROWS = 1.3
FAR_ROWS = 2.0
# Masked lanes: their loads take some of the slots of multiply-adds; more where all channels share
# the same sets of the first-level cache. Measured on Zen 4: 1.01 to 1.3 times as fast as other
# families on the 17 of 62 layers that these factors choose, 0.76 to 0.96 times on the others but
# three.
MASKED = 1.15
MASKED_IN_SETS = 1.4
MASKED_COLUMNS = 256
MASK_BYTES = 32 * 1024
MOST_COLUMN_RUNS = 64  # of the engine; a tap begins and ends one at most
# Weights of one block of output channels stay in the first-level cache (32 KiB), or, where so many
# pixels use each of them that they may come from the second-level one, there: partial sums are
# written and read again less often. Measured on Zen 4: channel lanes with tiles of 14 pixels are
# 1.02 to 1.07 times as fast, those of 6 pixels 0.9 to 1 times.
WEIGHT_BLOCK_BYTES = 24 * 1024
TALL_ROWS = 12
TALL_WEIGHT_BLOCK_BYTES = 64 * 1024
# Rows that are read for one output channel should stay in the first-level cache.
DEPTHWISE_PANEL_BYTES = 24 * 1024
# Panel and result of channels-last tiles in arrays in C order: in the second-level cache.
BLOCK_BYTES = 256 * 1024
# Cycles to transpose a vector of 64 bytes, and one of channels that all share the same sets of the
# first-level cache, as in planes of 32 x 32 or 64 x 64; twice as many for one of half the size.
# Measured on Zen 4.
TRANSPOSED = 2.6
TRANSPOSED_IN_SETS = 7.0

Tile = tuple[Family, int, int]  # family, rows, vectors; 0 leaves rows and vectors to the plan


class Machine(NamedTuple):
    """What a plan must know of an engine module: its vectors and its tiles."""

    lanes: int
    itemsize: int
    # Family: {rows: most vectors}; sliding: {(stride, rows): most vectors}; across: {how lanes go
    # with input channels: pixels}; pixels: {(stride, kernel columns): most pixels}, descending:
    # {lanes pick: most pixels}, wide: {"pixels": the most, "columns": of the kernel, the most}.
    tiles: dict[str, dict[Any, int]]


def choose_tile(p: Problem, machine: Machine, forced: Tile | None) -> Tile:
    """The tile with the least estimated time, among those that can serve. Of a result that is not
    in C order, that of the plain loop nest says that C order had better be computed first."""
    wanted = forced[0] if forced else None
    if wanted == Family.PLAIN:
        return Family.PLAIN, 1, 1
    candidates = []
    if not p.y_in_order:  # the others store whole rows
        if wanted in (None, Family.CHANNEL) and channel_lanes_fit(p, machine):
            candidates.append(channel_tile(p, machine, forced))
        if wanted in (None, Family.ACROSS) and across_tiles_fit(p, machine):
            candidates.append(across_tile(p, machine))
        if wanted in (None, Family.PIXELS) and pixels_fit(p, machine):
            candidates.append(pixels_tile(p, machine, forced))
        if wanted is None and p.channels_last:
            candidates.append((in_order_cycles(p, machine), (Family.PLAIN, 1, 1)))
        return min(candidates)[1] if candidates else (Family.PLAIN, 1, 1)
    if depthwise_fits(p) and wanted in (None, Family.DEPTHWISE):
        candidates.append(depthwise_tile(p, machine, forced))
    if sliding_fits(p, machine) and wanted in (None, Family.SLIDING):
        candidates.append(sliding_tile(p, machine, forced))
    if channel_lanes_fit(p, machine) and wanted in (None, Family.CHANNEL):
        candidates.append(channel_tile(p, machine, forced))
    if blocks_fit(p) and wanted in (None, *CHANNELS_LAST):
        candidates.append(blocks_tile(p, machine, forced))
    if wanted in (None, Family.MASKED) and masked_fits(p, machine):
        candidates.append(masked_tile(p, machine, forced))
    if not candidates or wanted in (None, Family.WIDTH):
        candidates.append(width_tile(p, machine, forced if wanted == Family.WIDTH else None))
    cycles, best = min(candidates)
    if wanted is None and short_rows_fit(p):
        cycles += p.groups * READY_CYCLES[best[0]]
        return min((cycles, best), (short_cycles(p, machine), (Family.SHORT, 1, 1)))[1]
    return best


def tiles_of(
    p: Problem, family: Family, machine: Machine, forced: Tile | None
) -> Iterator[tuple[int, int]]:
    """The tiles (rows, vectors) that a family has for a problem, or the one that is forced."""
    kind = family.name.lower()
    if family == Family.DEPTHWISE and three_columns(p):
        kind = "three"
    for rows, most in machine.tiles[kind].items():
        if family == Family.DEPTHWISE and rows > p.kernel[1] + 1:  # an assumption of the kernel
            continue
        for vectors in range(1, most + 1):
            if forced is None or (forced[1] in (0, rows) and forced[2] in (0, vectors)):
                yield rows, vectors


@lru_cache(maxsize=4096)
def split(total: int, most: int) -> tuple[tuple[int, int], ...]:
    """`total` in the fewest parts of at most `most`, as equal as can be: (count, size)."""
    parts = -(-total // most)
    size, larger = divmod(total, parts)
    return tuple((n, s) for n, s in ((larger, size + 1), (parts - larger, size)) if n)


@lru_cache(maxsize=4096)
def tile_cycles(rows: int, vectors: int, taps: int, row_loads: float, vector_loads: float) -> float:
    """Estimated cycles of a tile: two multiply-adds or two loads a cycle, latency 4.

    To start and to end a tile costs about a cycle for each accumulator, and 10 for the loop.
    """
    sums = rows * vectors
    per_tap = max(sums / 2, (rows * row_loads + vectors * vector_loads) / 2, 4.0)
    return taps * per_tap + sums + 10


def width_tile(p: Problem, machine: Machine, forced: Tile | None) -> tuple[float, Tile]:
    """(estimated cycles of one image, tile) of the best width-lane tile."""
    row_vectors = -(-p.out_size[2] // machine.lanes)
    rows_of_tiles = p.groups * p.out_size[0] * p.out_size[1]
    taps, is_part = p.taps, p.part_counts != (0, 0, 0)
    copying = 0.0
    # Into a panel; the estimates of sliding windows allow for it where the stride is 1.
    if p.stride[2] > 1 or (p.column_padding and p.in_channels > 1):
        for_output = math.prod(map(min, p.kernel[:2], p.stride[:2])) * p.stride[2]
        each = COPY_CYCLES / machine.lanes if p.stride[2] <= 2 else COPY_ELEMENT_CYCLES
        copying = each * p.groups * p.in_channels * math.prod(p.out_size) * for_output

    def vector_loads(vectors: int) -> float:
        if is_part:
            lines = p.in_channels * p.kernel[0] * p.kernel[1] * (vectors + (p.kernel[2] > 1))
            if lines * machine.lanes * machine.itemsize > ROWS_BYTES:
                return FAR_LOADS
        return 1.5  # half of the loads are split

    # Of tiles that keep multiply-adds as busy, those of more output channels read less of x.
    waits = READ_CYCLES * taps if p.in_channels > 1 else 0.0

    def cycles(rows: int, vectors: int) -> float:
        return copying + rows_of_tiles * sum(
            n * m * (tile_cycles(r, v, taps, 1.0, vector_loads(v)) + waits * v)
            for n, r in split(p.out_channels, rows)
            for m, v in split(row_vectors, vectors)
        )

    return best_tile(p, Family.WIDTH, machine, forced, cycles)


def masked_fits(p: Problem, machine: Machine) -> bool:
    """Whether masked lanes may serve: groups of several input channels, in rows that follow each
    other, as many columns as before, some taps in padding of zeros, and no more pixels than masks
    are worth. Bands have to be whole rows, or parts of one."""
    _, rows, columns = p.out_size
    return (
        bool(machine.tiles["masked"])
        and p.in_channels > 1
        and p.stride[1:] == (1, 1)
        and p.in_size[2] == columns
        and p.x_axis[2] == 1
        and (rows == 1 or p.x_axis[1] == p.y_axis[1] == columns <= MASKED_COLUMNS)
        and p.column_padding
        and p.zero_padding
        and not p.channel_major
        and p.part_counts == (0, 0, 0)
        and rows * columns * p.kernel[1] * p.kernel[2] <= 8 * MASK_BYTES
    )


def masked_tile(p: Problem, machine: Machine, forced: Tile | None) -> tuple[float, Tile]:
    """(estimated cycles of one image, tile) of the best masked tile."""
    vectors_in_all = -(-p.out_size[1] * p.out_size[2] // machine.lanes)
    slower = MASKED if p.x_channel * machine.itemsize % 4096 else MASKED_IN_SETS
    # Kernel rows in the padding: these multiply zeros there, and the others skip them, which their
    # estimates leave out. Measured on Zen 4: 2 to 3 times as fast with few rows and large kernels.
    slower *= p.kernel[1] / max(taps_inside(p, 1), 1 / p.out_size[1])

    def cycles(rows: int, vectors: int) -> float:
        return slower * p.groups * p.out_size[0] * sum(
            n * m * (tile_cycles(r, v, p.taps, 1.0, 2.0) + READ_CYCLES * p.taps * v)
            for n, r in split(p.out_channels, rows)
            for m, v in split(vectors_in_all, vectors)
        )

    return best_tile(p, Family.MASKED, machine, forced, cycles)


def sliding_fits(p: Problem, machine: Machine) -> bool:
    """Whether the sliding-window kernel may serve: one input channel per group, a stride and
    kernel rows that it has tiles for, and a row's taps within a few vectors."""
    stride, reach = p.stride[2], (p.kernel[2] - 1) * p.dilation[2]
    return (
        (stride, p.kernel[1]) in machine.tiles["sliding"]
        and p.in_channels == 1
        and p.x_axis[2] == 1
        and reach <= (8 if stride == 1 else 2) * machine.lanes
        and (p.out_size[1] == 1 or p.stride[1] == stride)
        and (stride == 1 or p.dilation[1] == p.dilation[2] == 1)
    )


def sliding_tile(p: Problem, machine: Machine, forced: Tile | None) -> tuple[float, Tile]:
    """(estimated cycles of one image, tile): as wide as can be."""
    rows, stride = p.kernel[1], p.stride[2]
    vectors = machine.tiles["sliding"][stride, rows]
    if forced and forced[2]:
        vectors = min(vectors, forced[2])
    neighbours = rows in (1, p.kernel[2]) and p.dilation[2] == 1
    # Of a single row, neighbours go in pairs that share their slid vectors (see `paired_taps`).
    paired = rows == 1 and neighbours and not p.channel_major and p.kernel[2] > machine.lanes

    def line(vectors: int) -> float:
        adds = vectors * p.volume
        slides = p.kernel[0] * p.kernel[2] * ((vectors + 1) / 2 if paired else vectors)
        # Two a cycle, as in tile_cycles; slides by a literal distance have a port of their own.
        busy = max(adds, (adds + slides) * 2 / 3) if neighbours else adds + slides
        return busy / 2 + p.kernel[0] * (vectors + 1) * p.stride[2] + 2

    row_vectors = -(-p.out_size[2] // machine.lanes)
    sets = min(p.dilation[1], p.out_size[1])  # see row_sets
    starts = rows // stride + (sets - 1) * (rows // stride + 3)
    row = sum(n * line(v) for n, v in split(row_vectors, vectors))
    less = sliding_advantage(p, neighbours, paired)
    alone = rows == p.out_channels == 1 and neighbours and not paired
    if alone and p.zero_padding and p.column_padding and is_far(p, machine):
        less = 0.4  # the panel of other families is one pass more over memory that is waited for
    if p.dilation[1] > 2 and row_vectors <= vectors and is_far(p, machine):
        less *= FAR_ROWS  # strips side by side ask for rows ahead
    lines = p.out_size[0] * (p.out_size[1] + starts)
    cycles = less * p.groups * p.out_channels * lines * row
    return cycles, (Family.SLIDING, rows, vectors)


def is_far(p: Problem, machine: Machine) -> bool:
    """Whether x and y come from memory."""
    elements = p.in_channels * math.prod(p.in_size) + p.out_channels * math.prod(p.out_size)
    return p.groups * elements * machine.itemsize > FAR_BYTES


def sliding_advantage(p: Problem, neighbours: bool, paired: bool) -> float:
    """What the estimate of sliding windows is multiplied by, for what the others' leave out: these
    start more tiles, may need a panel, and load each vector of a row for a single tap.

    Measured on Zen 4: fitted to the layer table and to 1,300 layers of 1 to 8 output channels per
    group, where the family chosen takes 1.015 times as long as the fastest, and to 340 with kernels
    of one row and 2 to 64 output channels.
    """
    less = 0.65 if paired else 0.8 if p.zero_padding else 0.9
    if p.stride[2] == 2:  # columns have to be taken apart, and serve all kernel rows
        less *= 1.7 if p.kernel[1] > 1 else 3.6
    if not p.column_padding:  # no panel
        less *= 1.1
    if p.out_channels > 1:  # the others use a vector of x for several of them
        less *= 0.85 if p.kernel[1] > 1 else 1.7
    if not neighbours and (p.out_channels > 1 or p.kernel[1] >= 5):  # tiles of one vector
        less *= 1.4
    return less


def channel_lanes_fit(p: Problem, machine: Machine) -> bool:
    """Whether the channel-lane kernel may serve: a weight block must fit scratch."""
    block = p.volume * max(machine.tiles["channel"].values()) * machine.lanes * machine.itemsize
    return p.in_channels > 0 and block <= 2 * WEIGHT_BLOCK_BYTES


def channel_tile(p: Problem, machine: Machine, forced: Tile | None) -> tuple[float, Tile]:
    """(estimated cycles of one image, tile) of the best channel-lane tile."""
    all_vectors = -(-p.out_channels // machine.lanes)
    pixels, taps = math.prod(p.out_size), p.taps
    if p.in_channels >= 8:  # fewer leave runs of few taps
        taps = round(taps * columns_computed(p))

    def cycles(rows: int, vectors: int) -> float:
        sums = sum(
            n * pixels / rows * tile_cycles(rows, v, taps, 1.0, 1.0)
            for n, v in split(all_vectors, vectors)
        )
        # Bias in, transposed out: about six instructions for each vector of sums.
        return p.groups * (sums + 6 * all_vectors * pixels)

    return best_tile(p, Family.CHANNEL, machine, forced, cycles)


def may_skip_columns(p: Problem) -> bool:
    """Whether channel lanes may skip kernel columns that lie in the padding."""
    return (
        p.column_padding
        and not p.channel_major
        and p.zero_padding
        and 2 * p.kernel[2] + 1 <= MOST_COLUMN_RUNS
    )


def columns_computed(p: Problem) -> float:
    """The share of kernel columns that channel lanes compute: those in the padding are skipped
    where that leaves runs of pixels, along a row or down the rows, long enough for a tile, and
    saves some of the taps."""
    if not may_skip_columns(p):
        return 1.0
    inside = taps_inside(p, 2) / p.kernel[2]
    # Runs of pixels that meet the same columns, along a row.
    first, last = outputs_of_taps(p, 2)
    ends = np.unique([first[first < last], last[first < last]])
    runs = 1 + np.count_nonzero((ends > 0) & (ends < p.out_size[2]))
    # Measured: 1.07 times as fast at 7x7 with a 3x3 kernel, no faster at 14x14.
    pays = (inside < 0.95 and p.out_size[2] >= 5 * runs) or (inside < 0.93 and p.out_size[1] >= 5)
    return inside if pays else 1.0


def across_fits(p: Problem, machine: Machine) -> bool:
    """Whether lanes across groups may serve: channels-last arrays, and groups so small that a
    vector holds the input channels of a vector of outputs."""
    return (
        p.x_channel == p.y_channel == 1
        and p.in_channels > 0
        and p.zero_padding
        and not p.channel_major
        and across_vectors(p, machine, p.groups) is not None
    )


def across_tiles_fit(p: Problem, machine: Machine) -> bool:
    """Whether lanes across groups may serve with the tiles that there are: only those of
    neighbours load and store less than a vector."""
    return across_fits(p, machine) and (
        neighbours_fit(p, machine)
        or across_vectors(p, machine, p.groups).kind != Lanes.NARROW  # type: ignore[union-attr]
    )


def blocks_fit(p: Problem) -> bool:
    """Whether the tiles of channels-last layers may serve arrays in C order: one input and one
    output channel per group."""
    return (
        p.in_channels == p.out_channels == 1
        and p.x_axis[2] == 1
        and p.zero_padding
        and not p.channel_major
        and p.part_counts == (0, 0, 0)
    )


def blocks_tile(p: Problem, machine: Machine, forced: Tile | None) -> tuple[float, Tile]:
    """(estimated cycles of one image, tile) of channels-last tiles in arrays in C order."""
    vectors = -(-p.groups // machine.lanes)
    if pixel_tiles_fit(p, machine) and not (forced and forced[0] == Family.ACROSS):
        tile = pixels_tile(p, machine, forced)[1]
        cycles = pixels_cycles(p, tile[1])
    else:
        tile = Family.ACROSS, machine.tiles["across"][Lanes.FITTING], 1
        cycles = across_cycles(p, tile[1])
    return vectors * (cycles + transposing_cycles(p, machine)), tile


def transposing_cycles(p: Problem, machine: Machine) -> float:
    """Estimated cycles to transpose a vector's channels of x and of y."""
    most = BLOCK_BYTES // (machine.lanes * machine.itemsize)  # pixels of panel and result
    inputs, outputs = math.prod(p.in_size), math.prod(p.out_size)
    (planes, rows, _), columns = p.panel_reach, p.in_size[2]
    reloads = 1.0
    if inputs + outputs > most:
        reloads = planes / p.stride[0] + 1
        columns *= planes + 1
    # Bands share the rows that the last row's taps reach beyond it.
    band = (most - columns * rows) // (columns * p.stride[1] + p.out_size[2])
    if band < 1:
        return math.inf
    band = min(band, 4 * rows // p.stride[1] + 4)
    if band < p.out_size[1]:
        reloads *= 1 + rows / (p.stride[1] * band)
    narrow = 64 / (machine.lanes * machine.itemsize)
    return narrow * sum(
        (pixels + machine.lanes)
        * (TRANSPOSED_IN_SETS if channel * machine.itemsize % 4096 == 0 else TRANSPOSED)
        for pixels, channel in ((inputs * reloads, p.x_channel), (outputs, p.y_channel))
    )


def taps_inside(p: Problem, axis: int) -> float:
    """Taps of an output that lie in the image, along an axis, on average."""
    return float(taps_before(p, axis, np.array([p.out_size[axis]]))[0]) / p.out_size[axis]


def pixels_cycles(p: Problem, rows: int) -> float:
    """Estimated cycles of tiles of so many pixels, for a vector's channels: a load takes as long
    as a multiply-add."""
    width = p.kernel[2]
    kernel_rows = taps_inside(p, 0) * taps_inside(p, 1)
    columns = -(-p.out_size[2] // p.dilation[2])
    sets = min(p.dilation[2], p.out_size[2])  # of columns that share columns of the input
    lines = p.out_size[0] * p.out_size[1] * sets
    if down_the_rows(p):
        tile = (kernel_rows * 3 * rows + 2 * rows + 7) / 2
    elif wide_kernel(p):
        inside = min(width, taps_inside(p, 2) + rows - 1)
        tile = kernel_rows * (inside * (rows + (rows + 7) / 4) + 8) / 2.2 + 27
    else:
        tile = kernel_rows * (width * rows + (rows - 1) * p.stride[2] + 2 * width) / 2 + 40
    starts = 30 * (sets - 1) / sets
    return lines * (-(-columns // rows) * tile + starts)


def across_cycles(p: Problem, rows: int) -> float:
    """Estimated cycles of lanes across groups, for a vector's channels."""
    kernel_rows = taps_inside(p, 0) * taps_inside(p, 1)
    inside = taps_inside(p, 2)
    # About so many columns at the border meet some taps only, and are computed one by one.
    alone = min(p.out_size[2], 2 * p.out_size[2] * (1 - inside / p.kernel[2]))
    columns = p.out_size[2] - alone
    line = alone * (kernel_rows * inside * 2 + 30)
    line += kernel_rows * p.kernel[2] * columns * 0.6 + -(-columns // rows) * 40
    return p.out_size[0] * p.out_size[1] * line


def across_vectors(p: Problem, machine: Machine, group_block: int) -> Vectors | None:
    """The vectors of lanes across groups. Only tiles of neighbours leave lanes unused."""
    return vectors_of(p.groups, p.in_channels, p.out_channels, group_block, machine.lanes,
                      whole_groups=neighbours_fit(p, machine))


def pixels_fit(p: Problem, machine: Machine) -> bool:
    """Whether tiles of pixels may serve: channels-last layers with one input channel per group,
    and a tile for the stride and the kernel."""
    return across_fits(p, machine) and pixel_tiles_fit(p, machine)


def pixel_tiles_fit(p: Problem, machine: Machine) -> bool:
    """Whether there are tiles of pixels for the channels, the stride and the kernel."""
    if p.in_channels != 1 or not machine.tiles["pixels"]:
        return False
    if down_the_rows(p):
        return True
    if wide_kernel(p):
        most = machine.tiles["wide"]["columns"]
        return p.out_channels == p.stride[2] == 1 and p.kernel[2] <= most
    return (
        p.out_channels == 1
        and (p.stride[2], p.kernel[2]) in machine.tiles["pixels"]
        and (p.stride[2] == 1 or p.dilation[2] == 1)
    )


def down_the_rows(p: Problem) -> bool:
    """Whether tiles of pixels go down the rows: with plain 3x3 kernels."""
    return p.kernel == (1, 3, 3) and p.stride[1] == p.stride[2] == 1


def wide_kernel(p: Problem) -> bool:
    """Whether tiles of pixels take a kernel row in pieces: the others are up to 8 wide."""
    return p.kernel[2] > 8


def pixels_tile(p: Problem, machine: Machine, forced: Tile | None) -> tuple[float, Tile]:
    """(less than any estimate, tile): the one that leaves least of its pixels unused."""
    if down_the_rows(p):
        rows = machine.tiles["descending"][p.out_channels > 1]
        return 0.0, (Family.PIXELS, min(forced[1], rows) if forced and forced[1] else rows, 1)
    columns = -(-p.out_size[2] // p.dilation[2])
    if wide_kernel(p):
        rows = machine.tiles["wide"]["pixels"]
        return 0.0, (Family.PIXELS, min(forced[1], rows) if forced and forced[1] else rows, 1)
    most = machine.tiles["pixels"][p.stride[2], p.kernel[2]]
    rows = min(range(2, most + 1), key=lambda n: (-(-columns // n) * (n + 1), -n))
    if forced and forced[1]:
        rows = min(max(forced[1], 2), most)  # no others have a tile
    return 0.0, (Family.PIXELS, rows, 1)


def neighbours_fit(p: Problem, machine: Machine) -> bool:
    """Whether neighbouring pixels may share picks, in a layer that lanes across groups serve.

    Measured on Zen 4: 1.15 to 1.4 times as fast with 4 to 8 channels per group; 0.7 times with
    stride 2, where a pick serves half as many multiply-adds.
    """
    return (
        (p.in_channels > 1 or p.out_channels > 1)
        and p.kernel[2] == 3
        and p.stride[2] == p.dilation[2] == 1
        and bool(machine.tiles["neighbours"])
    )


def across_tile(p: Problem, machine: Machine) -> tuple[float, Tile]:
    """(estimated cycles of one image, tile) of lanes across groups."""
    vectors = across_vectors(p, machine, p.groups)
    assert vectors is not None  # across_fits has asked
    if neighbours_fit(p, machine):
        rows = machine.tiles["neighbours"]["pixels"]
        tap = 0.8 * p.in_channels
    else:
        rows = machine.tiles["across"][vectors.kind]
        # A tap takes a load and a multiply-add, or a pick and a multiply-add for every channel.
        tap = 1.0 if vectors.kind == Lanes.FITTING else 0.5 + 0.8 * p.in_channels
    cycles = math.prod(p.out_size) * vectors.first.size * (p.volume * tap + 5)
    return cycles, (Family.ACROSS, rows, 1)


def in_order_cycles(p: Problem, machine: Machine) -> float:
    """Estimated cycles of one image of a channels-last array by width lanes: x gathered into a
    panel, the result in C order first, and then copied.

    Measured on Zen 4: 2 to 5 times as fast as lanes of channels where groups have 1 to 4 output
    channels. On 700 layers, the way chosen takes 1.01 times as long as the fastest.
    """
    moved = p.in_channels * math.prod(p.in_size) + p.out_channels * math.prod(p.out_size)
    return width_tile(p, machine, None)[0] + MOVE_CYCLES * p.groups * moved


# What the estimates of these families leave out, and short rows hardly need: to get ready, for
# each group, and, with channel lanes, a tile's pixels beyond the last. Measured on Zen 4 with
# 512 groups of 1 channel and 4 taps, 1 and 16 samples: 18 us and 50 us.
READY_CYCLES = {Family.WIDTH: 60, Family.SLIDING: 60, Family.CHANNEL: 250}


def short_rows_fit(p: Problem) -> bool:
    """Whether the kernel for short rows may serve."""
    return (
        p.room
        and p.dimensions == 1
        and p.taps > 0
        and set(p.stride) == {1}
        and not p.column_padding
        and p.x_axis[2] == 1
    )


def short_cycles(p: Problem, machine: Machine) -> float:
    """Estimated cycles of one image as short rows: two loads for every multiply-add."""
    vectors = -(-p.out_size[2] // machine.lanes)
    return p.groups * p.out_channels * vectors * (p.taps + 5.0)


def row_sets(p: Problem) -> tuple[tuple[int, int], ...]:
    """The output rows in sets of those that share input rows: one dilation apart. (count, rows)."""
    sets = min(p.dilation[1], p.out_size[1])
    size, larger = divmod(p.out_size[1], sets)
    return (larger, size + 1), (sets - larger, size)


def depthwise_fits(p: Problem) -> bool:
    """Whether the depthwise kernel may serve, and has rows to share."""
    return p.in_channels == p.out_channels == 1 and p.stride[1] == 1 and p.kernel[1] > 1


def depthwise_tile(p: Problem, machine: Machine, forced: Tile | None) -> tuple[float, Tile]:
    """(estimated cycles of one image, tile) of the best depthwise tile."""
    row_vectors = -(-p.out_size[2] // machine.lanes)
    copying = 0.0
    if p.channels_last or p.column_padding:
        # The bands of a small panel share rows, which are copied for each of them.
        shared, columns = p.panel_reach[1], p.out_size[2] + p.panel_reach[2]
        band = DEPTHWISE_PANEL_BYTES // (columns * machine.itemsize) - shared
        each = MOVE_CYCLES if p.channels_last else COPY_CYCLES / machine.lanes
        again = p.in_size[0] * p.out_size[1] * shared / max(band, 1)
        copying = each * p.groups * again * columns

    apart = 1.0
    if p.dilation[1] > 1 and machine.lanes * machine.itemsize == 64:
        apart = FAR_ROWS if is_far(p, machine) else APART_ROWS

    def cycles(rows: int, vectors: int) -> float:
        return copying + apart * p.groups * p.out_size[0] * sum(
            count * n * m * depthwise_cycles(p.kernel, r, v)
            for count, out_rows in row_sets(p)
            for n, r in split(out_rows, rows)
            for m, v in split(row_vectors, vectors)
        )

    return best_tile(p, Family.DEPTHWISE, machine, forced, cycles)


def three_columns(p: Problem) -> bool:
    """Whether a kernel row's three taps are neighbours, in x or in a panel sorted by phase."""
    return p.kernel[2] == 3 and p.stride[2] == p.dilation[2]


def best_tile(
    p: Problem,
    family: Family,
    machine: Machine,
    forced: Tile | None,
    cycles: Callable[[int, int], float],
) -> tuple[float, Tile]:
    """(estimated cycles, tile) of the best tile of a family."""
    return min(
        (cycles(rows, vectors), (family, rows, vectors))
        for rows, vectors in tiles_of(p, family, machine, forced)
    )


@lru_cache(maxsize=4096)
def depthwise_cycles(kernel: Triple, rows: int, vectors: int) -> float:
    """Estimated cycles of a depthwise tile, window row by window row."""
    planes, height, width = kernel
    cycles = 10.0 + rows * vectors
    for window in range(height + rows - 1):
        active = min(window, height - 1) - max(window - rows + 1, 0) + 1
        sums = active * vectors
        per_tap = max(sums / 2, (active + vectors * 1.5) / 2, min(4.0, sums * 4.0))
        cycles += width * planes * per_tap + 3
    return cycles
