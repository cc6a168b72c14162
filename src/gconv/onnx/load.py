"""A model file becomes a graph: read, checked, converted, its shapes inferred.

A model is data from strangers. What it says of itself (sizes, names of files) is checked before
memory is taken or another file is opened, and whatever is wrong is one ValueError
(FileNotFoundError where a file is missing), before anything else happens.

Large constants leave the model first and stand among its inputs while onnx works on it, since
every step of onnx copies the whole model.
"""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import onnx
import onnx.checker
import onnx.defs
import onnx.helper
import onnx.inliner
import onnx.numpy_helper
import onnx.shape_inference
import onnx.version_converter
from numpy.typing import NDArray

from gconv.onnx.checking import (
    PER_AXIS,
    POOLS,
    WINDOWED,
    NodeError,
    ceiled_windows,
    check_attributes,
)
from gconv.onnx.graph import Graph, Info, Node, Size
from gconv.onnx.old_operators import bring_up_to_date

Model: TypeAlias = "str | os.PathLike[str] | bytes | onnx.ModelProto"

OLDEST_OPSET = 7  # what onnx.reference computes; older models are converted
SMALL = 1024  # bytes: constants up to here stay in the model, where shape inference reads them
MOST_SIZES = 2**16  # elements of a vector whose values shape inference follows
MOST_AXES = 64  # of an array, as NumPy has it
MOST_DENSE = 2**31  # bytes of a sparse constant when written out

CEILED = 22  # since this opset inference counts windows as `ceiled_windows` does

HALVES = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
# Attributes that hold axes, or how many there are.
AXIS_ATTRIBUTES = (
    "axis", "axes", "perm", "batch_dims", "batch_axis", "time_axis", "concat_axis", "new_axis",
    "scan_input_axes", "scan_output_axes",
)  # fmt: skip
# Attributes that hold a type of elements.
TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "output_datatype", "stash_type", "output_type")


def load(model: Model) -> Graph:
    """Read a model.

    Parameters
    ----------
    model : path, bytes or ModelProto
        A ModelProto is left as it is.

    Returns
    -------
    Graph
        ONNX's nodes as the file has them, but for functions of the model, which are written out,
        Constant nodes, which are constants, and operators whose meaning changed, which are
        brought up to date (`old_operators`). float16 and bfloat16 are float32 but for the
        declared types of inputs and outputs.

    Raises
    ------
    FileNotFoundError
        If the model's file or a file with its data does not exist.
    ValueError
        If the model is damaged or says what onnx does not know.
    """
    proto, folder = read(model)
    check_parts(proto)
    check_versions(proto)
    drop_empty_lists(proto)
    for tensor in all_tensors(proto):
        check_tensor(tensor, folder)
    given = [value.name for value in proto.graph.input]
    constants = take_constants(proto, folder)
    proto = prepare(proto)
    declared = {value.name: info_of(value) for value in proto.graph.input}
    inputs = [declared[name] for name in given]
    outputs = [info_of(value) for value in proto.graph.output]
    halves = widen(proto, constants)
    return graph_of(infer(proto), constants, inputs, outputs, halves)


def read(model: Model) -> tuple[onnx.ModelProto, str | None]:
    """The model without its external data, and the folder where these must lie."""
    if isinstance(model, onnx.ModelProto):
        proto = onnx.ModelProto()
        proto.CopyFrom(model)
        return proto, None
    if isinstance(model, bytes | bytearray | memoryview):
        return parse(bytes(model), "the model"), None
    if not isinstance(model, str | os.PathLike):
        raise TypeError(
            f"a model must be a path, bytes or an onnx.ModelProto, got {type(model).__name__}"
        )
    path = os.fspath(model)
    if not os.path.exists(path):
        raise FileNotFoundError(f"no model file {path!r}")
    if not os.path.isfile(path):
        raise ValueError(f"{path!r} is not a file")
    with open(path, "rb") as file:
        data = file.read()
    return parse(data, repr(path)), os.path.dirname(os.path.abspath(path))


def parse(data: bytes, name: str) -> onnx.ModelProto:
    """The model that the bytes of a file hold."""
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except Exception as error:  # protobuf's, whose module moves between versions
        raise ValueError(
            f"{name} is no ONNX model, or damaged or truncated: it does not parse as protobuf"
        ) from error
    return proto


