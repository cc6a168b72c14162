# Where the tiles of an item read x: in place, or from a panel. Tap (kd, kh) of output (od, oh)
# starts at
#
#     origin + od * plane + oh * row + kd * tap_plane + kh * tap_row


cdef struct Source:
    const x_t* origin  # where the taps of output position (0, 0, begin[2]) start
    Py_ssize_t plane, row  # from an output plane's, row's first tap to the next one's
    Py_ssize_t tap_plane, tap_row  # from a kernel plane, row to the next


cdef inline Source in_place_source(
    const ConvPlan* p, const Item* item, const x_t* x, Py_ssize_t group) noexcept nogil:
    cdef Source source
    source.plane = p.problem.stride[0] * p.problem.x_axis[0]
    source.row = p.problem.stride[1] * p.problem.x_axis[1]
    source.tap_plane = p.problem.dilation[0] * p.problem.x_axis[0]
    source.tap_row = p.problem.dilation[1] * p.problem.x_axis[1]
    source.origin = (
        x + x_offset(p, item.image, group * p.problem.in_channels, 0, 0, 0)
        + item.band.begin[2] * p.source.pixel_step)
    return source


cdef inline void begin_item(const ConvPlan* p, Item* item, char* scratch) noexcept nogil:
    cdef Header* header = <Header*>scratch
    if p.source.in_place or header.panel_number == item.panel_number:
        return
    if header.cleared_column != item.band.begin[2]:
        clear_padding(p, &item.band, <x_t*>region(scratch, 0))
        header.cleared_column = item.band.begin[2]
    prepare_packing(p, &item.band, &item.packing)


cdef Source panel_source(
    const ConvPlan* p, const Item* item, const x_t* x, Py_ssize_t group,
    Py_ssize_t first_channel, Py_ssize_t channels, char* scratch) noexcept nogil:
    """Packs the panel, unless the thread's last item has left it there. The padding has been
    cleared where the item began."""
    cdef Source source
    cdef Header* header = <Header*>scratch
    cdef x_t* panel = <x_t*>region(scratch, 0)
    cdef bint reusable = p.work.group_block == 1 and p.source.channels >= p.problem.in_channels
    if not reusable or header.panel_number != item.panel_number:
        pack_panel(p, &item.band, &item.packing,
                   x + item.image * p.problem.x_image
                   + (group * p.problem.in_channels + first_channel) * p.problem.x_channel,
                   channels, panel)
        header.panel_number = item.panel_number if reusable else NOTHING
    source.plane = p.source.line[0] * p.source.pitch[0]
    source.row = p.source.line[1] * p.source.pitch[1]
    source.tap_plane = p.source.tap[0] * p.source.pitch[0]
    source.tap_row = p.source.tap[1] * p.source.pitch[1]
    source.origin = (
        panel + p.source.offset
        - item.band.begin[0] * source.plane - item.band.begin[1] * source.row)
    return source


cdef inline const w_t* weights_in_order(
    const ConvPlan* p, Py_ssize_t group, Py_ssize_t channel, const w_t* weight, char* scratch
) noexcept nogil:
    """The kernel of an output channel of a group with one input channel: where it lies, or in
    scratch where its taps are not contiguous."""
    cdef const w_t* kernel = weight + group * p.problem.w_group + channel * p.problem.w_channel
    cdef w_t* taps = <w_t*>region(scratch, p.scratch.weights)
    cdef Py_ssize_t k
    if p.problem.w_in_order:
        return kernel
    for k in range(kernel_volume(p)):
        taps[k] = kernel[p.w_taps[k]]
    return taps
