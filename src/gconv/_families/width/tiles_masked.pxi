# The tiles of masked lanes, output channels x vectors.


cdef void masked_1x1(const MaskedStrip* s) noexcept nogil: masked_strip(s, 1, 1)
cdef void masked_1x2(const MaskedStrip* s) noexcept nogil: masked_strip(s, 1, 2)
cdef void masked_1x3(const MaskedStrip* s) noexcept nogil: masked_strip(s, 1, 3)
cdef void masked_1x4(const MaskedStrip* s) noexcept nogil: masked_strip(s, 1, 4)
cdef void masked_1x5(const MaskedStrip* s) noexcept nogil: masked_strip(s, 1, 5)
cdef void masked_1x6(const MaskedStrip* s) noexcept nogil: masked_strip(s, 1, 6)
cdef void masked_1x7(const MaskedStrip* s) noexcept nogil: masked_strip(s, 1, 7)
cdef void masked_1x8(const MaskedStrip* s) noexcept nogil: masked_strip(s, 1, 8)
cdef void masked_2x1(const MaskedStrip* s) noexcept nogil: masked_strip(s, 2, 1)
cdef void masked_2x2(const MaskedStrip* s) noexcept nogil: masked_strip(s, 2, 2)
cdef void masked_2x3(const MaskedStrip* s) noexcept nogil: masked_strip(s, 2, 3)
cdef void masked_2x4(const MaskedStrip* s) noexcept nogil: masked_strip(s, 2, 4)
cdef void masked_2x5(const MaskedStrip* s) noexcept nogil: masked_strip(s, 2, 5)
cdef void masked_2x6(const MaskedStrip* s) noexcept nogil: masked_strip(s, 2, 6)
cdef void masked_2x7(const MaskedStrip* s) noexcept nogil: masked_strip(s, 2, 7)
cdef void masked_2x8(const MaskedStrip* s) noexcept nogil: masked_strip(s, 2, 8)
cdef void masked_3x1(const MaskedStrip* s) noexcept nogil: masked_strip(s, 3, 1)
cdef void masked_3x2(const MaskedStrip* s) noexcept nogil: masked_strip(s, 3, 2)
cdef void masked_3x3(const MaskedStrip* s) noexcept nogil: masked_strip(s, 3, 3)
cdef void masked_3x4(const MaskedStrip* s) noexcept nogil: masked_strip(s, 3, 4)
cdef void masked_3x5(const MaskedStrip* s) noexcept nogil: masked_strip(s, 3, 5)
cdef void masked_3x6(const MaskedStrip* s) noexcept nogil: masked_strip(s, 3, 6)
cdef void masked_3x7(const MaskedStrip* s) noexcept nogil: masked_strip(s, 3, 7)
cdef void masked_4x1(const MaskedStrip* s) noexcept nogil: masked_strip(s, 4, 1)
cdef void masked_4x2(const MaskedStrip* s) noexcept nogil: masked_strip(s, 4, 2)
cdef void masked_4x3(const MaskedStrip* s) noexcept nogil: masked_strip(s, 4, 3)
cdef void masked_4x4(const MaskedStrip* s) noexcept nogil: masked_strip(s, 4, 4)
cdef void masked_4x5(const MaskedStrip* s) noexcept nogil: masked_strip(s, 4, 5)
cdef void masked_4x6(const MaskedStrip* s) noexcept nogil: masked_strip(s, 4, 6)
cdef void masked_5x1(const MaskedStrip* s) noexcept nogil: masked_strip(s, 5, 1)
cdef void masked_5x2(const MaskedStrip* s) noexcept nogil: masked_strip(s, 5, 2)
cdef void masked_5x3(const MaskedStrip* s) noexcept nogil: masked_strip(s, 5, 3)
cdef void masked_5x4(const MaskedStrip* s) noexcept nogil: masked_strip(s, 5, 4)
cdef void masked_5x5(const MaskedStrip* s) noexcept nogil: masked_strip(s, 5, 5)
cdef void masked_6x1(const MaskedStrip* s) noexcept nogil: masked_strip(s, 6, 1)
cdef void masked_6x2(const MaskedStrip* s) noexcept nogil: masked_strip(s, 6, 2)
cdef void masked_6x3(const MaskedStrip* s) noexcept nogil: masked_strip(s, 6, 3)
cdef void masked_6x4(const MaskedStrip* s) noexcept nogil: masked_strip(s, 6, 4)
cdef void masked_7x1(const MaskedStrip* s) noexcept nogil: masked_strip(s, 7, 1)
cdef void masked_7x2(const MaskedStrip* s) noexcept nogil: masked_strip(s, 7, 2)
cdef void masked_7x3(const MaskedStrip* s) noexcept nogil: masked_strip(s, 7, 3)
cdef void masked_8x1(const MaskedStrip* s) noexcept nogil: masked_strip(s, 8, 1)
cdef void masked_8x2(const MaskedStrip* s) noexcept nogil: masked_strip(s, 8, 2)
cdef void masked_8x3(const MaskedStrip* s) noexcept nogil: masked_strip(s, 8, 3)

if MASKED_LOADS:
    MASKED_TILES[1][1:9] = [
        masked_1x1, masked_1x2, masked_1x3, masked_1x4, masked_1x5, masked_1x6, masked_1x7,
        masked_1x8]
    MASKED_TILES[2][1:9] = [
        masked_2x1, masked_2x2, masked_2x3, masked_2x4, masked_2x5, masked_2x6, masked_2x7,
        masked_2x8]
    MASKED_TILES[3][1:8] = [
        masked_3x1, masked_3x2, masked_3x3, masked_3x4, masked_3x5, masked_3x6, masked_3x7]
    MASKED_TILES[4][1:7] = [masked_4x1, masked_4x2, masked_4x3, masked_4x4, masked_4x5, masked_4x6]
    MASKED_TILES[5][1:6] = [masked_5x1, masked_5x2, masked_5x3, masked_5x4, masked_5x5]
    MASKED_TILES[6][1:5] = [masked_6x1, masked_6x2, masked_6x3, masked_6x4]
    MASKED_TILES[7][1:4] = [masked_7x1, masked_7x2, masked_7x3]
    MASKED_TILES[8][1:4] = [masked_8x1, masked_8x2, masked_8x3]
