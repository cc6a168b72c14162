"""How far the planner's choices are from the best: every family and tile, on generated layers.

Usage::

    gconv bench --choices [--layers 100] [--seed 0] [--markdown FILE] [--json FILE]

The instruction set is the best of this CPU, or the one that GCONV_ISA names; the tuning record is
that of this CPU, or the one that GCONV_TUNING names.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gconv._bench import affinity, machine
from gconv._bench.generated import KINDS, Generated, generate
from gconv._bench.options import Parser, add_threads, count, writable
from gconv._bench.progress import tracked
from gconv._bench.report import table
from gconv._bench.timing import Schedule, interleave, settle, warm_allocator
from gconv._call import isa
from gconv._call.run import strides_of
from gconv._plan import choose
from gconv._plan.choose import Forced
from gconv._plan.family import Choice, Family
from gconv._plan.items import Layout
from gconv._plan.machine import Machine
from gconv._plan.problem import Problem, problem_of

# Tiles of a family that are tried: those whose estimates are within a factor of its best one's,
# and of these so many.
WITHIN, MOST_TILES = 2.5, 12
# The first round: the shortest of a few calls.
FIRST_SECONDS, FIRST_CALLS = 0.002, 3
WARM_SECONDS = 0.02
# The second: those within a factor of the shortest, so many at most, beside the chosen one.
CLOSE, FINALISTS = 1.3, 6
SECOND = Schedule(rounds=3, turn_seconds=0.005)
# The last: the best of the second beside the chosen one. A first place won by luck is lost here.
LAST = Schedule(rounds=5, turn_seconds=0.010)

Row = dict[str, Any]


@dataclass
class Way:
    """One way to compute a layer.

    Attributes
    ----------
    words
        Family, families that it wraps, and the tile.
    family
        The words without the tile's size.
    cycles
        By estimate.
    forced
        How to get it; None: it is what the planner chooses.
    seconds
        Per call, in the round before.
    """

    words: str
    family: str
    cycles: float
    forced: Forced | None
    seconds: float = math.inf


# ---- what there is ------------------------------------------------------------------------------


def problem_for(layer: Generated, x: np.ndarray[Any, Any], module: Any) -> Problem:
    """The planner's problem of a layer and its input."""
    geometry = module._parameters.applied_to(x.shape, x.itemsize)
    strides = tuple(step // x.itemsize for step in strides_of(x, True))
    return problem_of(geometry, strides, y_in_order=not layer.channels_last)


def tiles_of(problem: Problem, engine: Machine) -> Iterator[Forced]:
    """Every tile that a family offers for a problem, and for those that wrappers make of it."""
    for family in choose.families():
        inner: list[Problem] = []

        def ask(other: Problem, wrap: bool = False, asked: list[Problem] = inner) -> Choice:
            asked.append(other)
            return choose.choose(other, engine, wrap=wrap)

        if family.transposed not in (None, problem.transposed):
            continue
        answer = family.estimate(problem, engine, ask)
        if isinstance(answer, str):
            continue
        for _, tile in answer:
            yield Forced(family.name, tile.rows, tile.vectors, tile.kind)
        for other in inner:
            yield from tiles_of(other, engine)


def words_of(choice: Choice) -> tuple[str, str]:
    """A choice in words: with the tile's size, and without."""
    names = [choice.family.name]
    tile = choice.tile
    while tile.inner is not None:
        if tile.inner.family.name != names[-1]:
            names.append(tile.inner.family.name)
        tile = tile.inner.tile
    family = " > ".join(names) + (f" {tile.kind}" if tile.kind else "")
    return f"{family} {tile.rows}x{tile.vectors}", family


def ways_of(problem: Problem, engine: Machine) -> list[Way]:
    """The ways to compute a problem that are worth trying, the chosen one first."""
    chosen = choose.choose(problem, engine)
    found = {words_of(chosen)[0]: Way(*words_of(chosen), chosen.cycles, None)}
    families: dict[str, list[Way]] = {}
    for forced in dict.fromkeys(tiles_of(problem, engine)):
        choice = choose.choose(problem, engine, forced)
        words, family = words_of(choice)
        if choice.forced and math.isfinite(choice.cycles) and words not in found:
            way = found[words] = Way(words, family, choice.cycles, forced)
            families.setdefault(family, []).append(way)
    return [next(iter(found.values())), *(
        way for ways in families.values() for way in thinned(ways))]


def thinned(ways: list[Way]) -> list[Way]:
    """Those of a family that may be fast by their estimates: the best, and some of the others."""
    ways = sorted(ways, key=lambda way: way.cycles)
    ways = [way for way in ways if way.cycles <= WITHIN * ways[0].cycles]
    if len(ways) <= MOST_TILES:
        return ways
    best = MOST_TILES // 2
    others = np.linspace(best, len(ways) - 1, MOST_TILES - best).round().astype(int)
    return ways[:best] + [ways[index] for index in others]


# ---- measuring ----------------------------------------------------------------------------------


def wrapped(layout: Layout) -> Layout | None:
    """The layout that a wrapper's is laid round."""
    return getattr(layout, "inner", None) or getattr(layout, "like", None)


def innermost(layout: Layout) -> Family:
    """The family that computes the sums."""
    inner = wrapped(layout)
    return layout.family if inner is None else innermost(inner)


def fingerprint(layout: Layout) -> tuple[object, ...]:
    """What two ways have in common that are the same after all."""
    inner = wrapped(layout)
    return (
        layout.family.name, layout.kernel, layout.tile[:3], layout.band, layout.group_block,
        layout.channel_block, layout.in_block, layout.copied, layout.p.y_in_order,
        None if inner is None else fingerprint(inner),
    )


class Contenders:
    """The calls of a layer, one for each way."""

    def __init__(self, layer: Generated, threads: int) -> None:
        self.layer, self.threads = layer, threads
        self.x = layer.x()
        self.engine = isa.machine(self.x.dtype)
        self.problem = problem_for(layer, self.x, layer.layer())

    def call(self, way: Way) -> tuple[Callable[[], Any], Layout]:
        """A call that takes the way, made once already, and its layout."""
        module, x, threads = self.layer.layer(), self.x, self.threads
        forced = contextlib.nullcontext() if way.forced is None else choose.use_tile(*way.forced)
        with forced:
            module(x, num_threads=threads)
            plan = choose.plan_for(
                module._parameters.applied_to(x.shape, x.itemsize), x.dtype, strides_of(x, True),
                self.engine, y_in_order=not self.layer.channels_last)
        # From now on the module takes its short cut, whatever is forced.
        return (lambda: module(x, num_threads=threads)), plan.layout

    def seconds(self, ways: Sequence[Way], schedule: Schedule) -> list[float]:
        """Times of several ways, interleaved."""
        calls = {way.words: self.call(way)[0] for way in ways}
        try:
            for call in calls.values():
                affinity.pin_workers(call, self.threads)
            timings = interleave(calls, schedule)
        finally:
            affinity.release()
        return [timings[way.words].seconds for way in ways]


def shortest(call: Callable[[], Any], seconds: float = FIRST_SECONDS) -> float:
    """Seconds of the shortest of a few calls."""
    clock, best, start, calls = time.perf_counter, math.inf, time.perf_counter(), 0
    while calls < FIRST_CALLS or clock() - start < seconds:
        before = clock()
        call()
        best = min(best, clock() - before)
        calls += 1
    return best


def measure(layer: Generated, threads: int) -> Row:
    """All ways to compute a layer, and how far the chosen one is from the best."""
    contenders = Contenders(layer, threads)
    tried: dict[tuple[object, ...], Way] = {}
    last = choose.families()[-1]
    settle()
    gc.disable()
    all_ways = ways_of(contenders.problem, contenders.engine)
    shortest(contenders.call(all_ways[0])[0], WARM_SECONDS)  # the first would be slower by chance
    for way in all_ways:
        call, layout = contenders.call(way)
        key = fingerprint(layout)
        # Where the panel of a forced tile does not fit, the plan is that of the last family.
        if key not in tried and (way.forced is None or innermost(layout) is not last):
            way.seconds = shortest(call)
            tried[key] = way
    gc.enable()
    ways = list(tried.values())
    chosen = ways[0]
    close = CLOSE * min(way.seconds for way in ways)
    final = sorted((way for way in ways[1:] if way.seconds <= close), key=lambda way: way.seconds)
    final = [chosen, *final[:FINALISTS]]
    best, seconds = chosen, [chosen.seconds] * 2
    if len(final) > 1:
        times = contenders.seconds(final, SECOND)
        best = final[times.index(min(times))]
        seconds = [times[0]] * 2
    if best is not chosen:
        seconds = contenders.seconds([chosen, best], LAST)
        if seconds[0] <= seconds[1]:
            best, seconds = chosen, [seconds[0]] * 2
    return {
        "class": layer.kind,
        "layer": str(layer),
        "flops": layer.flops,
        "regret": seconds[0] / seconds[1],
        "chosen": _entry(replace(chosen, seconds=seconds[0])),
        "best": _entry(replace(best, seconds=seconds[1])),
        "tried": [_entry(way) for way in ways],
    }


def _entry(way: Way) -> Row:
    cycles = way.cycles if math.isfinite(way.cycles) else None
    return {"words": way.words, "family": way.family, "cycles": cycles, "seconds": way.seconds}


# ---- the report ---------------------------------------------------------------------------------


def markdown(results: Row) -> str:
    """Mean and worst by class, and the ten worst layers."""
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    rows: list[Row] = results["rows"]
    seeds = sorted({row["seed"] for row in rows})
    threads = results["threads"]
    parts = [
        f"# Choices on {results['isa']}\n",
        f"{results['date']}, {results['cpu']}, {results['system']}. Instruction set "
        f"{results['isa']}, tuning record `{results['tuning']}`, {threads} "
        f"thread{'s' if threads > 1 else ''}, float32. {versions}. {len(rows)} generated layers, "
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}.\n",
        "The time of what the planner chooses, over that of the best family and tile:\n",
        table(["class", "layers", "mean", "worst", "best chosen", "family missed"],
              [_of_class(kind, [row for row in rows if row["class"] == kind])
               for kind in KINDS if any(row["class"] == kind for row in rows)]
              + [_of_class("all", rows)]),
        "best chosen: how many layers get the way that no other beats; family missed: how many "
        "would be faster with another family, by more than 1.02.\n",
        "The worst:\n",
        table(["layer", "class", "chosen", "best", "×", "µs", "µs, best", "cycles by estimate",
               "of the best"],
              [_worst(row) for row in sorted(rows, key=lambda row: -row["regret"])[:10]], left=4),
    ]
    return "\n".join(parts)


