"""gconv on Dask arrays: stacks and volumes larger than memory, on one machine or a cluster.

Needs Dask (the extra ``gconv[dask]``), which the rest of gconv never imports.
"""

from gconv.dask._functions import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    filter_bank,
)

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "filter_bank",
]

for _name in __all__:
    globals()[_name].__module__ = "gconv.dask"
del _name
