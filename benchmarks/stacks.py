"""A stack of pictures filtered with Dask: gconv.dask against dask_image, SciPy and the plain call.

Usage::

    python -m gconv._bench.stacks [--threads 1,2] [--pages 8] [--size 2048] [--markdown FILE]

The stack is float32 and lies in memory, the borders are replicated, and every contender has as
many threads: Dask's threaded scheduler that many workers, the plain call that many of its own. A
result of Dask stays in chunks (`persist`); `compute` copies them into one array besides, which is
timed for gconv.dask alone. All results are compared with the plain call's. dask_image (which
has one kernel at a time) and SciPy are left out where they are not installed.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gconv._bench import machine
from gconv._bench.options import Parser, add_rounds, add_thread_counts, count, writable
from gconv._bench.progress import tracked
from gconv._bench.timing import no_gc, settle, turn, warm_allocator

Array = np.ndarray[Any, np.dtype[Any]]
Calls = dict[str, Callable[[], Any]]

PLAIN = "plain call"
TURN_SECONDS = 0.5
TARGET = 0.9  # of the plain call's throughput


class Case(NamedTuple):
    """Kernels, and the extents of a chunk over those of a page: (number, extent, parts)."""

    kernels: int
    extent: int
    parts: int

    def __str__(self) -> str:
        chunks = "pages" if self.parts == 1 else f"1/{self.parts**2} page"
        return f"{self.kernels} × {self.extent}×{self.extent}, {chunks}"


CASES = (Case(1, 5, 1), Case(1, 5, 2), Case(4, 3, 1), Case(4, 3, 2))


def contenders(case: Case, stack: Array, kernels: Array, threads: int) -> Calls:
    """What is timed, each returning responses as chunks or an array."""
    import dask
    import dask.array as da

    import gconv.dask

    size = -(-stack.shape[1] // case.parts)
    lazy = da.from_array(stack, chunks=(1, size, size))
    options: dict[str, Any] = {"padding": "same", "padding_mode": "replicate"}
    scheduler = {"scheduler": "threads", "num_workers": threads}
    ours = gconv.dask.filter_bank(lazy[:, np.newaxis], kernels, **options)
    calls: Calls = {
        PLAIN: lambda: gconv.filter_bank(
            stack[:, np.newaxis], kernels, num_threads=threads, **options
        ),
        "gconv.dask": lambda: ours.persist(**scheduler),
        "gconv.dask, compute": lambda: ours.compute(**scheduler),
    }
    if importlib.util.find_spec("dask_image") is not None:
        ndfilters = importlib.import_module("dask_image.ndfilters")
        each = [ndfilters.correlate(lazy, kernel[np.newaxis], mode="nearest")
                for kernel in kernels]
        calls["dask_image"] = lambda: dask.persist(*each, **scheduler)
    if importlib.util.find_spec("scipy") is not None:
        ndimage = importlib.import_module("scipy.ndimage")
        reach = case.extent // 2

        def correlated(page: Array) -> Array:
            y = np.empty((len(page), len(kernels), *page.shape[1:]), page.dtype)
            for number, kernel in enumerate(kernels):
                ndimage.correlate(page, kernel[np.newaxis], y[:, number], mode="nearest")
            inner = slice(reach, -reach)
            return y[..., inner, inner]

        padded = da.overlap.overlap(lazy, (0, reach, reach), boundary="nearest")
        theirs = padded.map_blocks(
            correlated, dtype=stack.dtype, new_axis=1,
            chunks=(lazy.chunks[0], (len(kernels),), *lazy.chunks[1:]),
            meta=np.empty((0,) * 4, stack.dtype),
        )
        calls["map_overlap, SciPy"] = lambda: theirs.persist(**scheduler)
    return calls


def check(calls: Calls, wanted: Array) -> None:
    """Refuse contenders whose responses are others."""
    for title, call in calls.items():
        found = call()
        if isinstance(found, tuple):  # an array for each kernel
            found = np.stack([np.asarray(one) for one in found], 1)
        found = np.asarray(found).reshape(wanted.shape)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5, err_msg=title)


def timed(calls: Calls, rounds: int) -> dict[str, float]:
    """Seconds of each call, the lower quartile over turns. A scheduler's own thread waits beside
    its workers, so that no turn here counts as disturbed."""
    samples: dict[str, list[float]] = {title: [] for title in calls}
    with no_gc():
        for _ in range(rounds):
            for title, call in calls.items():
                settle()
                samples[title] += turn(call, TURN_SECONDS)
    return {title: float(np.percentile(found, 25)) for title, found in samples.items()}


def main(argv: list[str] | None = None) -> int:
    parser = Parser("stacks", __doc__)
    add_thread_counts(parser, [1, 2])
    add_rounds(parser, 3)
    parser.add_argument("--pages", type=count, default=8, metavar="N", help="pages (8)")
    parser.add_argument("--size", type=count, default=2048, metavar="N",
                        help="rows and columns of a page (2048)")
    parser.add_argument("--markdown", type=writable, metavar="FILE", help="append the table here")
    arguments = parser.parse_args(argv)
    if importlib.util.find_spec("dask") is None:
        parser.error("Dask is not installed: pip install 'gconv[dask]'")
    warm_allocator()
    rng = np.random.default_rng(0)
    stack = rng.random((arguments.pages, arguments.size, arguments.size), dtype=np.float32)
    work = [(threads, case) for threads in arguments.threads for case in CASES]
    rows, missed = [], False
    titles: list[str] = []
    for threads, case in tracked(work, lambda item: f"{item[1]}, threads={item[0]}"):
        kernels = rng.random((case.kernels, case.extent, case.extent), dtype=np.float32)
        kernels /= case.extent**2
        calls = contenders(case, stack, kernels, threads)
        check(calls, calls[PLAIN]().reshape(len(stack), case.kernels, *stack.shape[1:]))
        seconds = timed(calls, arguments.rounds)
        plain = seconds[PLAIN]
        titles = list(seconds)
        missed = missed or plain / seconds["gconv.dask"] < TARGET
        rows.append(
            f"| {case} | {threads} | {plain * 1e3:.1f}"
            + "".join(
                f" | {seconds[title] * 1e3:.1f} ({plain / seconds[title]:.2f})"
                for title in titles[1:]
            )
            + " |"
        )
    about = machine.description(["gconv", "dask", "dask-image", "scipy"])
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines = [
        f"{arguments.pages} pages of {arguments.size} × {arguments.size}, float32. Milliseconds, "
        "and in brackets the throughput over the plain call's.",
        "",
        f"| kernels, chunks | threads | {' | '.join(titles)} |",
        f"| :-- | --: |{' --: |' * len(titles)}",
        *rows,
        "",
        f"{about['date']}, {about['cpu']} ({about['cores']} cores), {about['system']}. "
        f"{versions}.",
    ]
    print(*lines, sep="\n")
    if arguments.markdown:
        with open(arguments.markdown, "a", encoding="utf-8") as file:
            file.write("\n".join([*lines, "", ""]))
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
