"""The same numbers in every memory layout that NumPy can describe."""

import numpy as np


def _into(array, view):
    view[...] = array
    return view


def _byteswapped(array):
    return array.astype(array.dtype.newbyteorder())


def _unaligned(array):
    raw = np.empty(array.nbytes + 1, np.uint8)[1:]
    return _into(array, np.ndarray(array.shape, array.dtype, raw))


def channels_last(array):
    """Channels, the axis after the batch, are the fastest in memory."""
    last = np.empty_like(np.moveaxis(array, 1, -1), order="C") if array.ndim > 1 else array.copy()
    return _into(array, np.moveaxis(last, -1, 1) if array.ndim > 1 else last)


def _spaced(array):
    """Every second element, row, plane ... of a larger array whose gaps are NaN."""
    shape = tuple(2 * n + 1 for n in array.shape)
    return _into(array, np.full(shape, np.nan, array.dtype)[(slice(1, None, 2),) * array.ndim])


def _negative(array):
    """Every axis runs backwards in memory."""
    back = (slice(None, None, -1),) * array.ndim
    return _into(array, np.empty_like(array)[back])


def _broadcast(array):
    """Every element along the longest axis is one and the same: not the numbers given."""
    axis = int(np.argmax(array.shape)) if array.ndim else 0
    return np.broadcast_to(array.take([0], axis), array.shape) if array.size else array


def _read_only(array):
    view = array.copy()
    view.flags.writeable = False
    return view


def _transposed(array):
    """The axes' order in memory is neither C's nor Fortran's."""
    order = np.roll(np.arange(array.ndim), 1)
    view = np.empty([array.shape[i] for i in order], array.dtype).transpose(np.argsort(order))
    return _into(array, view)


#: name -> function from an array to a view of it; "broadcast" alone changes the numbers.
LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "channels last": channels_last,
    "transposed": _transposed,
    "spaced": _spaced,
    "negative": _negative,
    "broadcast": _broadcast,
    "byteswapped": _byteswapped,
    "unaligned": _unaligned,
    "read-only": _read_only,
}

#: Those that `out` may have.
OUT_LAYOUTS = sorted(LAYOUTS.keys() - {"broadcast", "byteswapped", "read-only"})


def integers(rng, shape, dtype, largest=6):
    """Return whole numbers from -largest to largest: their sums are exact in either precision."""
    return rng.integers(-largest, largest, shape, endpoint=True).astype(dtype)


def normals(rng, shape, dtype):
    """Return normal numbers that both precisions hold exactly."""
    return rng.standard_normal(shape, np.float32).astype(dtype)
