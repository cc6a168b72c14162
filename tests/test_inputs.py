"""What may be passed as an array, and what comes back: dtype, type, memory order, aliasing."""

import itertools

import numpy as np
import pytest
from arrays import LAYOUTS, OUT_LAYOUTS, integers
from calls import CALLS, arguments_of, arrays_for
from holders import Holder, check_call, check_shared
from oracles import oracle
from reference import reference

import gconv

FUNCTIONS = {1: gconv.conv1d, 2: gconv.conv2d, 3: gconv.conv3d}
LAYERS = {1: gconv.Conv1d, 2: gconv.Conv2d, 3: gconv.Conv3d}

# ---- lists, tuples, scalars

X = [[1.0, 2.0, 3.0, 4.0]]
WEIGHT = [[[1.0, 10.0]]]
BIAS = (0.5,)
WANT = [[21.5, 32.5, 43.5]]


@pytest.mark.parametrize("arrays", list(itertools.product([False, True], repeat=3)))
def test_lists_take_the_precision_of_the_first_array(arrays, dtype):
    arguments = [
        np.array(value, dtype) if is_array else value
        for value, is_array in zip((X, WEIGHT, BIAS), arrays, strict=True)
    ]
    got = gconv.conv1d(*arguments)
    assert type(got) is np.ndarray
    assert got.dtype == (dtype if any(arrays) else np.float64)
    assert got.tolist() == WANT


def test_lists_of_whole_numbers_are_real_numbers():
    got = gconv.conv1d([[1, 2, 3, 4]], [[[1, 10]]], [7])
    assert got.dtype == np.float64
    assert got.tolist() == [[28, 39, 50]]


def test_a_layer_takes_lists_at_its_own_precision(dtype):
    layer = gconv.Conv1d(np.array(WEIGHT, dtype), BIAS)
    assert layer(X).dtype == dtype
    assert layer(X).tolist() == WANT
    assert gconv.Conv1d(WEIGHT, np.array(BIAS, dtype))(X).dtype == dtype
    assert gconv.Conv1d(WEIGHT, BIAS)(X).dtype == np.float64


def test_a_list_does_not_change_the_precision_of_out():
    out = np.empty((1, 3), np.float32)
    assert gconv.conv1d(X, np.array(WEIGHT, np.float32), BIAS, out=out) is out
    assert out.tolist() == WANT


def test_a_filter_bank_of_lists(dtype):
    got = gconv.filter_bank(np.array(X, dtype), [[1.0, 10.0], [10.0, 1.0]])
    assert got.dtype == dtype
    assert got.tolist() == [[[21, 32, 43], [12, 23, 34]]]


# ---- objects with __array__


class Wrapped:
    """An array of another library."""

    def __init__(self, array):
        self.array = array
        self.copies = []

    def __array__(self, dtype=None, copy=None):
        self.copies.append(copy)
        return self.array if dtype is None else self.array.astype(dtype, copy=False)


def test_objects_with_an_array_are_arrays(dtype):
    x, weight, bias = (Wrapped(np.array(value, dtype)) for value in (X, WEIGHT, BIAS))
    got = gconv.conv1d(x, weight, bias)
    assert type(got) is np.ndarray
    assert got.dtype == dtype
    assert got.tolist() == WANT
    # None leaves it to the object; False would refuse one that must copy.
    assert x.copies == [None]
    assert weight.copies == [None]
    assert bias.copies == [None]
    assert gconv.conv1d(X, WEIGHT, bias).dtype == dtype
    assert gconv.Conv1d(weight, bias)(x).tolist() == WANT


def test_objects_with_an_array_are_not_out():
    with pytest.raises(TypeError, match="Wrapped"):
        gconv.conv1d(X, WEIGHT, out=Wrapped(np.empty((1, 3))))


def test_tensors_are_arrays():
    torch = oracle("torch")
    x, weight, bias = (torch.tensor(value) for value in (X, WEIGHT, BIAS))
    got = gconv.conv1d(x, weight, bias)
    assert type(got) is np.ndarray
    assert got.dtype == np.float32
    assert got.tolist() == WANT
    assert gconv.Conv1d(weight, bias)(x).tolist() == WANT


def of_torch(change=lambda tensor: tensor):
    return lambda numbers, _: change(oracle("torch").from_numpy(numbers))


