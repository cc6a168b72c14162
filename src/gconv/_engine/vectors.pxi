# Vectors, and register tiles: ROWS x VECTORS accumulators that stay in registers while the taps are
# added.
#
# A family has one always-inlined body, its strip, that short functions call with literal ROWS and
# VECTORS (tiles_16.pxi: tiles that fit 16 registers; tiles_32.pxi: the further ones for 32). After
# inlining, every loop over ROWS and VECTORS is unrolled. The loop over a strip of tiles stands
# inside the body on purpose: in a function that computes one tile, GCC keeps the accumulators on
# the stack.
#
# A tile loads and stores whole vectors. The last vector of a line ends where the line ends, so it
# may overlap the one before: both compute the same sums from the same operands.


cdef extern from *:
    """
    #include "vector.h"
    #include "shuffles.h"
    #include "masks.h"
    """


cdef extern from * nogil:
    # Declared as double so that Cython narrows nothing; the C compiler knows what they are.
    ctypedef double x_t
    ctypedef double w_t
    ctypedef double sum_t
    ctypedef double y_t
    ctypedef double vec
    const Py_ssize_t LANES
    vec splat(sum_t value)
    vec load_x(const x_t* p)
    vec load_w(const w_t* p)
    vec load_packed(const w_t* p)
    vec load_sum(const sum_t* p)
    vec load_y(const y_t* p)
    void store_x(x_t* p, vec v)
    void store_sum(sum_t* p, vec v)
    void store_y(y_t* p, vec v)
    vec in_register(vec v)
    const void* read_here(const void* p)
    const x_t* from_memory(const x_t** p)
    void prefetch(const void* p)
    vec interleave_low(vec a, vec b)
    vec interleave_high(vec a, vec b)
    vec even_places(vec a, vec b)
    vec odd_places(vec a, vec b)
    vec at_least(vec limit, vec v)
    vec at_most(vec limit, vec v)
    vec magnitude(vec v)
    vec with_sign_of(vec sign, vec v)
    vec if_below(vec limit, vec v, vec a, vec b)
    vec if_nan(vec v, vec a, vec b)
    vec if_negative(vec v, vec a, vec b)
    vec square_root(vec v)
    const sum_t ROUNDER
    void halves_of_power(vec v, vec* first, vec* second)
    # What the instruction set has: vector registers, and loads and stores of some lanes.
    enum: REGISTERS
    enum: MASKED_LOADS
    # Some lanes.
    ctypedef unsigned short mask
    mask lanes_inside(Py_ssize_t first, Py_ssize_t size)
    vec load_some_x(const x_t* p, mask which)
    vec load_some_sum(const sum_t* p, mask which)
    vec load_some_y(const y_t* p, mask which)
    void store_some(y_t* p, mask which, vec v)
    vec slid(vec a, vec b, Py_ssize_t n)
    vec slid_by(vec a, vec b, Py_ssize_t n)
    vec slid_far(vec a, vec b, Py_ssize_t n)
    vec load_first(const sum_t* p, Py_ssize_t n)
    vec load_first_or(const sum_t* p, Py_ssize_t n, vec rest)
    # Lanes in any order.
    ctypedef long picks
    picks load_picks(const int* table)
    vec picked(vec v, picks which)
    enum: SQUARES_BY_HALVES
    void load_square_by_halves(const x_t* p, Py_ssize_t step, vec* square)


cdef enum:
    MOST_ROWS = 14
    MOST_VECTORS = 8
    LANES_AT_MOST = 16


cdef inline void copy_few(
    void* to, const void* source, Py_ssize_t n, Py_ssize_t SIZE) noexcept nogil:
    """n < LANES elements of SIZE bytes, as two pieces of a literal size that overlap."""
    cdef char* to_bytes = <char*>to
    cdef const char* bytes = <const char*>source
    if LANES > 8 and n >= 8:
        memcpy(to_bytes, bytes, 8 * SIZE)
        memcpy(to_bytes + (n - 8) * SIZE, bytes + (n - 8) * SIZE, 8 * SIZE)
    elif LANES > 4 and n >= 4:
        memcpy(to_bytes, bytes, 4 * SIZE)
        memcpy(to_bytes + (n - 4) * SIZE, bytes + (n - 4) * SIZE, 4 * SIZE)
    elif LANES > 2 and n >= 2:
        memcpy(to_bytes, bytes, 2 * SIZE)
        memcpy(to_bytes + (n - 2) * SIZE, bytes + (n - 2) * SIZE, 2 * SIZE)
    elif n == 1:
        memcpy(to_bytes, bytes, SIZE)


cdef inline void transpose_square(vec square[LANES_AT_MOST]) noexcept nogil:
    """LANES vectors of LANES elements: rows become columns."""
    cdef vec other[LANES_AT_MOST]
    cdef Py_ssize_t i, width = 1
    while width < LANES:
        for i in range(LANES // 2):
            other[2 * i] = interleave_low(square[i], square[i + LANES // 2])
            other[2 * i + 1] = interleave_high(square[i], square[i + LANES // 2])
        for i in range(LANES):
            square[i] = other[i]
        width *= 2
