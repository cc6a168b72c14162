# Transposed convolution, as a gather. Output position p along an axis of stride s takes the taps k
# with k * dilation = p + padding (mod s): which they are depends on the phase p mod s alone, and
# the outputs of one phase are an ordinary convolution of stride 1 with them (phases.py). A
# phase on every axis makes a part; a part has a ConvPlan like any other.
#
# An item computes its band of every part, one row of parts (those that differ in the column's
# phase only) after another, into scratch, and from there each row of outputs into y:
#
#     scratch, part 0    a0 a1 a2 a3 ...
#              part 1    b0 b1 b2 b3 ...        y    a0 b0 a1 b1 a2 b2 a3 b3 ...
#
# All parts have the bands, the blocks and the panel of the plan. All count as many outputs as the
# longest phase has; what a part computes beyond its own end is left in scratch. Parts that write
# `straight` to y count their own outputs instead.
#
# If there is a residual, y first gets bias and residual everywhere, and the parts' sums are added
# to that.
#
# Tiles that compute all column phases (upsampling.pxi) store to y themselves: nothing in scratch,
# and bias, residual and activation as in other tiles.


# A part: the outputs of one phase on every axis.
cdef struct PartPlan:
    const ConvPlan* plan
    # Where its weights begin: among the packed weights of all parts; if none are packed, its first
    # tap among the weights as they are.
    Py_ssize_t weights_at


cdef struct TransposedPlan:
    const PartPlan* parts  # [depth's phase][row's phase][column's phase]
    Py_ssize_t counts[3]  # parts along each axis
    const Py_ssize_t* phases[3]  # which phases they are: outputs from the first one of y
    Py_ssize_t y_step[3]  # the stride: from an output of a phase to the next
    Py_ssize_t y_size[3]  # outputs of all phases
    bint bias_alone  # some phase has no taps
    bint straight  # parts count their own outputs, and write them to y
    Py_ssize_t column_parts  # parts of a row that are computed before they are interleaved
    Py_ssize_t outputs  # elements of scratch up to the outputs of parts


cdef inline void outputs_of_band(
    const TransposedPlan* own, const Band* band, Py_ssize_t* begin, Py_ssize_t* end
) noexcept nogil:
    """The outputs of y, from `begin` up to `end`, that a band of the parts makes."""
    cdef Py_ssize_t axis
    for axis in range(3):
        begin[axis] = band.begin[axis] * own.y_step[axis]
        end[axis] = min(own.y_size[axis], band.end[axis] * own.y_step[axis])


cdef void transposed_outputs(
    const ConvPlan* p, const Item* item, Py_ssize_t* begin, Py_ssize_t* end) noexcept nogil:
    """The outputs of an item."""
    cdef const TransposedPlan* own = <const TransposedPlan*>p.own
    cdef Py_ssize_t axis
    if not own.straight:
        outputs_of_band(own, &item.band, begin, end)
        return
    for axis in range(3):  # an item is a whole channel
        begin[axis] = 0
        end[axis] = own.y_size[axis]


include "interleave.pxi"


cdef inline void fill_with_bias(
    const ConvPlan* p, const Py_ssize_t* begin, const Py_ssize_t* end, Py_ssize_t channels,
    const sum_t* bias, const y_t* residual, y_t* y) noexcept nogil:
    """The outputs from `begin` up to `end`, with the residual where there is one; bias, residual
    and y are those of the first channel."""
    cdef Py_ssize_t c, d, h, i, place
    cdef sum_t value
    for c in range(channels):
        value = bias[c] if bias != NULL else 0
        for d in range(begin[0], end[0]):
            for h in range(begin[1], end[1]):
                place = c * p.problem.y_channel + d * p.problem.y_axis[0] + h * p.problem.y_axis[1]
                if residual != NULL:
                    for i in range(place + begin[2], place + end[2]):
                        y[i] = value + residual[i]
                else:
                    for i in range(place + begin[2], place + end[2]):
                        y[i] = value


cdef void straight_parts(
    const ConvPlan* p, const Item* item, const x_t* x, const w_t* weight, const sum_t* bias,
    y_t* y, char* scratch) noexcept nogil:
    """One output channel of one image, by parts that write to y: where nothing of scratch would
    hold their outputs."""
    cdef const TransposedPlan* own = <const TransposedPlan*>p.own
    cdef Py_ssize_t channel = item.first_group * p.problem.out_channels + item.first_channel
    cdef Py_ssize_t begin[3]
    cdef Py_ssize_t d, h, w, axis
    cdef const PartPlan* part = own.parts
    cdef ConvPlan within  # the part, in a y of these strides
    cdef Header* header = <Header*>scratch
    cdef const y_t* residual = header.residual
    cdef y_t* first = y + item.image * p.problem.y_image + channel * p.problem.y_channel
    cdef y_t* part_y
    if own.bias_alone or residual != NULL:
        for axis in range(3):
            begin[axis] = 0
        fill_with_bias(p, begin, own.y_size, 1, bias + channel if bias != NULL else NULL,
                       residual_of(scratch, y, first), first)
    if residual != NULL:
        bias = NULL
    for d in range(own.counts[0]):
        for h in range(own.counts[1]):
            for w in range(own.counts[2]):
                within = part.plan[0]
                within.problem.y_image = p.problem.y_image
                within.problem.y_channel = p.problem.y_channel
                for axis in range(3):
                    within.problem.y_axis[axis] = own.y_step[axis] * p.problem.y_axis[axis]
                part_y = (y + own.phases[0][d] * p.problem.y_axis[0]
                          + own.phases[1][h] * p.problem.y_axis[1] + own.phases[2][w])
                if residual != NULL:
                    header.residual = part_y
                item_of(&within)(
                    &within, item, x, weight + part.weights_at, NULL, bias, part_y, scratch)
                part += 1
    header.residual = residual


