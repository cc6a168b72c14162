# The tiles, by kernel rows, stride and vectors: any kernel; square ones, whose columns are literal,
# of one plane but for 3x3x3; and a plain 3x3, whose weights are held in registers (dilated: with
# its columns apart). Wider tiles for 5 kernel rows and more (with stride 2, for 6 and more) are
# slower: they broadcast weights by instructions of their own.


cdef void sliding_1_s1_1(const Columns* s) noexcept nogil: sliding_strip(s, 1, 1, 1, 0, False, False)
cdef void sliding_1_s1_2(const Columns* s) noexcept nogil: sliding_strip(s, 1, 1, 2, 0, False, False)
cdef void sliding_1_s1_3(const Columns* s) noexcept nogil: sliding_strip(s, 1, 1, 3, 0, False, False)
cdef void sliding_1_s1_4(const Columns* s) noexcept nogil: sliding_strip(s, 1, 1, 4, 0, False, False)
cdef void sliding_1_s1_5(const Columns* s) noexcept nogil: sliding_strip(s, 1, 1, 5, 0, False, False)
cdef void sliding_1_s1_6(const Columns* s) noexcept nogil: sliding_strip(s, 1, 1, 6, 0, False, False)
cdef void sliding_1_s1_7(const Columns* s) noexcept nogil: sliding_strip(s, 1, 1, 7, 0, False, False)
cdef void sliding_1_s1_8(const Columns* s) noexcept nogil: sliding_strip(s, 1, 1, 8, 0, False, False)
cdef void sliding_2_s1_1(const Columns* s) noexcept nogil: sliding_strip(s, 2, 1, 1, 0, False, False)
cdef void sliding_2_s1_2(const Columns* s) noexcept nogil: sliding_strip(s, 2, 1, 2, 0, False, False)
cdef void sliding_2_s1_3(const Columns* s) noexcept nogil: sliding_strip(s, 2, 1, 3, 0, False, False)
cdef void sliding_2_s1_4(const Columns* s) noexcept nogil: sliding_strip(s, 2, 1, 4, 0, False, False)
cdef void sliding_3_s1_1(const Columns* s) noexcept nogil: sliding_strip(s, 3, 1, 1, 0, False, False)
cdef void sliding_3_s1_2(const Columns* s) noexcept nogil: sliding_strip(s, 3, 1, 2, 0, False, False)
cdef void sliding_3_s1_3(const Columns* s) noexcept nogil: sliding_strip(s, 3, 1, 3, 0, False, False)
cdef void sliding_3_s1_4(const Columns* s) noexcept nogil: sliding_strip(s, 3, 1, 4, 0, False, False)
cdef void sliding_4_s1_1(const Columns* s) noexcept nogil: sliding_strip(s, 4, 1, 1, 0, False, False)
cdef void sliding_4_s1_2(const Columns* s) noexcept nogil: sliding_strip(s, 4, 1, 2, 0, False, False)
cdef void sliding_4_s1_3(const Columns* s) noexcept nogil: sliding_strip(s, 4, 1, 3, 0, False, False)
cdef void sliding_4_s1_4(const Columns* s) noexcept nogil: sliding_strip(s, 4, 1, 4, 0, False, False)
cdef void sliding_5_s1_1(const Columns* s) noexcept nogil: sliding_strip(s, 5, 1, 1, 0, False, False)
cdef void sliding_6_s1_1(const Columns* s) noexcept nogil: sliding_strip(s, 6, 1, 1, 0, False, False)
cdef void sliding_7_s1_1(const Columns* s) noexcept nogil: sliding_strip(s, 7, 1, 1, 0, False, False)
cdef void sliding_1_s2_1(const Columns* s) noexcept nogil: sliding_strip(s, 1, 2, 1, 0, False, False)
cdef void sliding_1_s2_2(const Columns* s) noexcept nogil: sliding_strip(s, 1, 2, 2, 0, False, False)
cdef void sliding_1_s2_3(const Columns* s) noexcept nogil: sliding_strip(s, 1, 2, 3, 0, False, False)
cdef void sliding_1_s2_4(const Columns* s) noexcept nogil: sliding_strip(s, 1, 2, 4, 0, False, False)
cdef void sliding_2_s2_1(const Columns* s) noexcept nogil: sliding_strip(s, 2, 2, 1, 0, False, False)
cdef void sliding_2_s2_2(const Columns* s) noexcept nogil: sliding_strip(s, 2, 2, 2, 0, False, False)
cdef void sliding_2_s2_3(const Columns* s) noexcept nogil: sliding_strip(s, 2, 2, 3, 0, False, False)
cdef void sliding_2_s2_4(const Columns* s) noexcept nogil: sliding_strip(s, 2, 2, 4, 0, False, False)
cdef void sliding_3_s2_1(const Columns* s) noexcept nogil: sliding_strip(s, 3, 2, 1, 0, False, False)
cdef void sliding_3_s2_2(const Columns* s) noexcept nogil: sliding_strip(s, 3, 2, 2, 0, False, False)
cdef void sliding_3_s2_3(const Columns* s) noexcept nogil: sliding_strip(s, 3, 2, 3, 0, False, False)
cdef void sliding_3_s2_4(const Columns* s) noexcept nogil: sliding_strip(s, 3, 2, 4, 0, False, False)
cdef void sliding_4_s2_1(const Columns* s) noexcept nogil: sliding_strip(s, 4, 2, 1, 0, False, False)
cdef void sliding_4_s2_2(const Columns* s) noexcept nogil: sliding_strip(s, 4, 2, 2, 0, False, False)
cdef void sliding_4_s2_3(const Columns* s) noexcept nogil: sliding_strip(s, 4, 2, 3, 0, False, False)
cdef void sliding_4_s2_4(const Columns* s) noexcept nogil: sliding_strip(s, 4, 2, 4, 0, False, False)
cdef void sliding_5_s2_1(const Columns* s) noexcept nogil: sliding_strip(s, 5, 2, 1, 0, False, False)
cdef void sliding_5_s2_2(const Columns* s) noexcept nogil: sliding_strip(s, 5, 2, 2, 0, False, False)
cdef void sliding_5_s2_3(const Columns* s) noexcept nogil: sliding_strip(s, 5, 2, 3, 0, False, False)
cdef void sliding_5_s2_4(const Columns* s) noexcept nogil: sliding_strip(s, 5, 2, 4, 0, False, False)
cdef void sliding_6_s2_1(const Columns* s) noexcept nogil: sliding_strip(s, 6, 2, 1, 0, False, False)
cdef void sliding_7_s2_1(const Columns* s) noexcept nogil: sliding_strip(s, 7, 2, 1, 0, False, False)
cdef void square_2_s1_1(const Columns* s) noexcept nogil: sliding_strip(s, 2, 1, 1, 2, True, False)
cdef void square_2_s1_2(const Columns* s) noexcept nogil: sliding_strip(s, 2, 1, 2, 2, True, False)
cdef void square_2_s1_3(const Columns* s) noexcept nogil: sliding_strip(s, 2, 1, 3, 2, True, False)
cdef void square_2_s1_4(const Columns* s) noexcept nogil: sliding_strip(s, 2, 1, 4, 2, True, False)
cdef void square_3_s1_1(const Columns* s) noexcept nogil: sliding_strip(s, 3, 1, 1, 3, True, False)
cdef void square_3_s1_2(const Columns* s) noexcept nogil: sliding_strip(s, 3, 1, 2, 3, True, False)
cdef void square_3_s1_3(const Columns* s) noexcept nogil: sliding_strip(s, 3, 1, 3, 3, True, False)
cdef void square_3_s1_4(const Columns* s) noexcept nogil: sliding_strip(s, 3, 1, 4, 3, True, False)
cdef void square_4_s1_1(const Columns* s) noexcept nogil: sliding_strip(s, 4, 1, 1, 4, True, False)
cdef void square_4_s1_2(const Columns* s) noexcept nogil: sliding_strip(s, 4, 1, 2, 4, True, False)
cdef void square_4_s1_3(const Columns* s) noexcept nogil: sliding_strip(s, 4, 1, 3, 4, True, False)
cdef void square_4_s1_4(const Columns* s) noexcept nogil: sliding_strip(s, 4, 1, 4, 4, True, False)
cdef void square_5_s1_1(const Columns* s) noexcept nogil: sliding_strip(s, 5, 1, 1, 5, True, False)
cdef void square_6_s1_1(const Columns* s) noexcept nogil: sliding_strip(s, 6, 1, 1, 6, True, False)
cdef void square_7_s1_1(const Columns* s) noexcept nogil: sliding_strip(s, 7, 1, 1, 7, True, False)
cdef void square_2_s2_1(const Columns* s) noexcept nogil: sliding_strip(s, 2, 2, 1, 2, True, False)
cdef void square_2_s2_2(const Columns* s) noexcept nogil: sliding_strip(s, 2, 2, 2, 2, True, False)
cdef void square_2_s2_3(const Columns* s) noexcept nogil: sliding_strip(s, 2, 2, 3, 2, True, False)
cdef void square_2_s2_4(const Columns* s) noexcept nogil: sliding_strip(s, 2, 2, 4, 2, True, False)
cdef void square_3_s2_1(const Columns* s) noexcept nogil: sliding_strip(s, 3, 2, 1, 3, True, False)
cdef void square_3_s2_2(const Columns* s) noexcept nogil: sliding_strip(s, 3, 2, 2, 3, True, False)
cdef void square_3_s2_3(const Columns* s) noexcept nogil: sliding_strip(s, 3, 2, 3, 3, True, False)
cdef void square_3_s2_4(const Columns* s) noexcept nogil: sliding_strip(s, 3, 2, 4, 3, True, False)
cdef void square_4_s2_1(const Columns* s) noexcept nogil: sliding_strip(s, 4, 2, 1, 4, True, False)
cdef void square_4_s2_2(const Columns* s) noexcept nogil: sliding_strip(s, 4, 2, 2, 4, True, False)
cdef void square_4_s2_3(const Columns* s) noexcept nogil: sliding_strip(s, 4, 2, 3, 4, True, False)
cdef void square_4_s2_4(const Columns* s) noexcept nogil: sliding_strip(s, 4, 2, 4, 4, True, False)
cdef void square_5_s2_1(const Columns* s) noexcept nogil: sliding_strip(s, 5, 2, 1, 5, True, False)
cdef void square_5_s2_2(const Columns* s) noexcept nogil: sliding_strip(s, 5, 2, 2, 5, True, False)
cdef void square_5_s2_3(const Columns* s) noexcept nogil: sliding_strip(s, 5, 2, 3, 5, True, False)
cdef void square_5_s2_4(const Columns* s) noexcept nogil: sliding_strip(s, 5, 2, 4, 5, True, False)
cdef void square_6_s2_1(const Columns* s) noexcept nogil: sliding_strip(s, 6, 2, 1, 6, True, False)
cdef void square_7_s2_1(const Columns* s) noexcept nogil: sliding_strip(s, 7, 2, 1, 7, True, False)
cdef void held_s1_1(const Columns* s) noexcept nogil: sliding_strip(s, 3, 1, 1, 3, True, True)
cdef void held_s1_2(const Columns* s) noexcept nogil: sliding_strip(s, 3, 1, 2, 3, True, True)
cdef void held_s1_3(const Columns* s) noexcept nogil: sliding_strip(s, 3, 1, 3, 3, True, True)
cdef void held_s1_4(const Columns* s) noexcept nogil: sliding_strip(s, 3, 1, 4, 3, True, True)
cdef void held_s2_1(const Columns* s) noexcept nogil: sliding_strip(s, 3, 2, 1, 3, True, True)
cdef void held_s2_2(const Columns* s) noexcept nogil: sliding_strip(s, 3, 2, 2, 3, True, True)
cdef void held_s2_3(const Columns* s) noexcept nogil: sliding_strip(s, 3, 2, 3, 3, True, True)
cdef void held_s2_4(const Columns* s) noexcept nogil: sliding_strip(s, 3, 2, 4, 3, True, True)
cdef void dilated_1(const Columns* s) noexcept nogil: sliding_strip(s, 3, 1, 1, 3, False, True)
cdef void dilated_2(const Columns* s) noexcept nogil: sliding_strip(s, 3, 1, 2, 3, False, True)
cdef void dilated_3(const Columns* s) noexcept nogil: sliding_strip(s, 3, 1, 3, 3, False, True)
cdef void dilated_4(const Columns* s) noexcept nogil: sliding_strip(s, 3, 1, 4, 3, False, True)

