# Work items: what one call of the parallel loop does. An item is
#
#     image, group block, band of depth, of rows, of columns, block of output channels
#
# (the last varies fastest). The plan fixes all of it from the geometry of one image, so an
# output element is summed in the same order whatever the batch and however many threads.
#
# A thread's scratch: the number of the panel it holds, the panel, the sums of a channel tile
# (or of a row shorter than a vector), one block of weights (functions only; layers are packed).

cdef enum:
    NO_PANEL = -1
    HEADER_BYTES = 64


cdef width_function WIDTH_TILES[MOST_ROWS + 1][MOST_VECTORS + 1]
cdef depthwise_function DEPTHWISE_TILES[MOST_ROWS + 1][MOST_VECTORS + 1]
cdef channel_function CHANNEL_TILES[MOST_ROWS + 1][MOST_VECTORS + 1]


cdef struct Item:
    Py_ssize_t image, first_group, last_group, first_channel, last_channel
    Py_ssize_t panel_number
    Band band


cdef inline Py_ssize_t take_digit(Py_ssize_t* number, Py_ssize_t base) noexcept nogil:
    cdef Py_ssize_t digit = number[0] % base
    number[0] //= base
    return digit


cdef inline Item find_item(const ConvPlan* p, Py_ssize_t number) noexcept nogil:
    cdef Item item
    cdef Py_ssize_t axis
    item.first_channel = take_digit(&number, p.channel_blocks) * p.channel_block
    item.last_channel = min(p.out_channels, item.first_channel + p.channel_block)
    item.panel_number = number
    for axis in range(2, -1, -1):
        item.band.begin[axis] = take_digit(&number, p.bands[axis]) * p.band[axis]
        item.band.end[axis] = min(p.out_size[axis], item.band.begin[axis] + p.band[axis])
    item.first_group = take_digit(&number, p.group_blocks) * p.group_block
    item.last_group = min(p.groups, item.first_group + p.group_block)
    item.image = number
    input_range(p, 0, item.band.begin[0], item.band.end[0],
                &item.band.first_plane, &item.band.last_plane)
    input_range(p, 1, item.band.begin[1], item.band.end[1],
                &item.band.first_row, &item.band.last_row)
    return item


# What the tiles of an item read: a panel, or x in the panel's stead.
cdef struct Source:
    const real* origin  # where the taps of output position (0, 0, begin[2]) start
    Py_ssize_t plane, row  # from an input plane, row to the next


cdef inline Source in_place_source(
    const ConvPlan* p, const Item* item, const real* x, Py_ssize_t group) noexcept nogil:
    cdef Source source
    source.plane = p.x_axis[0]
    source.row = p.x_axis[1]
    source.origin = (
        x + item.image * p.x_image + group * p.in_channels * p.x_channel
        - p.padding[0] * source.plane - p.padding[1] * source.row
        + item.band.begin[2] * p.pixel_step)
    return source


cdef inline Source panel_source(
    const ConvPlan* p, const Item* item, const real* x, Py_ssize_t group,
    Py_ssize_t first_channel, Py_ssize_t channels, char* scratch) noexcept nogil:
    """Packs the panel, unless the thread's last item has left it there."""
    cdef Source source
    cdef Py_ssize_t* holds = <Py_ssize_t*>scratch
    cdef real* panel = <real*>(scratch + HEADER_BYTES)
    cdef bint reusable = p.group_block == 1 and p.panel_channels >= p.in_channels
    if not reusable or holds[0] != item.panel_number:
        pack_panel(p, &item.band,
                   x + item.image * p.x_image
                   + (group * p.in_channels + first_channel) * p.x_channel,
                   channels, panel)
        holds[0] = item.panel_number if reusable else NO_PANEL
    source.plane = p.panel_plane
    source.row = p.panel_row
    source.origin = (
        panel - (p.padding[0] + item.band.first_plane) * source.plane
        - (p.padding[1] + item.band.first_row) * source.row)
    return source


# ---- width lanes -----------------------------------------------------------------------------

