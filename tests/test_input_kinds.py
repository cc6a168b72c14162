"""Every function and layer takes whatever people hold, and refuses what it would get wrong.

Tensors are in test_inputs.py, since their package is installed for another pass of continuous
integration than JAX, xarray and the like.
"""

import array
import re

import numpy as np
import pytest
from calls import CALLS, arguments_of, arrays_for
from holders import (
    OF_PYTHON,
    Holder,
    WithArray,
    WithDLPack,
    WithInterface,
    check_call,
    check_shared,
)
from oracles import oracle

import gconv
from gconv._call.arrays import operands


def jax_array(numbers, _):
    jax = oracle("jax")
    jax.config.update("jax_enable_x64", True)
    return jax.numpy.asarray(numbers)


def data_array(numbers, _):
    return oracle("xarray").DataArray(numbers)


def variable(numbers, _):
    return oracle("xarray").Variable([f"axis_{axis}" for axis in range(numbers.ndim)], numbers)


def pandas_object(numbers, _):
    pandas = oracle("pandas")
    return pandas.DataFrame(numbers) if numbers.ndim == 2 else pandas.Series(numbers)


def strict_array(numbers, _):
    return oracle("array_api_strict").asarray(numbers)


def hdf5_dataset(numbers, directory):
    h5py = oracle("h5py")
    file = h5py.File(directory / "numbers.h5", "w")
    return file.create_dataset("numbers", data=numbers)


def zarr_array(numbers, _):
    return oracle("zarr").array(numbers)


#: Each names its package in the function that makes it.
OF_PACKAGES = {
    "jax.Array": Holder(jax_array),
    "xarray.DataArray": Holder(data_array),
    "xarray.Variable": Holder(variable),
    "pandas": Holder(pandas_object, dimensions=range(1, 3)),
    "array_api_strict": Holder(strict_array),
    "h5py.Dataset": Holder(hdf5_dataset, shares=False),
    "zarr.Array": Holder(zarr_array, shares=False),
}
HOLDERS = OF_PYTHON | OF_PACKAGES


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("name", CALLS)
def test_every_call_takes_every_kind(name, holder, rng, tmp_path):
    check_call(name, HOLDERS[holder], tmp_path, rng, np.float32)


@pytest.mark.parametrize("holder", HOLDERS)
def test_every_kind_holds_both_precisions(holder, rng, tmp_path):
    check_call("Conv1d.__call__", HOLDERS[holder], tmp_path, rng, np.float64)


@pytest.mark.parametrize("holder", [name for name, kind in HOLDERS.items() if kind.shares])
def test_what_need_not_be_copied_is_not(holder, dtype, tmp_path):
    check_shared(HOLDERS[holder], tmp_path, dtype)


def test_arrays_of_jax_are_read_where_they_are(dtype):
    held = jax_array(np.arange(12, dtype=dtype).reshape(3, 4), None)
    x, _, _ = operands("conv1d", held, [[[1.0]] * 3], None)
    assert x.ctypes.data == held.unsafe_buffer_pointer()


@pytest.mark.parametrize("holder", [name for name, kind in HOLDERS.items() if kind.shares])
@pytest.mark.parametrize("name", CALLS)
def test_what_is_given_is_left_as_it_was(name, holder, rng, tmp_path):
    function, _ = CALLS[name]
    arrays = arrays_for(name, rng, np.float32)
    for argument in arguments_of(name):
        if arrays[argument].ndim not in HOLDERS[holder].dimensions:
            continue
        numbers = arrays[argument].copy()
        function(**arrays | {argument: HOLDERS[holder].make(numbers, tmp_path)})
        np.testing.assert_array_equal(numbers, arrays[argument])


# ---- what is refused: in every call, for every argument, by name, before anything is done


class Lazy:
    """A collection of Dask's, by Dask's own protocol."""

    def __init__(self, numbers):
        self.dtype, self.shape = numbers.dtype, numbers.shape

    def __dask_graph__(self):
        return {}

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("it was computed")


