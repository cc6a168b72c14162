"""The responses of a stack as a Zarr array, and which of its chunks are finished.

A chunk is a band of rows of one page's responses, to all kernels: one file (a shard), within
which each response can be read by itself. It is finished when its marker is there, an empty file
whose name has the chunk's number and a digest of the samples that it was made from. The marker is
made when the chunk lies on the disk, so that whatever ends the process leaves no marker without
its chunk; a chunk without a marker is computed anew.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import gconv
from gconv._cli.kernels import Bank
from gconv._cli.stack.source import Form, distinct

try:
    import zarr
    from zarr.codecs import BloscCodec
except ImportError as error:
    raise ImportError("needs zarr, part of the extra gconv[stack]") from error

#: The numbers of its page and of its band.
Chunk: TypeAlias = tuple[int, int]

#: The attribute that says what the responses are of.
ABOUT = "gconv"
#: Changes when what lies in the directory does.
FORMAT = 1
#: A directory within that of the array, of which Zarr takes no notice; the markers are in it.
MARKERS = Path(".gconv", "finished")
MARKER = re.compile(r"(\d+)-(\d+)-([0-9a-f]+)")  # page, band, digest
LOCK = Path(".gconv", "lock")
#: Bytes of the responses of a chunk, as of a picture's bands (`gconv._cli.bands`).
CHUNK_BYTES = 16 << 20

#: Of 16 MB of a photograph's responses, Zstandard at Zarr's level takes 95 ms and LZ4 behind a
#: shuffle of bytes 18, as long as the filters: 2.9 and 4.3 MB remain (Zen 4).
COMPRESSOR = BloscCodec(cname="lz4", clevel=1, shuffle="shuffle")


@dataclass(frozen=True)
class Output:
    """The array of the responses, and its chunks.

    Attributes
    ----------
    path : str
        Its directory.
    form : Form
        The stack's.
    kernels : (int, int, int)
        Number, height and width of the kernels.
    rows : int
        Of a chunk.
    bank, state : str
        Digests of the kernels, and of the state of the input's files.
    """

    path: str
    form: Form
    kernels: tuple[int, int, int]
    rows: int
    bank: str
    state: str

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a response."""
        return self.form.height - self.kernels[1] + 1, self.form.width - self.kernels[2] + 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Pages, channels, kernels, height, width."""
        return (*self.form.pages, *self.form.inner, self.kernels[0], *self.size)

    @property
    def chunk(self) -> tuple[int, ...]:
        """The shape of a chunk."""
        ones = (1,) * len(self.form.pages)
        return (*ones, *self.form.inner, self.kernels[0], self.rows, self.size[1])

    @property
    def bands(self) -> int:
        """How many chunks a page has."""
        return -(-self.size[0] // self.rows)

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return self.form.count * self.bands

    def band(self, number: int) -> tuple[int, int]:
        """Return the first row of a chunk, and the one after its last."""
        return number * self.rows, min((number + 1) * self.rows, self.size[0])

    def read(self, page: int, band: int) -> NDArray[np.float32]:
        """Return a chunk as (C, M, rows, W)."""
        responses: NDArray[np.float32] = np.asarray(self._open("r")[self._index(page, band)])
        return responses.reshape(self.form.channels or 1, *responses.shape[-3:])

    def write(self, page: int, band: int, responses: NDArray[np.float32], digest: str) -> None:
        """Write a chunk (C, M, rows, W) and, when the disk has it, its marker.

        Raises
        ------
        OSError
            The disk does not take it, or the array is another by now: the task of a worker may
            outlive the process that wanted it.
        """
        array = self._open("r+")
        about: Any = array.attrs[ABOUT]
        if (about["bank"], about["input"]["state"]) != (self.bank, self.state):
            raise OSError("another process has replaced it")
        index = self._index(page, band)
        array[index] = responses if self.form.inner else responses[0]
        where = (*self.form.where(page), *(0 for _ in self.form.inner), 0, band, 0)
        _flush(Path(self.path, array.metadata.encode_chunk_key(where)))
        _flush(Path(self.path))
        with Path(self.path, MARKERS, f"{page}-{band}-{digest}").open("wb"):
            pass

    def finished(self) -> dict[Chunk, str]:
        """Return the digest of each finished chunk."""
        found: dict[Chunk, str] = {}
        # Somebody may have taken the directory away meanwhile.
        with suppress(FileNotFoundError), os.scandir(Path(self.path, MARKERS)) as markers:
            for marker in markers:
                if name := MARKER.fullmatch(marker.name):  # others' files are none
                    found[int(name[1]), int(name[2])] = name[3]
        return found

    def _open(self, mode: Any) -> zarr.Array[Any]:
        return zarr.open_array(self.path, mode=mode)

    def _index(self, page: int, band: int) -> tuple[int | slice, ...]:
        every = slice(None)
        return (*self.form.where(page), *(every for _ in self.form.inner), every,
                slice(*self.band(band)), every)  # fmt: skip


def digest_of(samples: NDArray[np.float32]) -> str:
    """Return what a marker says of the samples that a chunk was made from."""
    return hashlib.blake2b(np.ascontiguousarray(samples).data, digest_size=16).hexdigest()


def plan(path: Path, form: Form, bank: Bank, state: str) -> Output:
    """Return the array that the responses of a stack, in files of this state, will be.

    Raises
    ------
    ValueError
        Pages are smaller than the kernels.
    """
    count, height, width = bank.kernels.shape
    if form.height < height or form.width < width:
        raise ValueError(
            f"pages of {form.width} x {form.height} pixels are too few for kernels of "
            f"{width} x {height}; its shape is {form.shape}, the last two are taken for a page"
        )
    rows = form.height - height + 1
    of_row = (form.channels or 1) * count * (form.width - width + 1) * 4
    bands = -(-rows // max(1, min(rows, CHUNK_BYTES // of_row)))
    # Bands of equal height: zeros that fill up the last one would be written as well.
    rows = -(-rows // bands)
    kernels = (count, height, width)
    return Output(os.path.realpath(path), form, kernels, rows, _bank_digest(bank), state)


def create(output: Output, bank: Bank, source: Path) -> None:
    """Make the array, without any chunk; it has its name when all the rest is there."""
    path = Path(output.path)
    unfinished = path.with_name(f".gconv-{os.getpid()}.part")
    about: dict[str, Any] = {
        "format": FORMAT,
        "version": gconv.__version__,
        "kernels": list(bank.names),
        "bank": output.bank,
        "input": {
            "name": source.name, "shape": list(output.form.shape), "axes": list(output.form.axes),
            "dtype": output.form.dtype, "state": output.state,
        },
    }  # fmt: skip
    inner = (1,) * (len(output.shape) - 2)
    try:
        zarr.create_array(
            unfinished,
            shape=output.shape,
            shards=output.chunk,
            chunks=(*inner, *output.chunk[-2:]),
            dtype="float32",
            fill_value=np.nan,  # a chunk that is missing is not taken for one of zeros
            compressors=COMPRESSOR,
            chunk_key_encoding={"name": "default", "separator": "."},
            dimension_names=distinct(
                [*output.form.axes, *("sample" for _ in output.form.inner), "kernel", "y", "x"]
            ),
            attributes={ABOUT: about},
        )
        (unfinished / MARKERS).mkdir(parents=True)
        (unfinished / LOCK).touch()
        unfinished.rename(path)
        _flush(path.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def resume(planned: Output) -> Output:
    """Return the array that an earlier run began.

    Raises
    ------
    ValueError
        It is no such array, or one of another input or another bank.
    """
    path = Path(planned.path)
    try:
        about, array = _about(path)
        if about["format"] != FORMAT:
            raise ValueError(f"another version of gconv ({about['version']}) began it")
        if about["bank"] != planned.bank:
            raise ValueError("it was begun with another bank of kernels")
        then = about["input"]
        form = planned.form
        for what, was, now in (
            ("shape", tuple(then["shape"]), form.shape),
            ("dtype", then["dtype"], form.dtype),
            ("axes", tuple(then["axes"]), form.axes),
        ):
            if was != now:
                raise ValueError(f"the input has changed: its {what} was {was} and is {now}")
    except ValueError as error:
        raise ValueError(f"--resume {path}: {error} (--force begins anew)") from error
    assert array.shards is not None
    return replace(planned, rows=array.shards[-2])


def is_untouched(output: Output) -> bool:
    """Whether the input's files are as they were when the array was last written to."""
    return bool(_about(Path(output.path))[0]["input"]["state"] == output.state)


