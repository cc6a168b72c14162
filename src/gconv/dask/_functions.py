"""Convolutions on Dask arrays, as functions."""

from __future__ import annotations

from typing import Any, TypeAlias

import dask.array as da
import numpy as np
from numpy.typing import ArrayLike

from gconv._api.functional import bank_operands
from gconv._call import arrays
from gconv._call.geometry import (
    Activation,
    IntOrSequence,
    NumericPadding,
    Padding,
    parameters_of,
)
from gconv._call.threads import checked
from gconv.dask import _tasks
from gconv.dask._checks import check_channels, check_x, stand_in, unwrapped
from gconv.dask._graph import Operands, convolution

Operand: TypeAlias = ArrayLike | da.Array


def conv1d(
    x: da.Array,
    weight: Operand,
    bias: Operand | None = None,
    stride: IntOrSequence = 1,
    padding: Padding = 0,
    dilation: IntOrSequence = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    activation: Activation | None = None,
    residual: Operand | None = None,
    num_threads: int | None = 1,
) -> da.Array:
    """`gconv.conv1d` on a Dask array, chunk by chunk.

    The parameters are those of `gconv.conv1d`; arrays, chunks, threads and the result are
    as in `conv2d`.

    Examples
    --------
    >>> import dask.array as da, numpy as np, gconv.dask
    >>> x = da.arange(8, chunks=2, dtype=np.float64).reshape(1, 8)
    >>> gconv.dask.conv1d(x, np.ones((1, 1, 5))).compute()
    array([[10., 15., 20., 25.]])
    """
    return _call("conv1d", x, weight, bias,
                 (stride, padding, dilation, groups, padding_mode),
                 activation, residual, num_threads)


def conv2d(
    x: da.Array,
    weight: Operand,
    bias: Operand | None = None,
    stride: IntOrSequence = 1,
    padding: Padding = 0,
    dilation: IntOrSequence = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    activation: Activation | None = None,
    residual: Operand | None = None,
    num_threads: int | None = 1,
) -> da.Array:
    """`gconv.conv2d` on a Dask array, chunk by chunk.

    Parameters
    ----------
    x : dask.array.Array
        Shape (N, C_in, H, W), or (C_in, H, W) for one image; xarray's objects that hold one are
        taken as the array. Chunks may cut it anywhere along the
        batch and the spatial axes, and along the channels between groups.
    weight, bias : array_like or dask.array.Array
        As in `gconv.conv2d`. They become one node of the graph; each worker process packs the
        weight once.
    stride, padding, dilation, groups, padding_mode, activation
        As in `gconv.conv2d`.
    residual : array_like or dask.array.Array, optional
        As in `gconv.conv2d`; its chunks are made those of the result.
    num_threads : int or None
        How many threads each task may use: one, since the scheduler runs a task on every thread
        of its own. None leaves it to `gconv.get_num_threads` of the worker.

    Returns
    -------
    dask.array.Array
        Of the shape and dtype that `gconv.conv2d` gives. Nothing is computed yet. The chunks
        divide it as those of x divide x: a result of the size of x has the chunks of x.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As `gconv.conv2d`, when the graph is built; and where the chunks of x cut a group of
        channels, or have unknown sizes.

    Notes
    -----
    Each task reads the elements of x that its outputs meet and no others, from as many chunks as
    they lie in; chunks may be smaller than the kernel. The parts that others read of a chunk are
    cut out where the chunk is, so that workers send each other no more than these.

    Examples
    --------
    >>> import dask.array as da, numpy as np, gconv.dask
    >>> x = da.ones((8, 3, 1000, 1000), chunks=(1, 3, 500, 500), dtype=np.float32)
    >>> weight = np.ones((6, 1, 3, 3), np.float32)
    >>> y = gconv.dask.conv2d(x, weight, padding=1, groups=3)
    >>> y.shape, y.chunks[2:]
    ((8, 6, 1000, 1000), ((500, 500), (500, 500)))
    >>> y[0, 0, 498:502, 0].compute()
    array([6., 6., 6., 6.], dtype=float32)
    """
    return _call("conv2d", x, weight, bias,
                 (stride, padding, dilation, groups, padding_mode),
                 activation, residual, num_threads)


