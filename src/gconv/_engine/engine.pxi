# The engine: one convolution, computed by the kernel that its plan names.
#
# Every extension module (one for each instruction set and precision) is this text; `real`,
# `vec` and LANES are what differs. Start reading in plain.pxi: it is the sum itself. The other
# families compute the same sum, a register tile of outputs at a time:
#
#     plain.pxi      the loop nest over every index
#     tiles.pxi      the register tiles: the loops that the time is spent in
#     panel.pxi      copies input rows into scratch, padded, so that tiles need no branches
#     items.pxi      work items: which tiles, in what order
#     sliding.pxi    the tiles and items of sliding windows, for AVX-512
#     short.pxi      short rows of a buffer, for streaming
#     across.pxi     channels-last layers with few channels per group
#     pixels.pxi     channels-last depthwise layers, for AVX-512
#     epilogue.pxi   residual and activation: from the sums to the result
#     transposed.pxi transposed convolution: items of several such convolutions, interleaved
#     tiles_16.pxi   the tiles for 16 vector registers; tiles_32.pxi for 32
#
# Assumptions everywhere: pointers and sizes are valid (gconv._geometry has checked them), y and
# scratch overlap nothing (but y may be the residual), and no function below touches Python, allocates or fails.

from cpython.pycapsule cimport PyCapsule_New
from cython.parallel cimport prange
from libc.string cimport memcpy

from gconv._engine.plan cimport (
    ACROSS, CHANNEL, ConvPlan, DEPTHWISE, Family, PIXELS, PLAIN, SHORT, SLIDING, WIDTH,
    run_function)
from gconv._engine.plan cimport (
    Activation, CLAMP, HARDSWISH, IDENTITY, LEAKY_RELU, SIGMOID, SILU, TANH)
from gconv._engine.plan cimport CIRCULAR, REFLECT, REPLICATE, ZEROS


cdef extern from "vector.h" nogil:
    # Declared as double so that Cython narrows nothing; the C compiler knows what they are.
    ctypedef double real
    ctypedef double vec
    ctypedef double uvec
    const Py_ssize_t LANES
    vec splat(real value)
    vec in_register(vec v)
    const void* read_here(const void* p)
    void prefetch(const real* p)
    vec interleave_low(vec a, vec b)
    vec interleave_high(vec a, vec b)
    vec even_places(vec a, vec b)
    vec odd_places(vec a, vec b)
    vec at_least(vec limit, vec v)
    vec at_most(vec limit, vec v)
    vec magnitude(vec v)
    vec with_sign_of(vec sign, vec v)
    vec if_below(vec limit, vec v, vec a, vec b)
    vec if_negative(vec v, vec a, vec b)
    const real ROUNDER
    void halves_of_power(vec v, vec* first, vec* second)


cdef extern from "runtime.h" nogil:
    int omp_get_thread_num()


include "plain.pxi"
include "epilogue.pxi"
include "tiles.pxi"
include "panel.pxi"
include "items.pxi"
include "short.pxi"


ctypedef void (*item_function)(
    const ConvPlan* p, Py_ssize_t item, const real* x, const real* weight, const real* packed,
    const real* bias, real* y, char* scratch) noexcept nogil

cdef item_function ITEMS[8]
ITEMS[<int>PLAIN] = plain_item
ITEMS[<int>WIDTH] = width_item
ITEMS[<int>DEPTHWISE] = depthwise_item
ITEMS[<int>CHANNEL] = channel_item
ITEMS[<int>SHORT] = short_item

include "across.pxi"


include "transposed.pxi"


