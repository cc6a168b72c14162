"""gconv.dask: chunk by chunk, however x is chunked, the result is that of the single call."""

import ast
import contextlib
import inspect
import os
import pickle
import re
import signal
import sys
from itertools import accumulate, pairwise

import numpy as np
import pytest
from arrays import channels_last, integers, normals
from dask_work import (
    block_of_picture,
    count_packings,
    packings,
    peak_bytes,
    process,
    slow_block_of_picture,
    wrong_pixels,
)
from geometries import geometries
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from oracles import oracle
from test_refusals import GEOMETRY, f32
from tolerance import assert_right

import gconv

dask = oracle("dask")
da = oracle("dask.array")
distributed = oracle("distributed")
gd = oracle("gconv.dask")

CONVOLUTIONS = [f"conv{dims}d" for dims in (1, 2, 3)]
TRANSPOSED = [f"conv_transpose{dims}d" for dims in (1, 2, 3)]
ACTIVATIONS = [None, "relu", "hardswish", ("clip", -3, 5), ("leaky_relu", 0.5)]
#: Beyond what a test says: distributed's own connections, closed when a worker is killed.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@contextlib.contextmanager
def cluster_of(workers, **options):
    """A client of worker processes on this machine."""
    with dask.config.set({"distributed.comm.retry.count": 3}), distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0",
        silence_logs=50, **options,
    ) as cluster, distributed.Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture(scope="module")
def client():
    with cluster_of(2, memory_limit=0) as client:
        yield client


# ---- the same result ---------------------------------------------------------------------------


