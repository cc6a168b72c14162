# The epilogue: what is done to the sums before they are the result,
#
#     y = activation(sum + residual)
#
# The plan says where each step happens. Tiles may add the residual (or start from it) and apply
# the activations without an exponential, in registers. Otherwise the item's outputs take a pass
# when the item is done, while they are in the cache (activated_item). Activations with an
# exponential always take that pass: tiles would be too large with them.
#
# A y in C order may be the residual itself. So an output's residual is read before the output is
# written, and never after: vectors that overlap the one before, or that write beyond their row for
# others to correct, go by way of scratch where there is a residual.
#
# Every activation leaves NaN as it is.


# What is applied, with the constants of hardsigmoid and hardswish. Tiles read all of it from memory
# when their sums are complete (see read_here), so that it takes no register from the loops over the
# taps.
cdef struct Epilogue:
    Activation activation
    sum_t low, high  # of leaky_relu the slope, and 0
    sum_t least, shift, scale


cdef inline bint after_tiles(const ConvPlan* p, const void* residual) noexcept nogil:
    """Whether an item's outputs take a pass when they are done."""
    if residual != NULL and not p.epilogue.adds_residual:
        return True
    return p.epilogue.activation != IDENTITY and not p.epilogue.in_tiles


cdef inline Epilogue epilogue_of(Activation activation, double low, double high) noexcept nogil:
    cdef Epilogue e
    e.activation = activation
    e.low = low
    e.high = high
    e.least = -3
    e.shift = 3
    e.scale = 1.0 / 6
    return e


cdef inline Epilogue plan_epilogue(const ConvPlan* p) noexcept nogil:
    return epilogue_of(p.epilogue.activation, p.epilogue.low, p.epilogue.high)


cdef inline Epilogue tile_epilogue(const ConvPlan* p) noexcept nogil:
    """What the tiles of an item apply."""
    cdef Epilogue e = plan_epilogue(p)
    if not p.epilogue.in_tiles:
        e.activation = IDENTITY
    return e


cdef inline vec clamped(vec v, sum_t low, sum_t high) noexcept nogil:
    return at_most(splat(high), at_least(splat(low), v))


cdef inline vec leaky_relu(vec x, sum_t slope, sum_t zero) noexcept nogil:
    return if_below(splat(zero), x, splat(slope) * x, x)


cdef inline vec hardsigmoid(vec x, const Epilogue* e) noexcept nogil:
    """clip(x + 3, 0, 6) / 6, with the plan's low and high."""
    return clamped(x + splat(e.shift), e.low, e.high) * splat(e.scale)


cdef inline vec hardswish(vec x, const Epilogue* e) noexcept nogil:
    """x hardsigmoid(x); of -inf it is 0."""
    return at_least(splat(e.least), x) * hardsigmoid(x, e)


# exp(x) = 2**n exp(r), with x = n ln 2 + r and |r| <= ln 2 / 2. ln 2 is subtracted in two parts,
# of which the first has so few bits that its product with n is exact [Cody & Waite, Software
# Manual for the Elementary Functions, 1980, chapter 6]. exp(r) - 1 is r + r**2 q(r), with the
# polynomial whose largest error is least, 3e-9 of exp(r), or in double precision with the Taylor
# series up to r**13. Without the 1 the result is precise near 0 as well, which tanh needs.
cdef struct Exponential:
    vec less_one  # exp(r) - 1
    vec first, second  # 2**n is their product: it may be less than the smallest normal number


cdef inline vec nearest_power(vec x) noexcept nogil:
    """n + ROUNDER."""
    return x * splat(1.4426950408889634) + splat(ROUNDER)


cdef inline vec less_power(vec x, vec n) noexcept nogil:
    """x - n ln 2, where n is from nearest_power."""
    n = n - splat(ROUNDER)
    if sizeof(sum_t) == 4:
        x = x - n * splat(0.693359375)
        return x - n * splat(-2.1219444005469058e-4)
    x = x - n * splat(0.693145751953125)
    return x - n * splat(1.4286068203094172321e-6)


