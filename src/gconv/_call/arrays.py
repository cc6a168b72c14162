"""Arrays in and out: what a call may be given, and what it gives back.

`as_array` is the one way in: whatever holds numbers becomes an array there, or is refused.
Operands are made into float32 or float64 arrays of one dtype; `out` is checked; the memory order
of a new result is chosen. Shapes are the geometry's business. docs/inputs.md says it to users.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gconv._call.geometry import Shape
from gconv._engine import call

Array: TypeAlias = NDArray[Any]

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
FEW_CHANNELS = 8  # for copy_result
OVERLAP_WORK = 1000  # solutions that NumPy looks at

#: DLPack's numbers for memory that the CPU reads: its own, and what CUDA and ROCm share with it.
CPU_MEMORY = {1, 3, 11, 13}
#: Its names for some other devices.
DEVICES = {2: "CUDA", 4: "OpenCL", 7: "Vulkan", 8: "Metal", 10: "ROCm", 14: "oneAPI"}


def operands(
    name: str,
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    *,
    x_name: str = "x",
    weight_name: str = "weight",
) -> tuple[Array, Array, Array | None]:
    """x, weight and bias as arrays of one dtype, in native byte order and aligned.

    Nothing is copied that need not be. Lists, tuples and scalars take the dtype of the first
    array among the three, float64 if there is none.

    Raises
    ------
    TypeError
        Where an argument cannot be made an array, where a dtype is not supported, or where the
        dtypes differ.
    """
    given = {x_name: x, weight_name: weight, "bias": bias}
    arrays = {
        argument: as_array(name, argument, value, _others(argument, given))
        for argument, value in given.items()
        if not is_list(value) and (value is not None or argument != "bias")
    }
    dtype = next((_native_dtype(a.dtype) for a in arrays.values()), np.dtype(np.float64))
    if dtype in DTYPES:
        for argument, value in given.items():
            if argument not in arrays and (value is not None or argument != "bias"):
                arrays[argument] = _from_list(name, argument, value, dtype)
    if any(_native_dtype(a.dtype) != dtype for a in arrays.values()) or dtype not in DTYPES:
        raise TypeError(_dtype_message(name, arrays, given))
    return (
        _native(arrays[x_name]),
        _native(arrays[weight_name]),
        _native(arrays["bias"]) if "bias" in arrays else None,
    )


def operand_like(name: str, argument: str, value: ArrayLike, layer_weight: Array) -> Array:
    """One more operand of a layer, as an array of the layer's dtype; see `operands`.

    Raises
    ------
    TypeError
        Where it cannot be made an array, or is one of another dtype.
    """
    must_be = f"must be {layer_weight.dtype}, as the layer is, but is"
    return _operand_of(name, argument, value, layer_weight.dtype, must_be)


def _operand_of(
    name: str, argument: str, value: ArrayLike, dtype: np.dtype[Any], must_be: str
) -> Array:
    """An operand as an array of a given dtype; `must_be` begins what the error says of another."""
    if is_list(value):
        return _from_list(name, argument, value, dtype)
    array = as_array(name, argument, value, [dtype])
    if _native_dtype(array.dtype) != dtype:
        hint = _hint(argument, value, array.dtype, [dtype])
        raise TypeError(f"{name}: {argument} {must_be} {array.dtype}{hint}")
    return _native(array)


def detached(value: Any) -> Any:
    """A tensor that requires grad, without it; anything else as it is."""
    return value.detach() if getattr(value, "requires_grad", False) is True else value


def _native_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in native byte order, where it has one at all (a new kind of text has none)."""
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def is_list(value: object) -> bool:
    """Whether a value has no dtype of its own: a list, a tuple, a number of Python's."""
    return isinstance(value, (list, tuple, int, float)) and not isinstance(value, np.generic)


def list_as_array(name: str, argument: str, value: object) -> Array:
    """A list as an array, of the dtype that NumPy gives it; arrays among its elements, at any
    depth, are taken as `as_array` takes them.

    Raises
    ------
    TypeError
        Where it is ragged, or an element cannot be made an array.
    """
    try:
        return np.asarray(_with_arrays(name, argument, value))
    except (ValueError, RecursionError) as error:
        raise TypeError(f"{name}: {argument} cannot be made an array: {error}") from error