def channels_last_tensor(tensor):
    torch = oracle("torch")
    orders = {4: torch.channels_last, 5: torch.channels_last_3d}
    return tensor.to(memory_format=orders.get(tensor.ndim, torch.contiguous_format))


#: Tensors that NumPy sees; those of other memory formats have memory of their own.
TENSORS = {
    "tensor": Holder(of_torch()),
    "not contiguous": Holder(
        of_torch(lambda t: oracle("torch").stack([t, t], -1)[..., 1])),
    "transposed": Holder(of_torch(lambda t: t.transpose(0, -1).contiguous().transpose(0, -1))),
    "channels_last": Holder(of_torch(channels_last_tensor)),
    "parameter": Holder(of_torch(lambda t: oracle("torch").nn.Parameter(t, requires_grad=False))),
    "detached": Holder(of_torch(lambda t: t.requires_grad_().detach())),
    "list of tensors": Holder(of_torch(list), shares=False),
    "memoryview of a tensor": Holder(of_torch(lambda t: memoryview(t.numpy()))),
}


@pytest.mark.parametrize("holder", TENSORS)
@pytest.mark.parametrize("name", CALLS)
def test_every_call_takes_tensors(name, holder, rng, tmp_path):
    check_call(name, TENSORS[holder], tmp_path, rng, np.float32)


@pytest.mark.parametrize("holder", [name for name, kind in TENSORS.items() if kind.shares])
def test_tensors_are_not_copied(holder, dtype, tmp_path):
    check_shared(TENSORS[holder], tmp_path, dtype)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_tensor_in_channels_last_gives_a_result_in_it(dims, rng):
    x = channels_last_tensor(oracle("torch").ones(2, 4, *(5, 6, 7)[:dims]))
    got = FUNCTIONS[dims](x, np.ones((6, 2, *(2,) * dims), np.float32), groups=2)
    assert is_channels_last(got, dims)
    assert not got.flags.c_contiguous


#: Tensors that NumPy cannot see, and what the message says of them.
HIDDEN_TENSORS = {
    "requires grad": (lambda t: t.requires_grad_(), "detach"),
    "bfloat16": (lambda t: t.bfloat16(), "BFloat16"),
    "float16": (lambda t: t.half(), "float16"),
    "integers": (lambda t: t.int(), "int32"),
    "meta device": (lambda t: t.to("meta"), "meta"),
    "sparse": (lambda t: t.to_sparse(), "to_dense"),
    "negated without a copy": (lambda t: (t * 1j).conj().imag, "resolve_neg"),
}


@pytest.mark.parametrize("fault", HIDDEN_TENSORS)
@pytest.mark.parametrize("name", CALLS)
def test_every_call_refuses_tensors_that_numpy_cannot_see(name, fault, rng):
    make, message = HIDDEN_TENSORS[fault]
    function, _ = CALLS[name]
    arrays = arrays_for(name, rng, np.float32)
    for argument in arguments_of(name):
        if fault == "requires grad" and name.endswith("fold_batch_norm"):
            continue  # parameters of a batch normalisation are taken as they are
        tensor = make(oracle("torch").from_numpy(arrays[argument].copy()))
        for given in (tensor, [tensor]) if fault not in ("float16", "integers") else (tensor,):
            with pytest.raises(TypeError, match=rf"^{name[:4]}.*\b{argument}\b.*{message}"):
                function(**arrays | {argument: given})


def test_a_tensor_is_out_through_its_array():
    """The result is `out` itself, and so an array; a tensor keeps the memory."""
    torch = oracle("torch")
    x, weight, out = torch.ones(3, 4), torch.ones(2, 3, 1), torch.zeros(2, 4)
    with pytest.raises(TypeError, match=r"out must be .*Tensor; pass an array that shares"):
        gconv.conv1d(x, weight, out=out)
    gconv.conv1d(x, weight, out=out.numpy())
    assert (out == 3).all()


