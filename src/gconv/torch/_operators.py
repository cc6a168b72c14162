"""Convolutions as operators of PyTorch, which torch.compile, torch.export and autograd know.

Each takes a batch and the numbers of PyTorch's own operator. `convolution` is for replaced modules:
it knows what follows a convolution, and packs the weight once, and again where PyTorch has counted
a change. They are defined by `torch.library.Library`, since `torch.library.custom_op` puts more
Python around each call.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import torch

import gconv
from gconv._api.layers import Layer
from gconv.torch._layer import MOST_SHAPES, memory_format
from gconv.torch._memory import empty
from gconv.torch._watch import counted

FUNCTIONS = {
    f"conv{kind}{dims}d": getattr(gconv, f"conv{kind}{dims}d")
    for kind in ("", "_transpose") for dims in (1, 2, 3)
}
#: The numbers behind x, weight and bias, in the order of PyTorch's own functions.
NUMBERS = {
    False: ("stride", "padding", "dilation", "groups"),
    True: ("stride", "padding", "output_padding", "groups", "dilation"),
}

_library = torch.library.Library("gconv", "DEF")


class _Kept(NamedTuple):
    """A layer, what it was made from, and for shapes and strides of x those of the result."""

    weight: Any  # a weak reference
    text: str
    eps: float
    counts: list[tuple[int, int]] | None
    steps: list[int] | None
    layer: Layer
    ways: dict[Any, tuple[Any, ...]]


_kept: dict[int, _Kept] = {}  # by the identity of a weight


def _define(name: str, dims: int, transposed: bool) -> None:
    numbers = ", ".join(
        "int groups" if number == "groups" else f"int[{dims}] {number}"
        for number in NUMBERS[transposed]
    )
    _library.define(
        f"{name}(Tensor x, Tensor weight, Tensor? bias, {numbers}) -> Tensor",
        tags=(torch.Tag.pt2_compliant_tag,),
    )

    def named(numbers: tuple[Any, ...]) -> dict[str, Any]:
        # Tuples, since gconv keeps the way of a call for those alone.
        return {
            name: number if isinstance(number, int) else tuple(number)
            for name, number in zip(NUMBERS[transposed], numbers, strict=True)
        }

    def compute(x: Any, weight: Any, bias: Any, *numbers: Any) -> Any:
        options = named(numbers)
        y = _empty_result(x, weight, transposed, options)
        if y.numel() == 0:
            return y
        order = memory_format(x, weight)
        array, out = x.contiguous(memory_format=order).numpy(), y.numpy()
        FUNCTIONS[name](array, _array(weight), _array(bias), **options, out=out,
                        num_threads=torch.get_num_threads())
        return y

    def like(x: Any, weight: Any, bias: Any, *numbers: Any) -> Any:
        return _empty_result(x, weight, transposed, named(numbers))

    def save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, weight, bias, *numbers = inputs
        ctx.save_for_backward(x, weight)
        ctx.bias_size = None if bias is None else list(bias.shape)
        ctx.options = named(tuple(numbers))

    def backward(ctx: Any, gradient: Any) -> tuple[Any, ...]:
        x, weight = ctx.saved_tensors
        options = ctx.options
        wanted = [*ctx.needs_input_grad[:2], ctx.bias_size is not None and ctx.needs_input_grad[2]]
        gradients = torch.ops.aten.convolution_backward(
            gradient, x, weight, ctx.bias_size, options["stride"], options["padding"],
            options["dilation"], transposed, options.get("output_padding", [0] * dims),
            options["groups"], wanted,
        )
        return *gradients, *[None] * len(options)

    _library.impl(name, compute, "CPU")
    torch.library.register_fake(f"gconv::{name}", like, lib=_library)
    torch.library.register_autograd(f"gconv::{name}", backward, setup_context=save, lib=_library)


def _array(tensor: Any) -> Any:
    return None if tensor is None else tensor.detach().numpy()


def _empty_result(x: Any, weight: Any, transposed: bool, options: dict[str, Any]) -> Any:
    """A tensor for the result, on whichever device x is; its elements are not set."""
    kernel = weight.shape[2:]
    stride, padding, dilation = (options[name] for name in ("stride", "padding", "dilation"))
    groups = options["groups"]
    if x.ndim != weight.ndim or x.ndim != len(stride) + 2:
        raise RuntimeError(
            f"gconv: x and weight must have {len(stride) + 2} dimensions, got shapes "
            f"{list(x.shape)} and {list(weight.shape)}")
    if x.dtype != weight.dtype or x.dtype not in (torch.float32, torch.float64):
        raise RuntimeError(
            f"gconv: x and weight must both be float32 or both float64, got {x.dtype} and "
            f"{weight.dtype}")
    if transposed:
        channels = weight.shape[1] * groups
        size = [
            (n - 1) * s - 2 * p + d * (k - 1) + more + 1
            for n, s, p, d, k, more in zip(
                x.shape[2:], stride, padding, dilation, kernel, options["output_padding"],
                strict=True)
        ]
    else:
        channels = weight.shape[0]
        size = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, s, p, d, k in zip(x.shape[2:], stride, padding, dilation, kernel, strict=True)
        ]
    return torch.empty(
        (x.shape[0], channels, *size), dtype=x.dtype, device=x.device,
        memory_format=memory_format(x, weight))


for _name in FUNCTIONS:
    _define(_name, int(_name[-2]), "transpose" in _name)
del _name


# ---- for replaced modules ----------------------------------------------------------------------

# A call costs as much as its arguments: a list and a text that PyTorch's dispatcher passes on cost
# half as much as a dozen tensors, numbers and lists of numbers.
_library.define(
    "convolution(Tensor x, Tensor[] tensors, float eps, str description) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)


def description(
    name: str, numbers: Mapping[str, Any], groups: int, tensors: Sequence[str], activation: str
) -> str:
    """What the operator `convolution` is to compute.

    It has no place for eps, which torch.compile may leave open.

    Parameters
    ----------
    name : str
        PyTorch's function for the convolution.
    numbers : dict of str to sequence of int
        Its arguments, for each dimension.
    groups : int
    tensors : sequence of str
        What the operator gets, in this order: "weight" and, of "bias", "mean", "var", "scale" and
        "shift", those that there are. Others are only watched for changes.
    activation : str
        gconv's name for it; "" for none.
    """
    lists = [f"{key}={','.join([str(n) for n in values])}" for key, values in numbers.items()]
    return " ".join([
        name, *lists, f"groups={groups}", f"tensors={','.join(tensors)}",
        f"activation={activation}"])


@lru_cache(maxsize=4096)
def _described(text: str) -> tuple[str, dict[str, Any], list[str], str]:
    """The name, the arguments, the names of the tensors and the activation."""
    name, *items = text.split(" ")
    values = dict(item.split("=") for item in items)
    tensors, activation = values.pop("tensors"), values.pop("activation")
    options: dict[str, Any] = {"groups": int(values.pop("groups"))}
    for key, numbers in values.items():
        options[key] = tuple(map(int, numbers.split(",")))
    return name, options, tensors.split(","), activation


def _convolution(x: Any, tensors: Any, eps: float, text: str) -> Any:
    """The convolution of x, normalised and activated."""
    weight = tensors[0]
    try:
        counts = [(tensor._version, tensor.data_ptr()) for tensor in tensors]
    except RuntimeError:  # nobody counts what is written to tensors of inference mode
        counts = None
    steps = counted(tensors)
    known = _kept.get(id(weight))
    if (
        known is None or known.counts != counts or counts is None or known.text != text
        or known.eps != eps or known.steps != steps or known.weight() is not weight
    ):
        known = _Kept(weakref.ref(weight, partial(_forget, id(weight))), text, eps, counts, steps,
                      _layer_of(tensors, eps, text), {})
        if counts is not None:
            _kept[id(weight)] = known
    key = x.shape, x.stride()
    way = known.ways.get(key)
    if way is None:
        if len(known.ways) >= MOST_SHAPES:
            known.ways.clear()
        y = _like(x, tensors, eps, text)
        order = memory_format(x, weight)
        way = known.ways[key] = y.shape, y.stride(), y.nbytes, None if x.is_contiguous(
            memory_format=order) else order
    shape, strides, size, order = way
    if order is not None:
        x = x.contiguous(memory_format=order)
    y = empty(shape, strides, x.dtype, size)
    if size:
        known.layer(x.numpy(), out=y.numpy(), num_threads=torch.get_num_threads())
    return y


def _forget(key: int, reference: Any) -> None:
    """A weight is gone; another may have its identity already."""
    if key in _kept and _kept[key].weight is reference:
        del _kept[key]


def _layer_of(tensors: Any, eps: float, text: str) -> Layer:
    name, options, names, activation = _described(text)
    arrays = dict(zip(names, map(_array, tensors), strict=True))
    kind = getattr(gconv, name.replace("conv", "Conv").replace("_transpose", "Transpose"))
    layer: Layer = kind(
        arrays["weight"], arrays.get("bias"), **options, activation=activation or None)
    if "mean" not in arrays:
        return layer
    return layer.fold_batch_norm(
        arrays["mean"], arrays["var"], arrays.get("scale"), arrays.get("shift"), eps)


def _like(x: Any, tensors: Any, eps: float, text: str) -> Any:
    name, options, *_ = _described(text)
    return _empty_result(x, tensors[0], "transpose" in name, options)


_library.impl("convolution", _convolution, "CPU")
torch.library.register_fake("gconv::convolution", _like, lib=_library)


# ---- the functions -----------------------------------------------------------------------------


def call(
    name: str, x: Any, weight: Any, bias: Any, groups: int, padding: Any, **numbers: Any
) -> Any:
    """One of the operators, with whatever PyTorch's function of that name takes."""
    dims = int(name[-2])
    batched = x.ndim == dims + 2
    x, numbers = operands(name, x, weight, padding, **numbers)
    numbers["groups"] = groups
    operator = getattr(torch.ops.gconv, name)
    y = operator(x, weight, bias, *[numbers[n] for n in NUMBERS["transpose" in name]])
    return y if batched else y.squeeze(0)


