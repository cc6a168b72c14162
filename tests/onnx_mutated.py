"""Models that are wrong in one or a few places, made of models that are right."""

import math

import numpy as np
import onnx
from onnx import TensorProto, helper

INTEGERS = (-(2**63), -(2**31), -7, -1, 0, 1, 2, 3, 7, 2**31, 2**40, 2**63 - 1)
FLOATS = (math.nan, math.inf, -math.inf, -1.0, 0.0, 1e-30, 0.5, 3.0, 1e30)
WORDS = ("", "SAME", "VALID", "SAME_UPPER", "constant", "reflect", "linear", "cubic", "x\0y", "é")
TYPES = (
    TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL,
    TensorProto.UINT8, TensorProto.FLOAT16, TensorProto.STRING, 0, 99,
)
MOST_ELEMENTS = 4096  # of an input that is drawn


def mutated(data, dice):
    """The bytes of a model with up to three changes; `dice` is a random.Random."""
    proto = onnx.ModelProto.FromString(data)
    for _ in range(dice.choice((1, 1, 2, 3))):
        dice.choice(CHANGES)(proto, dice)
    return proto.SerializeToString()


def a_node(proto, dice):
    return dice.choice(proto.graph.node) if proto.graph.node else onnx.NodeProto()


def change_attribute(proto, dice):
    """Another number, word, or list; one element more or fewer; none at all."""
    node = a_node(proto, dice)
    if not node.attribute:
        return add_attribute(proto, dice)
    attribute = dice.choice(node.attribute)
    kind = onnx.AttributeProto
    if dice.random() < 0.1:
        node.attribute.remove(attribute)
    elif attribute.type == kind.INT:
        attribute.i = dice.choice(INTEGERS)
    elif attribute.type == kind.FLOAT:
        attribute.f = dice.choice(FLOATS)
    elif attribute.type == kind.STRING:
        attribute.s = dice.choice(WORDS).encode()
    elif attribute.type == kind.INTS:
        change_list(attribute.ints, INTEGERS, dice)
    elif attribute.type == kind.FLOATS:
        change_list(attribute.floats, FLOATS, dice)
    elif attribute.type == kind.TENSOR:
        change_tensor(attribute.t, dice)
    return None


