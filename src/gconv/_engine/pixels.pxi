# Channels-last depthwise layers, on instruction sets that load some lanes of a vector.
#
# A tile is a few neighbouring pixels of an output row. A vector holds channels of one pixel, so
# that a tap's neighbour is another vector: each vector of an input row is loaded once and serves
# all kernel columns. A tile goes through all channels of its pixels before the next one begins,
# as they follow each other in memory.
#
# The tiles of plain 3x3 kernels go down the rows besides: a vector of an input row serves all
# kernel rows as well, and the weights stay in registers (see sliding.pxi for the idea). These take
# several output channels per group, too: each lane picks its input channel (see across.pxi).
#
# Those of wide kernels take a few kernel columns at a time, whose weights stay in registers while
# the vectors of the input row go by.


cdef struct PixelStrip:
    const real* x  # the first pixel's first tap; in the padding, it may not exist
    Py_ssize_t x_plane, x_row, x_pixel  # from a kernel plane, row, column to the next
    Py_ssize_t first_column, in_columns, dilation  # the image column that x points to, of how many
    real* y
    Py_ssize_t y_pixel
    Py_ssize_t out_columns  # from the first pixel of the tile on
    const real* weight  # [vector][tap][LANES]
    Py_ssize_t taps, kernel_columns
    const real* bias
    Py_ssize_t first_plane, last_plane, first_row, last_row, kernel_rows  # taps in the image
    Py_ssize_t vectors
    some channels  # lanes of the vectors that are channels
    Py_ssize_t first_tap, last_tap  # of wide kernels: the columns that some pixel has in the image
    # Of tiles that go down the rows: these, and the window rows that lie in the image; whether to
    # ask for what the next tile will want of x and of y.
    Py_ssize_t y_row, rows, first_window, last_window
    bint prefetches
    # And with lanes that pick, for each vector: its first input channel, counted from that of x,
    # and the picks; the lanes that are input channels.
    const Py_ssize_t* base
    const int* picks
    some loaded


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


# ---- down the rows: plain 3x3 kernels --------------------------------------------------------

cdef pixel_function DESCENDING_TILES[2][MOST_VECTORS + 1]  # lanes pick or not, pixels


# Window row LOW + 2 of the first, or any, of the output rows that wait in acc: kernel row 2 - a
# goes to the output row `a` further down, those from LOW up to HIGH.
cdef inline void descending_row(
    const PixelStrip* s, vec acc[MOST_ROWS][MOST_VECTORS], const real* row, const some* inside,
    const vec held[9], picks which, Py_ssize_t LOW, Py_ssize_t HIGH, Py_ssize_t PIXELS,
    bint PICKED) noexcept nogil:
    cdef Py_ssize_t v, kw, a
    cdef vec xv
    for v in range(PIXELS + 2):
        xv = load_some(row + v * s.x_pixel, inside[v])
        if PICKED:
            xv = picked(xv, which)
        xv = in_register(xv)
        for kw in range(3):
            if 0 <= v - kw < PIXELS:
                for a in range(LOW, HIGH):
                    acc[a][v - kw] = acc[a][v - kw] + held[(2 - a) * 3 + kw] * xv


