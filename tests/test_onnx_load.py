"""Model files become graphs: what they may be, what is refused, and that all of them run."""

import os
import pickle
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import oracle

onnx = oracle("onnx")
loader = oracle("onnx.backend.test.loader")
for module in ("numpy_helper", "parser", "reference"):
    oracle(f"onnx.{module}")

from onnx_graphs import Maker, agrees, check, close, fused, interpret, ops_of  # noqa: E402

import gconv  # noqa: E402
from gconv.onnx.load import load  # noqa: E402
from gconv.onnx.reference import Reference  # noqa: E402

# What the package's cases cannot show, and why.
EXCLUDED = {
    "test_bernoulli": "random numbers",
    "test_gradient": "training",
    "test_scan_sum": "Scan of opset 8, which onnx.reference does not compute",
    "test_if_opt": "the case expects a sequence where the branch makes an optional",
    "test_range_bfloat16_type_positive_delta_expanded": "Loop: expects a list of scalars",
    "test_range_float16_type_positive_delta_expanded": "Loop: expects a list of scalars",
    "test_range_float_type_positive_delta_expanded": "Loop: expects a list of scalars",
    "test_range_int32_type_negative_delta_expanded": "Loop: expects a list of scalars",
}
HALVES = ("float16", "bfloat16")


def small_model():
    m = Maker()
    x = m.input(1, 3, 8, 8, symbols=("n", 3, "h", "w"))
    y = m.node("Relu", m.batch_norm(m.conv(x, 3, 4), 4))
    return m.model(y), m.feeds


# Every case of the onnx package.


def node_cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = loader.load_model_tests(kind="node")
    for case in cases:
        if not any(case.name.startswith(name) for name in EXCLUDED):
            for inputs, outputs in case.data_sets:
                yield pytest.param(case.model, inputs, outputs, id=case.name)


def file_cases():
    for kind in ("simple", "pytorch-converted", "pytorch-operator"):
        for case in loader.load_model_tests(kind=kind):
            if any(case.name.startswith(name) for name in EXCLUDED):
                continue
            model = onnx.load(f"{case.model_dir}/model.onnx")
            data = Path(case.model_dir) / "test_data_set_0"
            yield pytest.param(
                model,
                values(data, "input", model.graph.input),
                values(data, "output", model.graph.output),
                id=case.name,
            )


def values(folder, what, declared):
    found = []
    for i, info in enumerate(declared):
        path = folder / f"{what}_{i}.pb"
        if path.exists():
            kind = onnx.TensorProto
            if info.type.HasField("sequence_type"):
                kind = onnx.SequenceProto
            found.append(kind.FromString(path.read_bytes()))
    return found


