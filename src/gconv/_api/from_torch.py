"""From PyTorch's modules to layers, without importing PyTorch.

A module is recognised by the names of its classes, and asked for nothing but attributes: whoever
has a module has imported PyTorch already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, NoReturn

from gconv._api.layers import Layer
from gconv._call.arrays import Array, detached
from gconv._call.geometry import Activation

NAME = "from_torch"
DTYPES = ("torch.float32", "torch.float64")

#: The activations that gconv has, by PyTorch's names for them.
ACTIVATIONS: dict[str, Callable[[Any], Activation]] = {
    "ReLU": lambda module: "relu",
    "ReLU6": lambda module: _clip(module),
    "Hardtanh": lambda module: _clip(module),
    "LeakyReLU": lambda module: ("leaky_relu", module.negative_slope),
    "Sigmoid": lambda module: "sigmoid",
    "Tanh": lambda module: "tanh",
    "SiLU": lambda module: "silu",
    "Hardsigmoid": lambda module: "hardsigmoid",
    "Hardswish": lambda module: "hardswish",
    "GELU": lambda module: _gelu(module),
}
#: Batch normalisations, by the dimensions of the convolutions that they may follow.
NORMS = {"BatchNorm1d": (1,), "BatchNorm2d": (2,), "BatchNorm3d": (3,), "SyncBatchNorm": (1, 2, 3)}
#: timm's batch normalisation, which holds the dropout and the activation that follow it.
NORM_ACT = "BatchNormAct2d"
#: What does nothing in evaluation.
DROPOUTS = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")

#: What decides what calling a module does; a class or an instance that has its own is refused.
METHODS = ("__call__", "_call_impl", "forward", "_conv_forward", "_output_padding", "__iter__")
#: Hooks defined here make a weight, and `_in_use` asks them for it.
WEIGHT_HOOKS = {
    "torch.nn.utils.weight_norm", "torch.nn.utils.spectral_norm", "torch.nn.utils.prune"
}


def from_torch(module: Any) -> Layer:
    """Make a layer from a convolution module of PyTorch, or from a block of one.

    Parameters
    ----------
    module : torch.nn.Module
        A ``torch.nn.Conv1d``, ``Conv2d``, ``Conv3d`` or another convolution that gconv has a
        layer for, of float32 or float64 and on the CPU; a lazy one once it has been called. Or
        a ``torch.nn.Sequential`` of such a convolution, a batch normalisation in evaluation mode
        and an activation that gconv has, in this order; the last two may be missing, while
        ``Identity``, dropout in evaluation mode and nested ``Sequential`` are looked through.
        It is left as it is.

    Returns
    -------
    Conv1d, Conv2d, Conv3d, ...
        The layer of the convolution's name, with copies of the weight and the bias that it
        computes with in evaluation: after weight normalisation, spectral normalisation, pruning
        or any other parametrisation. A batch normalisation is folded into them, see
        `Conv2d.fold_batch_norm`; an activation is the layer's.

    Raises
    ------
    TypeError
        Where the module is none of these; where what a call of it does was changed, by its class
        (that defines ``forward``, or whose ``forward`` was replaced), on the instance
        (``module.forward = ...``, ``module._conv_forward = ...``) or by a forward hook; or where
        its dtype is not supported.
    ValueError
        Where its parameters are not initialised yet, or are not on the CPU, or where a batch
        normalisation is in training mode or has no running statistics.

    Notes
    -----
    Whether a convolution is in training mode does not matter. Backward hooks, and hooks that
    PyTorch calls for every module, are not looked at.

    Examples
    --------
    >>> import gconv
    >>> try:
    ...     import torch
    ... except ImportError:
    ...     pass
    ... else:
    ...     module = torch.nn.Conv2d(3, 9, 3, padding=1, groups=3)
    ...     layer = gconv.from_torch(module)
    ...     assert layer.out_shape((3, 64, 64)) == (9, 64, 64)
    ...     block = torch.nn.Sequential(module, torch.nn.BatchNorm2d(9), torch.nn.ReLU())
    ...     layer = gconv.from_torch(block.eval())
    ...     assert "activation='relu'" in repr(layer)
    """
    return layer_of(parts_of(members(module, "module"), module))


class Parts(NamedTuple):
    """What a layer is made from: modules with the expressions that find them."""

    convolution: tuple[str, Any, type[Layer]]
    norm: tuple[str, Any, tuple[int, ...]] | None
    activation: Activation | None


def parts_of(members: Iterable[tuple[str, Any, type]], module: Any) -> Parts:
    """The parts among the members of a module, or among modules that follow one another."""
    convolution: tuple[str, Any, type[Layer]] | None = None
    norm: tuple[str, Any, tuple[int, ...]] | None = None
    activation: Activation | None = None
    for where, member, of in members:
        name = of.__name__
        if name in DROPOUTS:
            if member.training and member.p > 0:
                raise ValueError(
                    f"{NAME}: {where}, a {_name(class_of(member))}, is in training mode and drops "
                    "values; call module.eval() first"
                )
        elif name in layers() and not convolution:
            convolution = where, member, layers()[name]
        elif name in NORMS and convolution and not norm and not activation:
            norm = where, member, NORMS[name]
        elif name in ACTIVATIONS and convolution and not activation:
            activation = ACTIVATIONS[name](member)
        elif name != "Identity":
            _refuse(where, member)
    if convolution is None:
        _refuse("module", module, " without a convolution")
    return Parts(convolution, norm, activation)


def layer_of(parts: Parts) -> Layer:
    """The layer that does what the parts do one after the other."""
    layer = _layer(*parts.convolution, parts.activation)
    return layer if parts.norm is None else _folded(layer, *parts.norm)


def layers() -> dict[str, type[Layer]]:
    """The layers that PyTorch has modules for, by their common name."""
    import gconv  # here, because it imports this module

    names = [f"Conv{kind}{dims}d" for kind in ("", "Transpose") for dims in (1, 2, 3)]
    return {name: getattr(gconv, name) for name in names if hasattr(gconv, name)}


def _homes() -> dict[str, str]:
    """Where PyTorch defines the classes that are recognised, by their names."""
    homes: dict[str, Iterable[str]] = {
        "conv": layers(), "batchnorm": NORMS, "activation": ACTIVATIONS, "dropout": DROPOUTS,
        "linear": ("Identity",), "container": ("Sequential",),
    }
    found = {name: f"torch.nn.modules.{home}" for home, names in homes.items() for name in names}
    return {**found, NORM_ACT: "timm.layers.norm_act"}


# ---- what a module does ------------------------------------------------------------------------


def class_of(module: Any) -> type:
    """The class of a module; where `gconv.torch` has exchanged it, the one that it had."""
    of = type(module)
    original: type = getattr(of, "_gconv_original", of)
    return original


def members(module: Any, where: str, hooks: bool = False) -> Iterator[tuple[str, Any, type]]:
    """The module, or the members of a (nested) Sequential: for each the expression that finds it
    and the one of its classes that is PyTorch's own. All of them do what that class does.
    `hooks` says that forward hooks may be there, since they are called all the same."""
    homes = _homes()
    for of in class_of(module).__mro__:
        if homes.get(of.__name__) == of.__module__:
            break
    else:
        _refuse(where, module)
    _check_methods(module, where, of)
    if not hooks:
        _check_hooks(module, where)
    if of.__name__ == "Sequential":
        for index, member in enumerate(module._modules.values()):
            yield from members(member, f"{where}[{index}]")
    elif of.__name__ == NORM_ACT:
        yield where, module, of.__mro__[1]
        for name in ("drop", "act"):
            yield from members(getattr(module, name), f"{where}.{name}")
    else:
        yield where, module, of


def _refuse(where: str, module: Any, without: str = "") -> NoReturn:
    got = f"got {_name(class_of(module))}{without}"
    if where != "module":
        got = f"but {where} is a {_name(class_of(module))}"
    raise TypeError(
        f"{NAME}: module must be a torch.nn.{', '.join(layers())} (or of a subclass), or a "
        "torch.nn.Sequential of one, a batch normalisation and an activation "
        f"({', '.join(ACTIVATIONS)}) in this order, the last two optional, {got}"
    )


def _check_methods(module: Any, where: str, of: type) -> None:
    """Refuse a module whose class, or which itself, computes something else than `of`."""
    kind = class_of(module)
    for method in METHODS:
        owner = next((c for c in kind.__mro__ if method in vars(c)), None)
        if owner is None:
            continue
        if owner not in of.__mro__:
            raise TypeError(
                f"{NAME}: {_at(where)}{_name(kind)} is not a plain torch.nn."
                f"{of.__name__}: {_name(owner)} defines its own {method}, whose meaning a layer "
                "would lose"
            )
        function = vars(owner)[method]
        home = of.__module__ if of.__name__ == NORM_ACT else "torch."
        if not getattr(function, "__module__", "").startswith((home, "torch.")):
            raise TypeError(
                f"{NAME}: {where}: {method} of {_name(owner)} was replaced by "
                f"{_name_of(function)}, whose meaning a layer would lose"
            )
    for attribute in ("_compiled_call_impl", *METHODS):
        own = vars(module).get(attribute)
        method = "_call_impl" if attribute == "_compiled_call_impl" else attribute
        # Python looks up methods with two underscores in the class alone.
        if own is None or attribute.startswith("__") or not hasattr(kind, method):
            continue
        # `module.compile()` changes nothing, and what was set may be the class's own method again.
        meant = getattr(own, "_torchdynamo_orig_callable", own)
        if meant not in (
            getattr(kind, method).__get__(module), getattr(type(module), method).__get__(module)
        ):
            raise TypeError(
                f"{NAME}: {where} has its own {attribute}, set on the instance "
                f"({_name_of(own)}), whose meaning a layer would lose; delete it, or do what it "
                "does around the layer"
            )


def _check_hooks(module: Any, where: str) -> None:
    """Refuse forward hooks, but for those that make a weight or initialise a lazy module."""
    for kind in ("pre-hook", "hook"):
        hooks = getattr(module, f"_forward_{kind.replace('-', '_')}s", {})
        for hook in hooks.values():
            home = getattr(getattr(hook, "__func__", None), "__module__", None)
            makes_weight = kind == "pre-hook" and (
                not WEIGHT_HOOKS.isdisjoint(of.__module__ for of in type(hook).__mro__)
                or home == "torch.nn.modules.lazy"
            )
            if not makes_weight:
                raise TypeError(
                    f"{NAME}: {where}, a {_name(class_of(module))}, has a forward {kind}, "
                    f"{_name_of(hook)}, whose work a layer would lose; remove it, or do what it "
                    "does around the layer"
                )


def _clip(module: Any) -> Activation:
    bounds = float(module.min_val), float(module.max_val)
    return "relu6" if bounds == (0, 6) else ("clip", *bounds)


def _gelu(module: Any) -> Activation:
    forms = {"none": "gelu", "tanh": "gelu_tanh"}
    if module.approximate not in forms:
        raise ValueError(
            f"{NAME}: approximate of a {_name(type(module))} must be one of "
            f"{', '.join(map(repr, forms))}, got {module.approximate!r}"
        )
    return forms[module.approximate]


# ---- what a layer is made of -------------------------------------------------------------------


def _layer(
    where: str, module: Any, layer: type[Layer], activation: Activation | None
) -> Layer:
    options = {name: getattr(module, name) for name in ("stride", "padding", "dilation", "groups")}
    if module.padding_mode != "zeros":
        # What such a module pads, last dimension first, whatever `padding` was set to since.
        around = module._reversed_padding_repeated_twice
        options["padding"] = tuple(zip(around[::2], around[1::2], strict=True))[::-1]
        options["padding_mode"] = module.padding_mode
    if any(module.output_padding):  # of transposed convolutions; the others have zeros
        options["output_padding"] = module.output_padding
    weight = _array(where, module, "weight")
    bias = None if module.bias is None else _array(where, module, "bias")
    return layer(weight, bias, activation=activation, **options)


def _folded(layer: Layer, where: str, norm: Any, dimensions: tuple[int, ...]) -> Layer:
    """The layer with a batch normalisation folded into its weights."""
    what = f"{NAME}: {where}, a {_name(class_of(norm))},"
    if layer.dimensions not in dimensions:
        raise TypeError(f"{what} cannot follow a {type(layer).__name__}")
    if norm.training:
        raise ValueError(
            f"{what} is in training mode, in which it normalises by the statistics of the batch; "
            "call module.eval() first"
        )
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError(
            f"{what} has no running statistics (track_running_stats=False): it normalises by "
            "those of the batch, which no layer can"
        )
    channels = layer._parameters.out_channels
    if norm.num_features != channels:
        raise ValueError(
            f"{what} has {norm.num_features} features, but the convolution before it has "
            f"{channels} output channels"
        )
    statistics = {}
    for name in ("running_mean", "running_var", "weight", "bias"):
        if getattr(norm, name) is not None:  # without affine=True the last two are
            array = statistics[name.removeprefix("running_")] = _array(where, norm, name)
            if array.dtype != layer.weight.dtype:
                raise TypeError(
                    f"{what} must be of the convolution's dtype {layer.weight.dtype}, but its "
                    f"{name} is {array.dtype}"
                )
    return layer.fold_batch_norm(**statistics, eps=norm.eps)


def _array(where: str, module: Any, name: str) -> Array:
    """A parameter or a buffer in use, as an array that may share the module's memory."""
    tensor = _in_use(module, name)
    what = f"{NAME}: {_at(where)}{name}"
    if type(tensor).__name__ in ("UninitializedParameter", "UninitializedBuffer"):
        raise ValueError(
            f"{what} is not initialised yet; call the {_name(class_of(module))} once, or "
            "load its state"
        )
    if tensor.device.type != "cpu":
        raise ValueError(
            f"{what} must be on the CPU, but is on device {str(tensor.device)!r}"
        )
    if str(tensor.dtype) not in DTYPES:
        hint = (
            "make two layers by hand, of its real and its imaginary part"
            if tensor.is_complex()
            else "convert the module with module.float()"
        )
        raise TypeError(f"{what} must be of {' or '.join(DTYPES)}, got {tensor.dtype}; {hint}")
    array: Array = detached(tensor).numpy()
    return array


