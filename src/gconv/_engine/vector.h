/* The vector type and its arithmetic.

   GC_REAL (float or double), GC_LANES (elements in a vector register) and GC_REGISTERS (how many of
   these the instruction set has) come from setup.py, for each module. GCC and Clang lower the same
   text to SSE, AVX2, AVX-512 or NEON; where an instruction set has something that the vector type
   has no operator for, one of the macros WITH_... chooses, and anything else gets plain C. */
#ifndef GCONV_VECTOR_H
#define GCONV_VECTOR_H

#include <math.h>
#include <string.h>

#define SIZE_OF_float 4
#define SIZE_OF_double 8
#define JOINED(a, b) a##b
#define SIZE_OF(type) JOINED(SIZE_OF_, type)
#define VECTOR_BYTES (GC_LANES * SIZE_OF(GC_REAL))
#if defined(__AVX512F__) && defined(__AVX512DQ__) && VECTOR_BYTES == 64
#define WITH_AVX512
#elif defined(__AVX2__) && VECTOR_BYTES == 32
#define WITH_AVX2
#elif defined(__SSE2__) && VECTOR_BYTES == 16
#define WITH_SSE2
#elif defined(__aarch64__) && VECTOR_BYTES == 16
#define WITH_NEON
#endif
#if defined(WITH_AVX512) || defined(WITH_AVX2) || defined(WITH_SSE2)
#include <immintrin.h>
#elif defined(WITH_NEON)
#include <arm_neon.h>
#endif

enum { LANES = GC_LANES, REGISTERS = GC_REGISTERS };

/* The elements of x, of the weights, of sums (bias, epilogue) and of y (the residual). All are one
   type so far; kernels tell them apart, so that narrower x, weights or y need other loads, stores
   and splats below and nothing else. */
typedef GC_REAL x_t;
typedef GC_REAL w_t;
typedef GC_REAL sum_t;
typedef GC_REAL y_t;
typedef sum_t vec __attribute__((vector_size(GC_LANES * sizeof(sum_t))));
/* The same for memory that is aligned to its elements only. */
typedef sum_t uvec
    __attribute__((vector_size(GC_LANES * sizeof(sum_t)), aligned(sizeof(sum_t)), may_alias));

/* LANES neighbours from memory, as sums, or to memory. */
#define MOVES(type)                                                                      \
    static inline __attribute__((always_inline)) vec load_##type(const type##_t *p) {     \
        return *(const uvec *)p;                                                         \
    }                                                                                    \
    static inline __attribute__((always_inline)) void store_##type(type##_t *p, vec v) {  \
        *(uvec *)p = v;                                                                  \
    }
MOVES(x)
MOVES(w)
MOVES(sum)
MOVES(y)
#undef MOVES
/* Packed weights are aligned. */
static inline __attribute__((always_inline)) vec load_packed(const w_t *p) {
    return *(const vec *)p;
}

/* s in every lane. Subtracting zero is exact for every s, -0 and NaN included, so compilers make
   it a pure broadcast; adding zero is not (-0 + 0 = +0) and would cost an addition. */