def _with_arrays(name: str, argument: str, value: object) -> object:
    """The list with plain arrays in place of all that is neither a list nor a scalar."""
    if isinstance(value, (list, tuple)):
        if {*map(type, value)} <= {int, float, bool}:
            return value
        return [_with_arrays(name, argument, element) for element in value]
    if isinstance(value, (int, float, complex, str, bytes, np.generic)):
        return value
    return as_array(name, f"an element of {argument}", value)


def _from_list(
    name: str, argument: str, value: object, dtype: np.dtype[np.floating]
) -> Array:
    array = list_as_array(name, argument, value)
    try:
        if array.dtype.kind == "c":
            raise ValueError(
                "its elements are complex: make two calls, one of the real and one of the "
                "imaginary parts"
            )
        if array.dtype.kind not in "biuf":  # None would become NaN, and a text a number
            raise ValueError(f"elements of {array.dtype} are no real numbers")
        return array.astype(dtype)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name}: {argument} cannot be made an array of {dtype}: {error}"
        ) from error


def as_array(
    name: str,
    argument: str,
    value: Any,
    others: list[Any] | None = None,
    *,
    objects: bool = False,
) -> Array:
    """Whatever holds numbers that the CPU can read, as an array of no subclass.

    Nothing is copied where the value lets NumPy see its memory: through ``__array__``, the buffer
    protocol, ``__array_interface__``, or DLPack where there is no ``__array__``.

    Parameters
    ----------
    name, argument : str
        What the error says of it.
    value : object
        No list: see `list_as_array`.
    others : list, optional
        Arrays, or dtypes, that it goes with; they decide what the error says to use.
    objects : bool
        Whether an array of Python's objects will do.

    Raises
    ------
    TypeError
        Where the value cannot be made an array, or means more than its numbers.
    """
    if type(value) is np.ndarray:
        return value
    if _is_lazy(value):
        raise TypeError(
            f"{name}: {argument} of type {type(value).__name__} is made of Dask's chunks, which "
            "would all be computed here: gconv.dask convolves those of a Dask array one by one; "
            "where they fit in memory together, pass what its compute() returns"
        )
    try:
        array = _from_dlpack(value) if _has_dlpack_alone(value) else np.asanyarray(value)
    except Exception as error:  # whatever an __array__ method may raise
        hint = _hint(argument, value, getattr(value, "dtype", None), others)
        raise TypeError(
            f"{name}: {argument} of type {type(value).__name__} cannot be made an array: {error}"
            f"{hint}"
        ) from error
    if has_mask(array):
        raise TypeError(
            f"{name}: {argument} must not be a {type(array).__name__}, whose mask a convolution "
            "would lose; pass a plain array, such as its filled(0)"
        )
    if isinstance(array, np.matrix):
        raise TypeError(
            f"{name}: {argument} must not be a {type(array).__name__}, whose meaning a "
            "convolution would lose; pass a plain array"
        )
    if array.dtype == object and not isinstance(value, np.ndarray) and not objects:
        raise TypeError(
            f"{name}: {argument} of type {type(value).__name__} cannot be made an array of numbers"
            f"{_way_to_numbers(value, others)}"
        )
    return np.asarray(array)


def _is_lazy(value: Any) -> bool:
    """Whether it is one of Dask's collections, or holds one, by Dask's own protocol."""
    return (
        hasattr(type(value), "__dask_graph__") and value.__dask_graph__() is not None
    )


def has_mask(array: Array) -> bool:
    """Whether it is NumPy's MaskedArray, or another package's array with a mask."""
    return type(array) is not np.ndarray and hasattr(type(array), "mask")


def _has_dlpack_alone(value: Any) -> bool:
    return hasattr(type(value), "__dlpack__") and not hasattr(type(value), "__array__")


def _from_dlpack(value: Any) -> Array:
    device, number = value.__dlpack_device__()
    if int(device) not in CPU_MEMORY:
        where = DEVICES.get(int(device), f"DLPack's type {int(device)}")
        raise ValueError(
            f"its memory is on device {where}:{number}; copy it to the CPU's memory first"
        )
    return np.from_dlpack(value)


