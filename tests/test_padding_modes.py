"""Padding that holds elements of the image: PyTorch's modes, in every kernel, on every side."""

import copy
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from arrays import LAYOUTS, integers, normals
from geometries import geometries
from hypothesis import given
from hypothesis import strategies as st
from kernels import ORDINARY, plain, plan_of, plans
from oracles import oracle
from reference import reference
from tolerance import assert_right

import gconv
from gconv._call.geometry import Parameters
from gconv._call.isa import machine_of, usable
from gconv._families.depthwise.family import three_columns
from gconv._plan import choose

FUNCTIONS = {1: gconv.conv1d, 2: gconv.conv2d, 3: gconv.conv3d}
LAYERS = {1: gconv.Conv1d, 2: gconv.Conv2d, 3: gconv.Conv3d}

dtypes = st.sampled_from([np.float32, np.float64])
isas = st.sampled_from(usable())
#: None leaves the choice to the plan, as every user does.
families = st.none() | st.sampled_from(ORDINARY)
layouts = st.sampled_from(sorted(LAYOUTS))
threads = st.integers(1, 4)
seeds = st.integers(0, 2**32 - 1)

#: What numpy.pad calls them.
NUMPY_NAMES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
MODES = sorted(NUMPY_NAMES)


def padded(x, padding, mode):
    """Return x with its spatial dimensions padded as pairs say."""
    return np.pad(x, ((0, 0), (0, 0), *padding), mode=NUMPY_NAMES[mode])


def most_padding(mode, size):
    return {"reflect": size - 1, "replicate": math.inf, "circular": size}[mode]


@st.composite
def convolutions(draw, batch=(0, 1, 2, 3)):
    """Return a mode and a geometry that it allows."""
    mode, g = draw(st.sampled_from(MODES)), draw(geometries(batch=batch))
    sizes, padding = [], []
    for size, kernel, pair, dilation in zip(
        g.x[2:], g.weight[2:], g.padding, g.dilation, strict=True
    ):
        reach = dilation * (kernel - 1) + 1
        most = most_padding(mode, max(size, 1))
        fewer = tuple(min(n, most) for n in pair)
        sizes.append(max(size, 1) if max(size, 1) + sum(fewer) >= reach else reach)
        padding.append(fewer)
    return mode, replace(g, x=(*g.x[:2], *sizes), padding=tuple(padding))


def truth(x, weight, bias, geometry, mode):
    """Return the arguments of `reference` for x padded beforehand."""
    options = geometry.options | {"padding": 0}
    return padded(x, geometry.padding, mode), weight, bias, options


@given(
    convolutions(),
    dtypes,
    isas,
    families,
    threads,
    seeds,
    st.booleans(),
    st.tuples(layouts, layouts),
)
def test_whole_numbers_are_summed_exactly_in_any_layout(
    drawn, dtype, isa, family, num_threads, seed, has_bias, layout
):
    mode, g = drawn
    rng = np.random.default_rng(seed)
    x = LAYOUTS[layout[0]](integers(rng, g.x, dtype))
    weight = LAYOUTS[layout[1]](integers(rng, g.weight, dtype))
    bias = integers(rng, g.weight[:1], dtype) if has_bias else None
    with plans(isa, family):
        got = FUNCTIONS[g.dims](
            x, weight, bias, **g.options, padding_mode=mode, num_threads=num_threads
        )
    assert got.dtype == dtype
    *arrays, options = truth(x, weight, bias, g, mode)
    np.testing.assert_array_equal(got, reference(*arrays, **options))


@given(convolutions(batch=(1, 2)), dtypes, isas, families, threads, seeds)
def test_any_numbers_are_summed_to_within_their_roundings(
    drawn, dtype, isa, family, num_threads, seed
):
    mode, g = drawn
    rng = np.random.default_rng(seed)
    x, weight = normals(rng, g.x, dtype), normals(rng, g.weight, dtype)
    with plans(isa, family):
        got = FUNCTIONS[g.dims](
            x, weight, **g.options, padding_mode=mode, num_threads=num_threads
        )
    *arrays, options = truth(x, weight, None, g, mode)
    assert_right(got, *arrays, **options)


