"""``gconv filter`` on a stack, from the arguments to the report."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from gconv._cli.kernels import Bank
from gconv._cli.messages import complain, counted, reason, say
from gconv._cli.outputs import EXISTS, ended_by_signals
from gconv._cli.progress import Bar

if TYPE_CHECKING:
    from gconv._cli.stack.output import Chunk, Output
    from gconv._cli.stack.pool import Pool
    from gconv._cli.stack.source import Form, Source

COMMAND = "filter"


@dataclass(frozen=True)
class Options:
    """What the command line says of a stack.

    Attributes
    ----------
    target : Path or None
        The directory of the responses; ``<stem>.gconv.zarr`` if left out.
    page : int or None
        The page of the contact sheet, from 1; the middle one if left out.
    resume, force : bool
        Go on with an output that exists, or replace it.
    scheduler : str or None
        The address of a Dask scheduler.
    """

    target: Path | None = None
    page: int | None = None
    resume: bool = False
    force: bool = False
    scheduler: str | None = None


@dataclass
class Outcome:
    """What became of a run.

    Attributes
    ----------
    damaged : dict
        Pages that could not be read, counted from 0, and why.
    stopped : str or None
        What ended it before everything else was done.
    seconds : float
        How long it took.
    """

    damaged: dict[int, str] = field(default_factory=dict)
    stopped: str | None = None
    seconds: float = 0.0


def filter_stack(path: Path, bank: Bank, options: Options) -> int:
    """Filter every page of a stack, write the responses, and draw the sheet of one page.

    Parameters
    ----------
    path : Path
        A TIFF file, or the directory of a Zarr array or group.
    bank : Bank
        The kernels.
    options : Options
        Where to, and how.

    Returns
    -------
    int
        The exit status: 0, or 2 where anything could not be done, which is one line on stderr.
    """
    try:
        # Readers warn and log from the threads that they run in: it is kept from stderr here.
        with warnings.catch_warnings(), ended_by_signals():
            warnings.simplefilter("ignore")
            return _filter(path, bank, options)
    except (OSError, ValueError, ImportError, MemoryError) as error:
        complain(COMMAND, f"{path}: {reason(error)}")
        return 2


def _filter(path: Path, bank: Bank, options: Options) -> int:
    from gconv._cli.stack.output import locked, plan
    from gconv._cli.stack.pool import open_pool
    from gconv._cli.stack.source import open_source, state_of
    from gconv._cli.tiff import without_logging

    target = options.target or Path(f"{path.stem.removesuffix('.ome')}.gconv.zarr")
    sheet = target.with_suffix(".png")
    with without_logging():
        source = open_source(path)
        if options.page is not None and not 1 <= options.page <= source.form.count:
            raise ValueError(
                f"there is no page {options.page}: there {_are(source.form.count, 'page')}"
            )
        output = plan(target, source.form, bank, state_of(source))
        _check_targets(source, target, sheet, options)
        with ExitStack() as held:
            with open_pool(options.scheduler) as pool:
                output = _begin(source, output, bank, options)
                held.enter_context(locked(Path(output.path)))
                finished = output.finished()
                _check_input(source, output, finished, pool)
                outcome = _make(source, output, bank, finished.keys(), pool)
            if outcome.stopped is None and state_of(source) != output.state:
                outcome.stopped = "the input was changed while it was read"
            there = output.finished()
            drawn = None
            if outcome.stopped is None:
                drawn = _draw(source, output, bank, there.keys(), sheet, options)
    if outcome.stopped is None:
        made = len(there) - len(finished)
        say(_describe(source, output, bank, target, drawn, outcome, made, len(finished)))
    if outcome.stopped is None and not outcome.damaged:
        return 0
    complaint = outcome.stopped or _describe_damage(source.form, outcome.damaged)
    raise ValueError(
        f"{complaint}; {len(there)} of {counted(output.chunks, 'chunk')} are finished in {target}, "
        "--resume goes on from there"
    )


def _check_targets(source: Source, target: Path, sheet: Path, options: Options) -> None:
    """Refuse outputs that may not be written, before anything is done."""
    from gconv._cli.stack.output import is_ours

    if options.resume and options.force:
        raise ValueError("--resume keeps what there is and --force replaces it: give one of them")
    place, read = Path(os.path.realpath(target)), Path(os.path.realpath(source.path))
    if place == read or place in read.parents or read in place.parents:
        raise ValueError(f"{target} would replace what is read, or be part of it")
    if not os.path.isdir(target.parent):
        raise ValueError(f"there is no directory {target.parent}")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise ValueError(f"the directory {target.parent} is not writable")
    if os.path.lexists(target) and not options.resume:
        if not options.force:
            raise ValueError(f"{target} exists already (--resume goes on, --force replaces it)")
        if not is_ours(target):
            raise ValueError(f"{target} is not replaced: no array that gconv filter made")
    if os.path.isdir(sheet):
        raise ValueError(f"{sheet} is a directory")
    if os.path.lexists(sheet) and not (options.resume or options.force):
        raise ValueError(f"{sheet} {EXISTS}")
    if os.path.lexists(sheet) and not os.path.lexists(target):
        raise ValueError(f"{sheet} exists already, but not {target} whose sheet it would be")


def _begin(source: Source, planned: Output, bank: Bank, options: Options) -> Output:
    """Make the array of the responses, or find what an earlier run left."""
    from gconv._cli.stack.output import create, remove, resume

    path = Path(planned.path)
    try:
        if os.path.lexists(path):
            if options.resume:
                return resume(planned)
            remove(path)
        create(planned, bank, source.path)
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {reason(error)}") from error
    return planned


def _check_input(source: Source, output: Output, finished: Mapping[Chunk, str], pool: Pool) -> None:
    """Refuse to go on where the input is not the one that finished chunks were made from.

    Files that nobody has touched are the same. Of others, the samples that were read then are
    compared: the file may have been copied, or a damaged page mended.
    """
    from gconv._cli.stack.output import is_untouched, set_state
    from gconv._cli.stack.work import blocks, check

    if is_untouched(output):
        return
    tasks = (
        (block, [finished[page, band] for _, page, band in block.chunks])
        for block in blocks(source, output, finished.__contains__)
    )
    with Bar(len(finished), remaining=True) as bar:
        bar.start(f"{source.path.name}: has it changed?")
        for report in pool.run(partial(check, output), tasks):
            if report.fatal:
                raise ValueError(report.fatal)
            for page in (*report.changed, *report.damaged):
                raise ValueError(
                    f"--resume: the input has changed: {source.form.label(page)} is not what the "
                    f"responses in {output.path} were made from (--force begins anew)"
                )
            bar.finish(len(report.done))
    set_state(output)


def _make(
    source: Source, output: Output, bank: Bank, finished: Collection[Chunk], pool: Pool
) -> Outcome:
    """Make all chunks that are not finished."""
    from gconv._cli.stack.pool import Lost
    from gconv._cli.stack.work import blocks, make

    outcome = Outcome()
    began = time.perf_counter()
    with Bar(output.chunks, remaining=True) as bar:
        bar.start(source.path.name)
        bar.finish(len(finished))
        todo = blocks(source, output, lambda chunk: chunk not in finished)
        try:
            for report in pool.run(partial(make, output, bank.kernels), todo):
                outcome.damaged |= report.damaged
                bar.finish(len(report.done))
                if report.fatal:
                    outcome.stopped = report.fatal
                    break
        except Lost as lost:
            outcome.stopped = reason(lost)
    outcome.seconds = time.perf_counter() - began
    return outcome


def _draw(
    source: Source,
    output: Output,
    bank: Bank,
    finished: Collection[Chunk],
    sheet: Path,
    options: Options,
) -> Path | None:
    """Draw the sheet of the page that is wanted, or of the nearest to the middle that is whole."""
    from gconv._cli.stack.sheet import draw_page

    if options.resume and options.page is None and os.path.lexists(sheet):
        return None
    count = source.form.count
    middle = count // 2
    wanted = sorted(range(count), key=lambda page: abs(page - middle))
    if options.page is not None:
        wanted = [options.page - 1]
    for page in wanted:
        if all((page, band) in finished for band in range(output.bands)):
            draw_page(source, output, bank, page, sheet, force=options.force or options.resume)
            return sheet
    return None


def _describe(
    source: Source,
    output: Output,
    bank: Bank,
    target: Path,
    drawn: Path | None,
    outcome: Outcome,
    made: int,
    before: int,
) -> list[str]:
    """Return what to print."""
    form = source.form
    axes = ", ".join((*form.axes, *("sample" for _ in form.inner), "y", "x"))
    rate = 4 * made * prod(output.chunk) / max(outcome.seconds, 1e-9) / 1e6
    return [
        f"{source.path} -> {', '.join(map(str, filter(None, (target, drawn))))}",
        f"  input {form.shape} {form.dtype} ({axes}), kernels {bank.kernels.shape} -> "
        f"responses {output.shape}, float32",
        f"  {counted(made, 'chunk')} of {output.chunk} in {outcome.seconds:.2f} s"
        + (f", {rate:.0f} MB/s" if made else "")
        + (f"; {before} were there already" if before else ""),
    ]


def _describe_damage(form: Form, damaged: Mapping[int, str]) -> str:
    """Return in one line which pages are damaged, and what is wrong with the first."""
    first, *others = sorted(damaged)
    line = f"{form.label(first)}: {damaged[first]}"
    if others:
        numbers = ", ".join(str(page + 1) for page in others[:10])
        more = f" and {len(others) - 10} more" if len(others) > 10 else ""
        line += f" (also damaged: {numbers}{more})"
    return line


def _are(number: int, noun: str) -> str:
    return f"{'is' if number == 1 else 'are'} {counted(number, noun)}"
