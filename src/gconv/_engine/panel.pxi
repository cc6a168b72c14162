# A panel is a copy of the input rows that a band of output reads, padded where they meet the
# padding, so that a tile reads every tap of every pixel without asking where it is.
#
#     panel[channel][plane][row][phase][column]
#
# Rows: slot 0 holds the row of the first output row's first tap, and the others follow as in the
# image. An "expanded" panel has a slot for each pair of kernel row and output row instead, which
# takes less if rows are few and taps far apart. Slots for rows of zeros stay empty: those taps are
# not computed. In the other padding modes they hold the rows of the image that the mode puts there.
# Planes likewise.
#
# Columns: with stride s the padded columns are sorted by phase (0, s, 2s ...; 1, s + 1 ...; ...),
# so that the same tap of neighbouring pixels is neighbours. Columns of zeros are cleared once for
# all panels of a band; in the other modes a row takes its padding from its own image columns.
#
# The copy takes up to a third of the time of a layer with few output channels.


cdef struct Band:
    # A block of output positions.
    Py_ssize_t begin[3]
    Py_ssize_t end[3]


cdef inline Py_ssize_t divide_up(Py_ssize_t n, Py_ssize_t divisor) noexcept nogil:
    """n / divisor rounded up, of numbers not below 0; most divisors are 1, and a division takes
    as long as ten additions."""
    return n if divisor == 1 else (n + divisor - 1) // divisor


# ---- where things lie ------------------------------------------------------------------------

cdef inline Py_ssize_t kernel_volume(const ConvPlan* p) noexcept nogil:
    """Taps of a channel."""
    return p.problem.kernel[0] * p.problem.kernel[1] * p.problem.kernel[2]


cdef inline Py_ssize_t tap_position(
    const ConvPlan* p, int axis, Py_ssize_t output, Py_ssize_t tap) noexcept nogil:
    """What a tap of an output meets along a padded axis: 0 is the image's first element."""
    return (output * p.problem.stride[axis] + tap * p.problem.dilation[axis]
            - p.problem.padding[axis])


cdef inline Py_ssize_t x_offset(
    const ConvPlan* p, Py_ssize_t image, Py_ssize_t channel, Py_ssize_t depth, Py_ssize_t row,
    Py_ssize_t column) noexcept nogil:
    """Where the first tap of an output lies in x; in the padding, outside."""
    return (image * p.problem.x_image + channel * p.problem.x_channel
            + tap_position(p, 0, depth, 0) * p.problem.x_axis[0]
            + tap_position(p, 1, row, 0) * p.problem.x_axis[1]
            + tap_position(p, 2, column, 0) * p.problem.x_axis[2])


cdef inline Py_ssize_t pixel_offset(
    const ConvPlan* p, Py_ssize_t depth, Py_ssize_t row, Py_ssize_t column) noexcept nogil:
    """From a channel's first output to another one."""
    return (depth * p.problem.y_axis[0] + row * p.problem.y_axis[1]
            + column * p.problem.y_axis[2])


cdef inline Py_ssize_t channel_offset(
    const ConvPlan* p, Py_ssize_t image, Py_ssize_t channel) noexcept nogil:
    """Where the outputs of a channel begin in y."""
    return image * p.problem.y_image + channel * p.problem.y_channel


# ---- what lies inside the image --------------------------------------------------------------

# The numbers from `first` up to `last`.
cdef struct Range:
    Py_ssize_t first, last


cdef inline Range inside(
    Py_ssize_t start, Py_ssize_t step, Py_ssize_t begin, Py_ssize_t end, Py_ssize_t count
) noexcept nogil:
    """The i of [0, count) for which start + i * step lies in [begin, end)."""
    cdef Range range_
    range_.first = min(count, divide_up(begin - start, step) if start < begin else 0)
    range_.last = min(count, divide_up(end - start, step)) if start < end else 0
    range_.last = max(range_.first, range_.last)
    return range_


cdef inline void tap_range(
    const ConvPlan* p, int axis, Py_ssize_t position, Py_ssize_t* first, Py_ssize_t* last
) noexcept nogil:
    """The taps of an output position that meet elements of the image, along an axis."""
    cdef Range taps = inside(
        position * p.problem.stride[axis] - p.problem.padding[axis], p.problem.dilation[axis],
        p.problem.filled_begin[axis], p.problem.filled_end[axis], p.problem.kernel[axis])
    first[0] = taps.first
    last[0] = taps.last