cdef inline vec exponential_less_one(vec r) noexcept nogil:
    """exp(r) - 1 for r from less_power."""
    cdef vec q
    if sizeof(sum_t) == 4:
        q = splat(1.38145401e-3)
        q = q * r + splat(8.36874514e-3)
        q = q * r + splat(0.0416683908)
        q = q * r + splat(0.166665204)
        q = q * r + splat(0.499999934)
    else:
        q = splat(1.0 / 6227020800.0)
        q = q * r + splat(1.0 / 479001600)
        q = q * r + splat(1.0 / 39916800)
        q = q * r + splat(1.0 / 3628800)
        q = q * r + splat(1.0 / 362880)
        q = q * r + splat(1.0 / 40320)
        q = q * r + splat(1.0 / 5040)
        q = q * r + splat(1.0 / 720)
        q = q * r + splat(1.0 / 120)
        q = q * r + splat(1.0 / 24)
        q = q * r + splat(1.0 / 6)
        q = q * r + splat(0.5)
    return q * (r * r) + r


cdef inline Exponential exponential_from(vec n, vec r) noexcept nogil:
    """Where n is from nearest_power."""
    cdef Exponential e
    halves_of_power(n, &e.first, &e.second)
    e.less_one = exponential_less_one(r)
    return e


cdef inline Exponential exponential(vec x) noexcept nogil:
    """Assumes that x is not above 0, and above -150 (-1200 in double precision), or NaN."""
    cdef vec n = nearest_power(x)
    return exponential_from(n, less_power(x, n))


# Below, the results of sigmoid and silu are 0: exp(-112) is less than the smallest float by far.
cdef inline sum_t far_below() noexcept nogil:
    return -112 if sizeof(sum_t) == 4 else -760


cdef inline vec times_sigmoid(vec factor, vec x) noexcept nogil:
    """factor / (1 + exp(-x)), as factor / (t + t exp(-x)) t: with t, a small power of two, the
    divisor does not overflow, and the last product is the only rounding of a result that is not
    normal. From 60 on, where 1 + exp(-x) is 1, the result is the factor."""
    cdef int exponent = -36 if sizeof(sum_t) == 4 else -80
    cdef vec t = splat(1.4551915228366852e-11 if sizeof(sum_t) == 4 else 8.271806125530277e-25)
    cdef vec opposite = -at_least(splat(far_below()), x)
    cdef vec n = nearest_power(opposite)
    cdef vec power = power_of_two(n, exponent)
    cdef vec quotient = factor / (
        power * exponential_less_one(less_power(opposite, n)) + (power + t))
    return if_below(x, splat(60), factor, quotient * t)


cdef inline vec sigmoid(vec x) noexcept nogil:
    return times_sigmoid(splat(1), x)


cdef inline vec silu(vec x) noexcept nogil:
    x = at_least(splat(far_below()), x)  # not -inf times 0
    return times_sigmoid(x, x)


cdef inline vec hyperbolic_tangent(vec x) noexcept nogil:
    """(1 - e) / (1 + e) with e = exp(-2 |x|), from e - 1."""
    cdef vec limit = splat(20)  # where the result has long been 1
    cdef vec size = at_most(limit, magnitude(x))
    cdef Exponential e = exponential(splat(-2) * size)
    cdef vec power = e.first * e.second
    cdef vec less_one = power * e.less_one + (power - splat(1))
    return with_sign_of(x, less_one / (less_one + splat(2)))


