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


cdef inline void tap_range(
    const ConvPlan* p, int axis, Py_ssize_t position, Py_ssize_t* first, Py_ssize_t* last
) noexcept nogil:
    """The taps of an output position that lie in the image, along an axis."""
    cdef Py_ssize_t start = position * p.stride[axis] - p.padding[axis]
    cdef Py_ssize_t dilation = p.dilation[axis]
    first[0] = min(p.kernel[axis], (-start + dilation - 1) // dilation if start < 0 else 0)
    last[0] = 0
    if start < p.in_size[axis]:
        last[0] = min(p.kernel[axis], (p.in_size[axis] - 1 - start) // dilation + 1)
    last[0] = max(first[0], last[0])


cdef inline void input_range(
    const ConvPlan* p, int axis, Py_ssize_t begin, Py_ssize_t end,
    Py_ssize_t* first, Py_ssize_t* last) noexcept nogil:
    """The rows of the image between the first and the last that outputs [begin, end) read."""
    first[0] = max(0, begin * p.stride[axis] - p.padding[axis])
    last[0] = min(p.in_size[axis],
                  (end - 1) * p.stride[axis] - p.padding[axis]
                  + (p.kernel[axis] - 1) * p.dilation[axis] + 1)


cdef inline void copy_row(
    real* to, const real* source, Py_ssize_t step, Py_ssize_t n) noexcept nogil:
    """n elements; for short rows a call of memcpy would cost more than the copy."""
    cdef Py_ssize_t i
    if step == 2:  # literal, so that compilers take pairs of vectors apart
        for i in range(n):
            to[i] = source[i * 2]
    elif step != 1:
        for i in range(n):
            to[i] = source[i * step]
    elif n < LANES:
        for i in range(n):
            to[i] = source[i]
    else:
        i = 0
        while i < n - LANES:
            (<uvec*>(to + i))[0] = (<const uvec*>(source + i))[0]
            i += LANES
        (<uvec*>(to + n - LANES))[0] = (<const uvec*>(source + n - LANES))[0]


cdef inline void pad_row(
    real* to, const real* source, Py_ssize_t step, Py_ssize_t size, Py_ssize_t start,
    Py_ssize_t stride, Py_ssize_t n) noexcept nogil:
    """Columns start, start + stride ... of a row of `size` elements; n of them, zero outside."""
    cdef Py_ssize_t i, low, high
    # low: columns before the row; high: columns up to the row's end.
    low = min(n, (-start + stride - 1) // stride if start < 0 else 0)
    high = 0
    if start < size:
        high = min(n, (size - 1 - start) // stride + 1)
    high = max(low, high)
    for i in range(low):
        to[i] = 0
    if high > low:
        copy_row(to + low, source + (start + low * stride) * step, stride * step, high - low)
    for i in range(high, n):
        to[i] = 0


cdef inline void pack_panel(
    const ConvPlan* p, const Band* band, const real* x, Py_ssize_t channels,
    real* panel) noexcept nogil:
    """x points to the first of the channels."""
    cdef Py_ssize_t c, d, h, phase
    cdef Py_ssize_t start = band.begin[2] * p.stride[2] - p.padding[2]
    cdef const real* source
    cdef real* to
    for c in range(channels):
        for d in range(band.first_plane, band.last_plane):
            for h in range(band.first_row, band.last_row):
                source = x + c * p.x_channel + d * p.x_axis[0] + h * p.x_axis[1]
                to = (panel + c * p.panel_channel + (d - band.first_plane) * p.panel_plane
                      + (h - band.first_row) * p.panel_row)
                for phase in range(p.phases):
                    pad_row(to + phase * p.panel_phase, source, p.x_axis[2], p.in_size[2],
                            start + phase, p.phase_step, p.panel_phase)
