# Sliding windows: layers with one input channel per group, where the instruction set loads some
# lanes of a vector and takes vectors from two registers at any place.
#
# A tile is a strip of whole output rows, VECTORS vectors wide, computed from top to bottom. A row
# of input is loaded once, from x itself, with zeros for the lanes in the padding (or from a panel,
# where the padding holds elements of the image); the vectors of
# its other taps are slid out of two neighbouring registers. It is added to every output row that
# it touches while these wait in registers, each one step further down than the next:
#
#     x ->  row 5 ->  y row 4, complete: stored        (3x3 kernel, stride 1, padding 1)
#                     y row 5, two kernel rows done
#                     y row 6, one kernel row done
#
# With stride 2 the columns are first taken apart into those at even and those at odd places.
#
# Where rows are wider than a strip, a strip reads and writes a part of every row, and hardware
# prefetchers, which follow neighbouring lines, do little for it. So each row of a strip asks for
# its share of what the next item reads and writes, line after line.


cdef extern from "vector.h" nogil:
    ctypedef unsigned short some
    some lanes_inside(Py_ssize_t first, Py_ssize_t size)
    vec load_some(const real* p, some which)
    void store_some(real* p, some which, vec v)
    vec slid(vec a, vec b, Py_ssize_t n)
    vec slid_by(vec a, vec b, Py_ssize_t n)
    vec slid_far(vec a, vec b, Py_ssize_t n)


cdef enum:
    MOST_BLOCKS = 8  # vectors from a row's first tap to its last one


# What a row of x is to the taps: LANES pixels to a vector from the first tap on, one vector more
# than the tile is wide; with stride 2 those at even and those at odd places apart.
cdef inline void load_places(
    const real* x, const some* inside, vec even[MOST_VECTORS + 1], vec odd[MOST_VECTORS + 1],
    Py_ssize_t STRIDE, Py_ssize_t VECTORS, Py_ssize_t COLUMNS) noexcept nogil:
    cdef vec a, b
    cdef Py_ssize_t v
    for v in range(VECTORS + 1):
        a = load_some(x + v * STRIDE * LANES, inside[v * STRIDE])
        even[v] = a
        if STRIDE == 2:
            if v == VECTORS and 0 < COLUMNS <= LANES:
                b = a  # no tap reaches further
            else:
                b = load_some(x + (2 * v + 1) * LANES, inside[2 * v + 1])
            even[v] = even_places(a, b)
            odd[v] = odd_places(a, b)