class OnGPU:
    """An array of CuPy's."""

    def __init__(self, numbers):
        self.dtype, self.shape = numbers.dtype, numbers.shape
        self.__cuda_array_interface__ = {}

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Use `.get()`")


class OnGPUAlone:
    """One that says nothing but where it is."""

    __cuda_array_interface__ = property(lambda self: {})

    def __init__(self, numbers):
        pass


class MaskedVariable:
    """A variable of netCDF4's: it becomes a masked array."""

    def __init__(self, numbers):
        self.numbers = np.ma.masked_equal(numbers, 1)

    def __array__(self, dtype=None, copy=None):
        return self.numbers


class MaskedOfAnother(np.ndarray):
    """An array with a mask that is no subclass of NumPy's, as astropy has it."""

    mask = property(lambda self: np.isnan(self))


def matrix(numbers):
    with pytest.warns(PendingDeprecationWarning):
        return np.matrix(numbers.reshape(numbers.shape[0], -1))


def sparse(numbers):
    return oracle("scipy.sparse").csr_array(numbers.reshape(numbers.shape[0], -1))


def dask_array(numbers):
    return oracle("dask.array").from_array(numbers)


def chunked_data_array(numbers):
    oracle("dask")
    return oracle("xarray").DataArray(numbers).chunk()


def data_set(numbers):
    return oracle("xarray").Dataset({"a": oracle("xarray").DataArray(numbers)})


def traced(numbers):
    """An array of JAX's in the function that it compiles, which has no numbers yet."""
    jax = oracle("jax")
    seen = []
    jax.make_jaxpr(seen.append)(jax.numpy.asarray(numbers, dtype="float32"))
    return seen[0]


def elsewhere(numbers):
    xp = oracle("array_api_strict")
    return xp.asarray(numbers, device=xp.Device("device1"))


def with_nothing(numbers):
    pandas = oracle("pandas")
    column = pandas.array([1.0, None], dtype="Float32")
    return pandas.DataFrame({"a": column, "b": column})


