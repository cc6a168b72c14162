"""The family's own records: the structs in its kernel.pxi say what the fields mean."""

from __future__ import annotations

import numpy as np

from gconv._plan.record import ADDRESS, FLAG, INT

PART = np.dtype([("plan", ADDRESS), ("weights_at", INT)], align=True)
OWN = np.dtype(
    [
        ("parts", ADDRESS), ("counts", INT, 3), ("phases", ADDRESS, 3), ("y_step", INT, 3),
        ("y_size", INT, 3), ("bias_alone", FLAG), ("straight", FLAG), ("column_parts", INT),
        ("outputs", INT),
    ],
    align=True,
)
UPSAMPLING = np.dtype([("parts", OWN), ("vectors", INT), ("weights", INT)], align=True)
