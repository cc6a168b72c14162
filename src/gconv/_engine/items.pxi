# Work items: what one call of the parallel loop does. An item is
#
#     image, group block, band of depth, of rows, of columns, block of output channels, slice
#
# (the last varies fastest; or the bands do before the slice, see channel_item; or they vary
# slowest, see gconv._plan.layout.Layout.groups_inside). The plan fixes all of it from the geometry of one
# image, so an output element is summed in the same order whatever the batch and however many
# threads. Slices of a band are there for many threads to share: those that fall to one thread are
# computed together, as if the band had never been cut.
#
# A thread's scratch: the numbers of the panel, of its padding and of the weights that it holds,
# the panel, the sums of a channel tile (or of a row shorter than a vector), packed weights
# (functions only; layers have packed theirs), and outputs that are not interleaved or transposed
# yet.

cdef enum:
    MOST_COLUMN_RUNS = 64  # gconv._plan.tiles sees to it
    FLAT = 3  # a slice axis: rows and columns as one
    NOTHING = -1
    HEADER_BYTES = 64


cdef struct Header:
    Py_ssize_t panel_number, weights_number
    Py_ssize_t cleared_column  # where the column band begins whose padding is clear
    const real* residual  # of the first output of the y that items are given; NULL: none


cdef width_function WIDTH_TILES[MOST_ROWS + 1][MOST_VECTORS + 1]
cdef depthwise_function DEPTHWISE_TILES[MOST_ROWS + 1][MOST_VECTORS + 1]
cdef depthwise_function THREE_COLUMN_TILES[MOST_ROWS + 1][MOST_VECTORS + 1]  # kernels 3 wide
cdef sliding_function SLIDING_TILES[3][MOST_ROWS + 1][MOST_VECTORS + 1]  # by stride, kernel rows
cdef sliding_function SQUARE_TILES[3][MOST_ROWS + 1][MOST_VECTORS + 1]
cdef sliding_function HELD_TILES[3][MOST_VECTORS + 1]
cdef sliding_function DILATED_TILES[MOST_VECTORS + 1]
cdef Py_ssize_t MOST_PIXELS[3][MOST_ROWS + 1]  # by stride, kernel columns
cdef Py_ssize_t MOST_DESCENDING[2]  # lanes pick or not
cdef Py_ssize_t MOST_WIDE_PIXELS[2]  # and the most kernel columns
cdef masked_function MASKED_TILES[MOST_ROWS + 1][MOST_VECTORS + 1]
cdef channel_function CHANNEL_TILES[MOST_ROWS + 1][MOST_VECTORS + 1]


cdef struct Item:
    Py_ssize_t image, first_group, last_group, first_channel, last_channel
    Py_ssize_t panel_number
    Band band
    Py_ssize_t first_column  # where the first row begins; the others begin where the band does
    Py_ssize_t last_column  # where the last row ends
    Packing packing


cdef inline Py_ssize_t take_digit(Py_ssize_t* number, Py_ssize_t base) noexcept nogil:
    cdef Py_ssize_t digit = number[0] % base
    number[0] //= base
    return digit


cdef inline Py_ssize_t slice_edge(
    const ConvPlan* p, Py_ssize_t extent, Py_ssize_t number) noexcept nogil:
    """Where slice `number` begins: columns are cut where a vector would, and a vector is left to
    the last slice, as it may read x in place."""
    cdef Py_ssize_t edge = extent * number // p.slices
    if p.slice_axis == 2 and number < p.slices:
        edge = max(0, min(edge, extent - LANES))
        edge -= edge % LANES
    return edge


cdef inline Item find_item(
    const ConvPlan* p, Py_ssize_t number, Py_ssize_t slices) noexcept nogil:
    """Item `number` and those after it, `slices` of one band in all."""
    cdef Item item
    cdef Py_ssize_t axis, begin, extent, width, first, last
    cdef Py_ssize_t first_slice = take_digit(&number, p.slices)
    item.panel_number = number if p.bands_inside else number // p.channel_blocks
    item.panel_number = (item.panel_number * p.slices + first_slice) * p.slices + slices - 1
    if not p.bands_inside:
        item.first_channel = take_digit(&number, p.channel_blocks) * p.channel_block
    if p.groups_inside:
        item.first_group = take_digit(&number, p.group_blocks) * p.group_block
    for axis in range(2, -1, -1):
        item.band.begin[axis] = take_digit(&number, p.bands[axis]) * p.band[axis]
        item.band.end[axis] = min(p.out_size[axis], item.band.begin[axis] + p.band[axis])
        if axis == p.slice_axis:
            begin = item.band.begin[axis]
            extent = item.band.end[axis] - begin
            item.band.begin[axis] = begin + slice_edge(p, extent, first_slice)
            item.band.end[axis] = begin + slice_edge(p, extent, first_slice + slices)
    item.first_column = item.band.begin[2]
    item.last_column = item.band.end[2]
    if p.slice_axis == FLAT:
        begin = item.band.begin[1]
        width = item.band.end[2] - item.band.begin[2]
        extent = (item.band.end[1] - begin) * width
        first = slice_edge(p, extent, first_slice)
        last = slice_edge(p, extent, first_slice + slices)
        item.band.begin[1] = begin + first // width
        item.band.end[1] = begin + divide_up(last, width)
        item.first_column += first % width
        item.last_column -= divide_up(last, width) * width - last
    if p.bands_inside:
        item.first_channel = take_digit(&number, p.channel_blocks) * p.channel_block
    item.last_channel = min(p.out_channels, item.first_channel + p.channel_block)
    if not p.groups_inside:
        item.first_group = take_digit(&number, p.group_blocks) * p.group_block
    item.last_group = min(p.groups, item.first_group + p.group_block)
    item.image = number
    return item


