# The engine: one convolution, computed by the family that its plan names.
#
# Every extension module (one for each instruction set and precision) is this text; `x_t`, `w_t`,
# `sum_t`, `y_t`, `vec` and LANES are what differs. Start reading in
# gconv/_families/plain/kernel.pxi: it is the sum itself. The other families compute the same sum, a
# register tile of outputs at a time.
#
#     vectors.pxi    the vector type, and what is done with vectors everywhere
#     epilogue.pxi   residual and activation: from the sums to the result
#     panel.pxi      copies input rows into scratch, padded, so that tiles need no branches
#     items.pxi      work items, and the table of families
#     source.pxi     where the tiles of an item read x
#     lines.pxi      strips of tiles whose lanes are columns of a row
#     windows.pxi    strips of tiles that slide along whole rows
#     transposing.pxi  results in C order that are wanted channels-last
#
# A family's kernel.pxi has its tile (the loops that the time is spent in), its strip (tiles side by
# side), its item, and the record that its plans have besides ConvPlan.
#
# Assumptions everywhere: pointers and sizes are valid (gconv._call.geometry has checked them), y
# and scratch overlap nothing (but y may be the residual), and no function below touches Python,
# allocates or fails.

from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from gconv._engine.openmp cimport in_parallel
from gconv._engine.plan cimport (
    Activation, BANDS_FASTEST, BANDS_SLOWEST, CIRCULAR, CLAMP, ConvPlan, EpiloguePlan, FLAT, GELU,
    GELU_TANH, HARDSIGMOID, HARDSWISH, IDENTITY, LEAKY_RELU, ProblemPlan, REFLECT, REPLICATE,
    ScratchPlan, SIGMOID, SILU, SourcePlan, TANH, TRANSPOSED_ROWS, WorkPlan, ZEROS,
    run_function, transpose_function)


include "vectors.pxi"
include "epilogue.pxi"
include "panel.pxi"
include "items.pxi"
include "source.pxi"
include "lines.pxi"
include "windows.pxi"
include "transposing.pxi"

# The families. A plan names one by its place in the table.
include "gconv/_families/plain/kernel.pxi"
include "gconv/_families/width/kernel.pxi"
include "gconv/_families/depthwise/kernel.pxi"
include "gconv/_families/channel/kernel.pxi"
include "gconv/_families/sliding/kernel.pxi"
include "gconv/_families/short/kernel.pxi"
include "gconv/_families/channels_last/kernel.pxi"
include "gconv/_families/through_channels_last/kernel.pxi"
include "gconv/_families/transposed/kernel.pxi"


cdef inline const y_t* residual_left(
    const ConvPlan* p, char* scratch, const y_t* y, const y_t* place) noexcept nogil:
    """The residual of the output at `place` of y that the item has not added; NULL: none is left."""
    return NULL if p.epilogue.adds_residual else residual_of(scratch, y, place)


cdef void activated_item(
    const ConvPlan* p, const Item* item, const x_t* x, const w_t* weight, const w_t* packed,
    const sum_t* bias, y_t* y, char* scratch) noexcept nogil:
    """An item, and then what its tiles leave of the epilogue of its outputs."""
    cdef Py_ssize_t begin[3]
    cdef Py_ssize_t end[3]
    cdef Py_ssize_t group
    cdef y_t* to_y
    item_of(p)(p, item, x, weight, packed, bias, y, scratch)
    outputs_of(p, item, begin, end)
    if (p.problem.y_channel == 1
            and item.last_channel - item.first_channel == p.problem.out_channels):
        to_y = y + item.image * p.problem.y_image + item.first_group * p.problem.out_channels
        activate(p, begin, end, (item.last_group - item.first_group) * p.problem.out_channels,
                 residual_left(p, scratch, y, to_y), to_y)
        return
    for group in range(item.first_group, item.last_group):
        to_y = (y + item.image * p.problem.y_image
                + (group * p.problem.out_channels + item.first_channel) * p.problem.y_channel)
        activate(p, begin, end, item.last_channel - item.first_channel,
                 residual_left(p, scratch, y, to_y), to_y)


