"""The plan as the engine sees it: sizes, strides and decisions of one convolution.

Filled by `call.Plan` from a `gconv._plan.problem.Spec`, and read-only ever after.
Axes are depth, row, column; a convolution of fewer dimensions has extents of 1 in front.
Strides and pitches count elements.
"""


cdef enum Family:
    PLAIN
    WIDTH
    DEPTHWISE
    CHANNEL
    SLIDING
    SHORT
    ACROSS
    PIXELS
    MASKED


cdef enum PaddingMode:
    ZEROS
    REFLECT
    REPLICATE
    CIRCULAR


cdef enum Activation:
    IDENTITY
    CLAMP
    LEAKY_RELU
    HARDSWISH
    SIGMOID
    TANH
    SILU


cdef struct ConvPlan:
    # One image: groups of input and output channels, extents per axis.
    Py_ssize_t groups, in_channels, out_channels  # channels per group
    Py_ssize_t in_size[3]
    Py_ssize_t out_size[3]
    Py_ssize_t kernel[3]
    Py_ssize_t stride[3]
    Py_ssize_t dilation[3]
    Py_ssize_t padding[3]  # before the first element; what comes after follows from out_size
    PaddingMode padding_mode  # ZEROS where no tap lies in padding
    bint has_padding[3]  # whether a tap lies there, by axis
    # The positions of the padded image, from filled_begin up to filled_end, that hold elements of
    # the image: itself where the padding is zeros, else all that taps meet.
    Py_ssize_t filled_begin[3]
    Py_ssize_t filled_end[3]

    # Where an element lies in the arrays. Rows of y are contiguous but for channel lanes.
    Py_ssize_t x_image, x_channel
    Py_ssize_t x_axis[3]
    Py_ssize_t y_image, y_channel
    Py_ssize_t y_axis[3]
    bint y_in_order  # y, or what of it a part writes, is in C order
    # And a weight: from the first tap of all to the next group's, output channel's, input
    # channel's, plane's, row's, column's. In order: the taps of an output channel are contiguous.
    Py_ssize_t w_origin, w_group, w_channel, w_input
    Py_ssize_t w_axis[3]
    bint w_in_order

    # Work items of one image: group block x depth band x row band x column band x channel block.
    Py_ssize_t items
    Py_ssize_t group_block, group_blocks
    Py_ssize_t band[3]
    Py_ssize_t bands[3]
    Py_ssize_t channel_block, channel_blocks  # output channels of a group
    bint bands_inside  # the bands vary fastest, not the channel blocks
    bint groups_inside  # the bands vary slowest, not the groups
    # Every band is cut into so many slices, as equal as can be, along an axis, or (FLAT, for bands
    # of one plane) anywhere among its pixels. They are items of their own, the fastest to vary.
    Py_ssize_t slices
    int slice_axis
    # The work of an image's items before each of them, and of all; NULL: they are all alike.
    const double* work

    # The kernel and its largest tile: rows (output channels, image rows or pixels) x vectors.
    Family family
    Py_ssize_t tile_rows, tile_vectors

    # What a tile reads: x itself (in_place), or a panel of padded rows in scratch; lanes across
    # groups and tiles of pixels: a panel of channels-last rows (see blocks.pxi).
    bint in_place
    # A panel row holds the columns 0, phase_step, 2 phase_step ..., then 1, ... : `phases` runs.
    Py_ssize_t phases, phase_step
    Py_ssize_t pixel_step  # from one output pixel's first tap to its right neighbour's
    Py_ssize_t panel_channels  # input channels in a panel
    Py_ssize_t panel_channel, panel_plane, panel_row, panel_phase
    Py_ssize_t panel_columns  # columns of a phase that tiles read
    # Planes and rows in it; how many from an output plane's, row's first tap to the next one's,
    # and from a kernel plane, row to the next; whether they are expanded (see panel.pxi).
    Py_ssize_t panel_planes, panel_rows
    Py_ssize_t panel_line[2]
    Py_ssize_t panel_tap[2]
    bint expanded[2]
    # What the panel holds of the image: elements before the first one, and from the first to the
    # last that an output reads. The parts of a transposed convolution share a panel: each begins
    # to read `panel_offset` elements further on.
    Py_ssize_t panel_padding[3]
    Py_ssize_t panel_reach[3]
    Py_ssize_t panel_offset

    bint three_columns  # depthwise: a kernel row's three taps are neighbours
    bint down_the_rows  # tiles of pixels: those that go down the rows
    # Channel lanes: tiles ask for the weights of the next block, or of the next kernel row where
    # these go one at once; tiles of pixels that go down the rows: for what the next tile reads and
    # writes; lanes across groups: the next row of it; sliding windows: for what the next item reads
    # and writes.
    bint prefetches
    # The taps' order is channel, column in every family and block, and none is left out.
    bint channel_major
    bint column_runs  # channel lanes: pixels skip the kernel columns that lie in the padding
    # Channel lanes: so many kernel rows (one, or all) for all pixels, and then the next.
    Py_ssize_t rows_at_once
    # Channel lanes, x in place: the padding holds elements of the image, and pixels with taps
    # there look up where these lie.
    bint gathers_border

    # Masked lanes: for every tap of a channel a bit for each pixel of a plane, whether it meets an
    # element of the image; and where those of each tap begin, in bytes.
    const char* masks
    const Py_ssize_t* mask_taps

    # Taps of one output element in their order: input block, kd, kh, then channel, kw for width
    # lanes (neighbouring taps share cache lines) and kw, channel for channel lanes (where these
    # take one kernel row at once, kh comes before kd);
    # where each lies in the panel (or in x), its weight from the first tap of its output channel,
    # and the places of the taps in the order of their weights in memory.
    Py_ssize_t in_block
    const Py_ssize_t* x_taps
    const Py_ssize_t* w_taps
    const Py_ssize_t* tap_places

    # Lanes across groups: blocks of `across_wide` output channels, LANES unless only tiles of
    # neighbours can serve; `across_blocks` of these for each group block;
    # how their lanes go with input channels; the first output channel of each, the first input
    # channel that it loads, and which of these its lanes pick; whether pixels share picks.
    int lanes_are
    bint neighbours
    Py_ssize_t across_blocks, across_wide
    const Py_ssize_t* across_first
    const Py_ssize_t* across_base
    const int* across_picks

    # A transposed convolution: its parts, one for each stride phase that has taps (see
    # transposed.pxi): how many along each axis, which phases they are, the stride and y's extents.
    # The fields above then are those of the first part's like: out_size counts one phase.
    const ConvPlan* parts  # NULL: an ordinary convolution
    Py_ssize_t part_counts[3]
    const Py_ssize_t* part_phases[3]
    Py_ssize_t y_step[3]
    Py_ssize_t y_size[3]
    bint bias_alone  # some phase has no taps
    bint upsamples  # tiles compute all phases of a row's columns (see upsampling.pxi)
    Py_ssize_t column_parts  # so many are computed before they are interleaved
    Py_ssize_t packed_at  # where a part's weights begin among those of all; 0 if not packed

    # What is done to the sums before they are y (see epilogue.pxi); CLAMP is between low and high,
    # 0 and 6 for HARDSWISH; of LEAKY_RELU these are the slope, and 0. A part's sums are left alone.
    Activation activation
    double low, high

    # Scratch of one thread: elements up to the accumulators, to the weights, to the outputs of
    # parts (or where taps of border pixels lie, or the weights of tiles that compute all phases, or
    # a result that is not yet transposed), and bytes in all.
    Py_ssize_t accumulators_at, weights_at, outputs_at
    Py_ssize_t scratch_bytes


# What a module of the engine offers: y[image] = activation(bias + weight * x[image] +
# residual[image]) for all images. residual may be NULL, or a y in C order itself; it has y's
# strides. packed, the weights as the plan wants them, may be NULL; scratch holds
# plan.scratch_bytes for each thread; nothing is checked.
ctypedef void (*run_function)(
    const ConvPlan* plan, Py_ssize_t images, const void* x, const void* weight,
    const void* packed, const void* bias, const void* residual, void* y, int threads,
    char* scratch) noexcept nogil
