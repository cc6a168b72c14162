# What a row of x is to the taps: LANES pixels to a vector from the first tap on, one vector more
# than the tile is wide; with stride 2 those at even and those at odd places apart.
cdef inline void load_places(
    const x_t* x, const some* inside, vec even[MOST_VECTORS + 1], vec odd[MOST_VECTORS + 1],
    Py_ssize_t STRIDE, Py_ssize_t VECTORS, Py_ssize_t COLUMNS) noexcept nogil:
    cdef vec a, b
    cdef Py_ssize_t v
    for v in range(VECTORS + 1):
        a = load_some_x(x + v * STRIDE * LANES, inside[v * STRIDE])
        even[v] = a
        if STRIDE == 2:
            if v == VECTORS and 0 < COLUMNS <= LANES:
                b = a  # no tap reaches further
            else:
                b = load_some_x(x + (2 * v + 1) * LANES, inside[2 * v + 1])
            even[v] = even_places(a, b)
            odd[v] = odd_places(a, b)
