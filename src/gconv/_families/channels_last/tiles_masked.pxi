# The tiles for instruction sets with masked loads: by pixels; by kernel columns, stride, pixels.


cdef void neighbours_1(const LaneStrip* s) noexcept nogil: neighbour_strip(s, 1)
cdef void neighbours_2(const LaneStrip* s) noexcept nogil: neighbour_strip(s, 2)
cdef void neighbours_3(const LaneStrip* s) noexcept nogil: neighbour_strip(s, 3)
cdef void neighbours_4(const LaneStrip* s) noexcept nogil: neighbour_strip(s, 4)
cdef void neighbours_5(const LaneStrip* s) noexcept nogil: neighbour_strip(s, 5)
cdef void neighbours_6(const LaneStrip* s) noexcept nogil: neighbour_strip(s, 6)
cdef void neighbours_7(const LaneStrip* s) noexcept nogil: neighbour_strip(s, 7)
cdef void neighbours_8(const LaneStrip* s) noexcept nogil: neighbour_strip(s, 8)
cdef void neighbours_9(const LaneStrip* s) noexcept nogil: neighbour_strip(s, 9)
cdef void neighbours_10(const LaneStrip* s) noexcept nogil: neighbour_strip(s, 10)
cdef void neighbours_11(const LaneStrip* s) noexcept nogil: neighbour_strip(s, 11)
cdef void neighbours_12(const LaneStrip* s) noexcept nogil: neighbour_strip(s, 12)

if MASKED_LOADS:
    LANE_TILES[<int>NEIGHBOURS][1:13] = [
        neighbours_1, neighbours_2, neighbours_3, neighbours_4, neighbours_5, neighbours_6,
        neighbours_7, neighbours_8, neighbours_9, neighbours_10, neighbours_11, neighbours_12]

cdef void pixels_3_s1_2(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 1, 2)
cdef void pixels_3_s1_3(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 1, 3)
cdef void pixels_3_s1_4(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 1, 4)
cdef void pixels_3_s1_5(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 1, 5)
cdef void pixels_3_s1_6(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 1, 6)
cdef void pixels_3_s1_7(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 1, 7)
cdef void pixels_3_s1_8(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 1, 8)
cdef void pixels_5_s1_2(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 1, 2)
cdef void pixels_5_s1_3(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 1, 3)
cdef void pixels_5_s1_4(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 1, 4)
cdef void pixels_5_s1_5(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 1, 5)
cdef void pixels_5_s1_6(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 1, 6)
cdef void pixels_5_s1_7(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 1, 7)
cdef void pixels_5_s1_8(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 1, 8)
cdef void pixels_7_s1_2(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 1, 2)
cdef void pixels_7_s1_3(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 1, 3)
cdef void pixels_7_s1_4(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 1, 4)
cdef void pixels_7_s1_5(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 1, 5)
cdef void pixels_7_s1_6(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 1, 6)
cdef void pixels_7_s1_7(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 1, 7)
cdef void pixels_7_s1_8(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 1, 8)
cdef void pixels_3_s2_2(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 2, 2)
cdef void pixels_3_s2_3(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 2, 3)
cdef void pixels_3_s2_4(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 2, 4)
cdef void pixels_3_s2_5(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 2, 5)
cdef void pixels_3_s2_6(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 2, 6)
cdef void pixels_3_s2_7(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 2, 7)
cdef void pixels_3_s2_8(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 2, 8)
cdef void pixels_5_s2_2(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 2, 2)
cdef void pixels_5_s2_3(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 2, 3)
cdef void pixels_5_s2_4(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 2, 4)
cdef void pixels_5_s2_5(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 2, 5)
cdef void pixels_5_s2_6(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 2, 6)
cdef void pixels_5_s2_7(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 2, 7)
cdef void pixels_7_s2_2(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 2, 2)
cdef void pixels_7_s2_3(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 2, 3)
cdef void pixels_7_s2_4(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 2, 4)
cdef void pixels_7_s2_5(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 2, 5)
cdef void pixels_7_s2_6(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 2, 6)