def check_parts(proto: onnx.ModelProto) -> None:
    """Refuse a model without its parts, and names that are not text: protobuf gives bytes then."""
    if not proto.ir_version or not proto.HasField("graph"):
        raise ValueError("this is no ONNX model, or a truncated one: it has no version or no graph")
    if not proto.graph.output:
        raise ValueError("the model is not valid: its graph has no outputs")
    known = onnx.TensorProto.DataType.values()
    for value in proto.graph.input:
        elements = value.type.tensor_type.elem_type
        if value.type.HasField("tensor_type") and (not elements or elements not in known):
            raise ValueError(f"input {value.name!r} has elements of an unknown type, {elements}")
    names: list[Any] = [opset.domain for opset in proto.opset_import]
    for graph in all_graphs(proto):
        names += [graph.name, *(value.name for value in (*graph.input, *graph.output))]
        names += [tensor.name for tensor in graph.initializer]
        names += [sparse.values.name for sparse in graph.sparse_initializer]
        for value in (*graph.input, *graph.output):
            names += [size.dim_param for size in value.type.tensor_type.shape.dim]
    for nodes in (proto.graph.node, *(function.node for function in proto.functions)):
        for node in nodes_of(nodes):
            names += [node.name, node.op_type, node.domain, *node.input, *node.output]
            names += [attribute.name for attribute in node.attribute]
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"the model is damaged: a name in it is no text, {name!r}")


def check_versions(proto: onnx.ModelProto) -> None:
    """Refuse versions that onnx does not know; write the default domain as ""."""
    if proto.ir_version > onnx.IR_VERSION:
        raise ValueError(
            f"the model has IR version {proto.ir_version}; onnx {onnx.__version__} knows those "
            f"up to {onnx.IR_VERSION}"
        )
    if not proto.opset_import:
        if proto.ir_version >= 3:
            raise ValueError("the model does not say which opset it uses")
        proto.opset_import.append(onnx.helper.make_opsetid("", 1))
        proto.ir_version = 3
    newest = {"": onnx.defs.onnx_opset_version(), "ai.onnx.ml": onnx.defs.onnx_ml_opset_version()}
    for holder in (proto, *proto.functions):
        for opset in holder.opset_import:
            if opset.domain == "ai.onnx":
                opset.domain = ""
            most = newest.get(opset.domain, opset.version)
            if not 1 <= opset.version <= most:
                domain = f" of domain {opset.domain!r}" if opset.domain else ""
                raise ValueError(
                    f"the model uses opset {opset.version}{domain}; onnx {onnx.__version__} "
                    f"knows 1 to {most}"
                )
    opsets = {opset.domain: opset.version for opset in proto.opset_import}
    ours = {(function.domain, function.name) for function in proto.functions}
    for node in nodes_of(proto.graph.node):
        if node.domain == "ai.onnx":
            node.domain = ""
        if (node.domain, node.op_type) not in ours:
            check_operator(node, opsets)
    for function in proto.functions:
        opsets = {opset.domain: opset.version for opset in function.opset_import}
        for node in nodes_of(function.node):
            if node.domain == "ai.onnx":
                node.domain = ""
            if (node.domain, node.op_type) not in ours:
                check_operator(node, opsets)


def drop_empty_lists(proto: onnx.ModelProto) -> None:
    """Leave out lists of a window's numbers that have none: some exporters write them."""
    for nodes in (proto.graph.node, *(function.node for function in proto.functions)):
        for node in nodes_of(nodes):
            if node.op_type in WINDOWED and not node.domain:
                for attribute in list(node.attribute):
                    if (
                        attribute.name in PER_AXIS and not attribute.ints
                        and not attribute.ref_attr_name
                    ):
                        node.attribute.remove(attribute)