@st.composite
def chunks(draw, size, of=1, most=4):
    """Chunks of an axis in multiples of a number, empty ones among them."""
    assert size % of == 0
    inner = draw(st.lists(st.integers(0, size // of), max_size=most - 1))
    borders = [0, *sorted(inner), size // of]
    return tuple((end - begin) * of for begin, end in pairwise(borders))


def draw_chunked(draw, array, dims, groups):
    """A Dask array with random chunks, along its channels between groups."""
    channels = array.shape[-dims - 1]
    inputs = channels // groups
    sizes = [draw(chunks(extent, most=2)) for extent in array.shape[: -dims - 1]]
    sizes.append(draw(chunks(channels, inputs, most=2)) if inputs else (0,))
    sizes += [draw(chunks(extent, most={1: 8, 2: 4, 3: 3}[dims])) for extent in array.shape[-dims:]]
    return da.from_array(array, chunks=tuple(sizes))


@st.composite
def calls(draw):
    """A call: the operator's name, x as NumPy's and as Dask's, weight, bias and options."""
    geometry = draw(geometries(batch=(0, 1, 2)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    dims, options = geometry.dims, geometry.options
    transposed = draw(st.booleans())
    shape, weight_shape = geometry.x, geometry.weight
    if transposed:
        # The shapes of the adjoint; sizes below one are refused, and tried elsewhere.
        inputs, (outputs, *kernel) = weight_shape[0], weight_shape[1:]
        weight_shape, shape = (inputs, outputs, *kernel), (shape[0], inputs, *shape[2:])
        options["output_padding"] = tuple(
            draw(st.integers(0, max(pair) - 1))
            for pair in zip(geometry.stride, geometry.dilation, strict=True)
        )
        channels = outputs * geometry.groups
    else:
        options["padding_mode"] = draw(
            st.sampled_from(["zeros", "reflect", "replicate", "circular"])
        )
        channels = weight_shape[0]
    options["activation"] = draw(st.sampled_from(ACTIVATIONS))
    x = integers(rng, shape, dtype)
    if shape[0] == 1 and draw(st.booleans()):
        x = x[0]
    weight = integers(rng, weight_shape, dtype)
    bias = integers(rng, (channels,), dtype) if draw(st.booleans()) else None
    name = f"conv{'_transpose' if transposed else ''}{dims}d"
    return name, x, draw_chunked(draw, x, dims, geometry.groups), weight, bias, options


def single(name, x, weight, bias=None, **options):
    """The single call; draws that it refuses are not looked at."""
    try:
        return getattr(gconv, name)(x, weight, bias, **options)
    except ValueError:
        assume(False)


@given(calls(), st.data())
def test_whole_numbers_give_the_bits_of_the_single_call_for_any_chunks(call, data):
    """All padding modes, strides, dilations, groups, transposed with output_padding, chunks
    smaller than the kernel, empty chunks, residual and activations, in 1 to 3 dimensions."""
    name, x, chunked, weight, bias, options = call
    wanted = single(name, x, weight, bias, **options)
    residual = None
    if data.draw(st.booleans()):
        rng = np.random.default_rng(1)
        numbers = integers(rng, wanted.shape, wanted.dtype)
        wanted = single(name, x, weight, bias, residual=numbers, **options)
        residual = numbers
        if data.draw(st.booleans()):
            residual = da.from_array(
                numbers, chunks=tuple(data.draw(chunks(n, most=2)) for n in numbers.shape)
            )
    got = getattr(gd, name)(chunked, weight, bias, residual=residual, **options)
    event(f"{name}, {options.get('padding_mode')}")
    assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
    offsets = [[0, *accumulate(sizes)] for sizes in got.chunks]
    keys = [(got.name, *at) for at in np.ndindex(*got.numblocks)]
    for key, chunk in zip(keys, dask.get(dict(got.dask), keys), strict=True):
        where = tuple(
            slice(starts[i], starts[i + 1]) for starts, i in zip(offsets, key[1:], strict=True)
        )
        assert chunk.dtype == wanted.dtype
        assert np.array_equal(chunk, wanted[where])


@given(geometries(batch=(1, 2)), st.data())
@settings(max_examples=50)
def test_other_numbers_are_right_to_rounding(geometry, data):
    rng = np.random.default_rng(0)
    x, weight = normals(rng, geometry.x, np.float32), normals(rng, geometry.weight, np.float32)
    chunked = draw_chunked(data.draw, x, geometry.dims, geometry.groups)
    got = getattr(gd, f"conv{geometry.dims}d")(chunked, weight, **geometry.options)
    assert_right(got.compute(scheduler="threads"), x, weight, **geometry.options)


@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 3),
    st.sampled_from(["zeros", "reflect", "replicate", "circular"]), st.booleans(), st.data(),
)
@settings(max_examples=100)
def test_filter_bank_gives_the_bits_of_the_single_call(dims, bank, stride, mode, batched, data):
    """Channels may be cut anywhere; the responses of all kernels are one chunk."""
    rng = np.random.default_rng(0)
    size = tuple(data.draw(st.integers(3, 12)) for _ in range(dims))
    shape = (*((2,) if batched else ()), 3, *size)
    x = integers(rng, shape, np.float32)
    kernels = integers(rng, (bank, *(data.draw(st.integers(1, 3)) for _ in range(dims))), x.dtype)
    options = {"stride": stride, "padding": 2, "padding_mode": mode, "activation": "relu"}
    chunked = draw_chunked(data.draw, x, dims, 3)
    got = gd.filter_bank(chunked, kernels, **options)
    wanted = gconv.filter_bank(x, kernels, **options)
    assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
    assert got.chunks[-dims - 1] == (bank,)
    assert np.array_equal(got.compute(scheduler="threads"), wanted)


@pytest.mark.parametrize("scheduler", ["sync", "threads", "processes"])
def test_every_scheduler_gives_the_same_bits(scheduler, rng):
    x, weight = normals(rng, (2, 4, 50, 60), np.float32), normals(rng, (6, 2, 3, 3), np.float32)
    y = gd.conv2d(da.from_array(x, chunks=(1, 2, 20, 25)), weight, padding="same", groups=2)
    again = gd.conv2d(da.from_array(x, chunks=(1, 2, 20, 25)), weight, padding="same", groups=2)
    assert y.name == again.name
    assert np.array_equal(y.compute(scheduler=scheduler), again.compute(scheduler="sync"))


def test_weight_bias_and_residual_may_be_dask_arrays_as_well(rng):
    """In any chunks, which stay lazy; their values are those of the NumPy arrays."""
    x, weight = integers(rng, (2, 4, 20, 20), np.float64), integers(rng, (6, 2, 3, 3), np.float64)
    bias, residual = integers(rng, (6,), np.float64), integers(rng, (2, 6, 18, 18), np.float64)
    y = gd.conv2d(
        da.from_array(x, chunks=(1, 2, 7, 9)), da.from_array(weight, chunks=1),
        da.from_array(bias, chunks=2), groups=2, residual=da.from_array(residual, chunks=5),
    )
    assert np.array_equal(y.compute(), gconv.conv2d(x, weight, bias, groups=2, residual=residual))
    kernels = weight[:, 0]
    bank = gd.filter_bank(da.from_array(x, chunks=7), da.from_array(kernels, chunks=1))
    assert np.array_equal(bank.compute(), gconv.filter_bank(x, kernels))


@pytest.mark.parametrize(("groups", "per_group"), [(1, 16), (2, 8), (16, 1)])
def test_weights_in_the_other_byte_order_are_read_as_they_are(rng, groups, per_group):
    weight = integers(rng, (16, per_group, 3, 3), np.float32)
    x = integers(rng, (2, 16, 9, 9), np.float32)
    swapped = weight.astype(weight.dtype.newbyteorder())
    for given_weight in (swapped, da.from_array(swapped, chunks=-1)):
        got = gd.conv2d(
            da.from_array(x, chunks=(1, 16, 5, 9)), given_weight, padding=1, groups=groups)
        assert np.array_equal(got.compute(), gconv.conv2d(x, weight, padding=1, groups=groups))


def test_objects_of_xarray_are_taken_as_the_arrays_that_they_hold():
    """Lazy ones stay so: building computes none of them."""
    xarray = oracle("xarray")

    def lazy(array, *dims):
        chunked = da.from_array(array, chunks=2).map_blocks(never, dtype=array.dtype,
                                                            meta=array[(slice(0),) * array.ndim])
        return xarray.DataArray(chunked, dims=dims)

    x, weight = lazy(f32(2, 4, 8, 8), *"ncyx"), lazy(f32(4, 2, 3, 3), *"oiyx")
    y = gd.conv2d(x, weight, lazy(f32(4), "o"), groups=2, residual=lazy(f32(2, 4, 6, 6), *"ncyx"))
    assert isinstance(y, da.Array)
    assert gd.filter_bank(x, lazy(f32(3, 3, 3), *"kyx")).shape == (2, 4, 3, 6, 6)
    numbers = xarray.DataArray(da.ones((1, 1, 5), chunks=2), dims=("n", "c", "x"))
    assert gd.conv1d(numbers, xarray.DataArray(np.ones((1, 1, 2)))).compute().tolist() == [
        [[2.0] * 4]
    ]


def test_what_is_changed_afterwards_does_not_change_the_result(rng):
    """The weight and the bias are taken when the graph is built."""
    x, weight = np.ones((1, 1, 8, 8)), np.ones((1, 1, 3, 3))
    bias = np.zeros(1)
    y = gd.conv2d(da.from_array(x, chunks=4), weight, bias)
    weight[...], bias[...] = 0, 1
    assert y.compute().max() == 9


def test_chunks_in_the_other_byte_order_or_channels_last_are_read_as_they_are(rng):
    """The result of channels-last chunks is channels-last, as that of the function is."""
    x, weight = integers(rng, (2, 6, 20, 24), np.float32), integers(rng, (12, 3, 3, 3), np.float32)
    wanted = gconv.conv2d(x, weight, padding=1, groups=2)
    swapped = da.from_array(x.astype(x.dtype.newbyteorder()), chunks=(1, 3, 9, 9))
    y = gd.conv2d(swapped, weight, padding=1, groups=2)
    assert y.dtype == np.float32
    assert np.array_equal(y.compute(), wanted)
    last = da.from_array(x.transpose(0, 2, 3, 1).copy(), chunks=(1, 9, 9, 6))
    y = gd.conv2d(last.transpose(0, 3, 1, 2), weight, padding=1, groups=2)
    assert np.array_equal(y.compute(), wanted)
    chunk = dask.get(dict(y.dask), (y.name, 1, 0, 1, 1))  # `compute` copies it into C order
    assert chunk.strides == channels_last(np.ascontiguousarray(chunk)).strides


# ---- what is read ------------------------------------------------------------------------------


@given(geometries(batch=(1,)), st.booleans(), st.data())
def test_every_chunk_reads_the_elements_between_its_first_and_last_taps_and_no_others(
    geometry, transposed, data
):
    """Those that its outputs meet, by brute force, over one axis after the other; a tap of the
    padding meets the element that the mode puts there."""
    from gconv.dask._ranges import Axis, blocks

    size, kernel = geometry.x[-1], geometry.weight[-1]
    stride, dilation, padding = (
        geometry.stride[-1], geometry.dilation[-1], geometry.padding[-1]
    )
    more = data.draw(st.integers(0, max(stride, dilation) - 1)) if transposed else 0
    reach = dilation * (kernel - 1) + 1
    mode = "zeros" if transposed else data.draw(
        st.sampled_from(["zeros", "reflect", "replicate", "circular"])
    )
    least = {"zeros": 0, "reflect": max(padding) + 1, "replicate": 1, "circular": max(padding)}
    assume(size >= least[mode])
    outputs = (
        (size - 1) * stride + reach + more - sum(padding) if transposed
        else (size + sum(padding) - reach) // stride + 1
    )
    assume(outputs > 0)
    sizes = data.draw(chunks(size))
    assume(len(sizes) > 1)  # of one chunk all is read
    axis = Axis(size, kernel, stride, dilation, padding, outputs, mode, transposed, more)
    starts, begin = [0, *accumulate(sizes)], 0
    for block in blocks(axis, sizes):
        end = begin + block.outputs
        if transposed:
            met = {
                i for i in range(size) for t in range(kernel)
                if begin <= i * stride + t * dilation - padding[0] < end
            }
            # The hull, but only if some tap is met between; a gap of the stride meets none.
            low = -((reach - 1 - begin - padding[0]) // stride)
            high = (end - 1 + padding[0]) // stride
            wanted = set(range(max(low, 0), min(high, size - 1) + 1))
            assert met <= wanted
        else:
            at = range(begin * stride - padding[0], (end - 1) * stride - padding[0] + reach)
            padded = np.pad(
                np.arange(size), padding,
                **{"zeros": {"mode": "constant", "constant_values": -1},
                   "reflect": {"mode": "reflect"}, "replicate": {"mode": "edge"},
                   "circular": {"mode": "wrap"}}[mode],
            ) if size else np.full(sum(padding), -1)
            wanted = {int(padded[i + padding[0]]) for i in at} - {-1}
        read = [
            i for piece in block.pieces
            for i in np.arange(starts[piece.chunk], starts[piece.chunk + 1])[
                piece.part or slice(None)
            ]
        ]
        assert {int(i) for i in read} == wanted
        begin = end
    assert begin == outputs


def parts_of(y):
    """How many tasks of a graph are of each kind."""
    counts = {}
    for key in dict(y.dask):
        kind = key[0] if isinstance(key, tuple) else key
        kind = re.sub(r"-[0-9a-f]+$", "", kind)
        counts[kind] = counts.get(kind, 0) + 1
    return counts


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_the_number_of_tasks_grows_with_the_chunks_alone(dims):
    """One for each chunk of the result, one for the weights, and at most one for each neighbour
    that reads a part of a chunk; the extents and the kernel do not count."""
    counts = []
    for blocks, extent, kernel in [(3, 10, 3), (6, 10, 3), (3, 1000, 7), (6, 1000, 7)]:
        x = da.zeros((1, 1) + (blocks * extent,) * dims, chunks=(1, 1) + (extent,) * dims)
        y = getattr(gd, f"conv{dims}d")(x, np.ones((1, 1) + (kernel,) * dims), padding="same")
        counts.append(parts_of(y))
    assert counts[0] == counts[2]
    assert counts[1] == counts[3]
    for blocks, count in zip((3, 6), counts, strict=False):
        assert count[f"conv{dims}d"] == blocks**dims
        assert count["weights"] == 1
        # Neighbours along an axis: 3 for each chunk but the outer two; less the chunk itself.
        assert count[f"part-of-x-conv{dims}d"] == (3 * blocks - 2) ** dims - blocks**dims


def test_chunks_along_the_batch_alone_need_no_more_than_a_task_each():
    x = da.zeros((9, 4, 100, 100), chunks=(2, 2, 100, 100))
    y = gd.conv2d(x, np.ones((4, 2, 3, 3)), padding=1, groups=2, padding_mode="circular")
    counts = parts_of(y)
    assert (counts["conv2d"], counts["weights"], sum(counts.values())) == (10, 1, 21)


def test_graphs_with_the_same_weights_share_their_node(client):
    x, weight = da.ones((2, 4, 20, 20), chunks=(1, 2, 10, 20)), np.ones((4, 2, 3, 3))
    first, second = (gd.conv2d(n * x, weight, padding=1, groups=2) for n in (1, 2))
    both = first + second
    assert parts_of(both)["weights"] == 1
    for scheduler in ("sync", client):
        assert both.compute(scheduler=scheduler).max() == 3 * 2 * 9
    twice = gd.conv2d(first, weight, padding=1, groups=2)
    assert parts_of(twice)["weights"] == 1
    assert twice.compute().max() == 18**2


def test_a_part_of_a_result_computes_no_more_than_it_needs():
    """Culled: the chunks of x within the kernel's reach, and no others."""
    seen = []

    def block(block_info=None):
        seen.append(tuple(block_info[None]["chunk-location"]))
        return np.ones((1, 1, 10, 10))

    x = da.map_blocks(block, chunks=((1,), (1,), (10,) * 8, (10,) * 8), dtype=float,
                      meta=np.empty((0,) * 4))
    y = gd.conv2d(x, np.ones((1, 1, 3, 3)), padding=1)
    seen.clear()
    y[0, 0, 30:40, 30:40].compute(scheduler="sync")
    assert sorted(seen) == [(0, 0, i, j) for i in (2, 3, 4) for j in (2, 3, 4)]


def test_a_part_that_waits_for_its_reader_does_not_hold_the_chunk():
    from gconv.dask._tasks import cut_out

    chunk = np.ones((100, 100))
    assert cut_out(chunk, (..., slice(0, 2))).base is None
    assert cut_out(chunk, (..., slice(0, 90))).base is chunk


# ---- laziness ----------------------------------------------------------------------------------


def never(*_arguments, **_options):
    raise AssertionError("computed")


@pytest.mark.parametrize("name", [*CONVOLUTIONS, *TRANSPOSED, "filter_bank"])
def test_building_computes_nothing(name):
    """Shape, chunks, dtype and meta are right before anything is computed, with all operands
    lazy."""
    dims = 2 if name == "filter_bank" else int(name[-2])

    def lazy(shape, chunks):
        whole = da.empty(shape, chunks=chunks, dtype=np.float32)
        return whole.map_blocks(never, dtype=np.float32, meta=np.empty((0,) * len(shape), "f4"))

    x = lazy((2, 4) + (12,) * dims, (1, 2) + (5,) * dims)
    if name == "filter_bank":
        y = gd.filter_bank(x, lazy((3, 3, 3), 2), padding=1)
        wanted = gconv.filter_bank(np.ones(x.shape, np.float32), f32(3, 3, 3), padding=1)
    else:
        weight = lazy((4, 2) + (3,) * dims, 2)
        options = {"padding": 1, "groups": 2}
        shape = getattr(gconv, name)(f32(*x.shape), f32(*weight.shape), **options).shape
        y = getattr(gd, name)(
            x, weight, lazy(shape[1:2], 1), residual=lazy(shape, 4), **options
        )
        wanted = np.empty(shape, np.float32)
    assert (y.shape, y.dtype) == (wanted.shape, wanted.dtype)
    assert y._meta.shape == (0,) * y.ndim
    assert y._meta.dtype == np.float32
    assert all(sum(sizes) == n for sizes, n in zip(y.chunks, y.shape, strict=True))
    with pytest.raises(AssertionError, match="computed"):
        y.compute(scheduler="sync")


def test_a_result_of_the_size_of_x_has_its_chunks():
    x = da.zeros((2, 4, 30, 50), chunks=((1, 1), (2, 2), (7, 20, 3), (25, 25)))
    y = gd.conv2d(x, np.ones((4, 2, 3, 3)), padding="same", groups=2)
    assert y.chunks == x.chunks
    up = gd.conv_transpose2d(x, np.ones((4, 1, 4, 4)), stride=2, padding=1, groups=2)
    assert up.chunks == (x.chunks[0], (1, 1), (14, 40, 6), (50, 50))


def test_the_signatures_are_those_of_the_functions():
    """Less `out`, which a lazy result cannot have; a task takes one thread unless asked."""
    for name in gd.__all__:
        parameters = dict(inspect.signature(getattr(gconv, name)).parameters)
        del parameters["out"]
        ours = inspect.signature(getattr(gd, name)).parameters
        assert list(ours) == list(parameters)
        for parameter, theirs in parameters.items():
            assert ours[parameter].kind == theirs.kind
            default = 1 if parameter == "num_threads" else theirs.default
            assert ours[parameter].default == default


# ---- threads and weights -----------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "given"), [({}, 1), ({"num_threads": 2}, 2),
                                              ({"num_threads": None}, None)])
def test_a_task_takes_one_thread_unless_asked(monkeypatch, asked, given):
    from gconv.dask import _tasks

    seen = []
    convolve, bank = _tasks.run.convolve, _tasks.functional.filter_bank

    def spy(name, x, weight, bias, residual, out, num_threads, **options):
        seen.append(num_threads)
        return convolve(name, x, weight, bias, residual, out, num_threads, **options)

    def spy_bank(*arguments, num_threads, **options):
        seen.append(num_threads)
        return bank(*arguments, num_threads=num_threads, **options)

    x = da.ones((2, 2, 8, 8), chunks=(1, 2, 8, 8))
    with monkeypatch.context() as patched:
        patched.setattr(_tasks.run, "convolve", spy)
        patched.setattr(_tasks.functional, "filter_bank", spy_bank)
        gd.conv2d(x, np.ones((2, 2, 3, 3)), **asked).compute(scheduler="sync")
        gd.filter_bank(x, np.ones((2, 3, 3)), **asked).compute(scheduler="sync")
    assert seen == [given] * 4


def test_weights_are_packed_once_however_often_a_process_is_sent_them(rng):
    """Pickled and unpickled, they are the process's own ones, and their packing is too."""
    count_packings()
    try:
        x = da.ones((6, 64, 12, 12), chunks=(1, 64, 5, 12), dtype=np.float32)
        weight = normals(rng, (64, 64, 3, 3), np.float32)
        y = gd.conv2d(x, weight)
        y.compute(scheduler="threads", num_workers=4)
        (node,) = [task for key, task in dict(y.dask).items() if str(key).startswith("weights")]
        first, second = (pickle.loads(pickle.dumps(node.value)) for _ in range(2))
    finally:
        packed = packings()
    assert packed == 1
    assert first is second
    assert sys.getsizeof(first) > weight.nbytes


def test_the_benchmark_of_stacks_runs_and_its_contenders_agree(capsys):
    """So small a run says nothing about its target: status 0 or 1."""
    from gconv._bench.stacks import CASES, main

    options = ["--pages", "1", "--size", "40", "--rounds", "1", "--threads", "1"]
    assert main(options) in (0, 1)
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(CASES)
    assert "| plain call | gconv.dask |" in table[0]


# ---- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", GEOMETRY)
def test_what_the_functions_refuse_is_refused_in_their_words(case):
    """When the graph is built."""
    error, _, dims, x, weight, options = GEOMETRY[case].values
    options = options | ({"bias": f32(*options["bias"])} if "bias" in options else {})
    with pytest.raises(error) as wanted:
        getattr(gconv, f"conv{dims}d")(f32(*x), f32(*weight), **options)
    with pytest.raises(error) as got:
        getattr(gd, f"conv{dims}d")(da.from_array(f32(*x)), f32(*weight), **options)
    assert str(got.value) == str(wanted.value)


X, W = f32(2, 6, 8, 9), f32(4, 3, 3, 3)
REFUSED = {
    "dtype": lambda m, x: m.conv2d(x.astype(np.int32), W, groups=2),
    "weight's dtype": lambda m, x: m.conv2d(x, W.astype(np.float64), groups=2),
    "residual's shape": lambda m, x: m.conv2d(x, W, groups=2, residual=f32(2, 4, 6, 6)),
    "residual's dtype": lambda m, x: m.conv2d(x, W, groups=2, residual=np.ones((2, 4, 6, 7))),
    "activation": lambda m, x: m.conv2d(x, W, groups=2, activation="swish"),
    "padding mode": lambda m, x: m.conv2d(x, W, groups=2, padding=1, padding_mode="mirror"),
    "reflect too far": lambda m, x: m.conv2d(x, W, groups=2, padding=8, padding_mode="reflect"),
    "threads": lambda m, x: m.conv2d(x, W, groups=2, num_threads=0),
    "output_padding": lambda m, x: m.conv_transpose2d(x, f32(6, 2, 3, 3), output_padding=1),
    "a padding's name": lambda m, x: m.conv_transpose2d(x, f32(6, 2, 3, 3), padding="same"),
    "bank's kernels": lambda m, x: m.filter_bank(x, f32(3)),
    "no kernel": lambda m, x: m.filter_bank(x, f32(0, 3, 3)),
    "bank's threads": lambda m, x: m.filter_bank(x, f32(2, 3, 3), num_threads="1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_faults_are_refused_in_the_functions_words(case):
    with pytest.raises((TypeError, ValueError)) as wanted:
        REFUSED[case](gconv, X)
    with pytest.raises(wanted.type) as got:
        REFUSED[case](gd, da.from_array(X, chunks=3))
    assert str(got.value) == str(wanted.value)


@pytest.mark.parametrize(
    ("chunks", "groups", "wanted"),
    [((4, 2), 2, "{1: (6,)}"), ((2, 2, 2), 2, "{1: (3, 3)}"), ((5, 1), 1, "{1: (6,)}"),
     ((1, 3, 2), 3, "{1: (2, 2, 2)}")],
)
@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_chunks_that_cut_a_group_are_refused_by_naming_others(name, chunks, groups, wanted):
    """And the ones that are named are taken."""
    x = da.ones((2, 6, 8, 9), chunks=(1, chunks, 4, 9))
    weight = np.ones((6, 6 // groups, 3, 3) if name == "conv2d" else (6, 2, 3, 3))
    with pytest.raises(ValueError, match=r"x\.rechunk\(") as caught:
        getattr(gd, name)(x, weight, groups=groups)
    message = str(caught.value)
    assert message.startswith(f"{name}: x has chunks {chunks} along its channels (axis 1)")
    named = re.search(r"use x\.rechunk\((.*)\)$", message)[1]
    assert named == wanted
    again = getattr(gd, name)(x.rechunk(ast.literal_eval(named)), weight, groups=groups)
    single_call = getattr(gconv, name)(x.compute(), weight, groups=groups)
    assert np.array_equal(again.compute(), single_call)


@pytest.mark.parametrize("argument", ["x", "weight", "bias", "residual"])
def test_chunks_of_unknown_size_are_refused_by_saying_what_to_call(argument):
    operands = {
        "x": da.ones((2, 6, 8, 9)), "weight": np.ones((4, 6, 3, 3)), "bias": np.ones(4),
        "residual": np.ones((2, 4, 6, 7)),
    }
    whole = da.asarray(operands[argument])
    operands[argument] = whole[whole.reshape(len(whole), -1).min(axis=1) > 0]
    with pytest.raises(ValueError, match=f"unknown size.* {argument}.compute_chunk_sizes()"):
        gd.conv2d(**operands)
    operands[argument].compute_chunk_sizes()
    assert gd.conv2d(**operands).compute().shape == (2, 4, 6, 7)


def test_an_x_that_is_no_dask_array_is_refused_by_saying_what_to_use():
    with pytest.raises(TypeError, match=r"got ndarray; use dask\.array\.from_array\(x"):
        gd.conv2d(X, W)


def test_chunks_that_are_no_plain_numpy_arrays_are_refused():
    masked = da.ma.masked_array(da.ones((1, 1, 8, 8)), mask=np.zeros((1, 1, 8, 8), bool))
    with pytest.raises(TypeError, match="x must not be a MaskedArray"):
        gd.conv2d(masked, np.ones((1, 1, 3, 3)))

    class Other:
        ndim, dtype, shape = 4, np.dtype(float), (0,) * 4

        def __array_function__(self, *_):
            return NotImplemented

    x = da.ones((1, 1, 8, 8))
    x._meta = Other()
    with pytest.raises(TypeError, match=r"chunks of x must be NumPy arrays, but are .*Other"):
        gd.conv2d(x, np.ones((1, 1, 3, 3)))


# ---- a cluster of processes --------------------------------------------------------------------


def test_a_cluster_gives_the_bits_of_the_single_call(client, rng):
    x, weight = integers(rng, (2, 6, 40, 50), np.float32), integers(rng, (6, 3, 3, 3), np.float32)
    chunked = da.from_array(x, chunks=(2, 3, 20, 30))
    residual = integers(rng, (2, 6, 40, 50), np.float32)
    for mode in ("zeros", "reflect", "replicate", "circular"):
        options = {"padding": 1, "groups": 2, "padding_mode": mode, "activation": "relu"}
        y = gd.conv2d(chunked, weight, residual=residual, **options)
        wanted = gconv.conv2d(x, weight, residual=residual, **options)
        assert np.array_equal(y.compute(scheduler=client), wanted)
    options = {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}
    y = gd.conv_transpose2d(chunked, weight, **options)
    assert np.array_equal(y.compute(scheduler=client), gconv.conv_transpose2d(x, weight, **options))
    y = gd.filter_bank(chunked, weight[:, 0], padding=1)
    wanted = gconv.filter_bank(x, weight[:, 0], padding=1)
    assert np.array_equal(y.compute(scheduler=client), wanted)


def test_each_worker_packs_the_weights_once(client, rng):
    """Over two graphs, too: the second one's are known already."""
    client.run(count_packings)
    weight = normals(rng, (64, 64, 3, 3), np.float32)
    for factor in (1, 2):
        x = da.full((8, 64, 12, 12), factor, chunks=(1, 64, 5, 12), dtype=np.float32)
        gd.conv2d(x, weight).compute(scheduler=client)
    assert set(client.run(packings).values()) <= {0, 1}


def test_a_worker_that_is_killed_in_mid_run_loses_nothing():
    """Its finished chunks and its parts of x are computed again."""
    weight = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    with cluster_of(2, memory_limit=0) as client, client.as_current():
        x = da.map_blocks(
            slow_block_of_picture, chunks=((1,), (20,) * 6, (30,) * 6), dtype=np.float32,
            meta=np.empty((0,) * 3, np.float32),
        )
        y = client.persist(gd.conv2d(x, weight, padding=1))
        futures = distributed.futures_of(y)
        done = distributed.as_completed(futures)
        for _ in range(4):
            next(done)
        unfinished = sum(not future.done() for future in futures)
        victim = next(iter(client.has_what()))
        pid = client.run(process, workers=[victim])[victim]
        os.kill(pid, signal.SIGKILL)
        got = y.compute(scheduler=client)
        assert unfinished > 0
        assert pid not in client.run(process).values()
    whole = x.compute(scheduler="sync")
    assert np.array_equal(got, gconv.conv2d(whole, weight, padding=1))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_an_image_several_times_the_memory_of_a_worker_goes_through():
    """Each pixel of 1.6 GB is right, and the one worker, of 400 MB, never held that much."""
    limit, size = 400 * 10**6, (20_000, 20_000)
    weight = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3) - 4
    with cluster_of(1, memory_limit=limit) as client:
        x = da.map_blocks(
            block_of_picture, dtype=np.float32, meta=np.empty((0,) * 3, np.float32),
            chunks=((1,), (2000,) * 10, (2000,) * 10),
        )
        assert x.nbytes >= 4 * limit
        y = gd.conv2d(x, weight, padding=1)
        wrong = y.map_blocks(
            wrong_pixels, weight[0, 0], size, chunks=(1, 1, 1), dtype=np.intp,
            meta=np.empty((0,) * 3, np.intp),
        )
        pids = set(client.run(process).values())
        assert int(wrong.sum().compute(scheduler=client)) == 0
        assert set(client.run(process).values()) == pids  # nobody was killed for memory
        (peak,) = client.run(peak_bytes).values()
    assert peak < limit
