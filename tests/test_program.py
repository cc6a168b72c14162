"""Programs: steps in order, on buffers that are given, by any number of threads at once."""

import os
import threading
from dataclasses import replace

import numpy as np
import pytest
from arrays import normals
from interpreter import run_python
from step_cases import on_threads

import gconv
from gconv import _steps as steps
from gconv._call.isa import machine, steps_of, usable, use_isa
from gconv._engine import openmp
from gconv._engine.program import Program
from gconv._plan import choose
from gconv._plan.problem import epilogue_of


@pytest.fixture(params=usable())
def isa(request):
    with use_isa(request.param):
        yield request.param


@pytest.fixture
def engine(isa):
    return steps_of(isa)


def plan_of(layer, x, y_in_order=True, **options):
    geometry = layer._parameters.applied_to(x.shape, x.itemsize)
    return choose.plan_for(
        geometry, x.dtype, x.strides, machine(x.dtype), y_in_order=y_in_order, **options)


def convolution(layer, x, y, places, y_in_order=True, **options):
    """The step of a layer; `places` are the operands of x and y."""
    plan = plan_of(layer, x, y_in_order)
    return steps.convolution(
        plan, *places, weight=layer.weight, packed=layer._packed_for(plan), bias=layer.bias,
        images=len(x), **options)


def place(number, base, view=None):
    return steps.within(number, base, base if view is None else view)


F32 = np.dtype(np.float32)


def small(rng):
    """Buffers and steps: y = relu(x + 1), z = max pool of y, w = mean of z."""
    buffers = [
        normals(rng, (2, 3, 8, 8), F32), np.empty((2, 3, 8, 8), F32), np.empty((2, 3, 4, 4), F32),
        np.empty((2, 3), F32), np.ones(1, F32)]
    x, y, z, w, one = (place(number, array) for number, array in enumerate(buffers))
    found = [
        steps.elementwise("add", [x, one], y, epilogue_of("relu")),
        steps.pool("max", y, z, (2, 2), (2, 2), (1, 1), ((0, 0), (0, 0))),
        steps.reduce("mean", z, w, (2, 3)),
    ]
    y = np.maximum(buffers[0] + 1, 0)
    want = y.reshape(2, 3, 4, 2, 4, 2).max((3, 5)).mean((2, 3), dtype=np.float64)
    return buffers, found, want


def test_steps_run_in_order(engine, rng):
    buffers, found, want = small(rng)
    program = Program(found, engine)
    assert len(program) == 3
    program.run(buffers, 2)
    np.testing.assert_allclose(buffers[3], want, rtol=1e-6)


def test_some_steps_run_and_their_times_are_kept(engine, rng):
    buffers, found, want = small(rng)
    program = Program(found, engine)
    times = np.full(3, -1, np.int64)
    program.run(buffers, 1, times, 0, 2)
    assert (times[:2] >= 0).all()
    assert times[2] == -1
    program.run(buffers, 1, times, 2)
    assert times[2] >= 0
    np.testing.assert_allclose(buffers[3], want, rtol=1e-6)
    before = buffers[3].copy()
    program.run(buffers, 1, None, 3, 3)
    np.testing.assert_array_equal(buffers[3], before)


def test_a_program_serves_other_buffers(engine, rng):
    """Also more of them than fit the stack."""
    buffers, found, want = small(rng)
    program = Program(found, engine)
    program.run([array.copy() for array in buffers], 1)
    far = [found[0].record.copy(), *(step.record for step in found[1:])]
    far[0]["place"]["buffer"][0] = 40
    program = Program([replace(step, record=record) for step, record in
                       zip(found, far, strict=True)], engine)
    buffers[3][...] = 0
    program.run([*buffers, *[buffers[1]] * 35, buffers[0]], 1)
    np.testing.assert_allclose(buffers[3], want, rtol=1e-6)


def test_what_does_not_fit_a_program_is_refused(engine, rng):
    buffers, found, _ = small(rng)
    program = Program(found, engine)
    with pytest.raises(ValueError, match="4 buffers for a program that has 5"):
        program.run(buffers[:4], 1)
    with pytest.raises(ValueError, match="steps 2 to 4 of 3"):
        program.run(buffers, 1, None, 2, 4)
    for times in (np.zeros(2, np.int64), np.zeros(3)):
        with pytest.raises(ValueError, match="int64 for each step"):
            program.run(buffers, 1, times)
    with pytest.raises(TypeError):
        program.run([*buffers[:4], 5], 1)


