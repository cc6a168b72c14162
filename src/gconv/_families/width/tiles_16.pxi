# The tiles that fit 16 vector registers, output channels x vectors. The limits are where accumulators and operands
# fill the registers (.ci/check_tiles.py looks for spills).


cdef void width_1x1(const Lines* s) noexcept nogil: width_strip(s, 1, 1)
cdef void width_1x2(const Lines* s) noexcept nogil: width_strip(s, 1, 2)
cdef void width_1x3(const Lines* s) noexcept nogil: width_strip(s, 1, 3)
cdef void width_1x4(const Lines* s) noexcept nogil: width_strip(s, 1, 4)
cdef void width_1x5(const Lines* s) noexcept nogil: width_strip(s, 1, 5)
cdef void width_1x6(const Lines* s) noexcept nogil: width_strip(s, 1, 6)
cdef void width_1x7(const Lines* s) noexcept nogil: width_strip(s, 1, 7)
cdef void width_1x8(const Lines* s) noexcept nogil: width_strip(s, 1, 8)
cdef void width_2x1(const Lines* s) noexcept nogil: width_strip(s, 2, 1)
cdef void width_2x2(const Lines* s) noexcept nogil: width_strip(s, 2, 2)
cdef void width_2x3(const Lines* s) noexcept nogil: width_strip(s, 2, 3)
cdef void width_2x4(const Lines* s) noexcept nogil: width_strip(s, 2, 4)
cdef void width_2x5(const Lines* s) noexcept nogil: width_strip(s, 2, 5)
cdef void width_3x1(const Lines* s) noexcept nogil: width_strip(s, 3, 1)
cdef void width_3x2(const Lines* s) noexcept nogil: width_strip(s, 3, 2)
cdef void width_3x3(const Lines* s) noexcept nogil: width_strip(s, 3, 3)
cdef void width_4x1(const Lines* s) noexcept nogil: width_strip(s, 4, 1)
cdef void width_4x2(const Lines* s) noexcept nogil: width_strip(s, 4, 2)
cdef void width_4x3(const Lines* s) noexcept nogil: width_strip(s, 4, 3)
cdef void width_5x1(const Lines* s) noexcept nogil: width_strip(s, 5, 1)
cdef void width_5x2(const Lines* s) noexcept nogil: width_strip(s, 5, 2)
cdef void width_6x1(const Lines* s) noexcept nogil: width_strip(s, 6, 1)
cdef void width_6x2(const Lines* s) noexcept nogil: width_strip(s, 6, 2)

WIDTH_TILES[1][1:9] = [width_1x1, width_1x2, width_1x3, width_1x4, width_1x5, width_1x6,
    width_1x7, width_1x8]
WIDTH_TILES[2][1:6] = [width_2x1, width_2x2, width_2x3, width_2x4, width_2x5]
WIDTH_TILES[3][1:4] = [width_3x1, width_3x2, width_3x3]
WIDTH_TILES[4][1:4] = [width_4x1, width_4x2, width_4x3]
WIDTH_TILES[5][1:3] = [width_5x1, width_5x2]
WIDTH_TILES[6][1:3] = [width_6x1, width_6x2]
