"""Who runs the tasks: threads of this process, or the workers of a Dask cluster."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

import gconv
from gconv._cli.messages import reason

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Tasks for each thread that are submitted before their turn: enough to keep it busy, and few,
#: so that a stack of a million chunks does not become a million tasks in memory.
AHEAD = 3
#: Seconds between two looks at a cluster from which nothing comes.
POLL = 0.5
#: Seconds within which a scheduler has to answer, and after which a cluster that has no worker
#: any longer is given up: a nanny starts a lost worker again within a few.
CONNECT_SECONDS = 10
NO_WORKER_SECONDS = 20

GONE = "the connection to the scheduler is lost"


class Lost(RuntimeError):
    """The cluster cannot go on."""


class Pool(Protocol):
    """Runs a function on items."""

    def run(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield the results as they come.

        Raises
        ------
        Lost
            What runs the function is gone.
        """
        ...


class Threads:
    """As many threads of this process as gconv would use for one call."""

    def __init__(self, executor: ThreadPoolExecutor, count: int) -> None:
        self._executor = executor
        self._count = count

    def run(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield the results as they come."""

        def submit(item: Item) -> Any:
            return self._executor.submit(function, item)

        for future in _finished(submit, items, AHEAD * self._count, lambda: None):
            yield future.result()


class Cluster:
    """The workers of a Dask cluster, each of which reads and writes the files itself."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._last_seen = time.monotonic()

    def run(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield the results as they come. What a lost worker had to do is done by another."""
        from distributed import KilledWorker

        def submit(item: Item) -> Any:
            # Not pure: a task of an earlier run that has the same arguments wrote another file.
            try:
                return self._client.submit(function, item, pure=False)
            except Exception as error:  # of a client that is closed, of several kinds
                raise Lost(GONE) from error

        self._last_seen = time.monotonic()
        ahead = AHEAD * max(1, self._threads())
        for future in _finished(submit, items, ahead, self._look):
            try:
                result = self._result(future)
            except Lost:
                raise
            except KilledWorker as error:
                raise Lost("workers are lost again and again at the same chunks") from error
            except (CancelledError, OSError) as error:  # tasks raise neither
                raise Lost(GONE) from error
            except ImportError as error:
                raise Lost(f"a worker cannot import what it needs: {reason(error)}") from error
            except Exception as error:  # whatever a worker of another version raises
                raise Lost(f"a worker failed: {reason(error)}") from error
            yield result

    def _result(self, future: Any) -> Any:
        """Return a future's result, which may have been lost with its worker: then it is made
        again, if there is another.
        """
        while True:
            try:
                return future.result(timeout=POLL)
            except TimeoutError:
                self._look()

    def _threads(self) -> int:
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        return sum(worker["nthreads"] for worker in workers.values())

    def _look(self) -> None:
        """Raise Lost where nothing will come any more."""
        if self._client.status != "running":
            raise Lost(GONE)
        if self._threads():
            self._last_seen = time.monotonic()
        elif time.monotonic() - self._last_seen > NO_WORKER_SECONDS:
            raise Lost("the cluster has no worker")


def _finished(
    submit: Callable[[Item], Any], items: Iterable[Item], ahead: int, look: Callable[[], object]
) -> Iterator[Any]:
    """Yield the futures of items as they finish; so many items are submitted before that.

    Futures of both kinds, concurrent's and Dask's, call back when they are done.
    """
    finished: SimpleQueue[Any] = SimpleQueue()
    running: dict[int, Any] = {}  # by identity, so that Dask's are not released
    waiting = iter(items)
    try:
        while True:
            while len(running) < ahead:
                try:
                    future = submit(next(waiting))
                except StopIteration:
                    break
                running[id(future)] = future
                future.add_done_callback(finished.put)
            if not running:
                return
            try:
                future = finished.get(timeout=POLL)
            except Empty:
                look()
                continue
            del running[id(future)]
            yield future
    finally:
        for future in running.values():
            future.cancel()


@contextmanager
def open_pool(scheduler: str | None) -> Iterator[Pool]:
    """Have somebody run tasks.

    Parameters
    ----------
    scheduler : str or None
        The address of a Dask scheduler; None for threads of this process.

    Raises
    ------
    ImportError
        Dask is not installed.
    ValueError
        There is no scheduler.
    """
    if scheduler is None:
        count = gconv.get_num_threads()
        executor = ThreadPoolExecutor(count, thread_name_prefix="gconv-filter")
        try:
            yield Threads(executor, count)
        finally:
            # Chunks that are being made are finished; that is what an interrupt waits for.
            executor.shutdown(cancel_futures=True)
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError("--scheduler needs Dask, part of the extra gconv[stack]") from error
    with _without_logging():
        try:
            client: Any = Client(  # type: ignore[no-untyped-call]
                scheduler, timeout=CONNECT_SECONDS, set_as_default=False
            )
        except Exception as error:  # OSError, ValueError and others, by kind of address
            raise ValueError(f"--scheduler {scheduler}: no scheduler answers there") from error
        try:
            yield Cluster(client)
        finally:
            with suppress(Exception):  # the scheduler may be gone
                client.close(CONNECT_SECONDS)


@contextmanager
def _without_logging() -> Iterator[None]:
    """Keep what Dask would log to stderr from it: what is wrong is said in one line."""
    names = [
        name
        for name in logging.root.manager.loggerDict
        if name.partition(".")[0] in ("distributed", "tornado", "asyncio")
    ]
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