def plain(value):
    """A value of a case as the graph takes it: arrays, with float32 for halves."""
    if isinstance(value, onnx.TensorProto):
        value = onnx.numpy_helper.to_array(value)
    if isinstance(value, onnx.SequenceProto):
        value = onnx.numpy_helper.to_list(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if value is None:
        return None
    value = np.asarray(value)
    return value.astype(np.float32) if value.dtype.name in HALVES else value


def half(value):
    """Whether a value of a case is of half precision."""
    if isinstance(value, onnx.TensorProto):
        value = onnx.numpy_helper.to_array(value)
    return getattr(getattr(value, "dtype", None), "name", "") in HALVES


def same(got, want, tolerance):
    if isinstance(want, list):
        assert len(got) == len(want)
        for one, other in zip(got, want, strict=True):
            same(one, other, tolerance)
    elif want is None:
        assert got is None
    else:
        got = np.asarray(got)
        assert got.shape == want.shape
        if want.dtype.kind in "fc" and want.dtype.isbuiltin == 1:
            assert got.dtype == want.dtype
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
        elif want.dtype.kind in "OSU":
            assert got.astype(str).tolist() == want.astype(str).tolist()
        else:
            assert got.dtype == want.dtype
            if want.dtype.isbuiltin != 1:  # float8, int4 and their like
                got, want = got.astype(np.float32), want.astype(np.float32)
            np.testing.assert_array_equal(got, want)


CASES = [*node_cases(), *file_cases()]


@pytest.mark.parametrize(("model", "inputs", "outputs"), CASES)
@pytest.mark.parametrize("constant", [False, True], ids=["given", "constant"])
def test_case_of_the_onnx_package(model, inputs, outputs, constant):
    """Fused, it gives what the package expects, with inputs given or, but the first, constant."""
    halves = any(map(half, (*inputs, *outputs)))
    feeds = dict(zip([info.name for info in model.graph.input], map(plain, inputs), strict=False))
    if constant:
        model, feeds = with_constants(model, inputs, feeds)
    graph = fused(model)
    check(graph)
    # The tolerance that ONNX itself gives its cases is 1e-3.
    for got, want in zip(interpret(graph, feeds), map(plain, outputs), strict=True):
        same(got, want, 2e-2 if halves else 1e-3)


def with_constants(model, inputs, feeds):
    """The model with initializers for all its inputs but the first; skip where there are none."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model)
    rest = list(zip(proto.graph.input, inputs, strict=False))[1:]
    if not rest or not all(info.type.HasField("tensor_type") for info, _ in rest):
        rest = []
    for info, value in rest:
        if not isinstance(value, onnx.TensorProto):
            value = onnx.numpy_helper.from_array(np.asarray(value))
        tensor = proto.graph.initializer.add()
        tensor.CopyFrom(value)
        tensor.name = info.name
        del feeds[info.name]
    for info, _ in rest:
        proto.graph.input.remove(info)
    proto.ir_version = max(proto.ir_version, 4)
    return proto, feeds


def test_there_are_cases():
    """The package brings its cases, and few are left out."""
    assert len(CASES) > 1500


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "squeezenet", "shufflenet"])
def test_light_model(name):
    """Models of several architectures load, and every batch norm behind a convolution is gone."""
    path = Path(onnx.__file__).parent / f"backend/test/data/light/light_{name}.onnx"
    graph = fused(path)
    check(graph)
    ops = ops_of(graph)
    assert "onnx.BatchNormalization" not in ops
    assert "Convolution" in ops
    if name == "resnet50":
        assert not {"Elementwise", "ScaleShift"} & set(ops)
        assert sum(bool(n.input(3)) for n in graph.nodes if n.op == "Convolution") == 16


# Where a model comes from.


def test_path_bytes_and_model_are_the_same(tmp_path):
    """A path as text or Path, the bytes of a file, and a ModelProto, which is left as it was."""
    model, feeds = small_model()
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    before = model.SerializeToString()
    wanted = interpret(fused(path), feeds)
    for source in (str(path), path.read_bytes(), model):
        close(interpret(fused(source), feeds), wanted, 0)
    assert model.SerializeToString() == before


def test_inputs_and_outputs_are_as_declared():
    """Names, symbolic sizes and types of inputs and outputs are those of the file."""
    model, _ = small_model()
    graph = load(model)
    (x,), (y,) = graph.inputs, graph.outputs
    assert (x.shape, x.dtype, x.type) == (("n", 3, "h", "w"), np.float32, "tensor(float)")
    assert y.shape is None
    assert graph.infos[y.name].shape[:2] == ("n", 4)


def test_graph_is_pickled():
    """Graphs travel to other processes."""
    model, feeds = small_model()
    graph = fused(model)
    close(interpret(pickle.loads(pickle.dumps(graph)), feeds), interpret(graph, feeds), 0)


def external_model(folder, location="weights.bin"):
    model, feeds = small_model()
    onnx.save(
        model, folder / "model.onnx", save_as_external_data=True, location=location,
        size_threshold=0,
    )  # fmt: skip
    return folder / "model.onnx", feeds


def change_external(path, **entries):
    """Write other entries into the external data of the first initializer."""
    model = onnx.load(path, load_external_data=False)
    tensor = model.graph.initializer[0]
    values = {entry.key: entry.value for entry in tensor.external_data} | entries
    del tensor.external_data[:]
    for key, value in values.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


def test_external_data(tmp_path):
    """Weights may lie in a file beside the model."""
    path, feeds = external_model(tmp_path)
    close(interpret(fused(path), feeds), interpret(fused(small_model()[0]), feeds), 0)


def test_external_data_of_bytes(tmp_path):
    """Bytes lie nowhere, so that nothing lies beside them."""
    path, _ = external_model(tmp_path)
    with pytest.raises(ValueError, match="give the model as a path"):
        load(path.read_bytes())


def test_external_data_that_are_missing(tmp_path):
    """The file is named."""
    path, _ = external_model(tmp_path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"weights\.bin"):
        load(path)


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "", "sub/../../secret.bin"])
def test_external_data_outside_the_directory(tmp_path, location):
    """A model cannot read other people's files."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "sub").mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(10_000))
    path, _ = external_model(folder)
    change_external(path, location=location)
    with pytest.raises(ValueError, match="inside the model's directory"):
        load(path)


def test_external_data_behind_a_link(tmp_path):
    """A link that leads out of the directory is outside."""
    folder = tmp_path / "model"
    folder.mkdir()
    path, _ = external_model(folder)
    (folder / "weights.bin").rename(tmp_path / "elsewhere.bin")
    os.symlink(tmp_path / "elsewhere.bin", folder / "weights.bin")
    with pytest.raises(ValueError, match="inside the model's directory"):
        load(path)


@pytest.mark.parametrize(
    "entries",
    [{"offset": "1000000"}, {"length": "8"}, {"offset": "-4"}, {"length": "many"},
     {"length": "1000000000000"}],
)  # fmt: skip
def test_external_data_of_the_wrong_size(tmp_path, entries):
    """Offset and length must be those of the tensor, within the file."""
    path, _ = external_model(tmp_path)
    change_external(path, **entries)
    with pytest.raises(ValueError, match="tensor 'c0'"):
        load(path)


# What is refused.


def test_model_that_does_not_exist(tmp_path):
    """The path is named; a folder is no model."""
    with pytest.raises(FileNotFoundError, match=r"nothing\.onnx"):
        load(tmp_path / "nothing.onnx")
    with pytest.raises(ValueError, match="not a file"):
        load(tmp_path)


@pytest.mark.parametrize("source", [None, 3, ["a"]])
def test_model_of_another_type(source):
    """A model is a path, bytes or a ModelProto."""
    with pytest.raises(TypeError, match="must be a path, bytes or"):
        load(source)


@pytest.mark.parametrize("data", [b"", b"hello", bytes(100), b"\x89PNG\r\n\x1a\n" * 20])
def test_files_that_are_no_models(data):
    """One error that says so."""
    with pytest.raises(ValueError, match="no ONNX model"):
        load(data)


def test_truncated_file():
    """However much is missing, it is a ValueError, or a whole model that lacks what is optional."""
    model, _ = small_model()
    data = model.SerializeToString()
    refused = 0
    for length in range(0, len(data), 3):
        try:
            load(data[:length])
        except ValueError:
            refused += 1
    assert refused >= len(range(0, len(data), 3)) - 4


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_file(changes):
    """Wrong bytes anywhere give a ValueError, or a model that loads and is sound."""
    model, _ = small_model()
    data = bytearray(model.SerializeToString())
    for place, byte in changes:
        data[place % len(data)] = byte
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = fused(bytes(data))
    except (ValueError, FileNotFoundError):
        return
    check(graph)


@pytest.mark.parametrize(
    ("dims", "data"),
    [((1 << 40,), b"\0" * 4), ((-1,), b""), ((1 << 62, 1 << 62), b"\0" * 8), ((2, 2), b"\0" * 12)],
)
def test_initializers_that_lie_about_their_size(dims, data):
    """Sizes are compared with the data that are there before memory is taken."""
    m = Maker()
    y = m.node("Add", m.input(1), "big")
    tensor = onnx.TensorProto(name="big", data_type=1, raw_data=data)
    tensor.dims.extend(dims)
    m.initializers.append(tensor)
    with pytest.raises(ValueError, match="tensor 'big'"):
        load(m.model(y))


def test_sparse_initializers():
    """They are written out, unless that takes too much memory or an index is outside."""

    def model(dims, index):
        m = Maker()
        m.node("Add", m.input(2, 3), "sparse")
        proto = m.model("v0")
        numbers = onnx.numpy_helper.from_array(np.array([5.0], np.float32), "sparse")
        places = onnx.numpy_helper.from_array(np.array([index], np.int64), "places")
        proto.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(numbers, places, dims))
        return proto

    np.testing.assert_array_equal(load(model([2, 3], 4)).constants["sparse"], [[0] * 3, [0, 5, 0]])
    with pytest.raises(ValueError, match="too large"):
        load(model([1 << 20, 1 << 20], 4))
    with pytest.raises(ValueError, match=r"outside its shape|not valid"):
        load(model([2, 3], 6))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: setattr(m, "ir_version", 999), "IR version 999"),
        (lambda m: setattr(m.opset_import[0], "version", 999), "opset 999"),
        (lambda m: setattr(m.opset_import[0], "version", 0), "opset 0"),
        (lambda m: m.ClearField("opset_import"), "which opset"),
        (lambda m: setattr(m.graph.node[0], "op_type", "Convolute"), r"'n'.*Convolute.*version 17"),
        (lambda m: setattr(m.graph.node[0], "op_type", "Gelu"), r"'n'.*Gelu.*version 17"),
        (lambda m: setattr(m.graph.node[0], "domain", "com.example"), r"'n'.*Conv.*com\.example"),
        (lambda m: m.graph.node[0].input.__setitem__(0, "nowhere"), "not valid"),
        (lambda m: m.graph.node.add().CopyFrom(m.graph.node[0]), "not valid"),
        (lambda m: m.graph.output.pop(), "not valid"),
    ],
)
def test_models_that_onnx_does_not_know(change, message):
    """Versions, operators and graphs that are not ONNX's: the message names which."""
    model, _ = small_model()
    model.graph.node[0].name = "n"
    change(model)
    with pytest.raises(ValueError, match=message):
        load(model)


