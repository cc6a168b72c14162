/* What belongs to the process or to one of its threads: the CPU's abilities, what happens to the
   thread pool at a fork, the crowd that its calls meet, and each thread's scratch. */
#ifndef GCONV_PROCESS_H
#define GCONV_PROCESS_H

#include <string.h>

#include "crowd.h"
#include "system.h"

/* ---- CPU ---- */

#ifdef __x86_64__
#include <cpuid.h>

typedef struct {
    unsigned a, b, c, d;
} CpuWords;

/* What the CPU says of itself; zeros where it does not know the question. */
static CpuWords ask_cpu(unsigned question) {
    CpuWords answer = {0, 0, 0, 0};
    __get_cpuid_count(question, 0, &answer.a, &answer.b, &answer.c, &answer.d);
    return answer;
}

static int has_bits(unsigned word, unsigned bits) { return (word & bits) == bits; }

/* Whether the system keeps these registers for a thread that is not running. */
static int registers_are_kept(unsigned wanted) {
    unsigned low, high;
    if (!has_bits(ask_cpu(1).c, bit_OSXSAVE)) return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return has_bits(low, wanted);
}

/* x86-64-v3 and x86-64-v4: what they add to the levels below them. */
static int cpu_has_avx2(void) {
    const unsigned lzcnt = 1u << 5, halves = bit_FMA | bit_MOVBE | bit_AVX | bit_F16C;
    return registers_are_kept(0x06) && has_bits(ask_cpu(1).c, halves | bit_POPCNT) &&
           has_bits(ask_cpu(7).b, bit_AVX2 | bit_BMI | bit_BMI2) &&
           has_bits(ask_cpu(0x80000001).c, lzcnt);
}
static int cpu_has_avx512(void) {
    return cpu_has_avx2() && registers_are_kept(0xE6) &&
           has_bits(ask_cpu(7).b,
                    bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL);
}
#else
static int cpu_has_avx2(void) { return 0; }
static int cpu_has_avx512(void) { return 0; }
#endif

/* ---- fork ----
   A forked child inherits the runtime's idea of a pool without the threads in it, and libgomp
   waits for them for ever. So the forking thread's pool is ended before every fork, whoever
   forks and whichever library started the pool. */

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
    return watch_system_forks(before_fork, after_fork_in_child);
}

/* ---- scratch ---- */

static ThreadKey scratch_key;
static _Thread_local char *scratch = NULL;
static _Thread_local size_t scratch_size = 0;

static int prepare_scratch(void) { return make_thread_key(&scratch_key); }

/* The calling thread's scratch of at least so many bytes, kept for its next call and freed when
   it ends; NULL where there is no memory. The contents do not survive growth. */
static char *get_scratch(size_t bytes) {
    if (bytes > scratch_size) {
        char *grown = allocate_pages(bytes);
        if (grown == NULL) return NULL;
        free_pages(scratch);
        scratch = grown;
        scratch_size = bytes;
        free_with_thread(scratch_key, grown);
    }
    return scratch;
}

#endif
