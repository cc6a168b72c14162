"""Convolutions as functions, shaped as in `torch.nn.functional`, and the filter bank."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from gconv._call import arrays, isa, run, threads
from gconv._call.arrays import Array
from gconv._call.geometry import (
    Activation,
    IntOrSequence,
    NumericPadding,
    Padding,
    Parameters,
    parameters_of,
)
from gconv._engine import call
from gconv._plan.choose import BoundedCache

# The kinds of calls made last, each with its short cut. A short cut keeps its plan alive.
SHORT_CUT_BYTES = 8 * 2**20
short_cuts: BoundedCache[call.ShortCut] = BoundedCache(SHORT_CUT_BYTES)


def conv1d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: IntOrSequence = 1,
    padding: Padding = 0,
    dilation: IntOrSequence = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    activation: Activation | None = None,
    residual: ArrayLike | None = None,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """Grouped convolution (cross-correlation) over one spatial dimension.

    The parameters are those of `conv2d`, with one spatial dimension: x of shape (N, C_in, L) or
    (C_in, L), weight of shape (C_out, C_in/groups, k). Padding on one side only is one pair in a
    sequence: ``padding=((k - 1, 0),)`` is a causal convolution.

    Returns
    -------
    numpy.ndarray
        Shape (N, C_out, L_out), or (C_out, L_out) for an unbatched x.

    See Also
    --------
    conv2d : all parameters, errors and notes.

    Examples
    --------
    >>> import numpy as np, gconv
    >>> x = np.array([[1.0, 2.0, 3.0, 4.0]])
    >>> gconv.conv1d(x, np.array([[[1.0, 10.0]]]))
    array([[21., 32., 43.]])
    """
    return _call("conv1d", x, weight, bias, (stride, padding, dilation, groups, padding_mode),
                 activation, residual, out, num_threads)


def conv2d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: IntOrSequence = 1,
    padding: Padding = 0,
    dilation: IntOrSequence = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    activation: Activation | None = None,
    residual: ArrayLike | None = None,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """Grouped convolution (cross-correlation) over two spatial dimensions.

    Input and output channels are divided into `groups` equal parts, and each part of the output
    sees its own part of the input only: groups=1 is the full convolution, groups=C_in the
    depthwise one, with C_out / C_in filters for each channel.

    Parameters
    ----------
    x : array_like
        Shape (N, C_in, H, W), or (C_in, H, W) for one image. float32 or float64, any strides.
    weight : array_like
        Shape (C_out, C_in/groups, kH, kW), of the dtype of x.
    bias : array_like, optional
        Shape (C_out,), of the dtype of x.
    stride : int or sequence of int
        At least 1; one for all spatial dimensions, or one for each.
    padding : int, sequence of int, sequence of (before, after) pairs, or str
        Elements added around x: one number for all sides, one for each spatial dimension, or a
        pair for each. ``"valid"``: none. ``"same"``: as PyTorch, for stride 1. ``"same_upper"`` and
        ``"same_lower"``: as ONNX, for any stride.
    dilation : int or sequence of int
        Distance between neighbouring taps, at least 1.
    groups : int
        Must divide C_in and C_out.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What the padding holds. ``"reflect"``: x mirrored about its first and last elements,
        which are not repeated; less padding than x has elements. ``"replicate"``: the nearest
        element of x. ``"circular"``: the other end of x; no more padding than x has elements.
        None of these pads a dimension that is empty.
    activation : str or tuple, optional
        What is done to the sums: ``"relu"``, ``"relu6"``, ``("clip", lo, hi)``,
        ``("leaky_relu", slope)``, ``"sigmoid"``, ``"tanh"``, ``"silu"``, ``"gelu"``,
        ``"gelu_tanh"``, ``"hardsigmoid"`` or ``"hardswish"``.
    residual : array_like, optional
        Added before the activation: of the shape and dtype of the result, nothing is broadcast.
        It may be `out` itself.
    out : numpy.ndarray, optional
        Where to put the result: of its shape and dtype, any strides. May overlap the inputs. Some
        channels of a larger array, ``buffer[:, 16:32]``, in the memory order that a new result
        would have, are written as fast as a new array; any other takes one pass more. The bits
        are those of a new array.
    num_threads : int, optional
        At least 1; see `get_num_threads` for the default. The result does not depend on it.

    Returns
    -------
    numpy.ndarray
        Shape (N, C_out, H_out, W_out), or (C_out, H_out, W_out) for an unbatched x, where
        ``H_out = (H + before + after - dilation * (kH - 1) - 1) // stride + 1``.
        Channels-last in memory where x is, C order otherwise (also where x is both: see the
        notes); `out` itself where it is given.

    Raises
    ------
    ValueError
        Where shapes, groups, stride, padding or dilation do not fit each other, the padding is
        too much for its mode, the activation is unknown or malformed, `residual` has the wrong
        shape, or `out` has, is read-only or overlaps itself.
    TypeError
        Where a dtype is not supported, dtypes differ (nothing is promoted silently), or a
        parameter is not an integer (`padding_mode`: not a string; `activation`: neither that nor
        a tuple).
    MemoryError
        Where the result is too large.

    Notes
    -----
    The semantics are those of `torch.nn.functional.conv2d` [1]_; the padding names
    ``"same_upper"`` and ``"same_lower"`` are ONNX's ``auto_pad`` [2]_, and the padding modes
    those of `torch.nn.Conv2d` [3]_: NumPy's `pad` has ``"reflect"`` too and calls the others
    ``"edge"`` and ``"wrap"``; in `scipy.ndimage` ``"mirror"`` is our ``"reflect"``. Sums are
    taken in the precision of the operands. Infinities and NaNs in x propagate as in the plain
    sum; where a *weight* is not finite and meets padding of zeros, whether the result is NaN is
    not specified.

    Activations are applied to outputs while these are in registers or in the cache; NaN stays NaN
    in all of them. ``"sigmoid"``, ``"tanh"`` and ``"silu"`` (x times the sigmoid of x) are within
    4 units in the last place of their exact values, for every x; at minus infinity silu is 0.
    ``"gelu"`` is ``x * (1 + erf(x / sqrt(2))) / 2``, and ``"gelu_tanh"`` is
    ``x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2``: they are as close for x from -1
    on; below, where they vanish, they are within 4 units or ``1e-7 * abs(x)`` (float64:
    ``1e-16 * abs(x)``), and at minus infinity 0. ``"hardsigmoid"`` is ``clip(x + 3, 0, 6) / 6``
    and ``"hardswish"`` x times that, likewise 0 there, ``("leaky_relu", slope)`` is ``slope * x``
    below 0 and x elsewhere, ``"relu6"`` is ``("clip", 0, 6)``; bounds and slope are rounded to
    the dtype.

    An x of one channel, or of one pixel, lies in memory as C order and as channels-last at once:
    grey images (N, H, W, 1) seen as (N, 1, H, W), say. C order is taken, so that the result,
    turned back to (N, H, W, C), is not contiguous. Where it shall be, give an `out` in that order
    (one pass more over the result): ``y = numpy.empty((N, H_out, W_out, C_out), x.dtype)``, and
    ``out=y.transpose(0, 3, 1, 2)``.

    References
    ----------
    .. [1] https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv2d.html
    .. [2] https://onnx.ai/onnx/operators/onnx__Conv.html
    .. [3] https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html

    Examples
    --------
    Two filters on each of three channels:

    >>> import numpy as np, gconv
    >>> x = np.ones((1, 3, 8, 8), np.float32)
    >>> weight = np.ones((6, 1, 3, 3), np.float32)
    >>> y = gconv.conv2d(x, weight, padding=1, groups=3)
    >>> y.shape
    (1, 6, 8, 8)
    >>> float(y[0, 0, 0, 0]), float(y[0, 0, 4, 4])
    (4.0, 9.0)

    A moving mean that is not darker at the edges:

    >>> mean = np.full((3, 1, 3, 3), 1 / 9, np.float32)
    >>> y = gconv.conv2d(x, mean, padding="same", groups=3, padding_mode="replicate")
    >>> bool(np.allclose(y, 1))
    True

    A residual block's last step, in place of the residual:

    >>> y = gconv.conv2d(x, mean, padding=1, groups=3, activation="relu", residual=x, out=x)
    >>> y is x, float(y[0, 0, 4, 4])
    (True, 2.0)
    """
    return _call("conv2d", x, weight, bias, (stride, padding, dilation, groups, padding_mode),
                 activation, residual, out, num_threads)


def conv3d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: IntOrSequence = 1,
    padding: Padding = 0,
    dilation: IntOrSequence = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    activation: Activation | None = None,
    residual: ArrayLike | None = None,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """Grouped convolution (cross-correlation) over three spatial dimensions.

    The parameters are those of `conv2d`, with three spatial dimensions: x of shape
    (N, C_in, D, H, W) or (C_in, D, H, W), weight of shape (C_out, C_in/groups, kD, kH, kW).

    Returns
    -------
    numpy.ndarray
        Shape (N, C_out, D_out, H_out, W_out), without N for an unbatched x.

    See Also
    --------
    conv2d : all parameters, errors and notes.

    Examples
    --------
    >>> import numpy as np, gconv
    >>> x = np.ones((1, 4, 4, 6, 6))
    >>> gconv.conv3d(x, np.ones((4, 1, 3, 3, 3)), stride=(1, 2, 2), groups=4).shape
    (1, 4, 2, 2, 2)
    """
    return _call("conv3d", x, weight, bias, (stride, padding, dilation, groups, padding_mode),
                 activation, residual, out, num_threads)


def conv_transpose1d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: IntOrSequence = 1,
    padding: NumericPadding = 0,
    output_padding: IntOrSequence = 0,
    groups: int = 1,
    dilation: IntOrSequence = 1,
    *,
    activation: Activation | None = None,
    residual: ArrayLike | None = None,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """Grouped transposed convolution over one spatial dimension.

    The parameters are those of `conv_transpose2d`, with one spatial dimension: x of shape
    (N, C_in, L) or (C_in, L), weight of shape (C_in, C_out/groups, k).

    Returns
    -------
    numpy.ndarray
        Shape (N, C_out, L_out), or (C_out, L_out) for an unbatched x.

    See Also
    --------
    conv_transpose2d : all parameters, errors and notes.

    Examples
    --------
    >>> import numpy as np, gconv
    >>> x = np.array([[1.0, 2.0, 3.0]])
    >>> gconv.conv_transpose1d(x, np.array([[[1.0, 10.0, 100.0]]]), stride=2)
    array([[  1.,  10., 102.,  20., 203.,  30., 300.]])
    """
    return _call("conv_transpose1d", x, weight, bias,
                 (stride, padding, output_padding, groups, dilation),
                 activation, residual, out, num_threads)


def conv_transpose2d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: IntOrSequence = 1,
    padding: NumericPadding = 0,
    output_padding: IntOrSequence = 0,
    groups: int = 1,
    dilation: IntOrSequence = 1,
    *,
    activation: Activation | None = None,
    residual: ArrayLike | None = None,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """Grouped transposed convolution over two spatial dimensions.

    The adjoint of `conv2d`: every element of x adds the kernel, scaled by it, to the output, and
    neighbours do so a stride apart. Also known as fractionally strided convolution, or
    deconvolution; it enlarges maps where `conv2d` with a stride reduces them.

    Parameters
    ----------
    x : array_like
        Shape (N, C_in, H, W), or (C_in, H, W) for one image. float32 or float64, any strides.
    weight : array_like
        Shape (C_in, C_out/groups, kH, kW), of the dtype of x.
    bias : array_like, optional
        Shape (C_out,), of the dtype of x.
    stride : int or sequence of int
        At least 1; one for all spatial dimensions, or one for each.
    padding : int, sequence of int, or sequence of (before, after) pairs
        How much is cropped of the output's sides: one number for all of them, one for each
        spatial dimension, or a pair for each. A `conv2d` with this padding is the adjoint.
    output_padding : int or sequence of int
        Rows and columns added at the end of the output, fewer than the stride or the dilation.
        They are computed like all the others; only their number is a matter of choice, as
        several sizes of input lead `conv2d` to one size of output.
    groups : int
        Must divide C_in; C_out is ``groups * weight.shape[1]``.
    dilation : int or sequence of int
        Distance between neighbouring taps, at least 1.
    activation : str or tuple, optional
        As in `conv2d`.
    residual : array_like, optional
        As in `conv2d`.
    out : numpy.ndarray, optional
        Where to put the result: of its shape and dtype, any strides. May overlap the inputs. Some
        channels of a larger array, ``buffer[:, 16:32]``, in the memory order that a new result
        would have, are written as fast as a new array; any other takes one pass more. The bits
        are those of a new array.
    num_threads : int, optional
        At least 1; see `get_num_threads` for the default. The result does not depend on it.

    Returns
    -------
    numpy.ndarray
        Shape (N, C_out, H_out, W_out), or (C_out, H_out, W_out) for an unbatched x, where ``H_out
        = (H - 1) * stride - before - after + dilation * (kH - 1) + output_padding + 1``.
        Channels-last in memory where x is, C order otherwise (also where x is both: see the
        notes of `conv2d`); `out` itself where it is given.

    Raises
    ------
    ValueError
        Where shapes, groups, stride, padding, output padding or dilation do not fit each other,
        the activation is unknown or malformed, `residual` has the wrong shape, or `out` has, is
        read-only or overlaps itself.
    TypeError
        Where a dtype is not supported, dtypes differ (nothing is promoted silently), or a
        parameter is not an integer (`activation`: neither a string nor a tuple).
    MemoryError
        Where the result is too large.

    Notes
    -----
    The semantics, and the order of the parameters, are those of
    `torch.nn.functional.conv_transpose2d` [1]_. No zeros are inserted into x: the outputs of each
    stride phase are an ordinary convolution with those taps of the kernel that meet them.

    References
    ----------
    .. [1] https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose2d.html

    Examples
    --------
    Twice the size by bilinear interpolation, each channel by itself:

    >>> import numpy as np, gconv
    >>> tent = np.array([0.25, 0.75, 0.75, 0.25], np.float32)
    >>> weight = np.broadcast_to(np.outer(tent, tent), (3, 1, 4, 4))
    >>> x = np.ones((1, 3, 8, 8), np.float32)
    >>> y = gconv.conv_transpose2d(x, weight, stride=2, padding=1, groups=3)
    >>> y.shape
    (1, 3, 16, 16)
    >>> float(y[0, 0, 7, 7])
    1.0
    """
    return _call("conv_transpose2d", x, weight, bias,
                 (stride, padding, output_padding, groups, dilation),
                 activation, residual, out, num_threads)


def conv_transpose3d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: IntOrSequence = 1,
    padding: NumericPadding = 0,
    output_padding: IntOrSequence = 0,
    groups: int = 1,
    dilation: IntOrSequence = 1,
    *,
    activation: Activation | None = None,
    residual: ArrayLike | None = None,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """Grouped transposed convolution over three spatial dimensions.

    The parameters are those of `conv_transpose2d`, with three spatial dimensions: x of shape
    (N, C_in, D, H, W) or (C_in, D, H, W), weight of shape (C_in, C_out/groups, kD, kH, kW).

    Returns
    -------
    numpy.ndarray
        Shape (N, C_out, D_out, H_out, W_out), without N for an unbatched x.

    See Also
    --------
    conv_transpose2d : all parameters, errors and notes.

    Examples
    --------
    >>> import numpy as np, gconv
    >>> x = np.ones((1, 4, 2, 6, 6))
    >>> gconv.conv_transpose3d(x, np.ones((4, 3, 2, 2, 2)), stride=2).shape
    (1, 3, 4, 12, 12)
    """
    return _call("conv_transpose3d", x, weight, bias,
                 (stride, padding, output_padding, groups, dilation),
                 activation, residual, out, num_threads)


def filter_bank(
    x: ArrayLike,
    kernels: ArrayLike,
    *,
    stride: IntOrSequence = 1,
    padding: Padding = 0,
    dilation: IntOrSequence = 1,
    padding_mode: str = "zeros",
    activation: Activation | None = None,
    out: Array | None = None,
    num_threads: int | None = None,
) -> Array:
    """Every kernel on every channel, the responses kept apart.

    One grouped convolution with groups = C and M filters for each group, all groups using the
    same M kernels.

    Parameters
    ----------
    x : array_like
        Shape (N, C, *spatial) or (C, *spatial), with one to three spatial dimensions. A picture
        of shape (H, W, 3) has H channels here: pass ``picture.transpose(2, 0, 1)``.
    kernels : array_like
        Shape (M, *k): M kernels with as many dimensions as x has spatial ones.
    stride, padding, dilation, padding_mode, activation, num_threads
        As in `conv2d`.
    out : numpy.ndarray, optional
        As in `conv2d`, of the shape below.

    Returns
    -------
    numpy.ndarray
        Shape (N, C, M, *out), or (C, M, *out) for an unbatched x.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As `conv2d`.

    Notes
    -----
    The channels come before the spatial dimensions, and no shape tells that they do not: as
    (C, *spatial), an x of shape (H, W, 3) is H channels of W × 3 pixels, and is filtered as such.

    Examples
    --------
    A difference and a mean on every channel of two images:

    >>> import numpy as np, gconv
    >>> images = np.random.default_rng(0).random((2, 3, 32, 32), dtype=np.float32)
    >>> kernels = np.array([[[-1, 1]], [[0.5, 0.5]]], dtype=np.float32)
    >>> gconv.filter_bank(images, kernels).shape
    (2, 3, 2, 32, 31)

    On a picture whose channels come last:

    >>> picture = np.random.default_rng(0).random((32, 48, 3), dtype=np.float32)
    >>> gconv.filter_bank(picture.transpose(2, 0, 1), kernels).shape
    (3, 2, 32, 47)
    """
    workers = threads.resolve("filter_bank", num_threads)
    x, kernels, parameters = bank_operands(
        x, kernels, (stride, padding, dilation), padding_mode, activation
    )
    geometry = parameters.applied_to(x.shape, x.itemsize)
    channels, bank = geometry.in_channels, kernels.shape[0]
    batch = geometry.out_shape[: int(geometry.batched)]
    shape = (*batch, channels, bank, *geometry.out_size)
    if out is not None:
        arrays.check_out("filter_bank", out, shape, x.dtype)
    flat = None if out is None else out.reshape(geometry.out_shape)
    kernels = np.ascontiguousarray(kernels)
    prepared = run.prepare(geometry, x, flat, kernels, packs=True, one_bank=True)
    result = run.run(geometry, prepared, kernels, None, None, workers)
    if out is None or flat is None:
        return result.reshape(shape)
    if not np.may_share_memory(flat, out):  # its strides allowed no view of that shape
        out[...] = flat.reshape(shape)
    return out


def bank_operands(
    x: ArrayLike,
    kernels: ArrayLike,
    options: tuple[IntOrSequence, Padding, IntOrSequence],
    padding_mode: str,
    activation: Activation | None,
) -> tuple[Array, Array, Parameters]:
    """The operands of `filter_bank` as arrays, and its parameters: those of the grouped
    convolution with the kernels once for each channel. `options` are stride, padding and
    dilation."""
    name = "filter_bank"
    x, kernels, _ = arrays.operands(name, x, kernels, None, weight_name="kernels")
    dims = kernels.ndim - 1
    if not 1 <= dims <= 3:
        raise ValueError(
            f"{name}: kernels must have shape (M, *k) with one to three dimensions *k, "
            f"got shape {kernels.shape}"
        )
    if x.ndim not in (dims + 1, dims + 2):
        raise ValueError(
            f"{name}: with kernels of shape {kernels.shape}, x must have {dims + 2} dimensions "
            f"(N, C, *spatial), or {dims + 1} unbatched, got shape {x.shape}"
        )
    channels, bank = x.shape[-dims - 1], kernels.shape[0]
    if channels == 0:
        raise ValueError(f"{name}: x must have at least one channel, got shape {x.shape}")
    if bank == 0:
        raise ValueError(f"{name}: there must be at least one kernel, got shape {kernels.shape}")
    weight_shape = (channels * bank, 1, *kernels.shape[1:])
    parameters = Parameters.of_convolution(
        name, dims, weight_shape, None, *options, channels, padding_mode, activation
    )
    return x, kernels, parameters


def _call(
    name: str,
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    options: tuple[object, ...],
    activation: Activation | None,
    residual: ArrayLike | None,
    out: Array | None,
    num_threads: int | None,
) -> Array:
    """An operator on its operands; `options` in the order in which its validation takes them."""
    keep: Callable[[call.ShortCut], None] = _forget
    key = call.key_of(name, x, weight, bias, options, activation, isa.setting())
    if key is None:  # perhaps because one of the three is no array yet
        x, weight, bias = arrays.operands(name, x, weight, bias)
        key = call.key_of(name, x, weight, bias, options, activation, isa.setting())
    if key is not None:
        short_cut = short_cuts.get(key)
        if short_cut is not None:
            result = short_cut(x, weight, bias, residual, out, num_threads)
            if result is not NotImplemented:
                return result
        keep = partial(short_cuts.put, key)
    return run.convolve(
        name, x, weight, bias, residual, out, num_threads,
        parameters_of=partial(parameters_of, name, options, activation), keep=keep, packs=True,
    )


def _forget(short_cut: call.ShortCut) -> None:
    pass