def _way_to_numbers(value: Any, others: list[Any] | None) -> str:
    """What to do with some values that NumPy makes an array of objects from."""
    of = type(value)
    if hasattr(of, "toarray"):
        return "; pass what its toarray() returns, which has all the zeros"
    if of.__module__.split(".")[0] == "pandas":
        wanted = _wanted(others)
        return f"; pass what its to_numpy(numpy.{wanted}, na_value=numpy.nan) returns"
    if hasattr(of, "__cuda_array_interface__"):
        return "; its memory is on a GPU: copy it to the CPU's memory first"
    return ""


def _dtype_message(name: str, arrays: dict[str, Array], given: dict[str, Any]) -> str:
    found = ", ".join(f"{argument} is {array.dtype}" for argument, array in arrays.items())
    hints = "".join(
        _hint(argument, given[argument], array.dtype, _others(argument, given))
        for argument, array in arrays.items()
    )
    return f"{name}: all arrays must be float32, or all float64, but {found}{hints}"


def _others(argument: str, given: dict[str, Any]) -> list[Any]:
    return [value for other, value in given.items() if other != argument]


def _wanted(others: list[Any] | None) -> np.dtype[Any]:
    """The dtype that goes with the others."""
    return next((d for d in map(_dtype_of, others or ()) if d is not None), DTYPES[0])


def _hint(argument: str, value: Any, dtype: Any, others: list[Any] | None) -> str:
    """What to write for a value of a dtype (NumPy's or PyTorch's) that is not supported, beside
    the others; nothing where it is supported, or holds no numbers, or is an element of a list."""
    if others is None:
        return ""
    if isinstance(dtype, np.dtype):
        is_complex = dtype.kind == "c"
        # The second finds the numbers of other packages: bfloat16 and its like.
        is_real = dtype.kind in "biuf" or np.can_cast(dtype, np.float64)
    else:
        is_complex = getattr(dtype, "is_complex", False)
        is_real = getattr(dtype, "is_floating_point", False)
    if _supported(dtype) is not None or not (is_real or is_complex):
        return ""
    wanted = _wanted(others)
    array, convert = argument, f".astype(numpy.{wanted})"
    if str(getattr(value, "dtype", "")).startswith("torch."):
        convert = f".to(torch.{wanted})"
    elif not hasattr(value, "astype"):
        function = "from_dlpack" if _has_dlpack_alone(value) else "asarray"
        array = f"numpy.{function}({argument})"
    if not is_complex:
        return f"; use {array}{convert}"
    bias = ", a real bias in the first alone" if argument in ("x", "weight", "chunk") else ""
    return (
        f"; {argument} is complex: make two calls, one with {array}.real{convert} and one with "
        f"{array}.imag{convert}{bias}"
    )


def _dtype_of(value: Any) -> np.dtype[Any] | None:
    """The dtype of an array, if it is supported; lists take that of the arrays beside them."""
    if value is None or is_list(value):
        return None
    dtype = getattr(value, "dtype", value)
    if _supported(dtype) is None and not isinstance(dtype, np.dtype):
        with suppress(TypeError):
            dtype = as_array("", "", value).dtype
    return _supported(dtype)


def _supported(dtype: Any) -> np.dtype[Any] | None:
    """The dtype in which gconv computes, for one of NumPy's or PyTorch's; None for any other."""
    for ours in DTYPES:
        if str(dtype) == f"torch.{ours}" or (
            isinstance(dtype, np.dtype) and _native_dtype(dtype) == ours
        ):
            return ours
    return None


def _native(array: Array) -> Array:
    """Native byte order, aligned, strides in whole elements: a copy where they are not."""
    if (
        array.flags.aligned
        and array.dtype.isnative
        and all(stride % array.itemsize == 0 for stride in array.strides)
    ):
        return array
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C", copy=True)


