"""Tables, targets and the README's section of a run of whole models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gconv._bench.contenders.whole_models import RUNNERS
from gconv._bench.ratios import Row, fastest, geometric_mean, ratio
from gconv._bench.report import origin, table, target_table
from gconv._bench.targets import Outcome, Target, outcome
from gconv._bench.timing import DISTURBED

OURS = "session"

# Load time is asked of models about as large as ResNet-50.
LOADED_WEIGHTS = 20e6, 30e6
MOST_LOAD_SECONDS = 1.5
# Of a run, outside convolutions and matrix products, by threads.
MOST_OUTSIDE = {1: 0.08, 2: 0.12}


def groups_of(results: dict[str, Any]) -> dict[tuple[int, int], list[Row]]:
    """The rows of each batch and thread count."""
    groups: dict[tuple[int, int], list[Row]] = {}
    for row in results["rows"]:
        groups.setdefault((row["batch"], row["threads"]), []).append(row)
    return dict(sorted(groups.items()))


def circumstances(batch: int, threads: int) -> str:
    """As in headings."""
    return f"batch {batch}, {threads} thread{'s' if threads > 1 else ''}"


# ---- targets -----------------------------------------------------------------------------------


def to_best(row: Row, *, direct: bool = False) -> float | None:
    """How many times faster the session is than the fastest peer."""
    return ratio(row, OURS, fastest(row, direct=direct, contenders=RUNNERS))


def _of(kind: str, value: Callable[[Row], float | None]) -> Callable[[Row], float | None]:
    return lambda row: value(row) if row["kind"] == kind else None


def _load_seconds(row: Row) -> float | None:
    low, high = LOADED_WEIGHTS
    return row["load"].get(OURS) if low <= row["weights"] <= high else None


def _growth(row: Row) -> float | None:
    ours, theirs = row["growth"].get(OURS), row["growth"].get("onnxruntime")
    return ours / theirs if ours and theirs else None


def targets(batch: int, threads: int) -> Iterator[Target]:
    """Those of one table."""
    yield Target("nets of grouped convolutions, each × best peer", 1.0, _of("grouped", to_best))
    if batch == 1:
        yield Target(
            "nets of grouped convolutions, × best peer, mean", 1.1, _of("grouped", to_best),
            mean=True,
        )
    yield Target(
        "dense nets, each × best direct peer", 1.0,
        _of("dense", lambda row: to_best(row, direct=True)),
    )
    yield Target(
        "nets of small nodes, × ONNX Runtime", 1.0,
        _of("small", lambda row: ratio(row, OURS, "onnxruntime")),
    )
    if threads in MOST_OUTSIDE and batch == 1:
        yield Target(
            "grouped and dense nets, share outside convolutions and matrix products",
            MOST_OUTSIDE[threads],
            lambda row: None if row["kind"] == "small" else row["outside"],
            at_most=True,
        )
    yield Target(
        "every net, growth of the resident set, of ONNX Runtime's", 1.0, _growth, at_most=True
    )
    yield Target(
        "nets of 20 to 30 million weights, seconds to load", MOST_LOAD_SECONDS, _load_seconds,
        at_most=True,
    )


def outcomes(results: dict[str, Any]) -> dict[tuple[int, int], list[Outcome]]:
    """All targets, by batch and threads."""
    return {
        key: [outcome(target, rows, "model") for target in targets(*key)]
        for key, rows in groups_of(results).items()
    }


# ---- tables ------------------------------------------------------------------------------------


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _milliseconds(seconds: float) -> str:
    ms = seconds * 1e3
    return f"{ms:.{max(0, 3 - len(str(int(ms))))}f}"


def _present(rows: list[Row]) -> list[str]:
    return [name for name in RUNNERS if any(name in row["seconds"] for row in rows)]


def _times(row: Row, names: list[str]) -> list[str]:
    """Milliseconds of everyone; the fastest peer in bold."""
    best = fastest(row, contenders=RUNNERS)
    cells = []
    for name in names:
        if name not in row["seconds"]:
            cells.append("–")
            continue
        cell = _milliseconds(row["seconds"][name])
        cell = f"**{cell}**" if name == best else cell
        cell += " †" if row["errors"][name] > 1 else ""
        cells.append(cell + (" ‡" if row["waited"][name] > DISTURBED else ""))
    return cells


def time_table(rows: list[Row]) -> str:
    """Milliseconds, the ratios to the best peers, and what share of a run is not arithmetic."""
    names = _present(rows)
    header = ["model", *(RUNNERS[name].title for name in names)]
    header += ["× best direct", "× best", "outside"]
    lines = [
        [
            row["model"], *_times(row, names), _number(to_best(row, direct=True)),
            _number(to_best(row)),
            "–" if row["outside"] is None else f"{100 * row['outside']:.1f} %",
        ]
        for row in rows
    ]
    return table(header, lines)


def cost_table(rows: list[Row]) -> str:
    """Seconds to load and MiB by which the resident set grows."""
    names = _present(rows)
    lines = []
    for row in rows:
        cells = []
        for name in names:
            seconds, growth = row["load"].get(name), row["growth"].get(name)
            shown = "–" if growth is None else f"{growth / 2**20:.0f}"
            cells.append("–" if seconds is None else f"{seconds:.2f} / {shown}")
        lines.append([row["model"], f"{row['weights'] / 1e6:.1f}", *cells])
    return table(["model", "M weights", *(RUNNERS[name].title for name in names)], lines)


def heading(results: dict[str, Any]) -> str:
    """One paragraph: where results are from, and what was measured."""
    return f"{origin(results)} float32, lower quartile of {results['rounds']} rounds.\n"


def markdown(results: dict[str, Any]) -> str:
    """The whole report."""
    parts = ["# Whole models\n", heading(results)]
    found = outcomes(results)
    for key, rows in groups_of(results).items():
        parts.append(f"## {circumstances(*key)[0].upper()}{circumstances(*key)[1:]}\n")
        if any(OURS in row["seconds"] for row in rows):
            parts.append(target_table(found[key], "gconv session"))
        parts += ["Milliseconds:\n", time_table(rows)]
        parts += ["Seconds to load / MiB more in the resident set:\n", cost_table(rows)]
    skipped = {
        f"{RUNNERS[name].title} without {row['model']}: {reason}"
        for row in results["rows"] for name, reason in row["skipped"].items()
    }
    parts += [f"- {line}\n" for line in sorted(skipped)]
    parts.append(
        "Each contender in a process of its own, in turn with the others, random weights. "
        "**Bold**: the fastest peer. × best direct, × best: the session's speed over that of the "
        "fastest peer that computes the sums as they stand (MNN has Winograd's algorithm), and "
        "over that of the fastest peer. outside: the share of the session's run that is neither "
        "convolution nor matrix product. Load: from the file, imports apart; of torch.compile "
        "with compiling. More in the resident set: from the imports to after three runs. "
        "†: off by more than its precision explains, not counted as a peer. ‡: its threads had "
        "to wait for a core, so the time is too long. Results were checked against PyTorch in "
        "float64. Means are geometric.\n"
    )
    return "\n".join(parts)


def readme_section(results: dict[str, Any]) -> str:
    """The README's section: milliseconds at batch 1, and the ratio to the fastest peer."""
    groups = {key: rows for key, rows in groups_of(results).items() if key[0] == 1}
    rows = [row for members in groups.values() for row in members if OURS in row["seconds"]]
    names = _present(rows)
    models = list(dict.fromkeys(row["model"] for row in rows))
    lines = [
        [row["model"], str(row["threads"]), *_times(row, names), _number(to_best(row))]
        for model in models
        for row in rows
        if row["model"] == model
    ]
    means = ", ".join(
        f"{_number(geometric_mean(map(to_best, members)))} on {threads}"
        for (_, threads), members in groups.items()
    )
    header = ["model", "threads", *(RUNNERS[name].title for name in names), "× fastest"]
    return (
        "Milliseconds for one image, each library in a process of its own, in turn with the "
        "others; **bold**: the fastest of them; × fastest: how many times faster gconv is. "
        f"Geometric mean of that, by threads: {means}.\n\n"
        + table(header, lines, left=1)
        + f"\n{heading(results)}"
    )
