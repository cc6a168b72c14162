"""Every register tile by itself: all sizes, every ragged edge, short and long tap lists.

Data are small whole numbers, so every comparison is exact. Tiles are compared with the engine's
plain loop nest (the reference would take minutes), and the loop nest with the reference.
"""

import contextlib

import numpy as np
import pytest
from arrays import integers
from kernels import family_of, layout_of
from kernels import plain as plain_loop_nest
from reference import reference

import gconv
from gconv._call.isa import machine_of, usable
from gconv._plan import choose


def limits(isa, dtype, family, table=""):
    """The most vectors of a family's tiles, by their rows."""
    return machine_of(isa, np.dtype(dtype)).tiles[family][table or family]


def tiles(family, table=""):
    """Every tile of a family that some instruction set has in some precision."""
    found = set()
    for isa in usable():
        for dtype in (np.float32, np.float64):
            most = limits(isa, dtype, family, table)
            found |= {(r, v) for r, widest in most.items() for v in range(1, widest + 1)}
    return sorted(found)


def plain(x, weight, bias=None, **options):
    with plain_loop_nest():
        return gconv.conv2d(x, weight, bias, **options)


def check(x, weight, family, rows, vectors, kind="", **options):
    """The tile is the one that runs, and what it computes is the plain sum, bit for bit."""
    bias = np.arange(len(weight)).astype(x.dtype)
    with choose.use_tile(family, rows, vectors, kind):
        layout = layout_of(x, weight, **options)
        assert (layout.family.name, *layout.tile[:3]) == (family, rows, vectors, kind)
        got = gconv.conv2d(x, weight, bias, **options)
    np.testing.assert_array_equal(got, plain(x, weight, bias, **options))


def has_tile(isa, dtype, family, rows, vectors, table=""):
    return vectors <= limits(isa, dtype, family, table).get(rows, 0)


def edges(lanes, vectors):
    """Widths of one element, around one vector, and around one and two full tiles."""
    full = lanes * vectors
    widths = {1, lanes - 1, lanes, lanes + 1, full - 1, full, full + 1, 2 * full - lanes + 1}
    return sorted(width for width in widths if width > 0)


def lanes_of(isa, dtype):
    return machine_of(isa, np.dtype(dtype)).lanes


@pytest.mark.parametrize(("rows", "vectors"), tiles("width"))
@pytest.mark.parametrize("taps", [(1, 1, 1), (2, 3, 3)], ids=["one tap", "18 taps"])
def test_width_tile(isa, dtype, rng, rows, vectors, taps):
    """Output channels that fill the tile and one that does not; every ragged width."""
    if not has_tile(isa, dtype, "width", rows, vectors):
        return  # another instruction set's
    channels, *kernel = taps
    for width in edges(lanes_of(isa, dtype), vectors):
        for out_channels in (rows, rows + 1):
            x = integers(rng, (1, channels, 3, width + kernel[1] - 1), dtype)
            weight = integers(rng, (out_channels, channels, *kernel), dtype)
            check(x, weight, "width", rows, vectors, padding=((1, 0), (0, 0)))


