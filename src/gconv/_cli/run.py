"""``gconv run``: a model on files or random inputs, its results, its time, and its peers' time."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import gconv
from gconv._cli.feeds import arrays, make_feeds
from gconv._cli.messages import complain, counted, reason, say
from gconv._cli.outputs import check_files, ended_by_signals, whole_file
from gconv._cli.progress import Bar

if TYPE_CHECKING:
    from gconv.onnx import InferenceSession

COMMAND = "run"

#: A run is repeated for so long, and so many times at least.
SECONDS, LEAST_RUNS = 1.0, 5

#: The table of steps is that of the fastest of so many runs.
PROFILED_RUNS = 5


@dataclass(frozen=True)
class Options:
    """What ``gconv run`` was asked for; the fields are its options."""

    model: Path
    inputs: Sequence[str] = ()
    dims: Sequence[str] = ()
    output: Path | None = None
    threads: int | None = None
    profile: bool = False
    plot: Path | None = None
    compare: bool = False
    force: bool = False


def run_model(options: Options) -> int:
    """Run a model and print what there is to say.

    Returns
    -------
    int
        The exit status: 0, or 2 where anything could not be done, which is one line on stderr.
    """
    try:
        _import_extras(options)
        with ended_by_signals(), Bar(1, measures=True) as bar:
            bar.start(options.model.name)
            lines = _run(options, bar)
    except (OSError, ValueError, TypeError, ImportError, MemoryError) as error:
        complain(COMMAND, f"{options.model}: {reason(error).removeprefix('InferenceSession: ')}")
        return 2
    say(lines)
    return 0


def _run(options: Options, bar: Bar) -> list[str]:
    """Do what was asked for; return what to print."""
    session, load_seconds = _load(options)
    files = _name_files(session, options.output)
    written = [*files.values(), *([options.plot] if options.plot else [])]
    read = [options.model, *(Path(text.partition("=")[2]) for text in options.inputs)]
    check_files(written, read, force=options.force)
    feeds, guessed = make_feeds(session, options.inputs, options.dims)
    given = arrays(feeds)
    begin = time.perf_counter()
    outputs = _first_run(session, given, guessed)
    first_seconds = time.perf_counter() - begin
    lines = [f"{options.model.name}: {_described(session, given)}"]
    lines += [f"  input {feed.name} {_typed(feed.array)}, {feed.origin}" for feed in feeds]
    for name, value in outputs.items():
        goes_to = f" -> {files[name]}" if name in files else ""
        lines.append(f"  output {name} {_statistics(value)}{goes_to}")
    lines.append(
        _timed("load:", load_seconds, f", first run {first_seconds * 1e3:.3f} ms")
    )
    if options.compare:
        from gconv._cli.compare import compare

        lines += compare(options.model, given, outputs, _threads(options), bar.advance)
    else:
        samples = measure(lambda: session.run(None, given), bar.advance)
        lines.append(
            _timed(
                "run:", min(samples),
                f" best, {np.median(samples) * 1e3:.3f} ms median of "
                f"{counted(len(samples), 'run')}, {counted(_threads(options), 'thread')}",
            )
        )
    memory = session.memory({name: array.shape for name, array in given.items()})
    held = ", ".join(
        f"{size / 1e6:.1f} MB {what.replace('_', ' ')}" for what, size in memory._asdict().items()
    )
    lines.append(f"  {'memory:':<8} {held}")
    if options.profile or options.plot:
        tables = [session.run(None, given, profile=True)[1] for _ in range(PROFILED_RUNS)]
        table = min(tables, key=lambda table: table.ms or 0.0)
        if options.plot:
            from gconv._cli.steps_chart import draw_steps

            with whole_file(options.plot, force=options.force) as part:
                draw_steps(table.rows, options.model.name, part)
            lines.append(f"  {'plot:':<8} {options.plot}")
        if options.profile:
            lines += ["", *str(table).splitlines()]
    for name, path in files.items():
        _write(path, outputs[name], force=options.force)
    return lines


def _first_run(
    session: InferenceSession, given: Mapping[str, NDArray[Any]], guessed: Sequence[str]
) -> dict[str, Any]:
    """The outputs by name; an error mentions sizes that nobody gave."""
    try:
        results = session.run(None, given)
    except (ValueError, MemoryError) as error:
        if not guessed:
            raise
        raise ValueError(
            f"{reason(error)} (the model leaves {', '.join(guessed)} open, here 1: "
            "--dim NAME=SIZE sets one)"
        ) from error
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, results, strict=True))


def _timed(what: str, seconds: float, rest: str) -> str:
    return f"  {what:<8}{seconds * 1e3:10.3f} ms{rest}"


def measure(run: Callable[[], Any], advance: Callable[[int, int], None]) -> list[float]:
    """Seconds of each of the runs, made back to back for `SECONDS`.

    Parameters
    ----------
    run : callable
        Has been called before: what only a first run does is not measured.
    advance : callable
        Is told, now and then and between runs, how many thousandths are done.
    """
    clock = time.perf_counter
    samples: list[float] = []
    begin = told = clock()
    while len(samples) < LEAST_RUNS or clock() - begin < SECONDS:
        start = clock()
        run()
        end = clock()
        samples.append(end - start)
        if end - told > SECONDS / 10:
            share = min(1.0, (end - begin) / SECONDS, len(samples) / LEAST_RUNS)
            advance(int(1000 * share), 1000)
            told = clock()
    return samples


def _load(options: Options) -> tuple[InferenceSession, float]:
    """Read the model, and the seconds that it took; what it warns of is a line on stderr."""
    from gconv.onnx import InferenceSession

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        begin = time.perf_counter()
        session = InferenceSession(options.model, num_threads=options.threads)
        seconds = time.perf_counter() - begin
    for warning in caught:
        text = str(warning.message).removeprefix("InferenceSession: ")
        complain(COMMAND, f"{options.model}: {text}")
    return session, seconds


def _threads(options: Options) -> int:
    return options.threads or gconv.get_num_threads()


def _described(session: InferenceSession, given: Mapping[str, NDArray[Any]]) -> str:
    steps = session.explain({name: array.shape for name, array in given.items()})
    by_reference = sum(row["by"] == "reference" for row in steps.rows)
    text = counted(len(steps.rows), "step")
    return f"{text}, {by_reference} of them by ONNX's reference" if by_reference else text


def _name_files(session: InferenceSession, directory: Path | None) -> dict[str, Path]:
    """A file for each output, called after it as far as names of files allow.

    The directory is made if it is missing.
    """
    if directory is None:
        return {}
    files: dict[str, Path] = {}
    taken: set[str] = set()
    for output in session.get_outputs():
        if not output.type.startswith("tensor("):
            raise ValueError(f"--output: {output.name} is {output.type}, which no .npy file holds")
        plain = re.sub(r"[^\w.-]+", "_", output.name).strip("_.") or "output"
        stem, number = plain, 1
        while stem.lower() in taken:
            number += 1
            stem = f"{plain}.{number}"
        taken.add(stem.lower())
        files[output.name] = directory / f"{stem}.npy"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--output {directory}: {reason(error)}") from error
    return files


def _write(path: Path, value: Any, *, force: bool) -> None:
    array = np.asarray(value)
    if array.dtype.hasobject:  # strings
        array = array.astype(np.str_)
    with whole_file(path, force=force) as part, part.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def _typed(array: NDArray[Any]) -> str:
    return f"{array.shape} {'string' if array.dtype.hasobject else array.dtype}"


def _statistics(value: Any) -> str:
    """Shape, dtype, and the least, mean and largest value of an output."""
    if not isinstance(value, np.ndarray):
        return "missing" if value is None else f"a sequence of {len(value)}"
    text = _typed(value)
    if value.dtype.hasobject or value.dtype.kind not in "biufV" or not value.size:
        return text
    values = value.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        return f"{text}: min {values.min():.6g}, mean {values.mean():.6g}, max {values.max():.6g}"


def _import_extras(options: Options) -> None:
    """Look for what the extras bring, or say in one line what is missing."""
    needs = [("onnx", "onnx", "onnx")]
    if options.plot:
        needs.append(("matplotlib", "Matplotlib for --plot", "cli"))
        if options.plot.suffix.lower() != ".png":
            raise ValueError(f"--plot {options.plot}: a plot is called .png")
    for module, name, extra in needs:
        if find_spec(module) is None:
            raise ImportError(f"needs {name}, part of the extra gconv[{extra}]")
