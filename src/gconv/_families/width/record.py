"""The family's own record: `WidthPlan` in its kernel.pxi says what the fields mean."""

from __future__ import annotations

import numpy as np

from gconv._plan.record import ADDRESS, INT

OWN = np.dtype(
    [("rows", INT), ("vectors", INT), ("masks", ADDRESS), ("mask_taps", ADDRESS)],
    align=True,
)
