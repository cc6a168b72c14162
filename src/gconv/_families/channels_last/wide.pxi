# Tiles of neighbouring pixels for wide kernels: a few kernel columns at a time, whose weights stay
# in registers while the vectors of the input row go by.


cdef enum:
    MOST_WIDE = 5  # pixels; with more GCC 12 keeps the sums on the stack
    WIDE_COLUMNS = 64  # the family sees to it
    CHUNK = 4  # kernel columns at a time

cdef pixel_function WIDE_TILES[MOST_WIDE + 1]


# Kernel columns [kw, kw + CHUNK) of a row.
cdef inline void wide_columns(
    const PixelStrip* s, vec acc[MOST_WIDE], const x_t* row, const mask* inside, const w_t* w,
    Py_ssize_t kw, Py_ssize_t OUTPUTS) noexcept nogil:
    cdef vec wv[CHUNK]
    cdef vec xv
    cdef Py_ssize_t v, n
    for n in range(CHUNK):
        wv[n] = in_register(load_packed(w + (kw + n) * LANES))
    row += kw * s.x_pixel
    for v in range(OUTPUTS + CHUNK - 1):
        xv = in_register(load_some_x(row + v * s.x_pixel, inside[kw + v]))
        for n in range(CHUNK):
            if 0 <= v - n < OUTPUTS:
                acc[v - n] = acc[v - n] + wv[n] * xv


cdef inline void wide_strip(const PixelStrip* s, Py_ssize_t OUTPUTS) noexcept nogil:
    cdef vec acc[MOST_WIDE]
    cdef mask inside[WIDE_COLUMNS + MOST_WIDE]
    cdef const x_t* x = s.x
    cdef const x_t* row
    cdef const w_t* weight = s.weight
    cdef const w_t* w
    cdef vec wv
    cdef Py_ssize_t vector, v, kd, kh, kw, column
    for v in range(s.first_tap, s.last_tap + OUTPUTS - 1):
        column = s.first_column + v * s.dilation
        inside[v] = s.channels if 0 <= column < s.in_columns else 0
    for vector in range(s.vectors):
        for v in range(OUTPUTS):
            acc[v] = splat(0)
            if s.bias != NULL:
                acc[v] = load_some_sum(s.bias + vector * LANES, s.channels)
        for kd in range(s.first_plane, s.last_plane):
            for kh in range(s.first_row, s.last_row):
                row = x + kd * s.x_plane + kh * s.x_row
                w = weight + (kd * s.kernel_rows + kh) * s.kernel_columns * LANES
                kw = s.first_tap
                while kw + CHUNK <= s.last_tap:
                    wide_columns(s, acc, row, inside, w, kw, OUTPUTS)
                    kw += CHUNK
                while kw < s.last_tap:
                    wv = in_register(load_packed(w + kw * LANES))
                    for v in range(OUTPUTS):
                        acc[v] = acc[v] + wv * load_some_x(
                            row + (kw + v) * s.x_pixel, inside[kw + v])
                    kw += 1
        for v in range(OUTPUTS):
            store_some(s.y + vector * LANES + v * s.y_pixel, s.channels, acc[v])
        x += LANES
        weight += s.taps * LANES


cdef inline void wide_line(
    const ConvPlan* p, PixelStrip s, Py_ssize_t columns) noexcept nogil:
    """`columns` pixels one dilation apart, tile after tile."""
    cdef Pieces across = split(columns, (<const ChannelsLastPlan*>p.own).pixels)
    cdef Py_ssize_t part, size
    for part in range(across.count):
        size = across.size + (part < across.larger)
        # The columns before the image are those of the last pixel; behind it, of the first.
        s.first_tap = inside(
            s.first_column + (size - 1) * s.dilation, s.dilation, 0, s.in_columns,
            s.kernel_columns).first
        s.last_tap = max(s.first_tap, inside(
            s.first_column, s.dilation, 0, s.in_columns, s.kernel_columns).last)
        WIDE_TILES[size](&s)
        s.x += size * s.x_pixel
        s.y += size * s.y_pixel
        s.first_column += size * s.dilation


cdef inline void wide_rows(
    const ConvPlan* p, PixelStrip s, const Item* item, const w_t* weights, const x_t* x,
    const sum_t* bias, y_t* y) noexcept nogil:
    """A band, for as many vectors of channels at a time as the cache holds the weights of."""
    cdef const Band* band = &item.band
    cdef Py_ssize_t at_once = (<const ChannelsLastPlan*>p.own).cached_vectors
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
                    s.first_column = column - p.problem.padding[2]
                    s.x = x + x_offset(p, item.image, 0, od, oh, column) + channel
                    s.y = y + item.image * p.problem.y_image + channel + pixel_offset(
                        p, od, oh, column)
                    wide_line(p, s, divide_up(band.end[2] - column, s.dilation))
        channel += s.vectors * LANES