@pytest.mark.parametrize(("rows", "vectors"), tiles("width", "masked"))
@pytest.mark.parametrize(("kernel", "dilation"), [((1, 3), 1), ((3, 3), 1), ((3, 5), 2)])
def test_masked_tile(isa, dtype, rng, rows, vectors, kernel, dilation):
    """Output channels that fill the tile and one that does not; planes of any size, whose rows
    end anywhere in a vector, and of fewer rows than the kernel has."""
    if not has_tile(isa, dtype, "width", rows, vectors, "masked"):
        return
    lanes = lanes_of(isa, dtype)
    for pixels in edges(lanes, vectors):
        for height in (1, 4):
            width = -(-pixels // height)
            for out_channels in (rows, rows + 1):
                x = integers(rng, (2, 4, height, width), dtype)
                weight = integers(rng, (2 * out_channels, 2, *kernel), dtype)
                across = dilation * (kernel[1] // 2)
                check(x, weight, "width", rows, vectors, "masked", dilation=dilation,
                      padding=((2, dilation), (across, across)), groups=2)


@pytest.mark.parametrize(("rows", "vectors"), tiles("depthwise"))
@pytest.mark.parametrize(("more", "columns"), [(0, 3), (1, 3), (4, 2), (1, 5)])
def test_depthwise_tile(isa, dtype, rng, rows, vectors, more, columns):
    """Kernels from the least that the tile allows; rows that fill tiles and rows that do not."""
    if not has_tile(isa, dtype, "depthwise", rows, vectors, "three" if columns == 3 else ""):
        return
    kernel = (max(2, rows - 1) + more, columns)
    for width in edges(lanes_of(isa, dtype), vectors):
        for height in (rows, 2 * rows + 1):
            x = integers(rng, (1, 2, height, width), dtype)
            weight = integers(rng, (2, 1, *kernel), dtype)
            padding = ((kernel[0] // 2, (kernel[0] - 1) // 2), (1, kernel[1] - 2))
            check(x, weight, "depthwise", rows, vectors, padding=padding, groups=2)


def sliding_tiles():
    """Every (stride, kernel rows) and width of tile that some instruction set slides windows by."""
    return [(*step, vectors) for step, vectors in tiles("sliding")]


@pytest.mark.parametrize(("stride", "rows", "vectors"), sliding_tiles())
@pytest.mark.parametrize(("columns", "dilation"), [(1, 1), (3, 1), (3, 5), (4, 2), (5, 1), (7, 1)])
def test_sliding_tile(isa, dtype, rng, stride, rows, vectors, columns, dilation):
    """Every ragged width; whole kernels, cut ones and none; dilated columns and rows."""
    if not has_tile(isa, dtype, "sliding", (stride, rows), vectors):
        return
    dilation = dilation if stride == 1 else 1
    reach = (columns - 1) * dilation
    options = {"stride": stride, "dilation": (1, dilation), "groups": 2}
    for width in edges(lanes_of(isa, dtype), vectors):
        if width < stride:  # a single output column takes no step, and is another kernel's
            continue
        for height in (1, 2 * rows):
            before, after = rows // 2 + 1, rows
            padding = ((before, after), (reach // 2 + 1, reach - reach // 2))
            x = integers(rng, (1, 2, height, stride * width), dtype)
            weight = integers(rng, (4, 1, rows, columns), dtype)
            check(x, weight, "sliding", rows, vectors, padding=padding, **options)
            x = integers(rng, (1, 2, height + rows, stride * width + reach), dtype)
            check(x, weight, "sliding", rows, vectors, **options)
    if stride == 1:
        x = integers(rng, (1, 2, 4 * rows + 7, 40), dtype)
        check(x, weight, "sliding", rows, vectors, padding=4,
              dilation=(4, dilation), groups=2)


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 3)])
def test_a_plane_of_padding_alone(isa, dtype, rng, stride, dilation):
    """A kernel of one plane, and output planes that see none of the image: the bias alone."""
    x = integers(rng, (2, 5, 2, 9, 40), dtype)
    weight, bias = integers(rng, (5, 1, 1, 3, 3), dtype), np.arange(5).astype(dtype)
    options = {"stride": (1, stride, stride), "dilation": (1, dilation, dilation),
               "padding": (2, 1, 1), "groups": 5}
    got = gconv.conv3d(x, weight, bias, **options)
    np.testing.assert_array_equal(got, reference(x, weight, bias, **{
        **options, "padding": ((2, 2), (1, 1), (1, 1))}))
    assert (got[:, :, [0, 1, -2, -1]] == bias[:, None, None, None]).all()


@pytest.mark.parametrize("columns", [2, 17, 18, 31, 33, 64])
@pytest.mark.parametrize("dilation", [1, 3, 20])
def test_sliding_windows_over_several_vectors(isa, dtype, rng, columns, dilation):
    """Taps of one row that lie in several vectors, where the kernel serves such a reach at all."""
    weight = integers(rng, (2, 1, columns), dtype)
    reach = (columns - 1) * dilation
    for width in (1, 17, 300):
        x = integers(rng, (1, 2, width), dtype)
        options = {"padding": ((reach, 3),), "dilation": dilation, "groups": 2}
        with choose.use_tile("sliding"):
            got = gconv.conv1d(x, weight, **options)
        with plain_loop_nest():
            want = gconv.conv1d(x, weight, **options)
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("options", [
    {}, {"stride": 2}, {"dilation": 2}, {"multiplier": 2}, {"padding_mode": "reflect"},
    {"padding": 0}, {"kernel": 1}, {"kernel": 7, "padding": 3}], ids=str)
def test_sliding_windows_ask_for_the_next_item(isa, dtype, rng, options):
    """Images beyond the second-level cache, whose rows take several strips: their items ask for
    what the next one reads and writes, and the last one for what lies behind the arrays."""
    if not limits(isa, dtype, "sliding"):
        return
    options = {"padding": 1, "kernel": 3, "multiplier": 1, **options}
    kernel, multiplier = options.pop("kernel"), options.pop("multiplier")
    x = integers(rng, (2, 6, 203, 219), dtype)
    weight = integers(rng, (6 * multiplier, 1, kernel, kernel), dtype)
    with choose.use_tile("sliding"):
        layout = layout_of(x, weight, groups=6, **options)
        assert layout.family.name == "sliding"
        assert layout.prefetches()
        got = gconv.conv2d(x, weight, groups=6, **options)
        residual = integers(rng, got.shape, dtype)
        more = gconv.conv2d(x, weight, groups=6, residual=residual, num_threads=2, **options)
    want = plain(x, weight, groups=6, **options)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(more, want + residual)


@pytest.mark.parametrize(("x", "weight", "dilation"), [
    ((1, 1, 112, 112), (4, 1, 5, 5), 100), ((1, 8, 40, 8, 8), (3, 8, 3, 3, 3), 40),
    ((1, 3, 800, 800), (3, 3, 3, 3), 100)], ids=["2-D", "3-D", "large image"])
def test_far_dilations_leave_the_panel_room(isa, dtype, rng, x, weight, dilation):
    """Bands of few output channels grow with the dilation only as far as scratch allows: the
    plain loop nest, which needs none, takes many times as long."""
    options = {"dilation": dilation, "padding": dilation * (weight[-1] // 2)}
    x, weight = (integers(rng, shape, dtype) for shape in (x, weight))
    assert family_of(x, weight, **options) != "plain"
    function = {4: gconv.conv2d, 5: gconv.conv3d}[x.ndim]
    got = function(x, weight, **options)
    with plain_loop_nest():
        np.testing.assert_array_equal(got, function(x, weight, **options))


@pytest.mark.parametrize("family", [None, "channel"])
@pytest.mark.parametrize(("x", "weight", "options"), [
    ((1, 32, 8, 400), (8, 32, 3, 3), {"stride": (1, 3), "padding": 1}),
    ((1, 16, 9, 700), (5, 16, 5, 5), {"stride": (1, 3), "padding": 2, "padding_mode": "replicate"}),
    ((1, 30, 24, 900), (15, 30, 5, 3), {"stride": (3, 4), "padding": (2, 1)})])
def test_channel_lanes_cut_wide_rows_of_few_channels(isa, dtype, rng, family, x, weight, options):
    """A part of a row is a band of one row: the pixels of a band are contiguous in y."""
    x, weight = (integers(rng, shape, dtype) for shape in (x, weight))
    want = plain(x, weight, **options)
    forced = contextlib.nullcontext() if family is None else choose.use_tile(family)
    with forced:
        layout = layout_of(x, weight, **options)
        assert family in (None, layout.family.name)
        np.testing.assert_array_equal(gconv.conv2d(x, weight, **options), want)
    if layout.family.name == "channel" and layout.band[2] < layout.p.out_size[2]:
        assert layout.band[:2] == (1, 1)


def upsampling_tiles():
    """Every (stride, kernel rows) and width of tile that some instruction set up-samples by."""
    return [(*step, vectors) for step, vectors in tiles("upsampling")]


@pytest.mark.parametrize(("stride", "rows", "vectors"), upsampling_tiles())
@pytest.mark.parametrize(("channels", "taps"), [(1, 1), (1, 2), (1, 3), (3, 2)])
def test_upsampling_tile(isa, dtype, rng, stride, rows, vectors, channels, taps):
    """Every ragged width, of phases and of y; phases of unequal kernels; rows and columns that are
    cropped; residual and activation. Several channels are read from a panel."""
    if not has_tile(isa, dtype, "upsampling", (stride, rows), vectors):
        return
    for width in edges(lanes_of(isa, dtype), vectors):
        if channels > 1 and width == 1:  # lanes of channels are faster
            continue
        for more in (0, 1):
            for height, crop in ((1, 0), (6, rows), (5, 0)):
                x = integers(rng, (2, 2 * channels, height, width), dtype)
                kernel = (max(2, 2 * rows - more), stride * taps + more)
                weight = integers(rng, (2 * channels, 2, *kernel), dtype)
                bias = np.arange(4).astype(dtype)
                options = {
                    "stride": (2, stride), "padding": ((0, crop), (more, taps - 1)), "groups": 2,
                    "output_padding": (1, stride - 1), "activation": "relu"}
                layout = layout_of(x, weight, transposed=True, **options)
                assert layout.kernel == "upsampling"
                assert layout.in_place == (channels == 1)
                got = gconv.conv_transpose2d(x, weight, bias, **options)
                residual = got[::-1].copy()
                added = gconv.conv_transpose2d(x, weight, bias, **options, residual=residual)
                with plain_loop_nest():
                    want = gconv.conv_transpose2d(x, weight, bias, **options)
                    sums = gconv.conv_transpose2d(x, weight, bias, **options, residual=residual)
                np.testing.assert_array_equal(got, want)
                np.testing.assert_array_equal(added, sums)


@pytest.mark.parametrize(("rows", "vectors"), tiles("channel"))
@pytest.mark.parametrize("taps", [(1, 1, 1), (3, 2, 3)], ids=["one tap", "18 taps"])
def test_channel_tile(isa, dtype, rng, rows, vectors, taps):
    """Output channels around the tile's lanes; pixels that fill tiles and pixels that do not."""
    if not has_tile(isa, dtype, "channel", rows, vectors):
        return
    channels, *kernel = taps
    lanes = lanes_of(isa, dtype)
    for out_channels in {1, lanes * vectors - 1, lanes * vectors, lanes * vectors + 1} - {0}:
        for width in {1, rows, rows + 1}:
            x = integers(rng, (1, channels, 2, width), dtype)
            weight = integers(rng, (out_channels, channels, *kernel), dtype)
            padding = ((kernel[0] - 1, 0), (0, kernel[1] - 1))
            check(x, weight, "channel", rows, vectors, padding=padding)
            layer = gconv.Conv2d(weight, padding=padding)  # the same with packed weights
            with choose.use_tile("channel", rows, vectors):
                got = layer(x)
            np.testing.assert_array_equal(got, plain(x, weight, padding=padding))


@pytest.mark.parametrize(("stride", "dilation"), [(2, 2), (3, 3), (1, 2), (2, 1)])
def test_depthwise_columns_by_stride_and_dilation(isa, dtype, rng, stride, dilation):
    """Taps are neighbours in the panel where stride and dilation agree, and only there."""
    for width in (38, 52, 196):
        x = integers(rng, (1, 4, 9, width), dtype)
        weight = integers(rng, (4, 1, 3, 3), dtype)
        options = {"stride": (1, stride), "dilation": (1, dilation), "groups": 4}
        got = gconv.conv2d(x, weight, **options)
        np.testing.assert_array_equal(got, plain(x, weight, **options))


@pytest.mark.parametrize("width", [17, 33, 100])
@pytest.mark.parametrize("out_channels", [1, 5, 6])
def test_input_channels_in_blocks(isa, dtype, rng, width, out_channels):
    """Sums that go on from one block of input channels to the next count every tap once."""
    for channels in (256, 3000):
        x = integers(rng, (1, channels, 3, width), dtype, largest=2)
        weight = integers(rng, (out_channels, channels, 3, 3), dtype, largest=2)
        with choose.use_tile("width"):
            got = gconv.conv2d(x, weight, padding=1)
        np.testing.assert_array_equal(got, plain(x, weight, padding=1))


def test_a_stride_beyond_the_padding_of_a_single_column(isa, dtype):
    """The only output column is one of padding: nothing of x is seen."""
    x = np.arange(1, 9, dtype=dtype).reshape(1, 1, 8, 1)
    got = gconv.conv2d(x, np.ones((1, 1, 1, 1), dtype), stride=(1, 3), padding=(0, 1))
    np.testing.assert_array_equal(got, np.zeros((1, 1, 8, 1)))


@pytest.mark.parametrize("size", [40, 60])
def test_functions_pack_weights_for_several_bands(isa, dtype, rng, size):
    """A function keeps packed weights from band to band, a layer has its own: the same sums."""
    x = integers(rng, (2, 32, size, size), dtype, largest=2)
    weight = integers(rng, (96, 16, 3, 3), dtype, largest=2)
    with choose.use_tile("channel"):
        function = gconv.conv2d(x, weight, padding=1, groups=2, num_threads=2)
        layer = gconv.Conv2d(weight, padding=1, groups=2)(x)
    want = plain(x, weight, padding=1, groups=2)
    np.testing.assert_array_equal(function, want)
    np.testing.assert_array_equal(layer, want)


@pytest.mark.parametrize("family", ["plain", "width", "channel"])
def test_families_agree(isa, dtype, rng, family):
    """Whatever family serves, strides, dilation and padding on one side mean the same."""
    x = integers(rng, (2, 6, 9, 23), dtype)
    weight = integers(rng, (10, 3, 3, 2), dtype)
    options = {"stride": (2, 3), "padding": ((4, 0), (1, 5)), "dilation": (1, 4), "groups": 2}
    with choose.use_tile(family):
        got = gconv.conv2d(x, weight, **options)
    np.testing.assert_array_equal(got, reference(x, weight, **options))
