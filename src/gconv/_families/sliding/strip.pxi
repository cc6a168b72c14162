# Sliding windows: layers with one input channel per group, where the instruction set loads some
# lanes of a vector and takes vectors from two registers at any place.
#
# A tile is a strip of whole output rows, VECTORS vectors wide, computed from top to bottom. A row
# of input is loaded once: from x itself, with zeros for the lanes in the padding, or from a panel
# if the padding holds elements of the image. The vectors of its other taps are slid out of two
# neighbouring registers. The row is added to every output row that it touches; these wait in
# registers until they are complete:
#
#     x ->  row 5 ->  y row 4, complete: stored        (3x3 kernel, stride 1, padding 1)
#                     y row 5, two kernel rows done
#                     y row 6, one kernel row done
#
# With stride 2 a row's columns are first separated into even and odd places.
#
# If rows are wider than a strip, a strip reads and writes a part of every row. Hardware prefetchers
# follow neighbouring lines and do little for it. So each row of a strip asks for its share of what
# the next item reads and writes, line after line.


cdef enum:
    MOST_BLOCKS = 8  # vectors from a row's first tap to its last one


cdef struct Ahead:
    const x_t* x  # to be read soon: tiles ask for it,
    const y_t* y  # and for this, to be written


cdef struct SlidingStrip:
    Columns columns
    Py_ssize_t x_plane  # from a kernel plane to the next
    Py_ssize_t x_row  # from a window row to the next
    Py_ssize_t y_row
    Py_ssize_t rows
    const w_t* weight
    const sum_t* bias
    Epilogue epilogue
    Py_ssize_t first_plane, last_plane  # kernel planes that meet the image
    Py_ssize_t first_window, last_window  # window rows that lie in the image
    Py_ssize_t kernel_columns, dilation
    bint paired  # one kernel row: taps k and k + LANES share the shifted vectors
    Ahead* ahead  # what tiles ask for; NULL: nothing
    bint more  # there is a residual, or something to ask for


