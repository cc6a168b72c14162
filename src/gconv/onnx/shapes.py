"""The shapes of all values, once the shapes of the inputs are known.

ONNX's shape inference answers for one node at a time; of our own operators there are formulas.
What depends on shapes and constants alone (a `Reshape` to sizes that were read off another value)
is computed here, once for each set of input shapes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx.checker
import onnx.shape_inference
from numpy.typing import NDArray

from gconv._call.geometry import Parameters, Shape
from gconv.onnx.checking import POOLS, NodeError, check_operands, check_result, naming
from gconv.onnx.constants import Constants
from gconv.onnx.graph import Graph, Node
from gconv.onnx.load import CEILED, first_line, inference_decides, reason_of

Array: TypeAlias = NDArray[Any]

MOST_FOLDED = 16 * 2**20  # bytes of a value that is kept with a plan: larger ones are computed
MOST_SMALL = 4096  # elements of a constant that shape inference is given: sizes, axes, scales
RANDOM = {
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial",
    "Bernoulli",
}
SHAPE_READERS = {"Shape", "Size"}  # their results depend on the shape of their input alone


@dataclass
class Shapes:
    """What is known of the values of some nodes before they run.

    Attributes
    ----------
    shape : dict of str to tuple of int
    dtype : dict of str to numpy.dtype
    folded : dict of str to array
        Values that depend on constants and shapes alone.
    planned : list of Node
        Nodes that still have to run, and the shapes of whose results are known.
    unplanned : list of Node
        Nodes that can run once the planned ones have run, but the shapes of whose results depend
        on data, or are no tensors.
    deferred : list of Node
        Nodes that read what those make.
    """

    shape: dict[str, Shape] = field(default_factory=dict)
    dtype: dict[str, np.dtype[Any]] = field(default_factory=dict)
    folded: dict[str, Array] = field(default_factory=dict)
    planned: list[Node] = field(default_factory=list)
    unplanned: list[Node] = field(default_factory=list)
    deferred: list[Node] = field(default_factory=list)

    def size(self, name: str) -> int:
        """Elements of a value."""
        return math.prod(self.shape[name])


def shapes_of(
    graph: Graph,
    nodes: Sequence[Node],
    given: Mapping[str, tuple[Shape, np.dtype[Any]] | None],
    constants: Constants,
    compute: Callable[[Node, list[Array | None]], list[Array]],
    unplannable: set[int],
) -> Shapes:
    """Walk nodes in their order.

    Parameters
    ----------
    graph : Graph
    nodes : sequence of Node
    given : mapping
        Shape and dtype of each value that comes from outside; None for what is no tensor.
    constants : Constants
    compute : callable
        Runs a node on arrays.
    unplannable : set of int
        Identities of nodes whose shapes inference does not know.
    """
    known = Shapes()
    opsets = [onnx.helper.make_opsetid(domain, version)
              for domain, version in graph.opsets.items()]
    for name, what in given.items():
        if what is not None:
            known.shape[name], known.dtype[name] = what
    for name, constant in constants.by_name.items():
        if name not in known.shape:
            known.shape[name], known.dtype[name] = constant.shape, constant.dtype
    late: set[str] = set()  # values that only the next plan can know
    objects = {name for name, what in given.items() if what is None}
    for node in nodes:
        reads = list(node.reads)
        if any(name in late for name in reads):
            known.deferred.append(node)
            late.update(node.writes)
            continue
        results = None
        with naming(graph, node, known.shape):
            if _folds(node, known, constants, graph) and _fold(node, known, constants, compute):
                continue
            if not any(name in objects for name in reads) and id(node) not in unplannable:
                results = _results(node, graph, known, constants, opsets)
        if results is None:
            known.unplanned.append(node)
            late.update(node.writes)
            continue
        for name, (shape, dtype) in results.items():
            known.shape[name], known.dtype[name] = shape, dtype
        known.planned.append(node)
    return known


def _folds(
    node: Node, known: Shapes, constants: Constants, graph: Graph
) -> bool:
    """Whether a node's results follow from what is known."""
    if node.op in RANDOM:
        return False
    if node.is_onnx(*SHAPE_READERS):
        return True
    if any(name not in known.folded and name not in constants for name in node.reads):
        return False
    return not any(isinstance(value, onnx.GraphProto) for value in node.attributes.values())


