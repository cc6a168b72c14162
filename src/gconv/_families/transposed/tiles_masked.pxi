# The tiles of upsampling, by kernel rows, stride and vectors of each column's phase: of x in a panel
# (padded), and of x in place.


cdef void padded_1_s2_1(const Columns* s) noexcept nogil: upsampling_strip(s, 1, 2, 1, False)
cdef void padded_1_s2_2(const Columns* s) noexcept nogil: upsampling_strip(s, 1, 2, 2, False)
cdef void padded_1_s2_3(const Columns* s) noexcept nogil: upsampling_strip(s, 1, 2, 3, False)
cdef void padded_1_s2_4(const Columns* s) noexcept nogil: upsampling_strip(s, 1, 2, 4, False)
cdef void padded_2_s2_1(const Columns* s) noexcept nogil: upsampling_strip(s, 2, 2, 1, False)
cdef void padded_2_s2_2(const Columns* s) noexcept nogil: upsampling_strip(s, 2, 2, 2, False)
cdef void padded_2_s2_3(const Columns* s) noexcept nogil: upsampling_strip(s, 2, 2, 3, False)
cdef void padded_2_s2_4(const Columns* s) noexcept nogil: upsampling_strip(s, 2, 2, 4, False)
cdef void padded_3_s2_1(const Columns* s) noexcept nogil: upsampling_strip(s, 3, 2, 1, False)
cdef void padded_3_s2_2(const Columns* s) noexcept nogil: upsampling_strip(s, 3, 2, 2, False)
cdef void padded_3_s2_3(const Columns* s) noexcept nogil: upsampling_strip(s, 3, 2, 3, False)
cdef void padded_1_s4_1(const Columns* s) noexcept nogil: upsampling_strip(s, 1, 4, 1, False)
cdef void padded_1_s4_2(const Columns* s) noexcept nogil: upsampling_strip(s, 1, 4, 2, False)
cdef void padded_2_s4_1(const Columns* s) noexcept nogil: upsampling_strip(s, 2, 4, 1, False)
cdef void padded_2_s4_2(const Columns* s) noexcept nogil: upsampling_strip(s, 2, 4, 2, False)
cdef void padded_3_s4_1(const Columns* s) noexcept nogil: upsampling_strip(s, 3, 4, 1, False)
cdef void padded_1_s8_1(const Columns* s) noexcept nogil: upsampling_strip(s, 1, 8, 1, False)
cdef void padded_2_s8_1(const Columns* s) noexcept nogil: upsampling_strip(s, 2, 8, 1, False)
cdef void upsampling_1_s2_1(const Columns* s) noexcept nogil: upsampling_strip(s, 1, 2, 1, True)
cdef void upsampling_1_s2_2(const Columns* s) noexcept nogil: upsampling_strip(s, 1, 2, 2, True)
cdef void upsampling_1_s2_3(const Columns* s) noexcept nogil: upsampling_strip(s, 1, 2, 3, True)
cdef void upsampling_1_s2_4(const Columns* s) noexcept nogil: upsampling_strip(s, 1, 2, 4, True)
cdef void upsampling_2_s2_1(const Columns* s) noexcept nogil: upsampling_strip(s, 2, 2, 1, True)
cdef void upsampling_2_s2_2(const Columns* s) noexcept nogil: upsampling_strip(s, 2, 2, 2, True)
cdef void upsampling_2_s2_3(const Columns* s) noexcept nogil: upsampling_strip(s, 2, 2, 3, True)
cdef void upsampling_2_s2_4(const Columns* s) noexcept nogil: upsampling_strip(s, 2, 2, 4, True)
cdef void upsampling_3_s2_1(const Columns* s) noexcept nogil: upsampling_strip(s, 3, 2, 1, True)
cdef void upsampling_3_s2_2(const Columns* s) noexcept nogil: upsampling_strip(s, 3, 2, 2, True)
cdef void upsampling_3_s2_3(const Columns* s) noexcept nogil: upsampling_strip(s, 3, 2, 3, True)
cdef void upsampling_1_s4_1(const Columns* s) noexcept nogil: upsampling_strip(s, 1, 4, 1, True)
cdef void upsampling_1_s4_2(const Columns* s) noexcept nogil: upsampling_strip(s, 1, 4, 2, True)
cdef void upsampling_2_s4_1(const Columns* s) noexcept nogil: upsampling_strip(s, 2, 4, 1, True)
cdef void upsampling_2_s4_2(const Columns* s) noexcept nogil: upsampling_strip(s, 2, 4, 2, True)
cdef void upsampling_3_s4_1(const Columns* s) noexcept nogil: upsampling_strip(s, 3, 4, 1, True)
cdef void upsampling_1_s8_1(const Columns* s) noexcept nogil: upsampling_strip(s, 1, 8, 1, True)
cdef void upsampling_2_s8_1(const Columns* s) noexcept nogil: upsampling_strip(s, 2, 8, 1, True)

if MASKED_LOADS:
    UPSAMPLING_TILES[0][2][1][1:5] = [padded_1_s2_1, padded_1_s2_2, padded_1_s2_3, padded_1_s2_4]
    UPSAMPLING_TILES[0][2][2][1:5] = [padded_2_s2_1, padded_2_s2_2, padded_2_s2_3, padded_2_s2_4]
    UPSAMPLING_TILES[0][2][3][1:4] = [padded_3_s2_1, padded_3_s2_2, padded_3_s2_3]
    UPSAMPLING_TILES[0][4][1][1:3] = [padded_1_s4_1, padded_1_s4_2]
    UPSAMPLING_TILES[0][4][2][1:3] = [padded_2_s4_1, padded_2_s4_2]
    UPSAMPLING_TILES[0][4][3][1:2] = [padded_3_s4_1]
    UPSAMPLING_TILES[0][8][1][1:2] = [padded_1_s8_1]
    UPSAMPLING_TILES[0][8][2][1:2] = [padded_2_s8_1]
    UPSAMPLING_TILES[1][2][1][1:5] = [
        upsampling_1_s2_1, upsampling_1_s2_2, upsampling_1_s2_3, upsampling_1_s2_4]
    UPSAMPLING_TILES[1][2][2][1:5] = [
        upsampling_2_s2_1, upsampling_2_s2_2, upsampling_2_s2_3, upsampling_2_s2_4]
    UPSAMPLING_TILES[1][2][3][1:4] = [upsampling_3_s2_1, upsampling_3_s2_2, upsampling_3_s2_3]
    UPSAMPLING_TILES[1][4][1][1:3] = [upsampling_1_s4_1, upsampling_1_s4_2]
    UPSAMPLING_TILES[1][4][2][1:3] = [upsampling_2_s4_1, upsampling_2_s4_2]
    UPSAMPLING_TILES[1][4][3][1:2] = [upsampling_3_s4_1]
    UPSAMPLING_TILES[1][8][1][1:2] = [upsampling_1_s8_1]
    UPSAMPLING_TILES[1][8][2][1:2] = [upsampling_2_s8_1]
