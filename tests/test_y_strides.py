"""The engine writes to a y of other strides than its plan's, with the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from arrays import normals

import gconv
from gconv._call.geometry import Parameters
from gconv._plan import choose
from gconv._plan.problem import Family

# name: (operator, x, weight, options, family or None); each of the kernels and of the wrappers.
CASES = {
    "plain": ("of_convolution", (2, 4, 9, 11), (6, 2, 3, 3), {"groups": 2}, Family.PLAIN),
    "width": ("of_convolution", (2, 4, 9, 50), (6, 2, 3, 3), {"groups": 2}, Family.WIDTH),
    "narrow": ("of_convolution", (2, 4, 9, 5), (6, 2, 3, 3), {"groups": 2, "padding": 1},
               Family.WIDTH),
    "masked": ("of_convolution", (2, 8, 9, 14), (8, 4, 3, 3), {"groups": 2, "padding": 1},
               Family.MASKED),
    "depthwise": ("of_convolution", (2, 4, 9, 11), (4, 1, 3, 3), {"groups": 4}, Family.DEPTHWISE),
    "channel": ("of_convolution", (2, 8, 9, 11), (40, 8, 3, 3), {"padding": 1}, Family.CHANNEL),
    "sliding": ("of_convolution", (2, 4, 30, 40), (8, 1, 5, 5), {"groups": 4, "padding": 2},
                Family.SLIDING),
    "through channels-last": ("of_convolution", (2, 20, 7, 7), (20, 1, 3, 3),
                              {"groups": 20, "padding": 1}, Family.ACROSS),
    "transposed": ("of_transposed", (2, 8, 9, 11), (8, 4, 3, 3), {"stride": 2, "groups": 2},
                   Family.WIDTH),
    "transposed, straight": ("of_transposed", (2, 4, 5, 7), (4, 2, 3, 3),
                             {"stride": (2, 3), "groups": 2}, Family.PLAIN),
    "upsampling": ("of_transposed", (2, 4, 9, 40), (4, 1, 4, 4),
                   {"stride": 2, "padding": 1, "groups": 4}, None),
}


@pytest.mark.parametrize("activation", [None, "relu", "silu"])
@pytest.mark.parametrize("with_residual", [False, True], ids=["alone", "residual"])
@pytest.mark.parametrize("name", CASES)
def test_y_may_be_some_channels_of_a_buffer(isa, dtype, rng, name, with_residual, activation):
    """Its bits are those of a y of its own; the rest of the buffer is left alone."""
    operator, x, weight, options, family = CASES[name]
    parameters = getattr(Parameters, operator)(
        "y strides", len(x) - 2, weight, None, activation=activation, **options)
    x, weight = normals(rng, x, dtype), normals(rng, weight, dtype)
    geometry = parameters.applied_to(x.shape)
    forced = () if family is None else (family,)
    with choose.use_tile(*forced) if forced else choose.use_isa(isa):
        plan = choose.plan_for(geometry, x.dtype, x.strides, packs=True)
    images, channels, *extents = geometry.out_shape
    residual = normals(rng, geometry.out_shape, dtype) if with_residual else None
    want = np.empty(geometry.out_shape, dtype)
    plan.run(x, weight, None, None, want, 2, residual)
    buffer = np.full((images, 2 * channels + 3, *extents), 7, dtype)
    inside = np.s_[:, 2 : 2 + 2 * channels : 2]
    got = buffer[inside]
    if residual is not None:
        got[...] = residual
    steps = [stride // got.itemsize for stride in got.strides]
    strides = (steps[0], steps[1], *(0,) * (5 - len(steps)), *steps[2:])
    plan.run(x, weight, None, None, got, 2, got if with_residual else None, y_strides=strides)
    np.testing.assert_array_equal(got, want)
    buffer[inside] = 7
    assert (buffer == 7).all()


@pytest.mark.parametrize("family", [None, Family.PLAIN])
def test_the_last_outputs_of_a_longer_phase_are_activated(isa, dtype, rng, family):
    """The phase with most taps may have fewer outputs than another; the activation, which takes a
    pass over an item's outputs, must reach those of the longest."""
    x = normals(rng, (1, 2, 7), dtype)
    weight = normals(rng, (2, 2, 4), dtype)
    options = {"stride": 3, "padding": 1}
    want = np.maximum(gconv.conv_transpose1d(x, weight, **options), 0)
    with choose.use_tile(family) if family is not None else choose.use_isa(isa):
        got = gconv.conv_transpose1d(x, weight, activation="relu", **options)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
