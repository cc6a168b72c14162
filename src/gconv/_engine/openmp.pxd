"""Work for several threads, by the OpenMP runtime that openmp.h finds."""

from libc.stdint cimport int64_t

# Computes one part of some work on a thread of the team.
ctypedef void (*part_function)(void* arguments, Py_ssize_t part, int thread) noexcept nogil

# Computes all parts, consecutive ones on a thread: how long the threads computed altogether.
cdef int64_t in_parallel(
    part_function compute, void* arguments, Py_ssize_t parts, int threads) noexcept nogil

cdef int max_threads() noexcept nogil
cdef int num_procs() noexcept nogil
cdef int level() noexcept nogil
cdef int pause() noexcept nogil
