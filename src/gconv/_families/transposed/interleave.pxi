# Rows of outputs, part after part in scratch, become rows of y: one column of each part in turn.


cdef struct Outputs:
    const y_t* parts
    Py_ssize_t part  # from a part to the next
    Py_ssize_t part_line, y_line  # from a row to the next
    const Py_ssize_t* phases
    Py_ssize_t count
    y_t* y
    Py_ssize_t step, size  # the stride, and how many elements of a row of y there are
    bint adds  # to what y holds


cdef enum:
    MOST_PHASES = 8  # interleaved in vectors
    MOST_PLACES = 5  # columns of x that all phases of a row take, in upsampling


cdef inline void interleave(vec v[MOST_PHASES], Py_ssize_t STEP) noexcept nogil:
    """The elements of STEP vectors in turns; STEP is a literal power of 2."""
    cdef vec other[MOST_PHASES]
    cdef Py_ssize_t j, round
    for round in range(3):
        if (1 << round) >= STEP:
            break
        for j in range(STEP // 2):
            other[2 * j] = interleave_low(v[j], v[j + STEP // 2])
            other[2 * j + 1] = interleave_high(v[j], v[j + STEP // 2])
        for j in range(STEP):
            v[j] = other[j]


cdef inline void interleave_rows(
    const Outputs* rows, Py_ssize_t lines, Py_ssize_t n, Py_ssize_t STEP) noexcept nogil:
    """n >= LANES elements of each of STEP parts, of some rows. What is added comes in whole
    vectors: n is a multiple of LANES."""
    cdef const y_t* source[MOST_PHASES]
    cdef vec v[MOST_PHASES]
    cdef Py_ssize_t j, line, i
    cdef y_t* y = rows.y
    for j in range(STEP):
        source[j] = rows.parts + j * rows.part
    for line in range(lines):
        i = 0
        while True:
            for j in range(STEP):
                v[j] = load_y(source[j] + i)
            interleave(v, STEP)
            if rows.adds:
                for j in range(STEP):
                    v[j] = v[j] + load_y(y + i * STEP + j * LANES)
            for j in range(STEP):
                store_y(y + i * STEP + j * LANES, v[j])
            if i == n - LANES:
                break
            i = min(i + LANES, n - LANES)
        for j in range(STEP):
            source[j] += rows.part_line
        y += rows.y_line


cdef inline void store_rows(const Outputs* rows, Py_ssize_t lines) noexcept nogil:
    cdef Py_ssize_t part, line, i, n, done = 0
    cdef y_t* y
    cdef const y_t* source
    if rows.count == rows.step:
        n = rows.size // rows.step  # whole steps
        if rows.adds:
            n -= n % LANES
        if n >= LANES and rows.step in (2, 4, 8):
            if rows.step == 2:
                interleave_rows(rows, lines, n, 2)
            elif rows.step == 4:
                interleave_rows(rows, lines, n, 4)
            else:
                interleave_rows(rows, lines, n, 8)
            done = n
    for part in range(rows.count):
        n = divide_up(rows.size - rows.phases[part], rows.step)
        if done >= n:
            continue
        source = rows.parts + part * rows.part
        y = rows.y + rows.phases[part]
        for line in range(lines):
            if rows.adds:
                for i in range(done, n):
                    y[i * rows.step] = y[i * rows.step] + source[i]
            elif rows.step == 1:
                copy_row(<x_t*>y, <const x_t*>source, 1, n)  # as they are
            else:
                for i in range(done, n):
                    y[i * rows.step] = source[i]
            source += rows.part_line
            y += rows.y_line
