# Channels-last depthwise layers, on instruction sets that load some lanes of a vector.
#
# A tile is a few neighbouring pixels of an output row. A vector holds channels of one pixel. Each
# vector of an input row is loaded once and serves all kernel columns. A tile takes all channels of
# its pixels, which follow each other in memory, before the next tile begins.
#
# descending.pxi and wide.pxi have other tiles over the same strip.


cdef struct PixelStrip:
    const x_t* x  # the first pixel's first tap; may point outside x, never dereferenced there
    Py_ssize_t x_plane, x_row, x_pixel  # from a kernel plane, row, column to the next
    Py_ssize_t first_column, in_columns, dilation  # the image column that x points to, of how many
    y_t* y
    Py_ssize_t y_pixel
    Py_ssize_t out_columns  # from the first pixel of the tile on
    const w_t* weight  # [vector][tap][LANES]
    Py_ssize_t taps, kernel_columns
    const sum_t* bias
    Py_ssize_t first_plane, last_plane, first_row, last_row, kernel_rows  # taps in the image
    Py_ssize_t vectors
    mask channels  # the lanes to store
    Py_ssize_t first_tap, last_tap  # WIDE: the columns that some pixel has in the image
    # DESCENDING: output rows, and window rows that lie in the image; whether tiles ask for what the
    # next tile reads and writes.
    Py_ssize_t y_row, rows, first_window, last_window
    bint prefetches
    # If its lanes pick, for each vector: its first input channel, counted from that of x, and the
    # picks. The lanes to load.
    const Py_ssize_t* base
    const int* picks
    mask loaded


ctypedef void (*pixel_function)(const PixelStrip* s) noexcept nogil

cdef pixel_function PIXEL_TILES[3][MOST_ROWS + 1][MOST_VECTORS + 1]  # stride, columns, pixels


cdef inline void pixel_strip(
    const PixelStrip* s, Py_ssize_t COLUMNS, Py_ssize_t STRIDE, Py_ssize_t OUTPUTS) noexcept nogil:
    cdef vec acc[MOST_VECTORS]
    cdef vec xv[2 * MOST_VECTORS + MOST_ROWS]
    cdef mask inside[2 * MOST_VECTORS + MOST_ROWS]
    cdef mask stored[MOST_VECTORS]
    cdef vec wv
    cdef const x_t* x = s.x
    cdef const w_t* weight = s.weight
    cdef const x_t* row
    cdef const w_t* w
    cdef Py_ssize_t vector, v, kd, kh, kw, column
    for v in range((OUTPUTS - 1) * STRIDE + COLUMNS):
        column = s.first_column + v * s.dilation
        inside[v] = s.channels if 0 <= column < s.in_columns else 0
    for v in range(OUTPUTS):
        stored[v] = s.channels if v < s.out_columns else 0
    for vector in range(s.vectors):
        for v in range(OUTPUTS):
            acc[v] = splat(0)
            if s.bias != NULL:
                acc[v] = load_some_sum(s.bias + vector * LANES, s.channels)
        for kd in range(s.first_plane, s.last_plane):
            for kh in range(s.first_row, s.last_row):
                row = x + kd * s.x_plane + kh * s.x_row
                w = weight + (kd * s.kernel_rows + kh) * COLUMNS * LANES
                for v in range((OUTPUTS - 1) * STRIDE + COLUMNS):
                    xv[v] = in_register(load_some_x(row + v * s.x_pixel, inside[v]))
                for kw in range(COLUMNS):
                    wv = in_register(load_packed(w + kw * LANES))
                    for v in range(OUTPUTS):
                        acc[v] = acc[v] + wv * xv[v * STRIDE + kw]
        for v in range(OUTPUTS):
            store_some(s.y + vector * LANES + v * s.y_pixel, stored[v], acc[v])
        x += LANES
        weight += s.taps * LANES


include "descending.pxi"
include "wide.pxi"


cdef void pixel_item(
    const ConvPlan* p, const Item* given, const x_t* x, const w_t* weight, const w_t* packed,
    const sum_t* bias, y_t* y, char* scratch) noexcept nogil:
    """Assumes one input channel per group, channels of unit stride, padding of zeros, and a tile
    for the stride and the kernel."""
    cdef Item item = given[0]
    cdef Band* band = &item.band
    cdef const ChannelsLastPlan* own = <const ChannelsLastPlan*>p.own
    cdef Py_ssize_t taps = kernel_volume(p)
    cdef Py_ssize_t dilation = p.problem.dilation[2], width = band.end[2] - band.begin[2]
    cdef Py_ssize_t channels = (item.last_group - item.first_group) * p.problem.out_channels
    cdef Py_ssize_t first = item.first_group * p.problem.out_channels
    cdef Py_ssize_t whole = channels // LANES * LANES, phase, column, od, oh, v
    cdef pixel_function tile
    cdef w_t* weights = <w_t*>region(scratch, p.scratch.weights)
    cdef PixelStrip s
    if packed == NULL:
        for v in range((channels + LANES - 1) // LANES):
            pack_vector(p, first + v * LANES, min(LANES, channels - v * LANES),
                        weight, weights + v * LANES * taps)
    else:
        weights = <w_t*>packed + (
            item.first_group // p.work.group_block * own.blocks * taps * LANES)
    s.x_plane = p.problem.dilation[0] * p.problem.x_axis[0]
    s.x_row = p.problem.dilation[1] * p.problem.x_axis[1]
    s.x_pixel = dilation * p.problem.x_axis[2]
    s.y_pixel = dilation * p.problem.y_axis[2]
    s.in_columns = p.problem.in_size[2]
    s.dilation = dilation
    s.taps = taps
    s.kernel_rows = p.problem.kernel[1]
    s.kernel_columns = p.problem.kernel[2]
    if own.kernel == DESCENDING:
        descending_rows(p, s, &item, weights, x, bias, y)
        return
    if own.kernel == WIDE:
        wide_rows(p, s, &item, weights, x, bias, y)
        return
    tile = PIXEL_TILES[p.problem.stride[2]][p.problem.kernel[2]][own.pixels]
    for od in range(band.begin[0], band.end[0]):
        tap_range(p, 0, od, &s.first_plane, &s.last_plane)
        for oh in range(band.begin[1], band.end[1]):
            tap_range(p, 1, oh, &s.first_row, &s.last_row)
            # Columns one dilation apart share inputs; the others never do.
            for phase in range(min(dilation, width)):
                column = band.begin[2] + phase
                while column < band.end[2]:
                    s.out_columns = divide_up(band.end[2] - column, dilation)
                    s.first_column = column * p.problem.stride[2] - p.problem.padding[2]
                    s.x = x + x_offset(p, item.image, 0, od, oh, column) + item.first_group
                    s.y = (y + item.image * p.problem.y_image + item.first_group
                           + pixel_offset(p, od, oh, column))
                    s.weight = weights
                    s.bias = bias + item.first_group if bias != NULL else NULL
                    s.vectors = channels // LANES
                    s.channels = lanes_inside(0, LANES)
                    tile(&s)
                    if whole < channels:
                        s.x += whole
                        s.y += whole
                        s.weight += whole * taps
                        s.bias = bias + item.first_group + whole if bias != NULL else NULL
                        s.vectors = 1
                        s.channels = lanes_inside(0, channels - whole)
                        tile(&s)
                    column += own.pixels * dilation