@given(convolutions(batch=(2, 3)), dtypes, isas, threads, seeds)
def test_layers_functions_threads_and_images_alone_give_the_same_bits(
    drawn, dtype, isa, num_threads, seed
):
    mode, g = drawn
    rng = np.random.default_rng(seed)
    x, weight = normals(rng, g.x, dtype), normals(rng, g.weight, dtype)
    bias = normals(rng, g.weight[:1], dtype)
    options = g.options | {"padding_mode": mode}
    with plans(isa):
        want = FUNCTIONS[g.dims](x, weight, bias, **options, num_threads=1)
        layer = LAYERS[g.dims](weight, bias, **options)
        got = layer(x, num_threads=num_threads)
        alone = [
            FUNCTIONS[g.dims](image, weight, bias, **options, num_threads=num_threads)
            for image in x
        ]
    assert got.tobytes() == want.tobytes() == np.stack(alone).tobytes()
    assert layer.out_shape(g.x) == want.shape


# ---- what each mode means


def seen(padding, mode, size=4, **options):
    """Return what outputs see of x = 1, 2, 3 ...: three elements each, as decimal digits."""
    x = np.arange(1.0, size + 1)[None]
    weight = np.array([[[100.0, 10.0, 1.0]]])
    return gconv.conv1d(x, weight, padding=padding, padding_mode=mode, **options)[0].tolist()


@pytest.mark.parametrize(
    ("mode", "padding", "options", "want"),
    [
        ("zeros", 2, {}, [1, 12, 123, 234, 340, 400]),
        ("reflect", 2, {}, [321, 212, 123, 234, 343, 432]),
        ("replicate", 2, {}, [111, 112, 123, 234, 344, 444]),
        ("circular", 2, {}, [341, 412, 123, 234, 341, 412]),
        ("reflect", ((3, 0),), {}, [432, 321, 212, 123, 234]),
        ("circular", ((0, 4),), {}, [123, 234, 341, 412, 123, 234]),
        ("circular", 1, {"size": 1}, [111]),
        ("replicate", ((0, 4),), {"size": 1}, [111, 111, 111]),
        ("reflect", "same", {}, [212, 123, 234, 343]),
        ("circular", "same", {"dilation": 2}, [313, 424, 131, 242]),
        ("replicate", "same_upper", {"stride": 2}, [123, 344]),
        ("replicate", "same_lower", {"stride": 2}, [112, 234]),
        ("reflect", "valid", {}, [123, 234]),
    ],
)
def test_the_modes(mode, padding, options, want):
    assert seen(padding, mode, **options) == want


def test_each_dimension_has_its_own_padding(rng):
    x = integers(rng, (1, 1, 3, 4, 5), np.float64)
    weight = np.ones((1, 1, 1, 1, 1))
    padding = ((2, 1), (0, 3), (4, 0))
    for mode in MODES:
        got = gconv.conv3d(x, weight, padding=padding, padding_mode=mode)
        np.testing.assert_array_equal(got, padded(x, padding, mode))


def test_a_filter_bank_has_modes(rng):
    x, kernels = integers(rng, (2, 3, 8, 9), np.float32), integers(rng, (4, 3, 5), np.float32)
    for mode in MODES:
        got = gconv.filter_bank(x, kernels, padding=(1, 2), padding_mode=mode)
        want = gconv.filter_bank(padded(x, ((1, 1), (2, 2)), mode), kernels)
        np.testing.assert_array_equal(got, want)


def test_calls_that_differ_in_the_mode_alone_do_not_meet():
    """Neither in the cache of plans nor in the short cuts of repeated calls."""
    modes = ["zeros", *MODES, "zeros", *MODES]
    assert len({tuple(seen(2, mode)) for mode in modes}) == 4
    assert seen(2, np.str_("reflect")) == seen(2, "reflect")


@pytest.mark.parametrize("mode", MODES)
def test_nothing_to_pad_and_no_input_channels(mode):
    x, weight, bias = np.ones((2, 0, 5)), np.ones((3, 0, 3)), np.arange(3.0)
    got = gconv.conv1d(x, weight, bias, padding=2, padding_mode=mode)
    np.testing.assert_array_equal(got, np.broadcast_to(bias[:, None], (2, 3, 7)))
    empty = gconv.conv1d(np.ones((0, 2, 5)), np.ones((3, 2, 3)), padding=2, padding_mode=mode)
    assert empty.shape == (0, 3, 7)


