/* What the modules need of OpenMP, and the stand-ins for a build without it. */
#ifndef GCONV_RUNTIME_H
#define GCONV_RUNTIME_H

#ifdef _OPENMP
#include <omp.h>
#define OPENMP_VERSION _OPENMP
#else
#define OPENMP_VERSION 0
static inline int omp_get_thread_num(void) { return 0; }
static inline int omp_get_max_threads(void) { return 1; }
static inline int omp_get_level(void) { return 0; }
#endif

#endif