def _in_use(module: Any, name: str) -> Any:
    """The tensor that the module would compute with in evaluation.

    What normalises or prunes a tensor does so either as a hook before each call, or as a
    parametrisation on each access; in training, spectral normalisation changes its own state on
    the way. So hooks are asked for their result, and parametrisations in evaluation mode.
    """
    for hook in module._forward_pre_hooks.values():
        kinds = {of.__module__: of.__name__ for of in type(hook).__mro__}
        if getattr(hook, "name", None) == name:
            if "torch.nn.utils.weight_norm" in kinds:
                return hook.compute_weight(module)
            if "torch.nn.utils.spectral_norm" in kinds:
                return hook.compute_weight(module, do_power_iteration=False)
        if "torch.nn.utils.prune" in kinds and hook._tensor_name == name:
            return hook.apply_mask(module)
    parametrizations = getattr(module, "parametrizations", {})
    if name in parametrizations:
        import copy  # here, because few modules need it

        return copy.deepcopy(parametrizations[name]).eval()()
    return getattr(module, name)


# ---- words -------------------------------------------------------------------------------------


def _at(where: str) -> str:
    """What stands before the name of a member's attribute."""
    return "" if where == "module" else f"{where}: "


def _name(of: Any) -> str:
    return f"{of.__module__}.{of.__qualname__}"


def _name_of(function: Any) -> str:
    """The name of a function, or of the class of another thing that can be called."""
    return _name(function if hasattr(function, "__qualname__") else type(function))
