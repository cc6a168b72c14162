# Channel lanes: the rows of a tile are output pixels, its lanes output channels.
#
# A vector of weights serves all pixels of a tile; an element of x is broadcast to all lanes. The
# sums of a band stay in scratch, [pixel][channel], while blocks of input channels go by. Then they
# are transposed into y (or stored as they are, into a channels-last y).
#
#     weights    [group][channel block][tap][VECTORS * LANES]
#
# A channel block is `vectors` vectors of output channels; the last one may have fewer. Lanes beyond
# the last channel are zeros. Taps are in the order of the sum.


cdef struct ChannelPlan:
    Py_ssize_t rows, vectors  # of the largest tile: pixels x vectors of output channels
    const Py_ssize_t* tap_places  # places of the taps, in the order of their weights in memory
    bint column_runs  # pixels skip the kernel columns that lie in the padding
    # x is read in place, and its padding holds elements of the image: pixels with taps there look
    # up where these lie.
    bint gathers_border
    Py_ssize_t rows_at_once  # kernel rows that all pixels go through before the next: 1, or all
    Py_ssize_t border  # elements of scratch up to the places of border taps


cdef enum:
    MOST_COLUMN_RUNS = 64  # a tap begins and ends one at most


include "strip.pxi"
include "pack_and_store.pxi"

cdef channel_function CHANNEL_TILES[MOST_ROWS + 1][MOST_VECTORS + 1]


cdef inline void compute_pixels(
    const ConvPlan* p, ChannelStrip* s, Py_ssize_t vectors, Py_ssize_t pixels) noexcept nogil:
    """A run of pixels with the same taps, tile after tile."""
    cdef Pieces run = split(pixels, (<const ChannelPlan*>p.own).rows)
    if run.larger > 0:
        s.tiles = run.larger
        CHANNEL_TILES[run.size + 1][vectors](s)
        s.pixels += run.larger * (run.size + 1)
        s.spots += run.larger * (run.size + 1)
        s.sums += run.larger * (run.size + 1) * vectors * LANES
    s.tiles = run.count - run.larger
    CHANNEL_TILES[run.size][vectors](s)
    s.pixels += s.tiles * run.size
    s.spots += s.tiles * run.size
    s.sums += s.tiles * run.size * vectors * LANES


# A run of pixels that meet the same taps: of the planes, rows and columns of the kernel, those
# from the first up to the last that lie in the image.
cdef struct Run:
    Py_ssize_t pixels
    Py_ssize_t taps[6]


cdef inline void finish_run(
    const ConvPlan* p, ChannelStrip* s, Run* run, Py_ssize_t vectors, Py_ssize_t in_block
) noexcept nogil:
    cdef Py_ssize_t* t = run.taps
    cdef Py_ssize_t row_taps = p.problem.kernel[2] * in_block
    if run.pixels == 0:
        return
    # Empty run: the sums are in place already.
    if (t[0] >= t[1] or t[2] >= t[3] or t[4] >= t[5]) and s.start == NULL and s.y == NULL:
        s.pixels += run.pixels
        s.sums += run.pixels * vectors * LANES
        return
    s.planes = t[1] - t[0]
    if t[5] - t[4] == p.problem.kernel[2]:  # whole kernel rows: one range of taps
        s.rows = 1
        s.first = t[0] * s.plane + t[2] * row_taps
        s.last = t[0] * s.plane + t[3] * row_taps
    else:
        s.rows = t[3] - t[2]
        s.first = t[0] * s.plane + t[2] * row_taps + t[4] * in_block
        s.last = t[0] * s.plane + t[2] * row_taps + t[5] * in_block
    compute_pixels(p, s, vectors, run.pixels)


