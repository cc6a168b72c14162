/* Some lanes of a vector: loads and stores that touch no memory for the others, and vectors taken
   from two registers at any place. MASKED_LOADS says that the instruction set does all of this in
   an instruction or two; families whose tiles ask for it have none elsewhere. */
#ifndef GCONV_MASKS_H
#define GCONV_MASKS_H

#include "vector.h"

/* n elements, 0 < n <= LANES, and zeros; nothing behind them is read. */
static inline vec load_first(const sum_t *p, Py_ssize_t n) {
    vec v = {0};
    memcpy(&v, p, n * sizeof(sum_t));
    return v;
}

#if defined(WITH_AVX512)
enum { MASKED_LOADS = 1 };
#if GC_LANES == 16
typedef __mmask16 mask;
#else
typedef __mmask8 mask;
#endif
#else
enum { MASKED_LOADS = 0 };
typedef unsigned short mask;
#endif

/* The lanes whose place, counted from `first`, is one of [0, size). */
static inline mask lanes_inside(Py_ssize_t first, Py_ssize_t size) {
    const Py_ssize_t begin = first < 0 ? -first : 0;
    const Py_ssize_t end = size - first < LANES ? size - first : LANES;
    return begin < end ? (mask)((1u << end) - (1u << begin)) : 0;
}

#if defined(WITH_AVX512)
#if GC_LANES == 16
#define FEW_LANES(what) _mm512_##what##_ps
#define INDICES(what) _mm512_##what##_epi32
#else
#define FEW_LANES(what) _mm512_##what##_pd
#define INDICES(what) _mm512_##what##_epi64
#endif
static inline __attribute__((always_inline)) vec load_some(const sum_t *p, mask which) {
    return (vec)FEW_LANES(maskz_loadu)(which, p);
}
static inline __attribute__((always_inline)) void store_some(y_t *p, mask which, vec v) {
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
#else
static inline vec load_some(const sum_t *p, mask which) {
    vec v = {0};
    for (int i = 0; i < LANES; i++)
        if (which >> i & 1) v[i] = p[i];
    return v;
}
static inline void store_some(y_t *p, mask which, vec v) {
    for (int i = 0; i < LANES; i++)
        if (which >> i & 1) p[i] = v[i];
}
static inline vec slid(vec a, vec b, Py_ssize_t n) {
    vec v = a;
    for (int i = 0; i < LANES; i++) v[i] = i + n < LANES ? a[i + n] : b[i + n - LANES];
    return v;
}
static inline vec slid_by(vec a, vec b, Py_ssize_t n) { return slid(a, b, n); }
static inline vec slid_far(vec a, vec b, Py_ssize_t n) { return slid(a, b, n); }
#endif

/* n elements, 0 <= n <= LANES, and what `rest` has in the lanes behind them; nothing behind them is
   read. A vector that is put together in memory would be loaded before it is there: a wait of some
   twenty cycles. */
static inline __attribute__((always_inline)) vec load_first_or(
    const sum_t *p, Py_ssize_t n, vec rest) {
#if defined(WITH_AVX512)
    return (vec)FEW_LANES(mask_loadu)(rest, (mask)((1u << n) - 1), p);
#elif defined(WITH_AVX2) && GC_LANES == 8
    const __m256i lane = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    const __m256i inside = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
    return (vec)_mm256_blendv_ps(
        (__m256)rest, _mm256_maskload_ps(p, inside), _mm256_castsi256_ps(inside));
#else
    for (int i = 0; i < LANES; i++)
        if (i < n) rest[i] = p[i];
    return rest;
#endif
}

/* Of x, of the bias, of a residual. */
static inline __attribute__((always_inline)) vec load_some_x(const x_t *p, mask which) {
    return load_some((const sum_t *)p, which);
}
static inline __attribute__((always_inline)) vec load_some_sum(const sum_t *p, mask which) {
    return load_some((const sum_t *)p, which);
}
static inline __attribute__((always_inline)) vec load_some_y(const y_t *p, mask which) {
    return load_some((const sum_t *)p, which);
}

#endif
