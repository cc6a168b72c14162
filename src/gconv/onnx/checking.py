"""What an operator asks of its attributes and operands, and ONNX's shape inference does not check.

Inference refuses lists of the wrong length, negative strides, axes out of range and much else. Here
is the rest: without it such a node would compute something else than it says, or fail on the way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gconv.onnx.graph import Graph, Node

Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int, ...]
Shapes: TypeAlias = Sequence["Shape | None"]
Values: TypeAlias = Sequence["Array | None"]

MOST_ELEMENTS = 2**44  # of a result: no machine has memory for more

# What wrong attributes and operands lead to where nobody has checked them before.
FAILURES = (
    ValueError, TypeError, IndexError, KeyError, AttributeError, ArithmeticError, MemoryError,
)  # fmt: skip

WINDOWED = (
    "Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "MaxPool", "AveragePool", "LpPool",
    "MaxUnpool",
)  # fmt: skip
POOLS = ("MaxPool", "AveragePool", "LpPool")

# The words that an attribute may have: of some operators, or of all that have the attribute.
WORDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "auto_pad"): ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"),
    ("Pad", "mode"): ("constant", "reflect", "edge", "wrap"),
    ("DepthToSpace", "mode"): ("DCR", "CRD"),
    ("SpaceToDepth", "mode"): ("DCR", "CRD"),
    ("Resize", "mode"): ("nearest", "linear", "cubic"),
    ("Upsample", "mode"): ("nearest", "linear", "bilinear"),
    ("Resize", "coordinate_transformation_mode"): (
        "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
        "tf_half_pixel_for_nn", "tf_crop_and_resize",
    ),
    ("Resize", "nearest_mode"): ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
    ("Resize", "keep_aspect_ratio_policy"): ("stretch", "not_larger", "not_smaller"),
    ("Gelu", "approximate"): ("none", "tanh"),
}  # fmt: skip
# The least value of numbers, and of every number of a list.
LEAST = {
    "group": 1, "kernel_shape": 1, "strides": 1, "dilations": 1, "pads": 0, "output_padding": 0,
    "output_shape": 1, "p": 1, "size": 1, "num_groups": 1, "blocksize": 1,
}  # fmt: skip
COUNTED = ("LRN", "GroupNormalization", "DepthToSpace", "SpaceToDepth", *WINDOWED)
# Entries for each spatial axis.
PER_AXIS = {
    "kernel_shape": 1, "strides": 1, "dilations": 1, "pads": 2, "output_padding": 1,
    "output_shape": 1,
}  # fmt: skip


class NodeError(ValueError):
    """A node is wrong, or its operands are; the message says which node."""


@contextmanager
def naming(graph: Graph, node: Node, shape: Mapping[str, Shape]) -> Iterator[None]:
    """Let errors say which node they are about, and on operands of which shapes."""
    try:
        yield
    except NodeError:
        raise
    except FAILURES as error:
        shapes = ", ".join(str(shape.get(name, "?")) for name in dict.fromkeys(node.reads))
        reason = str(error).removeprefix(f"{node.op}: ") or type(error).__name__
        raise NodeError(
            f"{graph.describe(node)} on operands of shapes {shapes or 'none'}: {reason}"
        ) from error


def check_attributes(graph: Graph, node: Node) -> None:
    """Refuse attributes that are wrong whatever the operands are.

    Raises
    ------
    ValueError
        It names the node, its operator and the attribute.
    """
    for (op, key), words in WORDS.items():
        value = node.attributes.get(key)
        if value is not None and value not in words and (
            node.op == op or (not op and node.op in WINDOWED)
        ):
            raise ValueError(
                f"{graph.describe(node)}: {key} must be one of {', '.join(words)}, got {value!r}")
    if node.op not in COUNTED:
        return
    for key, least in LEAST.items():
        value = node.attributes.get(key)
        if value is not None and any(
            number < least for number in (value if isinstance(value, list) else [value])
        ):
            raise ValueError(
                f"{graph.describe(node)}: {key} must not be less than {least}, got {value}")
    lengths = {
        key: len(node.attributes[key]) for key in PER_AXIS
        if node.op in WINDOWED and node.attributes.get(key)
    }
    axes = {length / PER_AXIS[key] for key, length in lengths.items()}
    if len(axes) > 1:
        lists = ", ".join(f"{key} {node.attributes[key]}" for key in lengths)
        raise ValueError(
            f"{graph.describe(node)}: lists for another number of spatial axes each: {lists}")


def check_operands(node: Node, shapes: Shapes, values: Values) -> None:
    """Refuse operands that do not fit the operator.

    Parameters
    ----------
    node : Node
        One of ONNX's.
    shapes : sequence of shapes
        Of its inputs; None of one that is left out or whose shape is not known.
    values : sequence of arrays
        Those of its inputs that are known before it runs, None of the others.

    Raises
    ------
    ValueError
    """
    check = CHECKS.get(node.op)
    if check is not None and not node.domain:
        check(node, [*shapes, *[None] * 5], [*values, *[None] * 5])


def require(right: bool, message: str) -> None:
    """Refuse what is not right."""
    if not right:
        raise ValueError(message)


def convolution(node: Node, shapes: Shapes, values: Values) -> None:
    """Channels, groups and kernel of a convolution."""
    x, weight, bias = shapes[:3]
    groups = node.attributes.get("group", 1)
    if x is None or weight is None:
        return
    require(len(x) == len(weight) and len(x) >= 3,
            f"x of shape {x} and a weight of shape {weight} do not fit each other")
    kernel = node.attributes.get("kernel_shape") or weight[2:]
    require(tuple(kernel) == weight[2:],
            f"kernel_shape is {list(kernel)}, but the weight has shape {weight}")
    if node.op == "ConvTranspose":
        wanted, channels = weight[0], weight[1] * groups
    else:
        wanted, channels = weight[1] * groups, weight[0]
    require(weight[0] % groups == 0,
            f"group={groups} does not divide a weight of shape {weight}")
    require(x[1] == wanted,
            f"with group={groups} and a weight of shape {weight}, x must have {wanted} channels, "
            f"got shape {x}")
    require(bias is None or bias == (channels,),
            f"the bias must have shape {(channels,)}, got {bias}")


def transpose(node: Node, shapes: Shapes, values: Values) -> None:
    """An order of all axes."""
    perm, x = node.attributes.get("perm"), shapes[0]
    require(perm is None or x is None or sorted(perm) == list(range(len(x))),
            f"perm {perm} is no order of the axes of x of shape {x}")


def layer_norm(node: Node, shapes: Shapes, values: Values) -> None:
    """Scale and bias that broadcast to the normalised axes."""
    x, axis = shapes[0], node.attributes.get("axis", -1)
    if x is None:
        return
    require(-len(x) <= axis < len(x), f"axis {axis} is none of x of shape {x}")
    for name, shape in (("scale", shapes[1]), ("bias", shapes[2])):
        require(shape is None or broadcasts(shape, x),
                f"the {name} of shape {shape} does not fit x of shape {x} from axis {axis} on")


def instance_norm(node: Node, shapes: Shapes, values: Values) -> None:
    """A scale and a bias for each channel, or each group of channels."""
    x = shapes[0]
    if x is None:
        return
    require(len(x) >= 3, f"x must have at least 3 dimensions, got shape {x}")
    groups = node.attributes.get("num_groups", 1)
    require(x[1] % groups == 0, f"num_groups={groups} does not divide the channels of {x}")
    sizes = {x[1], groups} if node.op == "GroupNormalization" else {x[1]}
    for name, shape in (("scale", shapes[1]), ("bias", shapes[2])):
        require(shape is None or (len(shape) == 1 and shape[0] in sizes and shape == shapes[1]),
                f"the {name} of shape {shape} does not fit x of shape {x}")


def prelu(node: Node, shapes: Shapes, values: Values) -> None:
    """A slope that broadcasts to x, or has a number for each channel."""
    x, slope = shapes[:2]
    require(x is None or slope is None or broadcasts(slope, x) or slope == x[1:2],
            f"the slope of shape {slope} does not fit x of shape {x}")


def split(node: Node, shapes: Shapes, values: Values) -> None:
    """Sizes that sum up to the axis."""
    x, axis = shapes[0], node.attributes.get("axis", 0)
    sizes: Any = node.attributes.get("split")
    if sizes is None:
        sizes = values[1]
    if x is None or sizes is None:
        return
    sizes = [int(size) for size in np.ravel(sizes)]
    require(-len(x) <= axis < len(x), f"axis {axis} is none of x of shape {x}")
    require(
        len(sizes) == len(node.outputs) and min(sizes, default=0) >= 0
        and sum(sizes) == x[axis],
        f"split {sizes} does not share axis {axis} of x of shape {x} among {len(node.outputs)} "
        "outputs")


def cut(node: Node, shapes: Shapes, values: Values) -> None:
    """As many ends, axes and steps as starts, and axes that x has."""
    lists = [numbers(node, key, values, place) for key, place in
             (("starts", 1), ("ends", 2), ("axes", 3), ("steps", 4))]
    starts, _, axes, steps = lists
    known = {len(each) for each in lists if each is not None}
    require(len(known) < 2, f"starts, ends, axes and steps differ in length: {lists}")
    require(steps is None or 0 not in steps, "a step is 0")
    if shapes[0] is not None:
        rank = len(shapes[0])
        require(starts is None or len(starts) <= rank,
                f"more starts than x of shape {shapes[0]} has axes: {starts}")
        require(axes is None or all(-rank <= axis < rank for axis in axes),
                f"axes {axes} are not all of x of shape {shapes[0]}")


def pad(node: Node, shapes: Shapes, values: Values) -> None:
    """Two numbers for each axis, axes that x has, and only as much taken away as there is."""
    x = shapes[0]
    pads, axes = numbers(node, "pads", values, 1), numbers(node, "axes", values, 3)
    if x is None or pads is None:
        return
    if axes is None:
        if node.input(3):
            return
        axes = list(range(len(x)))
    require(all(-len(x) <= axis < len(x) for axis in axes)
            and len({axis % len(x) for axis in axes}) == len(axes),
            f"axes {axes} are not axes of x of shape {x}, each once")
    require(len(pads) == 2 * len(axes),
            f"pads must have two numbers for each of {len(axes)} axes, got {pads}")
    for number, axis in enumerate(axes):
        taken = min(pads[number], 0) + min(pads[number + len(axes)], 0)
        require(x[axis] + taken >= 0, f"pads {pads} take more from axis {axis} than x of shape "
                f"{x} has")


def resize(node: Node, shapes: Shapes, values: Values) -> None:
    """Scales and sizes that are positive, one for each axis."""
    x, axes = shapes[0], node.attributes.get("axes")
    if x is None:
        return
    require(axes is None or all(-len(x) <= axis < len(x) for axis in axes),
            f"axes {axes} are not all of x of shape {x}")
    count = len(x) if axes is None else len(axes)
    places = {"scales": 1} if node.op == "Upsample" or len(node.inputs) == 2 else {
        "scales": 2, "sizes": 3}
    for name, place in places.items():
        value = node.attributes.get(name, values[place])
        if value is not None and np.size(value):
            value = np.ravel(value)
            require(len(value) == count,
                    f"{name} must have {count} numbers, got {value.tolist()}")
            require(bool((value > 0).all() and np.isfinite(value).all()),
                    f"{name} must be positive, got {value.tolist()}")


def blocks(node: Node, shapes: Shapes, values: Values) -> None:
    """Blocks that x is made of."""
    x, block = shapes[0], node.attributes["blocksize"]
    if x is None:
        return
    require(len(x) == 4, f"x must have 4 dimensions, got shape {x}")
    whole = x[1] % block**2 == 0 if node.op == "DepthToSpace" else (
        x[2] % block == 0 and x[3] % block == 0)
    require(whole, f"x of shape {x} has no blocks of {block}")


def broadcasts(shape: Shape, whole: Shape) -> bool:
    """Whether a shape broadcasts to another one."""
    return len(shape) <= len(whole) and all(
        size in (1, other)
        for size, other in zip(reversed(shape), reversed(whole), strict=False))


def numbers(node: Node, key: str, values: Values, place: int) -> list[int] | None:
    """The integers of an attribute, or of the input that took its place; None if not known."""
    found: Any = node.attributes.get(key)
    if found is None:
        found = values[place]
    return None if found is None else [int(number) for number in np.ravel(found)]


def check_result(node: Node, x: Shape | None, result: Sequence[int]) -> None:
    """Refuse a result of a negative size, or larger than any memory, and a window that no image
    is large enough for.

    Raises
    ------
    ValueError
    """
    windowed = node.op in WINDOWED and not node.domain
    if windowed and min(result[2:], default=1) < 1:
        raise ValueError(
            f"x of shape {x} is too small for the window: the result would have shape "
            f"{tuple(result)}")
    require(min(result, default=0) >= 0 and math.prod(result) <= MOST_ELEMENTS,
            f"the result would have shape {tuple(result)}")


def ceiled_windows(size: int, reach: int, stride: int, begin: int, end: int) -> int:
    """How many windows `ceil_mode` has along an axis: those that begin in x or the padding before
    it, the last of which may reach beyond the padding behind it."""
    count = -(-(size + begin + end - reach) // stride) + 1
    return count - 1 if (count - 1) * stride >= size + begin else count


CHECKS: Mapping[str, Callable[[Node, Shapes, Values], None]] = {
    "Conv": convolution,
    "ConvTranspose": convolution,
    "Transpose": transpose,
    "LayerNormalization": layer_norm,
    "InstanceNormalization": instance_norm,
    "GroupNormalization": instance_norm,
    "PRelu": prelu,
    "Split": split,
    "Slice": cut,
    "Pad": pad,
    "Resize": resize,
    "Upsample": resize,
    "DepthToSpace": blocks,
    "SpaceToDepth": blocks,
}
