"""Grouped convolution for CPU inference on NumPy arrays: PyTorch's semantics, without PyTorch."""

from gconv._api.causal import CausalConv1d
from gconv._api.config import show_config
from gconv._api.from_torch import from_torch
from gconv._api.functional import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    filter_bank,
)
from gconv._api.layers import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from gconv._call.threads import get_num_threads, set_num_threads, thread_limit
from gconv._version import __version__

__all__ = [
    "CausalConv1d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "__version__",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "filter_bank",
    "from_torch",
    "get_num_threads",
    "set_num_threads",
    "show_config",
    "thread_limit",
]

for _name in __all__:
    if not _name.startswith("_"):
        globals()[_name].__module__ = "gconv"
del _name