cdef inline Range rows_inside(
    const ConvPlan* p, Py_ssize_t row, Py_ssize_t count) noexcept nogil:
    """Of `count` window rows from the first tap of an output row on, a dilation apart: those that
    meet elements of the image."""
    return inside(
        row * p.problem.stride[1] - p.problem.padding[1], p.problem.dilation[1],
        p.problem.filled_begin[1], p.problem.filled_end[1], count)


cdef inline Range outputs_inside(
    const ConvPlan* p, const Band* band, int axis) noexcept nogil:
    """The outputs of a band all of whose taps lie in the image, along an axis."""
    cdef Py_ssize_t padding = p.problem.padding[axis], stride = p.problem.stride[axis]
    cdef Py_ssize_t size = (
        p.problem.in_size[axis] + padding - (p.problem.kernel[axis] - 1) * p.problem.dilation[axis])
    cdef Range outputs
    outputs.first = max(band.begin[axis], divide_up(max(padding, 0), stride))
    outputs.first = min(outputs.first, band.end[axis])
    outputs.last = min(band.end[axis], divide_up(max(size, 0), stride))
    outputs.last = max(outputs.first, outputs.last)
    return outputs


cdef inline bint has_padding(const ConvPlan* p, int axis) noexcept nogil:
    """Whether a tap of some output lies in padding that holds elements of the image."""
    return (p.problem.filled_begin[axis] < 0
            or p.problem.filled_end[axis] > p.problem.in_size[axis])


cdef enum:
    NOWHERE = -1


# An image a b c d with three elements of padding on either side:
#
#     zeros        0 0 0 | a b c d | 0 0 0
#     reflect      d c b | a b c d | c b a
#     replicate    a a a | a b c d | d d d
#     circular     b c d | a b c d | a b c
cdef inline Py_ssize_t image_position(
    const ConvPlan* p, int axis, Py_ssize_t position) noexcept nogil:
    """The row of the image (or plane, or column) that a position along the padded axis holds."""
    cdef Py_ssize_t size = p.problem.in_size[axis]
    if 0 <= position < size:
        return position
    if p.problem.padding_mode == REFLECT:
        return -position if position < 0 else 2 * (size - 1) - position
    if p.problem.padding_mode == REPLICATE:
        return 0 if position < 0 else size - 1
    if p.problem.padding_mode == CIRCULAR:
        return position + size if position < 0 else position - size
    return NOWHERE


cdef inline Py_ssize_t moved(
    const ConvPlan* p, int axis, Py_ssize_t position) noexcept nogil:
    """From where a position along the padded axis would lie in x, if that went on, to the element
    that it holds. In padding, the mode must not be ZEROS."""
    return (image_position(p, axis, position) - position) * p.problem.x_axis[axis]


cdef struct Slots:
    # The slots of an axis: `blocks` runs of `count`; slot (b, i) holds row
    # start + b * block_step + i * step of the image.
    Py_ssize_t blocks, block_step, block_pitch, count, step, start


cdef inline Slots slots_of(const ConvPlan* p, const Band* band, int axis) noexcept nogil:
    cdef Slots slots
    cdef Py_ssize_t outputs = band.end[axis] - band.begin[axis]
    slots.start = band.begin[axis] * p.problem.stride[axis] - p.source.padding[axis]
    if p.source.expanded[axis]:
        slots.blocks = p.problem.kernel[axis]
        slots.block_step = p.problem.dilation[axis]
        slots.block_pitch = p.source.tap[axis]
        slots.count = outputs
        slots.step = p.problem.stride[axis]
    else:
        slots.blocks = 1
        slots.block_step = slots.block_pitch = 0
        slots.count = (outputs - 1) * p.problem.stride[axis] + p.source.reach[axis] + 1
        slots.step = 1
    return slots


cdef enum Side:
    # Of a padded axis.
    IMAGE
    BEFORE
    BEHIND


# Slots [first, last) on one side of an axis. The first of them holds row `row` of the image, each
# further one the row `step` further on: in every padding mode a side's rows are evenly spaced.
cdef struct Segment:
    Py_ssize_t first, last, row, step