def test_operator_within_a_subgraph_that_onnx_does_not_know():
    """Branches are looked through, too."""
    m = Maker()
    inner = Maker()
    inner.nodes.append(onnx.helper.make_node("Nothing", ["in0"], ["b"], name="inside"))
    branch = inner.model("b").graph
    y = m.node("If", m.input(value=True, dtype=bool), then_branch=branch, else_branch=branch)
    m.input(2)
    with pytest.raises(ValueError, match=r"'inside'.*Nothing"):
        load(m.model(y))


def test_operator_without_an_implementation():
    """What onnx knows and cannot compute is named when it is prepared."""
    m = Maker(opset=15)
    y = m.node("Multinomial", m.input(2, 3), dtype=6)
    graph = load(m.model(y))
    with pytest.raises(ValueError, match=r"Multinomial of opset 15.*cannot run"):
        Reference(graph.nodes[0], graph)


# Folding.


def test_constants_fold():
    """What follows from constants alone is a constant."""
    m = Maker()
    weight = m.node("Mul", m.normal(6, 5), m.constant(2))
    weight = m.node("Transpose", m.node("Concat", weight, m.normal(6, 5), axis=1), perm=[1, 0])
    y = m.node("MatMul", m.input(2, 10), weight)
    assert ops_of(agrees(m.model(y), m.feeds)) == ["Linear"]


