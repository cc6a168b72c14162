"""What the engine is told of a problem: its layout, written down."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gconv._plan.across import NONE as NO_VECTORS
from gconv._plan.layout import ITEM_FLOPS, SCRATCH_BYTES, Layout
from gconv._plan.panel import even_part
from gconv._plan.problem import CHANNELS_LAST, FLAT, Family, Problem, Spec
from gconv._plan.tiles import (
    Machine,
    Tile,
    choose_tile,
    down_the_rows,
    neighbours_fit,
    three_columns,
)
from gconv._plan.work import balance, work_before

PAGE_BYTES = 4096
MANY_THREADS = 64
EVEN = 1.15  # the most work of a thread over the mean
# Large items first: they repeat less. Below a half, weights would be read too often.
ITEM_SIZES = (8.0, 4.0, 2.0, 1.0, 0.5)
SHARES = 1024  # where a thread's share of an image may begin, where items alone are uneven

NO_TAPS = np.zeros(0, np.intp)
NO_MASKS = np.zeros(0, np.uint8)


def spec_of(
    problem: Problem, machine: Machine, forced: Tile | None = None, packs: bool = False
) -> Spec:
    """Decide everything that the engine wants to know."""
    family, rows, vectors = choose_tile(problem, machine, forced)
    if family == Family.SHORT:
        return short_spec(problem, machine, rows, vectors)
    if family != Family.PLAIN:
        spec = balanced_spec(problem, machine, family, rows, vectors, packs)
        if spec.scratch_bytes <= SCRATCH_BYTES:
            return spec
    # The plain loop nest needs no scratch: for taps so far apart that no panel can hold them.
    return plain_spec(problem, machine, packs)


def balanced_spec(
    problem: Problem, machine: Machine, family: Family, rows: int, vectors: int, packs: bool
) -> Spec:
    """A spec with work items as large as can be that many threads can still share evenly."""
    found: list[tuple[float, int, Layout, Spec]] = []
    for size in ITEM_SIZES:
        layout = Layout(problem, machine, family, rows, vectors, packs, size)
        layout.decide()
        spec = outline(layout)
        if layout.is_small:
            return with_tables(layout, spec)
        if found and spec.items == found[-1][1]:  # the same items
            continue
        uneven = balance(spec, 1, MANY_THREADS)
        if uneven <= EVEN:
            return with_tables(layout, spec)
        if family == Family.WIDTH and not spec.in_place:  # smaller items copy more rows again
            in_slices = sliced(spec)
            if balance(in_slices, 1, MANY_THREADS) <= EVEN:
                return with_tables(layout, in_slices)
        if size != ITEM_SIZES[-1] or not found:  # the smallest cost something, and do not help
            found.append((uneven, spec.items, layout, spec))
    # None is even: the most even, in slices.
    *_, layout, spec = min(found, key=lambda entry: entry[:2])
    return with_tables(layout, sliced(spec))


def sliced(spec: Spec) -> Spec:
    """The spec with its bands in slices that many threads can share evenly, by their work.

    That costs nothing where threads are few: each computes its slices of a band together.
    """
    # Bands of channel lanes are contiguous in y, and so have to be their slices.
    planes, rows, columns = spec.band
    axis, most = (0, planes) if planes > 1 else (1, rows)
    contiguous = spec.y_in_order and spec.part_counts == (0, 0, 0)
    if spec.family == Family.CHANNEL and contiguous and planes == 1:
        axis, most = FLAT, rows * columns
    elif spec.family in (Family.WIDTH, Family.MASKED) and spec.in_place and planes == rows == 1:
        axis, most = 2, columns // spec.lanes
    slices = max(1, min(most, -(-SHARES // spec.items)))
    spec = spec.replace(items=spec.items * slices, slices=slices, slice_axis=axis)
    return spec.replace(work=work_before(spec, 1, np.arange(spec.items + 1)))


def short_spec(problem: Problem, machine: Machine, rows: int, vectors: int) -> Spec:
    """Short rows: items of several groups, no panel."""
    layout = Layout(problem, machine, Family.SHORT, rows, vectors)
    layout.in_place = True
    group = 2 * problem.taps * problem.out_channels * problem.out_size[2]
    layout.group_block = even_part(problem.groups, ITEM_FLOPS[1] // group)
    return with_tables(layout, outline(layout))


def plain_spec(problem: Problem, machine: Machine, packs: bool) -> Spec:
    """The plain loop nest: an item for each output channel, no panel, no scratch."""
    layout = Layout(problem, machine, Family.PLAIN, 1, 1, packs)
    layout.in_place = True
    layout.channel_block = 1
    return with_tables(layout, outline(layout))


def part_spec(like: Spec, problem: Problem, machine: Machine, packs: bool) -> Spec:
    """A part of a transposed convolution, laid out as another part."""
    layout = Layout.of_part(like, problem, machine, packs)
    return with_tables(layout, outline(layout))


def outline(layout: Layout) -> Spec:
    """The spec but for its tables of taps."""
    p, size = layout.p, layout.machine.itemsize
    bands = tuple(-(-n // b) for n, b in zip(p.out_size, layout.band, strict=True))
    group_blocks = -(-p.groups // layout.group_block)
    channel_blocks = -(-p.out_channels // layout.channel_block)
    panel, sums, weights = scratch_parts(layout)
    across = NO_VECTORS
    if layout.family in CHANNELS_LAST:
        across = layout.across_vectors(layout.group_block)
    line = 64 // size  # elements
    outputs = -(-(panel + sums + weights) // line) * line
    border = layout.border_bytes(math.prod(layout.band)) if layout.gathers_border else 0
    scratch = apart(64 + outputs * size + border + layout.result_bytes)
    shift = [
        inside - before for inside, before in zip(p.panel_padding, p.padding, strict=True)
    ]
    pixel_step = p.stride[2] * (p.x_axis[2] if layout.in_place else layout.pixel)
    return Spec(
        **vars(p),
        lanes=layout.lanes,
        items=group_blocks * math.prod(bands) * channel_blocks,
        slices=1,
        slice_axis=1,
        work=None,
        group_block=layout.group_block,
        group_blocks=group_blocks,
        band=layout.band,
        bands=bands,  # type: ignore[arg-type]
        channel_block=layout.channel_block,
        channel_blocks=channel_blocks,
        bands_inside=layout.bands_inside,
        groups_inside=layout.groups_inside,
        family=layout.family,
        tile_rows=layout.rows,
        tile_vectors=layout.vectors,
        in_place=layout.in_place,
        phases=layout.phases,
        phase_step=layout.phase_step,
        pixel_step=pixel_step,
        panel_channels=layout.panel_channels,
        panel_planes=layout.slots(0),
        panel_rows=layout.slots(1),
        panel_line=(layout.line_and_tap(0)[0], layout.line_and_tap(1)[0]),
        panel_tap=(layout.line_and_tap(0)[1], layout.line_and_tap(1)[1]),
        expanded=(layout.expanded(0), layout.expanded(1)),
        panel_channel=layout.panel_channel,
        panel_plane=layout.panel_plane,
        panel_row=layout.panel_row,
        panel_phase=layout.panel_phase,
        panel_columns=layout.panel_columns,
        in_block=layout.in_block,
        column_runs=layout.skips_columns,
        rows_at_once=1 if layout.rows_apart else max(1, p.kernel[1]),
        gathers_border=layout.gathers_border,
        prefetches=layout.prefetches(),
        three_columns=three_columns(p),
        down_the_rows=layout.family == Family.PIXELS and down_the_rows(p),
        x_taps=NO_TAPS,
        w_taps=NO_TAPS,
        masks=NO_MASKS,
        mask_taps=NO_TAPS,
        tap_places=NO_TAPS,
        lanes_are=across.kind,
        neighbours=layout.family == Family.ACROSS and neighbours_fit(p, layout.machine),
        across_blocks=across.blocks,
        across_wide=across.wide,
        across_first=across.first,
        across_base=across.base,
        across_picks=across.picks,
        read=layout.read,
        w_in_order=p.in_order(layout.read),
        panel_offset=shift[0] * layout.panel_plane + shift[1] * layout.panel_row + shift[2],
        accumulators_at=panel,
        weights_at=panel + sums,
        outputs_at=outputs,
        scratch_bytes=scratch,
    )


def scratch_parts(layout: Layout) -> tuple[int, int, int]:
    """Elements of scratch for the panel, for sums and for packed weights, in whole cache lines but
    for the last."""
    p, size = layout.p, layout.machine.itemsize
    line = 64 // size  # elements
    panel = -(-layout.panel_bytes // size // line) * line
    if layout.family == Family.CHANNEL:
        sums = -(-(math.prod(layout.band) * layout.pixel_bytes) // 64) * line
        channels = p.in_channels if layout.bands_inside else layout.in_block
        return panel, sums, channels * p.volume * layout.vectors * layout.lanes
    weights = 0
    if layout.family in (Family.DEPTHWISE, Family.SLIDING) and not p.in_order(layout.read):
        weights = p.volume
    if layout.family == Family.ACROSS and layout.packs:
        weights = p.taps * layout.lanes
    if layout.family == Family.PIXELS and layout.packs:
        channels = layout.group_block * p.out_channels
        weights = p.taps * -(-channels // layout.lanes) * layout.lanes
    return panel, layout.rows * layout.lanes, weights


def with_tables(layout: Layout, spec: Spec) -> Spec:
    """The spec with its tables of taps."""
    x_taps, w_taps = taps_of(layout)
    if layout.family == Family.MASKED:
        masks, mask_taps = masks_of(layout.p, layout.lanes)
        spec = spec.replace(masks=masks, mask_taps=mask_taps)
    places = np.argsort(w_taps) if layout.packs else NO_TAPS  # who packs asks for them
    return spec.replace(x_taps=x_taps, w_taps=w_taps, tap_places=places)


def taps_of(layout: Layout) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each tap lies in the panel (or x), and its weight, in the order of the sum."""
    p = layout.p
    kd, kh, kw = (np.arange(k) for k in p.kernel)
    column = kw * p.dilation[2]
    if layout.in_place:
        column = column * p.x_axis[2]
        plane, row = p.dilation[0] * p.x_axis[0], p.dilation[1] * p.x_axis[1]
        channel = p.x_channel
    else:
        if layout.in_blocks:
            column = column * layout.pixel
        else:
            column = column % layout.phase_step * layout.panel_phase + column // layout.phase_step
        plane = layout.line_and_tap(0)[1] * layout.panel_plane
        row = layout.line_and_tap(1)[1] * layout.panel_row
        channel = layout.panel_channel
    read = layout.read
    if layout.family in (Family.DEPTHWISE, Family.SLIDING):
        w_tap = (
            kd[:, None, None] * read.axis[0] + kh[:, None] * read.axis[1] + kw * read.axis[2]
        )
        return column.astype(np.intp), w_tap.ravel().astype(np.intp)
    if layout.family in CHANNELS_LAST:
        c = np.arange(p.in_channels)
        x_tap = kd[:, None, None] * plane + kh[:, None] * row + column
        w_tap = (
            kd[:, None, None, None] * read.axis[0]
            + kh[:, None, None] * read.axis[1]
            + kw[:, None] * read.axis[2]
            + c * read.input
        )
        return x_tap.ravel().astype(np.intp), w_tap.ravel().astype(np.intp)
    whole_panel = layout.in_place or layout.panel_channels >= p.in_channels
    x_taps, w_taps = [], []
    for first in range(0, p.in_channels, layout.in_block):
        c = np.arange(first, min(first + layout.in_block, p.in_channels))
        where = c if whole_panel else c - first
        x_tap = (
            kd[:, None, None, None] * plane
            + kh[:, None, None] * row
            + where[:, None] * channel
            + column
        )
        w_tap = (
            kd[:, None, None, None] * read.axis[0]
            + kh[:, None, None] * read.axis[1]
            + c[:, None] * read.input
            + kw * read.axis[2]
        )
        if layout.family == Family.CHANNEL and not p.channel_major:
            x_tap, w_tap = x_tap.swapaxes(2, 3), w_tap.swapaxes(2, 3)
        x_taps.append(x_tap)
        w_taps.append(w_tap)
    empty = [np.zeros(0, np.intp)]
    return (
        np.concatenate([t.ravel() for t in x_taps] or empty).astype(np.intp),
        np.concatenate([t.ravel() for t in w_taps] or empty).astype(np.intp),
    )