cdef inline Segment segment_of(
    const ConvPlan* p, int axis, int side, Py_ssize_t start, Py_ssize_t step, Py_ssize_t count
) noexcept nogil:
    """Of slots for the positions start, start + step ... of a padded axis, those on a side of it.
    Before and behind the image, the mode must not be ZEROS."""
    cdef Segment segment
    cdef Py_ssize_t size = p.problem.in_size[axis]
    cdef Range image = inside(start, step, 0, size, count)
    if side == IMAGE:
        segment.first = image.first
        segment.last = image.last
        segment.row = start + image.first * step
        segment.step = step
        return segment
    segment.first = 0 if side == BEFORE else image.last
    segment.last = image.first if side == BEFORE else count
    segment.row = image_position(p, axis, start + segment.first * step)
    segment.step = step
    if p.problem.padding_mode == REFLECT:
        segment.step = -step
    elif p.problem.padding_mode == REPLICATE:
        segment.step = 0
    return segment


cdef inline Segment segment_of_block(
    const ConvPlan* p, int axis, int side, const Slots* slots, Py_ssize_t block) noexcept nogil:
    """Of the slots of a block, those on a side of the axis."""
    return segment_of(p, axis, side, slots.start + block * slots.block_step, slots.step,
                      slots.count)


cdef inline void copy_row(
    x_t* to, const x_t* source, Py_ssize_t step, Py_ssize_t n) noexcept nogil:
    """n elements; for short rows a call of memcpy would cost more than the copy."""
    cdef Py_ssize_t i = 0
    cdef const x_t* pair
    if step == 1 and n >= LANES:
        while i < n - LANES:
            store_x(to + i, load_x(source + i))
            i += LANES
        store_x(to + n - LANES, load_x(source + n - LANES))
    elif step == 1:
        copy_few(to, source, n, sizeof(x_t))
    elif step == 2 and n > LANES:
        while i < n - LANES:
            pair = source + 2 * i
            store_x(to + i, even_places(load_x(pair), load_x(pair + LANES)))
            i += LANES
        # One element earlier, so as to end with the last one and not behind it.
        pair = source + 2 * (n - LANES) - 1
        store_x(to + n - LANES, odd_places(load_x(pair), load_x(pair + LANES)))
    else:
        for i in range(n):
            to[i] = source[i * step]


cdef inline Py_ssize_t first_column(
    const ConvPlan* p, const Band* band, Py_ssize_t phase) noexcept nogil:
    """Where a panel row's phase begins in the padded image; 0 is the image's first column."""
    return band.begin[2] * p.problem.stride[2] - p.source.padding[2] + phase


cdef inline void image_columns(
    const ConvPlan* p, const Band* band, Py_ssize_t phase, Py_ssize_t* first, Py_ssize_t* last
) noexcept nogil:
    """The columns [first, last) of a panel row's phase that lie in the image."""
    cdef Segment columns = segment_of(
        p, 2, IMAGE, first_column(p, band, phase), p.source.phase_step, p.source.columns)
    first[0] = columns.first
    last[0] = columns.last


cdef inline Py_ssize_t columns_read(
    const ConvPlan* p, const Band* band, Py_ssize_t phase) noexcept nogil:
    """The columns of a panel row's phase that some tap uses; vectors may read on behind them,
    where there may be neither image nor padding."""
    return min(p.source.columns,
               divide_up(p.problem.filled_end[2] - first_column(p, band, phase),
                         p.source.phase_step))


cdef void clear_padding(const ConvPlan* p, const Band* band, x_t* panel) noexcept nogil:
    """Zeros where no column is ever packed: they stay while panels of this column band
    are packed."""
    cdef Py_ssize_t c, d, h, phase, i, first, last
    cdef x_t* row
    for phase in range(p.source.phases):
        image_columns(p, band, phase, &first, &last)
        if p.problem.padding_mode != ZEROS:
            first = 0
            last = columns_read(p, band, phase)
        if first == 0 and last == p.source.columns:
            continue
        for c in range(p.source.channels):
            for d in range(p.source.slots[0]):
                for h in range(p.source.slots[1]):
                    row = (panel + c * p.source.channel + d * p.source.pitch[0]
                           + h * p.source.pitch[1] + phase * p.source.phase)
                    for i in range(first):
                        row[i] = 0
                    for i in range(last, p.source.columns):
                        row[i] = 0


