"""The geometry of one convolution: the only validation and the only output-size formula.

Everything that a call says about itself (shapes, stride, padding, dilation, groups) comes
through here once. What comes out is right by construction, so nothing below checks again.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeGuard

import numpy as np

Shape: TypeAlias = tuple[int, ...]
IntOrSequence: TypeAlias = int | Sequence[int]
NumericPadding: TypeAlias = int | Sequence[int] | Sequence[Sequence[int]]
Padding: TypeAlias = str | NumericPadding
Activation: TypeAlias = str | tuple[Any, ...]  # a name, or a name and its parameters

PADDING_NAMES = ("valid", "same", "same_upper", "same_lower")
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
# What NumPy and SciPy call them. SciPy's "reflect" is yet another, which repeats the edge.
OTHER_MODE_NAMES = {
    "constant": "zeros",
    "mirror": "reflect",
    "nearest": "replicate",
    "edge": "replicate",
    "wrap": "circular",
}
# How they are written: a name alone, or a name and its parameters.
ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "relu": (),
    "relu6": (),
    "clip": ("lo", "hi"),
    "leaky_relu": ("slope",),
    "sigmoid": (),
    "tanh": (),
    "silu": (),
    "hardsigmoid": (),
    "hardswish": (),
    "gelu": (),
    "gelu_tanh": (),
}
MOST_BYTES = 2**63 - 1


class Geometry(NamedTuple):
    """Sizes of one convolution over any number of spatial dimensions.

    Attributes
    ----------
    operator : str
        The name that messages begin with.
    batched : bool
        Whether x has a batch dimension; without one `batch` is 1.
    batch, in_channels, out_channels, groups : int
    in_size, kernel, stride, dilation, out_size : tuple of int
        One entry for each spatial dimension, first dimension first.
    padding : tuple of (int, int)
        Padding before and after each spatial dimension.
    padding_mode : str
        What is there, one of `PADDING_MODES`; "zeros" where there is no padding.
    activation : str, tuple or None
        As `an_activation` returns it.
    """

    operator: str
    batched: bool
    batch: int
    in_channels: int
    out_channels: int
    groups: int
    in_size: Shape
    kernel: Shape
    stride: Shape
    dilation: Shape
    padding: tuple[tuple[int, int], ...]
    out_size: Shape
    padding_mode: str = "zeros"
    transposed: bool = False
    activation: Activation | None = None

    @property
    def out_shape(self) -> Shape:
        """Shape of the result."""
        batch = (self.batch,) if self.batched else ()
        return (*batch, self.out_channels, *self.out_size)

    @property
    def taps(self) -> int:
        """Products in the sum of one output element, those with padding included."""
        return self.in_channels // self.groups * math.prod(self.kernel)

    @property
    def flops(self) -> int:
        """Floating-point operations of one image: a product and a sum for every tap."""
        if self.transposed:  # every tap of every input, those that padding crops included
            return 2 * self.taps * self.out_channels * math.prod(self.in_size)
        return 2 * self.taps * self.out_channels * math.prod(self.out_size)


class Parameters(NamedTuple):
    """What a layer knows before it sees an input: a geometry without its image.

    `padding` is a name or one (before, after) pair for each spatial dimension.
    """

    operator: str
    in_channels: int
    out_channels: int
    groups: int
    kernel: Shape
    stride: Shape
    dilation: Shape
    padding: str | tuple[tuple[int, int], ...]
    padding_mode: str = "zeros"
    activation: Activation | None = None
    transposed: bool = False
    output_padding: Shape = ()

    @property
    def weight_shape(self) -> Shape:
        """The shape of the weight."""
        if self.transposed:
            return (self.in_channels, self.out_channels // self.groups, *self.kernel)
        return (self.out_channels, self.in_channels // self.groups, *self.kernel)

    @classmethod
    def of_convolution(
        cls,
        name: str,
        dimensions: int,
        weight_shape: Shape,
        bias_shape: Shape | None,
        stride: IntOrSequence = 1,
        padding: Padding = 0,
        dilation: IntOrSequence = 1,
        groups: int = 1,
        padding_mode: str = "zeros",
        activation: Activation | None = None,
    ) -> Parameters:
        """Validate everything about a convolution that does not depend on its input."""
        axes = "(C_out, C_in/groups, *kernel)"
        groups = check_weight(name, weight_shape, dimensions, axes, groups)
        out_channels, group_channels, *kernel = weight_shape
        if out_channels == 0:
            raise ValueError(
                f"{name}: weight must have at least one output channel, got shape {weight_shape}"
            )
        if out_channels % groups:
            raise ValueError(f"{name}: groups={groups} must divide out_channels={out_channels}")
        check_kernel(name, kernel)
        check_bias(name, bias_shape, out_channels, f"a weight of shape {weight_shape}")
        parameters = cls(
            operator=name,
            in_channels=group_channels * groups,
            out_channels=out_channels,
            groups=groups,
            kernel=tuple(kernel),
            stride=per_dimension(name, "stride", stride, dimensions, least=1),
            dilation=per_dimension(name, "dilation", dilation, dimensions, least=1),
            padding=normal_padding(name, padding, dimensions),
            padding_mode=a_padding_mode(name, padding_mode),
            activation=an_activation(name, activation),
        )
        if parameters.padding == "same" and set(parameters.stride) != {1}:
            raise ValueError(
                f'{name}: padding="same" needs stride 1, got stride={parameters.stride}; '
                'for other strides use "same_upper" (ONNX)'
            )
        return parameters

    @classmethod
    def of_transposed(
        cls,
        name: str,
        dimensions: int,
        weight_shape: Shape,
        bias_shape: Shape | None,
        stride: IntOrSequence = 1,
        padding: NumericPadding = 0,
        output_padding: IntOrSequence = 0,
        groups: int = 1,
        dilation: IntOrSequence = 1,
        activation: Activation | None = None,
    ) -> Parameters:
        """Validate everything about a transposed convolution that does not depend on its input."""
        axes = "(C_in, C_out/groups, *kernel)"
        groups = check_weight(name, weight_shape, dimensions, axes, groups)
        in_channels, group_channels, *kernel = weight_shape
        if 0 in (in_channels, group_channels):
            raise ValueError(
                f"{name}: weight must have at least one input and one output channel, "
                f"got shape {weight_shape}"
            )
        if in_channels % groups:
            raise ValueError(f"{name}: groups={groups} must divide in_channels={in_channels}")
        check_kernel(name, kernel)
        out_channels = group_channels * groups
        check_bias(name, bias_shape, out_channels,
                   f"groups={groups} and a weight of shape {weight_shape}")
        if isinstance(padding, str):
            raise ValueError(
                f"{name}: padding must be made of integers, got {padding!r}: a transposed "
                "convolution has no names for it"
            )
        parameters = cls(
            operator=name,
            in_channels=in_channels,
            out_channels=out_channels,
            groups=groups,
            kernel=tuple(kernel),
            stride=per_dimension(name, "stride", stride, dimensions, least=1),
            dilation=per_dimension(name, "dilation", dilation, dimensions, least=1),
            padding=normal_padding(name, padding, dimensions),
            activation=an_activation(name, activation),
            transposed=True,
            output_padding=per_dimension(
                name, "output_padding", output_padding, dimensions, least=0
            ),
        )
        for more, step, gap in zip(
            parameters.output_padding, parameters.stride, parameters.dilation, strict=True
        ):
            if more >= max(step, gap):
                raise ValueError(
                    f"{name}: output_padding must be less than stride or less than dilation, got "
                    f"output_padding={output_padding!r} with stride={stride!r} and "
                    f"dilation={dilation!r}"
                )
        return parameters

    def applied_to(self, x_shape: Shape, itemsize: int = 8) -> Geometry:
        """The geometry of these parameters on an input of a given shape."""
        name, dims = self.operator, len(self.kernel)
        if len(x_shape) not in (dims + 1, dims + 2):
            raise ValueError(
                f"{name}: x must have {dims + 2} dimensions (N, C_in, *spatial), or {dims + 1} "
                f"unbatched, got shape {x_shape}"
            )
        batched = len(x_shape) == dims + 2
        batch = x_shape[0] if batched else 1
        in_channels = x_shape[-dims - 1]
        in_size = x_shape[-dims:]
        groups = self.groups
        if in_channels % groups:
            raise ValueError(f"{name}: groups={groups} must divide in_channels={in_channels}")
        if in_channels != self.in_channels:
            raise ValueError(
                f"{name}: with groups={groups}, a weight of shape {self.weight_shape} expects "
                f"{self.in_channels} input channels, but x has {in_channels} (shape {x_shape})"
            )
        padding = self.resolved_padding(in_size)
        out_size = self.out_size(in_size, padding, itemsize)
        padding_mode = self.padding_mode if any(map(any, padding)) else "zeros"
        for axis, (size, pair) in enumerate(zip(in_size, padding, strict=True)):
            check_mode(name, padding_mode, axis, size, pair)
        geometry = Geometry(
            operator=name,
            batched=batched,
            batch=batch,
            in_channels=in_channels,
            out_channels=self.out_channels,
            groups=groups,
            in_size=in_size,
            kernel=self.kernel,
            stride=self.stride,
            dilation=self.dilation,
            padding=padding,
            out_size=out_size,
            transposed=self.transposed,
            padding_mode=padding_mode,
            activation=self.activation,
        )
        # Counted for one image at least: the engine's index arithmetic must hold for an empty
        # batch too, and a padded coordinate is an index like any other.
        elements = max(batch, 1) * self.out_channels * math.prod(out_size)
        reach = max(n + sum(p) for n, p in zip(in_size, padding, strict=True))
        if max(elements, geometry.flops) * itemsize > MOST_BYTES:
            raise MemoryError(
                f"{name}: an output of shape {geometry.out_shape} is more than can be addressed"
            )
        if reach * itemsize > MOST_BYTES:
            raise MemoryError(
                f"{name}: an input of size {in_size} with padding {padding} is more than can be "
                "addressed"
            )
        return geometry

    def out_size(
        self, in_size: Shape, padding: tuple[tuple[int, int], ...], itemsize: int
    ) -> Shape:
        """Extents of the output; those below 1 are refused."""
        if self.transposed:
            return self._transposed_out_size(in_size, padding, itemsize)
        out_size = tuple(map(output_size, in_size, self.kernel, self.stride, padding,
                             self.dilation))
        for axis, size in enumerate(out_size):
            if size < 1:
                padded = tuple(n + sum(p) for n, p in zip(in_size, padding, strict=True))
                dilated = tuple(map(dilated_extent, self.kernel, self.dilation))
                raise ValueError(
                    f"{self.operator}: the dilated kernel {dilated} is larger than the padded "
                    f"input {padded} in spatial dimension {axis}"
                )
        return out_size

    def _transposed_out_size(
        self, in_size: Shape, padding: tuple[tuple[int, int], ...], itemsize: int
    ) -> Shape:
        uncropped = tuple(
            (size - 1) * stride + dilated_extent(kernel, dilation) + extra
            for size, kernel, stride, dilation, extra in zip(
                in_size, self.kernel, self.stride, self.dilation, self.output_padding, strict=True
            )
        )
        sizes = tuple(n - sum(pair) for n, pair in zip(uncropped, padding, strict=True))
        if min(sizes) < 1:
            raise ValueError(
                f"{self.operator}: an input of size {in_size} makes an output of size {uncropped} "
                f"with stride={self.stride}, of which padding={padding} leaves {sizes}; "
                "every extent must be at least 1"
            )
        if max(uncropped) * itemsize > MOST_BYTES:
            raise MemoryError(
                f"{self.operator}: an output of size {uncropped} before cropping is more than "
                "can be addressed"
            )
        return sizes

    def resolved_padding(self, in_size: Shape) -> tuple[tuple[int, int], ...]:
        """Padding before and after each spatial dimension of an input of a given size."""
        if not isinstance(self.padding, str):
            return self.padding
        pairs = []
        for size, kernel, stride, dilation in zip(
            in_size, self.kernel, self.stride, self.dilation, strict=True
        ):
            if self.padding == "valid":
                total = 0
            else:
                # ONNX's auto_pad; for stride 1 the total is PyTorch's dilation * (kernel - 1).
                out = -(-size // stride)
                total = max(0, (out - 1) * stride + dilated_extent(kernel, dilation) - size)
            before = total - total // 2 if self.padding == "same_lower" else total // 2
            pairs.append((before, total - before))
        return tuple(pairs)


def check_weight(
    name: str, weight_shape: Shape, dimensions: int, axes: str, groups: object
) -> int:
    """Refuse a weight of another number of dimensions; return the number of groups."""
    if len(weight_shape) != dimensions + 2:
        raise ValueError(
            f"{name}: weight must have {dimensions + 2} dimensions {axes}, "
            f"got shape {weight_shape}"
        )
    number = an_integer(name, "groups", groups)
    if number < 1:
        raise ValueError(f"{name}: groups must be at least 1, got {number}")
    return number


def check_kernel(name: str, kernel: Sequence[int]) -> None:
    """Refuse a kernel without taps."""
    if 0 in kernel:
        raise ValueError(f"{name}: every extent of the kernel must be at least 1, "
                         f"got kernel shape {tuple(kernel)}")


def check_bias(name: str, bias_shape: Shape | None, out_channels: int, beside: str) -> None:
    """Refuse a bias that has not one element for each output channel."""
    if bias_shape not in (None, (out_channels,)):
        raise ValueError(
            f"{name}: bias must have shape ({out_channels},) to go with {beside}, "
            f"got {bias_shape}"
        )


def dilated_extent(kernel: int, dilation: int) -> int:
    """The extent of a kernel with dilation - 1 gaps between neighbouring taps."""
    return dilation * (kernel - 1) + 1


def output_size(
    size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int
) -> int:
    """The number of outputs along one dimension; below 1 where the kernel does not fit."""
    return (size + sum(padding) - dilated_extent(kernel, dilation)) // stride + 1


def an_integer(name: str, parameter: str, value: object) -> int:
    """The value as an int; anything but an integer (bool included) is a TypeError."""
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        raise TypeError(f"{name}: {parameter} must be an integer, got {value!r}")
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError as error:
        raise TypeError(f"{name}: {parameter} must be an integer, got {value!r}") from error


def per_dimension(
    name: str, parameter: str, value: object, dims: int, *, least: int
) -> tuple[int, ...]:
    """One integer for each spatial dimension, from one for all or from a sequence of them."""
    if is_sequence(value):
        entries: tuple[object, ...] = tuple(value)
        if len(entries) != dims:
            raise ValueError(
                f"{name}: {parameter} must be an integer or {dims} of them, got {value!r}"
            )
    else:
        entries = (value,) * dims
    numbers = tuple(an_integer(name, parameter, entry) for entry in entries)
    if min(numbers) < least:
        raise ValueError(f"{name}: {parameter} must be at least {least}, got {value!r}")
    return numbers


def normal_padding(name: str, padding: object, dims: int) -> str | tuple[tuple[int, int], ...]:
    """A padding name, or one (before, after) pair for each spatial dimension."""
    if isinstance(padding, str):
        if padding not in PADDING_NAMES:
            allowed = ", ".join(map(repr, PADDING_NAMES))
            raise ValueError(f"{name}: unknown padding {padding!r}; the names are {allowed}")
        return padding
    if is_sequence(padding) and any(map(is_sequence, padding)):
        pairs = tuple(padding)
        if len(pairs) != dims or not all(is_sequence(p) and len(p) == 2 for p in pairs):
            raise ValueError(
                f"{name}: padding must be an integer, {dims} of them, or {dims} (before, after) "
                f"pairs, got {padding!r}"
            )
        checked = (per_dimension(name, "padding", pair, 2, least=0) for pair in pairs)
        return tuple((before, after) for before, after in checked)
    if is_sequence(padding) and len(padding) == 2 and dims == 1:
        before, after = padding
        raise ValueError(
            f"{name}: padding={padding!r} has two entries for one spatial dimension; for "
            f"{before!r} before and {after!r} after write (({before!r}, {after!r}),)"
        )
    return tuple((n, n) for n in per_dimension(name, "padding", padding, dims, least=0))


def a_padding_mode(name: str, value: object) -> str:
    """One of the padding modes; the names that others have for them are told ours."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: padding_mode must be a string, got {value!r}")
    if value not in PADDING_MODES:
        ours = OTHER_MODE_NAMES.get(value)
        hint = f'; here that is "{ours}"' if ours else ""
        allowed = ", ".join(map(repr, PADDING_MODES))
        raise ValueError(f"{name}: unknown padding_mode {value!r}{hint}; the modes are {allowed}")
    return str(value)


