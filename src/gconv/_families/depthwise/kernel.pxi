# Depthwise: the rows of a tile are image rows, so that a loaded row serves every output row that it
# touches; its lanes are neighbouring output columns.
#
# Kernel rows by window rows of a tile of three output rows (5x5 kernel): output row j uses
# window row i with kernel row i - j.
#
#     window row    0   1   2   3   4   5   6
#     row 0         0   1   2   3   4
#     row 1             0   1   2   3   4
#     row 2                 0   1   2   3   4
#                  rising|  steady   |falling
#
#     weights    as they are, or in order    [group][kd][kh][kw]


cdef struct DepthwisePlan:
    Py_ssize_t rows, vectors  # of the largest tile: output rows x vectors of pixels
    const Py_ssize_t* columns  # where the taps of a kernel row lie
    bint three_columns  # the kernel has three columns, and their taps are neighbours


cdef struct DepthwiseStrip:
    Lines lines  # of tiles that are `rows` image rows high
    Py_ssize_t x_plane  # from a kernel plane to the next
    Py_ssize_t x_row  # from a window row to the next
    const Py_ssize_t* columns  # where the taps of a kernel row lie
    const w_t* weight
    const sum_t* bias
    Epilogue epilogue
    Py_ssize_t first_plane, last_plane  # kernel planes that meet the image
    Py_ssize_t first_window, last_window  # window rows of line 0 that lie in the image
    Py_ssize_t kernel_rows, kernel_columns


# One row of input into output rows LOW to HIGH - 1; w is the kernel row of row LOW. COLUMNS is
# the number of kernel columns where it is literal and they are neighbours, else 0.
cdef inline void window_row(
    const DepthwiseStrip* s, vec acc[MOST_ROWS][MOST_VECTORS], const x_t* x, const w_t* w,
    Py_ssize_t end, Py_ssize_t LOW, Py_ssize_t HIGH, Py_ssize_t VECTORS, Py_ssize_t COLUMNS
) noexcept nogil:
    cdef vec xv[MOST_VECTORS]
    cdef vec wv
    cdef Py_ssize_t columns = COLUMNS if COLUMNS > 0 else s.kernel_columns
    cdef Py_ssize_t kw, j, v
    for kw in range(columns):
        for v in range(VECTORS):
            xv[v] = load_x(
                x + (kw if COLUMNS > 0 else s.columns[kw])
                + (v * LANES if v < VECTORS - 1 else end))
            if HIGH - LOW > 1:
                xv[v] = in_register(xv[v])
        for j in range(LOW, HIGH):
            wv = splat((w - (j - LOW) * columns)[kw])
            for v in range(VECTORS):
                acc[j][v] = acc[j][v] + wv * xv[v]


# Window rows I < ROWS - 1 and kernel_rows - 1 + J, where not every output row has a kernel row.
# Both return the next window row.
cdef inline const x_t* rising_row(
    const DepthwiseStrip* s, vec acc[MOST_ROWS][MOST_VECTORS], const x_t* x, const w_t* w,
    Py_ssize_t first, Py_ssize_t last, Py_ssize_t end,
    Py_ssize_t I, Py_ssize_t ROWS, Py_ssize_t VECTORS, Py_ssize_t COLUMNS) noexcept nogil:
    cdef Py_ssize_t columns = COLUMNS if COLUMNS > 0 else s.kernel_columns
    if I >= ROWS - 1:
        return x
    if first <= I < last:
        window_row(s, acc, x, w + I * columns, end, 0, I + 1, VECTORS, COLUMNS)
    return x + s.x_row


cdef inline const x_t* falling_row(
    const DepthwiseStrip* s, vec acc[MOST_ROWS][MOST_VECTORS], const x_t* x, const w_t* w,
    Py_ssize_t first, Py_ssize_t last, Py_ssize_t end,
    Py_ssize_t J, Py_ssize_t ROWS, Py_ssize_t VECTORS, Py_ssize_t COLUMNS) noexcept nogil:
    cdef Py_ssize_t i = s.kernel_rows - 1 + J
    if J >= ROWS:
        return x
    if first <= i < last:
        window_row(s, acc, x, w, end, J, ROWS, VECTORS, COLUMNS)
    return x + s.x_row