REFUSED = {
    "masked": (np.ma.masked_array, r"MaskedArray.*filled"),
    "masked with a mask": (lambda a: np.ma.masked_equal(a, 1), r"MaskedArray.*filled"),
    "by __array__ masked": (MaskedVariable, r"MaskedArray.*filled"),
    "another package's mask": (lambda a: a.view(MaskedOfAnother), r"MaskedOfAnother.*mask"),
    "masked in a list": (lambda a: [np.ma.masked_equal(b, 1) for b in a], "MaskedArray"),
    "matrix": (matrix, "matrix"),
    "lazy": (Lazy, r"Lazy.*gconv\.dask.*compute\(\)"),
    "lazy in a list": (lambda a: [Lazy(b) for b in a], r"Lazy.*gconv\.dask"),
    "GPU": (OnGPU, r"OnGPU.*\.get\(\)"),
    "GPU alone": (OnGPUAlone, "OnGPUAlone.*GPU: copy it"),
    "GPU by DLPack": (lambda a: WithDLPack(a, (2, 1)), r"WithDLPack.*CUDA:1.*copy it"),
    "ROCm by DLPack": (lambda a: WithDLPack(a, (10, 0)), r"WithDLPack.*ROCm:0.*copy it"),
    "unknown device by DLPack": (lambda a: WithDLPack(a, (99, 0)), "WithDLPack.*99:0.*copy it"),
    "sparse": (sparse, r"csr_array.*toarray\(\)"),
    "object": (lambda a: object(), "type object"),
    "dict": (lambda a: {"a": a}, "type dict"),
    "set": (lambda a: set(), "type set"),
    "generator": (iter, "cannot be made an array|iterator"),
    "array of objects": (lambda a: a.astype(object), "object"),
    "records": (lambda a: np.zeros(a.shape, [("a", "f4")]), r"\('a', '<f4'\)"),
    "text": (lambda a: "text", "<U4"),
    "bytes": (lambda a: bytes(16), "S16"),
    "NumPy's text": (lambda a: a.astype("T"), "StringDType"),
    "None in a list": (lambda a: [None, *a[1:]], "type NoneType"),
    "text in a list": (lambda a: ["a"] * len(a), "U1"),
    "complex in a list": (lambda a: (a * 1j).tolist(), "two calls"),
    "object in a list": (lambda a: [object()], "type object"),
    "ragged": (lambda a: [a[0].tolist(), [a[0].tolist()]], "inhomogeneous"),
    "dates": (lambda a: a.astype("M8[s]"), "datetime64"),
    "dask.array": (dask_array, r"gconv\.dask.*compute\(\)"),
    "xarray of Dask": (chunked_data_array, r"DataArray.*gconv\.dask.*compute\(\)"),
    "xarray.Dataset": (data_set, "Dataset.*DataArray"),
    "JAX traced": (traced, "Tracer.*cannot be made an array"),
    "strict elsewhere": (elsewhere, r"cannot be made an array.*device1"),
    "pandas with NA": (with_nothing, r"DataFrame.*to_numpy\(numpy\.float32, na_value=numpy\.nan\)"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("name", CALLS)
def test_what_would_be_wrong_is_refused_by_name(name, kind, rng):
    make, message = REFUSED[kind]
    function, _ = CALLS[name]
    arrays = arrays_for(name, rng, np.float32)
    for argument in arguments_of(name):
        with pytest.raises(TypeError, match=rf"(?s)\b{argument}\b.*({message})") as caught:
            function(**arrays | {argument: make(arrays[argument])})
        beginning = rf"\w+(\.step|\.fold_batch_norm)?: (an element of |all arrays.*)?{argument}\b"
        assert re.match(beginning, str(caught.value))


def test_a_list_that_holds_itself_is_refused():
    endless = []
    endless.append(endless)
    with pytest.raises(TypeError, match=r"^conv1d: x cannot be made an array"):
        gconv.conv1d(endless, [[[1.0]]])


@pytest.mark.parametrize("dtype", [np.float16, np.int32, np.uint8, np.bool_])
@pytest.mark.parametrize("make", [WithArray, WithInterface, WithDLPack, memoryview])
def test_what_to_write_for_another_dtype_works(make, dtype):
    x = make(np.ones((3, 4), dtype))
    weight = np.ones((2, 3, 1))
    with pytest.raises(TypeError, match=f"x is {np.dtype(dtype)}") as caught:
        gconv.conv1d(x, weight)
    [code] = re.findall(r"; use (.*)", str(caught.value))
    assert gconv.conv1d(eval(code, {"numpy": np, "x": x}), weight).dtype == np.float64


def test_bfloat16_of_jax_is_told_what_to_write():
    jax_array(np.ones(1), None)
    x = oracle("jax").numpy.ones((3, 4), "bfloat16")
    with pytest.raises(TypeError, match=r"x is bfloat16.*x\.astype\(numpy\.float64\)"):
        gconv.conv1d(x, np.ones((2, 3, 1)))


# ---- which protocol is asked


def test_dlpack_is_asked_only_where_there_is_no_array(dtype):
    class Both(WithArray):
        def __dlpack__(self, **options):
            raise AssertionError("it was asked")

        __dlpack_device__ = __dlpack__

    x = np.ones((3, 4), dtype)
    assert (gconv.conv1d(Both(x), np.ones((2, 3, 1), dtype)) == 3).all()


@pytest.mark.parametrize("device", [1, 3, 11, 13])
def test_memory_that_the_cpu_reads_is_no_other_device(device):
    """NumPy itself may refuse what gconv does not, and then with its own message."""
    x = WithDLPack(np.ones((3, 4)), (device, 0))
    assert (gconv.conv1d(x, np.ones((2, 3, 1))) == 3).all()


# ---- lists


def test_lists_of_arrays_take_the_precision_of_the_array_beside_them(dtype):
    rows = [np.ones(4, np.float64), np.ones(4, np.float32), [1, True, 1.0, np.float32(1)]]
    got = gconv.conv1d(rows, np.ones((2, 3, 1), dtype))
    assert got.dtype == dtype
    assert (got == 3).all()


# ---- out


def test_out_may_be_a_view_of_whatever_can_be_written(tmp_path):
    x, weight = np.ones((3, 4), np.float32), np.ones((2, 3, 1), np.float32)
    buffer = array.array("f", bytes(32))
    out = np.asarray(memoryview(buffer).cast("B").cast("f", (2, 4)))
    assert gconv.conv1d(x, weight, out=out) is out
    assert buffer.tolist() == [3] * 8
    out = np.memmap(tmp_path / "out", np.float32, "w+", shape=(2, 4))
    assert gconv.conv1d(x, weight, out=out) is out
    out.flush()
    assert np.fromfile(tmp_path / "out", np.float32).tolist() == [3] * 8


def test_out_may_be_the_array_within_xarrays():
    held = oracle("xarray").DataArray(np.zeros((2, 4)), dims=("channel", "time"))
    gconv.conv1d(np.ones((3, 4)), np.ones((2, 3, 1)), out=held.values)
    assert (held == 3).all()


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda a: WithArray(a), True),
        (lambda a: data_array(a, None), True),
        (lambda a: jax_array(a, None), True),
        (lambda a: memoryview(a), False),
        (lambda a: a.tolist(), False),
        (lambda a: a[0, 0], False),
        (np.ma.masked_array, False),
        (lambda a: a.view(MaskedOfAnother), False),
        (matrix, False),
    ],
)
@pytest.mark.parametrize("which", ["function", "layer", "filter bank"])
def test_what_else_is_given_as_out_is_refused(make, hint, which):
    x, weight = np.ones((3, 4)), np.ones((2, 3, 1))
    call = {
        "function": lambda out: gconv.conv1d(x, weight, out=out),
        "layer": lambda out: gconv.Conv1d(weight)(x, out=out),
        "filter bank": lambda out: gconv.filter_bank(x[:1], weight[:, 0], out=out),
    }[which]
    numbers = np.zeros((2, 4))
    with pytest.raises(TypeError, match=r"out must be a numpy\.ndarray, got \w+") as caught:
        call(make(numbers))
    assert ("shares its memory" in str(caught.value)) == hint
    assert (numbers == 0).all()


