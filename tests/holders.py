"""What people hold numbers in: each kind with the function that makes it from an array."""

import array
from typing import NamedTuple

import numpy as np
from calls import CALLS, arguments_of, arrays_for, results_of

from gconv._call.arrays import operands


class WithArray:
    """An array of another library, by ``__array__``."""

    def __init__(self, numbers):
        self.numbers = numbers

    def __array__(self, dtype=None, copy=None):
        return self.numbers if dtype is None else self.numbers.astype(dtype, copy=False)


class WithInterface:
    """One by ``__array_interface__``, as pictures of Pillow are."""

    def __init__(self, numbers):
        self.numbers = numbers
        self.__array_interface__ = numbers.__array_interface__


class WithStruct:
    """One by ``__array_struct__``, its interface in C."""

    def __init__(self, numbers):
        self.numbers = numbers
        self.__array_struct__ = numbers.__array_struct__


class WithDLPack:
    """One by DLPack alone. Its shape is a list, as some packages have it."""

    def __init__(self, numbers, device=None):
        self.numbers = numbers
        self.dtype = numbers.dtype
        self.shape = list(numbers.shape)
        self.device = numbers.__dlpack_device__() if device is None else device

    def __dlpack__(self, **options):
        return self.numbers.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device


class WithOldDLPack(WithDLPack):
    """One by DLPack as it was before version 1."""

    def __dlpack__(self, *, stream=None):
        return self.numbers.__dlpack__()


class Subclass(np.ndarray):
    """One of NumPy's own arrays with a name."""


class Sequence:
    """What can be counted and looked up, and is no list."""

    def __init__(self, numbers):
        self.numbers = numbers

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, index):
        return self.numbers[index]


class Holder(NamedTuple):
    """A kind of thing that holds numbers."""

    make: object  # from a C-contiguous array, and a directory for files
    shares: bool = True  # the memory of the array, or memory of its own that gconv reads in place
    dimensions: range = range(1, 6)


def tuples(numbers):
    return tuple(map(tuples, numbers)) if isinstance(numbers, list) else numbers


def memmap(mode):
    def make(numbers, directory):
        path = directory / "numbers"
        numbers.tofile(path)
        return np.memmap(path, numbers.dtype, mode, shape=numbers.shape)

    return make


def read_only(numbers, _):
    view = numbers.view()
    view.flags.writeable = False
    return view


def ctypes_array(numbers, _):
    of = np.ctypeslib.as_ctypes_type(numbers.dtype)
    for size in reversed(numbers.shape):
        of = of * size
    return of.from_buffer(numbers)


def cast_buffer(numbers, _):
    """Python's own array, seen in several dimensions."""
    flat = memoryview(array.array(numbers.dtype.char, numbers.ravel().tolist()))
    return flat.cast("B").cast(numbers.dtype.char, numbers.shape)


#: Those for which nothing but NumPy is needed.
OF_PYTHON = {
    "list": Holder(lambda numbers, _: numbers.tolist(), shares=False),
    "tuple": Holder(lambda numbers, _: tuples(numbers.tolist()), shares=False),
    "list of arrays": Holder(lambda numbers, _: list(numbers), shares=False),
    "list of lists and arrays": Holder(
        lambda numbers, _: [numbers[0].tolist(), *(WithArray(np.asarray(n)) for n in numbers[1:])],
        shares=False),
    "sequence": Holder(lambda numbers, _: Sequence(numbers), shares=False),
    "read-only": Holder(read_only),
    "memmap r": Holder(memmap("r")),
    "memmap r+": Holder(memmap("r+")),
    "memmap c": Holder(memmap("c")),
    "subclass": Holder(lambda numbers, _: numbers.view(Subclass)),
    "memoryview": Holder(lambda numbers, _: memoryview(numbers)),
    "read-only memoryview": Holder(lambda numbers, _: memoryview(numbers).toreadonly()),
    "ctypes": Holder(ctypes_array),
    "array.array": Holder(cast_buffer),
    "__array__": Holder(lambda numbers, _: WithArray(numbers)),
    "__array_interface__": Holder(lambda numbers, _: WithInterface(numbers)),
    "__array_struct__": Holder(lambda numbers, _: WithStruct(numbers)),
    "__dlpack__": Holder(lambda numbers, _: WithDLPack(numbers)),
    "old __dlpack__": Holder(lambda numbers, _: WithOldDLPack(numbers)),
    "read-only __dlpack__": Holder(lambda numbers, _: WithDLPack(read_only(numbers, _))),
}


def fits(holder, numbers):
    return numbers.ndim in holder.dimensions


def check_call(name, holder, directory, rng, dtype):
    """A call takes each of its arrays, and all of them at once, as this kind holds them: the
    results have the bits of the call with plain arrays, and are NumPy's own."""
    function, _ = CALLS[name]
    arrays = arrays_for(name, rng, dtype)
    wanted = results_of(function(**arrays))
    taken = [argument for argument in arguments_of(name) if fits(holder, arrays[argument])]
    # A layer of this dtype says what lists are; so does the array beside the first one.
    for held in ([argument] for argument in taken) if len(arrays) > 1 else ():
        check_results(function, wanted, arrays, held, holder, directory)
    if holder.shares:
        check_results(function, wanted, arrays, taken, holder, directory)


def check_results(function, wanted, arrays, held, holder, directory):
    given = dict(arrays)
    for argument in held:
        folder = directory / argument
        folder.mkdir(exist_ok=True)
        given[argument] = holder.make(arrays[argument].copy(), folder)
    for _ in range(2):  # the second time, by whatever short cut there is
        got = results_of(function(**given))
        for result, want in zip(got, wanted, strict=True):
            assert type(result) is np.ndarray
            assert result.dtype == want.dtype
            np.testing.assert_array_equal(result, want)


def check_shared(holder, directory, dtype):
    """No element is copied: the array that a call reads has the holder's memory."""
    numbers = np.arange(12, dtype=dtype).reshape(3, 4)
    held = holder.make(numbers, directory)
    first, _, _ = operands("conv1d", held, np.ones((1, 3, 1), dtype), None)
    again, _, _ = operands("conv1d", held, np.ones((1, 3, 1), dtype), None)
    np.testing.assert_array_equal(first, numbers)
    assert np.shares_memory(first, again)