cdef inline void deinterleave(
    x_t* evens, x_t* odds, const x_t* source, Py_ssize_t n) noexcept nogil:
    """2 n elements: those at even places to `evens`, those at odd places to `odds`."""
    cdef Py_ssize_t i
    cdef const x_t* pair
    if n < LANES:
        for i in range(n):
            evens[i] = source[2 * i]
            odds[i] = source[2 * i + 1]
        return
    i = 0
    while True:
        pair = source + 2 * i
        store_x(evens + i, even_places(load_x(pair), load_x(pair + LANES)))
        store_x(odds + i, odd_places(load_x(pair), load_x(pair + LANES)))
        if i == n - LANES:
            return
        i = min(i + LANES, n - LANES)


# The columns of a phase before and behind the image, in a padding mode other than ZEROS.
cdef struct Margins:
    Segment before, behind


cdef inline Margins margins_of(
    const ConvPlan* p, const Band* band, Py_ssize_t phase) noexcept nogil:
    cdef Margins margins
    cdef Py_ssize_t start = first_column(p, band, phase)
    cdef Py_ssize_t count = columns_read(p, band, phase)
    margins.before = segment_of(p, 2, BEFORE, start, p.source.phase_step, count)
    margins.behind = segment_of(p, 2, BEHIND, start, p.source.phase_step, count)
    return margins


cdef inline void pack_margin(
    const ConvPlan* p, const Segment* columns, const x_t* x, Py_ssize_t x_row, x_t* panel,
    Py_ssize_t rows) noexcept nogil:
    """Columns of padding of some rows; x points to the first of these in the image, panel to
    that in the phase. There are few columns, so they go down one by one."""
    cdef Py_ssize_t i, h
    cdef const x_t* element = x + columns.row * p.problem.x_axis[2]
    cdef x_t* to
    for i in range(columns.first, columns.last):
        to = panel + i
        for h in range(rows):
            to[h * p.source.pitch[1]] = element[h * x_row]
        element += columns.step * p.problem.x_axis[2]


# What goes where, worked out once for all channels of a band.
cdef struct Packing:
    Slots planes, rows
    # Columns of phases 0 and 1 that lie in the image.
    Py_ssize_t first[2]
    Py_ssize_t last[2]
    bint pairs  # both phases in one pass: they take turns from `early`'s first column on
    Py_ssize_t early


cdef void prepare_packing(
    const ConvPlan* p, const Band* band, Packing* packing) noexcept nogil:
    packing.planes = slots_of(p, band, 0)
    packing.rows = slots_of(p, band, 1)
    image_columns(p, band, 0, &packing.first[0], &packing.last[0])
    image_columns(p, band, 1, &packing.first[1], &packing.last[1])
    packing.pairs = p.source.phases == 2 and p.source.phase_step == 2 and p.problem.x_axis[2] == 1
    packing.early = 1 if packing.pairs and packing.first[0] > packing.first[1] else 0


cdef inline void pack_rows(
    const ConvPlan* p, const Band* band, const Packing* packing, Py_ssize_t phase,
    const x_t* x, Py_ssize_t x_row, x_t* panel, Py_ssize_t rows) noexcept nogil:
    """A phase (or a pair of them) of some rows; x and panel point to the first row."""
    cdef Py_ssize_t step = p.source.phase_step * p.problem.x_axis[2], panel_row = p.source.pitch[1]
    cdef Py_ssize_t begin, end, n, odds, extra, h, other = 1 - packing.early
    cdef const x_t* row
    cdef x_t* to
    if phase < 2:
        begin = packing.first[phase]
        end = packing.last[phase]
    else:
        image_columns(p, band, phase, &begin, &end)
    n = end - begin
    row = x + (first_column(p, band, phase) + begin * p.source.phase_step) * p.problem.x_axis[2]
    to = panel + phase * p.source.phase + begin
    if packing.pairs:
        odds = packing.first[other] - begin + (other - phase) * p.source.phase
        extra = n - (packing.last[other] - packing.first[other])
        for h in range(rows):
            deinterleave(to, to + odds, row, n - extra)
            if extra > 0:
                to[n - 1] = row[2 * n - 2]
            row += x_row
            to += panel_row
    else:
        for h in range(rows):
            copy_row(to, row, step, n)
            row += x_row
            to += panel_row