def set_state(output: Output) -> None:
    """Say that the input's files, though they are not as they were, have the same samples."""
    array = zarr.open_array(output.path, mode="r+")
    about: Any = array.attrs[ABOUT]
    array.attrs[ABOUT] = {**about, "input": {**about["input"], "state": output.state}}


def is_ours(path: Path) -> bool:
    """Whether a directory is an array that this module made."""
    with suppress(ValueError):
        _about(path)
        return True
    return False


def remove(path: Path) -> None:
    """Take away an array that nobody is writing to; it goes all at once."""
    away = path.with_name(f".gconv-{os.getpid()}.old")
    with locked(path):
        path.rename(away)
    shutil.rmtree(away)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from writing to an array, and take away what killed ones left.

    Raises
    ------
    ValueError
        Another process is writing to it.
    """
    with (path / LOCK).open("rb") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"another process is writing to {path}") from None
        except (ImportError, OSError):  # a system, or a file system, that has no locks
            pass
        for partial in path.glob("*.partial"):  # Zarr's name for a file that is being written
            partial.unlink(missing_ok=True)
        yield


def _about(path: Path) -> tuple[dict[str, Any], zarr.Array[Any]]:
    """Return what an array's attribute says, and the array."""
    try:
        array = zarr.open_array(path, mode="r")
        about: Any = array.attrs[ABOUT]
        if not (path / MARKERS).is_dir() or not isinstance(about, dict):
            raise ValueError
    except Exception as error:  # anything can be wrong with a directory that is not ours
        raise ValueError("it is no array that gconv filter made") from error
    return about, array


def _bank_digest(bank: Bank) -> str:
    """Return what identifies the kernels: shape and bits."""
    digest = hashlib.blake2b(str(bank.kernels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(bank.kernels, "<f4").data)
    return digest.hexdigest()


def _flush(path: Path) -> None:
    """Have the disk take what was written to a file or a directory.

    A chunk of nothing but the fill value has no file.
    """
    is_directory = path.is_dir()
    if is_directory and os.name == "nt":  # which opens no directories
        return
    with suppress(FileNotFoundError):
        file = os.open(path, os.O_RDONLY if is_directory else os.O_RDWR)
        try:
            os.fsync(file)
        finally:
            os.close(file)
