"""Every fitted constant of the planner: a record for each CPU that was measured, and a general one.

A record is data. Its fields say what was measured; `measured` says how to measure it again. The
record is chosen from the CPU's identity and never by timing, so that one machine always computes
the same bits; ``GCONV_TUNING=NAME`` takes the record of that name on any CPU.

To add a record: run ``gconv bench --choices`` on the CPU, change what the table shows to be wrong,
and list the record in `RECORDS`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

VARIABLE = "GCONV_TUNING"
KIB = 1024


class Tuning(NamedTuple):
    """What a plan takes for granted about a CPU.

    The defaults are those of Zen 4. Costs are in cycles of a core that starts two multiply-adds or
    two loads a cycle (see `shorter`); factors multiply the estimates of a family.
    """

    name: str
    cpu: str
    date: str
    measured: str  # the command
    # (vendor, family, first model, last model) of the CPUs that the record is for.
    cpus: tuple[tuple[str, int, int, int], ...] = ()

    # A specialised family is taken only where its estimate is lower by this factor.
    specialised: float = 1.0

    # ---- caches, as plans use them ----
    way_bytes: int = 4 * KIB  # of the first-level cache: what lies so far apart shares a set
    l2_bytes: int = 1024 * KIB
    # x and y of more bytes together come from memory (32 MiB of third-level cache for 8 cores).
    # Sliding windows over single rows of 3 to 15 neighbours are 1 to 1.7 times as fast as width
    # lanes there, and 0.8 to 1 times below.
    far_bytes: int = 8192 * KIB
    # A panel leaves the second-level cache room for the output ...
    panel_bytes: int = 192 * KIB
    # ... or, where one output channel reads it, stays in the first.
    small_panel_bytes: int = 24 * KIB
    # Ways of the first-level cache that a tap's input channels may fill; weights need most of it.
    channel_ways: int = 3
    # Sums of a channel-lane item.
    sums_bytes: int = 48 * KIB
    # Where the taps of channel lanes' border pixels lie.
    border_bytes: int = 128 * KIB
    # Weights of a block of output channels stay in the first-level cache; or, with tiles of
    # `tall_rows` pixels, which use each weight so often that it may come from the second-level
    # cache, there: 1.02 to 1.07 times as fast with 14 pixels, 0.9 to 1 times with 6.
    weight_block_bytes: int = 24 * KIB
    tall_rows: int = 12
    tall_weight_block_bytes: int = 64 * KIB
    # Weights that a function packs at once.
    packed_bytes: int = 320 * KIB
    # A function packs the weights of all siblings for each band: 1.3 times as fast where one band
    # takes the place of two.
    repacking_panel_bytes: int = 224 * KIB
    # Outputs of siblings before they are interleaved.
    output_bytes: int = 128 * KIB
    # What channels-last tiles read of x for one vector of channels.
    channels_last_bytes: int = 48 * KIB
    # Weights that tiles of wide kernels take at a time: half of the first-level cache.
    wide_weight_bytes: int = 16 * KIB
    # Panel and result of a block that is transposed, of one vector of channels and of several.
    block_bytes: int = 256 * KIB
    small_block_bytes: int = 24 * KIB
    # What sliding windows ask for ahead waits in the second-level cache.
    ahead_bytes: int = 128 * KIB

    # ---- work items ----
    # Enough items for 64 threads to share evenly, each worth its overhead.
    items: int = 480
    least_item_flops: int = 40_000
    most_item_flops: int = 400_000
    few_items: int = 8
    # Below so many floating-point operations a call runs on one thread. Two CPUs, 4 channels per
    # group: with a pool at work, two threads draw level at 0.4 MFLOP and save 5 us of 21 at 0.9;
    # after a rest of 12 ms, waking the second one costs 130 us there.
    serial_flops: int = 1_000_000
    # Below, few threads are worth waking, and items may be larger.
    small_flops: int = 20_000_000
    small_item_flops: int = 150_000
    # Items within this factor of the wanted size are left alone.
    item_slack: float = 1.5
    # Bands copy the rows that they share with the next one again: at most one of so many; strips
    # compute them anew, at most one of so many.
    band_repeats: int = 4
    strip_repeats: int = 8
    strip_rows: int = 16  # fewer are not worth the start of a strip
    # The fewest columns of an item, and of a panel as long as fewer channels would do as well: in
    # vectors, and in tiles.
    item_vectors: int = 16
    panel_tiles: int = 8
    # Siblings of a row whose outputs wait in scratch at once, at most.
    siblings_at_once: int = 16
    # Multiply-adds that an element copied into a panel should serve, in all output channels.
    copy_uses: int = 128

    # ---- tiles ----
    tile_start: float = 4.0  # the loop around a tile
    sum_cycles: float = 2.2  # to begin a vector of sums with the bias, and to store it
    latency: float = 2.0  # of a multiply-add
    # Where multiplying and adding are two instructions, these fill the slots: cycles for a vector
    # that is loaded, and twice as many for an element that is broadcast. Tiles whose sums and
    # vectors take `full_tile` registers leave none for a product: a factor.
    issue: float = 0.0
    full_tile: int = 1000
    full: float = 1.0
    full_depthwise: float = 1.0  # the same of depthwise tiles: up to 2.3 times as fast without them
    # To begin with a plane and with a row of a panel; to copy a vector into it, or an element where
    # the stride is more than 2, or rows with stride 2 are no longer than a vector.
    copy_plane_cycles: float = 20.0
    copy_row_cycles: float = 1.2
    copy_cycles: float = 3.4
    copy_element_cycles: float = 1.0
    # To gather an element of a channels-last x, and to scatter one of a result in C order: where x
    # and y are in the second-level cache, and where they are not.
    gather_cycles: tuple[float, float] = (1.05, 1.05)
    scatter_cycles: tuple[float, float] = (0.4, 0.65)
    # The same of a result whose channels share sets of the first-level cache, as in planes of
    # 32 x 32 or 224 x 224.
    scatter_in_sets_cycles: float = 1.5
    # The same of the last channels, which do not fill a vector.
    scatter_one_cycles: float = 1.15
    # To begin the copy of a result, and for its memory: it counts where layers are small.
    copy_call_cycles: float = 800.0
    # To wait for a vector of x beyond what multiply-adds hide. Of 330 layers of width lanes, the
    # tile chosen takes 1.014 times as long as the best (1.019 without); masked ones gain 1.03 to
    # 1.06 times with 7 to 24 channels per group.
    read_cycles: float = 0.05
    # Width lanes of siblings whose rows leave the first-level cache little room wait for the
    # second: transposed layers of 128 and 256 channels run at 55 GFLOP/s, channel lanes at 90.
    sibling_row_bytes: int = 20 * KIB
    far_loads: float = 8.0
    # Rows shorter than a vector go through scratch: for each, its elements are copied. Up to 1.4
    # times as fast with strides, and on planes of 7 x 7.
    short_row: float = 5.0
    split_loads: float = 1.5  # a load at any address, over one within a cache line

    # ---- width lanes with masks ----
    # Masked loads take slots of the multiply-adds; more where all channels share the same sets of
    # the first-level cache: 1.01 to 1.3 times as fast as other families on the layers chosen.
    masked: float = 1.15
    masked_in_sets: float = 1.4
    masked_columns: int = 256
    # Two bands compute the vector where one ends: vectors of a band at least.
    masked_vectors: int = 32
    mask_bytes: int = 32 * KIB

    # ---- depthwise rows and sliding windows ----
    # Rows a dilation apart, with vectors of 64 bytes, and where x and y come from memory: of 120
    # layers with dilations of 2 to 24, the family chosen takes 1.05 times as long as the fastest
    # (1.1 without the first, 1.2 without both).
    apart_rows: float = 1.3
    far_rows: float = 2.0
    # Sliding windows. To load a vector of a row and take its columns apart: of kernels of several
    # rows with stride 1 and 2, and of one row with these. To begin with a row of a strip: of square
    # kernels whose columns are neighbours, of others. Rows that only begin or end a strip, for each
    # row of the kernel; and what a set of rows one dilation apart takes more.
    sliding_load: tuple[float, float, float, float] = (0.7, 3.0, 1.7, 5.0)
    sliding_line: tuple[float, float] = (1.0, 6.0)
    sliding_starts: float = 0.3
    sliding_set: float = 45.0
    # To begin with a plane of outputs of a channel: kernels of several rows, of one.
    sliding_plane: tuple[float, float] = (18.0, 40.0)
    sliding_far_row: float = 0.4  # others read memory once more to fill a panel

    # ---- channel lanes ----
    # Bias in and sums out, for a vector of sums, beyond what tiles of any family take.
    channel_sums: float = 2.7
    channel_last_sums: float = 2.0  # the same where y is channels-last
    channel_far_sums: float = 4.0  # more where a band of such a y fills the cache
    channel_tail: float = 4.3  # for a pixel of a channels-last y whose last vector is not full
    channel_plane: float = 80.0  # to begin with a plane of outputs, for each block of channels
    # For each tile, to begin with the taps of another kernel row, where groups have one input
    # channel. Up to 1.3 times as fast there.
    channel_row: float = 3.0
    # To begin with a run of pixels that meet the same kernel columns: once, and for each row.
    channel_run_cycles: tuple[float, float] = (35.0, 13.0)
    # Layers of fewer input channels leave runs of too few taps to skip columns in the padding.
    channel_skip_channels: int = 8
    # Skipped columns pay: 1.07 times as fast at 7x7 with a 3x3 kernel, not at 14x14.
    channel_skip_inside: tuple[float, float] = (0.95, 0.93)
    channel_skip_run: int = 5
    # x in place of a panel, where columns are skipped: rows that make a run long enough.
    channel_run_columns: int = 32
    # Kernel rows apart, each for all pixels: 1.05 to 1.5 times as fast from 4x4 to 8x8 pixels, 1.02
    # to 1.04 times at 14x14; 0.95 times with 16 channels.
    channel_visit_padding: int = 13
    channel_visit_rows: int = 48
    channel_visit_size: int = 8
    # A band reads its weights once for all its pixels: 1 to 1.05 times as fast as with a hundred,
    # 1.13 times where the weights come from beyond the second-level cache.
    channel_pixels: int = 300
    # Rows of a band whose runs of pixels go down the rows.
    channel_run_rows: int = 6

    # ---- channels-last tiles ----
    # Neighbouring channels share cache lines: vectors of a block of groups at least, where x and y
    # are in the second-level cache; beyond it, of tiles that go down the rows, and of others (1 to
    # 1.4 times as fast with 16 as with 4).
    near_vectors: int = 4
    far_descending_vectors: int = 8
    far_vectors: int = 16
    # Rows of a band, in kernels; of bands of wide kernels whose weights are packed already; and
    # columns that are not cut for the cache.
    kernels_high: int = 2
    wide_rows: int = 4
    uncut_columns: int = 1024
    picked_tap: tuple[float, float] = (0.7, 0.4)  # for a pixel, and for each input channel
    picked_border: float = 30.0  # more for a pixel that meets some kernel columns only
    neighbour_tap: float = 0.65
    tile_pixels: float = 5.0  # to start and store one
    border_tap: float = 2.0
    border_pixel: float = 40.0
    inner_tap: float = 0.75
    inner_tile: float = 45.0
    # Of tiles of pixels: a multiply-add and a load over the two that start in a cycle; the tile.
    pixels_tap: float = 0.75
    pixels_load: float = 1.2
    pixels_tile: float = 20.0
    descending_throughput: float = 2.0
    wide_throughput: float = 2.6
    wide_start: float = 27.0
    column_start: float = 30.0  # of a set of columns one dilation apart
    # To transpose a vector of 64 bytes; and one whose channels share sets of the first-level cache,
    # as in planes of 32 x 32.
    transpose_cycles: float = 2.4
    transpose_in_sets_cycles: float = 6.5
    transpose_call: float = 2000.0  # what a call takes more than those of other families
    transpose_row: float = 6.0  # for each lane, of a row that is a run of its own

    # ---- short rows; and getting ready for each group ----
    # With 512 groups of 1 channel and 4 taps, 1 and 16 samples: 18 us and 50 us.
    short_sums: float = 5.0
    ready_cycles: float = 40.0
    plane_cycles: float = 35.0  # and for each plane of its outputs
    channel_ready_cycles: float = 90.0

    # ---- transposed convolutions ----
    # Input channels of a group that tiles of all column phases take: 1.2 to 1.6 times as fast as
    # part by part with 2 and 4 of them, 0.65 to 1.1 times with 8.
    upsampling_channels: int = 4

    # ---- shorter vectors ----
    # By bytes of a vector, the fields that have other values there. Zen 4 starts one multiply-add
    # of 64 bytes a cycle, and two of shorter ones: a unit of the estimates is about two cycles of
    # the clock with vectors of 64 bytes, one with others, and what is done for each element or
    # row takes as long whatever the vectors.
    shorter: Mapping[int, Mapping[str, Any]] = MappingProxyType({})

    def with_vectors(self, size: int) -> Tuning:
        """The record for vectors of so many bytes."""
        return self._replace(**self.shorter.get(size, {}))


# What is done for each element, row, pixel or group takes as long whatever the vectors.
ROWS_AND_ELEMENTS = {
    "tile_start": 5.0, "sum_cycles": 3.0, "short_row": 12.0,
    "copy_plane_cycles": 40.0, "copy_cycles": 2.2,
    "gather_cycles": (1.5, 2.1),
    "ready_cycles": 60.0, "plane_cycles": 45.0,
    "channel_ready_cycles": 60.0, "channel_plane": 180.0, "channel_run_cycles": (200.0, 20.0),
    "channel_sums": 4.5, "channel_last_sums": 3.2, "channel_far_sums": 10.0, "channel_tail": 9.0,
    "channel_row": 6.0,
    "picked_tap": (0.5, 0.8), "picked_border": 120.0, "inner_tap": 0.5, "inner_tile": 90.0,
    "border_tap": 4.5, "border_pixel": 55.0, "transpose_cycles": 1.3,
    "transpose_in_sets_cycles": 3.5, "transpose_call": 0.0,
}

ZEN4 = Tuning(
    name="zen4",
    cpu="AMD Zen 4 (EPYC 9004, Ryzen 7000)",
    date="2026-11-26",
    measured="gconv bench --choices --layers 300",
    cpus=(
        ("AuthenticAMD", 25, 0x10, 0x1F),
        ("AuthenticAMD", 25, 0x60, 0x7F),
        ("AuthenticAMD", 25, 0xA0, 0xAF),
    ),
    shorter={
        32: {**ROWS_AND_ELEMENTS, "latency": 4.0, "copy_row_cycles": 2.0},
        # Without fused multiply-adds, and without an instruction that picks lanes.
        16: {
            **ROWS_AND_ELEMENTS, "copy_row_cycles": 4.0, "issue": 0.2, "latency": 3.0,
            "full_tile": 15, "full": 1.1, "full_depthwise": 1.2, "picked_tap": (1.0, 4.5),
            "inner_tap": 0.8, "border_tap": 2.6, "border_pixel": 65.0,
            "transpose_cycles": 0.2, "transpose_in_sets_cycles": 0.54,
        },
    },
)
# For CPUs that nobody measured: Zen 4's costs, smaller caches, and families of general use unless
# another is clearly faster.
GENERAL = ZEN4._replace(
    name="general",
    cpu="any other",
    measured="none: Zen 4's record with smaller caches, and with fused multiply-adds",
    cpus=(),
    specialised=1.15,
    l2_bytes=512 * KIB,
    far_bytes=4096 * KIB,
    shorter=dict.fromkeys((16, 32), ZEN4.shorter[32]),  # NEON has vectors of 16 bytes
)
RECORDS = (ZEN4, GENERAL)


def record_for(vendor: str, family: int, model: int) -> Tuning:
    """The record of a CPU: the one that GCONV_TUNING names, or the first that names the CPU, or
    the general one.

    Raises
    ------
    ValueError
        Where GCONV_TUNING names none.
    """
    forced = forced_record()
    if forced is not None:
        return forced
    for record in RECORDS:
        for who, which, first, last in record.cpus:
            if (vendor, family) == (who, which) and first <= model <= last:
                return record
    return GENERAL


def forced_record() -> Tuning | None:
    """The record that GCONV_TUNING names; None where it is not set.

    Raises
    ------
    ValueError
        Where there is no record of that name.
    """
    asked = os.environ.get(VARIABLE, "")
    if not asked:
        return None
    for record in RECORDS:
        if record.name == asked:
            return record
    names = ", ".join(record.name for record in RECORDS)
    raise ValueError(f"gconv: {VARIABLE}={asked!r} is not one of {names}")
