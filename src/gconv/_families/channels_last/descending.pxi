# Tiles of neighbouring pixels that go down the rows, for 3x3 kernels: a vector of an input row
# serves all kernel rows as well, and the weights stay in registers. Several output channels per
# group are served too: each lane picks its input channel.


cdef pixel_function DESCENDING_TILES[2][MOST_VECTORS + 1]  # lanes pick or not, pixels


# Window row LOW + 2 of the first, or any, of the output rows that wait in acc: kernel row 2 - a
# goes to the output row `a` further down, those from LOW up to HIGH.
cdef inline void descending_row(
    const PixelStrip* s, vec acc[MOST_ROWS][MOST_VECTORS], const x_t* row, const mask* inside,
    const vec held[9], picks which, Py_ssize_t LOW, Py_ssize_t HIGH, Py_ssize_t OUTPUTS,
    bint PICKS) noexcept nogil:
    cdef Py_ssize_t v, kw, a
    cdef vec xv
    for v in range(OUTPUTS + 2):
        xv = load_some_x(row + v * s.x_pixel, inside[v])
        if PICKS:
            xv = picked(xv, which)
        xv = in_register(xv)
        for kw in range(3):
            if 0 <= v - kw < OUTPUTS:
                for a in range(LOW, HIGH):
                    acc[a][v - kw] = acc[a][v - kw] + held[(2 - a) * 3 + kw] * xv


cdef inline void descending_strip(
    const PixelStrip* s, Py_ssize_t OUTPUTS, bint PICKS) noexcept nogil:
    cdef vec acc[MOST_ROWS][MOST_VECTORS]
    cdef vec held[9]
    cdef vec bias_here[1]
    cdef mask inside[MOST_VECTORS + 2]
    cdef picks which = load_picks(s.picks)
    cdef const vec* bias
    cdef const x_t* x = s.x
    cdef const x_t* row
    cdef y_t* y
    cdef Py_ssize_t vector, v, a, oh, column
    for v in range(OUTPUTS + 2):
        column = s.first_column + v * s.dilation
        inside[v] = s.loaded if 0 <= column < s.in_columns else 0
    for vector in range(s.vectors):
        for v in range(9):
            held[v] = in_register(load_packed(s.weight + (vector * 9 + v) * LANES))
        bias_here[0] = splat(0)
        if s.bias != NULL:
            bias_here[0] = load_some_sum(s.bias + vector * LANES, s.channels)
        bias = <const vec*>read_here(bias_here)  # there is no register for it
        if PICKS:
            x = s.x + s.base[vector]
            which = load_picks(s.picks + vector * LANES)
        for v in range(OUTPUTS):
            for a in range(3):
                acc[a][v] = bias[0]
        y = s.y + vector * LANES - 2 * s.y_row
        # Start two rows early to fill the accumulators; nothing is stored for them.
        for oh in range(-2, s.rows):
            if s.first_window <= oh + 2 < s.last_window:
                row = x + (oh + 2) * s.x_row
                if s.prefetches:
                    for v in range(OUTPUTS):
                        prefetch(row + (OUTPUTS + 2 + v) * s.x_pixel)
                if oh == -2:
                    descending_row(s, acc, row, inside, held, which, 2, 3, OUTPUTS, PICKS)
                elif oh == -1:
                    descending_row(s, acc, row, inside, held, which, 1, 3, OUTPUTS, PICKS)
                elif oh + 2 < s.rows:
                    descending_row(s, acc, row, inside, held, which, 0, 3, OUTPUTS, PICKS)
                elif oh + 1 < s.rows:
                    descending_row(s, acc, row, inside, held, which, 0, 2, OUTPUTS, PICKS)
                else:
                    descending_row(s, acc, row, inside, held, which, 0, 1, OUTPUTS, PICKS)
            if oh >= 0:
                if s.prefetches:
                    for v in range(OUTPUTS):
                        prefetch(y + (OUTPUTS + v) * s.y_pixel)
                for v in range(OUTPUTS):
                    store_some(y + v * s.y_pixel, s.channels, acc[0][v])
            y += s.y_row
            for v in range(OUTPUTS):
                acc[0][v] = acc[1][v]
                acc[1][v] = acc[2][v]
                acc[2][v] = bias[0]
        x += LANES


cdef inline void descending_columns(
    const ConvPlan* p, PixelStrip s, const Item* item, Py_ssize_t columns, const w_t* weights,
    const sum_t* bias) noexcept nogil:
    """Tiles side by side, `columns` pixels in all: all channels of one and then of the next."""
    cdef const ChannelsLastPlan* own = <const ChannelsLastPlan*>p.own
    cdef bint pick = p.problem.out_channels > 1
    cdef Py_ssize_t first = item.first_group * p.problem.out_channels
    cdef Py_ssize_t channels = item.last_group * p.problem.out_channels - first
    cdef Py_ssize_t whole = channels // LANES, block = item.first_group // p.work.group_block
    cdef Py_ssize_t wide_in = p.problem.groups if pick else LANES, size, tile
    cdef Pieces across = split(columns, own.pixels)
    cdef PixelStrip last
    block *= own.blocks
    s.weight = weights
    s.bias = bias + first if bias != NULL else NULL
    s.base = own.base + block
    s.picks = own.picks + block * LANES
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
    const ConvPlan* p, PixelStrip s, const Item* item, const w_t* weights, const x_t* x,
    const sum_t* bias, y_t* y) noexcept nogil:
    """A band, from all its rows and columns one dilation apart to the next: these share inputs,
    the others never do."""
    cdef const Band* band = &item.band
    cdef Py_ssize_t od, oh, column, phase, column_phase, first_plane, last_plane
    cdef Range windows
    cdef Py_ssize_t first_in = 0 if p.problem.out_channels > 1 else item.first_group
    s.prefetches = (<const ChannelsLastPlan*>p.own).prefetches
    s.x_row = p.problem.dilation[1] * p.problem.x_axis[1]
    s.y_row = p.problem.dilation[1] * p.problem.y_axis[1]
    for od in range(band.begin[0], band.end[0]):
        tap_range(p, 0, od, &first_plane, &last_plane)
        for phase in range(min(p.problem.dilation[1], band.end[1] - band.begin[1])):
            oh = band.begin[1] + phase
            s.rows = divide_up(band.end[1] - oh, p.problem.dilation[1])
            windows = rows_inside(p, oh, s.rows + 2)
            s.first_window = windows.first
            s.last_window = windows.last if first_plane < last_plane else 0
            for column_phase in range(min(p.problem.dilation[2], band.end[2] - band.begin[2])):
                column = band.begin[2] + column_phase
                s.first_column = column - p.problem.padding[2]
                s.x = x + x_offset(p, item.image, 0, od, oh, column) + first_in
                s.y = (y + item.image * p.problem.y_image + pixel_offset(p, od, oh, column)
                       + item.first_group * p.problem.out_channels)
                descending_columns(
                    p, s, item, divide_up(band.end[2] - column, p.problem.dilation[2]), weights,
                    bias)
