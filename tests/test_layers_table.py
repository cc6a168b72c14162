"""Every layer of benchmarks/layers.csv is right: at full size by PyTorch, smaller by the sum."""

import functools
import sys
from pathlib import Path

import numpy as np
import pytest
from arrays import normals
from oracles import oracle
from reference import reference
from tolerance import assert_close

import gconv

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from layers import read_layers

ROWS = {row.name: row for row in read_layers()}
FUNCTIONS = {1: gconv.conv1d, 2: gconv.conv2d, 3: gconv.conv3d}


def _data(row, batch, spatial):
    rng = np.random.default_rng(len(row.name))
    x = normals(rng, (batch, row.in_channels, *spatial), np.float32)
    weight = normals(rng, row.weight_shape, np.float32)
    return x, weight, normals(rng, (row.out_channels,), np.float32)


def _options(row):
    return {key: getattr(row, key) for key in ("stride", "padding", "dilation", "groups")}


def _small(row):
    """Return input sizes that leave 3 rows of 19 outputs, or the row's own where that is less."""
    outputs = (3,) * (row.dims - 1) + (19,)
    return tuple(
        min(n, max(1, (out - 1) * s + d * (k - 1) + 1 - sum(pad)))
        for n, out, s, d, k, pad in zip(
            row.spatial, outputs, row.stride, row.dilation, row.kernel, row.padding, strict=True
        )
    )


@functools.lru_cache(maxsize=1)
def _small_case(name):
    """Return (x, weight, bias), their float64 sum and its magnitude."""
    row = ROWS[name]
    arrays = _data(row, min(row.batch, 2), _small(row))
    magnitude = reference(*map(np.abs, arrays), **_options(row))
    return arrays, reference(*arrays, **_options(row)), magnitude


@functools.lru_cache(maxsize=1)
def _full_case(name):
    """Return (x, weight, bias), PyTorch's float64 sum and its magnitude."""
    torch, row = oracle("torch"), ROWS[name]
    arrays = _data(row, row.batch, row.spatial)
    function = getattr(torch.nn.functional, f"conv{row.dims}d")
    # PyTorch pads both sides alike: where they differ, it gets the padded input.
    pads = [pad for before_after in reversed(row.padding) for pad in before_after]

    def oracle_sum(x, weight, bias):
        x, weight, bias = (torch.from_numpy(a.astype(np.float64)) for a in (x, weight, bias))
        x = torch.nn.functional.pad(x, pads)
        return function(x, weight, bias, row.stride, 0, row.dilation, row.groups).numpy()

    return arrays, oracle_sum(*arrays), oracle_sum(*map(np.abs, arrays))


# The slow oracle is asked once for each row: the row is the outermost parameter.
@pytest.mark.parametrize("name", ROWS, scope="module")
@pytest.mark.parametrize("size", [_small_case, _full_case], ids=["small", "full"], scope="module")
def test_row(name, size, isa, dtype):
    row = ROWS[name]
    arrays, want, magnitude = size(name)
    x, weight, bias = (array.astype(dtype) for array in arrays)
    got = FUNCTIONS[row.dims](x, weight, bias, **_options(row))
    assert got.dtype == dtype
    assert_close(got, want, magnitude, row.depth)


def test_the_table_has_every_class_of_layer():
    """A table read wrongly, or not at all, would test nothing."""
    assert len(ROWS) >= 41
    assert {row.dims for row in ROWS.values()} == {1, 2, 3}
    assert ROWS["mamba_causal4"].padding == ((3, 0),)
    assert ROWS["x3d_dw_3d"].stride == (1, 2, 2)
    assert ROWS["resnext50_c3"].weight_shape == (256, 8, 3, 3)
