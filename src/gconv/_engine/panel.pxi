# A panel is a copy of the input rows that a band of output reads, with zeros where the rows
# meet the padding, so that a tile reads every tap of every pixel without asking where it is.
#
#     panel[channel][plane][row][phase][column]
#
# Only rows of the image are there: taps in rows of padding are not computed. With stride s the
# padded columns are sorted by phase (0, s, 2s ...; 1, s + 1 ...; ...), which makes the same tap
# of neighbouring pixels neighbours. It matters where a layer has few output channels to share
# one copy among: there the copy is up to a tenth of the time.


cdef struct Band:
    # A block of output positions, and the input rows it reads.
    Py_ssize_t begin[3]
    Py_ssize_t end[3]
    Py_ssize_t first_plane, last_plane, first_row, last_row


cdef inline Py_ssize_t divide_up(Py_ssize_t n, Py_ssize_t divisor) noexcept nogil:
    """n / divisor rounded up, of numbers not below 0; most divisors are 1, and a division takes
    as long as ten additions."""
    return n if divisor == 1 else (n + divisor - 1) // divisor


cdef inline void tap_range(
    const ConvPlan* p, int axis, Py_ssize_t position, Py_ssize_t* first, Py_ssize_t* last
) noexcept nogil:
    """The taps of an output position that lie in the image, along an axis."""
    cdef Py_ssize_t start = position * p.stride[axis] - p.padding[axis]
    cdef Py_ssize_t dilation = p.dilation[axis]
    first[0] = min(p.kernel[axis], divide_up(-start, dilation) if start < 0 else 0)
    last[0] = 0
    if start < p.in_size[axis]:
        last[0] = min(p.kernel[axis], divide_up(p.in_size[axis] - start, dilation))
    last[0] = max(first[0], last[0])


cdef inline void input_range(
    const ConvPlan* p, int axis, Py_ssize_t begin, Py_ssize_t end,
    Py_ssize_t* first, Py_ssize_t* last) noexcept nogil:
    """The rows of the image between the first and the last that outputs [begin, end) read."""
    first[0] = max(0, begin * p.stride[axis] - p.padding[axis])
    last[0] = min(p.in_size[axis],
                  (end - 1) * p.stride[axis] - p.padding[axis]
                  + (p.kernel[axis] - 1) * p.dilation[axis] + 1)


cdef inline void copy_short(real* to, const real* source, Py_ssize_t n) noexcept nogil:
    """n < LANES elements, as two pieces of a literal size that overlap."""
    if LANES > 8 and n >= 8:
        memcpy(to, source, 8 * sizeof(real))
        memcpy(to + n - 8, source + n - 8, 8 * sizeof(real))
    elif LANES > 4 and n >= 4:
        memcpy(to, source, 4 * sizeof(real))
        memcpy(to + n - 4, source + n - 4, 4 * sizeof(real))
    elif LANES > 2 and n >= 2:
        memcpy(to, source, 2 * sizeof(real))
        memcpy(to + n - 2, source + n - 2, 2 * sizeof(real))
    elif n == 1:
        to[0] = source[0]


cdef inline void copy_row(
    real* to, const real* source, Py_ssize_t step, Py_ssize_t n) noexcept nogil:
    """n elements; for short rows a call of memcpy would cost more than the copy."""
    cdef Py_ssize_t i = 0
    cdef const uvec* pair
    if step == 1 and n >= LANES:
        while i < n - LANES:
            (<uvec*>(to + i))[0] = (<const uvec*>(source + i))[0]
            i += LANES
        (<uvec*>(to + n - LANES))[0] = (<const uvec*>(source + n - LANES))[0]
    elif step == 1:
        copy_short(to, source, n)
    elif step == 2 and n > LANES:
        while i < n - LANES:
            pair = <const uvec*>(source + 2 * i)
            (<uvec*>(to + i))[0] = even_places(pair[0], pair[1])
            i += LANES
        # One element earlier, so as to end with the last one and not behind it.
        pair = <const uvec*>(source + 2 * (n - LANES) - 1)
        (<uvec*>(to + n - LANES))[0] = odd_places(pair[0], pair[1])
    else:
        for i in range(n):
            to[i] = source[i * step]


