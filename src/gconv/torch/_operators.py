"""Convolutions as operators of PyTorch, which torch.compile, torch.export and autograd know.

Each takes a batch and the numbers of PyTorch's own operator, and whether the weight will come
again: then it is packed once, and again where PyTorch has counted a change. They are defined by
`torch.library.Library`, since `torch.library.custom_op` puts more Python around each call.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.weak import WeakTensorKeyDictionary

import gconv
from gconv._api.layers import Layer
from gconv.torch._layer import memory_format
from gconv.torch._watch import steps_of

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
# For each weight what was last asked of it, and the layer once that was asked again.
_layers = WeakTensorKeyDictionary()


def _define(name: str, dims: int, transposed: bool) -> None:
    numbers = ", ".join(
        "int groups" if number == "groups" else f"int[{dims}] {number}"
        for number in NUMBERS[transposed]
    )
    _library.define(
        f"{name}(Tensor x, Tensor weight, Tensor? bias, {numbers}, bool keep=False) -> Tensor",
        tags=(torch.Tag.pt2_compliant_tag,),
    )

    def named(numbers: tuple[Any, ...]) -> dict[str, Any]:
        # Tuples, since gconv keeps the way of a call for those alone.
        return {
            name: number if isinstance(number, int) else tuple(number)
            for name, number in zip(NUMBERS[transposed], numbers, strict=True)
        }

    def compute(x: Any, weight: Any, bias: Any, *numbers: Any, keep: bool = False) -> Any:
        numbers, keep = _and_keep(numbers, keep, transposed)
        options = named(numbers)
        y = _empty_result(x, weight, transposed, options)
        if y.numel() == 0:
            return y
        order = memory_format(x, weight)
        array, out = x.contiguous(memory_format=order).numpy(), y.numpy()
        threads = torch.get_num_threads()
        layer = _layer_for(name, weight, bias, numbers, options) if keep else None
        if layer is not None:
            layer(array, out=out, num_threads=threads)
        else:
            FUNCTIONS[name](array, *_arrays(weight, bias), **options, out=out, num_threads=threads)
        return y

    def like(x: Any, weight: Any, bias: Any, *numbers: Any, keep: bool = False) -> Any:
        numbers, keep = _and_keep(numbers, keep, transposed)
        return _empty_result(x, weight, transposed, named(numbers))

    def save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, weight, bias, *numbers = inputs
        ctx.save_for_backward(x, weight)
        ctx.bias_size = None if bias is None else list(bias.shape)
        ctx.options = named(_and_keep(tuple(numbers), False, transposed)[0])

    def backward(ctx: Any, gradient: Any) -> tuple[Any, ...]:
        x, weight = ctx.saved_tensors
        options = ctx.options
        wanted = [*ctx.needs_input_grad[:2], ctx.bias_size is not None and ctx.needs_input_grad[2]]
        gradients = torch.ops.aten.convolution_backward(
            gradient, x, weight, ctx.bias_size, options["stride"], options["padding"],
            options["dilation"], transposed, options.get("output_padding", [0] * dims),
            options["groups"], wanted,
        )
        return *gradients, *[None] * (len(ctx.needs_input_grad) - 3)

    _library.impl(name, compute, "CPU")
    torch.library.register_fake(f"gconv::{name}", like, lib=_library)
    torch.library.register_autograd(f"gconv::{name}", backward, setup_context=save, lib=_library)


def _layer_for(
    name: str, weight: Any, bias: Any, numbers: tuple[Any, ...], options: dict[str, Any]
) -> Layer | None:
    """A layer with packed weights where the same is asked of a weight again."""
    if weight.is_inference() or (bias is not None and bias.is_inference()):
        return None  # nobody counts what is written to it
    asked = (
        name, str(numbers), *(
            None if tensor is None
            else (tensor._version, tensor.data_ptr(), steps_of(tensor))
            for tensor in (weight, bias)
        ),
    )
    known = _layers.get(weight)
    if known is None or known[0] != asked:
        _layers[weight] = asked, None
        return None
    layer: Layer | None = known[1]
    if layer is None:
        kind = getattr(gconv, name.replace("conv_t", "ConvT").replace("conv", "Conv"))
        layer = kind(*_arrays(weight, bias), **options)
        _layers[weight] = asked, layer
    return layer


def _and_keep(
    numbers: tuple[Any, ...], keep: bool, transposed: bool
) -> tuple[tuple[Any, ...], bool]:
    """The numbers, and the flag that may stand behind them."""
    few = len(NUMBERS[transposed])
    return numbers[:few], bool(keep or (len(numbers) > few and numbers[few]))


def _arrays(weight: Any, bias: Any) -> tuple[Any, Any]:
    return weight.detach().numpy(), None if bias is None else bias.detach().numpy()


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


# ---- the functions -----------------------------------------------------------------------------


def call(
    name: str, x: Any, weight: Any, bias: Any, groups: int, padding: Any, *, keep: bool = False,
    **numbers: Any,
) -> Any:
    """One of the operators, with whatever PyTorch's function of that name takes."""
    dims = int(name[-2])
    numbers = {
        number: [value] * dims if isinstance(value, int) else [*value] * (dims // len(value))
        for number, value in numbers.items()
    }
    batched = x.ndim == dims + 2
    if not batched:
        x = x.unsqueeze(0)
    if isinstance(padding, str):
        x, padding = _named_padding(name, x, weight, padding, numbers)
    elif isinstance(padding, int):
        padding = [padding] * dims
    numbers |= {"padding": [*padding] * (dims // len(padding)), "groups": groups}
    operator = getattr(torch.ops.gconv, name)
    y = operator(x, weight, bias, *[numbers[n] for n in NUMBERS["transpose" in name]], keep=keep)
    return y if batched else y.squeeze(0)


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
