"""Steps, each with its operands and what NumPy says is the result."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gconv import _steps as steps
from gconv._engine.program import Program
from gconv._plan.problem import epilogue_of
from gconv._steps.elementwise import UNARY


@dataclass
class Case:
    """y = what `build` computes from the inputs."""

    name: str
    inputs: list[Any]
    want: Any
    build: Callable[..., Any]  # of the inputs' operands and y's
    rtol: float = 0.0  # 0: the same numbers
    atol: float = 0.0
    in_place: bool = False  # y may be the first input
    batched: bool = True  # axis 0 of y holds samples
    samples: list[bool] = field(default_factory=lambda: [True])  # of each input: whether its does

    def check(self, y):
        if self.rtol == 0 and self.atol == 0:
            np.testing.assert_array_equal(y, self.want, strict=True)
        else:
            np.testing.assert_allclose(y, self.want, rtol=self.rtol, atol=self.atol)


def on_threads(step):
    """The same step, for as many threads as are asked for, however little it does."""
    record = step.record.copy()
    record["work"] = 1 << 60
    return replace(step, record=record)


def run(step, buffers, engine, threads=1):
    Program([on_threads(step)], engine).run(buffers, threads)


def computed(case, engine, threads=1, inputs=None, shape=None):
    """What the case's step makes of arrays in C order."""
    inputs = case.inputs if inputs is None else inputs
    y = np.full(case.want.shape if shape is None else shape, 77, case.want.dtype)
    buffers = [*inputs, y]
    *operands, y_operand = [
        steps.within(number, array, array) for number, array in enumerate(buffers)]
    step = case.build(*operands, y_operand)
    run(step, buffers, engine, threads)
    return y


def normals(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


# ---- functions of elements -----------------------------------------------------------------------

FUNCTIONS = {
    "identity": lambda a: a,
    "negative": np.negative,
    "absolute": np.absolute,
    "reciprocal": np.reciprocal,
    "sqrt": np.sqrt,
    "square": np.square,
    "exp": np.exp,
    "log": np.log,
    "erf": np.vectorize(math.erf, otypes=[float]),
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "power": np.power,
    "multiply_add": lambda a, b, c: a * b + c,
}
ULPS = {"exp": 4, "log": 2, "erf": 4, "power": 4, "multiply_add": 4}

ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    ("clip", -0.5, 0.75): lambda x: np.clip(x, -0.5, 0.75),
    ("leaky_relu", 0.1): lambda x: np.where(x < 0, 0.1 * x, x),
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "gelu": lambda x: x * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
}


def elementwise_case(rng, function, shapes, activation=None):
    inputs = [normals(rng, *shape) for shape in shapes]
    if function in ("sqrt", "log", "power"):
        inputs[0] = np.abs(inputs[0])
    exact = [array.astype(np.float64) for array in inputs]
    want = FUNCTIONS[function](*exact)
    if activation is not None:
        want = ACTIVATIONS[activation](want)
    want = want.astype(np.float32)

    def build(*operands):
        *x, y = operands
        return steps.elementwise(function, x, y, epilogue_of(activation))

    same = function not in ULPS and activation in (None, "relu", ("clip", -0.5, 0.75))
    eps = float(np.finfo(np.float32).eps)
    return Case(
        f"{function} {shapes} {activation}", inputs, want, build,
        rtol=0 if same else ULPS.get(function, 1) * 2 * eps,
        atol=0 if same else 4 * eps if activation or function == "multiply_add" else 1e-37,
        in_place=shapes[0] == want.shape,
        samples=[
            len(shape) == want.ndim and shape[:1] == want.shape[:1] for shape in shapes],
    )


