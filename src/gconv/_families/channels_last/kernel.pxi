# Channels-last layers with few channels per group: lanes are output channels, across the borders of
# groups.
#
# Several kernels, of which the plan names one:
#
#     FITTING, PICKED     lanes.pxi         pixels that meet the same taps
#     NEIGHBOURS          neighbours.pxi    neighbouring pixels, which share picks
#     PIXELS              pixels.pxi        depthwise: neighbouring pixels, which share inputs
#     DESCENDING          descending.pxi    3x3 kernels: the same, down the rows
#     WIDE                wide.pxi          kernels with more columns than registers
#
#     weights    [vector][tap][input channel][LANES]
#
# A vector is LANES neighbouring output channels of a group block. The last vector of a block may
# overlap the one before.


cdef enum ChannelsLastKernel:
    FITTING  # one input channel for each output channel: lane by lane
    PICKED  # each lane picks its input channel
    NEIGHBOURS  # neighbouring pixels share picks
    PIXELS  # depthwise: neighbouring pixels share inputs
    DESCENDING  # 3x3 kernels: pixels of a row and the rows below share inputs
    WIDE  # kernels of more columns than a tile has registers for


cdef struct ChannelsLastPlan:
    ChannelsLastKernel kernel
    Py_ssize_t pixels  # of the largest tile
    # Vectors of output channels: `blocks` of these in each group block, of `wide` channels each
    # (LANES, but for NEIGHBOURS). For each vector: its first output channel, the first input
    # channel that it loads, and which of the loaded channels its lanes pick.
    Py_ssize_t blocks, wide
    const Py_ssize_t* first
    const Py_ssize_t* base
    const int* picks
    bint prefetches  # tiles ask for what the next row, or the next tile, reads and writes
    Py_ssize_t cached_vectors  # vectors whose weights stay in the first-level cache (WIDE)


cdef inline void pack_vector(
    const ConvPlan* p, Py_ssize_t first, Py_ssize_t channels, const w_t* weight, w_t* to
) noexcept nogil:
    """The weights of a vector of output channels, [tap][input channel][LANES]."""
    cdef Py_ssize_t taps = p.problem.in_channels * kernel_volume(p)
    cdef Py_ssize_t lane, k
    cdef const w_t* w
    for lane in range(LANES):
        w = (weight + (first + lane) // p.problem.out_channels * p.problem.w_group
             + (first + lane) % p.problem.out_channels * p.problem.w_channel)
        for k in range(taps):
            to[k * LANES + lane] = w[p.w_taps[k]] if lane < channels else 0


include "lanes.pxi"
include "neighbours.pxi"
include "pixels.pxi"


cdef void channels_last_item(
    const ConvPlan* p, const Item* item, const x_t* x, const w_t* weight, const w_t* packed,
    const sum_t* bias, y_t* y, char* scratch) noexcept nogil:
    """Assumes that x and y have channels of unit stride, and padding of zeros."""
    if (<const ChannelsLastPlan*>p.own).kernel <= NEIGHBOURS:
        lane_item(p, item, x, weight, packed, bias, y, scratch)
    else:
        pixel_item(p, item, x, weight, packed, bias, y, scratch)


include "tiles_16.pxi"
include "tiles_32.pxi"
include "tiles_masked.pxi"

register("channels_last", channels_last_item, NULL, sizeof(ChannelsLastPlan), {
    "across": largest_tiles(<void**>&LANE_TILES[0][0], NEIGHBOURS, MOST_ROWS + 1),
    "neighbours": {
        "pixels": most
        for kernel, most in largest_tiles(
            <void**>&LANE_TILES[0][0], NEIGHBOURS + 1, MOST_ROWS + 1).items()
        if kernel == NEIGHBOURS
    },
    "pixels": {
        (stride, columns): most
        for stride in range(1, 3)
        for columns, most in largest_tiles(<void**>&PIXEL_TILES[stride][0][0]).items()
    },
    "descending": largest_tiles(<void**>&DESCENDING_TILES[0][0], 2, MOST_VECTORS + 1),
    "wide": {
        "pixels": largest_tiles(<void**>&WIDE_TILES[0], 1, MOST_WIDE + 1).get(0, 0),
        "columns": WIDE_COLUMNS if MASKED_LOADS else 0,
    },
    "kernels": {
        "FITTING": FITTING, "PICKED": PICKED, "NEIGHBOURS": NEIGHBOURS, "PIXELS": PIXELS,
        "DESCENDING": DESCENDING, "WIDE": WIDE,
    },
})
