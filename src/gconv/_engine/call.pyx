"""From NumPy arrays to the engine: plans, scratch, threads and the layers' fast path.

This is the only compiled module that knows NumPy. What it is given has been validated by
`gconv._call.geometry` and `gconv._call.arrays`, except by `ShortCut`, which looks whether arrays are what
a plan was made for and leaves everything else to them.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.contextvars cimport get_value
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

cimport cython
cimport numpy as cnp

import contextvars

from gconv._engine cimport openmp
from gconv._engine cimport plan as names
from gconv._engine.plan cimport ConvPlan, run_function, transpose_function

cnp.import_array()


cdef enum:
    MOST_THREADS = 1024  # the runtime ends the process where it cannot start them all
    SERIAL_COPY = 128 * 1024  # bytes of a result that one thread copies sooner than several


cdef extern from "process.h" nogil:
    int cpu_has_avx2()
    int cpu_has_avx512()
    int watch_forks(int (*pause)() noexcept nogil)
    int child_is_serial
    int prepare_scratch()
    char* get_scratch(size_t size)
    int64_t clock_ns()

cdef extern from "crowd.h" nogil:
    ctypedef struct Crowd:
        int calls
        int64_t seen
        int64_t until
    int begin_call(Crowd* crowd, int threads, int cpus, int64_t now)
    void end_call(Crowd* crowd, int threads, int64_t begin, int64_t end, int64_t computed)

cdef extern from "process.h" nogil:
    Crowd crowd


if watch_forks(openmp.pause) != 0 or prepare_scratch() != 0:
    raise ImportError("gconv: the system refused a fork handler or a thread key")

cdef extern from *:
    """
    #ifdef __clang__
    #define GCONV_COMPILER __VERSION__
    #else
    #define GCONV_COMPILER "GCC " __VERSION__
    #endif
    """
    const char* GCONV_COMPILER

compiler = GCONV_COMPILER.decode()


# What `gconv._plan` makes its enums from.
padding_modes = {
    "ZEROS": names.ZEROS, "REFLECT": names.REFLECT, "REPLICATE": names.REPLICATE,
    "CIRCULAR": names.CIRCULAR,
}
activations = {
    "IDENTITY": names.IDENTITY, "CLAMP": names.CLAMP, "LEAKY_RELU": names.LEAKY_RELU,
    "HARDSIGMOID": names.HARDSIGMOID, "HARDSWISH": names.HARDSWISH, "SIGMOID": names.SIGMOID,
    "TANH": names.TANH, "SILU": names.SILU, "GELU": names.GELU, "GELU_TANH": names.GELU_TANH,
}
item_orders = {
    "CHANNELS_FASTEST": names.CHANNELS_FASTEST, "BANDS_FASTEST": names.BANDS_FASTEST,
    "BANDS_SLOWEST": names.BANDS_SLOWEST,
}
flat = names.FLAT


def cpu_supports(str isa):
    """Whether this CPU can run the engine's modules for an instruction set."""
    if isa == "avx2":
        return bool(cpu_has_avx2())
    if isa == "avx512":
        return bool(cpu_has_avx512())
    return isa == "generic"


# ---- threads ---------------------------------------------------------------------------------
# gconv._call.threads decides; what it decided is kept here, where a call reads it without Python.

most_threads = MOST_THREADS
thread_limit_variable = contextvars.ContextVar("gconv.thread_limit", default=None)
cdef int fixed_threads = 0  # from set_num_threads or GCONV_NUM_THREADS; 0: neither
cdef int cpu_threads = 0  # by affinity and quota; 0: not yet looked up
cdef object look_up_threads = None


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
    return openmp.max_threads()


def fork_lost_threads():
    """Whether this process was forked at a moment when the pool could not be paused."""
    return bool(child_is_serial)


cpdef int default_threads() except -1:
    """The number of threads of a call that does not say."""
    cdef object limit = get_value(thread_limit_variable)
    if limit is not None:
        return limit
    while cpu_threads == 0:  # again, should another thread have changed a setting meanwhile
        look_up_threads()
    if fixed_threads > 0:
        return fixed_threads
    return max(1, min(openmp.max_threads(), cpu_threads))


# ---- crowds: see crowd.h ---------------------------------------------------------------------

def crowds_seen():
    """How often a crowd was seen in this process, and whether calls use one thread now."""
    return crowd.seen, crowd.until > clock_ns()


def calls_now():
    """The number of calls at this moment, of those that may use several threads."""
    return crowd.calls


