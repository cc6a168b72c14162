"""The cases of the ONNX package, run by its own evaluator with gconv as Conv and ConvTranspose."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from oracles import oracle

import gconv

onnx = oracle("onnx")
reference = oracle("onnx.reference")
numpy_helper = oracle("onnx.numpy_helper")
op_run = oracle("onnx.reference.op_run")
loader = oracle("onnx.backend.test.loader")

FUNCTIONS = {1: gconv.conv1d, 2: gconv.conv2d, 3: gconv.conv3d}
TRANSPOSED = {1: gconv.conv_transpose1d, 2: gconv.conv_transpose2d, 3: gconv.conv_transpose3d}
AUTO_PAD = {"SAME_UPPER": "same_upper", "SAME_LOWER": "same_lower", "VALID": "valid"}


class Conv(op_run.OpRun):
    """ONNX's operator on gconv's functions."""

    calls = 0

    def _run(
        self,
        x,
        weight,
        bias=None,
        auto_pad=None,
        dilations=None,
        group=None,
        kernel_shape=None,
        pads=None,
        strides=None,
    ):
        Conv.calls += 1
        dims = x.ndim - 2
        assert kernel_shape is None or tuple(kernel_shape) == weight.shape[2:]
        if auto_pad in AUTO_PAD:
            padding = AUTO_PAD[auto_pad]
        else:
            pads = pads or [0] * 2 * dims
            padding = list(zip(pads[:dims], pads[dims:], strict=True))
        result = FUNCTIONS[dims](
            x,
            weight,
            bias,
            stride=1 if strides is None else strides,
            padding=padding,
            dilation=1 if dilations is None else dilations,
            groups=1 if group is None else group,
        )
        return (result,)


class ConvTranspose(op_run.OpRun):
    """ONNX's operator on gconv's functions; what gives a shape is made explicit padding."""

    calls = 0

    def _run(
        self,
        x,
        weight,
        bias=None,
        auto_pad=None,
        dilations=None,
        group=None,
        kernel_shape=None,
        output_padding=None,
        output_shape=None,
        pads=None,
        strides=None,
    ):
        ConvTranspose.calls += 1
        dims = x.ndim - 2
        assert kernel_shape is None or tuple(kernel_shape) == weight.shape[2:]
        strides, dilations = strides or [1] * dims, dilations or [1] * dims
        more = output_padding or [0] * dims
        if auto_pad in ("SAME_UPPER", "SAME_LOWER") and not output_shape:
            output_shape = [n * s for n, s in zip(x.shape[2:], strides, strict=True)]
        pads = pads or [0] * 2 * dims
        padding = list(zip(pads[:dims], pads[dims:], strict=True))
        if output_shape:
            full = [
                (n - 1) * s + d * (k - 1) + 1 + extra
                for n, s, d, k, extra in zip(
                    x.shape[2:], strides, dilations, weight.shape[2:], more, strict=True
                )
            ]
            totals = [n - out for n, out in zip(full, output_shape[-dims:], strict=True)]
            # What is wanted beyond the full size is output padding.
            more = [extra + max(0, -total) for extra, total in zip(more, totals, strict=True)]
            totals = [max(0, total) for total in totals]
            padding = [(total // 2, total - total // 2) for total in totals]
            if auto_pad != "SAME_UPPER":
                padding = [(after, before) for before, after in padding]
        result = TRANSPOSED[dims](
            x,
            weight,
            bias,
            stride=strides,
            padding=padding,
            output_padding=more,
            groups=1 if group is None else group,
            dilation=dilations,
        )
        return (result,)


OPERATORS = {operator.__name__: operator for operator in (Conv, ConvTranspose)}


def node_cases():
    """Yield (name, model, inputs, outputs) of the cases that are made in memory."""
    with warnings.catch_warnings():
        # ONNX makes the cases of all operators, some of which overflow.
        warnings.simplefilter("ignore")
        cases = loader.load_model_tests(kind="node")
    for case in cases:
        if is_ours(case.model):
            for inputs, outputs in case.data_sets:
                yield case.name, case.model, inputs, outputs


def file_cases(kind):
    """Yield the same of the cases that come as files."""
    for case in loader.load_model_tests(kind=kind):
        model = onnx.load(f"{case.model_dir}/model.onnx")
        if is_ours(model):
            data = Path(case.model_dir) / "test_data_set_0"
            yield case.name, model, tensors(data, "input"), tensors(data, "output")


def tensors(folder, what):
    """Read the tensors of a case; weights may be in the model instead."""
    paths = [folder / f"{what}_{i}.pb" for i in range(len(list(folder.glob(f"{what}_*.pb"))))]
    return [numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes())) for path in paths]


def is_ours(model):
    """Whether the model has one of the operators in a precision that gconv has: no float16."""
    types = {value.type.tensor_type.elem_type for value in model.graph.input}
    return (
        any(node.op_type in OPERATORS for node in model.graph.node)
        and onnx.TensorProto.FLOAT16 not in types
    )


CASES = [
    pytest.param(*case, id=f"{kind}-{name}")
    for kind, cases in (
        ("node", node_cases()),
        ("pytorch-converted", file_cases("pytorch-converted")),
        ("pytorch-operator", file_cases("pytorch-operator")),
    )
    for name, *case in cases
]


@pytest.mark.parametrize(("model", "inputs", "outputs"), CASES)
def test_case(model, inputs, outputs, isa):
    convolutions = sum(node.op_type in OPERATORS for node in model.graph.node)
    evaluator = reference.ReferenceEvaluator(model, new_ops=[*OPERATORS.values()])
    in_the_model = {tensor.name for tensor in model.graph.initializer}
    names = [value.name for value in model.graph.input if value.name not in in_the_model]
    before = Conv.calls + ConvTranspose.calls
    got = evaluator.run(None, dict(zip(names, inputs, strict=True)))
    assert Conv.calls + ConvTranspose.calls == before + convolutions
    for result, want in zip(got, outputs, strict=True):
        assert result.dtype == want.dtype
        # The tolerance that ONNX itself gives its cases is 1e-3; they are sums of a few hundred.
        np.testing.assert_allclose(result, want, rtol=1e-5, atol=1e-5)


def test_there_are_cases():
    names = [case.id for case in CASES]
    assert sum("node-test_" in name and "_conv_" in name for name in names) >= 6
    assert sum("pytorch-converted-test_Conv" in name for name in names) >= 20
    assert sum("test_convtranspose" in name for name in names) >= 9
    assert sum("ConvTranspose2d" in name for name in names) >= 2
