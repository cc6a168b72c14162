"""Memory for packed weights and arenas, in huge pages where the system has them.

A model's weights are megabytes that a run reads once. In pages of 4 KiB the processor looks up
most of them anew, which on a virtual machine takes longer than the prefetch of a line is ahead.
Measured on Zen 4 under a hypervisor: whole models are 1.01 to 1.03 times as fast with huge pages,
1x1 convolutions on 7x7 pixels whose weights come from the third-level cache up to 1.1 times.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gconv._plan.scratch import LINE_BYTES

Array: TypeAlias = NDArray[Any]

HUGE_PAGE = 2 << 20  # bytes, on x86-64 and mostly on ARM
MOST_SLAB_BYTES = 64 << 20


def zeros(nbytes: int) -> Array:
    """Bytes that begin on a cache line; huge pages where they are as large as one."""
    if nbytes >= HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError, OverflowError):  # no memory: NumPy says so below
            return _huge_pages(nbytes)
    memory = np.zeros(nbytes + LINE_BYTES, np.uint8)
    begin = -memory.ctypes.data % LINE_BYTES
    return memory[begin : begin + nbytes]


def _huge_pages(nbytes: int) -> Array:
    pages = mmap.mmap(-1, nbytes + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory = np.frombuffer(pages, np.uint8)
    begin = -memory.ctypes.data % HUGE_PAGE
    # Of whole huge pages alone: what is left over takes no more than it needs.
    with suppress(OSError):  # of a kernel without them
        pages.madvise(mmap.MADV_HUGEPAGE, begin, nbytes // HUGE_PAGE * HUGE_PAGE)
    return memory[begin : begin + nbytes]


def give_back() -> None:
    """Give freed memory back to the system. glibc keeps what lies between pieces in use, and memory
    that is mapped apart cannot take its place; other C libraries are not asked."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], object] | None:
    try:
        import ctypes

        trim: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, ImportError, OSError, TypeError):
        return None
    return trim


class Slab:
    """Memory for many arrays that are made, and given up, about together. Threads may share it.

    A piece of it is free once no array in it is left, the last one with the slab. Where all of
    them are less than a huge page, each has memory of its own.

    Parameters
    ----------
    nbytes : int
        Of all arrays, about.
    """

    def __init__(self, nbytes: int) -> None:
        self.piece_bytes = min(nbytes, MOST_SLAB_BYTES) if nbytes >= HUGE_PAGE else 0
        self._rest: list[Array] = []  # of the last piece; empty while a thread takes from it

    def zeros(self, size: int, dtype: DTypeLike) -> Array:
        """An array that begins on a cache line."""
        nbytes = size * np.dtype(dtype).itemsize
        taken = -(-nbytes // LINE_BYTES) * LINE_BYTES
        rest = None
        with suppress(IndexError):
            rest = self._rest.pop()
        if rest is None or rest.nbytes < taken:
            if rest is not None and self.piece_bytes:
                give_back()  # what was packed into the piece before is likely to be free now
            rest = zeros(max(taken, self.piece_bytes))
        self._rest[:] = [rest[taken:]]
        return rest[:nbytes].view(dtype)
