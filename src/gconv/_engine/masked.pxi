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


cdef inline void masked_strip(
    const MaskedStrip* s, Py_ssize_t ROWS, Py_ssize_t VECTORS) noexcept nogil:
    cdef vec acc[MOST_ROWS][MOST_VECTORS]
    cdef vec xv[MOST_VECTORS]
    cdef some stored[MOST_VECTORS]
    cdef vec wv
    cdef const real* x
    cdef const real* wk
    cdef const some* inside
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
                    acc[j][v] = acc[j][v] + load_some(
                        s.residual + j * s.y_channel + pixel + v * LANES, stored[v])
        for k in range(s.first_tap, s.last_tap):
            x = s.x + pixel + s.x_taps[k]
            wk = s.weight + s.w_taps[k]
            inside = <const some*>(s.masks + s.mask_taps[k]) + vector
            for v in range(VECTORS):
                xv[v] = in_register(load_some(x + v * LANES, inside[v]))
            for j in range(ROWS):
                wv = splat(wk[j * s.w_channel])
                for v in range(VECTORS):
                    acc[j][v] = acc[j][v] + wv * xv[v]
        activate_tile(acc, &s.epilogue, ROWS, VECTORS)
        for j in range(ROWS):
            for v in range(VECTORS):
                store_some(s.y + j * s.y_channel + pixel + v * LANES, stored[v], acc[j][v])


