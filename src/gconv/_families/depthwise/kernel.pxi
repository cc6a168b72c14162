# Kernel rows by window rows of a tile of three output rows (5x5 kernel): output row j uses
# window row i with kernel row i - j.
#
#     window row    0   1   2   3   4   5   6
#     row 0         0   1   2   3   4
#     row 1             0   1   2   3   4
#     row 2                 0   1   2   3   4
#                  rising|  steady   |falling


cdef struct DepthwisePlan:
    Py_ssize_t rows, vectors  # of the largest tile: output rows x vectors of pixels
    const Py_ssize_t* columns  # where the taps of a kernel row lie
    bint three_columns  # the kernel has three columns, and their taps are neighbours


cdef struct DepthwiseStrip:
    const x_t* x  # where the first tap of the first row's first pixel lies
    Py_ssize_t x_plane  # from a kernel plane to the next
    Py_ssize_t x_row  # from a window row to the next
    const Py_ssize_t* columns  # where the taps of a kernel row lie
    y_t* y
    Py_ssize_t y_row  # from an output row of the tile to the next
    const w_t* weight
    const sum_t* bias
    const y_t* residual  # NULL: none
    Epilogue epilogue
    Py_ssize_t first_plane, last_plane  # kernel planes that meet the image
    Py_ssize_t first_window, last_window  # window rows of the first tile that lie in the image
    Py_ssize_t kernel_rows, kernel_columns
    Py_ssize_t tiles_down, tiles
    Py_ssize_t final_vector


ctypedef void (*depthwise_function)(const DepthwiseStrip* s) noexcept nogil


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
    const DepthwiseStrip* s, Py_ssize_t ROWS, Py_ssize_t VECTORS, Py_ssize_t COLUMNS
) noexcept nogil:
    cdef vec acc[MOST_ROWS][MOST_VECTORS]
    cdef const x_t* x
    cdef const w_t* w
    cdef const y_t* residual
    cdef y_t* y
    cdef Py_ssize_t columns = COLUMNS if COLUMNS > 0 else s.kernel_columns
    cdef Py_ssize_t down, tile, i, j, v, plane, end, first, last
    for down in range(s.tiles_down):
        first = s.first_window - down * ROWS
        last = s.last_window - down * ROWS
        end = (VECTORS - 1) * LANES
        for tile in range(s.tiles):
            if tile == s.tiles - 1:
                end = s.final_vector
            for j in range(ROWS):
                for v in range(VECTORS):
                    acc[j][v] = splat(s.bias[0] if s.bias != NULL else 0)
            for plane in range(s.first_plane, s.last_plane):
                x = s.x + plane * s.x_plane + down * ROWS * s.x_row + tile * VECTORS * LANES
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
            y = s.y + down * ROWS * s.y_row + tile * VECTORS * LANES
            residual = s.residual
            if residual != NULL:
                residual += y - s.y
                for j in range(ROWS):
                    for v in range(VECTORS - 1):
                        acc[j][v] = acc[j][v] + load_y(residual + v * LANES)
                    acc[j][VECTORS - 1] = acc[j][VECTORS - 1] + load_y(residual + end)
                    residual = <const y_t*>read_here(residual + s.y_row)
            activate_tile(acc, &s.epilogue, ROWS, VECTORS)
            for j in range(ROWS):
                for v in range(VECTORS):
                    store_y(y + j * s.y_row + (v * LANES if v < VECTORS - 1 else end), acc[j][v])


cdef depthwise_function DEPTHWISE_TILES[MOST_ROWS + 1][MOST_VECTORS + 1]
cdef depthwise_function THREE_COLUMN_TILES[MOST_ROWS + 1][MOST_VECTORS + 1]  # kernels 3 wide


cdef inline void short_rows(
    DepthwiseStrip s, depthwise_function tile, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t n,
    y_t* spill) noexcept nogil:
    """The n < LANES pixels from s.y on, of every row; see short_lines."""
    cdef Py_ssize_t j, down, tiles_down = s.tiles_down
    cdef Py_ssize_t y_row = s.y_row
    cdef y_t* y = s.y
    cdef const y_t* residual = s.residual
    s.tiles = 1
    s.tiles_down = 1
    s.final_vector = 0
    s.x += first
    s.y = spill
    s.y_row = LANES
    if residual != NULL:
        s.residual = spill
    for down in range(tiles_down):
        if residual != NULL:
            for j in range(rows):
                copy_few(spill + j * LANES - first, residual + (down * rows + j) * y_row, n, sizeof(y_t))
        tile(&s)
        for j in range(rows):
            copy_few(y + (down * rows + j) * y_row, spill + j * LANES - first, n, sizeof(y_t))
        s.x += rows * s.x_row
        s.first_window -= rows
        s.last_window -= rows