if MASKED_LOADS:
    SLIDING_TILES[1][1][1:9] = [sliding_1_s1_1, sliding_1_s1_2, sliding_1_s1_3, sliding_1_s1_4,
        sliding_1_s1_5, sliding_1_s1_6, sliding_1_s1_7, sliding_1_s1_8]
    SLIDING_TILES[1][2][1:5] = [sliding_2_s1_1, sliding_2_s1_2, sliding_2_s1_3, sliding_2_s1_4]
    SLIDING_TILES[1][3][1:5] = [sliding_3_s1_1, sliding_3_s1_2, sliding_3_s1_3, sliding_3_s1_4]
    SLIDING_TILES[1][4][1:5] = [sliding_4_s1_1, sliding_4_s1_2, sliding_4_s1_3, sliding_4_s1_4]
    SLIDING_TILES[1][5][1:2] = [sliding_5_s1_1]
    SLIDING_TILES[1][6][1:2] = [sliding_6_s1_1]
    SLIDING_TILES[1][7][1:2] = [sliding_7_s1_1]
    SLIDING_TILES[2][1][1:5] = [sliding_1_s2_1, sliding_1_s2_2, sliding_1_s2_3, sliding_1_s2_4]
    SLIDING_TILES[2][2][1:5] = [sliding_2_s2_1, sliding_2_s2_2, sliding_2_s2_3, sliding_2_s2_4]
    SLIDING_TILES[2][3][1:5] = [sliding_3_s2_1, sliding_3_s2_2, sliding_3_s2_3, sliding_3_s2_4]
    SLIDING_TILES[2][4][1:5] = [sliding_4_s2_1, sliding_4_s2_2, sliding_4_s2_3, sliding_4_s2_4]
    SLIDING_TILES[2][5][1:5] = [sliding_5_s2_1, sliding_5_s2_2, sliding_5_s2_3, sliding_5_s2_4]
    SLIDING_TILES[2][6][1:2] = [sliding_6_s2_1]
    SLIDING_TILES[2][7][1:2] = [sliding_7_s2_1]
    SQUARE_TILES[1][2][1:5] = [square_2_s1_1, square_2_s1_2, square_2_s1_3, square_2_s1_4]
    SQUARE_TILES[1][3][1:5] = [square_3_s1_1, square_3_s1_2, square_3_s1_3, square_3_s1_4]
    SQUARE_TILES[1][4][1:5] = [square_4_s1_1, square_4_s1_2, square_4_s1_3, square_4_s1_4]
    SQUARE_TILES[1][5][1:2] = [square_5_s1_1]
    SQUARE_TILES[1][6][1:2] = [square_6_s1_1]
    SQUARE_TILES[1][7][1:2] = [square_7_s1_1]
    SQUARE_TILES[2][2][1:5] = [square_2_s2_1, square_2_s2_2, square_2_s2_3, square_2_s2_4]
    SQUARE_TILES[2][3][1:5] = [square_3_s2_1, square_3_s2_2, square_3_s2_3, square_3_s2_4]
    SQUARE_TILES[2][4][1:5] = [square_4_s2_1, square_4_s2_2, square_4_s2_3, square_4_s2_4]
    SQUARE_TILES[2][5][1:5] = [square_5_s2_1, square_5_s2_2, square_5_s2_3, square_5_s2_4]
    SQUARE_TILES[2][6][1:2] = [square_6_s2_1]
    SQUARE_TILES[2][7][1:2] = [square_7_s2_1]
    HELD_TILES[1][1:5] = [held_s1_1, held_s1_2, held_s1_3, held_s1_4]
    HELD_TILES[2][1:5] = [held_s2_1, held_s2_2, held_s2_3, held_s2_4]
    DILATED_TILES[1:5] = [dilated_1, dilated_2, dilated_3, dilated_4]
