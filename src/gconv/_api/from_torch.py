"""From PyTorch's convolution modules to layers, without importing PyTorch.

A module is recognised by the names of its classes, and asked for nothing but attributes: whoever
has a module has imported PyTorch already.
"""

from __future__ import annotations

from typing import Any

from gconv._api.layers import Layer
from gconv._call.arrays import Array

NAME = "from_torch"
HOME = "torch.nn.modules.conv"  # where PyTorch's convolution classes are defined
DTYPES = ("torch.float32", "torch.float64")


def from_torch(module: Any) -> Layer:
    """Make a layer from a convolution module of PyTorch.

    Parameters
    ----------
    module : torch.nn.Module
        A ``torch.nn.Conv1d``, ``Conv2d``, ``Conv3d`` or another convolution that gconv has a
        layer for, of float32 or float64 and on the CPU; a lazy one once it has been called.
        It is left as it is.

    Returns
    -------
    Conv1d, Conv2d, Conv3d, ...
        The layer of the same name, with copies of the weight and the bias that the module
        computes with in evaluation: after weight normalisation, spectral normalisation, pruning
        or any other parametrisation.

    Raises
    ------
    TypeError
        Where the module is no such convolution, where its class computes something of its own
        (defines ``forward``), or where its dtype is not supported.
    ValueError
        Where its parameters are not initialised yet, or are not on the CPU.

    Notes
    -----
    Whether the module is in training mode does not matter. Hooks that a program registered on
    the module do not come along.

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
    """
    layer = _layer_for(module)
    options = {name: getattr(module, name) for name in ("stride", "padding", "dilation", "groups")}
    if module.padding_mode != "zeros":
        options["padding_mode"] = module.padding_mode
    if any(module.output_padding):  # of transposed convolutions; the others have zeros
        options["output_padding"] = module.output_padding
    weight = _array(module, "weight")
    bias = None if module.bias is None else _array(module, "bias")
    return layer(weight, bias, **options)


def layers() -> dict[str, type[Layer]]:
    """The layers that PyTorch has modules for, by their common name."""
    import gconv  # here, because it imports this module

    names = [f"Conv{kind}{dims}d" for kind in ("", "Transpose") for dims in (1, 2, 3)]
    return {name: getattr(gconv, name) for name in names if hasattr(gconv, name)}


def _layer_for(module: Any) -> type[Layer]:
    """The layer for a module, by the first of its classes that is one of PyTorch's."""
    known = layers()
    for of in type(module).__mro__:
        if of.__module__ == HOME and of.__name__ in known:
            break
    else:
        raise TypeError(
            f"{NAME}: module must be a torch.nn.{', '.join(known)} (or of a subclass), got "
            f"{_name(type(module))}"
        )
    for method in ("forward", "_conv_forward"):
        owner = next((c for c in type(module).__mro__ if method in vars(c)), of)
        if owner.__module__ != HOME:
            raise TypeError(
                f"{NAME}: {_name(type(module))} is not a plain torch.nn.{of.__name__}: "
                f"{_name(owner)} defines its own {method}, whose meaning a layer would lose"
            )
    return known[of.__name__]


def _array(module: Any, name: str) -> Array:
    """The weight or the bias in use, as an array that may share the module's memory."""
    tensor = _in_use(module, name)
    if type(tensor).__name__ in ("UninitializedParameter", "UninitializedBuffer"):
        raise ValueError(
            f"{NAME}: {name} is not initialised yet; call the {_name(type(module))} once, or "
            "load its state"
        )
    if tensor.device.type != "cpu":
        raise ValueError(
            f"{NAME}: {name} must be on the CPU, but is on device {str(tensor.device)!r}"
        )
    if str(tensor.dtype) not in DTYPES:
        raise TypeError(
            f"{NAME}: {name} must be of {' or '.join(DTYPES)}, got {tensor.dtype}; "
            "convert the module with module.float()"
        )
    array: Array = tensor.detach().numpy()
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


def _name(of: type) -> str:
    return f"{of.__module__}.{of.__qualname__}"