def change_list(values, others, dice):
    choice = dice.randrange(4)
    if choice == 0 and values:
        values[dice.randrange(len(values))] = dice.choice(others)
    elif choice == 1 and values:
        del values[dice.randrange(len(values)):]
    elif choice == 2:
        values.extend(dice.choices(others[2:-2], k=dice.choice((1, 2, 5))))
    elif values:
        values[dice.randrange(len(values))] = others[len(others) // 2]


def add_attribute(proto, dice):
    """An attribute that the operator knows."""
    node = a_node(proto, dice)
    try:
        schema = onnx.defs.get_schema(node.op_type, proto.opset_import[0].version, node.domain)
    except onnx.defs.SchemaError:
        return
    known = {each.name for each in node.attribute}
    names = sorted(name for name in schema.attributes if name not in known)
    if not names:
        return
    name = dice.choice(names)
    kind = schema.attributes[name].type
    if kind == onnx.defs.OpSchema.AttrType.INT:
        value = dice.choice(INTEGERS)
    elif kind == onnx.defs.OpSchema.AttrType.FLOAT:
        value = dice.choice(FLOATS)
    elif kind == onnx.defs.OpSchema.AttrType.STRING:
        value = dice.choice(WORDS)
    elif kind == onnx.defs.OpSchema.AttrType.INTS:
        value = dice.choices(INTEGERS[2:-3], k=dice.randrange(1, 6))
    else:
        return
    node.attribute.append(helper.make_attribute(name, value))


def change_tensor(tensor, dice):
    """Other sizes, another type, fewer data, or other numbers."""
    choice = dice.randrange(5)
    if choice == 0 and tensor.dims:
        tensor.dims[dice.randrange(len(tensor.dims))] = dice.choice(INTEGERS)
    elif choice == 1:
        tensor.data_type = dice.choice(TYPES)
    elif choice == 2 and tensor.raw_data:
        tensor.raw_data = tensor.raw_data[: dice.randrange(len(tensor.raw_data))]
    elif choice == 3 and math.prod(tensor.dims) > 0:
        sizes = list(tensor.dims)
        del tensor.dims[:]
        tensor.dims.extend(dice.choice((sizes[::-1], [math.prod(sizes)], [1, *sizes])))
    else:
        numbers = onnx.numpy_helper.to_array(tensor).copy()
        if numbers.size and numbers.dtype.kind in "if":
            other = dice.choice(INTEGERS[:-1] if numbers.dtype == np.int64 else (-1, 0, 1, 2, 5))
            numbers.flat[dice.randrange(numbers.size)] = other
            tensor.CopyFrom(onnx.numpy_helper.from_array(numbers, tensor.name))


def change_initializer(proto, dice):
    if proto.graph.initializer:
        try:
            change_tensor(dice.choice(proto.graph.initializer), dice)
        except (TypeError, ValueError, OverflowError, KeyError):  # it is wrong already
            return


def lay_outside(proto, dice):
    """Say that data lie in another file."""
    if proto.graph.initializer:
        tensor = dice.choice(proto.graph.initializer)
        tensor.data_location = TensorProto.EXTERNAL
        del tensor.external_data[:]
        location = dice.choice(("../x.bin", "/etc/hostname", "", "w.bin", "a/../../b"))
        tensor.external_data.add(key="location", value=location)
        tensor.external_data.add(key="offset", value=dice.choice(("0", "-1", "x", str(2**70))))


def change_input(proto, dice):
    """Another declared rank, size, name of a size, or type."""
    if not proto.graph.input:
        return
    kind = dice.choice(proto.graph.input).type
    if not kind.HasField("tensor_type"):
        return
    tensor, choice = kind.tensor_type, dice.randrange(5)
    sizes = tensor.shape.dim
    if choice == 0:
        tensor.elem_type = dice.choice(TYPES)
    elif choice == 1:
        tensor.ClearField("shape")
    elif choice == 2 and sizes:
        sizes.pop()
    elif choice == 3:
        sizes.add().dim_value = dice.choice((0, 1, 2, -1, 2**40))
    elif sizes:
        size = dice.choice(sizes)
        if dice.random() < 0.5:
            size.dim_param = dice.choice("nm")
        else:
            size.dim_value = dice.choice((0, 1, 2, 3, -1, 2**40))


def change_operator(proto, dice):
    """Another operator of the same model, or of a few that read anything."""
    others = [node.op_type for node in proto.graph.node] + [
        "Relu", "Conv", "MaxPool", "AveragePool", "Reshape", "Transpose", "Concat", "Softmax",
        "ReduceMean", "Gather", "Split", "MatMul", "Resize", "Pad", "Slice", "Squeeze", "Flatten",
    ]
    a_node(proto, dice).op_type = dice.choice(others)


def change_wires(proto, dice):
    """Read another value, once more, or no more."""
    node = a_node(proto, dice)
    names = [name for each in proto.graph.node for name in each.input]
    names += [value.name for value in proto.graph.input]
    if not names or not node.input:
        return
    choice, place = dice.randrange(4), dice.randrange(len(node.input))
    if choice == 0:
        node.input[place] = dice.choice(names)
    elif choice == 1:
        node.input.append(dice.choice(names))
    elif choice == 2:
        del node.input[place]
    elif node.output:
        node.output.append(f"more{len(node.output)}")


def change_opset(proto, dice):
    proto.opset_import[0].version = dice.choice((1, 6, 7, 9, 11, 13, 17, 18, 21, 22, 99))


CHANGES = (
    change_attribute, change_attribute, change_attribute, add_attribute, change_initializer,
    change_initializer, lay_outside, change_input, change_input, change_operator, change_wires,
    change_opset,
)


def drawn_feed(session, dice):
    """An input of a shape that the model allows, for each; None where there is none so small."""
    feed, sizes = {}, {}
    rng = np.random.default_rng(dice.randrange(2**32))
    for info in session.get_inputs():
        shape = [
            size if isinstance(size, int)
            else sizes.setdefault(size or object(), dice.choice((0, 1, 1, 2, 3, 5, 8)))
            for size in info.shape
        ]
        if not info.type.startswith("tensor") or math.prod(shape) > MOST_ELEMENTS:
            return None
        feed[info.name] = values(rng, shape, info.type[7:-1])
    return feed


def values(rng, shape, kind):
    """Small numbers of a type, as ONNX Runtime writes it."""
    numbers = rng.standard_normal(shape) * 3
    if kind == "string":
        return np.asarray(numbers).astype(str).astype(object)
    names = {"float": "float32", "double": "float64", "float16": "float16", "bool": "bool"}
    if kind in names:
        return np.asarray(numbers).astype(names[kind])
    if kind.startswith(("int", "uint")) and kind not in ("int4", "uint4", "int2", "uint2"):
        return np.abs(np.asarray(numbers)).astype(kind)
    return np.asarray(numbers).astype(
        helper.tensor_dtype_to_np_dtype(getattr(TensorProto, kind.upper())))
