"""Programs: convolutions and own steps one after the other, in one call without the GIL.

Nothing is checked here: the builders in `gconv._steps` have compared the operands' shapes with each
other, and whoever lays out the buffers sees to it that the operands lie in them.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t
from libc.string cimport memcpy

cimport cython
cimport numpy as cnp

from gconv._engine cimport steps as names
from gconv._engine.call cimport (
    Plan, begin_threads, end_threads, serial_here, thread_scratch)
from gconv._engine.openmp cimport in_parallel
from gconv._engine.plan cimport ConvPlan, TRANSPOSED_ROWS, run_function
from gconv._engine.steps cimport (
    CHUNK, CONVOLUTION, FIXED, MOST_AXES, MOST_OPERANDS, MOST_PLACES, REDUCED_COLUMNS, ROOM,
    SOFTMAX_COLUMNS, StepPlan, step_function)

cnp.import_array()


cdef extern from "system.h" nogil:
    int64_t clock_ns()


# What `gconv._steps` makes its enums from.
kinds = {
    "CONVOLUTION": names.CONVOLUTION, "ELEMENTWISE": names.ELEMENTWISE, "COPY": names.COPY,
    "POOL": names.POOL, "REDUCE": names.REDUCE, "SOFTMAX": names.SOFTMAX,
    "LAYER_NORM": names.LAYER_NORM, "RESIZE": names.RESIZE,
}
functions = {
    "IDENTITY": names.F_IDENTITY, "NEGATIVE": names.F_NEGATIVE, "ABSOLUTE": names.F_ABSOLUTE,
    "RECIPROCAL": names.F_RECIPROCAL, "SQRT": names.F_SQRT, "EXP": names.F_EXP,
    "LOG": names.F_LOG, "SQUARE": names.F_SQUARE, "ERF": names.F_ERF, "ADD": names.F_ADD,
    "SUBTRACT": names.F_SUBTRACT, "MULTIPLY": names.F_MULTIPLY, "DIVIDE": names.F_DIVIDE,
    "MAXIMUM": names.F_MAXIMUM, "MINIMUM": names.F_MINIMUM, "POWER": names.F_POWER,
    "MULTIPLY_ADD": names.F_MULTIPLY_ADD,
}
reductions = {"SUM": names.SUM, "MEAN": names.MEAN, "MAX": names.MAX, "MIN": names.MIN}
copy_modes = {"RUNS": names.RUNS, "STRIDED": names.STRIDED, "TRANSPOSED": names.TRANSPOSED}
most_places = MOST_PLACES
most_axes = MOST_AXES
most_operands = MOST_OPERANDS
chunk = CHUNK
transposed_rows = TRANSPOSED_ROWS
reduced_columns = REDUCED_COLUMNS
softmax_columns = SOFTMAX_COLUMNS
room = ROOM
vector_bytes = VECTOR_BYTES


cdef enum:
    # Below this a step runs on one thread, and a convolution below a fourth of what its plan says
    # for one that is called alone: here the others wait awake, and they hold some of x, which one
    # thread would have to fetch from their caches. Measured on Zen 4, two threads: MobileNetV3
    # is 1.12 times as fast as with 512 KiB and the plan's own, GhostNet 1.03 to 1.16, MobileNetV2
    # 1.04 to 1.06.
    SERIAL_WORK = 96 * 1024
    SERIAL_PART = 4
    FEW_BUFFERS = 32
    VECTOR_BYTES = 64  # of any instruction set, at most


# What a step of a convolution has besides its plan.
cdef struct ConvolutionPlan:
    Py_ssize_t images
    Py_ssize_t x_image, y_image, weight_image, residual_image  # from an image to the next
    Py_ssize_t pixel  # from a pixel of y to the next one; 0: as the plan says
    bint by_image  # the images of weights, or of the residual, do not lie as those of y do

struct_sizes = {"STEP": sizeof(StepPlan), "CONVOLUTION": sizeof(ConvolutionPlan)}


# A step that is ready to run.
cdef struct Ready:
    StepPlan step
    step_function function  # of an own step
    bint serial  # too little work for several threads
    run_function convolve
    ConvolutionPlan convolution
    ConvPlan* plan  # of a convolution, with the strides of its images
    Py_ssize_t weight_offset  # bytes, of weights that are not packed


# A convolution whose threads compute whole images, as each of them sees it.
cdef struct ImagesCall:
    const Ready* ready
    char* const* at
    char* scratch


cdef void convolve_one_image(void* arguments, Py_ssize_t image, int thread) noexcept nogil:
    cdef const ImagesCall* c = <const ImagesCall*>arguments
    convolve_image(c.ready, c.at, image, 1, c.scratch + thread * c.ready.plan.scratch.bytes)


cdef int64_t convolve_images(const Ready* r, char* const* at, int threads, char* scratch
                             ) noexcept nogil:
    """A convolution whose images have weights or a residual of their own, image by image."""
    cdef const ConvolutionPlan* c = &r.convolution
    cdef Py_ssize_t i
    cdef int64_t computed = 0
    cdef ImagesCall call
    if threads > 1 and c.images >= threads:
        call = ImagesCall(r, at, scratch)
        return in_parallel(convolve_one_image, &call, c.images, threads)
    for i in range(c.images):
        computed += convolve_image(r, at, i, threads, scratch)
    return computed


cdef inline int64_t convolve_image(
    const Ready* r, char* const* at, Py_ssize_t i, int threads, char* scratch) noexcept nogil:
    cdef const ConvolutionPlan* c = &r.convolution
    cdef Py_ssize_t size = sizeof(float)
    return r.convolve(
        r.plan, 1, at[0] + i * c.x_image * size,
        at[1] + r.weight_offset + i * c.weight_image * size, at[2], at[3],
        at[4] + i * c.residual_image * size if at[4] != NULL else NULL,
        at[5] + i * c.y_image * size, threads, scratch)


cdef int run_ready(const Ready* r, char* const* buffers, int threads) noexcept nogil:
    """0, or -1 where there is no memory for scratch."""
    cdef char* at[MOST_PLACES]
    cdef char* scratch = NULL
    cdef Py_ssize_t place, buffer, bytes
    cdef int64_t begin = 0, computed = 0
    cdef bint several
    for place in range(MOST_PLACES):
        buffer = r.step.place[place].buffer
        if buffer >= 0:
            at[place] = buffers[buffer] + r.step.place[place].offset
        else:
            at[place] = <char*>r.step.place[place].offset if buffer == FIXED else NULL
    several = threads > 1 and not r.serial
    if several:
        begin = clock_ns()
        threads = begin_threads(threads, begin)
    else:
        threads = 1
    bytes = r.plan.scratch.bytes if r.plan != NULL else r.step.scratch
    if bytes > 0:
        scratch = thread_scratch(threads * bytes)
    if bytes == 0 or scratch != NULL:
        if r.plan == NULL:
            computed = r.function(&r.step, at, threads, scratch)
        elif r.convolution.by_image:
            computed = convolve_images(r, at, threads, scratch)
        else:
            computed = r.convolve(
                r.plan, r.convolution.images, at[0], at[1] + r.weight_offset, at[2], at[3], at[4],
                at[5], threads, scratch)
    if several:
        end_threads(threads, begin, computed)
    return 0 if bytes == 0 or scratch != NULL else -1


@cython.final
cdef class Program:
    """Steps that run one after the other. Immutable, so any number of threads may run it at once,
    each with buffers of its own.

    Parameters
    ----------
    steps : sequence of gconv._steps.Step
    engine : module
        Of steps, for an instruction set.
    """

    cdef Ready* ready
    cdef Py_ssize_t count
    cdef Py_ssize_t most_buffers
    cdef object keep, capsule
    cdef readonly Py_ssize_t nbytes  # of records and tables; constants are the caller's

    def __cinit__(self, steps, engine):
        cdef Ready* r
        cdef cnp.ndarray record
        cdef step_function function
        cdef Plan plan
        cdef Py_ssize_t number, place
        self.count = 0
        self.most_buffers = 0
        self.ready = <Ready*>PyMem_Malloc(max(1, len(steps)) * sizeof(Ready))
        if self.ready == NULL:
            raise MemoryError("gconv: no memory for a program")
        self.capsule = engine.run_capsule
        self.keep = tuple(steps)
        function = (<step_function*>PyCapsule_GetPointer(self.capsule, "gconv.run_step"))[0]
        self.nbytes = len(steps) * sizeof(Ready)
        for step in steps:
            r = &self.ready[self.count]
            record = step.record
            if cnp.PyArray_NBYTES(record) != sizeof(StepPlan):
                raise ValueError("gconv: the record is not a StepPlan")
            memcpy(&r.step, cnp.PyArray_DATA(record), sizeof(StepPlan))
            r.function = function
            r.plan = NULL
            r.convolve = NULL
            r.serial = r.step.work < SERIAL_WORK or r.step.items < 2
            self.nbytes += step.own_bytes
            for place in range(MOST_PLACES):
                self.most_buffers = max(self.most_buffers, r.step.place[place].buffer + 1)
            if r.step.kind == CONVOLUTION:
                plan = step.plan
                r.plan = <ConvPlan*>PyMem_Malloc(sizeof(ConvPlan))
                if r.plan == NULL:
                    raise MemoryError("gconv: no memory for a program")
                self.nbytes += sizeof(ConvPlan)
                memcpy(&r.convolution, r.step.own, sizeof(ConvolutionPlan))
                r.plan[0] = plan.plan
                r.convolve = plan.function
                r.plan.problem.x_image = r.convolution.x_image
                plan.place_y(r.plan, r.convolution.y_image, r.convolution.pixel or plan.pixel)
                r.weight_offset = 0 if r.step.place[2].buffer == FIXED else plan.weight_offset
                r.serial = (SERIAL_PART * plan.flops * r.convolution.images
                            < plan.serial_flops)
            self.count += 1

    def __dealloc__(self):
        cdef Py_ssize_t number
        for number in range(self.count):
            PyMem_Free(self.ready[number].plan)
        PyMem_Free(self.ready)

    def __len__(self):
        return self.count

    def run(self, buffers, int threads, cnp.ndarray times=None, Py_ssize_t first=0, last=None):
        """Run steps without the GIL.

        Parameters
        ----------
        buffers : sequence of numpy.ndarray
            Contiguous, one for each number of a buffer. Nobody else may write to one that the
            steps use, or read one that they write.
        threads : int
            At most; the engine uses fewer for little work, and in a crowd.
        times : numpy.ndarray, optional
            An int64 for each step of the program: gets the nanoseconds that those which run took.
        first, last : int, optional
            The steps from the first up to the last run; all if not given.

        Raises
        ------
        MemoryError
            Where there is no memory for scratch.
        ValueError
            Where there are fewer buffers than the steps name, or fewer times than steps.
        """
        cdef char* few[FEW_BUFFERS]
        cdef char** places = few
        cdef Py_ssize_t number, end = self.count if last is None else last
        cdef int64_t* times_at = NULL
        cdef int64_t begin, now
        cdef int failed = 0
        if len(buffers) < self.most_buffers:
            raise ValueError(
                f"gconv: {len(buffers)} buffers for a program that has {self.most_buffers}")
        if not 0 <= first <= end <= self.count:
            raise ValueError(f"gconv: steps {first} to {end} of {self.count}")
        if times is not None:
            if (cnp.PyArray_TYPE(times) != cnp.NPY_INT64 or cnp.PyArray_SIZE(times) < self.count
                    or not cnp.PyArray_ISCARRAY(times)):
                raise ValueError("gconv: times is not an array of an int64 for each step")
            times_at = <int64_t*>cnp.PyArray_DATA(times)
        if self.most_buffers > FEW_BUFFERS:
            places = <char**>PyMem_Malloc(self.most_buffers * sizeof(char*))
            if places == NULL:
                raise MemoryError("gconv: no memory for a program's buffers")
        try:
            for number in range(self.most_buffers):
                places[number] = <char*>cnp.PyArray_DATA(<cnp.ndarray?>buffers[number])
            with nogil:
                if serial_here():
                    threads = 1
                begin = clock_ns() if times_at != NULL else 0
                for number in range(first, end):
                    failed = run_ready(&self.ready[number], places, threads)
                    if failed != 0:
                        break
                    if times_at != NULL:
                        now = clock_ns()
                        times_at[number] = now - begin
                        begin = now
        finally:
            if places != few:
                PyMem_Free(places)
        if failed != 0:
            raise MemoryError("gconv: cannot allocate scratch for a program")