def check_numbers(node: onnx.NodeProto) -> None:
    """Refuse axes that no array has, and types that there are not: onnx does not look at them
    before it uses them."""
    for attribute in node.attribute:
        numbers = [attribute.i, *attribute.ints]
        least = 0 if attribute.name == "batch_dims" else -MOST_AXES
        if attribute.name in AXIS_ATTRIBUTES and not all(
            least <= number < MOST_AXES for number in numbers
        ):
            raise ValueError(
                f"node {label(node)!r} ({node.op_type}): {attribute.name} must be axes of an "
                f"array, got {numbers[1:] or numbers[0]}")
        if attribute.name == "num_scan_inputs" and not 1 <= attribute.i <= len(node.input):
            raise ValueError(
                f"node {label(node)!r} ({node.op_type}): {attribute.i} of {len(node.input)} "
                "inputs are to be scanned")
        if attribute.name in TYPE_ATTRIBUTES and (
            attribute.i not in onnx.TensorProto.DataType.values()
            or (attribute.name == "to" and not attribute.i)
        ):
            raise ValueError(
                f"node {label(node)!r} ({node.op_type}): {attribute.name} is no type of elements, "
                f"{attribute.i}")


def check_operator(node: onnx.NodeProto, opsets: dict[str, int]) -> None:
    """Refuse an operator that onnx does not know."""
    check_numbers(node)
    version = opsets.get(node.domain)
    domain = node.domain or "ai.onnx"
    if version is None:
        raise ValueError(
            f"node {label(node)!r}: operator {node.op_type} belongs to the domain {domain!r}, "
            "of which the model does not say the version"
        )
    try:
        onnx.defs.get_schema(node.op_type, version, node.domain)
    except onnx.defs.SchemaError as error:
        raise ValueError(
            f"node {label(node)!r}: onnx {onnx.__version__} has no operator {node.op_type} in "
            f"version {version} of the domain {domain!r}"
        ) from error


def label(node: onnx.NodeProto) -> str:
    """What to call a node: many have no name."""
    return node.name or f"{node.op_type}({next(iter(node.output), '')})"


def nodes_of(nodes: Any) -> Iterator[onnx.NodeProto]:
    """These nodes and those of their subgraphs."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in graphs_in(attribute):
                yield from nodes_of(graph.node)


def graphs_in(attribute: onnx.AttributeProto) -> Iterator[onnx.GraphProto]:
    """The subgraphs of an attribute."""
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


def all_graphs(proto: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """The graph of a model and all subgraphs."""
    yield proto.graph
    for nodes in (proto.graph.node, *(function.node for function in proto.functions)):
        for node in nodes_of(nodes):
            for attribute in node.attribute:
                yield from graphs_in(attribute)


def all_attributes(proto: onnx.ModelProto) -> Iterator[onnx.AttributeProto]:
    """Every attribute of every node."""
    for nodes in (proto.graph.node, *(function.node for function in proto.functions)):
        for node in nodes_of(nodes):
            yield from node.attribute


def all_tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a model, those of sparse ones included."""
    for graph in all_graphs(proto):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for attribute in all_attributes(proto):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            if sparse.HasField("values"):
                yield from (sparse.values, sparse.indices)


# Bits of an element where a byte holds several or NumPy's type is wider than the file's.
BITS = {"FLOAT4E2M1": 4, "INT4": 4, "UINT4": 4, "INT2": 2, "UINT2": 2}
BITS |= {"FLOAT6E2M3": 6, "FLOAT6E3M2": 6}
# The lists that hold elements when raw_data does not, and how many entries an element takes.
LISTS = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")


class External(NamedTuple):
    """Where the data of a tensor lie: a file, and the bytes of it."""

    path: str
    offset: int
    length: int


def element_bits(tensor: onnx.TensorProto) -> int:
    """Bits of an element of raw data."""
    try:
        name = onnx.TensorProto.DataType.Name(tensor.data_type)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(
            f"tensor {tensor.name!r} has elements of an unknown type, {tensor.data_type}"
        ) from error
    if name in ("BFLOAT16", "FLOAT16"):
        return 16
    if name.startswith("FLOAT8"):
        return 8
    return BITS.get(name, int(dtype.itemsize) * 8)


