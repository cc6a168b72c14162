# The register tiles for 16 vector registers: a function for each, then the tables of them.
# A tile is one line and one entry; gconv._plan.tiles reads from the tables what there is. The limits
# are where accumulators and operands fill the registers (.ci/check_tiles.py looks for spills).

cdef void width_1x1(const WidthStrip* s) noexcept nogil: width_strip(s, 1, 1)
cdef void width_1x2(const WidthStrip* s) noexcept nogil: width_strip(s, 1, 2)
cdef void width_1x3(const WidthStrip* s) noexcept nogil: width_strip(s, 1, 3)
cdef void width_1x4(const WidthStrip* s) noexcept nogil: width_strip(s, 1, 4)
cdef void width_1x5(const WidthStrip* s) noexcept nogil: width_strip(s, 1, 5)
cdef void width_1x6(const WidthStrip* s) noexcept nogil: width_strip(s, 1, 6)
cdef void width_1x7(const WidthStrip* s) noexcept nogil: width_strip(s, 1, 7)
cdef void width_1x8(const WidthStrip* s) noexcept nogil: width_strip(s, 1, 8)
cdef void width_2x1(const WidthStrip* s) noexcept nogil: width_strip(s, 2, 1)
cdef void width_2x2(const WidthStrip* s) noexcept nogil: width_strip(s, 2, 2)
cdef void width_2x3(const WidthStrip* s) noexcept nogil: width_strip(s, 2, 3)
cdef void width_2x4(const WidthStrip* s) noexcept nogil: width_strip(s, 2, 4)
cdef void width_2x5(const WidthStrip* s) noexcept nogil: width_strip(s, 2, 5)
cdef void width_3x1(const WidthStrip* s) noexcept nogil: width_strip(s, 3, 1)
cdef void width_3x2(const WidthStrip* s) noexcept nogil: width_strip(s, 3, 2)
cdef void width_3x3(const WidthStrip* s) noexcept nogil: width_strip(s, 3, 3)
cdef void width_4x1(const WidthStrip* s) noexcept nogil: width_strip(s, 4, 1)
cdef void width_4x2(const WidthStrip* s) noexcept nogil: width_strip(s, 4, 2)
cdef void width_4x3(const WidthStrip* s) noexcept nogil: width_strip(s, 4, 3)
cdef void width_5x1(const WidthStrip* s) noexcept nogil: width_strip(s, 5, 1)
cdef void width_5x2(const WidthStrip* s) noexcept nogil: width_strip(s, 5, 2)
cdef void width_6x1(const WidthStrip* s) noexcept nogil: width_strip(s, 6, 1)
cdef void width_6x2(const WidthStrip* s) noexcept nogil: width_strip(s, 6, 2)

cdef void depthwise_1x1(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 1, 1, 0)
cdef void depthwise_1x2(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 1, 2, 0)
cdef void depthwise_1x3(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 1, 3, 0)
cdef void depthwise_1x4(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 1, 4, 0)
cdef void depthwise_1x5(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 1, 5, 0)
cdef void depthwise_1x6(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 1, 6, 0)
cdef void depthwise_1x7(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 1, 7, 0)
cdef void depthwise_1x8(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 1, 8, 0)
cdef void depthwise_2x1(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 2, 1, 0)
cdef void depthwise_2x2(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 2, 2, 0)
cdef void depthwise_2x3(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 2, 3, 0)
cdef void depthwise_2x4(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 2, 4, 0)
cdef void depthwise_2x5(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 2, 5, 0)
cdef void depthwise_3x1(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 3, 1, 0)
cdef void depthwise_3x2(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 3, 2, 0)
cdef void depthwise_3x3(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 3, 3, 0)
cdef void depthwise_4x1(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 4, 1, 0)
cdef void depthwise_4x2(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 4, 2, 0)
cdef void depthwise_4x3(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 4, 3, 0)

cdef void three_1x1(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 1, 1, 3)
cdef void three_1x2(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 1, 2, 3)
cdef void three_1x3(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 1, 3, 3)
cdef void three_1x4(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 1, 4, 3)
cdef void three_1x5(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 1, 5, 3)
cdef void three_1x6(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 1, 6, 3)
cdef void three_1x7(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 1, 7, 3)
cdef void three_1x8(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 1, 8, 3)
cdef void three_2x1(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 2, 1, 3)
cdef void three_2x2(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 2, 2, 3)
cdef void three_2x3(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 2, 3, 3)
cdef void three_2x4(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 2, 4, 3)
cdef void three_2x5(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 2, 5, 3)
cdef void three_3x1(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 3, 1, 3)
cdef void three_3x2(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 3, 2, 3)
cdef void three_3x3(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 3, 3, 3)
cdef void three_4x1(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 4, 1, 3)
cdef void three_4x2(const DepthwiseStrip* s) noexcept nogil: depthwise_strip(s, 4, 2, 3)

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

WIDTH_TILES[1][1:9] = [width_1x1, width_1x2, width_1x3, width_1x4, width_1x5, width_1x6,
    width_1x7, width_1x8]
