# The further tiles, pixels x vectors, that fit 32 vector registers.


cdef void channel_7x2(const ChannelStrip* s) noexcept nogil: channel_strip(s, 7, 2)
cdef void channel_8x2(const ChannelStrip* s) noexcept nogil: channel_strip(s, 8, 2)
cdef void channel_9x1(const ChannelStrip* s) noexcept nogil: channel_strip(s, 9, 1)
cdef void channel_9x2(const ChannelStrip* s) noexcept nogil: channel_strip(s, 9, 2)
cdef void channel_10x1(const ChannelStrip* s) noexcept nogil: channel_strip(s, 10, 1)
cdef void channel_10x2(const ChannelStrip* s) noexcept nogil: channel_strip(s, 10, 2)
cdef void channel_11x1(const ChannelStrip* s) noexcept nogil: channel_strip(s, 11, 1)
cdef void channel_11x2(const ChannelStrip* s) noexcept nogil: channel_strip(s, 11, 2)
cdef void channel_12x1(const ChannelStrip* s) noexcept nogil: channel_strip(s, 12, 1)
cdef void channel_12x2(const ChannelStrip* s) noexcept nogil: channel_strip(s, 12, 2)
cdef void channel_13x1(const ChannelStrip* s) noexcept nogil: channel_strip(s, 13, 1)
cdef void channel_13x2(const ChannelStrip* s) noexcept nogil: channel_strip(s, 13, 2)
cdef void channel_14x1(const ChannelStrip* s) noexcept nogil: channel_strip(s, 14, 1)
cdef void channel_14x2(const ChannelStrip* s) noexcept nogil: channel_strip(s, 14, 2)

if REGISTERS >= 32:
    CHANNEL_TILES[7][1:3] = [channel_7x1, channel_7x2]
    CHANNEL_TILES[8][1:3] = [channel_8x1, channel_8x2]
    CHANNEL_TILES[9][1:3] = [channel_9x1, channel_9x2]
    CHANNEL_TILES[10][1:3] = [channel_10x1, channel_10x2]
    CHANNEL_TILES[11][1:3] = [channel_11x1, channel_11x2]
    CHANNEL_TILES[12][1:3] = [channel_12x1, channel_12x2]
    CHANNEL_TILES[13][1:3] = [channel_13x1, channel_13x2]
    CHANNEL_TILES[14][1:3] = [channel_14x1, channel_14x2]
