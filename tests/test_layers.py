"""A layer is made once from trained weights, never changes, and goes wherever it is taken."""

import concurrent.futures
import copy
import pickle

import numpy as np
import pytest
from arrays import LAYOUTS, channels_last, integers, normals
from interpreter import run_python
from kernels import refuse_the_whole_way
from oracles import oracle
from reference import reference

import gconv
from gconv._api import layers
from gconv._call.isa import usable
from gconv._plan.family import Packings

LAYERS = {1: gconv.Conv1d, 2: gconv.Conv2d, 3: gconv.Conv3d}
OPTIONS = {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}


@pytest.fixture
def arrays(dtype, rng):
    """Return x, weight, bias."""
    return (
        integers(rng, (2, 8, 15, 33), dtype),
        integers(rng, (12, 4, 3, 3), dtype),
        integers(rng, (12,), dtype),
    )


def test_later_changes_of_the_weights_do_not_reach_it(arrays, isa):
    x, weight, bias = arrays
    want = reference(x, weight, bias, **OPTIONS)
    unused, used = (gconv.Conv2d(weight, bias, **OPTIONS) for _ in range(2))
    np.testing.assert_array_equal(used(x), want)
    weight[...] = np.nan
    bias[...] = np.nan
    np.testing.assert_array_equal(unused(x), want)
    np.testing.assert_array_equal(used(x), want)
    np.testing.assert_array_equal(used(x[:, :, :9]), unused(x[:, :, :9]))
    assert np.isfinite(used(x[:, :, :9])).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_of_any_layout(layout, arrays, isa):
    x, weight, bias = arrays
    weight, bias = LAYOUTS[layout](weight), LAYOUTS[layout](bias)
    layer = gconv.Conv2d(weight, bias, **OPTIONS)
    np.testing.assert_array_equal(layer(x), reference(x, weight, bias, **OPTIONS))


NAMES = ["weight", "bias", "stride", "padding", "dilation", "groups", "anything"]


@pytest.mark.parametrize("name", NAMES)
def test_attributes_cannot_be_set_or_deleted(arrays, name):
    x, weight, bias = arrays
    layer = gconv.Conv2d(weight, bias, **OPTIONS)
    with pytest.raises(AttributeError):
        setattr(layer, name, 1)
    with pytest.raises(AttributeError):
        delattr(layer, name)
    np.testing.assert_array_equal(layer(x), reference(x, weight, bias, **OPTIONS))


def test_its_arrays_cannot_be_written_to(arrays):
    x, weight, bias = arrays
    layer = gconv.Conv2d(weight, bias, **OPTIONS)
    want = layer(x)
    np.testing.assert_array_equal(layer.weight, weight)
    np.testing.assert_array_equal(layer.bias, bias)
    for array in (layer.weight, layer.bias):
        assert not np.shares_memory(array, weight)
        assert not np.shares_memory(array, bias)
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
    np.testing.assert_array_equal(layer(x), want)
    assert gconv.Conv2d(weight).bias is None


def test_sequences_given_as_options_may_change_later(arrays):
    x, weight, bias = arrays
    options = {"stride": [2, 1], "padding": [[1, 0], [2, 1]], "dilation": [1, 2]}
    layer = gconv.Conv2d(weight, bias, **options, groups=2)
    want = reference(x, weight, bias, **options, groups=2)
    options["stride"][0] = 7
    options["padding"][0][0] = 7
    options["dilation"].append(7)
    np.testing.assert_array_equal(layer(x), want)
    np.testing.assert_array_equal(layer(x[:1]), want[:1])


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_one_layer_serves_any_sizes_orders_and_batches_in_turn(dims, isa, dtype, rng):
    weight, bias = integers(rng, (6, 2, *(3,) * dims), dtype), integers(rng, (6,), dtype)
    layer = LAYERS[dims](weight, bias, padding=1, groups=2)
    sizes = [(9, 8, 7), (5, 6, 33), (9, 8, 7), (1, 1, 1), (9, 8, 7)]
    for batch, (size, layout) in enumerate(zip(sizes, LAYOUTS, strict=False)):
        x = LAYOUTS[layout](integers(rng, (batch, 4, *size[-dims:]), dtype))
        np.testing.assert_array_equal(layer(x), reference(x, weight, bias, padding=1, groups=2))
        image = integers(rng, (4, *size[-dims:]), dtype)
        want = reference(image[None], weight, bias, padding=1, groups=2)[0]
        np.testing.assert_array_equal(layer(image), want)


