"""Small ONNX models, and a plain interpreter of gconv.onnx's graphs to compare with.

The interpreter is the readable meaning of our operators: each in a few lines of NumPy, in
float64, rounded to float32 at the end.
"""

import math

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import onnx.reference
from scipy.special import erf, expit

import gconv
from gconv.onnx.graph import FUNCTIONS
from gconv.onnx.load import load
from gconv.onnx.reference import CORRECTED, Reference
from gconv.onnx.rewriting import rewrite

FLOAT = onnx.TensorProto.FLOAT


class Maker:
    """Builds a model node by node; every method returns the name of a value."""

    def __init__(self, opset=17, seed=0):
        self.opset, self.rng = opset, np.random.default_rng(seed)
        self.nodes, self.inputs, self.initializers, self.count = [], [], [], 0
        self.feeds = {}

    def input(self, *shape, value=None, symbols=None, dtype=np.float32):
        """Add an input of this shape; `symbols` declares another one, with names for example."""
        name = f"in{len(self.inputs)}"
        elements = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.inputs.append(onnx.helper.make_tensor_value_info(name, elements, symbols or shape))
        if value is None:
            value = self.rng.standard_normal(shape)
        self.feeds[name] = np.asarray(value, dtype)
        return name

    def constant(self, value, dtype=np.float32):
        """Add an initializer."""
        name = f"c{len(self.initializers)}"
        array = np.asarray(value, dtype)
        self.initializers.append(onnx.numpy_helper.from_array(array, name))
        return name

    def normal(self, *shape, scale=1.0, least=None):
        """Add an initializer of random numbers."""
        value = self.rng.standard_normal(shape) * scale
        return self.constant(value if least is None else np.abs(value) + least)

    def node(self, op, *inputs, outputs=1, domain="", **attributes):
        """Add a node."""
        names = [f"v{self.count + i}" for i in range(outputs)]
        self.count += outputs
        self.nodes.append(
            onnx.helper.make_node(op, list(inputs), names, domain=domain, **attributes)
        )
        return names[0] if outputs == 1 else names

    def conv(self, x, channels, out, kernel=3, pad=None, stride=1, groups=1, bias=True):
        """Add a two-dimensional convolution."""
        weight = self.normal(out, channels // groups, kernel, kernel, scale=0.3)
        pad = kernel // 2 if pad is None else pad
        inputs = [x, weight, self.normal(out)] if bias else [x, weight]
        return self.node("Conv", *inputs, pads=[pad] * 4, strides=[stride] * 2, group=groups)

    def batch_norm(self, x, channels, **attributes):
        """Add a batch normalisation."""
        inputs = [self.normal(channels) for _ in range(3)]
        variance = self.normal(channels, least=0.1)
        return self.node("BatchNormalization", x, *inputs, variance, **attributes)

    def model(self, *outputs, ir_version=8):
        """The model with these outputs."""
        infos = [onnx.helper.make_tensor_value_info(name, FLOAT, None) for name in outputs]
        graph = onnx.helper.make_graph(self.nodes, "graph", self.inputs, infos, self.initializers)
        opsets = [onnx.helper.make_opsetid("", self.opset)]
        return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def fused(model, overridden=()):
    """The graph of a model after all rewrites."""
    graph = load(model)
    rewrite(graph, overridden)
    return graph


def ops_of(graph):
    """The operators of a graph, ours as they are and ONNX's with a prefix."""
    return [node.op if node.domain else f"onnx.{node.op}" for node in graph.nodes]


def agrees(model, feeds, tolerance=2e-5):
    """Check that a model gives what onnx.reference gives, fused and not; return the fused graph."""
    evaluator = onnx.reference.ReferenceEvaluator(model, new_ops=CORRECTED)
    with np.errstate(all="ignore"):
        wanted = evaluator.run(None, feeds)
    for graph in (load(model), graph := fused(model)):
        check(graph)
        close(interpret(graph, feeds), wanted, tolerance)
    return graph


def close(got, wanted, tolerance=2e-5):
    """Check results: the error relative to the largest value of each."""
    assert len(got) == len(wanted)
    for result, want in zip(got, wanted, strict=True):
        want = np.asarray(want)
        assert result.dtype == want.dtype
        assert result.shape == want.shape
        finite = np.abs(want[np.isfinite(want)]).max(initial=1)
        np.testing.assert_allclose(result, want, rtol=tolerance, atol=tolerance * finite)


def check(graph):
    """Check what every graph promises: order, attributes, types and who reads what."""
    known = {info.name for info in (*graph.inputs, *graph.optional)} | set(graph.constants)
    for node in graph.nodes:
        assert set(node.reads) <= known, node
        assert not set(node.writes) & known, node
        known.update(node.writes)
        assert node.made_of
        assert (node.proto is None) == (node.domain == "gconv")
        if node.domain == "gconv":
            assert set(node.attributes) == ATTRIBUTES[node.op]
            assert len(node.outputs) == 1
            for name in (*node.reads, *node.writes):
                assert graph.dtype(name) == np.float32, (node, name)
        for name in node.reads:
            assert sum(reader is node for reader in graph.readers(name)) == list(node.reads).count(
                name
            )
        assert all(graph.producer(name) is node for name in node.writes)
    assert all(output.name in known for output in graph.outputs)


ATTRIBUTES = {
    "Convolution": {
        "stride", "padding", "auto_pad", "dilation", "groups", "transposed", "output_padding",
        "output_shape", "activation",
    },
    "Linear": {"activation"},
    "Product": {"transpose_a", "transpose_b", "activation"},
    "Elementwise": {"function", "activation"},
    "ScaleShift": {"activation"},
    "LayerNorm": {"axis", "epsilon"},
}  # fmt: skip


def interpret(graph, feeds):
    """The outputs of a graph, node by node."""
    values = {**graph.constants, **feeds}
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            values.update(zip(node.writes, results_of(node, graph, values), strict=True))
    return [values[info.name] for info in graph.outputs]


def results_of(node, graph, values):
    """What one node makes."""
    if node.domain != "gconv":
        reference = Reference(node, graph)
        return reference([values[name] for name in reference.reads])
    inputs = [values[name].astype(np.float64) if name else None for name in node.inputs]
    result = OPERATORS[node.op](*inputs, **node.attributes)
    return [np.asarray(result, np.float32)]


def with_epilogue(y, residual, activation):
    """activation(y + residual)."""
    if residual is not None:
        assert residual.shape == y.shape
        y = y + residual
    kind, *numbers = (activation,) if isinstance(activation, str | None) else activation
    return ACTIVATIONS[kind](y, *numbers)


ACTIVATIONS = {
    None: lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "clip": np.clip,
    "leaky_relu": lambda x, slope: np.where(x >= 0, x, slope * x),
    "sigmoid": expit,
    "tanh": np.tanh,
    "silu": lambda x: x * expit(x),
    "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "gelu": lambda x: x * 0.5 * (1 + erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
}


def convolution(
    x, weight, bias, residual, *, transposed, padding, auto_pad, output_shape, output_padding,
    stride, dilation, groups, activation,
):  # fmt: skip
    dimensions = weight.ndim - 2
    parameters = {"stride": stride, "dilation": dilation, "groups": groups}
    if not transposed:
        function = (gconv.conv1d, gconv.conv2d, gconv.conv3d)[dimensions - 1]
        padding = auto_pad.lower() if padding is None else padding
        y = function(x, weight, bias, padding=padding, **parameters)
        return with_epilogue(y, residual, activation)
    function = (gconv.conv_transpose1d, gconv.conv_transpose2d, gconv.conv_transpose3d)
    if padding is None:
        wanted = output_shape or [n * s for n, s in zip(x.shape[2:], stride, strict=True)]
        full = [
            (n - 1) * s + d * (k - 1) + 1 + more
            for n, s, d, k, more in zip(
                x.shape[2:], stride, dilation, weight.shape[2:], output_padding, strict=True
            )
        ]
        totals = [n - m for n, m in zip(full, wanted, strict=True)]
        output_padding = [p + max(0, -t) for p, t in zip(output_padding, totals, strict=True)]
        halves = [(max(0, t) // 2, (max(0, t) + 1) // 2) for t in totals]
        padding = halves if auto_pad == "SAME_UPPER" else [half[::-1] for half in halves]
    y = function[dimensions - 1](
        x, weight, bias, padding=padding, output_padding=output_padding, **parameters
    )
    return with_epilogue(y, residual, activation)


def linear(x, weight, bias, residual, *, activation):
    return with_epilogue(x @ weight.T + (0 if bias is None else bias), residual, activation)


def product(a, b, residual, *, transpose_a, transpose_b, activation):
    a = a.swapaxes(-1, -2) if transpose_a else a
    b = b.swapaxes(-1, -2) if transpose_b else b
    return with_epilogue(a @ b, residual, activation)


def elementwise(*inputs, function, activation):
    assert len(inputs) == FUNCTIONS[function]
    functions = {"identity": lambda x: x, "erf": erf}
    y = functions.get(function, getattr(np, function, None))(*inputs)
    return with_epilogue(y, None, activation)


def scale_shift(x, scale, shift, *, activation):
    by_channel = (-1, *[1] * (x.ndim - 2))
    y = x * scale.reshape(by_channel) + shift.reshape(by_channel)
    return with_epilogue(y, None, activation)


def layer_norm(x, scale, bias, *, axis, epsilon):
    axes = tuple(range(axis % x.ndim, x.ndim))
    centred = x - x.mean(axes, keepdims=True)
    y = centred / np.sqrt((centred**2).mean(axes, keepdims=True) + epsilon)
    return y * (1 if scale is None else scale) + (0 if bias is None else bias)


OPERATORS = {
    "Convolution": convolution,
    "Linear": linear,
    "Product": product,
    "Elementwise": elementwise,
    "ScaleShift": scale_shift,
    "LayerNorm": layer_norm,
}