@pytest.mark.parametrize("op", ["ConstantOfShape", "Expand", "Tile", "Range", "Pad", "Resize"])
def test_large_constants_do_not_fold(op):
    """A file of a few bytes does not take gigabytes at load."""
    m = Maker()
    many, one = m.constant([1 << 20, 1 << 20], np.int64), m.constant([[1.0]])
    if op == "ConstantOfShape":
        y = m.node(op, many)
    elif op == "Range":
        y = m.node("Cast", m.node(op, *(m.constant(n, np.int64) for n in (0, 1 << 40, 1))), to=1)
    elif op == "Pad":
        y = m.node(op, one, m.constant([0, 0, 1 << 20, 1 << 20], np.int64))
    elif op == "Resize":
        y = m.node(op, one, "", "", many)
    else:
        y = m.node(op, one, many)
    y = m.node("Add", y, m.input(1))
    graph = fused(m.model(y))
    assert sum(value.nbytes for value in graph.constants.values()) < 1 << 20


def test_random_numbers_do_not_fold():
    """They differ from run to run."""
    m = Maker()
    y = m.node("Add", m.node("RandomNormal", shape=[3]), m.input(3))
    assert ops_of(fused(m.model(y))) == ["onnx.RandomNormal", "Elementwise"]


@pytest.mark.parametrize("opset", [7, 13])
def test_dropout_is_nothing(opset):
    """At inference it gives what it takes."""
    m = Maker(opset=opset)
    x = m.input(2, 3)
    y = m.node("Relu", m.node("Dropout", x))
    assert ops_of(agrees(m.model(y), m.feeds)) == ["Elementwise"]


