"""The graph of a convolution: a task for each chunk of the result, and one for each part of a
neighbouring chunk that it reads."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from dask._task_spec import DataNode, List, Task, TaskRef
from dask.base import tokenize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from gconv._call.geometry import Geometry, Parameters
from gconv.dask import _tasks
from gconv.dask._ranges import Block, Piece, axes_of, blocks


class Operands(NamedTuple):
    """The arrays of a call that has been validated; weight and bias are NumPy's or Dask's."""

    x: da.Array
    weight: Any
    bias: Any = None
    residual: Any = None


def convolution(
    kind: type[_tasks.Convolution],
    operands: Operands,
    parameters: Parameters,
    geometry: Geometry,
    num_threads: int | None,
    extra_axis: int | None = None,
) -> da.Array:
    """The result as a Dask array. `extra_axis` is the extent of an axis behind the channels of
    the result, which is one chunk."""
    dims = len(geometry.kernel)
    x = without_empty_channels(operands.x, int(geometry.batched))
    weights = weights_node(kind, operands, parameters)
    lead = x.chunks[:-dims]  # the batch, if there is one, and the channels
    axes = list(map(blocks, axes_of(geometry, parameters.output_padding), x.chunks[-dims:]))
    groups, channels = channel_chunks(lead[-1], geometry)
    if extra_axis is not None:
        channels = (lead[-1], (extra_axis,))
    out_chunks = (
        *lead[:-1], *channels, *(tuple(block.outputs for block in axis) for axis in axes)
    )
    residual = with_chunks(operands.residual, out_chunks)
    name = f"{geometry.operator}-{tokenize(weights.key, x, residual, num_threads)}"
    graph: dict[Any, Any] = {}
    for lead_index in itertools.product(*(range(len(sizes)) for sizes in lead)):
        sizes = tuple(chunk[i] for chunk, i in zip(lead, lead_index, strict=True))
        extra = () if extra_axis is None else (0,)
        for index in itertools.product(*(range(len(axis)) for axis in axes)):
            chosen = [axis[i] for axis, i in zip(axes, index, strict=True)]
            pieces = list(itertools.product(*(block.pieces for block in chosen)))
            window = window_of(
                sizes, chosen, pieces, geometry.padding_mode, groups[lead_index[-1]]
            )
            read = [reading(graph, name, x, lead_index, piece) for piece in pieces]
            key = (name, *lead_index, *extra, *index)
            beside = None if residual is None else TaskRef((residual.name, *key[1:]))
            graph[key] = Task(
                key, _tasks.convolve, TaskRef(weights.key), window, List(*read), beside,
                num_threads,
            )
    dependencies = [a for a in (x, weights, residual) if a is not None]
    layers = HighLevelGraph.from_collections(name, graph, dependencies=dependencies)
    dtype = x.dtype.newbyteorder("=")
    return da.Array(
        layers, name, out_chunks, dtype=dtype, meta=np.empty((0,) * len(out_chunks), dtype)
    )


def channel_chunks(
    sizes: Sequence[int], geometry: Geometry
) -> tuple[list[tuple[int, int]], tuple[tuple[int, ...], ...]]:
    """Of each chunk of channels: its first group and their number; and the chunks of output
    channels."""
    inputs = geometry.in_channels // geometry.groups
    outputs = geometry.out_channels // geometry.groups
    counts = [size // inputs for size in sizes] if inputs else [geometry.groups]
    firsts = itertools.accumulate(counts[:-1], initial=0)
    return list(zip(firsts, counts, strict=True)), (tuple(n * outputs for n in counts),)


def with_chunks(residual: Any, chunks: tuple[tuple[int, ...], ...]) -> da.Array | None:
    """A residual in the chunks of the result."""
    if residual is None:
        return None
    if isinstance(residual, da.Array):
        return residual.rechunk(chunks)
    return da.from_array(residual, chunks=chunks)


def without_empty_channels(x: da.Array, axis: int) -> da.Array:
    """x without chunks of no channels beside others, for there is no convolution of no groups."""
    sizes = tuple(size for size in x.chunks[axis] if size)
    return x.rechunk({axis: sizes}) if sizes and sizes != x.chunks[axis] else x


def window_of(
    sizes: Sequence[int],
    chosen: Sequence[Block],
    pieces: Sequence[tuple[Piece, ...]],
    mode: str,
    groups: tuple[int, int],
) -> _tasks.Window:
    """What the call for one chunk is given; `sizes` are those of its x beside the spatial ones."""
    return _tasks.Window(
        shape=(*sizes, *(block.size for block in chosen)),
        places=tuple(tuple(one.place for one in piece) for piece in pieces),
        padding=tuple(block.padding for block in chosen),
        padding_mode=mode if any(any(block.padding) for block in chosen) else "zeros",
        output_padding=tuple(block.output_padding for block in chosen),
        groups=groups,
    )


def reading(
    graph: dict[Any, Any],
    name: str,
    x: da.Array,
    lead_index: tuple[int, ...],
    piece: tuple[Piece, ...],
) -> TaskRef:
    """A reference to a piece of x: to a chunk, or to a task that cuts a part out of one."""
    source = (x.name, *lead_index, *(one.chunk for one in piece))
    if all(one.part is None for one in piece):
        return TaskRef(source)
    parts = [slice(None) if one.part is None else one.part for one in piece]
    written = ",".join(f"{s.start}:{s.stop}:{s.step}" for s in parts)
    key = (f"part-of-x-{name}", *source[1:], written)
    if key not in graph:
        graph[key] = Task(key, _tasks.cut_out, TaskRef(source), (..., *parts))
    return TaskRef(key)


def weights_node(
    kind: type[_tasks.Convolution], operands: Operands, parameters: Parameters
) -> Delayed:
    """The node of the weights, which graphs with the same ones share. Where they are Dask arrays,
    it is a task that makes it of them."""
    given = operands.weight, operands.bias
    token = tokenize(kind.__name__, parameters, given)
    key = f"weights-{token}"
    lazy = [array.rechunk(-1) for array in given if isinstance(array, da.Array)]
    if lazy:
        wholes = iter(lazy)
        arguments = [
            TaskRef(only_key(next(wholes))) if isinstance(array, da.Array) else array
            for array in given
        ]
        node = Task(key, _tasks.kept, kind, token, parameters, *arguments)
    else:
        node = DataNode(key, kind(token, parameters, *given))
    return Delayed(key, HighLevelGraph.from_collections(key, {key: node}, dependencies=lazy))


def only_key(array: da.Array) -> tuple[Any, ...]:
    """The key of an array of one chunk."""
    return (array.name, *(0,) * array.ndim)
