"""Activations and residuals: right in every kernel, for every number, and in place."""

import copy
import math
import pickle

import numpy as np
import pytest
from arrays import LAYOUTS, OUT_LAYOUTS, integers, normals
from geometries import geometries
from hypothesis import given
from hypothesis import strategies as st
from kernels import KERNELS, ORDINARY, Kernel, plans
from oracles import oracle
from reference import reference, transposed
from tolerance import error_bound

import gconv
from gconv._call.isa import usable, use_isa

FUNCTIONS = {1: gconv.conv1d, 2: gconv.conv2d, 3: gconv.conv3d}
LAYERS = {1: gconv.Conv1d, 2: gconv.Conv2d, 3: gconv.Conv3d}
TRANSPOSED = {1: gconv.conv_transpose1d, 2: gconv.conv_transpose2d, 3: gconv.conv_transpose3d}
TRANSPOSED_LAYERS = {
    1: gconv.ConvTranspose1d, 2: gconv.ConvTranspose2d, 3: gconv.ConvTranspose3d
}

#: Each with its definition, in the precision of its argument.
DEFINITIONS = {
    None: lambda v: v,
    "relu": lambda v: np.maximum(v, 0),
    "relu6": lambda v: np.clip(v, 0, 6),
    ("clip", -1.5, 2.5): lambda v: np.clip(v, -1.5, 2.5),
    ("clip", -math.inf, 1.0): lambda v: np.minimum(v, 1),
    ("leaky_relu", 0.25): lambda v: np.where(v < 0, v * 0.25, v),
    ("leaky_relu", -2.0): lambda v: np.where(v < 0, v * -2, v),
    "sigmoid": lambda v: sigmoid(v),
    "tanh": np.tanh,
    "silu": lambda v: v * sigmoid(v),
    "hardsigmoid": lambda v: np.clip(v + 3, 0, 6) / 6,
    "hardswish": lambda v: v * np.clip(v + 3, 0, 6) / 6,
    "gelu": lambda v: v * normal_distribution(v),
    "gelu_tanh": lambda v: v * sigmoid(v * (1 + v * v * v.dtype.type("0.044715")) * (
        2 * np.sqrt(2 / v.dtype.type(PI)))),
}
PI = "3.14159265358979323846264338327950288"
#: No activation is steeper anywhere than this.
STEEPEST = {None: 1, ("leaky_relu", -2.0): 2, "hardswish": 1.5}

dtypes = st.sampled_from([np.float32, np.float64])
isas = st.sampled_from(usable())
#: None leaves the choice to the plan, as every user does.
families = st.none() | st.sampled_from(ORDINARY)
transposed_families = st.none() | st.sampled_from(KERNELS)
layouts = st.sampled_from(sorted(set(LAYOUTS) - {"broadcast"}))
activations = st.sampled_from(list(DEFINITIONS))
threads = st.integers(1, 4)
seeds = st.integers(0, 2**32 - 1)


def sigmoid(v):
    e = np.exp(-np.abs(v))
    return np.where(v < 0, e / (1 + e), 1 / (1 + e))


def normal_distribution(v):
    """The distribution function: a Taylor series near 0, a continued fraction further away [NIST,
    Digital Library of Mathematical Functions, 7.6.2 and 7.9.1]."""
    size, tail = np.abs(v), np.zeros_like(v)  # beyond 160 it is 0 in long double too
    for is_near, places in ((True, size < 1.5), (False, (size >= 1.5) & (size < 160))):
        some = size[places]
        head = np.round(some * 2.0**20) / 2.0**20  # its square is exact
        density = np.exp(-head * head / 2) * np.exp((head - some) * (head + some) / 2)
        density = density / np.sqrt(2 * v.dtype.type(PI))
        if is_near:
            term, series = some, some.copy()
            for k in range(1, 40):
                term = term * some * some / (2 * k + 1)
                series += term
            tail[places] = 0.5 - density * series
        else:
            fraction = some
            for k in range(220, 0, -1):
                fraction = some + k / fraction
            tail[places] = density / fraction
    return np.where(v < 0, tail, 1 - tail)


