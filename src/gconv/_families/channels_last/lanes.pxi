# Tiles of pixels that meet the same taps, whose lanes fit or pick.
#
# A vector of output channels of one pixel is stored as it is, and needs at each tap a vector of
# input channels that is loaded as it is. In a depthwise layer the two fit lane by lane. With more
# channels per group every lane wants, one after another, all input channels of its group: each is
# picked out of the loaded vector.
#
#     output lanes     0 1 2 3 | 4 5 6 7        4 output, 2 input channels per group
#     first pick       0 0 0 0 | 2 2 2 2
#     second pick      1 1 1 1 | 3 3 3 3
#
# x is read in place: columns near the padding use the taps that lie in the image. (Tiles of
# neighbouring pixels have zeros in the padding instead.)


cdef struct LaneStrip:
    const x_t* x  # first pixel, first tap, first of the vector's channels
    Py_ssize_t x_pixel
    const Py_ssize_t* x_taps
    # The taps are [first, last), the same of `rows` kernel rows, and that of `planes` planes.
    Py_ssize_t first, last, row, rows, plane, planes
    const w_t* weight  # [tap][input channel][LANES]
    Py_ssize_t in_channels
    const int* picks  # [input channel][LANES]
    Py_ssize_t wide_in, wide_out  # lanes to load, to store (NEIGHBOURS)
    vec bias
    y_t* y
    Py_ssize_t y_pixel
    Py_ssize_t tiles
    # Tiles ask for what the next output row reads and writes: `rows_below` rows of x, the first of
    # them x_below from x; and a row of y.
    bint prefetches
    Py_ssize_t x_below, x_row, rows_below, y_row
    Py_ssize_t first_column, in_columns  # the image column of x, of how many (NEIGHBOURS)


ctypedef void (*lane_function)(const LaneStrip* s) noexcept nogil

# By kernel (FITTING, PICKED, NEIGHBOURS) and pixels.
cdef lane_function LANE_TILES[3][MOST_ROWS + 1]


cdef inline void ask_for_next_row(
    const LaneStrip* s, Py_ssize_t pixel, Py_ssize_t OUTPUTS) noexcept nogil:
    """Asks for the outputs below those from `pixel` on, and for the inputs that they alone need."""
    cdef const x_t* x = s.x + pixel * s.x_pixel + s.x_below
    cdef const y_t* y = s.y + pixel * s.y_pixel + s.y_row
    cdef Py_ssize_t j, row
    for j in range(OUTPUTS):
        prefetch(y + j * s.y_pixel)
    for row in range(s.rows_below):
        for j in range(OUTPUTS):
            prefetch(x + j * s.x_pixel)
        x += s.x_row


cdef inline void lane_strip(
    const LaneStrip* s, Py_ssize_t OUTPUTS, ChannelsLastKernel KERNEL) noexcept nogil:
    cdef vec acc[MOST_ROWS]
    cdef vec xv[MOST_ROWS]
    cdef vec wv
    cdef picks which
    cdef const x_t* x = s.x
    cdef const x_t* xk
    cdef const w_t* w
    cdef y_t* y = s.y
    cdef Py_ssize_t tile, j, k, c, plane, row, start
    for tile in range(s.tiles):
        if s.prefetches:
            ask_for_next_row(s, tile * OUTPUTS, OUTPUTS)
        for j in range(OUTPUTS):
            acc[j] = s.bias
        for plane in range(s.planes):
            for row in range(s.rows):
                start = plane * s.plane + row * s.row
                for k in range(start + s.first, start + s.last):
                    xk = x + s.x_taps[k]
                    w = s.weight + k * s.in_channels * LANES
                    if KERNEL == FITTING:
                        wv = in_register(load_packed(w))
                        for j in range(OUTPUTS):
                            acc[j] = acc[j] + wv * load_x(xk + j * s.x_pixel)
                        continue
                    for j in range(OUTPUTS):
                        xv[j] = in_register(load_x(xk + j * s.x_pixel))
                    for c in range(s.in_channels):
                        wv = in_register(load_packed(w + c * LANES))
                        which = load_picks(s.picks + c * LANES)
                        for j in range(OUTPUTS):
                            acc[j] = acc[j] + wv * picked(xv[j], which)
        for j in range(OUTPUTS):
            store_y(y + j * s.y_pixel, acc[j])
        x += OUTPUTS * s.x_pixel
        y += OUTPUTS * s.y_pixel


