"""Which values have the same shape whatever the sizes of the input are.

Shape inference gives a convolution of unknown height a new unknown. Here a size is a number, a
name, or an expression of one: floor((n + a) / b) + c, so that two ways to halve an image are the
same size where they are.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from gconv.onnx.graph import Graph, Node

Extent: TypeAlias = Any  # a number, a Window, or a tuple that stands for what is not known
Shape: TypeAlias = tuple[Extent, ...]


class Window(NamedTuple):
    """floor((size + more) / stride) + 1; with a stride of 1, size + more + 1."""

    size: Extent
    more: int
    stride: int


class Sizes:
    """The shapes of the values of a graph as expressions of the sizes of its inputs."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._shapes: dict[str, Shape] = {}
        for node in graph.nodes:
            shape = self._of(node)
            if shape is not None:
                self._shapes[node.outputs[0]] = self._numbers(node.outputs[0], shape)

    def equal(self, a: str, b: str) -> bool:
        """Whether two values have the same shape for sure."""
        first, second = self.shape(a), self.shape(b)
        return first is not None and first == second

    def shape(self, name: str) -> Shape | None:
        """The shape of a value, each size that is unknown being itself alone."""
        known = self._shapes.get(name)
        if known is not None:
            return known
        if name in self._graph.constants:
            return self._graph.constants[name].shape
        info = self._graph.infos.get(name)
        if info is None or info.shape is None:
            return None
        return tuple(
            size if isinstance(size, int) else ("named", size) if size else ("of", name, axis)
            for axis, size in enumerate(info.shape)
        )

    def _numbers(self, name: str, shape: Shape) -> Shape:
        """The shape with the numbers that inference has where it has them."""
        info = self._graph.infos.get(name)
        if info is None or info.shape is None or len(info.shape) != len(shape):
            return shape
        return tuple(
            known if isinstance(known, int) else size
            for known, size in zip(info.shape, shape, strict=True)
        )

    def _of(self, node: Node) -> Shape | None:
        """The shape of a node's result, where it follows from those of its inputs."""
        x = self.shape(node.inputs[0]) if node.inputs and node.inputs[0] else None
        if x is None:
            return None
        if node.is_ours("Convolution"):
            return self._convolution(node, x)
        if node.is_ours("Linear"):
            return (*x[:-1], int(self._graph.constants[node.inputs[1]].shape[0]))
        if node.is_ours("ScaleShift", "LayerNorm") or node.is_onnx(*KEEPING):
            return x
        if node.is_ours("Elementwise"):
            return self._broadcast(node, x)
        if node.is_onnx("MaxPool", "AveragePool"):
            return self._pool(node, x)
        return None

    def _broadcast(self, node: Node, x: Shape) -> Shape | None:
        if len(node.inputs) == 1 or not node.inputs[1]:
            return x
        other = self.shape(node.inputs[1])
        if other is None:
            return None
        rank = max(len(x), len(other))
        x, other = ((1,) * (rank - len(each)) + each for each in (x, other))
        sizes: list[Extent] = []
        for a, b in zip(x, other, strict=True):
            if a == b or b == 1:
                sizes.append(a)
            elif a == 1 or (isinstance(b, int) and not isinstance(a, int)):
                sizes.append(b)  # a is 1 or b, and 1 becomes b
            elif isinstance(a, int):
                sizes.append(a)
            else:
                return None
        return tuple(sizes)

    def _convolution(self, node: Node, x: Shape) -> Shape | None:
        attributes, weight = node.attributes, self._graph.constants[node.inputs[1]]
        if len(x) != weight.ndim or attributes["transposed"]:
            return None
        start, stride = (x[0], int(weight.shape[0])), attributes["stride"]
        if attributes["padding"] is None:
            return (*start, *map(same, x[2:], stride))
        padding = map(sum, attributes["padding"])
        windows = map(window, x[2:], weight.shape[2:], stride, attributes["dilation"], padding)
        return (*start, *windows)

    def _pool(self, node: Node, x: Shape) -> Shape | None:
        attributes: dict[str, Any] = node.attributes
        kernel = attributes["kernel_shape"]
        ones, dimensions = [1] * len(kernel), len(kernel)
        if attributes.get("ceil_mode", 0) or len(x) != dimensions + 2:
            return None
        stride, dilation = attributes.get("strides") or ones, attributes.get("dilations") or ones
        if attributes.get("auto_pad", "NOTSET").startswith("SAME"):
            return (*x[:2], *map(same, x[2:], stride))
        pads = attributes.get("pads") or [0] * 2 * dimensions
        totals = [pads[i] + pads[i + dimensions] for i in range(dimensions)]
        return (*x[:2], *map(window, x[2:], kernel, stride, dilation, totals))


# Operators of ONNX's whose result has the shape of their first input.
KEEPING = (
    "Identity", "Cast", "Dropout", "Softmax", "LogSoftmax", "Softplus", "Elu", "Selu", "Celu",
    "Mish", "HardSigmoid", "PRelu", "Clip", "Floor", "Ceil", "Round", "Sign", "Softsign",
    "BatchNormalization", "InstanceNormalization", "GroupNormalization", "LayerNormalization",
    "LRN", "LpNormalization", "ThresholdedRelu", "Shrink",
)  # fmt: skip


def window(size: Extent, kernel: int, stride: int, dilation: int, padding: int) -> Extent:
    """The number of places of a window."""
    more = int(padding) - int(dilation) * (int(kernel) - 1) - 1
    if isinstance(size, int):
        return (size + more) // int(stride) + 1
    if isinstance(size, Window) and size.stride == 1:
        inner: Window = size
        size, more = inner.size, more + inner.more + 1
    return size if (stride, more) == (1, -1) else Window(size, more, int(stride))


def same(size: Extent, stride: int) -> Extent:
    """The number of places of a window with padding such that strides cover everything."""
    return window(size, 1, stride, 1, 0)