def copy_result(out: Array, y: Array, batched: bool) -> None:
    """out[...] = y, channel by channel where there are few: where these are neighbours in memory,
    NumPy's innermost loop goes along them. Measured: 3 channels are 4 times as fast so."""
    channels = y.shape[1 if batched else 0]
    if channels > FEW_CHANNELS:
        out[...] = y
        return
    for channel in range(channels):
        where = (slice(None), channel) if batched else channel
        out[where] = y[where]


def check_out(name: str, out: object, shape: Shape, dtype: np.dtype[Any]) -> None:
    """Refuse an `out` that cannot take the result."""
    if not isinstance(out, np.ndarray) or isinstance(out, np.matrix) or has_mask(out):
        hint = ""
        if hasattr(type(out), "__array__") and not isinstance(out, (np.ndarray, np.generic)):
            hint = "; pass an array that shares its memory, as numpy.asarray(out) often does"
        raise TypeError(f"{name}: out must be a numpy.ndarray, got {type(out).__name__}{hint}")
    if out.dtype != dtype:
        raise TypeError(f"{name}: out must be of dtype {dtype}, got {out.dtype}"
                        f"{'' if out.dtype.isnative else ' in the other byte order'}")
    if out.shape != shape:
        raise ValueError(f"{name}: out must have shape {shape}, got {out.shape}")
    if not out.flags.writeable:
        raise ValueError(f"{name}: out is read-only")
    if overlaps_itself(out):
        raise ValueError(
            f"{name}: out overlaps itself in memory (shape {out.shape}, strides {out.strides})"
        )


def residual_for(
    name: str, residual: ArrayLike, shape: Shape, dtype: np.dtype[Any]
) -> Array:
    """A residual as an array of the result's dtype, native and aligned; see `operands`.

    Raises
    ------
    TypeError
        Where it cannot be made an array, or is one of another dtype.
    ValueError
        Where its shape is not the result's.
    """
    must_be = f"must be of dtype {dtype}, as the result is, got"
    array = _operand_of(name, "residual", residual, dtype, must_be)
    if array.shape != shape:
        raise ValueError(
            f"{name}: residual must have the result's shape {shape} (nothing is broadcast), "
            f"got {array.shape}"
        )
    return array


def same_memory(a: Array, b: Array) -> bool:
    """Whether two arrays of one shape and dtype have their elements in the same places."""
    return a.ctypes.data == b.ctypes.data and a.strides == b.strides


def same_layout(a: Array, b: Array) -> bool:
    """Whether the elements of two arrays of one shape are equally far apart in memory."""
    return all(
        ours == theirs or extent <= 1
        for ours, theirs, extent in zip(a.strides, b.strides, a.shape, strict=True)
    )


def overlaps_itself(array: Array) -> bool:
    """Whether two elements of an array share memory."""
    if array.size < 2:
        return False
    if any(s == 0 and n > 1 for s, n in zip(array.strides, array.shape, strict=True)):
        return True
    axes = sorted(
        (abs(stride), extent)
        for stride, extent in zip(array.strides, array.shape, strict=True)
        if extent > 1
    )
    reach = array.itemsize  # bytes from the first element's begin to the last one's end
    for stride, extent in axes:
        if stride < reach:
            break
        reach += stride * (extent - 1)
    else:
        return False
    # Strides that do not nest may still hit every address once: look at all of them.
    offsets = np.zeros(1, np.int64)
    for stride, extent in axes:
        offsets = (offsets[:, None] + stride * np.arange(extent)).ravel()
    offsets.sort()
    return bool(np.diff(offsets).min() < array.itemsize)


def can_take_result(out: Array, in_order: bool, batched: bool, *inputs: Array | None) -> bool:
    """Whether the engine may write `out`, in C order or channels-last or as a slice of the
    channels of such an array, while it reads the inputs."""
    return (
        out.flags.aligned
        and all(stride % out.itemsize == 0 for stride in out.strides)
        and call.is_slice(out, batched, in_order)
        and not any(array is not None and _overlap(out, array) for array in inputs)
    )


def _overlap(a: Array, b: Array) -> bool:
    """Whether two arrays share memory, or it takes too long to say: slices of one array lie
    between each other, and share none."""
    try:
        return np.shares_memory(a, b, max_work=OVERLAP_WORK)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True
