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
#     blocks.pxi     depthwise layers in C order, by channels-last tiles
#     masked.pxi     width lanes over whole planes, x in place, for AVX-512
#     neighbours.pxi channels-last layers with few channels per group, for AVX-512
#     epilogue.pxi   residual and activation: from the sums to the result
#     transposed.pxi transposed convolution: items of several such convolutions, interleaved
#     upsampling.pxi transposed convolution by sliding windows, for AVX-512
#     tiles_16.pxi   the tiles for 16 vector registers; tiles_32.pxi for 32
#
# Assumptions everywhere: pointers and sizes are valid (gconv._call.geometry has checked them), y and
# scratch overlap nothing (but y may be the residual), and no function below touches Python,
# allocates or fails.

from cpython.pycapsule cimport PyCapsule_New
from cython.parallel cimport prange
from libc.string cimport memcpy

from gconv._engine.plan cimport (
    ACROSS, CHANNEL, ConvPlan, DEPTHWISE, Family, MASKED, PIXELS, PLAIN, SHORT, SLIDING, WIDTH,
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
    const real* from_memory(const real** p)
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


include "epilogue.pxi"
include "tiles.pxi"
include "panel.pxi"
include "items.pxi"
include "plain.pxi"
include "short.pxi"


ctypedef void (*item_function)(
    const ConvPlan* p, const Item* item, const real* x, const real* weight, const real* packed,
    const real* bias, real* y, char* scratch) noexcept nogil

cdef item_function ITEMS[9]
ITEMS[<int>PLAIN] = plain_item
ITEMS[<int>WIDTH] = width_item
ITEMS[<int>DEPTHWISE] = depthwise_item
ITEMS[<int>CHANNEL] = channel_item
ITEMS[<int>SHORT] = short_item

include "across.pxi"
include "blocks.pxi"


include "transposed.pxi"


cdef void activated_item(
    const ConvPlan* p, const Item* item, const real* x, const real* weight, const real* packed,
    const real* bias, real* y, char* scratch) noexcept nogil:
    """An item, and then the epilogue of its outputs."""
    cdef Py_ssize_t begin[3]
    cdef Py_ssize_t end[3]
    cdef Py_ssize_t axis, group
    cdef real* to_y
    item_of(p)(p, item, x, weight, packed, bias, y, scratch)
    for axis in range(3):
        begin[axis] = item.band.begin[axis]
        end[axis] = item.band.end[axis]
    if p.parts != NULL:
        outputs_of_band(p, &item.band, begin, end)
    if p.slice_axis == FLAT:  # the pixels of a slice follow each other in y: one row
        begin[2] = item.first_column
        end[2] = item.last_column + (end[1] - begin[1] - 1) * p.y_axis[1]
        end[1] = begin[1] + 1
    if p.y_channel == 1 and item.last_channel - item.first_channel == p.out_channels:
        to_y = y + item.image * p.y_image + item.first_group * p.out_channels
        activate(p, begin, end, (item.last_group - item.first_group) * p.out_channels,
                 residual_of(scratch, y, to_y), to_y)
        return
    for group in range(item.first_group, item.last_group):
        to_y = (y + item.image * p.y_image
                + (group * p.out_channels + item.first_channel) * p.y_channel)
        activate(p, begin, end, item.last_channel - item.first_channel,
                 residual_of(scratch, y, to_y), to_y)


cdef inline item_function item_of(const ConvPlan* p) noexcept nogil:
    if p.upsamples:
        return upsampling_item
    if p.parts != NULL:
        return plain_parts if p.family == PLAIN else transposed_item
    if (p.family == ACROSS or p.family == PIXELS) and not p.in_place:
        return blocks_item
    return ITEMS[<int>p.family]


cdef void run_items(
    const ConvPlan* p, item_function compute, Py_ssize_t first, Py_ssize_t last, const real* x,
    const real* weight, const real* packed, const real* bias, real* y, char* scratch
) noexcept nogil:
    """The items from the first up to the last, slices of a band at once."""
    cdef Py_ssize_t slices, axis
    cdef Item item
    while first < last:
        slices = min(p.slices - first % p.slices, last - first)
        item = find_item(p, first, slices)
        first += slices
        for axis in range(3):  # a last, smaller band may have nothing for some of its slices
            if item.band.begin[axis] == item.band.end[axis]:
                break
        else:
            compute(p, &item, x, weight, packed, bias, y, scratch)


cdef Py_ssize_t share_begin(
    const ConvPlan* p, Py_ssize_t images, int threads, Py_ssize_t thread) noexcept nogil:
    """The first item of a thread: as much work as can be told apart lies before it, or, of items
    that are alike, the first threads get one more than the others. See `gconv._plan.work`."""
    cdef Py_ssize_t items = images * p.items
    cdef Py_ssize_t image, low = 0, middle, high = p.items
    cdef double before
    if p.work == NULL or thread == threads:
        return thread * (items // threads) + min(thread, items % threads)
    before = thread * (images * p.work[p.items] / threads)
    image = <Py_ssize_t>(before / p.work[p.items])
    before -= image * p.work[p.items]
    while low < high:  # the first item of which more than half lies behind
        middle = (low + high) // 2
        if p.work[middle] + p.work[middle + 1] < 2 * before:
            low = middle + 1
        else:
            high = middle
    return image * p.items + low


cdef void run(
    const ConvPlan* plan, Py_ssize_t images, const void* x, const void* weight,
    const void* packed, const void* bias, const void* residual, void* y, int threads,
    char* scratch) noexcept nogil:
    cdef item_function compute = item_of(plan)
    cdef Py_ssize_t i
    if after_tiles(plan, residual):
        compute = activated_item
    if packed != NULL:  # tiles without channel lanes read weights that have been put in order
        weight = packed
    for i in range(threads):
        (<Header*>(scratch + i * plan.scratch_bytes)).panel_number = NOTHING
        (<Header*>(scratch + i * plan.scratch_bytes)).weights_number = NOTHING
        (<Header*>(scratch + i * plan.scratch_bytes)).cleared_column = NOTHING
        (<Header*>(scratch + i * plan.scratch_bytes)).residual = <const real*>residual
    if threads == 1:
        run_items(plan, compute, 0, images * plan.items, <const real*>x, <const real*>weight,
                  <const real*>packed, <const real*>bias, <real*>y, scratch)
        return
    # A thread gets consecutive items, so that it can use a panel for several of them, and compute
    # slices of a band together.
    for i in prange(threads, num_threads=threads, schedule="static", chunksize=1):
        run_items(plan, compute, share_begin(plan, images, threads, i),
                  share_begin(plan, images, threads, i + 1), <const real*>x, <const real*>weight,
                  <const real*>packed, <const real*>bias, <real*>y,
                  scratch + omp_get_thread_num() * plan.scratch_bytes)


cdef run_function RUN = run
run_capsule = PyCapsule_New(&RUN, "gconv.run", NULL)

lanes = LANES


def tile_limits():
    """The tiles that this module has, as `gconv._plan.tiles.Machine` says."""
    cdef Py_ssize_t rows, vectors, stride, kind
    width, depthwise, three, channel, sliding, across, pixels = {}, {}, {}, {}, {}, {}, {}
    neighbours, upsampling, masked = {}, {}, {}
    descending = {pick: MOST_DESCENDING[pick] for pick in range(2) if MOST_DESCENDING[pick] > 0}
    for rows in range(MOST_ROWS + 1):
        for kind in range(3):
            if ACROSS_TILES[kind][rows] != NULL:
                across[kind] = rows
        if NEIGHBOUR_TILES[rows] != NULL:
            neighbours["pixels"] = rows
        for vectors in range(MOST_VECTORS + 1):
            if WIDTH_TILES[rows][vectors] != NULL:
                width[rows] = vectors
            if MASKED_TILES[rows][vectors] != NULL:
                masked[rows] = vectors
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
            for stride in (2, 4, 8):
                if UPSAMPLING_TILES[1][stride][rows][vectors] != NULL:
                    upsampling[stride, rows] = vectors
    return {"width": width, "depthwise": depthwise, "three": three, "channel": channel,
            "sliding": sliding, "across": across, "pixels": pixels, "descending": descending,
            "neighbours": neighbours, "upsampling": upsampling, "masked": masked,
            "wide": {"pixels": MOST_WIDE_PIXELS[0], "columns": MOST_WIDE_PIXELS[1]}}
