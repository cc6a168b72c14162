"""What modules do whose class has been exchanged.

A convolution runs on gconv where nothing that gconv lacks is asked for, and as PyTorch's own
elsewhere. What follows a convolution directly, a batch normalisation or an activation, is fused
into it where a *block*, the module whose forward calls both, is seen to hand the one's result to
the other alone. While such a block runs, the convolution computes all of it and marks its result,
and the modules that it has done the work of pass a marked tensor on. So each of them still does
its own work for everybody else who calls it.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, NamedTuple

import torch
from torch.nn.modules import module as hooks
from torch.nn.modules.conv import _ConvTransposeNd

from gconv.torch import _operators
from gconv.torch._layer import Refused, TorchLayer
from gconv.torch._pool import TorchPool
from gconv.torch._swap import Swapped

#: The attribute of a result that says which modules are to pass it on.
REST = "_gconv_rest"

_PLAIN = (torch.Tensor, torch.nn.Parameter)
_is_compiling = torch.compiler.is_compiling
_is_autocast_enabled = torch.is_autocast_enabled
_tracing_state = torch._C._get_tracing_state
_dispatch_modes = torch._C._len_torch_dispatch_stack
_function_mode = torch._C._is_torch_function_mode_enabled
_transforms = torch._C._functorch.peek_interpreter_stack
_forward_ad = torch.autograd.forward_ad


class _Running(threading.local):
    """The block whose forward this thread is in, and how many results are marked."""

    def __init__(self) -> None:
        self.block: BlockState | None = None
        self.marked = 0
        # The same for what torch.compile traces, in which results cannot be marked: the block, and
        # its results so far, each with the modules that are to pass it on.
        self.traced: torch.nn.Module | None = None
        self.results: tuple[tuple[torch.Tensor, tuple[torch.nn.Module, ...]], ...] = ()


_running = _Running()


def _is_plain(x: Any) -> bool:
    """Whether a call is no more than a computation on a tensor in this CPU's memory: nothing
    traces, transforms or records it, or wants another precision."""
    return (
        type(x) in _PLAIN
        and x.is_cpu
        and not _is_autocast_enabled("cpu")
        and _tracing_state() is None
        and not _dispatch_modes()
        and not _function_mode()
        and _transforms() is None
        and _forward_ad._current_level < 0
    )


# ---- convolutions ------------------------------------------------------------------------------


class LayerState:
    """How a module runs on gconv."""

    __slots__ = ("layer",)
    kind: ClassVar[type[TorchLayer] | type[TorchPool]]

    def __init__(self, module: torch.nn.Module) -> None:
        self.layer = self.kind([module])

    def for_copy(self, module: torch.nn.Module) -> LayerState:
        """The state of a shallow copy."""
        return type(self)(module)

    def __deepcopy__(self, memo: dict[int, Any]) -> LayerState:
        return type(self)(copy.deepcopy(self.layer.modules[0], memo))


class ConvolutionState(LayerState):
    """How a convolution module runs on gconv."""

    __slots__ = ("recorded",)
    kind = TorchLayer

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__(module)
        self.recorded = 0  # calls of PyTorch's own code that gradients may come from


class Convolution(Swapped):
    """A convolution that runs on gconv where it may."""

    def call(self: Any, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if _is_compiling():
            return _compiled(self, forward, *args, **kwargs)
        if len(args) != 1 or kwargs or self.training or not _is_plain(args[0]):
            return _theirs(self, forward, *args, **kwargs)
        block = _running.block
        if block is not None:
            chain = block.chains.get(self)
            if chain is not None and chain.is_unseen():
                y = chain.layer(args[0])
                if y is not None:
                    setattr(y, REST, chain.followers)
                    _running.marked += 1
                    return y
        y = self._gconv.layer(args[0])
        return _theirs(self, forward, *args) if y is None else y


def _theirs(self: Any, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """PyTorch's own code. What is computed from its gradients may change the weights in ways that
    nobody counts, as optimisers with kernels of their own do: the layer is made again then."""
    if torch.is_grad_enabled():
        self._gconv.recorded += 1
    return forward(self, *args, **kwargs)


def _compiled(self: Any, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The same as an operator, for torch.compile and torch.export."""
    if len(args) != 1 or kwargs or self.training:
        return forward(self, *args, **kwargs)
    (x,) = args
    weight, bias = self.weight, self.bias
    if (
        x.device.type != "cpu"
        or x.dtype != weight.dtype
        or x.dtype not in (torch.float32, torch.float64)
        or torch.is_autocast_enabled("cpu")
        or torch.onnx.is_in_onnx_export()
        or (torch.is_grad_enabled() and (
            x.requires_grad or weight.requires_grad
            or (bias is not None and bias.requires_grad)))
    ):
        return forward(self, x)
    # torch.compile looks at what is read here again at every call: the less, the better.
    transposed = isinstance(self, _ConvTransposeNd)
    stride = self.stride
    name = f"conv{'_transpose' if transposed else ''}{len(stride)}d"
    batched = x.ndim == len(stride) + 2
    padding = self.padding
    if self.padding_mode != "zeros":
        x = torch.nn.functional.pad(
            x, self._reversed_padding_repeated_twice, mode=self.padding_mode)
        padding = 0
    numbers = {"stride": stride, "dilation": self.dilation}
    if transposed:
        numbers["output_padding"] = self.output_padding
    x, numbers = _operators.operands(name, x, weight, padding, **numbers)
    norm, activation, followers = _followers_of(self) if batched else (None, "", ())
    tensors = {"weight": weight, "bias": bias}
    if norm is not None:
        tensors["mean"], tensors["var"] = norm.running_mean, norm.running_var
        tensors["scale"], tensors["shift"] = norm.weight, norm.bias
        tensors["batches"] = norm.num_batches_tracked
    names = [key for key, tensor in tensors.items() if tensor is not None]
    y = torch.ops.gconv.convolution(
        x, [tensors[key] for key in names], 0.0 if norm is None else norm.eps,
        _operators.description(name, numbers, self.groups, names, activation))
    if followers:
        _running.results = (*_running.results, (y, followers))
    return y if batched else y.squeeze(0)