cdef inline const real* residual_of(
    char* scratch, const real* y, const real* place) noexcept nogil:
    """Where the residual of the output at `place` of y lies; NULL: there is none."""
    cdef const real* residual = (<Header*>scratch).residual
    return residual + (place - y) if residual != NULL else NULL


# What the tiles of an item read: a panel, or x in the panel's stead.
cdef struct Source:
    const real* origin  # where the taps of output position (0, 0, begin[2]) start
    Py_ssize_t plane, row  # from an output plane's, row's first tap to the next one's
    Py_ssize_t tap_plane, tap_row  # from a kernel plane, row to the next


cdef inline Source in_place_source(
    const ConvPlan* p, const Item* item, const real* x, Py_ssize_t group) noexcept nogil:
    cdef Source source
    source.plane = p.stride[0] * p.x_axis[0]
    source.row = p.stride[1] * p.x_axis[1]
    source.tap_plane = p.dilation[0] * p.x_axis[0]
    source.tap_row = p.dilation[1] * p.x_axis[1]
    source.origin = (
        x + item.image * p.x_image + group * p.in_channels * p.x_channel
        - p.padding[0] * p.x_axis[0] - p.padding[1] * p.x_axis[1] - p.padding[2] * p.x_axis[2]
        + item.band.begin[2] * p.pixel_step)
    return source


cdef inline void begin_item(const ConvPlan* p, Item* item, char* scratch) noexcept nogil:
    cdef Header* header = <Header*>scratch
    if p.in_place or header.panel_number == item.panel_number:
        return
    if header.cleared_column != item.band.begin[2]:
        clear_padding(p, &item.band, <real*>(scratch + HEADER_BYTES))
        header.cleared_column = item.band.begin[2]
    prepare_packing(p, &item.band, &item.packing)


cdef Source panel_source(
    const ConvPlan* p, const Item* item, const real* x, Py_ssize_t group,
    Py_ssize_t first_channel, Py_ssize_t channels, char* scratch) noexcept nogil:
    """Packs the panel, unless the thread's last item has left it there. The padding has been
    cleared where the item began."""
    cdef Source source
    cdef Header* header = <Header*>scratch
    cdef real* panel = <real*>(scratch + HEADER_BYTES)
    cdef bint reusable = p.group_block == 1 and p.panel_channels >= p.in_channels
    if not reusable or header.panel_number != item.panel_number:
        pack_panel(p, &item.band, &item.packing,
                   x + item.image * p.x_image
                   + (group * p.in_channels + first_channel) * p.x_channel,
                   channels, panel)
        header.panel_number = item.panel_number if reusable else NOTHING
    source.plane = p.panel_line[0] * p.panel_plane
    source.row = p.panel_line[1] * p.panel_row
    source.tap_plane = p.panel_tap[0] * p.panel_plane
    source.tap_row = p.panel_tap[1] * p.panel_row
    source.origin = (
        panel + p.panel_offset
        - item.band.begin[0] * source.plane - item.band.begin[1] * source.row)
    return source


# ---- width lanes -----------------------------------------------------------------------------

# `total` in the fewest parts of at most `most`, as equal as can be: `larger` parts of size + 1,
# then the others of `size`.
cdef struct Parts:
    Py_ssize_t count, size, larger


cdef inline Parts split(Py_ssize_t total, Py_ssize_t most) noexcept nogil:
    cdef Parts parts
    parts.count = (total + most - 1) // most
    parts.size = total // parts.count
    parts.larger = total % parts.count
    return parts


cdef inline void short_lines(
    const WidthStrip* s, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t n, real* spill
) noexcept nogil:
    """The n < LANES pixels from s.y on, of every line: a vector that begins with them, or ends
    with them (first = n - LANES), into scratch, and from there what belongs to the line."""
    cdef Py_ssize_t j, line
    cdef WidthStrip one = s[0]
    one.lines = 1
    one.tiles = 1
    one.final_vector = 0
    one.x += first
    one.y = spill
    one.y_channel = LANES
    if s.start != NULL:
        one.start = spill
    for line in range(s.lines):
        if s.start != NULL:
            for j in range(rows):
                copy_short(spill + j * LANES - first,
                           s.start + line * s.y_line + j * s.y_channel, n)
        WIDTH_TILES[rows][1](&one)
        for j in range(rows):
            copy_short(s.y + line * s.y_line + j * s.y_channel, spill + j * LANES - first, n)
        one.x += s.x_line


