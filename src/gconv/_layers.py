"""Convolutions as layers: made from trained weights once, called many times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from gconv import _arrays, _plan, _run, _threads
from gconv._arrays import Array
from gconv._engine import call
from gconv._geometry import IntOrSequence, Padding, Parameters, Shape, a_shape

if TYPE_CHECKING:
    from gconv._explain import Explanation


class Layer(call.LayerBase):
    """What the layers of all dimensions share.

    A layer never changes: its weight and bias are copies that nothing writes to, and what it
    keeps of its last call is only a short cut to the same result.
    """

    __slots__ = ("_packed", "_parameters", "_settings")
    dimensions: ClassVar[int]

    _parameters: Parameters
    _settings: dict[str, Any]
    _packed: tuple[Any, Array] | None  # what the packing depends on, and the packed weights

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
    ) -> None:
        name = type(self).__name__
        if extra or isinstance(weight, int):
            raise TypeError(
                f"{name} is made from trained weights, not from channel counts as "
                f"torch.nn.{name} is: {name}(weight, bias, *, stride=1, padding=0, dilation=1, "
                'groups=1, padding_mode="zeros"), with a weight of shape '
                "(C_out, C_in/groups, *kernel)"
            )
        weight_, _, bias_ = _arrays.operands(name, weight, weight, bias, x_name="weight")
        parameters = Parameters.of(
            name,
            self.dimensions,
            weight_.shape,
            None if bias_ is None else bias_.shape,
            stride,
            padding,
            dilation,
            groups,
            padding_mode,
        )
        settings = {
            "stride": parameters.stride,
            "padding": parameters.padding,
            "dilation": parameters.dilation,
            "groups": parameters.groups,
            "padding_mode": parameters.padding_mode,
        }
        fields = {
            "weight": _own(weight_),
            "bias": None if bias_ is None else _own(bias_),
            "_parameters": parameters,
            "_settings": settings,
            "_packed": None,
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
            parts.append(f"padding={p.padding!r}")
        if set(p.dilation) != {1}:
            parts.append(f"dilation={p.dilation}")
        if p.groups != 1:
            parts.append(f"groups={p.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if p.padding_mode != "zeros":
            parts.append(f"padding_mode={p.padding_mode!r}")
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

    def explain(self, shape: Shape, threads: int | None = None) -> Explanation:
        """Say how an input of a given shape is computed, without computing it.

        Parameters
        ----------
        shape : tuple of int
            (N, C_in, *spatial) or (C_in, *spatial), of an input in C order.
        threads : int, optional
            How many threads share the work; as many as a call would use if left out.

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
          kernel      width lanes on ..., tiles of ...
        >>> how.flops, how.as_dict()["compulsory_bytes"]
        (27095040, 6624312)
        """
        from gconv._explain import explain  # here, because few programs ask

        name = type(self).__name__
        threads = (
            _threads.resolve(name, None)
            if threads is None
            else _threads.checked(name, threads, "threads")
        )
        shape = a_shape(name, shape)
        return explain(self._parameters, self.weight, self.bias, shape, threads)

    def _call(self, x: ArrayLike, out: Array | None, num_threads: int | None) -> Array:
        """The whole way: everything is checked, and the next call like it takes a short cut."""
        name = type(self).__name__
        threads = _threads.resolve(name, num_threads)
        x, weight, bias = _arrays.operands(name, x, self.weight, self.bias)
        geometry = self._parameters.applied_to(x.shape, x.itemsize)
        if out is not None:
            _arrays.check_out(name, out, geometry.out_shape, x.dtype)
        plan = _run.plan_for(geometry, x)
        packed = self._packed_for(plan)
        if x.flags.c_contiguous:
            object.__setattr__(self, "_short_cut", _run.short_cut(geometry, plan, packed, x))
        return _run.run(geometry, plan, x, weight, packed, bias, out, threads)

    def _packed_for(self, plan: call.Plan) -> Array | None:
        """The weights as a plan wants them, packed once for all plans that want the same."""
        key = _plan.packing(plan.spec)
        if key is None:
            return None
        packed = self._packed
        if packed is None or packed[0] != key:
            object.__setattr__(self, "_short_cut", None)  # it would keep the old ones alive
            packed = (key, _plan.pack_weights(plan.spec, self.weight))
            object.__setattr__(self, "_packed", packed)
        return packed[1]


def _own(array: Array) -> Array:
    """A copy in C order that stays read-only: a view of it cannot be made writeable."""
    copy = np.array(array, order="C", copy=True)
    copy.flags.writeable = False
    return copy.view()


def _rebuild(
    layer: type[Layer], weight: Array, bias: Array | None, settings: dict[str, Any]
) -> Layer:
    return layer(weight, bias, **settings)


class Conv1d(Layer):
    """Grouped convolution over one spatial dimension, as a layer.

    Parameters
    ----------
    weight : array_like
        Shape (C_out, C_in/groups, k); copied.
    bias : array_like, optional
        Shape (C_out,); copied.
    stride, padding, dilation, groups, padding_mode
        As in `conv1d`.

    Raises
    ------
    ValueError, TypeError
        As `conv1d`, for whatever does not depend on the input.

    Notes
    -----
    ``layer(x, *, out=None, num_threads=None)`` convolves x as `conv1d` does, with the same
    errors. Any number of threads may call one layer at once.

    Examples
    --------
    >>> import numpy as np, gconv
    >>> causal = gconv.Conv1d(np.ones((8, 1, 4), np.float32), padding=((3, 0),), groups=8)
    >>> causal(np.ones((2, 8, 100), np.float32)).shape
    (2, 8, 100)
    """

    __slots__ = ()
    dimensions = 1


class Conv2d(Layer):
    """Grouped convolution over two spatial dimensions, as a layer.

    Parameters
    ----------
    weight : array_like
        Shape (C_out, C_in/groups, kH, kW); copied.
    bias : array_like, optional
        Shape (C_out,); copied.
    stride, padding, dilation, groups, padding_mode
        As in `conv2d`.

    Raises
    ------
    ValueError, TypeError
        As `conv2d`, for whatever does not depend on the input.

    Notes
    -----
    ``layer(x, *, out=None, num_threads=None)`` convolves x as `conv2d` does, with the same
    errors. Any number of threads may call one layer at once.

    Examples
    --------
    >>> import numpy as np, gconv
    >>> layer = gconv.Conv2d(np.ones((9, 1, 3, 3), np.float32), padding=1, groups=3)
    >>> layer
    Conv2d(3, 9, kernel_size=(3, 3), stride=(1, 1), padding=((1, 1), (1, 1)), groups=3, bias=False)
    >>> layer(np.ones((1, 3, 64, 64), np.float32)).shape
    (1, 9, 64, 64)
    """

    __slots__ = ()
    dimensions = 2


class Conv3d(Layer):
    """Grouped convolution over three spatial dimensions, as a layer.

    Parameters
    ----------
    weight : array_like
        Shape (C_out, C_in/groups, kD, kH, kW); copied.
    bias : array_like, optional
        Shape (C_out,); copied.
    stride, padding, dilation, groups, padding_mode
        As in `conv3d`.

    Raises
    ------
    ValueError, TypeError
        As `conv3d`, for whatever does not depend on the input.

    Notes
    -----
    ``layer(x, *, out=None, num_threads=None)`` convolves x as `conv3d` does, with the same
    errors. Any number of threads may call one layer at once.

    Examples
    --------
    >>> import numpy as np, gconv
    >>> layer = gconv.Conv3d(np.ones((4, 1, 3, 3, 3)), padding="same", groups=4)
    >>> layer.out_shape((4, 8, 28, 28))
    (4, 8, 28, 28)
    """

    __slots__ = ()
    dimensions = 3
