"""What a session holds of its weights: each in the forms that plans read, and in one that is not
lost when plans go. Results have the bits of a session that has done nothing else."""

import pickle
import random
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from kernels import KERNELS, Kernel, layout_of, plans
from oracles import oracle

oracle("onnx")

from onnx import TensorProto, helper  # noqa: E402
from onnx_drawn import FLOAT, model, node  # noqa: E402

from gconv._call.isa import usable  # noqa: E402
from gconv._plan.choose import BoundedCache  # noqa: E402
from gconv._plan.family import packed_weights, packs_all  # noqa: E402
from gconv.onnx import InferenceSession  # noqa: E402
from gconv.onnx.constants import Constant  # noqa: E402

#: Instruction sets and families want other packings, and the plain loop nest wants none.
SETTINGS = [(name, kernel) for name in usable() for kernel in (None, *KERNELS, Kernel("plain"))]


def numbers(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def dense(rng, optional=()):
    """Two convolutions, a matrix product and a transposed convolution, whose weights most plans
    pack; the weights in `optional` may be given."""
    nodes = [
        node("Conv", "x", "w", "b", "c", pads=[1, 1, 1, 1]),
        node("Conv", "c", "v", "d", strides=[2, 2]),
        node("Transpose", "d", "t", perm=[0, 2, 3, 1]),
        node("MatMul", "t", "m", "p"),
        node("Transpose", "p", "q", perm=[0, 3, 1, 2]),
        node("ConvTranspose", "q", "u", "y", strides=[2, 2]),
    ]
    constants = {
        "w": numbers(rng, 48, 8, 3, 3), "b": numbers(rng, 48), "v": numbers(rng, 64, 48, 3, 3),
        "m": numbers(rng, 64, 40), "u": numbers(rng, 40, 17, 3, 3),
    }
    inputs = {"x": (FLOAT, ["N", 8, "H", "W"])}
    inputs |= {name: (FLOAT, list(constants[name].shape)) for name in optional}
    return model(nodes, inputs, {"y": (FLOAT, None)}, constants), constants


def weight_bytes(constants):
    """Of the weights that can be packed."""
    return sum(array.nbytes for array in constants.values() if array.ndim > 1)


def run(session, x):
    return session.run(None, {"x": x})[0]


def same_bits(got, want):
    """Whether two arrays hold the same bits."""
    assert got.shape == want.shape
    assert got.tobytes() == want.tobytes()


def test_what_is_packed_is_not_held_twice(rng):
    data, constants = dense(rng)
    session = InferenceSession(data)
    shape = {"x": (1, 8, 9, 9)}
    run(session, numbers(rng, *shape["x"]))
    memory = session.memory(shape)
    assert memory.constants == constants["b"].nbytes
    assert weight_bytes(constants) <= memory.packed_weights <= 2 * weight_bytes(constants)


def test_what_no_kernel_packs_is_held_as_it_is(rng):
    """The weights of a transposed convolution always are."""
    data, constants = dense(rng)
    session = InferenceSession(data)
    with plans("generic", Kernel("plain")):
        memory = session.memory({"x": (1, 8, 9, 9)})
    assert memory.constants == sum(
        array.nbytes for name, array in constants.items() if name != "u")


@pytest.mark.parametrize("bounded", [False, True], ids=["all plans kept", "one plan kept"])
def test_other_packings_are_made_of_those_that_are_held(bounded, rng):
    """In turn and again, whether plans that hold others are kept or gone."""
    data, _ = dense(rng)
    session = InferenceSession(data)
    if bounded:
        session._model(frozenset()).plans = BoundedCache(1)
    xs = [numbers(rng, 1, 8, 9, 9), numbers(rng, 2, 8, 14, 5), numbers(rng, 1, 8, 40, 41)]
    turns = [(setting, x) for setting in SETTINGS for x in xs] * 2
    random.Random(0).shuffle(turns)
    for setting, x in turns:
        with plans(*setting):
            same_bits(run(session, x), run(InferenceSession(data), x))


def test_plans_that_go_leave_one_form_of_each_weight(rng):
    data, constants = dense(rng)
    session = InferenceSession(data)
    inner = session._model(frozenset())
    inner.plans = BoundedCache(1)
    x = numbers(rng, 1, 8, 9, 9)
    for setting in SETTINGS:
        with plans(*setting):
            run(session, x)
            held = sum(
                constant.held + sum(packed.nbytes for packed in constant.packings)
                for constant in inner.constants.distinct)
            # Filled up to vectors, and a weight that the plan reads as it is.
            assert held <= 2 * weight_bytes(constants) + constants["b"].nbytes


def shared(rng):
    """A weight that two convolutions read, one of every second channel's neighbour; that a sum
    adds; that the reference looks rows up in; and that is an output as well."""
    nodes = [
        node("Conv", "x", "w", "a", pads=[1, 1, 1, 1]),
        node("Conv", "a", "w", "b", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Add", "w", "one", "e"),
        node("Gather", "w", "i", "g"),
        node("Identity", "w", "f"),
    ]
    return model(
        nodes, {"x": (FLOAT, [1, 32, "H", "W"]), "one": (FLOAT, [1]),
                "i": (TensorProto.INT64, ["K"])},
        {**dict.fromkeys("beg", (FLOAT, None)), "f": (FLOAT, [32, 32, 3, 3])},
        {"w": numbers(rng, 32, 32, 3, 3)})


def test_a_weight_may_be_read_packed_and_as_it_is(rng):
    data = shared(rng)
    session = InferenceSession(data)
    for size in (6, 20, 6):
        feed = {"x": numbers(rng, 1, 32, size, size), "one": np.ones(1, np.float32),
                "i": rng.integers(0, 32, 3)}
        for wanted in (None, ["b"], ["g", "f"], ["b"], ["e", "b"]):
            for setting in SETTINGS[::5]:
                with plans(*setting):
                    for got, want in zip(
                        session.run(wanted, feed), InferenceSession(data).run(wanted, feed),
                        strict=True,
                    ):
                        same_bits(got, want)


def test_a_branch_reads_a_weight_that_is_packed(rng):
    """The nodes of a branch find it by its name, in runs whose plans have packed it."""
    branches = {
        name: helper.make_graph(
            [node(op, "w", "r")], name, [], [helper.make_tensor_value_info("r", FLOAT, None)])
        for name, op in (("then_branch", "Neg"), ("else_branch", "Identity"))
    }
    weight = numbers(rng, 32, 16, 3, 3)
    data = model(
        [node("Conv", "x", "w", "y"), node("If", "c", "z", **branches)],
        {"x": (FLOAT, [1, 16, "H", "W"]), "c": (TensorProto.BOOL, [])},
        {"y": (FLOAT, None), "z": (FLOAT, [32, 16, 3, 3])}, {"w": weight})
    with pytest.warns(UserWarning, match="If"):
        session = InferenceSession(data)
    for size in (5, 30):
        x = numbers(rng, 1, 16, size, size)
        want = None
        for flag in (True, False, True):
            y, z = session.run(None, {"x": x, "c": np.array(flag)})
            same_bits(z, -weight if flag else weight)
            want = y if want is None else want
            same_bits(y, want)


def test_a_session_is_pickled_whole_after_its_weights_are_packed(rng):
    for optional in ((), ("v",)):
        data, constants = dense(rng, optional)
        session = InferenceSession(data)
        x = numbers(rng, 1, 8, 9, 9)
        want = run(session, x)
        for _ in range(2):
            again = pickle.loads(pickle.dumps(session))
            same_bits(run(again, x), want)
            same_bits(run(session, x), want)
        held = session.memory({"x": x.shape}).constants
        # The matrix is packed transposed; as the file has it, models with another v begin with it.
        assert held == constants["b"].nbytes + (constants["m"].nbytes if optional else 0)


def test_models_of_one_file_share_what_they_pack(rng):
    """With an optional weight given, and without."""
    data, constants = dense(rng, ("v",))
    session = InferenceSession(data)
    x, other = numbers(rng, 1, 8, 9, 9), numbers(rng, 64, 48, 3, 3)
    want = run(session, x)
    changed = session.run(None, {"x": x, "v": other})[0]
    given = session.run(None, {"x": x, "v": constants["v"]})[0]
    np.testing.assert_allclose(given, want, rtol=1e-4, atol=1e-3)
    assert not np.allclose(changed, want)
    first, second = session._models.values()
    for name in "wu":
        assert first.constants.by_name[name] is second.constants.by_name[name]
        assert first.constants.by_name[name].held == 0
    same_bits(run(session, x), want)


def test_eight_threads_ask_for_every_form_of_a_weight(rng):
    """Forms come and go all the while; nobody gets another weight."""
    weight = numbers(rng, 70, 40, 3, 3)
    x = np.zeros((1, 40, 9, 9), np.float32)
    layouts = []
    for setting in SETTINGS:
        with plans(*setting):
            layout = layout_of(x, weight)
        if layout.family.pack_key(layout) is not None:
            assert packs_all(layout, weight.size)
            layouts.append((layout, packed_weights(layout, weight)))
    assert len({layout.family.pack_key(layout) for layout, _ in layouts}) == len(usable())
    constant = Constant(weight.copy())

    def ask(seed):
        draw = random.Random(seed)
        for _ in range(60):
            layout, want = draw.choice(layouts)
            same_bits(constant.packed(layout)[0], want)
            if draw.random() < 0.2:
                same_bits(constant.array(), weight)
            if draw.random() < 0.2:
                same_bits(constant.as_it_is(), weight)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, range(8)))
    finally:
        sys.setswitchinterval(before)


def test_weights_without_some_taps_stay(rng):
    """A transposed convolution whose result is a pixel packs a quarter of its taps."""
    data = model(
        [node("ConvTranspose", "x", "u", "y", strides=[2, 2], pads=[2, 2, 3, 3])],
        {"x": (FLOAT, [1, 20, "H", "W"])}, {"y": (FLOAT, None)},
        {"u": numbers(rng, 20, 18, 4, 4)})
    session = InferenceSession(data)
    for size in (2, 9, 2, 3):
        x = numbers(rng, 1, 20, size, size)
        same_bits(run(session, x), run(InferenceSession(data), x))
