# Windows that slide along a row of x: what strips that compute whole rows have in common.


cdef struct Columns:
    # Columns of a strip's rows, computed by tiles side by side.
    const x_t* x  # the first tap of the first pixel; may point outside x, never dereferenced there
    Py_ssize_t first_column, in_columns  # the image column that x points to, of how many
    y_t* y
    const y_t* residual  # NULL: none
    Py_ssize_t out_columns  # of y, from here on
    Py_ssize_t tiles


# The strip of a family has Columns as its first member.
ctypedef void (*column_function)(const Columns* s) noexcept nogil


cdef inline void compute_columns(
    Columns* s, const column_function* tiles, const Pieces* across, Py_ssize_t x_step,
    Py_ssize_t y_step) noexcept nogil:
    """Tiles side by side, the wider ones first: tiles[n] has n vectors. A vector takes
    x_step * LANES columns of x and makes y_step * LANES columns of y."""
    cdef Py_ssize_t size, columns
    cdef Py_ssize_t first_column = s.first_column, out_columns = s.out_columns
    for size in range(across.size + 1, across.size - 1, -1):
        s.tiles = across.larger if size > across.size else across.count - across.larger
        if s.tiles > 0:
            tiles[size](s)
            columns = s.tiles * size * LANES
            s.x += columns * x_step
            s.y += columns * y_step
            if s.residual != NULL:
                s.residual += columns * y_step
            s.first_column += columns * x_step
            s.out_columns -= columns * y_step
    s.first_column = first_column
    s.out_columns = out_columns


# Loads a row of x from the first tap on: one vector more than the tile is wide. With stride 2 the
# columns at even places go to `even`, those at odd places to `odd`.
cdef inline void load_places(
    const x_t* x, const mask* inside, vec even[MOST_VECTORS + 1], vec odd[MOST_VECTORS + 1],
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
