# The tiles that fit 16 vector registers, by pixels.


cdef void fitting_1(const LaneStrip* s) noexcept nogil: lane_strip(s, 1, FITTING)
cdef void fitting_2(const LaneStrip* s) noexcept nogil: lane_strip(s, 2, FITTING)
cdef void fitting_3(const LaneStrip* s) noexcept nogil: lane_strip(s, 3, FITTING)
cdef void fitting_4(const LaneStrip* s) noexcept nogil: lane_strip(s, 4, FITTING)
cdef void fitting_5(const LaneStrip* s) noexcept nogil: lane_strip(s, 5, FITTING)
cdef void fitting_6(const LaneStrip* s) noexcept nogil: lane_strip(s, 6, FITTING)
cdef void fitting_7(const LaneStrip* s) noexcept nogil: lane_strip(s, 7, FITTING)
cdef void fitting_8(const LaneStrip* s) noexcept nogil: lane_strip(s, 8, FITTING)
cdef void fitting_9(const LaneStrip* s) noexcept nogil: lane_strip(s, 9, FITTING)
cdef void fitting_10(const LaneStrip* s) noexcept nogil: lane_strip(s, 10, FITTING)
cdef void fitting_11(const LaneStrip* s) noexcept nogil: lane_strip(s, 11, FITTING)
cdef void fitting_12(const LaneStrip* s) noexcept nogil: lane_strip(s, 12, FITTING)

LANE_TILES[<int>FITTING][1:13] = [fitting_1, fitting_2, fitting_3, fitting_4, fitting_5,
    fitting_6, fitting_7, fitting_8, fitting_9, fitting_10, fitting_11, fitting_12]

cdef void picked_1(const LaneStrip* s) noexcept nogil: lane_strip(s, 1, PICKED)
cdef void picked_2(const LaneStrip* s) noexcept nogil: lane_strip(s, 2, PICKED)
cdef void picked_3(const LaneStrip* s) noexcept nogil: lane_strip(s, 3, PICKED)
cdef void picked_4(const LaneStrip* s) noexcept nogil: lane_strip(s, 4, PICKED)
cdef void picked_5(const LaneStrip* s) noexcept nogil: lane_strip(s, 5, PICKED)
cdef void picked_6(const LaneStrip* s) noexcept nogil: lane_strip(s, 6, PICKED)

LANE_TILES[<int>PICKED][1:7] = [picked_1, picked_2, picked_3, picked_4, picked_5, picked_6]
