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
#     transposed.pxi transposed convolution: items of several such convolutions, interleaved
#     tiles_16.pxi   the tiles for 16 vector registers; tiles_32.pxi for 32
#
# Assumptions everywhere: pointers and sizes are valid (gconv._geometry has checked them), y and
# scratch overlap nothing, and no function below touches Python, allocates or fails.

from cpython.pycapsule cimport PyCapsule_New
from cython.parallel cimport prange
from libc.string cimport memcpy

from gconv._engine.plan cimport (
    ACROSS, CHANNEL, ConvPlan, DEPTHWISE, Family, PIXELS, PLAIN, SHORT, SLIDING, WIDTH,
    run_function)
from gconv._engine.plan cimport CIRCULAR, REFLECT, REPLICATE, ZEROS


cdef extern from "vector.h" nogil:
    # Declared as double so that Cython narrows nothing; the C compiler knows what they are.
    ctypedef double real
    ctypedef double vec
    ctypedef double uvec
    const Py_ssize_t LANES
    vec splat(real value)
    vec in_register(vec v)
    void prefetch(const real* p)
    vec interleave_low(vec a, vec b)
    vec interleave_high(vec a, vec b)
    vec even_places(vec a, vec b)
    vec odd_places(vec a, vec b)


cdef extern from "runtime.h" nogil:
    int omp_get_thread_num()


include "plain.pxi"
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


cdef void run(
    const ConvPlan* plan, Py_ssize_t images, const void* x, const void* weight,
    const void* packed, const void* bias, void* y, int threads, char* scratch) noexcept nogil:
    cdef item_function item = ITEMS[<int>plan.family]
    cdef Py_ssize_t items = images * plan.items
    cdef Py_ssize_t i
    if plan.parts != NULL:
        item = plain_parts if plan.family == PLAIN else transposed_item
    if packed != NULL:  # tiles without channel lanes read weights that have been put in order
        weight = packed
    for i in range(threads):
        (<Header*>(scratch + i * plan.scratch_bytes)).panel_number = NOTHING
        (<Header*>(scratch + i * plan.scratch_bytes)).weights_number = NOTHING
        (<Header*>(scratch + i * plan.scratch_bytes)).cleared_column = NOTHING
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
            "sliding": sliding, "across": across, "pixels": pixels}
