# Sliding windows: which tiles serve a plan, and its items. strip.pxi says how a tile works.
#
#     weights    as they are, or in order    [group][channel][kd][kh][kw]


include "strip.pxi"


cdef struct SlidingPlan:
    Py_ssize_t vectors  # of the widest tile
    bint prefetches  # strips ask for what the next item reads and writes


cdef column_function SLIDING_TILES[3][MOST_ROWS + 1][MOST_VECTORS + 1]  # by stride, kernel rows
cdef column_function SQUARE_TILES[3][MOST_ROWS + 1][MOST_VECTORS + 1]
cdef column_function HELD_TILES[3][MOST_VECTORS + 1]
cdef column_function DILATED_TILES[MOST_VECTORS + 1]


cdef Ahead next_item(
    const ConvPlan* p, const Item* item, const x_t* x, const y_t* y, Py_ssize_t group,
    Py_ssize_t channel, Py_ssize_t od) noexcept nogil:
    """What the next item reads and writes where this one has a channel's plane. The addresses are
    only asked for: they may lie outside x and y."""
    cdef Source source = in_place_source(p, item, x, group)
    cdef Py_ssize_t first = item.band.begin[1], rows = item.band.end[1] - first
    cdef Py_ssize_t o = group * p.problem.out_channels + channel
    cdef Ahead ahead
    ahead.x = source.origin + od * source.plane + first * source.row
    ahead.y = y + channel_offset(p, item.image, o) + pixel_offset(p, od, first, 0)
    if p.work.channel_blocks > 1:  # it reads the same
        ahead.y += (item.last_channel - item.first_channel) * p.problem.y_channel
    elif p.work.bands[1] > 1:
        ahead.x += rows * source.row
        ahead.y += rows * p.problem.y_axis[1]
    else:
        ahead.x += (item.last_group - item.first_group) * p.problem.x_channel
        ahead.y += ((item.last_group - item.first_group) * p.problem.out_channels
                    * p.problem.y_channel)
    return ahead


cdef void sliding_item(
    const ConvPlan* p, const Item* given, const x_t* x, const w_t* weight, const w_t* packed,
    const sum_t* bias, y_t* y, char* scratch) noexcept nogil:
    """Assumes one input channel per group, columns of x of unit stride, the same stride of rows
    and columns, and a tile for it and the kernel rows; with stride 2, no dilation."""
    cdef Item item = given[0]
    cdef Band* band = &item.band
    cdef Py_ssize_t taps = kernel_volume(p)
    cdef Py_ssize_t dilation = p.problem.dilation[1]
    cdef Py_ssize_t width = band.end[2] - band.begin[2]
    cdef const SlidingPlan* own = <const SlidingPlan*>p.own
    cdef Pieces across = split((width + LANES - 1) // LANES, own.vectors)
    cdef column_function* tiles = &SLIDING_TILES[p.problem.stride[2]][p.problem.kernel[1]][0]
    cdef Py_ssize_t group, channel, o, od, phase, oh
    cdef Range windows
    cdef Source source
    cdef SlidingStrip s
    cdef Ahead ahead
    if taps == 9 and p.problem.kernel[1] == 3 and p.problem.kernel[2] == 3:
        if p.problem.dilation[2] == 1:
            tiles = &HELD_TILES[p.problem.stride[2]][0]
        elif 2 * p.problem.dilation[2] <= LANES:
            tiles = &DILATED_TILES[0]
    elif (p.problem.kernel[1] == p.problem.kernel[2] and p.problem.kernel[2] > 1
            and p.problem.dilation[2] == 1
            and (p.problem.kernel[0] == 1 or p.problem.kernel[2] == 3)):
        tiles = &SQUARE_TILES[p.problem.stride[2]][p.problem.kernel[1]][0]
    begin_item(p, &item, scratch)
    s.epilogue = tile_epilogue(p)
    s.ahead = &ahead if own.prefetches else NULL
    s.kernel_columns = p.problem.kernel[2]
    s.dilation = p.problem.dilation[2]
    s.paired = p.problem.dilation[2] == 1 and not p.problem.channel_major
    s.columns.first_column = band.begin[2] * p.problem.stride[2] - p.problem.padding[2]
    s.columns.in_columns = p.problem.in_size[2]
    if not p.source.in_place:  # a panel's columns are all there are
        s.columns.first_column = 0
        s.columns.in_columns = p.source.columns
    s.columns.out_columns = width
    s.y_row = dilation * p.problem.y_axis[1]
    for group in range(item.first_group, item.last_group):
        if p.source.in_place:
            source = in_place_source(p, &item, x, group)
        else:
            source = panel_source(p, &item, x, group, 0, 1, scratch)
        s.x_plane = source.tap_plane
        s.x_row = source.tap_row
        for channel in range(item.first_channel, item.last_channel):
            o = group * p.problem.out_channels + channel
            s.weight = weights_in_order(p, group, channel, weight, scratch)
            s.bias = bias + o if bias != NULL else NULL
            for od in range(band.begin[0], band.end[0]):
                tap_range(p, 0, od, &s.first_plane, &s.last_plane)
                if own.prefetches:
                    ahead = next_item(p, &item, x, y, group, channel, od)
                # Output rows one dilation apart share input rows; the others never do.
                for phase in range(min(dilation, band.end[1] - band.begin[1])):
                    oh = band.begin[1] + phase
                    s.rows = divide_up(band.end[1] - oh, dilation)
                    windows = rows_inside(p, oh, s.rows * p.problem.stride[1] + p.problem.kernel[1])
                    s.first_window = windows.first
                    s.last_window = windows.last if s.first_plane < s.last_plane else 0
                    s.columns.x = source.origin + od * source.plane + oh * source.row
                    s.columns.y = (y + channel_offset(p, item.image, o)
                                   + pixel_offset(p, od, oh, band.begin[2]))
                    s.columns.residual = residual_of(scratch, y, s.columns.y)
                    s.more = s.columns.residual != NULL or s.ahead != NULL
                    compute_columns(&s.columns, tiles, &across, p.problem.stride[2], 1)


include "tiles_masked.pxi"

register("sliding", sliding_item, NULL, sizeof(SlidingPlan), {
    "sliding": {
        (stride, rows): most
        for stride in range(1, 3)
        for rows, most in largest_tiles(<void**>&SLIDING_TILES[stride][0][0]).items()
    },
})
