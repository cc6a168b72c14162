"""The truth: the sum that gconv computes, one output position and one tap at a time, in float64."""

import numpy as np


def reference(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Return the grouped cross-correlation of x (N, C, *spatial), weight (O, C/groups, *kernel).

    stride, dilation: an int or one per dimension; padding: an int or one (before, after) each.
    """
    kernel, dims = weight.shape[2:], x.ndim - 2
    stride = (stride,) * dims if isinstance(stride, int) else stride
    dilation = (dilation,) * dims if isinstance(dilation, int) else dilation
    padding = ((padding, padding),) * dims if isinstance(padding, int) else padding
    size = tuple(
        (n + sum(pad) - d * (k - 1) - 1) // s + 1
        for n, pad, d, k, s in zip(x.shape[2:], padding, dilation, kernel, stride, strict=True)
    )
    # Channel g * (C / groups) + c becomes [g, c]: the group is an axis of its own.
    x = x.astype(np.float64).reshape(len(x), groups, weight.shape[1], *x.shape[2:])
    weight = weight.astype(np.float64).reshape(groups, len(weight) // groups, *weight.shape[1:])
    y = np.zeros((len(x), groups, weight.shape[1], *size))
    for position in np.ndindex(*size):
        for tap in np.ndindex(*kernel):
            source = tuple(
                p * s + t * d - pad[0]
                for p, s, t, d, pad in zip(position, stride, tap, dilation, padding, strict=True)
            )
            if all(0 <= at < n for at, n in zip(source, x.shape[3:], strict=True)):
                y[:, :, :, *position] += np.einsum(
                    "ngc,goc->ngo", x[:, :, :, *source], weight[:, :, :, *tap]
                )
    y = y.reshape(len(x), groups * weight.shape[1], *size)
    return y if bias is None else y + bias.astype(np.float64).reshape(-1, *(1,) * dims)