def masks_of(p: Problem, lanes: int) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Which pixels of a plane meet an element of the image, a bit each, for each kernel row
    and column; and where, in bytes, those of each tap begin, in the order of the sum."""
    _, rows, columns = p.out_size
    vectors = -(-rows * columns // lanes)
    pixel = np.arange(vectors * lanes)
    row, column = (
        position + (np.arange(p.kernel[axis]) * p.dilation[axis])[:, None] - p.padding[axis]
        for axis, position in ((1, pixel // columns), (2, pixel % columns))
    )
    inside = ((row >= 0) & (row < p.in_size[1]))[:, None]
    inside = inside & (column >= 0) & (column < p.in_size[2]) & (pixel < rows * columns)
    masks = np.packbits(inside.reshape(-1, len(pixel)), axis=1, bitorder="little")
    masks = np.pad(masks, ((0, 0), (0, -masks.shape[1] % 2)))  # a vector's may be two bytes
    tap = np.arange(p.kernel[1] * p.kernel[2]).reshape(1, p.kernel[1], 1, p.kernel[2])
    tap = np.broadcast_to(tap, (p.kernel[0], p.kernel[1], p.in_channels, p.kernel[2]))
    return masks, (tap * masks.shape[1]).ravel().astype(np.intp)


def apart(scratch: int) -> int:
    """Bytes of scratch, and so many more that threads, whose scratch lies side by side, do not ask
    for each other's lines ahead.

    Measured on Zen 4, two threads: 1.1 to 1.5 times as fast with a panel."""
    spaced = (-(-scratch // PAGE_BYTES) + 1) * PAGE_BYTES
    return spaced if spaced <= SCRATCH_BYTES else -(-scratch // 64) * 64
