# Own steps: what a model does between its convolutions, at the speed of memory.
#
# Every extension module of steps (one for each instruction set) is this text, in float32. A step is
# made of items, which threads share out: consecutive ones each. An item computes the same bits
# whoever computes it, and with whatever neighbours.
#
#     walk.pxi         along axes, and rows whose ends are less than a vector
#     elementwise.pxi  functions of elements
#     copying.pxi      copies and transpositions
#     pooling.pxi      windows
#     reducing.pxi     sums and extremes over axes
#     normalising.pxi  softmax and layer norm
#     resizing.pxi     resizing by tables
#
# To add a step: see docs/design.md.

from cpython.pycapsule cimport PyCapsule_New
from libc.math cimport INFINITY, erff, logf, powf, sqrt
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from gconv._engine.openmp cimport in_parallel
from gconv._engine.plan cimport (
    Activation, CLAMP, ConvPlan, GELU, GELU_TANH, HARDSIGMOID, HARDSWISH, IDENTITY, LEAKY_RELU,
    SIGMOID, SILU, TANH, TRANSPOSED_ROWS)
from gconv._engine.steps cimport (
    CHUNK, COPY, CopyMode, ELEMENTWISE, F_ABSOLUTE, F_ADD, F_DIVIDE, F_ERF, F_EXP, F_IDENTITY,
    F_LOG, F_MAXIMUM, F_MINIMUM, F_MULTIPLY, F_MULTIPLY_ADD, F_NEGATIVE, F_POWER, F_RECIPROCAL,
    F_SQRT, F_SQUARE, F_SUBTRACT, Function, KINDS, LAYER_NORM, MAX, MEAN, MIN, MOST_AXES,
    MOST_OPERANDS, POOL, REDUCE, REDUCED_COLUMNS, RESIZE, RUNS, Reduction, SOFTMAX,
    SOFTMAX_COLUMNS, STRIDED, SUM, StepAxes, StepPlan, TRANSPOSED, step_function)


# What a kind of step does: its items from the first up to the last, on one thread.
ctypedef void (*items_function)(
    const void* own, char* const* at, Py_ssize_t first, Py_ssize_t last, char* scratch
) noexcept nogil

cdef items_function ITEMS[KINDS]

# Bytes of the structs that `gconv._steps` has as NumPy records.
struct_sizes = {"AXES": sizeof(StepAxes)}


include "vectors.pxi"
include "epilogue.pxi"
include "transposing.pxi"
include "steps/walk.pxi"
include "steps/elementwise.pxi"
include "steps/copying.pxi"
include "steps/pooling.pxi"
include "steps/reducing.pxi"
include "steps/normalising.pxi"
include "steps/resizing.pxi"


# A step that is computed, as each of its threads sees it.
cdef struct StepCall:
    const StepPlan* step
    items_function compute
    char* const* at
    int shares
    char* scratch


cdef void run_step_share(void* arguments, Py_ssize_t share, int thread) noexcept nogil:
    cdef const StepCall* c = <const StepCall*>arguments
    c.compute(c.step.own, c.at, share * c.step.items // c.shares,
              (share + 1) * c.step.items // c.shares, c.scratch + thread * c.step.scratch)


cdef int64_t run_step(
    const StepPlan* step, char* const* at, int threads, char* scratch) noexcept nogil:
    cdef items_function compute = ITEMS[step.kind]
    cdef Py_ssize_t items = step.items
    cdef int shares = <int>min(<Py_ssize_t>threads, items)
    cdef StepCall call
    if items == 0:
        return 0
    if shares == 1:
        compute(step.own, at, 0, items, scratch)
        return 0
    call = StepCall(step, compute, at, shares, scratch)
    # All threads, though some may have no share: GCC's runtime ends those that a smaller number
    # leaves over, and starts others for the next step.
    return in_parallel(run_step_share, &call, shares, threads)


cdef step_function RUN_STEP = run_step
run_capsule = PyCapsule_New(&RUN_STEP, "gconv.run_step", NULL)