cdef inline void image_columns(
    const ConvPlan* p, const Band* band, Py_ssize_t phase, Py_ssize_t* first, Py_ssize_t* last
) noexcept nogil:
    """The columns [first, last) of a panel row's phase that lie in the image."""
    cdef Py_ssize_t start = band.begin[2] * p.stride[2] - p.padding[2] + phase
    cdef Py_ssize_t step = p.phase_step
    first[0] = min(p.panel_phase, divide_up(-start, step) if start < 0 else 0)
    last[0] = 0
    if start < p.in_size[2]:
        last[0] = min(p.panel_phase, divide_up(p.in_size[2] - start, step))
    last[0] = max(first[0], last[0])


cdef inline void clear_padding(const ConvPlan* p, const Band* band, real* panel) noexcept nogil:
    """Zeros where no image column goes: they stay while panels of this band are packed."""
    cdef Py_ssize_t c, d, h, phase, i, first, last
    cdef real* row
    for phase in range(p.phases):
        image_columns(p, band, phase, &first, &last)
        if first == 0 and last == p.panel_phase:
            continue
        for c in range(p.panel_channels):
            for d in range(band.last_plane - band.first_plane):
                for h in range(band.last_row - band.first_row):
                    row = (panel + c * p.panel_channel + d * p.panel_plane + h * p.panel_row
                           + phase * p.panel_phase)
                    for i in range(first):
                        row[i] = 0
                    for i in range(last, p.panel_phase):
                        row[i] = 0


cdef inline void deinterleave(
    real* evens, real* odds, const real* source, Py_ssize_t n) noexcept nogil:
    """2 n elements; those at even and those at odd places go apart."""
    cdef Py_ssize_t i
    cdef const uvec* pair
    if n < LANES:
        for i in range(n):
            evens[i] = source[2 * i]
            odds[i] = source[2 * i + 1]
        return
    i = 0
    while True:
        pair = <const uvec*>(source + 2 * i)
        (<uvec*>(evens + i))[0] = even_places(pair[0], pair[1])
        (<uvec*>(odds + i))[0] = odd_places(pair[0], pair[1])
        if i == n - LANES:
            return
        i = min(i + LANES, n - LANES)


cdef inline void pack_panel(
    const ConvPlan* p, const Band* band, const real* x, Py_ssize_t channels,
    real* panel) noexcept nogil:
    """The image columns of a panel; x points to the first of the channels."""
    # Locals, because a store through a vector might change the plan for all the compiler knows.
    cdef Py_ssize_t step = p.phase_step * p.x_axis[2], column_step = p.x_axis[2]
    cdef Py_ssize_t x_row = p.x_axis[1], panel_row = p.panel_row
    cdef Py_ssize_t rows = band.last_row - band.first_row
    cdef bint pairs = p.phases == 2 and step == 2  # both phases in one pass over a row
    cdef Py_ssize_t first[2]
    cdef Py_ssize_t last[2]
    cdef Py_ssize_t begin, c, d, h, phase, odds, n, extra, early = 0
    cdef const real* row
    cdef real* to
    if pairs:
        image_columns(p, band, 0, &first[0], &last[0])
        image_columns(p, band, 1, &first[1], &last[1])
        # The phase of the first image column; the phases take turns from there on.
        early = 0 if 2 * first[0] < 2 * first[1] + 1 else 1
    for phase in range(early, early + 1 if pairs else p.phases):
        if not pairs:
            image_columns(p, band, phase, &first[phase % 2], &last[phase % 2])
        begin = first[phase % 2]
        n = last[phase % 2] - begin
        odds = first[1 - early] - first[early] + (1 - 2 * early) * p.panel_phase
        extra = n - (last[1 - early] - first[1 - early])
        for c in range(channels):
            for d in range(band.last_plane - band.first_plane):
                row = (x + c * p.x_channel + (d + band.first_plane) * p.x_axis[0]
                       + band.first_row * x_row
                       + (band.begin[2] * p.stride[2] - p.padding[2] + phase
                          + begin * p.phase_step) * column_step)
                to = (panel + c * p.panel_channel + d * p.panel_plane
                      + phase * p.panel_phase + begin)
                for h in range(rows):
                    if pairs:
                        deinterleave(to, to + odds, row, n - extra)
                        if extra > 0:
                            to[n - 1] = row[2 * n - 2]
                    else:
                        copy_row(to, row, step, n)
                    row += x_row
                    to += panel_row
