# Softmax and layer norm.


cdef struct SoftmaxPlan:
    bint log
    StepAxes rows  # operands: x, y
    Py_ssize_t size, x_step, y_step  # of the axis
    Py_ssize_t columns  # neighbours that each have a softmax; 0: the axis's are neighbours
    Py_ssize_t blocks  # of columns

struct_sizes["SOFTMAX"] = sizeof(SoftmaxPlan)


cdef struct LayerNormPlan:
    StepAxes rows  # operands: x, y
    Py_ssize_t size
    double epsilon

struct_sizes["LAYER_NORM"] = sizeof(LayerNormPlan)


cdef inline vec power_below(vec x) noexcept nogil:
    """exp(x) of an x that is not above 0, or NaN."""
    cdef Exponential e = exponential(at_least(splat(far_below()), x))
    return (e.less_one + splat(1)) * e.first * e.second


cdef void softmax_row(const sum_t* x, sum_t* y, Py_ssize_t n, bint log) noexcept nogil:
    """Neighbours: exp(x - max) / sum. The powers are kept in y meanwhile, or their sum alone where
    the logarithm is asked for."""
    cdef vec most = splat(reduce_row(x, n, MAX))
    cdef vec sum = splat(0), power, factor
    cdef sum_t total
    cdef Py_ssize_t i = 0
    while i + LANES <= n:
        power = power_below(load_sum(x + i) - most)
        if not log:
            store_sum(y + i, power)
        sum = sum + power
        i += LANES
    if i < n:
        power = power_below(load_upto(x + i, n - i, -INFINITY) - most)
        if not log:
            store_upto(y + i, n - i, power)
        sum = sum + power  # of the lanes behind the end: 0, or NaN as the others are
    total = of_lanes(sum, SUM)
    factor = splat(1 / total)
    if log:
        factor = splat(logf(total))
    i = 0
    while i < n:
        if log:
            power = load_upto(x + i, n - i, 0) - most - factor
        else:
            power = load_upto(y + i, n - i, 0) * factor
        store_upto(y + i, n - i, power)
        i += LANES


cdef void softmax_columns(
    const SoftmaxPlan* p, const sum_t* x, sum_t* y, Py_ssize_t n, sum_t* t) noexcept nogil:
    """A softmax for each lane, of n at most. x is copied to scratch: its rows may be so far apart
    that few of them share the first-level cache."""
    cdef vec most = splat(-INFINITY), sum = splat(0), power
    cdef sum_t totals[LANES_AT_MOST]
    cdef Py_ssize_t i, lane
    for i in range(p.size):
        power = load_upto(x + i * p.x_step, n, 0)
        store_sum(t + i * LANES, power)
        most = larger(most, power)
    for i in range(p.size):
        power = load_sum(t + i * LANES) - most
        if p.log:
            store_sum(t + i * LANES, power)
        power = power_below(power)
        if not p.log:
            store_sum(t + i * LANES, power)
        sum = sum + power
    if p.log:
        store_sum(totals, sum)
        for lane in range(LANES):
            totals[lane] = logf(totals[lane])
        sum = load_sum(totals)
    else:
        sum = splat(1) / sum
    for i in range(p.size):
        power = load_sum(t + i * LANES)
        store_upto(y + i * p.y_step, n, power - sum if p.log else power * sum)


cdef void softmax_items(
    const void* own, char* const* at, Py_ssize_t first, Py_ssize_t last, char* scratch
) noexcept nogil:
    cdef const SoftmaxPlan* p = <const SoftmaxPlan*>own
    cdef Walk walk
    cdef Py_ssize_t begin, end, block = first % p.blocks
    cdef const sum_t* x
    cdef sum_t* y
    walk_to(&walk, &p.rows, first // p.blocks)
    while first < last:
        x = <const sum_t*>at[0] + walk.offset[0]
        y = <sum_t*>at[1] + walk.offset[1]
        if p.columns == 0:
            softmax_row(x, y, p.size, p.log)
        else:
            begin = block * SOFTMAX_COLUMNS
            end = min(p.columns, begin + SOFTMAX_COLUMNS)
            while begin < end:
                softmax_columns(p, x + begin, y + begin, end - begin, <sum_t*>scratch)
                begin += LANES
        first += 1
        block += 1
        if block == p.blocks:
            block = 0
            walk_on(&walk, &p.rows)


ITEMS[<int>SOFTMAX] = softmax_items


cdef inline double squares_of_row(const sum_t* x, Py_ssize_t n, sum_t mean) noexcept nogil:
    """The sum of (x - mean)**2, in blocks as in `reduce_row`."""
    cdef vec sums[2]
    cdef vec v
    cdef double total = 0
    cdef Py_ssize_t left
    while n > 0:
        left = min(n, block_size() // 2)
        n -= left
        sums[0] = sums[1] = splat(0)
        while left >= 2 * LANES:
            v = load_sum(x) - splat(mean)
            sums[0] = v * v + sums[0]
            v = load_sum(x + LANES) - splat(mean)
            sums[1] = v * v + sums[1]
            x += 2 * LANES
            left -= 2 * LANES
        while left > 0:
            v = load_upto(x, left, mean) - splat(mean)
            sums[0] = v * v + sums[0]
            x += LANES
            left -= LANES
        total += of_lanes(sums[0] + sums[1], SUM)
    return total


cdef void layer_norm_items(
    const void* own, char* const* at, Py_ssize_t first, Py_ssize_t last, char* scratch
) noexcept nogil:
    cdef const LayerNormPlan* p = <const LayerNormPlan*>own
    cdef const sum_t* scale = <const sum_t*>at[1]
    cdef const sum_t* bias = <const sum_t*>at[2]
    cdef Walk walk
    cdef Py_ssize_t i, left
    cdef const sum_t* x
    cdef sum_t* y
    cdef sum_t mean, factor
    cdef vec v
    walk_to(&walk, &p.rows, first)
    while first < last:
        x = <const sum_t*>at[0] + walk.offset[0]
        y = <sum_t*>at[3] + walk.offset[1]
        mean = reduce_row(x, p.size, SUM) / p.size
        factor = 1 / sqrt(squares_of_row(x, p.size, mean) / p.size + p.epsilon)
        i = 0
        while i < p.size:
            left = p.size - i
            v = (load_upto(x + i, left, 0) - splat(mean)) * splat(factor)
            if scale != NULL:
                v = v * load_upto(scale + i, left, 0)
            if bias != NULL:
                v = v + load_upto(bias + i, left, 0)
            store_upto(y + i, left, v)
            i += LANES
        first += 1
        walk_on(&walk, &p.rows)


ITEMS[<int>LAYER_NORM] = layer_norm_items
