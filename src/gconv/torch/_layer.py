"""A convolution module, with what follows it, on gconv: tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import torch
from torch._prims_common import suggest_memory_format

from gconv._api import from_torch
from gconv._api.layers import Layer
from gconv.torch._memory import empty
from gconv.torch._swap import STATE
from gconv.torch._watch import Watch

#: What modules read at every call besides their tensors.
SETTINGS = (
    "stride", "padding", "dilation", "groups", "padding_mode", "output_padding",
    "_reversed_padding_repeated_twice", "eps", "min_val", "max_val", "negative_slope",
    "approximate",
)
#: Shapes and strides of inputs that are remembered.
MOST_SHAPES = 64
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}

Shape = tuple[int, ...]


class Refused(Exception):
    """Why a module is left to PyTorch."""


class TorchLayer:
    """What a convolution module and its followers compute, by a layer of gconv.

    The layer is made again where a tensor or a setting has changed.

    Parameters
    ----------
    modules : sequence of torch.nn.Module
        A convolution, and what follows it: a batch normalisation and an activation at most.
    """

    __slots__ = ("_layers", "_read", "_ready", "_settings", "_watch", "dtype", "modules")

    def __init__(self, modules: Sequence[torch.nn.Module]) -> None:
        self.modules = tuple(modules)
        self._read: list[tuple[dict[str, Any], Callable[[dict[str, Any]], Any]]] = []
        self._watch: Watch | None = None
        self._layers: dict[bool, Layer] = {}
        self._ready: dict[tuple[Shape, Shape], Any] = {}
        self.dtype: torch.dtype | None = None

    def make(self) -> None:
        """Make the layer from what the modules are now.

        Raises
        ------
        Refused
            Where gconv cannot do what they do, with the reason.
        """
        self._watch = None
        self._layers.clear()
        self._ready.clear()
        parts = [part for module in self.modules for part in module.modules()]
        names = [[name for name in SETTINGS if name in vars(part)] for part in parts]
        self._read = [
            (vars(part), itemgetter(*few))
            for part, few in zip(parts, names, strict=True) if few
        ]
        settings = self._settings_now()
        watch = Watch(self.modules)
        layer = self._new_layer()
        self._layers[True] = layer
        self.dtype = torch.float32 if layer.weight.dtype.name == "float32" else torch.float64
        self._settings, self._watch = settings, watch

    def __call__(self, x: Any) -> Any:
        """The result for x, a plain tensor of the layer's dtype on the CPU.

        None where PyTorch has to compute it: where a gradient is wanted, where the layer could not
        be made, or where x is not what the convolution takes.
        """
        watch = self._watch
        if watch is None or self._settings != self._settings_now() or watch.changed():
            try:
                self.make()
            except Refused:
                return None
            watch = self._watch
            assert watch is not None
        if x.dtype is not self.dtype or (
            torch.is_grad_enabled() and (x.requires_grad or watch.requires_grad())
        ):
            return None
        key = x.shape, x.stride()
        way = self._ready.get(key)
        if way is None:
            way = self._way_for(x)
            if way is None:
                return None
            if len(self._ready) >= MOST_SHAPES:
                self._ready.clear()
            self._ready[key] = way
        layer, shape, strides, size, order = way
        if order is not None:
            x = x.contiguous(memory_format=order)
        try:
            array = x.numpy()
        except (RuntimeError, TypeError):  # a negated view, a sparse tensor and their like
            return None
        y = empty(shape, strides, x.dtype, size)
        layer(array, out=y.numpy(), num_threads=torch.get_num_threads())
        return y

    def _settings_now(self) -> list[Any]:
        settings = [read(holder) for holder, read in self._read]
        state = self.modules[0].__dict__.get(STATE)
        if state is not None:
            settings.append(state.recorded)
        return settings

    def _new_layer(self) -> Layer:
        convolution, *followers = self.modules
        try:
            members = [*from_torch.members(convolution, "module", hooks=True)]
            for follower in followers:
                members += from_torch.members(follower, "what follows it")
            parts = from_torch.parts_of(members, convolution)
            _check_weight(convolution)
            return from_torch.layer_of(parts)
        except (TypeError, ValueError) as error:
            raise Refused(str(error).removeprefix(f"{from_torch.NAME}: ")) from error

    def _way_for(self, x: Any) -> Any:
        """The layer for such an x, shape, strides and bytes of the result, and the memory order
        that x has to be brought to; None where PyTorch refuses x."""
        y = _like_theirs(self.modules[0], x)
        if y is None:
            return None
        order = CHANNELS_LAST.get(x.ndim)
        x_last = order is not None and x.is_contiguous(memory_format=order)
        y_last = order is not None and y.is_contiguous(memory_format=order)
        wanted = None
        if not (x_last and y_last):
            if y_last and not y.is_contiguous():
                wanted = order
            elif not (x.is_contiguous() or (x.ndim > 1 and x.shape[0] and x[0].is_contiguous())):
                wanted = torch.contiguous_format
        last = wanted is order if wanted is not None else x_last and not x.is_contiguous()
        if last not in self._layers:
            self._layers.setdefault(last, self._new_layer())
        return self._layers[last], tuple(y.shape), y.stride(), y.nbytes, wanted


def _check_weight(module: Any) -> None:
    """Refuse a weight that something unknown sets before each call."""
    known = ("torch.nn.utils.weight_norm", "torch.nn.utils.spectral_norm", "torch.nn.utils.prune")
    for name in ("weight", "bias"):
        if name in vars(module) and not any(
            of.__module__ in known
            for hook in module._forward_pre_hooks.values()
            for of in type(hook).__mro__
        ):
            raise Refused(f"its {name} is no parameter, and what sets it is unknown")


def _like_theirs(module: Any, x: Any) -> Any:
    """What PyTorch's convolution of x is like, on the device without memory; None where PyTorch
    refuses x."""
    def meta(tensor: Any) -> Any:
        return None if tensor is None else torch.empty(
            tensor.shape, dtype=tensor.dtype, device="meta")

    weight, bias = module.weight, module.bias
    try:
        with torch.no_grad():
            inputs = meta(x), meta(weight), meta(bias)
            if module.transposed:
                function = getattr(torch.nn.functional, f"conv_transpose{len(module.stride)}d")
                y = function(*inputs, module.stride, module.padding, module.output_padding,
                             module.groups, module.dilation)
            else:
                y = module._conv_forward(*inputs)
            order = torch.contiguous_format
            if memory_format(x, weight) is not order:
                # Which of PyTorch's own ways it goes, since not all of them keep that order.
                padding = [0] * len(module.stride)
                if module.padding_mode == "zeros" and not isinstance(module.padding, str):
                    padding = module.padding
                backend = torch._C._select_conv_backend(
                    x, weight, bias, module.stride, padding, module.dilation, module.transposed,
                    module.output_padding, module.groups, None if bias is None else bias.shape)
                order = torch._C._conv_determine_backend_memory_format(x, weight, backend)
    except (RuntimeError, TypeError, ValueError):
        return None
    return torch.empty_like(y, memory_format=order)


def memory_format(x: Any, weight: Any) -> torch.memory_format:
    """The memory order in which gconv's operators return their result, and most of PyTorch's."""
    if x.ndim == weight.ndim and x.ndim in CHANNELS_LAST and CHANNELS_LAST[x.ndim] in (
        suggest_memory_format(x), suggest_memory_format(weight)
    ):
        return CHANNELS_LAST[x.ndim]
    return torch.contiguous_format
