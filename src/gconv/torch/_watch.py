"""Whether tensors have changed since a layer was made from them.

PyTorch counts what is written to a tensor (`_version`), by `load_state_dict` and all else but what
goes through `.data` and the steps of fused optimisers, which are counted here. A tensor that was
replaced is another object, and one whose memory was replaced (as `module.to` does) begins
elsewhere. What a batch normalisation in training mode writes to its statistics is not counted, but
its batches are. Tensors that were made in inference mode are not counted, and a parametrisation
that is not PyTorch's may depend on anything: their values are compared with a copy, which takes as
long as reading both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.weak import WeakTensorKeyDictionary

#: Parametrisations made here depend on their parameters and buffers alone.
PURE = "torch.nn.utils."
STATISTICS = ("running_mean", "running_var")


# The steps that fused optimisers have made: of each tensor, and in all.
_steps = WeakTensorKeyDictionary()
_all_steps = 0


def _count_step(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
    global _all_steps
    fused = [group for group in optimizer.param_groups if group.get("fused")]
    for group in fused:
        for tensor in group["params"]:
            _steps[tensor] = _steps.get(tensor, 0) + 1
    _all_steps += bool(fused)


register_optimizer_step_post_hook(_count_step)


def counted(tensors: Iterable[Any]) -> list[int] | None:
    """How many steps of fused optimisers tensors have made; None while there were none at all."""
    return [_steps.get(tensor, 0) for tensor in tensors] if _all_steps else None


class Watch:
    """The tensors of some modules, as they were.

    Parameters
    ----------
    modules : iterable of torch.nn.Module
    """

    __slots__ = ("_all_steps", "_compared", "_computed", "_counted", "_steps")

    def __init__(self, modules: Iterable[torch.nn.Module]) -> None:
        self._all_steps = _all_steps
        self._counted: list[tuple[dict[str, Any], str, Any, int, int]] = []
        self._compared: list[tuple[dict[str, Any], str, Any]] = []
        self._computed: list[tuple[torch.nn.Module, str, Any]] = []
        for module in modules:
            for holder, name, tensor in _tensors(module):
                if tensor is None:
                    self._counted.append((holder, name, None, 0, 0))
                elif tensor.is_inference() or (
                    name in STATISTICS and holder.get("num_batches_tracked") is None
                ):
                    self._compared.append((holder, name, tensor.clone()))
                else:
                    self._counted.append(
                        (holder, name, tensor, tensor._version, tensor.data_ptr()))
            for name, steps in getattr(module, "parametrizations", {}).items():
                if not all(type(step).__module__.startswith(PURE) for step in steps):
                    self._computed.append((module, name, getattr(module, name).detach().clone()))

        self._steps = self._steps_now()

    def _steps_now(self) -> list[int] | None:
        return counted(tensor for _, _, tensor, _, _ in self._counted if tensor is not None)

    def changed(self) -> bool:
        """Whether any of the tensors has other values than they had."""
        if self._all_steps != _all_steps:
            if self._steps != self._steps_now():
                return True
            self._all_steps = _all_steps
        for holder, name, tensor, version, address in self._counted:
            if holder.get(name, self) is not tensor or (
                tensor is not None
                and (tensor._version != version or tensor.data_ptr() != address)
            ):
                return True
        if not self._compared and not self._computed:
            return False
        for holder, name, copy in self._compared:
            if not _equal(holder.get(name), copy):
                return True
        return any(not _equal(getattr(m, name, None), copy) for m, name, copy in self._computed)

    def requires_grad(self) -> bool:
        """Whether PyTorch would record what is computed from the tensors."""
        return any(t is not None and t.requires_grad for _, _, t, _, _ in self._counted) or any(
            holder[name].requires_grad for holder, name, _ in self._compared
        )


def _equal(tensor: Any, copy: Any) -> bool:
    return (
        isinstance(tensor, torch.Tensor)
        and tensor.dtype == copy.dtype
        and tensor.device == copy.device
        and torch.equal(tensor, copy)
    )


def _tensors(module: torch.nn.Module) -> Iterator[tuple[dict[str, Any], str, Any]]:
    """Every parameter and buffer of a module, and where it stands: those of its parametrisations,
    or that its hooks make the weight from, are among them."""
    for part in module.modules():
        for holder in (part._parameters, part._buffers):
            for name, tensor in holder.items():
                yield holder, name, tensor