def _of_class(kind: str, rows: list[Row]) -> list[str]:
    regrets = [row["regret"] for row in rows]
    missed = sum(
        row["regret"] > 1.02 and row["chosen"]["family"] != row["best"]["family"] for row in rows)
    return [kind, str(len(rows)), f"{sum(regrets) / len(rows):.3f}", f"{max(regrets):.2f}",
            str(sum(regret == 1 for regret in regrets)), str(missed)]


def _worst(row: Row) -> list[str]:
    chosen, best = row["chosen"], row["best"]
    cycles = [f"{one['cycles']:,.0f}" if one["cycles"] else "–" for one in (chosen, best)]
    return [row["layer"], row["class"], chosen["words"], best["words"], f"{row['regret']:.2f}",
            f"{chosen['seconds'] * 1e6:.1f}", f"{best['seconds'] * 1e6:.1f}", *cycles]


# ---- the command --------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The options of ``gconv bench --choices``."""
    options = Parser("--choices", __doc__)
    options.add_argument(
        "--layers", type=count, default=100, metavar="N", help="how many layers (100)"
    )
    options.add_argument(
        "--seed", type=int, default=0, metavar="S", help="other layers for every number (0)"
    )
    options.add_argument(
        "--classes", type=_kinds, default=KINDS, metavar="KIND,KIND",
        help=f"which of {', '.join(KINDS)} (all)",
    )
    add_threads(options, 1)
    options.add_argument("--json", type=writable, metavar="FILE", help="write every time here")
    options.add_argument("--markdown", type=writable, metavar="FILE", help="write the tables here")
    options.add_argument(
        "--read", type=_results, nargs="+", metavar="FILE",
        help="measure nothing: the tables of these files that --json has written, together",
    )
    return options


