"""The inputs of ``gconv run``: arrays from files, random ones for the rest."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gconv._cli.messages import reason
from gconv._cli.npy import read_npy

if TYPE_CHECKING:
    from gconv.onnx import InferenceSession

    NodeArg = Any  # one of what `get_inputs` returns

SEED = 0

#: ONNX's names of types where NumPy has another.
DTYPES = {"float": "float32", "double": "float64", "complex64": "complex64"}

#: Random inputs take at most this share of the machine's memory: a shape is the model's word.
MOST_OF_MEMORY = 0.5


@dataclass(frozen=True)
class Feed:
    """One input and where it comes from.

    Attributes
    ----------
    name : str
    array : ndarray
    origin : str
        "random", or the file's name.
    """

    name: str
    array: NDArray[Any]
    origin: str


def make_feeds(
    session: InferenceSession, inputs: Sequence[str], dims: Sequence[str]
) -> tuple[list[Feed], list[str]]:
    """Read the inputs that files give, and draw the others.

    Parameters
    ----------
    session : InferenceSession
        What wants them.
    inputs : sequence of str
        As on the command line: "NAME=x.npy".
    dims : sequence of str
        As on the command line: "NAME=VALUE", sizes of symbolic dimensions.

    Returns
    -------
    feeds : list of Feed
        In the model's order, then those that it could do without.
    guessed : list of str
        Symbolic dimensions that nobody gave: they are 1.

    Raises
    ------
    ValueError
        Something is wrong with a file, a name or a number; or an input can only come from a file.
    """
    required, optional = session.get_inputs(), session.get_overridable_initializers()
    files = _files(inputs, [each.name for each in (*required, *optional)])
    sizes = _sizes(dims, required)
    rng = np.random.default_rng(SEED)
    feeds, guessed = [], []
    for each in (*required, *optional):
        if each.name in files:
            path = files[each.name]
            try:
                feeds.append(Feed(each.name, read_npy(path), str(path)))
            except (OSError, ValueError) as error:
                raise ValueError(f"--input {each.name}={path}: {reason(error)}") from error
        elif each in required:
            shape = []
            for size in each.shape:
                if isinstance(size, int):
                    shape.append(size)
                else:
                    shape.append(sizes.get(size or "", 1))
                    if size and size not in sizes:
                        guessed.append(size)
            feeds.append(Feed(each.name, _random(rng, each, tuple(shape)), "random"))
    return feeds, list(dict.fromkeys(guessed))


def _files(inputs: Sequence[str], names: Sequence[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for text in inputs:
        name, equals, path = text.partition("=")
        if not equals or not path:
            raise ValueError(f"--input {text}: write NAME=FILE.npy")
        if name not in names:
            raise ValueError(
                f"--input {text}: there is no input {name}; there are {', '.join(names) or 'none'}"
            )
        if name in files:
            raise ValueError(f"--input {text}: {name} has a file already")
        files[name] = Path(path)
    return files


def _sizes(dims: Sequence[str], required: Sequence[NodeArg]) -> dict[str, int]:
    symbols = {size for each in required for size in each.shape if isinstance(size, str)}
    sizes: dict[str, int] = {}
    for text in dims:
        name, _, value = text.rpartition("=")
        if not name or not value.isdecimal() or not int(value):
            raise ValueError(f"--dim {text}: write NAME=SIZE, a size being a number from 1 on")
        if name not in symbols:
            there = ", ".join(sorted(symbols)) or "none"
            raise ValueError(f"--dim {text}: there is no dimension {name}; there are {there}")
        sizes[name] = int(value)
    return sizes


def _random(rng: np.random.Generator, each: NodeArg, shape: tuple[int, ...]) -> NDArray[Any]:
    """Draw an input: normal numbers, bytes, or zeros and ones, which are valid indices mostly."""
    kind = each.type.removeprefix("tensor(").removesuffix(")")
    try:
        dtype = np.dtype(DTYPES.get(kind, kind))
    except TypeError:
        if kind != "bfloat16":
            raise ValueError(
                f"input {each.name}, {each.type}: random values exist for numbers alone"
            ) from None
        import ml_dtypes  # onnx brings it

        dtype = np.dtype(ml_dtypes.bfloat16)
    if math.prod(shape) * dtype.itemsize > MOST_OF_MEMORY * _memory():
        raise ValueError(f"input {each.name}: the model declares {shape} {dtype}, too much memory")
    if dtype.itemsize == 1 and dtype.kind in "iu":
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        return rng.integers(low, high, shape, dtype, endpoint=True)
    if dtype.kind in "biu":
        return rng.integers(0, 2, shape).astype(dtype)
    normal: NDArray[Any] = rng.standard_normal(shape, np.float32).astype(dtype)
    return normal


def _memory() -> float:
    """Bytes of the machine's memory."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return math.inf


def arrays(feeds: Sequence[Feed]) -> Mapping[str, NDArray[Any]]:
    """The arrays by name, as a session takes them."""
    return {feed.name: feed.array for feed in feeds}