def operands(
    name: str, x: Any, weight: Any, padding: Any, **numbers: Any
) -> tuple[Any, dict[str, Any]]:
    """x as a batch, and the padding and all other numbers as a list for each dimension."""
    dims = int(name[-2])
    numbers = {
        number: [value] * dims if isinstance(value, int) else [*value] * (dims // len(value))
        for number, value in numbers.items()
    }
    if x.ndim == dims + 1:
        x = x.unsqueeze(0)
    if isinstance(padding, str):
        x, padding = _named_padding(name, x, weight, padding, numbers)
    elif isinstance(padding, int):
        padding = [padding] * dims
    numbers["padding"] = [*padding] * (dims // len(padding))
    return x, numbers


def _named_padding(
    name: str, x: Any, weight: Any, padding: str, numbers: dict[str, Any]
) -> tuple[Any, list[int]]:
    """x and the padding in numbers. Where one more is wanted at the end, x is padded with it."""
    if padding == "valid":
        return x, [0] * len(numbers["stride"])
    if padding != "same" or {*numbers["stride"]} != {1}:
        raise RuntimeError(
            f"gconv.torch.{name}: padding must be integers, 'valid', or, for stride 1, 'same', "
            f"got {padding!r} with stride={numbers['stride']}")
    totals = [
        d * (k - 1) for d, k in zip(numbers["dilation"], weight.shape[2:], strict=True)
    ]
    odd = [total % 2 for total in totals]
    if any(odd):
        x = torch.nn.functional.pad(x, [side for more in reversed(odd) for side in (0, more)])
    return x, [total // 2 for total in totals]


_DOCUMENTATION = """`torch.nn.functional.{name}`, computed by gconv on the CPU.

    Parameters
    ----------
    x : torch.Tensor
        Shape (N, C_in, {axes}) or (C_in, {axes}); float32 or float64.
    weight : torch.Tensor
        Shape {weight_shape}.
    bias : torch.Tensor, optional
        Shape (C_out,).
    {options}
        As PyTorch's function has them.

    Returns
    -------
    torch.Tensor
        The result, channels-last in memory where x or the weight is. Gradients are those of
        PyTorch's own operator, which computes them.

    Notes
    -----
    It is the operator ``torch.ops.gconv.{name}``, through which `torch.compile` and
    `torch.export` go. The weight is packed at every call; a layer, or a module that
    `replace_convs_` has replaced, packs it once. The number of threads is
    `torch.get_num_threads()`.
    """


def conv1d(
    x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Any:
    return call("conv1d", x, weight, bias, groups, padding, stride=stride, dilation=dilation)


def conv2d(
    x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Any:
    return call("conv2d", x, weight, bias, groups, padding, stride=stride, dilation=dilation)


def conv3d(
    x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Any:
    return call("conv3d", x, weight, bias, groups, padding, stride=stride, dilation=dilation)


def conv_transpose1d(
    x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Any:
    return call("conv_transpose1d", x, weight, bias, groups, padding, stride=stride,
                output_padding=output_padding, dilation=dilation)


def conv_transpose2d(
    x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Any:
    return call("conv_transpose2d", x, weight, bias, groups, padding, stride=stride,
                output_padding=output_padding, dilation=dilation)


def conv_transpose3d(
    x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Any:
    return call("conv_transpose3d", x, weight, bias, groups, padding, stride=stride,
                output_padding=output_padding, dilation=dilation)


for _function in (
    conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
):
    _transposed = "transpose" in _function.__name__
    _function.__doc__ = _DOCUMENTATION.format(
        name=_function.__name__,
        axes=("L", "H, W", "D, H, W")[int(_function.__name__[-2]) - 1],
        weight_shape="(C_in, C_out/groups, *kernel)" if _transposed
        else "(C_out, C_in/groups, *kernel)",
        options=", ".join(NUMBERS[_transposed]),
    )
del _function, _transposed