def _followers_of(convolution: Any) -> tuple[Any, str, tuple[torch.nn.Module, ...]]:
    """The normalisation, if any, and the activation that are fused into a convolution, and the
    modules that are then to pass on its result."""
    block: Any = _running.traced
    nothing = None, "", ()
    if block is None:
        return nothing
    for text in block._gconv.traced.splitlines():
        name, norm, activation, *parts = text.split(" ")
        if _part(block, name) is convolution:
            break
    else:
        return nothing
    if len(convolution._forward_hooks):
        return nothing
    followers = []
    while parts:
        name, kind, settings, *parts = parts
        part = _part(block, name)
        if (
            type(part) is not _kinds[kind] or len(part._forward_hooks)
            or len(part._forward_pre_hooks)
            # torch.compile looks again at an attribute, but not at the __dict__ alone.
            or (hasattr(part, "forward") and "forward" in vars(part))
        ):
            return nothing
        for setting in settings.split(";")[:-1]:
            key, _, value = setting.partition("=")
            now = getattr(part, key)
            # As numbers: torch.compile does not look again at the text of a float.
            if now != (value if isinstance(now, str) else float(value)):
                return nothing
        if isinstance(part, Follower):
            followers.append(part)
    normalisation = _part(block, norm) if norm else None
    if normalisation is not None and not _is_fixed(normalisation):
        return nothing
    return normalisation, activation, tuple(followers)


def _is_fixed(norm: Any) -> bool:
    """Whether a normalisation has statistics of its own, and no parameter wants a gradient."""
    if norm.running_mean is None or norm.running_var is None:
        return False
    return not torch.is_grad_enabled() or not any(
        parameter is not None and parameter.requires_grad
        for parameter in (norm.weight, norm.bias))