SLICES = {
    "channels of an array in C order": lambda x: x[:, 3:11],
    "channels of a channels-last array": lambda x: channels_last(x)[:, 3:11],
    "rows": lambda x: x[:, :8, 2:],
    "every other column": lambda x: x[:, :8, :, ::2],
    "backwards": lambda x: x[:, :8, ::-1],
    "images": lambda x: x[1:, :8],
    "broadcast": lambda x: np.broadcast_to(x[:1, :8], (3, 8, *x.shape[2:])),
    "rows of a channels-last array": lambda x: channels_last(x)[:, :8, 1:-1],
}


@pytest.mark.parametrize("order", [np.ascontiguousarray, channels_last])
@pytest.mark.parametrize("kind", [gconv.Conv2d, gconv.ConvTranspose2d])
def test_shapes_that_come_in_turn_keep_their_short_cuts(
    kind, order, isa, dtype, rng, monkeypatch
):
    """As at the five sizes of a detector's head."""
    layer = kind(integers(rng, (8, 8, 3, 3), dtype), padding=1)
    xs = [order(integers(rng, (1, 8, size, size + 3), dtype)) for size in (3, 5, 10, 19, 38)]
    wants = [layer(x) for x in xs]
    packed = layer._packings.kept
    refuse_the_whole_way(monkeypatch)
    for x, want in zip(xs, wants, strict=True):
        np.testing.assert_array_equal(layer(x), want)
        np.testing.assert_array_equal(layer(x, out=np.empty_like(want)), want)
    assert layer._packings.kept is packed


@pytest.mark.parametrize("name", SLICES)
def test_a_sliced_x_takes_the_short_cut(name, isa, dtype, rng, monkeypatch):
    whole = integers(rng, (3, 16, 9, 14), dtype)
    weight = integers(rng, (12, 4, 3, 3), dtype)
    layer = gconv.Conv2d(weight, padding=1, groups=2)
    x = SLICES[name](whole)
    want = reference(x, weight, padding=1, groups=2).astype(dtype)
    np.testing.assert_array_equal(layer(x), want)
    np.testing.assert_array_equal(gconv.conv2d(x, weight, padding=1, groups=2), want)
    refuse_the_whole_way(monkeypatch)
    np.testing.assert_array_equal(layer(x), want)
    np.testing.assert_array_equal(layer(x, residual=want), 2 * want)
    np.testing.assert_array_equal(gconv.conv2d(x, weight, padding=1, groups=2), want)
    out = np.full_like(want, np.nan)
    assert layer(x, out=out) is out
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("name", SLICES)
def test_an_out_that_overlaps_a_sliced_x_is_written_last(name, dtype, rng):
    whole = integers(rng, (3, 16, 9, 14), dtype)
    layer = gconv.Conv2d(integers(rng, (8, 8, 1, 1), dtype))
    for _ in range(2):  # the second call meets the short cut
        x = SLICES[name](whole.copy())
        if not x.flags.writeable:
            return
        want = layer(x)
        assert layer(x, out=x) is x
        np.testing.assert_array_equal(x, want)


def test_an_x_of_other_strides_takes_no_short_cut_of_the_same_shape(isa, dtype, rng):
    weight = integers(rng, (4, 8, 3, 3), dtype)
    layer = gconv.Conv2d(weight, padding=1)
    for name in [*SLICES, *SLICES]:
        x = SLICES[name](integers(rng, (3, 16, 9, 14), dtype))
        np.testing.assert_array_equal(layer(x), reference(x, weight, padding=1))


def test_short_cuts_and_packings_are_bounded(rng):
    """Nor does a call that cannot take one push the others out."""
    layer = gconv.Conv2d(normals(rng, (64, 64, 3, 3), np.float32), padding=1)
    for size in range(1, 40):
        x = normals(rng, (1, 64, size, 2 * size), np.float32)
        layer(x)
        layer(channels_last(x))
    assert len(layer._short_cuts) == layers.MOST_SHORT_CUTS
    assert 1 <= len(layer._packings.kept) <= layers.MOST_PACKINGS
    first, *_ = layer._short_cuts
    for _ in range(20):
        layer(channels_last(x), out=np.empty((1, 64, 39, 78), np.float32))
    assert len(layer._short_cuts) == layers.MOST_SHORT_CUTS
    assert sum(first.replaces(other) for other in layer._short_cuts) == 1


