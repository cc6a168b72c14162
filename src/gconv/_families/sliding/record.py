"""The family's own record: `SlidingPlan` in its kernel.pxi says what the fields mean."""

from __future__ import annotations

import numpy as np

from gconv._plan.record import FLAG, INT

OWN = np.dtype(
    [("vectors", INT), ("prefetches", FLAG)],
    align=True,
)