WIDTH_TILES[2][1:6] = [width_2x1, width_2x2, width_2x3, width_2x4, width_2x5]
WIDTH_TILES[3][1:4] = [width_3x1, width_3x2, width_3x3]
WIDTH_TILES[4][1:4] = [width_4x1, width_4x2, width_4x3]
WIDTH_TILES[5][1:3] = [width_5x1, width_5x2]
WIDTH_TILES[6][1:3] = [width_6x1, width_6x2]
DEPTHWISE_TILES[1][1:9] = [depthwise_1x1, depthwise_1x2, depthwise_1x3, depthwise_1x4,
    depthwise_1x5, depthwise_1x6, depthwise_1x7, depthwise_1x8]
DEPTHWISE_TILES[2][1:6] = [depthwise_2x1, depthwise_2x2, depthwise_2x3, depthwise_2x4,
    depthwise_2x5]
DEPTHWISE_TILES[3][1:4] = [depthwise_3x1, depthwise_3x2, depthwise_3x3]
DEPTHWISE_TILES[4][1:4] = [depthwise_4x1, depthwise_4x2, depthwise_4x3]
THREE_COLUMN_TILES[1][1:9] = [three_1x1, three_1x2, three_1x3, three_1x4, three_1x5, three_1x6,
    three_1x7, three_1x8]
THREE_COLUMN_TILES[2][1:6] = [three_2x1, three_2x2, three_2x3, three_2x4, three_2x5]
THREE_COLUMN_TILES[3][1:4] = [three_3x1, three_3x2, three_3x3]
THREE_COLUMN_TILES[4][1:3] = [three_4x1, three_4x2]
CHANNEL_TILES[1][1:3] = [channel_1x1, channel_1x2]
CHANNEL_TILES[2][1:3] = [channel_2x1, channel_2x2]
CHANNEL_TILES[3][1:3] = [channel_3x1, channel_3x2]
CHANNEL_TILES[4][1:3] = [channel_4x1, channel_4x2]
CHANNEL_TILES[5][1:3] = [channel_5x1, channel_5x2]
CHANNEL_TILES[6][1:3] = [channel_6x1, channel_6x2]
CHANNEL_TILES[7][1:2] = [channel_7x1]
CHANNEL_TILES[8][1:2] = [channel_8x1]

cdef void fitting_1(const AcrossStrip* s) noexcept nogil: across_strip(s, 1, FITTING)
cdef void fitting_2(const AcrossStrip* s) noexcept nogil: across_strip(s, 2, FITTING)
cdef void fitting_3(const AcrossStrip* s) noexcept nogil: across_strip(s, 3, FITTING)
cdef void fitting_4(const AcrossStrip* s) noexcept nogil: across_strip(s, 4, FITTING)
cdef void fitting_5(const AcrossStrip* s) noexcept nogil: across_strip(s, 5, FITTING)
cdef void fitting_6(const AcrossStrip* s) noexcept nogil: across_strip(s, 6, FITTING)
cdef void fitting_7(const AcrossStrip* s) noexcept nogil: across_strip(s, 7, FITTING)
cdef void fitting_8(const AcrossStrip* s) noexcept nogil: across_strip(s, 8, FITTING)
cdef void fitting_9(const AcrossStrip* s) noexcept nogil: across_strip(s, 9, FITTING)
cdef void fitting_10(const AcrossStrip* s) noexcept nogil: across_strip(s, 10, FITTING)
cdef void fitting_11(const AcrossStrip* s) noexcept nogil: across_strip(s, 11, FITTING)
cdef void fitting_12(const AcrossStrip* s) noexcept nogil: across_strip(s, 12, FITTING)
cdef void picked_1(const AcrossStrip* s) noexcept nogil: across_strip(s, 1, PICKED)
cdef void picked_2(const AcrossStrip* s) noexcept nogil: across_strip(s, 2, PICKED)
cdef void picked_3(const AcrossStrip* s) noexcept nogil: across_strip(s, 3, PICKED)
cdef void picked_4(const AcrossStrip* s) noexcept nogil: across_strip(s, 4, PICKED)
cdef void picked_5(const AcrossStrip* s) noexcept nogil: across_strip(s, 5, PICKED)
cdef void picked_6(const AcrossStrip* s) noexcept nogil: across_strip(s, 6, PICKED)
cdef void narrow_1(const AcrossStrip* s) noexcept nogil: across_strip(s, 1, NARROW)
cdef void narrow_2(const AcrossStrip* s) noexcept nogil: across_strip(s, 2, NARROW)
cdef void narrow_3(const AcrossStrip* s) noexcept nogil: across_strip(s, 3, NARROW)
cdef void narrow_4(const AcrossStrip* s) noexcept nogil: across_strip(s, 4, NARROW)

ACROSS_TILES[<int>FITTING][1:13] = [fitting_1, fitting_2, fitting_3, fitting_4, fitting_5,
    fitting_6, fitting_7, fitting_8, fitting_9, fitting_10, fitting_11, fitting_12]
ACROSS_TILES[<int>PICKED][1:7] = [picked_1, picked_2, picked_3, picked_4, picked_5, picked_6]
ACROSS_TILES[<int>NARROW][1:5] = [narrow_1, narrow_2, narrow_3, narrow_4]
