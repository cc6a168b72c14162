"""What worker processes do in tests: they import this module by its name."""

import os
import time
from pathlib import Path

import numpy as np


def picture(rows, columns):
    """Pixels of a picture of whole numbers at these rows and columns, float32."""
    return np.add.outer(rows * 3 % 7, columns * 5 % 7, dtype=np.float32)


def block_of_picture(block_info=None):
    """A chunk of the picture, of shape (1, rows, columns)."""
    (_, *ranges) = block_info[None]["array-location"]
    return picture(*(np.arange(begin, end) for begin, end in ranges))[None]


def slow_block_of_picture(block_info=None):
    """The same, later."""
    time.sleep(0.05)
    return block_of_picture(block_info)


def wrong_pixels(y, weight, size, block_info=None):
    """How many pixels of a chunk are not the 3 × 3 correlation of the picture padded by zeros."""
    (_, *ranges) = block_info[0]["array-location"]
    beside = [np.arange(begin - 1, end + 1) for begin, end in ranges]
    x = picture(*beside)
    for axis, at in enumerate(beside):
        outside = (at < 0) | (at >= size[axis])
        x[(slice(None),) * axis + (outside,)] = 0
    height, width = y.shape[1:]
    wanted, product = np.zeros_like(y[0]), np.empty_like(y[0])
    for i, j in np.ndindex(3, 3):
        np.multiply(x[i : i + height, j : j + width], weight[i, j], out=product)
        wanted += product
    return np.array([[[np.count_nonzero(y[0] != wanted)]]])


def peak_bytes():
    """The most memory that this process has held; what it was forked from does not count."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def process():
    return os.getpid()


def count_packings():
    """From now on, count how often this process packs weights."""
    from gconv._plan import family

    original = family.packed_weights

    def counting(*arguments):
        counting.packed += 1
        return original(*arguments)

    counting.packed = 0
    family.packed_weights = counting


def packings():
    """How often it did, and no longer counts."""
    from gconv._plan import family

    counting = family.packed_weights
    family.packed_weights = counting.__closure__[1].cell_contents
    return counting.packed
