/* Vectors with their lanes in another order: shuffles of two vectors, lanes picked by a table, and
   squares of LANES vectors transposed. */
#ifndef GCONV_SHUFFLES_H
#define GCONV_SHUFFLES_H

#include "vector.h"

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
typedef __typeof__((vec){0} < (vec){0}) shuffle_mask;
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (shuffle_mask){__VA_ARGS__})
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

/* `picked` is the vector of the lanes of v that a table of LANES numbers names. */
#if defined(WITH_AVX512) && GC_LANES == 16
typedef __m512i picks;
static inline picks load_picks(const int *table) { return _mm512_loadu_si512(table); }
static inline vec picked(vec v, picks which) { return (vec)_mm512_permutexvar_ps(which, v); }
#elif defined(WITH_AVX512)
typedef __m512i picks;
static inline picks load_picks(const int *table) {
    return _mm512_cvtepi32_epi64(_mm256_loadu_si256((const __m256i *)table));
}
static inline vec picked(vec v, picks which) { return (vec)_mm512_permutexvar_pd(which, v); }
#elif defined(WITH_AVX2) && GC_LANES == 8
typedef __m256i picks;
static inline picks load_picks(const int *table) {
    return _mm256_loadu_si256((const __m256i *)table);
}
static inline vec picked(vec v, picks which) { return (vec)_mm256_permutevar8x32_ps(v, which); }
#elif defined(WITH_AVX2)
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

/* LANES columns of LANES rows that are `step` apart, transposed. A vector that is loaded as two
   halves of rows needs a round less. Of four such vectors whose rows are LANES / 4 apart, one
   shuffle of 128 bits at a time makes a vector; the rounds that are left stay within 128 bits.
   Measured on Zen 4: 1.4 times as fast as the rounds alone. */
#if defined(WITH_AVX512)
enum { SQUARES_BY_HALVES = 1 };
static inline __attribute__((always_inline)) __m512 halves(const x_t *low, const x_t *high) {
    const __m256 first = _mm256_loadu_ps((const float *)low);
    return _mm512_mask_broadcast_f32x8(
        _mm512_castps256_ps512(first), 0xFF00, _mm256_loadu_ps((const float *)high));
}
static inline __attribute__((always_inline)) void load_square_by_halves(
    const x_t *p, Py_ssize_t step, vec square[LANES]) {
    enum { PART = LANES / 4 }; /* lanes of 128 bits */
    for (int half = 0; half < 2; half++) {
        __m512 parts[2][PART]; /* [columns][row]: of this row and those PART apart from it */
        for (int row = 0; row < PART; row++) {
            const x_t *from = p + row * step + half * 2 * PART;
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
static inline void load_square_by_halves(const x_t *p, Py_ssize_t step, vec square[LANES]) {}
#endif

#endif
