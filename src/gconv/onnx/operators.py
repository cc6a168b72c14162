"""How steps of our own compute each operator: a function for each, which adds steps to a lowering.

A function raises `Refused` where the operator with these attributes and operands is for ONNX's
reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gconv import _steps as steps
from gconv._call import isa
from gconv._call.geometry import Parameters
from gconv._call.run import image_strides
from gconv._plan import choose
from gconv._plan.problem import NO_EPILOGUE, Epilogue, epilogue_of
from gconv.onnx.graph import OURS, Node
from gconv.onnx.lowering import FLOAT32, VIEWING, Lowering, Refused, parts_of
from gconv.onnx.memory import View, in_order
from gconv.onnx.resizing import tables_of
from gconv.onnx.shapes import parameters_of

Array: TypeAlias = NDArray[Any]
Operator: TypeAlias = Callable[[Lowering, Node], None]

OPERATORS: dict[tuple[str, str], Operator] = {}
MOST_GATHERED = 16  # positions that are copied one by one


def lowers(*ops: str, domain: str = "") -> Callable[[Operator], Operator]:
    """Register the function of some operators."""

    def register(function: Operator) -> Operator:
        for op in ops:
            OPERATORS[domain, op] = function
        return function

    return register


def float32(*views: View | None) -> None:
    """Refuse other types: steps compute with float32."""
    if any(view is not None and view.dtype != FLOAT32 for view in views):
        raise Refused


def only_output(node: Node) -> str:
    """The name of the only result that somebody may read."""
    if any(node.outputs[1:]):
        raise Refused
    return node.outputs[0]


def result(
    low: Lowering, name: str, *reusable: View | None, beside: Sequence[View | None] = (),
    any_order: bool = False,
) -> View:
    """Where to write a value: its place in a concatenation or before the caller, or over an input
    of the same shape that ends here, or anywhere.

    Of the `reusable` inputs every element is read before it is written; the inputs `beside` them
    are read elsewhere too, so that the value must not lie where one of those does. In `any_order`,
    the axes follow each other in memory as those of an input of the same shape do.
    """
    shape = low.known.shape[name]
    if name not in low.targets:
        for view in reusable:
            if (
                view is not None and view.shape == shape and view.dtype == low.known.dtype[name]
                and view.contiguous and low.ends_here(view)
                and all(other is None or other.root is not view.root
                        or (other.offset, other.shape, other.strides)
                        == (view.offset, view.shape, view.strides) for other in reusable)
                and all(other is None or other.root is not view.root for other in beside)
            ):
                low.assign(name, view)
                return view
        for view in reusable if any_order else ():
            if (
                view is not None and view.shape == shape and min(view.strides, default=0) > 0
                and not view.contiguous
            ):
                order = sorted(range(len(shape)), key=lambda axis: -view.strides[axis])
                y = low.new_value(tuple(shape[axis] for axis in order), view.dtype)
                y = y.transposed([order.index(axis) for axis in range(len(shape))])
                low.assign(name, y)
                return y
    return low.destination(name)


def constant_integers(low: Lowering, name: str) -> list[int] | None:
    """The numbers of a constant; None where the input is left out."""
    if not name:
        return None
    value = low.constant(name)
    if value is None:
        raise Refused
    return [int(number) for number in value.ravel()]


# ---- convolutions and matrix products -----------------------------------------------------------


def is_image(view: View) -> bool:
    """Whether an image of a view is in C order or channels-last, or some channels of such."""
    shape, strides = view.shape[1:], view.strides[1:]
    if in_order(shape[1:], strides[1:]):
        return shape[0] == 1 or strides[0] >= math.prod(shape[1:])
    if shape[0] > 1 and strides[0] != 1:
        return False
    pixel = strides[-1]
    return pixel >= shape[0] and in_order(
        (*shape[1:], pixel), (*strides[1:], 1))


def is_channels_last(view: View) -> bool:
    """Whether the channels of each pixel are neighbours, and the columns are not."""
    return view.shape[1] > 1 and view.strides[1] == 1 and not in_order(
        view.shape[1:], view.strides[1:])


def wants_channels_last(low: Lowering, name: str) -> bool:
    """Whether a value may lie so: it has no place yet, and its readers take strides. Between
    others an order that changes costs more than it gains."""
    shape = low.known.shape[name]
    return (
        name not in low.targets
        and shape[1] > 1 and math.prod(shape[2:]) > 1
        and all(reader.is_onnx(*VIEWING) or (
                    reader.is_ours("Convolution") and name not in reader.inputs[1:])
                for reader in low.readers.get(name, []))
    )


@lowers("Convolution", domain=OURS)
def convolution(low: Lowering, node: Node) -> None:
    """A convolution with weights that do not change."""
    x, weight = low.view(node.inputs[0]), node.inputs[1]
    if weight not in low.constants:
        raise Refused
    float32(x)
    bias = low.constant(node.input(2))
    residual = low.in_order(node.inputs[3]) if node.input(3) else None
    if not is_image(x):
        x = low.in_order(node.inputs[0])
    parameters = parameters_of(node, x.shape, low.known.shape[weight])
    name = node.outputs[0]
    if residual is None and is_channels_last(x) and wants_channels_last(low, name):
        y = low.channels_last(name)
        with suppress(Refused):
            return convolve(low, parameters, x, y, weight, bias, None, y_in_order=False)
        low.forget(name)
    y = result(low, name, residual, beside=[x])
    return convolve(low, parameters, x, y, weight, bias, residual)


def convolve(
    low: Lowering,
    parameters: Parameters,
    x: View,
    y: View,
    weight: str | View,
    bias: Array | None,
    residual: View | None,
    weight_image: int = 0,
    *,
    y_in_order: bool = True,
) -> None:
    """Add the step of a convolution; a weight is the name of a constant, or a result."""
    if 0 in x.shape or 0 in y.shape:
        raise Refused
    if bias is not None and bias.shape != y.shape[1:2]:
        raise ValueError(f"the bias must have shape {y.shape[1:2]}, got {bias.shape}")
    geometry = parameters.applied_to(x.shape, 4)
    size = FLOAT32.itemsize
    strides = image_strides(x.shape, tuple(stride * size for stride in x.strides), size)
    plan = choose.plan_for(
        geometry, FLOAT32, (0, *strides[1:]), isa.machine(FLOAT32), y_in_order=y_in_order,
        packs=isinstance(weight, View))
    if plan.copied:
        raise Refused
    reads = [x, residual]
    taps: steps.Operand | Array | None = None
    packed = None
    if isinstance(weight, View):
        taps = low.at(weight)
        reads.append(weight)
    else:
        packed = low.packed(weight, plan.layout)
        if packed is None:
            taps = low.constant(weight)
    low.own(
        steps.convolution(
            plan, low.at(x), low.at(y), weight=taps, packed=packed, bias=bias,
            residual=None if residual is None else low.at(residual), images=x.shape[0],
            weight_image=weight_image),
        reads, y)


@lowers("Conv", "ConvTranspose")
def runtime_convolution(low: Lowering, node: Node) -> None:
    """A convolution with weights that are results or inputs."""
    x, weight = low.view(node.inputs[0]), low.in_order(node.inputs[1])
    float32(x, weight)
    rank = len(x.shape) - 2
    if not 1 <= rank <= 3:
        raise Refused
    attributes = node.attributes
    auto_pad = attributes.get("auto_pad", "NOTSET")
    pads = attributes.get("pads") or [0] * 2 * rank
    transposed = node.op == "ConvTranspose"
    ours = Node("Convolution", OURS, node.inputs, node.outputs, {
        "stride": tuple(attributes.get("strides") or [1] * rank),
        "dilation": tuple(attributes.get("dilations") or [1] * rank),
        "groups": attributes.get("group", 1),
        "padding": None if auto_pad.startswith("SAME") else tuple(
            zip(*([[0] * rank] * 2 if auto_pad == "VALID" else [pads[:rank], pads[rank:]]),
                strict=True)),
        "auto_pad": auto_pad,
        "transposed": transposed,
        "output_padding": tuple(attributes.get("output_padding") or [0] * rank),
        "output_shape": attributes.get("output_shape") or None,
        "activation": None,
    }, made_of=node.made_of)
    try:
        parameters = parameters_of(ours, x.shape, weight.shape)
        if parameters.applied_to(x.shape).out_shape != low.known.shape[node.outputs[0]]:
            raise Refused
    except (ValueError, TypeError) as error:
        raise Refused from error
    if not is_image(x):
        x = low.in_order(node.inputs[0])
    y = low.destination(node.outputs[0])
    constant_bias = low.constant(node.input(2))
    convolve(low, parameters, x, y, weight, constant_bias, None)
    if node.input(2) and constant_bias is None:
        bias = low.view(node.inputs[2])
        bias = bias._replace(
            shape=(*bias.shape, *[1] * rank), strides=(*bias.strides, *[0] * rank))
        low.own(steps.elementwise("add", [low.at(y), low.at(bias)], low.at(y)), [y, bias], y)


def rows_as_image(view: View) -> View | None:
    """(N, ..., K) as N images of K channels, channels-last: their pixels are the rows. None where
    the rows are not equally far apart."""
    if len(view.shape) == 1:
        view = view._replace(shape=(1, *view.shape), strides=(0, *view.strides))
    if len(view.shape) == 2:
        view = view._replace(
            shape=(view.shape[0], 1, view.shape[1]),
            strides=(view.strides[0], view.shape[1], view.strides[1]))
    merged = view.reshaped(
        (view.shape[0], math.prod(view.shape[1:-1]), view.shape[-1])) if view.size else None
    return None if merged is None else merged.transposed((0, 2, 1))


@lowers("Linear", domain=OURS)
def linear(low: Lowering, node: Node) -> None:
    """A product with a constant matrix: a 1 x 1 convolution of rows that are pixels."""
    x, weight = low.view(node.inputs[0]), node.inputs[1]
    if weight not in low.constants:
        raise Refused
    float32(x)
    bias = low.constant(node.input(2))
    residual = low.in_order(node.inputs[3]) if node.input(3) else None
    image = rows_as_image(x) if x.strides[-1] == 1 else None
    if image is None:
        image = rows_as_image(low.in_order(node.inputs[0]))
    if image is None:
        raise Refused
    out, features = low.known.shape[weight]
    parameters = Parameters.of_convolution(
        node.op, 1, (out, features, 1), None, activation=node.attributes["activation"])
    y_in_order = image.shape[2] == 1 or out == 1
    # In C order alone a kernel reads the residual of an element before it writes there.
    y = result(low, node.outputs[0], residual if y_in_order else None, beside=[image])
    y_image = rows_as_image(y)
    residual_image = None if residual is None else rows_as_image(residual)
    assert y_image is not None
    convolve(
        low, parameters, image, y_image, weight, bias, residual_image,
        y_in_order=y_in_order)


@lowers("Product", domain=OURS)
def product(low: Lowering, node: Node) -> None:
    """A product of two results: a grouped 1 x 1 convolution of b, whose weights are a."""
    a, b = low.view(node.inputs[0]), low.view(node.inputs[1])
    multiply(low, node, a, b, node.attributes["transpose_a"], node.attributes["transpose_b"],
             node.input(2), node.attributes["activation"])


@lowers("MatMul")
def matrix_product(low: Lowering, node: Node) -> None:
    """A product that no rewrite has met."""
    a, b = low.view(node.inputs[0]), low.view(node.inputs[1])
    multiply(low, node, a, b, False, False, "", None)


def multiply(
    low: Lowering, node: Node, a: View, b: View, transpose_a: bool, transpose_b: bool,
    residual_name: str, activation: Any,
) -> None:
    """y = activation(a @ b + residual)."""
    float32(a, b)
    if min(len(a.shape), len(b.shape)) < 2 and (transpose_a or transpose_b):
        raise Refused
    if transpose_a:
        a = a.transposed((*range(len(a.shape) - 2), len(a.shape) - 1, len(a.shape) - 2))
    if transpose_b:
        b = b.transposed((*range(len(b.shape) - 2), len(b.shape) - 1, len(b.shape) - 2))
    if len(a.shape) == 1:
        a = a._replace(shape=(1, *a.shape), strides=(0, *a.strides))
    if len(b.shape) == 1:
        b = b._replace(shape=(*b.shape, 1), strides=(*b.strides, 1))
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    (rows, inner), columns = a.shape[-2:], b.shape[-1]
    if 0 in (*batch, rows, inner, columns):
        raise Refused
    # The first axis holds the images; what lies between it and the matrices are groups.
    images, groups = (batch[0], math.prod(batch[1:])) if batch else (1, 1)
    whole = batch or (1,)
    a, b = a.broadcast((*whole, rows, inner)), b.broadcast((*whole, inner, columns))
    x = grouped(b, images, groups * inner, columns)
    if x is None or not is_image(x) or (x.strides[2] != 1 and columns > 1 and groups > 1
                                        and x.strides[1] != 1):
        x = grouped(low.copied(b), images, groups * inner, columns)
    weight = grouped(a, images, groups * rows, inner)
    if weight is None or not in_order(weight.shape[1:], weight.strides[1:]):
        weight = grouped(low.copied(a), images, groups * rows, inner)
    assert x is not None
    assert weight is not None
    residual = low.in_order(residual_name) if residual_name else None
    y = result(low, node.outputs[0], residual, beside=[x, weight])
    shape = (images, groups * rows, columns)
    y_image = y.reshaped(shape)
    assert y_image is not None
    parameters = Parameters.of_convolution(
        node.op, 1, (groups * rows, inner, 1), None, groups=groups, activation=activation)
    same = images == 1 or weight.strides[0] == 0
    convolve(
        low, parameters, x, y_image,
        weight._replace(shape=weight.shape[1:], strides=weight.strides[1:]), None,
        None if residual is None else residual.reshaped(shape),
        0 if same else weight.strides[0])


def grouped(view: View, images: int, rows: int, columns: int) -> View | None:
    """Matrices as images whose channels are the rows of all groups."""
    return view.reshaped((images, rows, columns))


@lowers("Gemm")
def gemm(low: Lowering, node: Node) -> None:
    """alpha * a @ b + beta * c, where no rewrite has met it."""
    attributes = node.attributes
    if attributes.get("alpha", 1.0) != 1 or (node.input(2) and attributes.get("beta", 1.0) != 1):
        raise Refused
    a, b = low.view(node.inputs[0]), low.view(node.inputs[1])
    multiply(low, node, a, b, bool(attributes.get("transA", 0)), bool(attributes.get("transB", 0)),
             "", None)
    if node.input(2):
        y, c = low.view(node.outputs[0]), low.view(node.inputs[2])
        float32(c)
        low.own(steps.elementwise("add", [low.at(y), low.at(c)], low.at(y)), [y, c], y)


# ---- functions of elements ----------------------------------------------------------------------


@lowers("Elementwise", domain=OURS)
def elementwise(low: Lowering, node: Node) -> None:
    """A function of one or two operands."""
    inputs = [low.view(name) for name in node.inputs if name]
    compute(low, node.attributes["function"], inputs, node.outputs[0],
            epilogue_of(node.attributes["activation"]))


def compute(
    low: Lowering, function: str, inputs: Sequence[View], name: str,
    activation: Epilogue = NO_EPILOGUE,
) -> None:
    """Add a step for a function of elements, in place where it can be."""
    float32(*inputs)
    y = result(low, name, *inputs, any_order=True)
    if y.size:
        low.own(
            steps.elementwise(function, [low.at(view) for view in inputs], low.at(y), activation),
            inputs, y)


PLAIN = {
    "Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide", "Max": "maximum",
    "Min": "minimum", "Pow": "power", "Sqrt": "sqrt", "Neg": "negative", "Abs": "absolute",
    "Reciprocal": "reciprocal", "Exp": "exp", "Log": "log", "Erf": "erf", "Sum": "add",
}


@lowers(*PLAIN)
def plain_function(low: Lowering, node: Node) -> None:
    """A function of elements as ONNX writes it."""
    inputs = [low.view(name) for name in node.inputs]
    name = only_output(node)
    if len(inputs) == 1 and node.op in ("Sum", "Max", "Min"):
        return compute(low, "identity", inputs, name)
    float32(*inputs)
    if len(inputs) <= 2:
        return compute(low, PLAIN[node.op], inputs, name)
    y = low.destination(name)
    total = inputs[0]
    for view in inputs[1:]:
        if y.size:
            low.own(
                steps.elementwise(PLAIN[node.op], [low.at(total), low.at(view)], low.at(y)),
                [total, view], y)
        total = y
    return None


@lowers("ScaleShift", domain=OURS)
def scale_shift(low: Lowering, node: Node) -> None:
    """x * scale + shift by channel."""
    x = low.view(node.inputs[0])
    scale, shift = low.constant(node.inputs[1]), low.constant(node.inputs[2])
    if scale is None or shift is None:
        raise Refused
    float32(x)
    y = result(low, node.outputs[0], x, any_order=True)
    if y.size:
        low.own(
            steps.scale_shift(low.at(x), scale, shift, low.at(y),
                              epilogue_of(node.attributes["activation"])),
            [x], y)


# ---- pools and reductions -----------------------------------------------------------------------


@lowers("MaxPool", "AveragePool")
def pool(low: Lowering, node: Node) -> None:
    """Windows of one to three axes; the indices of the largest are for the reference."""
    name = only_output(node)
    x = low.view(node.inputs[0])
    float32(x)
    rank = len(x.shape) - 2
    if not 1 <= rank <= 3 or not x.size:
        raise Refused
    attributes = node.attributes
    kernel = attributes["kernel_shape"]
    stride = attributes.get("strides") or [1] * rank
    dilation = attributes.get("dilations") or [1] * rank
    out = low.known.shape[name][2:]
    auto_pad = attributes.get("auto_pad", "NOTSET")
    pads = attributes.get("pads") or [0] * 2 * rank
    padding = list(zip(pads[:rank], pads[rank:], strict=True))
    if auto_pad == "VALID":
        padding = [(0, 0)] * rank
    elif auto_pad != "NOTSET":
        padding = []
        for axis in range(rank):
            reach = (out[axis] - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1
            total = max(0, reach - x.shape[2 + axis])
            half = total // 2
            padding.append((half, total - half) if auto_pad == "SAME_UPPER"
                           else (total - half, half))
    y = low.destination(name)
    low.own(
        steps.pool("max" if node.op == "MaxPool" else "average", low.at(x), low.at(y), kernel,
                   stride, dilation, padding, bool(attributes.get("count_include_pad", 0))),
        [x], y)


@lowers("GlobalAveragePool", "GlobalMaxPool")
def global_pool(low: Lowering, node: Node) -> None:
    """The mean or the largest element of every channel."""
    x = low.view(node.inputs[0])
    reduce_over(low, node, "mean" if node.op == "GlobalAveragePool" else "max",
                range(2, len(x.shape)))


REDUCTIONS = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max", "ReduceMin": "min"}


@lowers(*REDUCTIONS)
def reduction(low: Lowering, node: Node) -> None:
    """Means, sums and extremes over axes that do not depend on data."""
    reduce_over(low, node, REDUCTIONS[node.op], reduced_axes(low, node))


def reduced_axes(low: Lowering, node: Node) -> list[int]:
    """The axes of a reduction, which do not depend on data."""
    rank = len(low.known.shape[node.inputs[0]])
    axes = node.attributes.get("axes")
    if axes is None:
        axes = constant_integers(low, node.input(1))
    if not axes:
        if node.attributes.get("noop_with_empty_axes", 0):
            raise Refused
        axes = range(rank)
    return sorted({axis % rank for axis in axes})


def reduce_over(low: Lowering, node: Node, operation: str, axes: Sequence[int]) -> None:
    """Add the step of a reduction."""
    x = low.view(node.inputs[0])
    float32(x)
    if not x.size:
        raise Refused
    y = low.destination(node.outputs[0])
    low.own(steps.reduce(operation, low.at(x), low.at(y), axes), [x], y)


# ---- softmax and normalisation ------------------------------------------------------------------


@lowers("Softmax", "LogSoftmax")
def softmax(low: Lowering, node: Node) -> None:
    """Over an axis; before opset 13 over that axis and all that follow."""
    log = node.op == "LogSoftmax"
    old = low.graph.opsets.get("", 1) < 13
    x = low.view(node.inputs[0])
    float32(x)
    rank = len(x.shape)
    axis = node.attributes.get("axis", 1 if old else -1) % max(rank, 1)
    if not x.size or not rank:
        raise Refused
    y = result(low, node.outputs[0], x)
    if old and axis < rank - 1:
        shape = (math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))
        flat_x, flat_y = x.reshaped(shape), y.reshaped(shape)
        if flat_x is None:
            flat_x = low.in_order(node.inputs[0]).reshaped(shape)
        if flat_x is None or flat_y is None:
            raise Refused
        x, y, axis = flat_x, flat_y, 1
    step = steps.softmax(low.at(x), low.at(y), axis, log)
    if step is None and not x.contiguous:
        x = low.in_order(node.inputs[0])
        step = steps.softmax(low.at(x), low.at(y), axis, log)
    low.own(step, [x], y)


@lowers("LayerNorm", domain=OURS)
def layer_norm(low: Lowering, node: Node) -> None:
    """From an axis to the last one."""
    x = low.view(node.inputs[0])
    float32(x)
    scale, bias = low.constant(node.input(1)), low.constant(node.input(2))
    if any(node.input(i) and value is None for i, value in ((1, scale), (2, bias))) or not x.size:
        raise Refused
    axis = node.attributes["axis"] % len(x.shape)
    shape = x.shape[axis:]
    scale, bias = (
        None if value is None
        else np.ascontiguousarray(np.broadcast_to(value, shape), np.float32)
        for value in (scale, bias)
    )
    normalise(low, node.inputs[0], x, scale, bias, result(low, node.outputs[0], x), axis,
              node.attributes["epsilon"])


@lowers("LayerNormalization")
def runtime_layer_norm(low: Lowering, node: Node) -> None:
    """With a scale and a shift that are results or inputs."""
    name = only_output(node)
    x = low.view(node.inputs[0])
    float32(x)
    if not x.size or node.attributes.get("stash_type", 1) != 1:
        raise Refused
    axis = node.attributes.get("axis", -1) % len(x.shape)
    others = [low.view(other) for other in node.inputs[1:] if other]
    y = result(low, name, x, beside=others)
    normalise(low, node.inputs[0], x, None, None, y, axis, node.attributes.get("epsilon", 1e-5))
    for function, other in (("multiply", node.input(1)), ("add", node.input(2))):
        if other:
            view = low.view(other)
            float32(view)
            low.own(steps.elementwise(function, [low.at(y), low.at(view)], low.at(y)),
                    [y, view], y)


def normalise(
    low: Lowering, name: str, x: View, scale: Array | None, bias: Array | None, y: View, axis: int,
    epsilon: float,
) -> None:
    """Add the step of a layer norm."""
    step = steps.layer_norm(low.at(x), scale, bias, low.at(y), axis, epsilon)
    if step is None and not x.contiguous:
        x = low.in_order(name)
        step = steps.layer_norm(low.at(x), scale, bias, low.at(y), axis, epsilon)
    low.own(step, [x], y)


@lowers("InstanceNormalization", "GroupNormalization")
def group_norm(low: Lowering, node: Node) -> None:
    """A layer norm of every group of channels, then scale and shift."""
    x = low.in_order(node.inputs[0])
    scale, shift = low.view(node.inputs[1]), low.view(node.inputs[2])
    float32(x, scale, shift)
    if not x.size or len(x.shape) < 3:
        raise Refused
    batch, channels = x.shape[:2]
    groups = node.attributes.get("num_groups", channels)
    y = result(low, node.outputs[0], x, beside=[scale, shift])
    shape: tuple[int, ...] = (batch * groups, x.size // batch // groups)
    flat_x, flat_y = x.reshaped(shape), y.reshaped(shape)
    if flat_y is None:
        shape = (batch, groups, shape[1])
        flat_x, flat_y = x.reshaped(shape), y.reshaped(shape)
    if flat_x is None or flat_y is None:
        raise Refused
    low.own(
        steps.layer_norm(low.at(flat_x), None, None, low.at(flat_y), len(shape) - 1,
                         node.attributes.get("epsilon", 1e-5)),
        [x], y)
    of_channels = scale.shape[0] == channels
    split = y if of_channels else y.reshaped((batch, groups, channels // groups, *x.shape[2:]))
    if split is None:
        raise Refused
    ones = (1,) * (len(split.shape) - 2)
    operands = [view._replace(shape=(view.shape[0], *ones), strides=(view.strides[0], *ones))
                for view in (scale, shift)]
    low.own(
        steps.elementwise(
            "multiply_add", [low.at(split), *map(low.at, operands)], low.at(split)),
        [y, *operands], y)


# ---- resizing -----------------------------------------------------------------------------------


@lowers("Resize", "Upsample")
def resize(low: Lowering, node: Node) -> None:
    """Nearest and linear, along the last axes."""
    x = low.in_order(node.inputs[0])
    float32(x)
    out = low.known.shape[node.outputs[0]]
    if not x.size or 0 in out:
        raise Refused
    scales = low.constant(node.input(2 if node.op == "Resize" else 1))
    found = tables_of(node.op, node.attributes, x.shape, out,
                      None if scales is None or not scales.size else scales.ravel())
    if found is None:
        raise Refused
    mode, tables = found
    y = low.destination(node.outputs[0])
    if not tables:
        return low.copy(x, y)
    low.own(steps.resize(low.at(x), low.at(y), mode, tables), [x], y)
    return None


# ---- views --------------------------------------------------------------------------------------


def same_elements(low: Lowering, name: str, view: View) -> None:
    """A result that is a view; copied where it has a place of its own that is another."""
    target = low.targets.get(name)
    if target is None or (
        target.root is view.root and (target.offset, target.strides) == (view.offset, view.strides)
    ):
        low.assign(name, view)
    else:
        low.assign(name, target)
        low.copy(view, target)


@lowers("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout")
def reshape(low: Lowering, node: Node) -> None:
    """The same elements in the same order."""
    name = only_output(node)
    if node.op == "Dropout" and node.input(2):
        training = low.constant(node.inputs[2])
        if training is None or bool(training.any()):
            raise Refused
    x = low.view(node.inputs[0])
    shape = low.known.shape[name]
    if x.size != math.prod(shape):
        raise ValueError(f"x of shape {x.shape} cannot have shape {shape}")
    view = x.reshaped(shape)
    if view is None:
        target = low.targets.get(name)
        if target is not None:  # the copy goes where the result is wanted
            at = target.reshaped(x.shape)
            if at is not None:
                low.assign(name, target)
                return low.copy(x, at)
        view = low.in_order(node.inputs[0]).reshaped(shape)
        assert view is not None
    return same_elements(low, name, view)


@lowers("Cast")
def cast(low: Lowering, node: Node) -> None:
    """From a type to itself, as it is in models that were of float16."""
    x = low.view(node.inputs[0])
    if x.dtype != low.known.dtype[node.outputs[0]]:
        raise Refused
    same_elements(low, node.outputs[0], x)


@lowers("Transpose")
def transpose(low: Lowering, node: Node) -> None:
    """Axes in another order: a view, which readers that want C order copy."""
    x = low.view(node.inputs[0])
    order = node.attributes.get("perm") or list(reversed(range(len(x.shape))))
    same_elements(low, node.outputs[0], x.transposed(order))


@lowers("Expand")
def expand(low: Lowering, node: Node) -> None:
    """An array repeated along axes: a view with steps of 0."""
    x = low.view(node.inputs[0])
    same_elements(low, node.outputs[0], x.broadcast(low.known.shape[node.outputs[0]]))


@lowers("Split")
def split(low: Lowering, node: Node) -> None:
    """Parts along an axis: views."""
    x = low.view(node.inputs[0])
    axis = node.attributes.get("axis", 0) % len(x.shape)
    begin = 0
    for name in node.outputs:
        if not name:
            raise Refused
        size = low.known.shape[name][axis]
        same_elements(low, name, x.sliced(axis, begin, size))
        begin += size


@lowers("Slice")
def cut(low: Lowering, node: Node) -> None:
    """Positions at equal distances along axes: a view."""
    x = low.view(node.inputs[0])
    attributes = node.attributes
    starts = attributes.get("starts") or constant_integers(low, node.input(1))
    ends = attributes.get("ends") or constant_integers(low, node.input(2))
    if starts is None or ends is None:
        raise Refused
    axes = attributes.get("axes") or constant_integers(low, node.input(3)) or range(len(starts))
    by = constant_integers(low, node.input(4)) or [1] * len(starts)
    view = x
    for start, end, axis, step in zip(starts, ends, axes, by, strict=True):
        axis %= len(x.shape)
        positions = range(*slice(start, None if step < 0 and end < -x.shape[axis] else end,
                                 step).indices(x.shape[axis]))
        view = view.sliced(axis, positions.start, len(positions), step)
    if view.shape != low.known.shape[node.outputs[0]]:
        raise Refused
    same_elements(low, node.outputs[0], view)


@lowers("Gather")
def gather(low: Lowering, node: Node) -> None:
    """Positions of an axis that are known: a view where they are equally far apart."""
    x = low.view(node.inputs[0])
    indices = low.constant(node.inputs[1])
    if indices is None:
        raise Refused
    axis = node.attributes.get("axis", 0) % len(x.shape)
    size = x.shape[axis]
    if any(not -size <= index < size for index in map(int, indices.ravel())):
        raise Refused
    numbers = [int(index) % size for index in indices.ravel()]
    name = node.outputs[0]
    if indices.ndim == 0:
        return same_elements(low, name, x.sliced(axis, numbers[0], 1).without(axis))
    if indices.ndim != 1 or not numbers:
        raise Refused
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    if numbers == [numbers[0] + step * i for i in range(len(numbers))]:
        return same_elements(low, name, x.sliced(axis, numbers[0], len(numbers), step))
    if len(numbers) > MOST_GATHERED or x.dtype.itemsize not in (1, 2, 4, 8):
        raise Refused
    y = low.destination(name)
    for place, number in enumerate(numbers):
        low.copy(x.sliced(axis, number, 1), y.sliced(axis, place, 1))
    return None


# ---- copies -------------------------------------------------------------------------------------


def copyable(view: View) -> None:
    """Refuse elements of a size that steps do not copy."""
    if view.dtype.itemsize not in (1, 2, 4, 8) or view.dtype.hasobject:
        raise Refused


@lowers("Concat")
def concatenate(low: Lowering, node: Node) -> None:
    """Copies of those parts that do not lie in their places already."""
    y = low.destination(node.outputs[0])
    copyable(y)
    for name, at in parts_of(node, y, low.known):
        view = low.view(name)
        if view.root is not at.root or view.offset != at.offset:
            low.copy(view, at)


@lowers("DepthToSpace", "SpaceToDepth")
def rearrange(low: Lowering, node: Node) -> None:
    """Blocks of pixels to channels or back: a copy with the axes in another order."""
    x = low.in_order(node.inputs[0])
    copyable(x)
    y = low.destination(node.outputs[0])
    block = node.attributes["blocksize"]
    batch, channels, *size = x.shape
    out_channels, *out = y.shape[1:]
    if node.op == "SpaceToDepth":
        split_x = x.reshaped((batch, channels, out[0], block, out[1], block))
        order: tuple[int, ...] = (0, 3, 5, 1, 2, 4)
        wanted = (batch, block, block, channels, *out)
        if node.attributes.get("mode", "DCR") == "CRD":
            order, wanted = (0, 1, 3, 5, 2, 4), (batch, channels, block, block, *out)
        split_y = y.reshaped(wanted)
    elif node.attributes.get("mode", "DCR") == "DCR":
        split_x = x.reshaped((batch, block, block, out_channels, *size))
        order = (0, 3, 4, 1, 5, 2)
        split_y = y.reshaped((batch, out_channels, size[0], block, size[1], block))
    else:
        split_x = x.reshaped((batch, out_channels, block, block, *size))
        order = (0, 1, 4, 2, 5, 3)
        split_y = y.reshaped((batch, out_channels, size[0], block, size[1], block))
    if split_x is None or split_y is None:
        raise Refused
    low.copy(split_x.transposed(order), split_y)


@lowers("Tile")
def tile(low: Lowering, node: Node) -> None:
    """A copy that repeats axes."""
    x = low.view(node.inputs[0])
    copyable(x)
    repeats = constant_integers(low, node.inputs[1])
    y = low.destination(node.outputs[0])
    if repeats is None or len(repeats) != len(x.shape):
        raise Refused
    shape = tuple(n for pair in zip(repeats, x.shape, strict=True) for n in pair)
    at = y.reshaped(shape)
    if at is None:
        raise Refused
    strides = tuple(n for stride in x.strides for n in (0, stride))
    low.copy(x._replace(shape=shape, strides=strides), at)


@lowers("Pad")
def pad(low: Lowering, node: Node) -> None:
    """A constant around a copy, or some of it (negative padding) left out."""
    if node.attributes.get("mode", "constant") != "constant":
        raise Refused
    x = low.view(node.inputs[0])
    copyable(x)
    pads = node.attributes.get("pads") or constant_integers(low, node.input(1))
    axes = constant_integers(low, node.input(3)) or list(range(len(x.shape)))
    value = low.constant(node.input(2))
    if pads is None or (node.input(2) and value is None) or not x.size:
        raise Refused
    filling = np.zeros(1, x.dtype)
    if value is not None and value.size:
        filling[:] = value.ravel()[0]
    elif "value" in node.attributes:
        filling[:] = node.attributes["value"]
    y = low.destination(node.outputs[0])
    inside = y
    for number, axis in enumerate(axes):
        axis %= len(x.shape)
        before, after = pads[number], pads[number + len(axes)]
        size = x.shape[axis] + min(before, 0) + min(after, 0)
        x = x.sliced(axis, max(-before, 0), size)
        inside = inside.sliced(axis, max(before, 0), size)
    if min(x.shape) < 0:
        raise Refused
    around = low.fixed(filling)
    low.copy(around._replace(shape=y.shape, strides=(0,) * len(y.shape)), y)
    low.copy(x, inside)
