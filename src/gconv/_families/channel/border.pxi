# Padding that holds elements of the image, without a panel. The pixels of a band whose taps all
# lie in the image come first. Those of the border look up each tap in a table
#
#     places[tap of a channel][pixel]


cdef struct Border:
    Py_ssize_t inner, pixels  # pixels inside, pixels at the border
    Py_ssize_t* places


cdef inline Py_ssize_t tap_moved(
    const ConvPlan* p, int axis, Py_ssize_t output, Py_ssize_t tap) noexcept nogil:
    return moved(p, axis, tap_position(p, axis, output, tap))


cdef void find_border(
    const ConvPlan* p, const Item* item, Py_ssize_t pixels, const Source* source,
    Py_ssize_t* places, Py_ssize_t* spots, Border* border) noexcept nogil:
    """The places and the spots of all pixels (see channel_item), and where the taps of those at
    the border lie."""
    cdef const Band* band = &item.band
    cdef Range outputs
    cdef Py_ssize_t begin[3]
    cdef Py_ssize_t end[3]
    cdef Py_ssize_t width = band.end[2] - band.begin[2]
    cdef Py_ssize_t axis, od, oh, column, row_last, last, i, n, kd, kh, kw, place, row
    cdef Py_ssize_t inner_done = 0, outer_done, number = 0
    cdef bint inner
    cdef Py_ssize_t* columns  # [kernel column][column]: what column taps are moved by
    cdef Py_ssize_t* to
    for axis in range(3):
        outputs = outputs_inside(p, band, axis)
        begin[axis] = outputs.first
        end[axis] = outputs.last
    border.inner = 0
    for oh in range(begin[1], end[1]):
        n = row_end(item, oh, end[2]) - row_begin(item, oh, begin[2])
        border.inner += max(n, 0) * (end[0] - begin[0])
    border.pixels = pixels - border.inner
    columns = border.places + border.pixels * kernel_volume(p)
    outer_done = border.inner
    for kw in range(p.problem.kernel[2]):
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
                n = inner_done if inner else outer_done
                for i in range(column, last):
                    place = row + (i - band.begin[2]) * p.source.pixel_step
                    places[n + i - column] = place
                    if p.problem.y_in_order:
                        spots[number] = n + i - column
                    else:
                        spots[n + i - column] = pixel_offset(p, od, oh, i)
                    number += 1
                if inner:
                    inner_done += last - column
                    column = last
                    continue
                to = border.places + n - border.inner
                for kd in range(p.problem.kernel[0]):
                    for kh in range(p.problem.kernel[1]):
                        place = row + tap_moved(p, 0, od, kd) + tap_moved(p, 1, oh, kh)
                        for kw in range(p.problem.kernel[2]):
                            for i in range(last - column):
                                to[i] = (
                                    place + (column - band.begin[2] + i) * p.source.pixel_step
                                    + columns[kw * width + column - band.begin[2] + i])
                            to += border.pixels
                outer_done += last - column
                column = last


cdef inline void compute_border(
    const ConvPlan* p, ChannelStrip* s, const Border* border, Py_ssize_t vectors,
    Py_ssize_t in_block) noexcept nogil:
    """The pixels inside, and then those at the border, which take each tap of a channel as if it
    were a kernel row of its own."""
    s.planes = 1
    s.rows = 1
    s.first = 0
    s.last = kernel_volume(p) * in_block
    if border.inner > 0:
        compute_pixels(p, s, vectors, border.inner)
    s.rows = kernel_volume(p)
    s.row = s.last = in_block
    s.pixels = border.places
    s.next_row = border.pixels
    if border.pixels > 0:
        compute_pixels(p, s, vectors, border.pixels)
    s.next_row = 0
