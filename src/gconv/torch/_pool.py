"""A max or average pooling module on gconv: tensors in, tensors out."""

from __future__ import annotations

from operator import index, itemgetter
from typing import Any

import torch

from gconv._call import isa
from gconv._engine.program import Program
from gconv._steps.operand import Operand
from gconv._steps.pooling import pool
from gconv.torch._layer import MOST_SHAPES
from gconv.torch._memory import empty

_SETTINGS = "kernel_size", "stride", "padding", "ceil_mode"
_OWN_SETTINGS = {
    "MaxPool": ("dilation", "return_indices"), "AvgPool": ("count_include_pad", "divisor_override"),
}
#: The modules: their operations and dimensions, and what they read at every call.
POOLS: dict[type, tuple[str, int, tuple[str, ...]]] = {
    getattr(torch.nn, f"{name}{dims}d"): (operation, dims, (*_SETTINGS, *settings))
    for name, operation in (("MaxPool", "max"), ("AvgPool", "average"))
    for dims in (1, 2, 3)
    for settings in (_OWN_SETTINGS[name][: 1 if (name, dims) == ("AvgPool", 1) else 2],)
}


class TorchPool:
    """What a pooling module computes, by a step of gconv.

    Parameters
    ----------
    module : torch.nn.Module
        Of a class of `POOLS`.
    """

    __slots__ = ("_read", "_ready", "module")

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module
        self._read = itemgetter(*POOLS[_class_of(module)][2])
        self._ready: dict[Any, Any] = {}

    def __call__(self, x: Any) -> Any:
        """The result for x, a plain tensor on the CPU; None where PyTorch has to compute it."""
        if (
            x.dtype is not torch.float32 or not x.is_contiguous()
            or (x.requires_grad and torch.is_grad_enabled())
        ):
            return None
        try:
            key = x.shape, self._read(vars(self.module))
            way = self._ready.get(key, self)
        except (KeyError, TypeError):  # a setting that is gone, or of a type that nobody expects
            return None
        if way is self:
            if len(self._ready) >= MOST_SHAPES:
                self._ready.clear()
            way = self._ready[key] = self._way_for(x)
        if way is None:
            return None
        program, shape, strides, size = way
        try:
            array = x.numpy()
        except (RuntimeError, TypeError):  # a negated view and its like
            return None
        y = empty(shape, strides, x.dtype, size)
        program.run([array, y.numpy()], torch.get_num_threads())
        return y

    def _way_for(self, x: Any) -> Any:
        """The step for such an x, and shape, strides and bytes of the result."""
        module = self.module
        operation, dims, _ = POOLS[_class_of(module)]
        if getattr(module, "return_indices", False) or (
            getattr(module, "divisor_override", None) is not None
        ):
            return None
        try:
            with torch.no_grad():
                like = torch.empty(x.shape, dtype=x.dtype, device="meta")
                y = _class_of(module).forward(module, like)
        except (RuntimeError, TypeError, ValueError):  # PyTorch says what is wrong
            return None
        if y.numel() == 0 or x.numel() == 0:
            return None
        first = () if x.ndim == dims + 2 else (1,)
        operands = [
            Operand(number, 0, (*first, *tensor.shape), (*first, *tensor.stride()))
            for number, tensor in enumerate((like, y))
        ]
        try:
            kernel = _numbers(module.kernel_size, dims)
            stride = _numbers(module.stride, dims) or kernel  # where it is empty, too
            padding = _numbers(module.padding, dims)
            step = pool(
                operation, operands[0], operands[1], kernel, stride,
                _numbers(getattr(module, "dilation", 1), dims), [(n, n) for n in padding],
                getattr(module, "count_include_pad", False))
        except (TypeError, ValueError):  # a setting that PyTorch may know what to do with
            return None
        if step is None:
            return None
        return Program([step], isa.steps()), tuple(y.shape), y.stride(), y.nbytes


def _class_of(module: Any) -> Any:
    """The class that a module had before it was exchanged."""
    of: Any = type(module)
    return getattr(of, "_gconv_original", of)


def _numbers(value: Any, dims: int) -> list[int]:
    """A setting for each axis; none where it is None or empty."""
    values = [] if value is None else [*value] if isinstance(value, (tuple, list)) else [value]
    if any(isinstance(n, torch.Tensor) or not -(2**31) <= index(n) < 2**31 for n in values):
        raise ValueError
    return [index(n) for n in values] * (dims // max(len(values), 1))