cdef inline void width_row(
    const ConvPlan* p, WidthStrip* s, Py_ssize_t rows, Py_ssize_t width, real* spill
) noexcept nogil:
    """One row of output pixels of `rows` channels, in tiles of as equal a width as can be."""
    cdef Py_ssize_t vectors = (width + LANES - 1) // LANES
    cdef Py_ssize_t tiles = (vectors + p.tile_vectors - 1) // p.tile_vectors
    cdef Py_ssize_t narrow = vectors // tiles  # vectors in a narrow tile; wide ones have 1 more
    cdef Py_ssize_t wide = vectors % tiles
    cdef Py_ssize_t i, j, y_channel = s.y_channel
    cdef real* y = s.y
    if width < LANES:  # into scratch, and from there what belongs to the row
        s.y = spill
        s.y_channel = LANES
        s.tiles = 1
        s.final_vector = 0
        if s.resume:
            for j in range(rows):
                for i in range(width):
                    spill[j * LANES + i] = y[j * y_channel + i]
        WIDTH_TILES[rows][1](s)
        for j in range(rows):
            for i in range(width):
                y[j * y_channel + i] = spill[j * LANES + i]
        s.y = y
        s.y_channel = y_channel
        return
    if wide > 0:
        s.tiles = wide
        s.final_vector = narrow * LANES
        WIDTH_TILES[rows][narrow + 1](s)
        s.x += wide * (narrow + 1) * LANES
        s.y += wide * (narrow + 1) * LANES
    s.tiles = tiles - wide
    s.final_vector = (width - (wide * (narrow + 1) + (s.tiles - 1) * narrow) * LANES) - LANES
    WIDTH_TILES[rows][narrow](s)


cdef void width_item(
    const ConvPlan* p, Py_ssize_t number, const real* x, const real* weight, const real* packed,
    const real* bias, real* y, char* scratch) noexcept nogil:
    cdef Item item = find_item(p, number)
    cdef Band* band = &item.band
    cdef Py_ssize_t channels = item.last_channel - item.first_channel
    cdef Py_ssize_t blocks = (channels + p.tile_rows - 1) // p.tile_rows
    cdef Py_ssize_t taps = p.in_channels * p.kernel[0] * p.kernel[1] * p.kernel[2]
    cdef Py_ssize_t group, block, c, in_block, rows, o, od, oh, row_taps, plane_taps
    cdef Py_ssize_t first_plane, last_plane, first_row, last_row
    cdef real* spill = <real*>(scratch + HEADER_BYTES) + p.accumulators_at
    cdef Source source
    cdef WidthStrip s
    s.w_channel = taps
    for group in range(item.first_group, item.last_group):
        c = 0
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
            s.resume = c > 0
            s.plane = plane_taps
            o = group * p.out_channels + item.first_channel
            for block in range(blocks):
                rows = (channels + block) // blocks
                s.weight = weight + o * taps
                s.bias = bias + o if bias != NULL else NULL
                for od in range(band.begin[0], band.end[0]):
                    tap_range(p, 0, od, &first_plane, &last_plane)
                    s.planes = last_plane - first_plane
                    for oh in range(band.begin[1], band.end[1]):
                        tap_range(p, 1, oh, &first_row, &last_row)
                        s.first = first_plane * plane_taps + first_row * row_taps
                        s.last = first_plane * plane_taps + last_row * row_taps
                        s.x = (source.origin + od * p.stride[0] * source.plane
                               + oh * p.stride[1] * source.row)
                        s.y = (y + item.image * p.y_image + o * p.y_channel
                               + od * p.y_axis[0] + oh * p.y_axis[1] + band.begin[2])
                        s.y_channel = p.y_channel
                        width_row(p, &s, rows, band.end[2] - band.begin[2], spill)
                o += rows
            c += max(in_block, 1)


# ---- depthwise -------------------------------------------------------------------------------

cdef inline void depthwise_rows(
    const ConvPlan* p, DepthwiseStrip* s, Py_ssize_t rows, Py_ssize_t width, real* spill
) noexcept nogil:
    """`rows` rows of output, in tiles of as equal a width as can be."""
    cdef Py_ssize_t vectors = (width + LANES - 1) // LANES
    cdef Py_ssize_t tiles = (vectors + p.tile_vectors - 1) // p.tile_vectors
    cdef Py_ssize_t narrow = vectors // tiles
    cdef Py_ssize_t wide = vectors % tiles
    cdef Py_ssize_t i, j, y_row = s.y_row
    cdef real* y = s.y
    if width < LANES:
        s.y = spill
        s.y_row = LANES
        s.tiles = 1
        s.final_vector = 0
        DEPTHWISE_TILES[rows][1](s)
        for j in range(rows):
            for i in range(width):
                y[j * y_row + i] = spill[j * LANES + i]
        s.y_row = y_row
        return
    if wide > 0:
        s.tiles = wide
        s.final_vector = narrow * LANES
        DEPTHWISE_TILES[rows][narrow + 1](s)
        s.x += wide * (narrow + 1) * LANES
        s.y += wide * (narrow + 1) * LANES
    s.tiles = tiles - wide
    s.final_vector = (width - (wide * (narrow + 1) + (s.tiles - 1) * narrow) * LANES) - LANES
    DEPTHWISE_TILES[rows][narrow](s)