def _fold(
    node: Node,
    known: Shapes,
    constants: Constants,
    compute: Callable[[Node, list[Array | None]], list[Array]],
) -> bool:
    """Compute a node's results, unless they are large; whether that was done."""
    if node.is_onnx("Shape"):
        shape = known.shape[node.inputs[0]]
        begin, end = node.attributes.get("start", 0), node.attributes.get("end", len(shape))
        results = [np.array(shape[slice(*slice(begin, end).indices(len(shape)))], np.int64)]
    elif node.is_onnx("Size"):
        results = [np.array(known.size(node.inputs[0]), np.int64)]
    else:
        inputs = [value_of(name, known, constants) if name else None for name in node.inputs]
        if node.is_onnx("ConstantOfShape", "Expand", "Tile", "Range", "Resize", "Upsample", "Pad"):
            size = _large_result(node, inputs)
            if size > MOST_FOLDED:
                return False
        if sum(array.nbytes for array in inputs if array is not None) > MOST_FOLDED:
            return False
        try:
            results = compute(node, inputs)
        except NodeError:  # a step of ours may do it; else the run will say what is wrong
            return False
        if not all(isinstance(array, np.ndarray) for array in results):
            return False
    for name, array in zip(node.outputs, results, strict=False):
        if name:
            known.folded[name] = array
            known.shape[name], known.dtype[name] = array.shape, array.dtype
    return True


def _large_result(node: Node, inputs: list[Array | None]) -> float:
    """At least the bytes of the result of a node that makes much from little; infinity where that
    is not plain."""
    first = inputs[0]
    if node.op in ("ConstantOfShape", "Expand"):
        sizes = inputs[-1]
        return math.inf if sizes is None else 8.0 * math.prod(map(float, sizes.ravel()))
    if node.op == "Tile" and first is not None and inputs[1] is not None:
        return first.nbytes * math.prod(map(float, inputs[1].ravel()))
    if node.op == "Range" and all(array is not None and array.size == 1 for array in inputs):
        start, limit, delta = (float(array.ravel()[0]) for array in inputs)  # type: ignore[union-attr]
        return 8 * abs((limit - start) / delta) if delta else math.inf
    return math.inf


def value_of(name: str, known: Shapes, constants: Constants) -> Array | None:
    """The value of a name where it is known before anything runs."""
    found = known.folded.get(name)
    return constants.get(name) if found is None else found


def _results(
    node: Node,
    graph: Graph,
    known: Shapes,
    constants: Constants,
    opsets: list[onnx.OperatorSetIdProto],
) -> dict[str, tuple[Shape, np.dtype[Any]]] | None:
    """Shapes and dtypes of a node's results; None where they are not known before it runs."""
    if node.domain == "gconv":
        shape = OURS[node.op](node, known, constants)
        check_result(node, None, shape)
        return {node.outputs[0]: (shape, known.dtype[node.inputs[0]])}
    check_operands(
        node, [known.shape.get(name) for name in node.inputs],
        [value_of(name, known, constants) for name in node.inputs])
    schema = None
    try:
        version = graph.opsets.get(node.domain, 1)
        if node.is_onnx(*POOLS) and node.attributes.get("ceil_mode", 0):
            version = max(version, CEILED)
        schema = onnx.defs.get_schema(node.op, version, node.domain)
        types = {name: _type(name, known) for name in set(node.reads) if name in known.shape}
        data = {}
        for name in set(node.reads):
            value = value_of(name, known, constants)
            if value is not None and value.size <= MOST_SMALL and value.ndim <= 1:
                data[name] = onnx.numpy_helper.from_array(value, name)
        assert node.proto is not None
        proto = onnx.NodeProto()
        proto.CopyFrom(node.proto)
        proto.input[:], proto.output[:] = node.inputs, node.outputs  # rewrites rename values
        found = onnx.shape_inference.infer_node_outputs(
            schema, proto, types, data, opset_imports=opsets, ir_version=graph.ir_version)
    except onnx.shape_inference.InferenceError as error:
        if schema is None or not inference_decides(schema, node.proto):
            return None
        raise ValueError(reason_of(error)) from error
    except onnx.checker.ValidationError as error:  # types that the operator does not take
        raise ValueError(first_line(error)) from error
    except (onnx.defs.SchemaError, RuntimeError, AssertionError):
        return None
    results = {}
    for name in node.writes:
        result = _shape_and_dtype(node, known.shape.get(node.input(0)), found.get(name))
        if result is None:
            return None
        results[name] = result
    return results


def _type(name: str, known: Shapes) -> onnx.TypeProto:
    return onnx.helper.make_tensor_type_proto(
        onnx.helper.np_dtype_to_tensor_dtype(known.dtype[name]), known.shape[name])