cdef void run_items(
    const ConvPlan* p, item_function compute, Py_ssize_t first, Py_ssize_t last, const x_t* x,
    const w_t* weight, const w_t* packed, const sum_t* bias, y_t* y, char* scratch
) noexcept nogil:
    """The items from the first up to the last, slices of a band at once."""
    cdef Py_ssize_t slices, axis
    cdef Item item
    while first < last:
        slices = min(p.work.slices - first % p.work.slices, last - first)
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
    that are alike, the first threads get one more than the others. See `gconv._plan.items`."""
    cdef Py_ssize_t items = images * p.work.items
    cdef Py_ssize_t image, low = 0, middle, high = p.work.items
    cdef double before
    if p.work.before == NULL or thread == threads:
        return thread * (items // threads) + min(thread, items % threads)
    before = thread * (images * p.work.before[p.work.items] / threads)
    image = <Py_ssize_t>(before / p.work.before[p.work.items])
    before -= image * p.work.before[p.work.items]
    while low < high:  # the first item of which more than half lies behind
        middle = (low + high) // 2
        if p.work.before[middle] + p.work.before[middle + 1] < 2 * before:
            low = middle + 1
        else:
            high = middle
    return image * p.work.items + low


# A call, as each of its threads sees it.
cdef struct Call:
    const ConvPlan* plan
    item_function compute
    int threads
    const x_t* x
    const w_t* weight
    const w_t* packed
    const sum_t* bias
    y_t* y
    char* scratch


cdef void run_shares(void* arguments, Py_ssize_t own, int thread) noexcept nogil:
    """A thread's own share, and then what the others have left of theirs. Its items follow each
    other, so that it can use a panel for several of them, and compute slices of a band together.
    """
    cdef const Call* c = <const Call*>arguments
    cdef Py_ssize_t number, first = 0, last = 0
    cdef Header* header
    for number in range(own, own + c.threads):
        header = <Header*>(c.scratch + number % c.threads * c.plan.scratch.bytes)
        while take_items(&header.share, &first, &last):
            run_items(c.plan, c.compute, first, last, c.x, c.weight, c.packed, c.bias, c.y,
                      c.scratch + thread * c.plan.scratch.bytes)


cdef int64_t run(
    const ConvPlan* plan, Py_ssize_t images, const void* x, const void* weight,
    const void* packed, const void* bias, const void* residual, void* y, int threads,
    char* scratch) noexcept nogil:
    cdef item_function compute = item_of(plan)
    cdef Py_ssize_t i
    cdef Call call
    if after_tiles(plan, residual):
        compute = activated_item
    if packed != NULL:  # tiles without channel lanes read weights that have been put in order
        weight = packed
    for i in range(threads):
        (<Header*>(scratch + i * plan.scratch.bytes)).panel_number = NOTHING
        (<Header*>(scratch + i * plan.scratch.bytes)).weights_number = NOTHING
        (<Header*>(scratch + i * plan.scratch.bytes)).cleared_column = NOTHING
        (<Header*>(scratch + i * plan.scratch.bytes)).residual = <const y_t*>residual
    if threads == 1:
        run_items(plan, compute, 0, images * plan.work.items, <const x_t*>x, <const w_t*>weight,
                  <const w_t*>packed, <const sum_t*>bias, <y_t*>y, scratch)
        return 0
    for i in range(threads):  # slices of a band that are computed apart copy some of x twice
        (<Header*>(scratch + i * plan.scratch.bytes)).share = make_share(
            share_begin(plan, images, threads, i), share_begin(plan, images, threads, i + 1),
            plan.work.slices > 1)
    call = Call(plan, compute, threads, <const x_t*>x, <const w_t*>weight, <const w_t*>packed,
                <const sum_t*>bias, <y_t*>y, scratch)
    return in_parallel(run_shares, &call, threads, threads)


cdef run_function RUN = run
run_capsule = PyCapsule_New(&RUN, "gconv.run", NULL)


# Images in C order that are wanted channels-last, as each thread sees them.
cdef struct Transposition:
    Py_ssize_t channels, pixels
    const y_t* x
    y_t* y
    Py_ssize_t y_image, y_pixel
    Py_ssize_t image_blocks, blocks  # of pixels: of an image, and of all
    Py_ssize_t shares


cdef void transpose_share(void* arguments, Py_ssize_t share, int thread) noexcept nogil:
    """A thread's blocks of pixels, with all channels."""
    cdef const Transposition* t = <const Transposition*>arguments
    cdef Py_ssize_t block, image, pixel, c, columns, rows
    for block in range(share * t.blocks // t.shares, (share + 1) * t.blocks // t.shares):
        image = block // t.image_blocks
        pixel = block % t.image_blocks * TRANSPOSED_ROWS
        rows = min(<Py_ssize_t>TRANSPOSED_ROWS, t.pixels - pixel)
        c = 0
        while c < t.channels:
            columns = min(<Py_ssize_t>TRANSPOSED_ROWS, t.channels - c)
            transpose_block(
                t.y + image * t.y_image + pixel * t.y_pixel + c, t.y_pixel,
                t.x + (image * t.channels + c) * t.pixels + pixel, t.pixels, rows, columns)
            c += columns


cdef int64_t transpose(
    Py_ssize_t images, Py_ssize_t channels, Py_ssize_t pixels, const void* x, void* y,
    Py_ssize_t y_image, Py_ssize_t y_pixel, int threads) noexcept nogil:
    cdef Py_ssize_t blocks = (pixels + TRANSPOSED_ROWS - 1) // TRANSPOSED_ROWS
    cdef Transposition call = Transposition(
        channels, pixels, <const y_t*>x, <y_t*>y, y_image, y_pixel, blocks, images * blocks,
        threads)
    if threads > 1:
        return in_parallel(transpose_share, &call, threads, threads)
    transpose_share(&call, 0, 0)
    return 0


cdef transpose_function TRANSPOSE = transpose
transpose_capsule = PyCapsule_New(&TRANSPOSE, "gconv.transpose", NULL)

lanes = LANES
itemsize = sizeof(x_t)

# Bytes of the structs that `gconv._plan.record` has as NumPy records.
struct_sizes = {
    "PROBLEM": sizeof(ProblemPlan), "WORK": sizeof(WorkPlan), "SOURCE": sizeof(SourcePlan),
    "EPILOGUE": sizeof(EpiloguePlan), "SCRATCH": sizeof(ScratchPlan), "PLAN": sizeof(ConvPlan),
}
