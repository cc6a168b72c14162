# Resizing by tables: of every output along an axis, the element that it is (nearest), or two and the
# weight of the second (linear).
#
# Linear: the rows that an output row lies between are combined into a row of scratch first, then its
# columns. Rows and columns that are repeated a whole number of times need no table.


cdef struct ResizePlan:
    bint linear
    StepAxes images  # operands: x, y
    Py_ssize_t in_size[3]
    Py_ssize_t out_size[3]
    Py_ssize_t x_axis[3]
    Py_ssize_t y_axis[3]
    const int* low[3]
    const int* high[3]
    const sum_t* weight[3]
    Py_ssize_t factor  # by which columns are repeated; of linear 2 or none; 0: see the tables

struct_sizes["RESIZE"] = sizeof(ResizePlan)


cdef inline void repeat_columns(
    sum_t* y, const sum_t* x, Py_ssize_t n, Py_ssize_t factor) noexcept nogil:
    """Every element `factor` times."""
    cdef Py_ssize_t i = 0, f
    cdef vec v
    if factor == 2:
        while i < n:
            v = load_upto(x + i, n - i, 0)
            store_upto(y + 2 * i, 2 * (n - i), interleave_low(v, v))
            if 2 * (n - i) > LANES:
                store_upto(y + 2 * i + LANES, 2 * (n - i) - LANES, interleave_high(v, v))
            i += LANES
    while i < n:
        for f in range(factor):
            y[i * factor + f] = x[i]
        i += 1


cdef inline void double_columns(sum_t* y, const sum_t* t, Py_ssize_t n) noexcept nogil:
    """Every element a quarter before and behind its place, 2 n in all. t has the first and the last
    one once more before and behind its n elements, and room for a vector."""
    cdef vec near = splat(0.75), far = splat(0.25), here, before, behind
    cdef Py_ssize_t i = 0, left
    while i < n:
        here = near * load_sum(t + i)
        before = far * load_sum(t + i - 1) + here
        behind = far * load_sum(t + i + 1) + here
        left = 2 * (n - i)
        store_upto(y + 2 * i, left, interleave_low(before, behind))
        if left > LANES:
            store_upto(y + 2 * i + LANES, left - LANES, interleave_high(before, behind))
        i += LANES


cdef inline void nearest_row(const ResizePlan* p, const sum_t* x, sum_t* y) noexcept nogil:
    cdef Py_ssize_t i
    if p.factor == 1:
        memcpy(y, x, p.in_size[2] * sizeof(sum_t))
    elif p.factor > 1:
        repeat_columns(y, x, p.in_size[2], p.factor)
    else:
        for i in range(p.out_size[2]):
            y[i] = x[p.low[2][i]]


cdef inline void linear_row(
    const ResizePlan* p, const sum_t* x, sum_t* y, Py_ssize_t d, Py_ssize_t h, sum_t* t
) noexcept nogil:
    """The output row h of plane d; x is the image's. t has room for a row and a vector each before
    and behind it."""
    cdef const sum_t* x00 = x + p.low[0][d] * p.x_axis[0] + p.low[1][h] * p.x_axis[1]
    cdef const sum_t* x01 = x + p.low[0][d] * p.x_axis[0] + p.high[1][h] * p.x_axis[1]
    cdef const sum_t* x10 = x + p.high[0][d] * p.x_axis[0] + p.low[1][h] * p.x_axis[1]
    cdef const sum_t* x11 = x + p.high[0][d] * p.x_axis[0] + p.high[1][h] * p.x_axis[1]
    cdef sum_t deep = p.weight[0][d], far = p.weight[1][h]
    cdef Py_ssize_t i = 0, n = p.in_size[2], left
    cdef vec v, w
    cdef sum_t weight
    t += LANES
    while i < n:
        left = n - i
        v = load_upto(x00 + i, left, 0)
        if far != 0:
            v = v * splat(1 - far) + load_upto(x01 + i, left, 0) * splat(far)
        if deep != 0:
            w = load_upto(x10 + i, left, 0)
            if far != 0:
                w = w * splat(1 - far) + load_upto(x11 + i, left, 0) * splat(far)
            v = v * splat(1 - deep) + w * splat(deep)
        store_sum(t + i, v)
        i += LANES
    if p.factor == 2:
        (t - 1)[0] = t[0]
        t[n] = t[n - 1]
        double_columns(y, t, n)
        return
    for i in range(p.out_size[2]):
        weight = p.weight[2][i]
        y[i] = t[p.low[2][i]] * (1 - weight) + t[p.high[2][i]] * weight


cdef void resize_items(
    const void* own, char* const* at, Py_ssize_t first, Py_ssize_t last, char* scratch
) noexcept nogil:
    cdef const ResizePlan* p = <const ResizePlan*>own
    cdef Py_ssize_t h = first % p.out_size[1]
    cdef Py_ssize_t d = first // p.out_size[1] % p.out_size[0]
    cdef Walk walk
    cdef const sum_t* x
    cdef const sum_t* row
    cdef const sum_t* row_before = NULL
    cdef const sum_t* y_before = NULL
    cdef sum_t* y
    walk_to(&walk, &p.images, first // (p.out_size[1] * p.out_size[0]))
    while first < last:
        x = <const sum_t*>at[0] + walk.offset[0]
        y = <sum_t*>at[1] + walk.offset[1] + d * p.y_axis[0] + h * p.y_axis[1]
        if p.linear:
            linear_row(p, x, y, d, h, <sum_t*>scratch)
        else:
            row = x + p.low[0][d] * p.x_axis[0] + p.low[1][h] * p.x_axis[1]
            if row == row_before:  # the row above is the same
                memcpy(y, y_before, p.out_size[2] * sizeof(sum_t))
            else:
                nearest_row(p, row, y)
            row_before = row
            y_before = y
        first += 1
        h += 1
        if h == p.out_size[1]:
            h = 0
            d += 1
            if d == p.out_size[0]:
                d = 0
                walk_on(&walk, &p.images)


ITEMS[<int>RESIZE] = resize_items