def _results(text: str) -> Row:
    try:
        results: Row = json.loads(Path(text).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text} cannot be read: {error}") from error
    return results


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(text.split(","))
    for kind in kinds:
        if kind not in KINDS:
            raise argparse.ArgumentTypeError(
                f"no class {kind!r}; there are {', '.join(KINDS)}")
    return kinds


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print or write what was asked for, return the exit status."""
    arguments = parser().parse_args(argv)
    if arguments.read:
        results = together(arguments.read)
        write_json(results, arguments.json)
    else:
        results = measured(arguments)
    if arguments.markdown:
        arguments.markdown.write_text(markdown(results), encoding="utf-8")
    else:
        print(markdown(results))
    return 0


def measured(arguments: argparse.Namespace) -> Row:
    """Results of new layers, written after each of them: an interrupted run is not lost."""
    warm_allocator()
    engine = isa.machine(np.dtype(np.float32))
    layers = generate(arguments.layers, arguments.seed, arguments.classes)
    results: Row = {
        **machine.description(["gconv"]),
        "isa": engine.isa,
        "tuning": engine.tuning.name,
        "threads": arguments.threads,
        "rows": [],
    }
    for layer in tracked(layers, lambda layer: f"{layer.kind}: {layer}"):
        row = measure(layer, arguments.threads)
        results["rows"].append({"seed": arguments.seed, **row})
        write_json(results, arguments.json)
    return results


def write_json(results: Row, path: Path | None) -> None:
    """Into a file, where one is wanted."""
    if path is not None:
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def together(runs: Sequence[Row]) -> Row:
    """Results of several runs as one, with the head of the last."""
    return {**runs[-1], "rows": [row for run in runs for row in run["rows"]]}


if __name__ == "__main__":
    raise SystemExit(main())