def test_the_last_packings_are_kept():
    class Keyed:
        """A layout whose weights are packed as its key says."""

        family = property(lambda self: self)

        def __init__(self, key):
            self.key = key

        def pack_key(self, layout):
            return (self.key,)

        def packed_size(self, layout):
            return 3

        def pack_all(self, layout, weight, packed):
            packed[...] = self.key

    packings = Packings(2)
    weight = np.zeros(3)
    one, _ = packings.packed_for(Keyed(1), weight)
    assert packings.packed_for(Keyed(2), weight)[1] is False
    assert packings.packed_for(Keyed(1), weight)[0] is one
    assert packings.packed_for(Keyed(3), weight)[1] is True
    assert packings.packed_for(Keyed(1), weight) == (one, False)
    assert [key for key, _ in packings.kept] == [(1,), (3,)]
    assert packings.nbytes == 2 * weight.nbytes


def test_a_refused_call_leaves_it_usable(arrays):
    x, weight, bias = arrays
    layer = gconv.Conv2d(weight, bias, **OPTIONS)
    want = layer(x)
    for bad in (x[:, :7], x.astype(np.complex64), x[0, 0], x[:, :, :1, :1]):
        with pytest.raises((ValueError, TypeError)):
            layer(bad)
        np.testing.assert_array_equal(layer(x), want)


def test_a_call_like_the_last_is_checked_like_the_first(arrays):
    """The short way of repeated calls takes nothing on trust."""
    x, weight, bias = arrays
    layer = gconv.Conv2d(weight, bias, **OPTIONS)
    want = layer(x)
    out = np.full_like(want, np.pi)
    other = np.float64 if x.dtype == np.float32 else np.float32
    bad_calls = [
        lambda: layer(x.astype(other), out=out),
        lambda: layer(x, out=out.astype(other)),
        lambda: layer(x, out=out[:1]),
        lambda: layer(x, out=out, num_threads=0),
        lambda: layer(x, out=out, num_threads=True),
        lambda: layer(x, out=out.tolist()),
        lambda: layer(np.ma.masked_array(x), out=out),
        lambda: layer(np.swapaxes(x, 2, 3).copy(), out=out),
    ]
    for call in bad_calls:
        layer(x)
        with pytest.raises((ValueError, TypeError)):
            call()
        assert (out == out.dtype.type(np.pi)).all()
    for view in (x[::-1], x.astype(x.dtype.newbyteorder()), np.asfortranarray(x)):
        layer(x)
        np.testing.assert_array_equal(layer(view), reference(view, weight, bias, **OPTIONS))
    out.flags.writeable = False
    layer(x)
    with pytest.raises(ValueError, match="read-only"):
        layer(x, out=out)


# ---- made wrongly


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("arguments", [(3, 9, 3), (3, 9), (3, 9, (3, 3)), (3, 9, 3, 1, 1)])
def test_sizes_are_not_weights(dims, arguments):
    with pytest.raises(TypeError) as caught:
        LAYERS[dims](*arguments)
    message = str(caught.value)
    assert f"Conv{dims}d" in message
    assert "weights" in message
    assert "(C_out, C_in/groups, *kernel)" in message


def test_options_are_given_by_name(arrays):
    _, weight, bias = arrays
    with pytest.raises(TypeError):
        gconv.Conv2d(weight, bias, 2)
    with pytest.raises(TypeError, match="strides"):
        gconv.Conv2d(weight, bias, strides=2)
    with pytest.raises(TypeError):
        gconv.Conv2d()


# ---- out_shape


def test_out_shape(arrays):
    x, weight, bias = arrays
    layer = gconv.Conv2d(weight, bias, **OPTIONS)
    assert layer.out_shape(x.shape) == layer(x).shape == (2, 12, 7, 16)
    assert layer.out_shape(list(x.shape[1:])) == (12, 7, 16)
    assert layer.out_shape((0, 8, 15, 33)) == (0, 12, 7, 16)
    # It needs no memory.
    assert layer.out_shape((1, 8, 2**26, 2**25)) == (1, 12, 2**25 - 1, 2**24 - 1)


@pytest.mark.parametrize("shape", [(2, 7, 15, 33), (15, 33), (1, 2, 8, 15, 33), (2, 8, 1, 1), ()])
def test_out_shape_refuses_what_the_layer_would(arrays, shape):
    _, weight, bias = arrays
    layer = gconv.Conv2d(weight, bias, **OPTIONS)
    with pytest.raises(ValueError, match=r"^Conv2d: ") as of_shape:
        layer.out_shape(shape)
    with pytest.raises(ValueError, match=r"^Conv2d: ") as of_call:
        layer(np.zeros(shape, weight.dtype))
    assert str(of_shape.value) == str(of_call.value)


