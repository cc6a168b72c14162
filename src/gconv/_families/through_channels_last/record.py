"""The family's own record: `ThroughChannelsLastPlan` in kernel.pxi says what the fields mean."""

from __future__ import annotations

import numpy as np

from gconv._plan.record import ADDRESS, INT

OWN = np.dtype(
    [("inner", ADDRESS), ("result", INT)],
    align=True,
)