@pytest.mark.parametrize("which", ["x", "weight", "bias"])
@pytest.mark.parametrize("fault", ["requires grad", "bfloat16", "meta device", "sparse"])
def test_tensors_that_numpy_cannot_see_are_refused_with_the_cause(which, fault):
    torch = oracle("torch")
    arguments = {"x": X, "weight": WEIGHT, "bias": BIAS}
    arguments = {name: torch.tensor(value) for name, value in arguments.items()}
    tensor = arguments[which]
    arguments[which] = {
        "requires grad": tensor.requires_grad_,
        "bfloat16": tensor.bfloat16,
        "meta device": lambda: tensor.to("meta"),
        "sparse": tensor.to_sparse,
    }[fault]()
    with pytest.raises(TypeError, match=rf"^conv1d: .*\b{which}\b") as caught:
        gconv.conv1d(**arguments)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    "call",
    [
        lambda grads: gconv.Conv1d(WEIGHT)(grads(X)),
        lambda grads: gconv.Conv1d(grads(WEIGHT)),
        lambda grads: gconv.Conv1d(WEIGHT, grads(BIAS)),
        lambda grads: gconv.conv1d(X, WEIGHT, residual=grads(WANT)),
        lambda grads: gconv.conv_transpose1d(X, grads(WEIGHT)),
        lambda grads: gconv.filter_bank(X, grads([[1.0, 10.0]])),
        lambda grads: gconv.CausalConv1d(WEIGHT).step(grads(X), None),
        lambda grads: gconv.CausalConv1d(WEIGHT).step(X, grads([[0.0]])),
    ],
)
def test_tensors_that_require_grad_are_refused_by_all_that_computes(call):
    """The results would have no gradients; `from_torch` and `fold_batch_norm` take them."""
    torch = oracle("torch")
    with pytest.raises(TypeError, match=r"Tensor cannot be made an array: .*requires grad"):
        call(lambda value: torch.tensor(value, dtype=torch.float64).requires_grad_())


def test_other_subclasses_are_plain_arrays(tmp_path):
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(1, 4))
    x[...] = X
    got = gconv.conv1d(x, WEIGHT)
    assert type(got) is np.ndarray
    out = np.memmap(tmp_path / "out", np.float32, "w+", shape=(1, 3))
    assert gconv.conv1d(x, WEIGHT, out=out) is out
    assert out.tolist() == got.tolist() == [[21, 32, 43]]


def test_inputs_are_left_as_they_were(dtype, rng):
    arrays = [integers(rng, shape, dtype) for shape in ((2, 4, 5, 6), (6, 2, 3, 3), (6,))]
    copies = [array.copy() for array in arrays]
    gconv.conv2d(*arrays, padding=2, groups=2)
    gconv.Conv2d(*arrays[1:], padding=2, groups=2)(arrays[0])
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


# ---- layouts: each by name, in each place; test_properties.py has their combinations


