# Start reading here: the sum as it is defined. Everything else in the engine is an optimised
# equivalent of this loop nest.
#
# An item is one output channel of one image.


cdef void plain_item(
    const ConvPlan* p, Py_ssize_t item, const real* x, const real* weight, const real* packed,
    const real* bias, real* y, char* scratch) noexcept nogil:
    cdef Py_ssize_t out_channels = p.groups * p.out_channels
    cdef Py_ssize_t image = item // out_channels
    cdef Py_ssize_t o = item % out_channels
    cdef Py_ssize_t group = o // p.out_channels
    cdef const real* xg = x + image * p.x_image + group * p.in_channels * p.x_channel
    cdef real* yo = y + image * p.y_image + o * p.y_channel
    cdef const real* wo = (
        weight + p.w_origin + group * p.w_group + (o - group * p.out_channels) * p.w_channel)
    cdef const real* w
    cdef real total
    cdef Py_ssize_t od, oh, ow, c, kd, kh, kw, d, h, col
    for od in range(p.out_size[0]):
        for oh in range(p.out_size[1]):
            for ow in range(p.out_size[2]):
                total = bias[o] if bias != NULL else 0
                for c in range(p.in_channels):
                    for kd in range(p.kernel[0]):
                        d = od * p.stride[0] + kd * p.dilation[0] - p.padding[0]
                        for kh in range(p.kernel[1]):
                            h = oh * p.stride[1] + kh * p.dilation[1] - p.padding[1]
                            w = (wo + c * p.w_input + kd * p.w_axis[0]
                                 + kh * p.w_axis[1])
                            for kw in range(p.kernel[2]):
                                col = ow * p.stride[2] + kw * p.dilation[2] - p.padding[2]
                                if (0 <= d < p.in_size[0] and 0 <= h < p.in_size[1]
                                        and 0 <= col < p.in_size[2]):
                                    total = total + w[0] * xg[
                                        c * p.x_channel + d * p.x_axis[0]
                                        + h * p.x_axis[1] + col * p.x_axis[2]]
                                elif p.channel_major:
                                    total = total + w[0] * 0
                                w = w + p.w_axis[2]
                yo[od * p.y_axis[0] + oh * p.y_axis[1] + ow * p.y_axis[2]] = total