cdef void masked_item(
    const ConvPlan* p, const Item* item, const real* x, const real* weight, const real* packed,
    const real* bias, real* y, char* scratch) noexcept nogil:
    """Assumes that bands are whole rows, or parts of one row."""
    cdef const Band* band = &item.band
    cdef Py_ssize_t width = p.out_size[2]
    cdef Py_ssize_t plane_taps = p.in_channels * p.kernel[1] * p.kernel[2]
    cdef Parts blocks = split(item.last_channel - item.first_channel, p.tile_rows)
    cdef Parts across
    cdef Py_ssize_t group, block, rows, o, od, first_plane, last_plane
    cdef Source source
    cdef MaskedStrip s
    s.first_pixel = band.begin[1] * width + band.begin[2]
    s.last_pixel = (band.end[1] - 1) * width + band.end[2]
    across = split(divide_up(s.last_pixel, LANES) - s.first_pixel // LANES, p.tile_vectors)
    s.w_channel = p.w_channel
    s.y_channel = p.y_channel
    s.x_taps = p.x_taps
    s.w_taps = p.w_taps
    s.masks = p.masks
    s.mask_taps = p.mask_taps
    s.epilogue = tile_epilogue(p)
    for group in range(item.first_group, item.last_group):
        source = in_place_source(p, item, x, group)
        o = item.first_channel
        for block in range(blocks.count):
            rows = blocks.size + (block < blocks.larger)
            s.weight = weight + p.w_origin + group * p.w_group + o * p.w_channel
            s.bias = bias + group * p.out_channels + o if bias != NULL else NULL
            for od in range(band.begin[0], band.end[0]):
                tap_range(p, 0, od, &first_plane, &last_plane)
                s.first_tap = first_plane * plane_taps
                s.last_tap = last_plane * plane_taps
                s.x = source.origin + od * source.plane - band.begin[2]  # of the plane's pixel 0
                s.y = (y + item.image * p.y_image + (group * p.out_channels + o) * p.y_channel
                       + od * p.y_axis[0])
                s.residual = residual_of(scratch, y, s.y)
                s.first_vector = s.first_pixel // LANES
                if across.larger > 0:
                    s.tiles = across.larger
                    MASKED_TILES[rows][across.size + 1](&s)
                    s.first_vector += across.larger * (across.size + 1)
                s.tiles = across.count - across.larger
                MASKED_TILES[rows][across.size](&s)
            o += rows


ITEMS[<int>MASKED] = masked_item

cdef void masked_1x1(const MaskedStrip* s) noexcept nogil: masked_strip(s, 1, 1)
cdef void masked_1x2(const MaskedStrip* s) noexcept nogil: masked_strip(s, 1, 2)
cdef void masked_1x3(const MaskedStrip* s) noexcept nogil: masked_strip(s, 1, 3)
cdef void masked_1x4(const MaskedStrip* s) noexcept nogil: masked_strip(s, 1, 4)
cdef void masked_1x5(const MaskedStrip* s) noexcept nogil: masked_strip(s, 1, 5)
cdef void masked_1x6(const MaskedStrip* s) noexcept nogil: masked_strip(s, 1, 6)
cdef void masked_1x7(const MaskedStrip* s) noexcept nogil: masked_strip(s, 1, 7)
cdef void masked_1x8(const MaskedStrip* s) noexcept nogil: masked_strip(s, 1, 8)
cdef void masked_2x1(const MaskedStrip* s) noexcept nogil: masked_strip(s, 2, 1)
cdef void masked_2x2(const MaskedStrip* s) noexcept nogil: masked_strip(s, 2, 2)
cdef void masked_2x3(const MaskedStrip* s) noexcept nogil: masked_strip(s, 2, 3)
cdef void masked_2x4(const MaskedStrip* s) noexcept nogil: masked_strip(s, 2, 4)
cdef void masked_2x5(const MaskedStrip* s) noexcept nogil: masked_strip(s, 2, 5)
cdef void masked_2x6(const MaskedStrip* s) noexcept nogil: masked_strip(s, 2, 6)
cdef void masked_2x7(const MaskedStrip* s) noexcept nogil: masked_strip(s, 2, 7)
cdef void masked_2x8(const MaskedStrip* s) noexcept nogil: masked_strip(s, 2, 8)
cdef void masked_3x1(const MaskedStrip* s) noexcept nogil: masked_strip(s, 3, 1)
cdef void masked_3x2(const MaskedStrip* s) noexcept nogil: masked_strip(s, 3, 2)
cdef void masked_3x3(const MaskedStrip* s) noexcept nogil: masked_strip(s, 3, 3)
cdef void masked_3x4(const MaskedStrip* s) noexcept nogil: masked_strip(s, 3, 4)
cdef void masked_3x5(const MaskedStrip* s) noexcept nogil: masked_strip(s, 3, 5)
cdef void masked_3x6(const MaskedStrip* s) noexcept nogil: masked_strip(s, 3, 6)
cdef void masked_3x7(const MaskedStrip* s) noexcept nogil: masked_strip(s, 3, 7)
cdef void masked_4x1(const MaskedStrip* s) noexcept nogil: masked_strip(s, 4, 1)
cdef void masked_4x2(const MaskedStrip* s) noexcept nogil: masked_strip(s, 4, 2)
cdef void masked_4x3(const MaskedStrip* s) noexcept nogil: masked_strip(s, 4, 3)
cdef void masked_4x4(const MaskedStrip* s) noexcept nogil: masked_strip(s, 4, 4)
cdef void masked_4x5(const MaskedStrip* s) noexcept nogil: masked_strip(s, 4, 5)
cdef void masked_4x6(const MaskedStrip* s) noexcept nogil: masked_strip(s, 4, 6)
cdef void masked_5x1(const MaskedStrip* s) noexcept nogil: masked_strip(s, 5, 1)
cdef void masked_5x2(const MaskedStrip* s) noexcept nogil: masked_strip(s, 5, 2)
cdef void masked_5x3(const MaskedStrip* s) noexcept nogil: masked_strip(s, 5, 3)
cdef void masked_5x4(const MaskedStrip* s) noexcept nogil: masked_strip(s, 5, 4)
cdef void masked_5x5(const MaskedStrip* s) noexcept nogil: masked_strip(s, 5, 5)
cdef void masked_6x1(const MaskedStrip* s) noexcept nogil: masked_strip(s, 6, 1)
cdef void masked_6x2(const MaskedStrip* s) noexcept nogil: masked_strip(s, 6, 2)
cdef void masked_6x3(const MaskedStrip* s) noexcept nogil: masked_strip(s, 6, 3)
cdef void masked_6x4(const MaskedStrip* s) noexcept nogil: masked_strip(s, 6, 4)
cdef void masked_7x1(const MaskedStrip* s) noexcept nogil: masked_strip(s, 7, 1)
cdef void masked_7x2(const MaskedStrip* s) noexcept nogil: masked_strip(s, 7, 2)
cdef void masked_7x3(const MaskedStrip* s) noexcept nogil: masked_strip(s, 7, 3)
cdef void masked_8x1(const MaskedStrip* s) noexcept nogil: masked_strip(s, 8, 1)
cdef void masked_8x2(const MaskedStrip* s) noexcept nogil: masked_strip(s, 8, 2)
cdef void masked_8x3(const MaskedStrip* s) noexcept nogil: masked_strip(s, 8, 3)

MASKED_TILES[1][1:9] = [
    masked_1x1, masked_1x2, masked_1x3, masked_1x4, masked_1x5, masked_1x6, masked_1x7,
    masked_1x8]
MASKED_TILES[2][1:9] = [
    masked_2x1, masked_2x2, masked_2x3, masked_2x4, masked_2x5, masked_2x6, masked_2x7,
    masked_2x8]
MASKED_TILES[3][1:8] = [
    masked_3x1, masked_3x2, masked_3x3, masked_3x4, masked_3x5, masked_3x6, masked_3x7]
MASKED_TILES[4][1:7] = [masked_4x1, masked_4x2, masked_4x3, masked_4x4, masked_4x5, masked_4x6]
MASKED_TILES[5][1:6] = [masked_5x1, masked_5x2, masked_5x3, masked_5x4, masked_5x5]
MASKED_TILES[6][1:5] = [masked_6x1, masked_6x2, masked_6x3, masked_6x4]
MASKED_TILES[7][1:4] = [masked_7x1, masked_7x2, masked_7x3]
MASKED_TILES[8][1:4] = [masked_8x1, masked_8x2, masked_8x3]
