# Masked lanes: groups of several input channels, where the instruction set loads some lanes of a
# vector.
#
# Where a convolution leaves the columns as many as they are, the rows of a plane follow each other
# in x as they do in y, and an output pixel's taps lie at the same distances from it throughout. So
# lanes are neighbouring pixels of the whole plane, whichever rows they lie in, and a vector is
# loaded from x itself, with zeros for the lanes whose tap lies in the padding:
#
#     width 5, kernel column 0, a vector of 8      pixel    0  1  2  3  4  5  6  7
#                                                  column   0  1  2  3  4  0  1  2
#                                                  loaded   0  x  x  x  x  0  x  x
#
# No panel, and no lanes to waste at widths that are no multiple of the vector's (56, 28, 14). The
# masks are a bit for each tap of a channel and each pixel of a plane; the plan has them.
#
# Vectors begin at the same pixels for every item; of the first and the last, an item stores the
# lanes that are its own.


cdef struct MaskedStrip:
    const x_t* x  # where the first tap of a plane's first pixel lies, or would
    const w_t* weight  # of the first output channel
    Py_ssize_t w_channel
    const sum_t* bias  # NULL: none
    y_t* y  # first output channel, first pixel of the plane
    const y_t* residual  # of that; NULL: none
    Py_ssize_t y_channel
    Py_ssize_t first_pixel, last_pixel  # the pixels of the plane to store
    Py_ssize_t first_vector, tiles
    Epilogue epilogue
    const Py_ssize_t* x_taps
    const Py_ssize_t* w_taps
    const char* masks
    const Py_ssize_t* mask_taps
    Py_ssize_t first_tap, last_tap


ctypedef void (*masked_function)(const MaskedStrip* s) noexcept nogil


cdef masked_function MASKED_TILES[MOST_ROWS + 1][MOST_VECTORS + 1]


cdef inline void masked_strip(
    const MaskedStrip* s, Py_ssize_t ROWS, Py_ssize_t VECTORS) noexcept nogil:
    cdef vec acc[MOST_ROWS][MOST_VECTORS]
    cdef vec xv[MOST_VECTORS]
    cdef mask stored[MOST_VECTORS]
    cdef vec wv
    cdef const x_t* x
    cdef const w_t* wk
    cdef const mask* inside
    cdef Py_ssize_t tile, j, v, k, vector, pixel
    for tile in range(s.tiles):
        vector = s.first_vector + tile * VECTORS
        pixel = vector * LANES
        for v in range(VECTORS):
            stored[v] = lanes_inside(
                pixel + v * LANES - s.first_pixel, s.last_pixel - s.first_pixel)
        for j in range(ROWS):
            wv = splat(s.bias[j] if s.bias != NULL else 0)
            for v in range(VECTORS):
                acc[j][v] = wv
                if s.residual != NULL:
                    acc[j][v] = acc[j][v] + load_some_y(
                        s.residual + j * s.y_channel + pixel + v * LANES, stored[v])
        for k in range(s.first_tap, s.last_tap):
            x = s.x + pixel + s.x_taps[k]
            wk = s.weight + s.w_taps[k]
            inside = <const mask*>(s.masks + s.mask_taps[k]) + vector
            for v in range(VECTORS):
                xv[v] = in_register(load_some_x(x + v * LANES, inside[v]))
            for j in range(ROWS):
                wv = splat(wk[j * s.w_channel])
                for v in range(VECTORS):
                    acc[j][v] = acc[j][v] + wv * xv[v]
        activate_tile(acc, &s.epilogue, ROWS, VECTORS)
        for j in range(ROWS):
            for v in range(VECTORS):
                store_some(s.y + j * s.y_channel + pixel + v * LANES, stored[v], acc[j][v])


cdef void masked_item(
    const ConvPlan* p, const Item* item, const x_t* x, const w_t* weight, const sum_t* bias,
    y_t* y, char* scratch) noexcept nogil:
    """Assumes that bands are whole rows, or parts of one row."""
    cdef const Band* band = &item.band
    cdef Py_ssize_t width = p.problem.out_size[2]
    cdef Py_ssize_t plane_taps = p.problem.in_channels * p.problem.kernel[1] * p.problem.kernel[2]
    cdef const WidthPlan* own = <const WidthPlan*>p.own
    cdef Pieces blocks = split(item.last_channel - item.first_channel, own.rows)
    cdef Pieces across
    cdef Py_ssize_t group, block, rows, o, od, first_plane, last_plane
    cdef Source source
    cdef MaskedStrip s
    s.first_pixel = band.begin[1] * width + band.begin[2]
    s.last_pixel = (band.end[1] - 1) * width + band.end[2]
    across = split(divide_up(s.last_pixel, LANES) - s.first_pixel // LANES, own.vectors)
    s.w_channel = p.problem.w_channel
    s.y_channel = p.problem.y_channel
    s.x_taps = p.x_taps
    s.w_taps = p.w_taps
    s.masks = own.masks
    s.mask_taps = own.mask_taps
    s.epilogue = tile_epilogue(p)
    for group in range(item.first_group, item.last_group):
        source = in_place_source(p, item, x, group)
        o = item.first_channel
        for block in range(blocks.count):
            rows = blocks.size + (block < blocks.larger)
            s.weight = weight + group * p.problem.w_group + o * p.problem.w_channel
            s.bias = bias + group * p.problem.out_channels + o if bias != NULL else NULL
            for od in range(band.begin[0], band.end[0]):
                tap_range(p, 0, od, &first_plane, &last_plane)
                s.first_tap = first_plane * plane_taps
                s.last_tap = last_plane * plane_taps
                s.x = source.origin + od * source.plane - band.begin[2]  # of the plane's pixel 0
                s.y = (y + channel_offset(p, item.image, group * p.problem.out_channels + o)
                       + pixel_offset(p, od, 0, 0))
                s.residual = residual_of(scratch, y, s.y)
                s.first_vector = s.first_pixel // LANES
                if across.larger > 0:
                    s.tiles = across.larger
                    MASKED_TILES[rows][across.size + 1](&s)
                    s.first_vector += across.larger * (across.size + 1)
                s.tiles = across.count - across.larger
                MASKED_TILES[rows][across.size](&s)
            o += rows