cdef inline void pack_margins(
    const ConvPlan* p, const Packing* packing, const Margins* margins, Py_ssize_t phase,
    const x_t* x, Py_ssize_t x_row, x_t* panel, Py_ssize_t rows) noexcept nogil:
    """The columns of padding of what `pack_rows` packs. `margins` belong to `phase`, and to the
    next phase if two are packed together."""
    cdef Py_ssize_t i
    if packing.pairs:
        phase = 0
    for i in range(2 if packing.pairs else 1):
        pack_margin(p, &margins[i].before, x, x_row, panel + (phase + i) * p.source.phase, rows)
        pack_margin(p, &margins[i].behind, x, x_row, panel + (phase + i) * p.source.phase, rows)


cdef inline void pack_sides(
    const ConvPlan* p, const Band* band, const Packing* packing, const x_t* x,
    Py_ssize_t channels, x_t* panel, int SIDES) noexcept nogil:
    """The first side of each axis, the image, or all three of those that have padding."""
    cdef const Slots* planes = &packing.planes
    cdef const Slots* rows = &packing.rows
    cdef int plane_side, plane_sides = SIDES if has_padding(p, 0) else 1
    cdef int row_side, row_sides = SIDES if has_padding(p, 1) else 1
    cdef bint has_margins = SIDES > 1 and has_padding(p, 2)
    cdef Py_ssize_t c, plane_block, row_block, plane, phase, d, n, x_row
    cdef Segment planes_here, rows_here
    cdef Margins margins[2]
    cdef const x_t* first_row
    cdef x_t* to
    for phase in range(packing.early, packing.early + 1 if packing.pairs else p.source.phases):
        if has_margins:
            margins[0] = margins_of(p, band, 0 if packing.pairs else phase)
            if packing.pairs:
                margins[1] = margins_of(p, band, 1)
        for c in range(channels):
            for plane_block in range(planes.blocks):
                for plane_side in range(plane_sides):
                    planes_here = segment_of_block(p, 0, plane_side, planes, plane_block)
                    d = planes_here.row
                    for plane in range(planes_here.first, planes_here.last):
                        for row_block in range(rows.blocks):
                            for row_side in range(row_sides):
                                rows_here = segment_of_block(p, 1, row_side, rows, row_block)
                                n = rows_here.last - rows_here.first
                                if SIDES > 1 and n == 0:
                                    continue
                                first_row = (x + c * p.problem.x_channel + d * p.problem.x_axis[0]
                                             + rows_here.row * p.problem.x_axis[1])
                                x_row = rows_here.step * p.problem.x_axis[1]
                                to = (panel + c * p.source.channel
                                      + (plane_block * planes.block_pitch + plane)
                                      * p.source.pitch[0]
                                      + (row_block * rows.block_pitch + rows_here.first)
                                      * p.source.pitch[1])
                                pack_rows(p, band, packing, phase, first_row, x_row, to, n)
                                if has_margins:
                                    pack_margins(
                                        p, packing, margins, phase, first_row, x_row, to, n)
                        d += planes_here.step


# Not inline, and given the band as numbers: more code in line with it, or an item whose address
# goes out or which is copied whole, slows the packing beside zeros (by 3 to 5 % of a call).
cdef void pack_all_sides(
    const ConvPlan* p, Py_ssize_t begin_0, Py_ssize_t end_0, Py_ssize_t begin_1,
    Py_ssize_t end_1, Py_ssize_t begin_2, Py_ssize_t end_2, const x_t* x, Py_ssize_t channels,
    x_t* panel) noexcept nogil:
    cdef Band band
    cdef Packing packing
    band.begin[0] = begin_0
    band.begin[1] = begin_1
    band.begin[2] = begin_2
    band.end[0] = end_0
    band.end[1] = end_1
    band.end[2] = end_2
    prepare_packing(p, &band, &packing)
    pack_sides(p, &band, &packing, x, channels, panel, 3)


cdef inline void pack_panel(
    const ConvPlan* p, const Band* band, const Packing* packing, const x_t* x,
    Py_ssize_t channels, x_t* panel) noexcept nogil:
    """The columns of a panel; x points to the first of the channels."""
    if p.problem.padding_mode == ZEROS:
        pack_sides(p, band, packing, x, channels, panel, 1)
    else:
        pack_all_sides(p, band.begin[0], band.end[0], band.begin[1], band.end[1], band.begin[2],
                       band.end[2], x, channels, panel)
