# Channels-last depthwise layers, on instruction sets that load some lanes of a vector.
#
# A tile is a few neighbouring pixels of an output row. A vector holds channels of one pixel, so
# that a tap's neighbour is another vector: each vector of an input row is loaded once and serves
# all kernel columns. A tile goes through all channels of its pixels before the next one begins,
# as they follow each other in memory.


cdef struct PixelStrip:
    const real* x  # the first pixel's first tap; in the padding, it may not exist
    Py_ssize_t x_plane, x_row, x_pixel  # from a kernel plane, row, column to the next
    Py_ssize_t first_column, in_columns, dilation  # the image column that x points to, of how many
    real* y
    Py_ssize_t y_pixel
    Py_ssize_t out_columns  # from the first pixel of the tile on
    const real* weight  # [vector][tap][LANES]
    Py_ssize_t taps
    const real* bias
    Py_ssize_t first_plane, last_plane, first_row, last_row, kernel_rows  # taps in the image
    Py_ssize_t vectors
    some channels  # lanes of the vectors that are channels


ctypedef void (*pixel_function)(const PixelStrip* s) noexcept nogil

cdef pixel_function PIXEL_TILES[3][MOST_ROWS + 1][MOST_VECTORS + 1]  # stride, columns, pixels


cdef inline void pixel_strip(
    const PixelStrip* s, Py_ssize_t COLUMNS, Py_ssize_t STRIDE, Py_ssize_t PIXELS) noexcept nogil:
    cdef vec acc[MOST_VECTORS]
    cdef vec xv[2 * MOST_VECTORS + MOST_ROWS]
    cdef some inside[2 * MOST_VECTORS + MOST_ROWS]
    cdef some stored[MOST_VECTORS]
    cdef vec wv
    cdef const real* x = s.x
    cdef const real* weight = s.weight
    cdef const real* row
    cdef const vec* w
    cdef Py_ssize_t vector, v, kd, kh, kw, column
    for v in range((PIXELS - 1) * STRIDE + COLUMNS):
        column = s.first_column + v * s.dilation
        inside[v] = s.channels if 0 <= column < s.in_columns else 0
    for v in range(PIXELS):
        stored[v] = s.channels if v < s.out_columns else 0
    for vector in range(s.vectors):
        for v in range(PIXELS):
            acc[v] = splat(0)
            if s.bias != NULL:
                acc[v] = load_some(s.bias + vector * LANES, s.channels)
        for kd in range(s.first_plane, s.last_plane):
            for kh in range(s.first_row, s.last_row):
                row = x + kd * s.x_plane + kh * s.x_row
                w = <const vec*>weight + (kd * s.kernel_rows + kh) * COLUMNS
                for v in range((PIXELS - 1) * STRIDE + COLUMNS):
                    xv[v] = in_register(load_some(row + v * s.x_pixel, inside[v]))
                for kw in range(COLUMNS):
                    wv = in_register(w[kw])
                    for v in range(PIXELS):
                        acc[v] = acc[v] + wv * xv[v * STRIDE + kw]
        for v in range(PIXELS):
            store_some(s.y + vector * LANES + v * s.y_pixel, stored[v], acc[v])
        x += LANES
        weight += s.taps * LANES


