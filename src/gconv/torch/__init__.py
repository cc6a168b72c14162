"""gconv within PyTorch: the convolutions of a model on gconv, and as operators.

Needs PyTorch (the extra ``gconv[torch]``), which the rest of gconv never imports.
"""

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "gconv.torch needs PyTorch, part of the extra gconv[torch]", name=error.name
    ) from error

from gconv.torch._operators import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from gconv.torch._replace import replace_convs_, restore
from gconv.torch._report import Report

__all__ = [
    "Report",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "replace_convs_",
    "restore",
]

for _name in __all__:
    globals()[_name].__module__ = "gconv.torch"
del _name