def test_dropout_in_training_mode_stays():
    """Only inference is nothing."""
    m = Maker(opset=13)
    y = m.node("Dropout", m.input(2, 3), m.constant(0.5), m.constant(True, bool))
    assert ops_of(fused(m.model(y))) == ["onnx.Dropout"]


def test_outputs_keep_their_names():
    """Identity as an output, of an input, a constant, another output, and a result."""
    m = Maker()
    x = m.input(2, 3)
    y = m.node("Relu", x)
    outputs = [m.node("Identity", name) for name in (x, m.constant([1.0, 2.0]), y)]
    outputs.append(m.node("Identity", m.node("Exp", x)))
    graph = agrees(m.model(y, *outputs), m.feeds)
    assert [info.name for info in graph.outputs] == [y, *outputs]
    assert ops_of(graph).count("onnx.Identity") == 2


def test_shapes_that_are_known_fold():
    """The shape of an input without symbols is constant."""
    m = Maker()
    x = m.input(2, 3, 4)
    shape = m.node("Gather", m.node("Shape", x), m.constant([0], np.int64))
    y = m.node("Reshape", x, m.node("Concat", shape, m.constant([-1], np.int64), axis=0))
    assert ops_of(agrees(m.model(y), m.feeds)) == ["onnx.Reshape"]


def test_equal_nodes_are_computed_once():
    """Two branches that begin alike begin once."""
    m = Maker()
    x = m.input(2, 3)
    y = m.node("Add", m.node("Exp", x), m.node("Sqrt", m.node("Exp", x)))
    assert ops_of(agrees(m.model(y), m.feeds)).count("Elementwise") == 3


# Optional inputs.


def test_initializers_that_are_inputs():
    """They are constants, until the caller gives others."""
    m = Maker()
    x, weight = m.input(1, 3, 5, 5), m.normal(4, 3, 3, 3)
    y = m.batch_norm(m.node("Conv", x, weight), 4)
    model = m.model(y)
    model.graph.input.append(onnx.helper.make_tensor_value_info(weight, 1, [4, 3, 3, 3]))
    graph = agrees(model, m.feeds)
    assert ops_of(graph) == ["Convolution"]
    assert [info.name for info in graph.inputs] == [x]
    assert [info.name for info in graph.optional] == [weight]
    other = np.ones((4, 3, 3, 3), np.float32)
    graph = fused(model, [weight])
    assert ops_of(graph) == ["onnx.Conv", "ScaleShift"]
    wanted = onnx.reference.ReferenceEvaluator(model).run(None, {**m.feeds, weight: other})
    close(interpret(graph, {**m.feeds, weight: other}), wanted)


