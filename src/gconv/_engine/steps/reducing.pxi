# Sums and extremes over axes.
#
# The order of a sum is fixed by the step alone. Neighbours that are summed (`reduce_along`) fall to
# the lanes of four vectors, and BLOCK elements are summed before the sum joins those of the blocks
# before; where kept elements are neighbours (`reduce_across`), each lane sums its own, again in
# blocks.


cdef struct ReducePlan:
    Reduction operation
    bint across
    StepAxes kept  # operands: x, y
    StepAxes reduced  # of x, without the last one of `reduce_along`
    Py_ssize_t runs  # positions along the reduced axes
    Py_ssize_t size, x_step  # of a run along the last reduced axis
    Py_ssize_t columns, x_column, y_column  # the last kept axis of `reduce_across`
    Py_ssize_t blocks  # of columns
    sum_t count  # elements of a mean

struct_sizes["REDUCE"] = sizeof(ReducePlan)


cdef enum:
    BLOCK = 4096  # elements
    RUNS_OF_BLOCK = 32
    SUMS = 4  # vectors


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
    """The lanes of a vector, reduced by halves."""
    cdef sum_t lanes[2 * LANES_AT_MOST]
    cdef Py_ssize_t half = LANES // 2
    store_sum(lanes + LANES, v)  # vectors that begin in the middle end here
    while half > 0:  # the upper half joins the lower one; what is above that is not used
        store_sum(lanes, v)
        v = reduced(v, load_sum(lanes + half), OPERATION)
        half = half // 2
    store_sum(lanes, v)
    return lanes[0]


cdef inline void reduce_run(
    vec total[SUMS], const sum_t* x, Py_ssize_t n, Reduction OPERATION) noexcept nogil:
    """Neighbours, into four vectors."""
    cdef vec sums[SUMS]
    cdef Py_ssize_t left, v
    cdef sum_t fill = neutral(OPERATION)
    while n > 0:
        left = min(n, <Py_ssize_t>BLOCK)
        n -= left
        for v in range(SUMS):
            sums[v] = splat(fill)
        while left >= SUMS * LANES:
            for v in range(SUMS):
                sums[v] = reduced(sums[v], load_sum(x + v * LANES), OPERATION)
            x += SUMS * LANES
            left -= SUMS * LANES
        while left > 0:
            sums[0] = reduced(sums[0], load_upto(x, left, fill), OPERATION)
            x += LANES
            left -= LANES
        x += min(left, 0)
        for v in range(SUMS):
            total[v] = reduced(total[v], sums[v], OPERATION)


cdef inline sum_t reduce_row(const sum_t* x, Py_ssize_t n, Reduction OPERATION) noexcept nogil:
    """Neighbours."""
    cdef vec total[SUMS]
    cdef Py_ssize_t v
    for v in range(SUMS):
        total[v] = splat(neutral(OPERATION))
    reduce_run(total, x, n, OPERATION)
    return of_lanes(reduced(reduced(total[0], total[1], OPERATION),
                            reduced(total[2], total[3], OPERATION), OPERATION), OPERATION)


cdef inline sum_t reduce_along(
    const ReducePlan* p, const sum_t* x, Reduction OPERATION) noexcept nogil:
    """All of a kept position, along runs."""
    cdef vec total[SUMS]
    cdef sum_t gathered[REDUCED_COLUMNS]
    cdef const sum_t* run_x
    cdef Walk walk
    cdef Py_ssize_t run, v, i, n
    for v in range(SUMS):
        total[v] = splat(neutral(OPERATION))
    walk_to(&walk, &p.reduced, 0)
    for run in range(p.runs):
        run_x = x + walk.offset[0]
        if p.x_step == 1:
            reduce_run(total, run_x, p.size, OPERATION)
        else:
            i = 0
            while i < p.size:
                n = min(<Py_ssize_t>REDUCED_COLUMNS, p.size - i)
                for v in range(n):
                    gathered[v] = run_x[(i + v) * p.x_step]
                reduce_run(total, gathered, n, OPERATION)
                i += n
        walk_on(&walk, &p.reduced)
    return of_lanes(reduced(reduced(total[0], total[1], OPERATION),
                            reduced(total[2], total[3], OPERATION), OPERATION), OPERATION)


cdef inline void reduce_across(
    const ReducePlan* p, const sum_t* x, sum_t* y, Py_ssize_t columns, Reduction OPERATION
) noexcept nogil:
    """Up to four vectors of kept positions."""
    cdef vec total[SUMS]
    cdef vec sums[SUMS]
    cdef sum_t results[REDUCED_COLUMNS]
    cdef const sum_t* run_x
    cdef Walk walk
    cdef Py_ssize_t run, v, vectors = (columns + LANES - 1) // LANES, pending = 0
    cdef sum_t fill = neutral(OPERATION)
    for v in range(SUMS):
        total[v] = sums[v] = splat(fill)
    walk_to(&walk, &p.reduced, 0)
    for run in range(p.runs):
        run_x = x + walk.offset[0]
        if columns == SUMS * LANES:
            for v in range(SUMS):
                sums[v] = reduced(sums[v], load_sum(run_x + v * LANES), OPERATION)
        else:
            for v in range(vectors):
                sums[v] = reduced(
                    sums[v], load_upto(run_x + v * LANES, columns - v * LANES, fill), OPERATION)
        pending += 1
        if pending == RUNS_OF_BLOCK:
            pending = 0
            for v in range(SUMS):
                total[v] = reduced(total[v], sums[v], OPERATION)
                sums[v] = splat(fill)
        walk_on(&walk, &p.reduced)
    for v in range(vectors):
        total[v] = reduced(total[v], sums[v], OPERATION)
        if OPERATION == SUM:
            total[v] = total[v] / splat(p.count)
        if p.y_column == 1:
            store_upto(y + v * LANES, columns - v * LANES, total[v])
        else:
            store_sum(results + v * LANES, total[v])
    if p.y_column != 1:
        for v in range(columns):
            y[v * p.y_column] = results[v]


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
            y[0] = reduce_along(p, x, OPERATION)
            if OPERATION == SUM:
                y[0] /= p.count
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
    else:  # the count of a sum is 1
        reduce_items_by(p, at, first, last, SUM)


ITEMS[<int>REDUCE] = reduce_items
