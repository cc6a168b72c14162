"""The plan as the engine sees it: what every kernel may read of one convolution.

`gconv._plan.record` has the same fields as NumPy records, in the same order; `call.Plan` copies
them. What one family alone reads stands in that family's own record, whose struct is in its
`kernel.pxi`. A plan is read-only once it is made.

Axes are depth, row, column; a convolution of fewer dimensions has extents of 1 in front.
Strides and pitches count elements.
"""

from libc.stdint cimport int64_t


cdef enum PaddingMode:
    ZEROS
    REFLECT
    REPLICATE
    CIRCULAR


cdef enum Activation:
    IDENTITY
    CLAMP
    LEAKY_RELU
    HARDSWISH  # the last that tiles may apply
    HARDSIGMOID
    SIGMOID
    TANH
    SILU
    GELU
    GELU_TANH


# How the levels of an item's number are nested, slowest first.
cdef enum ItemOrder:
    CHANNELS_FASTEST  # groups, bands, channel blocks
    BANDS_FASTEST  # groups, channel blocks, bands
    BANDS_SLOWEST  # bands, groups, channel blocks


cdef enum:
    FLAT = 3  # a slice axis: the rows and columns of a plane as one
    TRANSPOSED_ROWS = 64  # and columns of a block, which stays in the first-level cache


# One image, and where its elements lie.
cdef struct ProblemPlan:
    Py_ssize_t groups, in_channels, out_channels  # channels per group
    Py_ssize_t in_size[3]
    Py_ssize_t out_size[3]
    Py_ssize_t kernel[3]
    Py_ssize_t stride[3]
    Py_ssize_t dilation[3]
    Py_ssize_t padding[3]  # before the first element; what comes after follows from out_size
    PaddingMode padding_mode  # ZEROS where no tap lies in padding
    # The positions of the padded image, from filled_begin up to filled_end, that hold elements of
    # the image: itself where the padding is zeros, else all that taps meet.
    Py_ssize_t filled_begin[3]
    Py_ssize_t filled_end[3]
    # Taps are added in the order channel, column by every family, and none is left out.
    bint channel_major
    Py_ssize_t x_image, x_channel
    Py_ssize_t x_axis[3]
    Py_ssize_t y_image, y_channel
    Py_ssize_t y_axis[3]
    bint y_in_order  # the columns of y are neighbours, and its rows follow each other
    # From a weight to the next group's, output channel's, input channel's, and along each axis.
    Py_ssize_t w_group, w_channel, w_input
    Py_ssize_t w_axis[3]
    bint w_in_order  # the taps of an output channel are contiguous


# Work items: group block x band of depth, rows, columns x channel block x slice.
cdef struct WorkPlan:
    Py_ssize_t items  # of an image
    Py_ssize_t group_block, group_blocks
    Py_ssize_t band[3]
    Py_ssize_t bands[3]
    Py_ssize_t channel_block, channel_blocks  # output channels of a group
    ItemOrder order
    # Every band is cut into equal slices along an axis, or (FLAT) anywhere among the pixels of a
    # plane. A slice is an item, the fastest to vary; a thread computes its slices of a band at
    # once.
    Py_ssize_t slices
    int slice_axis
    const double* before  # the work of an image's items before each, and of all; NULL: all alike
    Py_ssize_t in_block  # input channels that are summed before the next ones


# Where tiles read x: in place, or from a panel (see source.pxi).
cdef struct SourcePlan:
    bint in_place
    Py_ssize_t phases, phase_step  # a panel row holds the columns of each phase as one run
    Py_ssize_t pixel_step  # from an output pixel's first tap to its right neighbour's
    Py_ssize_t channels  # input channels in a panel
    Py_ssize_t channel, phase  # from a channel, a phase of a row to the next
    Py_ssize_t pitch[2]  # from a plane, a row to the next
    Py_ssize_t columns  # of a phase that tiles read
    Py_ssize_t slots[2]  # planes and rows of the panel
    Py_ssize_t line[2]  # slots from the first tap of an output plane, row to the next one's
    Py_ssize_t tap[2]  # slots from a kernel plane, row to the next
    bint expanded[2]  # a slot for each pair of output row and kernel row
    # What the panel holds of the image: elements before the first one, and from the first to the
    # last that an output reads. Plans that share a panel begin to read at `offset`.
    Py_ssize_t padding[3]
    Py_ssize_t reach[3]
    Py_ssize_t offset


# What is done to the sums before they are y (see epilogue.pxi).
cdef struct EpiloguePlan:
    Activation activation
    double low, high  # of CLAMP; 0 and 6 for HARDSIGMOID and HARDSWISH; the slope and 0 for LEAKY_RELU
    bint in_tiles  # tiles apply the activation; else the item's outputs take a pass
    bint adds_residual  # tiles add the residual; else that pass does


# Regions of a thread's scratch, behind its header: elements up to each; the panel is the first.
cdef struct ScratchPlan:
    Py_ssize_t sums
    Py_ssize_t weights
    Py_ssize_t bytes  # in all


cdef struct ConvPlan:
    ProblemPlan problem
    WorkPlan work
    SourcePlan source
    EpiloguePlan epilogue
    ScratchPlan scratch
    # Taps of an output element in the order of the sum: where each lies in the panel or in x, and
    # its weight from the first tap of its output channel.
    const Py_ssize_t* x_taps
    const Py_ssize_t* w_taps
    int family  # its place in the engine's table
    const void* own  # the family's own record


# What a module of the engine offers: y[image] = activation(bias + weight * x[image] +
# residual[image]) for all images. residual may be NULL, or y itself where y is in order; it has
# y's strides. packed, the weights as the plan wants them, may be NULL; scratch holds
# plan.scratch.bytes for each thread; nothing is checked. Returns for how many nanoseconds the
# threads computed, altogether; 0 for one thread, which is not timed.
ctypedef int64_t (*run_function)(
    const ConvPlan* plan, Py_ssize_t images, const void* x, const void* weight,
    const void* packed, const void* bias, const void* residual, void* y, int threads,
    char* scratch) noexcept nogil

# Another: y[image][pixel][channel] = x[image][channel][pixel], x in C order, y with strides in
# elements. Returns what run_function returns.
ctypedef int64_t (*transpose_function)(
    Py_ssize_t images, Py_ssize_t channels, Py_ssize_t pixels, const void* x, void* y,
    Py_ssize_t y_image, Py_ssize_t y_pixel, int threads) noexcept nogil