# Assumes kernel_rows >= ROWS - 1, and ROWS <= 6.
cdef inline void depthwise_strip(
    const Lines* lines, Py_ssize_t ROWS, Py_ssize_t VECTORS, Py_ssize_t COLUMNS
) noexcept nogil:
    cdef const DepthwiseStrip* s = <const DepthwiseStrip*>lines
    cdef vec acc[MOST_ROWS][MOST_VECTORS]
    cdef const x_t* x
    cdef const w_t* w
    cdef const y_t* added
    cdef y_t* y
    cdef Py_ssize_t columns = COLUMNS if COLUMNS > 0 else s.kernel_columns
    cdef Py_ssize_t line, tile, i, j, v, plane, end, first, last
    for line in range(lines.first_line, lines.last_line):
        first = s.first_window - line * ROWS
        last = s.last_window - line * ROWS
        end = (VECTORS - 1) * LANES
        for tile in range(lines.tiles):
            if tile == lines.tiles - 1:
                end = lines.final_vector
            for j in range(ROWS):
                for v in range(VECTORS):
                    acc[j][v] = splat(s.bias[0] if s.bias != NULL else 0)
            for plane in range(s.first_plane, s.last_plane):
                x = (lines.x + plane * s.x_plane + line * lines.x_line
                     + tile * VECTORS * LANES)
                w = s.weight + plane * s.kernel_rows * columns
                x = rising_row(s, acc, x, w, first, last, end, 0, ROWS, VECTORS, COLUMNS)
                x = rising_row(s, acc, x, w, first, last, end, 1, ROWS, VECTORS, COLUMNS)
                x = rising_row(s, acc, x, w, first, last, end, 2, ROWS, VECTORS, COLUMNS)
                x = rising_row(s, acc, x, w, first, last, end, 3, ROWS, VECTORS, COLUMNS)
                x = rising_row(s, acc, x, w, first, last, end, 4, ROWS, VECTORS, COLUMNS)
                w = w + (ROWS - 1) * columns
                for i in range(ROWS - 1, s.kernel_rows):
                    if first <= i < last:
                        window_row(s, acc, x, w, end, 0, ROWS, VECTORS, COLUMNS)
                    x = x + s.x_row
                    w = w + columns
                w = w - columns  # the last kernel row, for the first row that still has one
                x = falling_row(s, acc, x, w, first, last, end, 1, ROWS, VECTORS, COLUMNS)
                x = falling_row(s, acc, x, w, first, last, end, 2, ROWS, VECTORS, COLUMNS)
                x = falling_row(s, acc, x, w, first, last, end, 3, ROWS, VECTORS, COLUMNS)
                x = falling_row(s, acc, x, w, first, last, end, 4, ROWS, VECTORS, COLUMNS)
                x = falling_row(s, acc, x, w, first, last, end, 5, ROWS, VECTORS, COLUMNS)
            y = lines.y + line * lines.y_line + tile * VECTORS * LANES
            added = lines.added
            if added != NULL:
                added += y - lines.y
                for j in range(ROWS):
                    for v in range(VECTORS - 1):
                        acc[j][v] = acc[j][v] + load_y(added + v * LANES)
                    acc[j][VECTORS - 1] = acc[j][VECTORS - 1] + load_y(added + end)
                    added = <const y_t*>read_here(added + lines.y_row)
            activate_tile(acc, &s.epilogue, ROWS, VECTORS)
            for j in range(ROWS):
                for v in range(VECTORS):
                    store_y(
                        y + j * lines.y_row + (v * LANES if v < VECTORS - 1 else end), acc[j][v])


cdef line_function DEPTHWISE_TILES[MOST_ROWS + 1][MOST_VECTORS + 1]
cdef line_function THREE_COLUMN_TILES[MOST_ROWS + 1][MOST_VECTORS + 1]  # kernels 3 wide


cdef void depthwise_item(
    const ConvPlan* p, const Item* given, const x_t* x, const w_t* weight, const w_t* packed,
    const sum_t* bias, y_t* y, char* scratch) noexcept nogil:
    """Assumes one input and one output channel per group, and rows of stride 1."""
    cdef Item item = given[0]
    cdef Band* band = &item.band
    cdef Py_ssize_t dilation = p.problem.dilation[1]
    cdef Py_ssize_t width = band.end[2] - band.begin[2]
    cdef const DepthwisePlan* own = <const DepthwisePlan*>p.own
    cdef Pieces across = split((width + LANES - 1) // LANES, own.vectors)
    cdef Pieces down
    cdef Py_ssize_t group, od, phase, oh, size, count, rows = 0
    cdef Range windows
    cdef y_t* spill = <y_t*>region(scratch, p.scratch.sums)
    cdef Source source
    cdef DepthwiseStrip s
    begin_item(p, &item, scratch)
    s.epilogue = tile_epilogue(p)
    s.columns = own.columns
    s.kernel_rows = p.problem.kernel[1]
    s.kernel_columns = p.problem.kernel[2]
    s.lines.y_row = dilation * p.problem.y_axis[1]
    for group in range(item.first_group, item.last_group):
        if p.source.in_place:
            source = in_place_source(p, &item, x, group)
        else:
            source = panel_source(p, &item, x, group, 0, 1, scratch)
        s.x_plane = source.tap_plane
        s.x_row = source.tap_row
        s.weight = weights_in_order(p, group, 0, weight, scratch)
        s.bias = bias + group if bias != NULL else NULL
        for od in range(band.begin[0], band.end[0]):
            tap_range(p, 0, od, &s.first_plane, &s.last_plane)
            # Output rows one dilation apart share input rows; the others never do.
            for phase in range(min(dilation, band.end[1] - band.begin[1])):
                oh = band.begin[1] + phase
                if divide_up(band.end[1] - oh, dilation) != rows:
                    rows = divide_up(band.end[1] - oh, dilation)
                    down = split(rows, own.rows)
                for size in range(down.size + 1, down.size - 1, -1):
                    count = down.larger if size > down.size else down.count - down.larger
                    if count == 0:
                        continue
                    windows = rows_inside(p, oh, p.problem.kernel[1] + count * size)
                    s.first_window = windows.first
                    s.last_window = windows.last
                    s.lines.first_line = 0
                    s.lines.last_line = count
                    s.lines.x_line = size * source.tap_row
                    s.lines.y_line = size * s.lines.y_row
                    s.lines.x = source.origin + od * source.plane + oh * source.row
                    s.lines.y = (y + channel_offset(p, item.image, group)
                                 + pixel_offset(p, od, oh, band.begin[2]))
                    s.lines.added = residual_of(scratch, y, s.lines.y)
                    compute_lines(
                        &s.lines,
                        &THREE_COLUMN_TILES[size][0] if own.three_columns
                        else &DEPTHWISE_TILES[size][0],
                        size, width, &across, spill)
                    oh += count * size * dilation


include "tiles_16.pxi"
include "tiles_32.pxi"

register("depthwise", depthwise_item, NULL, sizeof(DepthwisePlan), {
    "depthwise": largest_tiles(<void**>&DEPTHWISE_TILES[0][0]),
    "three": largest_tiles(<void**>&THREE_COLUMN_TILES[0][0]),
})