# exp(x**2 / 2) Phi(-x) for x >= 0, Phi the distribution function of the normal distribution, as a
# quotient of polynomials: exp(z**2) erfc(z) is one in Cody, Rational Chebyshev approximations for
# the error function, Mathematics of Computation 23, 1969. The largest relative error, as far as
# `gelu` uses it, was made least by reweighted least squares; it is 7e-9, and 1e-18 in double
# precision. All coefficients are positive: nothing cancels.
cdef inline void scaled_tail(vec x, vec* over, vec* under) noexcept nogil:
    cdef vec p, q
    if sizeof(sum_t) == 4:
        p = splat(4.15305912e-3)
        p = p * x + splat(0.040880034)
        p = p * x + splat(0.183965984)
        p = p * x + splat(0.439279319)
        p = p * x + splat(0.5)
        q = splat(0.0104100637)
        q = q * x + splat(0.102477167)
        q = q * x + splat(0.471400347)
        q = q * x + splat(1.20553541)
        q = q * x + splat(1.67644364)
        q = q * x + splat(1)
    else:
        p = splat(2.242359446506348e-7)
        p = p * x + splat(6.977370434567677e-6)
        p = p * x + splat(1.0659100894713564e-4)
        p = p * x + splat(1.0398664475227983e-3)
        p = p * x + splat(7.1237322356217339e-3)
        p = p * x + splat(0.035671247493478882)
        p = p * x + splat(0.13205602441893324)
        p = p * x + splat(0.35736430461509278)
        p = p * x + splat(0.6796333050384299)
        p = p * x + splat(0.8279397153024446)
        p = p * x + splat(0.5)
        q = splat(5.6207615904974483e-7)
        q = q * x + splat(1.748967401389158e-5)
        q = q * x + splat(2.6774611300422021e-4)
        q = q * x + splat(2.6240483134188986e-3)
        q = q * x + splat(0.018122608518207027)
        q = q * x + splat(0.091986137142037512)
        q = q * x + splat(0.34834315874598129)
        q = q * x + splat(0.98015594801334952)
        q = q * x + splat(2.0015183692415532)
        q = q * x + splat(2.8170870146751142)
        q = q * x + splat(2.4537639914077548)
        q = q * x + splat(1)
    over[0] = p
    under[0] = q


cdef inline vec gelu(vec x) noexcept nogil:
    """x Phi(x) = max(x, 0) - |x| Phi(-|x|). The square in Phi's exponent is that of |x| to so few
    bits that it is exact, and a small rest: a rounded one would be off by its size times its
    relative error."""
    # From there on, |x| Phi(-|x|) is less than half the smallest number.
    cdef vec size = at_most(splat(15 if sizeof(sum_t) == 4 else 39), magnitude(x))
    # A multiple of 2**-8, or 2**-20, as the sum with the larger number has no bit below.
    cdef vec larger = splat(ROUNDER * (0.00390625 if sizeof(sum_t) == 4 else 9.5367431640625e-7))
    cdef vec head = (size + larger) - larger
    cdef vec square = splat(-0.5) * head * head
    cdef vec n = nearest_power(square)
    cdef vec rest = splat(-0.5) * (size - head) * (size + head)
    cdef Exponential e = exponential_from(n, less_power(square, n) + rest)
    cdef vec p, q
    scaled_tail(size, &p, &q)
    return if_negative(x, splat(-0.0), x) - (
        (p * e.less_one + p) / q * size * e.first * e.second)


cdef inline vec gelu_tanh(vec x) noexcept nogil:
    """x (1 + tanh(u)) / 2 = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x**3)."""
    x = at_least(splat(-30), x)  # not -inf times 0; the result has long been 0
    return times_sigmoid(
        x, x * (x * x * splat(0.07135481627260024878) + splat(1.595769121605730711760)))


cdef inline vec activated(vec v, Activation ACTIVATION, const Epilogue* e) noexcept nogil:
    if ACTIVATION == CLAMP:
        return clamped(v, e.low, e.high)
    if ACTIVATION == LEAKY_RELU:
        return leaky_relu(v, e.low, e.high)
    if ACTIVATION == HARDSWISH:
        return hardswish(v, e)
    if ACTIVATION == HARDSIGMOID:
        return hardsigmoid(v, e)
    if ACTIVATION == SIGMOID:
        return sigmoid(v)
    if ACTIVATION == TANH:
        return hyperbolic_tangent(v)
    if ACTIVATION == SILU:
        return silu(v)
    if ACTIVATION == GELU:
        return gelu(v)
    if ACTIVATION == GELU_TANH:
        return gelu_tanh(v)
    return v