@pytest.mark.parametrize("which", ["x", "weight", "bias"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_the_inputs(layout, which, isa, dtype, rng):
    arrays = {
        "x": integers(rng, (2, 4, 7, 37), dtype),
        "weight": integers(rng, (6, 2, 3, 3), dtype),
        "bias": integers(rng, (6,), dtype),
    }
    arrays[which] = LAYOUTS[layout](arrays[which])
    got = gconv.conv2d(**arrays, padding=1, groups=2)
    assert got.dtype == dtype
    assert got.dtype.isnative
    want = reference(**arrays, padding=1, groups=2)
    np.testing.assert_array_equal(got, want)
    layer = gconv.Conv2d(arrays["weight"], arrays["bias"], padding=1, groups=2)
    np.testing.assert_array_equal(layer(arrays["x"]), want)


@pytest.mark.parametrize("layout", OUT_LAYOUTS)
def test_layouts_of_out(layout, isa, dtype, rng):
    x, weight = integers(rng, (2, 4, 7, 37), dtype), integers(rng, (6, 2, 3, 3), dtype)
    out = LAYOUTS[layout](np.full((2, 6, 7, 37), np.nan, dtype))
    strides = out.strides
    got = gconv.conv2d(x, weight, padding=1, groups=2, out=out)
    assert got is out
    assert out.strides == strides
    np.testing.assert_array_equal(out, reference(x, weight, padding=1, groups=2))


def test_each_input_in_its_own_byte_order(dtype, rng):
    """Byte order is no difference of dtype."""
    big, little = np.dtype(dtype).newbyteorder(">"), np.dtype(dtype).newbyteorder("<")
    x, weight = integers(rng, (1, 2, 9), dtype), integers(rng, (4, 2, 3), dtype)
    bias, want = integers(rng, (4,), dtype), None
    for orders in itertools.product((big, little), repeat=3):
        arrays = [a.astype(order) for a, order in zip((x, weight, bias), orders, strict=True)]
        got = gconv.conv1d(*arrays)
        assert got.dtype.isnative
        want = got if want is None else want
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(want, reference(x, weight, bias))


# ---- the order of the result in memory


def last(*shape, dtype=np.float32):
    """Return an array of the (N, C, *spatial) shape given, its channels the fastest in memory."""
    n, c, *spatial = shape
    return np.moveaxis(np.ones((n, *spatial, c), dtype), -1, 1)


def is_channels_last(array, dims):
    return np.moveaxis(array, -dims - 1, -1).flags.c_contiguous


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("call", ["function", "layer"])
@pytest.mark.parametrize("unbatched", [False, True])
def test_channels_last_in_channels_last_out(dims, call, unbatched, isa, dtype):
    x = last(2, 4, *(5, 6, 7)[:dims], dtype=dtype)
    x = x[1] if unbatched else x
    weight = np.ones((6, 2, *(2,) * dims), dtype)
    if call == "function":
        got = FUNCTIONS[dims](x, weight, groups=2)
    else:
        got = LAYERS[dims](weight, groups=2)(x)
    assert is_channels_last(got, dims)
    assert not got.flags.c_contiguous
    assert (got == 2 * 2**dims).all()


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: last(1, 4, 5, 6), id="one image"),
        pytest.param(lambda: np.ones((5, 6, 4), np.float32).transpose(2, 0, 1)[None], id="[None]"),
        pytest.param(lambda: last(3, 4, 5, 6)[1:2], id="an image of a batch"),
        pytest.param(lambda: last(3, 4, 5, 6)[::-1][:1], id="one with a stride of its own"),
        pytest.param(lambda: last(2, 4, 5, 1), id="one column"),
        pytest.param(lambda: last(2, 4, 1, 6), id="one row"),
        pytest.param(lambda: last(2, 4, 5, 3)[:1, :, :, :], id="rows of one image"),
    ],
)
def test_dimensions_of_size_one_do_not_matter_to_channels_last(make):
    x = make()
    got = gconv.conv2d(x, np.ones((3, 4, 1, 1), np.float32), padding=1)
    assert is_channels_last(got, 2)
    assert not got.flags.c_contiguous


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: np.ones((2, 4, 5, 6), np.float32), id="C"),
        pytest.param(lambda: last(2, 1, 5, 6), id="one channel is both"),
        pytest.param(lambda: last(2, 4, 1, 1), id="one pixel is both"),
        pytest.param(lambda: np.asfortranarray(np.ones((2, 4, 5, 6), np.float32)), id="Fortran"),
        pytest.param(lambda: last(2, 4, 5, 12)[..., ::2], id="every second column"),
        pytest.param(lambda: last(2, 4, 5, 6)[:, :, :, :-1], id="cropped"),
        pytest.param(lambda: last(2, 5, 5, 6)[:, 1:], id="without a channel"),
        pytest.param(lambda: last(2, 4, 5, 6)[:, ::-1], id="channels backwards"),
        pytest.param(lambda: last(2, 4, 5, 6)[:, :, ::-1], id="upside down"),
        pytest.param(lambda: last(2, 4, 6, 5).swapaxes(2, 3), id="a transposed image"),
        pytest.param(
            lambda: np.ones((4, 2, 5, 6), np.float32).swapaxes(0, 1), id="channels first of all"
        ),
        pytest.param(
            lambda: np.broadcast_to(np.ones((4, 1, 1), np.float32), (2, 4, 5, 6)), id="broadcast"
        ),
    ],
)
def test_all_else_comes_back_in_c_order(make):
    x = make()
    for got in (
        gconv.conv2d(x, np.ones((3, x.shape[1], 1, 1), np.float32), padding=1),
        gconv.Conv2d(np.ones((3, x.shape[1], 1, 1), np.float32), padding=1)(x),
    ):
        assert got.flags.c_contiguous
        assert not is_channels_last(got, 2)


