"""From NumPy arrays to the engine: plans, scratch, threads and the layers' fast path.

This is the only compiled module that knows NumPy. What it is given has been validated by
`gconv._geometry` and `gconv._arrays`, except in `LayerBase.__call__`, which takes its short cut
only where the arrays are what the last plan was made for.
"""

from cpython.contextvars cimport PyContextVar_Get
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetPointer

cimport numpy as cnp

import contextvars

from gconv._engine.plan cimport ConvPlan, Family, run_function

cnp.import_array()


cdef extern from "process.h" nogil:
    int OPENMP_VERSION
    int omp_get_max_threads()
    int omp_get_level()
    int cpu_has_avx2()
    int cpu_has_avx512()
    const char* openmp_library()
    int watch_forks()
    int child_is_serial
    int prepare_scratch()
    char* get_scratch(size_t size)


if watch_forks() != 0 or prepare_scratch() != 0:
    raise ImportError("gconv: the system refused a fork handler or a thread key")

cdef extern from *:
    """
    #define COMPILER __VERSION__
    """
    const char* COMPILER

compiler = COMPILER.decode()
openmp_version = OPENMP_VERSION
openmp_runtime = openmp_library().decode()


def cpu_supports(str isa):
    """Whether this CPU can run the engine's modules for an instruction set."""
    if isa == "avx2":
        return bool(cpu_has_avx2())
    if isa == "avx512":
        return bool(cpu_has_avx512())
    return isa == "generic"


# ---- threads ---------------------------------------------------------------------------------
# gconv._threads decides; what it decided is kept here, where a call reads it without Python.

thread_limit_variable = contextvars.ContextVar("gconv.thread_limit", default=None)
cdef int fixed_threads = 0  # from set_num_threads or GCONV_NUM_THREADS; 0: neither
cdef int cpu_threads = 0  # by affinity and quota; 0: not yet looked up
cdef object look_up_threads = None
# Below so many floating-point operations a second thread costs more than it brings:
# waking one takes about 2 us hot and 20 us after a rest (benchmarks/results).
cdef Py_ssize_t SERIAL_FLOPS = 400_000


def on_threads_unknown(function):
    """Register the function that looks the settings up and passes them to `keep_threads`."""
    global look_up_threads
    look_up_threads = function


def keep_threads(int fixed, int cpus):
    """Keep what the resolver found; cpus = 0 makes the next call look it up again."""
    global fixed_threads, cpu_threads
    fixed_threads = fixed
    cpu_threads = cpus


def runtime_threads():
    """The runtime's own default (OMP_NUM_THREADS, threadpoolctl, a library that shares it)."""
    return omp_get_max_threads()


def fork_lost_threads():
    """Whether this process was forked at a moment when the pool could not be paused."""
    return bool(child_is_serial)


cpdef int default_threads() except -1:
    """The number of threads of a call that does not say."""
    cdef PyObject* limit = NULL
    cdef object value
    PyContextVar_Get(thread_limit_variable, NULL, &limit)
    if limit != NULL:
        value = <object>limit
        if value is not None:
            return value
    if cpu_threads == 0:
        look_up_threads()
    if fixed_threads > 0:
        return fixed_threads
    return max(1, min(omp_get_max_threads(), cpu_threads))


# ---- plans -----------------------------------------------------------------------------------

cdef class Plan:
    """A plan in the engine's terms. Immutable, so any number of threads may use it at once.

    Parameters
    ----------
    spec : gconv._plan.Spec
        Every field of the engine's `ConvPlan`, by its name.
    engine : module
        The engine module to run it on.
    """

    cdef ConvPlan plan
    cdef run_function function
    cdef Py_ssize_t flops
    cdef readonly object spec
    cdef object x_taps, w_taps, capsule
    cdef readonly tuple x_shape, y_shape
    cdef cnp.npy_intp x_dims[5]
    cdef cnp.npy_intp y_dims[5]
    cdef readonly int type_number

    def __cinit__(self, spec, engine):
        cdef int axis
        cdef ConvPlan* p = &self.plan
        self.spec = spec
        self.capsule = engine.run_capsule
        self.function = (<run_function*>PyCapsule_GetPointer(self.capsule, "gconv.run"))[0]
        p.groups = spec.groups
        p.in_channels = spec.in_channels
        p.out_channels = spec.out_channels
        for axis in range(3):
            p.in_size[axis] = spec.in_size[axis]
            p.out_size[axis] = spec.out_size[axis]
            p.kernel[axis] = spec.kernel[axis]
            p.stride[axis] = spec.stride[axis]
            p.dilation[axis] = spec.dilation[axis]
            p.padding[axis] = spec.padding[axis]
            p.x_axis[axis] = spec.x_axis[axis]
            p.y_axis[axis] = spec.y_axis[axis]
            p.band[axis] = spec.band[axis]
            p.bands[axis] = spec.bands[axis]
        p.x_image = spec.x_image
        p.x_channel = spec.x_channel
        p.y_image = spec.y_image
        p.y_channel = spec.y_channel
        p.items = spec.items
        p.group_block = spec.group_block
        p.group_blocks = spec.group_blocks
        p.channel_block = spec.channel_block
        p.channel_blocks = spec.channel_blocks
        p.family = <Family><int>spec.family
        p.tile_rows = spec.tile_rows
        p.tile_vectors = spec.tile_vectors
        p.in_place = spec.in_place
        p.phases = spec.phases
        p.phase_step = spec.phase_step
        p.pixel_step = spec.pixel_step
        p.panel_channels = spec.panel_channels
        p.panel_channel = spec.panel_channel
        p.panel_plane = spec.panel_plane
        p.panel_row = spec.panel_row
        p.panel_phase = spec.panel_phase
        p.in_block = spec.in_block
        self.x_taps = spec.x_taps
        self.w_taps = spec.w_taps
        p.x_taps = <const Py_ssize_t*>cnp.PyArray_DATA(self.x_taps)
        p.w_taps = <const Py_ssize_t*>cnp.PyArray_DATA(self.w_taps)
        p.accumulators_at = spec.accumulators_at
        p.weights_at = spec.weights_at
        p.scratch_bytes = spec.scratch_bytes
        self.flops = spec.flops

    cdef int execute(
        self, Py_ssize_t images, const void* x, const void* weight, const void* packed,
        const void* bias, void* y, int threads) except -1:
        cdef char* scratch
        if self.flops * images < SERIAL_FLOPS or omp_get_level() > 0 or child_is_serial:
            threads = 1
        with nogil:
            scratch = get_scratch(threads * self.plan.scratch_bytes)
            if scratch != NULL:
                self.function(&self.plan, images, x, weight, packed, bias, y, threads, scratch)
        if scratch == NULL:
            raise MemoryError(
                f"gconv: cannot allocate {threads * self.plan.scratch_bytes} bytes of scratch")
        return 0

    def run(self, cnp.ndarray x, cnp.ndarray weight, cnp.ndarray packed, cnp.ndarray bias,
            cnp.ndarray y, int threads):
        """Compute y. All arrays are of the plan's dtype, strides and shapes; packed and bias
        may be None."""
        self.execute(
            cnp.PyArray_DIM(x, 0), cnp.PyArray_DATA(x), cnp.PyArray_DATA(weight),
            cnp.PyArray_DATA(packed) if packed is not None else NULL,
            cnp.PyArray_DATA(bias) if bias is not None else NULL, cnp.PyArray_DATA(y), threads)
