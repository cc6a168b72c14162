cdef inline void store_transposed(
    const ConvPlan* p, const real* sums, Py_ssize_t pitch, const Py_ssize_t* order,
    Py_ssize_t pixels, Py_ssize_t channels, const real* residual, real* y) noexcept nogil:
    """sums[order[pixel]][channel], residual (or NULL) added, into y[channel][pixel]; no order: the
    pixels follow each other."""
    cdef vec square[LANES_AT_MOST]
    cdef real some[LANES_AT_MOST]
    cdef Py_ssize_t y_channel = p.problem.y_channel
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
        if p.problem.y_channel == 1:
            while channel <= channels - LANES:
                (<uvec*>(to + channel))[0] = (<const vec*>(source + channel))[0]
                channel += LANES
        while channel < channels:
            to[channel * p.problem.y_channel] = source[channel]
            channel += 1


cdef inline void pack_weights(
    const ConvPlan* p, const real* weight, Py_ssize_t first_tap, Py_ssize_t last_tap,
    Py_ssize_t channels, Py_ssize_t width, real* to) noexcept nogil:
    """weight[channel][tap] of a block of input channels into to[place of tap][width], zeros
    beyond the last channel; `to` is where the block's first place goes."""
    cdef const Py_ssize_t* places = (<const ChannelPlan*>p.own).tap_places
    cdef Py_ssize_t n, tap, place, block, j, lane
    cdef vec square[LANES_AT_MOST]
    if last_tap - first_tap < LANES or not p.problem.w_in_order:
        for tap in range(first_tap, last_tap):
            place = places[tap]
            for j in range(channels):
                to[(place - first_tap) * width + j] = weight[j * p.problem.w_channel + p.w_taps[place]]
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
                    square[lane] = (<const uvec*>(weight + (j + lane) * p.problem.w_channel + tap))[0]
                else:
                    square[lane] = splat(0)
            transpose_square(square)
            for lane in range(LANES):
                (<vec*>(to + (places[tap + lane] - first_tap) * width + j))[0] = \
                    square[lane]
            if tap == last_tap - LANES:
                break
            tap = min(tap + LANES, last_tap - LANES)
