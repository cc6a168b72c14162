"""A process of its own for each contender that runs a whole model.

In one process contenders would share thread pools, allocators and settings, and nobody could say
whose memory is whose. `Worker` is the side of who measures; this file, run as a module, is the
other. They exchange a line of JSON for each request and answer.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconv._bench import affinity
from gconv._bench.contenders.base import Unsupported
from gconv._bench.contenders.whole_models import RUNNERS, Loaded, Runner
from gconv._bench.timing import no_gc, quietly, settle, turn, warm_allocator

RUNS = 3  # before memory is read: the first ones allocate
# Between two turns: threads of the contender before, and of the kernel's, come to rest.
REST_SECONDS = 0.005


class Failed(Exception):
    """A worker that ended; the message is the last line that it said."""


class Worker:
    """A contender in a process of its own, with a model loaded.

    Parameters
    ----------
    name : str
        Of `RUNNERS`.
    path : Path
        The model's file, of the kind that the contender reads.
    feeds : Path
        Its inputs, as `write_arrays` leaves them.
    threads : int

    Attributes
    ----------
    load_seconds : float
        From the file to a session that can run; imports and the first run are not part of it.
    growth : int or None
        Bytes by which the resident set has grown from before loading to after three runs. None
        where the system does not tell.

    Raises
    ------
    Unsupported
        The contender cannot run this model.
    ImportError
        It is not installed.
    Failed
        The process ended otherwise.
    """

    def __init__(self, name: str, path: Path, feeds: Path, threads: int) -> None:
        self.name = name
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # until `close`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gconv._bench.worker", name, path, feeds, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )
        try:
            answer = self._answer()
            for kind, error in (("unsupported", Unsupported), ("missing", ImportError)):
                if kind in answer:
                    raise error(answer[kind])
        except BaseException:
            self.close()
            raise
        self.load_seconds: float = answer["load"]
        self.growth: int | None = answer["growth"]

    def turn(self, seconds: float) -> tuple[list[float], float]:
        """Seconds of each run, made back to back for so long, and the share that threads waited.

        The contender's threads have come to rest when this returns.
        """
        answer = self._ask("turn", seconds)
        return answer["samples"], answer["waited"]

    def results(self) -> dict[str, NDArray[Any]]:
        """What it computes, by the outputs' names."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "results.npz")
            self._ask("results", os.fspath(path))
            return read_arrays(path)

    def steps(self, runs: int) -> list[dict[str, Any]] | None:
        """The steps of a run, each with the lower quartile of its times; gconv's alone."""
        rows: list[dict[str, Any]] | None = self._ask("steps", runs)["steps"]
        return rows

    def close(self) -> None:
        """End the process."""
        process = self._process
        with contextlib.suppress(OSError):
            if process.stdin:
                process.stdin.close()
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()
        self._said.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, what: str, argument: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps([what, argument]) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its last words say why
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._said.seek(0)
            said = self._said.read().decode(errors="replace").strip().splitlines()
            status = self._process.wait()
            raise Failed(" ".join(said[-1].split()) if said else f"ended with status {status}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays with their names, which may be any, to an ``.npz`` file."""
    np.savez(path, *arrays.values(), names=np.array(list(arrays), np.str_))


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """What `write_arrays` has written."""
    with np.load(path) as file:
        return {str(name): file[f"arr_{index}"] for index, name in enumerate(file["names"])}


def interleave(
    workers: Sequence[Worker], rounds: int, turn_seconds: float,
    advance: Callable[[int, int], None] = lambda done, turns: None,
) -> dict[str, tuple[list[float], float]]:
    """Time workers in rounds, in rotating order.

    Parameters
    ----------
    workers, rounds, turn_seconds
        Who has how many turns, and how long each lasts at least.
    advance
        Is told between turns how many are done, of how many.

    Returns
    -------
    dict
        By name: the seconds of each run, and the mean over the turns of the share of time that
        threads waited for a core.
    """
    samples: dict[str, list[float]] = {worker.name: [] for worker in workers}
    shares: dict[str, list[float]] = {worker.name: [] for worker in workers}
    done = 0
    for index in range(rounds):
        shift = index % max(1, len(workers))
        for worker in [*workers[shift:], *workers[:shift]]:
            time.sleep(REST_SECONDS)
            times, share = worker.turn(turn_seconds)
            samples[worker.name] += times
            shares[worker.name].append(share)
            done += 1
            advance(done, rounds * len(workers))
    return {name: (samples[name], float(np.mean(shares[name]))) for name in samples}


# ---- the process itself ------------------------------------------------------------------------


def resident() -> int | None:
    """Bytes of the resident set."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * mmap.PAGESIZE


def _serve(runner: Runner, path: Path, feeds: Mapping[str, NDArray[Any]], threads: int) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(what: dict[str, Any]) -> None:
        answers.write(json.dumps(what) + "\n")
        answers.flush()

    try:
        runner.load()
    except ImportError as error:
        answer({"missing": str(error)})
        return
    before, begin = resident(), time.perf_counter()
    try:
        loaded = runner.open(path, feeds, threads)
    except Unsupported as reason:
        answer({"unsupported": str(reason)})
        return
    seconds = time.perf_counter() - begin
    for _ in range(RUNS):
        loaded.run()
    after = resident()
    growth = None if before is None or after is None else after - before
    warm_allocator()
    affinity.pin_workers(loaded.run, threads)
    settle()
    answer({"load": seconds, "growth": growth})
    for line in sys.stdin:
        what, argument = json.loads(line)
        answer(_DO[what](loaded, argument))


def _turn(loaded: Loaded, seconds: float) -> dict[str, Any]:
    with no_gc():
        samples, waited = quietly(partial(turn, loaded.run, seconds), seconds)
    settle()
    return {"samples": samples, "waited": waited}


def _results(loaded: Loaded, path: str) -> dict[str, Any]:
    write_arrays(Path(path), loaded.results())
    settle()
    return {}


def _steps(loaded: Loaded, runs: int) -> dict[str, Any]:
    if loaded.steps is None:
        return {"steps": None}
    tables = [loaded.steps() for _ in range(runs)]
    rows = [dict(row) for row in tables[-1]]
    for index, row in enumerate(rows):
        row["ms"] = float(np.percentile([table[index]["ms"] for table in tables], 25))
        row["gflops"] = row["flops"] / row["ms"] / 1e6 if row["ms"] else None
    settle()
    return {"steps": rows}


_DO: dict[str, Callable[[Loaded, Any], dict[str, Any]]] = {
    "turn": _turn,
    "results": _results,
    "steps": _steps,
}


def main() -> int:
    name, path, feeds, threads = sys.argv[1:]
    _serve(RUNNERS[name], Path(path), read_arrays(Path(feeds)), int(threads))
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        raise SystemExit(main())
