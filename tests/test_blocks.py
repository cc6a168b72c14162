"""Depthwise layers in C order, by the tiles of channels-last ones: in blocks of channels."""

import contextlib

import numpy as np
import pytest
from arrays import integers
from kernels import family_of, layout_of, plain, tuned
from reference import reference

import gconv
from gconv._call.isa import usable, use_isa
from gconv._families.through_channels_last import family
from gconv._plan.choose import use_tile
from gconv._plan.scratch import MOST_BYTES

FUNCTIONS = {1: gconv.conv1d, 2: gconv.conv2d, 3: gconv.conv3d}
LAYERS = {1: gconv.Conv1d, 2: gconv.Conv2d, 3: gconv.Conv3d}
PLAIN_PADDING = {"padding": 1}

# name: (x, kernel, options); channels that fill vectors and that do not, rows and images of more
# and of fewer pixels than a vector, padding that whole rows and planes lie in.
SHAPES = {
    "7x7": ((2, 50, 7, 7), (3, 3), PLAIN_PADDING),
    "7x7 kernel": ((1, 33, 7, 7), (7, 7), {"padding": 3}),
    "wide kernel": ((1, 17, 6, 9), (13, 13), {"padding": 6}),
    "3x3 to 1x1": ((3, 35, 3, 3), (3, 3), {}),
    "one channel": ((1, 1, 14, 15), (5, 5), {"padding": 2}),
    "stride 2": ((1, 48, 15, 14), (5, 5), {"padding": 2, "stride": 2}),
    "stride 3": ((1, 20, 31, 30), (3, 3), {"padding": 1, "stride": 3}),
    "patches": ((2, 19, 24, 20), (4, 4), {"stride": 4}),
    "stride beyond the kernel": ((1, 18, 23, 29), (2, 1), {"stride": (5, 4)}),
    "dilation": ((1, 40, 33, 12), (3, 3), {"padding": 6, "dilation": 6}),
    "far padding": ((1, 20, 4, 5), (3, 3), {"padding": 7, "stride": 2}),
    "1-D": ((2, 37, 300), (11,), {"padding": 5, "stride": 3}),
    "3-D": ((1, 34, 4, 6, 7), (3, 3, 3), {"padding": 1}),
    "3-D, planes of padding": ((1, 18, 3, 5, 6), (1, 3, 2), {"padding": (2, 1, 1), "stride": 2}),
}


#: The wrapper, and what it wraps unless another family is faster.
FAMILIES = (THROUGH, INNER) = ("through_channels_last", "channels_last")


@pytest.fixture(params=SHAPES)
def case(request, dtype, rng):
    """(x, weight, bias, options), all small whole numbers."""
    x, kernel, options = SHAPES[request.param]
    channels = x[1]
    arrays = (integers(rng, shape, dtype) for shape in (x, (channels, 1, *kernel), (channels,)))
    return *arrays, {**options, "groups": channels}


def expected(x, weight, bias, **options):
    """The plain loop nest's, which is compared with the reference elsewhere."""
    with plain():
        return FUNCTIONS[x.ndim - 2](x, weight, bias, **options)


@contextlib.contextmanager
def in_bands(of_bytes):
    """Plan with panels and results of fewer bytes, so that small images have many bands; also
    where less than a row fits, of which the wrapper makes no estimate."""
    estimate = family.transposing_cycles
    family.transposing_cycles = lambda *args: 0.0
    try:
        with tuned(block_bytes=of_bytes, small_block_bytes=of_bytes):
            yield
    finally:
        family.transposing_cycles = estimate


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("of_bytes", [256 * 1024, 16 * 1024, 3 * 1024])
def test_functions_and_layers(isa, case, name, of_bytes):
    """Also in bands of rows, of planes and of columns."""
    x, weight, bias, options = case
    dims = x.ndim - 2
    want = expected(x, weight, bias, **options)
    with in_bands(of_bytes), use_tile(name):
        layout = layout_of(x, weight, **options)
        # It serves where tiles for blocks are the fastest of all that it could wrap.
        assert layout.family.name == THROUGH or name == THROUGH
        if layout.family.name == THROUGH:
            assert layout.inner.family.name == INNER
            assert not layout.in_place
        assert layout.regions.bytes <= MOST_BYTES
        layer = LAYERS[dims](weight, bias, **options)
        results = [
            FUNCTIONS[dims](x, weight, bias, **options),
            FUNCTIONS[dims](x, weight, bias, num_threads=3, **options),
            layer(x), layer(x, num_threads=3)]
    for got in results:
        assert got.flags.c_contiguous
        np.testing.assert_array_equal(got, want)


