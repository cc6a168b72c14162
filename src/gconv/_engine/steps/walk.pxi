# Along axes, and rows whose ends are less than a vector.


# Where a walk along axes is: its place along each, and that of each operand.
cdef struct Walk:
    Py_ssize_t at[MOST_AXES]
    Py_ssize_t offset[MOST_OPERANDS]


cdef void walk_to(Walk* walk, const StepAxes* axes, Py_ssize_t number) noexcept nogil:
    """To a position by its number, which there is."""
    cdef Py_ssize_t axis, o
    memset(walk, 0, sizeof(Walk))
    axis = MOST_AXES - 1
    while number > 0:
        walk.at[axis] = number % axes.size[axis]
        number = number // axes.size[axis]
        for o in range(MOST_OPERANDS):
            walk.offset[o] += walk.at[axis] * axes.step[o][axis]
        axis -= 1


cdef void walk_on(Walk* walk, const StepAxes* axes) noexcept nogil:
    """To the next position; from the last one to the first."""
    cdef Py_ssize_t axis = MOST_AXES - 1, o, back
    while axis >= 0:
        walk.at[axis] += 1
        back = 0
        if walk.at[axis] == axes.size[axis]:
            walk.at[axis] = 0
            back = axes.size[axis]
        for o in range(MOST_OPERANDS):
            walk.offset[o] += (1 - back) * axes.step[o][axis]
        if back == 0:
            return
        axis -= 1


cdef inline vec load_upto(const sum_t* p, Py_ssize_t n, sum_t fill) noexcept nogil:
    """LANES elements, or n and then `fill`: nothing behind them is read."""
    return load_sum(p) if n >= LANES else load_first_or(p, n, splat(fill))


cdef inline void store_upto(sum_t* p, Py_ssize_t n, vec v) noexcept nogil:
    """LANES elements, or n of them."""
    cdef sum_t some[LANES_AT_MOST]
    if n >= LANES:
        store_sum(p, v)
    elif MASKED_LOADS:
        store_some(p, lanes_inside(0, n), v)
    else:
        store_sum(some, v)
        copy_few(p, some, n, sizeof(sum_t))


cdef inline vec larger(vec a, vec b) noexcept nogil:
    """NaN where one of them is."""
    return if_nan(a, a, at_least(a, b))


cdef inline vec smaller(vec a, vec b) noexcept nogil:
    """NaN where one of them is."""
    return if_nan(a, a, at_most(a, b))


cdef inline vec exponential_of(vec x) noexcept nogil:
    """exp(x) of any x."""
    cdef Exponential e = exponential(at_most(splat(100), at_least(splat(-150), x)))
    return (e.less_one + splat(1)) * e.first * e.second