def an_activation(name: str, value: object) -> Activation | None:
    """An activation in one form: a name, or a tuple of a name and floats; None is none."""
    if value is None:
        return None
    if not isinstance(value, (str, tuple)):
        raise TypeError(
            f"{name}: activation must be None, a string or a tuple, got {value!r}"
        )
    kind, *numbers = (value,) if isinstance(value, str) else value or (None,)
    if not isinstance(kind, str) or kind not in ACTIVATIONS:
        raise ValueError(
            f"{name}: unknown activation {value!r}; they are None, "
            f"{', '.join(map(_written, ACTIVATIONS))}"
        )
    parameters = ACTIVATIONS[kind]
    if len(numbers) != len(parameters) or isinstance(value, str) == bool(parameters):
        raise ValueError(
            f"{name}: activation {value!r} must be written as {_written(kind)}"
        )
    for parameter, number in zip(parameters, numbers, strict=True):
        if isinstance(number, bool) or not isinstance(
            number, (int, float, np.integer, np.floating)
        ):
            raise ValueError(
                f"{name}: {parameter} of activation {_written(kind)} must be a number, "
                f"got {value!r}"
            )
    # Adding 0 makes -0 into 0: as they are equal, plans do not tell them apart.
    floats = tuple(_as_float(number) + 0.0 for number in numbers)
    # A slope beyond float32 would become infinite there, and infinity times 0 is NaN.
    if any(map(math.isnan, floats)) or (kind == "leaky_relu" and abs(floats[0]) > 3.4e38):
        finite = "be finite, in float32 too," if kind == "leaky_relu" else "not be NaN"
        raise ValueError(
            f"{name}: {' and '.join(parameters)} of activation {_written(kind)} must {finite}, "
            f"got {value!r}"
        )
    if kind == "clip" and floats[0] > floats[1]:
        raise ValueError(
            f"{name}: lo of activation {_written(kind)} must not be above hi, got {value!r}"
        )
    return (kind, *floats) if floats else str(kind)