@pytest.mark.parametrize("call", ["function", "layer", "transposed"])
@pytest.mark.parametrize("shape", [(2, 5, 6, 1), (5, 6, 1), (2, 1, 1, 4), (1, 1, 4)], ids=str)
def test_where_x_is_in_both_orders_out_asks_for_channels_last(call, shape, dtype, rng):
    """As the documentation says: C order is taken unless `out` says otherwise."""
    x = np.moveaxis(integers(rng, shape, dtype), -1, -3)  # of one channel, or of one pixel
    assert x.flags.c_contiguous
    weight = integers(rng, (4, shape[-1], 3, 3), dtype)
    convolve = {
        "function": lambda **out: gconv.conv2d(x, weight, padding=2, **out),
        "layer": lambda **out: gconv.Conv2d(weight, padding=2)(x, **out),
        "transposed": lambda **out: gconv.conv_transpose2d(x, weight.swapaxes(0, 1), **out),
    }[call]
    want = convolve()
    assert want.flags.c_contiguous
    assert not np.moveaxis(want, -3, -1).flags.c_contiguous
    last = np.empty(np.moveaxis(want, -3, -1).shape, dtype)
    convolve(out=np.moveaxis(last, -1, -3))
    np.testing.assert_array_equal(np.moveaxis(last, -1, -3), want)


def test_the_strides_of_the_weight_never_matter():
    x = np.ones((2, 4, 5, 6), np.float32)
    assert gconv.conv2d(x, last(3, 4, 2, 2)).flags.c_contiguous
    got = gconv.conv2d(last(2, 4, 5, 6), np.ones((3, 4, 2, 2), np.float32))
    assert is_channels_last(got, 2)


def test_out_decides_its_own_order(rng):
    x, weight = integers(rng, (2, 4, 5, 6), np.float32), integers(rng, (3, 4, 2, 2), np.float32)
    want = reference(x, weight)
    for out in (last(2, 3, 4, 5), np.ones((2, 3, 4, 5), np.float32)):
        for source in (x, LAYOUTS["channels last"](x)):
            out[...] = np.nan
            assert gconv.conv2d(source, weight, out=out) is out
            np.testing.assert_array_equal(out, want)


def test_a_result_belongs_to_the_caller(rng):
    x, weight = integers(rng, (2, 4, 5, 6), np.float32), integers(rng, (3, 4, 2, 2), np.float32)
    layer = gconv.Conv2d(weight)
    first = layer(x)
    assert first.flags.writeable
    kept = first.copy()
    second = layer(x + 1)
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, kept)


# ---- out that overlaps an input


def overlapping(*arrays, shift):
    """Return writable copies of the arrays in one buffer, each `shift` bytes after the last."""
    sizes = [array.nbytes for array in arrays]
    starts = [i * shift for i in range(len(arrays))]
    room = np.zeros(max(map(sum, zip(starts, sizes, strict=True))), np.uint8)
    return [
        np.ndarray(array.shape, array.dtype, room[start : start + array.nbytes].data)
        for array, start in zip(arrays, starts, strict=True)
    ]


@pytest.mark.parametrize("shift", [0, 8, 24])
@pytest.mark.parametrize("which", ["x", "weight", "bias"])
@pytest.mark.parametrize("out_first", [False, True])
def test_out_may_overlap_an_input(shift, which, out_first, isa, dtype, rng):
    arrays = {
        "x": integers(rng, (2, 8, 9, 9), dtype),
        "weight": integers(rng, (8, 1, 9, 9), dtype),
        "bias": integers(rng, (8,), dtype),
    }
    want = reference(**arrays, padding=4, groups=8)
    out = np.empty(want.shape, dtype)
    if out_first:
        out, shared = overlapping(out, arrays[which], shift=shift)
    else:
        shared, out = overlapping(arrays[which], out, shift=shift)
    shared[...] = arrays[which]
    arrays[which] = shared
    assert np.shares_memory(out, shared)
    got = gconv.conv2d(**arrays, padding=4, groups=8, out=out)
    assert got is out
    np.testing.assert_array_equal(out, want)


def test_out_may_be_x_itself(isa, dtype, rng):
    x, weight = integers(rng, (2, 6, 40, 40), dtype), integers(rng, (6, 1, 3, 3), dtype)
    want = reference(x[:, :, :8], weight, padding=((1, 0), (1, 1)), groups=6)[:, :, :7]
    layer = gconv.Conv2d(weight, padding=1, groups=6)
    for call in (
        lambda x: gconv.conv2d(x, weight, padding=1, groups=6, out=x),
        lambda x: layer(x, out=x),
        lambda x: layer(x, out=x, num_threads=2),
    ):
        y = x.copy()
        assert call(y) is y
        np.testing.assert_array_equal(y[:, :, :7], want)
        np.testing.assert_array_equal(y, gconv.conv2d(x, weight, padding=1, groups=6))


