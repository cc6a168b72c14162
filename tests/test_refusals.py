"""Every input that must be refused is: with the right error, a message that helps, nothing done."""

import importlib.util
import re

import numpy as np
import pytest
from calls import CALLS, arguments_of
from oracles import oracle

import gconv

FUNCTIONS = {1: gconv.conv1d, 2: gconv.conv2d, 3: gconv.conv3d}
LAYERS = {1: gconv.Conv1d, 2: gconv.Conv2d, 3: gconv.Conv3d}


def f32(*shape):
    return np.ones(shape, np.float32)


def names(*words):
    """Return a pattern that finds every word, each whole, in any order.

    `1` is not found in `12`, nor in `-1`.
    """
    return "(?s)" + "".join(rf"(?=.*(?<![\w-]){re.escape(str(word))}(?!\w))" for word in words)


def refused(error, message, function, *arguments, **options):
    """Assert that the call is refused, and `out`, where there is one, left as it was."""
    out = options.get("out")
    frame = out.base if isinstance(getattr(out, "base", None), np.ndarray) else out
    before = frame.tobytes() if isinstance(frame, np.ndarray) else None
    with pytest.raises(error) as caught:
        function(*arguments, **options)
    assert re.search(message, str(caught.value)), f"{message!r} not in {str(caught.value)!r}"
    if before is not None:
        assert frame.tobytes() == before
    return str(caught.value)


def case(error, words, x, weight, dims=2, **options):
    """One row of the table below: which error, what its message names, and the call."""
    return pytest.param(error, words, dims, x, weight, options)


X, W = (2, 6, 8, 9), (4, 6, 3, 3)  # right together

