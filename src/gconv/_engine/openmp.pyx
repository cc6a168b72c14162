"""The OpenMP runtime of this process: found when gconv is imported, see openmp.h."""

from libc.stdint cimport int64_t

import os


cdef extern from "openmp.h" nogil:
    ctypedef struct Runtime:
        int (*max_threads)() noexcept nogil
        int (*num_procs)() noexcept nogil
        int (*level)() noexcept nogil
        const char* file
        const char* origin
    const Runtime runtime
    const char* BUNDLED_FILE
    bint choose_runtime(const char* forced, const char* bundled)
    int pause_runtime()
    int64_t share_parts(part_function compute, void* arguments, Py_ssize_t parts, int threads)


VARIABLE = "GCONV_OPENMP"


def choose():
    """Find the runtime that serves this process; once, at import."""
    folder = os.path.dirname(__file__)
    forced = os.environ.get(VARIABLE, "")
    if forced not in ("", "system", "bundled") and not os.path.isabs(forced):
        raise ImportError(
            f"gconv: {VARIABLE} must be 'system', 'bundled' or the whole path of a library, "
            f"got {forced!r}")
    if not choose_runtime(
            os.fsencode(forced), os.fsencode(os.path.join(folder, BUNDLED_FILE.decode()))):
        raise ImportError(
            f"gconv: {VARIABLE}={forced}: that OpenMP runtime cannot be loaded, or is older than "
            "GCC 9's")


choose()


def library():
    """The runtime's file, "" where there is none, and where it comes from in words."""
    return os.fsdecode(runtime.file), runtime.origin.decode()


cdef int64_t in_parallel(
        part_function compute, void* arguments, Py_ssize_t parts, int threads) noexcept nogil:
    return share_parts(compute, arguments, parts, threads)


cdef int max_threads() noexcept nogil:
    """The runtime's own default: OMP_NUM_THREADS, threadpoolctl, a library that shares it."""
    return runtime.max_threads()


cdef int num_procs() noexcept nogil:
    """The CPUs that the process may run on."""
    return runtime.num_procs()


cdef int level() noexcept nogil:
    """How many parallel regions the calling thread is in."""
    return runtime.level()


cdef int pause() noexcept nogil:
    """End the calling thread's pool, before a fork: 0 where the child can compute in parallel."""
    return pause_runtime()
