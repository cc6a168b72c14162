"""The engine's `ConvPlan` as a NumPy record: `_engine/plan.pxd` says what the fields mean.

Names, order and sizes are those of the structs there; `check` compares the sizes with what the
compiler made of these, and a test compares the names.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np

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


def check(engine: ModuleType, own: dict[str, np.dtype]) -> None:
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
