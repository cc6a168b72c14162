"""How many threads a call may use: the only place that decides.

In order: the call's `num_threads`, `thread_limit`, `set_num_threads`, GCONV_NUM_THREADS, and
then the least of what the OpenMP runtime says (OMP_NUM_THREADS, threadpoolctl and, where one
runtime is shared, `torch.set_num_threads`), the CPUs that the process may run on and the CPU
quota of its control group. A container with a quota of two CPUs on a machine of 64 would
otherwise run 64 threads in the time of two.

A call uses fewer where it is small, within another parallel region, and in a crowd: see
`_engine/crowd.h`.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from gconv._call.environment import read_at_import
from gconv._call.geometry import an_integer
from gconv._engine import call, openmp

VARIABLE = "GCONV_NUM_THREADS"
MOST_THREADS = call.most_threads

_set_by_user: int | None = None
_lock = threading.Lock()  # what was looked up must not replace what was set meanwhile


def checked(name: str, value: object, parameter: str = "num_threads") -> int:
    """A number of threads that somebody asked for."""
    threads = an_integer(name, parameter, value)
    if not 1 <= threads <= MOST_THREADS:
        raise ValueError(f"{name}: {parameter} must be from 1 to {MOST_THREADS}, got {threads}")
    return threads


def resolve(name: str, num_threads: int | None) -> int:
    """The number of threads of a call."""
    return call.default_threads() if num_threads is None else checked(name, num_threads)


def set_num_threads(num_threads: int | None) -> None:
    """Set the number of threads of calls that do not say, for the whole process.

    Parameters
    ----------
    num_threads : int or None
        At least 1. None returns to the default.

    Examples
    --------
    >>> import gconv
    >>> gconv.set_num_threads(2)
    >>> gconv.get_num_threads()
    2
    >>> gconv.set_num_threads(None)
    """
    global _set_by_user
    setting = None if num_threads is None else checked("set_num_threads", num_threads)
    with _lock:
        _set_by_user = setting
        call.keep_threads(0, 0)


def get_num_threads() -> int:
    """The number of threads that a call without `num_threads` uses here and now.

    It is the most: small problems run on one thread all the same, and so does a call from within
    another OpenMP region, or while the CPUs are crowded.
    """
    return call.default_threads()


@contextmanager
def thread_limit(num_threads: int) -> Iterator[None]:
    """Set the number of threads of calls in a ``with`` block.

    It goes with the context (`contextvars`): other threads and other tasks do not see it.

    Parameters
    ----------
    num_threads : int
        At least 1.

    Examples
    --------
    >>> import gconv
    >>> with gconv.thread_limit(1):
    ...     gconv.get_num_threads()
    1
    """
    token = call.thread_limit_variable.set(checked("thread_limit", num_threads))
    try:
        yield
    finally:
        call.thread_limit_variable.reset(token)


def _look_up() -> None:
    """Find the settings and hand them to the engine, which keeps them until one changes."""
    with _lock:
        fixed = _set_by_user
        if fixed is None:
            fixed = _from_environment()
        call.keep_threads(fixed or 0, available_cpus())


def _from_environment() -> int | None:
    text = os.environ.get(VARIABLE, "")
    if not text:
        return None
    threads = int(text) if text.isascii() and text.isdecimal() else 0
    if not 1 <= threads <= MOST_THREADS:
        raise ValueError(
            f"gconv: {VARIABLE} must be an integer from 1 to {MOST_THREADS}, got {text!r}"
        )
    return threads


def available_cpus() -> int:
    """The CPUs that the process may use: by affinity, and by its control group's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = cgroup_cpu_quota()
    return cpus if quota is None else max(1, min(cpus, int(quota + 0.5)))


def cgroup_cpu_quota(root: str | os.PathLike[str] = "/") -> float | None:
    """The CPU quota of the process's control group, in CPUs.

    Parameters
    ----------
    root : path
        Where ``proc`` and ``sys`` are found.

    Returns
    -------
    float or None
        The least quota of the group and the groups above it; None where there is none, or
        where the files cannot be read or understood.
    """
    quotas = []
    for line in _read(root, "proc/self/cgroup").splitlines():
        _, controllers, group = (line.split(":", 2) + ["", ""])[:3]
        if controllers == "":
            mounts, read = ["sys/fs/cgroup"], _quota_v2
        elif "cpu" in controllers.split(","):
            mounts, read = [f"sys/fs/cgroup/{controllers}", "sys/fs/cgroup/cpu"], _quota_v1
        else:
            continue
        # The group's own files, and those of every group above it: the least quota holds.
        # Within a container the named group may not be there, and its files are at the top.
        parts = [part for part in group.split("/") if part]
        quotas += [
            read(os.path.join(root, mount, *parts[:depth]))
            for mount in mounts
            for depth in range(len(parts) + 1)
        ]
    return min((quota for quota in quotas if quota is not None), default=None)


def _read(*path: str | os.PathLike[str]) -> str:
    try:
        with open(os.path.join(*path)) as file:
            return file.read()
    except (OSError, ValueError):
        return ""


def _quota_v2(folder: str) -> float | None:
    quota, period = (_read(folder, "cpu.max").split() + ["", ""])[:2]
    return _ratio(quota, period)


def _quota_v1(folder: str) -> float | None:
    return _ratio(_read(folder, "cpu.cfs_quota_us"), _read(folder, "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    try:
        ratio = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max", or nothing that can be understood
        return None
    return ratio if ratio > 0 else None


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it
    call.keep_threads(0, 0)
    if call.fork_lost_threads():
        warnings.warn(
            "gconv: the OpenMP runtime could not be paused before this process was forked, as "
            "from within one of its parallel regions; convolutions here run on one thread",
            RuntimeWarning,
            stacklevel=2,
        )


read_at_import(openmp.choose)
call.on_threads_unknown(_look_up)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
