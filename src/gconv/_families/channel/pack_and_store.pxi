# What channel lanes transpose: weights, as functions pack them on the way, and sums into y.


cdef inline void store_transposed(
    const ConvPlan* p, const sum_t* sums, Py_ssize_t pitch, const Py_ssize_t* order,
    Py_ssize_t pixels, Py_ssize_t channels, const y_t* residual, y_t* y) noexcept nogil:
    """sums[order[pixel]][channel], residual (or NULL) added, into y[channel][pixel]; no order: the
    pixels follow each other."""
    cdef vec square[LANES_AT_MOST]
    cdef sum_t some[LANES_AT_MOST]
    cdef y_t few[LANES_AT_MOST]
    cdef Py_ssize_t y_channel = p.problem.y_channel
    cdef Py_ssize_t pixel, channel = 0, i, j, n
    cdef Py_ssize_t whole = pixels // LANES * LANES
    cdef Epilogue epilogue = tile_epilogue(p)
    cdef bint again  # the overlapping pixels were overwritten: read only the tail again
    if pixels < LANES:
        for channel in range(channels):
            store_sum(some, splat(0))
            for i in range(pixels):
                some[i] = sums[(order[i] if order != NULL else i) * pitch + channel]
                if residual != NULL:
                    some[i] = some[i] + residual[channel * y_channel + i]
            if epilogue.activation != IDENTITY:
                store_sum(some, finished(load_sum(some), &epilogue))
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
                    store_y(few, splat(0))
                    copy_few(few + whole - pixel, residual + (channel + j) * y_channel + whole,
                             pixels - whole, sizeof(y_t))
                    square[j] = square[j] + load_y(few)
            elif residual != NULL:
                for j in range(n):
                    square[j] = square[j] + load_y(residual + (channel + j) * y_channel + pixel)
            if epilogue.activation != IDENTITY:
                for j in range(n):
                    square[j] = finished(square[j], &epilogue)
            if again:
                for j in range(n):
                    store_y(few, square[j])
                    copy_few(y + (channel + j) * y_channel + whole, few + whole - pixel,
                             pixels - whole, sizeof(y_t))
            else:
                for j in range(n):
                    store_y(y + (channel + j) * y_channel + pixel, square[j])
            if pixel == pixels - LANES:
                break
            pixel = min(pixel + LANES, pixels - LANES)
        channel += LANES


cdef inline void store_pixels(
    const ConvPlan* p, const sum_t* sums, Py_ssize_t pitch, const Py_ssize_t* spots,
    Py_ssize_t pixels, Py_ssize_t channels, y_t* y) noexcept nogil:
    """sums[pixel][channel] to where each pixel lies in a y that is not in C order."""
    cdef Py_ssize_t pixel, channel
    cdef const sum_t* source
    cdef y_t* to
    for pixel in range(pixels):
        source = sums + pixel * pitch
        to = y + spots[pixel]
        channel = 0
        if p.problem.y_channel == 1:
            while channel <= channels - LANES:
                store_y(to + channel, (<const vec*>(source + channel))[0])
                channel += LANES
        while channel < channels:
            to[channel * p.problem.y_channel] = source[channel]
            channel += 1


cdef inline void pack_channel_block(
    const ConvPlan* p, const w_t* weight, Py_ssize_t first_tap, Py_ssize_t last_tap,
    Py_ssize_t channels, Py_ssize_t width, w_t* to) noexcept nogil:
    """weight[channel][tap] of a block of input channels into to[place of tap][width], zeros
    beyond the last channel; `to` is where the block's first place goes."""
    cdef const Py_ssize_t* places = (<const ChannelPlan*>p.own).tap_places
    cdef Py_ssize_t n, tap, place, block, j, lane
    cdef vec square[LANES_AT_MOST]
    if last_tap - first_tap < LANES or not p.problem.w_in_order:
        for tap in range(first_tap, last_tap):
            place = places[tap]
            for j in range(channels):
                to[(place - first_tap) * width + j] = weight[
                    j * p.problem.w_channel + p.w_taps[place]]
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
                    square[lane] = load_w(weight + (j + lane) * p.problem.w_channel + tap)
                else:
                    square[lane] = splat(0)
            transpose_square(square)
            for lane in range(LANES):
                (<vec*>(to + (places[tap + lane] - first_tap) * width + j))[0] = \
                    square[lane]
            if tap == last_tap - LANES:
                break
            tap = min(tap + LANES, last_tap - LANES)
