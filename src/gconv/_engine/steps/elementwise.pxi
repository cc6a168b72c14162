# Functions of elements: y = activation(function(a, b, c)).
#
# The axes are collapsed until none is left, or until operands differ in what they do along them.
# Along the last one, the row, an operand is neighbours, one element, or anything else; the last is
# gathered, CHUNK elements at a time. An operand that is one element is a vector of it that is
# read again and again. Then no function needs to know what its operands are.
#
# Clamps are applied by every function (without one, between -inf and inf). Other activations take
# another pass over the chunk, while it is in the first-level cache.


cdef struct ElementwisePlan:
    Function function
    Activation activation
    double low, high
    StepAxes rows
    Py_ssize_t size  # of a row
    Py_ssize_t step[MOST_OPERANDS]
    Py_ssize_t chunk, chunks  # elements of a chunk, and chunks of a row

struct_sizes["ELEMENTWISE"] = sizeof(ElementwisePlan)


cdef enum:
    INPUTS = MOST_OPERANDS - 1


# The operands of a chunk: what they are, and from a vector to the next one: LANES or 0.
cdef struct Chunk:
    const sum_t* x[INPUTS]
    Py_ssize_t step[INPUTS]
    sum_t* y
    Py_ssize_t size
    sum_t low, high


cdef inline vec applied(Function FUNCTION, vec a, vec b, vec c) noexcept nogil:
    if FUNCTION == F_NEGATIVE:
        return -a
    if FUNCTION == F_ABSOLUTE:
        return magnitude(a)
    if FUNCTION == F_RECIPROCAL:
        return splat(1) / a
    if FUNCTION == F_SQRT:
        return square_root(a)
    if FUNCTION == F_EXP:
        return exponential_of(a)
    if FUNCTION == F_SQUARE:
        return a * a
    if FUNCTION == F_ADD:
        return a + b
    if FUNCTION == F_SUBTRACT:
        return a - b
    if FUNCTION == F_MULTIPLY:
        return a * b
    if FUNCTION == F_DIVIDE:
        return a / b
    if FUNCTION == F_MAXIMUM:
        return larger(a, b)
    if FUNCTION == F_MINIMUM:
        return smaller(a, b)
    if FUNCTION == F_MULTIPLY_ADD:
        return a * b + c
    return a


cdef inline void chunk_by(const Chunk* chunk, Function FUNCTION, Py_ssize_t ARITY) noexcept nogil:
    cdef const sum_t* a = chunk.x[0]
    cdef const sum_t* b = chunk.x[1]
    cdef const sum_t* c = chunk.x[2]
    cdef sum_t* y = chunk.y
    cdef Py_ssize_t left = chunk.size
    cdef Py_ssize_t a_step = chunk.step[0], b_step = chunk.step[1], c_step = chunk.step[2]
    cdef vec u, v, w, result
    v = w = splat(0)
    while left >= LANES:
        u = load_sum(a)
        if ARITY > 1:
            v = load_sum(b)
        if ARITY > 2:
            w = load_sum(c)
        store_sum(y, clamped(applied(FUNCTION, u, v, w), chunk.low, chunk.high))
        a += a_step
        b += b_step
        c += c_step
        y += LANES
        left -= LANES
    if left > 0:
        u = load_upto(a, left if a_step != 0 else LANES, 0)
        if ARITY > 1:
            v = load_upto(b, left if b_step != 0 else LANES, 0)
        if ARITY > 2:
            w = load_upto(c, left if c_step != 0 else LANES, 0)
        store_upto(y, left, clamped(applied(FUNCTION, u, v, w), chunk.low, chunk.high))


cdef void chunk_by_library(const Chunk* chunk, Function function) noexcept nogil:
    """Functions of the C library, an element at a time."""
    cdef Py_ssize_t i
    cdef bint several = chunk.step[0] != 0, powers = chunk.step[1] != 0
    for i in range(chunk.size):
        if function == F_LOG:
            chunk.y[i] = logf(chunk.x[0][i if several else 0])
        elif function == F_ERF:
            chunk.y[i] = erff(chunk.x[0][i if several else 0])
        else:
            chunk.y[i] = powf(chunk.x[0][i if several else 0], chunk.x[1][i if powers else 0])
    chunk_of_y(chunk)


