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
cdef int all_cpus = 1


def choose():
    """Find the runtime that serves this process; at import, before any call.

    Raises
    ------
    ValueError
        Where GCONV_OPENMP names a runtime that cannot be used.
    """
    global all_cpus
    copy = os.path.join(os.path.dirname(__file__), BUNDLED_FILE.decode())
    forced = os.environ.get(VARIABLE, "")
    if forced not in ("", "system", "bundled") and not os.path.isabs(forced):
        raise ValueError(
            f"gconv: {VARIABLE} must be system, bundled or the whole path of a library, "
            f"got {forced!r}")
    if not choose_runtime(os.fsencode(forced), os.fsencode(copy)):
        raise ValueError(
            f"gconv: {VARIABLE}={forced!r} cannot be loaded, or is no OpenMP runtime like that of "
            "GCC 9 or later")
    all_cpus = runtime.num_procs()


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
    """The CPUs that the process might run on when gconv was imported."""
    return all_cpus


cdef int level() noexcept nogil:
    """How many parallel regions the calling thread is in."""
    return runtime.level()


cdef int pause() noexcept nogil:
    """End the calling thread's pool, before a fork: 0 where the child can compute in parallel."""
    return pause_runtime()
