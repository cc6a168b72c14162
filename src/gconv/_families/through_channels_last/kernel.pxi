# Depthwise layers in C order, by the tiles of channels-last ones.
#
# Lanes along a row are hard to fill where rows are short or strides long, and much of what they
# multiply is padding where a kernel is large beside the image. Lanes of channels are full. An
# item copies what a band of a block of groups reads into scratch, transposed,
#
#     x[channel][plane][row][column]  ->  panel[plane][row][column][channel]
#
# has the tiles of channels-last layers compute a result of that order, in scratch too, and
# transposes it into y, where residual and activation are added on the way. The panel holds
# elements of the image alone, like the channels-last array that those tiles are made for.


cdef struct ThroughChannelsLastPlan:
    const ConvPlan* inner  # of the channels-last convolution, within scratch
    Py_ssize_t result  # elements of scratch up to its result


cdef inline void load_square(
    const x_t* p, Py_ssize_t step, Py_ssize_t rows, vec square[LANES_AT_MOST]) noexcept nogil:
    """LANES columns of some rows, transposed; the last row stands for those that are missing."""
    cdef Py_ssize_t i
    if SQUARES_BY_HALVES and rows >= LANES:
        load_square_by_halves(p, step, square)
        return
    for i in range(LANES):
        square[i] = load_x(p + min(i, rows - 1) * step)
    transpose_square(square)


cdef inline void load_block(
    const x_t* x, Py_ssize_t x_channel, Py_ssize_t pixels, Py_ssize_t channels,
    Py_ssize_t pitch, x_t* to) noexcept nogil:
    """x[channel][pixel] into to[pixel][channel], whole vectors of channels."""
    cdef vec square[LANES_AT_MOST]
    cdef x_t some[LANES_AT_MOST]
    cdef const x_t* rows
    cdef Py_ssize_t block, pixel, i, n
    for block in range(divide_up(channels, LANES)):
        rows = x + block * LANES * x_channel
        n = min(LANES, channels - block * LANES)
        if pixels < LANES:
            store_x(some, splat(0))
            for i in range(LANES):
                copy_few(some, rows + min(i, n - 1) * x_channel, pixels, sizeof(x_t))
                square[i] = load_x(some)
            transpose_square(square)
            for i in range(pixels):
                (<vec*>(to + i * pitch))[block] = square[i]
            continue
        pixel = 0
        while True:
            load_square(rows + pixel, x_channel, n, square)
            for i in range(LANES):
                (<vec*>(to + (pixel + i) * pitch))[block] = square[i]
            if pixel == pixels - LANES:
                break
            pixel = min(pixel + LANES, pixels - LANES)


cdef inline void store_some_pixels(
    const ConvPlan* p, vec square[LANES_AT_MOST], Py_ssize_t pixels, Py_ssize_t channels,
    const Epilogue* epilogue, const y_t* residual, y_t* y) noexcept nogil:
    """The first pixels of some channels, less than LANES."""
    cdef y_t some[LANES_AT_MOST]
    cdef Py_ssize_t i
    for i in range(channels):
        if residual != NULL:
            store_y(some, splat(0))
            copy_few(some, residual + i * p.problem.y_channel, pixels, sizeof(y_t))
            square[i] = square[i] + load_y(some)
        store_y(some, finished(square[i], epilogue))
        copy_few(y + i * p.problem.y_channel, some, pixels, sizeof(y_t))


cdef inline void store_block(
    const ConvPlan* p, const y_t* result, Py_ssize_t pitch, Py_ssize_t pixels,
    Py_ssize_t channels, const y_t* residual, y_t* y) noexcept nogil:
    """result[pixel][channel], residual (or NULL) added, into y[channel][pixel]."""
    cdef vec square[LANES_AT_MOST]
    cdef Epilogue epilogue = tile_epilogue(p)
    cdef Py_ssize_t block, pixel, i, n
    cdef const y_t* added = NULL
    cdef y_t* to
    for block in range(divide_up(channels, LANES)):
        n = min(LANES, channels - block * LANES)
        pixel = 0
        while pixel < pixels:
            if pixel + LANES > pixels > LANES and residual == NULL:
                pixel = pixels - LANES  # the first pixels once more
            load_square(  # which takes elements of any kind as they are
                <const x_t*>(result + pixel * pitch + block * LANES), pitch, pixels - pixel,
                square)
            to = y + block * LANES * p.problem.y_channel + pixel
            if residual != NULL:
                added = residual + (to - y)
            if pixel + LANES > pixels:
                store_some_pixels(p, square, pixels - pixel, n, &epilogue, added, to)
                break
            if residual != NULL:
                for i in range(LANES):
                    if i < n:
                        square[i] = square[i] + load_y(added + i * p.problem.y_channel)
            if epilogue.activation != IDENTITY:
                for i in range(LANES):
                    square[i] = finished(square[i], &epilogue)
            for i in range(LANES):
                if i < n:
                    store_y(to + i * p.problem.y_channel, square[i])
            pixel += LANES


