# The tile of channel lanes: ROWS output pixels by VECTORS vectors of output channels.


cdef enum:
    LINE_BYTES = 64  # of the caches
    ADDRESSES_HELD = 9  # of pixels, in registers


cdef struct ChannelStrip:
    const x_t* x
    # Where each pixel's taps start. Those of the next kernel row start where the entry `next_row`
    # further on says; 0: at the same place.
    const Py_ssize_t* pixels
    Py_ssize_t next_row
    const w_t* weight  # [tap][VECTORS * LANES]
    Py_ssize_t ahead  # to the weights that are wanted next, which tiles ask for; 0: do not ask
    # Partial sums, [pixel][VECTORS * LANES]. Tiles start from these, or from `start`, and store
    # to these, or to each pixel's spot in y.
    sum_t* sums
    const vec* start  # NULL: none
    y_t* y  # NULL: to sums
    const Py_ssize_t* spots
    bint asks_for_y  # asks for the lines that the tile writes, before it computes
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
    cdef const x_t* x[MOST_ROWS]
    cdef const w_t* w
    cdef const w_t* far
    cdef vec* sums = <vec*>s.sums
    # The loop over the taps has registers for the tap, the weight, and the addresses of
    # ADDRESSES_HELD pixels, as plain pointers (read_here) that a tap's offset is added to; the
    # other addresses are read from memory. Measured on Zen 4: 1.06 times as fast with 12 x 2 sums,
    # 1.14 times with 14 x 1.
    cdef const Py_ssize_t* tap
    cdef const Py_ssize_t* end
    cdef const Py_ssize_t* spots
    cdef y_t* y
    cdef Py_ssize_t tile, j, v, plane, row, start, offset, ahead
    for tile in range(s.tiles):
        for j in range(ROWS):
            x[j] = <const x_t*>read_here(s.x + s.pixels[tile * ROWS + j])
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
                        x[j] = <const x_t*>read_here(
                            s.x + s.pixels[row * s.next_row + tile * ROWS + j])
                start = plane * s.plane + row * s.row
                tap = s.x_taps + start + s.first
                end = s.x_taps + start + s.last
                w = s.weight + (start + s.first) * VECTORS * LANES
                while tap != end:
                    offset = tap[0]
                    if VECTORS > 1:
                        far = <const w_t*>read_here(w + ahead)
                        for v in range(VECTORS * LANES * <Py_ssize_t>sizeof(w_t) // LINE_BYTES):
                            prefetch(far + v * (LINE_BYTES // <Py_ssize_t>sizeof(w_t)))
                    for v in range(VECTORS):
                        wv[v] = in_register(load_packed(w + v * LANES))
                    for j in range(ROWS):
                        xv = splat((x[j] if j < ADDRESSES_HELD else from_memory(&x[j]))[offset])
                        for v in range(VECTORS):
                            acc[j][v] = acc[j][v] + xv * wv[v]
                    tap += 1
                    w += VECTORS * LANES
        if y != NULL:
            for j in range(ROWS):
                for v in range(VECTORS):
                    store_y(y + spots[j] + v * LANES, acc[j][v])
        else:
            for j in range(ROWS):
                for v in range(VECTORS):
                    sums[j * VECTORS + v] = acc[j][v]
        sums += ROWS * VECTORS
