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


cdef inline sum_t of_lanes(vec v, Reduction OPERATION) noexcept nogil:
    """The lanes of a vector, reduced in pairs of neighbours, and pairs of pairs."""
    cdef sum_t lanes[LANES_AT_MOST]
    cdef Py_ssize_t width = 1
    while width < LANES:
        v = reduced(even_places(v, v), odd_places(v, v), OPERATION)
        width *= 2
    store_sum(lanes, v)
    return lanes[0]


cdef inline sum_t of_vectors(vec sums[SUMS], Reduction OPERATION) noexcept nogil:
    return of_lanes(reduced(reduced(sums[0], sums[1], OPERATION),
                            reduced(sums[2], sums[3], OPERATION), OPERATION), OPERATION)


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
        total = joined(total, of_vectors(sums, OPERATION), OPERATION)
        i += block_size()
    return total


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
            if pending >= block_size():
                total = joined(total, of_vectors(sums, OPERATION), OPERATION)
                clear_sums(sums, OPERATION)
                pending = 0
        walk_on(&walk, &p.reduced)
    return joined(total, of_vectors(sums, OPERATION), OPERATION)


cdef inline void join_columns(
    double* total, const vec sums[SUMS], Reduction OPERATION) noexcept nogil:
    cdef sum_t results[SUMS * LANES_AT_MOST]
    cdef Py_ssize_t v
    for v in range(SUMS):
        store_sum(results + v * LANES, sums[v])
    for v in range(SUMS * LANES):
        total[v] = joined(total[v], results[v], OPERATION)


cdef inline void reduce_across(
    const ReducePlan* p, const sum_t* x, sum_t* y, Py_ssize_t columns, Reduction OPERATION
) noexcept nogil:
    """Up to four vectors of kept positions."""
    cdef vec sums[SUMS]
    cdef double total[SUMS * LANES_AT_MOST]
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
        if pending == SUMMANDS:
            pending = 0
            join_columns(total, sums, OPERATION)
            clear_sums(sums, OPERATION)
        walk_on(&walk, &p.reduced)
    join_columns(total, sums, OPERATION)
    for v in range(columns):
        y[v * p.y_column] = total[v] / p.count


cdef inline void reduce_items_by(
    const ReducePlan* p, char* const* at, Py_ssize_t first, Py_ssize_t last, Reduction OPERATION
) noexcept nogil:
    cdef Walk walk
    cdef Py_ssize_t begin, block = first % p.blocks
    cdef const sum_t* x
    cdef sum_t* y
    walk_to(&walk, &p.kept, first // p.blocks)
    while first < last:
        x = <const sum_t*>at[0] + walk.offset[0]
        y = <sum_t*>at[1] + walk.offset[1]
        if p.across:
            begin = block * REDUCED_COLUMNS
            while begin < min(p.columns, (block + 1) * REDUCED_COLUMNS):
                reduce_across(p, x + begin, y + begin * p.y_column,
                              min(p.columns - begin, SUMS * LANES), OPERATION)
                begin += SUMS * LANES
        else:
            y[0] = reduce_along(p, x, OPERATION) / p.count
        first += 1
        block += 1
        if block == p.blocks:
            block = 0
            walk_on(&walk, &p.kept)


cdef void reduce_items(
    const void* own, char* const* at, Py_ssize_t first, Py_ssize_t last, char* scratch
) noexcept nogil:
    cdef const ReducePlan* p = <const ReducePlan*>own
    if p.operation == MAX:
        reduce_items_by(p, at, first, last, MAX)
    elif p.operation == MIN:
        reduce_items_by(p, at, first, last, MIN)
    else:
        reduce_items_by(p, at, first, last, SUM)


ITEMS[<int>REDUCE] = reduce_items