def test_threads_share_a_program(engine, rng):
    buffers, found, want = small(rng)
    program = Program([on_threads(step) for step in found], engine)
    failed = []

    def work():
        own = [array.copy() for array in buffers]
        for _ in range(200):
            own[3][...] = 0
            program.run(own, 2)
            if not np.allclose(own[3], want, rtol=1e-6):
                failed.append(own[3])

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failed == []


@pytest.mark.skipif(
    not (os.path.isdir("/proc/self/task") and openmp.library()[0]),
    reason="looks which threads OpenMP starts, where Linux lists them",
)
def test_a_step_of_few_items_ends_no_thread(engine):
    buffers = [
        np.ones((2, 100), np.float32), np.empty(2, np.float32),
        np.ones((8, 100), np.float32), np.empty(8, np.float32),
    ]
    few, many = (
        on_threads(steps.reduce(
            "mean", *(steps.within(n, buffers[n], buffers[n]) for n in (x, x + 1)), [1]))
        for x in (0, 2)
    )
    assert few.record["items"] < 4 < many.record["items"]
    program = Program([few, many], engine)
    program.run(buffers, 4)
    threads = set(os.listdir("/proc/self/task"))
    program.run(buffers, 4)
    assert set(os.listdir("/proc/self/task")) == threads


def test_a_program_runs_after_a_fork():
    """The child has no pool of threads until it starts its own."""
    done = run_python("-c", (
        "import os, sys, numpy as np\n"
        f"sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
        "from test_program import *\n"
        "buffers, found, want = small(np.random.default_rng(0))\n"
        "program = Program([on_threads(step) for step in found], steps_of(usable()[0]))\n"
        "program.run(buffers, 2)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    buffers[3][...] = 0\n"
        "    program.run(buffers, 2)\n"
        "    os._exit(not np.allclose(buffers[3], want, rtol=1e-6))\n"
        "print(os.waitpid(child, 0)[1])\n"
    ))
    assert done.stdout == "0\n", done.stderr


# ---- convolutions --------------------------------------------------------------------------------