cdef inline void lane_pixels(
    const ConvPlan* p, LaneStrip s, Py_ssize_t od, Py_ssize_t oh, Py_ssize_t column,
    Py_ssize_t pixels, const x_t* x, y_t* y) noexcept nogil:
    """Neighbouring pixels that meet the same taps; of a plan with neighbours, any."""
    cdef const ChannelsLastPlan* own = <const ChannelsLastPlan*>p.own
    cdef Pieces run = split(pixels, own.pixels)
    cdef lane_function* tiles = &LANE_TILES[<int>own.kernel][0]
    cdef Py_ssize_t first_plane, last_plane, first_row, last_row, first, last, size
    tap_range(p, 0, od, &first_plane, &last_plane)
    tap_range(p, 1, oh, &first_row, &last_row)
    if own.kernel == NEIGHBOURS:
        first = 0
        last = p.problem.kernel[2]
        s.first_column = column - p.problem.padding[2]
    else:
        tap_range(p, 2, column, &first, &last)
    s.row = p.problem.kernel[2]
    s.plane = p.problem.kernel[1] * s.row
    s.planes = last_plane - first_plane
    s.rows = last_row - first_row
    s.first = first_plane * s.plane + first_row * s.row + first
    s.last = s.first + last - first
    s.x = x + x_offset(p, 0, 0, od, oh, column)
    s.y = y + pixel_offset(p, od, oh, column)
    for size in range(run.size + 1, run.size - 1, -1):
        s.tiles = run.larger if size > run.size else run.count - run.larger
        if s.tiles > 0:
            tiles[size](&s)
            s.x += s.tiles * size * s.x_pixel
            s.y += s.tiles * size * s.y_pixel
            s.first_column += s.tiles * size


cdef inline void lane_row(
    const ConvPlan* p, LaneStrip s, const Item* item, Py_ssize_t block, Py_ssize_t od,
    Py_ssize_t oh, Py_ssize_t left, Py_ssize_t right, const x_t* x, const sum_t* bias, y_t* y
) noexcept nogil:
    """A vector of output channels of a row; the columns [left, right) meet all taps of a kernel
    row."""
    cdef const ChannelsLastPlan* own = <const ChannelsLastPlan*>p.own
    cdef Py_ssize_t column, o = own.first[block]
    s.picks = own.picks + block * p.problem.in_channels * LANES
    s.wide_in = min(LANES, p.problem.groups * p.problem.in_channels - own.base[block])
    s.wide_out = min(own.wide, item.last_group * p.problem.out_channels - o)
    s.bias = splat(0)
    if bias != NULL:
        s.bias = load_first(bias + o, s.wide_out)
    x += own.base[block]
    y += o
    for column in range(item.band.begin[2], left):
        lane_pixels(p, s, od, oh, column, 1, x, y)
    if right > left:
        lane_pixels(p, s, od, oh, left, right - left, x, y)
    for column in range(right, item.band.end[2]):
        lane_pixels(p, s, od, oh, column, 1, x, y)


cdef void lane_item(
    const ConvPlan* p, const Item* given, const x_t* x, const w_t* weight, const w_t* packed,
    const sum_t* bias, y_t* y, char* scratch) noexcept nogil:
    """Assumes that x and y have channels of unit stride, and padding of zeros."""
    cdef Item item = given[0]
    cdef Band* band = &item.band
    cdef const ChannelsLastPlan* own = <const ChannelsLastPlan*>p.own
    cdef Py_ssize_t taps = p.problem.in_channels * kernel_volume(p)
    cdef Py_ssize_t channels = (item.last_group - item.first_group) * p.problem.out_channels
    cdef Py_ssize_t first = item.first_group // p.work.group_block * own.blocks
    cdef Py_ssize_t last = first + (channels + own.wide - 1) // own.wide
    # A row's vectors follow each other in memory: all of them are computed before the next row.
    # If weights are packed on the way, one vector is computed for all rows.
    cdef Py_ssize_t at_once = 1 if packed == NULL else last - first
    cdef Range columns
    cdef Py_ssize_t left, right, block, od, oh
    cdef w_t* weights = <w_t*>region(scratch, p.scratch.weights)
    cdef LaneStrip s
    s.x_pixel = p.problem.stride[2] * p.problem.x_axis[2]
    s.y_pixel = p.problem.y_axis[2]
    s.x_taps = p.x_taps
    s.in_channels = p.problem.in_channels
    s.in_columns = p.problem.in_size[2]
    s.prefetches = own.prefetches
    s.rows_below = min(p.problem.stride[1], p.problem.kernel[1])
    s.x_row = p.problem.x_axis[1]
    s.x_below = s.x_row * (
        (p.problem.kernel[1] - 1) * p.problem.dilation[1] + p.problem.stride[1] - s.rows_below + 1)
    s.y_row = p.problem.y_axis[1]
    columns = outputs_inside(p, band, 2)
    left = columns.first
    right = columns.last
    if own.kernel == NEIGHBOURS:
        left = band.begin[2]
        right = band.end[2]
    x += item.image * p.problem.x_image
    y += item.image * p.problem.y_image
    while first < last:
        if packed == NULL:
            pack_vector(p, own.first[first],
                        min(own.wide,
                            item.last_group * p.problem.out_channels - own.first[first]),
                        weight, weights)
        for od in range(band.begin[0], band.end[0]):
            for oh in range(band.begin[1], band.end[1]):
                for block in range(first, first + at_once):
                    s.weight = packed + block * taps * LANES
                    if packed == NULL:
                        s.weight = weights
                    lane_row(p, s, &item, block, od, oh, left, right, x, bias, y)
        first += at_once
