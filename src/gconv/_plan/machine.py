"""What this CPU has: vectors, tiles, caches, and the tuning record that plans for it take.

The system is asked once, when the first plan is made or `gconv info` is printed.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gconv._plan.tuning import Tuning, record_for

if TYPE_CHECKING:
    from types import ModuleType


class Machine(NamedTuple):
    """What a plan must know of an engine module and of the CPU."""

    isa: str
    engine: ModuleType
    lanes: int
    itemsize: int
    tiles: dict[str, dict[Any, Any]]  # family: what its `kernel.pxi` says that it has
    tuning: Tuning

    def share_sets(self, elements: int) -> bool:
        """Whether what lies so many elements apart is in the same sets of the first-level cache."""
        return elements * self.itemsize % self.tuning.way_bytes == 0


class Cache(NamedTuple):
    """A level of the data cache, as one core sees it."""

    level: int
    size: int  # bytes
    ways: int
    line: int  # bytes


class Identity(NamedTuple):
    """Who made the CPU, and which one it is."""

    vendor: str
    family: int
    model: int
    name: str


UNKNOWN = Identity("unknown", 0, 0, "unknown")
# Where the system does not say: what every CPU with vectors of 32 bytes has at least.
FALLBACK = (Cache(1, 32 * 1024, 8, 64), Cache(2, 256 * 1024, 8, 64))


@cache
def tuning() -> Tuning:
    """The record that plans take: the one that GCONV_TUNING names, else this CPU's."""
    cpu = identity()
    return record_for(cpu.vendor, cpu.family, cpu.model)


@cache
def identity(cpuinfo: str = "/proc/cpuinfo") -> Identity:
    """This CPU, as Linux or macOS names it."""
    if sys.platform == "darwin":
        return _of_macos()
    try:
        with open(cpuinfo, encoding="ascii", errors="replace") as file:
            text = file.read(4096)  # the first of perhaps hundreds
    except OSError:
        return UNKNOWN
    lines = text.partition("\n\n")[0].splitlines()
    pairs = (line.partition(":")[::2] for line in lines)
    fields = {name.strip(): value.strip() for name, value in pairs}
    return Identity(
        fields.get("vendor_id") or fields.get("CPU implementer", UNKNOWN.vendor),
        _number(fields.get("cpu family") or fields.get("CPU architecture", "0")),
        _number(fields.get("model") or fields.get("CPU part", "0")),
        fields.get("model name", UNKNOWN.name),
    )


@cache
def caches(folder: str = "/sys/devices/system/cpu/cpu0/cache") -> tuple[Cache, ...]:
    """The data caches, first level first; fallbacks where the system does not say."""
    if sys.platform == "darwin":
        line = _sysctl("hw.cachelinesize") or 64
        sizes = (_sysctl("hw.l1dcachesize"), _sysctl("hw.l2cachesize"), _sysctl("hw.l3cachesize"))
        found = [
            Cache(level, size, 8, line) for level, size in enumerate(sizes, start=1) if size
        ]
        return tuple(found) or FALLBACK
    found = []
    for index in sorted(Path(folder).glob("index*")):
        try:
            if (index / "type").read_text().strip() == "Instruction":
                continue
            found.append(Cache(
                _number((index / "level").read_text()),
                _number((index / "size").read_text()),
                _number((index / "ways_of_associativity").read_text()),
                _number((index / "coherency_line_size").read_text()),
            ))
        except OSError:
            continue
    return tuple(sorted(found)) or FALLBACK


def _number(text: str) -> int:
    """A number as the system writes it: 48K, 0x41, 8."""
    text = text.strip()
    unit = {"K": 1024, "M": 1024**2, "G": 1024**3}.get(text[-1:].upper(), 1)
    try:
        return int(text if unit == 1 else text[:-1], 0) * unit
    except ValueError:
        return 0


def _of_macos() -> Identity:
    return Identity(
        "Apple" if _sysctl("hw.optional.arm64") else "GenuineIntel",
        _sysctl("hw.cpufamily") & 0xFFFFFFFF,
        _sysctl("machdep.cpu.model"),
        "Apple silicon" if _sysctl("hw.optional.arm64") else "Intel",
    )


def _sysctl(name: str) -> int:
    """A number that macOS keeps; 0 where it has none of that name."""
    import ctypes

    value, size = ctypes.c_int64(0), ctypes.c_size_t(8)
    library = ctypes.CDLL(None)
    failed = library.sysctlbyname(
        name.encode(), ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0))
    return 0 if failed else value.value