LAYERS = {
    "grouped": ((32, 4, 3, 3), {"padding": 1, "groups": 4}, (16, 12, 13)),
    "dense": ((24, 16, 3, 3), {"padding": 1, "stride": 2}, (16, 13, 12)),
    "pointwise": ((40, 24, 1, 1), {}, (24, 9, 10)),
    "one channel each": ((16, 1, 3, 3), {"padding": 1, "groups": 16}, (16, 20, 21)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_a_convolution_is_that_of_the_layer(engine, name, channels_last, rng):
    """Bit by bit: of slices of channels and into them, with a residual, in parts of a program."""
    weight, options, image = LAYERS[name]
    layer = gconv.Conv2d(
        normals(rng, weight, F32), normals(rng, weight[:1], F32), **options, activation="relu")
    x_large = normals(rng, (3, image[0] + 8, *image[1:]), F32)
    if channels_last:
        x_large = np.moveaxis(np.ascontiguousarray(np.moveaxis(x_large, 1, -1)), -1, 1)
    x = x_large[:, 4 : 4 + image[0]]
    want = layer(x)
    y_large = np.full((3, want.shape[1] + 8, *want.shape[2:]), 7, F32)
    if channels_last:
        y_large = np.moveaxis(np.ascontiguousarray(np.moveaxis(y_large, 1, -1)), -1, 1)
    y = y_large[:, 8:]
    residual_large = normals(rng, y_large.shape, F32)
    if channels_last:
        residual_large = np.moveaxis(
            np.ascontiguousarray(np.moveaxis(residual_large, 1, -1)), -1, 1)
    residual = residual_large[:, :-8]
    # A plan of parts of channels-last images is one of images in C order to `run`; ask for it.
    plan = plan_of(layer, x, y_in_order=not channels_last)
    if plan.copied:
        pytest.skip("the plan writes C order")
    common = {"weight": layer.weight, "packed": layer._packed_for(plan), "bias": layer.bias,
              "images": 3}
    x_at, y_at = place(0, x_large, x), place(1, y_large, y)
    alone = steps.convolution(plan, x_at, y_at, **common)
    added = steps.convolution(plan, x_at, y_at, residual=place(2, residual_large, residual),
                              **common)
    buffers, bits = [x_large, y_large, residual_large], []
    for threads in (1, 2, 3):
        program = Program([alone, added], engine)
        y_large[...] = 7
        program.run(buffers, threads, None, 0, 1)
        np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-5)
        first = y.copy()
        program.run(buffers, threads, None, 1)
        np.testing.assert_allclose(
            y, layer(x, residual=np.ascontiguousarray(residual)), rtol=1e-5, atol=1e-5)
        assert (y_large[:, :8] == 7).all()
        bits.append((first.tobytes(), y.tobytes()))
    assert len(set(bits)) == 1


def test_a_residual_may_lie_elsewhere_in_each_image(engine, rng):
    """Or be y itself."""
    layer = gconv.Conv2d(normals(rng, (8, 4, 3, 3), F32), padding=1)
    x, y = normals(rng, (5, 4, 9, 9), F32), np.empty((5, 8, 9, 9), F32)
    large = normals(rng, (5, 11, 9, 9), F32)
    step = convolution(layer, x, y, (place(0, x), place(1, y)), residual=place(2, large,
                                                                              large[:, 2:10]))
    for threads in (1, 2):
        Program([on_threads(step)], engine).run([x, y, large], threads)
        np.testing.assert_allclose(y, layer(x, residual=large[:, 2:10]), rtol=1e-5, atol=1e-5)
    y[...] = large[:, 2:10]
    step = convolution(layer, x, y, (place(0, x), place(1, y)), residual=place(1, y))
    Program([step], engine).run([x, y], 2)
    np.testing.assert_allclose(y, layer(x, residual=large[:, 2:10]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("images", [1, 2, 7])
def test_every_image_may_have_its_own_weights(engine, images, rng):
    """The product of two results: a pointwise convolution whose weights are another buffer."""
    a, b = normals(rng, (images, 33, 20), F32), normals(rng, (images, 20, 50), F32)
    y = np.empty((images, 33, 50), F32)
    # y[m, n] = sum over k of a[m, k] b[k, n]: b is an image of 20 channels, a its weights.
    geometry = gconv.Conv1d(a[0][..., None])._parameters.applied_to(b.shape, 4)
    plan = choose.plan_for(geometry, F32, b.strides, machine(F32), packs=True)
    step = steps.convolution(
        plan, place(0, b), place(2, y), weight=place(1, a), images=images,
        weight_image=a.strides[0] // 4)
    found = []
    for threads in (1, 2, 3):
        y[...] = np.nan
        Program([step], engine).run([b, a, y], threads)
        np.testing.assert_allclose(y, a.astype(np.float64) @ b, rtol=1e-5, atol=1e-5)
        found.append(y.tobytes())
    assert len(set(found)) == 1


def test_results_that_the_plan_cannot_write_have_no_step(rng):
    layer = gconv.Conv2d(normals(rng, (8, 4, 3, 3), F32), padding=1)
    x, y = normals(rng, (2, 4, 9, 9), F32), np.empty((2, 8, 9, 9), F32)
    wide = np.empty((2, 8, 9, 18), F32)
    assert convolution(layer, x, y, (place(0, x), place(1, wide, wide[..., ::2]))) is None
    assert convolution(layer, x, y, (place(0, x), place(1, y)),
                       residual=place(2, wide, wide[..., ::2])) is None
    with pytest.raises(ValueError, match="2 images of x"):
        steps.convolution(plan_of(layer, x), place(0, x), place(1, y[:1]), weight=layer.weight,
                          images=2)
    with pytest.raises(ValueError, match="without weights"):
        steps.convolution(plan_of(layer, x), place(0, x), place(1, y), images=2)
    with pytest.raises(ValueError, match="cannot be packed"):
        steps.convolution(
            plan_of(layer, x), place(0, x), place(1, y), weight=layer.weight,
            packed=layer.weight, images=2, weight_image=1)
