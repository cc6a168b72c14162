"""Causal convolution over one dimension: on a whole signal, or on a stream chunk by chunk."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from numpy.typing import ArrayLike

from gconv._api.layers import Layer
from gconv._call import arrays, isa, threads
from gconv._call.arrays import Array
from gconv._call.geometry import Activation, IntOrSequence
from gconv._engine import call
from gconv._plan import choose


class CausalConv1d(Layer):
    """Causal grouped convolution over one dimension: no output depends on a later input.

    Parameters
    ----------
    weight : array_like
        Shape (C_out, C_in/groups, k); copied.
    bias : array_like, optional
        Shape (C_out,); copied.
    dilation, groups, activation
        As in `conv1d`.

    Raises
    ------
    ValueError, TypeError
        As `conv1d`, for whatever does not depend on the input.

    Notes
    -----
    ``layer(x, *, residual=None, out=None, num_threads=None)`` convolves a whole signal: it is
    `conv1d` with ``padding=((dilation * (k - 1), 0),)``, so that y is as long as x. `step`
    convolves the next samples of a stream. Both give the same bits, whatever the chunks'
    lengths: products are added in one order, channel by channel and tap by tap, and the zeros
    before the first sample take part as zeros do that are given. (`Conv1d` with this padding
    adds them in an order that may depend on the length.)

    Any number of threads may call one layer at once; a stream's steps follow each other, as
    each needs the state of the one before.

    Examples
    --------
    >>> import numpy as np, gconv
    >>> layer = gconv.CausalConv1d(np.ones((8, 1, 4), np.float32), groups=8)
    >>> signal = np.random.default_rng(0).random((2, 8, 100), dtype=np.float32)
    >>> state, chunks = None, []
    >>> for begin in range(0, 100, 7):
    ...     y, state = layer.step(signal[:, :, begin : begin + 7], state)
    ...     chunks.append(y)
    >>> np.array_equal(np.concatenate(chunks, axis=2), layer(signal))
    True
    """

    __slots__ = ("_steps",)
    dimensions = 1
    channel_major = True

    _steps: dict[tuple[int, ...], call.Step]  # by the chunk's shape
    _most_steps = 32

    def __init__(
        self,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        *extra: object,
        dilation: IntOrSequence = 1,
        groups: int = 1,
        activation: Activation | None = None,
    ) -> None:
        if extra or isinstance(weight, int):
            raise TypeError(
                "CausalConv1d is made from trained weights, not from channel counts: "
                "CausalConv1d(weight, bias, *, dilation=1, groups=1, activation=None), with a "
                "weight of shape (C_out, C_in/groups, *kernel)"
            )
        super().__init__(
            weight, bias, dilation=dilation, groups=groups, activation=activation
        )
        unpadded = self._parameters
        past = (unpadded.kernel[0] - 1) * unpadded.dilation[0]
        fields: dict[str, object] = {
            "_parameters": unpadded._replace(padding=((past, 0),)),
            "_settings": {
                "dilation": unpadded.dilation,
                "groups": unpadded.groups,
                "activation": unpadded.activation,
            },
            "_steps": {},
        }
        for field, value in fields.items():
            object.__setattr__(self, field, value)

    def __repr__(self) -> str:
        p = self._parameters
        parts = [str(p.in_channels), str(p.out_channels), f"kernel_size={p.kernel}"]
        if p.dilation != (1,):
            parts.append(f"dilation={p.dilation}")
        if p.groups != 1:
            parts.append(f"groups={p.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if p.activation is not None:
            parts.append(f"activation={p.activation!r}")
        return f"CausalConv1d({', '.join(parts)})"

    def step(
        self, chunk: ArrayLike, state: ArrayLike | None, *, num_threads: int | None = None
    ) -> tuple[Array, Array]:
        """Convolve the next samples of a stream.

        Parameters
        ----------
        chunk : array_like
            Shape (N, C_in, L) with L of at least 1, or (C_in, L) for one stream; of the layer's
            dtype.
        state : array_like or None
            The samples before the chunk, as the step before returned them: shape
            (N, C_in, dilation * (k - 1)), without N for one stream. None is the beginning of a
            stream: zeros.
        num_threads : int, optional
            As in `conv1d`.

        Returns
        -------
        y : numpy.ndarray
            Shape (N, C_out, L), or (C_out, L) for one stream.
        state : numpy.ndarray
            The state for the next step: a new array that shares no memory with any other.

        Raises
        ------
        ValueError
            Where chunk or state has the wrong shape.
        TypeError
            Where one of them is not of the layer's dtype.

        Notes
        -----
        Besides its results a step needs memory for a copy of state and chunk. Steps of a few
        chunk shapes are prepared once: streams should not come in chunks of ever new lengths.

        Examples
        --------
        The difference to the sample before, one sample at a time:

        >>> import numpy as np, gconv
        >>> layer = gconv.CausalConv1d([[[-1.0, 1.0]]])
        >>> y, state = layer.step([[5.0]], None)
        >>> y, state = layer.step([[7.0]], state)
        >>> y, state
        (array([[2.]]), array([[7.]]))
        """
        try:
            step = self._steps.get(getattr(chunk, "shape", ()))
        except TypeError:  # the shape of some packages' arrays is a list
            step = None
        if step is not None:
            result = step(chunk, state, self.weight, self.bias, num_threads)
            if result is not NotImplemented:
                return result
        return self._step(chunk, state, num_threads)

    def _step(
        self, chunk: ArrayLike, state: ArrayLike | None, num_threads: int | None
    ) -> tuple[Array, Array]:
        """The whole way: everything is checked, and made what a prepared step takes."""
        name = f"{type(self).__name__}.step"
        workers = threads.resolve(name, num_threads)
        chunk = arrays.operand_like(name, "chunk", chunk, self.weight)
        p = self._parameters
        if chunk.ndim not in (2, 3):
            raise ValueError(
                f"{name}: chunk must have 3 dimensions (N, C_in, L), or 2 for one stream, "
                f"got shape {chunk.shape}"
            )
        if chunk.shape[-2] != p.in_channels:
            raise ValueError(
                f"{name}: chunk must have {p.in_channels} channels to go with a weight of shape "
                f"{self.weight.shape} and groups={p.groups}, got {chunk.shape[-2]} "
                f"(shape {chunk.shape})"
            )
        if chunk.shape[-1] == 0:
            raise ValueError(
                f"{name}: chunk must have at least one sample, got shape {chunk.shape}"
            )
        if state is not None:
            state = arrays.operand_like(name, "state", state, self.weight)
            wanted = self._state_shape(chunk.shape)
            if state.shape != wanted:
                raise ValueError(
                    f"{name}: state must have shape {wanted} to go with a chunk of shape "
                    f"{chunk.shape}, got {state.shape}"
                )
            state = _in_c_order(state)
        step = self._steps.get(chunk.shape)
        if step is None:
            step = self._prepared(chunk)
            self._steps[chunk.shape] = step
            if len(self._steps) > self._most_steps:
                self._drop_a_step()
        return step(_in_c_order(chunk), state, self.weight, self.bias, workers)

    def _state_shape(self, chunk_shape: tuple[int, ...]) -> tuple[int, ...]:
        p = self._parameters
        return (*chunk_shape[:-1], (p.kernel[0] - 1) * p.dilation[0])

    def _prepared(self, chunk: Array) -> call.Step:
        """The step for chunks of this shape: a convolution, without padding, of a buffer that
        holds state and chunk."""
        state_shape = self._state_shape(chunk.shape)
        length = state_shape[-1] + chunk.shape[-1]
        parameters = self._parameters._replace(padding=((0, 0),))
        geometry = parameters.applied_to((*chunk.shape[:-1], length), chunk.itemsize)
        plan = choose.plan_for(
            geometry,
            chunk.dtype,
            (0, length * chunk.itemsize, chunk.itemsize),
            isa.machine(chunk.dtype),
            channel_major=True,
            room=True,
        )
        return call.Step(plan, self._packed_for(plan), chunk.shape, state_shape,
                         geometry.out_shape, chunk.dtype)

    def _forget(self) -> None:
        super()._forget()
        self._steps.clear()

    def _drop_a_step(self) -> None:
        """Forget the oldest; another thread may be at it too."""
        with suppress(RuntimeError, StopIteration):
            self._steps.pop(next(iter(self._steps)), None)


def _in_c_order(array: Array) -> Array:
    """The array as a prepared step takes it: of no subclass, and in C order."""
    return np.ascontiguousarray(array)