def test_a_memory_map_that_is_read_only_is_no_out(tmp_path):
    np.zeros((2, 4)).tofile(tmp_path / "out")
    out = np.memmap(tmp_path / "out", np.float64, "r", shape=(2, 4))
    with pytest.raises(ValueError, match="out is read-only"):
        gconv.conv1d(np.ones((3, 4)), np.ones((2, 3, 1)), out=out)


# ---- whole models


@pytest.fixture
def session():
    """A model of one convolution."""
    onnx = oracle("onnx")
    from gconv.onnx import InferenceSession

    weight = onnx.numpy_helper.from_array(np.ones((2, 3, 1), np.float32), "w")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["x", "w"], ["y"])], "one",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, "length"])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 2, "length"])],
        [weight])
    opsets = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return InferenceSession(model.SerializeToString())


@pytest.mark.parametrize(
    "holder", [name for name, kind in HOLDERS.items() if 3 in kind.dimensions])
def test_a_session_takes_every_kind(holder, session, rng, tmp_path):
    numbers = rng.integers(1, 7, (1, 3, 4)).astype(np.float32)
    [want] = session.run(None, {"x": numbers})
    [got] = session.run(None, {"x": HOLDERS[holder].make(numbers.copy(), tmp_path)})
    assert type(got) is np.ndarray
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("kind", REFUSED)
def test_a_session_refuses_what_would_be_wrong(kind, session):
    make, _ = REFUSED[kind]
    with pytest.raises((TypeError, ValueError), match=r"^InferenceSession: .*input 'x'"):
        session.run(None, {"x": make(np.ones((1, 3, 4), np.float32))})