def assert_activated(got, sums, magnitude, depth, activation):
    """`got` is the activation of `sums` (float64), which are known up to their roundings."""
    assert got.shape == sums.shape
    want = DEFINITIONS[activation](sums)
    eps = np.finfo(got.dtype).eps
    bound = STEEPEST.get(activation, 1.25) * error_bound(depth + 1, got.dtype, magnitude)
    bound = bound + 4 * eps * (np.abs(want) + (3 if activation == "hardswish" else 0))
    if activation in ("gelu", "gelu_tanh"):
        bound = bound + eps * np.abs(sums)
    error = np.abs(got - want)
    assert (error <= bound).all(), (activation, float((error - bound).max()))


# ---- every kernel


@given(
    geometries(), dtypes, isas, families, threads, seeds, activations, st.booleans(), st.booleans()
)
def test_any_convolution(
    g, dtype, isa, family, num_threads, seed, activation, has_bias, has_residual
):
    rng = np.random.default_rng(seed)
    x, weight = normals(rng, g.x, dtype), normals(rng, g.weight, dtype)
    weight /= dtype(math.sqrt(g.depth))  # most sums where activations bend
    bias = normals(rng, g.weight[:1], dtype) if has_bias else None
    sums = reference(x, weight, bias, **g.options)
    magnitude = reference(
        np.abs(x), np.abs(weight), None if bias is None else np.abs(bias), **g.options
    )
    residual = None
    if has_residual:
        residual = normals(rng, sums.shape, dtype)
        sums, magnitude = sums + residual, magnitude + np.abs(residual)
    with plans(isa, family):
        got = FUNCTIONS[g.dims](
            x, weight, bias, **g.options, activation=activation, residual=residual,
            num_threads=num_threads,
        )
        layer = LAYERS[g.dims](weight, bias, **g.options, activation=activation)
        same = layer(x, residual=residual, num_threads=1)
    assert got.dtype == dtype
    assert_activated(got, sums, magnitude, g.depth, activation)
    assert same.tobytes() == got.tobytes()