cdef void pixel_item(
    const ConvPlan* p, const Item* given, const real* x, const real* weight, const real* packed,
    const real* bias, real* y, char* scratch) noexcept nogil:
    """Assumes what gconv._tiles.pixels_fit asks for."""
    cdef Item item = given[0]
    cdef Band* band = &item.band
    cdef Py_ssize_t taps = p.kernel[0] * p.kernel[1] * p.kernel[2]
    cdef Py_ssize_t dilation = p.dilation[2], width = band.end[2] - band.begin[2]
    cdef Py_ssize_t channels = item.last_group - item.first_group
    cdef Py_ssize_t whole = channels // LANES * LANES, phase, column, od, oh, v
    cdef pixel_function tile = PIXEL_TILES[p.stride[2]][p.kernel[2]][p.tile_rows]
    cdef real* weights = <real*>(scratch + HEADER_BYTES) + p.weights_at
    cdef PixelStrip s
    if packed == NULL:
        for v in range((channels + LANES - 1) // LANES):
            pack_across(p, item.first_group + v * LANES, min(LANES, channels - v * LANES),
                        weight, weights + v * LANES * taps)
    else:
        weights = <real*>packed + (
            item.first_group // p.group_block * p.across_blocks * taps * LANES)
    s.x_plane = p.dilation[0] * p.x_axis[0]
    s.x_row = p.dilation[1] * p.x_axis[1]
    s.x_pixel = dilation * p.x_axis[2]
    s.y_pixel = dilation * p.y_axis[2]
    s.in_columns = p.in_size[2]
    s.dilation = dilation
    s.taps = taps
    s.kernel_rows = p.kernel[1]
    for od in range(band.begin[0], band.end[0]):
        tap_range(p, 0, od, &s.first_plane, &s.last_plane)
        for oh in range(band.begin[1], band.end[1]):
            tap_range(p, 1, oh, &s.first_row, &s.last_row)
            # Columns one dilation apart share inputs; the others never do.
            for phase in range(min(dilation, width)):
                column = band.begin[2] + phase
                while column < band.end[2]:
                    s.out_columns = divide_up(band.end[2] - column, dilation)
                    s.first_column = column * p.stride[2] - p.padding[2]
                    s.x = (x + item.image * p.x_image + item.first_group
                           + (od * p.stride[0] - p.padding[0]) * p.x_axis[0]
                           + (oh * p.stride[1] - p.padding[1]) * p.x_axis[1]
                           + s.first_column * p.x_axis[2])
                    s.y = (y + item.image * p.y_image + item.first_group + od * p.y_axis[0]
                           + oh * p.y_axis[1] + column * p.y_axis[2])
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
                    column += p.tile_rows * dilation


ITEMS[<int>PIXELS] = pixel_item

# The tiles, by kernel columns, stride and pixels.

cdef void pixels_3_s1_2(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 1, 2)
cdef void pixels_3_s1_3(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 1, 3)
cdef void pixels_3_s1_4(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 1, 4)
cdef void pixels_3_s1_5(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 1, 5)
cdef void pixels_3_s1_6(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 1, 6)
cdef void pixels_3_s1_7(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 1, 7)
cdef void pixels_3_s1_8(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 1, 8)
cdef void pixels_5_s1_2(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 1, 2)
cdef void pixels_5_s1_3(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 1, 3)
cdef void pixels_5_s1_4(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 1, 4)
cdef void pixels_5_s1_5(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 1, 5)
cdef void pixels_5_s1_6(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 1, 6)
cdef void pixels_5_s1_7(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 1, 7)
cdef void pixels_5_s1_8(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 1, 8)
cdef void pixels_7_s1_2(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 1, 2)
cdef void pixels_7_s1_3(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 1, 3)
cdef void pixels_7_s1_4(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 1, 4)
cdef void pixels_7_s1_5(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 1, 5)
cdef void pixels_7_s1_6(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 1, 6)
cdef void pixels_7_s1_7(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 1, 7)
cdef void pixels_7_s1_8(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 1, 8)
cdef void pixels_3_s2_2(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 2, 2)
cdef void pixels_3_s2_3(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 2, 3)
cdef void pixels_3_s2_4(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 2, 4)
cdef void pixels_3_s2_5(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 2, 5)
cdef void pixels_3_s2_6(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 2, 6)
cdef void pixels_3_s2_7(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 2, 7)
cdef void pixels_3_s2_8(const PixelStrip* s) noexcept nogil: pixel_strip(s, 3, 2, 8)
cdef void pixels_5_s2_2(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 2, 2)
cdef void pixels_5_s2_3(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 2, 3)
cdef void pixels_5_s2_4(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 2, 4)
cdef void pixels_5_s2_5(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 2, 5)
cdef void pixels_5_s2_6(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 2, 6)
cdef void pixels_5_s2_7(const PixelStrip* s) noexcept nogil: pixel_strip(s, 5, 2, 7)
cdef void pixels_7_s2_2(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 2, 2)
cdef void pixels_7_s2_3(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 2, 3)
cdef void pixels_7_s2_4(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 2, 4)
cdef void pixels_7_s2_5(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 2, 5)
cdef void pixels_7_s2_6(const PixelStrip* s) noexcept nogil: pixel_strip(s, 7, 2, 6)

PIXEL_TILES[1][3][2:9] = [pixels_3_s1_2, pixels_3_s1_3, pixels_3_s1_4,
    pixels_3_s1_5, pixels_3_s1_6, pixels_3_s1_7, pixels_3_s1_8]
MOST_PIXELS[1][3] = 8
PIXEL_TILES[1][5][2:9] = [pixels_5_s1_2, pixels_5_s1_3, pixels_5_s1_4,
    pixels_5_s1_5, pixels_5_s1_6, pixels_5_s1_7, pixels_5_s1_8]
MOST_PIXELS[1][5] = 8
PIXEL_TILES[1][7][2:9] = [pixels_7_s1_2, pixels_7_s1_3, pixels_7_s1_4,
    pixels_7_s1_5, pixels_7_s1_6, pixels_7_s1_7, pixels_7_s1_8]
MOST_PIXELS[1][7] = 8
PIXEL_TILES[2][3][2:9] = [pixels_3_s2_2, pixels_3_s2_3, pixels_3_s2_4,
    pixels_3_s2_5, pixels_3_s2_6, pixels_3_s2_7, pixels_3_s2_8]
MOST_PIXELS[2][3] = 8
PIXEL_TILES[2][5][2:8] = [pixels_5_s2_2, pixels_5_s2_3, pixels_5_s2_4,
    pixels_5_s2_5, pixels_5_s2_6, pixels_5_s2_7]
MOST_PIXELS[2][5] = 7
PIXEL_TILES[2][7][2:7] = [pixels_7_s2_2, pixels_7_s2_3, pixels_7_s2_4,
    pixels_7_s2_5, pixels_7_s2_6]
MOST_PIXELS[2][7] = 6
