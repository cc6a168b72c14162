"""Convolutions drawn at random, small enough for the reference."""

import math
from dataclasses import dataclass

from hypothesis import strategies as st


@dataclass(frozen=True)
class Geometry:
    """The shapes and options of one convolution, its padding as (before, after) pairs."""

    x: tuple
    weight: tuple
    stride: tuple
    padding: tuple
    dilation: tuple
    groups: int

    @property
    def dims(self):
        return len(self.stride)

    @property
    def options(self):
        """The keywords of a function or a layer."""
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }

    @property
    def depth(self):
        """How many products one output is the sum of."""
        return math.prod(self.weight[1:])


#: Largest extents per dimension, in 1, 2 and 3 dimensions. The last is the width, along which
#: vectors lie: it passes several of the longest (16 floats).
_OUTPUT = {1: (80,), 2: (6, 45), 3: (3, 4, 40)}
_KERNEL = {1: (12,), 2: (5, 5), 3: (3, 3, 4)}


@st.composite
def _extents(draw, most, most_taps):
    """One dimension: (input, kernel, stride, (before, after), dilation) with an output or more."""
    kernel = draw(st.integers(1, most_taps))
    # Steps of one are the most common ones, and have kernels of their own.
    stride = draw(st.just(1) | st.integers(1, 4))
    dilation = draw(st.just(1) | st.integers(1, 3))
    reach = dilation * (kernel - 1) + 1
    side = st.integers(0, reach + 3)
    before, after = draw(st.tuples(side, side) | st.just((0, 0)) | side.map(lambda p: (p, p)))
    positions = draw(st.integers(1, most))
    surplus = draw(st.integers(0, stride - 1))
    size = max(0, (positions - 1) * stride + reach + surplus - before - after)
    return size, kernel, stride, (before, after), dilation


@st.composite
def geometries(draw, dims=(1, 2, 3), batch=(0, 1, 2, 3)):
    """Any convolution: ragged groups, padding beyond the kernel, empty batches and images."""
    dims = draw(st.sampled_from(dims))
    groups, inputs, outputs = draw(
        st.tuples(st.integers(1, 4), st.integers(1, 20), st.integers(1, 20))
        | st.tuples(st.integers(5, 20), st.integers(1, 3), st.integers(1, 3))
        | st.tuples(st.integers(1, 20), st.just(1), st.just(1))
    )
    extents = [
        draw(_extents(most, most_taps))
        for most, most_taps in zip(_OUTPUT[dims], _KERNEL[dims], strict=True)
    ]
    size, kernel, stride, padding, dilation = zip(*extents, strict=True)
    return Geometry(
        x=(draw(st.sampled_from(batch)), groups * inputs, *size),
        weight=(groups * outputs, inputs, *kernel),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