def conv3d(
    x: da.Array,
    weight: Operand,
    bias: Operand | None = None,
    stride: IntOrSequence = 1,
    padding: Padding = 0,
    dilation: IntOrSequence = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    activation: Activation | None = None,
    residual: Operand | None = None,
    num_threads: int | None = 1,
) -> da.Array:
    """`gconv.conv3d` on a Dask array, chunk by chunk.

    The parameters are those of `gconv.conv3d`; arrays, chunks, threads and the result are
    as in `conv2d`.

    Examples
    --------
    >>> import dask.array as da, numpy as np, gconv.dask
    >>> x = da.ones((1, 4, 64, 64, 64), chunks=(1, 2, 32, 32, 32))
    >>> gconv.dask.conv3d(x, np.ones((4, 1, 3, 3, 3)), padding=1, groups=4).numblocks
    (1, 2, 2, 2, 2)
    """
    return _call("conv3d", x, weight, bias,
                 (stride, padding, dilation, groups, padding_mode),
                 activation, residual, num_threads)


def conv_transpose1d(
    x: da.Array,
    weight: Operand,
    bias: Operand | None = None,
    stride: IntOrSequence = 1,
    padding: NumericPadding = 0,
    output_padding: IntOrSequence = 0,
    groups: int = 1,
    dilation: IntOrSequence = 1,
    *,
    activation: Activation | None = None,
    residual: Operand | None = None,
    num_threads: int | None = 1,
) -> da.Array:
    """`gconv.conv_transpose1d` on a Dask array, chunk by chunk.

    The parameters are those of `gconv.conv_transpose1d`; arrays, chunks, threads and the result are
    as in `conv2d`.

    Examples
    --------
    >>> import dask.array as da, numpy as np, gconv.dask
    >>> x = da.from_array(np.array([[1.0, 2.0, 3.0]]), chunks=(1, 2))
    >>> gconv.dask.conv_transpose1d(x, np.array([[[1.0, 10.0, 100.0]]]), stride=2).compute()
    array([[  1.,  10., 102.,  20., 203.,  30., 300.]])
    """
    return _call("conv_transpose1d", x, weight, bias,
                 (stride, padding, output_padding, groups, dilation),
                 activation, residual, num_threads)


def conv_transpose2d(
    x: da.Array,
    weight: Operand,
    bias: Operand | None = None,
    stride: IntOrSequence = 1,
    padding: NumericPadding = 0,
    output_padding: IntOrSequence = 0,
    groups: int = 1,
    dilation: IntOrSequence = 1,
    *,
    activation: Activation | None = None,
    residual: Operand | None = None,
    num_threads: int | None = 1,
) -> da.Array:
    """`gconv.conv_transpose2d` on a Dask array, chunk by chunk.

    The parameters are those of `gconv.conv_transpose2d`; arrays, chunks, threads and the result are
    as in `conv2d`.

    Examples
    --------
    >>> import dask.array as da, numpy as np, gconv.dask
    >>> x = da.ones((1, 3, 100, 100), chunks=(1, 1, 50, 100))
    >>> y = gconv.dask.conv_transpose2d(x, np.ones((3, 1, 4, 4)), stride=2, padding=1, groups=3)
    >>> y.chunks
    ((1,), (1, 1, 1), (100, 100), (200,))
    """
    return _call("conv_transpose2d", x, weight, bias,
                 (stride, padding, output_padding, groups, dilation),
                 activation, residual, num_threads)