cdef inline void descending_strip(
    const PixelStrip* s, Py_ssize_t PIXELS, bint PICKED) noexcept nogil:
    cdef vec acc[MOST_ROWS][MOST_VECTORS]
    cdef vec held[9]
    cdef vec bias_here[1]
    cdef some inside[MOST_VECTORS + 2]
    cdef picks which = load_picks(s.picks)
    cdef const vec* bias
    cdef const real* x = s.x
    cdef const real* row
    cdef real* y
    cdef Py_ssize_t vector, v, a, oh, column
    for v in range(PIXELS + 2):
        column = s.first_column + v * s.dilation
        inside[v] = s.loaded if 0 <= column < s.in_columns else 0
    for vector in range(s.vectors):
        for v in range(9):
            held[v] = in_register((<const vec*>s.weight)[vector * 9 + v])
        bias_here[0] = splat(0)
        if s.bias != NULL:
            bias_here[0] = load_some(s.bias + vector * LANES, s.channels)
        bias = <const vec*>read_here(bias_here)  # there is no register for it
        if PICKED:
            x = s.x + s.base[vector]
            which = load_picks(s.picks + vector * LANES)
        for v in range(PIXELS):
            for a in range(3):
                acc[a][v] = bias[0]
        y = s.y + vector * LANES - 2 * s.y_row
        # Two rows before the first are begun with it, and never stored.
        for oh in range(-2, s.rows):
            if s.first_window <= oh + 2 < s.last_window:
                row = x + (oh + 2) * s.x_row
                if s.prefetches:
                    for v in range(PIXELS):
                        prefetch(row + (PIXELS + 2 + v) * s.x_pixel)
                if oh == -2:
                    descending_row(s, acc, row, inside, held, which, 2, 3, PIXELS, PICKED)
                elif oh == -1:
                    descending_row(s, acc, row, inside, held, which, 1, 3, PIXELS, PICKED)
                elif oh + 2 < s.rows:
                    descending_row(s, acc, row, inside, held, which, 0, 3, PIXELS, PICKED)
                elif oh + 1 < s.rows:
                    descending_row(s, acc, row, inside, held, which, 0, 2, PIXELS, PICKED)
                else:
                    descending_row(s, acc, row, inside, held, which, 0, 1, PIXELS, PICKED)
            if oh >= 0:
                if s.prefetches:
                    for v in range(PIXELS):
                        prefetch(y + (PIXELS + v) * s.y_pixel)
                for v in range(PIXELS):
                    store_some(y + v * s.y_pixel, s.channels, acc[0][v])
            y += s.y_row
            for v in range(PIXELS):
                acc[0][v] = acc[1][v]
                acc[1][v] = acc[2][v]
                acc[2][v] = bias[0]
        x += LANES


cdef inline void descending_columns(
    const ConvPlan* p, PixelStrip s, const Item* item, Py_ssize_t columns, const real* weights,
    const real* bias) noexcept nogil:
    """Tiles side by side, `columns` pixels in all: all channels of one and then of the next."""
    cdef bint pick = p.out_channels > 1
    cdef Py_ssize_t first = item.first_group * p.out_channels
    cdef Py_ssize_t channels = item.last_group * p.out_channels - first
    cdef Py_ssize_t whole = channels // LANES, block = item.first_group // p.group_block
    cdef Py_ssize_t wide_in = p.groups if pick else LANES, size, tile
    cdef Parts across = split(columns, p.tile_rows)
    cdef PixelStrip last
    block *= p.across_blocks
    s.weight = weights
    s.bias = bias + first if bias != NULL else NULL
    s.base = p.across_base + block
    s.picks = p.across_picks + block * LANES
    s.channels = lanes_inside(0, LANES)
    s.loaded = lanes_inside(0, wide_in)
    s.vectors = whole
    for size in range(across.size + 1, across.size - 1, -1):
        for tile in range(across.larger if size > across.size else across.count - across.larger):
            if whole > 0:
                DESCENDING_TILES[pick][size](&s)
            if whole * LANES < channels:
                last = s
                last.weight += whole * LANES * 9
                if bias != NULL:
                    last.bias += whole * LANES
                last.base += whole
                last.picks += whole * LANES
                last.y += whole * LANES
                last.vectors = 1
                last.channels = lanes_inside(0, channels - whole * LANES)
                if not pick:
                    last.x += whole * LANES
                    last.loaded = last.channels
                DESCENDING_TILES[pick][size](&last)
            s.x += size * s.x_pixel
            s.y += size * s.y_pixel
            s.first_column += size * s.dilation


