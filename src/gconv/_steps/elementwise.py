"""Functions of elements: sums and products of arrays, activations, scale and shift by channel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconv._engine import program
from gconv._plan.problem import NO_EPILOGUE, Epilogue, Operation
from gconv._plan.record import ENUM, INT
from gconv._steps.axes import Axis, axes_of, by_steps, collapsed, fits, walked
from gconv._steps.operand import Operand, check_array, check_float32, fixed
from gconv._steps.record import AXES, MOST_OPERANDS, Kind
from gconv._steps.step import Step, bytes_of, written

ELEMENTWISE = np.dtype(
    [
        ("function", ENUM), ("activation", ENUM), ("low", np.float64), ("high", np.float64),
        ("rows", AXES), ("size", INT), ("step", INT, MOST_OPERANDS), ("chunk", INT),
        ("chunks", INT),
    ],
    align=True,
)

Function = IntEnum("Function", program.functions)  # type: ignore[misc]  # the engine has them

# The operands of each; of multiply_add they are x, scale and shift.
UNARY = (
    "identity", "negative", "absolute", "reciprocal", "sqrt", "exp", "log", "square", "erf",
)
BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power")
TERNARY = ("multiply_add",)

# Elements that are computed at once: what they take stays in the first-level cache.
CHUNK = program.chunk

# How long a function takes, as bytes that are copied in the same time for each byte it handles.
# Measured on Zen 4, arrays in the second-level cache.
WORK = {"divide": 1.5, "sqrt": 1.5, "reciprocal": 1.5, "exp": 2, "log": 16, "erf": 16, "power": 24}
ACTIVATION_WORK = {Operation.IDENTITY: 0.0, Operation.CLAMP: 0.0, Operation.LEAKY_RELU: 0.5,
                   Operation.HARDSIGMOID: 0.5, Operation.HARDSWISH: 0.5}
EXPONENTIAL_WORK = 2.0  # of the other activations


def elementwise(
    function: str,
    inputs: Sequence[Operand],
    y: Operand,
    activation: Epilogue = NO_EPILOGUE,
) -> Step | None:
    """y = activation(function(*inputs)), element by element.

    Parameters
    ----------
    function : str
        One of UNARY, BINARY or TERNARY: NumPy's function of that name, `identity` is x itself,
        `multiply_add` is x * scale + shift. maximum and minimum are NaN where an input is.
    inputs : sequence of Operand
        As many as the function has; NumPy's rules broadcast them to y's shape.
    y : Operand
        It may be one of the inputs, but must not overlap one otherwise.
    activation : Epilogue, optional

    Returns
    -------
    Step or None
        None where the operands have too many axes that do not collapse.

    Raises
    ------
    ValueError
        Where the operands do not fit the function or each other.
    """
    arity = 1 if function in UNARY else 2 if function in BINARY else 3
    if function not in UNARY + BINARY + TERNARY or len(inputs) != arity:
        raise ValueError(f"gconv: {len(inputs)} operands for {function!r}")
    check_float32(*inputs, y)
    operands = [operand.broadcast(y.shape) for operand in inputs]
    while len(operands) < MOST_OPERANDS - 1:  # a function that has fewer reads the first again
        operands.append(operands[0])
    operands.append(y)
    axes = collapsed(by_steps(
        axes_of(y.shape, [operand.strides for operand in operands]), MOST_OPERANDS - 1))
    *rows, last = axes or [Axis(1, (1,) * MOST_OPERANDS)]
    if not fits(rows):
        return None
    chunks = -(-last.size // CHUNK)
    own = np.array(
        (
            Function[function.upper()], *activation, walked(rows), last.size, last.steps, CHUNK,
            chunks,
        ),
        ELEMENTWISE,
    )
    name = activation.activation.name.lower()
    nbytes = bytes_of(*inputs, y)
    work = WORK.get(function, 1) + ACTIVATION_WORK.get(activation.activation, EXPONENTIAL_WORK)
    return written(
        Kind.ELEMENTWISE,
        [*operands[:arity], *[None] * (MOST_OPERANDS - 1 - arity), y],
        own,
        words=function if name == "identity" else name if function == "identity"
        else f"{function}, {name}",
        items=0 if y.size == 0 else chunks * math.prod(axis.size for axis in rows),
        flops=y.size * max(arity - 1, 1),
        work=round(nbytes * work),
    )


def scale_shift(
    x: Operand,
    scale: NDArray[Any],
    shift: NDArray[Any],
    y: Operand,
    activation: Epilogue = NO_EPILOGUE,
) -> Step | None:
    """y = activation(x * scale + shift), where axis 1 of x holds the channels.

    Parameters
    ----------
    x, y : Operand
        Of one shape (batch, channels, ...); y may be x.
    scale, shift : numpy.ndarray
        A float32 for each channel.
    activation : Epilogue, optional
    """
    channels, spatial = x.shape[1], (1,) * (len(x.shape) - 2)
    check_array("scale", scale, (channels,))
    check_array("shift", shift, (channels,))
    by_channel = [fixed(array.reshape(channels, *spatial)) for array in (scale, shift)]
    step = elementwise("multiply_add", [x, *by_channel], y, activation)
    return step and Step(
        step.record, step.words.replace("multiply_add", "scale and shift"), step.flops,
        step.nbytes, (*step.keep, scale, shift),
    )
