# Lines of tiles: what strips whose lanes are neighbouring output columns have in common.
#
# A line is a row of tiles side by side; lines lie below each other. A tile has a few rows (output
# channels, or image rows), and stores whole vectors:
#
#     line 0    tile | tile | tile      the last vector of a line ends where the line ends: it may
#     line 1    tile | tile | tile      overlap the one before, and both store the same sums
#
# Where something is added that y itself may hold (partial sums, a residual), no element may be
# computed twice. Such a last vector, and a line shorter than a vector, go by way of scratch.


cdef struct Lines:
    const x_t* x  # where the taps of the first pixel start, in line 0
    y_t* y  # first row, first pixel of line 0
    const y_t* added  # to the sums: partial sums that y holds, or a residual; NULL: nothing
    Py_ssize_t y_row  # from a row of a tile to the next
    Py_ssize_t first_line, last_line
    Py_ssize_t x_line, y_line  # from a line to the next
    Py_ssize_t tiles  # in a line
    Py_ssize_t final_vector  # where the last vector of the last tile begins within the tile


# The strip of a family has Lines as its first member.
ctypedef void (*line_function)(const Lines* s) noexcept nogil


cdef inline void ragged_lines(
    Lines* s, line_function tile, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t n, y_t* spill
) noexcept nogil:
    """The n < LANES pixels from s.y on, of every line: a vector that begins with them, or ends
    with them (first = n - LANES), into scratch, and from there what belongs to the line."""
    cdef Py_ssize_t j, line, place, y_row = s.y_row, last_line = s.last_line
    cdef y_t* y = s.y
    cdef const y_t* added = s.added
    s.x += first
    s.tiles = 1
    s.final_vector = 0
    s.y_row = LANES
    for line in range(s.first_line, last_line):
        place = line * s.y_line
        s.first_line = line
        s.last_line = line + 1
        s.y = spill - place
        if added != NULL:
            s.added = s.y
            for j in range(rows):
                copy_few(spill + j * LANES - first, added + place + j * y_row, n, sizeof(y_t))
        tile(s)
        for j in range(rows):
            copy_few(y + place + j * y_row, spill + j * LANES - first, n, sizeof(y_t))
    s.y_row = y_row


cdef inline void compute_lines(
    Lines* s, const line_function* tiles, Py_ssize_t rows, Py_ssize_t width, const Pieces* across,
    y_t* spill) noexcept nogil:
    """Lines of `width` pixels by tiles of `rows` rows: tiles[n] has n vectors. Only the distances in
    s are left as they were."""
    cdef Py_ssize_t final_vector, done = 0, last_line = s.last_line
    if width < LANES:
        s.tiles = 1
        s.final_vector = 0
        # Where all rows follow each other in y, what a vector writes beyond its row is written
        # again by the rows after it; not so behind the last line.
        if (s.y_row == width and s.y_line == rows * width and 2 * width >= LANES
                and last_line - s.first_line > 1 and s.added == NULL):
            s.last_line -= 1
            tiles[1](s)
            s.first_line = s.last_line
            s.last_line = last_line
        ragged_lines(s, tiles[1], rows, 0, width, spill)
        return
    if across.larger > 0:
        s.tiles = across.larger
        s.final_vector = across.size * LANES
        tiles[across.size + 1](s)
        done = across.larger * (across.size + 1) * LANES
        s.x += done
        s.y += done
        if s.added != NULL:
            s.added += done
    s.tiles = across.count - across.larger
    final_vector = width - done - (s.tiles - 1) * across.size * LANES - LANES
    if s.added == NULL or final_vector >= 0:
        s.final_vector = final_vector
        tiles[across.size](s)
        return
    # The last of tiles of one vector would overlap the one before it.
    s.tiles -= 1
    s.final_vector = 0
    tiles[1](s)
    done = s.tiles * LANES
    s.x += done
    s.y += done
    s.added += done
    ragged_lines(s, tiles[1], rows, final_vector, LANES + final_vector, spill)
