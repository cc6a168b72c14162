"""Packed weights are the weights in another order: they can be put back to the same bits."""

import math

import numpy as np
import pytest
from arrays import channels_last
from geometries import geometries
from hypothesis import given
from hypothesis import strategies as st
from kernels import KERNELS, plan_of, plans
from test_transposed import geometries as transposed_geometries

from gconv._call.geometry import Parameters
from gconv._call.isa import usable
from gconv._plan.family import packed_weights, packs_all, unpacked_weights

ORDERS = {"C": np.ascontiguousarray, "channels-last": channels_last}
#: Stands for a choice that nothing forces.
CHOSEN = None


def bits(rng, shape, dtype):
    """Any bits at all, signalling NaNs among them."""
    dtype = np.dtype(dtype)
    return rng.integers(0, 256, (math.prod(shape), dtype.itemsize), np.uint8).view(dtype).reshape(
        shape)


def same_bits(got, want):
    """Whether two arrays hold the same bits."""
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    assert got.tobytes() == want.tobytes()


def check(layout, weight):
    """Look at the packed weights of a layout; return whether they were put back."""
    family = layout.family
    if family.pack_key(layout) is None:
        return False
    numbers = packed_weights(layout, np.arange(1, weight.size + 1).reshape(weight.shape))
    there = np.unique(numbers[numbers > 0])
    assert there.size == family.elements(layout)
    assert packs_all(layout, weight.size) == (there.size == weight.size)
    if there.size < weight.size:
        return False
    packed = packed_weights(layout, weight)
    got = unpacked_weights(layout, packed, weight.shape)
    same_bits(got, weight)
    same_bits(packed_weights(layout, got), packed)
    return True


def layout_for(parameters, x_shape, dtype, order, **options):
    """The layout of a plan for an x in some order of memory."""
    return plan_of(parameters, ORDERS[order](np.zeros(x_shape, dtype)), **options).layout


orders = st.sampled_from(list(ORDERS))
kernels = st.sampled_from([CHOSEN, *KERNELS])
isas = st.sampled_from(usable())
dtypes = st.sampled_from([np.float32, np.float64])
seeds = st.integers(0, 2**32 - 1)


@given(geometries(batch=(1,)), orders, kernels, isas, dtypes, seeds)
def test_weights_are_put_back_to_the_same_bits(case, order, kernel, isa, dtype, seed):
    parameters = Parameters.of_convolution("test", case.dims, case.weight, None, **case.options)
    with plans(isa, kernel):
        layout = layout_for(parameters, case.x, dtype, order)
        check(layout, bits(np.random.default_rng(seed), case.weight, dtype))


@given(transposed_geometries(batch=(1,)), orders, kernels, isas, dtypes, seeds)
def test_weights_of_transposed_convolutions_are_put_back(case, order, kernel, isa, dtype, seed):
    parameters = Parameters.of_transposed("test", case.dims, case.weight, None, **case.options)
    with plans(isa, kernel):
        layout = layout_for(parameters, case.x, dtype, order)
        check(layout, bits(np.random.default_rng(seed), case.weight, dtype))


#: Name: (shape of x, of the weights, options, whether transposed, order of x).
CASES = {
    "dense": ((1, 40, 9, 30), (70, 40, 3, 3), {"padding": 1}, False, "C"),
    "many channels": ((1, 600, 6, 6), (33, 600, 3, 3), {"padding": 1}, False, "C"),
    "1 x 1": ((1, 90, 7, 7), (50, 90, 1, 1), {}, False, "C"),
    "groups": ((1, 60, 5, 20), (30, 6, 3, 3), {"groups": 10, "stride": 2}, False, "C"),
    "depthwise": ((1, 21, 9, 9), (21, 1, 5, 5), {"groups": 21, "padding": 2}, False, "C"),
    "depthwise, short rows": ((1, 64, 6, 3), (64, 1, 3, 3), {"groups": 64, "padding": 1}, False,
                              "C"),
    "channels-last": ((1, 40, 9, 30), (70, 40, 3, 3), {"padding": 1}, False, "channels-last"),
    "channels-last groups": ((1, 48, 9, 30), (36, 4, 3, 3), {"padding": 1, "groups": 12}, False,
                             "channels-last"),
    "channels-last depthwise": ((1, 50, 9, 30), (50, 1, 3, 3), {"padding": 1, "groups": 50}, False,
                                "channels-last"),
    "volume": ((1, 6, 4, 5, 18), (20, 6, 2, 3, 3), {"dilation": 2}, False, "C"),
    "signal": ((1, 30, 100), (19, 30, 5), {"padding": 2}, False, "C"),
    "transposed": ((1, 20, 6, 20), (20, 17, 4, 4), {"stride": 2, "padding": 1}, True, "C"),
    "transposed depthwise": ((1, 8, 20, 40), (8, 1, 4, 4), {"stride": 2, "groups": 8}, True, "C"),
}


def met_by(kernel, isa, dtype, rng):
    """Put the weights of all cases back; return the families whose packings they were."""
    met = set()
    for x, weight, options, transposed, order in CASES.values():
        make = Parameters.of_transposed if transposed else Parameters.of_convolution
        parameters = make("test", len(weight) - 2, weight, None, **options)
        with plans(isa, kernel):
            layout = layout_for(parameters, x, dtype, order)
            if check(layout, bits(rng, weight, dtype)):
                met.add(layout.family.name)
    return met


@pytest.mark.parametrize("kernel", [CHOSEN, *KERNELS], ids=str)
def test_every_kernel_s_packed_weights_are_put_back(kernel, isa, dtype, rng):
    met_by(kernel, isa, dtype, rng)


def test_the_cases_meet_every_family_that_packs(dtype, rng):
    """Else the test above would promise less than it seems to."""
    met = set()
    for kernel in (CHOSEN, *KERNELS):
        met |= met_by(kernel, usable()[0], dtype, rng)
    assert met >= {"channel", "channels_last", "through_channels_last", "transposed"}


@pytest.mark.parametrize("order", ORDERS)
def test_packings_without_some_taps_are_known(order, isa, dtype, rng):
    """One output of a stride of two meets every second tap; the others are nowhere."""
    parameters = Parameters.of_transposed(
        "test", 2, (20, 18, 4, 4), None, stride=2, padding=((2, 3), (2, 3)))
    with plans(isa):
        layout = layout_for(parameters, (1, 20, 2, 2), dtype, order)
        assert layout.p.pixels == 1 or layout.p.out_size[-1] == 1
        assert not packs_all(layout, 20 * 18 * 16)
        assert not check(layout, bits(rng, (20, 18, 4, 4), dtype))