# What is transposed, as runs of pixels that follow each other in the array and in scratch.
cdef struct Runs:
    Py_ssize_t planes, rows, pixels


cdef inline Runs runs_of(
    const Py_ssize_t* extents, const Py_ssize_t* axis, const Py_ssize_t* within) noexcept nogil:
    cdef Runs runs
    runs.planes = extents[0]
    runs.rows = extents[1]
    runs.pixels = extents[2]
    if runs.rows == 1 or (axis[1] == runs.pixels and within[1] == runs.pixels * within[2]):
        runs.pixels *= runs.rows
        runs.rows = 1
        if runs.planes == 1 or (axis[0] == runs.pixels and within[0] == runs.pixels * within[2]):
            runs.pixels *= runs.planes
            runs.planes = 1
    return runs


cdef void through_channels_last_item(
    const ConvPlan* p, const Item* item, const x_t* x, const w_t* weight, const w_t* packed,
    const sum_t* bias, y_t* y, char* scratch) noexcept nogil:
    """Assumes one input and one output channel per group, columns of x of unit stride, and a y in
    C order."""
    cdef const ThroughChannelsLastPlan* own = <const ThroughChannelsLastPlan*>p.own
    cdef ConvPlan inner = own.inner[0]  # but for what depends on the band
    cdef const Band* band = &item.band
    cdef x_t* panel = <x_t*>region(scratch, 0)
    cdef y_t* result = <y_t*>region(scratch, own.result)
    cdef Py_ssize_t groups = item.last_group - item.first_group
    cdef Py_ssize_t first[3]
    cdef Py_ssize_t inputs[3]
    cdef Py_ssize_t outputs[3]
    cdef Py_ssize_t axis, d, h, last, pitch = inner.problem.x_axis[2], y_step = pitch
    cdef Py_ssize_t panel_begin = 0, result_begin = 0
    cdef y_t* to_y = y + channel_offset(p, item.image, item.first_group)
    cdef y_t* to
    cdef Runs runs
    for axis in range(2, -1, -1):
        first[axis] = max(0, band.begin[axis] * p.problem.stride[axis] - p.problem.padding[axis])
        last = ((band.end[axis] - 1) * p.problem.stride[axis] - p.problem.padding[axis]
                + (p.problem.kernel[axis] - 1) * p.problem.dilation[axis] + 1)
        inputs[axis] = max(0, min(last, p.problem.in_size[axis]) - first[axis])
        outputs[axis] = band.end[axis] - band.begin[axis]
        inner.problem.y_axis[axis] = y_step
        result_begin += band.begin[axis] * y_step
        y_step *= outputs[axis]
    for axis in range(3):
        panel_begin += first[axis] * inner.problem.x_axis[axis]
    inner.problem.in_size[2] = first[2] + inputs[2]  # tiles may read on to the end of a row
    x += (item.image * p.problem.x_image + item.first_group * p.problem.x_channel
          + first[0] * p.problem.x_axis[0] + first[1] * p.problem.x_axis[1] + first[2])
    to_y += pixel_offset(p, band.begin[0], band.begin[1], band.begin[2])
    if inputs[0] > 0 and inputs[1] > 0 and inputs[2] > 0:
        runs = runs_of(inputs, p.problem.x_axis, inner.problem.x_axis)
        for d in range(runs.planes):
            for h in range(runs.rows):
                load_block(
                    x + d * p.problem.x_axis[0] + h * p.problem.x_axis[1], p.problem.x_channel,
                    runs.pixels, groups, pitch,
                    panel + d * inner.problem.x_axis[0] + h * inner.problem.x_axis[1])
    item_of(&inner)(
        &inner, item, panel - panel_begin - item.first_group, weight, packed, bias,
        result - result_begin - item.first_group, scratch)
    runs = runs_of(outputs, p.problem.y_axis, inner.problem.y_axis)
    for d in range(runs.planes):
        for h in range(runs.rows):
            to = to_y + pixel_offset(p, d, h, 0)
            store_block(p, result + pixel_offset(&inner, d, h, 0), pitch, runs.pixels, groups,
                        residual_of(scratch, y, to), to)


register("through_channels_last", through_channels_last_item, NULL,
         sizeof(ThroughChannelsLastPlan), {})
