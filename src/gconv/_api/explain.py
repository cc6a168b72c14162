"""What a layer will do with an input, in words and numbers, without doing it.

Nothing is decided here: every number is read off the plan that a call would use, or counted
from it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

from gconv._call import isa
from gconv._call.arrays import Array
from gconv._call.geometry import Activation, Parameters, Shape
from gconv._plan import choose
from gconv._plan.items import balance
from gconv._plan.problem import Triple, problem_of


@dataclass(frozen=True)
class Verdict:
    """What a kernel family says of a problem.

    Attributes
    ----------
    family : str
    refusal : str
        Why it cannot serve; empty where it can.
    cycles : float or None
        Of one image, with its best tile, by estimate; None where it refuses. Infinity: serves where
        no other does.
    tile_rows, tile_vectors : int
        That tile; 0 where it refuses.
    """

    family: str
    refusal: str
    cycles: float | None
    tile_rows: int
    tile_vectors: int

    @classmethod
    def of(cls, verdict: choose.Verdict) -> Self:
        """In public terms."""
        if verdict.refusal:
            return cls(verdict.family.name, verdict.refusal, None, 0, 0)
        cycles, tile = min(verdict.costs, key=lambda cost: cost[0])
        return cls(verdict.family.name, "", cycles, tile.rows, tile.vectors)

    def __str__(self) -> str:
        if self.cycles is None:
            return self.refusal
        if math.isinf(self.cycles):
            return "where no other serves"
        return f"{self.cycles:,.0f} cycles, tiles of {self.tile_rows} x {self.tile_vectors}"


@dataclass(frozen=True, repr=False)
class Explanation:
    """How a layer computes an input of one shape; `print` it, or take `as_dict`.

    Attributes
    ----------
    operator : str
    x_shape, weight_shape, y_shape : tuple of int
    groups : int
    activation : str, tuple or None
        What is done to the sums.
    dtype, instruction_set, tuning : str
        The tuning record says what the estimates take for granted about the CPU.
    lanes : int
        Elements of the dtype in a vector.
    kernel : str
        The kernel family, in words.
    tile_rows, tile_vectors : int
        The largest register tile.
    tile_rows_over, tile_vectors_over : str
        What these run over.
    in_place : bool
        Whether tiles read x itself; otherwise a panel, a copy of what a work item reads, padded
        or with its channels last.
    panel_bytes : int
        0 where x is read in place.
    out_size, band, bands : (int, int, int)
        Depth, rows, columns: of an image's output (a pointwise convolution has one long row),
        of a band, and into how many bands each axis is cut.
    slices : int
        Work items that share a band, rows or planes of it. Those that a thread takes at once are
        computed together.
    group_block, group_blocks : int
        Groups of a work item at most, and blocks of them.
    channel_block, channel_blocks : int
        Output channels (of one group) of a work item at most, and blocks of them in a group.
    in_block : int
        Input channels (of one group) that are summed before the next ones.
    items_per_image, items : int
        Work items of one image, and of the batch.
    threads : int
        Threads that share them; a call too small to be worth waking them uses one.
    balance : float
        The most work of a thread over the mean: 1 is perfect, `threads` is one thread doing
        everything.
    scratch_bytes_per_thread, scratch_bytes : int
        Memory that is reused by every call.
    packed_weight_bytes : int
        The layer's packed copy of the weights; 0 where the kernel reads them as they are.
    flops, flops_inside : int
        Two for every tap, and two for every tap that meets an element of the image: those in
        padding of zeros do not.
    compulsory_bytes : int
        x, weight and bias read once, y written once.
    why : tuple of Verdict
        What every kernel family said of the problem, where that was asked for.
    """

    operator: str
    x_shape: Shape
    weight_shape: Shape
    y_shape: Shape
    groups: int
    activation: Activation | None
    dtype: str
    instruction_set: str
    tuning: str
    lanes: int
    kernel: str
    tile_rows: int
    tile_rows_over: str
    tile_vectors: int
    tile_vectors_over: str
    in_place: bool
    panel_bytes: int
    out_size: Triple
    band: Triple
    bands: Triple
    slices: int
    group_block: int
    group_blocks: int
    channel_block: int
    channel_blocks: int
    in_block: int
    items_per_image: int
    items: int
    threads: int
    balance: float
    scratch_bytes_per_thread: int
    scratch_bytes: int
    packed_weight_bytes: int
    flops: int
    flops_inside: int
    compulsory_bytes: int
    why: tuple[Verdict, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name: numbers, strings and tuples."""
        return asdict(self)

    def __str__(self) -> str:
        dimensions = len(self.weight_shape) - 2

        def extents(sizes: Triple) -> str:
            return " x ".join(map(str, sizes[-dimensions:]))

        lines = {
            "kernel": f"{self.kernel} on {self.instruction_set}, {self.lanes} lanes of "
            f"{self.dtype}{self._tile()}",
            "input": "read in place"
            if self.in_place
            else f"through a panel of {_bytes(self.panel_bytes)}",
            "work item": f"{_counted(self.group_block, 'group')} of {self.groups}, "
            f"{_counted(self.channel_block, 'output channel')} of "
            f"{self.y_shape[-dimensions - 1] // self.groups}, {extents(self.band)} of "
            f"{extents(self.out_size)} outputs",
            "work items": f"{self.items_per_image} an image (group blocks {self.group_blocks}, "
            f"bands {extents(self.bands)}, channel blocks {self.channel_blocks}"
            f"{f', slices {self.slices}' if self.slices > 1 else ''}), "
            f"{self.items} in all",
            "threads": f"{self.threads}, balance {self.balance:.3f} (most work over mean)",
            "scratch": f"{_bytes(self.scratch_bytes_per_thread)} a thread, "
            f"{_bytes(self.scratch_bytes)} in all",
            "weights": "read as they are"
            if self.packed_weight_bytes == 0
            else f"packed, {_bytes(self.packed_weight_bytes)}",
            "arithmetic": f"{self.flops / 1e6:,.3f} MFLOP, "
            f"{self.flops_inside / 1e6:,.3f} of them inside the image",
            "memory": f"at least {_bytes(self.compulsory_bytes)} read and written",
        }
        activation = "" if self.activation is None else f", activation={self.activation!r}"
        head = (
            f"{self.operator}: x {self.x_shape}, weight {self.weight_shape}, "
            f"groups={self.groups}{activation} -> {self.y_shape}"
        )
        text = [head, *(f"  {name:<12}{words}" for name, words in lines.items())]
        if self.why:
            text += ["  estimates of one image, by family"]
            text += [f"    {verdict.family:<24}{verdict}" for verdict in self.why]
        return "\n".join(text)

    __repr__ = __str__

    def _tile(self) -> str:
        if self.tile_rows_over == self.tile_vectors_over:  # no tiles: one output at a time
            return ""
        return (
            f", tiles of {self.tile_rows} {self.tile_rows_over} x "
            f"{_counted(self.tile_vectors, 'vector')} of {self.tile_vectors_over}"
        )


