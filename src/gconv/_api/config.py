"""What this installation is and what it uses."""

from __future__ import annotations

import numpy as np

from gconv._call import isa, threads
from gconv._engine import call
from gconv._plan import choose
from gconv._version import __version__


def show_config() -> None:
    """Print version, compiler, instruction set, OpenMP runtime and threads.

    Examples
    --------
    >>> import gconv
    >>> gconv.show_config()  # doctest: +ELLIPSIS
    gconv ...
    """
    import platform  # takes longer than the rest of gconv

    runtime = call.openmp_runtime or "none: built without OpenMP, one thread"
    lines = {
        "Python": f"{platform.python_version()}, NumPy {np.__version__}",
        "machine": f"{platform.machine()}, {platform.system()}",
        "compiler": call.compiler,
        "instruction set": f"{choose.current_isa()} (usable: {', '.join(isa.usable())}; "
                           f"{isa.VARIABLE} forces one)",
        "OpenMP runtime": runtime,
        "threads": f"{threads.get_num_threads()} (runtime {call.runtime_threads()}, "
                   f"CPUs available {threads.available_cpus()})",
    }
    print(f"gconv {__version__}")
    for name, value in lines.items():
        print(f"  {name + ':':17}{value}")