# Kernel columns FIRST, FIRST + STRIDE ... of one row of x into the output rows that wait in acc:
# kernel row LAST goes to the first of them, LAST - STRIDE to the second. COLUMNS is the number of
# kernel columns if it is literal, else 0. ADJACENT: it is literal, and the dilation 1. HELD: weights
# come from `held`, else from w.
cdef inline void sliding_taps(
    const SlidingStrip* s, vec acc[MOST_ROWS][MOST_VECTORS], vec places[MOST_VECTORS + 1],
    const x_t* x, const mask* inside, const vec held[9], const w_t* w,
    Py_ssize_t LAST, Py_ssize_t STRIDE, Py_ssize_t VECTORS, Py_ssize_t COLUMNS, bint ADJACENT,
    bint HELD, Py_ssize_t FIRST) noexcept nogil:
    cdef vec xv[MOST_VECTORS]
    cdef vec wv
    cdef Py_ssize_t columns = COLUMNS if COLUMNS > 0 else s.kernel_columns
    cdef Py_ssize_t kw = FIRST, slide = 0, block = 0, kh, a, v
    while kw < columns:
        if COLUMNS == 0 and STRIDE == 1 and slide > LANES:
            block += (slide - 1) // LANES
            slide = (slide - 1) % LANES + 1
            load_places(x + block * LANES, inside + block, places, places, 1, VECTORS, 0)
        for v in range(VECTORS):
            if ADJACENT:
                xv[v] = in_register(slid_by(places[v], places[v + 1], kw // STRIDE))
            else:
                xv[v] = in_register(slid(places[v], places[v + 1], slide))
        for a in range(MOST_ROWS):
            kh = LAST - STRIDE * a
            if kh >= 0:
                wv = held[kh * 3 + kw] if HELD else splat(w[kh * columns + kw])
                for v in range(VECTORS):
                    acc[a][v] = acc[a][v] + wv * xv[v]
        kw += STRIDE
        slide += s.dilation


# The taps of one row of neighbours into the one output row that waits: each with the tap LANES
# columns on, which reads the same slid vectors, each one vector further on.
cdef inline void paired_taps(
    const SlidingStrip* s, vec acc[MOST_ROWS][MOST_VECTORS], const x_t* x, const mask* inside,
    const w_t* w, Py_ssize_t VECTORS) noexcept nogil:
    cdef vec places[MOST_VECTORS + 2]
    cdef vec xv[MOST_VECTORS + 1]
    cdef vec wv
    cdef Py_ssize_t kw = 0, tap, v
    while kw < s.kernel_columns:
        for v in range(VECTORS + 2):
            places[v] = load_some_x(x + kw + v * LANES, inside[kw // LANES + v])
        for tap in range(LANES):
            if kw + tap >= s.kernel_columns:
                break
            for v in range(VECTORS + 1):
                if tap < 7:
                    xv[v] = in_register(slid_by(places[v], places[v + 1], tap))
                else:
                    xv[v] = in_register(slid_far(places[v], places[v + 1], tap))
            wv = splat(w[kw + tap])
            for v in range(VECTORS):
                acc[0][v] = acc[0][v] + wv * xv[v]
            if kw + tap + LANES < s.kernel_columns:
                wv = splat(w[kw + tap + LANES])
                for v in range(VECTORS):
                    acc[0][v] = acc[0][v] + wv * xv[v + 1]
        kw += 2 * LANES


# A window row, `row`, into the output rows that wait in acc: kernel row LAST goes to the first.
cdef inline void sliding_row(
    const SlidingStrip* s, vec acc[MOST_ROWS][MOST_VECTORS], const x_t* row, const mask* inside,
    const vec held[9], Py_ssize_t LAST, Py_ssize_t KERNEL_ROWS, Py_ssize_t STRIDE,
    Py_ssize_t VECTORS, Py_ssize_t COLUMNS, bint ADJACENT, bint HELD) noexcept nogil:
    cdef vec even[MOST_VECTORS + 1]
    cdef vec odd[MOST_VECTORS + 1]
    cdef bint ONE_PLANE = HELD or (COLUMNS > 0 and KERNEL_ROWS != 3)
    cdef Py_ssize_t columns = COLUMNS if COLUMNS > 0 else s.kernel_columns
    cdef Py_ssize_t plane, planes = 1 if ONE_PLANE else s.last_plane
    cdef const x_t* x = row
    cdef const w_t* w = s.weight
    for plane in range(0 if ONE_PLANE else s.first_plane, planes):
        if not ONE_PLANE:
            x = row + plane * s.x_plane
            w = s.weight + plane * KERNEL_ROWS * columns
        if LAST == 0 and STRIDE == 1 and COLUMNS == 0 and s.paired:
            paired_taps(s, acc, x, inside, w, VECTORS)
            continue
        load_places(x, inside, even, odd, STRIDE, VECTORS, COLUMNS)
        sliding_taps(s, acc, even, x, inside, held, w, LAST, STRIDE, VECTORS, COLUMNS, ADJACENT,
                     HELD, 0)
        if STRIDE == 2:
            sliding_taps(s, acc, odd, x, inside, held, w, LAST, STRIDE, VECTORS, COLUMNS,
                         ADJACENT, HELD, 1)


# As many elements of x and of y as a row of a strip takes.
cdef inline void ask_ahead(Ahead* ahead, Py_ssize_t STRIDE, Py_ssize_t VECTORS) noexcept nogil:
    cdef Py_ssize_t v
    for v in range(VECTORS * STRIDE * STRIDE):
        prefetch(ahead.x + v * LANES)
    for v in range(VECTORS):
        prefetch(ahead.y + v * LANES)
    ahead.x += VECTORS * STRIDE * STRIDE * LANES
    # One after the other: added as a vector, they would want a register that tiles need.
    ahead.y = <const y_t*>read_here(ahead.y + VECTORS * LANES)


# Assumes, with stride 2, no dilation of rows and columns; and where HELD, or where COLUMNS is not 0
# and KERNEL_ROWS not 3, that the kernel has one plane, which lies in the image if any window row
# does.
cdef inline void sliding_strip(
    const Columns* columns, Py_ssize_t KERNEL_ROWS, Py_ssize_t STRIDE, Py_ssize_t VECTORS,
    Py_ssize_t COLUMNS, bint ADJACENT, bint HELD) noexcept nogil:
    cdef const SlidingStrip* s = <const SlidingStrip*>columns
    cdef vec acc[MOST_ROWS][MOST_VECTORS]
    cdef vec held[9]
    cdef mask inside[2 * MOST_VECTORS + 3 + MOST_BLOCKS]
    cdef mask stored[MOST_VECTORS]
    cdef vec bias_here[1]
    cdef vec bias
    cdef const x_t* x
    cdef y_t* y
    cdef Py_ssize_t WAITING = (KERNEL_ROWS + STRIDE - 1) // STRIDE  # output rows
    cdef Py_ssize_t tile, column, a, v, oh, window, blocks = 0
    bias_here[0] = splat(s.bias[0] if s.bias != NULL else 0)
    bias = bias_here[0]
    if COLUMNS == 0 and STRIDE == 1:
        blocks = (s.kernel_columns - 1) * s.dilation // LANES
    if HELD:
        for v in range(9):
            held[v] = in_register(splat(s.weight[v]))
    for tile in range(columns.tiles):
        column = tile * VECTORS * LANES
        for v in range(STRIDE * (VECTORS + 1) + 1 + blocks):
            inside[v] = lanes_inside(
                columns.first_column + column * STRIDE + v * LANES, columns.in_columns)
        for v in range(VECTORS):
            stored[v] = lanes_inside(column + v * LANES, columns.out_columns)
            for a in range(WAITING):
                acc[a][v] = bias
        # Start WAITING - 1 rows early to fill the accumulators; nothing is stored for them.
        x = columns.x + column * STRIDE + (KERNEL_ROWS - STRIDE * WAITING) * s.x_row
        y = columns.y + column + (1 - WAITING) * s.y_row
        window = KERNEL_ROWS - STRIDE * WAITING
        for oh in range(1 - WAITING, s.rows):
            if s.first_window <= window < s.last_window:
                sliding_row(s, acc, x, inside, held, KERNEL_ROWS - STRIDE, KERNEL_ROWS, STRIDE,
                            VECTORS, COLUMNS, ADJACENT, HELD)
            x += s.x_row
            window += 1
            if STRIDE == 2:
                if s.first_window <= window < s.last_window:
                    sliding_row(s, acc, x, inside, held, KERNEL_ROWS - 1, KERNEL_ROWS, STRIDE,
                                VECTORS, COLUMNS, ADJACENT, HELD)
                x += s.x_row
                window += 1
            if oh >= 0:
                if s.more:
                    if s.ahead != NULL:
                        ask_ahead(s.ahead, STRIDE, VECTORS)
                    if columns.residual != NULL:
                        for v in range(VECTORS):
                            acc[0][v] = acc[0][v] + load_some_y(
                                columns.residual + (y - columns.y) + v * LANES, stored[v])
                activate_tile(acc, &s.epilogue, 1, VECTORS)
                for v in range(VECTORS):
                    store_some(y + v * LANES, stored[v], acc[0][v])
            y += s.y_row
            if WAITING == 1:  # tiles of so many vectors have no register for it
                bias = (<const vec*>read_here(bias_here))[0]
            for v in range(VECTORS):
                for a in range(WAITING - 1):
                    acc[a][v] = acc[a + 1][v]
                acc[WAITING - 1][v] = bias