cdef bint serial_here() noexcept nogil:
    """Whether a call must use one thread: within a parallel region, or in a child whose parent's
    pool could not be paused."""
    return openmp.level() > 0 or child_is_serial


cdef int begin_threads(int threads, int64_t now) noexcept nogil:
    """A call begins that may use so many threads, at least 2: how many it should use."""
    # cpu_threads is 0 where no call has asked yet for its number of threads.
    return begin_call(&crowd, threads, cpu_threads or openmp.num_procs(), now)


cdef void end_threads(int threads, int64_t begin, int64_t computed) noexcept nogil:
    """It ends; its threads computed for so long altogether."""
    end_call(&crowd, threads, begin, clock_ns(), computed)


cdef char* thread_scratch(size_t size) noexcept nogil:
    """The calling thread's scratch of at least so many bytes; NULL where there is no memory."""
    return get_scratch(size)


cdef class CrowdDetector:
    """What crowd.h decides by readings of a clock that are given."""

    cdef Crowd crowd

    def begin(self, int threads, int cpus, int64_t now):
        """A call of so many threads begins: how many it uses."""
        return begin_call(&self.crowd, threads, cpus, now)

    def end(self, int threads, int64_t begin, int64_t end, int64_t computed):
        """It ends: how often a crowd was seen."""
        end_call(&self.crowd, threads, begin, end, computed)
        return self.crowd.seen


# ---- plans -----------------------------------------------------------------------------------

cdef bint find_place(cnp.ndarray array, int channel, bint in_order, Place* place) noexcept:
    """Whether every image is in C order; or channels-last, or some channels of such an array.
    `channel` is the axis of the channels. Axes of one element may have any stride."""
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(array)
    cdef Py_ssize_t size = itemsize, pixels = 1, stride, n
    cdef int axis
    place.pixel = 0
    place.in_order = in_order
    if cnp.PyArray_SIZE(array) == 0:  # strides mean nothing, and C order is taken
        place.pixel = place.extent = itemsize
        place.image = place.span = 0
        place.begin = place.end = <Py_ssize_t>cnp.PyArray_DATA(array)
        return in_order
    for axis in range(cnp.PyArray_NDIM(array) - 1, channel - 1, -1):
        n = cnp.PyArray_DIM(array, axis)
        stride = cnp.PyArray_STRIDE(array, axis)
        if n == 1:
            continue
        if in_order or axis == channel:
            if stride != (size if in_order else itemsize):
                return False
            size *= n
            continue
        if place.pixel == 0:
            if stride <= 0 or stride % pixels != 0:
                return False
            place.pixel = stride // pixels
        if stride != place.pixel * pixels:
            return False
        pixels *= n
    if not in_order:
        if place.pixel == 0:
            place.pixel = size
        if place.pixel < size or place.pixel % itemsize != 0:
            return False
    place.extent = size
    if in_order:
        place.pixel = itemsize
    else:
        size += (pixels - 1) * place.pixel  # of an image
    place.span = size
    n = cnp.PyArray_DIM(array, 0) if channel == 1 else 1
    place.image = cnp.PyArray_STRIDE(array, 0) if n > 1 else 0
    if place.image % itemsize != 0:
        return False
    place.begin = <Py_ssize_t>cnp.PyArray_DATA(array)
    place.end = place.begin + size
    if n > 1:
        place.begin += min(0, (n - 1) * place.image)
        place.end += max(0, (n - 1) * place.image)
    return True


cdef bint share_memory(const Place* a, const Place* b) noexcept:
    """Whether two arrays may share memory; a is in a known order. Slices of one array lie between
    each other: each has its own bytes of every pixel, or of every image in C order."""
    cdef Py_ssize_t period = a.image if a.in_order else a.pixel, distance
    if a.end <= b.begin or b.end <= a.begin:
        return False
    if a.in_order != b.in_order or period <= 0 or period != (b.image if b.in_order else b.pixel):
        return True
    if not a.in_order and (a.image % period != 0 or b.image % period != 0):
        return True
    distance = (b.begin - a.begin) % period
    if distance < 0:
        distance += period
    return distance < a.extent or period - distance < b.extent


def address_of(cnp.ndarray array):
    """Where the elements of an array begin."""
    return <size_t>cnp.PyArray_DATA(array)


def is_image(cnp.ndarray array, bint batched, bint in_order):
    """Whether the images of an array fill a range of memory, in C order or channels-last."""
    cdef Place place
    return (find_place(array, batched, in_order, &place)
            and (in_order or place.pixel == place.extent))


