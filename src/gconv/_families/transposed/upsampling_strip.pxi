# Sliding windows of a transposed convolution that makes 2, 4 or 8 columns of each: all of a row's
# column phases at once.
#
# A part's columns are a window that slides over a row of x, and the parts of a row (those that
# differ in the column's phase only) have windows within a few columns of each other. A tile loads
# a row of x once, slides the columns of all these windows, its places, out of the registers, and
# adds each place to the phases whose windows it lies in (2 phases of a kernel 4 wide):
#
#     x ->  place 0   x0 x1 x2 x3 ...      phase 0, tap 0
#           place 1   x1 x2 x3 x4 ...      phase 0, tap 1     phase 1, tap 0
#           place 2   x2 x3 x4 x5 ...                         phase 1, tap 1
#
# With several input channels it reads the places from a panel: there are more multiply-adds for
# each store, and slides and loads of some lanes would take turns with them.
#
# Rows wait in registers until all kernel rows are added. A complete one is interleaved there: y is written once,
# in whole vectors, while the next rows are computed. These layers write many times what they read,
# and wait for the memory of y.


# Rows of a channel of y, y_row apart, whose columns of all phases are computed. The first tap of the
# first row lies in window row 0.
cdef struct UpsamplingStrip:
    Columns columns  # x is the first place of the first row
    Py_ssize_t x_row, x_channel
    Py_ssize_t channels  # of the input
    Py_ssize_t y_row
    Py_ssize_t rows
    const w_t* weights  # [input channel][place][phase][kernel row]
    Py_ssize_t w_channel  # from an input channel's to the next
    const sum_t* bias
    Epilogue epilogue
    Py_ssize_t first_window, last_window  # window rows that lie in the image
    Py_ssize_t places
    bint meets[MOST_PLACES][MOST_PHASES]  # whether a phase has a tap at a place


# By whether x is read in place, stride, kernel rows and vectors of a phase.
cdef column_function UPSAMPLING_TILES[2][MOST_PHASES + 1][MOST_ROWS + 1][MOST_VECTORS + 1]


cdef inline void upsampling_row(
    const UpsamplingStrip* s, vec acc[MOST_ROWS][MOST_VECTORS], const x_t* x, const mask* inside,
    Py_ssize_t KERNEL_ROWS, Py_ssize_t STEP, Py_ssize_t VECTORS, bint SLIDES) noexcept nogil:
    """A row of x, of every channel, into the output rows that wait. The vectors of an output row:
    LANES columns of each phase, then the next LANES columns of each."""
    cdef vec places[MOST_VECTORS + 1]
    cdef vec xv[MOST_VECTORS]
    cdef vec wv
    cdef const w_t* w = s.weights
    cdef Py_ssize_t c, place, phase, a, v
    for c in range(1 if SLIDES else s.channels):
        if SLIDES:
            load_places(x, inside, places, places, 1, VECTORS, 0)
        for place in range(MOST_PLACES):
            if place < s.places:
                for v in range(VECTORS):
                    if SLIDES:
                        xv[v] = in_register(slid_by(places[v], places[v + 1], place))
                    else:
                        xv[v] = in_register(load_x(x + v * LANES + place))
                for phase in range(STEP):
                    if s.meets[place][phase]:
                        for a in range(KERNEL_ROWS):
                            wv = splat(w[(place * STEP + phase + 1) * KERNEL_ROWS - 1 - a])
                            for v in range(VECTORS):
                                acc[a][v * STEP + phase] = acc[a][v * STEP + phase] + wv * xv[v]
        x += s.x_channel
        w += s.w_channel


cdef inline void upsampling_strip(
    const Columns* columns, Py_ssize_t KERNEL_ROWS, Py_ssize_t STEP, Py_ssize_t VECTORS,
    bint SLIDES) noexcept nogil:
    cdef const UpsamplingStrip* s = <const UpsamplingStrip*>columns
    cdef vec acc[MOST_ROWS][MOST_VECTORS]
    cdef vec whole[MOST_PHASES]
    cdef mask inside[MOST_VECTORS + 1]
    cdef mask stored[MOST_VECTORS]
    cdef vec bias = splat(s.bias[0] if s.bias != NULL else 0)
    cdef const x_t* x
    cdef const y_t* residual
    cdef y_t* y
    cdef Py_ssize_t tile, column, a, v, phase, oh
    for tile in range(columns.tiles):
        column = tile * VECTORS * LANES
        for v in range(VECTORS + 1):
            inside[v] = lanes_inside(columns.first_column + column + v * LANES, columns.in_columns)
        for v in range(VECTORS * STEP):
            stored[v] = lanes_inside(column * STEP + v * LANES, columns.out_columns)
            for a in range(KERNEL_ROWS):
                acc[a][v] = bias
        x = columns.x + column
        y = columns.y + column * STEP
        # Start KERNEL_ROWS - 1 rows early to fill the accumulators; nothing is stored for them.
        for oh in range(1 - KERNEL_ROWS, s.rows):
            if s.first_window <= oh + KERNEL_ROWS - 1 < s.last_window:
                upsampling_row(s, acc, x + (oh + KERNEL_ROWS - 1) * s.x_row, inside, KERNEL_ROWS,
                               STEP, VECTORS, SLIDES)
            if oh >= 0:
                for v in range(VECTORS):
                    for phase in range(STEP):
                        whole[phase] = acc[0][v * STEP + phase]
                    interleave(whole, STEP)
                    for phase in range(STEP):
                        acc[0][v * STEP + phase] = whole[phase]
                if columns.residual != NULL:
                    residual = columns.residual + (y - columns.y)
                    for v in range(VECTORS * STEP):
                        acc[0][v] = acc[0][v] + load_some_y(residual + v * LANES, stored[v])
                activate_tile(acc, &s.epilogue, 1, VECTORS * STEP)
                for v in range(VECTORS * STEP):
                    store_some(y + v * LANES, stored[v], acc[0][v])
                y += s.y_row
            for v in range(VECTORS * STEP):
                for a in range(KERNEL_ROWS - 1):
                    acc[a][v] = acc[a + 1][v]
                acc[KERNEL_ROWS - 1][v] = bias
