"""One core for each thread that works, so that the scheduler does not decide the result.

Schedulers keep threads that wake for a moment on the core that woke them, and some virtual
machines pack threads onto few cores on purpose. Two threads on one core, one spinning, are slower
than one thread, by chance. Here the threads that a contender really uses are found by their CPU
time and pinned, each to a core of its own; the same for every contender.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

_TASKS = Path("/proc/self/task")
_AVAILABLE = hasattr(os, "sched_setaffinity") and _TASKS.exists()


@cache
def cpus() -> tuple[int, ...]:
    """CPUs that this process may use, one of each physical core first.

    Cached, so that it still tells all of them while the calling thread is pinned.
    """
    allowed = sorted(os.sched_getaffinity(0)) if _AVAILABLE else list(range(os.cpu_count() or 1))
    first: list[int] = []
    siblings: list[int] = []
    seen: set[str] = set()
    for cpu in allowed:
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            core = topology.read_text().strip()
        except OSError:
            core = str(cpu)
        (siblings if core in seen else first).append(cpu)
        seen.add(core)
    return (*first, *siblings)


def pin_this_thread(index: int) -> None:
    """Pin the calling thread to the index-th CPU."""
    if _AVAILABLE:
        os.sched_setaffinity(0, {cpus()[index % len(cpus())]})


def thread_times() -> dict[int, tuple[int, int]]:
    """Nanoseconds that each thread of this process has run, and has waited for a core.

    Empty where the kernel does not tell.
    """
    times = {}
    for task in _TASKS.iterdir() if _AVAILABLE else ():
        try:
            ran, waited, _ = (task / "schedstat").read_text().split()
        except (OSError, ValueError):
            continue  # it has ended meanwhile
        times[int(task.name)] = int(ran), int(waited)
    return times


def pin_workers(call: Callable[[], Any], threads: int, seconds: float = 0.01) -> None:
    """Run `call` for a while and pin the `threads` threads that work most in it.

    The calling thread gets the first CPU. Undo with `release` before threads are created:
    they inherit their creator's CPU.
    """
    if not _AVAILABLE or threads == 1:
        return
    cpus()
    call()  # threads that exist from now on are those that stay
    before = thread_times()
    end = time.perf_counter() + seconds
    call()
    while time.perf_counter() < end:
        call()
    used = {task: ran - before.get(task, (0, 0))[0] for task, (ran, _) in thread_times().items()}
    main = os.getpid()
    workers = [task for task in used if task != main and used[task] > 0]
    workers.sort(key=used.__getitem__, reverse=True)
    for index, task in enumerate([main, *workers][:threads]):
        try:
            os.sched_setaffinity(task, {cpus()[index % len(cpus())]})
        except OSError:
            continue  # it has ended meanwhile


def release() -> None:
    """Let all threads of this process run on every CPU again."""
    if not _AVAILABLE:
        return
    everywhere = set(cpus())
    for task in _TASKS.iterdir():
        try:
            os.sched_setaffinity(int(task.name), everywhere)
        except OSError:
            continue