def elementwise_cases(rng):
    for function in FUNCTIONS:
        arity = 1 if function in UNARY else (
            3 if function == "multiply_add" else 2)
        for shape in ((2, 3, 5, 7), (3, 1), (2, 1500)):
            yield elementwise_case(rng, function, [shape] * arity)
    whole = (2, 5, 3, 37)
    for shape in ((1,), (37,), (5, 1, 1), (2, 5, 1, 1), (2, 1, 3, 37), (1, 5, 3, 1), (3, 37)):
        yield elementwise_case(rng, "multiply", [whole, shape])
        yield elementwise_case(rng, "subtract", [shape, whole])
        yield elementwise_case(rng, "multiply_add", [whole, shape, (1, 5, 1, 1)])
    yield elementwise_case(rng, "power", [whole, (1,)])
    yield elementwise_case(rng, "add", [(4, 1), (1, 300)])
    yield elementwise_case(rng, "add", [(3000, 2), (2,)])
    yield elementwise_case(rng, "multiply", [(), (2, 3)])
    yield elementwise_case(rng, "add", [(0, 3), (1, 3)])
    yield elementwise_case(rng, "identity", [(1, 9)])
    for activation in ACTIVATIONS:
        yield elementwise_case(rng, "identity", [(2, 3, 411)], activation)
        yield elementwise_case(rng, "add", [(2, 3, 411), (3, 1)], activation)
        yield elementwise_case(rng, "identity", [(3, 1)], activation)
    squares = elementwise_case(rng, "power", [(3, 50), (1,)])
    x, two = squares.inputs[0] - 1, np.full(1, 2, np.float32)
    yield replace(squares, name="power of two", inputs=[x, two], want=x * x, rtol=0, atol=0)
    for shape in ((2, 5), (2, 5, 30), (3, 4, 1, 1), (2, 35, 7, 7), (2, 3, 2, 5, 9)):
        x, scale, shift = normals(rng, *shape), normals(rng, shape[1]), normals(rng, shape[1])
        column = (shape[1], *(1,) * (len(shape) - 2))
        want = np.maximum(
            x.astype(np.float64) * scale.reshape(column) + shift.reshape(column), 0)
        yield Case(
            f"scale_shift {shape}", [x], want.astype(np.float32),
            lambda x, y, scale=scale, shift=shift: steps.scale_shift(
                x, scale, shift, y, epilogue_of("relu")),
            rtol=1e-6, atol=1e-6, in_place=True)


# ---- copies --------------------------------------------------------------------------------------


def copy_cases(rng):
    for dtype, shape in itertools.product(
        (np.float32, np.int64, np.uint16, np.uint8), ((5, 70, 33), (2, 1, 9), (1, 1, 1), (3, 0, 2))
    ):
        x = rng.integers(0, 200, shape).astype(dtype)
        yield Case(f"copy {x.dtype} {shape}", [x], x, steps.copy)
    for shape in ((2, 64, 65), (1, 16, 16), (3, 197, 7), (2, 3, 130), (2, 16, 1)):
        x = normals(rng, *shape)
        yield Case(f"transpose {shape}", [x], np.ascontiguousarray(x.transpose(0, 2, 1)),
                   lambda x, y: steps.copy(moved(x, (0, 2, 1)), y))
    for order in itertools.permutations(range(1, 4)):
        x = normals(rng, 2, 9, 17, 20)
        order = (0, *order)
        yield Case(f"axes {order}", [x], np.ascontiguousarray(x.transpose(order)),
                   lambda x, y, order=order: steps.copy(moved(x, order), y))
        y = np.empty([(2, 9, 17, 20)[axis] for axis in order], np.int64)
        y[...] = x.transpose(order) * 100
        back = np.argsort(order)
        yield Case(f"axes {order} of int64", [np.ascontiguousarray(y.transpose(back))], y,
                   lambda x, y, order=order: steps.copy(moved(x, order), y))
    x = normals(rng, 4, 1, 6)
    yield Case("expand", [x], np.broadcast_to(x, (4, 5, 6)).copy(), steps.copy)
    x = normals(rng, 4, 5)
    yield Case("reversed", [x], x[:, ::-1].copy(), lambda x, y: steps.copy(
        x._replace(offset=x.offset + 4 * 4 * x.strides[1],
                   strides=(x.strides[0], -x.strides[1])), y))
    x = normals(rng, 2, 40)
    yield Case("every third", [x], x[:, ::3].copy(), lambda x, y: steps.copy(
        x._replace(shape=(x.shape[0], 14), strides=(x.strides[0], 3 * x.strides[1])), y))


def moved(operand, order):
    """The operand of a transposed array."""
    return operand._replace(
        shape=tuple(operand.shape[axis] for axis in order),
        strides=tuple(operand.strides[axis] for axis in order))


# ---- pooling -------------------------------------------------------------------------------------


def pooled(operation, x, out, kernel, stride, dilation, padding, count_include_pad):
    """ONNX's pooling of (batch, channels, *spatial), window by window."""
    size = x.shape[2:]
    y = np.empty((*x.shape[:2], *out), x.dtype)
    for place in itertools.product(*(range(n) for n in out)):
        taps, count = [], 1
        for i, k, s, d, (before, after), n in zip(
            place, kernel, stride, dilation, padding, size, strict=True
        ):
            where = i * s - before + np.arange(k) * d
            taps.append(where[(where >= 0) & (where < n)])
            low, high = (-before, n + after) if count_include_pad else (0, n)
            count *= int(((where >= low) & (where < high)).sum())
        window = x[(slice(None), slice(None), *np.ix_(*taps))]
        axes = tuple(range(2, x.ndim))
        y[(..., *place)] = (
            window.max(axes) if operation == "max" else window.sum(axes) / count)
    return y


