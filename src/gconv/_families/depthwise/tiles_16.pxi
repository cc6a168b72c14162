# The tiles that fit 16 vector registers, output rows x vectors. The limits are where accumulators and operands
# fill the registers (.ci/check_tiles.py looks for spills).


cdef void depthwise_1x1(const Lines* s) noexcept nogil: depthwise_strip(s, 1, 1, 0)
cdef void depthwise_1x2(const Lines* s) noexcept nogil: depthwise_strip(s, 1, 2, 0)
cdef void depthwise_1x3(const Lines* s) noexcept nogil: depthwise_strip(s, 1, 3, 0)
cdef void depthwise_1x4(const Lines* s) noexcept nogil: depthwise_strip(s, 1, 4, 0)
cdef void depthwise_1x5(const Lines* s) noexcept nogil: depthwise_strip(s, 1, 5, 0)
cdef void depthwise_1x6(const Lines* s) noexcept nogil: depthwise_strip(s, 1, 6, 0)
cdef void depthwise_1x7(const Lines* s) noexcept nogil: depthwise_strip(s, 1, 7, 0)
cdef void depthwise_1x8(const Lines* s) noexcept nogil: depthwise_strip(s, 1, 8, 0)
cdef void depthwise_2x1(const Lines* s) noexcept nogil: depthwise_strip(s, 2, 1, 0)
cdef void depthwise_2x2(const Lines* s) noexcept nogil: depthwise_strip(s, 2, 2, 0)
cdef void depthwise_2x3(const Lines* s) noexcept nogil: depthwise_strip(s, 2, 3, 0)
cdef void depthwise_2x4(const Lines* s) noexcept nogil: depthwise_strip(s, 2, 4, 0)
cdef void depthwise_2x5(const Lines* s) noexcept nogil: depthwise_strip(s, 2, 5, 0)
cdef void depthwise_3x1(const Lines* s) noexcept nogil: depthwise_strip(s, 3, 1, 0)
cdef void depthwise_3x2(const Lines* s) noexcept nogil: depthwise_strip(s, 3, 2, 0)
cdef void depthwise_3x3(const Lines* s) noexcept nogil: depthwise_strip(s, 3, 3, 0)
cdef void depthwise_4x1(const Lines* s) noexcept nogil: depthwise_strip(s, 4, 1, 0)
cdef void depthwise_4x2(const Lines* s) noexcept nogil: depthwise_strip(s, 4, 2, 0)
cdef void depthwise_4x3(const Lines* s) noexcept nogil: depthwise_strip(s, 4, 3, 0)

DEPTHWISE_TILES[1][1:9] = [depthwise_1x1, depthwise_1x2, depthwise_1x3, depthwise_1x4,
    depthwise_1x5, depthwise_1x6, depthwise_1x7, depthwise_1x8]
DEPTHWISE_TILES[2][1:6] = [depthwise_2x1, depthwise_2x2, depthwise_2x3, depthwise_2x4,
    depthwise_2x5]
DEPTHWISE_TILES[3][1:4] = [depthwise_3x1, depthwise_3x2, depthwise_3x3]
DEPTHWISE_TILES[4][1:4] = [depthwise_4x1, depthwise_4x2, depthwise_4x3]

cdef void three_1x1(const Lines* s) noexcept nogil: depthwise_strip(s, 1, 1, 3)
cdef void three_1x2(const Lines* s) noexcept nogil: depthwise_strip(s, 1, 2, 3)
cdef void three_1x3(const Lines* s) noexcept nogil: depthwise_strip(s, 1, 3, 3)
cdef void three_1x4(const Lines* s) noexcept nogil: depthwise_strip(s, 1, 4, 3)
cdef void three_1x5(const Lines* s) noexcept nogil: depthwise_strip(s, 1, 5, 3)
cdef void three_1x6(const Lines* s) noexcept nogil: depthwise_strip(s, 1, 6, 3)
cdef void three_1x7(const Lines* s) noexcept nogil: depthwise_strip(s, 1, 7, 3)
cdef void three_1x8(const Lines* s) noexcept nogil: depthwise_strip(s, 1, 8, 3)
cdef void three_2x1(const Lines* s) noexcept nogil: depthwise_strip(s, 2, 1, 3)
cdef void three_2x2(const Lines* s) noexcept nogil: depthwise_strip(s, 2, 2, 3)
cdef void three_2x3(const Lines* s) noexcept nogil: depthwise_strip(s, 2, 3, 3)
cdef void three_2x4(const Lines* s) noexcept nogil: depthwise_strip(s, 2, 4, 3)
cdef void three_2x5(const Lines* s) noexcept nogil: depthwise_strip(s, 2, 5, 3)
cdef void three_3x1(const Lines* s) noexcept nogil: depthwise_strip(s, 3, 1, 3)
cdef void three_3x2(const Lines* s) noexcept nogil: depthwise_strip(s, 3, 2, 3)
cdef void three_3x3(const Lines* s) noexcept nogil: depthwise_strip(s, 3, 3, 3)
cdef void three_4x1(const Lines* s) noexcept nogil: depthwise_strip(s, 4, 1, 3)
cdef void three_4x2(const Lines* s) noexcept nogil: depthwise_strip(s, 4, 2, 3)

THREE_COLUMN_TILES[1][1:9] = [three_1x1, three_1x2, three_1x3, three_1x4, three_1x5, three_1x6,
    three_1x7, three_1x8]
THREE_COLUMN_TILES[2][1:6] = [three_2x1, three_2x2, three_2x3, three_2x4, three_2x5]
THREE_COLUMN_TILES[3][1:4] = [three_3x1, three_3x2, three_3x3]
THREE_COLUMN_TILES[4][1:3] = [three_4x1, three_4x2]