#: Refused by a function and, where weight and options alone are at fault, by a layer's constructor;
#: otherwise by the layer's call.
GEOMETRY = {
    # ranks
    "x too flat": case(ValueError, ["(8, 9)", 3, 4], (8, 9), W),
    "x too deep": case(ValueError, ["(1, 2, 6, 8, 9)", 3, 4], (1, 2, 6, 8, 9), W),
    "x a scalar": case(ValueError, ["()", 3, 4], (), W),
    "1-D x too deep": case(ValueError, ["(2, 6, 8, 9)", 2, 3], X, (4, 6, 3), dims=1),
    "3-D x too flat": case(ValueError, ["(6, 8, 9)", 4, 5], (6, 8, 9), (4, 6, 3, 3, 3), dims=3),
    "weight too flat": case(ValueError, ["(4, 3, 3)", 4], X, (4, 3, 3)),
    "weight too deep": case(ValueError, ["(4, 3, 3, 3, 3)", 4], X, (4, 3, 3, 3, 3)),
    # groups
    "groups zero": case(ValueError, ["groups", 0], X, W, groups=0),
    "groups negative": case(ValueError, ["groups", -2], X, W, groups=-2),
    "groups a float": case(TypeError, ["groups", 2.0], X, W, groups=2.0),
    "groups a bool": case(TypeError, ["groups", True], X, (4, 6, 3, 3), groups=True),
    "groups None": case(TypeError, ["groups", None], X, W, groups=None),
    "groups text": case(TypeError, ["groups", "'2'"], X, W, groups="2"),
    "groups not of in_channels": case(
        ValueError, ["groups=3", "in_channels=64"], (1, 64, 8, 9), (9, 21, 3, 3), groups=3
    ),
    "groups not of out_channels": case(
        ValueError, ["groups=3", "out_channels=10"], X, (10, 2, 3, 3), groups=3
    ),
    "weight for other channels": case(
        ValueError, ["groups=2", "(4, 6, 3, 3)", 6, 3], X, (4, 6, 3, 3), groups=2
    ),
    "weight for more channels than x has": case(
        ValueError, ["groups=1", "(4, 7, 3, 3)", 7, 6], X, (4, 7, 3, 3)
    ),
    # bias
    "bias too long": case(ValueError, ["bias", "(5,)", "(4,)"], X, W, bias=(5,)),
    "bias of one": case(ValueError, ["bias", "(1,)", "(4,)"], X, W, bias=(1,)),
    "bias 2-D": case(ValueError, ["bias", "(4, 1)", "(4,)"], X, W, bias=(4, 1)),
    "bias a scalar": case(ValueError, ["bias", "()", "(4,)"], X, W, bias=()),
    # stride, dilation, padding: values
    "stride zero": case(ValueError, ["stride", 0], X, W, stride=0),
    "stride negative": case(ValueError, ["stride", -1], X, W, stride=(1, -1)),
    "dilation zero": case(ValueError, ["dilation", 0], X, W, dilation=(0, 1)),
    "dilation negative": case(ValueError, ["dilation", -3], X, W, dilation=-3),
    "padding negative": case(ValueError, ["padding", -1], X, W, padding=-1),
    "padding negative on a side": case(
        ValueError, ["padding", -2], X, W, padding=((1, 1), (3, -2))
    ),
    # lengths
    "stride of three": case(ValueError, ["stride", "(1, 2, 3)", 2], X, W, stride=(1, 2, 3)),
    "stride of one": case(ValueError, ["stride", "(2,)", 2], X, W, stride=(2,)),
    "stride of none": case(ValueError, ["stride", "()", 2], X, W, stride=()),
    "dilation of three": case(ValueError, ["dilation", "[1, 1, 1]", 2], X, W, dilation=[1, 1, 1]),
    "padding of three": case(ValueError, ["padding", "(1, 1, 1)", 2], X, W, padding=(1, 1, 1)),
    "padding of one": case(ValueError, ["padding", "(1,)", 2], X, W, padding=(1,)),
    "padding of one pair": case(ValueError, ["padding", "((1, 1),)", 2], X, W, padding=((1, 1),)),
    "padding of triples": case(
        ValueError, ["padding", "((1, 1, 1), (1, 1, 1))"], X, W, padding=((1, 1, 1), (1, 1, 1))
    ),
    "padding as PyTorch's pad": case(
        ValueError, ["padding", "(1, 1, 1, 1)", 2], X, W, padding=(1, 1, 1, 1)
    ),
    "1-D padding of two ints": case(
        ValueError, ["padding", "((2, 0),)"], (2, 6, 9), (4, 6, 3), dims=1, padding=(2, 0)
    ),
    # types
    "stride a float": case(TypeError, ["stride", 1.0], X, W, stride=1.0),
    "stride a bool": case(TypeError, ["stride", True], X, W, stride=True),
    "stride text": case(TypeError, ["stride", "'1'"], X, W, stride="1"),
    "stride None": case(TypeError, ["stride", None], X, W, stride=None),
    "stride of floats": case(TypeError, ["stride", 2.0], X, W, stride=(1, 2.0)),
    "dilation of bools": case(TypeError, ["dilation", True], X, W, dilation=(True, 1)),
    "dilation a NumPy bool": case(TypeError, ["dilation"], X, W, dilation=np.True_),
    "padding a float": case(TypeError, ["padding", 1.5], X, W, padding=1.5),
    "padding a bool": case(TypeError, ["padding", False], X, W, padding=False),
    "padding None": case(TypeError, ["padding", None], X, W, padding=None),
    "padding of floats": case(TypeError, ["padding", 1.0], X, W, padding=(1.0, 1)),
    "padding of pairs of floats": case(
        TypeError, ["padding", 1.0], X, W, padding=((0, 1.0), (0, 0))
    ),
    # the names of paddings
    "padding unknown": case(
        ValueError,
        ["padding", "'full'", "'valid'", "'same'", "'same_upper'", "'same_lower'"],
        X,
        W,
        padding="full",
    ),
    "padding in capitals": case(ValueError, ["padding", "'SAME'", "'same'"], X, W, padding="SAME"),
    "padding same with a stride": case(
        ValueError, ["padding", "same", "stride", 2, "same_upper"], X, W, padding="same", stride=2
    ),
    "padding same with one stride": case(
        ValueError,
        ["padding", "same", "stride", "(1, 2)", "same_upper"],
        X,
        W,
        padding="same",
        stride=(1, 2),
    ),
    # the kernel
    "kernel larger than x": case(ValueError, [8, 9], X, (4, 6, 9, 3)),
    "kernel larger than the padded x": case(
        ValueError, [11, 12], X, (4, 6, 12, 3), padding=((1, 2), (0, 0))
    ),
    "dilated kernel larger than x": case(ValueError, [9, 11], X, W, dilation=(1, 5)),
    "x without pixels": case(ValueError, [0, 3], (2, 6, 0, 9), W),
    "kernel without rows": case(ValueError, ["0, 3)"], X, (4, 6, 0, 3)),
    "kernel without columns": case(ValueError, ["3, 0)"], X, (4, 6, 3, 0), padding=4),
    # channels
    "no output channels": case(ValueError, ["(0, 6, 3, 3)"], X, (0, 6, 3, 3)),
    "no output channels in two groups": case(
        ValueError, ["(0, 3, 3, 3)"], X, (0, 3, 3, 3), groups=2
    ),
    # an empty batch passes the same checks
    "an empty batch": case(
        ValueError, ["groups=2", "(4, 6, 3, 3)", 6, 3], (0, 6, 8, 9), (4, 6, 3, 3), groups=2
    ),
}