def explain(
    parameters: Parameters,
    weight: Array,
    bias: Array | None,
    shape: Shape,
    threads: int,
    channel_major: bool = False,
    why: bool = False,
) -> Explanation:
    """What a layer does with an x of a given shape in C order."""
    geometry = parameters.applied_to(shape, weight.itemsize)
    x_shape = (geometry.batch, geometry.in_channels, *geometry.in_size)
    sizes = [
        math.prod(max(extent, 1) for extent in x_shape[axis + 1 :])
        for axis in range(1, len(x_shape))
    ]
    # From an image to the next: 0, as no plan depends on it.
    strides = (0, *(size * weight.itemsize for size in sizes))
    machine = isa.machine(weight.dtype)
    layout = choose.plan_for(
        geometry, weight.dtype, strides, machine, channel_major=channel_major).layout
    family = layout.family
    kernel, rows_over, vectors_over = family.says(layout)
    elements = math.prod(x_shape) + weight.size + math.prod(geometry.out_shape)
    elements += 0 if bias is None else bias.size
    in_elements = tuple(stride // weight.itemsize for stride in strides)
    problem = problem_of(geometry, in_elements, channel_major=channel_major)
    scratch = layout.regions.bytes
    return Explanation(
        operator=geometry.operator,
        x_shape=shape,
        weight_shape=weight.shape,
        y_shape=geometry.out_shape,
        groups=geometry.groups,
        activation=geometry.activation,
        dtype=weight.dtype.name,
        instruction_set=machine.isa,
        tuning=machine.tuning.name,
        lanes=layout.lanes,
        kernel=kernel,
        tile_rows=layout.tile.rows,
        tile_rows_over=rows_over,
        tile_vectors=layout.tile.vectors,
        tile_vectors_over=vectors_over,
        in_place=layout.in_place,
        panel_bytes=layout.panel_bytes,
        out_size=layout.p.out_size,
        band=layout.band,
        bands=layout.bands,
        slices=layout.slices,
        group_block=layout.group_block,
        group_blocks=layout.group_blocks,
        channel_block=layout.channel_block,
        channel_blocks=layout.channel_blocks,
        in_block=layout.in_block,
        items_per_image=layout.items,
        items=layout.items * geometry.batch,
        threads=threads,
        balance=balance(layout, geometry.batch, threads),
        scratch_bytes_per_thread=scratch,
        scratch_bytes=scratch * threads,
        packed_weight_bytes=0
        if family.pack_key(layout) is None
        else family.packed_size(layout) * weight.itemsize,
        flops=geometry.flops * geometry.batch,
        flops_inside=family.flops_inside(layout) * geometry.batch,
        compulsory_bytes=elements * weight.itemsize,
        why=tuple(
            Verdict.of(verdict) for verdict in choose.verdicts(problem, machine)) if why else (),
    )


# ---- words -------------------------------------------------------------------------------------


def _bytes(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    if count < 1024**2:
        return f"{count / 1024:.1f} KiB"
    return f"{count / 1024**2:,.1f} MiB"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
