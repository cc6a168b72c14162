# Channels-last layers with several input channels per group and kernels of three columns, on
# instruction sets that load some lanes of a vector.
#
# A tile is neighbouring pixels of an output row, which
# share inputs: what the lanes pick of an input pixel serves all kernel columns, so that picks
# hardly cost anything beside the multiply-adds. Input pixels in the padding are zeros, and rows
# fall into tiles of nearly the same size, border and all.


cdef inline void neighbour_strip(const LaneStrip* s, Py_ssize_t OUTPUTS) noexcept nogil:
    cdef vec acc[MOST_ROWS]
    cdef vec xv[MOST_ROWS + 2]
    cdef vec wv
    cdef mask inside[MOST_ROWS + 2]
    cdef mask loaded = lanes_inside(0, s.wide_in), stored = lanes_inside(0, s.wide_out)
    cdef picks which
    cdef const x_t* x
    cdef const w_t* w
    cdef y_t* y = s.y
    cdef Py_ssize_t tile, j, v, kw, c, plane, row, start, column = s.first_column
    cdef Py_ssize_t w_column = s.in_channels * LANES
    for tile in range(s.tiles):
        for v in range(OUTPUTS + 2):
            inside[v] = loaded if 0 <= column + v < s.in_columns else 0
        if s.prefetches:
            ask_for_next_row(s, tile * OUTPUTS, OUTPUTS)
        for j in range(OUTPUTS):
            acc[j] = s.bias
        for plane in range(s.planes):
            for row in range(s.rows):
                start = s.first + plane * s.plane + row * s.row
                w = s.weight + start * w_column
                for c in range(s.in_channels):
                    which = load_picks(s.picks + c * LANES)
                    x = s.x + tile * OUTPUTS * s.x_pixel + s.x_taps[start]
                    for v in range(OUTPUTS + 2):
                        xv[v] = in_register(picked(load_some_x(x, inside[v]), which))
                        x += s.x_pixel
                    for kw in range(3):
                        wv = in_register(load_packed(w + kw * w_column))
                        for j in range(OUTPUTS):
                            acc[j] = acc[j] + wv * xv[j + kw]
                    w += LANES
        for j in range(OUTPUTS):
            store_some(y + j * s.y_pixel, stored, acc[j])
        column += OUTPUTS
        y += OUTPUTS * s.y_pixel
