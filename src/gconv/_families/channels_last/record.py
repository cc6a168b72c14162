"""The family's own record: `ChannelsLastPlan` in its kernel.pxi says what the fields mean."""

from __future__ import annotations

import numpy as np

from gconv._plan.record import ADDRESS, ENUM, FLAG, INT

OWN = np.dtype(
    [
        ("kernel", ENUM), ("pixels", INT), ("blocks", INT), ("wide", INT), ("first", ADDRESS),
        ("base", ADDRESS), ("picks", ADDRESS), ("prefetches", FLAG),
    ],
    align=True,
)