def _part(module: Any, path: str) -> Any:
    """A module's part, as `get_submodule` finds it, which reads more than is needed."""
    for name in path.split("."):
        module = getattr(module, name)
    return module


# ---- pools -------------------------------------------------------------------------------------


class PoolState(LayerState):
    """How a pooling module runs on gconv."""

    __slots__ = ()
    kind = TorchPool


class Pool(Swapped):
    """A max or average pooling that runs on gconv where it may."""

    def call(self: Any, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if _is_compiling() or len(args) != 1 or kwargs or not _is_plain(args[0]):
            return forward(self, *args, **kwargs)
        y = self._gconv.layer(args[0])
        return forward(self, *args) if y is None else y


# ---- what follows a convolution ----------------------------------------------------------------


class FollowerState:
    """A module whose work a convolution may have done needs to know nothing."""

    def for_copy(self, module: torch.nn.Module) -> FollowerState:
        """The state of a shallow copy."""
        return self


class Follower(Swapped):
    """A batch normalisation or an activation, which passes on what has been through it."""

    def call(self: Any, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        results = _running.results
        if results:
            for number, (result, followers) in enumerate(results):
                if len(args) == 1 and args[0] is result and followers[0] is self:
                    rest = ((result, followers[1:]),) if len(followers) > 1 else ()
                    _running.results = results[:number] + rest + results[number + 1 :]
                    return result
        elif not _is_compiling() and len(args) == 1:
            marked = getattr(args[0], REST, None)
            if marked is not None and marked[0] is self:
                if len(marked) > 1:
                    setattr(args[0], REST, marked[1:])
                else:
                    delattr(args[0], REST)
                    _running.marked -= 1
                return args[0]
        return forward(self, *args, **kwargs)


class Chain:
    """A convolution and its followers, which a block calls one after the other.

    Parameters
    ----------
    modules : sequence of torch.nn.Module
        The convolution first.
    places : sequence of (dict, str)
        Where the block finds each of them.
    """

    __slots__ = ("_inner", "_modal", "_places", "followers", "layer", "modules")

    def __init__(
        self, modules: Sequence[Any], places: Sequence[tuple[dict[str, Any], str]]
    ) -> None:
        self.modules = tuple(modules)
        self.followers = self.modules[1:]
        self.layer = TorchLayer(modules)
        # A follower may have modules of its own, as timm's batch normalisations do.
        inner = [part for module in self.followers for part in module.modules()]
        self._inner = [vars(part) for part in inner]
        self._places = [(*place, module) for place, module in zip(places, modules, strict=True)]
        self._places += [
            (part._modules, name, child)
            for part in inner for name, child in part._modules.items()
        ]
        self._modal = [vars(part) for part in inner if _is_modal(part)]

    def is_unseen(self) -> bool:
        """Whether nobody looks at what lies between the modules, and all of them are as they were
        when they were fused."""
        if (
            hooks._global_forward_hooks or hooks._global_forward_pre_hooks
            or self.modules[0]._forward_hooks
        ):
            return False
        for holder, name, module in self._places:
            if holder.get(name) is not module:
                return False
        for own in self._inner:
            if own["_forward_hooks"] or own["_forward_pre_hooks"] or "forward" in own:
                return False
        return all(not own["training"] for own in self._modal)

    def works(self) -> bool:
        """Whether gconv can do what the modules do together."""
        with suppress(Refused):
            self.layer.make()
            return True
        return False


# ---- blocks ------------------------------------------------------------------------------------


class Link(NamedTuple):
    """What a block calls one after the other, by the names that it finds them by.

    `traced` is the same for torch.compile (`traced_link`), "" where it is not to be fused there.
    """

    names: tuple[str, ...]
    traced: str = ""


# The classes of followers and their parts, which `Link.traced` names.
_kinds: dict[str, Any] = {}
# What decides what an activation computes.
_ACTIVATION_SETTINGS = "min_val", "max_val", "negative_slope", "approximate"


def traced_link(block: torch.nn.Module, link: Link, norm: str, activation: str) -> Link:
    """A link with what torch.compile has to know about it.

    That is one text, since a text is one thing to look at at every call of a compiled model, and a
    tuple or a class as many as it has members: the names of the convolution and of the
    normalisation, gconv's name for the activation, and for each follower and its parts the name,
    the class, and the settings that the operator does not look at itself.

    Parameters
    ----------
    block : torch.nn.Module
        The block, its modules exchanged.
    link : Link
    norm : str
        The name of what normalises; "" if nothing does.
    activation : str
        gconv's name for it; "" for none.
    """
    words = [link.names[0], norm, activation]
    for name in link.names[1:]:
        for inner, part in block.get_submodule(name).named_modules(prefix=name):
            kind: Any = type(part)
            word = f"{kind.__module__}.{kind.__qualname__}:{id(kind)}"
            _kinds[word] = kind
            settings = [
                f"{key}={getattr(part, key)};" for key in _ACTIVATION_SETTINGS if key in vars(part)
            ]
            settings += ["training=0;"] if _is_modal(part) else []
            words += [inner, word, "".join(settings)]
    text = " ".join(words)
    return link._replace(traced=text if len(text.split()) == sum(map(bool, words)) else "")


def _is_modal(part: torch.nn.Module) -> bool:
    """Whether a module that may follow a convolution does something else in training mode."""
    return hasattr(part, "running_mean") or hasattr(part, "p")


class BlockState:
    """What a block hands from one module to the next.

    Parameters
    ----------
    block : torch.nn.Module
    links : sequence of Link
    arguments : int
        How many arguments the block takes, all of them by position: with others its forward may
        do something else than was seen.
    """

    def __init__(self, block: torch.nn.Module, links: Sequence[Link], arguments: int) -> None:
        self.block = block
        self.arguments = arguments
        self.set_links(links)

    def set_links(self, links: Sequence[Link]) -> None:
        """Change what the block calls one after the other."""
        self.links = [*links]
        self.traced = "\n".join(link.traced for link in links if link.traced)
        self._chains: dict[Any, Chain] | None = None

    @property
    def chains(self) -> dict[Any, Chain]:
        """The chains, by their convolutions."""
        if self._chains is None:
            made = [chain_of(self.block, link) for link in self.links]
            self._chains = {chain.modules[0]: chain for chain in made}
        return self._chains

    def for_copy(self, block: torch.nn.Module) -> BlockState:
        """The state of a shallow copy."""
        return BlockState(block, self.links, self.arguments)

    def __deepcopy__(self, memo: dict[int, Any]) -> BlockState:
        return BlockState(copy.deepcopy(self.block, memo), self.links, self.arguments)


def chain_of(block: torch.nn.Module, link: Link) -> Chain:
    """A chain of a block's modules."""
    modules, places = [], []
    for name in link.names:
        *path, last = name.split(".")
        holder = block.get_submodule(".".join(path))._modules
        modules.append(holder[last])
        places.append((holder, last))
    return Chain(modules, places)


class Block(Swapped):
    """A module whose forward calls convolutions and what is fused into them."""

    def call(self: Any, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        state = self._gconv
        if kwargs or len(args) != state.arguments:
            return forward(self, *args, **kwargs)
        if _is_compiling():
            outside = _running.traced, _running.results
            _running.traced, _running.results = self, ()
            try:
                result = forward(self, *args)
                if _running.results:
                    # Its forward has not called what follows a convolution: see below.
                    _running.traced, _running.results = None, ()
                    result = forward(self, *args)
                return result
            finally:
                _running.traced, _running.results = outside
        outer, marked = _running.block, _running.marked
        _running.block = state
        try:
            result = forward(self, *args)
            if _running.marked == marked:
                return result
        finally:
            _running.block, _running.marked = outer, marked
        # Its forward has not called what follows a convolution: it does not do any more what was
        # seen, and nothing is fused any more.
        state.set_links([])
        return forward(self, *args)
