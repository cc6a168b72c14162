/* What one core of this machine can do at most: compiled by machine.py when a benchmark runs. */
#define _POSIX_C_SOURCE 199309L
#include <stddef.h>
#include <string.h>
#include <time.h>

#ifndef BYTES
#define BYTES 16
#endif
typedef float vec __attribute__((vector_size(BYTES)));

/* 12 independent chains hide an FMA's latency of 4 cycles at 2 per cycle with some to spare, and
   with the two constants they still fit in 16 registers. */
enum { CHAINS = 12, LANES = BYTES / 4 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

/* FLOP/s of `rounds` rounds of fused multiply-adds. */
double fma_rate(long rounds)
{
    volatile float one_less = 0.999f, rest = 0.001f, sink;
    vec a, b, acc[CHAINS];
    for (int i = 0; i < LANES; i++) {
        a[i] = one_less;
        b[i] = rest;
    }
    for (int c = 0; c < CHAINS; c++)
        acc[c] = b * (float)c;
    double start = now();
    for (long r = 0; r < rounds; r++)
        for (int c = 0; c < CHAINS; c++)
            acc[c] = acc[c] * a + b;
    double seconds = now() - start;
    for (int c = 0; c < CHAINS; c++)
        for (int i = 0; i < LANES; i++)
            sink = acc[c][i];
    (void)sink;
    return 2.0 * CHAINS * LANES * rounds / seconds;
}

/* Bytes per second, read plus written, of copying `size` bytes `rounds` times. */
double copy_rate(char *target, const char *source, size_t size, long rounds)
{
    double start = now();
    for (long r = 0; r < rounds; r++) {
        memcpy(target, source, size);
        __asm__ volatile("" : : "r"(target) : "memory");
    }
    return 2.0 * size * rounds / (now() - start);
}
