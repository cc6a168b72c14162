"""Convolutions as layers: made from trained weights once, called many times."""

from __future__ import annotations

import math
from collections.abc import Callable
from inspect import cleandoc
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from gconv._call import arrays, run
from gconv._call.arrays import Array
from gconv._call.geometry import (
    Activation,
    IntOrSequence,
    NumericPadding,
    Padding,
    Parameters,
    Shape,
    a_shape,
)
from gconv._call.threads import checked, resolve
from gconv._engine import call
from gconv._plan.family import Packings

if TYPE_CHECKING:
    from gconv._api.explain import Explanation

_L = TypeVar("_L", bound="Layer")

# Of the shapes that a layer sees in turn, such as the sizes at which a detector's head is called.
MOST_SHORT_CUTS = 8
MOST_PACKINGS = 4  # tiles want other packings for few of these shapes


class Layer(call.LayerBase):
    """What the layers of all dimensions share.

    A layer never changes: its weight and bias are copies that nothing writes to, and what it
    keeps of its last calls is only a short cut to the same results.
    """

    __slots__ = ("_packings", "_parameters", "_settings")
    dimensions: ClassVar[int]
    out_channel_axis: ClassVar[int] = 0  # of the weight of one group
    channel_major: ClassVar[bool] = False  # see gconv._plan.problem.Problem
    validate: ClassVar[Callable[..., Parameters]] = Parameters.of_convolution
    weight_shape: ClassVar[str] = "(C_out, C_in/groups, *kernel)"
    option_names: ClassVar[tuple[str, ...]] = (
        "stride", "padding", "dilation", "groups", "padding_mode", "activation"
    )

    _parameters: Parameters
    _settings: dict[str, Any]
    _packings: Packings

    def __init__(
        self,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        *extra: object,
        stride: IntOrSequence = 1,
        padding: Padding = 0,
        dilation: IntOrSequence = 1,
        groups: int = 1,
        padding_mode: str = "zeros",
        activation: Activation | None = None,
    ) -> None:
        self._make(
            weight,
            bias,
            extra,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            padding_mode=padding_mode,
            activation=activation,
        )

    def _make(
        self, weight: ArrayLike, bias: ArrayLike | None, extra: tuple[object, ...], **options: Any
    ) -> None:
        """Check everything, and take copies."""
        name = type(self).__name__
        if extra or isinstance(weight, int):
            import inspect  # here, because it takes long and is for a message alone

            signature = inspect.signature(type(self).__init__).parameters
            defaults = ", ".join(f"{option}={signature[option].default!r}" for option in options)
            raise TypeError(
                f"{name} is made from trained weights, not from channel counts as "
                f"torch.nn.{name} is: {name}(weight, bias, *, {defaults}), "
                f"with a weight of shape {self.weight_shape}"
            )
        weight_, _, bias_ = arrays.operands(name, weight, weight, bias, x_name="weight")
        parameters = self.validate(
            name,
            self.dimensions,
            weight_.shape,
            None if bias_ is None else bias_.shape,
            **options,
        )
        settings = {option: getattr(parameters, option) for option in options}
        fields = {
            "weight": _own(weight_),
            "bias": None if bias_ is None else _own(bias_),
            "_parameters": parameters,
            "_settings": settings,
            "_packings": Packings(MOST_PACKINGS),
            "_short_cuts": (),
        }
        for field, value in fields.items():
            object.__setattr__(self, field, value)

    def __setattr__(self, attribute: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: cannot set {attribute!r}")

    def __delattr__(self, attribute: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: cannot delete {attribute!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.weight, self.bias, self._settings)

    def __repr__(self) -> str:
        p = self._parameters
        parts = [str(p.in_channels), str(p.out_channels), f"kernel_size={p.kernel}",
                 f"stride={p.stride}"]
        if p.padding != ((0, 0),) * self.dimensions:
            padding = p.padding
            if not isinstance(padding, str) and all(before == after for before, after in padding):
                padding = tuple(before for before, _ in padding)  # type: ignore[misc]
            parts.append(f"padding={padding!r}")
        if any(self._settings.get("output_padding", ())):
            parts.append(f"output_padding={self._settings['output_padding']}")
        if set(p.dilation) != {1}:
            parts.append(f"dilation={p.dilation}")
        if p.groups != 1:
            parts.append(f"groups={p.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if p.padding_mode != "zeros":
            parts.append(f"padding_mode={p.padding_mode!r}")
        if p.activation is not None:
            parts.append(f"activation={p.activation!r}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def out_shape(self, shape: Shape) -> Shape:
        """The shape of the result for an input of a given shape.

        Parameters
        ----------
        shape : tuple of int
            (N, C_in, *spatial) or (C_in, *spatial).

        Raises
        ------
        ValueError
            Where the layer would refuse such an input.
        """
        return self._parameters.applied_to(a_shape(type(self).__name__, shape)).out_shape

    def explain(
        self, shape: Shape, threads: int | None = None, *, why: bool = False
    ) -> Explanation:
        """Say how an input of a given shape is computed, without computing it.

        Parameters
        ----------
        shape : tuple of int
            (N, C_in, *spatial) or (C_in, *spatial), of an input in C order.
        threads : int, optional
            How many threads share the work; as many as a call would use if left out.
        why : bool
            Whether to list every kernel family with its estimate, or why it cannot serve.

        Returns
        -------
        Explanation
            A short text when printed, a dict from its `as_dict`: the kernel and its tile, the
            work items and how evenly the threads share them, scratch, arithmetic and memory.

        Raises
        ------
        ValueError, TypeError
            Where the layer would refuse such an input, or so many threads.

        Examples
        --------
        >>> import numpy as np, gconv
        >>> layer = gconv.Conv2d(np.ones((30, 1, 3, 3), np.float32), padding=1, groups=3)
        >>> how = layer.explain((1, 3, 224, 224), threads=2)
        >>> print(how)  # doctest: +ELLIPSIS
        Conv2d: x (1, 3, 224, 224), weight (30, 1, 3, 3), groups=3 -> (1, 30, 224, 224)
          kernel      ... on ..., tiles of ...
        >>> how.flops, how.as_dict()["compulsory_bytes"]
        (27095040, 6624312)
        """
        from gconv._api.explain import explain  # here, because few programs ask

        name = type(self).__name__
        workers = (
            resolve(name, None) if threads is None else checked(name, threads, "threads")
        )
        shape = a_shape(name, shape)
        return explain(
            self._parameters, self.weight, self.bias, shape, workers, self.channel_major, why
        )

    def fold_batch_norm(
        self,
        mean: ArrayLike,
        var: ArrayLike,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        eps: float = 1e-5,
    ) -> Self:
        """A layer that does what this one and a batch normalisation after it do.

        Parameters
        ----------
        mean, var : array_like
            The running statistics, shape (C_out,) and of the layer's dtype. No variance may be
            negative. Tensors may require grad, as the parameters of a module do.
        weight, bias : array_like, optional
            The normalisation's own scale and shift, of the same shape and dtype; 1 and 0 if
            left out.
        eps : float
            What is added to the variance.

        Returns
        -------
        Layer
            A new layer of the same class. It has a bias, whether or not this one has.

        Raises
        ------
        ValueError
            Where a shape is not (C_out,), a variance or eps is negative, or their sum is zero.
        TypeError
            Where a dtype is not the layer's, or eps is no number.

        Notes
        -----
        The order of the arguments and their meaning are those of
        `torch.nn.functional.batch_norm` in evaluation. Weight and bias are computed in float64
        and rounded once. The normalisation comes between the sums and the layer's activation,
        which the new layer has too.

        Examples
        --------
        >>> import numpy as np, gconv
        >>> layer = gconv.Conv1d([[[1.0, 1.0]]], [3.0])
        >>> folded = layer.fold_batch_norm(mean=[2.0], var=[4.0], weight=[10.0], eps=0.0)
        >>> folded.weight, folded.bias
        (array([[[5., 5.]]]), array([5.]))
        """
        name = f"{type(self).__name__}.fold_batch_norm"
        channels = self._parameters.out_channels
        given: dict[str, Any] = {"mean": mean, "var": var, "weight": weight, "bias": bias}
        values = {"weight": np.ones(channels), "bias": np.zeros(channels)}
        for argument, value in given.items():
            if value is None and argument in values:
                continue
            array = arrays.operand_like(name, argument, arrays.detached(value), self.weight)
            if array.shape != (channels,):
                raise ValueError(
                    f"{name}: {argument} must have shape ({channels},), one value for each "
                    f"output channel, got {array.shape}"
                )
            values[argument] = array.astype(np.float64)
        if isinstance(eps, bool) or not isinstance(eps, (int, float, np.integer, np.floating)):
            raise TypeError(f"{name}: eps must be a number, got {eps!r}")
        if not (0 <= eps < math.inf):
            raise ValueError(f"{name}: eps must be finite and not negative, got {eps!r}")
        for channel, variance in enumerate(values["var"]):
            if variance < 0 or variance + eps == 0:
                raise ValueError(
                    f"{name}: var must not be negative, nor zero with eps=0, got {variance} for "
                    f"channel {channel} with eps={eps!r}"
                )
        scale = values["weight"] / np.sqrt(values["var"] + float(eps))
        old_bias = np.zeros(channels) if self.bias is None else self.bias.astype(np.float64)
        new_bias = (old_bias - values["mean"]) * scale + values["bias"]
        groups = self._parameters.groups
        # The weight's first axis is that of the groups; in a group, one axis is that of the
        # output channels.
        shape = [groups] + [1] * self.weight.ndim
        shape[1 + self.out_channel_axis] = channels // groups
        rows, *rest = self.weight.shape
        grouped = self.weight.reshape(groups, rows // groups, *rest).astype(np.float64)
        new_weight = (grouped * scale.reshape(shape)).reshape(self.weight.shape)
        dtype = self.weight.dtype
        return type(self)(new_weight.astype(dtype), new_bias.astype(dtype), **self._settings)

    def _call(
        self,
        x: ArrayLike,
        residual: ArrayLike | None,
        out: Array | None,
        num_threads: int | None,
    ) -> Array:
        """The whole way; the next call like it takes a short cut."""
        if type(x) is not np.ndarray:  # as an array it may take one already
            x, _, _ = arrays.operands(type(self).__name__, x, self.weight, self.bias)
            return self(x, residual=residual, out=out, num_threads=num_threads)
        return run.convolve(
            type(self).__name__, x, self.weight, self.bias, residual, out, num_threads,
            parameters_of=lambda weight_shape, bias_shape: self._parameters,
            packed_for=self._packed_for,
            keep=self._keep,
            channel_major=self.channel_major,
        )

    def _packed_for(self, plan: call.Plan) -> Array | None:
        """The weights as a plan wants them, packed once for all plans that want the same."""
        packed, dropped = self._packings.packed_for(plan.layout, self.weight)
        if dropped:
            self._forget()
        return packed

    def _forget(self) -> None:
        """Drop everything that keeps a packing alive."""
        object.__setattr__(self, "_short_cuts", ())

    def _keep(self, short_cut: call.ShortCut) -> None:
        """Keep a short cut, in front of the last ones."""
        others = [old for old in self._short_cuts if not short_cut.replaces(old)]
        kept = (short_cut, *others[: MOST_SHORT_CUTS - 1])
        object.__setattr__(self, "_short_cuts", kept)


def _own(array: Array) -> Array:
    """A copy in C order that stays read-only: a view of it cannot be made writeable."""
    copy = np.array(array, order="C", copy=True)
    copy.flags.writeable = False
    return copy.view()


def _rebuild(
    layer: type[Layer], weight: Array, bias: Array | None, settings: dict[str, Any]
) -> Layer:
    return layer(weight, bias, **settings)


class TransposedLayer(Layer):
    """What the transposed layers of all dimensions share."""

    __slots__ = ()
    out_channel_axis = 1
    validate = Parameters.of_transposed
    weight_shape = "(C_in, C_out/groups, *kernel)"
    option_names = ("stride", "padding", "output_padding", "dilation", "groups", "activation")

    def __init__(
        self,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        *extra: object,
        stride: IntOrSequence = 1,
        padding: NumericPadding = 0,
        output_padding: IntOrSequence = 0,
        dilation: IntOrSequence = 1,
        groups: int = 1,
        activation: Activation | None = None,
    ) -> None:
        self._make(
            weight,
            bias,
            extra,
            stride=stride,
            padding=padding,
            output_padding=output_padding,
            dilation=dilation,
            groups=groups,
            activation=activation,
        )


# ---- the public layers: a class for each number of dimensions ---------------------------------

_DESCRIPTION = """Grouped {convolution} over {axes}, as a layer.

Parameters
----------
weight : array_like
    Shape {weight_shape}; copied.
bias : array_like, optional
    Shape (C_out,); copied.
{options}
    As in `{function}`.

Raises
------
ValueError, TypeError
    As `{function}`, for whatever does not depend on the input.

Notes
-----
``layer(x, *, residual=None, out=None, num_threads=None)`` convolves x as `{function}`
does, with the same errors and the same order of the result in memory. Any number of threads
may call one layer at once.

Examples
--------
{examples}"""
_AXES = {1: "one spatial dimension", 2: "two spatial dimensions", 3: "three spatial dimensions"}
_KERNELS = {1: "k", 2: "kH, kW", 3: "kD, kH, kW"}


def described(layer: type[_L]) -> type[_L]:
    """Complete the docstring of a public layer, whose own text is its examples."""
    if layer.__doc__ is not None:  # as with python -OO
        transposed = issubclass(layer, TransposedLayer)
        layer.__doc__ = _DESCRIPTION.format(
            convolution="transposed convolution" if transposed else "convolution",
            axes=_AXES[layer.dimensions],
            weight_shape=layer.weight_shape.replace("*kernel", _KERNELS[layer.dimensions]),
            options=", ".join(layer.option_names),
            function=f"conv{'_transpose' if transposed else ''}{layer.dimensions}d",
            examples=cleandoc(layer.__doc__),  # Python 3.13 has done that itself
        )
    return layer


@described
class Conv1d(Layer):
    """
    >>> import numpy as np, gconv
    >>> causal = gconv.Conv1d(np.ones((8, 1, 4), np.float32), padding=((3, 0),), groups=8)
    >>> causal(np.ones((2, 8, 100), np.float32)).shape
    (2, 8, 100)
    """

    __slots__ = ()
    dimensions = 1


@described
class Conv2d(Layer):
    """
    >>> import numpy as np, gconv
    >>> layer = gconv.Conv2d(np.ones((9, 1, 3, 3), np.float32), padding=1, groups=3)
    >>> layer
    Conv2d(3, 9, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), groups=3, bias=False)
    >>> layer(np.ones((1, 3, 64, 64), np.float32)).shape
    (1, 9, 64, 64)
    """

    __slots__ = ()
    dimensions = 2


@described
class Conv3d(Layer):
    """
    >>> import numpy as np, gconv
    >>> layer = gconv.Conv3d(np.ones((4, 1, 3, 3, 3)), padding="same", groups=4)
    >>> layer.out_shape((4, 8, 28, 28))
    (4, 8, 28, 28)
    """

    __slots__ = ()
    dimensions = 3


@described
class ConvTranspose1d(TransposedLayer):
    """
    >>> import numpy as np, gconv
    >>> layer = gconv.ConvTranspose1d(np.ones((8, 4, 16), np.float32), stride=8, padding=4)
    >>> layer(np.ones((1, 8, 100), np.float32)).shape
    (1, 4, 800)
    """

    __slots__ = ()
    dimensions = 1


@described
class ConvTranspose2d(TransposedLayer):
    """
    >>> import numpy as np, gconv
    >>> layer = gconv.ConvTranspose2d(np.ones((6, 2, 4, 4)), stride=2, padding=1, groups=3)
    >>> layer.out_shape((1, 6, 28, 28))
    (1, 6, 56, 56)
    >>> gconv.ConvTranspose2d(np.ones((6, 2, 3, 3)), stride=2, output_padding=1)
    ConvTranspose2d(6, 2, kernel_size=(3, 3), stride=(2, 2), output_padding=(1, 1), bias=False)
    """

    __slots__ = ()
    dimensions = 2


@described
class ConvTranspose3d(TransposedLayer):
    """
    >>> import numpy as np, gconv
    >>> layer = gconv.ConvTranspose3d(np.ones((4, 2, 2, 2, 2), np.float32), stride=2)
    >>> layer(np.ones((4, 5, 6, 7), np.float32)).shape
    (2, 10, 12, 14)
    """

    __slots__ = ()
    dimensions = 3
