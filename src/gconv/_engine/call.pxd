"""What `program` shares with `call`: plans, the process's threads and their scratch."""

from libc.stdint cimport int64_t

from gconv._engine.plan cimport ConvPlan, run_function, transpose_function

cdef bint serial_here() noexcept nogil
cdef int begin_threads(int threads, int64_t now) noexcept nogil
cdef void end_threads(int threads, int64_t begin, int64_t computed) noexcept nogil
cdef char* thread_scratch(size_t size) noexcept nogil


# Where the images of an array lie: bytes from one to the next, and from a pixel to its neighbour.
cdef struct Place:
    Py_ssize_t image, pixel
    Py_ssize_t begin, end  # the addresses that all elements lie between
    Py_ssize_t extent  # bytes of a pixel's channels, or of an image in C order
    Py_ssize_t span  # bytes of an image, from its first element to its last
    bint in_order


cdef class Plan:
    cdef ConvPlan plan
    cdef run_function function
    cdef transpose_function transpose
    cdef Py_ssize_t flops, serial_flops, weight_offset, itemsize, pixel
    cdef int dimensions
    cdef readonly object layout
    cdef readonly bint copied  # it writes C order, although the result is channels-last
    cdef readonly Py_ssize_t nbytes  # of its tables
    cdef object keep, engine

    cdef int execute(
        self, Py_ssize_t images, const void* x, Py_ssize_t x_image, const void* weight,
        const void* packed, const void* bias, const void* residual, void* y,
        const Place* y_place, void* in_order, Py_ssize_t pixels, int threads) except -1
    cdef int64_t to_channels_last(
        self, Py_ssize_t images, Py_ssize_t pixels, const void* in_order, void* y,
        const Place* y_place, int threads) noexcept nogil
    cdef void place_y(self, ConvPlan* plan, Py_ssize_t y_image, Py_ssize_t pixel) noexcept
