# Transposed convolution, as a gather. Output position p along an axis of stride s takes the taps k
# with k * dilation = p + padding (mod s): which they are depends on the phase p mod s alone, and
# the outputs of one phase are an ordinary convolution of stride 1 with them (gconv._plan.phases). A
# phase on every axis makes a part; a part has a ConvPlan like any other.
#
# An item computes its band of every part, one row of parts (those that differ in the column's
# phase only) after another, into scratch, and from there each row of outputs into y:
#
#     scratch, part 0    a0 a1 a2 a3 ...
#              part 1    b0 b1 b2 b3 ...        y    a0 b0 a1 b1 a2 b2 a3 b3 ...
#
# Assumes that all parts have the bands, the blocks and the panel of the plan. They count as many
# outputs as the longest phase has; what others compute beyond their end is left in scratch.
#
# With a residual, y first gets bias and residual everywhere, and the parts' sums are added to it.
#
# Tiles that compute all column phases (upsampling.pxi) store to y themselves: nothing in scratch,
# and bias, residual and activation as in other tiles.


cdef struct Outputs:
    # Rows of outputs of every part in scratch, and where they go.
    const real* parts
    Py_ssize_t part  # from a part to the next
    Py_ssize_t part_line, y_line  # from a row to the next
    const Py_ssize_t* phases
    Py_ssize_t count
    real* y
    Py_ssize_t step, size  # the stride, and how many elements of a row of y there are
    bint adds  # to what y holds


cdef enum:
    MOST_PHASES = 8  # that are interleaved in vectors
    MOST_PLACES = 5  # of x that all phases of a row take, in tiles that compute all of them


