# Register tiles: ROWS x VECTORS accumulators that stay in registers while the taps are added.
#
# One always-inlined body for each family, called with literal ROWS and VECTORS by the short
# functions of tiles_16.pxi and tiles_32.pxi; after inlining, every loop over them is unrolled.
# The loop over a strip of tiles stands inside the body on purpose: in a function that computes
# one tile only, GCC keeps the accumulators on the stack.
#
# A tile loads and stores whole vectors. Its last vector may overlap the one before, so that it
# ends where the row ends: both then compute the same sums from the same operands. (Two tiles must
# not overlap where sums go on from y: the plan sees to it. Nor where there is a residual, as y
# may be that.)


cdef enum:
    MOST_ROWS = 14
    MOST_VECTORS = 8
    LANES_AT_MOST = 16
    LINE_BYTES = 64  # of the caches
    HELD = 9  # addresses that channel-lane tiles keep in registers


# A tile applies what its sums need to be results. It reads bounds and addresses anew (read_here):
# kept in registers, they would leave the loops over the taps too few.
cdef inline void activate_tile(
    vec acc[MOST_ROWS][MOST_VECTORS], const Epilogue* given, Py_ssize_t ROWS, Py_ssize_t VECTORS
) noexcept nogil:
    cdef const Epilogue* e = <const Epilogue*>read_here(given)
    cdef Py_ssize_t j, v
    if e.activation == CLAMP:
        for j in range(ROWS):
            for v in range(VECTORS):
                acc[j][v] = activated(acc[j][v], CLAMP, e)
    elif e.activation == LEAKY_RELU:
        for j in range(ROWS):
            for v in range(VECTORS):
                acc[j][v] = activated(acc[j][v], LEAKY_RELU, e)
    elif e.activation == HARDSWISH:
        for j in range(ROWS):
            for v in range(VECTORS):
                acc[j][v] = activated(acc[j][v], HARDSWISH, e)


# ---- width lanes: rows are output channels, lanes are neighbouring output pixels -------------

cdef struct WidthStrip:
    const real* x  # where the first pixel's taps start
    real* y  # first output channel, first pixel
    Py_ssize_t y_channel
    Py_ssize_t lines, x_line, y_line  # lines of pixels that meet the same taps, and their pitch
    const real* weight  # of the first output channel
    Py_ssize_t w_channel
    const real* bias  # NULL: none
    const real* start  # NULL, or what is added to the bias: the partial sums in y, or a residual
    real no_bias  # what stands for a bias that is NULL
    Epilogue epilogue
    const Py_ssize_t* x_taps
    const Py_ssize_t* w_taps
    # The taps are [first, last) and `planes` - 1 more ranges, each `plane` further on.
    Py_ssize_t first, last, plane, planes
    Py_ssize_t tiles
    Py_ssize_t final_vector  # where the last vector of the last tile begins within the tile


ctypedef void (*width_function)(const WidthStrip* s) noexcept nogil


cdef inline void width_strip(const WidthStrip* s, Py_ssize_t ROWS, Py_ssize_t VECTORS) noexcept nogil:
    cdef vec acc[MOST_ROWS][MOST_VECTORS]
    cdef vec xv[MOST_VECTORS]
    cdef vec wv
    cdef const real* x
    cdef const real* xk
    cdef const real* wk
    cdef real* y
    cdef Py_ssize_t line, tile, j, v, k, plane, end
    for line in range(s.lines):
        x = s.x + line * s.x_line
        y = s.y + line * s.y_line
        end = (VECTORS - 1) * LANES
        for tile in range(s.tiles):
            if tile == s.tiles - 1:
                end = s.final_vector
            for j in range(ROWS):
                wv = splat(s.bias[j] if s.bias != NULL else s.no_bias)
                for v in range(VECTORS):
                    acc[j][v] = wv
            if s.start != NULL:
                for j in range(ROWS):
                    for v in range(VECTORS):
                        acc[j][v] = acc[j][v] + (<const uvec*>(
                            s.start + (y - s.y) + j * s.y_channel
                            + (v * LANES if v < VECTORS - 1 else end)))[0]
            for plane in range(s.planes):
                for k in range(s.first + plane * s.plane, s.last + plane * s.plane):
                    xk = x + s.x_taps[k]
                    wk = s.weight + s.w_taps[k]
                    for v in range(VECTORS):
                        xv[v] = (<const uvec*>(xk + (v * LANES if v < VECTORS - 1 else end)))[0]
                        if ROWS > 1:
                            xv[v] = in_register(xv[v])
                    for j in range(ROWS):
                        wv = splat(wk[j * s.w_channel])
                        for v in range(VECTORS):
                            acc[j][v] = acc[j][v] + wv * xv[v]
            activate_tile(acc, &s.epilogue, ROWS, VECTORS)
            for j in range(ROWS):
                for v in range(VECTORS):
                    (<uvec*>(y + j * s.y_channel + (v * LANES if v < VECTORS - 1 else end)))[0] = \
                        acc[j][v]
            x += VECTORS * LANES
            y += VECTORS * LANES


