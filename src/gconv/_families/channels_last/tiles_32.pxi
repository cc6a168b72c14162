cdef void picked_7(const AcrossStrip* s) noexcept nogil: across_strip(s, 7, PICKED)
cdef void picked_8(const AcrossStrip* s) noexcept nogil: across_strip(s, 8, PICKED)
cdef void picked_9(const AcrossStrip* s) noexcept nogil: across_strip(s, 9, PICKED)
cdef void picked_10(const AcrossStrip* s) noexcept nogil: across_strip(s, 10, PICKED)
cdef void picked_11(const AcrossStrip* s) noexcept nogil: across_strip(s, 11, PICKED)
cdef void picked_12(const AcrossStrip* s) noexcept nogil: across_strip(s, 12, PICKED)

if REGISTERS >= 32:
    ACROSS_TILES[<int>PICKED][1:13] = [picked_1, picked_2, picked_3, picked_4, picked_5, picked_6,
        picked_7, picked_8, picked_9, picked_10, picked_11, picked_12]