cdef inline void interleave(vec v[MOST_PHASES], Py_ssize_t STEP) noexcept nogil:
    """The elements of STEP vectors in turns; STEP is a literal power of 2."""
    cdef vec other[MOST_PHASES]
    cdef Py_ssize_t j, round
    for round in range(3):
        if (1 << round) >= STEP:
            break
        for j in range(STEP // 2):
            other[2 * j] = interleave_low(v[j], v[j + STEP // 2])
            other[2 * j + 1] = interleave_high(v[j], v[j + STEP // 2])
        for j in range(STEP):
            v[j] = other[j]


cdef inline void interleave_rows(
    const Outputs* rows, Py_ssize_t lines, Py_ssize_t n, Py_ssize_t STEP) noexcept nogil:
    """n >= LANES elements of each of STEP parts, of some rows. What is added comes in whole
    vectors: n is a multiple of LANES."""
    cdef const real* source[MOST_PHASES]
    cdef vec v[MOST_PHASES]
    cdef Py_ssize_t j, line, i
    cdef real* y = rows.y
    for j in range(STEP):
        source[j] = rows.parts + j * rows.part
    for line in range(lines):
        i = 0
        while True:
            for j in range(STEP):
                v[j] = (<const uvec*>(source[j] + i))[0]
            interleave(v, STEP)
            if rows.adds:
                for j in range(STEP):
                    v[j] = v[j] + (<const uvec*>(y + i * STEP + j * LANES))[0]
            for j in range(STEP):
                (<uvec*>(y + i * STEP + j * LANES))[0] = v[j]
            if i == n - LANES:
                break
            i = min(i + LANES, n - LANES)
        for j in range(STEP):
            source[j] += rows.part_line
        y += rows.y_line


cdef inline void store_rows(const Outputs* rows, Py_ssize_t lines) noexcept nogil:
    cdef Py_ssize_t part, line, i, n, done = 0
    cdef real* y
    cdef const real* source
    if rows.count == rows.step:
        n = rows.size // rows.step  # whole steps
        if rows.adds:
            n -= n % LANES
        if n >= LANES and rows.step in (2, 4, 8):
            if rows.step == 2:
                interleave_rows(rows, lines, n, 2)
            elif rows.step == 4:
                interleave_rows(rows, lines, n, 4)
            else:
                interleave_rows(rows, lines, n, 8)
            done = n
    for part in range(rows.count):
        n = divide_up(rows.size - rows.phases[part], rows.step)
        if done >= n:
            continue
        source = rows.parts + part * rows.part
        y = rows.y + rows.phases[part]
        for line in range(lines):
            if rows.adds:
                for i in range(done, n):
                    y[i * rows.step] = y[i * rows.step] + source[i]
            elif rows.step == 1:
                copy_row(y, source, 1, n)
            else:
                for i in range(done, n):
                    y[i * rows.step] = source[i]
            source += rows.part_line
            y += rows.y_line


cdef inline void outputs_of_band(
    const ConvPlan* p, const Band* band, Py_ssize_t* begin, Py_ssize_t* end) noexcept nogil:
    """The outputs of y, from `begin` up to `end`, that a band of the parts makes."""
    cdef Py_ssize_t axis
    for axis in range(3):
        begin[axis] = band.begin[axis] * p.y_step[axis]
        end[axis] = min(p.y_size[axis], band.end[axis] * p.y_step[axis])


cdef inline void fill_with_bias(
    const ConvPlan* p, const Py_ssize_t* begin, const Py_ssize_t* end, Py_ssize_t channels,
    const real* bias, const real* residual, real* y) noexcept nogil:
    """The outputs from `begin` up to `end`, with the residual where there is one; bias, residual
    and y are those of the first channel."""
    cdef Py_ssize_t c, d, h, i, place
    cdef real value
    for c in range(channels):
        value = bias[c] if bias != NULL else 0
        for d in range(begin[0], end[0]):
            for h in range(begin[1], end[1]):
                place = c * p.y_channel + d * p.y_axis[0] + h * p.y_axis[1]
                if residual != NULL:
                    for i in range(place + begin[2], place + end[2]):
                        y[i] = value + residual[i]
                else:
                    for i in range(place + begin[2], place + end[2]):
                        y[i] = value


cdef void plain_parts(
    const ConvPlan* p, const Item* item, const real* x, const real* weight, const real* packed,
    const real* bias, real* y, char* scratch) noexcept nogil:
    """One output channel of one image: the plain loop nest needs no scratch, and writes to y."""
    cdef Py_ssize_t channel = item.first_group * p.out_channels + item.first_channel
    cdef Py_ssize_t begin[3]
    cdef Py_ssize_t d, h, w, axis
    cdef const ConvPlan* part = p.parts
    cdef Header* header = <Header*>scratch
    cdef const real* residual = header.residual
    cdef real* first = y + item.image * p.y_image + channel * p.y_channel
    cdef real* part_y
    if p.bias_alone or residual != NULL:
        for axis in range(3):
            begin[axis] = 0
        fill_with_bias(p, begin, p.y_size, 1, bias + channel if bias != NULL else NULL,
                       residual_of(scratch, y, first), first)
    if residual != NULL:
        bias = NULL
    for d in range(p.part_counts[0]):
        for h in range(p.part_counts[1]):
            for w in range(p.part_counts[2]):
                part_y = (y + p.part_phases[0][d] * p.y_axis[0]
                          + p.part_phases[1][h] * p.y_axis[1] + p.part_phases[2][w])
                if residual != NULL:
                    header.residual = part_y
                plain_item(part, item, x, weight + part.packed_at, NULL, bias, part_y, scratch)
                part += 1
    header.residual = residual


# A strip of rows of y, all columns of which tiles compute (see upsampling.pxi): rows of a channel,
# y_row apart. Window row 0 is where the first tap of the first of them lies.
cdef struct UpsamplingStrip:
    const real* x  # the first place of the first row; in the padding, it may not exist
    Py_ssize_t x_row, x_channel
    Py_ssize_t channels  # of the input
    Py_ssize_t first_column, in_columns  # the image column that x points to, of how many
    real* y
    Py_ssize_t y_row
    Py_ssize_t rows, out_columns
    const real* weights  # [input channel][place][phase][kernel row]
    Py_ssize_t w_channel  # from an input channel's to the next
    const real* bias
    const real* residual  # NULL: none
    Epilogue epilogue
    Py_ssize_t first_window, last_window  # window rows that lie in the image
    Py_ssize_t tiles
    Py_ssize_t places
    bint meets[MOST_PLACES][MOST_PHASES]  # whether a phase has a tap at a place


ctypedef void (*upsampling_function)(const UpsamplingStrip* s) noexcept nogil

# By whether x is read in place, stride, kernel rows and vectors of a phase.
cdef upsampling_function UPSAMPLING_TILES[2][MOST_PHASES + 1][MOST_ROWS + 1][MOST_VECTORS + 1]


cdef inline void find_places(
    UpsamplingStrip* s, const ConvPlan* p, const ConvPlan* parts) noexcept nogil:
    """Where the taps of all phases of a row lie."""
    cdef Py_ssize_t phase, kw, place, first
    for place in range(MOST_PLACES):
        for phase in range(MOST_PHASES):
            s.meets[place][phase] = False
    s.places = 0
    for phase in range(p.y_step[2]):
        first = p.panel_padding[2] - parts[phase].padding[2]
        for kw in range(parts[phase].kernel[2]):
            s.meets[first + kw][phase] = True
        s.places = max(s.places, first + parts[phase].kernel[2])
    s.w_channel = s.places * p.y_step[2] * parts.kernel[1]


cdef inline void take_weights(
    const UpsamplingStrip* s, const ConvPlan* p, const ConvPlan* parts, Py_ssize_t group,
    Py_ssize_t channel, const real* weight, real* to) noexcept nogil:
    """The weights of all phases of a row, in the order in which tiles read them."""
    cdef Py_ssize_t phase, c, kh, kw, place, rows = parts.kernel[1]
    cdef const ConvPlan* part
    cdef const real* kernel
    cdef const real* tap
    cdef real* first
    for phase in range(p.y_step[2]):
        part = parts + phase
        kernel = (weight + part.packed_at + part.w_origin + group * part.w_group
                  + channel * part.w_channel)
        place = p.panel_padding[2] - part.padding[2]
        for kh in range(rows):
            for kw in range(part.kernel[2]):
                tap = kernel + kh * part.w_axis[1] + kw * part.w_axis[2]
                first = to + ((place + kw) * p.y_step[2] + phase) * rows + kh
                for c in range(p.in_channels):
                    first[c * s.w_channel] = tap[c * part.w_input]


cdef inline void upsample_columns(
    UpsamplingStrip s, const upsampling_function* tiles, const Parts* across, Py_ssize_t step
) noexcept nogil:
    """Tiles side by side, the wider ones first."""
    cdef Py_ssize_t size, columns
    for size in range(across.size + 1, across.size - 1, -1):
        s.tiles = across.larger if size > across.size else across.count - across.larger
        if s.tiles > 0:
            tiles[size](&s)
            columns = s.tiles * size * LANES
            s.x += columns
            s.y += columns * step
            if s.residual != NULL:
                s.residual += columns * step
            s.first_column += columns
            s.out_columns -= columns * step


cdef void upsampling_item(
    const ConvPlan* p, const Item* given, const real* x, const real* weight, const real* packed,
    const real* bias, real* y, char* scratch) noexcept nogil:
    """Assumes what gconv._plan.transposed.upsamples asks for, and all input channels in one block."""
    cdef Item item = given[0]
    cdef const Band* band = &item.band
    cdef Py_ssize_t begin[3]
    cdef Py_ssize_t end[3]
    cdef Py_ssize_t d, h, od, oh, group, channel, o, top, first_plane, last_plane, y_plane, y_row
    cdef Py_ssize_t most
    cdef real* weights = <real*>(scratch + HEADER_BYTES) + p.outputs_at
    cdef const real* origin
    cdef const ConvPlan* part
    cdef const upsampling_function* tiles
    cdef Parts across
    cdef Source source
    cdef UpsamplingStrip s
    begin_item(p, &item, scratch)
    outputs_of_band(p, band, begin, end)
    s.epilogue = tile_epilogue(p)
    s.channels = p.in_channels
    s.first_column = band.begin[2] - p.panel_padding[2]
    s.in_columns = p.in_size[2]
    s.out_columns = end[2] - begin[2]
    s.x_channel = p.panel_channel
    s.weights = weights
    s.y_row = p.y_step[1] * p.y_axis[1]
    oh = band.begin[1]
    for group in range(item.first_group, item.last_group):
        if not p.in_place:
            source = panel_source(p, &item, x, group, 0, p.in_channels, scratch)
        for d in range(p.part_counts[0]):
            for h in range(p.part_counts[1]):
                part = p.parts + (d * p.part_counts[1] + h) * p.part_counts[2]
                if p.in_place:
                    source = in_place_source(part, &item, x, group)
                    origin = source.origin
                else:
                    origin = source.origin + part.panel_offset - p.panel_offset
                # The places begin further on the left than the first tap.
                origin -= p.panel_padding[2] - part.padding[2]
                find_places(&s, p, part)
                tiles = &UPSAMPLING_TILES[p.in_place][p.y_step[2]][part.kernel[1]][0]
                most = 1
                while most < MOST_VECTORS and tiles[most + 1] != NULL:
                    most += 1
                across = split((band.end[2] - band.begin[2] + LANES - 1) // LANES, most)
                # Some phases may end a row earlier than others.
                y_row = begin[1] + p.part_phases[1][h]
                s.rows = min(band.end[1] - oh, divide_up(end[1] - y_row, p.y_step[1]))
                s.x_row = source.row
                top = oh - part.padding[1]
                for channel in range(item.first_channel, item.last_channel):
                    take_weights(&s, p, part, group, channel, weight, weights)
                    o = group * p.out_channels + channel
                    s.bias = bias + o if bias != NULL else NULL
                    for od in range(band.begin[0], band.end[0]):
                        y_plane = od * p.y_step[0] + p.part_phases[0][d]
                        if y_plane >= end[0]:
                            break
                        tap_range(part, 0, od, &first_plane, &last_plane)
                        s.first_window = max(0, -top)
                        s.last_window = p.in_size[1] - top if first_plane < last_plane else 0
                        s.x = origin + od * source.plane + oh * source.row
                        s.y = (y + item.image * p.y_image + o * p.y_channel
                               + y_plane * p.y_axis[0] + y_row * p.y_axis[1] + begin[2])
                        s.residual = residual_of(scratch, y, s.y)
                        upsample_columns(s, tiles, &across, p.y_step[2])


cdef void transposed_item(
    const ConvPlan* p, const Item* given, const real* x, const real* weight, const real* packed,
    const real* bias, real* y, char* scratch) noexcept nogil:
    cdef Item item = given[0]
    cdef Band* band = &item.band
    cdef item_function compute = ITEMS[<int>p.family]
    cdef Py_ssize_t first = item.first_group * p.out_channels + item.first_channel
    cdef Py_ssize_t channels = (item.last_group - item.first_group) * (
        item.last_channel - item.first_channel)
    cdef real* outputs = <real*>(scratch + HEADER_BYTES) + p.outputs_at
    # Where a part's first output would lie, if its band began with the first output of all.
    cdef Py_ssize_t behind = (
        first * p.parts.y_channel + band.begin[0] * p.parts.y_axis[0]
        + band.begin[1] * p.parts.y_axis[1] + band.begin[2])
    cdef Py_ssize_t begin[3]
    cdef Py_ssize_t end[3]
    cdef Py_ssize_t d, h, w, first_part, last_part, c, od, y_plane, y_row, lines
    cdef Outputs rows
    cdef const ConvPlan* part
    cdef Header* header = <Header*>scratch
    cdef const real* residual = header.residual
    cdef real* base = y
    outputs_of_band(p, band, begin, end)
    y += item.image * p.y_image + first * p.y_channel
    if p.bias_alone or residual != NULL:
        fill_with_bias(p, begin, end, channels, bias + first if bias != NULL else NULL,
                       residual_of(scratch, base, y), y)
    if residual != NULL:
        bias = NULL
        header.residual = NULL  # of the parts
    rows.step = p.y_step[2]
    rows.size = end[2] - begin[2]
    rows.adds = residual != NULL
    rows.part_line = p.parts.y_axis[1]
    rows.y_line = p.y_step[1] * p.y_axis[1]
    rows.part = p.group_block * p.channel_block * p.parts.y_channel
    for d in range(p.part_counts[0]):
        for h in range(p.part_counts[1]):
            # Some phases may end a row earlier than others.
            y_row = begin[1] + p.part_phases[1][h]
            lines = min(band.end[1] - band.begin[1], divide_up(end[1] - y_row, p.y_step[1]))
            first_part = 0
            while first_part < p.part_counts[2]:
                last_part = min(p.part_counts[2], first_part + p.column_parts)
                for w in range(first_part, last_part):
                    part = p.parts + (d * p.part_counts[1] + h) * p.part_counts[2] + w
                    compute(
                        part, &item, x, weight + part.packed_at,
                        packed + part.packed_at if packed != NULL else packed, bias,
                        outputs + (w - first_part) * rows.part - behind, scratch)
                rows.phases = p.part_phases[2] + first_part
                rows.count = last_part - first_part
                for c in range(channels):
                    for od in range(band.begin[0], band.end[0]):
                        y_plane = od * p.y_step[0] + p.part_phases[0][d]
                        if y_plane >= end[0]:
                            break
                        rows.parts = (outputs + c * p.parts.y_channel
                                      + (od - band.begin[0]) * p.parts.y_axis[0])
                        rows.y = (y + c * p.y_channel + y_plane * p.y_axis[0]
                                  + y_row * p.y_axis[1] + begin[2])
                        store_rows(&rows, lines)
                first_part = last_part
    header.residual = residual
