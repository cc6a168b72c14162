"""`layer.explain` says what a call does: its numbers are those of the plan, counted one by one."""

import copy
import functools
import itertools
import json
import math

import numpy as np
import pytest
from geometries import geometries
from hypothesis import given
from kernels import ORDINARY, plan_of

import gconv
from gconv._call.isa import machine_of
from gconv._plan.items import balance, work_before
from gconv._plan.problem import FLAT

LAYERS = {1: gconv.Conv1d, 2: gconv.Conv2d, 3: gconv.Conv3d}


def layer_of(weight_shape, dtype=np.float32, *, bias=False, **options):
    weight = np.ones(weight_shape, dtype)
    return LAYERS[weight.ndim - 2](
        weight, np.ones(weight_shape[0], dtype) if bias else None, **options
    )


def layout_of(layer, shape):
    """The layout of the plan that a call with an x of this shape uses."""
    return plan_of(layer._parameters, np.zeros(shape, layer.weight.dtype)).layout


def taps_inside(g):
    """Taps inside the image along each axis, one by one."""
    in_size = g.x[2:]
    return [
        sum(
            0 <= p * g.stride[axis] + k * g.dilation[axis] - g.padding[axis][0] < in_size[axis]
            for p in range(out)
            for k in range(g.weight[2 + axis])
        )
        for axis, out in enumerate(layer_of(g.weight, **g.options).out_shape(g.x)[2:])
    ]


@given(geometries())
def test_flops_are_the_taps_counted_one_by_one(g):
    how = layer_of(g.weight, **g.options).explain(g.x)
    channels = g.x[0] * g.weight[0] * g.weight[1]
    assert how.flops == 2 * math.prod(how.y_shape) * g.depth
    assert how.flops_inside == 2 * channels * math.prod(taps_inside(g))
    assert how.flops_inside <= how.flops


