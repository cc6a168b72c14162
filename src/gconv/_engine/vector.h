/* The vector type: all the C that the kernels need.

   GC_REAL (float or double) and GC_LANES (elements in a vector register) come from setup.py, one
   pair for each module. GCC and Clang lower the same text to SSE, AVX2, AVX-512 or NEON. */
#ifndef GCONV_VECTOR_H
#define GCONV_VECTOR_H

#include <string.h>

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

/* p, as if it were another pointer each time. What is read through it in a loop is read there, not
   before the loop and then kept in registers that the loop has better use for. */
static inline __attribute__((always_inline)) const void *read_here(const void *p) {
    __asm__ volatile("" : "+r"(p));
    return p;
}

/* *p, which is kept in memory. Compilers would rather keep addresses that find no room among the
   registers for them in a vector or mask register, and to fetch one from there takes a slot of the
   multiply-adds; a load does not. */
static inline __attribute__((always_inline)) const real *from_memory(const real **p) {
    __asm__ volatile("" : "+m"(*p));
    return *p;
}

/* Ask for the cache line that holds p to come to the second-level cache; any p will do. */
static inline __attribute__((always_inline)) void prefetch(const real *p) {
    __builtin_prefetch(p, 0, 2);
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

/* The larger and the smaller of two, lane by lane; where v is NaN, so is the result. Instructions
   that the vector type has no operator for: x86 takes the second operand where one is NaN, ARM
   the NaN. `limit` is not NaN. */
#define SIZE_OF_float 4
#define SIZE_OF_double 8
#define JOINED(a, b) a##b
#define SIZE_OF(type) JOINED(SIZE_OF_, type)
#define VECTOR_BYTES (GC_LANES * SIZE_OF(GC_REAL))
#if defined(__x86_64__)
#include <immintrin.h>
#if VECTOR_BYTES == 64 && GC_LANES == 16
#define OF_TWO(what, a, b) ((vec)_mm512_##what##_ps((__m512)(a), (__m512)(b)))
#elif VECTOR_BYTES == 64
#define OF_TWO(what, a, b) ((vec)_mm512_##what##_pd((__m512d)(a), (__m512d)(b)))
#elif VECTOR_BYTES == 32 && GC_LANES == 8
#define OF_TWO(what, a, b) ((vec)_mm256_##what##_ps((__m256)(a), (__m256)(b)))
#elif VECTOR_BYTES == 32
#define OF_TWO(what, a, b) ((vec)_mm256_##what##_pd((__m256d)(a), (__m256d)(b)))
#elif GC_LANES == 4
#define OF_TWO(what, a, b) ((vec)_mm_##what##_ps((__m128)(a), (__m128)(b)))
#else
#define OF_TWO(what, a, b) ((vec)_mm_##what##_pd((__m128d)(a), (__m128d)(b)))
#endif
#elif defined(__aarch64__)
#include <arm_neon.h>
#if GC_LANES == 4
#define OF_TWO(what, a, b) ((vec)v##what##q_f32((float32x4_t)(a), (float32x4_t)(b)))
#else
#define OF_TWO(what, a, b) ((vec)v##what##q_f64((float64x2_t)(a), (float64x2_t)(b)))
#endif
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
typedef word bits __attribute__((vector_size(GC_LANES * sizeof(real))));
static inline __attribute__((always_inline)) bits sign_of(vec v) {
    return (bits)v & ((bits){0} + ((word)1 << (8 * sizeof(real) - 1)));
}
static inline __attribute__((always_inline)) vec magnitude(vec v) {
    return (vec)((bits)v ^ sign_of(v));
}
static inline __attribute__((always_inline)) vec with_sign_of(vec sign, vec v) {
    return (vec)((bits)magnitude(v) | sign_of(sign));
}
/* a in the lanes where v is below the limit, or below 0, b in the others. */
static inline __attribute__((always_inline)) vec if_below(vec limit, vec v, vec a, vec b) {
#if defined(__x86_64__) && VECTOR_BYTES == 64 && GC_LANES == 16
    const __mmask16 below = _mm512_cmp_ps_mask((__m512)v, (__m512)limit, _CMP_LT_OQ);
    return (vec)_mm512_mask_blend_ps(below, (__m512)b, (__m512)a);
#elif defined(__x86_64__) && VECTOR_BYTES == 64
    const __mmask8 below = _mm512_cmp_pd_mask((__m512d)v, (__m512d)limit, _CMP_LT_OQ);
    return (vec)_mm512_mask_blend_pd(below, (__m512d)b, (__m512d)a);
#else
    const bits below = (bits)(v < limit);
    return (vec)((below & (bits)a) | (~below & (bits)b));
#endif
}
static inline __attribute__((always_inline)) vec if_negative(vec v, vec a, vec b) {
    const vec zero = {0};
    return if_below(zero, v, a, b);
}

/* Adding this number leaves a whole number in the lowest bits, and takes the fraction away by
   rounding to nearest: 1.5 * 2**MANTISSA_BITS. */
static const real ROUNDER = (real)((word)3 << (MANTISSA_BITS - 1));
/* 2**n as two factors, 2**floor(n/2) and 2**ceil(n/2), where v is n + ROUNDER: n may lie as far
   as twice the smallest exponent below 0. */
static inline __attribute__((always_inline)) void halves_of_power(vec v, vec *first, vec *second) {
    const bits n = (bits)v - (bits)splat(ROUNDER) + 2 * (word)EXPONENT_BIAS;
    const bits lower = n >> 1;
    *first = (vec)(lower << MANTISSA_BITS);
    *second = (vec)((n - lower) << MANTISSA_BITS);
}

/* ---- what channels-last kernels need: some lanes of a vector, and lanes in any order ---------- */

/* n elements, 0 < n <= LANES, and zeros; nothing behind them is read or written. */
static inline vec load_first(const real *p, Py_ssize_t n) {
    vec v = {0};
    memcpy(&v, p, n * sizeof(real));
    return v;
}
static inline void store_first(real *p, vec v, Py_ssize_t n) { memcpy(p, &v, n * sizeof(real)); }

/* `picked` is the vector of the lanes of v that a table of LANES numbers names. */
#if VECTOR_BYTES == 64 && GC_LANES == 16
typedef __m512i picks;
static inline picks load_picks(const int *table) { return _mm512_loadu_si512(table); }
static inline vec picked(vec v, picks which) { return (vec)_mm512_permutexvar_ps(which, v); }
#elif VECTOR_BYTES == 64
typedef __m512i picks;
static inline picks load_picks(const int *table) {
    return _mm512_cvtepi32_epi64(_mm256_loadu_si256((const __m256i *)table));
}
static inline vec picked(vec v, picks which) { return (vec)_mm512_permutexvar_pd(which, v); }
#elif VECTOR_BYTES == 32 && GC_LANES == 8
typedef __m256i picks;
static inline picks load_picks(const int *table) {
    return _mm256_loadu_si256((const __m256i *)table);
}
static inline vec picked(vec v, picks which) { return (vec)_mm256_permutevar8x32_ps(v, which); }
#elif VECTOR_BYTES == 32
typedef __m256i picks; /* a double is two neighbouring floats */
static inline picks load_picks(const int *table) {
    const __m256i low = _mm256_slli_epi64(
        _mm256_cvtepi32_epi64(_mm_loadu_si128((const __m128i *)table)), 1);
    const __m256i high = _mm256_add_epi64(low, _mm256_set1_epi64x(1));
    return _mm256_or_si256(low, _mm256_slli_epi64(high, 32));
}
static inline vec picked(vec v, picks which) {
    return (vec)_mm256_permutevar8x32_ps((__m256)v, which);
}
#else
typedef const int *picks;
static inline picks load_picks(const int *table) { return table; }
static inline vec picked(vec v, picks which) {
    vec result;
    for (int lane = 0; lane < LANES; lane++) result[lane] = v[which[lane]];
    return result;
}
#endif

/* What blocks.pxi transposes. A vector that is loaded as two halves of rows needs a round less. Of
   four such rows that are LANES / 4 apart, 128 bits at a time, one shuffle makes a vector, and
   the rounds that are left stay within 128 bits. On Zen 4 1.4 times as fast as the rounds alone. */
#if VECTOR_BYTES == 64
enum { SQUARES_BY_HALVES = 1 };
static inline __attribute__((always_inline)) __m512 halves(const real *low, const real *high) {
    const __m256 first = _mm256_loadu_ps((const float *)low);
    return _mm512_mask_broadcast_f32x8(
        _mm512_castps256_ps512(first), 0xFF00, _mm256_loadu_ps((const float *)high));
}
static inline __attribute__((always_inline)) void load_square_by_halves(
    const real *p, Py_ssize_t step, vec square[LANES]) {
    enum { PART = LANES / 4 }; /* lanes of 128 bits */
    for (int half = 0; half < 2; half++) {
        __m512 parts[2][PART]; /* [columns][row]: of this row and those PART apart from it */
        for (int row = 0; row < PART; row++) {
            const real *from = p + row * step + half * 2 * PART;
            const __m512 upper = halves(from, from + PART * step);
            const __m512 lower = halves(from + 2 * PART * step, from + 3 * PART * step);
            parts[0][row] = _mm512_shuffle_f32x4(upper, lower, 0x88);
            parts[1][row] = _mm512_shuffle_f32x4(upper, lower, 0xDD);
        }
        for (int part = 0; part < 2; part++) {
            vec *to = square + (2 * half + part) * PART;
            const __m512 *rows = parts[part];
#if GC_LANES == 16
            const __m512d low01 = (__m512d)_mm512_unpacklo_ps(rows[0], rows[1]);
            const __m512d high01 = (__m512d)_mm512_unpackhi_ps(rows[0], rows[1]);
            const __m512d low23 = (__m512d)_mm512_unpacklo_ps(rows[2], rows[3]);
            const __m512d high23 = (__m512d)_mm512_unpackhi_ps(rows[2], rows[3]);
            to[0] = (vec)_mm512_unpacklo_pd(low01, low23);
            to[1] = (vec)_mm512_unpackhi_pd(low01, low23);
            to[2] = (vec)_mm512_unpacklo_pd(high01, high23);
            to[3] = (vec)_mm512_unpackhi_pd(high01, high23);
#else
            to[0] = (vec)_mm512_unpacklo_pd((__m512d)rows[0], (__m512d)rows[1]);
            to[1] = (vec)_mm512_unpackhi_pd((__m512d)rows[0], (__m512d)rows[1]);
#endif
        }
    }
}
#else
enum { SQUARES_BY_HALVES = 0 };
static inline void load_square_by_halves(const real *p, Py_ssize_t step, vec square[LANES]) {}
#endif

#if VECTOR_BYTES == 64
/* What sliding.pxi needs besides, and what only this instruction set does well: loads and stores
   of some lanes, which touch no memory for the others, and vectors taken from two registers at
   any place. */
#if GC_LANES == 16
typedef __mmask16 some;
#define FEW_LANES(what) _mm512_##what##_ps
#define INDICES(what) _mm512_##what##_epi32
#else
typedef __mmask8 some;
#define FEW_LANES(what) _mm512_##what##_pd
#define INDICES(what) _mm512_##what##_epi64
#endif

/* The lanes whose place, counted from `first`, is one of [0, size). */
static inline some lanes_inside(Py_ssize_t first, Py_ssize_t size) {
    const Py_ssize_t begin = first < 0 ? -first : 0;
    const Py_ssize_t end = size - first < LANES ? size - first : LANES;
    return begin < end ? (some)((1u << end) - (1u << begin)) : 0;
}
static inline __attribute__((always_inline)) vec load_some(const real *p, some which) {
    return (vec)FEW_LANES(maskz_loadu)(which, p);
}
static inline __attribute__((always_inline)) void store_some(real *p, some which, vec v) {
    FEW_LANES(mask_storeu)(p, which, v);
}

/* LANES elements of a and b, one behind the other, from place n on, 0 <= n <= LANES. */
static inline __attribute__((always_inline)) vec slid(vec a, vec b, Py_ssize_t n) {
#if GC_LANES == 16
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
#else
    const __m512i lane = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
#endif
    return (vec)FEW_LANES(permutex2var)(a, INDICES(add)(lane, INDICES(set1)(n)), b);
}

/* The same for an n that is literal after inlining, below 7 and from 7 on: one instruction, and one
   that leaves the multiply-adds their ports. */
#define SLID_BY(n) case n: return (vec)INDICES(alignr)((__m512i)b, (__m512i)a, n);
static inline __attribute__((always_inline)) vec slid_by(vec a, vec b, Py_ssize_t n) {
    switch (n) {
    SLID_BY(1) SLID_BY(2) SLID_BY(3) SLID_BY(4) SLID_BY(5) SLID_BY(6)
    default: return a;
    }
}
static inline __attribute__((always_inline)) vec slid_far(vec a, vec b, Py_ssize_t n) {
    switch (n) {
#if GC_LANES == 16
    SLID_BY(8) SLID_BY(9) SLID_BY(10) SLID_BY(11) SLID_BY(12) SLID_BY(13) SLID_BY(14) SLID_BY(15)
#endif
    default: return (vec)INDICES(alignr)((__m512i)b, (__m512i)a, 7);
    }
}
#undef SLID_BY
#endif

#endif
