"""Conv and ConvTranspose with constant weights become Convolution."""

from __future__ import annotations

import numpy as np

from gconv.onnx.graph import OURS, Graph, Node


def translate(graph: Graph) -> None:
    """Replace the convolutions that gconv computes; the others stay (see `translated`)."""
    for node in list(graph.nodes):
        if node.is_onnx("Conv", "ConvTranspose"):
            new = translated(graph, node)
            if new is not None:
                graph.replace([node], new)


def translated(graph: Graph, node: Node) -> Node | None:
    """The Convolution that a node is.

    None where it is not: weight or bias are results, the type is not float32, there are no
    spatial axes or more than three, padding is negative, or sizes do not fit together.
    """
    weight, bias = graph.constant(node.input(1)), graph.constant(node.input(2))
    if weight is None or weight.dtype != np.float32 or not 3 <= weight.ndim <= 5:
        return None
    if node.input(2) and bias is None:
        return None
    if graph.dtype(node.outputs[0]) != np.float32:
        return None
    attributes, dimensions = node.attributes, weight.ndim - 2
    transposed = node.op == "ConvTranspose"
    groups = attributes.get("group", 1)
    ones, zeros = [1] * dimensions, [0] * dimensions
    stride = attributes.get("strides") or ones
    dilation = attributes.get("dilations") or ones
    output_padding = attributes.get("output_padding") or zeros
    output_shape = attributes.get("output_shape") or None
    kernel = attributes.get("kernel_shape") or list(weight.shape[2:])
    auto_pad = attributes.get("auto_pad", "NOTSET")
    pads = attributes.get("pads") or zeros * 2
    if auto_pad == "VALID":
        pads, auto_pad = zeros * 2, "NOTSET"
    same = auto_pad != "NOTSET" or output_shape is not None
    if list(kernel) != list(weight.shape[2:]) or min(pads) < 0 or min(weight.shape) < 1:
        return None
    if groups < 1 or weight.shape[0] % groups:
        return None
    channels = weight.shape[1] * groups if transposed else weight.shape[0]
    if bias is not None and (bias.shape != (channels,) or bias.dtype != np.float32):
        return None
    for values in (stride, dilation, output_padding, output_shape or ones):
        if len(values) != dimensions or min(values) < 0:
            return None
    if len(pads) != 2 * dimensions:
        return None
    return Node(
        "Convolution",
        OURS,
        [node.inputs[0], node.inputs[1], node.input(2), ""],
        list(node.outputs),
        {
            "stride": tuple(stride),
            "padding": None
            if same
            else tuple(zip(pads[:dimensions], pads[dimensions:], strict=True)),
            "auto_pad": auto_pad,
            "dilation": tuple(dilation),
            "groups": groups,
            "transposed": transposed,
            "output_padding": tuple(output_padding),
            "output_shape": None if output_shape is None else tuple(output_shape),
            "activation": None,
        },
        None,
        list(node.made_of),
    )
