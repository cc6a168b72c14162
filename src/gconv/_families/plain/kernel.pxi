# Start reading here: the sum as it is defined. Everything else in the engine is an optimised
# equivalent of this loop nest.
#
# An item is one output channel of one image.


cdef void plain_item(
    const ConvPlan* p, const Item* item, const x_t* x, const w_t* weight, const w_t* packed,
    const sum_t* bias, y_t* y, char* scratch) noexcept nogil:
    """Assumes items of one output channel."""
    cdef Py_ssize_t group = item.first_group
    cdef Py_ssize_t o = group * p.problem.out_channels + item.first_channel
    cdef const x_t* xg = (
        x + item.image * p.problem.x_image + group * p.problem.in_channels * p.problem.x_channel)
    cdef y_t* yo = y + channel_offset(p, item.image, o)
    cdef const y_t* ro = residual_of(scratch, y, yo)
    cdef const w_t* wo = (
        weight + group * p.problem.w_group + item.first_channel * p.problem.w_channel)
    cdef const w_t* w
    cdef sum_t total
    cdef Py_ssize_t od, oh, ow, c, kd, kh, kw, d, h, col, place
    for od in range(p.problem.out_size[0]):
        for oh in range(p.problem.out_size[1]):
            for ow in range(p.problem.out_size[2]):
                total = bias[o] if bias != NULL else 0
                for c in range(p.problem.in_channels):
                    for kd in range(p.problem.kernel[0]):
                        d = image_position(p, 0, tap_position(p, 0, od, kd))
                        for kh in range(p.problem.kernel[1]):
                            h = image_position(p, 1, tap_position(p, 1, oh, kh))
                            w = (wo + c * p.problem.w_input + kd * p.problem.w_axis[0]
                                 + kh * p.problem.w_axis[1])
                            for kw in range(p.problem.kernel[2]):
                                col = image_position(p, 2, tap_position(p, 2, ow, kw))
                                if d != NOWHERE and h != NOWHERE and col != NOWHERE:
                                    total = total + w[0] * xg[
                                        c * p.problem.x_channel + d * p.problem.x_axis[0]
                                        + h * p.problem.x_axis[1] + col * p.problem.x_axis[2]]
                                elif p.problem.channel_major:
                                    total = total + w[0] * 0
                                w = w + p.problem.w_axis[2]
                place = pixel_offset(p, od, oh, ow)
                yo[place] = total + ro[place] if ro != NULL else total


register("plain", plain_item, NULL, 0, {})