def _as_float(number: Any) -> float:
    try:
        return float(number)
    except OverflowError:  # of an integer
        return math.inf if number > 0 else -math.inf


def _written(kind: str) -> str:
    """How an activation is written."""
    parameters = ACTIVATIONS[kind]
    return f'("{kind}", {", ".join(parameters)})' if parameters else f'"{kind}"'


def check_mode(name: str, mode: str, axis: int, size: int, padding: tuple[int, int]) -> None:
    """Refuse padding for which a dimension has too few elements."""
    most = max(padding)
    where = f"padding {padding} of spatial dimension {axis}, which has size {size}"
    if mode == "reflect" and 0 < most >= size:
        raise ValueError(
            f'{name}: padding_mode="reflect" needs padding smaller than the input, got {where}'
        )
    if mode == "circular" and most > size:
        raise ValueError(
            f'{name}: padding_mode="circular" needs padding not larger than the input, got {where}'
        )
    if mode == "replicate" and most > 0 == size:
        raise ValueError(
            f'{name}: padding_mode="replicate" needs an element to repeat, got {where}'
        )


def a_shape(name: str, value: object) -> Shape:
    """A shape that somebody asks about: a sequence of integers, none below 0."""
    if not is_sequence(value):
        raise TypeError(f"{name}: shape must be a sequence of integers, got {value!r}")
    shape = tuple(an_integer(name, "shape", extent) for extent in value)
    if any(extent < 0 for extent in shape):
        raise ValueError(f"{name}: shape must have no negative extent, got {value!r}")
    return shape


def is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether a parameter lists one value for each dimension (an array may, a string may not)."""
    if isinstance(value, (str, bytes)):
        return False
    return isinstance(value, Sequence) or getattr(value, "ndim", 0) > 0


# The validation of each operator, and its dimensions.
OPERATORS: dict[str, tuple[Callable[..., Parameters], int]] = {
    "conv1d": (Parameters.of_convolution, 1),
    "conv2d": (Parameters.of_convolution, 2),
    "conv3d": (Parameters.of_convolution, 3),
    "conv_transpose1d": (Parameters.of_transposed, 1),
    "conv_transpose2d": (Parameters.of_transposed, 2),
    "conv_transpose3d": (Parameters.of_transposed, 3),
}


def parameters_of(
    name: str,
    options: tuple[object, ...],
    activation: Activation | None,
    weight_shape: Shape,
    bias_shape: Shape | None,
) -> Parameters:
    """The parameters of an operator; `options` in the order in which its validation takes them."""
    validate, dimensions = OPERATORS[name]
    return validate(name, dimensions, weight_shape, bias_shape, *options, activation)