cdef inline void descending_rows(
    const ConvPlan* p, PixelStrip s, const Item* item, const real* weights, const real* x,
    const real* bias, real* y) noexcept nogil:
    """A band, from all its rows and columns one dilation apart to the next: these share inputs,
    the others never do."""
    cdef const Band* band = &item.band
    cdef Py_ssize_t od, oh, column, top, phase, column_phase, first_plane, last_plane
    cdef Py_ssize_t first_in = 0 if p.out_channels > 1 else item.first_group
    s.prefetches = p.prefetches
    s.x_row = p.dilation[1] * p.x_axis[1]
    s.y_row = p.dilation[1] * p.y_axis[1]
    for od in range(band.begin[0], band.end[0]):
        tap_range(p, 0, od, &first_plane, &last_plane)
        for phase in range(min(p.dilation[1], band.end[1] - band.begin[1])):
            oh = band.begin[1] + phase
            s.rows = divide_up(band.end[1] - oh, p.dilation[1])
            top = oh - p.padding[1]
            s.first_window = divide_up(-top, p.dilation[1]) if top < 0 else 0
            s.last_window = 0
            if top < p.in_size[1] and first_plane < last_plane:
                s.last_window = divide_up(p.in_size[1] - top, p.dilation[1])
            for column_phase in range(min(p.dilation[2], band.end[2] - band.begin[2])):
                column = band.begin[2] + column_phase
                s.first_column = column - p.padding[2]
                s.x = (x + item.image * p.x_image + first_in
                       + (od * p.stride[0] - p.padding[0]) * p.x_axis[0] + top * p.x_axis[1]
                       + s.first_column * p.x_axis[2])
                s.y = (y + item.image * p.y_image + item.first_group * p.out_channels
                       + od * p.y_axis[0] + oh * p.y_axis[1] + column * p.y_axis[2])
                descending_columns(p, s, item, divide_up(band.end[2] - column, p.dilation[2]),
                                   weights, bias)


# ---- wide kernels ----------------------------------------------------------------------------

cdef enum:
    MOST_WIDE = 5  # pixels; with more GCC 12 keeps the sums on the stack
    WIDE_COLUMNS = 64  # gconv._plan.tiles sees to it
    CHUNK = 4  # kernel columns at a time
    WIDE_WEIGHT_BYTES = 16384  # half of the first-level cache

cdef pixel_function WIDE_TILES[MOST_WIDE + 1]


# Kernel columns [kw, kw + CHUNK) of a row.
cdef inline void wide_columns(
    const PixelStrip* s, vec acc[MOST_WIDE], const real* row, const some* inside, const vec* w,
    Py_ssize_t kw, Py_ssize_t PIXELS) noexcept nogil:
    cdef vec wv[CHUNK]
    cdef vec xv
    cdef Py_ssize_t v, n
    for n in range(CHUNK):
        wv[n] = in_register(w[kw + n])
    row += kw * s.x_pixel
    for v in range(PIXELS + CHUNK - 1):
        xv = in_register(load_some(row + v * s.x_pixel, inside[kw + v]))
        for n in range(CHUNK):
            if 0 <= v - n < PIXELS:
                acc[v - n] = acc[v - n] + wv[n] * xv


cdef inline void wide_strip(const PixelStrip* s, Py_ssize_t PIXELS) noexcept nogil:
    cdef vec acc[MOST_WIDE]
    cdef some inside[WIDE_COLUMNS + MOST_WIDE]
    cdef const real* x = s.x
    cdef const real* row
    cdef const real* weight = s.weight
    cdef const vec* w
    cdef vec wv
    cdef Py_ssize_t vector, v, kd, kh, kw, column
    for v in range(s.first_tap, s.last_tap + PIXELS - 1):
        column = s.first_column + v * s.dilation
        inside[v] = s.channels if 0 <= column < s.in_columns else 0
    for vector in range(s.vectors):
        for v in range(PIXELS):
            acc[v] = splat(0)
            if s.bias != NULL:
                acc[v] = load_some(s.bias + vector * LANES, s.channels)
        for kd in range(s.first_plane, s.last_plane):
            for kh in range(s.first_row, s.last_row):
                row = x + kd * s.x_plane + kh * s.x_row
                w = <const vec*>weight + (kd * s.kernel_rows + kh) * s.kernel_columns
                kw = s.first_tap
                while kw + CHUNK <= s.last_tap:
                    wide_columns(s, acc, row, inside, w, kw, PIXELS)
                    kw += CHUNK
                while kw < s.last_tap:
                    wv = in_register(w[kw])
                    for v in range(PIXELS):
                        acc[v] = acc[v] + wv * load_some(row + (kw + v) * s.x_pixel, inside[kw + v])
                    kw += 1
        for v in range(PIXELS):
            store_some(s.y + vector * LANES + v * s.y_pixel, s.channels, acc[v])
        x += LANES
        weight += s.taps * LANES


