"""Own steps compute what NumPy does, on every instruction set, wherever their operands lie."""

import numpy as np
import pytest
from step_cases import BUILDERS, Case, computed, normals, on_threads, run

from gconv import _steps as steps
from gconv._call.isa import steps_of, usable
from gconv._engine.program import Program
from gconv._plan.problem import epilogue_of
from gconv._steps import record


@pytest.fixture(params=usable())
def engine(request):
    return steps_of(request.param)


@pytest.fixture(params=BUILDERS)
def cases(request, rng):
    return list(BUILDERS[request.param](rng))


def in_larger(array, axis):
    """(a buffer whose every byte is 0xFF but for some entries along an axis, these)."""
    shape = list(array.shape)
    shape[axis] += 5
    large = np.full(shape, 0xFF, np.uint8).repeat(array.itemsize, -1).view(array.dtype)
    view = large[(slice(None),) * axis + (slice(2, 2 + array.shape[axis]),)]
    view[...] = array
    return large, view


def same_bits(got, want):
    assert got.shape == want.shape
    assert got.tobytes() == want.tobytes()


def test_the_result_is_that_of_numpy(engine, cases):
    for case in cases:
        case.check(computed(case, engine))


def test_any_number_of_threads_gives_the_same_bits(engine, cases):
    for case in cases:
        alone = computed(case, engine)
        for threads in (2, 3):
            same_bits(computed(case, engine, threads), alone)


def test_a_sample_alone_gives_the_bits_that_it_has_in_a_batch(engine, cases):
    for case in cases:
        if not case.batched or case.want.ndim == 0 or case.want.shape[0] < 2:
            continue
        together = computed(case, engine)
        for number in range(case.want.shape[0]):
            own = slice(number, number + 1)
            inputs = [
                np.ascontiguousarray(array[own]) if has else array
                for array, has in zip(case.inputs, case.samples, strict=True)
            ]
            one = computed(case, engine, inputs=inputs, shape=(1, *case.want.shape[1:]))
            same_bits(one, together[own])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_operands_may_be_parts_of_larger_arrays(engine, cases, axis):
    """Slices along the batch, the channels and the columns: the bits are those of arrays in C
    order, and nothing beside the result is written."""
    built = 0
    for case in cases:
        arrays = [*case.inputs, np.full_like(case.want, 77)]
        if any(array.ndim < 2 for array in (arrays[0], arrays[-1])):
            continue
        large, views = zip(*(
            in_larger(array, axis % array.ndim) if array.ndim > 1 else (array, array)
            for array in arrays), strict=True)
        *operands, y = [
            steps.within(number, base, view)
            for number, (base, view) in enumerate(zip(large, views, strict=True))]
        step = case.build(*operands, y)
        if step is None:
            continue
        built += 1
        before = large[-1].copy()
        run(step, large, engine, 2)
        want = computed(case, engine)
        # The order of a sum may depend on what collapses; NumPy's numbers do not.
        case.check(views[-1].copy())
        if case.rtol == 0:
            same_bits(views[-1].copy(), want)
        before_view = before[tuple(
            slice(2, 2 + n) if number == axis % case.want.ndim else slice(None)
            for number, n in enumerate(case.want.shape))]
        before_view[...] = views[-1]
        same_bits(large[-1], before)
    assert built > 5


def test_a_result_may_take_the_place_of_the_first_input(engine, cases):
    for case in cases:
        if not case.in_place:
            continue
        want = computed(case, engine)
        x = case.inputs[0].copy()
        buffers = [x, *case.inputs[1:]]
        operands = [steps.within(n, array, array) for n, array in enumerate(buffers)]
        run(case.build(*operands, operands[0]), buffers, engine, 2)
        same_bits(x, want)


def test_inputs_are_not_written(engine, cases):
    for case in cases:
        before = [array.copy() for array in case.inputs]
        computed(case, engine)
        for array, copy in zip(case.inputs, before, strict=True):
            same_bits(array, copy)


