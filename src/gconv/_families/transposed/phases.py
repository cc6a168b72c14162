"""A transposed convolution as ordinary ones: one for each stride phase of the output.

Along an axis of stride s, dilation d and padding b (before), input i adds w[k] x[i] to output p
where ``i * s + k * d = p + b``. The outputs p = m * s + r of phase r use the taps with
``k * d = r + b (mod s)``. With g = gcd(s, d) these are none, or every (s / g)-th tap from some k0
on, T of them; tap k0 + t * (s / g) reads ::

    i = m + (r + b - k0 * d) / s - t * (d / g)

so that, last tap first, phase r is a convolution of stride 1 and dilation d / g with T taps. No
zeros are inserted anywhere. Its padding is negative where the first inputs are cropped.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from gconv._plan.problem import Problem


class Phase(NamedTuple):
    """The outputs of one phase along one axis, as a convolution of stride 1.

    Attributes
    ----------
    phase : int
        The first output; the others follow a stride apart.
    kernel, dilation, padding : int
        Of the convolution; padding before the first input, negative where it crops.
    first_tap, tap_step : int
        Its taps among those of the whole kernel: tap t is tap ``first_tap - t * tap_step``.
    """

    phase: int
    kernel: int
    dilation: int
    padding: int
    first_tap: int
    tap_step: int

    @property
    def reach(self) -> int:
        """Inputs from the first to the last that an output reads."""
        return (self.kernel - 1) * self.dilation


class Axis(NamedTuple):
    """One axis of a transposed convolution.

    Attributes
    ----------
    phases : tuple of Phase
        Those that have taps; the outputs of the others are the bias alone.
    step : int
        The stride.
    positions : int
        Outputs of the longest phase.
    complete : bool
        Whether every phase that has outputs has taps.
    """

    phases: tuple[Phase, ...]
    step: int
    positions: int
    complete: bool


def axes_of(p: Problem) -> tuple[Axis, Axis, Axis]:
    """The axes of a transposed convolution."""
    depth, row, column = (
        _axis(*sizes)
        for sizes in zip(
            p.in_size, p.out_size, p.kernel, p.stride, p.dilation, p.padding, strict=True)
    )
    return depth, row, column


def _axis(size: int, out: int, kernel: int, stride: int, dilation: int, before: int) -> Axis:
    # What takes no step means nothing, however large it is.
    if size <= 1:
        stride = min(stride, before + out)
    if kernel == 1:
        dilation = 1
    common = math.gcd(stride, dilation)
    tap_step = stride // common
    phases = []
    for tap in range(min(kernel, tap_step)):
        phase = (tap * dilation - before) % stride
        if phase >= out:
            continue
        taps = -(-(kernel - tap) // tap_step)
        first_input = (phase + before - tap * dilation) // stride
        step = dilation // common if taps > 1 else 1
        phases.append(Phase(
            phase=phase,
            kernel=taps,
            dilation=step,
            padding=(taps - 1) * step - first_input,
            first_tap=tap + (taps - 1) * tap_step,
            tap_step=tap_step,
        ))
    return Axis(
        phases=tuple(sorted(phases, key=lambda phase: phase.phase)),
        step=stride,
        positions=-(-out // stride),
        complete=len(phases) == min(stride, out),
    )
