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


cdef inline void image_columns(
    const ConvPlan* p, const Band* band, Py_ssize_t phase, Py_ssize_t* first, Py_ssize_t* last
) noexcept nogil:
    """The columns [first, last) of a panel row's phase that lie in the image."""
    cdef Py_ssize_t start = band.begin[2] * p.stride[2] - p.padding[2] + phase
    cdef Py_ssize_t step = p.phase_step
    first[0] = min(p.panel_phase, (-start + step - 1) // step if start < 0 else 0)
    last[0] = 0
    if start < p.in_size[2]:
        last[0] = min(p.panel_phase, (p.in_size[2] - 1 - start) // step + 1)
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


cdef inline void pack_panel(
    const ConvPlan* p, const Band* band, const real* x, Py_ssize_t channels,
    real* panel) noexcept nogil:
    """The image columns of a panel; x points to the first of the channels."""
    cdef Py_ssize_t c, d, h, phase, first, last
    cdef Py_ssize_t step = p.phase_step * p.x_axis[2]
    cdef const real* source
    cdef real* to
    for phase in range(p.phases):
        image_columns(p, band, phase, &first, &last)
        if first == last:
            continue
        source = x + p.x_axis[2] * (
            band.begin[2] * p.stride[2] - p.padding[2] + phase + first * p.phase_step)
        to = panel + phase * p.panel_phase + first
        for c in range(channels):
            for d in range(band.first_plane, band.last_plane):
                for h in range(band.first_row, band.last_row):
                    copy_row(
                        to + c * p.panel_channel + (d - band.first_plane) * p.panel_plane
                        + (h - band.first_row) * p.panel_row,
                        source + c * p.x_channel + d * p.x_axis[0] + h * p.x_axis[1],
                        step, last - first)
