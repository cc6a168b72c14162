"""What the machine can do: peak arithmetic, bandwidth by footprint, and what it is."""

from __future__ import annotations

import ctypes
import importlib.metadata
import math
import os
import platform
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gconv._bench.affinity import cpus, pin_this_thread

SOURCE = Path(__file__).with_name("machine.c")

# Long enough for the clock and the threads' start not to matter, short enough for every round.
_PROBE_SECONDS = 0.005


def cpu_name() -> str:
    """The CPU's model name."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(field: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")


def description(packages: list[str]) -> dict[str, Any]:
    """Machine and versions, for the head of a report."""
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": cpu_name(),
        "cores": len(cpus()),
        "isas": [name for name, *_ in _vector_flags()],
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
    }


def _vector_flags() -> list[tuple[str, int, list[str]]]:
    """(name, vector bytes, compiler flags) of what this CPU has, widest first."""
    flags = _cpuinfo("flags").split()
    found = []
    if "avx512f" in flags:
        wide = ["-mavx512f", "-mfma", "-mprefer-vector-width=512"]
        found.append(("avx512", 64, wide))
    if "avx2" in flags and "fma" in flags:
        found.append(("avx2", 32, ["-mavx2", "-mfma"]))
    return found or [("baseline", 16, [])]


@cache
def _libraries() -> list[ctypes.CDLL]:
    """machine.c compiled for each vector width; empty without a C compiler."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return []
    libraries = []
    # Loaded libraries stay usable after their file is gone.
    with tempfile.TemporaryDirectory() as directory:
        for name, size, flags in _vector_flags():
            target = Path(directory, f"machine_{name}.so")
            command = [*compiler.split(), "-O3", *flags, f"-DBYTES={size}", "-shared", "-fPIC"]
            result = subprocess.run([*command, str(SOURCE), "-o", str(target)], check=False)
            if result.returncode:
                continue
            library = ctypes.CDLL(str(target))
            library.fma_rate.restype = library.copy_rate.restype = ctypes.c_double
            library.fma_rate.argtypes = [ctypes.c_long]
            pointer, size_t = ctypes.c_void_p, ctypes.c_size_t
            library.copy_rate.argtypes = [pointer, pointer, size_t, ctypes.c_long]
            libraries.append(library)
    return libraries


def _on_threads(work: Callable[[int], float], threads: int) -> float:
    """Sum of what `work(thread)` returns, all at once (ctypes and NumPy let the GIL go)."""
    if threads == 1:
        return work(0)
    barrier = threading.Barrier(threads)

    def start(thread: int) -> float:
        pin_this_thread(thread)
        barrier.wait()
        return work(thread)

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(start, range(threads)))


@cache
def _fma_rounds(library: ctypes.CDLL) -> int:
    rounds = 10_000
    library.fma_rate(rounds)  # awake
    start = time.perf_counter()
    library.fma_rate(rounds)
    seconds = time.perf_counter() - start
    return max(rounds, int(rounds * _PROBE_SECONDS / seconds))


def peak_flops(threads: int) -> float:
    """float32 FLOP/s of a loop of independent FMAs, the best of the vector widths.

    Without a C compiler, those of a large matrix product, which come close.
    """
    libraries = _libraries()
    if not libraries:
        return _matmul_flops()
    rates = []
    for library in libraries:
        rounds = _fma_rounds(library)
        rates.append(_on_threads(lambda _, f=library.fma_rate, r=rounds: f(r), threads))  # type: ignore[misc]
    return max(rates)


def _matmul_flops(size: int = 768) -> float:
    a = np.ones((size, size), np.float32)
    start = time.perf_counter()
    a @ a
    return 2 * size**3 / (time.perf_counter() - start)


class CopyProbe:
    """Bandwidth of copies whose source and target together have a given footprint.

    A small layer is thereby held against the cache that it fits into, not against memory.

    Parameters
    ----------
    footprint
        Bytes read plus bytes written.
    threads
        How many threads share the copy.
    """

    def __init__(self, footprint: int, threads: int) -> None:
        share = max(64, footprint // (2 * threads))
        self._source = [np.ones(share, np.uint8) for _ in range(threads)]
        self._target = [np.zeros(share, np.uint8) for _ in range(threads)]
        self._threads, self._rounds = threads, 1
        rate = self.rate()
        self._rounds = max(1, math.ceil(_PROBE_SECONDS * rate / footprint))

    def rate(self) -> float:
        """Bytes per second, read plus written, over all threads."""
        return _on_threads(self._copy, self._threads)

    def _copy(self, thread: int) -> float:
        source, target = self._source[thread], self._target[thread]
        libraries = _libraries()
        if libraries:
            rate: float = libraries[0].copy_rate(
                target.ctypes.data, source.ctypes.data, source.nbytes, self._rounds
            )
            return rate
        start = time.perf_counter()
        for _ in range(self._rounds):
            np.copyto(target, source)
        return 2 * source.nbytes * self._rounds / (time.perf_counter() - start)