def test_out_may_be_x_seen_otherwise(dtype, rng):
    x, weight = integers(rng, (1, 6, 8, 8), dtype), integers(rng, (6, 1, 3, 3), dtype)
    want = reference(x, weight, padding=1, groups=6)
    for view in (
        lambda x: x[:, :, ::-1, ::-1],
        lambda x: x[:, ::-1],
        lambda x: x.swapaxes(2, 3),
    ):
        y = x.copy()
        out = view(y)
        assert gconv.conv2d(y, weight, padding=1, groups=6, out=out) is out
        np.testing.assert_array_equal(out, want)


def test_out_may_lie_between_the_elements_of_x(dtype, rng):
    """The bounds overlap, the elements do not: no element of x may change."""
    room = np.zeros((2, 6, 8, 16), dtype)
    x, out = room[..., ::2], room[..., 1::2]
    numbers, weight = integers(rng, x.shape, dtype), integers(rng, (6, 1, 3, 3), dtype)
    x[...] = numbers
    gconv.conv2d(x, weight, padding=1, groups=6, out=out)
    np.testing.assert_array_equal(x, numbers)
    np.testing.assert_array_equal(out, reference(numbers, weight, padding=1, groups=6))


# ---- nothing at all


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_an_empty_batch_gives_an_empty_result(dims, dtype):
    x, weight = np.ones((0, 4, *(5,) * dims), dtype), np.ones((6, 2, *(3,) * dims), dtype)
    got = FUNCTIONS[dims](x, weight, groups=2, stride=2, padding=1)
    assert got.shape == (0, 6, *(3,) * dims)
    assert got.dtype == dtype
    out = np.empty(got.shape, dtype)
    assert LAYERS[dims](weight, groups=2, stride=2, padding=1)(x, out=out) is out


@pytest.mark.parametrize("groups", [1, 3])
def test_no_input_channels_leave_the_bias(groups, isa, dtype):
    x, weight = np.ones((2, 0, 5, 6), dtype), np.ones((3, 0, 2, 2), dtype)
    bias = np.array([1, 2, 3], dtype)
    got = gconv.conv2d(x, weight, bias, groups=groups)
    assert got.shape == (2, 3, 4, 5)
    assert got.dtype == dtype
    assert (got == bias.reshape(3, 1, 1)).all()
    assert (gconv.conv2d(x, weight, groups=groups) == 0).all()
    assert (gconv.Conv2d(weight, bias, groups=groups)(x) == bias.reshape(3, 1, 1)).all()
    out = np.full((2, 3, 4, 5), np.nan, dtype)
    assert gconv.conv2d(x, weight, bias, groups=groups, out=out) is out
    assert (out == bias.reshape(3, 1, 1)).all()


def test_no_pixels_leave_the_bias_wherever_padding_makes_an_output(isa, dtype):
    x, weight = np.ones((2, 4, 0, 3), dtype), np.ones((6, 2, 2, 3), dtype)
    bias = np.arange(6, dtype=dtype)
    got = gconv.conv2d(x, weight, bias, padding=(1, 0), groups=2)
    assert got.shape == (2, 6, 1, 1)
    assert (got[:, :, 0, 0] == bias).all()
    assert gconv.conv2d(x, weight, bias, padding=3, groups=2).shape == (2, 6, 5, 7)


def test_outputs_that_see_padding_alone_are_the_bias(isa, dtype, rng):
    x, weight = integers(rng, (1, 2, 3, 3), dtype), integers(rng, (3, 2, 2, 2), dtype)
    bias = np.array([1, 2, 3], dtype)
    got = gconv.conv2d(x, weight, bias, padding=7)
    assert got.shape == (1, 3, 16, 16)
    inner = np.zeros(got.shape, bool)
    inner[:, :, 6:10, 6:10] = True
    outside = np.broadcast_to(bias.reshape(3, 1, 1), got.shape)[~inner]
    np.testing.assert_array_equal(got[~inner], outside)
    np.testing.assert_array_equal(got[:, :, 6:10, 6:10], gconv.conv2d(x, weight, bias, padding=1))