cdef void depthwise_item(
    const ConvPlan* p, Py_ssize_t number, const real* x, const real* weight, const real* packed,
    const real* bias, real* y, char* scratch) noexcept nogil:
    """Assumes one input and one output channel per group, and rows one apart (stride 1)."""
    cdef Item item = find_item(p, number)
    cdef Band* band = &item.band
    cdef Py_ssize_t dilation = p.dilation[1]
    cdef Py_ssize_t group, od, phase, start, rows, tiles, tile, oh, top, count
    cdef real* spill = <real*>(scratch + HEADER_BYTES) + p.accumulators_at
    cdef Source source
    cdef DepthwiseStrip s
    s.columns = p.x_taps
    s.kernel_rows = p.kernel[1]
    s.kernel_columns = p.kernel[2]
    s.y_row = dilation * p.y_axis[1]
    for group in range(item.first_group, item.last_group):
        if p.in_place:
            source = in_place_source(p, &item, x, group)
        else:
            source = panel_source(p, &item, x, group, 0, 1, scratch)
        s.x_plane = p.dilation[0] * source.plane
        s.x_row = dilation * source.row
        s.weight = weight + group * p.kernel[0] * p.kernel[1] * p.kernel[2]
        s.bias = bias + group if bias != NULL else NULL
        for od in range(band.begin[0], band.end[0]):
            tap_range(p, 0, od, &s.first_plane, &s.last_plane)
            for phase in range(min(dilation, band.end[1] - band.begin[1])):
                # Output rows one dilation apart share input rows; the others never do.
                start = band.begin[1] + phase
                count = (band.end[1] - start + dilation - 1) // dilation
                tiles = (count + p.tile_rows - 1) // p.tile_rows
                oh = start
                for tile in range(tiles):
                    rows = (count + tile) // tiles
                    top = oh - p.padding[1]
                    s.first_window = (-top + dilation - 1) // dilation if top < 0 else 0
                    s.last_window = 0
                    if top < p.in_size[1]:
                        s.last_window = (p.in_size[1] - 1 - top) // dilation + 1
                    s.x = (source.origin + od * p.stride[0] * source.plane + oh * source.row)
                    s.y = (y + item.image * p.y_image + group * p.y_channel
                           + od * p.y_axis[0] + oh * p.y_axis[1] + band.begin[2])
                    depthwise_rows(p, &s, rows, band.end[2] - band.begin[2], spill)
                    oh += rows * dilation


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
    const real* sums, Py_ssize_t pitch, Py_ssize_t pixels, Py_ssize_t channels,
    real* y, Py_ssize_t y_channel) noexcept nogil:
    """sums[pixel][channel] into y[channel][pixel]."""
    cdef vec square[LANES_AT_MOST]
    cdef Py_ssize_t pixel = 0, channel, i, j, n
    if pixels < LANES:
        for channel in range(channels):
            for i in range(pixels):
                y[channel * y_channel + i] = sums[i * pitch + channel]
        return
    while True:
        channel = 0
        while channel < channels:
            for i in range(LANES):
                square[i] = (<const vec*>(sums + (pixel + i) * pitch + channel))[0]
            transpose_square(square)
            n = min(LANES, channels - channel)
            for j in range(n):
                (<uvec*>(y + (channel + j) * y_channel + pixel))[0] = square[j]
            channel += LANES
        if pixel == pixels - LANES:
            return
        pixel = min(pixel + LANES, pixels - LANES)


