/* The vector type: all the C that the kernels need.

   GC_REAL (float or double) and GC_LANES (elements in a vector register) come from setup.py, one
   pair for each module. GCC and Clang lower the same text to SSE, AVX2, AVX-512 or NEON. */
#ifndef GCONV_VECTOR_H
#define GCONV_VECTOR_H

enum { LANES = GC_LANES };

typedef GC_REAL real;
typedef real vec __attribute__((vector_size(GC_LANES * sizeof(real))));
/* The same for memory that is aligned to its elements only. */
typedef real uvec
    __attribute__((vector_size(GC_LANES * sizeof(real)), aligned(sizeof(real)), may_alias));

/* s in every lane. Subtracting zero is exact for every s, -0 and NaN included, so compilers make
   it a pure broadcast; adding zero is not (-0 + 0 = +0) and would cost an addition. */
static inline __attribute__((always_inline)) vec splat(real s) {
    const vec zero = {0};
    return s - zero;
}

/* v, in a register. Without it GCC folds a load that serves two multiply-adds into both of them,
   and so loads twice what a tile exists to load once. */
static inline __attribute__((always_inline)) vec in_register(vec v) {
#if defined(__AVX512F__)
    __asm__("" : "+v"(v));
#elif defined(__x86_64__)
    __asm__("" : "+x"(v));
#elif defined(__aarch64__)
    __asm__("" : "+w"(v));
#endif
    return v;
}

/* The lanes of a and b taken in turns, of their lower and of their upper halves: log2(LANES)
   rounds of these transpose a square of LANES vectors. */
#if GC_LANES == 2
#define LOW 0, 2
#define HIGH 1, 3
#define EVEN 0, 2
#define ODD 1, 3
#elif GC_LANES == 4
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#define EVEN 0, 2, 4, 6
#define ODD 1, 3, 5, 7
#elif GC_LANES == 8
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define ODD 1, 3, 5, 7, 9, 11, 13, 15
#elif GC_LANES == 16
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#endif
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#endif
#endif
#ifndef SHUFFLE /* GCC before 12 */
typedef __typeof__((vec){0} < (vec){0}) mask;
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (mask){__VA_ARGS__})
#endif
static inline __attribute__((always_inline)) vec interleave_low(vec a, vec b) {
    return SHUFFLE(a, b, LOW);
}
static inline __attribute__((always_inline)) vec interleave_high(vec a, vec b) {
    return SHUFFLE(a, b, HIGH);
}

/* The elements at even places of a and then of b, and those at odd places. */
static inline __attribute__((always_inline)) vec even_places(vec a, vec b) {
    return SHUFFLE(a, b, EVEN);
}
static inline __attribute__((always_inline)) vec odd_places(vec a, vec b) {
    return SHUFFLE(a, b, ODD);
}

#endif