if MASKED_LOADS:
    PIXEL_TILES[1][3][2:9] = [pixels_3_s1_2, pixels_3_s1_3, pixels_3_s1_4,
        pixels_3_s1_5, pixels_3_s1_6, pixels_3_s1_7, pixels_3_s1_8]
    PIXEL_TILES[1][5][2:9] = [pixels_5_s1_2, pixels_5_s1_3, pixels_5_s1_4,
        pixels_5_s1_5, pixels_5_s1_6, pixels_5_s1_7, pixels_5_s1_8]
    PIXEL_TILES[1][7][2:9] = [pixels_7_s1_2, pixels_7_s1_3, pixels_7_s1_4,
        pixels_7_s1_5, pixels_7_s1_6, pixels_7_s1_7, pixels_7_s1_8]
    PIXEL_TILES[2][3][2:9] = [pixels_3_s2_2, pixels_3_s2_3, pixels_3_s2_4,
        pixels_3_s2_5, pixels_3_s2_6, pixels_3_s2_7, pixels_3_s2_8]
    PIXEL_TILES[2][5][2:8] = [pixels_5_s2_2, pixels_5_s2_3, pixels_5_s2_4,
        pixels_5_s2_5, pixels_5_s2_6, pixels_5_s2_7]
    PIXEL_TILES[2][7][2:7] = [pixels_7_s2_2, pixels_7_s2_3, pixels_7_s2_4,
        pixels_7_s2_5, pixels_7_s2_6]

cdef void descending_1(const PixelStrip* s) noexcept nogil: descending_strip(s, 1, False)
cdef void descending_2(const PixelStrip* s) noexcept nogil: descending_strip(s, 2, False)
cdef void descending_3(const PixelStrip* s) noexcept nogil: descending_strip(s, 3, False)
cdef void descending_4(const PixelStrip* s) noexcept nogil: descending_strip(s, 4, False)
cdef void descending_5(const PixelStrip* s) noexcept nogil: descending_strip(s, 5, False)
cdef void descending_6(const PixelStrip* s) noexcept nogil: descending_strip(s, 6, False)
cdef void descending_7(const PixelStrip* s) noexcept nogil: descending_strip(s, 7, False)
cdef void descending_picked_1(const PixelStrip* s) noexcept nogil: descending_strip(s, 1, True)
cdef void descending_picked_2(const PixelStrip* s) noexcept nogil: descending_strip(s, 2, True)
cdef void descending_picked_3(const PixelStrip* s) noexcept nogil: descending_strip(s, 3, True)
cdef void descending_picked_4(const PixelStrip* s) noexcept nogil: descending_strip(s, 4, True)
cdef void descending_picked_5(const PixelStrip* s) noexcept nogil: descending_strip(s, 5, True)
cdef void descending_picked_6(const PixelStrip* s) noexcept nogil: descending_strip(s, 6, True)

if MASKED_LOADS:
    DESCENDING_TILES[0][1:8] = [descending_1, descending_2, descending_3, descending_4, descending_5,
        descending_6, descending_7]
    DESCENDING_TILES[1][1:7] = [descending_picked_1, descending_picked_2, descending_picked_3,
        descending_picked_4, descending_picked_5, descending_picked_6]

cdef void wide_1(const PixelStrip* s) noexcept nogil: wide_strip(s, 1)
cdef void wide_2(const PixelStrip* s) noexcept nogil: wide_strip(s, 2)
cdef void wide_3(const PixelStrip* s) noexcept nogil: wide_strip(s, 3)
cdef void wide_4(const PixelStrip* s) noexcept nogil: wide_strip(s, 4)
cdef void wide_5(const PixelStrip* s) noexcept nogil: wide_strip(s, 5)

if MASKED_LOADS:
    WIDE_TILES[1:6] = [wide_1, wide_2, wide_3, wide_4, wide_5]