# ---- a batch normalisation folded in


def batch_norm(y, mean, var, weight, bias, eps):
    """The normalisation in float64, by its definition."""
    shape = (-1, *(1,) * (y.ndim - 2))
    arrays = (mean, var, weight, bias)
    mean, var, weight, bias = (a.astype(np.float64).reshape(shape) for a in arrays)
    return (y.astype(np.float64) - mean) / np.sqrt(var + eps) * weight + bias


LAYERS_TO_FOLD = [
    name
    for kind in ("Conv", "ConvTranspose")
    for dims in (1, 2, 3)
    if hasattr(gconv, name := f"{kind}{dims}d")
]


@pytest.mark.parametrize("name", LAYERS_TO_FOLD)
@pytest.mark.parametrize("has_bias", [True, False])
def test_fold_batch_norm(name, has_bias, dtype, rng):
    dims = int(name[-2])
    weight = normals(rng, (8, 4, *(3,) * dims), dtype)  # 8 channels in or out, for 2 groups
    channels = 8
    bias = normals(rng, (channels,), dtype) if has_bias else None
    layer = getattr(gconv, name)(weight, bias, stride=2, padding=1, groups=2)
    mean, scale, shift = (normals(rng, (channels,), dtype) for _ in range(3))
    var = np.abs(normals(rng, (channels,), dtype))
    folded = layer.fold_batch_norm(mean, var, scale, shift, 1e-3)
    assert type(folded) is type(layer)
    assert folded.weight.dtype == folded.bias.dtype == dtype
    x = normals(rng, (2, 8, *(7,) * dims), dtype)
    want = batch_norm(layer(x), mean, var, scale, shift, 1e-3)
    tolerance = 2e-4 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(folded(x), want, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(layer.weight, weight)  # as it was


def test_fold_batch_norm_into_as_many_channels_as_a_group_has(rng):
    """Output channels of several groups, more or fewer than the input channels."""
    for c_out, per_group, groups in [(12, 1, 4), (2, 6, 2), (5, 3, 1)]:
        weight = normals(rng, (c_out, per_group, 3), np.float64)
        layer = gconv.Conv1d(weight, groups=groups)
        var = np.arange(1.0, c_out + 1)
        folded = layer.fold_batch_norm(np.zeros(c_out), var, eps=0)
        np.testing.assert_allclose(folded.weight, weight / np.sqrt(var)[:, None, None], rtol=1e-15)
        np.testing.assert_array_equal(folded.bias, np.zeros(c_out))


def test_fold_batch_norm_as_pytorch_does(dtype, rng):
    torch = oracle("torch")
    module = torch.nn.Conv2d(6, 8, 3, groups=2, padding=1, bias=False)
    norm = torch.nn.BatchNorm2d(8, eps=1e-3)
    with torch.no_grad():
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.1, 3)
        norm.weight.uniform_(-2, 2)
        norm.bias.uniform_(-1, 1)
    model = torch.nn.Sequential(module, norm).to(getattr(torch, np.dtype(dtype).name)).eval()
    x = normals(rng, (2, 6, 9, 10), dtype)
    with torch.no_grad():
        want = model(torch.from_numpy(x)).numpy()
        arguments = [norm.running_mean, norm.running_var, norm.weight, norm.bias]
    arrays = [a.detach().numpy() for a in arguments]
    folded = gconv.from_torch(module).fold_batch_norm(*arrays, norm.eps)
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(folded(x), want, rtol=tolerance, atol=tolerance)
    # Parameters as they are in a module require grad.
    assert norm.weight.requires_grad
    assert norm.bias.requires_grad
    as_they_are = gconv.from_torch(module).fold_batch_norm(*arguments, norm.eps)
    np.testing.assert_array_equal(as_they_are.weight, folded.weight)
    np.testing.assert_array_equal(as_they_are.bias, folded.bias)


