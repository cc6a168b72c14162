# Work items: the smallest pieces of work that threads share out. An item is
#
#     image, group block, band of depth, of rows, of columns, block of output channels, slice
#
# (ItemOrder says which of groups, bands and channel blocks varies fastest; slices always do). The
# plan fixes all of it from the geometry of one image, so an output element is summed in the same
# order whatever the batch and the number of threads. Slices exist for many threads to share; a
# thread computes those together that it takes together, as if the band had not been cut there.
#
# A thread's scratch:
#
#     header | panel | sums | weights | regions of the family
#
# The header says which panel, which clear padding and which packed weights scratch holds.


cdef enum:
    NOTHING = -1
    HEADER_BYTES = 64


cdef extern from "shares.h" nogil:
    ctypedef struct Share:
        pass
    Share make_share(Py_ssize_t begin, Py_ssize_t end, bint as_one)
    bint take_items(Share* share, Py_ssize_t* first, Py_ssize_t* last)


# What a thread's scratch holds, and the items that it is to compute.
cdef struct Header:
    Py_ssize_t panel_number, weights_number
    Py_ssize_t cleared_column  # where the column band begins whose padding is clear
    const y_t* residual  # of the first element of y; NULL: none
    Share share


cdef inline char* region(char* scratch, Py_ssize_t elements) noexcept nogil:
    """A region of a thread's scratch, behind `elements` elements; the panel is the first region."""
    return scratch + HEADER_BYTES + elements * <Py_ssize_t>sizeof(x_t)


cdef struct Item:
    Py_ssize_t image, first_group, last_group, first_channel, last_channel
    Py_ssize_t panel_number
    Band band
    Py_ssize_t first_column  # where the first row begins; the others begin where the band does
    Py_ssize_t last_column  # where the last row ends
    Packing packing


# Computes the outputs of an item: bias and weighted sums of x, into y. `packed` is NULL, or the
# packed weights; then `weight` is the same. Scratch is the thread's own.
ctypedef void (*item_function)(
    const ConvPlan* p, const Item* item, const x_t* x, const w_t* weight, const w_t* packed,
    const sum_t* bias, y_t* y, char* scratch) noexcept nogil

# The outputs of an item, from `begin` up to `end` of each axis of y.
ctypedef void (*outputs_function)(
    const ConvPlan* p, const Item* item, Py_ssize_t* begin, Py_ssize_t* end) noexcept nogil


# ---- the families ----------------------------------------------------------------------------

cdef enum:
    MOST_FAMILIES = 32

cdef item_function ITEMS[MOST_FAMILIES]
cdef outputs_function OUTPUTS[MOST_FAMILIES]

# name: (what a plan calls it, bytes of its own record, its tiles)
families = {}


cdef int register(
    str name, item_function item, outputs_function outputs, size_t own, dict tiles) except -1:
    """Add a family to the table; kernel.pxi of each does so."""
    cdef int number = len(families)
    if number == MOST_FAMILIES:
        raise ImportError("gconv: the engine's table of families is full")
    ITEMS[number] = item
    OUTPUTS[number] = outputs
    families[name] = (number, own, tiles)
    return 0


cdef dict largest_tiles(
    void** table, Py_ssize_t rows=MOST_ROWS + 1, Py_ssize_t vectors=MOST_VECTORS + 1):
    """{rows: the most vectors} of a table of tiles [rows][vectors]."""
    cdef Py_ssize_t row, most
    cdef dict found = {}
    for row in range(rows):
        for most in range(vectors):
            if table[row * vectors + most] != NULL:
                found[row] = most
    return found


cdef inline item_function item_of(const ConvPlan* p) noexcept nogil:
    """What computes the items of a plan. A wrapper asks for it for the plans that it wraps."""
    return ITEMS[p.family]


cdef void outputs_of(
    const ConvPlan* p, const Item* item, Py_ssize_t* begin, Py_ssize_t* end) noexcept nogil:
    """The outputs of an item: its band of y, but for families that say otherwise."""
    cdef Py_ssize_t axis
    if OUTPUTS[p.family] != NULL:
        OUTPUTS[p.family](p, item, begin, end)
        return
    for axis in range(3):
        begin[axis] = item.band.begin[axis]
        end[axis] = item.band.end[axis]
    if p.work.slice_axis == FLAT:  # the pixels of a slice follow each other in y: one row
        begin[2] = item.first_column
        end[2] = item.last_column + (end[1] - begin[1] - 1) * p.problem.y_axis[1]
        end[1] = begin[1] + 1


# ---- from a number to an item ----------------------------------------------------------------

cdef inline Py_ssize_t take_digit(Py_ssize_t* number, Py_ssize_t base) noexcept nogil:
    cdef Py_ssize_t digit = number[0] % base
    number[0] //= base
    return digit


cdef inline Py_ssize_t slice_edge(
    const ConvPlan* p, Py_ssize_t extent, Py_ssize_t number) noexcept nogil:
    """Where slice `number` begins: columns are cut where a vector would, and a vector is left to
    the last slice, as it may read x in place."""
    cdef Py_ssize_t edge = extent * number // p.work.slices
    if p.work.slice_axis == 2 and number < p.work.slices:
        edge = max(0, min(edge, extent - LANES))
        edge -= edge % LANES
    return edge