def check_tensor(tensor: onnx.TensorProto, folder: str | None) -> None:
    """Refuse a tensor whose data are not as many as its shape says."""
    if any(size < 0 for size in tensor.dims):
        raise ValueError(f"tensor {tensor.name!r} has a negative size: {list(tensor.dims)}")
    bits, count = element_bits(tensor), math.prod(tensor.dims)
    wanted = -(-count * bits // 8)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        got = external(tensor, folder, wanted).length
    elif tensor.HasField("raw_data"):
        got = len(tensor.raw_data)
    else:
        entries = max(len(getattr(tensor, name)) for name in LISTS)
        complex_number = tensor.data_type in (
            onnx.TensorProto.COMPLEX64,
            onnx.TensorProto.COMPLEX128,
        )
        if complex_number:
            entries //= 2
        if bits < 8:  # an entry of the list is a byte
            entries = min(count, entries * 8 // bits)
        wanted, got = count, entries
    if got != wanted:
        unit = "elements" if wanted == count else "bytes"
        raise ValueError(
            f"tensor {tensor.name!r} of shape {list(tensor.dims)} needs {wanted} {unit} of data, "
            f"the model has {got}"
        )


def external(tensor: onnx.TensorProto, folder: str | None, wanted: int) -> External:
    """Find the data of a tensor that lie in a file of their own; refuse files elsewhere."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise ValueError(
            f"tensor {tensor.name!r} has its data in the file {location!r}: give the model as a "
            "path, since the file lies beside it"
        )
    root = os.path.realpath(folder)
    path = os.path.realpath(os.path.join(root, location))
    inside = path.startswith(os.path.join(root, "")) and not os.path.isabs(location)
    if not location or not inside or "\0" in location:
        raise ValueError(
            f"tensor {tensor.name!r} has its data in {location!r}, which is not a file inside "
            "the model's directory"
        )
    if not os.path.exists(path):
        raise FileNotFoundError(f"tensor {tensor.name!r} has its data in {path!r}: no such file")
    if not os.path.isfile(path):
        raise ValueError(f"tensor {tensor.name!r} has its data in {path!r}, which is not a file")
    size = os.path.getsize(path)
    try:
        offset = int(entries.get("offset") or 0)
        length = int(entries.get("length") or min(wanted, max(0, size - offset)))
    except ValueError as error:
        raise ValueError(
            f"tensor {tensor.name!r}: offset and length of its data must be numbers"
        ) from error
    if offset < 0 or length < 0 or offset + length > size:
        raise ValueError(
            f"tensor {tensor.name!r} has its data in bytes {offset} to {offset + length} of "
            f"{path!r}, which has {size} bytes"
        )
    return External(path, offset, length)


def array_of(tensor: onnx.TensorProto, folder: str | None) -> NDArray[Any]:
    """The value of a tensor that has been checked."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        place_data(tensor, folder)
    try:
        value = onnx.numpy_helper.to_array(tensor)
    except Exception as error:
        raise ValueError(f"tensor {tensor.name!r} cannot be read: {error}") from error
    return np.asarray(value)


def place_data(tensor: onnx.TensorProto, folder: str | None) -> None:
    """Read the data of a tensor from their file."""
    wanted = -(-math.prod(tensor.dims) * element_bits(tensor) // 8)
    path, offset, length = external(tensor, folder, wanted)
    with open(path, "rb") as file:
        file.seek(offset)
        tensor.raw_data = file.read(length)
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]


def dense(sparse: onnx.SparseTensorProto, folder: str | None) -> NDArray[Any]:
    """A sparse tensor with its zeros."""
    name, shape = sparse.values.name, tuple(sparse.dims)
    values, indices = array_of(sparse.values, folder), array_of(sparse.indices, folder)
    if any(size < 0 for size in shape):
        raise ValueError(f"sparse tensor {name!r} has a negative size: {list(shape)}")
    if math.prod(shape) * values.itemsize > MOST_DENSE:
        raise ValueError(
            f"sparse tensor {name!r} of shape {list(shape)} is too large to be written out"
        )
    flat = indices.reshape(-1) if indices.ndim == 1 else None
    try:
        if flat is None:
            flat = np.ravel_multi_index(tuple(indices.T), shape)
        result = np.zeros(math.prod(shape), values.dtype)
        result[flat] = values.reshape(-1)
    except (ValueError, IndexError) as error:
        raise ValueError(f"sparse tensor {name!r} has indices outside its shape") from error
    return result.reshape(shape)


def take_constants(proto: onnx.ModelProto, folder: str | None) -> dict[str, NDArray[Any]]:
    """Take the constants out of the model; those that are large become inputs of it."""
    graph = proto.graph
    constants: dict[str, NDArray[Any]] = {}
    listed = {value.name for value in graph.input}
    large: list[tuple[str, NDArray[Any], int]] = []
    kept: list[onnx.TensorProto] = []
    for tensor in graph.initializer:
        if tensor.name in constants:
            raise ValueError(f"the model has two initializers of the name {tensor.name!r}")
        value = constants[tensor.name] = array_of(tensor, folder)
        if value.nbytes > SMALL:
            large.append((tensor.name, value, tensor.data_type))
        else:
            kept.append(tensor)
    for sparse in graph.sparse_initializer:
        name = sparse.values.name
        value = constants[name] = dense(sparse, folder)
        large.append((name, value, sparse.values.data_type))
    kept = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
    del graph.initializer[:]
    del graph.sparse_initializer[:]
    graph.initializer.extend(kept)

    nodes = []
    for node in graph.node:
        if node.op_type == "Constant" and not node.domain and node.output:
            tensor = next((a.t for a in node.attribute if a.name == "value"), None)
            if tensor is not None and math.prod(tensor.dims) * element_bits(tensor) > 8 * SMALL:
                name = node.output[0]
                if name in constants:
                    raise ValueError(f"two nodes of the model make {name!r}")
                value = constants[name] = array_of(tensor, folder)
                large.append((name, value, tensor.data_type))
                continue
        nodes.append(node)
    if len(nodes) < len(graph.node):
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(nodes)
    for name, value, dtype in large:
        if name not in listed:
            entry = onnx.helper.make_tensor_value_info(name, dtype, value.shape)
            graph.input.append(entry)
    # What is left within nodes is small, or belongs to subgraphs.
    for tensor in all_tensors(proto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            place_data(tensor, folder)
    return constants


def prepare(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Check a model, convert it from an old opset, write out its functions."""
    for value in (*proto.graph.input, *proto.graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_value < 0:  # as some exporters write a size that they leave open
                size.ClearField("dim_value")
    # The checker asks for a rank of inputs and outputs, which nothing else needs.
    unknown = [
        value.type.tensor_type
        for value in (*proto.graph.input, *proto.graph.output)
        if value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape")
    ]
    for tensor in unknown:
        tensor.shape.SetInParent()
    try:
        onnx.checker.check_model(proto)
    except Exception as error:
        raise ValueError(f"the model is not valid: {first_line(error)}") from error
    for tensor in unknown:
        tensor.ClearField("shape")
    version = next((o.version for o in proto.opset_import if not o.domain), OLDEST_OPSET)
    if version < OLDEST_OPSET:
        try:
            proto = onnx.version_converter.convert_version(proto, OLDEST_OPSET)
        except Exception as error:
            raise ValueError(
                f"the model uses opset {version}, and onnx.version_converter cannot convert it "
                f"to {OLDEST_OPSET}: {first_line(error)}"
            ) from error
    if proto.functions:
        try:
            proto = onnx.inliner.inline_local_functions(proto, convert_version=True)
        except Exception as error:
            raise ValueError(
                f"the functions of the model cannot be written out: {first_line(error)}"
            ) from error
    return proto


def first_line(error: Exception) -> str:
    """What an error of onnx says, without the dump of a node that may follow."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def widen(proto: onnx.ModelProto, constants: dict[str, NDArray[Any]]) -> bool:
    """Make float16 and bfloat16 float32 throughout a model; return whether there were any."""
    halves = False
    for name, value in constants.items():
        if value.dtype.name in ("float16", "bfloat16"):
            constants[name] = value.astype(np.float32)
            halves = True
    for graph in all_graphs(proto):
        for declared in (*graph.input, *graph.output, *graph.value_info):
            halves |= widen_type(declared.type)
        for tensor in graph.initializer:
            halves |= widen_tensor(tensor)
    for attribute in all_attributes(proto):
        if attribute.HasField("t"):
            halves |= widen_tensor(attribute.t)
        for tensor in attribute.tensors:
            halves |= widen_tensor(tensor)
        if attribute.name in TYPE_ATTRIBUTES and attribute.i in HALVES:
            attribute.i = onnx.TensorProto.FLOAT
        if attribute.HasField("tp"):
            widen_type(attribute.tp)
    return halves


def widen_type(declared: onnx.TypeProto) -> bool:
    """Make a declared type float32 where it is one of the halves; return whether it was."""
    kind = declared.WhichOneof("value")
    if kind == "tensor_type" and declared.tensor_type.elem_type in HALVES:
        declared.tensor_type.elem_type = onnx.TensorProto.FLOAT
        return True
    if kind in ("sequence_type", "optional_type"):
        return widen_type(getattr(declared, kind).elem_type)
    return kind == "map_type" and widen_type(declared.map_type.value_type)


def widen_tensor(tensor: onnx.TensorProto) -> bool:
    """Make a tensor float32 where it is one of the halves; return whether it was."""
    if tensor.data_type not in HALVES:
        return False
    value = onnx.numpy_helper.to_array(tensor).astype(np.float32)
    tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))
    return True


def infer(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Add what shape inference finds out.

    Shapes that the file declares for results are left out: nothing checks them, and rewrites
    rely on what inference says. Values are followed as well, unless there is a Range or a long
    vector: inference would write out the numbers, however many they are.

    Raises
    ------
    ValueError
        Where a node is wrong by what inference knows of its operands.
    """
    del proto.graph.value_info[:]
    for value in proto.graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")
    kept = correct_windows(proto)
    follow = not any(node.op_type == "Range" for node in nodes_of(proto.graph.node))
    try:
        found = onnx.shape_inference.infer_shapes(proto, strict_mode=True)
        if follow and not has_long_vectors(found):
            found = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    except Exception:
        found = inferred_leniently(proto)
        refuse_wrong_nodes(found)
    for number, node in enumerate(nodes_of(found.graph.node)):
        if number in kept:
            node.CopyFrom(kept[number])
    return found


def has_long_vectors(proto: onnx.ModelProto) -> bool:
    """Whether a value has one axis, and more elements there than sizes are ever computed of."""
    return any(
        len(value.type.tensor_type.shape.dim) == 1
        and value.type.tensor_type.shape.dim[0].dim_value > MOST_SIZES
        for graph in all_graphs(proto)
        for value in (*graph.input, *graph.value_info, *graph.output)
    )


def inferred_leniently(proto: onnx.ModelProto) -> onnx.ModelProto:
    """What inference finds out where it leaves out the nodes that it cannot make out."""
    try:
        return onnx.shape_inference.infer_shapes(proto)
    except Exception as error:
        warnings.warn(
            f"onnx.shape_inference failed: {first_line(error)}", RuntimeWarning, stacklevel=5
        )
        return proto


def refuse_wrong_nodes(proto: onnx.ModelProto) -> None:
    """Find the node that inference refuses, given what is known of its operands.

    Raises
    ------
    ValueError
        It names the node.
    """
    graph = proto.graph
    types = {value.name: value.type for value in (*graph.input, *graph.value_info)}
    data = {tensor.name: tensor for tensor in graph.initializer}
    for name, tensor in data.items():
        types[name] = onnx.helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
    opsets = {opset.domain: opset.version for opset in proto.opset_import}
    for node in graph.node:
        schema = None
        try:
            schema = onnx.defs.get_schema(node.op_type, opsets[node.domain], node.domain)
            onnx.shape_inference.infer_node_outputs(
                schema, node, {name: types[name] for name in node.input if name in types},
                {name: data[name] for name in node.input if name in data},
                opset_imports=list(proto.opset_import), ir_version=proto.ir_version)
        except onnx.shape_inference.InferenceError as error:
            if schema is not None and inference_decides(schema, node):
                raise NodeError(
                    f"node {label(node)!r} ({node.op_type} of opset {opsets[node.domain]}): "
                    f"{reason_of(error)}") from error
        except Exception:  # of a kind that inference has no answer for
            continue


def inference_decides(schema: onnx.defs.OpSchema, node: onnx.NodeProto) -> bool:
    """Whether what inference says against a node is an error of the model.

    It is not where inference follows the function that stands for the operator, in which it may
    fail itself, nor where there are subgraphs, not all of which run.
    """
    graphs = any(attribute.HasField("g") for attribute in node.attribute)
    return schema.has_type_and_shape_inference_function and not graphs


def reason_of(error: Exception) -> str:
    """What inference says, without the tag before it."""
    return re.sub(r"^\[\w+Error\] ", "", first_line(error))


def correct_windows(proto: onnx.ModelProto) -> dict[int, onnx.NodeProto]:
    """Give pools attributes with which inference finds the shapes that they have.

    Until opset `CEILED` it counts windows of `ceil_mode` that begin behind x, which nothing
    computes. Such a pool gets as much padding behind x as makes the number right without
    `ceil_mode`.

    Returns
    -------
    dict
        The nodes as they were, by their numbers in `nodes_of`.
    """
    kept: dict[int, onnx.NodeProto] = {}
    version = next((opset.version for opset in proto.opset_import if not opset.domain), CEILED)
    if version >= CEILED or not any(
        attribute.name == "ceil_mode" and attribute.i for attribute in all_attributes(proto)
    ):
        return kept
    while True:  # what is known of one pool may follow from the shape of one before it
        known: dict[str, list[int | None]] = {}
        for graph in all_graphs(inferred_leniently(proto)):
            for value in (*graph.input, *graph.value_info, *graph.output):
                known[value.name] = [
                    int(size.dim_value) if size.HasField("dim_value") else None
                    for size in value.type.tensor_type.shape.dim]
        wrong = next(
            ((number, node, pads) for number, node in enumerate(nodes_of(proto.graph.node))
             if (pads := pads_without_ceiling(node, known.get(next(iter(node.input), ""))))),
            None)
        if wrong is None:
            return kept
        number, node, pads = wrong
        kept[number] = onnx.NodeProto()
        kept[number].CopyFrom(node)
        others = [attribute for attribute in kept[number].attribute
                  if attribute.name not in ("ceil_mode", "pads", "auto_pad")]
        del node.attribute[:]
        node.attribute.extend([*others, onnx.helper.make_attribute("pads", pads)])


def pads_without_ceiling(node: onnx.NodeProto, x: list[int | None] | None) -> list[int] | None:
    """Padding with which a pool has as many windows without `ceil_mode` as it has with it; None
    where inference is right, or knows nothing."""
    if node.domain or node.op_type not in POOLS or x is None:
        return None
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if not attributes.get("ceil_mode") or attributes.get("auto_pad", b"NOTSET") not in (
        b"NOTSET", b"VALID"
    ):
        return None
    kernel = attributes.get("kernel_shape", [])
    rank = len(kernel)
    stride, dilation = (attributes.get(key) or [1] * rank for key in ("strides", "dilations"))
    pads = list(attributes.get("pads") or [0] * 2 * rank)
    if not len(x) - 2 == rank == len(stride) == len(dilation) == len(pads) / 2 or min(
        *kernel, *stride, *dilation
    ) < 1:
        return None
    wrong = False
    for axis, size in enumerate(x[2:]):
        if size is not None:
            begin, end = pads[axis], pads[axis + rank]
            reach = (kernel[axis] - 1) * dilation[axis] + 1
            count = ceiled_windows(size, reach, stride[axis], begin, end)
            wrong = wrong or count <= -(-(size + begin + end - reach) // stride[axis])
            pads[axis + rank] = count * stride[axis] + reach - 1 - size - begin
    return pads if wrong and min(pads) >= 0 else None


def info_of(value: onnx.ValueInfoProto) -> Info:
    """What a declaration says."""
    kind = value.type.WhichOneof("value") or ""
    text = type_text(value.type)
    if kind not in ("tensor_type", "sparse_tensor_type"):
        return Info(value.name, np.dtype(object), None, kind.removesuffix("_type"), text)
    tensor = getattr(value.type, kind)
    dtype = np.dtype(object)
    if tensor.elem_type:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    shape: tuple[Size, ...] | None = None
    if tensor.HasField("shape"):
        shape = tuple(size_of(size) for size in tensor.shape.dim)
    return Info(value.name, dtype, shape, kind.removesuffix("_type"), text)


def size_of(size: onnx.TensorShapeProto.Dimension) -> Size:
    """A size as inference has it: a number, a name or unknown."""
    if size.HasField("dim_value"):
        return int(size.dim_value)
    return size.dim_param or None


def type_text(declared: onnx.TypeProto) -> str:
    """A type as ONNX Runtime writes it."""
    kind = declared.WhichOneof("value")
    if kind in ("tensor_type", "sparse_tensor_type"):
        elements = getattr(declared, kind).elem_type
        return f"{kind.removesuffix('_type')}({element_text(elements)})"
    if kind == "sequence_type":
        return f"seq({type_text(declared.sequence_type.elem_type)})"
    if kind == "optional_type":
        return f"optional({type_text(declared.optional_type.elem_type)})"
    if kind == "map_type":
        key = element_text(declared.map_type.key_type)
        return f"map({key},{type_text(declared.map_type.value_type)})"
    return ""


def element_text(elements: int) -> str:
    """A type of elements as ONNX Runtime writes it."""
    return str(onnx.TensorProto.DataType.Name(elements)).lower()


def graph_of(
    proto: onnx.ModelProto,
    constants: dict[str, NDArray[Any]],
    inputs: list[Info],
    outputs: list[Info],
    halves: bool,
) -> Graph:
    """Make the graph of a model that is checked and inferred."""
    source = proto.graph
    for tensor in source.initializer:  # of functions that have been written out, for example
        if tensor.name not in constants:
            constants[tensor.name] = array_of(tensor, None)
    infos = {
        value.name: info_of(value)
        for value in (*source.input, *source.value_info, *source.output)
        if value.name
    }
    nodes = []
    for node in source.node:
        if node.op_type == "Constant" and not node.domain and node.attribute:
            value = constant_value(node)
            if value is not None:
                constants[node.output[0]] = value
                continue
        nodes.append(node_of(node))
    for name, value in constants.items():
        value.flags.writeable = False
        infos[name] = Info(name, value.dtype, value.shape)
    graph = Graph(
        name=source.name,
        opsets={opset.domain: opset.version for opset in proto.opset_import},
        ir_version=proto.ir_version,
        inputs=[info for info in inputs if info.name not in constants],
        outputs=outputs,
        optional=[info for info in inputs if info.name in constants],
        constants=constants,
        nodes=nodes,
        infos=infos,
        functions=list(proto.functions),
        halves=halves,
    )
    for node in graph.nodes:
        if not node.domain:
            check_attributes(graph, node)
    bring_up_to_date(graph)
    return graph


def constant_value(node: onnx.NodeProto) -> NDArray[Any] | None:
    """The value of a Constant node; None of one that only the reference can write out."""
    attribute = node.attribute[0]
    if attribute.name == "value":
        return array_of(attribute.t, None)
    value = onnx.helper.get_attribute_value(attribute)
    if attribute.name in ("value_float", "value_floats"):
        return np.array(value, np.float32)
    if attribute.name in ("value_int", "value_ints"):
        return np.array(value, np.int64)
    return None


def node_of(proto: onnx.NodeProto) -> Node:
    """The node that a node of the file becomes."""
    return Node(
        op=proto.op_type,
        domain=proto.domain,
        inputs=list(proto.input),
        outputs=list(proto.output),
        attributes={attribute.name: attribute_value(attribute) for attribute in proto.attribute},
        proto=proto,
        made_of=[label(proto)],
        captured=captured_by(proto),
    )


def attribute_value(attribute: onnx.AttributeProto) -> Any:
    """An attribute as a Python value."""
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, onnx.TensorProto):
        return array_of(value, None)
    if isinstance(value, str | int | float) or not hasattr(value, "__iter__"):
        return value
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in value]


def captured_by(node: onnx.NodeProto) -> list[str]:
    """The values that the subgraphs of a node read from outside, each once."""
    names: dict[str, None] = {}
    for attribute in node.attribute:
        for graph in graphs_in(attribute):
            known = {value.name for value in (*graph.input, *graph.initializer)}
            known |= {sparse.values.name for sparse in graph.sparse_initializer}
            for inner in graph.node:
                for name in (*inner.input, *captured_by(inner)):
                    if name and name not in known:
                        names[name] = None
                known.update(inner.output)
            names.update((value.name, None) for value in graph.output if value.name not in known)
    return list(names)