def test_small_blocks_do_cut_every_axis(isa, dtype):
    """As the test above means to."""
    cut = set()
    for x, kernel, options in SHAPES.values():
        x, weight = np.zeros(x, dtype), np.zeros((x[1], 1, *kernel), dtype)
        with in_bands(3 * 1024), use_tile(INNER):
            layout = layout_of(x, weight, groups=x.shape[1], **options)
        cut |= {axis for axis in range(3) if layout.bands[axis] > 1}
    assert cut == {0, 1, 2}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("activation", [None, "relu", "hardsigmoid", "hardswish", "silu", "gelu"])
@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "y itself"])
def test_residual_and_activation(isa, case, rng, name, activation, in_place):
    x, weight, bias, options = case
    dims = x.ndim - 2
    shape = expected(x, weight, bias, **options).shape
    residual = integers(rng, shape, x.dtype)
    want = expected(x, weight, bias, residual=residual, activation=activation, **options)
    with use_tile(name):
        layer = LAYERS[dims](weight, bias, activation=activation, **options)
        out = residual.copy() if in_place else np.zeros_like(residual)
        layer(x, residual=out if in_place else residual, out=out)
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("name", FAMILIES)
def test_parts_of_larger_arrays(isa, dtype, rng, name):
    """Rows, planes and channels with gaps between them are read where they are."""
    large = integers(rng, (3, 44, 5, 12, 11), dtype)
    weight = integers(rng, (20, 1, 3, 3, 3), dtype)
    for part in (large[:, ::2], large[:, 2:22], large[:, 2:22, 1:4],
                 large[:, 2:22, :, 1:9], large[:, 2:22, :, :, :8], large[::2, 1:41:2, ::2, ::3]):
        x = part[:, :20]
        options = {"padding": 1, "groups": 20}
        with use_tile(name):
            assert family_of(x, weight, **options) == THROUGH
            got = gconv.conv3d(x, weight, **options)
        np.testing.assert_array_equal(got, expected(x.copy(), weight, None, **options))


@pytest.mark.parametrize("options", [
    {"padding": 1, "padding_mode": "reflect", "groups": 20}, {"padding": 1, "groups": 10}])
def test_what_they_do_not_fit_goes_by_other_kernels(isa, dtype, rng, options):
    x = integers(rng, (1, 20, 7, 7), dtype)
    weight = integers(rng, (20, 20 // options["groups"], 3, 3), dtype)
    with use_tile(INNER):
        assert family_of(x, weight, **options) not in FAMILIES
    with use_tile(THROUGH):
        assert family_of(x, weight, **options) not in FAMILIES
    reversed_columns = x[..., ::-1]
    with use_tile(THROUGH):
        got = gconv.conv2d(reversed_columns, weight, **options)
    if "padding_mode" not in options:
        pads = {**options, "padding": ((1, 1), (1, 1))}
        np.testing.assert_array_equal(got, reference(reversed_columns, weight, **pads))


@pytest.mark.parametrize(("x", "kernel", "options"), [
    ((1, 256, 7, 7), 7, {"padding": 3}), ((1, 64, 90, 90), 3, {"padding": 1, "stride": 3}),
    ((1, 64, 56, 56), 4, {"stride": 4})], ids=["7x7", "stride 3", "patches"])
def test_they_are_chosen_where_rows_are_hard_to_fill(x, kernel, options):
    """On the instruction sets whose vectors are long."""
    for isa in {"avx512"} & set(usable()):
        with use_isa(isa):
            layout = layout_of(
                np.zeros(x, np.float32), np.zeros((x[1], 1, kernel, kernel), np.float32),
                groups=x[1], **options)
            assert (layout.family.name, layout.inner.family.name) == FAMILIES
            large = family_of(
                np.zeros((1, 64, 112, 112), np.float32), np.zeros((64, 1, 3, 3), np.float32),
                padding=1, groups=64)
            assert large == "sliding"
