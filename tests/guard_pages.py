"""A program: convolve arrays that end, or begin, where the memory that may be touched does.

    python guard_pages.py ISA DTYPE

One access outside an array and the process dies of SIGSEGV or SIGBUS; the last line on standard
error is then the case that did it. What lies beside an array holds NaN, and beside the output it is
compared afterwards.
"""

import ctypes
import itertools
import math
import mmap
import os
import sys

import numpy as np
from arrays import integers
from kernels import KERNELS, Kernel, plan_of, plans

import gconv
from gconv._call.isa import use_isa

FUNCTIONS = {1: gconv.conv1d, 2: gconv.conv2d, 3: gconv.conv3d}
LAYERS = {1: gconv.Conv1d, 2: gconv.Conv2d, 3: gconv.Conv3d}
TRANSPOSED_FUNCTIONS = {
    1: gconv.conv_transpose1d, 2: gconv.conv_transpose2d, 3: gconv.conv_transpose3d
}
TRANSPOSED_LAYERS = {
    1: gconv.ConvTranspose1d, 2: gconv.ConvTranspose2d, 3: gconv.ConvTranspose3d
}
PAGE = mmap.PAGESIZE


class Room:
    """Pages between two that must not be touched."""

    def __init__(self, nbytes):
        self.nbytes = -(-nbytes // PAGE) * PAGE
        # Never unmapped: a stray access after the end would go unnoticed.
        self.map = mmap.mmap(-1, self.nbytes + 2 * PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        libc = ctypes.CDLL(None, use_errno=True)
        for guard in (start, start + PAGE + self.nbytes):
            if libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(PAGE), 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        self.bytes = np.frombuffer(self.map, np.uint8, self.nbytes, PAGE)

    def place(self, array, strides, at_end):
        """Return a copy of the array in this memory layout, against one of the guards.

        Within a page of it, what is not its own holds NaN.
        """
        extent = array.itemsize + sum(
            (n - 1) * stride for n, stride in zip(array.shape, strides, strict=True)
        )
        extent = extent if array.size else 0
        offset = self.nbytes - extent if at_end else 0
        self.near = self.bytes[max(0, offset - PAGE) : offset + extent + PAGE]
        self.near[:] = 0xFF
        view = np.ndarray(array.shape, array.dtype, self.map, PAGE + offset, strides)
        view[...] = array
        return view

    def around(self, view):
        """Return the bytes near the view that belong to none of its elements."""
        inside = view.copy()
        view[...] = 0
        rest = self.near.copy()
        view[...] = inside
        return rest


def c_strides(shape, itemsize):
    return tuple(itemsize * math.prod(shape[i + 1 :]) for i in range(len(shape)))


def last_strides(shape, itemsize):
    """Strides of a channels-last array of (N, C, *spatial)."""
    n, c, *spatial = shape
    strides = c_strides((n, *spatial, c), itemsize)
    return (strides[0], strides[-1], *strides[1:-1])


def spaced_strides(shape, itemsize):
    """Strides of every second column."""
    return c_strides(shape, 2 * itemsize)


# (inputs per group, outputs per group, groups): multiplier, depthwise, grouped, ragged, dense,
# many channels
CHANNELS = [(1, 3, 2), (1, 1, 5), (4, 4, 2), (7, 11, 2), (3, 8, 1), (33, 17, 1)]


def cases():
    """Yield (x shape, weight shape, options): every width from 1 to 40, all classes of layers."""
    for width, (inputs, outputs, groups) in itertools.product(range(1, 41), CHANNELS):
        for kernel, stride, padding in ((1, 1, 0), (3, 1, 1), (3, 2, 1), (5, 1, 4), (2, 3, 0)):
            x = (1, inputs * groups, 3, width)
            weight = (outputs * groups, inputs, min(kernel, 3), kernel)
            if width + 2 * padding >= kernel:
                yield x, weight, {"stride": (1, stride), "padding": padding, "groups": groups}
    for width, (inputs, outputs, groups) in itertools.product((1, 7, 8, 31, 40), CHANNELS):
        options = {"padding": 4, "dilation": 3, "groups": groups}
        yield (2, inputs * groups, 2, width), (outputs * groups, inputs, 2, 3), options
        options = {"padding": 2, "stride": (2, 1, 2), "groups": groups}
        yield (1, inputs * groups, 2, 3, width), (outputs * groups, inputs, 2, 2, 3), options
    for width, kernel, stride in itertools.product((1, 8, 33, 300), (1, 4, 31), (1, 2, 5)):
        options = {"padding": ((kernel - 1, 0),), "stride": stride, "groups": 3}
        yield (2, 3, width), (6, 1, kernel), options
        yield (1, 12, width), (9, 4, kernel), options
    # Channels that fill vectors, and some more (channels-last arrays have kernels for them).
    for inputs, outputs, groups in ((1, 1, 16), (1, 1, 37), (1, 2, 20), (4, 4, 9), (3, 5, 8)):
        for width, kernel, stride in itertools.product((1, 5, 12, 19), (1, 3, 5, 7), (1, 2)):
            options = {"padding": kernel // 2, "stride": stride, "groups": groups}
            weight = (outputs * groups, inputs, kernel, kernel)
            yield (1, inputs * groups, 4, width), weight, options
    for width, kernel, dilation in itertools.product((1, 5, 12, 19), (3, 9, 31), (1, 3)):
        options = {"padding": (1, kernel // 2 * dilation), "dilation": (1, dilation)}
        yield (1, 3, 4, width), (30, 1, 3, kernel), {"groups": 3, **options}
        yield (1, 19, 4, width), (19, 1, 3, kernel), {"groups": 19, **options}
    # Large kernels, small square maps, tall and narrow ones.
    for height, width in ((7, 7), (14, 14), (28, 28), (40, 1), (40, 3)):
        yield (1, 3, height, width), (3, 1, 31, 31), {"padding": 15, "groups": 3}
        yield (1, 4, height, width), (4, 1, 7, 7), {"padding": 3, "stride": 2, "groups": 4}
        yield (1, 48, height, width), (32, 48, 3, 3), {"padding": 1}
        yield (1, 64, height, width), (40, 64, 1, 1), {"stride": 2}
        yield (0, 2, height, width), (4, 2, 1, 1), {}
    # Padding from the image itself: as far from its edge as each mode goes.
    modes = {"reflect": lambda size: size - 1, "replicate": lambda size: 9, "circular": int}
    for width, (inputs, outputs, groups) in itertools.product((1, 2, 7, 8, 31, 40), CHANNELS):
        for (mode, most), stride in itertools.product(modes.items(), (1, 2, 3)):
            padding = (most(3), min(most(width), 20))
            options = {"stride": (1, stride), "padding": padding, "groups": groups}
            options["padding_mode"] = mode
            kernel = min(3, width + 2 * padding[1])
            yield (1, inputs * groups, 3, width), (outputs * groups, inputs, 3, kernel), options


def transposed_cases():
    """Yield the same of transposed convolutions: strides with and without vectors, crops."""
    for width, (inputs, outputs, groups) in itertools.product((*range(1, 20, 3), 8, 33), CHANNELS):
        x = (1, inputs * groups, 3, width)
        for kernel, stride, padding in ((4, 2, 1), (3, 2, 1), (8, 4, 2), (2, 3, 0), (9, 8, 0)):
            weight = (inputs * groups, outputs, min(kernel, 3), kernel)
            if (width - 1) * stride + kernel > 2 * padding:
                yield x, weight, {"stride": (2, stride), "padding": padding, "groups": groups}
    for width, (inputs, outputs, groups) in itertools.product((1, 7, 40), CHANNELS):
        options = {"padding": ((0, 1), (3, 0)), "stride": 2, "dilation": 3, "groups": groups}
        yield (2, inputs * groups, 2, width), (inputs * groups, outputs, 2, 3), options
        options = {"stride": (2, 1, 2), "output_padding": (1, 0, 1), "groups": groups}
        yield (1, inputs * groups, 2, 3, width), (inputs * groups, outputs, 2, 2, 3), options
        options = {"stride": 8, "padding": 4, "groups": groups}
        yield (1, inputs * groups, width), (inputs * groups, outputs, 16), options


LAYOUTS = {"C": c_strides, "channels last": last_strides, "spaced": spaced_strides}


def check(rooms, operators, arrays, options, want, layout, at_end, num_threads):
    """Convolve with every array against a guard; compare with `want`."""
    function, layer = operators
    place = LAYOUTS[layout]
    x, weight, bias = (
        rooms[name].place(
            array, (place if name == "x" else c_strides)(array.shape, array.itemsize), at_end
        )
        for name, array in arrays.items()
    )
    out = rooms["out"].place(np.full_like(want, np.nan), place(want.shape, want.itemsize), at_end)
    around = rooms["out"].around(out)
    function(x, weight, bias, **options, out=out, num_threads=num_threads)
    np.testing.assert_array_equal(out, want)
    out[...] = np.nan
    layer(weight, bias, **options)(x, out=out, num_threads=num_threads)
    np.testing.assert_array_equal(out, want)
    # A residual, and then in its place: rows end there as well.
    numbers = integers(np.random.default_rng(1), want.shape, want.dtype)
    total = np.maximum(want + numbers, 0)
    residual = rooms["residual"].place(numbers, place(want.shape, want.itemsize), at_end)
    options = options | {"activation": "relu"}
    out[...] = np.nan
    function(x, weight, bias, **options, residual=residual, out=out, num_threads=num_threads)
    np.testing.assert_array_equal(out, total)
    np.testing.assert_array_equal(residual, numbers)
    out[...] = numbers
    layer(weight, bias, **options)(x, residual=out, out=out, num_threads=num_threads)
    np.testing.assert_array_equal(out, total)
    np.testing.assert_array_equal(rooms["out"].around(out), around)
    for placed, array in zip((x, weight, bias), arrays.values(), strict=True):
        np.testing.assert_array_equal(placed, array)


def check_step(rooms, dtype, batch, channels, past, size, at_end):
    """A step of a stream with every array against a guard, and its buffer with its room."""
    inputs, outputs, groups = channels
    rng = np.random.default_rng(past)
    arrays = {
        "state": integers(rng, (batch, inputs * groups, past), dtype),
        "chunk": integers(rng, (batch, inputs * groups, size), dtype),
        "weight": integers(rng, (outputs * groups, inputs, past + 1), dtype),
        "bias": integers(rng, (outputs * groups,), dtype),
    }
    both = np.concatenate([arrays["state"], arrays["chunk"]], axis=2)
    want = gconv.conv1d(both, arrays["weight"], arrays["bias"], groups=groups)
    placed = {
        name: rooms[name].place(array, c_strides(array.shape, array.itemsize), at_end)
        for name, array in arrays.items()
    }
    layer = gconv.CausalConv1d(placed["weight"], placed["bias"], groups=groups)
    y, state = layer.step(placed["chunk"], placed["state"])
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(state, both[:, :, size:])
    # The plan of that step, on a buffer and a result of our own.
    unpadded = layer._parameters._replace(padding=((0, 0),))
    plan = plan_of(unpadded, both, channel_major=True, room=True)
    vector = 64 // both.itemsize
    buffer = rooms["x"].place(np.zeros(both.size + vector, dtype), (both.itemsize,), at_end)
    buffer = buffer[: both.size].reshape(both.shape)
    buffer[...] = both
    out = rooms["out"].place(np.full_like(want, np.nan), want.strides, at_end)
    around = rooms["out"].around(out)
    packed = layer._packed_for(plan)
    plan.run(buffer, placed["weight"], packed, placed["bias"], out, 1)
    np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(rooms["out"].around(out), around)
    return plan.layout.family.name


def check_steps(isa, dtype):
    """Steps of every length around that of a vector, with states of a few samples and more."""
    rooms = {name: Room(1 << 18) for name in ("state", "chunk", "weight", "bias", "x", "out")}
    met = set()
    for channels, past, size in itertools.product(
        CHANNELS, (0, 1, 2, 3, 4, 7, 15, 16, 17, 40), (1, 2, 3, 5, 8, 15, 16, 17, 35)
    ):
        for batch, at_end in ((1, True), (3, True), (2, False)):
            case = f"step {isa} {dtype} {channels} {past=} {size=} {batch=} {at_end=}"
            os.write(2, f"{case}\n".encode())
            with use_isa(isa):
                met.add(check_step(rooms, dtype, batch, channels, past, size, at_end))
    assert met == {"short", "width", "channel"}, met


def check_slices(isa, dtype):
    """Slices of a long row, read in place: each begins a thread's share at some number of them."""
    rng, rooms = np.random.default_rng(0), {"x": Room(1 << 20)}
    for size in (7316, 8192, 9759):
        x, weight = (integers(rng, shape, dtype) for shape in ((1, 8, size), (24, 8, 9)))
        placed = rooms["x"].place(x, c_strides(x.shape, x.itemsize), True)
        with use_isa(isa):
            layer = gconv.Conv1d(weight)
            want = layer(x, num_threads=1)
            for num_threads in range(64, 129, 2):
                os.write(2, f"slices {isa} {dtype} {size} {num_threads=}\n".encode())
                np.testing.assert_array_equal(layer(placed, num_threads=num_threads), want)


def check_blocks(isa, dtype):
    """Depthwise layers in C order by channels-last tiles: maps of less and more than a vector."""
    rng = np.random.default_rng(0)
    rooms = {name: Room(1 << 20) for name in ("x", "weight", "bias", "out", "residual")}
    sizes = ((1, 3, 3), (1, 7, 7), (2, 5, 13), (1, 1, 40))
    for channels, size, stride in itertools.product((1, 17, 35), sizes, (1, 3)):
        for kernel in (3, 4, 5, 9):  # for each kind of tiles
            x, weight = (2, channels, *size), (channels, 1, 1, kernel, kernel)
            arrays = {
                "x": integers(rng, x, dtype),
                "weight": integers(rng, weight, dtype),
                "bias": integers(rng, (channels,), dtype),
            }
            options = {"padding": (0, kernel // 2, kernel // 2), "stride": (1, stride, stride),
                       "groups": channels}
            want = gconv.conv3d(**arrays, **options)
            for at_end, layout in ((True, "C"), (False, "C"), (True, "spaced")):
                os.write(2, f"blocks {isa} {dtype} {x} {weight} {options}\n".encode())
                with plans(isa, Kernel("channels_last")):
                    check(rooms, (gconv.conv3d, gconv.Conv3d), arrays, options, want, layout,
                          at_end, 1)


def main(isa, dtype):
    check_steps(isa, dtype)
    check_slices(isa, dtype)
    check_blocks(isa, dtype)
    rng = np.random.default_rng(0)
    rooms = {name: Room(1 << 20) for name in ("x", "weight", "bias", "out", "residual")}
    done = 0
    all_cases = itertools.chain(
        (((FUNCTIONS, LAYERS), *case) for case in cases()),
        (((TRANSPOSED_FUNCTIONS, TRANSPOSED_LAYERS), *case) for case in transposed_cases()),
    )
    for number, (kinds, x, weight, options) in enumerate(all_cases):
        operators = tuple(kind[len(x) - 2] for kind in kinds)
        channels = weight[0] if kinds[0] is FUNCTIONS else weight[1] * options["groups"]
        arrays = {
            "x": integers(rng, x, dtype),
            "weight": integers(rng, weight, dtype),
            "bias": integers(rng, (channels,), dtype),
        }
        want = operators[0](**arrays, **options)
        # The plan's own choice of kernels on plain arrays; other kernels and layouts take turns.
        turns = (
            (None, "C"),
            (KERNELS[number % len(KERNELS)], "C"),
            (None, ("channels last", "spaced")[number % 2]),
        )
        at_the_end = [(True, *turn) for turn in turns]
        for at_end, family, layout in (*at_the_end, (False, *turns[number % len(turns)])):
            name = operators[0].__name__
            case = f"{isa} {dtype} {name} {x} {weight} {options} {family} {layout} {at_end=}"
            os.write(2, f"{case}\n".encode())
            with plans(isa, family):
                check(rooms, operators, arrays, options, want, layout, at_end, 1 + number % 2)
            done += 1
    print(done)


if __name__ == "__main__":
    main(*sys.argv[1:])