# ---- depthwise: rows are image rows, so that a loaded row serves every row it touches ---------
#
# Kernel rows by window rows of a tile of three output rows (5x5 kernel): output row j uses
# window row i with kernel row i - j.
#
#     window row    0   1   2   3   4   5   6
#     row 0         0   1   2   3   4
#     row 1             0   1   2   3   4
#     row 2                 0   1   2   3   4
#                  rising|  steady   |falling

cdef struct DepthwiseStrip:
    const real* x  # where the first tap of the first row's first pixel lies
    Py_ssize_t x_plane  # from a kernel plane to the next
    Py_ssize_t x_row  # from a window row to the next
    const Py_ssize_t* columns  # where the taps of a kernel row lie
    real* y
    Py_ssize_t y_row  # from an output row of the tile to the next
    const real* weight
    const real* bias
    const real* residual  # NULL: none
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
    const DepthwiseStrip* s, vec acc[MOST_ROWS][MOST_VECTORS], const real* x, const real* w,
    Py_ssize_t end, Py_ssize_t LOW, Py_ssize_t HIGH, Py_ssize_t VECTORS, Py_ssize_t COLUMNS
) noexcept nogil:
    cdef vec xv[MOST_VECTORS]
    cdef vec wv
    cdef Py_ssize_t columns = COLUMNS if COLUMNS > 0 else s.kernel_columns
    cdef Py_ssize_t kw, j, v
    for kw in range(columns):
        for v in range(VECTORS):
            xv[v] = (<const uvec*>(
                x + (kw if COLUMNS > 0 else s.columns[kw])
                + (v * LANES if v < VECTORS - 1 else end)))[0]
            if HIGH - LOW > 1:
                xv[v] = in_register(xv[v])
        for j in range(LOW, HIGH):
            wv = splat((w - (j - LOW) * columns)[kw])
            for v in range(VECTORS):
                acc[j][v] = acc[j][v] + wv * xv[v]


# Window rows I < ROWS - 1 and kernel_rows - 1 + J, where not every output row has a kernel row.
# Both return the next window row.
cdef inline const real* rising_row(
    const DepthwiseStrip* s, vec acc[MOST_ROWS][MOST_VECTORS], const real* x, const real* w,
    Py_ssize_t first, Py_ssize_t last, Py_ssize_t end,
    Py_ssize_t I, Py_ssize_t ROWS, Py_ssize_t VECTORS, Py_ssize_t COLUMNS) noexcept nogil:
    cdef Py_ssize_t columns = COLUMNS if COLUMNS > 0 else s.kernel_columns
    if I >= ROWS - 1:
        return x
    if first <= I < last:
        window_row(s, acc, x, w + I * columns, end, 0, I + 1, VECTORS, COLUMNS)
    return x + s.x_row