# Halves.


@pytest.mark.parametrize("halves", [onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16])
def test_models_in_half_precision(halves):
    """They are float32 inside, fuse as others do, and declare what the file declares."""
    m = Maker()
    x = m.input(1, 3, 8, 8)
    y = m.node("Relu", m.batch_norm(m.conv(x, 3, 4), 4))
    y = m.node("Cast", m.node("Cast", y, to=1), to=halves)
    y = m.node("Add", y, m.node("Cast", m.constant(1, np.int64), to=halves))
    model = m.model(y)
    for info in (*model.graph.input, *model.graph.output):
        info.type.tensor_type.elem_type = halves
    dtype = onnx.helper.tensor_dtype_to_np_dtype(halves)
    for tensor in model.graph.initializer:
        value = onnx.numpy_helper.to_array(tensor)
        if value.dtype == np.float32:
            tensor.CopyFrom(onnx.numpy_helper.from_array(value.astype(dtype), tensor.name))
    graph = fused(model)
    check(graph)
    assert ops_of(graph) == ["Convolution", "Elementwise"]
    assert [info.dtype for info in (*graph.inputs, *graph.outputs)] == [dtype, dtype]
    assert graph.infos[x].dtype == np.float32
    (got,) = interpret(graph, m.feeds)
    (want,) = interpret(fused(_in_float32(model, m.model(y))), m.feeds)
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)


def _in_float32(model, proto):
    """The model with the numbers of another one, as float32."""
    del proto.graph.initializer[:]
    for tensor in model.graph.initializer:
        value = onnx.numpy_helper.to_array(tensor)
        if value.dtype.name in HALVES:
            value = value.astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(value, tensor.name))
    for node in proto.graph.node:
        for attribute in node.attribute:
            if attribute.name == "to":
                attribute.i = onnx.TensorProto.FLOAT
    return proto


# Old operators and old opsets.


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, -2])
@pytest.mark.parametrize("symbols", [None, ("a", "b", "c")])
def test_softmax_before_opset_13(op, axis, symbols):
    """It went over all axes from `axis` on, as if they were one."""
    m = Maker(opset=11)
    x = m.input(2, 3, 4, symbols=symbols)
    y = m.node(op, x, **({} if axis is None else {"axis": axis}))
    values = m.feeds[x]
    split = (1 if axis is None else axis) % 3
    rows = values.reshape(int(np.prod(values.shape[:split])), -1).astype(np.float64)
    exp = np.exp(rows - rows.max(1, keepdims=True))
    wanted = exp / exp.sum(1, keepdims=True)
    if op == "LogSoftmax":
        wanted = np.log(wanted)
    elif op == "Hardmax":
        wanted = np.eye(rows.shape[1])[rows.argmax(1)]
    graph = fused(m.model(y))
    check(graph)
    close(interpret(graph, m.feeds), [wanted.reshape(values.shape).astype(np.float32)])


@pytest.mark.parametrize("opset", [7, 9, 10])
def test_upsampling_of_old(opset):
    """Upsample and the first Resize repeat pixels."""
    m = Maker(opset=opset)
    x, scales = m.input(1, 1, 2, 2), [1.0, 1.0, 2.0, 3.0]
    if opset == 7:
        y = m.node("Upsample", x, scales=scales)
    else:
        y = m.node("Upsample" if opset == 9 else "Resize", x, m.constant(scales))
    (got,) = interpret(fused(m.model(y)), m.feeds)
    np.testing.assert_array_equal(got, m.feeds[x].repeat(2, 2).repeat(3, 3))


def test_scatter_of_old():
    """It was renamed."""
    m = Maker(opset=9)
    index = m.constant([[1, 0]], np.int64)
    y = m.node("Scatter", m.input(1, 3, value=[[1, 2, 3]]), index, m.constant([[7, 8]]), axis=1)
    np.testing.assert_array_equal(interpret(fused(m.model(y)), m.feeds)[0], [[8, 7, 3]])