@pytest.mark.parametrize(
    ("error", "words", "dims", "x", "weight", "options"), GEOMETRY.values(), ids=GEOMETRY
)
def test_functions_refuse(error, words, dims, x, weight, options):
    options = options | ({"bias": f32(*options["bias"])} if "bias" in options else {})
    refused(error, names(*words), FUNCTIONS[dims], f32(*x), f32(*weight), **options)
    message = refused(
        error,
        names(*words),
        FUNCTIONS[dims],
        f32(*x),
        f32(*weight),
        **options,
        out=np.full((2, 4, 6, 7), np.pi, np.float32),
    )
    assert message.startswith(f"conv{dims}d: ")


@pytest.mark.parametrize(
    ("error", "words", "dims", "x", "weight", "options"), GEOMETRY.values(), ids=GEOMETRY
)
def test_layers_refuse(error, words, dims, x, weight, options):
    options = options | ({"bias": f32(*options["bias"])} if "bias" in options else {})

    def construct_and_call():
        LAYERS[dims](f32(*weight), **options)(f32(*x))

    message = refused(error, names(), construct_and_call)
    assert message.lower().startswith(f"conv{dims}d: ")


NOT_THE_WEIGHTS_FAULT = {
    "x too flat",
    "x too deep",
    "x a scalar",
    "1-D x too deep",
    "3-D x too flat",
    "groups not of in_channels",
    "weight for other channels",
    "weight for more channels than x has",
    "kernel larger than x",
    "kernel larger than the padded x",
    "dilated kernel larger than x",
    "x without pixels",
    "an empty batch",
}


@pytest.mark.parametrize("name", sorted(GEOMETRY.keys() - NOT_THE_WEIGHTS_FAULT))
def test_a_layer_refuses_its_own_faults_when_it_is_made(name):
    error, words, dims, _, weight, options = GEOMETRY[name].values
    options = options | ({"bias": f32(*options["bias"])} if "bias" in options else {})
    refused(error, names(*words), LAYERS[dims], f32(*weight), **options)


def test_the_message_of_the_contract_word_for_word():
    message = refused(ValueError, "", gconv.conv2d, f32(1, 64, 8, 8), f32(9, 21, 3, 3), groups=3)
    assert "conv2d: groups=3 must divide in_channels=64" in message