cdef inline Item find_item(
    const ConvPlan* p, Py_ssize_t number, Py_ssize_t slices) noexcept nogil:
    """Item `number` and those after it, `slices` of one band in all."""
    cdef Item item
    cdef Py_ssize_t axis, begin, extent, width, first, last
    cdef Py_ssize_t first_slice = take_digit(&number, p.work.slices)
    item.panel_number = number if p.work.order == BANDS_FASTEST else number // p.work.channel_blocks
    item.panel_number = item.panel_number * p.work.slices + first_slice
    item.panel_number = item.panel_number * p.work.slices + slices - 1
    if p.work.order != BANDS_FASTEST:
        item.first_channel = take_digit(&number, p.work.channel_blocks) * p.work.channel_block
    if p.work.order == BANDS_SLOWEST:
        item.first_group = take_digit(&number, p.work.group_blocks) * p.work.group_block
    for axis in range(2, -1, -1):
        item.band.begin[axis] = take_digit(&number, p.work.bands[axis]) * p.work.band[axis]
        item.band.end[axis] = min(
            p.problem.out_size[axis], item.band.begin[axis] + p.work.band[axis])
        if axis == p.work.slice_axis:
            begin = item.band.begin[axis]
            extent = item.band.end[axis] - begin
            item.band.begin[axis] = begin + slice_edge(p, extent, first_slice)
            item.band.end[axis] = begin + slice_edge(p, extent, first_slice + slices)
    item.first_column = item.band.begin[2]
    item.last_column = item.band.end[2]
    if p.work.slice_axis == FLAT:
        begin = item.band.begin[1]
        width = item.band.end[2] - item.band.begin[2]
        extent = (item.band.end[1] - begin) * width
        first = slice_edge(p, extent, first_slice)
        last = slice_edge(p, extent, first_slice + slices)
        item.band.begin[1] = begin + first // width
        item.band.end[1] = begin + divide_up(last, width)
        item.first_column += first % width
        item.last_column -= divide_up(last, width) * width - last
    if p.work.order == BANDS_FASTEST:
        item.first_channel = take_digit(&number, p.work.channel_blocks) * p.work.channel_block
    item.last_channel = min(p.problem.out_channels, item.first_channel + p.work.channel_block)
    if p.work.order != BANDS_SLOWEST:
        item.first_group = take_digit(&number, p.work.group_blocks) * p.work.group_block
    item.last_group = min(p.problem.groups, item.first_group + p.work.group_block)
    item.image = number
    return item


cdef inline const y_t* residual_of(
    char* scratch, const y_t* y, const y_t* place) noexcept nogil:
    """Where the residual of the output at `place` of y lies; NULL: there is none."""
    cdef const y_t* residual = (<Header*>scratch).residual
    return residual + (place - y) if residual != NULL else NULL


# `total` in the fewest pieces of at most `most`, as equal as can be: `larger` pieces of size + 1,
# then the others of `size`.
cdef struct Pieces:
    Py_ssize_t count, size, larger


cdef inline Pieces split(Py_ssize_t total, Py_ssize_t most) noexcept nogil:
    cdef Pieces pieces
    pieces.count = (total + most - 1) // most
    pieces.size = total // pieces.count
    pieces.larger = total % pieces.count
    return pieces


cdef inline void activate(
    const ConvPlan* p, const Py_ssize_t* begin, const Py_ssize_t* end, Py_ssize_t channels,
    const y_t* residual, y_t* y) noexcept nogil:
    """The outputs from `begin` up to `end`; y and the residual are those of the first channel.
    The residual is added where y is not in order; there it may be NULL."""
    cdef Py_ssize_t columns = end[2] - begin[2]
    cdef Py_ssize_t rows = end[1] - begin[1]
    cdef Py_ssize_t planes = end[0] - begin[0]
    cdef Py_ssize_t c, d, h, w, run
    cdef Py_ssize_t pixel
    if not p.problem.y_in_order:  # pixel by pixel
        run = channels if p.problem.y_channel == 1 else 1
        for d in range(begin[0], end[0]):
            for h in range(begin[1], end[1]):
                for w in range(begin[2], end[2]):
                    pixel = pixel_offset(p, d, h, w)
                    for c in range(channels // run):
                        finish_row(p, y + pixel, y + pixel,
                                   residual + pixel if residual != NULL else NULL, run)
                        pixel += p.problem.y_channel
        return
    y += begin[0] * p.problem.y_axis[0] + begin[1] * p.problem.y_axis[1] + begin[2]
    # Rows that follow each other are one long row, and so are planes and channels.
    if p.problem.y_axis[1] == columns:
        columns *= rows
        rows = 1
        if p.problem.y_axis[0] == columns:
            columns *= planes
            planes = 1
            if p.problem.y_channel == columns:
                columns *= channels
                channels = 1
    for c in range(channels):
        for d in range(planes):
            for h in range(rows):
                pixel = c * p.problem.y_channel + pixel_offset(p, d, h, 0)
                finish_row(p, y + pixel, y + pixel, NULL, columns)
