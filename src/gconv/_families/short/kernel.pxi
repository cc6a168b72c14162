# Short rows: a vector over an output row, x read in place.
#
# For a stream's next few samples the other families spend most of their time on getting ready:
# their panels, strips and runs are made for work that lasts. Here x is a buffer that holds what
# the convolution needs and nothing else, with room behind its last row, so that a vector may
# read beyond a row. What it writes beyond its row belongs to the next rows of the item, which
# are written later; not so behind the last ones.


cdef enum:
    SHORT_ROWS = 4  # enough sums at once to hide most of the latency of the additions


cdef inline void short_tile(
    const ConvPlan* p, Py_ssize_t channel, const x_t* x, const w_t* weight, const sum_t* bias,
    y_t* y, const y_t* y_end, y_t* spill, Py_ssize_t ROWS) noexcept nogil:
    """ROWS output channels, neighbours in y, whatever their groups."""
    cdef vec acc[SHORT_ROWS]
    cdef const x_t* row[SHORT_ROWS]
    cdef const w_t* w = weight + channel * p.problem.in_channels * p.problem.kernel[2]
    cdef Py_ssize_t taps = p.problem.in_channels * p.problem.kernel[2]
    cdef Py_ssize_t width = p.problem.out_size[2], column = 0, group, j, k, offset
    cdef Epilogue epilogue = tile_epilogue(p)
    cdef y_t* to
    for j in range(ROWS):
        group = (channel + j) // p.problem.out_channels
        row[j] = x + group * p.problem.in_channels * p.problem.x_channel
    while True:
        for j in range(ROWS):
            acc[j] = splat(bias[channel + j] if bias != NULL else 0)
        for k in range(taps):
            offset = p.x_taps[k] + column
            for j in range(ROWS):
                acc[j] = acc[j] + splat(w[j * taps + k]) * load_x(row[j] + offset)
        for j in range(ROWS):
            acc[j] = finished(acc[j], &epilogue)
        for j in range(ROWS):
            to = y + (channel + j) * p.problem.y_channel + column
            if to + LANES <= y_end:
                store_y(to, acc[j])
            else:
                store_y(spill, acc[j])
                copy_few(to, spill, width, sizeof(y_t))
        if column + LANES >= width:
            return
        # The last vector may overlap the one before; only where there is one alone is it longer
        # than the row.
        column = min(column + LANES, width - LANES)


cdef void short_item(
    const ConvPlan* p, const Item* given, const x_t* x, const w_t* weight, const w_t* packed,
    const sum_t* bias, y_t* y, char* scratch) noexcept nogil:
    """Assumes one dimension, stride 1, no padding, rows of x and y of unit stride, y_channel the
    length of a row, LANES - 1 more elements behind x, and no residual."""
    cdef Item item = given[0]
    cdef Py_ssize_t channel = item.first_group * p.problem.out_channels
    cdef Py_ssize_t last = item.last_group * p.problem.out_channels
    cdef y_t* spill = <y_t*>region(scratch, p.scratch.sums)
    cdef const y_t* y_end
    x += item.image * p.problem.x_image
    y += item.image * p.problem.y_image
    y_end = y + last * p.problem.y_channel
    while channel + SHORT_ROWS <= last:
        short_tile(p, channel, x, weight, bias, y, y_end, spill, SHORT_ROWS)
        channel += SHORT_ROWS
    while channel < last:
        short_tile(p, channel, x, weight, bias, y, y_end, spill, 1)
        channel += 1


register("short", short_item, NULL, 0, {})
