"""A layer as an ONNX model, for the peers that read ONNX."""

from __future__ import annotations

from gconv._bench.contenders.base import Array
from gconv._bench.layers import Layer


def onnx_model(layer: Layer, weight: Array, *, as_2d: bool = False) -> bytes:
    """A serialized model with one Conv node, the weights a constant.

    Parameters
    ----------
    layer, weight
        The layer and its weights.
    as_2d
        Write a 1-D layer as a 2-D one of height 1, for peers without 1-D convolution.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    lead = 1 if as_2d and layer.dims == 1 else 0

    def shape(sizes: tuple[int, ...]) -> list[int]:
        return [*sizes[:2], *[1] * lead, *sizes[2:]]

    padding = ((0, 0),) * lead + layer.padding
    node = helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        kernel_shape=[1] * lead + list(layer.kernel),
        strides=[1] * lead + list(layer.stride),
        pads=[before for before, _ in padding] + [after for _, after in padding],
        dilations=[1] * lead + list(layer.dilation),
        group=layer.groups,
    )
    graph = helper.make_graph(
        [node],
        layer.name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape(layer.x_shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape(layer.out_shape))],
        [numpy_helper.from_array(weight.reshape(shape(layer.weight_shape)), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    serialized: bytes = model.SerializeToString()
    return serialized