cdef inline void width_lines(
    const ConvPlan* p, WidthStrip* s, Py_ssize_t rows, Py_ssize_t width, const Parts* across,
    real* spill) noexcept nogil:
    """Lines of output pixels of `rows` channels, tile after tile."""
    cdef Py_ssize_t final_vector, done = 0
    if width < LANES:
        short_lines(s, rows, 0, width, spill)
        return
    if across.larger > 0:
        s.tiles = across.larger
        s.final_vector = across.size * LANES
        WIDTH_TILES[rows][across.size + 1](s)
        done = across.larger * (across.size + 1) * LANES
        s.x += done
        s.y += done
        if s.start != NULL:
            s.start += done
    s.tiles = across.count - across.larger
    final_vector = width - done - (s.tiles - 1) * across.size * LANES - LANES
    if s.start == NULL or final_vector >= 0:
        s.final_vector = final_vector
        WIDTH_TILES[rows][across.size](s)
        return
    # The last of tiles of one vector would overlap the one before it.
    s.tiles -= 1
    s.final_vector = 0
    WIDTH_TILES[rows][1](s)
    done = s.tiles * LANES
    s.x += done
    s.y += done
    s.start += done
    short_lines(s, rows, final_vector, LANES + final_vector, spill)


cdef void width_item(
    const ConvPlan* p, const Item* given, const real* x, const real* weight, const real* packed,
    const real* bias, real* y, char* scratch) noexcept nogil:
    cdef Item item = given[0]
    cdef Band* band = &item.band
    cdef Py_ssize_t width = band.end[2] - band.begin[2]
    cdef Parts blocks = split(item.last_channel - item.first_channel, p.tile_rows)
    cdef Parts across = split((width + LANES - 1) // LANES, p.tile_vectors)
    cdef Py_ssize_t group, block, c, in_block, rows, o, od, oh, next_oh, row_taps, plane_taps
    cdef Py_ssize_t first_plane, last_plane, first_row, last_row, next_first, next_last
    cdef real* spill = <real*>(scratch + HEADER_BYTES) + p.accumulators_at
    cdef Source source
    cdef WidthStrip s
    begin_item(p, &item, scratch)
    s.w_channel = p.w_channel
    s.y_channel = p.y_channel
    s.y_line = p.y_axis[1]
    for group in range(item.first_group, item.last_group):
        c = 0
        s.epilogue.activation = IDENTITY
        while c < p.in_channels or c == 0:
            in_block = min(p.in_block, p.in_channels - c)
            if p.in_place:
                source = in_place_source(p, &item, x, group)
            else:
                source = panel_source(p, &item, x, group, c, in_block, scratch)
            row_taps = in_block * p.kernel[2]
            plane_taps = p.kernel[1] * row_taps
            s.x_taps = p.x_taps + c * p.kernel[0] * p.kernel[1] * p.kernel[2]
            s.w_taps = p.w_taps + c * p.kernel[0] * p.kernel[1] * p.kernel[2]
            if c + in_block >= p.in_channels:  # these sums are complete
                s.epilogue = tile_epilogue(p)
            s.no_bias = 0 if c == 0 else -0.0  # which changes no sum
            s.plane = plane_taps
            s.x_line = source.row
            o = group * p.out_channels + item.first_channel
            for block in range(blocks.count):
                rows = blocks.size + (block < blocks.larger)
                s.weight = (weight + p.w_origin + group * p.w_group
                            + (o - group * p.out_channels) * p.w_channel)
                s.bias = bias + o if bias != NULL and c == 0 else NULL
                for od in range(band.begin[0], band.end[0]):
                    tap_range(p, 0, od, &first_plane, &last_plane)
                    s.planes = last_plane - first_plane
                    oh = band.begin[1]
                    tap_range(p, 1, oh, &first_row, &last_row)
                    while oh < band.end[1]:
                        # Consecutive rows that meet the same taps go together.
                        next_oh = oh + 1
                        next_first = first_row
                        next_last = last_row
                        while next_oh < band.end[1]:
                            tap_range(p, 1, next_oh, &next_first, &next_last)
                            if next_first != first_row or next_last != last_row:
                                break
                            next_oh += 1
                        s.lines = next_oh - oh
                        s.first = first_plane * plane_taps + first_row * row_taps
                        s.last = first_plane * plane_taps + last_row * row_taps
                        s.x = source.origin + od * source.plane + oh * source.row
                        s.y = (y + item.image * p.y_image + o * p.y_channel
                               + od * p.y_axis[0] + oh * p.y_axis[1] + band.begin[2])
                        if c > 0:
                            s.start = s.y
                        else:
                            s.start = residual_of(scratch, y, s.y)
                        width_lines(p, &s, rows, width, &across, spill)
                        oh = next_oh
                        first_row = next_first
                        last_row = next_last
                o += rows
            c += max(in_block, 1)


# ---- depthwise -------------------------------------------------------------------------------

cdef inline void short_rows(
    DepthwiseStrip s, depthwise_function tile, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t n,
    real* spill) noexcept nogil:
    """The n < LANES pixels from s.y on, of every row; see short_lines."""
    cdef Py_ssize_t j, down, tiles_down = s.tiles_down
    cdef Py_ssize_t y_row = s.y_row
    cdef real* y = s.y
    cdef const real* residual = s.residual
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
                copy_short(spill + j * LANES - first, residual + (down * rows + j) * y_row, n)
        tile(&s)
        for j in range(rows):
            copy_short(y + (down * rows + j) * y_row, spill + j * LANES - first, n)
        s.x += rows * s.x_row
        s.first_window -= rows
        s.last_window -= rows


cdef inline void depthwise_rows(
    const ConvPlan* p, DepthwiseStrip s, Py_ssize_t rows, Py_ssize_t width, const Parts* across,
    real* spill) noexcept nogil:
    """Row tiles of `rows` rows, tile after tile."""
    cdef Py_ssize_t final_vector, done = 0
    cdef depthwise_function* tiles = (
        &THREE_COLUMN_TILES[rows][0] if p.three_columns else &DEPTHWISE_TILES[rows][0])
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


cdef inline const real* weights_in_order(
    const ConvPlan* p, Py_ssize_t group, Py_ssize_t channel, const real* weight, char* scratch
) noexcept nogil:
    """The kernel of an output channel of a group with one input channel: where it lies, or in
    scratch where its taps are not contiguous."""
    cdef const real* kernel = weight + p.w_origin + group * p.w_group + channel * p.w_channel
    cdef real* taps = <real*>(scratch + HEADER_BYTES) + p.weights_at
    cdef Py_ssize_t k
    if p.w_in_order:
        return kernel
    for k in range(p.kernel[0] * p.kernel[1] * p.kernel[2]):
        taps[k] = kernel[p.w_taps[k]]
    return taps


cdef void depthwise_item(
    const ConvPlan* p, const Item* given, const real* x, const real* weight, const real* packed,
    const real* bias, real* y, char* scratch) noexcept nogil:
    """Assumes one input and one output channel per group, and rows one apart (stride 1)."""
    cdef Item item = given[0]
    cdef Band* band = &item.band
    cdef Py_ssize_t dilation = p.dilation[1]
    cdef Py_ssize_t width = band.end[2] - band.begin[2]
    cdef Parts across = split((width + LANES - 1) // LANES, p.tile_vectors)
    cdef Parts down
    cdef Py_ssize_t group, od, phase, oh, top, size, rows = 0
    cdef real* spill = <real*>(scratch + HEADER_BYTES) + p.accumulators_at
    cdef Source source
    cdef DepthwiseStrip s
    begin_item(p, &item, scratch)
    s.epilogue = tile_epilogue(p)
    s.columns = p.x_taps
    s.kernel_rows = p.kernel[1]
    s.kernel_columns = p.kernel[2]
    s.y_row = dilation * p.y_axis[1]
    for group in range(item.first_group, item.last_group):
        if p.in_place:
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
                    down = split(rows, p.tile_rows)
                for size in range(down.size + 1, down.size - 1, -1):
                    s.tiles_down = down.larger if size > down.size else down.count - down.larger
                    if s.tiles_down == 0:
                        continue
                    top = oh - p.padding[1]
                    s.first_window = 0
                    if top < p.filled_begin[1]:
                        s.first_window = divide_up(p.filled_begin[1] - top, dilation)
                    s.last_window = 0
                    if top < p.filled_end[1]:
                        s.last_window = divide_up(p.filled_end[1] - top, dilation)
                    s.x = source.origin + od * source.plane + oh * source.row
                    s.y = (y + item.image * p.y_image + group * p.y_channel
                           + od * p.y_axis[0] + oh * p.y_axis[1] + band.begin[2])
                    s.residual = residual_of(scratch, y, s.y)
                    depthwise_rows(p, s, size, width, &across, spill)
                    oh += s.tiles_down * size * dilation


# ---- channel lanes ---------------------------------------------------------------------------

cdef inline void transpose_square(vec square[LANES_AT_MOST]) noexcept nogil:
    """LANES vectors of LANES elements: rows become columns."""
    cdef vec other[LANES_AT_MOST]
    cdef Py_ssize_t i, width = 1
    while width < LANES:
        for i in range(LANES // 2):
            other[2 * i] = interleave_low(square[i], square[i + LANES // 2])
            other[2 * i + 1] = interleave_high(square[i], square[i + LANES // 2])
        for i in range(LANES):
            square[i] = other[i]
        width *= 2


cdef inline void store_transposed(
    const ConvPlan* p, const real* sums, Py_ssize_t pitch, const Py_ssize_t* order,
    Py_ssize_t pixels, Py_ssize_t channels, const real* residual, real* y) noexcept nogil:
    """sums[order[pixel]][channel], residual (or NULL) added, into y[channel][pixel]; no order: the
    pixels follow each other."""
    cdef vec square[LANES_AT_MOST]
    cdef real some[LANES_AT_MOST]
    cdef Py_ssize_t y_channel = p.y_channel
    cdef Py_ssize_t pixel, channel = 0, i, j, n
    cdef Py_ssize_t whole = pixels // LANES * LANES
    cdef Epilogue epilogue = tile_epilogue(p)
    cdef bint again  # the first pixels of the square have been stored: their residual is gone
    if pixels < LANES:
        for channel in range(channels):
            (<uvec*>some)[0] = splat(0)
            for i in range(pixels):
                some[i] = sums[(order[i] if order != NULL else i) * pitch + channel]
                if residual != NULL:
                    some[i] = some[i] + residual[channel * y_channel + i]
            if epilogue.activation != IDENTITY:
                (<uvec*>some)[0] = finished((<const uvec*>some)[0], &epilogue)
            for i in range(pixels):
                y[channel * y_channel + i] = some[i]
        return
    # A channel's pixels follow each other: what a store leaves of a cache line, the next completes.
    while channel < channels:
        n = min(LANES, channels - channel)
        pixel = 0
        while True:
            for i in range(LANES):
                j = order[pixel + i] if order != NULL else pixel + i
                square[i] = (<const vec*>(sums + j * pitch + channel))[0]
            transpose_square(square)
            again = residual != NULL and pixel + LANES > whole
            if again:
                for j in range(n):
                    (<uvec*>some)[0] = splat(0)
                    copy_short(some + whole - pixel,
                               residual + (channel + j) * y_channel + whole, pixels - whole)
                    square[j] = square[j] + (<const uvec*>some)[0]
            elif residual != NULL:
                for j in range(n):
                    square[j] = square[j] + (
                        <const uvec*>(residual + (channel + j) * y_channel + pixel))[0]
            if epilogue.activation != IDENTITY:
                for j in range(n):
                    square[j] = finished(square[j], &epilogue)
            if again:
                for j in range(n):
                    (<uvec*>some)[0] = square[j]
                    copy_short(y + (channel + j) * y_channel + whole, some + whole - pixel,
                               pixels - whole)
            else:
                for j in range(n):
                    (<uvec*>(y + (channel + j) * y_channel + pixel))[0] = square[j]
            if pixel == pixels - LANES:
                break
            pixel = min(pixel + LANES, pixels - LANES)
        channel += LANES


cdef inline void store_pixels(
    const ConvPlan* p, const real* sums, Py_ssize_t pitch, const Py_ssize_t* spots,
    Py_ssize_t pixels, Py_ssize_t channels, real* y) noexcept nogil:
    """sums[pixel][channel] to where each pixel lies in a y that is not in C order."""
    cdef Py_ssize_t pixel, channel
    cdef const real* source
    cdef real* to
    for pixel in range(pixels):
        source = sums + pixel * pitch
        to = y + spots[pixel]
        channel = 0
        if p.y_channel == 1:
            while channel <= channels - LANES:
                (<uvec*>(to + channel))[0] = (<const vec*>(source + channel))[0]
                channel += LANES
        while channel < channels:
            to[channel * p.y_channel] = source[channel]
            channel += 1


cdef inline void pack_weights(
    const ConvPlan* p, const real* weight, Py_ssize_t first_tap, Py_ssize_t last_tap,
    Py_ssize_t channels, Py_ssize_t width, real* to) noexcept nogil:
    """weight[channel][tap] of a block of input channels into to[place of tap][width], zeros
    beyond the last channel; `to` is where the block's first place goes."""
    cdef Py_ssize_t n, tap, place, block, j, lane
    cdef vec square[LANES_AT_MOST]
    if last_tap - first_tap < LANES or not p.w_in_order:
        for tap in range(first_tap, last_tap):
            place = p.tap_places[tap]
            for j in range(channels):
                to[(place - first_tap) * width + j] = weight[j * p.w_channel + p.w_taps[place]]
            for j in range(channels, width):
                to[(place - first_tap) * width + j] = 0
        return
    for block in range(width // LANES):
        j = block * LANES
        n = min(LANES, channels - j)
        tap = first_tap
        while True:
            for lane in range(LANES):
                if lane < n:
                    square[lane] = (<const uvec*>(weight + (j + lane) * p.w_channel + tap))[0]
                else:
                    square[lane] = splat(0)
            transpose_square(square)
            for lane in range(LANES):
                (<vec*>(to + (p.tap_places[tap + lane] - first_tap) * width + j))[0] = \
                    square[lane]
            if tap == last_tap - LANES:
                break
            tap = min(tap + LANES, last_tap - LANES)


cdef inline void pixel_tiles(
    const ConvPlan* p, ChannelStrip* s, Py_ssize_t vectors, Py_ssize_t pixels) noexcept nogil:
    """A run of pixels with the same taps, tile after tile."""
    cdef Parts run = split(pixels, p.tile_rows)
    if run.larger > 0:
        s.tiles = run.larger
        CHANNEL_TILES[run.size + 1][vectors](s)
        s.pixels += run.larger * (run.size + 1)
        s.spots += run.larger * (run.size + 1)
        s.sums += run.larger * (run.size + 1) * vectors * LANES
    s.tiles = run.count - run.larger
    CHANNEL_TILES[run.size][vectors](s)
    s.pixels += s.tiles * run.size
    s.spots += s.tiles * run.size
    s.sums += s.tiles * run.size * vectors * LANES


# A run of pixels that meet the same taps: of the planes, rows and columns of the kernel, those
# from the first up to the last that lie in the image.
cdef struct Run:
    Py_ssize_t pixels
    Py_ssize_t taps[6]


cdef inline void finish_run(
    const ConvPlan* p, ChannelStrip* s, Run* run, Py_ssize_t vectors, Py_ssize_t in_block
) noexcept nogil:
    cdef Py_ssize_t* t = run.taps
    cdef Py_ssize_t row_taps = p.kernel[2] * in_block
    if run.pixels == 0:
        return
    # No taps, and the sums are where they shall be.
    if (t[0] >= t[1] or t[2] >= t[3] or t[4] >= t[5]) and s.start == NULL and s.y == NULL:
        s.pixels += run.pixels
        s.sums += run.pixels * vectors * LANES
        return
    s.planes = t[1] - t[0]
    if t[5] - t[4] == p.kernel[2]:  # whole kernel rows: one range of taps
        s.rows = 1
        s.first = t[0] * s.plane + t[2] * row_taps
        s.last = t[0] * s.plane + t[3] * row_taps
    else:
        s.rows = t[3] - t[2]
        s.first = t[0] * s.plane + t[2] * row_taps + t[4] * in_block
        s.last = t[0] * s.plane + t[2] * row_taps + t[5] * in_block
    pixel_tiles(p, s, vectors, run.pixels)


cdef inline void extend_run(
    const ConvPlan* p, ChannelStrip* s, Run* run, Py_ssize_t vectors, Py_ssize_t in_block,
    const Py_ssize_t* taps, Py_ssize_t pixels) noexcept nogil:
    """Add pixels to the run, or compute it and begin another where they meet other taps."""
    cdef Py_ssize_t i
    cdef bint same = True
    for i in range(6):
        same = same and run.taps[i] == taps[i]
    if not same:
        finish_run(p, s, run, vectors, in_block)
        run.pixels = 0
        for i in range(6):
            run.taps[i] = taps[i]
    run.pixels += pixels


# Runs of output columns of a band that meet the same taps of a kernel row.
cdef struct ColumnRuns:
    Py_ssize_t count
    Py_ssize_t end[MOST_COLUMN_RUNS]
    Py_ssize_t first[MOST_COLUMN_RUNS]
    Py_ssize_t last[MOST_COLUMN_RUNS]


cdef inline void find_column_runs(
    const ConvPlan* p, const Band* band, ColumnRuns* runs) noexcept nogil:
    """One run where columns of padding are multiplied like any others."""
    cdef Py_ssize_t column, first, last
    runs.count = 1
    runs.end[0] = band.end[2]
    runs.first[0] = 0
    runs.last[0] = p.kernel[2]
    if not p.column_runs:
        return
    tap_range(p, 2, band.begin[2], &runs.first[0], &runs.last[0])
    for column in range(band.begin[2] + 1, band.end[2]):
        tap_range(p, 2, column, &first, &last)
        if first != runs.first[runs.count - 1] or last != runs.last[runs.count - 1]:
            runs.end[runs.count - 1] = column
            runs.first[runs.count] = first
            runs.last[runs.count] = last
            runs.end[runs.count] = band.end[2]
            runs.count += 1


# The columns of an output row that belong to an item, of those of a run: the item's first row may
# begin, and its last one end, in the middle.

cdef inline Py_ssize_t row_begin(
    const Item* item, Py_ssize_t row, Py_ssize_t column) noexcept nogil:
    return max(column, item.first_column) if row == item.band.begin[1] else column


cdef inline Py_ssize_t row_end(
    const Item* item, Py_ssize_t row, Py_ssize_t column) noexcept nogil:
    return min(column, item.last_column) if row == item.band.end[1] - 1 else column


cdef inline void run_tiles(
    const ConvPlan* p, ChannelStrip* s, const Item* item, const ColumnRuns* runs,
    Py_ssize_t vectors, Py_ssize_t in_block, Py_ssize_t kernel_row) noexcept nogil:
    """All pixels of an item with `rows_at_once` kernel rows, from `kernel_row` on."""
    cdef const Band* band = &item.band
    cdef Py_ssize_t n, od, oh, pixels, column = band.begin[2]
    cdef Py_ssize_t taps[6]
    cdef Run run
    run.pixels = 0
    for n in range(6):
        run.taps[n] = 0
    for n in range(runs.count):
        taps[4] = runs.first[n]
        taps[5] = runs.last[n]
        for od in range(band.begin[0], band.end[0]):
            tap_range(p, 0, od, &taps[0], &taps[1])
            for oh in range(band.begin[1], band.end[1]):
                tap_range(p, 1, oh, &taps[2], &taps[3])
                taps[2] = max(taps[2], kernel_row)
                taps[3] = min(taps[3], kernel_row + p.rows_at_once)
                pixels = row_end(item, oh, runs.end[n]) - row_begin(item, oh, column)
                if pixels > 0:
                    extend_run(p, s, &run, vectors, in_block, taps, pixels)
        column = runs.end[n]
    finish_run(p, s, &run, vectors, in_block)


# In padding that holds elements of the image, the pixels of a band whose taps all lie in the
# image come first. The others, the border, look up each tap in a table [tap of a channel][pixel].
cdef struct Border:
    Py_ssize_t inner, pixels  # so many inside, so many at the border
    Py_ssize_t* places


cdef inline Py_ssize_t tap_moved(
    const ConvPlan* p, int axis, Py_ssize_t output, Py_ssize_t tap) noexcept nogil:
    return moved(p, axis, output * p.stride[axis] + tap * p.dilation[axis] - p.padding[axis])


cdef void find_border(
    const ConvPlan* p, const Item* item, Py_ssize_t pixels, const Source* source,
    Py_ssize_t* places, Py_ssize_t* spots, Border* border) noexcept nogil:
    """The places and the spots of all pixels (see channel_item), and where the taps of those at
    the border lie."""
    cdef const Band* band = &item.band
    cdef Py_ssize_t begin[3]
    cdef Py_ssize_t end[3]
    cdef Py_ssize_t width = band.end[2] - band.begin[2]
    cdef Py_ssize_t axis, od, oh, column, row_last, last, i, n, kd, kh, kw, place, row
    cdef Py_ssize_t inside = 0, outside, number = 0
    cdef bint inner
    cdef Py_ssize_t* columns  # [kernel column][column]: what column taps are moved by
    cdef Py_ssize_t* to
    for axis in range(3):
        begin[axis] = max(band.begin[axis], divide_up(p.padding[axis], p.stride[axis]))
        end[axis] = (p.in_size[axis] + p.padding[axis]
                     - (p.kernel[axis] - 1) * p.dilation[axis])  # the last tap's limit
        end[axis] = min(band.end[axis], divide_up(max(end[axis], 0), p.stride[axis]))
        begin[axis] = min(begin[axis], band.end[axis])
        end[axis] = max(begin[axis], end[axis])
    border.inner = 0
    for oh in range(begin[1], end[1]):
        n = row_end(item, oh, end[2]) - row_begin(item, oh, begin[2])
        border.inner += max(n, 0) * (end[0] - begin[0])
    border.pixels = pixels - border.inner
    columns = border.places + border.pixels * p.kernel[0] * p.kernel[1] * p.kernel[2]
    outside = border.inner
    for kw in range(p.kernel[2]):
        for i in range(width):
            columns[kw * width + i] = tap_moved(p, 2, band.begin[2] + i, kw)
    for od in range(band.begin[0], band.end[0]):
        for oh in range(band.begin[1], band.end[1]):
            row = od * source.plane + oh * source.row
            column = row_begin(item, oh, band.begin[2])
            row_last = row_end(item, oh, band.end[2])
            while column < row_last:
                # A row at the border; or the columns before, inside and behind the inner ones.
                last = row_last
                inner = False
                if begin[0] <= od < end[0] and begin[1] <= oh < end[1]:
                    inner = begin[2] <= column < end[2]
                    if inner:
                        last = min(last, end[2])
                    elif column < begin[2]:
                        last = min(last, begin[2])
                n = inside if inner else outside
                for i in range(column, last):
                    place = row + (i - band.begin[2]) * p.pixel_step
                    places[n + i - column] = place
                    if p.y_in_order:
                        spots[number] = n + i - column
                    else:
                        spots[n + i - column] = (
                            od * p.y_axis[0] + oh * p.y_axis[1] + i * p.y_axis[2])
                    number += 1
                if inner:
                    inside += last - column
                    column = last
                    continue
                to = border.places + n - border.inner
                for kd in range(p.kernel[0]):
                    for kh in range(p.kernel[1]):
                        place = row + tap_moved(p, 0, od, kd) + tap_moved(p, 1, oh, kh)
                        for kw in range(p.kernel[2]):
                            for i in range(last - column):
                                to[i] = (
                                    place + (column - band.begin[2] + i) * p.pixel_step
                                    + columns[kw * width + column - band.begin[2] + i])
                            to += border.pixels
                outside += last - column
                column = last


cdef inline void border_tiles(
    const ConvPlan* p, ChannelStrip* s, const Border* border, Py_ssize_t vectors,
    Py_ssize_t in_block) noexcept nogil:
    """The pixels inside, and then those at the border, which take each tap of a channel as if it
    were a kernel row of its own."""
    s.planes = 1
    s.rows = 1
    s.first = 0
    s.last = p.kernel[0] * p.kernel[1] * p.kernel[2] * in_block
    if border.inner > 0:
        pixel_tiles(p, s, vectors, border.inner)
    s.rows = p.kernel[0] * p.kernel[1] * p.kernel[2]
    s.row = s.last = in_block
    s.pixels = border.places
    s.next_row = border.pixels
    if border.pixels > 0:
        pixel_tiles(p, s, vectors, border.pixels)
    s.next_row = 0


cdef void channel_item(
    const ConvPlan* p, const Item* given, const real* x, const real* weight, const real* packed,
    const real* bias, real* y, char* scratch) noexcept nogil:
    """Assumes group blocks of 1, and that a band's pixels are contiguous in a y in order."""
    cdef Item item = given[0]
    cdef Band* band = &item.band
    cdef Py_ssize_t volume = p.kernel[0] * p.kernel[1] * p.kernel[2]
    cdef Py_ssize_t taps = p.in_channels * volume
    cdef Py_ssize_t group = item.first_group
    cdef Py_ssize_t width = band.end[2] - band.begin[2]
    cdef Py_ssize_t all_vectors = (p.out_channels + LANES - 1) // LANES
    cdef Py_ssize_t pixels = (
        width * (band.end[0] - band.begin[0]) * (band.end[1] - band.begin[1])
        - (item.first_column - band.begin[2]) - (band.end[2] - item.last_column))
    cdef Header* header = <Header*>scratch
    cdef real* sums = <real*>(scratch + HEADER_BYTES) + p.accumulators_at
    cdef real* weights = <real*>(scratch + HEADER_BYTES) + p.weights_at
    cdef Py_ssize_t* places = <Py_ssize_t*>(sums + p.weights_at - p.accumulators_at) - pixels
    cdef Py_ssize_t* spots = places - pixels
    cdef Py_ssize_t o, vectors, channels, lanes, c, in_block, row_taps, plane_taps, pixel, i, j
    cdef Py_ssize_t od, oh, column, end, n
    cdef ColumnRuns runs
    cdef real* to_y
    cdef vec start[MOST_VECTORS]
    cdef bint at_once, to_spots
    cdef Border border
    cdef Source source
    cdef ChannelStrip s
    begin_item(p, &item, scratch)
    s.next_row = 0
    # The sums and the places of the pixels share a part of scratch: sums from its beginning,
    # places up to its end. Pixels come in runs of columns that meet the same taps, so that
    # such runs go together over all rows; `spots` says where they lie in y, or, where y is in
    # C order, in which order they lie there.
    if p.in_place:
        source = in_place_source(p, &item, x, group)
    else:
        source.plane = p.panel_line[0] * p.panel_plane
        source.row = p.panel_line[1] * p.panel_row
    pixel = 0
    find_column_runs(p, band, &runs)
    border.inner = border.pixels = 0
    border.places = NULL
    if p.gathers_border:
        border.places = <Py_ssize_t*>(<real*>(scratch + HEADER_BYTES) + p.outputs_at)
        find_border(p, &item, pixels, &source, places, spots, &border)
        runs.count = 0
    column = band.begin[2]
    for n in range(runs.count):
        end = runs.end[n]
        for od in range(band.begin[0], band.end[0]):
            for oh in range(band.begin[1], band.end[1]):
                for i in range(row_begin(&item, oh, column), row_end(&item, oh, end)):
                    places[pixel] = (
                        od * source.plane + oh * source.row
                        + (i - band.begin[2]) * p.pixel_step)
                    if not p.y_in_order:
                        spots[pixel] = od * p.y_axis[0] + oh * p.y_axis[1] + i * p.y_axis[2]
                    elif p.column_runs:
                        spots[((od - band.begin[0]) * (band.end[1] - band.begin[1])
                               + oh - band.begin[1]) * width + i - item.first_column] = pixel
                    pixel += 1
        column = end
    o = item.first_channel
    while o < item.last_channel:
        vectors = min(p.tile_vectors, (item.last_channel - o + LANES - 1) // LANES)
        lanes = vectors * LANES
        channels = min(lanes, item.last_channel - o)
        for j in range(lanes):
            (<real*>start)[j] = (bias[group * p.out_channels + o + j]
                                 if bias != NULL and j < channels else 0)
        to_y = y + item.image * p.y_image + (group * p.out_channels + o) * p.y_channel
        # Where a block of input channels takes all kernel rows at once, it visits each pixel once:
        # the first has no use for sums so far, and the last has none for sums.
        at_once = p.rows_at_once == p.kernel[1]
        to_spots = at_once and p.y_channel == 1 and not p.y_in_order and channels == lanes
        if not at_once:
            for pixel in range(pixels):
                for j in range(vectors):
                    (<vec*>(sums + pixel * lanes))[j] = start[j]
        if packed == NULL and p.bands_inside:
            # Items that follow each other are bands of the same channels: all the weights of
            # these are packed once, and each panel once for every block of channels.
            if header.weights_number != group * p.out_channels + o:
                c = 0
                while c < p.in_channels:
                    in_block = min(p.in_block, p.in_channels - c)
                    pack_weights(p, weight + p.w_origin + group * p.w_group + o * p.w_channel,
                                 c * volume, (c + in_block) * volume, channels, lanes,
                                 weights + c * volume * lanes)
                    c += in_block
                header.weights_number = group * p.out_channels + o
        c = 0
        while c < p.in_channels:
            in_block = min(p.in_block, p.in_channels - c)
            if not p.in_place:
                if p.panel_channels >= p.in_channels:
                    source = panel_source(p, &item, x, group, 0, p.in_channels, scratch)
                else:
                    source = panel_source(p, &item, x, group, c, in_block, scratch)
            row_taps = in_block * p.kernel[2]
            plane_taps = p.kernel[1] * row_taps
            s.x = source.origin
            s.x_taps = p.x_taps + c * volume
            s.plane = plane_taps
            if packed != NULL:
                s.weight = packed + ((group * all_vectors * LANES + o) * taps
                                     + c * volume * lanes)
            elif p.bands_inside:
                s.weight = weights + c * volume * lanes
            else:
                pack_weights(p, weight + p.w_origin + group * p.w_group + o * p.w_channel,
                             c * volume, (c + in_block) * volume, channels, lanes, weights)
                s.weight = weights
            # Layers with few pixels read their weights as fast as the third-level cache allows.
            s.ahead = 0
            if packed != NULL and p.prefetches:
                s.ahead = row_taps * p.rows_at_once * lanes
            s.row = row_taps
            s.start = start if at_once and c == 0 else NULL
            s.y = to_y if to_spots and c + in_block == p.in_channels else NULL
            # The processor's own prefetchers do so where pixels follow each other. Measured on
            # Zen 4: first layers of networks with y beyond the caches are 1.05 to 1.3 times as
            # fast, others as fast as without.
            s.asks_for_y = s.y != NULL and p.y_axis[2] > lanes
            for i in range(1 if p.gathers_border else p.kernel[1] // p.rows_at_once):
                s.pixels = places
                s.spots = spots
                s.sums = sums
                if p.gathers_border:
                    border_tiles(p, &s, &border, vectors, in_block)
                else:
                    run_tiles(p, &s, &item, &runs, vectors, in_block, i * p.rows_at_once)
            c += in_block
        if p.y_in_order:
            to_y += (
                band.begin[0] * p.y_axis[0] + band.begin[1] * p.y_axis[1] + item.first_column)
            store_transposed(
                p, sums, lanes, spots if p.column_runs or p.gathers_border else NULL, pixels,
                channels, residual_of(scratch, y, to_y), to_y)
        elif not to_spots:
            store_pixels(p, sums, lanes, spots, pixels, channels, to_y)
        o += lanes
