"""What a grid of register tiles costs, in cycles of one image."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gconv._plan.family import Choice
    from gconv._plan.machine import Machine
    from gconv._plan.problem import Problem
    from gconv._plan.tuning import Tuning


class Tile(NamedTuple):
    """A register tile of a family: its rows and vectors, and which kind where it has several. That
    of a wrapper holds the choice of what it wraps."""

    rows: int
    vectors: int
    kind: str = ""
    inner: Choice | None = None


Costs = list[tuple[float, Tile]]  # cycles of one image with each tile


def grid_of(most_vectors: dict[int, int]) -> list[tuple[int, int]]:
    """All (rows, vectors), of the most vectors for each number of rows."""
    return [(rows, n) for rows, most in most_vectors.items() for n in range(1, most + 1)]


@lru_cache(maxsize=4096)
def split(total: int, most: int) -> tuple[tuple[int, int], ...]:
    """`total` in the fewest parts of at most `most`, as equal as can be: (count, size)."""
    return parted(total, -(-total // most))


def parted(total: int, parts: int) -> tuple[tuple[int, int], ...]:
    """`total` in so many parts, as equal as can be: (count, size)."""
    size, larger = divmod(total, parts)
    return tuple((n, s) for n, s in ((larger, size + 1), (parts - larger, size)) if n)


def grid_costs(
    t: Tuning,
    widest: dict[int, int],
    rows: int | None,
    vectors: int,
    taps: float,
    vector_loads: float | list[float],
    waits: float = 0.0,
    starts: float = 0.0,
) -> list[tuple[float, int, int]]:
    """(cycles, rows, vectors) of each tile on a grid of rows x vectors sums; `widest` are the most
    vectors for each number of rows of a tile.

    A tile starts two multiply-adds or two loads a cycle, and a sum waits for the one before it.
    To start and to end a tile costs something for each sum, and something for the loop. Rows
    of None count a fraction of a tile for each row: they go on from strip to strip.
    `vector_loads` are the loads for a vector of x, one number or one for each width of a tile;
    `waits` are cycles for each vector of x beyond these, `starts` for each tile.
    """
    each = [vector_loads] * (1 + max(widest.values())) if not isinstance(
        vector_loads, list) else vector_loads
    of_tile: dict[tuple[int, int], float] = {}  # (rows, vectors): the cycles of one

    def cycles_of(r: int, v: int) -> float:
        busy = max(r * v / 2, (r + v * each[v]) / 2, t.latency, r * v / 2 + t.issue * (2 * r + v))
        if r > 1 and r * v + v >= t.full_tile:
            busy *= t.full
        of_tile[r, v] = cycles = (
            taps * busy + t.sum_cycles * r * v + t.tile_start + starts + waits * v)
        return cycles

    found = []
    for tile_rows, most in widest.items():
        down = ((1 / tile_rows, tile_rows),) if rows is None else split(rows, tile_rows)
        for tile_vectors in range(1, most + 1):
            cycles = 0.0
            across = split(vectors, tile_vectors)
            for n, r in down:
                for m, v in across:
                    cycles += n * m * (of_tile.get((r, v)) or cycles_of(r, v))
            found.append((cycles, tile_rows, tile_vectors))
    return found


def panel_cycles(t: Tuning, p: Problem, machine: Machine, planes: int, rows: int) -> float:
    """To copy so many rows of so many planes into a panel, by phase of the columns. Of a
    channels-last x each element is gathered; siblings do so once, which the wrapper round them
    counts."""
    phases = min(p.stride[2], p.source_reach[2] + 1)
    pieces = 1 if p.stride[2] == 2 else phases  # both phases of a row are written in one pass
    if p.channels_last:
        each = near_or_far(t.gather_cycles, p, machine) if p.alone else 0.0
    else:
        vectors = p.stride[2] == 1 or (p.stride[2] == 2 and p.out_size[2] > machine.lanes)
        each = t.copy_cycles / machine.lanes if vectors else t.copy_element_cycles
    row = pieces * t.copy_row_cycles + phases * p.out_size[2] * each
    return planes * (t.copy_plane_cycles + rows * row)


def slots_read(p: Problem, axis: int) -> int:
    """Rows (or planes) of a panel for all outputs: from the first that is read to the last, or one
    for each pair of output row and kernel row where that is less."""
    outputs, kernel = p.out_size[axis], p.kernel[axis]
    return min((outputs - 1) * p.stride[axis] + p.source_reach[axis] + 1, outputs * kernel)


def near_or_far(cycles: tuple[float, float], p: Problem, machine: Machine) -> float:
    """The first where x and y are in the second-level cache, the second where they are not."""
    elements = p.groups * (p.in_channels * p.inputs + p.out_channels * p.pixels)
    return cycles[elements * machine.itemsize > machine.tuning.l2_bytes]
