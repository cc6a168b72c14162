"""A convolution, or a product of matrices, as a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gconv._plan.record import FLAG, INT
from gconv._steps.operand import Operand, check_float32, check_shape, fixed
from gconv._steps.record import Kind
from gconv._steps.step import Step, bytes_of, written

if TYPE_CHECKING:
    from gconv._engine.call import Plan

CONVOLUTION = np.dtype(
    [
        ("images", INT), ("x_image", INT), ("y_image", INT), ("weight_image", INT),
        ("residual_image", INT), ("pixel", INT), ("by_image", FLAG),
    ],
    align=True,
)


def convolution(
    plan: Plan,
    x: Operand,
    y: Operand,
    *,
    weight: NDArray[Any] | Operand | None = None,
    packed: NDArray[Any] | None = None,
    bias: NDArray[Any] | None = None,
    residual: Operand | None = None,
    images: int,
    weight_image: int = 0,
) -> Step | None:
    """y = activation(plan's convolution of x + bias + residual).

    Parameters
    ----------
    plan : call.Plan
    x, y : Operand
        (images, channels, *spatial). x has the plan's strides within an image. y is in the plan's
        memory order, or some channels of an array in it. The strides of the batch are free.
    weight : numpy.ndarray or Operand, optional
        In C order, of any shape; an Operand for the result of another step. It is not read where
        there are packed ones.
    packed : numpy.ndarray, optional
        The weights as the plan wants them, if it does.
    bias : numpy.ndarray, optional
    residual : Operand, optional
        It lies as y does within an image. In C order it may be y itself.
    images : int
    weight_image : int, optional
        Not 0: every image has its own weights, so many elements behind those of the one before.

    Returns
    -------
    Step or None
        None where y or the residual is not laid out as the plan writes it.

    Raises
    ------
    ValueError
        Where the shapes do not fit each other.
    """
    layout = plan.layout
    check_float32(x, y, residual)
    check_shape("residual", residual, y.shape)
    if x.shape[0] != images or y.shape[0] != images:
        raise ValueError(f"gconv: {images} images of x of shape {x.shape}, y of shape {y.shape}")
    if packed is not None and weight_image != 0:
        raise ValueError("gconv: weights that differ from image to image cannot be packed")
    pixel = pixel_of(y, layout.p.y_in_order)
    if pixel is None:
        return None
    if residual is not None and any(
        n > 1 and a != b
        for n, a, b in zip(y.shape[1:], y.strides[1:], residual.strides[1:], strict=True)
    ):
        return None
    by_image = weight_image != 0 or (
        residual is not None and images > 1 and residual.strides[0] != y.strides[0])
    own = np.array(
        (
            images, x.strides[0], y.strides[0], weight_image,
            0 if residual is None else residual.strides[0], pixel, by_image,
        ),
        CONVOLUTION,
    )
    constants = [array for array in (packed, bias) if array is not None]
    if packed is not None:
        weights = fixed(packed)
    elif isinstance(weight, Operand):
        weights = weight
    elif weight is not None:
        weights = fixed(weight)
        constants.append(weight)
    else:
        raise ValueError("gconv: a convolution without weights")
    return written(
        Kind.CONVOLUTION,
        [
            x, weights, None if packed is None else fixed(packed),
            None if bias is None else fixed(bias), residual, y,
        ],
        own,
        words=plan.layout.family.name,
        items=images,
        flops=layout.p.flops * images,
        work=bytes_of(x, y),
        keep=constants,
        plan=plan,
    )


def pixel_of(y: Operand, in_order: bool) -> int | None:
    """From a pixel of y to the next one where an engine can write it: in C order 1, otherwise the
    channels of the array that y is some of; 0 where there is one pixel, None elsewhere."""
    shape, strides = y.shape[1:], y.strides[1:]
    if y.size == 0:
        return 0
    if in_order:
        step = 1
        for n, stride in zip(reversed(shape), reversed(strides), strict=True):
            if n > 1 and stride != step:
                return None
            step *= n
        return 1
    if shape[0] > 1 and strides[0] != 1:
        return None
    pixel, pixels = 0, 1
    for n, stride in zip(reversed(shape[1:]), reversed(strides[1:]), strict=True):
        if n == 1:
            continue
        if pixel == 0:
            pixel = stride
        if stride != pixel * pixels:
            return None
        pixels *= n
    return pixel if pixel == 0 or pixel >= shape[0] else None