def is_slice(cnp.ndarray array, bint batched, bint in_order):
    """Whether an engine can write an array: its images are in C order or channels-last, or some
    channels of such images."""
    cdef Place place
    return find_place(array, batched, in_order, &place)


cdef Py_ssize_t pixels_of(cnp.ndarray array, int channel) noexcept:
    """Elements of a channel; `channel` is the axis of these."""
    cdef Py_ssize_t pixels = 1
    cdef int axis
    for axis in range(channel + 1, cnp.PyArray_NDIM(array)):
        pixels *= cnp.PyArray_DIM(array, axis)
    return pixels


cdef class Plan:
    """A plan in the engine's terms. Immutable, so any number of threads may use it at once.

    Parameters
    ----------
    record : numpy.ndarray
        The engine's `ConvPlan`, a 0-d array of `gconv._plan.record.PLAN`.
    engine : module
        The engine module to run it on.
    layout : gconv._plan.items.Layout
        What the record was made from.
    keep : sequence of numpy.ndarray
        What the addresses in the record point into: it lives as long as the plan.
    flops, serial_flops : int
        Floating-point operations of an image, and below how many a call runs on one thread.
    dimensions : int
        Spatial dimensions of the arrays.
    weight_offset : int
        Where the first tap lies among weights that are not packed, in elements.
    """

    def __cinit__(self, cnp.ndarray record, engine, layout, *, keep=(), Py_ssize_t flops,
                  Py_ssize_t serial_flops, int dimensions, Py_ssize_t weight_offset=0):
        if cnp.PyArray_NBYTES(record) != sizeof(ConvPlan):
            raise ValueError("gconv: the record is not a ConvPlan")
        memcpy(&self.plan, cnp.PyArray_DATA(record), sizeof(ConvPlan))
        self.engine = engine
        self.function = (<run_function*>PyCapsule_GetPointer(engine.run_capsule, "gconv.run"))[0]
        self.transpose = (<transpose_function*>PyCapsule_GetPointer(
            engine.transpose_capsule, "gconv.transpose"))[0]
        self.keep = tuple(keep)
        self.nbytes = sizeof(ConvPlan) + sum([array.nbytes for array in keep])
        self.flops = flops
        self.serial_flops = serial_flops
        self.dimensions = dimensions
        self.itemsize = engine.itemsize
        self.weight_offset = weight_offset * self.itemsize
        self.layout = layout
        self.copied = layout.copied
        # From a pixel to the next one: all channels of a channels-last array, one element else.
        self.pixel = 1
        if not self.plan.problem.y_in_order:
            self.pixel = self.plan.problem.groups * self.plan.problem.out_channels

    cdef int execute(
        self, Py_ssize_t images, const void* x, Py_ssize_t x_image, const void* weight,
        const void* packed, const void* bias, const void* residual, void* y,
        const Place* y_place, void* in_order, Py_ssize_t pixels, int threads) except -1:
        """Compute y. x_image is the bytes from an image of x to the next; y_place says where those
        of y lie, NULL: behind each other. A plan that writes C order though y is channels-last
        writes in_order, an array of y's size with so many pixels an image, which is copied."""
        cdef char* scratch
        cdef ConvPlan plan = self.plan
        cdef int64_t begin = 0, computed = 0
        cdef bint several
        plan.problem.x_image = x_image // self.itemsize
        if y_place != NULL and in_order == NULL:
            self.place_y(&plan, y_place.image // self.itemsize, y_place.pixel // self.itemsize)
        if self.flops * images < self.serial_flops or serial_here():
            threads = 1
        several = threads > 1
        if several:
            begin = clock_ns()
            threads = begin_threads(threads, begin)
        if packed == NULL:
            weight = <const char*>weight + self.weight_offset
        with nogil:
            scratch = get_scratch(threads * plan.scratch.bytes)
            if scratch != NULL:
                computed = self.function(
                    &plan, images, x, weight, packed, bias, residual,
                    y if in_order == NULL else in_order, threads, scratch)
                if in_order != NULL:
                    computed += self.to_channels_last(
                        images, pixels, in_order, y, y_place, threads)
            if several:
                end_threads(threads, begin, computed)
        if scratch == NULL:
            raise MemoryError(
                f"gconv: cannot allocate {threads * plan.scratch.bytes} bytes of scratch")
        return 0

    cdef int64_t to_channels_last(
        self, Py_ssize_t images, Py_ssize_t pixels, const void* in_order, void* y,
        const Place* y_place, int threads) noexcept nogil:
        """Copy a result in C order to where y lies."""
        cdef Py_ssize_t channels = y_place.extent // self.itemsize
        if images * channels * pixels * self.itemsize < SERIAL_COPY:
            threads = 1
        return self.transpose(
            images, channels, pixels, in_order, y, y_place.image // self.itemsize,
            y_place.pixel // self.itemsize, threads)

    cdef void place_y(self, ConvPlan* plan, Py_ssize_t y_image, Py_ssize_t pixel) noexcept:
        """Write in a copy of the plan where y lies: elements from an image to the next, and from a
        pixel to its neighbour."""
        cdef int axis
        plan.problem.y_image = y_image
        if pixel != self.pixel:
            for axis in range(3):
                plan.problem.y_axis[axis] = plan.problem.y_axis[axis] // self.pixel * pixel

    def run(self, cnp.ndarray x, cnp.ndarray weight, cnp.ndarray packed, cnp.ndarray bias,
            cnp.ndarray y, int threads, cnp.ndarray residual=None, cnp.ndarray result=None):
        """Compute y. All arrays are of the plan's dtype and shapes and have a batch dimension; x
        has the plan's strides within an image; y is in the plan's memory order, or some channels
        of an array in it. packed, bias and residual may be None; the residual lies as y does, and
        may be y in C order. A result, where y is contiguous in C order, is channels-last, or some
        channels of such an array: y is copied to it."""
        cdef Place place
        cdef cnp.ndarray written = y if result is None else result
        if (not find_place(written, 1, self.plan.problem.y_in_order and result is None, &place)
                or (result is not None and not cnp.PyArray_IS_C_CONTIGUOUS(y))):
            raise ValueError("gconv: y is not laid out as the plan writes it")
        self.execute(
            cnp.PyArray_DIM(x, 0), cnp.PyArray_DATA(x), cnp.PyArray_STRIDE(x, 0),
            cnp.PyArray_DATA(weight),
            cnp.PyArray_DATA(packed) if packed is not None else NULL,
            cnp.PyArray_DATA(bias) if bias is not None else NULL,
            cnp.PyArray_DATA(residual) if residual is not None else NULL,
            cnp.PyArray_DATA(written), &place,
            cnp.PyArray_DATA(y) if result is not None else NULL, pixels_of(y, 1), threads)


# ---- the short cut ---------------------------------------------------------------------------

cdef inline bint plain_array(object array, int type_number) noexcept:
    """Whether it is an ndarray (of no subclass) in C order, aligned, in native byte order."""
    return (
        cnp.PyArray_CheckExact(array)
        and cnp.PyArray_TYPE(<cnp.ndarray>array) == type_number
        and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>array)
    )


cdef inline bint plain_elements(
    object array, int type_number, int dimensions, const cnp.npy_intp* shape) noexcept:
    """Whether it is an ndarray (of no subclass) of this shape, aligned, in native byte order."""
    return (
        cnp.PyArray_CheckExact(array)
        and cnp.PyArray_TYPE(<cnp.ndarray>array) == type_number
        and has_shape(<cnp.ndarray>array, dimensions, shape)
        and cnp.PyArray_ISALIGNED(<cnp.ndarray>array)
        and cnp.PyArray_ISNOTSWAPPED(<cnp.ndarray>array)
    )


cdef inline bint plain_place(
    object array, int type_number, int dimensions, const cnp.npy_intp* shape, int channel,
    bint in_order, Place* place) noexcept:
    """Whether it is such an array, and its images lie as `find_place` asks."""
    return (
        plain_elements(array, type_number, dimensions, shape)
        and find_place(<cnp.ndarray>array, channel, in_order, place)
    )


cdef inline bint has_shape(cnp.ndarray array, int dimensions, const cnp.npy_intp* shape) noexcept:
    cdef int axis
    if cnp.PyArray_NDIM(array) != dimensions:
        return False
    for axis in range(dimensions):
        if cnp.PyArray_DIM(array, axis) != shape[axis]:
            return False
    return True


cdef inline bint overlaps(const Place* place, cnp.ndarray array) noexcept:
    """Whether an array shares memory with one that fills a range of it."""
    cdef Py_ssize_t begin = <Py_ssize_t>cnp.PyArray_DATA(array)
    return place.begin < begin + cnp.PyArray_NBYTES(array) and begin < place.end


cdef bint find_extent(cnp.ndarray array, int channel, const cnp.npy_intp* strides, Place* place) noexcept:
    """Whether every image has these strides; the place is then that of no known order, which says
    only between which addresses all elements lie. Axes of one element may have any stride."""
    cdef int axis
    cdef Py_ssize_t reach
    place.pixel = place.extent = place.span = 0
    place.in_order = False
    place.image = 0
    if channel == 1 and cnp.PyArray_DIM(array, 0) > 1:
        place.image = cnp.PyArray_STRIDE(array, 0)
    if place.image % cnp.PyArray_ITEMSIZE(array) != 0 or cnp.PyArray_SIZE(array) == 0:
        return False
    place.begin = <Py_ssize_t>cnp.PyArray_DATA(array)
    place.end = place.begin + cnp.PyArray_ITEMSIZE(array)
    for axis in range(cnp.PyArray_NDIM(array)):
        if (axis >= channel and cnp.PyArray_DIM(array, axis) > 1
                and cnp.PyArray_STRIDE(array, axis) != strides[axis]):
            return False
        reach = (cnp.PyArray_DIM(array, axis) - 1) * cnp.PyArray_STRIDE(array, axis)
        place.begin += min(0, reach)
        place.end += max(0, reach)
    return True


cdef inline bytes shape_of(cnp.ndarray array):
    return PyBytes_FromStringAndSize(
        <char*>cnp.PyArray_DIMS(array), cnp.PyArray_NDIM(array) * sizeof(cnp.npy_intp))


cdef bint is_plain(value, int depth):
    """Whether a parameter is made of ints, strings and tuples (so deep) alone, and so may be
    looked up: (1.0, True) equals (1, 1) and would be taken for it."""
    if type(value) is tuple:
        for entry in <tuple>value:
            if type(entry) is not int and (depth == 0 or not is_plain(entry, depth - 1)):
                return False
        return True
    return type(value) is int or type(value) is str


cdef bint is_plain_activation(value):
    """The same of an activation, whose parameters may be floats."""
    if type(value) is tuple:
        for entry in <tuple>value:
            if type(entry) not in (str, int, float):
                return False
        return True
    return value is None or type(value) is str


# Large arrays of NumPy's begin 16 bytes behind a cache line, and where pixels are whole lines long,
# every vector of a channels-last one then lies across two. The results of layers, which are the
# inputs of others, begin on a line. Measured on Zen 4: layers with such an x and y are 1.1 times as
# fast on average, depthwise ones 1.05 to 1.7 times.
cdef enum:
    CACHE_LINE = 64


cdef cnp.ndarray empty_channels_last(
    int dimensions, const cnp.npy_intp* shape, int channel, int type_number):
    cdef cnp.npy_intp strides[5]
    cdef cnp.npy_intp size = cnp.PyArray_DescrFromType(type_number).itemsize
    cdef cnp.ndarray room, result
    cdef char* begin
    cdef int axis
    strides[channel] = size
    size *= shape[channel]
    for axis in reversed(range(dimensions)):
        if axis != channel:
            strides[axis] = size
            size *= shape[axis]
    size += CACHE_LINE
    room = cnp.PyArray_EMPTY(1, &size, cnp.NPY_UINT8, False)
    begin = <char*>cnp.PyArray_DATA(room)
    begin += -<Py_ssize_t><size_t>begin & (CACHE_LINE - 1)
    result = cnp.PyArray_New(
        cnp.ndarray, dimensions, <cnp.npy_intp*>shape, type_number, strides, begin, 0,
        cnp.NPY_ARRAY_WRITEABLE | cnp.NPY_ARRAY_ALIGNED, <object>NULL)
    cnp.set_array_base(result, room)
    return result


def channels_last_output(tuple shape, cnp.dtype dtype, bint batched):
    """An output array that is channels-last in memory; its elements are not set."""
    cdef cnp.npy_intp extents[5]
    cdef int axis
    for axis in range(len(shape)):
        extents[axis] = shape[axis]
    return empty_channels_last(len(shape), extents, 1 if batched else 0, dtype.num)


def key_of(str name, x, weight, bias, tuple options, activation, setting):
    """What the short cut of a call is kept under: all that its validation and its plan depend
    on. None where an argument is not plainly an array or a parameter."""
    if not (cnp.PyArray_CheckExact(x) and cnp.PyArray_CheckExact(weight)
            and (bias is None or cnp.PyArray_CheckExact(bias))
            and is_plain(options, 2) and is_plain_activation(activation)):
        return None
    return (
        name, cnp.PyArray_TYPE(<cnp.ndarray>x), shape_of(<cnp.ndarray>x),
        None if cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>x) else x.strides,
        shape_of(<cnp.ndarray>weight), None if bias is None else shape_of(<cnp.ndarray>bias),
        options, activation, setting)