cdef inline const real* falling_row(
    const DepthwiseStrip* s, vec acc[MOST_ROWS][MOST_VECTORS], const real* x, const real* w,
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
    cdef const real* x
    cdef const real* w
    cdef const real* residual
    cdef real* y
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
                        acc[j][v] = acc[j][v] + (<const uvec*>(residual + v * LANES))[0]
                    acc[j][VECTORS - 1] = acc[j][VECTORS - 1] + (<const uvec*>(residual + end))[0]
                    residual = <const real*>read_here(residual + s.y_row)
            activate_tile(acc, &s.epilogue, ROWS, VECTORS)
            for j in range(ROWS):
                for v in range(VECTORS):
                    (<uvec*>(y + j * s.y_row + (v * LANES if v < VECTORS - 1 else end)))[0] = \
                        acc[j][v]


# ---- sliding windows: see sliding.pxi, which only some instruction sets have -------------------

cdef struct Ahead:
    const real* x  # what is asked for next: it is about to be read,
    const real* y  # and written


cdef struct SlidingStrip:
    const real* x  # the first tap of the first row's first pixel; in the padding, it may not exist
    Py_ssize_t x_plane  # from a kernel plane to the next
    Py_ssize_t x_row  # from a window row to the next
    Py_ssize_t first_column, in_columns  # the image column that x points to, of how many
    real* y
    Py_ssize_t y_row
    Py_ssize_t rows, out_columns
    const real* weight
    const real* bias
    const real* residual  # NULL: none
    Epilogue epilogue
    Py_ssize_t first_plane, last_plane  # kernel planes that meet the image
    Py_ssize_t first_window, last_window  # window rows that lie in the image
    Py_ssize_t kernel_columns, dilation
    bint paired  # of one row: taps go in pairs
    Ahead* ahead  # NULL: ask for nothing
    bint more  # a residual, or something to ask for
    Py_ssize_t tiles


ctypedef void (*sliding_function)(const SlidingStrip* s) noexcept nogil


# ---- masked lanes: see masked.pxi, which only some instruction sets have -----------------------

cdef struct MaskedStrip:
    const real* x  # where the first tap of a plane's first pixel lies, or would
    const real* weight  # of the first output channel
    Py_ssize_t w_channel
    const real* bias  # NULL: none
    real* y  # first output channel, first pixel of the plane
    const real* residual  # of that; NULL: none
    Py_ssize_t y_channel
    Py_ssize_t first_pixel, last_pixel  # those of the plane that are stored
    Py_ssize_t first_vector, tiles
    Epilogue epilogue
    const Py_ssize_t* x_taps
    const Py_ssize_t* w_taps
    const char* masks
    const Py_ssize_t* mask_taps
    Py_ssize_t first_tap, last_tap


ctypedef void (*masked_function)(const MaskedStrip* s) noexcept nogil


# ---- channel lanes: rows are output pixels, lanes are output channels -------------------------

cdef struct ChannelStrip:
    const real* x
    # Where each pixel's taps start, and so much further on in this table those of the next of
    # `rows`; 0: they start at the same place.
    const Py_ssize_t* pixels
    Py_ssize_t next_row
    const real* weight  # [tap][VECTORS * LANES]
    Py_ssize_t ahead  # weights that will be wanted after these lie so far on; 0: ask for none
    # The sums so far, [pixel][VECTORS * LANES], unless those of every pixel are `start`; the new
    # ones take their place, or each pixel's go to its spot in y.
    real* sums
    const vec* start  # NULL: none
    real* y  # NULL: to sums
    const Py_ssize_t* spots
    bint asks_for_y  # has what the tile will write brought into the cache while it computes
    const Py_ssize_t* x_taps
    # The taps are [first, last), the same of `rows` kernel rows, and that of `planes` planes.
    Py_ssize_t first, last, row, rows, plane, planes
    Py_ssize_t tiles


ctypedef void (*channel_function)(const ChannelStrip* s) noexcept nogil


cdef inline void channel_strip(
    const ChannelStrip* s, Py_ssize_t ROWS, Py_ssize_t VECTORS) noexcept nogil:
    cdef vec acc[MOST_ROWS][MOST_VECTORS]
    cdef vec wv[MOST_VECTORS]
    cdef vec xv
    cdef const real* x[MOST_ROWS]
    cdef const vec* w
    cdef const real* far
    cdef vec* sums = <vec*>s.sums
    # Written so that the loop over the taps has registers for all that it needs: the addresses of
    # HELD pixels, plain pointers (read_here) that a tap's offset is added to, a tap and a weight.
    # Measured on Zen 4: 1.06 times as fast with 12 x 2 sums, 1.14 times with 14 x 1.
    cdef const Py_ssize_t* tap
    cdef const Py_ssize_t* end
    cdef const Py_ssize_t* spots
    cdef real* y
    cdef Py_ssize_t tile, j, v, plane, row, start, offset, ahead
    for tile in range(s.tiles):
        for j in range(ROWS):
            x[j] = <const real*>read_here(s.x + s.pixels[tile * ROWS + j])
        spots = s.spots + tile * ROWS
        y = s.y
        if s.asks_for_y:
            for j in range(ROWS):
                for v in range(VECTORS):
                    prefetch(y + spots[j] + v * LANES)
        if s.start != NULL:
            for v in range(VECTORS):
                wv[v] = s.start[v]
                for j in range(ROWS):
                    acc[j][v] = wv[v]
        else:
            for j in range(ROWS):
                for v in range(VECTORS):
                    acc[j][v] = sums[j * VECTORS + v]
        ahead = s.ahead
        for plane in range(s.planes):
            for row in range(s.rows):
                if s.next_row > 0:
                    for j in range(ROWS):
                        x[j] = <const real*>read_here(
                            s.x + s.pixels[row * s.next_row + tile * ROWS + j])
                start = plane * s.plane + row * s.row
                tap = s.x_taps + start + s.first
                end = s.x_taps + start + s.last
                w = <const vec*>s.weight + (start + s.first) * VECTORS
                while tap != end:
                    offset = tap[0]
                    if VECTORS > 1:
                        far = <const real*>read_here(<const real*>w + ahead)
                        for v in range(VECTORS * LANES * <Py_ssize_t>sizeof(real) // LINE_BYTES):
                            prefetch(far + v * (LINE_BYTES // <Py_ssize_t>sizeof(real)))
                    for v in range(VECTORS):
                        wv[v] = in_register(w[v])
                    for j in range(ROWS):
                        xv = splat((x[j] if j < HELD else from_memory(&x[j]))[offset])
                        for v in range(VECTORS):
                            acc[j][v] = acc[j][v] + xv * wv[v]
                    tap += 1
                    w += VECTORS
        if y != NULL:
            for j in range(ROWS):
                for v in range(VECTORS):
                    (<uvec*>(y + spots[j] + v * LANES))[0] = acc[j][v]
        else:
            for j in range(ROWS):
                for v in range(VECTORS):
                    sums[j * VECTORS + v] = acc[j][v]
        sums += ROWS * VECTORS
