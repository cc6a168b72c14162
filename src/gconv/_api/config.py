"""What this installation is and what it uses."""

from __future__ import annotations

import numpy as np

from gconv._call import isa, threads
from gconv._engine import call, openmp
from gconv._plan import machine, tuning
from gconv._version import __version__


def show_config() -> None:
    """Print version, compiler, instruction set, OpenMP runtime and threads.

    And whether this process has seen a crowd: other threads on the CPUs that calls want, so that
    calls use one thread for a while.

    Examples
    --------
    >>> import gconv
    >>> gconv.show_config()  # doctest: +ELLIPSIS
    gconv ...
    """
    import platform  # takes longer than the rest of gconv

    seen, now = call.crowds_seen()
    crowd = f"seen {seen} times" if seen else "none seen by this process"
    if now:
        crowd += ", calls use one thread now"
    file, origin = openmp.library()
    runtime = f"{file} ({origin}; {openmp.VARIABLE} forces one)" if file else (
        "none on this system, and none is bundled: calls run on one thread")
    lines = {
        "Python": f"{platform.python_version()}, NumPy {np.__version__}",
        "machine": f"{platform.machine()}, {platform.system()}",
        "compiler": call.compiler,
        "instruction set": f"{isa.current()} (usable: {', '.join(isa.usable())}; "
                           f"{isa.VARIABLE} forces one)",
        "CPU": machine.identity().name,
        "data caches": ", ".join(
            f"L{cache.level} {cache.size // 1024} KiB, {cache.ways} ways of {cache.line} bytes"
            for cache in machine.caches()),
        "tuning": f"{machine.tuning().name}, for {machine.tuning().cpu} "
                  f"({tuning.VARIABLE} forces one of "
                  f"{', '.join(record.name for record in tuning.RECORDS)})",
        "OpenMP runtime": runtime,
        "threads": f"{threads.get_num_threads()} (runtime {call.runtime_threads()}, "
                   f"CPUs available {threads.available_cpus()})",
        "crowd": f"{crowd} (see docs/threads.md)",
    }
    print(f"gconv {__version__}")
    for name, value in lines.items():
        print(f"  {name + ':':17}{value}")
