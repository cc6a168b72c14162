"""Small ONNX models, made for tests."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model(nodes, inputs, outputs, constants=(), opset=17):
    """The bytes of a model; inputs and outputs map names to (dtype, shape). Where the shape of an
    output is None, it is what shape inference says."""
    graph = helper.make_graph(
        nodes, "test",
        [value(name, *what) for name, what in inputs.items()],
        [value(name, *what) for name, what in outputs.items()],
        [numpy_helper.from_array(np.asarray(array), name)
         for name, array in dict(constants).items()],
    )
    proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    for output, found in zip(proto.graph.output, inferred.graph.output, strict=True):
        output.CopyFrom(found)
    onnx.checker.check_model(proto)
    return proto.SerializeToString()


def value(name, dtype, shape):
    """The declaration of a value."""
    return helper.make_tensor_value_info(name, dtype, shape)


def node(op, *names, **attributes):
    """A node; the last name is that of its result."""
    return helper.make_node(op, names[:-1], names[-1:], **attributes)


FLOAT = TensorProto.FLOAT


def random_cnn(rng, pieces, channels=4, size=(6, 5), batch="N"):
    """A model of pieces that are put one behind the other: each is a word of `PIECES`."""
    maker = Maker(rng)
    x, count = "x", channels
    for piece in pieces:
        x, count = PIECES[piece](maker, x, count)
    maker.nodes.append(helper.make_node("Identity", [x], ["y"]))
    return model(
        maker.nodes, {"x": (FLOAT, [batch, channels, *size])}, {"y": (FLOAT, None)},
        maker.constants)


class Maker:
    """Nodes and constants under new names."""

    def __init__(self, rng):
        self.rng = rng
        self.nodes = []
        self.constants = {}

    def new(self, op, *inputs, **attributes):
        """The result of a new node."""
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=f"{name}_node",
                                           **attributes))
        return name

    def constant(self, array):
        """The name of a new constant."""
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def random(self, *shape):
        """The name of a constant of random numbers."""
        return self.constant(self.rng.standard_normal(shape).astype(np.float32) * 0.5)

    def conv(self, x, channels, out, kernel=3, groups=1, **attributes):
        """A convolution that keeps the size."""
        weight = self.random(out, channels // groups, kernel, kernel)
        return self.new("Conv", x, weight, self.random(out), group=groups,
                        pads=[kernel // 2] * 4, **attributes)


def _conv(m, x, channels):
    return m.conv(x, channels, 8), 8


def _conv_relu(m, x, channels):
    return m.new("Relu", m.conv(x, channels, 6)), 6


def _depthwise(m, x, channels):
    return m.new("HardSwish", m.conv(x, channels, channels, groups=channels)), channels


def _pointwise(m, x, channels):
    return m.conv(x, channels, 4, kernel=1), 4


def _batch_norm(m, x, channels):
    variance = m.constant(np.abs(m.rng.standard_normal(channels)).astype(np.float32) + 0.5)
    return m.new("BatchNormalization", x, m.random(channels), m.random(channels),
                 m.random(channels), variance), channels


def _residual(m, x, channels):
    y = m.new("Relu", m.conv(x, channels, channels))
    return m.new("Relu", m.new("Add", m.conv(y, channels, channels), x)), channels


def _added_after_activation(m, x, channels):
    return m.new("Add", m.new("Relu", m.conv(x, channels, channels)), x), channels


def _branches(m, x, channels):
    parts = [m.conv(x, channels, 4), m.new("Relu", m.conv(x, channels, 2, kernel=1)), x,
             m.new("MaxPool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1])]
    return m.new("Concat", *parts, axis=1), 6 + 2 * channels


def _nested(m, x, channels):
    inner = m.new("Concat", m.conv(x, channels, 3), m.conv(x, channels, 2), axis=1)
    return m.new("Concat", m.new("Sigmoid", m.conv(x, channels, 1)), inner, axis=1), 6


def _twice(m, x, channels):
    return m.new("Concat", x, x, axis=1), 2 * channels


def _squeeze_and_excite(m, x, channels):
    pooled = m.new("GlobalAveragePool", x)
    squeezed = m.new("Relu", m.conv(pooled, channels, 3, kernel=1))
    scale = m.new("Sigmoid", m.conv(squeezed, 3, channels, kernel=1))
    return m.new("Mul", x, scale), channels


def _split(m, x, channels):
    y = m.conv(x, channels, 8)
    name = m.new("Split", y, m.constant(np.array([3, 5], np.int64)), axis=1)
    other = f"{name}_other"
    m.nodes[-1].output.append(other)
    return m.new("Concat", m.conv(other, 5, 2), m.new("Relu", name), axis=1), 5


def _shuffle(m, x, channels):
    y = m.conv(x, channels, 6)
    shape = m.new("Shape", y)
    batch = m.new("Slice", shape, *map(m.constant, (
        np.array([0], np.int64), np.array([1], np.int64))))
    size = m.new("Slice", shape, *map(m.constant, (
        np.array([2], np.int64), np.array([4], np.int64))))
    grouped = m.new("Concat", batch, m.constant(np.array([2, 3], np.int64)), size, axis=0)
    turned = m.new("Transpose", m.new("Reshape", y, grouped), perm=[0, 2, 1, 3, 4])
    return m.new("Reshape", turned, shape), 6


def _swish(m, x, channels):
    return m.new("Mul", x, m.new("Sigmoid", x)), channels


def _average(m, x, channels):
    return m.new("AveragePool", x, kernel_shape=[2, 3], pads=[0, 1, 1, 1]), channels


def _tokens(m, x, channels):
    rows = m.new("Transpose", x, perm=[0, 2, 3, 1])
    mixed = m.new("Add", m.new("MatMul", rows, m.random(channels, 5)), m.random(5))
    return m.new("Transpose", mixed, perm=[0, 3, 1, 2]), 5


def _square(m, x, channels):
    return m.new("Softmax", m.new("Mul", x, x), axis=1), channels


PIECES = {
    "conv": _conv, "conv_relu": _conv_relu, "depthwise": _depthwise, "pointwise": _pointwise,
    "batch_norm": _batch_norm, "residual": _residual,
    "added_after_activation": _added_after_activation, "branches": _branches, "nested": _nested,
    "twice": _twice, "squeeze_and_excite": _squeeze_and_excite, "split": _split,
    "shuffle": _shuffle, "swish": _swish, "average": _average, "tokens": _tokens,
    "square": _square,
}
