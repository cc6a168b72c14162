/* What the modules need of OpenMP, the stand-ins for a build without it, and the clock. */
#ifndef GCONV_RUNTIME_H
#define GCONV_RUNTIME_H

#include <stdint.h>
#include <time.h>

#ifdef _OPENMP
#include <omp.h>
#define OPENMP_VERSION _OPENMP
#else
#define OPENMP_VERSION 0
static inline int omp_get_thread_num(void) { return 0; }
static inline int omp_get_max_threads(void) { return 1; }
static inline int omp_get_num_procs(void) { return 1; }
static inline int omp_get_level(void) { return 0; }
#endif

static inline int64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

#endif