# ---- numbers that are none -----------------------------------------------------------------------


def of(function, *inputs, engine, activation=None):
    want = np.broadcast_shapes(*(array.shape for array in inputs))
    case = Case("", list(inputs), np.empty(want, np.float32), lambda *operands: steps.elementwise(
        function, operands[:-1], operands[-1], epilogue_of(activation)))
    return computed(case, engine)


def test_functions_of_nan_and_infinity_are_those_of_numpy(engine):
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1, -2, 3e38, 1e-45], np.float32)
    a, b = (np.ascontiguousarray(array) for array in np.meshgrid(special, special))
    with np.errstate(all="ignore"):
        for function in ("add", "subtract", "multiply", "divide", "maximum", "minimum"):
            np.testing.assert_array_equal(
                of(function, a, b, engine=engine), getattr(np, function)(a, b))
        for function in ("negative", "absolute", "reciprocal", "sqrt", "square"):
            np.testing.assert_array_equal(
                of(function, special, engine=engine), getattr(np, function)(special))
        for function in ("exp", "log", "power"):
            inputs = (a, b) if function == "power" else (a,)
            np.testing.assert_allclose(
                of(function, *inputs, engine=engine), getattr(np, function)(*inputs), rtol=1e-6)


def test_exp_is_precise_over_its_whole_range(engine):
    x = np.linspace(-110, 95, 20001).astype(np.float32)
    with np.errstate(over="ignore", under="ignore"):
        want = np.exp(x.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(of("exp", x, engine=engine), want, rtol=4e-7, atol=3e-45)


def test_the_largest_of_a_window_with_nan_is_nan(engine):
    x = np.zeros((1, 1, 5, 40), np.float32)
    x[0, 0, 2, 20] = np.nan
    for place in ((0, 0), (4, 39)):
        x[(0, 0, *place)] = -np.inf
    case = Case("", [x], np.empty((1, 1, 5, 40), np.float32), lambda x, y: steps.pool(
        "max", x, y, (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1))))
    y = computed(case, engine)
    assert np.isnan(y[0, 0, 1:4, 19:22]).all()
    assert np.isnan(y).sum() == 9
    assert not np.isinf(y).any()


def test_a_window_of_minus_infinities_has_it_as_its_largest(engine):
    x = np.full((1, 1, 3, 20), -np.inf, np.float32)
    case = Case("", [x], x, lambda x, y: steps.pool(
        "max", x, y, (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1))))
    case.check(computed(case, engine))


@pytest.mark.parametrize("axes", [(1,), (0,)])
def test_extremes_and_sums_of_nan_are_nan(engine, axes):
    x = np.zeros((70, 90), np.float32)
    x[3, 80] = np.nan
    for operation in ("max", "min", "sum", "mean"):
        case = Case("", [x], np.empty(x.shape[1 - axes[0]], np.float32),
                    lambda x, y, operation=operation: steps.reduce(operation, x, y, axes))
        y = computed(case, engine)
        assert np.flatnonzero(np.isnan(y)).tolist() == [3 if axes == (1,) else 80]


@pytest.mark.parametrize(("shape", "axis"), [((1, 37), 1), ((1, 37, 4), 1)])
def test_softmax_of_minus_infinity_is_0_and_nan_spreads(engine, shape, axis, rng):
    x = normals(rng, *shape)
    x[0, 5] = -np.inf
    case = Case("", [x], x, lambda x, y: steps.softmax(x, y, axis))
    y = computed(case, engine)
    assert (y[0, 5] == 0).all()
    np.testing.assert_allclose(y.sum(axis), 1, rtol=1e-6)
    x[0, 36] = np.nan
    assert np.isnan(computed(case, engine)).all()


def test_large_numbers_do_not_overflow_a_softmax(engine):
    x = np.array([[1e30, 1e30, -1e30, 88, 3e38]], np.float32)
    case = Case("", [x], x, lambda x, y: steps.softmax(x, y, 1))
    np.testing.assert_array_equal(computed(case, engine), [[0, 0, 0, 0, 1]])