def _shape_and_dtype(
    node: Node, x: Shape | None, proto: onnx.TypeProto | None
) -> tuple[Shape, np.dtype[Any]] | None:
    """Of a tensor all of whose extents are known; None of anything else."""
    if proto is None or not proto.HasField("tensor_type"):
        return None
    tensor = proto.tensor_type
    if not tensor.HasField("shape") or tensor.elem_type in (
        onnx.TensorProto.STRING, onnx.TensorProto.UNDEFINED
    ):
        return None
    if not all(extent.HasField("dim_value") for extent in tensor.shape.dim):
        return None
    shape = tuple(extent.dim_value for extent in tensor.shape.dim)
    check_result(node, x, shape)
    return shape, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)


# ---- our own operators --------------------------------------------------------------------------


def parameters_of(node: Node, x_shape: Shape, weight_shape: Shape) -> Parameters:
    """What gconv's geometry makes of a `Convolution` on an x of a given shape."""
    attributes, name = node.attributes, node.op
    dimensions = len(weight_shape) - 2
    padding: Any = attributes["padding"]
    if not attributes["transposed"]:
        if padding is None:
            padding = attributes["auto_pad"].lower()
        return Parameters.of_convolution(
            name, dimensions, weight_shape, None, attributes["stride"], padding,
            attributes["dilation"], attributes["groups"], "zeros", attributes["activation"])
    more = tuple(attributes["output_padding"])
    if padding is None or attributes["output_shape"] is not None:
        padding, more = _padding_of_transposed(attributes, x_shape[2:], weight_shape[2:])
    return Parameters.of_transposed(
        name, dimensions, weight_shape, None, attributes["stride"], padding, more,
        attributes["groups"], attributes["dilation"], attributes["activation"])


def _padding_of_transposed(
    attributes: Mapping[str, Any], size: Shape, kernel: Shape
) -> tuple[tuple[tuple[int, int], ...], Shape]:
    """Padding and output padding that make a transposed convolution's result as large as it is
    asked to be, by the rule of ONNX's ConvTranspose."""
    pairs, more = [], []
    upper = attributes["auto_pad"] == "SAME_UPPER"
    for axis, (extent, taps) in enumerate(zip(size, kernel, strict=True)):
        stride, dilation = attributes["stride"][axis], attributes["dilation"][axis]
        wanted = attributes["output_shape"]
        out = extent * stride if wanted is None else wanted[axis]
        extra = attributes["output_padding"][axis]
        total = stride * (extent - 1) + extra + dilation * (taps - 1) + 1 - out
        if total < 0:
            extra, total = extra - total, 0
        half = total // 2
        pairs.append((half, total - half) if upper else (total - half, half))
        more.append(extra)
    return tuple(pairs), tuple(more)


def _convolution(node: Node, known: Shapes, constants: Constants) -> Shape:
    x, weight = known.shape[node.inputs[0]], known.shape[node.inputs[1]]
    return parameters_of(node, x, weight).applied_to(x).out_shape


def _linear(node: Node, known: Shapes, constants: Constants) -> Shape:
    x, weight = known.shape[node.inputs[0]], known.shape[node.inputs[1]]
    if x[-1] != weight[1]:
        raise ValueError(
            f"the last axis of x must have {weight[1]} elements, as the weight has, got shape {x}")
    return (*x[:-1], weight[0])


def _product(node: Node, known: Shapes, constants: Constants) -> Shape:
    a, b = list(known.shape[node.inputs[0]]), list(known.shape[node.inputs[1]])
    if node.attributes["transpose_a"]:
        a[-2:] = a[:-3:-1]
    if node.attributes["transpose_b"]:
        b[-2:] = b[:-3:-1]
    alone = len(a) == 1, len(b) == 1
    a = [1, *a] if alone[0] else a
    b = [*b, 1] if alone[1] else b
    if a[-1] != b[-2]:
        raise ValueError(
            f"matrices of shapes {known.shape[node.inputs[0]]} and {known.shape[node.inputs[1]]} "
            "cannot be multiplied")
    batch = np.broadcast_shapes(tuple(a[:-2]), tuple(b[:-2]))
    return (*batch, *([] if alone[0] else [a[-2]]), *([] if alone[1] else [b[-1]]))


def _elementwise(node: Node, known: Shapes, constants: Constants) -> Shape:
    shapes = [known.shape[name] for name in node.inputs if name]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise ValueError(
            f"shapes {' and '.join(map(str, shapes))} cannot be broadcast") from error


def _as_x(node: Node, known: Shapes, constants: Constants) -> Shape:
    return known.shape[node.inputs[0]]


OURS: dict[str, Callable[[Node, Shapes, Constants], Shape]] = {
    "Convolution": _convolution,
    "Linear": _linear,
    "Product": _product,
    "Elementwise": _elementwise,
    "ScaleShift": _as_x,
    "LayerNorm": _as_x,
}
