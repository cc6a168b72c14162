"""What a model is between its file and the plan of a run: nodes that read and write named values.

A node is ONNX's own, with the same name, inputs and attributes, or one of the operators below,
which belong to the domain "gconv" and always have all of their attributes.

Convolution
    Inputs x, weight, bias or "", residual or "". Weight and bias are constants. Attributes
    `stride`, `dilation`, `groups`, `padding` (one (before, after) for each axis, or None where
    `auto_pad` is "SAME_UPPER" or "SAME_LOWER"), `auto_pad`, `transposed`, `output_padding`,
    `output_shape` (or None), `activation`. It is activation(convolution(x) + bias + residual).
Linear
    Inputs x (..., K), weight (M, K), bias (M) or "", residual or "". Weight and bias are
    constants. Attribute `activation`.
Product
    Inputs a, b, residual or "": the matrix product of two results, as numpy.matmul has it.
    Attributes `transpose_a`, `transpose_b` (the last two axes trade places first), `activation`.
Elementwise
    Inputs a, b or "". Attributes `function`, one of `FUNCTIONS`, and `activation`. Inputs are
    broadcast as NumPy does.
ScaleShift
    Inputs x, scale, shift: x · scale + shift by channel (axis 1), both constant. Attribute
    `activation`.
LayerNorm
    Inputs x, scale or "", bias or "". Attributes `axis` (mean and variance go from there to the
    last axis; it may be negative), `epsilon`.

An activation is None or what gconv's layers take: a name, or a name and its parameters. A
residual has the shape of the result; it is never broadcast.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

Size: TypeAlias = int | str | None  # a number, a name that stands for one, or unknown

OURS = "gconv"  # the domain of our own operators

# The functions of Elementwise, and how many inputs each has.
FUNCTIONS = {
    "add": 2,
    "subtract": 2,
    "multiply": 2,
    "divide": 2,
    "maximum": 2,
    "minimum": 2,
    "power": 2,
    "identity": 1,
    "sqrt": 1,
    "negative": 1,
    "absolute": 1,
    "reciprocal": 1,
    "exp": 1,
    "log": 1,
    "square": 1,
    "erf": 1,
}


@dataclass(eq=False)
class Node:
    """One step of a model.

    Attributes
    ----------
    op : str
        ONNX's name of the operator, or ours.
    domain : str
        "" is ONNX's own, "gconv" is ours.
    inputs, outputs : list of str
        Names of values; "" where there is none.
    attributes : dict
        Python values; tensors are arrays, graphs stay `GraphProto`. ONNX's nodes have those that
        the file gives, ours have all.
    proto : NodeProto or None
        The ONNX node, which the reference runs; None for ours.
    made_of : list of str
        Names of the ONNX nodes that this one stands for.
    captured : list of str
        Values that its subgraphs (If, Loop, Scan) read without listing them as inputs.
    """

    op: str
    domain: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    proto: onnx.NodeProto | None = None
    made_of: list[str] = field(default_factory=list)
    captured: list[str] = field(default_factory=list)

    @property
    def reads(self) -> Iterator[str]:
        """The values that it needs, one entry for each use."""
        return (name for name in (*self.inputs, *self.captured) if name)

    @property
    def writes(self) -> Iterator[str]:
        """The values that it makes."""
        return (name for name in self.outputs if name)

    def input(self, index: int) -> str:
        """The name of an input, "" where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def is_onnx(self, *ops: str) -> bool:
        """Whether it is one of these operators of ONNX's own."""
        return not self.domain and self.op in ops

    def is_ours(self, *ops: str) -> bool:
        """Whether it is one of these operators of ours."""
        return self.domain == OURS and self.op in ops

    def __repr__(self) -> str:
        return f"Node({self.op}: {self.inputs} -> {self.outputs})"


