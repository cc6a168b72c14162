# The further tiles, output channels x vectors, that fit 32 vector registers.


cdef void width_2x6(const Lines* s) noexcept nogil: width_strip(s, 2, 6)
cdef void width_2x7(const Lines* s) noexcept nogil: width_strip(s, 2, 7)
cdef void width_2x8(const Lines* s) noexcept nogil: width_strip(s, 2, 8)
cdef void width_3x4(const Lines* s) noexcept nogil: width_strip(s, 3, 4)
cdef void width_3x5(const Lines* s) noexcept nogil: width_strip(s, 3, 5)
cdef void width_3x6(const Lines* s) noexcept nogil: width_strip(s, 3, 6)
cdef void width_3x7(const Lines* s) noexcept nogil: width_strip(s, 3, 7)
cdef void width_4x4(const Lines* s) noexcept nogil: width_strip(s, 4, 4)
cdef void width_4x5(const Lines* s) noexcept nogil: width_strip(s, 4, 5)
cdef void width_4x6(const Lines* s) noexcept nogil: width_strip(s, 4, 6)
cdef void width_5x3(const Lines* s) noexcept nogil: width_strip(s, 5, 3)
cdef void width_5x4(const Lines* s) noexcept nogil: width_strip(s, 5, 4)
cdef void width_5x5(const Lines* s) noexcept nogil: width_strip(s, 5, 5)
cdef void width_6x3(const Lines* s) noexcept nogil: width_strip(s, 6, 3)
cdef void width_6x4(const Lines* s) noexcept nogil: width_strip(s, 6, 4)
cdef void width_7x1(const Lines* s) noexcept nogil: width_strip(s, 7, 1)
cdef void width_7x2(const Lines* s) noexcept nogil: width_strip(s, 7, 2)
cdef void width_7x3(const Lines* s) noexcept nogil: width_strip(s, 7, 3)
cdef void width_8x1(const Lines* s) noexcept nogil: width_strip(s, 8, 1)
cdef void width_8x2(const Lines* s) noexcept nogil: width_strip(s, 8, 2)
cdef void width_8x3(const Lines* s) noexcept nogil: width_strip(s, 8, 3)

if REGISTERS >= 32:
    WIDTH_TILES[2][1:9] = [width_2x1, width_2x2, width_2x3, width_2x4, width_2x5, width_2x6,
        width_2x7, width_2x8]
    WIDTH_TILES[3][1:8] = [width_3x1, width_3x2, width_3x3, width_3x4, width_3x5, width_3x6,
        width_3x7]
    WIDTH_TILES[4][1:7] = [width_4x1, width_4x2, width_4x3, width_4x4, width_4x5, width_4x6]
    WIDTH_TILES[5][1:6] = [width_5x1, width_5x2, width_5x3, width_5x4, width_5x5]
    WIDTH_TILES[6][1:5] = [width_6x1, width_6x2, width_6x3, width_6x4]
    WIDTH_TILES[7][1:4] = [width_7x1, width_7x2, width_7x3]
    WIDTH_TILES[8][1:4] = [width_8x1, width_8x2, width_8x3]
