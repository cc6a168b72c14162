"""Memory for results, used again when nobody holds it any more.

C libraries give large pieces of memory back to the system, which has to clear them before they are
used again; for results of some megabytes that takes as long as a part of the convolution. So the
storages of large results are kept here as well. One that only this module refers to becomes the
next result of its size. Results are PyTorch's own tensors on storages of their own size, whoever
refers to such a storage, as a view, an array or a DLPack capsule, keeps it from being used again,
and a storage whose memory was replaced, by `resize_` or `share_memory_`, is forgotten.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

#: Bytes of a result that is worth it.
LEAST = 1 << 20
#: Bytes that are kept, and storages of one size.
MOST = 128 << 20
MOST_OF_A_SIZE = 16
#: A size that was not asked for during so many requests gives way to others.
AGE = 2000

_use_count: Callable[[int], int] | None = getattr(torch._C, "_storage_Use_Count", None)


class _Kept(NamedTuple):
    storage: torch.UntypedStorage
    handle: int  # what PyTorch's C++ knows it by
    address: int

    def references(self) -> tuple[int, int]:
        """How many refer to the storage: to it, as tensors do, and to Python's object of it."""
        assert _use_count is not None
        return _use_count(self.handle), sys.getrefcount(self.storage)

    def is_intact(self) -> bool:
        """Whether the storage's memory is what it was."""
        return bool(self.storage.data_ptr() == self.address)


def _keep(y: torch.Tensor) -> _Kept:
    storage = y.untyped_storage()
    return _Kept(storage, storage._cdata, storage.data_ptr())


# Versions of PyTorch differ in what they count.
_UNUSED = None if _use_count is None else _keep(torch.empty(1)).references()


class _Size:
    """What is kept of a size. A thread that looks at a storage has taken it out of the list."""

    __slots__ = ("asked", "kept")

    def __init__(self) -> None:
        self.kept: list[_Kept] = []
        self.asked = 0  # the number of the last request


_sizes: dict[int, _Size] = {}
_requests = itertools.count()


def empty(shape: Any, strides: Any, dtype: torch.dtype, size: int) -> torch.Tensor:
    """A tensor without values, as `torch.empty_strided` makes it; but its storage may have been
    another's.

    Parameters
    ----------
    shape, strides : sequence of int
        They leave no holes.
    dtype : torch.dtype
    size : int
        Its bytes.
    """
    if size < LEAST or _use_count is None:
        return torch.empty_strided(shape, strides, dtype=dtype)
    of_size = _sizes.get(size)
    if of_size is None:
        of_size = _sizes.setdefault(size, _Size())
    of_size.asked = next(_requests)
    y = None
    others: list[_Kept] = []
    while y is None and of_size.kept:
        try:
            kept = of_size.kept.pop()
        except IndexError:  # another thread was faster
            break
        if kept.references() == _UNUSED:
            if not kept.is_intact():
                continue
            y = torch.empty(0, dtype=dtype).set_(kept.storage, 0, shape, strides)
        others.append(kept)
    if y is None:
        y = torch.empty_strided(shape, strides, dtype=dtype)
        has_room = _has_room_for(size, len(others), of_size.asked)
        if others and not has_room:
            others.pop()  # of somebody who may keep it for long
            has_room = True
        if has_room:
            others.append(_keep(y))
    of_size.kept += reversed(others)  # as they were: so few are used, and these stay in caches
    return y


def _has_room_for(size: int, others: int, now: int) -> bool:
    """Whether a storage can be kept besides those that are, and besides others of its size that
    were taken out. What is old gives way."""
    total = (others + 1) * size
    for other, of_size in [*_sizes.items()]:
        if of_size.asked < now - AGE:
            _sizes.pop(other, None)
        else:
            total += other * len(of_size.kept)
    return others < MOST_OF_A_SIZE and total <= MOST


def release() -> None:
    """Keep nothing."""
    _sizes.clear()