def test_opset_6_is_converted():
    """onnx.version_converter takes models up to opset 7."""
    m = Maker(opset=6)
    x = m.input(2, 3, 4, 5)
    y = m.node("Add", x, m.normal(5), broadcast=1)
    model = m.model(y, ir_version=3)
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info(y, 1, [2, 3, 4, 5]))
    model.graph.input.append(onnx.helper.make_tensor_value_info("c0", 1, [5]))
    graph = fused(model)
    assert graph.opsets[""] == 7
    close(interpret(graph, m.feeds), [m.feeds[x] + onnx.numpy_helper.to_array(m.initializers[0])])


def test_functions_of_the_model_are_written_out():
    """A model may bring functions of its own."""
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17, "own" : 1]>
        agraph (float[2, 3] x) => (float[2, 3] y) { y = own.swish (x) }
        <domain: "own", opset_import: ["" : 17]>
        swish (x) => (y) { s = Sigmoid (x)  y = Mul (x, s) }
    """)
    x = np.linspace(-3, 3, 6, dtype=np.float32).reshape(2, 3)
    (node,) = agrees(model, {"x": x}).nodes
    assert node.attributes["activation"] == "silu"


# The reference.


def test_subgraphs_read_from_outside():
    """If and Loop find what they capture, constants that were folded included."""
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        agraph (float[3] x, bool c, int64 n) => (float[3] y, float[3] z)
        <float[1] one = {1}>
        {
            two = Add (one, one)
            h = Identity (x)
            y = If (c) <
                then_branch = t () => (float[3] a) { a = Mul (h, two) },
                else_branch = e () => (float[3] b) {
                    b = If (c) <
                        then_branch = tt () => (float[3] p) { p = Identity (h) },
                        else_branch = ee () => (float[3] q) { q = Neg (h) }
                    >
                }
            >
            z = Loop (n, , x) <
                body = b (int64 i, bool k, float[3] v) => (bool ko, float[3] w) {
                    ko = Identity (k)
                    w = Add (v, two)
                }
            >
        }
    """)
    x = np.array([1, 2, 3], np.float32)
    for condition in (True, False):
        feeds = {"x": x, "c": np.array(condition), "n": np.array(3)}
        agrees(model, feeds)


def test_one_reference_in_many_threads():
    """It keeps nothing from call to call."""
    m = Maker()
    y = m.node("Softmax", m.input(64, 64))
    graph = load(m.model(y))
    reference = Reference(graph.nodes[0], graph)
    arrays = [np.full((64, 64), i, np.float32).cumsum(1) for i in range(8)]
    wanted = [reference([array])[0] for array in arrays]
    wrong = []

    def run(index):
        results = [reference([arrays[index]])[0] for _ in range(50)]
        wrong.extend(result for result in results if not np.array_equal(result, wanted[index]))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_transposed_convolutions_with_groups(rng):
    """onnx.reference takes them apart at the wrong places; ours does not."""
    m = Maker()
    x, weight, bias = m.input(2, 4, 5, 5), m.input(4, 3, 3, 3), m.input(6)
    graph = load(m.model(m.node("ConvTranspose", x, weight, bias, group=2, strides=[2, 2])))
    wanted = gconv.conv_transpose2d(
        *(m.feeds[name] for name in (x, weight, bias)), stride=2, groups=2
    )
    close(interpret(graph, m.feeds), [wanted])


def test_pads_that_take_away():
    """Negative pads crop, before the positive ones fill."""
    m = Maker()
    y = m.node("Pad", m.input(3, 4), m.constant([-1, 2, 0, -3], np.int64), m.constant(7))
    x = m.feeds["in0"]
    wanted = np.pad(x[1:, :1], ((0, 0), (2, 0)), constant_values=7)
    np.testing.assert_array_equal(interpret(fused(m.model(y)), m.feeds)[0], wanted)
