"""From a `Spec` to what the engine reads: the records of a plan and of its family."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from gconv._engine import call
from gconv._families.channel import record as channel
from gconv._families.channels_last import record as channels_last
from gconv._families.depthwise import record as depthwise
from gconv._families.sliding import record as sliding
from gconv._families.through_channels_last import record as through_channels_last
from gconv._families.transposed import record as transposed
from gconv._families.width import record as width
from gconv._plan.problem import CHANNELS_LAST, Family, Operation, Spec
from gconv._plan.record import PLAN, check

OWN = {
    "width": width.OWN,
    "depthwise": depthwise.OWN,
    "channel": channel.OWN,
    "sliding": sliding.OWN,
    "channels_last": channels_last.OWN,
    "through_channels_last": through_channels_last.OWN,
    "transposed": transposed.OWN,
    "upsampling": transposed.UPSAMPLING,
}
Keep = list[np.ndarray]


def tiles_of(engine: ModuleType) -> dict[str, dict[Any, int]]:
    """The tiles of all families, after a look at the records."""
    check(engine, OWN)
    return {
        name: tiles
        for *_, all_tiles in engine.families.values()
        for name, tiles in all_tiles.items()
    }


def plan_of(spec: Spec, engine: ModuleType) -> call.Plan:
    """The plan that a spec describes."""
    keep: Keep = []
    record = record_of(spec, engine, keep)
    return call.Plan(
        record, engine, keep=keep, flops=spec.flops, dimensions=spec.dimensions,
        weight_offset=0 if spec.parts else spec.read.origin, spec=spec,
    )


def address(array: np.ndarray, keep: Keep) -> int:
    """Where an array lies, which is kept."""
    keep.append(array)
    return array.ctypes.data


def shared(spec: Spec, keep: Keep) -> np.ndarray:
    """The record but for its family."""
    plan = np.zeros((), PLAN)
    problem, work, source = plan["problem"], plan["work"], plan["source"]
    for name in (
        "groups", "in_channels", "out_channels", "in_size", "out_size", "kernel", "stride",
        "dilation", "padding", "padding_mode", "channel_major", "x_image", "x_channel", "x_axis",
        "y_image", "y_channel", "y_axis", "y_in_order", "w_in_order",
    ):
        problem[name] = getattr(spec, name)
    filled = [spec.filled(axis) for axis in range(3)]
    problem["filled_begin"], problem["filled_end"] = zip(*filled, strict=True)
    problem["w_group"] = spec.read.group
    problem["w_channel"] = spec.read.channel
    problem["w_input"] = spec.read.input
    problem["w_axis"] = spec.read.axis
    for name in (
        "items", "group_block", "group_blocks", "band", "bands", "channel_block",
        "channel_blocks", "slices", "slice_axis", "in_block",
    ):
        work[name] = getattr(spec, name)
    order = "CHANNELS_FASTEST"
    if spec.bands_inside:
        order = "BANDS_FASTEST"
    elif spec.groups_inside:
        order = "BANDS_SLOWEST"
    work["order"] = call.item_orders[order]
    if spec.work is not None:
        work["before"] = address(spec.work, keep)
    for name in ("in_place", "phases", "phase_step", "pixel_step", "expanded"):
        source[name] = getattr(spec, name)
    source["channels"] = spec.panel_channels
    source["channel"] = spec.panel_channel
    source["phase"] = spec.panel_phase
    source["pitch"] = spec.panel_plane, spec.panel_row
    source["columns"] = spec.panel_columns
    source["slots"] = spec.panel_planes, spec.panel_rows
    source["line"] = spec.panel_line
    source["tap"] = spec.panel_tap
    source["padding"] = spec.panel_padding
    source["reach"] = spec.panel_reach
    source["offset"] = spec.panel_offset
    epilogue = plan["epilogue"]
    epilogue["activation"], epilogue["low"], epilogue["high"] = spec.epilogue
    plain = spec.family == Family.PLAIN
    epilogue["in_tiles"] = (
        spec.epilogue.activation <= Operation.HARDSWISH
        and not plain
        and spec.y_in_order
        and (not spec.parts or spec.upsamples)
    )
    epilogue["adds_residual"] = plain or spec.y_in_order
    scratch = plan["scratch"]
    scratch["sums"], scratch["weights"] = spec.accumulators_at, spec.weights_at
    scratch["bytes"] = spec.scratch_bytes
    plan["x_taps"] = address(spec.x_taps, keep)
    plan["w_taps"] = address(spec.w_taps, keep)
    return plan


def record_of(spec: Spec, engine: ModuleType, keep: Keep) -> np.ndarray:
    """The record of a plan, and of its family; `keep` gets what they point into."""
    plan = shared(spec, keep)
    name, own = own_of(spec, engine, keep)
    plan["family"] = engine.families[name][0]
    if own is not None:
        plan["own"] = address(own, keep)
    return plan


def own_of(spec: Spec, engine: ModuleType, keep: Keep) -> tuple[str, np.ndarray | None]:
    """The family's name in the engine, and its own record."""
    if spec.parts:
        return own_of_parts(spec, engine, keep)
    if spec.family in CHANNELS_LAST:
        own = np.zeros((), channels_last.OWN)
        own["kernel"] = engine.families["channels_last"][2]["kernels"][kernel_of(spec)]
        own["pixels"] = spec.tile_rows
        own["blocks"], own["wide"] = spec.across_blocks, spec.across_wide
        own["first"] = address(spec.across_first, keep)
        own["base"] = address(spec.across_base, keep)
        own["picks"] = address(spec.across_picks, keep)
        own["prefetches"] = spec.prefetches
        if not spec.y_in_order:
            return "channels_last", own
        inner = shared(spec, keep)
        problem = inner["problem"]
        problem["x_image"] = problem["y_image"] = 0
        problem["x_channel"] = problem["y_channel"] = 1
        problem["x_axis"] = (
            spec.panel_plane, spec.panel_row, spec.pixel_step // spec.stride[2])
        problem["y_in_order"] = False
        inner["source"]["in_place"] = True
        inner["family"] = engine.families["channels_last"][0]
        inner["own"] = address(own, keep)
        through = np.zeros((), through_channels_last.OWN)
        through["inner"] = address(inner, keep)
        through["result"] = spec.outputs_at
        return "through_channels_last", through
    if spec.family in (Family.PLAIN, Family.SHORT):
        return spec.family.name.lower(), None
    if spec.family in (Family.WIDTH, Family.MASKED):
        own = np.zeros((), width.OWN)
        if spec.family == Family.MASKED:
            own["masks"] = address(spec.masks, keep)
            own["mask_taps"] = address(spec.mask_taps, keep)
        own["rows"], own["vectors"] = spec.tile_rows, spec.tile_vectors
        return "width", own
    if spec.family == Family.SLIDING:
        own = np.zeros((), sliding.OWN)
        own["vectors"], own["prefetches"] = spec.tile_vectors, spec.prefetches
        return "sliding", own
    if spec.family == Family.DEPTHWISE:
        own = np.zeros((), depthwise.OWN)
        own["columns"] = address(spec.x_taps, keep)
        own["three_columns"] = spec.three_columns
    else:
        own = np.zeros((), channel.OWN)
        own["tap_places"] = address(spec.tap_places, keep)
        for field in ("column_runs", "gathers_border", "prefetches", "rows_at_once"):
            own[field] = getattr(spec, field)
        own["border"] = spec.outputs_at
    own["rows"], own["vectors"] = spec.tile_rows, spec.tile_vectors
    return spec.family.name.lower(), own


def kernel_of(spec: Spec) -> str:
    """The kernel of a channels-last plan."""
    if spec.family == Family.ACROSS:
        return "NEIGHBOURS" if spec.neighbours else ("FITTING", "PICKED")[spec.lanes_are]
    if spec.down_the_rows:
        return "DESCENDING"
    return "WIDE" if spec.kernel[2] > 8 else "PIXELS"


def own_of_parts(spec: Spec, engine: ModuleType, keep: Keep) -> tuple[str, np.ndarray]:
    """The record of a transposed convolution. There may be thousands of parts, but of few kinds."""
    kinds: dict[int, int] = {}
    parts = np.zeros(len(spec.parts), transposed.PART)
    for part, entry in zip(spec.parts, parts, strict=True):
        if part.kind not in kinds:
            kinds[part.kind] = address(record_of(part, engine, keep), keep)
        entry["plan"] = kinds[part.kind]
        entry["weights_at"] = part.read.origin + part.packed_at
    own = np.zeros((), transposed.UPSAMPLING if spec.upsamples else transposed.OWN)
    whole = own["parts"] if spec.upsamples else own
    whole["parts"] = address(parts, keep)
    whole["counts"] = [len(phases) for phases in spec.part_phases]
    whole["phases"] = [address(phases, keep) for phases in spec.part_phases]
    for field in ("y_step", "y_size", "bias_alone", "column_parts"):
        whole[field] = getattr(spec, field)
    whole["straight"] = spec.family == Family.PLAIN
    whole["outputs"] = spec.outputs_at
    if not spec.upsamples:
        return "transposed", own
    own["vectors"] = max(
        engine.families["upsampling"][2]["upsampling"][spec.y_step[2], part.kernel[1]]
        for part in spec.parts
    )
    own["weights"] = spec.outputs_at
    return "upsampling", own
