# Sums and extremes over axes.
#
# The order of a sum is fixed by the step alone. Neighbours that are summed (`reduce_along`) fall to
# the lanes of four vectors, in blocks of SUMMANDS vectors each; where kept elements are neighbours
# (`reduce_across`), each lane sums its own, in blocks of as many. The sums of blocks are added
# in double precision.


cdef struct ReducePlan:
    Reduction operation
    bint across
    StepAxes kept  # operands: x, y
    StepAxes reduced  # of x, without the last one of `reduce_along`
    Py_ssize_t runs  # positions along the reduced axes
    Py_ssize_t size, x_step  # of a run along the last reduced axis
    Py_ssize_t columns, x_column, y_column  # the last kept axis of `reduce_across`
    Py_ssize_t blocks  # of columns
    sum_t count  # elements of a mean; else 1

struct_sizes["REDUCE"] = sizeof(ReducePlan)


cdef enum:
    SUMS = 4  # vectors
    SUMMANDS = 32  # of each lane in a block
    ROWS = 4  # kept positions that are reduced together


cdef inline Py_ssize_t block_size() noexcept nogil:
    """Elements."""
    return SUMMANDS * SUMS * LANES


cdef inline vec reduced(vec a, vec b, Reduction OPERATION) noexcept nogil:
    if OPERATION == MAX:
        return larger(a, b)
    if OPERATION == MIN:
        return smaller(a, b)
    return a + b


cdef inline sum_t neutral(Reduction OPERATION) noexcept nogil:
    if OPERATION == MAX:
        return -INFINITY
    if OPERATION == MIN:
        return INFINITY
    return 0


cdef inline vec of_pairs(vec a, vec b, Reduction OPERATION) noexcept nogil:
    """The pairs of neighbours of a, then those of b."""
    return reduced(even_places(a, b), odd_places(a, b), OPERATION)


cdef inline sum_t of_lanes(vec v, Reduction OPERATION) noexcept nogil:
    """The lanes of a vector, reduced in pairs of neighbours, and pairs of pairs."""
    cdef sum_t lanes[LANES_AT_MOST]
    cdef Py_ssize_t width = 1
    while width < LANES:
        v = of_pairs(v, v, OPERATION)
        width *= 2
    store_sum(lanes, v)
    return lanes[0]


cdef inline vec as_one(vec sums[SUMS], Reduction OPERATION) noexcept nogil:
    """The lanes of four vectors, each reduced to one."""
    return reduced(reduced(sums[0], sums[1], OPERATION), reduced(sums[2], sums[3], OPERATION),
                   OPERATION)


cdef inline double joined(double a, double b, Reduction OPERATION) noexcept nogil:
    """The results of two blocks."""
    if OPERATION == MAX:
        return b if b > a or b != b else a
    if OPERATION == MIN:
        return b if b < a or b != b else a
    return a + b


cdef inline void clear_sums(vec sums[SUMS], Reduction OPERATION) noexcept nogil:
    cdef Py_ssize_t v
    for v in range(SUMS):
        sums[v] = splat(neutral(OPERATION))


cdef inline void reduce_block(
    vec sums[SUMS], const sum_t* x, Py_ssize_t n, Reduction OPERATION) noexcept nogil:
    """Neighbours, into four vectors."""
    cdef Py_ssize_t v
    while n >= SUMS * LANES:
        for v in range(SUMS):
            sums[v] = reduced(sums[v], load_sum(x + v * LANES), OPERATION)
        x += SUMS * LANES
        n -= SUMS * LANES
    while n > 0:
        sums[0] = reduced(sums[0], load_upto(x, n, neutral(OPERATION)), OPERATION)
        x += LANES
        n -= LANES


cdef inline double reduce_row(const sum_t* x, Py_ssize_t n, Reduction OPERATION) noexcept nogil:
    """Neighbours."""
    cdef vec sums[SUMS]
    cdef double total = neutral(OPERATION)
    cdef Py_ssize_t i = 0
    while i < n:
        clear_sums(sums, OPERATION)
        reduce_block(sums, x + i, min(block_size(), n - i), OPERATION)
        total = joined(total, of_lanes(as_one(sums, OPERATION), OPERATION), OPERATION)
        i += block_size()
    return total


