# Transposition: from images in C order to channels-last ones, and whatever else exchanges rows and
# columns.


cdef void transpose_block(
    sum_t* y, Py_ssize_t y_row, const sum_t* x, Py_ssize_t x_row, Py_ssize_t rows,
    Py_ssize_t columns) noexcept nogil:
    """y[row][column] = x[column][row], squares of LANES by LANES and what is left of these."""
    cdef vec square[LANES_AT_MOST]
    cdef Py_ssize_t r = 0, c, i, whole_rows = rows - rows % LANES, whole = columns - columns % LANES
    while r < whole_rows:
        c = 0
        while c < whole:
            for i in range(LANES):
                square[i] = load_sum(x + (c + i) * x_row + r)
            transpose_square(square)
            for i in range(LANES):
                store_sum(y + (r + i) * y_row + c, square[i])
            c += LANES
        r += LANES
    for c in range(whole, columns):
        for r in range(whole_rows):
            y[r * y_row + c] = x[c * x_row + r]
    for r in range(whole_rows, rows):
        for c in range(columns):
            y[r * y_row + c] = x[c * x_row + r]
