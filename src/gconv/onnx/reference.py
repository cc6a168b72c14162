"""Any operator of ONNX's, run by onnx.reference as a model of one node.

It is slow and right, but for a few operators that are corrected here. Functions of the operator
set that onnx.reference does not know by name it expands by itself. Values that float16 models
hold are float32 by the time they come here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.reference
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun
from onnx.reference.ops.op_conv_transpose import ConvTranspose as OnnxConvTranspose

from gconv.onnx.graph import Graph, Node


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


CORRECTED = [Pad, ConvTranspose]


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