def test_a_sum_of_many_is_precise(engine):
    """A sum one behind the other would be off by more than 1e-5."""
    x = np.full((1, 4_000_000), 0.1, np.float32)
    exact = float(np.float32(0.1))
    for operand, axes in ((x, (1,)), (x.reshape(1, -1, 2), (1,))):
        case = Case("", [operand], np.empty(operand.shape[:1] + operand.shape[2:], np.float32),
                    lambda x, y, axes=axes: steps.reduce("mean", x, y, axes))
        np.testing.assert_allclose(computed(case, engine), exact, rtol=1e-6)


# ---- what does not fit ---------------------------------------------------------------------------


def operand(*shape, itemsize=4):
    return steps.Operand(0, 0, shape, steps.c_strides(shape), itemsize)


def test_operands_that_do_not_fit_each_other_are_refused():
    one = np.ones(3, np.float32)
    table = steps.Table(np.arange(4))
    refused = {
        "does not fill": lambda: steps.elementwise("add", [operand(2, 3)] * 2, operand(2, 4)),
        "1 operands for 'add'": lambda: steps.elementwise("add", [operand(2)], operand(2)),
        "operands for 'cube'": lambda: steps.elementwise("cube", [operand(2)], operand(2)),
        "computes with float32": lambda: steps.elementwise(
            "add", [operand(2, itemsize=8)] * 2, operand(2)),
        "scale is": lambda: steps.scale_shift(operand(1, 4), one, one, operand(1, 4)),
        "y has shape": lambda: steps.softmax(operand(2, 3), operand(3, 2), 1),
        "a copy of items": lambda: steps.copy(operand(2), operand(2, itemsize=8)),
        "leads out of x": lambda: steps.resize(operand(1, 3), operand(1, 4), "nearest", [table]),
        "not float32 in C order": lambda: steps.layer_norm(
            operand(2, 4), one, None, operand(2, 4), 1, 1e-5),
        "a pool of 2 axes": lambda: steps.pool(
            "max", operand(1, 2, 3), operand(1, 2, 3), (1, 1), (1, 1), (1, 1), [(0, 0)] * 2),
        "has shape": lambda: steps.reduce("sum", operand(2, 3), operand(2, 3), (1,)),
    }
    for message, build in refused.items():
        with pytest.raises(ValueError, match=message):
            build()


def test_what_the_engine_has_no_step_for_is_none():
    """Then the caller copies the operands first."""
    apart = steps.Operand(0, 0, (2, 3, 4), (24, 8, 2))
    assert steps.softmax(apart, operand(2, 3, 4), 2) is None
    assert steps.layer_norm(apart, None, None, operand(2, 3, 4), 2, 1e-5) is None
    assert steps.resize(apart, operand(2, 3, 8), "nearest", [
        steps.Table(np.arange(8) // 2)]) is None
    many = (2,) * 9
    every_second = steps.Operand(
        0, 0, many, tuple(3 * step for step in reversed(steps.c_strides(many))))
    assert steps.elementwise("add", [every_second, operand(*many)], operand(*many)) is None
    assert steps.copy(every_second, operand(*many)) is None


# ---- records -------------------------------------------------------------------------------------


def test_records_that_are_not_the_engines_are_noticed(engine, monkeypatch):
    monkeypatch.setattr(record, "STEP", np.dtype([("kind", np.int32)]))
    with pytest.raises(ImportError, match="has other steps"):
        record.check(engine)


def test_a_step_says_what_it_does():
    step = steps.elementwise(
        "add", [operand(2, 8), operand(1)], operand(2, 8), epilogue_of("relu"))
    assert step.words == "add, clamp"
    assert step.nbytes == 4 * (16 + 1 + 16)
    assert steps.elementwise("identity", [operand(4)], operand(4), epilogue_of("tanh")
                             ).words == "tanh"
    assert Program([on_threads(step)], steps_of(usable()[0])).nbytes > step.record.nbytes
