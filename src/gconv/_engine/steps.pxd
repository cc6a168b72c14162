"""Steps as the engine sees them: what a program runs one after the other.

`gconv._steps.record` has the same fields as NumPy records, in the same order. What one kind of step
alone reads stands in that kind's own record, whose struct is beside its function.
Steps and pitches count elements, if nothing else is said. A step is read-only once it is made.
"""

from libc.stdint cimport int64_t


cdef enum:
    MOST_PLACES = 6  # operands of a step
    MOST_AXES = 6  # that a step walks along
    MOST_OPERANDS = 4  # of a step that walks along axes
    FIXED = -1  # the buffer of arrays that do not move: their offsets are addresses
    CHUNK = 1024  # elements that elementwise steps compute at once
    REDUCED_COLUMNS = 64
    SOFTMAX_COLUMNS = 64
    ROOM = 64  # elements behind a row in scratch that vectors may reach


cdef enum StepKind:
    CONVOLUTION
    ELEMENTWISE
    COPY
    POOL
    REDUCE
    SOFTMAX
    LAYER_NORM
    RESIZE
    KINDS  # how many there are


cdef enum Function:
    F_IDENTITY
    F_NEGATIVE
    F_ABSOLUTE
    F_RECIPROCAL
    F_SQRT
    F_EXP
    F_LOG
    F_SQUARE
    F_ERF
    F_ADD
    F_SUBTRACT
    F_MULTIPLY
    F_DIVIDE
    F_MAXIMUM
    F_MINIMUM
    F_POWER
    F_MULTIPLY_ADD


cdef enum Reduction:
    SUM
    MEAN
    MAX
    MIN


cdef enum CopyMode:
    RUNS
    STRIDED
    TRANSPOSED


cdef struct StepPlace:
    Py_ssize_t buffer, offset  # bytes


cdef struct StepPlan:
    int kind  # a StepKind
    Py_ssize_t items  # what threads share out
    Py_ssize_t work  # one thread does it in the time in which it copies so many bytes
    Py_ssize_t scratch  # bytes for each thread
    StepPlace place[MOST_PLACES]
    const void* own  # the kind's own record


# Axes that several operands share, the last one fastest.
cdef struct StepAxes:
    Py_ssize_t size[MOST_AXES]
    Py_ssize_t step[MOST_OPERANDS][MOST_AXES]


# What a module of steps offers: runs a step on arrays at these addresses (NULL: not there), with
# scratch for each thread. Returns for how many nanoseconds the threads computed, altogether; 0 for
# one thread, which is not timed.
ctypedef int64_t (*step_function)(
    const StepPlan* step, char* const* at, int threads, char* scratch) noexcept nogil
