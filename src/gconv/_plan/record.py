"""The engine's `ConvPlan` as a NumPy record: `_engine/plan.pxd` says what the fields mean.

Names, order and sizes are those of the structs there; `check` compares the sizes with what the
compiler made of these, and a test compares the names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gconv._engine import call

if TYPE_CHECKING:
    from types import ModuleType

    from gconv._plan.items import Layout

Array = NDArray[Any]

INT = np.intp
FLAG = ENUM = np.int32  # C's bint and enum
ADDRESS = np.uintp

PROBLEM = np.dtype(
    [
        ("groups", INT), ("in_channels", INT), ("out_channels", INT),
        ("in_size", INT, 3), ("out_size", INT, 3),
        ("kernel", INT, 3), ("stride", INT, 3), ("dilation", INT, 3), ("padding", INT, 3),
        ("padding_mode", ENUM),
        ("filled_begin", INT, 3), ("filled_end", INT, 3),
        ("channel_major", FLAG),
        ("x_image", INT), ("x_channel", INT), ("x_axis", INT, 3),
        ("y_image", INT), ("y_channel", INT), ("y_axis", INT, 3), ("y_in_order", FLAG),
        ("w_group", INT), ("w_channel", INT), ("w_input", INT), ("w_axis", INT, 3),
        ("w_in_order", FLAG),
    ],
    align=True,
)
WORK = np.dtype(
    [
        ("items", INT), ("group_block", INT), ("group_blocks", INT),
        ("band", INT, 3), ("bands", INT, 3), ("channel_block", INT), ("channel_blocks", INT),
        ("order", ENUM), ("slices", INT), ("slice_axis", ENUM), ("before", ADDRESS),
        ("in_block", INT),
    ],
    align=True,
)
SOURCE = np.dtype(
    [
        ("in_place", FLAG), ("phases", INT), ("phase_step", INT), ("pixel_step", INT),
        ("channels", INT), ("channel", INT), ("phase", INT), ("pitch", INT, 2),
        ("columns", INT), ("slots", INT, 2), ("line", INT, 2), ("tap", INT, 2),
        ("expanded", FLAG, 2), ("padding", INT, 3), ("reach", INT, 3), ("offset", INT),
    ],
    align=True,
)
EPILOGUE = np.dtype(
    [
        ("activation", ENUM), ("low", np.float64), ("high", np.float64), ("in_tiles", FLAG),
        ("adds_residual", FLAG),
    ],
    align=True,
)
SCRATCH = np.dtype([("sums", INT), ("weights", INT), ("bytes", INT)], align=True)
PLAN = np.dtype(
    [
        ("problem", PROBLEM), ("work", WORK), ("source", SOURCE), ("epilogue", EPILOGUE),
        ("scratch", SCRATCH), ("x_taps", ADDRESS), ("w_taps", ADDRESS), ("family", ENUM),
        ("own", ADDRESS),
    ],
    align=True,
)


def check(engine: ModuleType, own: dict[str, np.dtype[Any]]) -> None:
    """Compare the records, and those of the families by their names, with an engine's structs.

    Raises
    ------
    ImportError
        Where a record and its struct differ in size, or a family has no record.
    """
    records = {name: globals()[name].itemsize for name in engine.struct_sizes}
    if records != engine.struct_sizes:
        raise ImportError(f"gconv: {engine.__name__} has other plans: {engine.struct_sizes}")
    for name, (_, size, _) in engine.families.items():
        if size != (own[name].itemsize if name in own else 0):
            raise ImportError(f"gconv: {engine.__name__} has another plan of {name}: {size} bytes")


# ---- writing ------------------------------------------------------------------------------------

Keep = list[NDArray[Any]]  # what the addresses in a record point into


def address(array: Array | None, keep: Keep) -> int:
    """Where an array lies, which is kept; 0 for none, or an empty one."""
    if array is None or array.size == 0:
        return 0
    keep.append(array)
    return call.address_of(array)


def addresses(keep: Keep, *arrays: Array) -> list[int]:
    """The address of each of several arrays."""
    return [address(array, keep) for array in arrays]


def written_plan(layout: Layout) -> call.Plan:
    """The engine's plan of a layout."""
    keep: Keep = []
    record = written(layout, keep)
    p = layout.p
    return call.Plan(
        record, layout.machine.engine, layout, keep=keep, flops=p.flops,
        serial_flops=layout.tuning.serial_flops, dimensions=p.dimensions, weight_offset=layout.weight_offset,
    )


def written(layout: Layout, keep: Keep) -> Array:
    """The record of a layout, and of its family; `keep` gets what they point into."""
    p = layout.p
    read = p.weights if p.packs else p.weights_in_order
    in_tiles, adds_residual = layout.finishes()
    x_taps, w_taps = layout.taps()
    own = layout.family.own(layout, keep)
    regions = layout.regions
    record = np.array(
        (
            (
                p.groups, p.in_channels, p.out_channels, p.in_size, p.out_size, p.kernel, p.stride,
                p.dilation, p.padding, p.padding_mode, p.filled_begin, p.filled_end,
                p.channel_major, p.x_image, p.x_channel, p.x_axis, p.y_image, p.y_channel,
                p.y_axis, p.y_in_order, read.group, read.channel, read.input, read.axis,
                not p.packs or p.weights_are_in_order,
            ),
            layout.work_fields(),
            layout.source_fields(),
            (*p.epilogue, in_tiles, adds_residual),
            (regions.get("sums", 0), regions.get("weights", 0), regions.bytes),
            address(x_taps, keep),
            address(w_taps, keep),
            layout.machine.engine.families[layout.kernel][0],
            address(own, keep),
        ),
        PLAN,
    )
    record["work"]["before"] = address(layout.work_before, keep)
    return record
