# The further tiles that fit 32 vector registers, by pixels.


cdef void picked_7(const LaneStrip* s) noexcept nogil: lane_strip(s, 7, PICKED)
cdef void picked_8(const LaneStrip* s) noexcept nogil: lane_strip(s, 8, PICKED)
cdef void picked_9(const LaneStrip* s) noexcept nogil: lane_strip(s, 9, PICKED)
cdef void picked_10(const LaneStrip* s) noexcept nogil: lane_strip(s, 10, PICKED)
cdef void picked_11(const LaneStrip* s) noexcept nogil: lane_strip(s, 11, PICKED)
cdef void picked_12(const LaneStrip* s) noexcept nogil: lane_strip(s, 12, PICKED)

if REGISTERS >= 32:
    LANE_TILES[<int>PICKED][1:13] = [picked_1, picked_2, picked_3, picked_4, picked_5, picked_6,
        picked_7, picked_8, picked_9, picked_10, picked_11, picked_12]