def test_one_dimension_is_told_how_to_write_a_pair():
    refused(
        ValueError,
        re.escape("write ((2, 0),)"),
        gconv.conv1d,
        f32(1, 1, 5),
        f32(1, 1, 3),
        padding=(2, 0),
    )


class Index:
    """An integer by protocol only."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


@pytest.mark.parametrize("integer", [np.int64, np.uint8, np.int32, Index])
def test_integers_of_other_types_are_not_refused(integer):
    got = gconv.conv2d(
        f32(2, 6, 8, 9),
        f32(4, 3, 3, 3),
        stride=integer(2),
        padding=(integer(1), 2),
        dilation=[integer(1), integer(2)],
        groups=integer(2),
        num_threads=integer(1),
    )
    assert got.shape == (2, 4, 4, 5)


# ---- out


def read_only(array):
    array.flags.writeable = False
    return array


def itself(shape, strides):
    """Return an array of 4 x 6 x 7 elements on too few bytes."""
    room = np.full(2 * 4 * 6 * 7, np.pi, np.float32)
    return np.lib.stride_tricks.as_strided(room, shape, strides)


OUT = {
    "a list": (TypeError, ["out", "ndarray", "list"], lambda: [[0.0]]),
    "a scalar": (TypeError, ["out", "ndarray", "float32"], lambda: np.float32(0)),
    "another precision": (
        TypeError,
        ["out", "float32", "float64"],
        lambda: np.full((2, 4, 6, 7), np.pi),
    ),
    "integers": (TypeError, ["out", "float32", "int32"], lambda: np.zeros((2, 4, 6, 7), np.int32)),
    "the other byte order": (
        TypeError,
        ["out", "float32"],
        lambda: np.full((2, 4, 6, 7), np.pi, np.dtype(np.float32).newbyteorder()),
    ),
    "too small": (
        ValueError,
        ["out", "(2, 4, 6, 7)", "(2, 4, 6, 6)"],
        lambda: np.full((2, 4, 6, 6), np.pi, np.float32),
    ),
    "right by broadcasting only": (
        ValueError,
        ["out", "(2, 4, 6, 7)", "(1, 2, 4, 6, 7)"],
        lambda: np.full((1, 2, 4, 6, 7), np.pi, np.float32),
    ),
    "without the batch": (
        ValueError,
        ["out", "(2, 4, 6, 7)", "(4, 6, 7)"],
        lambda: np.full((4, 6, 7), np.pi, np.float32),
    ),
    "read-only": (
        ValueError,
        ["out", "read-only"],
        lambda: read_only(np.full((2, 4, 6, 7), np.pi, np.float32)),
    ),
    "one row for all": (
        ValueError,
        ["out", "overlaps"],
        lambda: itself((2, 4, 6, 7), (4 * 42 * 4, 42 * 4, 0, 4)),
    ),
    "rows that share their ends": (
        ValueError,
        ["out", "overlaps"],
        lambda: itself((2, 4, 6, 7), (4 * 42 * 4, 42 * 4, 6 * 4, 4)),
    ),
    "elements that share bytes": (
        ValueError,
        ["out", "overlaps"],
        lambda: itself((2, 4, 6, 7), (4 * 42 * 4, 42 * 4, 7 * 4, 2)),
    ),
}


@pytest.mark.parametrize(("error", "words", "make"), OUT.values(), ids=OUT)
@pytest.mark.parametrize("operator", ["function", "layer"])
def test_out_is_refused(operator, error, words, make):
    if operator == "layer":
        call, arguments = gconv.Conv2d(f32(*W)), (f32(*X),)
    else:
        call, arguments = gconv.conv2d, (f32(*X), f32(*W))
    message = refused(error, names(*words), call, *arguments, out=make())
    assert message.lower().startswith("conv2d: ")


def test_elements_of_out_that_interleave_are_not_refused():
    """No element is shared, though the ranges of the rows overlap."""
    room = np.zeros(100, np.float32)
    out = np.lib.stride_tricks.as_strided(room, (1, 1, 2, 3), (400, 400, 4, 8))
    got = gconv.conv2d(f32(1, 1, 2, 3), f32(1, 1, 1, 1), out=out)
    assert got is out
    assert (out == 1).all()
    assert room.sum() == 6


# ---- dtypes

UNSUPPORTED = [np.int64, np.uint8, np.float16, np.complex64, np.bool_, np.longdouble, object, "U3"]


@pytest.mark.parametrize("which", ["x", "weight", "bias"])
@pytest.mark.parametrize("other", UNSUPPORTED, ids=lambda dtype: np.dtype(dtype).name)
def test_dtypes_that_are_not_supported(which, other):
    arrays = {"x": f32(*X), "weight": f32(*W), "bias": f32(4)}
    arrays[which] = arrays[which].astype(other)
    out = np.full((2, 4, 6, 7), np.pi, np.float32)
    refused(TypeError, names(np.dtype(other)), gconv.conv2d, **arrays, out=out)
    with pytest.raises(TypeError):
        gconv.Conv2d(arrays["weight"], arrays["bias"])(arrays["x"])


#: Each call with each of its arrays that has to go with another one.
PLACES = [(name, which) for name in CALLS for which in arguments_of(name)]

#: Numbers in other dtypes, and from packages that extend NumPy's.
NUMBERS = [np.uint8, np.int16, np.int64, np.bool_, np.float16, np.longdouble, ">i4", ">f2"]
if importlib.util.find_spec("ml_dtypes"):  # where it is not, these cannot come
    import ml_dtypes

    NUMBERS += [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn]


def hints_in(message):
    """Return what a message says to use, as (argument, expression) pairs."""
    return [(code.split(".")[0], code) for code in re.findall(r"; use (.*?)(?=;|$)", message)]


@pytest.mark.parametrize("wanted", [np.float32, np.float64])
@pytest.mark.parametrize("other", NUMBERS, ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize(("name", "which"), PLACES)
def test_the_hint_for_a_dtype_goes_with_the_other_arrays(name, which, other, wanted):
    """What the message says works when it is done."""
    function, shapes = CALLS[name]
    arrays = {argument: np.ones(shape, wanted) for argument, shape in shapes.items()}
    arrays[which] = arrays[which].astype(other)
    message = refused(TypeError, names(which), function, **arrays)
    [(argument, code)] = hints_in(message)
    assert (argument, code) == (which, f"{which}.astype(numpy.{np.dtype(wanted)})")
    function(**arrays | {which: eval(code, {"numpy": np, which: arrays[which]})})


@pytest.mark.parametrize("wanted", [np.float32, np.float64])
@pytest.mark.parametrize("other", [np.complex64, np.complex128])
@pytest.mark.parametrize(("name", "which"), PLACES)
def test_complex_numbers_are_two_calls(name, which, other, wanted):
    function, shapes = CALLS[name]
    arrays = {argument: np.ones(shape, wanted) for argument, shape in shapes.items()}
    arrays[which] = arrays[which].astype(other)
    message = refused(TypeError, names(which), function, **arrays)
    convert = f".astype(numpy.{np.dtype(wanted)})"
    parts = re.findall(r"two calls, one with (\S+) and one with (\S+?)(?:,|$)", message)
    assert parts == [(f"{which}.real{convert}", f"{which}.imag{convert}")]
    for code in parts[0]:
        function(**arrays | {which: eval(code, {"numpy": np, which: arrays[which]})})


def test_complex_numbers_in_two_calls(rng):
    x = rng.standard_normal((2, 4, 7, 7)) + 1j * rng.standard_normal((2, 4, 7, 7))
    weight, bias = rng.standard_normal((6, 2, 3, 3)), rng.standard_normal(6)
    message = refused(TypeError, "", gconv.conv2d, x, weight, bias, groups=2)
    assert message.endswith(", a real bias in the first alone")
    got = gconv.conv2d(x.real, weight, bias, groups=2)
    got = got + 1j * gconv.conv2d(x.imag, weight, groups=2)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
    windows = windows.reshape(2, 2, 2, 5, 5, 3, 3)
    want = np.einsum("ngihwyx,goiyx->ngohw", windows, weight.reshape(2, 3, 2, 3, 3))
    want = want.reshape(2, 6, 5, 5) + bias[:, None, None]
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def test_integers_beside_a_list_or_nothing_else_become_float32():
    integers = np.ones((1, 1, 4, 4), int)
    for weight in ([[[[1]]]], integers):
        message = refused(TypeError, "int64", gconv.conv2d, integers, weight)
        assert ("x", "x.astype(numpy.float32)") in hints_in(message)


def test_every_argument_of_another_dtype_gets_its_hint():
    arrays = {"x": f32(*X).astype(int), "weight": f32(*W).astype(np.float16), "bias": np.ones(4)}
    message = refused(TypeError, "", gconv.conv2d, **arrays)
    hints = dict(hints_in(message))
    assert hints == {name: f"{name}.astype(numpy.float64)" for name in ("x", "weight")}
    for name, code in hints.items():
        arrays[name] = eval(code, {"numpy": np, **arrays})
    assert gconv.conv2d(**arrays).dtype == np.float64


def test_the_hint_for_an_object_with_an_array_converts_it():
    class Wrapped:
        def __init__(self, array):
            self.array = array

        def __array__(self, dtype=None, copy=None):
            return self.array

    x, weight = Wrapped(f32(*X).astype(int)), Wrapped(f32(*W).astype(np.float64))
    message = refused(TypeError, "", gconv.conv2d, x, weight)
    [code] = re.findall(r"; use (.*)", message)
    assert gconv.conv2d(eval(code, {"numpy": np, "x": x}), weight).dtype == np.float64


@pytest.mark.parametrize("dtype", [object, "U3", "S3", "M8[s]", "m8[s]", "V4"])
def test_what_holds_no_numbers_gets_no_hint(dtype):
    message = refused(TypeError, "", gconv.conv2d, np.empty(X, dtype), f32(*W))
    assert ";" not in message


def test_supported_dtypes_get_no_hint():
    message = refused(TypeError, "", gconv.conv2d, f32(*X).astype(">f8"), f32(*W))
    assert ";" not in message


@pytest.mark.parametrize("wanted", ["float32", "float64"])
@pytest.mark.parametrize("which", ["x", "weight"])
@pytest.mark.parametrize(
    "other", ["uint8", "int64", "bool", "float16", "bfloat16", "float8_e4m3fn", "complex64"]
)
@pytest.mark.parametrize("beside", ["tensor", "array"])
def test_the_hint_for_a_tensor_is_pytorchs(other, which, wanted, beside):
    torch = oracle("torch")
    arrays = {"x": np.ones(X, wanted), "weight": np.ones(W, wanted)}
    if beside == "tensor":
        arrays = {name: torch.from_numpy(array) for name, array in arrays.items()}
    arrays[which] = torch.ones(arrays[which].shape).to(getattr(torch, other))
    names_here = {"torch": torch, which: arrays[which]}
    for call in (
        lambda x, weight: gconv.conv2d(x, weight),
        lambda x, weight: gconv.conv2d(x, weight, residual=np.ones((2, 4, 6, 7), wanted)),
    ):
        message = refused(TypeError, names(which), call, **arrays)
        codes = re.findall(r"(?:; use|one with) (.*?)(?= and|,|;|$)", message)
        assert len(codes) == (2 if other == "complex64" else 1)
        for code in codes:
            assert code.endswith(f".to(torch.{wanted})")
            assert call(**arrays | {which: eval(code, names_here)}).dtype == wanted


@pytest.mark.parametrize("which", ["x", "weight", "bias"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precisions_do_not_mix(which, dtype):
    arrays = {"x": f32(*X), "weight": f32(*W), "bias": f32(4)}
    arrays = {name: array.astype(dtype) for name, array in arrays.items()}
    arrays[which] = arrays[which].astype(np.float64 if dtype == np.float32 else np.float32)
    out = np.full((2, 4, 6, 7), np.pi, dtype)
    refused(TypeError, names("float32", "float64"), gconv.conv2d, **arrays, out=out)

    def construct_and_call():
        gconv.Conv2d(arrays["weight"], arrays["bias"])(arrays["x"])

    refused(TypeError, names("float32", "float64"), construct_and_call)


# ---- arrays that mean more than their numbers, and what is no array


@pytest.mark.parametrize("which", ["x", "weight", "bias"])
def test_masked_arrays(which):
    arrays = {"x": f32(*X), "weight": f32(*W), "bias": f32(4)}
    arrays[which] = np.ma.masked_array(arrays[which])
    refused(TypeError, names(which, "MaskedArray"), gconv.conv2d, **arrays)


@pytest.mark.parametrize("which", ["x", "weight", "bias"])
def test_matrices(which):
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1.0, 2.0]])
    arrays = {"x": np.ones((1, 2)), "weight": np.ones((1, 1, 1)), "bias": np.ones(1)}
    arrays[which] = matrix
    refused(TypeError, names(which, "matrix"), gconv.conv1d, **arrays)


@pytest.mark.parametrize("which", ["x", "weight", "bias"])
@pytest.mark.parametrize(
    "bad", [[[1.0], [1.0, 2.0]], [["a"]], [[1j]]], ids=["ragged", "text", "complex"]
)
def test_lists_that_are_no_array(which, bad):
    arrays = {"x": np.ones((1, 2)), "weight": np.ones((1, 1, 1)), "bias": np.ones(1)}
    arrays[which] = bad
    with pytest.raises(TypeError, match=rf"^conv1d: .*\b{which}\b") as caught:
        gconv.conv1d(**arrays)
    assert caught.value.__cause__ is not None
    assert ("two calls" in str(caught.value)) == (bad == [[1j]])


@pytest.mark.parametrize("which", ["x", "weight", "bias"])
def test_a_failed_conversion_names_the_argument_and_keeps_its_cause(which):
    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("the data is elsewhere")

    arrays = {"x": np.ones((1, 2)), "weight": np.ones((1, 1, 1)), "bias": np.ones(1)}
    arrays[which] = Broken()
    with pytest.raises(TypeError, match=rf"^conv1d: .*\b{which}\b") as caught:
        gconv.conv1d(**arrays)
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize("which", ["x", "weight"])
def test_none_is_no_array(which):
    arrays = {"x": np.ones((1, 2)), "weight": np.ones((1, 1, 1)), which: None}
    with pytest.raises((TypeError, ValueError), match=rf"^conv1d: .*\b{which}\b"):
        gconv.conv1d(**arrays)


# ---- threads


@pytest.mark.parametrize("bad", [0, -1, -(2**70)])
def test_thread_counts_below_one(bad):
    words = names("num_threads", bad)
    out = np.full((2, 4, 6, 7), np.pi, np.float32)
    refused(ValueError, words, gconv.conv2d, f32(*X), f32(*W), num_threads=bad, out=out)
    refused(ValueError, words, gconv.Conv2d(f32(*W)), f32(*X), num_threads=bad, out=out)
    with pytest.raises(ValueError, match=re.escape(str(bad))):
        gconv.set_num_threads(bad)
    with pytest.raises(ValueError, match=re.escape(str(bad))), gconv.thread_limit(bad):
        pass


@pytest.mark.parametrize("bad", [2.0, True, "2", (2,)], ids=repr)
def test_thread_counts_that_are_no_integers(bad):
    out = np.full((2, 4, 6, 7), np.pi, np.float32)
    refused(TypeError, "num_threads", gconv.conv2d, f32(*X), f32(*W), num_threads=bad, out=out)
    refused(TypeError, "num_threads", gconv.Conv2d(f32(*W)), f32(*X), num_threads=bad, out=out)
    with pytest.raises(TypeError):
        gconv.set_num_threads(bad)
    with pytest.raises(TypeError), gconv.thread_limit(bad):
        pass


# ---- sizes


def nothing_but_size(*shape):
    """Return an array of any size on four bytes."""
    return np.broadcast_to(np.float32(1), shape)


def test_an_output_that_cannot_be_allocated():
    x = nothing_but_size(1, 1, 2**60)
    refused(MemoryError, names(2**60), gconv.conv1d, x, f32(1, 1, 1))
    refused(MemoryError, names(2**60), gconv.Conv1d(f32(1, 1, 1)), x)


@pytest.mark.parametrize(
    ("x", "weight", "padding"),
    [
        pytest.param((1, 1, 2**30, 2**30), (8, 1, 1, 1), 0, id="bytes"),
        pytest.param((1, 1, 2**30, 2**30), (16, 1, 1, 1), 0, id="elements"),
        pytest.param((1, 1, 4, 4), (1, 1, 3, 3), 2**61, id="elements padded"),
        pytest.param((1, 1, 4, 4), (1, 1, 3, 3), 2**62, id="padded size"),
        pytest.param((1, 1, 4, 4), (1, 1, 3, 3), 2**64, id="padding"),
        pytest.param((1, 1, 4, 4), (1, 1, 3, 3), ((2**200, 0), (0, 0)), id="padding of pairs"),
    ],
)
def test_sizes_that_overflow(x, weight, padding):
    x, weight = nothing_but_size(*x), f32(*weight)
    for call in (
        lambda: gconv.conv2d(x, weight, padding=padding),
        lambda: gconv.Conv2d(weight, padding=padding)(x),
    ):
        with pytest.raises((ValueError, MemoryError), match=r"^[Cc]onv2d: .*\d{10}"):
            call()


@pytest.mark.parametrize("dilation", [2**31, 2**62, 2**64, 10**30])
def test_a_dilation_that_overflows(dilation):
    x, weight = f32(1, 1, 4, 4), f32(1, 1, 3, 3)
    refused(ValueError, names(2 * dilation + 1, 4), gconv.conv2d, x, weight, dilation=dilation)


# ---- filter_bank


@pytest.mark.parametrize(
    ("words", "x", "kernels"),
    [
        (["filter_bank", "kernels", "(3,)"], (1, 3, 9), (3,)),
        (["filter_bank", "kernels", "(5, 3, 3, 3, 3)"], (1, 3, 9, 9), (5, 3, 3, 3, 3)),
        (["filter_bank", "(9, 9)", 3, 4], (9, 9), (5, 3, 3)),
        (["filter_bank", "(1, 1, 3, 9, 9)", 3, 4], (1, 1, 3, 9, 9), (5, 3, 3)),
        ([0, "3, 3)"], (1, 3, 9, 9), (0, 3, 3)),
        ([9, 10], (1, 3, 9, 9), (5, 10, 3)),
        (["filter_bank", "(1, 0, 9, 9)"], (1, 0, 9, 9), (5, 3, 3)),
    ],
)
def test_filter_banks(words, x, kernels):
    refused(ValueError, names(*words), gconv.filter_bank, f32(*x), f32(*kernels))


def test_a_filter_bank_has_no_groups_of_its_own():
    with pytest.raises(TypeError, match="groups"):
        gconv.filter_bank(f32(3, 9, 9), f32(5, 3, 3), groups=3)


def test_an_out_of_a_filter_bank_has_the_shape_of_its_result():
    refused(
        ValueError,
        names("filter_bank", "out", "(3, 5, 7, 7)", "(15, 7, 7)"),
        gconv.filter_bank,
        f32(3, 9, 9),
        f32(5, 3, 3),
        out=f32(15, 7, 7),
    )
