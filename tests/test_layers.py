"""A layer is made once from trained weights, never changes, and goes wherever it is taken."""

import concurrent.futures
import copy
import pickle

import numpy as np
import pytest
from arrays import LAYOUTS, integers, normals
from interpreter import run_python
from reference import reference

import gconv
from gconv import _plan

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
    for isa in _plan.usable_isas():
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


def test_it_can_be_read(arrays):
    _, weight, bias = arrays
    text = repr(gconv.Conv2d(weight, bias, **OPTIONS))
    for part in ("Conv2d", "8", "12", "3", "groups=2", "stride"):
        assert part in text


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
