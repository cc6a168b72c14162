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
    x = without_empty_channels(operands.x, int(geometry.batched))
    token = tokenize(kind.__name__, parameters, operands.weight, operands.bias)
    name = f"{geometry.operator}-{tokenize(token, x, operands.residual, num_threads)}"
    axes = [
        blocks(axis, chunks)
        for axis, chunks in zip(
            axes_of(geometry, parameters.output_padding), x.chunks[-len(geometry.kernel) :],
            strict=True,
        )
    ]
    lead = x.chunks[: -len(geometry.kernel)]  # the batch, if there is one, and the channels
    inputs = geometry.in_channels // geometry.groups
    groups = [size // inputs for size in lead[-1]] if inputs else [geometry.groups]
    outputs = geometry.out_channels // geometry.groups
    if extra_axis is None:
        channels: tuple[tuple[int, ...], ...] = (tuple(n * outputs for n in groups),)
    else:
        channels = (lead[-1], (extra_axis,))
    out_chunks = (
        *lead[:-1], *channels, *(tuple(block.outputs for block in axis) for axis in axes)
    )
    residual = operands.residual
    if residual is not None:
        if isinstance(residual, da.Array):
            residual = residual.rechunk(out_chunks)
        else:
            residual = da.from_array(residual, chunks=out_chunks)
    graph: dict[Any, Any] = {}
    dependencies = [a for a in (x, residual) if a is not None]
    weights = f"weights-{token}"
    graph[weights] = weights_node(
        weights, kind, token, parameters, operands.weight, operands.bias, dependencies
    )
    first_groups = [0, *itertools.accumulate(groups)]
    mode = geometry.padding_mode
    for lead_index in itertools.product(*(range(len(sizes)) for sizes in lead)):
        sizes = tuple(chunk[i] for chunk, i in zip(lead, lead_index, strict=True))
        of_groups = first_groups[lead_index[-1]], groups[lead_index[-1]]
        extra = () if extra_axis is None else (0,)
        for index in itertools.product(*(range(len(axis)) for axis in axes)):
            chosen = [axis[i] for axis, i in zip(axes, index, strict=True)]
            pieces = list(itertools.product(*(block.pieces for block in chosen)))
            window = window_of(sizes, chosen, pieces, mode, of_groups)
            read = [reading(graph, name, x, lead_index, piece) for piece in pieces]
            key = (name, *lead_index, *extra, *index)
            beside = None if residual is None else TaskRef((residual.name, *key[1:]))
            graph[key] = Task(
                key, _tasks.convolve, TaskRef(weights), window, List(*read), beside, num_threads
            )
    layers = HighLevelGraph.from_collections(name, graph, dependencies=dependencies)
    return da.Array(
        layers, name, out_chunks, dtype=x.dtype.newbyteorder("="),
        meta=np.empty((0,) * len(out_chunks), x.dtype.newbyteorder("=")),
    )


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
    key: str,
    kind: type[_tasks.Convolution],
    token: str,
    parameters: Parameters,
    weight: Any,
    bias: Any,
    dependencies: list[da.Array],
) -> DataNode | Task:
    """The node of the weights. Where they are Dask arrays, a task makes it of them, and they are
    added to the dependencies."""
    if not any(isinstance(array, da.Array) for array in (weight, bias)):
        return DataNode(key, kind(token, parameters, weight, bias))
    given = []
    for array in (weight, bias):
        if not isinstance(array, da.Array):
            given.append(array)
            continue
        whole = array.rechunk(-1)
        dependencies.append(whole)
        given.append(TaskRef((whole.name, *(0,) * whole.ndim)))
    return Task(key, _tasks.kept, kind, token, parameters, *given)
