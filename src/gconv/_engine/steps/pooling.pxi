# Max and average pooling: some rows of outputs at a time.
#
# For each of them, the kernel's rows that lie in the image are reduced into a row of scratch, column
# by column:
#
#     | padding | columns of x | what windows reach behind them |
#
# Then the kernel's columns are reduced: of neighbouring outputs by vectors, where the stride is 1 or
# 2. That begins when several rows are there: vectors that lie across two which have just been
# written have to wait until these are in the cache. An average is divided by the number of elements that count, the product of those along each axis.


cdef struct PoolPlan:
    Reduction operation
    Py_ssize_t images, channels
    Py_ssize_t in_size[3]
    Py_ssize_t out_size[3]
    Py_ssize_t kernel[3]
    Py_ssize_t stride[3]
    Py_ssize_t dilation[3]
    Py_ssize_t padding[3]
    Py_ssize_t x_image, x_channel
    Py_ssize_t x_axis[3]
    Py_ssize_t y_image, y_channel
    Py_ssize_t y_axis[3]
    const sum_t* counts[3]  # of each window along an axis, its elements that count
    Py_ssize_t room  # elements of a row in scratch
    Py_ssize_t rows  # in scratch

struct_sizes["POOL"] = sizeof(PoolPlan)


cdef enum:
    ROWS_AT_ONCE = 16


cdef inline vec pooled(vec a, vec b, Reduction OPERATION) noexcept nogil:
    return larger(a, b) if OPERATION == MAX else a + b


cdef inline void pool_neighbours(
    sum_t* t, const sum_t** rows, Py_ssize_t COUNT, Py_ssize_t n, Reduction OPERATION
) noexcept nogil:
    cdef Py_ssize_t i = 0, r
    cdef vec v, w
    while i + 2 * LANES <= n:
        v = load_sum(rows[0] + i)
        w = load_sum(rows[0] + i + LANES)
        for r in range(1, COUNT):
            v = pooled(v, load_sum(rows[r] + i), OPERATION)
            w = pooled(w, load_sum(rows[r] + i + LANES), OPERATION)
        store_sum(t + i, v)
        store_sum(t + i + LANES, w)
        i += 2 * LANES
    while i < n:
        v = load_upto(rows[0] + i, n - i, 0)
        for r in range(1, COUNT):
            v = pooled(v, load_upto(rows[r] + i, n - i, 0), OPERATION)
        store_upto(t + i, n - i, v)
        i += LANES


cdef inline void pool_rows(
    sum_t* t, const sum_t** rows, Py_ssize_t count, Py_ssize_t n, Py_ssize_t step,
    Reduction OPERATION) noexcept nogil:
    """Reduce n columns of some rows into t, which may be one of them."""
    cdef Py_ssize_t i, r
    cdef sum_t some
    if step != 1:
        for i in range(n):
            some = rows[0][i if rows[0] == t else i * step]
            for r in range(1, count):
                if OPERATION != MAX:
                    some += rows[r][i * step]
                elif not rows[r][i * step] <= some and some == some:
                    some = rows[r][i * step]
            t[i] = some
    elif count == 3:
        pool_neighbours(t, rows, 3, n, OPERATION)
    elif count == 2:
        pool_neighbours(t, rows, 2, n, OPERATION)
    else:
        pool_neighbours(t, rows, count, n, OPERATION)


cdef inline vec pool_places(
    const sum_t* t, Py_ssize_t stride, Py_ssize_t outputs) noexcept nogil:
    """Every stride-th element, for so many neighbouring outputs, or for all lanes. Behind what these
    need, a row of scratch has room for two vectors."""
    cdef sum_t some[LANES_AT_MOST]
    cdef Py_ssize_t lane
    if stride == 1:
        return load_sum(t)
    if stride == 2:
        return even_places(load_sum(t), load_sum(t + LANES))
    for lane in range(LANES):
        some[lane] = t[min(lane, outputs - 1) * stride]
    return load_sum(some)


cdef inline void pool_columns(
    const PoolPlan* p, sum_t* y, const sum_t* t, sum_t count, Py_ssize_t STRIDE,
    Py_ssize_t KERNEL, Reduction OPERATION) noexcept nogil:
    """A row of y from the row of scratch; `count` is that of its window's rows and planes."""
    cdef Py_ssize_t i = 0, k, lane, left
    cdef sum_t some[LANES_AT_MOST]
    cdef const sum_t* window
    cdef vec v
    while i < p.out_size[2]:
        left = p.out_size[2] - i
        window = t + i * STRIDE
        v = pool_places(window, STRIDE, left)
        for k in range(1, KERNEL):
            window += p.dilation[2]
            v = pooled(v, pool_places(window, STRIDE, left), OPERATION)
        if OPERATION == MEAN:
            v = v / (splat(count) * load_upto(p.counts[2] + i, left, 1))
        if p.y_axis[2] == 1:
            store_upto(y + i, left, v)
        else:
            store_sum(some, v)
            for lane in range(min(left, LANES)):
                y[(i + lane) * p.y_axis[2]] = some[lane]
        i += LANES


