cdef struct UpsamplingPlan:
    TransposedPlan parts
    Py_ssize_t vectors  # of the widest tile, for each column's phase
    Py_ssize_t weights  # elements of scratch up to the weights of a row of parts


cdef inline void find_places(
    UpsamplingStrip* s, const ConvPlan* p, Py_ssize_t step, const PartPlan* parts
) noexcept nogil:
    """Where the taps of all phases of a row lie."""
    cdef Py_ssize_t phase, kw, place, first
    for place in range(MOST_PLACES):
        for phase in range(MOST_PHASES):
            s.meets[place][phase] = False
    s.places = 0
    for phase in range(step):
        first = p.source.padding[2] - parts[phase].plan.problem.padding[2]
        for kw in range(parts[phase].plan.problem.kernel[2]):
            s.meets[first + kw][phase] = True
        s.places = max(s.places, first + parts[phase].plan.problem.kernel[2])
    s.w_channel = s.places * step * parts.plan.problem.kernel[1]


cdef inline void take_weights(
    const UpsamplingStrip* s, const ConvPlan* p, Py_ssize_t step, const PartPlan* parts,
    Py_ssize_t group, Py_ssize_t channel, const w_t* weight, w_t* to) noexcept nogil:
    """The weights of all phases of a row, in the order in which tiles read them."""
    cdef Py_ssize_t phase, c, kh, kw, place, rows = parts.plan.problem.kernel[1]
    cdef const ConvPlan* part
    cdef const w_t* kernel
    cdef const w_t* tap
    cdef w_t* first
    for phase in range(step):
        part = parts[phase].plan
        kernel = (weight + parts[phase].weights_at + group * part.problem.w_group
                  + channel * part.problem.w_channel)
        place = p.source.padding[2] - part.problem.padding[2]
        for kh in range(rows):
            for kw in range(part.problem.kernel[2]):
                tap = kernel + kh * part.problem.w_axis[1] + kw * part.problem.w_axis[2]
                first = to + ((place + kw) * step + phase) * rows + kh
                for c in range(p.problem.in_channels):
                    first[c * s.w_channel] = tap[c * part.problem.w_input]


cdef void upsampling_item(
    const ConvPlan* p, const Item* given, const x_t* x, const w_t* weight, const w_t* packed,
    const sum_t* bias, y_t* y, char* scratch) noexcept nogil:
    """Assumes that all phases of a row take taps within MOST_PLACES columns, planes of one tap,
    no dilation, and all input channels in one block."""
    cdef Item item = given[0]
    cdef const Band* band = &item.band
    cdef Py_ssize_t begin[3]
    cdef Py_ssize_t end[3]
    cdef Py_ssize_t d, h, od, oh, group, channel, o, first_plane, last_plane, y_plane, y_row
    cdef Py_ssize_t most
    cdef const TransposedPlan* own = <const TransposedPlan*>p.own
    cdef Py_ssize_t step = own.y_step[2], vectors = (<const UpsamplingPlan*>p.own).vectors
    cdef w_t* weights = (
        <w_t*>region(scratch, (<const UpsamplingPlan*>p.own).weights))
    cdef const x_t* origin
    cdef const PartPlan* parts
    cdef const ConvPlan* part
    cdef const column_function* tiles
    cdef Pieces across
    cdef Range windows
    cdef Source source
    cdef UpsamplingStrip s
    begin_item(p, &item, scratch)
    outputs_of_band(own, band, begin, end)
    s.epilogue = tile_epilogue(p)
    s.channels = p.problem.in_channels
    s.columns.first_column = band.begin[2] - p.source.padding[2]
    s.columns.in_columns = p.problem.in_size[2]
    s.columns.out_columns = end[2] - begin[2]
    s.x_channel = p.source.channel
    s.weights = weights
    s.y_row = own.y_step[1] * p.problem.y_axis[1]
    oh = band.begin[1]
    for group in range(item.first_group, item.last_group):
        if not p.source.in_place:
            source = panel_source(p, &item, x, group, 0, p.problem.in_channels, scratch)
        for d in range(own.counts[0]):
            for h in range(own.counts[1]):
                parts = own.parts + (d * own.counts[1] + h) * own.counts[2]
                part = parts.plan  # of the first column's phase
                if p.source.in_place:
                    source = in_place_source(  # parts count no images
                        part, &item, x + item.image * p.problem.x_image, group)
                    origin = source.origin
                else:
                    origin = source.origin + part.source.offset - p.source.offset
                # The places begin further on the left than the first tap.
                origin -= p.source.padding[2] - part.problem.padding[2]
                find_places(&s, p, step, parts)
                tiles = &UPSAMPLING_TILES[p.source.in_place][step][part.problem.kernel[1]][0]
                most = 1
                while most < vectors and tiles[most + 1] != NULL:
                    most += 1
                across = split((band.end[2] - band.begin[2] + LANES - 1) // LANES, most)
                # Some phases may end a row earlier than others.
                y_row = begin[1] + own.phases[1][h]
                s.rows = min(band.end[1] - oh, divide_up(end[1] - y_row, own.y_step[1]))
                s.x_row = source.row
                for channel in range(item.first_channel, item.last_channel):
                    take_weights(&s, p, step, parts, group, channel, weight, weights)
                    o = group * p.problem.out_channels + channel
                    s.bias = bias + o if bias != NULL else NULL
                    for od in range(band.begin[0], band.end[0]):
                        y_plane = od * own.y_step[0] + own.phases[0][d]
                        if y_plane >= end[0]:
                            break
                        tap_range(part, 0, od, &first_plane, &last_plane)
                        windows = rows_inside(part, oh, s.rows + part.problem.kernel[1])
                        s.first_window = windows.first
                        s.last_window = windows.last if first_plane < last_plane else 0
                        s.columns.x = origin + od * source.plane + oh * source.row
                        s.columns.y = (y + channel_offset(p, item.image, o)
                                       + pixel_offset(p, y_plane, y_row, begin[2]))
                        s.columns.residual = residual_of(scratch, y, s.columns.y)
                        compute_columns(&s.columns, tiles, &across, 1, step)