cdef inline void extend_run(
    const ConvPlan* p, ChannelStrip* s, Run* run, Py_ssize_t vectors, Py_ssize_t in_block,
    const Py_ssize_t* taps, Py_ssize_t pixels) noexcept nogil:
    """Add pixels to the run, or compute it and begin another where they meet other taps."""
    cdef Py_ssize_t i
    cdef bint same = True
    for i in range(6):
        same = same and run.taps[i] == taps[i]
    if not same:
        finish_run(p, s, run, vectors, in_block)
        run.pixels = 0
        for i in range(6):
            run.taps[i] = taps[i]
    run.pixels += pixels


# Runs of output columns of a band that meet the same taps of a kernel row.
cdef struct ColumnRuns:
    Py_ssize_t count
    Py_ssize_t end[MOST_COLUMN_RUNS]
    Py_ssize_t first[MOST_COLUMN_RUNS]
    Py_ssize_t last[MOST_COLUMN_RUNS]


cdef inline void find_column_runs(
    const ConvPlan* p, const Band* band, ColumnRuns* runs) noexcept nogil:
    """One run where columns of padding are multiplied like any others."""
    cdef Py_ssize_t column, first, last
    runs.count = 1
    runs.end[0] = band.end[2]
    runs.first[0] = 0
    runs.last[0] = p.problem.kernel[2]
    if not (<const ChannelPlan*>p.own).column_runs:
        return
    tap_range(p, 2, band.begin[2], &runs.first[0], &runs.last[0])
    for column in range(band.begin[2] + 1, band.end[2]):
        tap_range(p, 2, column, &first, &last)
        if first != runs.first[runs.count - 1] or last != runs.last[runs.count - 1]:
            runs.end[runs.count - 1] = column
            runs.first[runs.count] = first
            runs.last[runs.count] = last
            runs.end[runs.count] = band.end[2]
            runs.count += 1


# An item's first row may begin, and its last row end, in the middle of the band. From and up to
# which column a run's columns of a row belong to the item.

cdef inline Py_ssize_t row_begin(
    const Item* item, Py_ssize_t row, Py_ssize_t column) noexcept nogil:
    return max(column, item.first_column) if row == item.band.begin[1] else column


cdef inline Py_ssize_t row_end(
    const Item* item, Py_ssize_t row, Py_ssize_t column) noexcept nogil:
    return min(column, item.last_column) if row == item.band.end[1] - 1 else column


cdef inline void compute_runs(
    const ConvPlan* p, ChannelStrip* s, const Item* item, const ColumnRuns* runs,
    Py_ssize_t vectors, Py_ssize_t in_block, Py_ssize_t kernel_row) noexcept nogil:
    """All pixels of an item with `rows_at_once` kernel rows, from `kernel_row` on."""
    cdef const Band* band = &item.band
    cdef Py_ssize_t rows_at_once = (<const ChannelPlan*>p.own).rows_at_once
    cdef Py_ssize_t n, od, oh, pixels, column = band.begin[2]
    cdef Py_ssize_t taps[6]
    cdef Run run
    run.pixels = 0
    for n in range(6):
        run.taps[n] = 0
    for n in range(runs.count):
        taps[4] = runs.first[n]
        taps[5] = runs.last[n]
        for od in range(band.begin[0], band.end[0]):
            tap_range(p, 0, od, &taps[0], &taps[1])
            for oh in range(band.begin[1], band.end[1]):
                tap_range(p, 1, oh, &taps[2], &taps[3])
                taps[2] = max(taps[2], kernel_row)
                taps[3] = min(taps[3], kernel_row + rows_at_once)
                pixels = row_end(item, oh, runs.end[n]) - row_begin(item, oh, column)
                if pixels > 0:
                    extend_run(p, s, &run, vectors, in_block, taps, pixels)
        column = runs.end[n]
    finish_run(p, s, &run, vectors, in_block)


include "border.pxi"


