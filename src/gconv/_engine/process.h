/* What belongs to the process or to one of its threads: the CPU's abilities, what happens to the
   thread pool at a fork, the crowd that its calls meet, and each thread's scratch. */
#ifndef GCONV_PROCESS_H
#define GCONV_PROCESS_H

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "crowd.h"
#include "clock.h"

/* ---- CPU ---- */

#define HAS(feature) (__builtin_cpu_supports(feature) != 0)
#if !defined(__x86_64__)
static int cpu_has_avx2(void) { return 0; }
static int cpu_has_avx512(void) { return 0; }
#elif (defined(__clang__) ? __clang_major__ >= 18 : __GNUC__ >= 12)
static int cpu_has_avx2(void) { return HAS("x86-64-v3"); }
static int cpu_has_avx512(void) { return HAS("x86-64-v4"); }
#else /* a compiler that does not know the levels by name: what they add, as far as it goes */
static int cpu_has_avx2(void) { return HAS("avx2") && HAS("fma") && HAS("bmi") && HAS("bmi2"); }
static int cpu_has_avx512(void) {
    return cpu_has_avx2() && HAS("avx512f") && HAS("avx512bw") && HAS("avx512cd") &&
           HAS("avx512dq") && HAS("avx512vl");
}
#endif

/* ---- fork ----
   A forked child inherits the runtime's idea of a pool without the threads in it, and libgomp
   waits for them for ever. So the forking thread's pool is ended before every fork, whoever
   forks and whichever library started the pool. pthread_atfork sees forks made in C as well. */

static int pause_failed = 0; /* in the parent, for the fork under way */
static int child_is_serial = 0;
static Crowd crowd; /* of this process */

static int (*pause_pool)(void);

static void before_fork(void) { pause_failed = pause_pool(); }

static void after_fork_in_child(void) {
    child_is_serial |= pause_failed;
    memset(&crowd, 0, sizeof crowd); /* the threads that made it are not here */
}

/* `pause` ends the calling thread's pool: 0 where the child can have another. */
static int watch_forks(int (*pause)(void)) {
    pause_pool = pause;
    return pthread_atfork(before_fork, NULL, after_fork_in_child);
}

/* ---- scratch ---- */

static pthread_key_t scratch_key;
static __thread char *scratch = NULL;
static __thread size_t scratch_size = 0;

static int prepare_scratch(void) { return pthread_key_create(&scratch_key, free); }

/* The calling thread's scratch of at least so many bytes, kept for its next call and freed when
   it ends; NULL where there is no memory. The contents do not survive growth. */
static char *get_scratch(size_t bytes) {
    if (bytes > scratch_size) {
        void *grown = NULL;
        if (posix_memalign(&grown, 4096, bytes) != 0) return NULL;
        free(scratch);
        scratch = grown;
        scratch_size = bytes;
        pthread_setspecific(scratch_key, grown);
    }
    return scratch;
}

#endif