cdef void activated_item(
    const ConvPlan* p, Py_ssize_t number, const real* x, const real* weight, const real* packed,
    const real* bias, real* y, char* scratch) noexcept nogil:
    """An item, and then the activation of its outputs."""
    cdef Py_ssize_t channels = p.groups * p.out_channels
    cdef Py_ssize_t begin[3]
    cdef Py_ssize_t end[3]
    cdef Py_ssize_t axis, group
    cdef Item item
    item_of(p)(p, number, x, weight, packed, bias, y, scratch)
    if p.family == PLAIN:  # a channel
        for axis in range(3):
            begin[axis] = 0
            end[axis] = p.out_size[axis] if p.parts == NULL else p.y_size[axis]
        activate(p, begin, end, 1,
                 y + number // channels * p.y_image + number % channels * p.y_channel)
        return
    item = find_item(p, number)
    for axis in range(3):
        begin[axis] = item.band.begin[axis]
        end[axis] = item.band.end[axis]
        if p.parts != NULL:
            begin[axis] *= p.y_step[axis]
            end[axis] = min(p.y_size[axis], end[axis] * p.y_step[axis])
    if p.y_channel == 1 and item.last_channel - item.first_channel == p.out_channels:
        activate(p, begin, end, (item.last_group - item.first_group) * p.out_channels,
                 y + item.image * p.y_image + item.first_group * p.out_channels)
        return
    for group in range(item.first_group, item.last_group):
        activate(p, begin, end, item.last_channel - item.first_channel,
                 y + item.image * p.y_image
                 + (group * p.out_channels + item.first_channel) * p.y_channel)


cdef inline item_function item_of(const ConvPlan* p) noexcept nogil:
    if p.parts != NULL:
        return plain_parts if p.family == PLAIN else transposed_item
    return ITEMS[<int>p.family]


cdef void run(
    const ConvPlan* plan, Py_ssize_t images, const void* x, const void* weight,
    const void* packed, const void* bias, const void* residual, void* y, int threads,
    char* scratch) noexcept nogil:
    cdef item_function item = item_of(plan)
    cdef Py_ssize_t items = images * plan.items
    cdef Py_ssize_t i
    if plan.activation != IDENTITY and not in_tiles(plan):
        item = activated_item
    if packed != NULL:  # tiles without channel lanes read weights that have been put in order
        weight = packed
    for i in range(threads):
        (<Header*>(scratch + i * plan.scratch_bytes)).panel_number = NOTHING
        (<Header*>(scratch + i * plan.scratch_bytes)).weights_number = NOTHING
        (<Header*>(scratch + i * plan.scratch_bytes)).cleared_column = NOTHING
        (<Header*>(scratch + i * plan.scratch_bytes)).residual = <const real*>residual
    if threads == 1:
        for i in range(items):
            item(plan, i, <const real*>x, <const real*>weight, <const real*>packed,
                 <const real*>bias, <real*>y, scratch)
        return
    # A thread gets consecutive items, so that it can use a panel for several of them.
    for i in prange(items, num_threads=threads, schedule="static"):
        item(plan, i, <const real*>x, <const real*>weight, <const real*>packed,
             <const real*>bias, <real*>y,
             scratch + omp_get_thread_num() * plan.scratch_bytes)


cdef run_function RUN = run
run_capsule = PyCapsule_New(&RUN, "gconv.run", NULL)

lanes = LANES


def tile_limits():
    """{family: {rows: most vectors}} of the tiles that this module has."""
    cdef Py_ssize_t rows, vectors, stride, kind
    width, depthwise, three, channel, sliding, across, pixels = {}, {}, {}, {}, {}, {}, {}
    descending = {pick: MOST_DESCENDING[pick] for pick in range(2) if MOST_DESCENDING[pick] > 0}
    for rows in range(MOST_ROWS + 1):
        for kind in range(3):
            if ACROSS_TILES[kind][rows] != NULL:
                across[kind] = rows
        for vectors in range(MOST_VECTORS + 1):
            if WIDTH_TILES[rows][vectors] != NULL:
                width[rows] = vectors
            if DEPTHWISE_TILES[rows][vectors] != NULL:
                depthwise[rows] = vectors
            if THREE_COLUMN_TILES[rows][vectors] != NULL:
                three[rows] = vectors
            if CHANNEL_TILES[rows][vectors] != NULL:
                channel[rows] = vectors
            for stride in range(1, 3):
                if SLIDING_TILES[stride][rows][vectors] != NULL:
                    sliding[stride, rows] = vectors
                if MOST_PIXELS[stride][rows] > 0:
                    pixels[stride, rows] = MOST_PIXELS[stride][rows]
    return {"width": width, "depthwise": depthwise, "three": three, "channel": channel,
            "sliding": sliding, "across": across, "pixels": pixels, "descending": descending,
            "wide": {"pixels": MOST_WIDE_PIXELS[0], "columns": MOST_WIDE_PIXELS[1]}}
