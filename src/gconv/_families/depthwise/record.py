"""The family's own record: `DepthwisePlan` in its kernel.pxi says what the fields mean."""

from __future__ import annotations

import numpy as np

from gconv._plan.record import ADDRESS, FLAG, INT

OWN = np.dtype(
    [("rows", INT), ("vectors", INT), ("columns", ADDRESS), ("three_columns", FLAG)],
    align=True,
)