def conv_transpose3d(
    x: da.Array,
    weight: Operand,
    bias: Operand | None = None,
    stride: IntOrSequence = 1,
    padding: NumericPadding = 0,
    output_padding: IntOrSequence = 0,
    groups: int = 1,
    dilation: IntOrSequence = 1,
    *,
    activation: Activation | None = None,
    residual: Operand | None = None,
    num_threads: int | None = 1,
) -> da.Array:
    """`gconv.conv_transpose3d` on a Dask array, chunk by chunk.

    The parameters are those of `gconv.conv_transpose3d`; arrays, chunks, threads and the result are
    as in `conv2d`.

    Examples
    --------
    >>> import dask.array as da, numpy as np, gconv.dask
    >>> x = da.ones((4, 10, 20, 20), chunks=(4, 5, 20, 20))
    >>> gconv.dask.conv_transpose3d(x, np.ones((4, 2, 2, 2, 2)), stride=2).chunks
    ((2,), (10, 10), (40,), (40,))
    """
    return _call("conv_transpose3d", x, weight, bias,
                 (stride, padding, output_padding, groups, dilation),
                 activation, residual, num_threads)


def filter_bank(
    x: da.Array,
    kernels: Operand,
    *,
    stride: IntOrSequence = 1,
    padding: Padding = 0,
    dilation: IntOrSequence = 1,
    padding_mode: str = "zeros",
    activation: Activation | None = None,
    num_threads: int | None = 1,
) -> da.Array:
    """`gconv.filter_bank` on a Dask array, chunk by chunk: every kernel on every channel.

    The parameters are those of `gconv.filter_bank`; arrays, chunks, threads and the result are as
    in `conv2d`. Chunks may cut the channels anywhere; the responses of all kernels are one chunk.

    Examples
    --------
    >>> import dask.array as da, numpy as np, gconv.dask
    >>> pages = da.ones((100, 1, 2000, 3000), chunks=(1, 1, 1000, 3000), dtype=np.float32)
    >>> kernels = np.array([[[-1, 0, 1]] * 3, [[1, 1, 1]] * 3], np.float32)
    >>> responses = gconv.dask.filter_bank(pages, kernels, padding="same")
    >>> responses.shape, responses.chunksize
    ((100, 1, 2, 2000, 3000), (1, 1, 2, 1000, 3000))
    """
    name = "filter_bank"
    _check_threads(name, num_threads)
    x, kernels = unwrapped(x), unwrapped(kernels)
    check_x(name, x)
    like_x, bank, parameters = bank_operands(
        stand_in(name, "x", x), stand_in(name, "kernels", kernels),
        (stride, padding, dilation), padding_mode, activation,
    )
    geometry = parameters.applied_to(like_x.shape, like_x.itemsize)
    operands = Operands(x, _own(kernels, bank))
    return convolution(
        _tasks.Bank, operands, parameters, geometry, num_threads, extra_axis=len(bank)
    )


def _call(
    name: str,
    x: da.Array,
    weight: Operand,
    bias: Operand | None,
    options: tuple[object, ...],
    activation: Activation | None,
    residual: Operand | None,
    num_threads: int | None,
) -> da.Array:
    """An operator on its operands; `options` in the order in which its validation takes them."""
    _check_threads(name, num_threads)
    x, weight, bias, residual = map(unwrapped, (x, weight, bias, residual))
    check_x(name, x)
    like_x, like_weight, like_bias = arrays.operands(
        name, stand_in(name, "x", x), stand_in(name, "weight", weight),
        stand_in(name, "bias", bias),
    )
    bias_shape = None if like_bias is None else like_bias.shape
    parameters = parameters_of(name, options, activation, like_weight.shape, bias_shape)
    geometry = parameters.applied_to(like_x.shape, like_x.itemsize)
    if residual is not None:
        like_residual = arrays.residual_for(
            name, stand_in(name, "residual", residual), geometry.out_shape, like_x.dtype
        )
        residual = residual if isinstance(residual, da.Array) else like_residual
    check_channels(name, x, geometry)
    operands = Operands(x, _own(weight, like_weight), _own(bias, like_bias), residual)
    return convolution(_tasks.Convolution, operands, parameters, geometry, num_threads)


def _check_threads(name: str, num_threads: int | None) -> None:
    if num_threads is not None:
        checked(name, num_threads)


def _own(given: Any, array: Any) -> Any:
    """A Dask array as it is; a copy of anything else, which whoever gave it may change later."""
    return given if array is None or isinstance(given, da.Array) else np.array(array, order="C")
