"""Any operator of ONNX's, run by onnx.reference as a model of one node.

It is slow and right, but for a few operators that are corrected here. Functions of the operator
set that onnx.reference does not know by name it expands by itself. Values that float16 models
hold are float32 by the time they come here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.reference
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun
from onnx.reference.ops.op_conv_transpose import ConvTranspose as OnnxConvTranspose
from onnx.reference.ops.op_resize import Resize as OnnxResize

from gconv.onnx.graph import Graph, Node
from gconv.onnx.resizing import coordinates


class Pad(OpRun):  # type: ignore[misc]
    """Pad, whose negative pads take away, which onnx.reference refuses."""

    def _run(
        self,
        x: NDArray[Any],
        pads: Any = None,
        constant_value: Any = None,
        axes: Any = None,
        mode: Any = None,
        value: float | None = None,
    ) -> tuple[NDArray[Any]]:
        axes = range(x.ndim) if axes is None else [int(axis) % x.ndim for axis in axes]
        pads = [int(pad) for pad in pads]
        pairs, cut = [(0, 0)] * x.ndim, [slice(None)] * x.ndim
        for axis, before, after in zip(axes, pads, pads[len(pads) // 2 :], strict=False):
            pairs[axis] = (max(before, 0), max(after, 0))
            end = max(x.shape[axis] + min(after, 0), 0)
            cut[axis] = slice(max(-before, 0), end)
        x = x[tuple(cut)]
        if mode is not None and mode != "constant":
            return (np.pad(x, pairs, mode),)
        if constant_value is None:
            constant_value = value or 0
        filling = np.asarray(constant_value).astype(x.dtype).item()
        return (np.pad(x, pairs, constant_values=filling),)


class ConvTranspose(OnnxConvTranspose):  # type: ignore[misc]
    """ConvTranspose with groups, which onnx.reference takes apart at the wrong places."""

    def _run(
        self,
        x: NDArray[Any],
        weight: NDArray[Any],
        bias: NDArray[Any] | None = None,
        group: int | None = None,
        **attributes: Any,
    ) -> tuple[NDArray[Any]]:
        group = group or 1
        biases = [None] * group if bias is None else np.split(bias, group)
        parts = zip(np.split(x, group, 1), np.split(weight, group), biases, strict=True)
        results = [super(ConvTranspose, self)._run(*part, group=1, **attributes) for part in parts]
        return (np.concatenate([result for (result,) in results], 1).astype(x.dtype),)


class Resize(OnnxResize):  # type: ignore[misc]
    """Resize, cubic a whole axis at a time: onnx.reference goes from element to element."""

    def _run(
        self,
        x: NDArray[Any],
        roi: Any = None,
        scales: Any = None,
        sizes: Any = None,
        **attributes: Any,
    ) -> tuple[NDArray[Any]]:
        where = attributes.get("coordinate_transformation_mode") or "half_pixel"
        policy = attributes.get("keep_aspect_ratio_policy") or "stretch"
        given = scales if scales is not None and len(scales) else sizes
        if (
            attributes.get("mode") == "cubic" and not attributes.get("antialias")
            and x.dtype.kind == "f" and policy == "stretch"
            and coordinates(where, 1, 1, 1.0) is not None and given is not None
        ):
            axes = attributes.get("axes") or range(x.ndim)
            a = attributes.get("cubic_coeff_a")
            outside = not attributes.get("exclude_outside")
            for axis, number in zip(axes, given, strict=True):
                size = x.shape[axis]
                out = int(number) if given is sizes else math.floor(size * number)
                scale = out / size if given is sizes else float(number)
                if out != size or scale != 1:
                    places = coordinates(where, size, out, scale)
                    assert places is not None
                    x = cubic(x, axis, places, -0.75 if a is None else a, outside)
            return (x,)
        result: tuple[NDArray[Any]] = super()._run(x, roi, scales, sizes, **attributes)
        return result


def cubic(
    x: NDArray[Any], axis: int, places: NDArray[Any], a: float, outside: bool
) -> NDArray[Any]:
    """The values of x at places between its elements along an axis, from four neighbours each.

    `a` is the slope of the kernel at a distance of 1. Elements `outside` of x are those at its
    ends; without them the weights of the others make up for theirs.
    """
    first = np.floor(places).astype(np.int64) - 1
    positions = first + np.arange(4)[:, None]
    distance = np.abs(places - positions)
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0))
    last = x.shape[axis] - 1
    if not outside:
        weights *= (positions >= 0) & (positions <= last)
        weights /= weights.sum(axis=0)
    along = [1] * x.ndim
    along[axis] = -1
    y: Any = 0
    for position, weight in zip(np.clip(positions, 0, last), weights, strict=True):
        y = y + x.take(position, axis) * weight.astype(x.dtype).reshape(along)
    return np.asarray(y)


class BatchNormalization(OpRun):  # type: ignore[misc]
    """BatchNormalization from opset 7 on. Before opset 14 onnx.reference mixes what it has been
    given with the statistics of the batch, which are wanted only where more than one result is."""

    def _run(
        self,
        x: NDArray[Any],
        scale: NDArray[Any],
        bias: NDArray[Any],
        mean: NDArray[Any],
        var: NDArray[Any],
        epsilon: float | None = None,
        momentum: float | None = None,
        training_mode: int | None = None,
        spatial: int | None = None,
    ) -> tuple[NDArray[Any], ...]:
        epsilon = 1e-5 if epsilon is None else epsilon
        kept = 0.9 if momentum is None else momentum
        by_channel = (-1, *[1] * (x.ndim - 2)) if spatial is None or spatial else x.shape[1:]
        statistics: list[NDArray[Any]] = []
        if training_mode or len(self.onnx_node.output) > 1:
            others = tuple(axis for axis in range(x.ndim) if axis != 1 or spatial == 0)
            batch = x.mean(axis=others), x.var(axis=others)
            statistics = [
                (old * kept + new.reshape(old.shape) * (1 - kept)).astype(old.dtype)
                for old, new in zip((mean, var), batch, strict=True)
            ]
            statistics += [new.astype(x.dtype) for new in batch]
            mean, var = batch
        scale, bias, mean, var = (
            value.reshape(by_channel) for value in (scale, bias, mean, var))
        y = scale * (x - mean) / np.sqrt(var + epsilon) + bias
        return (y.astype(x.dtype), *statistics[: len(self.onnx_node.output) - 1])


CORRECTED = [Pad, ConvTranspose, Resize, BatchNormalization]


class Reference:
    """One node of ONNX's, ready to run; several threads may call it at once.

    Parameters
    ----------
    node : Node
    graph : Graph
        The graph that it belongs to, or did: opsets, functions, types of values.

    Attributes
    ----------
    reads : list of str
        The values that a call takes, in this order: inputs without those left out, then what
        subgraphs read from outside; each once.
    writes : list of str
        The values that a call returns, in this order.

    Raises
    ------
    ValueError
        If onnx.reference has no implementation of the operator.
    """

    def __init__(self, node: Node, graph: Graph) -> None:
        assert node.proto is not None
        self.reads = list(dict.fromkeys(node.reads))
        self.writes = list(node.writes)
        proto = onnx.NodeProto()
        proto.CopyFrom(node.proto)
        proto.input[:] = node.inputs  # rewrites may have renamed them
        proto.output[:] = node.outputs
        self._node = node
        self._evaluator = self._make(proto, graph)

    def _make(self, proto: onnx.NodeProto, graph: Graph) -> onnx.reference.ReferenceEvaluator:
        model = onnx.helper.make_model(
            onnx.helper.make_graph(
                [proto],
                "node",
                [_declared(name, graph) for name in self.reads],
                [onnx.helper.make_empty_tensor_value_info(name) for name in self.writes],
            ),
            opset_imports=[onnx.helper.make_opsetid(*item) for item in graph.opsets.items()],
            ir_version=max(graph.ir_version, 3),
            functions=graph.functions,
        )
        try:
            return onnx.reference.ReferenceEvaluator(model, new_ops=CORRECTED)
        except Exception as error:
            raise ValueError(
                f"{graph.describe(self._node)}: onnx.reference of onnx {onnx.__version__} cannot "
                f"run this version of the operator of the domain {proto.domain or 'ai.onnx'!r}"
            ) from error

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        """Compute the results; they may share memory with the values."""
        feeds = dict(zip(self.reads, values, strict=True))
        with np.errstate(all="ignore"):
            results: list[Any] = self._evaluator.run(self.writes, feeds)
        return results


def _declared(name: str, graph: Graph) -> onnx.ValueInfoProto:
    """A declaration of a value; its type selects the function that some operators stand for."""
    info = graph.infos.get(name)
    if info is None or info.kind != "tensor" or info.dtype == object:
        return onnx.helper.make_empty_tensor_value_info(name)
    dtype = onnx.helper.np_dtype_to_tensor_dtype(info.dtype)
    return onnx.helper.make_tensor_value_info(name, dtype, info.shape)
