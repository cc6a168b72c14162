# Copies of items of 1, 2, 4 or 8 bytes.


cdef struct CopyPlan:
    Py_ssize_t itemsize
    CopyMode mode
    StepAxes outer
    Py_ssize_t size, x_step, y_step  # of the last axis of y
    Py_ssize_t chunk, chunks  # of the last axis; times `blocks`
    # Of a transposition: the axis of x's neighbours, shared out in blocks as well.
    Py_ssize_t columns, x_column, y_column, blocks

struct_sizes["COPY"] = sizeof(CopyPlan)


cdef inline void copy_strided(
    char* y, const char* x, Py_ssize_t n, Py_ssize_t x_step, Py_ssize_t y_step, Py_ssize_t SIZE
) noexcept nogil:
    """n items of SIZE bytes; steps are in bytes."""
    cdef Py_ssize_t i
    for i in range(n):
        memcpy(y, x, SIZE)
        x += x_step
        y += y_step


cdef void copy_row(
    char* y, const char* x, Py_ssize_t n, Py_ssize_t x_step, Py_ssize_t y_step, Py_ssize_t itemsize
) noexcept nogil:
    if itemsize == 4:
        copy_strided(y, x, n, x_step * 4, y_step * 4, 4)
    elif itemsize == 8:
        copy_strided(y, x, n, x_step * 8, y_step * 8, 8)
    elif itemsize == 1:
        copy_strided(y, x, n, x_step, y_step, 1)
    else:
        copy_strided(y, x, n, x_step * 2, y_step * 2, 2)


cdef void transpose_part(
    const CopyPlan* p, char* y, const char* x, Py_ssize_t c, Py_ssize_t row) noexcept nogil:
    """TRANSPOSED_ROWS rows of y, p.chunk items of each from c on; as many of them at a time, so that
    the lines of x that a row leaves unread are still there for the next one."""
    cdef Py_ssize_t r, columns, rows = min(<Py_ssize_t>TRANSPOSED_ROWS, p.columns - row)
    cdef Py_ssize_t end = min(p.size, c + p.chunk)
    x += row * p.itemsize
    y += row * p.y_column * p.itemsize
    while c < end:
        columns = min(<Py_ssize_t>TRANSPOSED_ROWS, end - c)
        if p.itemsize == sizeof(sum_t):
            transpose_block(<sum_t*>y + c, p.y_column, <const sum_t*>x + c * p.x_step, p.x_step,
                            rows, columns)
        else:
            for r in range(rows):
                copy_row(y + (r * p.y_column + c) * p.itemsize,
                         x + (r + c * p.x_step) * p.itemsize, columns, p.x_step, 1, p.itemsize)
        c += columns


cdef void copy_items(
    const void* own, char* const* at, Py_ssize_t first, Py_ssize_t last, char* scratch
) noexcept nogil:
    cdef const CopyPlan* p = <const CopyPlan*>own
    cdef Walk walk
    cdef Py_ssize_t n, number = first % p.chunks
    cdef const char* x
    cdef char* y
    walk_to(&walk, &p.outer, first // p.chunks)
    while first < last:
        x = at[0] + walk.offset[0] * p.itemsize
        y = at[1] + walk.offset[1] * p.itemsize
        if p.mode == TRANSPOSED:
            transpose_part(p, y, x, number // p.blocks * p.chunk,
                           number % p.blocks * TRANSPOSED_ROWS)
        else:
            n = min(p.chunk, p.size - number * p.chunk)
            x += number * p.chunk * p.x_step * p.itemsize
            y += number * p.chunk * p.y_step * p.itemsize
            if p.mode == RUNS:
                memcpy(y, x, n * p.itemsize)
            else:
                copy_row(y, x, n, p.x_step, p.y_step, p.itemsize)
        first += 1
        number += 1
        if number == p.chunks:
            number = 0
            walk_on(&walk, &p.outer)


ITEMS[<int>COPY] = copy_items