@pytest.mark.parametrize("which", ["mean", "var", "weight", "bias"])
def test_fold_batch_norm_takes_any_tensor_that_requires_grad(which):
    torch = oracle("torch")
    tensors = {name: torch.rand(8) for name in ("mean", "var", "weight", "bias")}
    layer = gconv.ConvTranspose1d(np.ones((2, 8, 3), np.float32))
    want = layer.fold_batch_norm(**tensors)
    tensors[which] = (tensors[which] * 1).requires_grad_()
    got = layer.fold_batch_norm(**tensors)
    np.testing.assert_array_equal(got.weight, want.weight)
    np.testing.assert_array_equal(got.bias, want.bias)
    assert tensors[which].requires_grad


def test_fold_batch_norm_rounds_once():
    """In float32 all the way, the result would be another: 1 + 2**-24 is no float32."""
    layer = gconv.Conv1d(np.ones((1, 1, 1), np.float32), np.float32([2**-24]))
    one = np.ones(1, np.float32)
    folded = layer.fold_batch_norm(-one, one, one, np.float32([-1]), eps=0)
    assert folded.bias[0] == np.float32(2**-24)


def test_fold_batch_norm_keeps_everything_else(rng):
    weight, two = normals(rng, (4, 2, 3, 3), np.float32), np.full(4, 2, np.float32)
    layer = gconv.Conv2d(weight, stride=(1, 2), padding="same_lower", dilation=(2, 1), groups=2)
    folded = layer.fold_batch_norm(two, two)
    assert repr(folded) == repr(layer).replace(", bias=False", "")
    causal = gconv.CausalConv1d(weight[..., 0], dilation=3, groups=2)
    folded = causal.fold_batch_norm(two, two)
    assert repr(folded) == repr(causal).replace(", bias=False", "")
    y, _ = folded.step(np.ones((4, 5), np.float32), None)
    np.testing.assert_array_equal(y, folded(np.ones((4, 5), np.float32)))


def test_fold_batch_norm_of_lists_and_scalars():
    layer = gconv.Conv1d(np.float32([[[2]], [[3]]]))
    folded = layer.fold_batch_norm([1, 2], [4, 9], bias=[10, 20], eps=np.float32(0))
    np.testing.assert_array_equal(folded.weight.ravel(), [1, 1])
    np.testing.assert_array_equal(folded.bias, np.float32([9.5, 20 - 2 / 3]))


FOUR = np.ones(4)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((np.ones(3), FOUR), {}, ["mean", "(4,)", "(3,)"]),
        ((FOUR, np.ones((4, 1))), {}, ["var", "(4,)", "(4, 1)"]),
        ((FOUR, FOUR, np.ones(1)), {}, ["weight", "(4,)", "(1,)"]),
        ((FOUR, FOUR, FOUR, np.float64(1)), {}, ["bias", "(4,)", "()"]),
        ((FOUR, np.array([1, 0, -1e-9, 1])), {}, ["var", "-1e-09", "channel 2"]),
        ((FOUR, np.array([1.0, 0, 1, 1])), {"eps": 0}, ["var", "0.0", "channel 1", "eps=0"]),
        ((FOUR, FOUR), {"eps": -1e-5}, ["eps", "-1e-05"]),
        ((FOUR, FOUR), {"eps": float("nan")}, ["eps", "nan"]),
        ((FOUR, FOUR), {"eps": float("inf")}, ["eps", "inf"]),
    ],
)
def test_fold_batch_norm_refuses_values(arguments, options, words):
    layer = gconv.Conv2d(np.ones((4, 1, 3, 3)), groups=2)
    with pytest.raises(ValueError, match=r"^Conv2d\.fold_batch_norm: ") as caught:
        layer.fold_batch_norm(*arguments, **options)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((FOUR.astype(np.float32), FOUR), {}, ["mean", "must be float64", "is float32"]),
        ((FOUR, FOUR.astype(int)), {}, ["var", "is int64", "var.astype(numpy.float64)"]),
        ((FOUR, FOUR, np.ma.ones(4)), {}, ["weight", "MaskedArray"]),
        ((FOUR, FOUR), {"eps": "1e-5"}, ["eps", "'1e-5'"]),
        ((FOUR, FOUR), {"eps": True}, ["eps", "True"]),
        ((FOUR, None), {}, ["var"]),
    ],
)
def test_fold_batch_norm_refuses_types(arguments, options, words):
    layer = gconv.Conv2d(np.ones((4, 1, 3, 3)), groups=2)
    with pytest.raises(TypeError, match=r"^Conv2d\.fold_batch_norm: ") as caught:
        layer.fold_batch_norm(*arguments, **options)
    assert all(word in str(caught.value) for word in words)


