"""What this installation is and what it uses."""

from __future__ import annotations

import numpy as np

from gconv import _isa, _plan, _threads
from gconv._engine import call
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
        "instruction set": f"{_plan.current_isa()} (usable: {', '.join(_isa.usable())}; "
                           f"{_isa.VARIABLE} forces one)",
        "OpenMP runtime": runtime,
        "threads": f"{_threads.get_num_threads()} (runtime {call.runtime_threads()}, "
                   f"CPUs available {_threads.available_cpus()})",
    }
    print(f"gconv {__version__}")
    for name, value in lines.items():
        print(f"  {name + ':':17}{value}")