cdef void channel_item(
    const ConvPlan* p, const Item* given, const x_t* x, const w_t* weight, const w_t* packed,
    const sum_t* bias, y_t* y, char* scratch) noexcept nogil:
    """Assumes group blocks of 1, and that a band's pixels are contiguous in a y in order."""
    cdef Item item = given[0]
    cdef Band* band = &item.band
    cdef const ChannelPlan* own = <const ChannelPlan*>p.own
    cdef Py_ssize_t volume = kernel_volume(p)
    cdef Py_ssize_t taps = p.problem.in_channels * volume
    cdef Py_ssize_t group = item.first_group
    cdef Py_ssize_t width = band.end[2] - band.begin[2]
    cdef Py_ssize_t all_vectors = (p.problem.out_channels + LANES - 1) // LANES
    cdef Py_ssize_t pixels = (
        width * (band.end[0] - band.begin[0]) * (band.end[1] - band.begin[1])
        - (item.first_column - band.begin[2]) - (band.end[2] - item.last_column))
    cdef Header* header = <Header*>scratch
    cdef sum_t* sums = <sum_t*>region(scratch, p.scratch.sums)
    cdef w_t* weights = <w_t*>region(scratch, p.scratch.weights)
    cdef Py_ssize_t* places = <Py_ssize_t*>(sums + p.scratch.weights - p.scratch.sums) - pixels
    cdef Py_ssize_t* spots = places - pixels
    cdef Py_ssize_t o, vectors, channels, lanes, c, in_block, row_taps, plane_taps, pixel, i, j
    cdef Py_ssize_t od, oh, column, end, n
    cdef ColumnRuns runs
    cdef const w_t* weights_here
    cdef y_t* to_y
    cdef vec start[MOST_VECTORS]
    cdef bint at_once, to_spots
    cdef Border border
    cdef Source source
    cdef ChannelStrip s
    begin_item(p, &item, scratch)
    s.next_row = 0
    # The region of sums ends with two tables: `places`, where each pixel's taps start in x, and
    # `spots`, where each pixel lies in y. Columns that meet the same taps form a run, and a run
    # takes its columns of all rows before the next run. If y is in C order, `spots` holds the
    # order of the pixels instead: which pixel lies at each place of y.
    if p.source.in_place:
        source = in_place_source(p, &item, x, group)
    else:
        source.plane = p.source.line[0] * p.source.pitch[0]
        source.row = p.source.line[1] * p.source.pitch[1]
    pixel = 0
    find_column_runs(p, band, &runs)
    border.inner = border.pixels = 0
    border.places = NULL
    if own.gathers_border:
        border.places = <Py_ssize_t*>region(scratch, own.border)
        find_border(p, &item, pixels, &source, places, spots, &border)
        runs.count = 0
    column = band.begin[2]
    for n in range(runs.count):
        end = runs.end[n]
        for od in range(band.begin[0], band.end[0]):
            for oh in range(band.begin[1], band.end[1]):
                for i in range(row_begin(&item, oh, column), row_end(&item, oh, end)):
                    places[pixel] = (
                        od * source.plane + oh * source.row
                        + (i - band.begin[2]) * p.source.pixel_step)
                    if not p.problem.y_in_order:
                        spots[pixel] = pixel_offset(p, od, oh, i)
                    elif own.column_runs:
                        spots[((od - band.begin[0]) * (band.end[1] - band.begin[1])
                               + oh - band.begin[1]) * width + i - item.first_column] = pixel
                    pixel += 1
        column = end
    o = item.first_channel
    while o < item.last_channel:
        vectors = min(own.vectors, (item.last_channel - o + LANES - 1) // LANES)
        lanes = vectors * LANES
        channels = min(lanes, item.last_channel - o)
        for j in range(lanes):
            (<sum_t*>start)[j] = (bias[group * p.problem.out_channels + o + j]
                                 if bias != NULL and j < channels else 0)
        to_y = y + channel_offset(p, item.image, group * p.problem.out_channels + o)
        weights_here = weight + group * p.problem.w_group + o * p.problem.w_channel
        # A block of input channels that takes all kernel rows at once visits each pixel once: the
        # first block starts from the bias; the last stores straight to y.
        at_once = own.rows_at_once == p.problem.kernel[1]
        to_spots = (at_once and p.problem.y_channel == 1 and not p.problem.y_in_order
                    and channels == lanes)
        if not at_once:
            for pixel in range(pixels):
                for j in range(vectors):
                    (<vec*>(sums + pixel * lanes))[j] = start[j]
        if packed == NULL and p.work.order == BANDS_FASTEST:
            # Items that follow each other are bands of the same channels: all the weights of
            # these are packed once, and each panel once for every block of channels.
            if header.weights_number != group * p.problem.out_channels + o:
                c = 0
                while c < p.problem.in_channels:
                    in_block = min(p.work.in_block, p.problem.in_channels - c)
                    pack_channel_block(p, weights_here, c * volume, (c + in_block) * volume,
                                       channels, lanes, weights + c * volume * lanes)
                    c += in_block
                header.weights_number = group * p.problem.out_channels + o
        c = 0
        while c < p.problem.in_channels:
            in_block = min(p.work.in_block, p.problem.in_channels - c)
            if not p.source.in_place:
                if p.source.channels >= p.problem.in_channels:
                    source = panel_source(p, &item, x, group, 0, p.problem.in_channels, scratch)
                else:
                    source = panel_source(p, &item, x, group, c, in_block, scratch)
            row_taps = in_block * p.problem.kernel[2]
            plane_taps = p.problem.kernel[1] * row_taps
            s.x = source.origin
            s.x_taps = p.x_taps + c * volume
            s.plane = plane_taps
            if packed != NULL:
                s.weight = packed + ((group * all_vectors * LANES + o) * taps
                                     + c * volume * lanes)
            elif p.work.order == BANDS_FASTEST:
                s.weight = weights + c * volume * lanes
            else:
                pack_channel_block(p, weights_here, c * volume, (c + in_block) * volume,
                                   channels, lanes, weights)
                s.weight = weights
            # Tiles ask for the weights that are wanted next, which in a model come from memory or
            # the third-level cache. Measured on Zen 4: up to 1.2 times as fast at 7x7, models 1.01
            # times; as fast as without where all weights stay in the second-level cache.
            s.ahead = row_taps * own.rows_at_once * lanes if packed != NULL else 0
            s.row = row_taps
            s.start = start if at_once and c == 0 else NULL
            s.y = to_y if to_spots and c + in_block == p.problem.in_channels else NULL
            # Where pixels follow each other, the processor's own prefetchers do that. Measured on
            # Zen 4: first layers of networks with y beyond the caches are 1.05 to 1.3 times as
            # fast, others as fast as without.
            s.asks_for_y = s.y != NULL and p.problem.y_axis[2] > lanes
            for i in range(1 if own.gathers_border else p.problem.kernel[1] // own.rows_at_once):
                s.pixels = places
                s.spots = spots
                s.sums = sums
                if own.gathers_border:
                    compute_border(p, &s, &border, vectors, in_block)
                else:
                    compute_runs(p, &s, &item, &runs, vectors, in_block, i * own.rows_at_once)
            c += in_block
        if p.problem.y_in_order:
            to_y += pixel_offset(p, band.begin[0], band.begin[1], item.first_column)
            store_transposed(
                p, sums, lanes, spots if own.column_runs or own.gathers_border else NULL, pixels,
                channels, residual_of(scratch, y, to_y), to_y)
        elif not to_spots:
            store_pixels(p, sums, lanes, spots, pixels, channels, to_y)
        o += lanes


include "tiles_16.pxi"
include "tiles_32.pxi"

register("channel", channel_item, NULL, sizeof(ChannelPlan), {
    "channel": largest_tiles(<void**>&CHANNEL_TILES[0][0]), "most_column_runs": MOST_COLUMN_RUNS,
})