# ---- taken elsewhere


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("used", [False, True])
def test_pickled(arrays, protocol, used, isa):
    x, weight, bias = arrays
    for its_bias in (bias, None):
        layer = gconv.Conv2d(weight, its_bias, **OPTIONS | {"padding": "same_upper"})
        if used:
            layer(x)
        data = pickle.dumps(layer, protocol)
        again = pickle.loads(data)
        assert type(again) is gconv.Conv2d
        assert again(x).tobytes() == layer(x).tobytes()
        # The weights travel once, and not as they are packed.
        assert protocol < 2 or len(data) < weight.nbytes + 2000


def test_pickled_for_another_instruction_set(tmp_path, rng):
    """What is packed for one CPU does not travel to another."""
    x = integers(rng, (1, 8, 15, 33), np.float32)
    layer = gconv.Conv2d(integers(rng, (12, 4, 3, 3), np.float32), groups=2)
    (tmp_path / "case").write_bytes(pickle.dumps((layer, x, layer(x))))
    for isa in usable():
        done = run_python(
            "-c",
            "import pickle, sys\n"
            "layer, x, want = pickle.load(open(sys.argv[1], 'rb'))\n"
            "assert (layer(x) == want).all()\n",
            tmp_path / "case",
            GCONV_ISA=isa,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_copied(arrays, duplicate):
    x, weight, bias = arrays
    layer = gconv.Conv2d(weight, bias, **OPTIONS)
    layer(x)
    again = duplicate(layer)
    assert type(again) is gconv.Conv2d
    assert again(x).tobytes() == layer(x).tobytes()


def test_shared_by_threads(isa, dtype, rng):
    """Their images differ in size and order, so that they keep replacing what the layer keeps."""
    weight = normals(rng, (24, 4, 3, 3), dtype)
    layer = gconv.Conv2d(weight, padding=1, groups=4)
    images = [normals(rng, (1, 16, 20 + i % 3, 30 + i % 2), dtype) for i in range(8)]
    images = [LAYOUTS["channels last"](x) if i % 4 == 3 else x for i, x in enumerate(images)]
    wants = [layer(x, num_threads=1).tobytes() for x in images]

    def use(first):
        for i in range(60):
            which = (first + i) % len(images)
            assert layer(images[which]).tobytes() == wants[which]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(use, first) for first in range(8)]:
            future.result()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, ""),
        ({"padding": 1}, ", padding=(1, 1)"),
        ({"padding": (0, 2)}, ", padding=(0, 2)"),
        ({"padding": ((1, 1), (3, 3))}, ", padding=(1, 3)"),
        ({"padding": ((1, 1), (3, 2))}, ", padding=((1, 1), (3, 2))"),
        ({"padding": "same"}, ", padding='same'"),
        ({"padding": "same_upper", "dilation": (2, 1)}, ", padding='same_upper', dilation=(2, 1)"),
        ({"padding": 2, "groups": 4}, ", padding=(2, 2), groups=4"),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_it_can_be_read(options, text, bias):
    """As PyTorch writes its own, but for pairs and for the quotes of a name."""
    groups = options.get("groups", 1)
    layer = gconv.Conv2d(np.ones((12, 8 // groups, 3, 5)), np.ones(12) if bias else None, **options)
    start = "Conv2d(8, 12, kernel_size=(3, 5), stride=(1, 1)"
    assert repr(layer) == start + text + ("" if bias else ", bias=False") + ")"


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "options", [{}, {"padding": 1, "stride": 2}, {"groups": 4, "dilation": 3, "padding": (2,)}]
)
def test_it_reads_as_in_pytorch(dims, bias, options):
    torch = oracle("torch")
    if "padding" in options and not isinstance(options["padding"], int):
        options = options | {"padding": (2, 0, 1)[:dims]}
    module = getattr(torch.nn, f"Conv{dims}d")(8, 12, 3, bias=bias, **options)
    assert repr(gconv.from_torch(module)) == repr(module)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_all_but_x_is_given_by_name(dims):
    layer, x = LAYERS[dims](np.ones((2, 1, *(1,) * dims))), np.ones((1, *(3,) * dims))
    assert layer(x=x).shape == (2, *(3,) * dims)
    with pytest.raises(TypeError):
        layer(x, np.empty((2, *(3,) * dims)))
    with pytest.raises(TypeError, match="threads"):
        layer(x, threads=2)
    with pytest.raises(TypeError):
        layer()