cdef inline void lanes_of_rows(
    vec rows[ROWS], sum_t total[ROWS], Reduction OPERATION) noexcept nogil:
    """The lanes of each vector, reduced as `of_lanes` does it, together."""
    cdef sum_t lanes[LANES_AT_MOST]
    cdef Py_ssize_t row, width = ROWS
    rows[0] = of_pairs(of_pairs(rows[0], rows[1], OPERATION),
                       of_pairs(rows[2], rows[3], OPERATION), OPERATION)
    while width < LANES:
        rows[0] = of_pairs(rows[0], rows[0], OPERATION)
        width *= 2
    store_sum(lanes, rows[0])
    for row in range(ROWS):
        total[row] = lanes[row]


cdef inline void reduce_rows(
    const sum_t* const x[ROWS], Py_ssize_t n, sum_t total[ROWS], Reduction OPERATION
) noexcept nogil:
    """Rows of a block at most, each as `reduce_row` does it."""
    cdef vec rows[ROWS]
    cdef vec sums[SUMS]
    cdef Py_ssize_t row
    for row in range(ROWS):
        clear_sums(sums, OPERATION)
        reduce_block(sums, x[row], n, OPERATION)
        rows[row] = as_one(sums, OPERATION)
    lanes_of_rows(rows, total, OPERATION)


cdef inline double reduce_along(
    const ReducePlan* p, const sum_t* x, Reduction OPERATION) noexcept nogil:
    """All of a kept position, along runs. A block is several short ones, or a part of a long one."""
    cdef vec sums[SUMS]
    cdef sum_t gathered[REDUCED_COLUMNS]
    cdef const sum_t* part
    cdef double total = neutral(OPERATION)
    cdef Walk walk
    cdef Py_ssize_t run, i, j, n, pending = 0
    clear_sums(sums, OPERATION)
    walk_to(&walk, &p.reduced, 0)
    for run in range(p.runs):
        i = 0
        while i < p.size:
            n = min(block_size() if p.x_step == 1 else <Py_ssize_t>REDUCED_COLUMNS,
                    p.size - i)
            part = x + walk.offset[0] + i * p.x_step
            if p.x_step != 1:
                for j in range(n):
                    gathered[j] = part[j * p.x_step]
                part = gathered
            reduce_block(sums, part, n, OPERATION)
            i += n
            pending += n
            if pending >= block_size() or (run == p.runs - 1 and i == p.size):
                total = joined(total, of_lanes(as_one(sums, OPERATION), OPERATION), OPERATION)
                clear_sums(sums, OPERATION)
                pending = 0
        if run < p.runs - 1:
            walk_on(&walk, &p.reduced)
    return total


cdef void join_columns(double* total, const sum_t* results, Reduction operation) noexcept nogil:
    cdef Py_ssize_t v
    if operation == SUM:
        for v in range(SUMS * LANES):
            total[v] += results[v]
        return
    for v in range(SUMS * LANES):
        total[v] = joined(total[v], results[v], operation)


cdef inline void reduce_across(
    const ReducePlan* p, const sum_t* x, Py_ssize_t columns, double* total, Reduction OPERATION
) noexcept nogil:
    """Up to four vectors of kept positions."""
    cdef vec sums[SUMS]
    cdef sum_t results[SUMS * LANES_AT_MOST]
    cdef const sum_t* run_x
    cdef Walk walk
    cdef Py_ssize_t run, v, vectors = (columns + LANES - 1) // LANES, pending = 0
    for v in range(SUMS * LANES):
        total[v] = neutral(OPERATION)
    clear_sums(sums, OPERATION)
    walk_to(&walk, &p.reduced, 0)
    for run in range(p.runs):
        run_x = x + walk.offset[0]
        if columns == SUMS * LANES:
            for v in range(SUMS):
                sums[v] = reduced(sums[v], load_sum(run_x + v * LANES), OPERATION)
        else:
            for v in range(vectors):
                sums[v] = reduced(
                    sums[v], load_upto(run_x + v * LANES, columns - v * LANES, 0), OPERATION)
        pending += 1
        if pending == SUMMANDS or run == p.runs - 1:
            pending = 0
            for v in range(SUMS):
                store_sum(results + v * LANES, sums[v])
            join_columns(total, results, OPERATION)
            clear_sums(sums, OPERATION)
        if run < p.runs - 1:
            walk_on(&walk, &p.reduced)