@st.composite
def transposed_geometries(draw):
    """Return (x shape, weight shape, options) of a transposed convolution."""
    dims = draw(st.sampled_from((1, 2)))
    groups, inputs, outputs = (draw(st.integers(1, 4)) for _ in range(3))
    x, weight, stride, padding, dilation = (), (), (), (), ()
    for axis in range(dims):
        last = axis == dims - 1
        x += (draw(st.integers(1, 40 if last else 4)),)
        weight += (draw(st.integers(1, 6)),)
        stride += (draw(st.integers(1, 5) | st.sampled_from((2, 4, 8))),)
        dilation += (draw(st.just(1) | st.integers(1, 3)),)
        full = (x[-1] - 1) * stride[-1] + dilation[-1] * (weight[-1] - 1) + 1
        padding += (draw(st.integers(0, min(3, (full - 1) // 2))),)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    batch = draw(st.integers(0, 2))
    return (batch, groups * inputs, *x), (groups * inputs, outputs, *weight), options


@given(
    transposed_geometries(), dtypes, isas, transposed_families, threads, seeds, activations,
    st.booleans(), st.booleans(),
)
def test_any_transposed_convolution(
    drawn, dtype, isa, family, num_threads, seed, activation, has_bias, has_residual
):
    x, weight, options = drawn
    rng = np.random.default_rng(seed)
    x, weight = normals(rng, x, dtype), normals(rng, weight, dtype)
    channels = weight.shape[1] * options["groups"]
    bias = normals(rng, (channels,), dtype) if has_bias else None
    pairs = options | {"padding": tuple((n, n) for n in options["padding"])}
    sums = transposed(x, weight, bias, **pairs)
    magnitude = transposed(
        np.abs(x), np.abs(weight), None if bias is None else np.abs(bias), **pairs
    )
    dims, residual = x.ndim - 2, None
    if has_residual:
        residual = normals(rng, sums.shape, dtype)
        sums, magnitude = sums + residual, magnitude + np.abs(residual)
    with plans(isa, family):
        got = TRANSPOSED[dims](
            x, weight, bias, **options, activation=activation, residual=residual,
            num_threads=num_threads,
        )
        layer = TRANSPOSED_LAYERS[dims](weight, bias, **options, activation=activation)
        same = layer(x, residual=residual)
        if has_residual:
            assert layer(x, residual=residual, out=residual) is residual
            assert residual.tobytes() == got.tobytes()
    depth = len(weight) // options["groups"] * math.prod(weight.shape[2:])
    assert_activated(got, sums, magnitude, depth, activation)
    assert same.tobytes() == got.tobytes()


#: Rows that end anywhere, sums in several blocks of input channels, maps of few pixels.
CASES = {
    f"{name}, width {width}": (x + (width,), weight, options)
    for width in (1, 3, 7, 8, 9, 17, 31, 33, 40, 51)
    for name, x, weight, options in (
        ("depthwise", (2, 6, 5), (6, 1, 3, 3), {"padding": 1, "groups": 6}),
        ("multiplier", (1, 2, 4), (14, 1, 3, 3), {"padding": 1, "groups": 2}),
        ("grouped strided", (1, 8, 5), (8, 4, 3, 3), {"padding": 1, "stride": (1, 2), "groups": 2}),
        ("dense", (1, 20, 3), (19, 20, 3, 1), {"padding": (1, 0)}),
        ("one row", (1, 3, 1), (5, 3, 1, 1), {}),
    )
}
CASES["many channels"] = ((1, 1500, 3, 40), (5, 1500, 3, 3), {"padding": 1})
CASES["many channels, far taps"] = (
    (1, 900, 9, 49), (3, 900, 3, 3), {"padding": 4, "dilation": 4}
)
CASES["no input channels"] = ((2, 0, 3, 20), (3, 0, 1, 1), {})


@pytest.mark.parametrize("family", [None, *ORDINARY], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_in_place_of_the_residual(case, family, isa, dtype, rng):
    """Whole numbers: sums are exact, and a residual that is read too late would be seen."""
    x, weight, options = CASES[case]
    x, weight = integers(rng, x, dtype, 3), integers(rng, weight, dtype, 3)
    bias = integers(rng, (len(weight),), dtype)
    with plans(isa, family):
        bare = gconv.conv2d(x, weight, bias, **options)
        before = integers(rng, bare.shape, dtype, 200)
        for activation in (None, "relu", ("leaky_relu", 0.25)):
            want = DEFINITIONS[activation](bare + before)
            for num_threads in (1, 2):
                residual = before.copy()
                got = gconv.conv2d(
                    x, weight, bias, **options, activation=activation, residual=residual,
                    out=residual, num_threads=num_threads,
                )
                assert got is residual
                np.testing.assert_array_equal(got, want)


def test_several_blocks_of_input_channels_were_met(dtype):
    """What the cases above are named for."""
    found = set()
    for name in ("many channels", "many channels, far taps"):
        x, weight, options = CASES[name]
        for family in ("width", "channel"):
            with plans(usable()[0], Kernel(family, "")):
                how = gconv.Conv2d(np.ones(weight, dtype), **options).explain(x)
            if how.in_block < weight[1]:
                found.add(family)
    assert found == {"width", "channel"}


@pytest.mark.parametrize("activation", list(DEFINITIONS), ids=str)
def test_same_bits_for_any_threads_and_alone_or_in_a_batch(activation, isa, dtype, rng):
    layers = [
        (gconv.Conv2d, (64, 40, 41), (64, 4, 3, 3), {"padding": 1, "groups": 16}),
        (gconv.Conv2d, (64, 40, 43), (64, 1, 3, 3), {"padding": 1, "groups": 64}),
        (gconv.Conv2d, (64, 28, 28), (64, 64, 3, 3), {"padding": 1}),
        (gconv.ConvTranspose2d, (32, 28, 29), (32, 16, 4, 4), {"stride": 2, "padding": 1}),
    ]
    for kind, x, weight, options in layers:
        x, weight = normals(rng, (2, *x), dtype), normals(rng, weight, dtype)
        layer = kind(weight, **options, activation=activation)
        residual = normals(rng, layer.out_shape(x.shape), dtype)
        want = layer(x, residual=residual, num_threads=1)
        for num_threads in (2, 3, 7):
            got = layer(x, residual=residual, num_threads=num_threads)
            assert got.tobytes() == want.tobytes()
        for image, rest, alone in zip(x, residual, want, strict=True):
            assert layer(image, residual=rest).tobytes() == alone.tobytes()


# ---- where residual and out lie in memory


@given(geometries(batch=(1, 2)), layouts, st.sampled_from(OUT_LAYOUTS), isas, seeds)
def test_residual_and_out_of_any_layout(g, residual_layout, out_layout, isa, seed):
    rng = np.random.default_rng(seed)
    x, weight = integers(rng, g.x, np.float32), integers(rng, g.weight, np.float32)
    bare = reference(x, weight, **g.options)
    numbers = integers(rng, bare.shape, np.float32)
    residual = LAYOUTS[residual_layout](numbers)
    before = residual.copy()
    out = LAYOUTS[out_layout](np.full(bare.shape, np.nan, np.float32))
    function = FUNCTIONS[g.dims]
    with use_isa(isa):
        got = function(x, weight, **g.options, residual=residual, out=out, activation="relu")
        new = function(x, weight, **g.options, residual=residual, activation="relu")
    assert got is out
    np.testing.assert_array_equal(residual, before)
    np.testing.assert_array_equal(out, np.maximum(bare + numbers, 0))
    np.testing.assert_array_equal(new, out)


@pytest.mark.parametrize("kind", ["shifted", "reversed", "strided", "the x", "the same, strided"])
def test_a_residual_that_overlaps_out_gives_the_same(kind, dtype, isa, rng):
    weight = integers(rng, (6, 1, 3, 3), dtype)
    layer = gconv.Conv2d(weight, padding=1, groups=6, activation="relu")
    room = integers(rng, (2 * 6 * 20 * 33 + 100,), dtype)
    x = integers(rng, (6, 20, 33), dtype)
    n = x.size
    out = room[:n].reshape(x.shape)
    residual = {
        "shifted": room[7 : n + 7].reshape(x.shape),
        "reversed": out[:, ::-1],
        "strided": room[: 2 * n : 2].reshape(x.shape),
        "the x": out,
        "the same, strided": room[: 2 * n : 2].reshape(x.shape),
    }[kind]
    if kind == "the x":
        x = out
    if kind == "the same, strided":
        out = residual
    want = np.maximum(gconv.conv2d(x, weight, padding=1, groups=6) + residual, 0)
    for _ in range(2):  # the short cut is taken from the second call on
        before = room.copy()
        assert layer(x, residual=residual, out=out) is out
        np.testing.assert_array_equal(out, want)
        room[...] = before


def test_in_place_needs_no_temporary(rng, monkeypatch):
    layer = gconv.Conv2d(normals(rng, (8, 1, 3, 3), np.float32), padding=1, groups=8)
    x = normals(rng, (1, 8, 20, 20), np.float32)
    made = []
    empty = np.empty
    monkeypatch.setattr(np, "empty", lambda *args: made.append(args) or empty(*args))
    for order in ("C", "F"):
        y = np.zeros((1, 8, 20, 20), np.float32, order)
        layer(x, residual=y, out=y)
        assert len(made) == (order == "F")


def test_unbatched_takes_an_unbatched_residual(dtype, rng):
    x, weight = integers(rng, (4, 9, 9), dtype), integers(rng, (4, 1, 3, 3), dtype)
    residual = integers(rng, (4, 7, 7), dtype)
    got = gconv.conv2d(x, weight, groups=4, residual=residual)
    np.testing.assert_array_equal(got, gconv.conv2d(x, weight, groups=4) + residual)
    with pytest.raises(ValueError, match=r"residual must have the result's shape \(4, 7, 7\)"):
        gconv.conv2d(x, weight, groups=4, residual=residual[None])


def test_a_residual_may_be_a_list_and_anything_that_makes_an_array():
    class Wrapped:
        def __array__(self, dtype=None, copy=None):
            return np.array([[1.0, 2.0]], np.float32)

    x, weight = np.ones((1, 2), np.float32), np.ones((1, 1, 1), np.float32)
    for residual in ([[1, 2]], Wrapped(), np.array([[1, 2]], ">f4")):
        got = gconv.conv1d(x, weight, residual=residual)
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, [[2, 3]])


# ---- every number


def exact(activation, x):
    """The value in long double, of float32 and float64 numbers."""
    x = x.astype(np.longdouble)
    with np.errstate(all="ignore"):
        return DEFINITIONS[activation](x)


def ulps(got, want):
    """By how many units in the last place of `want` (long double) `got` is off."""
    info = np.finfo(got.dtype)
    exponent = np.frexp(want)[1] - 1
    unit = np.ldexp(np.longdouble(1), np.maximum(exponent, info.minexp) - info.nmant)
    return np.abs(got.astype(np.longdouble) - want) / unit


def sweep(dtype):
    """Numbers of every exponent and, closer together, where the functions bend and vanish."""
    if dtype == np.float32:
        every = np.arange(0, 2**32, 2311, np.uint64).astype(np.uint32).view(np.float32)
        far = 125
    else:
        every = np.random.default_rng(0).integers(0, 2**64, 500_000, np.uint64).view(np.float64)
        far = 770
    dense = [np.linspace(-end, end, 200_001) for end in (1, 4, 25, far)]
    return np.concatenate([every[np.isfinite(every)], *dense]).astype(dtype)


def activate(x, activation):
    """The activation of numbers, by a convolution that leaves them alone."""
    return gconv.conv1d(x[None], np.ones((1, 1, 1), x.dtype), activation=activation)[0]


@pytest.mark.skipif(
    np.finfo(np.longdouble).nmant <= 52, reason="has no precision beyond float64"
)
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "silu"])
def test_exponentials_are_within_4_ulp(activation, isa, dtype):
    x = sweep(dtype)
    got = activate(x, activation)
    assert ulps(got, exact(activation, x)).max() <= 4
    if activation != "tanh":  # subnormal results are among them
        assert ((np.abs(got) > 0) & (np.abs(got) < np.finfo(dtype).tiny)).sum() > 100


@pytest.mark.skipif(
    np.finfo(np.longdouble).nmant <= 52, reason="has no precision beyond float64"
)
@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh"])
def test_gelu_is_within_4_ulp_and_where_it_vanishes_close(activation, isa, dtype):
    x = sweep(dtype)
    got = activate(x, activation)
    assert not np.isnan(got).any()
    want = exact(activation, x)
    tail = 1e-7 if dtype == np.float32 else 1e-16
    close = (x < -1) & (np.abs(got - want) <= tail * np.abs(x.astype(np.longdouble)))
    assert ulps(got, want)[~close].max() <= 4
    assert ((np.abs(got) > 0) & (np.abs(got) < np.finfo(dtype).tiny) & (x < -5)).sum() > 100


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh"])
def test_gelu_less_its_mirror_image_is_x(activation, isa, dtype):
    x = sweep(dtype)
    both = activate(x, activation).astype(np.longdouble) - activate(-x, activation)
    assert (np.abs(both - x) <= 4 * np.spacing(np.abs(x))).all()


SPECIAL = {
    "relu": [0, math.inf, 0, 0],
    "relu6": [0, 6, 0, 0],
    ("clip", -1.5, 2.5): [-1.5, 2.5, 0, 0],
    ("clip", -math.inf, 1.0): [-math.inf, 1, 0, 0],
    ("leaky_relu", 0.25): [-math.inf, math.inf, 0, 0],
    ("leaky_relu", -2.0): [math.inf, math.inf, 0, 0],
    "sigmoid": [0, 1, 0.5, 0.5],
    "tanh": [-1, 1, 0, 0],
    "silu": [0, math.inf, 0, 0],
    "hardsigmoid": [0, 1, 0.5, 0.5],
    "hardswish": [0, math.inf, 0, 0],
    "gelu": [0, math.inf, 0, 0],
    "gelu_tanh": [0, math.inf, 0, 0],
}


@pytest.mark.parametrize("family", [None, *ORDINARY], ids=str)
@pytest.mark.parametrize("activation", SPECIAL, ids=str)
def test_infinities_zeros_and_nan(activation, family, isa, dtype):
    for width in (1, 3, 40):
        special = np.array([-math.inf, math.inf, -0.0, 0.0], dtype).repeat(width)
        for n in range(0, len(special), width):
            row = special[n : n + width]
            with plans(isa, family):
                got = activate(row, activation)
                nan = activate(np.where(np.arange(width) == width - 1, np.nan, row), activation)
            np.testing.assert_array_equal(got, SPECIAL[activation][n // width])
            assert np.isnan(nan[-1])
            np.testing.assert_array_equal(nan[:-1], got[:-1])


@pytest.mark.parametrize("activation", ["tanh", "silu", "hardswish", "gelu", "gelu_tanh"])
def test_zero_keeps_its_sign_where_the_function_crosses_it(activation, dtype, isa):
    minus = np.full((1, 3), -0.0, dtype)
    y = gconv.conv1d(minus, np.ones((1, 1, 1), dtype), minus[0, :1], activation=activation)
    assert (y == 0).all()
    assert np.signbit(y).all()


def test_nan_of_a_residual_stays(dtype, isa):
    x, weight = np.ones((3, 20), dtype), np.ones((3, 1, 1), dtype)
    residual = np.zeros((3, 20), dtype)
    residual[1, 19] = np.nan
    for activation in DEFINITIONS:
        y = gconv.conv1d(x, weight, groups=3, residual=residual, activation=activation)
        assert np.argwhere(np.isnan(y)).tolist() == [[1, 19]]


def test_tanh_is_odd_and_sigmoid_sums_to_one(dtype, isa):
    x = sweep(dtype)
    np.testing.assert_array_equal(activate(-x, "tanh"), -activate(x, "tanh"))
    both = activate(-x, "sigmoid") + activate(x, "sigmoid")
    np.testing.assert_allclose(both, 1, rtol=4 * np.finfo(dtype).eps)


def test_hardswish_is_its_definition(dtype, isa):
    x = np.linspace(-8, 8, 100_001).astype(dtype)
    want = exact("hardswish", x)
    error = np.abs(activate(x, "hardswish") - want)
    assert (error <= 3 * np.finfo(dtype).eps * np.abs(want)).all()
    largest = np.finfo(dtype).max
    np.testing.assert_array_equal(activate(np.array([largest], dtype), "hardswish"), largest)


@pytest.mark.skipif(
    np.finfo(np.longdouble).nmant <= 52, reason="has no precision beyond float64"
)
def test_hardsigmoid_is_within_4_ulp(dtype, isa):
    x = sweep(dtype)
    assert ulps(activate(x, "hardsigmoid"), exact("hardsigmoid", x)).max() <= 4
    ends = np.array([-3, 3, np.finfo(dtype).min, np.finfo(dtype).max], dtype)
    np.testing.assert_array_equal(activate(ends, "hardsigmoid"), [0, 1, 0, 1])


def test_the_exponentials_like_pytorch(dtype, rng):
    torch = oracle("torch")
    x = normals(rng, (1, 4, 50), dtype) * 5
    functions = torch.nn.functional
    theirs = {
        "relu": functions.relu, "relu6": functions.relu6, "sigmoid": torch.sigmoid,
        "tanh": torch.tanh, "silu": functions.silu, "hardswish": functions.hardswish,
        "hardsigmoid": functions.hardsigmoid, "gelu": functions.gelu,
        "gelu_tanh": lambda t: functions.gelu(t, approximate="tanh"),
        ("leaky_relu", 0.125): lambda t: functions.leaky_relu(t, 0.125),
        ("clip", -1, 2): lambda t: torch.clamp(t, -1, 2),
    }
    for activation, function in theirs.items():
        want = function(torch.from_numpy(x)).numpy()
        got = activate(x[0, 0], activation)
        # Where gelu vanishes, PyTorch's comes from 1 + erf, which cancels.
        atol = 1e-6 if "gelu" in activation else 1e-7
        np.testing.assert_allclose(got, want[0, 0], rtol=8 * np.finfo(dtype).eps, atol=atol)


# ---- layers


LAYER = np.ones((4, 2, 3), np.float32)


def test_a_layer_says_and_keeps_its_activation():
    names = ("relu", "hardsigmoid", "gelu", "gelu_tanh")
    for activation, shown in (
        *((name, repr(name)) for name in names), (("clip", 0, 1), "('clip', 0.0, 1.0)")
    ):
        layer = gconv.Conv1d(LAYER, groups=2, activation=activation)
        assert repr(layer).endswith(f"groups=2, bias=False, activation={shown})")
        for same in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
            assert repr(same) == repr(layer)
        folded = layer.fold_batch_norm(np.zeros(4, np.float32), np.ones(4, np.float32), eps=0.0)
        assert repr(folded) == repr(layer).replace(", bias=False", "")
        how = layer.explain((1, 4, 9), threads=1)
        assert how.as_dict()["activation"] == layer._settings["activation"]
        assert f"activation={shown}" in str(how)
    assert "activation" not in repr(gconv.Conv1d(LAYER, groups=2))
    assert "activation" not in str(gconv.Conv1d(LAYER, groups=2).explain((1, 4, 9)))
    layer = gconv.ConvTranspose2d(np.ones((2, 2, 1, 1)), activation="tanh")
    assert "activation='tanh'" in repr(pickle.loads(pickle.dumps(layer)))


@pytest.mark.parametrize("activation", list(DEFINITIONS), ids=str)
def test_steps_of_a_stream_like_the_whole_signal(activation, dtype, isa, rng):
    for weight, groups in (((6, 1, 4), 6), ((5, 3, 2), 1), ((40, 20, 3), 2)):
        weight = normals(rng, weight, dtype)
        layer = gconv.CausalConv1d(weight, groups=groups, activation=activation)
        bare = gconv.CausalConv1d(weight, groups=groups)
        x = normals(rng, (2, weight.shape[1] * groups, 60), dtype)
        whole = layer(x)
        want = DEFINITIONS[activation](bare(x).astype(np.float64))
        np.testing.assert_allclose(whole, want, rtol=8 * np.finfo(dtype).eps, atol=1e-6)
        state, done = None, 0
        for size in (1, 1, 2, 3, 7, 16, 17, 13):
            y, state = layer.step(x[:, :, done : done + size], state)
            assert y.tobytes() == whole[:, :, done : done + size].tobytes()
            done += size
        assert done == 60


def test_filter_bank_activates(rng):
    x, kernels = normals(rng, (2, 3, 9, 9), np.float32), normals(rng, (4, 3, 3), np.float32)
    bare = gconv.filter_bank(x, kernels)
    np.testing.assert_array_equal(
        gconv.filter_bank(x, kernels, activation="relu"), np.maximum(bare, 0)
    )


def test_the_same_call_with_and_without_a_residual(rng):
    """They share a short cut."""
    layer = gconv.Conv1d(normals(rng, (3, 1, 3), np.float32), groups=3)
    x, residual = normals(rng, (3, 9), np.float32), normals(rng, (3, 7), np.float32)
    bare = layer(x)
    for rest in (residual, None, residual, residual.astype(">f4"), None):
        want = bare if rest is None else bare + residual
        np.testing.assert_allclose(layer(x, residual=rest), want, rtol=1e-5, atol=1e-6)
        got = gconv.conv1d(x, layer.weight, groups=3, residual=rest)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


# ---- refusals


def refusing_calls(activation, residual=None):
    """Every way to ask, with an `out` that has to stay as it is."""
    x, weight = np.ones((1, 4, 9), np.float32), np.ones((4, 1, 3), np.float32)
    out = np.full((1, 4, 7), 7, np.float32)
    wide = np.full((1, 4, 11), 7, np.float32)
    options = {"activation": activation, "residual": residual, "groups": 4}
    yield "conv1d", out, lambda: gconv.conv1d(x, weight, **options, out=out)
    yield "conv_transpose1d", wide, lambda: gconv.conv_transpose1d(
        x, weight, **options, out=wide
    )
    for kind, y in ((gconv.Conv1d, out), (gconv.ConvTranspose1d, wide)):
        yield kind.__name__, y, lambda kind=kind, y=y: kind(
            weight, groups=4, activation=activation
        )(x, residual=residual, out=y)


@pytest.mark.parametrize(
    ("activation", "error", "match"),
    [
        ("mish", ValueError, "unknown activation 'mish'"),
        ("gelu_erf", ValueError, "unknown activation 'gelu_erf'"),
        (("gelu", "tanh"), ValueError, 'must be written as "gelu"'),
        ("", ValueError, "unknown activation ''"),
        ((), ValueError, r"unknown activation \(\)"),
        (("swish", 1), ValueError, "unknown activation"),
        ((0, 1), ValueError, "unknown activation"),
        ("clip", ValueError, r'must be written as \("clip", lo, hi\)'),
        (("clip", 0), ValueError, r'must be written as \("clip", lo, hi\)'),
        (("clip", 0, 1, 2), ValueError, r'must be written as \("clip", lo, hi\)'),
        (("relu",), ValueError, 'must be written as "relu"'),
        (("relu", 6), ValueError, 'must be written as "relu"'),
        ("leaky_relu", ValueError, r'must be written as \("leaky_relu", slope\)'),
        (("clip", "0", 1), ValueError, "lo of activation .* must be a number"),
        (("clip", 0, None), ValueError, "hi of activation .* must be a number"),
        (("clip", False, True), ValueError, "must be a number"),
        (("clip", 0, 1j), ValueError, "must be a number"),
        (("clip", math.nan, 1), ValueError, "must not be NaN"),
        (("clip", 2, 1), ValueError, r"lo .* must not be above hi, got \('clip', 2, 1\)"),
        (("leaky_relu", math.inf), ValueError, "slope .* must be finite"),
        (("leaky_relu", math.nan), ValueError, "slope .* must be finite"),
        (1, TypeError, "activation must be None, a string or a tuple, got 1"),
        (np.tanh, TypeError, "activation must be None, a string or a tuple"),
        (["clip", 0, 1], TypeError, "activation must be None, a string or a tuple"),
    ],
)
def test_activations_refused(activation, error, match):
    for name, out, call in refusing_calls(activation):
        with pytest.raises(error, match=f"^{name}: .*{match}"):
            call()
        assert (out == 7).all()


def test_an_unknown_activation_is_told_the_known_ones():
    with pytest.raises(ValueError, match="activation") as caught:
        gconv.Conv1d(LAYER, activation="mish")
    for name in ("None", '"relu"', '"relu6"', '("clip", lo, hi)', '("leaky_relu", slope)',
                 '"sigmoid"', '"tanh"', '"silu"', '"hardsigmoid"', '"hardswish"', '"gelu"',
                 '"gelu_tanh"'):
        assert name in str(caught.value)


def test_bounds_may_be_any_numbers():
    for clip in (
        ("clip", 0, 6), ("clip", np.float32(0), np.int8(6)), ("clip", -0.0, 6.0),
        ("clip", 0, 6.0),
    ):
        assert gconv.Conv1d(LAYER, activation=clip)._settings["activation"] == ("clip", 0.0, 6.0)
    x = np.array([[-1.0, 1.0]])
    for lowest in (-(10**400), -math.inf):
        y = gconv.conv1d(x, np.ones((1, 1, 1)), activation=("clip", lowest, 0.5))
        np.testing.assert_array_equal(y, [[-1, 0.5]])


@pytest.mark.parametrize(
    ("residual", "error", "match"),
    [
        (np.zeros((1, 4, 1), np.float32), ValueError, r"got \(1, 4, 1\)"),
        (np.zeros((4,), np.float32), ValueError, r"got \(4,\)"),
        (np.float32(1), ValueError, r"got \(\)"),
        (0.0, ValueError, r"got \(\)"),
        (np.zeros((1, 4, 7)), TypeError, "must be of dtype float32.* got float64"),
        (np.zeros((1, 4, 7), int), TypeError, "must be of dtype float32.* got int64"),
        (np.ma.zeros((1, 4, 7), np.float32), TypeError, "must not be a MaskedArray"),
        ("zeros", TypeError, "must be of dtype float32"),
        ([["a"]], TypeError, "cannot be made an array of float32"),
    ],
)
def test_residuals_refused(residual, error, match):
    for name, out, call in refusing_calls(None, residual):
        with pytest.raises(error, match=f"^{name}: residual .*{match}"):
            call()
        assert (out == 7).all()


def test_a_residual_is_checked_where_the_short_cut_is_warm():
    layer = gconv.Conv1d(LAYER, groups=2)
    x = np.ones((1, 4, 9), np.float32)
    layer(x)
    with pytest.raises(ValueError, match=r"the result's shape \(1, 4, 7\) .*, got \(4, 7\)"):
        layer(x, residual=np.ones((4, 7), np.float32))
    with pytest.raises(TypeError, match="float64"):
        layer(x, residual=np.ones((1, 4, 7)))


@pytest.mark.parametrize("slope", [1e300, -4e38])
def test_a_slope_beyond_float32_is_refused(slope):
    with pytest.raises(ValueError, match="slope"):
        gconv.conv1d(np.ones((1, 1, 4)), np.ones((1, 1, 1)), activation=("leaky_relu", slope))