static inline __attribute__((always_inline)) vec splat(sum_t s) {
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

/* p, as if it were another pointer each time. What is read through it in a loop is read there, not
   before the loop and then kept in registers that the loop has better use for. */
static inline __attribute__((always_inline)) const void *read_here(const void *p) {
    __asm__ volatile("" : "+r"(p));
    return p;
}

/* *p, which is kept in memory. Compilers would rather keep addresses that find no room among the
   registers for them in a vector or mask register, and to fetch one from there takes a slot of the
   multiply-adds; a load does not. */
static inline __attribute__((always_inline)) const x_t *from_memory(const x_t **p) {
    __asm__ volatile("" : "+m"(*p));
    return *p;
}

/* Ask for the cache line that holds p to come to the second-level cache; any p will do. */
static inline __attribute__((always_inline)) void prefetch(const void *p) {
    __builtin_prefetch(p, 0, 2);
}

/* The larger and the smaller of two, lane by lane; where v is NaN, so is the result. Instructions
   that the vector type has no operator for: x86 takes the second operand where one is NaN, ARM
   the NaN. `limit` is not NaN. */
#if defined(WITH_AVX512) && GC_LANES == 16
#define OF_TWO(what, a, b) ((vec)_mm512_##what##_ps((__m512)(a), (__m512)(b)))
#elif defined(WITH_AVX512)
#define OF_TWO(what, a, b) ((vec)_mm512_##what##_pd((__m512d)(a), (__m512d)(b)))
#elif defined(WITH_AVX2) && GC_LANES == 8
#define OF_TWO(what, a, b) ((vec)_mm256_##what##_ps((__m256)(a), (__m256)(b)))
#elif defined(WITH_AVX2)
#define OF_TWO(what, a, b) ((vec)_mm256_##what##_pd((__m256d)(a), (__m256d)(b)))
#elif defined(WITH_SSE2) && GC_LANES == 4
#define OF_TWO(what, a, b) ((vec)_mm_##what##_ps((__m128)(a), (__m128)(b)))
#elif defined(WITH_SSE2)
#define OF_TWO(what, a, b) ((vec)_mm_##what##_pd((__m128d)(a), (__m128d)(b)))
#elif defined(WITH_NEON) && GC_LANES == 4
#define OF_TWO(what, a, b) ((vec)v##what##q_f32((float32x4_t)(a), (float32x4_t)(b)))
#elif defined(WITH_NEON)
#define OF_TWO(what, a, b) ((vec)v##what##q_f64((float64x2_t)(a), (float64x2_t)(b)))
#endif
static inline __attribute__((always_inline)) vec at_least(vec limit, vec v) {
#ifdef OF_TWO
    return OF_TWO(max, limit, v);
#else
    for (int i = 0; i < LANES; i++) v[i] = v[i] < limit[i] ? limit[i] : v[i];
    return v;
#endif
}
static inline __attribute__((always_inline)) vec at_most(vec limit, vec v) {
#ifdef OF_TWO
    return OF_TWO(min, limit, v);
#else
    for (int i = 0; i < LANES; i++) v[i] = v[i] > limit[i] ? limit[i] : v[i];
    return v;
#endif
}

/* The bits of a vector, for what arithmetic has no words for. */
#if SIZE_OF(GC_REAL) == 4
typedef unsigned int word;
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#else
typedef unsigned long long word;
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#endif
typedef word bits __attribute__((vector_size(GC_LANES * sizeof(sum_t))));
static inline __attribute__((always_inline)) bits sign_of(vec v) {
    return (bits)v & ((bits){0} + ((word)1 << (8 * sizeof(sum_t) - 1)));
}
static inline __attribute__((always_inline)) vec magnitude(vec v) {
    return (vec)((bits)v ^ sign_of(v));
}
static inline __attribute__((always_inline)) vec with_sign_of(vec sign, vec v) {
    return (vec)((bits)magnitude(v) | sign_of(sign));
}
/* a in the lanes where v is below the limit, or below 0, b in the others. */
static inline __attribute__((always_inline)) vec if_below(vec limit, vec v, vec a, vec b) {
#if defined(WITH_AVX512) && GC_LANES == 16
    const __mmask16 below = _mm512_cmp_ps_mask((__m512)v, (__m512)limit, _CMP_LT_OQ);
    return (vec)_mm512_mask_blend_ps(below, (__m512)b, (__m512)a);
#elif defined(WITH_AVX512)
    const __mmask8 below = _mm512_cmp_pd_mask((__m512d)v, (__m512d)limit, _CMP_LT_OQ);
    return (vec)_mm512_mask_blend_pd(below, (__m512d)b, (__m512d)a);
#else
    const bits below = (bits)(v < limit);
    return (vec)((below & (bits)a) | (~below & (bits)b));
#endif
}
/* a in the lanes where v is NaN, b in the others. */
static inline __attribute__((always_inline)) vec if_nan(vec v, vec a, vec b) {
#if defined(WITH_AVX512) && GC_LANES == 16
    const __mmask16 unordered = _mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_UNORD_Q);
    return (vec)_mm512_mask_blend_ps(unordered, (__m512)b, (__m512)a);
#else
    const bits ordered = (bits)(v == v);
    return (vec)((~ordered & (bits)a) | (ordered & (bits)b));
#endif
}
static inline __attribute__((always_inline)) vec if_negative(vec v, vec a, vec b) {
    const vec zero = {0};
    return if_below(zero, v, a, b);
}

static inline __attribute__((always_inline)) vec square_root(vec v) {
#if defined(WITH_AVX512) && GC_LANES == 16
    return (vec)_mm512_sqrt_ps((__m512)v);
#elif defined(WITH_AVX2) && GC_LANES == 8
    return (vec)_mm256_sqrt_ps((__m256)v);
#elif defined(WITH_SSE2) && GC_LANES == 4
    return (vec)_mm_sqrt_ps((__m128)v);
#elif defined(WITH_NEON) && GC_LANES == 4
    return (vec)vsqrtq_f32((float32x4_t)v);
#else
    for (int i = 0; i < LANES; i++) v[i] = (sum_t)sqrt(v[i]);
    return v;
#endif
}

/* Adding this number leaves a whole number in the lowest bits, and takes the fraction away by
   rounding to nearest: 1.5 * 2**MANTISSA_BITS. */
static const sum_t ROUNDER = (sum_t)((word)3 << (MANTISSA_BITS - 1));
/* 2**n as two factors, 2**floor(n/2) and 2**ceil(n/2), where v is n + ROUNDER: n may lie as far
   as twice the smallest exponent below 0. */
static inline __attribute__((always_inline)) void halves_of_power(vec v, vec *first, vec *second) {
    const bits n = (bits)v - (bits)splat(ROUNDER) + 2 * (word)EXPONENT_BIAS;
    const bits lower = n >> 1;
    *first = (vec)(lower << MANTISSA_BITS);
    *second = (vec)((n - lower) << MANTISSA_BITS);
}

#endif
