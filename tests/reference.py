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


def transposed(x, weight, bias=None, stride=1, padding=0, output_padding=0, dilation=1, groups=1):
    """Return the transposed convolution of x (N, C, *spatial), weight (C, O/groups, *kernel).

    Each input adds the kernel, times itself, to the output. Options as above.
    """
    kernel, dims = weight.shape[2:], x.ndim - 2
    stride, dilation, output_padding = (
        (n,) * dims if isinstance(n, int) else n for n in (stride, dilation, output_padding)
    )
    padding = ((padding, padding),) * dims if isinstance(padding, int) else padding
    sizes = zip(x.shape[2:], stride, dilation, kernel, output_padding, strict=True)
    full = tuple(max(0, (n - 1) * s + d * (k - 1) + 1 + more) for n, s, d, k, more in sizes)
    x = x.astype(np.float64).reshape(len(x), groups, len(weight) // groups, *x.shape[2:])
    weight = weight.astype(np.float64).reshape(groups, len(weight) // groups, *weight.shape[1:])
    y = np.zeros((len(x), groups, weight.shape[2], *full))
    for source in np.ndindex(*x.shape[3:]):
        for tap in np.ndindex(*kernel):
            steps = zip(source, stride, tap, dilation, strict=True)
            at = tuple(i * s + t * d for i, s, t, d in steps)
            y[:, :, :, *at] += np.einsum("ngc,gco->ngo", x[:, :, :, *source], weight[:, :, :, *tap])
    inside = tuple(slice(pad[0], n - pad[1]) for n, pad in zip(full, padding, strict=True))
    y = y.reshape(len(x), groups * weight.shape[2], *full)[:, :, *inside]
    return y if bias is None else y + bias.astype(np.float64).reshape(-1, *(1,) * dims)