cdef inline void depthwise_rows(
    const DepthwisePlan* own, DepthwiseStrip s, Py_ssize_t rows, Py_ssize_t width,
    const Parts* across,
    y_t* spill) noexcept nogil:
    """Row tiles of `rows` rows, tile after tile."""
    cdef Py_ssize_t final_vector, done = 0
    cdef depthwise_function* tiles = (
        &THREE_COLUMN_TILES[rows][0] if own.three_columns else &DEPTHWISE_TILES[rows][0])
    if width < LANES:
        s.tiles = 1
        s.final_vector = 0
        # Where rows follow each other in y, what a vector writes beyond its row belongs to rows
        # of this item that are written later. Not so behind the last tile, nor where y may hold
        # the residual of those rows.
        if s.y_row == width and 2 * width >= LANES and s.tiles_down > 1 and s.residual == NULL:
            s.tiles_down -= 1
            tiles[1](&s)
            s.x += s.tiles_down * rows * s.x_row
            s.y += s.tiles_down * rows * s.y_row
            s.first_window -= s.tiles_down * rows
            s.last_window -= s.tiles_down * rows
            s.tiles_down = 1
        short_rows(s, tiles[1], rows, 0, width, spill)
        return
    if across.larger > 0:
        s.tiles = across.larger
        s.final_vector = across.size * LANES
        tiles[across.size + 1](&s)
        done = across.larger * (across.size + 1) * LANES
        s.x += done
        s.y += done
        if s.residual != NULL:
            s.residual += done
    s.tiles = across.count - across.larger
    final_vector = width - done - (s.tiles - 1) * across.size * LANES - LANES
    if s.residual == NULL or final_vector >= 0:
        s.final_vector = final_vector
        tiles[across.size](&s)
        return
    # The last of tiles of one vector would overlap the one before it.
    s.tiles -= 1
    s.final_vector = 0
    tiles[1](&s)
    done = s.tiles * LANES
    s.x += done
    s.y += done
    s.residual += done
    short_rows(s, tiles[1], rows, final_vector, LANES + final_vector, spill)


cdef void depthwise_item(
    const ConvPlan* p, const Item* given, const x_t* x, const w_t* weight, const w_t* packed,
    const sum_t* bias, y_t* y, char* scratch) noexcept nogil:
    """Assumes one input and one output channel per group, and rows one apart (stride 1)."""
    cdef Item item = given[0]
    cdef Band* band = &item.band
    cdef Py_ssize_t dilation = p.problem.dilation[1]
    cdef Py_ssize_t width = band.end[2] - band.begin[2]
    cdef const DepthwisePlan* own = <const DepthwisePlan*>p.own
    cdef Parts across = split((width + LANES - 1) // LANES, own.vectors)
    cdef Parts down
    cdef Py_ssize_t group, od, phase, oh, top, size, rows = 0
    cdef y_t* spill = <y_t*>region(scratch, p.scratch.sums)
    cdef Source source
    cdef DepthwiseStrip s
    begin_item(p, &item, scratch)
    s.epilogue = tile_epilogue(p)
    s.columns = own.columns
    s.kernel_rows = p.problem.kernel[1]
    s.kernel_columns = p.problem.kernel[2]
    s.y_row = dilation * p.problem.y_axis[1]
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
                    s.tiles_down = down.larger if size > down.size else down.count - down.larger
                    if s.tiles_down == 0:
                        continue
                    top = oh - p.problem.padding[1]
                    s.first_window = 0
                    if top < p.problem.filled_begin[1]:
                        s.first_window = divide_up(p.problem.filled_begin[1] - top, dilation)
                    s.last_window = 0
                    if top < p.problem.filled_end[1]:
                        s.last_window = divide_up(p.problem.filled_end[1] - top, dilation)
                    s.x = source.origin + od * source.plane + oh * source.row
                    s.y = (y + item.image * p.problem.y_image + group * p.problem.y_channel
                           + od * p.problem.y_axis[0] + oh * p.problem.y_axis[1] + band.begin[2])
                    s.residual = residual_of(scratch, y, s.y)
                    depthwise_rows(own, s, size, width, &across, spill)
                    oh += s.tiles_down * size * dilation


include "tiles_16.pxi"
include "tiles_32.pxi"

register("depthwise", depthwise_item, NULL, sizeof(DepthwisePlan), {
    "depthwise": largest_tiles(<void**>&DEPTHWISE_TILES[0][0]),
    "three": largest_tiles(<void**>&THREE_COLUMN_TILES[0][0]),
})