cdef void chunk_of_y(const Chunk* chunk) noexcept nogil:
    """What a function of the library leaves: the clamp."""
    cdef Chunk own = chunk[0]
    own.x[0] = chunk.y
    own.step[0] = LANES
    chunk_by(&own, F_IDENTITY, 1)


cdef void compute_chunk(const Chunk* chunk, Function function) noexcept nogil:
    if function == F_IDENTITY:
        chunk_by(chunk, F_IDENTITY, 1)
    elif function == F_NEGATIVE:
        chunk_by(chunk, F_NEGATIVE, 1)
    elif function == F_ABSOLUTE:
        chunk_by(chunk, F_ABSOLUTE, 1)
    elif function == F_RECIPROCAL:
        chunk_by(chunk, F_RECIPROCAL, 1)
    elif function == F_SQRT:
        chunk_by(chunk, F_SQRT, 1)
    elif function == F_EXP:
        chunk_by(chunk, F_EXP, 1)
    elif function == F_SQUARE:
        chunk_by(chunk, F_SQUARE, 1)
    elif function == F_ADD:
        chunk_by(chunk, F_ADD, 2)
    elif function == F_SUBTRACT:
        chunk_by(chunk, F_SUBTRACT, 2)
    elif function == F_MULTIPLY:
        chunk_by(chunk, F_MULTIPLY, 2)
    elif function == F_DIVIDE:
        chunk_by(chunk, F_DIVIDE, 2)
    elif function == F_MAXIMUM:
        chunk_by(chunk, F_MAXIMUM, 2)
    elif function == F_MINIMUM:
        chunk_by(chunk, F_MINIMUM, 2)
    elif function == F_MULTIPLY_ADD:
        chunk_by(chunk, F_MULTIPLY_ADD, 3)
    elif function == F_POWER and chunk.step[1] == 0 and chunk.x[1][0] == 2:
        chunk_by(chunk, F_SQUARE, 1)
    else:
        chunk_by_library(chunk, function)


cdef void elementwise_items(
    const void* own, char* const* at, Py_ssize_t first, Py_ssize_t last, char* scratch
) noexcept nogil:
    cdef const ElementwisePlan* p = <const ElementwisePlan*>own
    cdef Epilogue e = epilogue_of(p.activation, p.low, p.high)
    cdef Walk walk
    cdef Chunk chunk
    cdef sum_t constant[INPUTS][LANES_AT_MOST]
    cdef sum_t gathered[MOST_OPERANDS][CHUNK]
    cdef const sum_t* x
    cdef sum_t* y
    cdef Py_ssize_t i, o, step, number = first % p.chunks
    cdef bint another_pass = p.activation != IDENTITY and p.activation != CLAMP
    chunk.low = p.low if p.activation == CLAMP else -INFINITY
    chunk.high = p.high if p.activation == CLAMP else INFINITY
    walk_to(&walk, &p.rows, first // p.chunks)
    while first < last:
        chunk.size = min(p.chunk, p.size - number * p.chunk)
        for o in range(INPUTS):
            if at[o] == NULL:  # a function of fewer operands does not read it
                chunk.x[o] = chunk.x[0]
                chunk.step[o] = chunk.step[0]
                continue
            step = p.step[o]
            x = <const sum_t*>at[o] + walk.offset[o] + number * p.chunk * step
            chunk.step[o] = LANES
            if step == 1:
                chunk.x[o] = x
            elif step == 0:
                store_sum(constant[o], splat(x[0]))
                chunk.x[o] = constant[o]
                chunk.step[o] = 0
            else:
                for i in range(chunk.size):
                    gathered[o][i] = x[i * step]
                chunk.x[o] = gathered[o]
        step = p.step[INPUTS]
        y = <sum_t*>at[INPUTS] + walk.offset[INPUTS] + number * p.chunk * step
        chunk.y = y if step == 1 else gathered[INPUTS]
        if p.function == F_IDENTITY and another_pass and chunk.step[0] != 0:
            finish_row_of(&e, chunk.y, chunk.x[0], NULL, chunk.size)
        else:
            compute_chunk(&chunk, p.function)
            if another_pass:
                finish_row_of(&e, chunk.y, chunk.y, NULL, chunk.size)
        if step != 1:
            for i in range(chunk.size):
                y[i * step] = gathered[INPUTS][i]
        first += 1
        number += 1
        if number == p.chunks:
            number = 0
            walk_on(&walk, &p.rows)


ITEMS[<int>ELEMENTWISE] = elementwise_items
