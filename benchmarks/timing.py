"""Timing contenders against each other on a machine that is never quite quiet."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, repeat
from typing import Any

import numpy as np

from gconv._bench.affinity import thread_times

TURN_SECONDS = 0.020
# Untimed at the start of a turn: caches are the contender's own again, its threads awake.
WARM_SECONDS = 0.002
MIN_SAMPLES = 2
# The clock and the loop cost some 0.1 µs a sample.
SAMPLE_SECONDS = 20e-6
# A turn whose threads waited longer than this for a core, per time, is repeated, so often at most.
DISTURBED = 0.05
ATTEMPTS = 4


@dataclass(frozen=True)
class Schedule:
    """How long to measure."""

    rounds: int = 9
    turn_seconds: float = TURN_SECONDS


def settle(limit: float = 0.2) -> None:
    """Wait until no thread of this process computes or spins, at most `limit` seconds.

    Thread pools spin for a while after their last call (ONNX Runtime's, OpenMP's), which would
    take a core from the next contender.
    """
    end = time.perf_counter() + limit
    while time.perf_counter() < end:
        cpu, wall = time.process_time(), time.perf_counter()
        time.sleep(0.001)
        if time.process_time() - cpu < 0.3 * (time.perf_counter() - wall):
            return


def warm_allocator() -> None:
    """Let the C library's allocator keep what is freed, as in a process that has run a while.

    glibc returns freed blocks of 128 KiB and more to the system, and every call then faults its
    pages in again, until a larger block has been freed once: it raises its limits to that size, at
    most 32 MiB. Without this, contenders that allocate in each call are slower by chance.
    """
    block = np.empty((32 << 20) - (1 << 16), np.uint8)
    del block


@contextmanager
def no_gc() -> Iterator[None]:
    """Keep Python's cyclic collector out of the measured time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def turn(call: Callable[[], Any], seconds: float) -> list[float]:
    """Seconds per call, sampled over calls made back to back for at least `seconds`.

    A sample is one call, or as many as last `SAMPLE_SECONDS`. The result's deallocation belongs
    to the call, as it does where the call is used.
    """
    clock = time.perf_counter
    start, calls = clock(), 0
    while clock() - start < WARM_SECONDS:
        call()
        calls += 1
    batch = max(1, round(SAMPLE_SECONDS * calls / (clock() - start)))
    stamps = [clock()]
    end = stamps[0] + seconds
    while stamps[-1] < end or len(stamps) <= MIN_SAMPLES:
        for _ in repeat(None, batch):
            call()
        stamps.append(clock())
    return [(after - before) / batch for before, after in pairwise(stamps)]


def quietly(take: Callable[[], list[float]], seconds: float) -> tuple[list[float], float]:
    """Samples of a turn in which no thread had to wait for a core, or of the best of a few.

    Parameters
    ----------
    take
        A turn: returns its samples.
    seconds
        How long it takes; so long is waited before the next attempt.

    Returns
    -------
    samples : list of float
    waited : float
        Time that threads of this process were ready but not running, per time of the turn.
    """
    attempts = []
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(seconds)
        settle()
        before, start = _waited(), time.perf_counter()
        samples = take()
        share = (_waited() - before) * 1e-9 / (time.perf_counter() - start)
        attempts.append((share, samples))
        if share < DISTURBED:
            break
    share, samples = min(attempts, key=lambda pair: pair[0])
    return samples, share


def _waited() -> int:
    return sum(waited for _, waited in thread_times().values())


@dataclass(frozen=True)
class Timing:
    """What was measured of one contender.

    Attributes
    ----------
    seconds
        Per call: the lower quartile over all turns.
    waited
        Mean over the turns of the share of time that its threads waited for a core. Above
        `DISTURBED` the machine was busy with something else and `seconds` is too long.
    """

    seconds: float
    waited: float


def interleave(
    calls: Mapping[str, Callable[[], Any]],
    schedule: Schedule,
    between: Callable[[], None] = lambda: None,
    around: Callable[[str], AbstractContextManager[Any]] = nullcontext,
) -> dict[str, Timing]:
    """Time contenders in rounds; in each round every one of them gets a turn.

    Parameters
    ----------
    calls
        What to time, by name.
    schedule
        Rounds, and the length of a contender's turn in each of them.
    between
        Run at the end of each round.
    around
        Gets a contender's name; what it returns is entered for each of its turns.
    """
    samples: dict[str, list[float]] = {name: [] for name in calls}
    waited: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    with no_gc():
        for index in range(schedule.rounds):
            # The order rotates: nobody is always first.
            shift = index % max(1, len(names))
            for name in names[shift:] + names[:shift]:
                call, seconds = calls[name], schedule.turn_seconds
                with around(name):
                    times, share = quietly(partial(turn, call, seconds), seconds)
                samples[name] += times
                waited[name].append(share)
            settle()
            between()
    return {
        name: Timing(float(np.percentile(samples[name], 25)), float(np.mean(waited[name])))
        for name in calls
    }