# How an image of x lies: channels-last means also some channels of such an image.
cdef enum XOrder:
    C_ORDER
    CHANNELS_LAST
    OTHER


@cython.final
cdef class ShortCut:
    """What a call needs once its like has been validated: for one shape of x, and one way in which
    its images lie.

    Parameters
    ----------
    plan : Plan
    packed : numpy.ndarray or None
        The weights as the plan wants them; None for a function, which packs as it goes.
    x : numpy.ndarray
        An x like those to come; it is not kept.
    y_shape : tuple of int
    """

    cdef Plan plan
    cdef cnp.ndarray packed
    cdef int type_number, dimensions, channel
    cdef cnp.npy_intp x_shape[5]
    cdef cnp.npy_intp x_strides[5]
    cdef cnp.npy_intp y_shape[5]
    cdef XOrder x_order
    cdef Py_ssize_t x_pixel
    cdef bint y_in_order
    cdef Py_ssize_t images

    def __cinit__(self, Plan plan, packed, cnp.ndarray x, tuple y_shape):
        cdef int axis
        cdef Place place
        self.y_in_order = plan.plan.problem.y_in_order and not plan.copied
        self.plan = plan
        self.packed = packed
        self.type_number = cnp.PyArray_TYPE(x)
        self.dimensions = cnp.PyArray_NDIM(x)
        self.channel = self.dimensions - plan.dimensions - 1
        for axis in range(self.dimensions):
            self.x_shape[axis] = cnp.PyArray_DIM(x, axis)
            self.x_strides[axis] = cnp.PyArray_STRIDE(x, axis)
            self.y_shape[axis] = y_shape[axis]
        self.images = self.x_shape[0] if self.channel == 1 else 1
        self.x_order = OTHER
        if find_place(x, self.channel, True, &place):
            self.x_order = C_ORDER
        elif find_place(x, self.channel, False, &place):
            self.x_order = CHANNELS_LAST
            self.x_pixel = place.pixel

    cdef bint is_x(self, x, Place* place) noexcept:
        """Whether it is an x of the kind that this is for, and where it lies."""
        if self.x_order != OTHER:
            return (
                plain_place(x, self.type_number, self.dimensions, self.x_shape, self.channel,
                            self.x_order == C_ORDER, place)
                and (self.x_order == C_ORDER or place.pixel == self.x_pixel)
            )
        return (
            plain_elements(x, self.type_number, self.dimensions, self.x_shape)
            and find_extent(<cnp.ndarray>x, self.channel, self.x_strides, place)
        )

    def replaces(self, ShortCut other):
        """Whether an other short cut is for the same x, so that it need not be kept as well."""
        cdef int axis
        if (self.type_number != other.type_number or self.dimensions != other.dimensions
                or self.channel != other.channel or self.x_order != other.x_order
                or self.x_pixel != other.x_pixel):
            return False
        for axis in range(self.dimensions):
            if self.x_shape[axis] != other.x_shape[axis]:
                return False
            if (self.x_order == OTHER and axis >= self.channel and self.x_shape[axis] > 1
                    and self.x_strides[axis] != other.x_strides[axis]):
                return False
        return True

    @property
    def nbytes(self):
        """Of the plan that it keeps alive."""
        return self.plan.nbytes

    def __call__(self, x, weight, bias, residual, out, num_threads):
        """The result, or NotImplemented where the arguments are not plainly what is expected.

        The shapes of weight and bias are taken to be right.
        """
        return self.attempt(x, weight, bias, residual, out, num_threads)

    cdef object attempt(self, x, weight, bias, residual, out, num_threads):
        """The same, called without Python."""
        cdef cnp.ndarray y, computed = None
        cdef int threads
        cdef Place x_place, y_place, residual_place
        if not (self.is_x(x, &x_place)
                and plain_array(weight, self.type_number)
                and (bias is None or plain_array(bias, self.type_number))
                and (residual is None or (
                    not self.plan.copied
                    and plain_place(residual, self.type_number, self.dimensions, self.y_shape,
                                    self.channel, self.y_in_order, &residual_place)))):
            return NotImplemented
        if num_threads is None:
            threads = default_threads()
        elif type(num_threads) is int and 1 <= num_threads <= MOST_THREADS:
            threads = num_threads
        else:
            return NotImplemented
        if out is None:
            y = self.empty(not self.y_in_order)
            find_place(y, self.channel, self.y_in_order, &y_place)
        elif (
            plain_place(out, self.type_number, self.dimensions, self.y_shape, self.channel,
                        self.y_in_order, &y_place)
            and cnp.PyArray_ISWRITEABLE(<cnp.ndarray>out)
            and (self.images <= 1  # it does not overlap itself
                 or y_place.image >= y_place.span or -y_place.image >= y_place.span)
            and not share_memory(&y_place, &x_place)
            and not overlaps(&y_place, <cnp.ndarray>weight)
            and (bias is None or not overlaps(&y_place, <cnp.ndarray>bias))
        ):
            y = <cnp.ndarray>out
        else:
            return NotImplemented
        if residual is not None and not (
            residual_place.pixel == y_place.pixel and residual_place.image == y_place.image
            and ((self.y_in_order and cnp.PyArray_DATA(<cnp.ndarray>residual) == cnp.PyArray_DATA(y))
                 or not share_memory(&y_place, &residual_place))
        ):
            return NotImplemented
        if self.plan.copied:
            computed = self.empty(channels_last=False)
        self.plan.execute(
            self.images, cnp.PyArray_DATA(<cnp.ndarray>x), x_place.image,
            cnp.PyArray_DATA(<cnp.ndarray>weight),
            cnp.PyArray_DATA(self.packed) if self.packed is not None else NULL,
            cnp.PyArray_DATA(<cnp.ndarray>bias) if bias is not None else NULL,
            cnp.PyArray_DATA(<cnp.ndarray>residual) if residual is not None else NULL,
            cnp.PyArray_DATA(y), &y_place,
            cnp.PyArray_DATA(computed) if computed is not None else NULL,
            pixels_of(computed, self.channel) if computed is not None else 0, threads)
        return y

    cdef cnp.ndarray empty(self, bint channels_last):
        """A new array of the result's shape."""
        if channels_last:
            return empty_channels_last(
                self.dimensions, self.y_shape, self.dimensions - self.plan.dimensions - 1,
                self.type_number)
        return cnp.PyArray_EMPTY(self.dimensions, self.y_shape, self.type_number, False)


