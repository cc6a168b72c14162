"""The family's own record: `ChannelPlan` in its kernel.pxi says what the fields mean."""

from __future__ import annotations

import numpy as np

from gconv._plan.record import ADDRESS, FLAG, INT

OWN = np.dtype(
    [
        ("rows", INT), ("vectors", INT), ("tap_places", ADDRESS), ("column_runs", FLAG),
        ("gathers_border", FLAG), ("prefetches", FLAG), ("rows_at_once", INT), ("border", INT),
    ],
    align=True,
)