# Kernel columns FIRST, FIRST + STRIDE ... of one row of x into the output rows that wait in acc:
# kernel row LAST goes to the first of them, LAST - STRIDE to the second. COLUMNS is the number of
# kernel columns where it is literal, else 0; NEIGHBOURS says that it is, and the dilation 1.
# Weights come from `held` where HELD, else from w.
cdef inline void sliding_taps(
    const SlidingStrip* s, vec acc[MOST_ROWS][MOST_VECTORS], vec places[MOST_VECTORS + 1],
    const real* x, const some* inside, const vec held[9], const real* w,
    Py_ssize_t LAST, Py_ssize_t STRIDE, Py_ssize_t VECTORS, Py_ssize_t COLUMNS, bint NEIGHBOURS,
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
            if NEIGHBOURS:
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
    const SlidingStrip* s, vec acc[MOST_ROWS][MOST_VECTORS], const real* x, const some* inside,
    const real* w, Py_ssize_t VECTORS) noexcept nogil:
    cdef vec places[MOST_VECTORS + 2]
    cdef vec xv[MOST_VECTORS + 1]
    cdef vec wv
    cdef Py_ssize_t kw = 0, tap, v
    while kw < s.kernel_columns:
        for v in range(VECTORS + 2):
            places[v] = load_some(x + kw + v * LANES, inside[kw // LANES + v])
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
    const SlidingStrip* s, vec acc[MOST_ROWS][MOST_VECTORS], const real* row, const some* inside,
    const vec held[9], Py_ssize_t LAST, Py_ssize_t KERNEL_ROWS, Py_ssize_t STRIDE,
    Py_ssize_t VECTORS, Py_ssize_t COLUMNS, bint NEIGHBOURS, bint HELD) noexcept nogil:
    cdef vec even[MOST_VECTORS + 1]
    cdef vec odd[MOST_VECTORS + 1]
    cdef bint ONE_PLANE = HELD or (COLUMNS > 0 and KERNEL_ROWS != 3)
    cdef Py_ssize_t columns = COLUMNS if COLUMNS > 0 else s.kernel_columns
    cdef Py_ssize_t plane, planes = 1 if ONE_PLANE else s.last_plane
    cdef const real* x = row
    cdef const real* w = s.weight
    for plane in range(0 if ONE_PLANE else s.first_plane, planes):
        if not ONE_PLANE:
            x = row + plane * s.x_plane
            w = s.weight + plane * KERNEL_ROWS * columns
        if LAST == 0 and STRIDE == 1 and COLUMNS == 0 and s.paired:
            paired_taps(s, acc, x, inside, w, VECTORS)
            continue
        load_places(x, inside, even, odd, STRIDE, VECTORS, COLUMNS)
        sliding_taps(s, acc, even, x, inside, held, w, LAST, STRIDE, VECTORS, COLUMNS, NEIGHBOURS,
                     HELD, 0)
        if STRIDE == 2:
            sliding_taps(s, acc, odd, x, inside, held, w, LAST, STRIDE, VECTORS, COLUMNS,
                         NEIGHBOURS, HELD, 1)


# As many elements of x and of y as a row of a strip takes.
cdef inline void ask_ahead(Ahead* ahead, Py_ssize_t STRIDE, Py_ssize_t VECTORS) noexcept nogil:
    cdef Py_ssize_t v
    for v in range(VECTORS * STRIDE * STRIDE):
        prefetch(ahead.x + v * LANES)
    for v in range(VECTORS):
        prefetch(ahead.y + v * LANES)
    ahead.x += VECTORS * STRIDE * STRIDE * LANES
    # One after the other: added as a vector, they would want a register that tiles need.
    ahead.y = <const real*>read_here(ahead.y + VECTORS * LANES)


# Assumes, with stride 2, no dilation of rows and columns; and where HELD, or where COLUMNS is not 0
# and KERNEL_ROWS not 3, that the kernel has one plane, which lies in the image if any window row
# does.
cdef inline void sliding_strip(
    const SlidingStrip* s, Py_ssize_t KERNEL_ROWS, Py_ssize_t STRIDE, Py_ssize_t VECTORS,
    Py_ssize_t COLUMNS, bint NEIGHBOURS, bint HELD) noexcept nogil:
    cdef vec acc[MOST_ROWS][MOST_VECTORS]
    cdef vec held[9]
    cdef some inside[2 * MOST_VECTORS + 3 + MOST_BLOCKS]
    cdef some stored[MOST_VECTORS]
    cdef vec bias_here[1]
    cdef vec bias
    cdef const real* x
    cdef real* y
    cdef Py_ssize_t WAITING = (KERNEL_ROWS + STRIDE - 1) // STRIDE  # output rows
    cdef Py_ssize_t tile, column, a, v, oh, window, blocks = 0
    bias_here[0] = splat(s.bias[0] if s.bias != NULL else 0)
    bias = bias_here[0]
    if COLUMNS == 0 and STRIDE == 1:
        blocks = (s.kernel_columns - 1) * s.dilation // LANES
    if HELD:
        for v in range(9):
            held[v] = in_register(splat(s.weight[v]))
    for tile in range(s.tiles):
        column = tile * VECTORS * LANES
        for v in range(STRIDE * (VECTORS + 1) + 1 + blocks):
            inside[v] = lanes_inside(s.first_column + column * STRIDE + v * LANES, s.in_columns)
        for v in range(VECTORS):
            stored[v] = lanes_inside(column + v * LANES, s.out_columns)
            for a in range(WAITING):
                acc[a][v] = bias
        # Rows before the first are begun with it, and never stored.
        x = s.x + column * STRIDE + (KERNEL_ROWS - STRIDE * WAITING) * s.x_row
        y = s.y + column + (1 - WAITING) * s.y_row
        window = KERNEL_ROWS - STRIDE * WAITING
        for oh in range(1 - WAITING, s.rows):
            if s.first_window <= window < s.last_window:
                sliding_row(s, acc, x, inside, held, KERNEL_ROWS - STRIDE, KERNEL_ROWS, STRIDE,
                            VECTORS, COLUMNS, NEIGHBOURS, HELD)
            x += s.x_row
            window += 1
            if STRIDE == 2:
                if s.first_window <= window < s.last_window:
                    sliding_row(s, acc, x, inside, held, KERNEL_ROWS - 1, KERNEL_ROWS, STRIDE,
                                VECTORS, COLUMNS, NEIGHBOURS, HELD)
                x += s.x_row
                window += 1
            if oh >= 0:
                if s.more:
                    if s.ahead != NULL:
                        ask_ahead(s.ahead, STRIDE, VECTORS)
                    if s.residual != NULL:
                        for v in range(VECTORS):
                            acc[0][v] = acc[0][v] + load_some(
                                s.residual + (y - s.y) + v * LANES, stored[v])
                activate_tile(acc, &s.epilogue, 1, VECTORS)
                for v in range(VECTORS):
                    store_some(y + v * LANES, stored[v], acc[0][v])
            y += s.y_row
            if WAITING == 1:  # such wide tiles have no register for it
                bias = (<const vec*>read_here(bias_here))[0]
            for v in range(VECTORS):
                for a in range(WAITING - 1):
                    acc[a][v] = acc[a + 1][v]
                acc[WAITING - 1][v] = bias


cdef inline void sliding_columns(
    SlidingStrip s, sliding_function* tiles, const Parts* across, Py_ssize_t stride
) noexcept nogil:
    """Tiles side by side, the wider ones first."""
    cdef Py_ssize_t size, columns
    for size in range(across.size + 1, across.size - 1, -1):
        s.tiles = across.larger if size > across.size else across.count - across.larger
        if s.tiles > 0:
            tiles[size](&s)
            columns = s.tiles * size * LANES
            s.x += columns * stride
            s.y += columns
            if s.residual != NULL:
                s.residual += columns
            s.first_column += columns * stride
            s.out_columns -= columns


cdef Ahead next_item(
    const ConvPlan* p, const Item* item, const real* x, const real* y, Py_ssize_t group,
    Py_ssize_t channel, Py_ssize_t od) noexcept nogil:
    """What the next item reads and writes in the place of a channel's plane; any addresses do."""
    cdef Source source = in_place_source(p, item, x, group)
    cdef Py_ssize_t first = item.band.begin[1], rows = item.band.end[1] - first
    cdef Py_ssize_t o = group * p.out_channels + channel
    cdef Ahead ahead
    ahead.x = source.origin + od * source.plane + first * source.row
    ahead.y = y + item.image * p.y_image + o * p.y_channel + od * p.y_axis[0] + first * p.y_axis[1]
    if p.channel_blocks > 1:  # it reads the same
        ahead.y += (item.last_channel - item.first_channel) * p.y_channel
    elif p.bands[1] > 1:
        ahead.x += rows * source.row
        ahead.y += rows * p.y_axis[1]
    else:
        ahead.x += (item.last_group - item.first_group) * p.x_channel
        ahead.y += (item.last_group - item.first_group) * p.out_channels * p.y_channel
    return ahead


cdef void sliding_item(
    const ConvPlan* p, const Item* given, const real* x, const real* weight, const real* packed,
    const real* bias, real* y, char* scratch) noexcept nogil:
    """Assumes what gconv._plan.tiles.sliding_fits asks for."""
    cdef Item item = given[0]
    cdef Band* band = &item.band
    cdef Py_ssize_t taps = p.kernel[0] * p.kernel[1] * p.kernel[2]
    cdef Py_ssize_t dilation = p.dilation[1]
    cdef Py_ssize_t width = band.end[2] - band.begin[2]
    cdef Parts across = split((width + LANES - 1) // LANES, p.tile_vectors)
    cdef sliding_function* tiles = &SLIDING_TILES[p.stride[2]][p.kernel[1]][0]
    cdef Py_ssize_t group, channel, o, od, phase, oh, top
    cdef Source source
    cdef SlidingStrip s
    cdef Ahead ahead
    if taps == 9 and p.kernel[1] == 3 and p.kernel[2] == 3:
        if p.dilation[2] == 1:
            tiles = &HELD_TILES[p.stride[2]][0]
        elif 2 * p.dilation[2] <= LANES:
            tiles = &DILATED_TILES[0]
    elif (p.kernel[1] == p.kernel[2] and p.kernel[2] > 1 and p.dilation[2] == 1
            and (p.kernel[0] == 1 or p.kernel[2] == 3)):
        tiles = &SQUARE_TILES[p.stride[2]][p.kernel[1]][0]
    begin_item(p, &item, scratch)
    s.epilogue = tile_epilogue(p)
    s.ahead = &ahead if p.prefetches else NULL
    s.kernel_columns = p.kernel[2]
    s.dilation = p.dilation[2]
    s.paired = p.dilation[2] == 1 and not p.channel_major
    s.first_column = band.begin[2] * p.stride[2] - p.padding[2]
    s.in_columns = p.in_size[2]
    if not p.in_place:  # a panel's columns are all there are
        s.first_column = 0
        s.in_columns = p.panel_columns
    s.out_columns = width
    s.y_row = dilation * p.y_axis[1]
    for group in range(item.first_group, item.last_group):
        if p.in_place:
            source = in_place_source(p, &item, x, group)
        else:
            source = panel_source(p, &item, x, group, 0, 1, scratch)
        s.x_plane = source.tap_plane
        s.x_row = source.tap_row
        for channel in range(item.first_channel, item.last_channel):
            o = group * p.out_channels + channel
            s.weight = weights_in_order(p, group, channel, weight, scratch)
            s.bias = bias + o if bias != NULL else NULL
            for od in range(band.begin[0], band.end[0]):
                tap_range(p, 0, od, &s.first_plane, &s.last_plane)
                if p.prefetches:
                    ahead = next_item(p, &item, x, y, group, channel, od)
                # Output rows one dilation apart share input rows; the others never do.
                for phase in range(min(dilation, band.end[1] - band.begin[1])):
                    oh = band.begin[1] + phase
                    s.rows = divide_up(band.end[1] - oh, dilation)
                    top = oh * p.stride[1] - p.padding[1]
                    s.first_window = 0
                    if top < p.filled_begin[1]:
                        s.first_window = divide_up(p.filled_begin[1] - top, dilation)
                    s.last_window = 0
                    if top < p.filled_end[1] and s.first_plane < s.last_plane:
                        s.last_window = divide_up(p.filled_end[1] - top, dilation)
                    s.x = source.origin + od * source.plane + oh * source.row
                    s.y = (y + item.image * p.y_image + o * p.y_channel + od * p.y_axis[0]
                           + oh * p.y_axis[1] + band.begin[2])
                    s.residual = residual_of(scratch, y, s.y)
                    s.more = s.residual != NULL or s.ahead != NULL
                    sliding_columns(s, tiles, &across, p.stride[2])


ITEMS[<int>SLIDING] = sliding_item

# The tiles, by stride and kernel rows: any kernel; square ones, whose columns are literal, of one
# plane but for 3x3x3; and a plain 3x3, whose weights are held in registers (DILATED_TILES: with
# its columns apart). Wider tiles for 5 kernel rows and more (with stride 2, for 6 and more) are
# slower: they broadcast weights by instructions of their own.

cdef void sliding_1_s1_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 1, 1, 1, 0, False, False)
cdef void sliding_1_s1_2(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 1, 1, 2, 0, False, False)
cdef void sliding_1_s1_3(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 1, 1, 3, 0, False, False)
cdef void sliding_1_s1_4(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 1, 1, 4, 0, False, False)
cdef void sliding_1_s1_5(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 1, 1, 5, 0, False, False)
cdef void sliding_1_s1_6(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 1, 1, 6, 0, False, False)
cdef void sliding_1_s1_7(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 1, 1, 7, 0, False, False)
cdef void sliding_1_s1_8(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 1, 1, 8, 0, False, False)
cdef void sliding_2_s1_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 2, 1, 1, 0, False, False)
cdef void sliding_2_s1_2(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 2, 1, 2, 0, False, False)
cdef void sliding_2_s1_3(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 2, 1, 3, 0, False, False)
cdef void sliding_2_s1_4(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 2, 1, 4, 0, False, False)
cdef void sliding_3_s1_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 1, 1, 0, False, False)
cdef void sliding_3_s1_2(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 1, 2, 0, False, False)
cdef void sliding_3_s1_3(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 1, 3, 0, False, False)
cdef void sliding_3_s1_4(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 1, 4, 0, False, False)
cdef void sliding_4_s1_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 4, 1, 1, 0, False, False)
cdef void sliding_4_s1_2(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 4, 1, 2, 0, False, False)
cdef void sliding_4_s1_3(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 4, 1, 3, 0, False, False)
cdef void sliding_4_s1_4(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 4, 1, 4, 0, False, False)
cdef void sliding_5_s1_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 5, 1, 1, 0, False, False)
cdef void sliding_6_s1_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 6, 1, 1, 0, False, False)
cdef void sliding_7_s1_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 7, 1, 1, 0, False, False)
cdef void sliding_1_s2_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 1, 2, 1, 0, False, False)
cdef void sliding_1_s2_2(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 1, 2, 2, 0, False, False)
cdef void sliding_1_s2_3(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 1, 2, 3, 0, False, False)
cdef void sliding_1_s2_4(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 1, 2, 4, 0, False, False)
cdef void sliding_2_s2_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 2, 2, 1, 0, False, False)
cdef void sliding_2_s2_2(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 2, 2, 2, 0, False, False)
cdef void sliding_2_s2_3(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 2, 2, 3, 0, False, False)
cdef void sliding_2_s2_4(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 2, 2, 4, 0, False, False)
cdef void sliding_3_s2_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 2, 1, 0, False, False)
cdef void sliding_3_s2_2(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 2, 2, 0, False, False)
cdef void sliding_3_s2_3(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 2, 3, 0, False, False)
cdef void sliding_3_s2_4(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 2, 4, 0, False, False)
cdef void sliding_4_s2_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 4, 2, 1, 0, False, False)
cdef void sliding_4_s2_2(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 4, 2, 2, 0, False, False)
cdef void sliding_4_s2_3(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 4, 2, 3, 0, False, False)
cdef void sliding_4_s2_4(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 4, 2, 4, 0, False, False)
cdef void sliding_5_s2_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 5, 2, 1, 0, False, False)
cdef void sliding_5_s2_2(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 5, 2, 2, 0, False, False)
cdef void sliding_5_s2_3(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 5, 2, 3, 0, False, False)
cdef void sliding_5_s2_4(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 5, 2, 4, 0, False, False)
cdef void sliding_6_s2_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 6, 2, 1, 0, False, False)
cdef void sliding_7_s2_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 7, 2, 1, 0, False, False)
cdef void square_2_s1_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 2, 1, 1, 2, True, False)
cdef void square_2_s1_2(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 2, 1, 2, 2, True, False)
cdef void square_2_s1_3(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 2, 1, 3, 2, True, False)
cdef void square_2_s1_4(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 2, 1, 4, 2, True, False)
cdef void square_3_s1_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 1, 1, 3, True, False)
cdef void square_3_s1_2(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 1, 2, 3, True, False)
cdef void square_3_s1_3(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 1, 3, 3, True, False)
cdef void square_3_s1_4(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 1, 4, 3, True, False)
cdef void square_4_s1_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 4, 1, 1, 4, True, False)
cdef void square_4_s1_2(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 4, 1, 2, 4, True, False)
cdef void square_4_s1_3(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 4, 1, 3, 4, True, False)
cdef void square_4_s1_4(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 4, 1, 4, 4, True, False)
cdef void square_5_s1_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 5, 1, 1, 5, True, False)
cdef void square_6_s1_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 6, 1, 1, 6, True, False)
cdef void square_7_s1_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 7, 1, 1, 7, True, False)
cdef void square_2_s2_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 2, 2, 1, 2, True, False)
cdef void square_2_s2_2(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 2, 2, 2, 2, True, False)
cdef void square_2_s2_3(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 2, 2, 3, 2, True, False)
cdef void square_2_s2_4(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 2, 2, 4, 2, True, False)
cdef void square_3_s2_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 2, 1, 3, True, False)
cdef void square_3_s2_2(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 2, 2, 3, True, False)
cdef void square_3_s2_3(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 2, 3, 3, True, False)
cdef void square_3_s2_4(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 2, 4, 3, True, False)
cdef void square_4_s2_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 4, 2, 1, 4, True, False)
cdef void square_4_s2_2(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 4, 2, 2, 4, True, False)
cdef void square_4_s2_3(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 4, 2, 3, 4, True, False)
cdef void square_4_s2_4(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 4, 2, 4, 4, True, False)
cdef void square_5_s2_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 5, 2, 1, 5, True, False)
cdef void square_5_s2_2(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 5, 2, 2, 5, True, False)
cdef void square_5_s2_3(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 5, 2, 3, 5, True, False)
cdef void square_5_s2_4(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 5, 2, 4, 5, True, False)
cdef void square_6_s2_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 6, 2, 1, 6, True, False)
cdef void square_7_s2_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 7, 2, 1, 7, True, False)
cdef void held_s1_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 1, 1, 3, True, True)
cdef void held_s1_2(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 1, 2, 3, True, True)
cdef void held_s1_3(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 1, 3, 3, True, True)
cdef void held_s1_4(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 1, 4, 3, True, True)
cdef void held_s2_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 2, 1, 3, True, True)
cdef void held_s2_2(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 2, 2, 3, True, True)
cdef void held_s2_3(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 2, 3, 3, True, True)
cdef void held_s2_4(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 2, 4, 3, True, True)
cdef void dilated_1(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 1, 1, 3, False, True)
cdef void dilated_2(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 1, 2, 3, False, True)
cdef void dilated_3(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 1, 3, 3, False, True)
cdef void dilated_4(const SlidingStrip* s) noexcept nogil: sliding_strip(s, 3, 1, 4, 3, False, True)

