# The further tiles, output rows x vectors, that fit 32 vector registers.


cdef void depthwise_2x6(const Lines* s) noexcept nogil: depthwise_strip(s, 2, 6, 0)
cdef void depthwise_2x7(const Lines* s) noexcept nogil: depthwise_strip(s, 2, 7, 0)
cdef void depthwise_2x8(const Lines* s) noexcept nogil: depthwise_strip(s, 2, 8, 0)
cdef void depthwise_3x4(const Lines* s) noexcept nogil: depthwise_strip(s, 3, 4, 0)
cdef void depthwise_3x5(const Lines* s) noexcept nogil: depthwise_strip(s, 3, 5, 0)
cdef void depthwise_3x6(const Lines* s) noexcept nogil: depthwise_strip(s, 3, 6, 0)
cdef void depthwise_3x7(const Lines* s) noexcept nogil: depthwise_strip(s, 3, 7, 0)
cdef void depthwise_4x4(const Lines* s) noexcept nogil: depthwise_strip(s, 4, 4, 0)
cdef void depthwise_4x5(const Lines* s) noexcept nogil: depthwise_strip(s, 4, 5, 0)
cdef void depthwise_4x6(const Lines* s) noexcept nogil: depthwise_strip(s, 4, 6, 0)
cdef void depthwise_5x1(const Lines* s) noexcept nogil: depthwise_strip(s, 5, 1, 0)
cdef void depthwise_5x2(const Lines* s) noexcept nogil: depthwise_strip(s, 5, 2, 0)
cdef void depthwise_5x3(const Lines* s) noexcept nogil: depthwise_strip(s, 5, 3, 0)
cdef void depthwise_5x4(const Lines* s) noexcept nogil: depthwise_strip(s, 5, 4, 0)
cdef void depthwise_5x5(const Lines* s) noexcept nogil: depthwise_strip(s, 5, 5, 0)
cdef void depthwise_6x1(const Lines* s) noexcept nogil: depthwise_strip(s, 6, 1, 0)
cdef void depthwise_6x2(const Lines* s) noexcept nogil: depthwise_strip(s, 6, 2, 0)
cdef void depthwise_6x3(const Lines* s) noexcept nogil: depthwise_strip(s, 6, 3, 0)
cdef void depthwise_6x4(const Lines* s) noexcept nogil: depthwise_strip(s, 6, 4, 0)

if REGISTERS >= 32:
    DEPTHWISE_TILES[2][1:9] = [depthwise_2x1, depthwise_2x2, depthwise_2x3, depthwise_2x4,
        depthwise_2x5, depthwise_2x6, depthwise_2x7, depthwise_2x8]
    DEPTHWISE_TILES[3][1:8] = [depthwise_3x1, depthwise_3x2, depthwise_3x3, depthwise_3x4,
        depthwise_3x5, depthwise_3x6, depthwise_3x7]
    DEPTHWISE_TILES[4][1:7] = [depthwise_4x1, depthwise_4x2, depthwise_4x3, depthwise_4x4,
        depthwise_4x5, depthwise_4x6]
    DEPTHWISE_TILES[5][1:6] = [depthwise_5x1, depthwise_5x2, depthwise_5x3, depthwise_5x4,
        depthwise_5x5]
    DEPTHWISE_TILES[6][1:5] = [depthwise_6x1, depthwise_6x2, depthwise_6x3, depthwise_6x4]

cdef void three_2x6(const Lines* s) noexcept nogil: depthwise_strip(s, 2, 6, 3)
cdef void three_2x7(const Lines* s) noexcept nogil: depthwise_strip(s, 2, 7, 3)
cdef void three_2x8(const Lines* s) noexcept nogil: depthwise_strip(s, 2, 8, 3)
cdef void three_3x4(const Lines* s) noexcept nogil: depthwise_strip(s, 3, 4, 3)
cdef void three_3x5(const Lines* s) noexcept nogil: depthwise_strip(s, 3, 5, 3)
cdef void three_3x6(const Lines* s) noexcept nogil: depthwise_strip(s, 3, 6, 3)
cdef void three_3x7(const Lines* s) noexcept nogil: depthwise_strip(s, 3, 7, 3)
cdef void three_4x3(const Lines* s) noexcept nogil: depthwise_strip(s, 4, 3, 3)
cdef void three_4x4(const Lines* s) noexcept nogil: depthwise_strip(s, 4, 4, 3)
cdef void three_4x5(const Lines* s) noexcept nogil: depthwise_strip(s, 4, 5, 3)

if REGISTERS >= 32:
    THREE_COLUMN_TILES[2][1:9] = [three_2x1, three_2x2, three_2x3, three_2x4, three_2x5, three_2x6,
        three_2x7, three_2x8]
    THREE_COLUMN_TILES[3][1:8] = [three_3x1, three_3x2, three_3x3, three_3x4, three_3x5, three_3x6,
        three_3x7]
    THREE_COLUMN_TILES[4][1:6] = [three_4x1, three_4x2, three_4x3, three_4x4, three_4x5]