cdef inline void pack_weights(
    const ConvPlan* p, const real* weight, Py_ssize_t first_tap, Py_ssize_t last_tap,
    Py_ssize_t channels, Py_ssize_t width, real* to) noexcept nogil:
    """weight[channel][tap] of a block of input channels into to[place of tap][width], zeros
    beyond the last channel; `to` is where the block's first place goes."""
    cdef Py_ssize_t taps = p.in_channels * p.kernel[0] * p.kernel[1] * p.kernel[2]
    cdef Py_ssize_t n, tap, block, j, lane
    cdef vec square[LANES_AT_MOST]
    if last_tap - first_tap < LANES:
        for tap in range(first_tap, last_tap):
            for j in range(width):
                to[(p.tap_places[tap] - first_tap) * width + j] = (
                    weight[j * taps + tap] if j < channels else 0)
        return
    for block in range(width // LANES):
        j = block * LANES
        n = min(LANES, channels - j)
        tap = first_tap
        while True:
            for lane in range(LANES):
                if lane < n:
                    square[lane] = (<const uvec*>(weight + (j + lane) * taps + tap))[0]
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
    """A run of pixels with the same taps, in tiles of as equal a size as can be."""
    cdef Py_ssize_t tiles = (pixels + p.tile_rows - 1) // p.tile_rows
    cdef Py_ssize_t narrow = pixels // tiles
    cdef Py_ssize_t wide = pixels % tiles
    if wide > 0:
        s.tiles = wide
        CHANNEL_TILES[narrow + 1][vectors](s)
        s.pixels += wide * (narrow + 1)
        s.sums += wide * (narrow + 1) * vectors * LANES
    s.tiles = tiles - wide
    CHANNEL_TILES[narrow][vectors](s)
    s.pixels += s.tiles * narrow
    s.sums += s.tiles * narrow * vectors * LANES


cdef void channel_item(
    const ConvPlan* p, Py_ssize_t number, const real* x, const real* weight, const real* packed,
    const real* bias, real* y, char* scratch) noexcept nogil:
    """Assumes that a band's output pixels are contiguous in y, and group blocks of 1."""
    cdef Item item = find_item(p, number)
    cdef Band* band = &item.band
    cdef Py_ssize_t volume = p.kernel[0] * p.kernel[1] * p.kernel[2]
    cdef Py_ssize_t taps = p.in_channels * volume
    cdef Py_ssize_t group = item.first_group
    cdef Py_ssize_t width = band.end[2] - band.begin[2]
    cdef Py_ssize_t all_vectors = (p.out_channels + LANES - 1) // LANES
    cdef Py_ssize_t pixels = width * (band.end[0] - band.begin[0]) * (
        band.end[1] - band.begin[1])
    cdef real* sums = <real*>(scratch + HEADER_BYTES) + p.accumulators_at
    cdef real* weights = <real*>(scratch + HEADER_BYTES) + p.weights_at
    cdef Py_ssize_t* places = <Py_ssize_t*>(sums + p.weights_at - p.accumulators_at) - pixels
    cdef Py_ssize_t o, vectors, channels, lanes, c, in_block, row_taps, plane_taps, pixel, i, j
    cdef Py_ssize_t od, oh, run
    cdef Py_ssize_t first_plane, last_plane, first_row, last_row
    cdef Py_ssize_t run_planes[2]
    cdef Py_ssize_t run_rows[2]
    cdef Source source
    cdef ChannelStrip s
    # The sums and the places of the pixels share a part of scratch: sums from its beginning,
    # places up to its end.
    pixel = 0
    if p.in_place:
        source = in_place_source(p, &item, x, group)
    else:
        source.plane = p.panel_plane
        source.row = p.panel_row
    for od in range(band.begin[0], band.end[0]):
        for oh in range(band.begin[1], band.end[1]):
            for i in range(width):
                places[pixel] = (od * p.stride[0] * source.plane + oh * p.stride[1] * source.row
                                 + i * p.pixel_step)
                pixel += 1
    o = item.first_channel
    while o < item.last_channel:
        vectors = min(p.tile_vectors, (item.last_channel - o + LANES - 1) // LANES)
        lanes = vectors * LANES
        channels = min(lanes, item.last_channel - o)
        for j in range(lanes):
            sums[j] = (bias[group * p.out_channels + o + j]
                       if bias != NULL and j < channels else 0)
        for pixel in range(1, pixels):
            for j in range(vectors):
                (<vec*>(sums + pixel * lanes))[j] = (<vec*>sums)[j]
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
            else:
                pack_weights(p, weight + (group * p.out_channels + o) * taps, c * volume,
                             (c + in_block) * volume, channels, lanes, weights)
                s.weight = weights
            s.pixels = places
            s.sums = sums
            # Consecutive rows that meet the same taps are one run of pixels.
            run = 0
            for od in range(band.begin[0], band.end[0]):
                tap_range(p, 0, od, &first_plane, &last_plane)
                for oh in range(band.begin[1], band.end[1]):
                    tap_range(p, 1, oh, &first_row, &last_row)
                    if run > 0 and not (
                            run_planes[0] == first_plane and run_planes[1] == last_plane
                            and run_rows[0] == first_row and run_rows[1] == last_row):
                        pixel_tiles(p, &s, vectors, run)
                        run = 0
                    if run == 0:
                        run_planes[0] = first_plane
                        run_planes[1] = last_plane
                        run_rows[0] = first_row
                        run_rows[1] = last_row
                        s.planes = last_plane - first_plane
                        s.first = first_plane * plane_taps + first_row * row_taps
                        s.last = first_plane * plane_taps + last_row * row_taps
                    run += width
            pixel_tiles(p, &s, vectors, run)
            c += in_block
        store_transposed(
            sums, lanes, pixels, channels,
            y + item.image * p.y_image + (group * p.out_channels + o) * p.y_channel
            + band.begin[0] * p.y_axis[0] + band.begin[1] * p.y_axis[1] + band.begin[2],
            p.y_channel)
        o += lanes
