# The tiles that fit 16 vector registers, pixels x vectors. The limits are where accumulators and operands
# fill the registers (.ci/check_tiles.py looks for spills).


cdef void channel_1x1(const ChannelStrip* s) noexcept nogil: channel_strip(s, 1, 1)
cdef void channel_1x2(const ChannelStrip* s) noexcept nogil: channel_strip(s, 1, 2)
cdef void channel_2x1(const ChannelStrip* s) noexcept nogil: channel_strip(s, 2, 1)
cdef void channel_2x2(const ChannelStrip* s) noexcept nogil: channel_strip(s, 2, 2)
cdef void channel_3x1(const ChannelStrip* s) noexcept nogil: channel_strip(s, 3, 1)
cdef void channel_3x2(const ChannelStrip* s) noexcept nogil: channel_strip(s, 3, 2)
cdef void channel_4x1(const ChannelStrip* s) noexcept nogil: channel_strip(s, 4, 1)
cdef void channel_4x2(const ChannelStrip* s) noexcept nogil: channel_strip(s, 4, 2)
cdef void channel_5x1(const ChannelStrip* s) noexcept nogil: channel_strip(s, 5, 1)
cdef void channel_5x2(const ChannelStrip* s) noexcept nogil: channel_strip(s, 5, 2)
cdef void channel_6x1(const ChannelStrip* s) noexcept nogil: channel_strip(s, 6, 1)
cdef void channel_6x2(const ChannelStrip* s) noexcept nogil: channel_strip(s, 6, 2)
cdef void channel_7x1(const ChannelStrip* s) noexcept nogil: channel_strip(s, 7, 1)
cdef void channel_8x1(const ChannelStrip* s) noexcept nogil: channel_strip(s, 8, 1)

CHANNEL_TILES[1][1:3] = [channel_1x1, channel_1x2]
CHANNEL_TILES[2][1:3] = [channel_2x1, channel_2x2]
CHANNEL_TILES[3][1:3] = [channel_3x1, channel_3x2]
CHANNEL_TILES[4][1:3] = [channel_4x1, channel_4x2]
CHANNEL_TILES[5][1:3] = [channel_5x1, channel_5x2]
CHANNEL_TILES[6][1:3] = [channel_6x1, channel_6x2]
CHANNEL_TILES[7][1:2] = [channel_7x1]
CHANNEL_TILES[8][1:2] = [channel_8x1]