cdef inline void pool_windows(
    const PoolPlan* p, const sum_t* x, Py_ssize_t d, Py_ssize_t h, sum_t* t, Reduction OPERATION
) noexcept nogil:
    """The rows of the windows of the output row h of plane d; x is the channel's first element."""
    cdef const sum_t* rows[ROWS_AT_ONCE]
    cdef sum_t* columns = t + p.padding[2]
    cdef Py_ssize_t kd, kh, plane, row, i, count = 0
    cdef sum_t fill = -INFINITY if OPERATION == MAX else 0
    cdef bint any_row = False
    for kd in range(p.kernel[0]):
        plane = d * p.stride[0] - p.padding[0] + kd * p.dilation[0]
        if plane < 0 or plane >= p.in_size[0]:
            continue
        for kh in range(p.kernel[1]):
            row = h * p.stride[1] - p.padding[1] + kh * p.dilation[1]
            if row < 0 or row >= p.in_size[1]:
                continue
            if count == ROWS_AT_ONCE:
                pool_rows(columns, rows, count, p.in_size[2], p.x_axis[2], OPERATION)
                rows[0] = columns
                count = 1
            rows[count] = x + plane * p.x_axis[0] + row * p.x_axis[1]
            count += 1
            any_row = True
    if any_row:
        pool_rows(columns, rows, count, p.in_size[2], p.x_axis[2], OPERATION)
    else:
        for i in range(p.in_size[2]):
            columns[i] = fill


cdef void max_windows(
    const PoolPlan* p, const sum_t* x, Py_ssize_t d, Py_ssize_t h, sum_t* t) noexcept nogil:
    pool_windows(p, x, d, h, t, MAX)


cdef void sum_windows(
    const PoolPlan* p, const sum_t* x, Py_ssize_t d, Py_ssize_t h, sum_t* t) noexcept nogil:
    pool_windows(p, x, d, h, t, MEAN)


cdef inline void pool_rows_of(
    const PoolPlan* p, const sum_t* x, sum_t* y, Py_ssize_t d, Py_ssize_t h, Py_ssize_t rows,
    sum_t* t, Py_ssize_t STRIDE, Py_ssize_t KERNEL, Reduction OPERATION) noexcept nogil:
    """Some output rows of plane d."""
    cdef Py_ssize_t row
    for row in range(rows):
        if OPERATION == MAX:
            max_windows(p, x, d, h + row, t + row * p.room)
        else:
            sum_windows(p, x, d, h + row, t + row * p.room)
    y += d * p.y_axis[0] + h * p.y_axis[1]
    for row in range(rows):
        pool_columns(p, y + row * p.y_axis[1], t + row * p.room,
                     p.counts[0][d] * p.counts[1][h + row], STRIDE, KERNEL, OPERATION)


cdef inline void pool_items_by(
    const PoolPlan* p, char* const* at, Py_ssize_t first, Py_ssize_t last, sum_t* t,
    Reduction OPERATION) noexcept nogil:
    cdef Py_ssize_t h = first % p.out_size[1]
    cdef Py_ssize_t d = first // p.out_size[1] % p.out_size[0]
    cdef Py_ssize_t plane = first // (p.out_size[1] * p.out_size[0])
    cdef Py_ssize_t channel = plane % p.channels, image = plane // p.channels
    cdef const sum_t* x
    cdef sum_t* y
    cdef Py_ssize_t i, rows
    for i in range(p.rows * p.room):
        t[i] = -INFINITY if OPERATION == MAX else 0
    while first < last:
        x = <const sum_t*>at[0] + image * p.x_image + channel * p.x_channel
        y = <sum_t*>at[1] + image * p.y_image + channel * p.y_channel
        while first < last and d < p.out_size[0]:
            rows = min(p.rows, min(last - first, p.out_size[1] - h))
            if p.stride[2] == 1 and p.kernel[2] == 3:
                pool_rows_of(p, x, y, d, h, rows, t, 1, 3, OPERATION)
            elif p.stride[2] == 1:
                pool_rows_of(p, x, y, d, h, rows, t, 1, p.kernel[2], OPERATION)
            elif p.stride[2] == 2 and p.kernel[2] == 3:
                pool_rows_of(p, x, y, d, h, rows, t, 2, 3, OPERATION)
            elif p.stride[2] == 2:
                pool_rows_of(p, x, y, d, h, rows, t, 2, p.kernel[2], OPERATION)
            else:
                pool_rows_of(p, x, y, d, h, rows, t, p.stride[2], p.kernel[2], OPERATION)
            first += rows
            h += rows
            if h == p.out_size[1]:
                h = 0
                d += 1
        d = 0
        channel += 1
        if channel == p.channels:
            channel = 0
            image += 1


cdef void pool_items(
    const void* own, char* const* at, Py_ssize_t first, Py_ssize_t last, char* scratch
) noexcept nogil:
    cdef const PoolPlan* p = <const PoolPlan*>own
    if p.operation == MAX:
        pool_items_by(p, at, first, last, <sum_t*>scratch, MAX)
    else:
        pool_items_by(p, at, first, last, <sum_t*>scratch, MEAN)


ITEMS[<int>POOL] = pool_items