# ---- a step of a stream ----------------------------------------------------------------------

# A vector of any instruction set, in bytes: the room that plans may ask for behind a buffer.
cdef enum:
    ROOM = 64


cdef inline void copy_generously(
    char* to, const char* source, Py_ssize_t size, const char* source_end) noexcept nogil:
    """`size` bytes and perhaps up to 63 more; `to` has room for these. Most rows of a state are
    a few samples, for which a call of memcpy takes longer than the copy."""
    if size <= 16 and source + 16 <= source_end:
        memcpy(to, source, 16)
    elif size <= 64 and source + 64 <= source_end:
        memcpy(to, source, 64)
    else:
        memcpy(to, source, size)


@cython.final
cdef class Step:
    """A step of a causal convolution, for chunks of one shape, in C order.

    State and chunk are put behind each other in a buffer, which is convolved without padding;
    what its end holds is the next state.

    Parameters
    ----------
    plan : Plan
        Of the convolution of the buffer, which has room for a vector behind it.
    packed : numpy.ndarray or None
        The weights as the plan wants them.
    chunk_shape, state_shape, y_shape : tuple of int
    dtype : numpy.dtype
    """

    cdef Plan plan
    cdef cnp.ndarray packed
    cdef int type_number, dimensions
    cdef Py_ssize_t itemsize, images, rows
    cdef cnp.npy_intp chunk_shape[3]
    cdef cnp.npy_intp state_shape[3]
    cdef cnp.npy_intp y_shape[3]

    def __cinit__(self, Plan plan, packed, tuple chunk_shape, tuple state_shape, tuple y_shape,
                  cnp.dtype dtype):
        cdef int axis
        self.plan = plan
        self.packed = packed
        self.type_number = dtype.num
        self.itemsize = dtype.itemsize
        self.dimensions = len(chunk_shape)
        for axis in range(self.dimensions):
            self.chunk_shape[axis] = chunk_shape[axis]
            self.state_shape[axis] = state_shape[axis]
            self.y_shape[axis] = y_shape[axis]
        self.images = chunk_shape[0] if len(chunk_shape) == 3 else 1
        self.rows = self.images * chunk_shape[self.dimensions - 2]

    def __call__(self, chunk, state, weight, bias, num_threads):
        """(y, the next state), or NotImplemented where the arguments are not plainly what is
        expected. State may be None: zeros. Weight and bias are taken to be right."""
        cdef cnp.ndarray y, next_state, buffer
        cdef cnp.npy_intp size
        cdef Py_ssize_t past, new, row
        cdef const char* chunk_row
        cdef const char* chunk_end
        cdef const char* state_row = NULL
        cdef const char* state_end = NULL
        cdef const char* buffer_end
        cdef char* buffer_row
        cdef char* next_row
        cdef char* next_end
        cdef int threads
        if not (plain_array(chunk, self.type_number)
                and has_shape(<cnp.ndarray>chunk, self.dimensions, self.chunk_shape)
                and (state is None or (
                    plain_array(state, self.type_number)
                    and has_shape(<cnp.ndarray>state, self.dimensions, self.state_shape)))):
            return NotImplemented
        if num_threads is None:
            threads = default_threads()
        elif type(num_threads) is int and 1 <= num_threads <= MOST_THREADS:
            threads = num_threads
        else:
            return NotImplemented
        past = self.state_shape[self.dimensions - 1] * self.itemsize
        new = self.chunk_shape[self.dimensions - 1] * self.itemsize
        size = self.rows * (past + new) + ROOM
        buffer = cnp.PyArray_EMPTY(1, &size, cnp.NPY_UINT8, False)
        y = cnp.PyArray_EMPTY(self.dimensions, self.y_shape, self.type_number, False)
        next_state = cnp.PyArray_EMPTY(
            self.dimensions, self.state_shape, self.type_number, False)
        chunk_row = <const char*>cnp.PyArray_DATA(<cnp.ndarray>chunk)
        chunk_end = chunk_row + self.rows * new
        if state is not None:
            state_row = <const char*>cnp.PyArray_DATA(<cnp.ndarray>state)
            state_end = state_row + self.rows * past
        buffer_row = <char*>cnp.PyArray_DATA(buffer)
        next_row = <char*>cnp.PyArray_DATA(next_state)
        next_end = next_row + self.rows * past
        with nogil:
            # What a copy writes beyond its end is written again after it.
            for row in range(self.rows):
                if state_row != NULL:
                    copy_generously(buffer_row, state_row, past, state_end)
                    state_row += past
                else:
                    memset(buffer_row, 0, past)
                copy_generously(buffer_row + past, chunk_row, new, chunk_end)
                chunk_row += new
                buffer_row += past + new
            memset(buffer_row, 0, ROOM)
            buffer_row -= self.rows * (past + new)
            buffer_end = buffer_row + size
            for row in range(self.rows):
                buffer_row += new
                if next_row + 64 <= next_end:
                    copy_generously(next_row, buffer_row, past, buffer_end)
                else:
                    memcpy(next_row, buffer_row, past)
                buffer_row += past
                next_row += past
        self.plan.execute(
            self.images, cnp.PyArray_DATA(buffer), (past + new) * self.chunk_shape[self.dimensions - 2],
            cnp.PyArray_DATA(<cnp.ndarray>weight),
            cnp.PyArray_DATA(self.packed) if self.packed is not None else NULL,
            cnp.PyArray_DATA(<cnp.ndarray>bias) if bias is not None else NULL, NULL,
            cnp.PyArray_DATA(y), NULL, NULL, 0, threads)
        return y, next_state


cdef class LayerBase:
    """The fields of a layer and its call: the short cuts first, `_call` for everything else.

    The short cuts are those of the last shapes, newest first, in one tuple that is replaced whole,
    so that threads may share a layer.
    """

    cdef public object weight
    cdef public object bias
    cdef public tuple _short_cuts

    def __call__(self, x, *, residual=None, out=None, num_threads=None):
        cdef object short_cut, result
        cdef tuple short_cuts
        with cython.critical_section(self):
            short_cuts = self._short_cuts
        if short_cuts is not None:
            for short_cut in short_cuts:
                result = (<ShortCut>short_cut).attempt(
                    x, self.weight, self.bias, residual, out, num_threads)
                if result is not NotImplemented:
                    return result
        return self._call(x, residual, out, num_threads)