cdef inline vec finished(vec v, const Epilogue* e) noexcept nogil:
    """The activation of a tile_epilogue, where it is not known when compiling."""
    if e.activation == CLAMP:
        return activated(v, CLAMP, e)
    if e.activation == LEAKY_RELU:
        return activated(v, LEAKY_RELU, e)
    if e.activation == HARDSWISH:
        return activated(v, HARDSWISH, e)
    return v


cdef inline void finish_row_by(
    y_t* y, const y_t* sums, const y_t* residual, Py_ssize_t n, Activation ACTIVATION,
    const Epilogue* e) noexcept nogil:
    cdef y_t some[LANES_AT_MOST]
    cdef vec v
    cdef Py_ssize_t i = 0
    while i + LANES <= n:
        v = load_y(sums + i)
        if residual != NULL:
            v = v + load_y(residual + i)
        store_y(y + i, activated(v, ACTIVATION, e))
        i += LANES
    if i < n:  # these must not be done twice
        store_y(some, splat(0))
        copy_few(some, sums + i, n - i, sizeof(y_t))
        v = load_y(some)
        if residual != NULL:
            copy_few(some, residual + i, n - i, sizeof(y_t))
            v = v + load_y(some)
        store_y(some, activated(v, ACTIVATION, e))
        copy_few(y + i, some, n - i, sizeof(y_t))


cdef void finish_row_of(
    const Epilogue* e, y_t* y, const y_t* sums, const y_t* residual, Py_ssize_t n
) noexcept nogil:
    """y = activation(sums + residual), n neighbours of each; residual may be NULL. Any of the
    three may be the same, but not overlap otherwise."""
    if e.activation == IDENTITY:
        finish_row_by(y, sums, residual, n, IDENTITY, e)
    elif e.activation == CLAMP:
        finish_row_by(y, sums, residual, n, CLAMP, e)
    elif e.activation == LEAKY_RELU:
        finish_row_by(y, sums, residual, n, LEAKY_RELU, e)
    elif e.activation == HARDSWISH:
        finish_row_by(y, sums, residual, n, HARDSWISH, e)
    elif e.activation == HARDSIGMOID:
        finish_row_by(y, sums, residual, n, HARDSIGMOID, e)
    elif e.activation == SIGMOID:
        finish_row_by(y, sums, residual, n, SIGMOID, e)
    elif e.activation == TANH:
        finish_row_by(y, sums, residual, n, TANH, e)
    elif e.activation == SILU:
        finish_row_by(y, sums, residual, n, SILU, e)
    elif e.activation == GELU:
        finish_row_by(y, sums, residual, n, GELU, e)
    else:
        finish_row_by(y, sums, residual, n, GELU_TANH, e)


cdef inline void finish_row(
    const ConvPlan* p, y_t* y, const y_t* sums, const y_t* residual, Py_ssize_t n
) noexcept nogil:
    """The same with the activation of a plan."""
    cdef Epilogue e = plan_epilogue(p)
    finish_row_of(&e, y, sums, residual, n)


# The activation of a tile's complete sums.
cdef inline void activate_tile(
    vec acc[MOST_ROWS][MOST_VECTORS], const Epilogue* given, Py_ssize_t ROWS, Py_ssize_t VECTORS
) noexcept nogil:
    cdef const Epilogue* e = <const Epilogue*>read_here(given)
    cdef Py_ssize_t j, v
    if e.activation == CLAMP:
        for j in range(ROWS):
            for v in range(VECTORS):
                acc[j][v] = activated(acc[j][v], CLAMP, e)
    elif e.activation == LEAKY_RELU:
        for j in range(ROWS):
            for v in range(VECTORS):
                acc[j][v] = activated(acc[j][v], LEAKY_RELU, e)
    elif e.activation == HARDSWISH:
        for j in range(ROWS):
            for v in range(VECTORS):
                acc[j][v] = activated(acc[j][v], HARDSWISH, e)
