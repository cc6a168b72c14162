"""What does not depend on the inputs is computed once; what does nothing is left out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
import onnx.defs
import onnx.helper
import onnx.numpy_helper
import onnx.shape_inference
from numpy.typing import NDArray

from gconv.onnx.graph import OURS, Graph, Info, Node
from gconv.onnx.load import info_of
from gconv.onnx.reference import Reference

MOST_BYTES = 64 * 2**20  # a folded result may have as many, or
MOST_GROWTH = 4  # this many times the bytes of what it follows from

# A call gives another result each time.
RANDOM = (
    "Bernoulli", "Multinomial",
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
)  # fmt: skip
# How long they run, or how large their results are, nobody knows before.
UNBOUNDED = ("If", "Loop", "Scan", "SequenceMap", "StringNormalizer", "ImageDecoder")
# The size of the result depends on data, but is at most the rank times that of the input.
BOUNDED = ("NonZero", "Unique", "Compress", "NonMaxSuppression")


def fold(graph: Graph) -> None:
    """Compute what is constant, take out what does nothing and what nobody reads."""
    for node in list(graph.nodes):
        if is_identity(graph, node):
            remove_identity(graph, node)
        else:
            fold_node(graph, node)
    merge_equal(graph)
    remove_unused(graph)


def fold_node(graph: Graph, node: Node) -> None:
    """Make the results of a node constants, where they are, and not too large."""
    if node.proto is None or node.op in RANDOM or node.op in UNBOUNDED:
        return
    results: list[Any] | None = known_shape(graph, node)
    if results is None:
        if not all(name in graph.constants for name in node.reads):
            return
        if not bounded(graph, node):
            return
        try:
            reference = Reference(node, graph)
            results = reference([graph.constants[name] for name in reference.reads])
        except Exception:  # the run will say what is wrong, if it comes to it
            return
    if not all(isinstance(result, np.ndarray | np.generic) for result in results):
        return
    for name, result in zip(node.writes, results, strict=True):
        value = np.array(result, order="C")  # nobody else's memory
        value.flags.writeable = False
        graph.constants[name] = value
        graph.infos[name] = Info(name, value.dtype, value.shape)
    graph.remove([node])


def known_shape(graph: Graph, node: Node) -> list[NDArray[Any]] | None:
    """The result of Shape and Size where the shape is known without a run."""
    if not node.is_onnx("Shape", "Size"):
        return None
    info = graph.infos.get(node.inputs[0])
    if info is None or info.shape is None:
        return None
    if not all(isinstance(n, int) and n >= 0 for n in info.shape):
        return None
    if node.op == "Size":
        return [np.array(math.prod(n for n in info.shape if isinstance(n, int)), np.int64)]
    first, last = node.attributes.get("start", 0), node.attributes.get("end")
    return [np.array(info.shape[first:last], np.int64)]


def bounded(graph: Graph, node: Node) -> bool:
    """Whether the results of a node of constants are small enough to be computed at load."""
    if node.is_onnx(*BOUNDED):
        return True
    given = sum(graph.constants[name].nbytes for name in node.reads)
    sizes = [result_bytes(graph.infos.get(name)) for name in node.writes]
    if None in sizes:
        infos = inferred(graph, node)
        sizes = [result_bytes(infos.get(name)) for name in node.writes]
    return all(size is not None and size <= max(MOST_BYTES, MOST_GROWTH * given) for size in sizes)


def result_bytes(info: Info | None) -> int | None:
    """The bytes of a result, where its shape is known."""
    if info is None or info.shape is None or info.kind != "tensor":
        return None
    sizes = [size for size in info.shape if isinstance(size, int)]
    if len(sizes) < len(info.shape):
        return None
    return math.prod(sizes) * max(1, info.dtype.itemsize)


def inferred(graph: Graph, node: Node) -> dict[str, Info]:
    """What shape inference says of the results of a node, given the values of its inputs."""
    assert node.proto is not None
    proto = onnx.NodeProto()
    proto.CopyFrom(node.proto)
    proto.input[:] = node.inputs
    proto.output[:] = node.outputs
    types, data = {}, {}
    try:
        for name in dict.fromkeys(node.reads):
            value = graph.constants[name]
            elements = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
            types[name] = onnx.helper.make_tensor_type_proto(elements, value.shape)
            if value.nbytes <= 1024 and value.dtype != object:
                data[name] = onnx.numpy_helper.from_array(value, name)
        schema = onnx.defs.get_schema(node.op, graph.opsets[node.domain], node.domain)
        found = onnx.shape_inference.infer_node_outputs(
            schema,
            proto,
            types,
            data,
            opset_imports=[onnx.helper.make_opsetid(*item) for item in graph.opsets.items()],
            ir_version=graph.ir_version,
        )
    except Exception:  # inference knows nothing
        return {}
    return {name: info_of(onnx.helper.make_value_info(name, found[name])) for name in found}


def is_identity(graph: Graph, node: Node) -> bool:
    """Whether the first result of a node is its first input, and nobody reads another result."""
    if node.domain or not node.inputs or not node.inputs[0] or not node.outputs[0]:
        return False
    if any(graph.readers(name) or graph.is_output(name) for name in node.outputs[1:] if name):
        return False
    x, attributes = node.inputs[0], node.attributes
    if node.op == "Identity":
        return True
    if node.op in ("Concat", "Sum", "Max", "Min", "Mean"):
        return len(node.inputs) == 1
    if node.op == "Dropout":
        training = graph.constant(node.input(2))
        return not node.input(2) or (training is not None and not training.any())
    if node.op in ("Cast", "CastLike"):
        dtype = graph.dtype(x)
        if dtype is None or dtype.hasobject:
            return False
        if node.op == "CastLike":
            return dtype == graph.dtype(node.inputs[1])
        return bool(dtype == onnx.helper.tensor_dtype_to_np_dtype(attributes["to"]))
    if node.op == "Transpose":
        perm = attributes.get("perm")
        return perm is not None and list(perm) == sorted(perm)
    if node.op == "Pad":
        pads = attributes.get("pads", graph.constant(node.input(1)))
        return pads is not None and not np.any(pads)
    return False


def remove_identity(graph: Graph, node: Node) -> None:
    """Let the readers of a node's result read its input, where the names allow it."""
    x, y = node.inputs[0], node.outputs[0]
    if any(y in reader.captured for reader in graph.readers(y)):
        return  # subgraphs know it by its name
    producer = graph.producer(x)
    if not graph.is_output(y):
        graph.rename_uses(y, x)
        graph.remove([node])
    elif x in graph.constants:
        graph.constants[y] = graph.constants[x]
        graph.remove([node])
    elif (
        producer is not None
        and not graph.is_output(x)
        and not any(x in reader.captured for reader in graph.readers(x))
    ):
        graph.remove([node])
        graph.rename_uses(x, y)
        graph.set_outputs(producer, [y if name == x else name for name in producer.outputs])