cdef inline void reduce_by(
    const ReducePlan* p, const sum_t* x, Py_ssize_t columns, double* total, Reduction OPERATION
) noexcept nogil:
    if p.across:
        reduce_across(p, x, columns, total, OPERATION)
    else:
        total[0] = reduce_along(p, x, OPERATION)


ctypedef void (*reduce_function)(
    const ReducePlan* p, const sum_t* x, Py_ssize_t columns, double* total) noexcept nogil


cdef void reduce_to_max(
    const ReducePlan* p, const sum_t* x, Py_ssize_t columns, double* total) noexcept nogil:
    reduce_by(p, x, columns, total, MAX)


cdef void reduce_to_min(
    const ReducePlan* p, const sum_t* x, Py_ssize_t columns, double* total) noexcept nogil:
    reduce_by(p, x, columns, total, MIN)


cdef void reduce_to_sum(
    const ReducePlan* p, const sum_t* x, Py_ssize_t columns, double* total) noexcept nogil:
    reduce_by(p, x, columns, total, SUM)


cdef Py_ssize_t reduce_short_rows(
    const ReducePlan* p, char* const* at, Py_ssize_t first, Py_ssize_t last
) noexcept nogil:
    """Kept positions whose elements are one run, as many as are whole groups of ROWS; the first
    that is left."""
    cdef const sum_t* x[ROWS]
    cdef sum_t* y[ROWS]
    cdef sum_t total[ROWS]
    cdef Walk walk
    cdef Py_ssize_t row
    walk_to(&walk, &p.kept, first)
    while first + ROWS <= last:
        for row in range(ROWS):
            x[row] = <const sum_t*>at[0] + walk.offset[0]
            y[row] = <sum_t*>at[1] + walk.offset[1]
            walk_on(&walk, &p.kept)
        if p.operation == MAX:
            reduce_rows(x, p.size, total, MAX)
        elif p.operation == MIN:
            reduce_rows(x, p.size, total, MIN)
        else:
            reduce_rows(x, p.size, total, SUM)
        for row in range(ROWS):
            y[row][0] = joined(neutral(p.operation), total[row], p.operation) / p.count
        first += ROWS
    return first


cdef void reduce_items(
    const void* own, char* const* at, Py_ssize_t first, Py_ssize_t last, char* scratch
) noexcept nogil:
    cdef const ReducePlan* p = <const ReducePlan*>own
    cdef reduce_function reduce = reduce_to_sum
    cdef double total[SUMS * LANES_AT_MOST]
    cdef Walk walk
    cdef Py_ssize_t begin, end, v, columns, block
    cdef const sum_t* x
    cdef sum_t* y
    if p.operation == MAX:
        reduce = reduce_to_max
    elif p.operation == MIN:
        reduce = reduce_to_min
    if not p.across and p.runs == 1 and p.x_step == 1 and p.size <= block_size():
        first = reduce_short_rows(p, at, first, last)
        if first == last:
            return
    block = first % p.blocks
    walk_to(&walk, &p.kept, first // p.blocks)
    while first < last:
        x = <const sum_t*>at[0] + walk.offset[0]
        y = <sum_t*>at[1] + walk.offset[1]
        begin = block * REDUCED_COLUMNS
        end = min(p.columns, begin + REDUCED_COLUMNS)
        while begin < end:
            columns = min(end - begin, SUMS * LANES)
            reduce(p, x + begin, columns, total)
            for v in range(columns):
                y[(begin + v) * p.y_column] = total[v] / p.count
            begin += columns
        first += 1
        block += 1
        if block == p.blocks:
            block = 0
            walk_on(&walk, &p.kept)


ITEMS[<int>REDUCE] = reduce_items
