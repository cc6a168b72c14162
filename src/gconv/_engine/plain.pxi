# Start reading here: the sum as it is defined. Everything else in the engine is an optimised
# equivalent of this loop nest.
#
# An item is one output channel of one image.


cdef enum:
    NOWHERE = -1


# An image a b c d with three elements of padding on either side:
#
#     zeros        0 0 0 | a b c d | 0 0 0
#     reflect      d c b | a b c d | c b a
#     replicate    a a a | a b c d | d d d
#     circular     b c d | a b c d | a b c
cdef inline Py_ssize_t image_position(
    const ConvPlan* p, int axis, Py_ssize_t position) noexcept nogil:
    """The row of the image (or plane, or column) that a position along the padded axis holds."""
    cdef Py_ssize_t size = p.in_size[axis]
    if 0 <= position < size:
        return position
    if p.padding_mode == REFLECT:
        return -position if position < 0 else 2 * (size - 1) - position
    if p.padding_mode == REPLICATE:
        return 0 if position < 0 else size - 1
    if p.padding_mode == CIRCULAR:
        return position + size if position < 0 else position - size
    return NOWHERE


cdef inline Py_ssize_t moved(
    const ConvPlan* p, int axis, Py_ssize_t position) noexcept nogil:
    """From where a position along the padded axis would lie in x, if that went on, to the element
    that it holds. In padding, the mode must not be ZEROS."""
    return (image_position(p, axis, position) - position) * p.x_axis[axis]


cdef void plain_item(
    const ConvPlan* p, const Item* item, const real* x, const real* weight, const real* packed,
    const real* bias, real* y, char* scratch) noexcept nogil:
    """Assumes items of one output channel."""
    cdef Py_ssize_t group = item.first_group
    cdef Py_ssize_t o = group * p.out_channels + item.first_channel
    cdef const real* xg = x + item.image * p.x_image + group * p.in_channels * p.x_channel
    cdef real* yo = y + item.image * p.y_image + o * p.y_channel
    cdef const real* ro = residual_of(scratch, y, yo)
    cdef const real* wo = (
        weight + p.w_origin + group * p.w_group + item.first_channel * p.w_channel)
    cdef const real* w
    cdef real total
    cdef Py_ssize_t od, oh, ow, c, kd, kh, kw, d, h, col, place
    for od in range(p.out_size[0]):
        for oh in range(p.out_size[1]):
            for ow in range(p.out_size[2]):
                total = bias[o] if bias != NULL else 0
                for c in range(p.in_channels):
                    for kd in range(p.kernel[0]):
                        d = image_position(
                            p, 0, od * p.stride[0] + kd * p.dilation[0] - p.padding[0])
                        for kh in range(p.kernel[1]):
                            h = image_position(
                                p, 1, oh * p.stride[1] + kh * p.dilation[1] - p.padding[1])
                            w = (wo + c * p.w_input + kd * p.w_axis[0]
                                 + kh * p.w_axis[1])
                            for kw in range(p.kernel[2]):
                                col = image_position(
                                    p, 2, ow * p.stride[2] + kw * p.dilation[2] - p.padding[2])
                                if d != NOWHERE and h != NOWHERE and col != NOWHERE:
                                    total = total + w[0] * xg[
                                        c * p.x_channel + d * p.x_axis[0]
                                        + h * p.x_axis[1] + col * p.x_axis[2]]
                                elif p.channel_major:
                                    total = total + w[0] * 0
                                w = w + p.w_axis[2]
                place = od * p.y_axis[0] + oh * p.y_axis[1] + ow * p.y_axis[2]
                yo[place] = total + ro[place] if ro != NULL else total