cdef inline void wide_line(
    const ConvPlan* p, PixelStrip s, Py_ssize_t columns) noexcept nogil:
    """`columns` pixels one dilation apart, tile after tile."""
    cdef Parts across = split(columns, p.tile_rows)
    cdef Py_ssize_t part, size, behind
    for part in range(across.count):
        size = across.size + (part < across.larger)
        # Before the image lie so many columns of the last pixel; behind it, of the first.
        s.first_tap = 0
        behind = s.first_column + (size - 1) * s.dilation
        if behind < 0:
            s.first_tap = min(s.kernel_columns, divide_up(-behind, s.dilation))
        s.last_tap = 0
        if s.first_column < s.in_columns:
            s.last_tap = min(s.kernel_columns,
                             divide_up(s.in_columns - s.first_column, s.dilation))
        s.last_tap = max(s.first_tap, s.last_tap)
        WIDE_TILES[size](&s)
        s.x += size * s.x_pixel
        s.y += size * s.y_pixel
        s.first_column += size * s.dilation


cdef inline void wide_rows(
    const ConvPlan* p, PixelStrip s, const Item* item, const real* weights, const real* x,
    const real* bias, real* y) noexcept nogil:
    """A band, for as many vectors of channels at a time as the cache holds the weights of."""
    cdef const Band* band = &item.band
    cdef Py_ssize_t vector_bytes = s.taps * LANES * <Py_ssize_t>sizeof(real)
    cdef Py_ssize_t at_once = max(1, WIDE_WEIGHT_BYTES // vector_bytes)
    cdef Py_ssize_t channel = item.first_group, left, od, oh, phase, column
    while channel < item.last_group:
        left = item.last_group - channel
        s.vectors = min(at_once, left // LANES)
        s.channels = lanes_inside(0, LANES)
        if s.vectors == 0:
            s.vectors = 1
            s.channels = lanes_inside(0, left)
        s.weight = weights + (channel - item.first_group) * s.taps
        s.bias = bias + channel if bias != NULL else NULL
        for od in range(band.begin[0], band.end[0]):
            tap_range(p, 0, od, &s.first_plane, &s.last_plane)
            for oh in range(band.begin[1], band.end[1]):
                tap_range(p, 1, oh, &s.first_row, &s.last_row)
                for phase in range(min(s.dilation, band.end[2] - band.begin[2])):
                    column = band.begin[2] + phase
                    s.first_column = column - p.padding[2]
                    s.x = (x + item.image * p.x_image + channel
                           + (od * p.stride[0] - p.padding[0]) * p.x_axis[0]
                           + (oh * p.stride[1] - p.padding[1]) * p.x_axis[1]
                           + s.first_column * p.x_axis[2])
                    s.y = (y + item.image * p.y_image + channel + od * p.y_axis[0]
                           + oh * p.y_axis[1] + column * p.y_axis[2])
                    wide_line(p, s, divide_up(band.end[2] - column, s.dilation))
        channel += s.vectors * LANES


# ---- items ------------------------------------------------------------------------------------

cdef void pixel_item(
    const ConvPlan* p, const Item* given, const real* x, const real* weight, const real* packed,
    const real* bias, real* y, char* scratch) noexcept nogil:
    """Assumes what gconv._plan.tiles.pixels_fit asks for."""
    cdef Item item = given[0]
    cdef Band* band = &item.band
    cdef Py_ssize_t taps = p.kernel[0] * p.kernel[1] * p.kernel[2]
    cdef Py_ssize_t dilation = p.dilation[2], width = band.end[2] - band.begin[2]
    cdef Py_ssize_t channels = (item.last_group - item.first_group) * p.out_channels
    cdef Py_ssize_t first = item.first_group * p.out_channels
    cdef Py_ssize_t whole = channels // LANES * LANES, phase, column, od, oh, v
    cdef pixel_function tile
    cdef real* weights = <real*>(scratch + HEADER_BYTES) + p.weights_at
    cdef PixelStrip s
    if packed == NULL:
        for v in range((channels + LANES - 1) // LANES):
            pack_across(p, first + v * LANES, min(LANES, channels - v * LANES),
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
    s.kernel_columns = p.kernel[2]
    if p.down_the_rows:
        descending_rows(p, s, &item, weights, x, bias, y)
        return
    if p.kernel[2] > MOST_VECTORS:
        wide_rows(p, s, &item, weights, x, bias, y)
        return
    tile = PIXEL_TILES[p.stride[2]][p.kernel[2]][p.tile_rows]
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

cdef void descending_1(const PixelStrip* s) noexcept nogil: descending_strip(s, 1, False)
cdef void descending_2(const PixelStrip* s) noexcept nogil: descending_strip(s, 2, False)
cdef void descending_3(const PixelStrip* s) noexcept nogil: descending_strip(s, 3, False)
cdef void descending_4(const PixelStrip* s) noexcept nogil: descending_strip(s, 4, False)
cdef void descending_5(const PixelStrip* s) noexcept nogil: descending_strip(s, 5, False)
cdef void descending_6(const PixelStrip* s) noexcept nogil: descending_strip(s, 6, False)
cdef void descending_7(const PixelStrip* s) noexcept nogil: descending_strip(s, 7, False)
cdef void descending_picked_1(const PixelStrip* s) noexcept nogil: descending_strip(s, 1, True)
cdef void descending_picked_2(const PixelStrip* s) noexcept nogil: descending_strip(s, 2, True)
cdef void descending_picked_3(const PixelStrip* s) noexcept nogil: descending_strip(s, 3, True)
cdef void descending_picked_4(const PixelStrip* s) noexcept nogil: descending_strip(s, 4, True)
cdef void descending_picked_5(const PixelStrip* s) noexcept nogil: descending_strip(s, 5, True)
cdef void descending_picked_6(const PixelStrip* s) noexcept nogil: descending_strip(s, 6, True)

DESCENDING_TILES[0][1:8] = [descending_1, descending_2, descending_3, descending_4, descending_5,
    descending_6, descending_7]
DESCENDING_TILES[1][1:7] = [descending_picked_1, descending_picked_2, descending_picked_3,
    descending_picked_4, descending_picked_5, descending_picked_6]
MOST_DESCENDING[0] = 7
MOST_DESCENDING[1] = 6

cdef void wide_1(const PixelStrip* s) noexcept nogil: wide_strip(s, 1)
cdef void wide_2(const PixelStrip* s) noexcept nogil: wide_strip(s, 2)
cdef void wide_3(const PixelStrip* s) noexcept nogil: wide_strip(s, 3)
cdef void wide_4(const PixelStrip* s) noexcept nogil: wide_strip(s, 4)
cdef void wide_5(const PixelStrip* s) noexcept nogil: wide_strip(s, 5)

WIDE_TILES[1:6] = [wide_1, wide_2, wide_3, wide_4, wide_5]
MOST_WIDE_PIXELS[0] = MOST_WIDE
MOST_WIDE_PIXELS[1] = WIDE_COLUMNS