# ---- every way that a panel can be packed

#: x, weight, options, the family, and what has to be true of the layout for the case to be the one.
LAYOUT_CASES = {
    "bands of columns": (
        (2, 9000), (4, 2, 31), {"padding": ((40, 47),)}, "width", lambda s: s.bands[2] > 1,
    ),
    "bands of columns, sorted by phase": (
        (2, 40000), (2, 2, 9), {"padding": 70, "stride": 3}, "width",
        lambda s: s.bands[2] > 1 and s.phases == 3,
    ),
    "bands of rows": (
        (8, 70, 60), (8, 4, 3, 3), {"padding": 2, "groups": 2}, "width",
        lambda s: s.bands[1] > 1,
    ),
    "bands of planes": (
        (4, 12, 20, 40), (8, 4, 3, 3, 3), {"padding": 2}, "width", lambda s: s.bands[0] > 1,
    ),
    "two phases": (
        (4, 21, 37), (8, 4, 3, 5), {"padding": (1, 3), "stride": 2}, "width",
        lambda s: s.phases == 2,
    ),
    "two phases of strided columns": (
        (4, 21, 74), (8, 4, 3, 5), {"padding": (1, 3), "stride": 2}, "width",
        lambda s: s.phases == 2 and s.p.x_axis[2] == 2,
    ),
    "expanded rows": (
        (8, 64, 40), (8, 8, 3, 3), {"padding": 30, "dilation": (30, 4)}, "width",
        lambda s: s.expanded(1),
    ),
    "expanded planes": (
        (2, 20, 8, 33), (3, 2, 2, 2, 3), {"padding": (9, 1, 2), "stride": (9, 1, 1)}, "width",
        lambda s: s.expanded(0),
    ),
    "several groups an item": (
        (64, 9, 9), (64, 1, 3, 3), {"padding": 3, "groups": 64}, "width",
        lambda s: s.group_block > 1,
    ),
    "a panel for several items": (
        (16, 30, 30), (200, 16, 3, 3), {"padding": 1}, "width", lambda s: s.channel_blocks > 1,
    ),
    "input channels in blocks": (
        (600, 5, 40), (5, 600, 3, 3), {"padding": 1}, "width",
        lambda s: s.in_block < s.p.in_channels,
    ),
    "channel lanes in bands": (
        (48, 33, 35), (40, 48, 3, 3), {"padding": (3, 6), "dilation": (3, 6)}, "channel",
        lambda s: s.bands[1] > 1 and s.in_place and s.gathers_border,
    ),
    "channel lanes, border alone": (
        (20, 3, 4), (24, 20, 5, 5), {"padding": 2}, "channel", lambda s: s.gathers_border,
    ),
    "channel lanes, border before": (
        (20, 9, 11), (24, 20, 3, 3), {"padding": ((2, 0), (2, 0))}, "channel",
        lambda s: s.gathers_border,
    ),
    "channel lanes, border behind": (
        (20, 9, 11), (24, 20, 3, 3), {"padding": ((0, 2), (0, 2))}, "channel",
        lambda s: s.gathers_border,
    ),
    "channel lanes, planes": (
        (20, 5, 9, 8), (24, 20, 3, 3, 3), {"padding": (1, 2, 1)}, "channel",
        lambda s: s.gathers_border,
    ),
    "channel lanes, channels last": (
        (20, 9, 11), (24, 20, 3, 3), {"padding": 1}, "channel",
        lambda s: s.gathers_border and s.p.channels_last,
    ),
    "channel lanes, channels on the same places of the cache": (
        (48, 32, 32), (40, 48, 3, 3), {"padding": 1}, "channel", lambda s: not s.in_place,
    ),
    "channel lanes, too many taps to look up": (
        (20, 300), (24, 20, 96), {"padding": 48}, "channel", lambda s: not s.in_place,
    ),
    "channel lanes with a stride": (
        (48, 33, 35), (40, 48, 3, 3), {"padding": 2, "stride": (2, 3)}, "channel",
        lambda s: s.family.name == "channel",
    ),
    "depthwise in bands": (
        (3, 150, 90), (3, 1, 5, 5), {"padding": 4, "groups": 3}, "depthwise",
        lambda s: s.bands[1] > 1,
    ),
    "depthwise, dilated": (
        (3, 33, 29), (3, 1, 3, 3), {"padding": 8, "dilation": 4, "groups": 3}, "depthwise",
        lambda s: not three_columns(s.p),
    ),
    "depthwise, neighbours by phase": (
        (3, 20, 60), (3, 1, 3, 3), {"padding": 3, "stride": (1, 2), "dilation": 2, "groups": 3},
        "depthwise", lambda s: three_columns(s.p),
    ),
    "depthwise, narrow": (
        (9, 14, 5), (9, 1, 3, 3), {"padding": 1, "groups": 9}, "depthwise",
        lambda s: s.family.name == "depthwise",
    ),
    "sliding windows in bands": (
        (3, 150, 90), (6, 1, 3, 3), {"padding": 2, "groups": 3}, "sliding",
        lambda s: s.bands[1] > 1 and not s.in_place,
    ),
    "sliding windows, bands of columns": (
        (2, 5, 9000), (2, 1, 3, 3), {"padding": 1, "groups": 2}, "sliding",
        lambda s: s.bands[2] > 1,
    ),
    "sliding windows with a stride": (
        (3, 33, 71), (6, 1, 5, 5), {"padding": 4, "stride": 2, "groups": 3}, "sliding",
        lambda s: s.phases == 1,
    ),
    "sliding windows, dilated": (
        (3, 33, 29), (3, 1, 3, 3), {"padding": 8, "dilation": 4, "groups": 3}, "sliding",
        lambda s: not s.expanded(1),
    ),
    "sliding windows, far apart": (
        (3, 20, 50), (3, 1, 2, 3), {"padding": (9, 16), "dilation": (18, 16), "groups": 3},
        "sliding", lambda s: not s.expanded(1),
    ),
    "sliding windows, planes": (
        (3, 5, 20, 40), (6, 1, 3, 3, 3), {"padding": (2, 1, 1), "groups": 3}, "sliding",
        lambda s: s.slots(0) > 1,
    ),
    "rows padded, columns not": (
        (4, 12, 40), (4, 4, 3, 1), {"padding": (1, 0)}, "width", lambda s: not s.in_place,
    ),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", LAYOUT_CASES)
def test_every_kind_of_panel(name, mode, isa, dtype, rng):
    """The same as x padded beforehand, whole numbers being exact; with 1 and 3 threads."""
    x_shape, weight_shape, options, family, is_the_case = LAYOUT_CASES[name]
    dims = len(x_shape) - 1
    x = integers(rng, (2, *x_shape), dtype, largest=3)
    if name == "two phases of strided columns":
        x = x[..., ::2]
    if name == "channel lanes, channels last":
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    if family == "sliding" and not machine_of(isa, np.dtype(dtype)).tiles[family][family]:
        return  # another instruction set's
    weight = integers(rng, weight_shape, dtype, largest=3)
    layer = LAYERS[dims](weight, **options, padding_mode=mode)
    with choose.use_tile(family):
        layout = plan_of(layer._parameters, x).layout
        assert layout.family.name == family
        assert is_the_case(layout)
        got = [layer(x, num_threads=num_threads) for num_threads in (1, 3)]
        got.append(FUNCTIONS[dims](x, weight, **options, padding_mode=mode, num_threads=2))
    padding = layer._parameters.applied_to(x.shape).padding
    with plain():
        want = FUNCTIONS[dims](padded(x, padding, mode), weight, **options | {"padding": 0})
    for result in got:
        np.testing.assert_array_equal(result, want)


@pytest.mark.parametrize("mode", MODES)
def test_every_tap_counts(mode):
    weight = np.ones((8, 4, 3, 3), np.float32)
    zeros, other = (
        gconv.Conv2d(weight, padding=1, groups=2, padding_mode=m).explain((1, 8, 7, 7))
        for m in ("zeros", mode)
    )
    assert zeros.flops_inside < zeros.flops == other.flops == other.flops_inside


@pytest.mark.parametrize("mode", MODES)
def test_without_padding_a_mode_is_zeros(mode):
    """And so they share a plan, with tiles that read x in place."""

    def geometry(padding, mode):
        parameters = Parameters.of_convolution(
            "conv2d", 2, (4, 4, 3, 3), None, padding=padding, padding_mode=mode
        )
        return parameters.applied_to((1, 4, 8, 40))

    for padding in (0, "valid", ((0, 0), (0, 0))):
        assert geometry(padding, mode) == geometry(padding, "zeros")
    assert geometry(1, mode) != geometry(1, "zeros")
    # The stride passes over the only padding there is.
    weight = np.ones((4, 4, 1, 1), np.float32)
    layer = gconv.Conv2d(weight, stride=(2, 1), padding=((0, 1), (0, 0)), padding_mode=mode)
    assert layer.explain((1, 4, 9, 40)).in_place
    x = np.arange(4 * 9 * 40, dtype=np.float32).reshape(1, 4, 9, 40)
    np.testing.assert_array_equal(layer(x)[0, 0], x[0, :, ::2].sum(0))


# ---- PyTorch


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(
    ("padding", "stride", "dilation"),
    [(1, 1, 1), (3, 2, 1), ((3, 1, 0), (1, 3, 2), (2, 1, 1)), ("same", 1, 1), ("same", 1, 3)],
)
def test_pytorchs_layers(dims, mode, padding, stride, dilation, dtype, rng):
    torch = oracle("torch")
    padding, stride, dilation = (
        value[:dims] if isinstance(value, tuple) else value for value in (padding, stride, dilation)
    )
    weight = integers(rng, (6, 2, *(4, 3, 2)[:dims]), dtype)
    bias = integers(rng, (6,), dtype)
    x = integers(rng, (2, 4, *(10, 9, 11)[:dims]), dtype)
    theirs = getattr(torch.nn, f"Conv{dims}d")(
        4, 6, weight.shape[2:], stride, padding, dilation, groups=2, padding_mode=mode
    )
    with torch.no_grad():
        theirs.weight = torch.nn.Parameter(torch.from_numpy(weight))
        theirs.bias = torch.nn.Parameter(torch.from_numpy(bias))
        want = theirs(torch.from_numpy(x)).numpy()
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": 2}
    ours = LAYERS[dims](weight, bias, **options, padding_mode=mode)
    np.testing.assert_array_equal(ours(x), want)


@given(st.sampled_from(MODES), st.integers(1, 5), st.integers(0, 7), st.integers(0, 7))
def test_pytorch_refuses_the_same_padding(mode, size, before, after):
    torch = oracle("torch")
    x, weight = np.ones((1, 1, size)), np.ones((1, 1, 1))
    try:
        want = torch.nn.functional.pad(torch.from_numpy(x), (before, after), mode).numpy()
    except RuntimeError:
        want = None
    try:
        got = gconv.conv1d(x, weight, padding=((before, after),), padding_mode=mode)
    except ValueError:
        got = None
    np.testing.assert_array_equal(got, want)


# ---- refusals


@pytest.mark.parametrize(
    ("mode", "size", "padding", "words"),
    [
        ("reflect", (4, 9), ((4, 0), (0, 0)), ["reflect", "smaller", "(4, 0)", "dimension 0", "4"]),
        ("reflect", (9, 4), ((0, 0), (1, 5)), ["reflect", "smaller", "(1, 5)", "dimension 1", "4"]),
        ("reflect", (1, 9), 1, ["reflect", "(1, 1)", "dimension 0", "size 1"]),
        ("reflect", (0, 9), 1, ["reflect", "(1, 1)", "dimension 0", "size 0"]),
        ("circular", (9, 4), (0, 5), ["circular", "not larger", "(5, 5)", "dimension 1", "size 4"]),
        ("circular", (0, 9), 2, ["circular", "(2, 2)", "dimension 0", "size 0"]),
        ("replicate", (9, 0), 1, ["replicate", "(1, 1)", "dimension 1", "size 0"]),
        ("replicate", (9, 0), ((0, 0), (0, 2)), ["replicate", "(0, 2)", "dimension 1", "size 0"]),
    ],
)
def test_too_much_padding_is_refused(mode, size, padding, words):
    x, weight = np.ones((1, 2, *size)), np.ones((2, 2, 1, 1))
    out = np.full((1, 2, 1, 1), np.pi)
    layer = gconv.Conv2d(weight, padding=padding, padding_mode=mode)
    calls = {
        "conv2d": lambda: gconv.conv2d(x, weight, padding=padding, padding_mode=mode, out=out),
        "Conv2d": lambda: layer(x, out=out),
        "filter_bank": lambda: gconv.filter_bank(
            x, weight[:, 0], padding=padding, padding_mode=mode
        ),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match=f"^{name}: ") as caught:
            call()
        assert all(word in str(caught.value) for word in words), caught.value
    with pytest.raises(ValueError, match=r"^Conv2d: .*dimension"):
        layer.out_shape(x.shape)
    assert out.item(0) == np.pi
    # The same padding of zeros is none of this.
    gconv.conv2d(x, weight, padding=padding)


@pytest.mark.parametrize(
    ("value", "ours"),
    [
        ("mirror", "reflect"),
        ("nearest", "replicate"),
        ("edge", "replicate"),
        ("wrap", "circular"),
        ("constant", "zeros"),
        ("symmetric", None),
        ("Reflect", None),
        ("", None),
    ],
)
def test_other_names_are_told_ours(value, ours):
    x, weight = np.ones((1, 1, 5)), np.ones((1, 1, 3))
    for name, call in {
        "conv1d": lambda: gconv.conv1d(x, weight, padding_mode=value),
        "Conv1d": lambda: gconv.Conv1d(weight, padding_mode=value),
        "filter_bank": lambda: gconv.filter_bank(x, weight[0], padding_mode=value),
    }.items():
        with pytest.raises(ValueError, match=f"^{name}: unknown padding_mode") as caught:
            call()
        message = str(caught.value)
        assert repr(value) in message
        assert "'zeros', 'reflect', 'replicate', 'circular'" in message
        assert (f'here that is "{ours}"' if ours else "the modes are") in message
        assert ("here that is" in message) == (ours is not None)


@pytest.mark.parametrize("value", [None, 1, ["reflect"], np.ones(2), b"reflect"])
def test_a_mode_is_a_string(value):
    with pytest.raises(TypeError, match=r"^conv1d: padding_mode must be a string"):
        gconv.conv1d(np.ones((1, 5)), np.ones((1, 1, 3)), padding_mode=value)


def test_transposed_convolutions_aside_a_mode_is_a_keyword():
    x, weight = np.ones((1, 1, 5)), np.ones((1, 1, 3))
    with pytest.raises(TypeError, match="positional"):
        gconv.conv1d(x, weight, None, 1, 1, 1, 1, "reflect")


# ---- layers


@pytest.mark.parametrize("mode", ["zeros", *MODES])
@pytest.mark.parametrize("padding", [2, "same_upper", ((1, 0),)])
def test_layers_keep_their_mode(mode, padding, rng):
    weight, bias = normals(rng, (4, 2, 3), np.float32), normals(rng, (4,), np.float32)
    x = normals(rng, (2, 4, 30), np.float32)
    layer = gconv.Conv1d(weight, bias, padding=padding, groups=2, padding_mode=mode)
    want = gconv.conv1d(x, weight, bias, padding=padding, groups=2, padding_mode=mode)
    assert (f"padding_mode='{mode}'" in repr(layer)) == (mode != "zeros")
    for again in (layer, pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
        assert repr(again) == repr(layer)
        np.testing.assert_array_equal(again(x), want)


def test_the_representation():
    layer = gconv.Conv1d(np.ones((4, 2, 3)), padding=1, groups=2, padding_mode="circular")
    assert repr(layer) == (
        "Conv1d(4, 4, kernel_size=(3,), stride=(1,), padding=(1,), groups=2, bias=False, "
        "padding_mode='circular')"
    )