def merge_equal(graph: Graph) -> None:
    """Compute once what several nodes compute alike."""
    seen: dict[Any, Node] = {}
    for node in list(graph.nodes):
        if node.domain not in ("", OURS) or node.op in (*RANDOM, "Dropout"):
            continue
        if node.captured or any(_has_graph(value) for value in node.attributes.values()):
            continue
        attributes = tuple(sorted((k, _key(v)) for k, v in node.attributes.items()))
        outputs = tuple(bool(name) for name in node.outputs)
        key = (node.domain, node.op, tuple(node.inputs), outputs, attributes)
        first = seen.setdefault(key, node)
        if first is node:
            continue
        if any(graph.is_output(name) for name in node.writes):
            continue
        if any(n in r.captured for n in node.writes for r in graph.readers(n)):
            continue
        for name, other in zip(node.outputs, first.outputs, strict=True):
            if name:
                graph.rename_uses(name, other)
        graph.remove([node])


def _has_graph(value: Any) -> bool:
    if isinstance(value, list):
        return any(_has_graph(item) for item in value)
    return isinstance(value, onnx.GraphProto)


def _key(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    return repr(value)


def remove_unused(graph: Graph) -> None:
    """Take out nodes and constants that no output depends on."""
    needed = {output.name for output in graph.outputs}
    kept = []
    for node in reversed(graph.nodes):
        if any(name in needed for name in node.writes):
            kept.append(node)
            needed.update(node.reads)
    if len(kept) < len(graph.nodes):
        graph.nodes[:] = reversed(kept)
        graph.reindex()
    for name in [name for name in graph.constants if name not in needed]:
        del graph.constants[name]