def shares(layout, images, threads):
    """The work of each thread, item by item, as `find_item` in the engine finds their parts."""
    p = layout.p

    def parts(total, size):
        return [range(begin, min(begin + size, total)) for begin in range(0, total, size)]

    @functools.cache
    def taps(axis, position):
        counts_all = (axis == 2 and not getattr(layout, "skips_columns", False)) or (
            axis == 1 and layout.tile.kind == "masked")
        return sum(
            counts_all
            or 0 <= position * p.stride[axis] + k * p.dilation[axis] - p.padding[axis]
            < p.in_size[axis]
            for k in range(p.kernel[axis])
        )

    def sliced(band):
        """The positions of each slice of a band, none for some of those of a small one."""
        places = list(itertools.product(*band))
        # Cut between them, or between those of different planes, rows or columns.
        units = places if layout.slice_axis == FLAT else band[layout.slice_axis]
        for number in range(layout.slices):
            begin, end = (len(units) * n // layout.slices for n in (number, number + 1))
            if layout.slice_axis == 2:  # whole vectors, and at least one in the last slice
                begin, end = (
                    min(cut, max(len(units) - layout.lanes, 0)) // layout.lanes * layout.lanes
                    for cut in (begin, end)
                )
                end = end if number + 1 < layout.slices else len(units)
            piece = units[begin:end]
            if layout.slice_axis == FLAT:
                yield piece
            else:
                yield [place for place in places if place[layout.slice_axis] in piece]

    bands = [parts(p.out_size[axis], layout.band[axis]) for axis in range(3)]
    work = [
        len(groups) * len(channels) * p.in_channels
        * sum(math.prod(map(taps, range(3), place)) for place in piece)
        for _, groups, *band, channels in itertools.product(
            range(images),
            parts(p.groups, layout.group_block),
            *bands,
            parts(p.out_channels, layout.channel_block),
        )
        for piece in sliced(band)
    ]
    assert len(work) == layout.items * images
    if layout.work_before is None or images == 0:
        least, more = divmod(len(work), threads)
        sizes = [least + (thread < more) for thread in range(threads)]
        begins = [0, *itertools.accumulate(sizes)]
    else:  # an item belongs to the thread whose share its middle lies in
        before = [0, *itertools.accumulate(work)]
        assert list(layout.work_before) == before[: layout.items + 1]
        middles = [sum(pair) / 2 for pair in itertools.pairwise(before)]
        begins = [
            sum(middle < thread * before[-1] / threads for middle in middles)
            for thread in range(threads + 1)
        ]
    return [sum(work[begin:end]) for begin, end in itertools.pairwise(begins)]


@pytest.mark.parametrize("threads", [1, 2, 3, 7, 64])
@given(g=geometries())
def test_balance_is_the_most_work_of_a_thread_over_the_mean(threads, g):
    layer = layer_of(g.weight, **g.options)
    work = shares(layout_of(layer, g.x), g.x[0], threads)
    want = max(work) * threads / sum(work) if sum(work) else 1.0
    assert layer.explain(g.x, threads).balance == pytest.approx(want)


@pytest.mark.parametrize(("channels", "outputs", "size"), [
    (384, 64, 14), (480, 80, 14), (960, 160, 7), (455, 71, 7),
])
def test_sixteen_threads_share_small_layers(channels, outputs, size, isa):
    """Each of these is a few blocks of output channels."""
    layer = layer_of((outputs, channels, 1, 1))
    assert layer.explain((1, channels, size, size), 16).balance <= 1.5


BANDED = {
    "row bands": ((2, 4, 60, 61), (24, 4, 5, 5), {"padding": 2}),
    "rows in a wide padding": ((1, 64, 33, 33), (64, 64, 3, 3), {"padding": 6, "dilation": 6}),
    "column bands": ((1, 16, 9001), (32, 16, 9), {"padding": 4}),
    "depth bands": ((1, 8, 12, 20, 20), (8, 1, 3, 3, 3), {"padding": 1, "groups": 8}),
    "small maps": ((1, 256, 14, 14), (256, 256, 3, 3), {"padding": 1}),
    "small volumes": ((2, 64, 7, 6, 6), (256, 64, 3, 3, 3), {"padding": 1}),
    "masked lanes": ((1, 32, 20, 20), (32, 2, 5, 3), {"padding": (2, 1), "groups": 16}),
    "masked lanes, bands": ((1, 8, 60, 33), (8, 8, 3, 3), {"padding": 1}),
    "group blocks": ((3, 200, 7, 7), (200, 1, 3, 3), {"padding": 1, "groups": 200}),
}


@pytest.mark.parametrize("threads", [2, 5, 64])
@pytest.mark.parametrize("name", BANDED)
def test_balance_where_items_differ(name, threads, isa):
    shape, weight, options = BANDED[name]
    layer = layer_of(weight, **options)
    layout = layout_of(layer, shape)
    work = shares(layout, shape[0], threads)
    want = max(work) * threads / sum(work)
    assert layer.explain(shape, threads).balance == pytest.approx(want)
    axes = (0, 1, 2, FLAT) if layout.band[0] == 1 else (0, 1, 2)  # FLAT is of one plane
    for axis, slices in itertools.product(axes, (1, 3, 5)):
        cut, by_work = copy.copy(layout), copy.copy(layout)
        cut.slices, cut.slice_axis, cut.work_before = slices, axis, None
        by_work.slices, by_work.slice_axis = slices, axis
        by_work.work_before = work_before(cut, 1, np.arange(cut.items + 1))
        for each in (cut, by_work):
            work = shares(each, shape[0], threads)
            want = max(work) * threads / sum(work)
            assert balance(each, shape[0], threads) == pytest.approx(want)


def test_balance_of_one_thread_is_perfect_and_of_idle_threads_is_bad():
    layer = layer_of((1, 1, 1, 1))
    assert layer.explain((1, 1, 8, 8), threads=1).balance == 1
    assert layer.explain((1, 1, 8, 8), threads=8).balance == 8
    assert layer.explain((0, 1, 8, 8), threads=8).balance == 1


#: A forced kernel, and the family whose layout is the plan's.
EXPLAINED = {
    kernel: "through_channels_last" if kernel.family == "channels_last" else kernel.family
    for kernel in ORDINARY
    if kernel.family != "via_c_order"  # `explain` is about an x in C order
}
#: Kernel columns that a kind of tiles serves, where these are not 3.
COLUMNS = {"pixels": 5, "wide": 9, "fitting": 4}
# They serve several channels per group, in channels-last arrays alone.
SEVERAL = ("picked", "neighbours")


def serves(kernel, isa, dtype):
    """Whether the instruction set has tiles of a kind."""
    tiles = machine_of(isa, np.dtype(dtype)).tiles
    needed = {
        "sliding": tiles["sliding"]["sliding"],
        "masked": tiles["width"]["masked"],
        "pixels": tiles["channels_last"]["pixels"],
        "wide": tiles["channels_last"]["wide"]["pixels"],
        "descending": tiles["channels_last"]["descending"],
    }
    return bool(needed.get(kernel.kind or kernel.family, True))


@pytest.mark.parametrize("kernel", [k for k in EXPLAINED if k.kind not in SEVERAL], ids=str)
def test_what_it_says_is_what_the_plan_holds(kernel, isa, dtype):
    columns = COLUMNS.get(kernel.kind, 3)
    depthwise = kernel.family in (
        "depthwise", "sliding", "channels_last", "through_channels_last")
    groups, channels = (16, 16) if depthwise else (2, 64)
    layer = layer_of(
        (channels, channels // groups, 3, columns), dtype, bias=True,
        padding=(1, columns // 2), groups=groups
    )
    shape = (2, channels, 30, 41)
    with kernel.forced():
        how = layer.explain(shape, threads=3)
        plan = plan_of(layer._parameters, np.zeros(shape, dtype))
        layout, packed = plan.layout, layer._packed_for(plan)
    if not serves(kernel, isa, dtype):
        return  # another instruction set's
    assert layout.family.name == EXPLAINED[kernel]
    assert layout.tile.kind == kernel.kind or kernel.kind is None
    own = layout if kernel.family != "channels_last" else layout.inner
    assert own.family.says(own).kernel in how.kernel
    if not layout.family.wraps:
        assert how.kernel == layout.family.words[kernel.kind].kernel
    assert (how.instruction_set, how.dtype, how.lanes) == (isa, np.dtype(dtype).name, layout.lanes)
    for name in ("in_place", "band", "bands", "in_block", "group_block", "group_blocks",
                 "channel_block", "channel_blocks", "slices"):
        assert getattr(how, name) == getattr(layout, name), name
    assert (how.tile_rows, how.tile_vectors) == (layout.tile.rows, layout.tile.vectors)
    assert how.items_per_image == layout.items == (
        how.group_blocks * math.prod(how.bands) * how.channel_blocks * how.slices
    )
    assert how.items == 2 * layout.items
    assert how.scratch_bytes_per_thread == layout.regions.bytes
    assert how.scratch_bytes == 3 * layout.regions.bytes
    assert how.panel_bytes <= how.scratch_bytes_per_thread
    assert how.in_place == (how.panel_bytes == 0)
    assert how.packed_weight_bytes == (0 if packed is None else packed.nbytes)
    assert how.y_shape == layer.out_shape(shape)
    arrays = (math.prod(shape), layer.weight.size, layer.bias.size, math.prod(how.y_shape))
    assert how.compulsory_bytes == sum(arrays) * dtype().itemsize


def test_an_image_alone_is_explained_like_a_batch_of_one():
    layer = layer_of((6, 2, 3, 3), groups=2)
    alone = layer.explain((4, 9, 9), threads=2).as_dict()
    batch = layer.explain((1, 4, 9, 9), threads=2).as_dict()
    assert alone.pop("x_shape") == (4, 9, 9)
    assert alone.pop("y_shape") == layer.out_shape((4, 9, 9))
    assert alone.items() <= batch.items()


def test_threads_are_those_of_a_call():
    layer = layer_of((6, 2, 3, 3), groups=2)
    with gconv.thread_limit(5):
        assert layer.explain((1, 4, 9, 9)).threads == 5
        assert layer.explain((1, 4, 9, 9), threads=7).threads == 7


def test_the_text_is_short_and_says_it_all():
    how = layer_of((640, 1, 3, 3), padding=1, groups=64).explain((1, 64, 56, 56), threads=64)
    lines = str(how).splitlines()
    assert len(lines) <= 12
    assert max(map(len, lines)) <= 120
    assert repr(how) == str(how)
    for word in (how.kernel, how.instruction_set, "float32", "tiles of", "balance", "scratch",
                 "MFLOP", f"{how.items} in all"):
        assert word in str(how)


def test_the_dict_is_plain():
    how = layer_of((6, 2, 3), groups=2, activation="relu").explain((1, 4, 90))
    values = how.as_dict()
    assert json.loads(json.dumps(values))["y_shape"] == list(how.y_shape)
    assert {type(value) for value in values.values()} == {int, float, bool, str, tuple}


def test_many_items_are_counted_without_a_list_of_them():
    """A list of these would take more memory than there is."""
    how = layer_of((64, 1, 3, 3), padding=1, groups=64).explain((10**6, 64, 2000, 2000), 64)
    assert how.items > 10**8
    assert 1 <= how.balance < 1.01


@pytest.mark.parametrize("threads", [0, -1, 2000])
def test_it_refuses_so_many_threads(threads):
    with pytest.raises(ValueError, match=f"Conv2d: threads must be .* got {threads}"):
        layer_of((6, 2, 3, 3), groups=2).explain((1, 4, 9, 9), threads)


@pytest.mark.parametrize("threads", [True, 2.0, "2"])
def test_it_refuses_threads_that_are_no_number(threads):
    with pytest.raises(TypeError, match="Conv2d: threads must be an integer"):
        layer_of((6, 2, 3, 3), groups=2).explain((1, 4, 9, 9), threads)


def test_it_refuses_the_inputs_that_a_call_refuses():
    layer = layer_of((6, 2, 3, 3), groups=2)
    for shape in [(1, 5, 9, 9), (9, 9), (1, 4, 2, 9)]:
        with pytest.raises(ValueError, match="Conv2d: "):
            layer.explain(shape)


def test_explaining_computes_and_keeps_nothing():
    layer = layer_of((64, 64, 3, 3))
    layer.explain((1, 64, 14, 14))
    assert layer._packings.nbytes == 0
    assert layer._short_cuts == ()