SLIDING_TILES[1][1][1:9] = [sliding_1_s1_1, sliding_1_s1_2, sliding_1_s1_3, sliding_1_s1_4,
    sliding_1_s1_5, sliding_1_s1_6, sliding_1_s1_7, sliding_1_s1_8]
SLIDING_TILES[1][2][1:5] = [sliding_2_s1_1, sliding_2_s1_2, sliding_2_s1_3, sliding_2_s1_4]
SLIDING_TILES[1][3][1:5] = [sliding_3_s1_1, sliding_3_s1_2, sliding_3_s1_3, sliding_3_s1_4]
SLIDING_TILES[1][4][1:5] = [sliding_4_s1_1, sliding_4_s1_2, sliding_4_s1_3, sliding_4_s1_4]
SLIDING_TILES[1][5][1:2] = [sliding_5_s1_1]
SLIDING_TILES[1][6][1:2] = [sliding_6_s1_1]
SLIDING_TILES[1][7][1:2] = [sliding_7_s1_1]
SLIDING_TILES[2][1][1:5] = [sliding_1_s2_1, sliding_1_s2_2, sliding_1_s2_3, sliding_1_s2_4]
SLIDING_TILES[2][2][1:5] = [sliding_2_s2_1, sliding_2_s2_2, sliding_2_s2_3, sliding_2_s2_4]
SLIDING_TILES[2][3][1:5] = [sliding_3_s2_1, sliding_3_s2_2, sliding_3_s2_3, sliding_3_s2_4]
SLIDING_TILES[2][4][1:5] = [sliding_4_s2_1, sliding_4_s2_2, sliding_4_s2_3, sliding_4_s2_4]
SLIDING_TILES[2][5][1:5] = [sliding_5_s2_1, sliding_5_s2_2, sliding_5_s2_3, sliding_5_s2_4]
SLIDING_TILES[2][6][1:2] = [sliding_6_s2_1]
SLIDING_TILES[2][7][1:2] = [sliding_7_s2_1]
SQUARE_TILES[1][2][1:5] = [square_2_s1_1, square_2_s1_2, square_2_s1_3, square_2_s1_4]
SQUARE_TILES[1][3][1:5] = [square_3_s1_1, square_3_s1_2, square_3_s1_3, square_3_s1_4]
SQUARE_TILES[1][4][1:5] = [square_4_s1_1, square_4_s1_2, square_4_s1_3, square_4_s1_4]
SQUARE_TILES[1][5][1:2] = [square_5_s1_1]
SQUARE_TILES[1][6][1:2] = [square_6_s1_1]
SQUARE_TILES[1][7][1:2] = [square_7_s1_1]
SQUARE_TILES[2][2][1:5] = [square_2_s2_1, square_2_s2_2, square_2_s2_3, square_2_s2_4]
SQUARE_TILES[2][3][1:5] = [square_3_s2_1, square_3_s2_2, square_3_s2_3, square_3_s2_4]
SQUARE_TILES[2][4][1:5] = [square_4_s2_1, square_4_s2_2, square_4_s2_3, square_4_s2_4]
SQUARE_TILES[2][5][1:5] = [square_5_s2_1, square_5_s2_2, square_5_s2_3, square_5_s2_4]
SQUARE_TILES[2][6][1:2] = [square_6_s2_1]
SQUARE_TILES[2][7][1:2] = [square_7_s2_1]
HELD_TILES[1][1:5] = [held_s1_1, held_s1_2, held_s1_3, held_s1_4]
HELD_TILES[2][1:5] = [held_s2_1, held_s2_2, held_s2_3, held_s2_4]
DILATED_TILES[1:5] = [dilated_1, dilated_2, dilated_3, dilated_4]