@dataclass(eq=False)
class Info:
    """What is known of a value.

    Attributes
    ----------
    name : str
    dtype : numpy.dtype
        The type of its elements. Within a graph that of the computation; of inputs and outputs
        what the file declares (float16 models are computed in float32).
    shape : tuple, or None
        A number, a name or None (unknown) for each axis; None where even the rank is unknown.
    kind : str
        "tensor", or "sequence", "optional", "map", "sparse_tensor", which have no shape.
    type : str
        The type as ONNX Runtime writes it, "tensor(float)" for example.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[Size, ...] | None
    kind: str = "tensor"
    type: str = ""

    @property
    def rank(self) -> int | None:
        """The number of axes, where it is known."""
        return None if self.shape is None else len(self.shape)


@dataclass(eq=False)
class Graph:
    """A model: values, the nodes that make them, and what goes in and out.

    Attributes
    ----------
    name : str
    opsets : dict of str to int
        The version of each domain's operators.
    ir_version : int
    inputs, outputs : list of Info
        As the file declares them, without the inputs in `optional`.
    optional : list of Info
        Inputs that the caller may leave out, as the file declares them: they have initializers.
    constants : dict of str to array
        Values that do not change: initializers and what follows from them. Nobody may write to
        them. Initializers of optional inputs are among them until `override` says otherwise.
    nodes : list of Node
        Each comes after those that it reads from. Change it through the methods.
    infos : dict of str to Info
        What shape inference says of every value.
    functions : list of FunctionProto
        Functions of the model that could not be written out as nodes.
    halves : bool
        Whether the file has float16 or bfloat16, so that its numbers are coarse.
    """

    name: str
    opsets: dict[str, int]
    ir_version: int
    inputs: list[Info]
    outputs: list[Info]
    optional: list[Info]
    constants: dict[str, NDArray[Any]]
    nodes: list[Node]
    infos: dict[str, Info]
    functions: list[onnx.FunctionProto] = field(default_factory=list)
    halves: bool = False

    @property
    def tolerance(self) -> float:
        """How far a number may be from the one that a pattern has, relative to it."""
        return 2**-8 if self.halves else 2**-20

    def __post_init__(self) -> None:
        self.reindex()

    def reindex(self) -> None:
        """Find out anew who reads and who makes each value."""
        self._readers: dict[str, list[Node]] = {}
        self._producers: dict[str, Node] = {}
        for node in self.nodes:
            self._enter(node)

    def _enter(self, node: Node) -> None:
        for name in node.reads:
            self._readers.setdefault(name, []).append(node)
        for name in node.writes:
            self._producers[name] = node

    def _leave(self, node: Node) -> None:
        for name in node.reads:
            self._readers[name].remove(node)
        for name in node.writes:
            if self._producers.get(name) is node:
                del self._producers[name]

    def override(self, names: Iterable[str]) -> None:
        """Let the caller give these optional inputs: what follows from them is not constant."""
        for name in names:
            del self.constants[name]

    def describe(self, node: Node) -> str:
        """What messages call a node: its name or those of the nodes that it was made of, and its
        operator with the version of it that the model has."""
        names = " + ".join(node.made_of) or next(node.writes, "")
        version = f" of opset {self.opsets[node.domain]}" if node.domain in self.opsets else ""
        return f"node {names!r} ({node.op}{version})"

    def readers(self, name: str) -> list[Node]:
        """The nodes that read a value, one entry for each use; outputs of the graph are no use."""
        return self._readers.get(name, [])

    def producer(self, name: str) -> Node | None:
        """The node that makes a value; None for inputs and constants."""
        return self._producers.get(name)

    def is_output(self, name: str) -> bool:
        """Whether the caller gets a value."""
        return any(output.name == name for output in self.outputs)

    def only_reader(self, name: str) -> Node | None:
        """The node that reads a value, where one node does, once, and the caller does not."""
        readers = self.readers(name)
        return readers[0] if len(readers) == 1 and not self.is_output(name) else None

    def constant(self, name: str) -> NDArray[Any] | None:
        """The value where it is constant."""
        return self.constants.get(name) if name else None

    def rank(self, name: str) -> int | None:
        """The number of a value's axes, where it is known."""
        if name in self.constants:
            return self.constants[name].ndim
        info = self.infos.get(name)
        return None if info is None else info.rank

    def size(self, name: str, axis: int) -> Size:
        """The size of a value along an axis; None where it is unknown or there is no such axis."""
        if name in self.constants:
            shape: tuple[Size, ...] | None = self.constants[name].shape
        else:
            info = self.infos.get(name)
            shape = None if info is None else info.shape
        if shape is None or not -len(shape) <= axis < len(shape):
            return None
        return shape[axis]

    def dtype(self, name: str) -> np.dtype[Any] | None:
        """The type of a value's elements, where it is known; None for what is not a tensor."""
        if name in self.constants:
            return self.constants[name].dtype
        info = self.infos.get(name)
        return info.dtype if info is not None and info.kind == "tensor" else None

    def replace(self, old: Sequence[Node], new: Node | Sequence[Node]) -> None:
        """Put new nodes in the place of old ones, where the last of the old ones stands.

        Everything that the new ones read must have been read by one of the old ones or be made
        before the last of them, and what the others made must have no reader left in between.
        """
        new = [new] if isinstance(new, Node) else list(new)
        gone = {id(node) for node in old}
        place = max(index for index, node in enumerate(self.nodes) if id(node) in gone)
        before = [node for node in self.nodes[:place] if id(node) not in gone]
        self.nodes[: place + 1] = before + new
        for node in old:
            self._leave(node)
        for node in new:
            self._enter(node)

    def remove(self, nodes: Iterable[Node]) -> None:
        """Take nodes out; nobody may read what they make."""
        gone = {id(node): node for node in nodes}
        self.nodes[:] = [node for node in self.nodes if id(node) not in gone]
        for node in gone.values():
            self._leave(node)

    def rename_uses(self, name: str, new: str) -> None:
        """Let every node that lists `name` as an input read `new` in its place."""
        for node in {id(node): node for node in self.readers(name)}.values():
            self._leave(node)
            node.inputs = [new if each == name else each for each in node.inputs]
            self._enter(node)

    def set_inputs(self, node: Node, inputs: Sequence[str]) -> None:
        """Let a node read other values."""
        self._leave(node)
        node.inputs = list(inputs)
        self._enter(node)

    def set_outputs(self, node: Node, outputs: Sequence[str]) -> None:
        """Let a node make other values."""
        self._leave(node)
        node.outputs = list(outputs)
        self._enter(node)

    def free_name(self, name: str) -> str:
        """A name like this one that no value has."""
        free, count = name, 0
        while free in self.constants or free in self.infos or free in self._producers:
            count += 1
            free = f"{name}_{count}"
        return free

    def add_constant(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant under a name like this one that is free; return the name."""
        free = self.free_name(name)
        self.constants[free] = value
        self.infos[free] = Info(free, value.dtype, value.shape)
        return free
