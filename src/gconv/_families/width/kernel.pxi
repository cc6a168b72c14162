# Width lanes: the rows of a tile are output channels, its lanes neighbouring output columns.
#
# A vector of x serves all rows of a tile; a weight is broadcast to all lanes.
#
#     weights    as they are, or in order    [group][channel][input channel][kd][kh][kw]
#     x          in place; a panel; or in place with masks (masked.pxi)


cdef struct WidthPlan:
    Py_ssize_t rows, vectors  # of the largest tile: output channels x vectors of pixels
    # If x is read with masks: for each tap of a channel a bit for each pixel of a plane, set if the
    # tap meets an element of the image; and where the bits of each tap begin, in bytes. NULL: tiles
    # read whole vectors.
    const char* masks
    const Py_ssize_t* mask_taps


cdef struct WidthStrip:
    Lines lines  # of pixels that meet the same taps
    const w_t* weight  # of the first output channel
    Py_ssize_t w_channel
    const sum_t* bias  # NULL: none
    sum_t no_bias  # added if bias is NULL
    Epilogue epilogue
    const Py_ssize_t* x_taps
    const Py_ssize_t* w_taps
    # The taps are [first, last) and `planes` - 1 more ranges, each `plane` further on.
    Py_ssize_t first, last, plane, planes


cdef inline void width_strip(
    const Lines* lines, Py_ssize_t ROWS, Py_ssize_t VECTORS) noexcept nogil:
    cdef const WidthStrip* s = <const WidthStrip*>lines
    cdef vec acc[MOST_ROWS][MOST_VECTORS]
    cdef vec xv[MOST_VECTORS]
    cdef vec wv
    cdef const x_t* x
    cdef const x_t* xk
    cdef const w_t* wk
    cdef y_t* y
    cdef Py_ssize_t line, tile, j, v, k, plane, end
    for line in range(lines.first_line, lines.last_line):
        x = lines.x + line * lines.x_line
        y = lines.y + line * lines.y_line
        end = (VECTORS - 1) * LANES
        for tile in range(lines.tiles):
            if tile == lines.tiles - 1:
                end = lines.final_vector
            for j in range(ROWS):
                wv = splat(s.bias[j] if s.bias != NULL else s.no_bias)
                for v in range(VECTORS):
                    acc[j][v] = wv
            if lines.added != NULL:
                for j in range(ROWS):
                    for v in range(VECTORS):
                        acc[j][v] = acc[j][v] + load_y(
                            lines.added + (y - lines.y) + j * lines.y_row
                            + (v * LANES if v < VECTORS - 1 else end))
            for plane in range(s.planes):
                for k in range(s.first + plane * s.plane, s.last + plane * s.plane):
                    xk = x + s.x_taps[k]
                    wk = s.weight + s.w_taps[k]
                    for v in range(VECTORS):
                        xv[v] = load_x(xk + (v * LANES if v < VECTORS - 1 else end))
                        if ROWS > 1:
                            xv[v] = in_register(xv[v])
                    for j in range(ROWS):
                        wv = splat(wk[j * s.w_channel])
                        for v in range(VECTORS):
                            acc[j][v] = acc[j][v] + wv * xv[v]
            activate_tile(acc, &s.epilogue, ROWS, VECTORS)
            for j in range(ROWS):
                for v in range(VECTORS):
                    store_y(
                        y + j * lines.y_row + (v * LANES if v < VECTORS - 1 else end), acc[j][v])
            x += VECTORS * LANES
            y += VECTORS * LANES


cdef line_function WIDTH_TILES[MOST_ROWS + 1][MOST_VECTORS + 1]


include "masked.pxi"


cdef void width_item(
    const ConvPlan* p, const Item* given, const x_t* x, const w_t* weight, const w_t* packed,
    const sum_t* bias, y_t* y, char* scratch) noexcept nogil:
    cdef Item item = given[0]
    cdef Band* band = &item.band
    cdef Py_ssize_t width = band.end[2] - band.begin[2]
    cdef const WidthPlan* own = <const WidthPlan*>p.own
    cdef Pieces blocks = split(item.last_channel - item.first_channel, own.rows)
    cdef Pieces across = split((width + LANES - 1) // LANES, own.vectors)
    cdef Py_ssize_t group, block, c, in_block, rows, o, od, oh, next_oh, row_taps, plane_taps
    cdef Py_ssize_t first_plane, last_plane, first_row, last_row, next_first, next_last
    cdef y_t* spill = <y_t*>region(scratch, p.scratch.sums)
    cdef Source source
    cdef WidthStrip s
    if own.masks != NULL:
        masked_item(p, given, x, weight, bias, y, scratch)
        return
    begin_item(p, &item, scratch)
    s.w_channel = p.problem.w_channel
    s.lines.y_row = p.problem.y_channel
    s.lines.y_line = p.problem.y_axis[1]
    for group in range(item.first_group, item.last_group):
        c = 0
        s.epilogue.activation = IDENTITY
        while c < p.problem.in_channels or c == 0:
            in_block = min(p.work.in_block, p.problem.in_channels - c)
            if p.source.in_place:
                source = in_place_source(p, &item, x, group)
            else:
                source = panel_source(p, &item, x, group, c, in_block, scratch)
            row_taps = in_block * p.problem.kernel[2]
            plane_taps = p.problem.kernel[1] * row_taps
            s.x_taps = p.x_taps + c * kernel_volume(p)
            s.w_taps = p.w_taps + c * kernel_volume(p)
            if c + in_block >= p.problem.in_channels:  # these sums are complete
                s.epilogue = tile_epilogue(p)
            s.no_bias = 0 if c == 0 else -0.0  # which changes no sum
            s.plane = plane_taps
            s.lines.x_line = source.row
            o = group * p.problem.out_channels + item.first_channel
            for block in range(blocks.count):
                rows = blocks.size + (block < blocks.larger)
                s.weight = (weight + group * p.problem.w_group
                            + (o - group * p.problem.out_channels) * p.problem.w_channel)
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
                        s.lines.first_line = 0
                        s.lines.last_line = next_oh - oh
                        s.first = first_plane * plane_taps + first_row * row_taps
                        s.last = first_plane * plane_taps + last_row * row_taps
                        s.lines.x = source.origin + od * source.plane + oh * source.row
                        s.lines.y = (y + channel_offset(p, item.image, o)
                                     + pixel_offset(p, od, oh, band.begin[2]))
                        if c > 0:
                            s.lines.added = s.lines.y
                        else:
                            s.lines.added = residual_of(scratch, y, s.lines.y)
                        compute_lines(
                            &s.lines, &WIDTH_TILES[rows][0], rows, width, &across, spill)
                        oh = next_oh
                        first_row = next_first
                        last_row = next_last
                o += rows
            c += max(in_block, 1)


include "tiles_16.pxi"
include "tiles_32.pxi"
include "tiles_masked.pxi"

register("width", width_item, NULL, sizeof(WidthPlan), {
    "width": largest_tiles(<void**>&WIDTH_TILES[0][0]),
    "masked": largest_tiles(<void**>&MASKED_TILES[0][0]),
})
