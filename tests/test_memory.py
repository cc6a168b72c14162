"""Memory for packed weights and arenas."""

import mmap
import threading

import numpy as np
import pytest

from gconv._plan import memory
from gconv._plan.memory import HUGE_PAGE, Slab, give_back, zeros


@pytest.mark.parametrize("nbytes", [0, 1, 64, 4097, HUGE_PAGE - 1, HUGE_PAGE, 2 * HUGE_PAGE + 5])
def test_zeros(nbytes):
    """Zeros from a cache line on, from a huge page on where there are as many, to be written to."""
    array = zeros(nbytes)
    assert array.nbytes == nbytes
    assert not array.any()
    assert nbytes == 0 or array.ctypes.data % 64 == 0
    if nbytes >= HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        assert array.ctypes.data % HUGE_PAGE == 0
    array[...] = 7
    assert (array == 7).all()


def test_a_system_without_huge_pages(monkeypatch):
    """The same where the system knows no huge pages, or refuses them."""
    monkeypatch.setattr(memory, "HUGE_PAGE", 3 << 20)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        monkeypatch.setattr(mmap, "MADV_HUGEPAGE", 12345)
        assert not zeros(4 << 20).any()
        monkeypatch.delattr(mmap, "MADV_HUGEPAGE")
    assert not zeros(4 << 20).any()


@pytest.mark.parametrize("nbytes", [1 << 60, 1 << 62])
def test_more_than_there_is(nbytes):
    """It is NumPy's error."""
    with pytest.raises((MemoryError, ValueError)):
        zeros(nbytes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("expected", [0, 1000, 3 * HUGE_PAGE, 1 << 40])
def test_arrays_of_a_slab(dtype, expected):
    """Arrays of a slab are zeros, begin on a cache line and share no byte, however many there
    are."""
    slab = Slab(expected)
    arrays = []
    for number in range(60):
        array = slab.zeros((number * 7919) % 100_000, dtype)
        assert array.dtype == dtype
        assert array.size == (number * 7919) % 100_000
        assert not array.any()
        assert array.size == 0 or array.ctypes.data % 64 == 0
        array[...] = number + 1
        arrays.append(array)
    for number, array in enumerate(arrays):
        assert (array == number + 1).all()


def test_threads_that_share_a_slab():
    """No two threads get the same memory."""
    slab = Slab(8 * HUGE_PAGE)
    made = []

    def work():
        for _ in range(200):
            array = slab.zeros(1000, np.float32)
            array += 1
            made.append(array)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1600
    assert all((array == 1).all() for array in made)


def test_freed_memory_goes_back():
    """It may be asked for at any time, on every system."""
    give_back()
    kept = [np.ones(1000) for _ in range(1000)]
    del kept[::2]
    give_back()
    assert all((array == 1).all() for array in kept)