def pool_case(
    rng, operation, shape, kernel, stride, padding, dilation=None, ceil=False, include=False
):
    dims = len(shape) - 2
    dilation = dilation or (1,) * dims
    padding = [(p, p) if isinstance(p, int) else p for p in padding]
    out = []
    for n, k, s, d, (before, after) in zip(
        shape[2:], kernel, stride, dilation, padding, strict=True
    ):
        room = n + before + after - (k - 1) * d - 1
        windows = (-(-room // s) if ceil else room // s) + 1
        if ceil and (windows - 1) * s >= n + before:
            windows -= 1
        out.append(windows)
    x = normals(rng, *shape)
    if operation == "max" and x.size > 50:
        x.ravel()[rng.integers(0, x.size, x.size // 50)] = np.nan
    exact = x if operation == "max" else x.astype(np.float64)
    want = pooled(operation, exact, out, kernel, stride, dilation, padding, include)
    options = (kernel, stride, dilation, padding, include)
    return Case(
        f"{operation} pool {shape} {options} {ceil}", [x], want.astype(np.float32),
        lambda x, y: steps.pool(operation, x, y, *options),
        rtol=0 if operation == "max" else 1e-6, atol=0 if operation == "max" else 1e-6)


def pool_cases(rng):
    for operation in ("max", "average"):
        for width in (1, 2, 7, 16, 17, 33, 40, 64):
            for kernel, stride, padding in ((3, 2, 1), (2, 2, 0), (3, 1, 1), (3, 3, 1), (5, 1, 2)):
                if width + 2 * padding < kernel:
                    continue
                yield pool_case(rng, operation, (2, 3, 6, width), (min(kernel, 3), kernel),
                                (stride, stride), (min(padding, 1), padding))
        yield pool_case(rng, operation, (2, 3, 50), (4,), (3,), ((1, 2),))
        yield pool_case(rng, operation, (1, 2, 9), (2,), (2,), (0,), ceil=True)
        yield pool_case(rng, operation, (2, 2, 5, 7, 19), (2, 3, 3), (1, 2, 2), (1, 1, 1))
        yield pool_case(rng, operation, (2, 3, 20, 21), (3, 3), (1, 2), (2, (2, 1)), (2, 2))
        yield pool_case(rng, operation, (1, 2, 30, 31), (20, 3), (1, 1), (0, 1))
        yield pool_case(rng, operation, (1, 2, 8, 8), (3, 3), (2, 2), (0, 0), ceil=True)
        yield pool_case(rng, operation, (1, 2, 8, 8), (3, 2), (2, 3), (1, (0, 1)), ceil=True,
                        include=True)
        yield pool_case(rng, operation, (2, 2, 8, 8), (3, 3), (1, 1), (1, 1), include=True)
        yield pool_case(rng, operation, (0, 2, 8, 8), (3, 3), (1, 1), (1, 1))


# ---- reductions ----------------------------------------------------------------------------------

REDUCTIONS = {"mean": np.mean, "sum": np.sum, "max": np.max, "min": np.min}


def reduce_case(rng, operation, shape, axes, keep=False):
    x = normals(rng, *shape) + np.float32(1)
    want = REDUCTIONS[operation](x.astype(np.float64), axis=axes, keepdims=keep)
    same = operation in ("max", "min")
    count = math.prod(shape[axis] for axis in axes)
    scale = count if operation == "sum" else 1
    return Case(
        f"{operation} {shape} {axes} {keep}", [x], np.asarray(want, np.float32),
        lambda x, y: steps.reduce(operation, x, y, axes),
        rtol=0 if same else 1e-6, atol=0 if same else 1e-6 * scale, batched=0 not in axes)


def reduce_cases(rng):
    for operation in REDUCTIONS:
        for shape, axes in (
            ((2, 3, 7, 7), (2, 3)), ((2, 5, 31, 33), (2, 3)), ((2, 3, 1), (2,)),
            ((2, 100, 9), (1,)), ((3, 70, 130), (1,)), ((2, 3, 4, 5), (1, 3)),
            ((2, 3, 4, 65), (1, 2)), ((4, 6), (0,)), ((4, 6), (0, 1)), ((2, 3, 4), (0, 2)),
            ((2, 9000), (1,)), ((2, 9, 4, 6, 3), (2, 4)), ((2, 7, 1, 3), (2,)),
        ):
            yield reduce_case(rng, operation, shape, axes)
        yield reduce_case(rng, operation, (2, 5, 6, 7), (2, 3), keep=True)
        yield reduce_case(rng, operation, (2, 50, 6), (1,), keep=True)


# ---- softmax and layer norm ----------------------------------------------------------------------


def softmax(x, axis, log):
    shifted = x - x.max(axis, keepdims=True)
    total = np.exp(shifted).sum(axis, keepdims=True)
    return shifted - np.log(total) if log else np.exp(shifted) / total


def softmax_cases(rng):
    for (shape, axis), log in itertools.product((
        ((2, 10), 1), ((3, 1000), 1), ((2, 3, 17), 2), ((2, 21, 9, 11), 1), ((2, 3, 1), 2),
        ((2, 1, 5), 1), ((2, 5, 1), 1), ((4, 130), 0), ((1, 2, 3, 16), 3), ((2, 19, 100), 1),
    ), (False, True)):
        x = normals(rng, *shape) * 5
        want = softmax(x.astype(np.float64), axis, log)
        yield Case(
            f"softmax {shape} {axis} {log}", [x], want.astype(np.float32),
            lambda x, y, axis=axis, log=log: steps.softmax(x, y, axis, log),
            rtol=1e-6, atol=2e-6 if log else 1e-7, in_place=True, batched=axis != 0)


def layer_norm_cases(rng):
    for shape, axis, scaled, shifted in (
        ((2, 5, 768), 2, True, True), ((3, 7), 1, False, False), ((2, 3, 4, 5), 2, True, False),
        ((2, 33), 1, False, True), ((4, 1, 16), 2, True, True), ((2, 10000), 1, False, False),
        ((3, 1), 1, True, True), ((2, 6, 31), 1, True, True),
    ):
        x = normals(rng, *shape) * 3 + np.float32(2)
        inner = shape[axis:]
        scale = normals(rng, *inner) if scaled else None
        bias = normals(rng, *inner) if shifted else None
        axes = tuple(range(axis, len(shape)))
        exact = x.astype(np.float64)
        want = (exact - exact.mean(axes, keepdims=True)) / np.sqrt(
            exact.var(axes, keepdims=True) + 1e-5)
        want = want * (1 if scale is None else scale) + (0 if bias is None else bias)
        yield Case(
            f"layer norm {shape} {axis} {scaled} {shifted}", [x], want.astype(np.float32),
            lambda x, y, axis=axis, scale=scale, bias=bias: steps.layer_norm(
                x, scale, bias, y, axis, 1e-5),
            rtol=2e-6, atol=2e-6, in_place=True)


# ---- resizing ------------------------------------------------------------------------------------


def nearest_table(size, out):
    return steps.Table(np.arange(out) * size // out)


def linear_table(size, out, aligned=False):
    """Half-pixel centres, or corners that are aligned."""
    place = (np.arange(out) + 0.5) * size / out - 0.5
    if aligned:
        place = np.arange(out) * (size - 1) / max(out - 1, 1)
    place = np.clip(place, 0, size - 1)
    low = np.floor(place).astype(int)
    return steps.Table(low, np.minimum(low + 1, size - 1), (place - low).astype(np.float32))


def resized(x, tables, mode):
    x = x.astype(np.float64)
    for axis, table in enumerate(tables, x.ndim - len(tables)):
        low = x.take(table.low, axis)
        if mode == "linear":
            weight = table.weight.astype(np.float64).reshape(-1, *(1,) * (x.ndim - axis - 1))
            low = low * (1 - weight) + x.take(table.high, axis) * weight
        x = low
    return x.astype(np.float32)


def resize_cases(rng):
    for shape, out in (
        ((2, 3, 7, 9), (14, 18)), ((2, 3, 5, 33), (10, 66)), ((2, 2, 6, 16), (18, 48)),
        ((2, 2, 6, 20), (9, 31)), ((1, 2, 20, 21), (7, 6)), ((2, 3, 40), (80,)),
        ((2, 3, 1, 1), (3, 4)), ((1, 2, 3, 5, 17), (6, 10, 34)), ((2, 2, 4, 3, 5), (4, 7, 10)),
        ((2, 3, 5, 6), (5, 6)), ((1, 1, 8, 1), (16, 2)), ((2, 4, 8, 32), (8, 128)),
    ):
        sizes = list(zip(shape[-len(out):], out, strict=True))
        x = normals(rng, *shape)
        tables = {
            "nearest": [[nearest_table(n, m) for n, m in sizes]],
            "linear": [[linear_table(n, m, aligned) for n, m in sizes]
                       for aligned in (False, True)],
        }
        for mode, several in tables.items():
            for one in several:
                yield Case(
                    f"resize {shape} {out} {mode}", [x], resized(x, one, mode),
                    lambda x, y, mode=mode, one=one: steps.resize(x, y, mode, one),
                    rtol=0 if mode == "nearest" else 1e-6,
                    atol=0 if mode == "nearest" else 1e-6)


BUILDERS = {
    "elementwise": elementwise_cases, "copy": copy_cases, "pool": pool_cases,
    "reduce": reduce_cases, "softmax": softmax_cases, "layer_norm": layer_norm_cases,
    "resize": resize_cases,
}