cdef void transposed_item(
    const ConvPlan* p, const Item* given, const x_t* x, const w_t* weight, const w_t* packed,
    const sum_t* bias, y_t* y, char* scratch) noexcept nogil:
    cdef Item item = given[0]
    cdef Band* band = &item.band
    cdef const TransposedPlan* own = <const TransposedPlan*>p.own
    cdef const ProblemPlan* of_part = &own.parts.plan.problem  # parts have their y in common
    cdef Py_ssize_t first = item.first_group * p.problem.out_channels + item.first_channel
    cdef Py_ssize_t channels = (item.last_group - item.first_group) * (
        item.last_channel - item.first_channel)
    cdef y_t* outputs = <y_t*>region(scratch, own.outputs)
    # Where a part's first output would lie, if its band began with the first output of all.
    cdef Py_ssize_t behind = (
        first * of_part.y_channel + band.begin[0] * of_part.y_axis[0]
        + band.begin[1] * of_part.y_axis[1] + band.begin[2])
    cdef Py_ssize_t begin[3]
    cdef Py_ssize_t end[3]
    cdef Py_ssize_t d, h, w, first_part, last_part, c, od, y_plane, y_row, lines
    cdef Outputs rows
    cdef const PartPlan* part
    cdef Header* header = <Header*>scratch
    cdef const y_t* residual = header.residual
    cdef y_t* base = y
    x += item.image * p.problem.x_image  # parts count no images
    if own.straight:
        straight_parts(p, given, x, weight, bias, y, scratch)
        return
    outputs_of_band(own, band, begin, end)
    y += item.image * p.problem.y_image + first * p.problem.y_channel
    if own.bias_alone or residual != NULL:
        fill_with_bias(p, begin, end, channels, bias + first if bias != NULL else NULL,
                       residual_of(scratch, base, y), y)
    if residual != NULL:
        bias = NULL
        header.residual = NULL  # of the parts
    rows.step = own.y_step[2]
    rows.size = end[2] - begin[2]
    rows.adds = residual != NULL
    rows.part_line = of_part.y_axis[1]
    rows.y_line = own.y_step[1] * p.problem.y_axis[1]
    rows.part = p.work.group_block * p.work.channel_block * of_part.y_channel
    for d in range(own.counts[0]):
        for h in range(own.counts[1]):
            # Some phases may end a row earlier than others.
            y_row = begin[1] + own.phases[1][h]
            lines = min(band.end[1] - band.begin[1], divide_up(end[1] - y_row, own.y_step[1]))
            first_part = 0
            while first_part < own.counts[2]:
                last_part = min(own.counts[2], first_part + own.column_parts)
                for w in range(first_part, last_part):
                    part = own.parts + (d * own.counts[1] + h) * own.counts[2] + w
                    item_of(part.plan)(
                        part.plan, &item, x, weight + part.weights_at,
                        packed + part.weights_at if packed != NULL else packed, bias,
                        outputs + (w - first_part) * rows.part - behind, scratch)
                rows.phases = own.phases[2] + first_part
                rows.count = last_part - first_part
                for c in range(channels):
                    for od in range(band.begin[0], band.end[0]):
                        y_plane = od * own.y_step[0] + own.phases[0][d]
                        if y_plane >= end[0]:
                            break
                        rows.parts = (outputs + c * of_part.y_channel
                                      + (od - band.begin[0]) * of_part.y_axis[0])
                        rows.y = (y + c * p.problem.y_channel + y_plane * p.problem.y_axis[0]
                                  + y_row * p.problem.y_axis[1] + begin[2])
                        store_rows(&rows, lines)
                first_part = last_part
    header.residual = residual


include "upsampling_strip.pxi"
include "upsampling.pxi"
include "tiles_masked.pxi"

register("transposed", transposed_item, transposed_outputs, sizeof(TransposedPlan), {})
register("upsampling", upsampling_item, transposed_outputs, sizeof(UpsamplingPlan), {
    "upsampling": {
        (step, rows): most
        for step in (2, 4, 8)
        for rows, most in largest_tiles(<void**>&UPSAMPLING_TILES[1][step][0][0]).items()
    },
    "most_places": MOST_PLACES,
})
