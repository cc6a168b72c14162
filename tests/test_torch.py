"""PyTorch's own samples for its convolutions give PyTorch's results, its error inputs errors.

Of the dtypes that PyTorch tries, float32 and float64 are gconv's; it refuses integers and complex
numbers, which test_refusals.py sees to. PyTorch's samples are all batches and unbatched images,
strides, paddings, dilations and groups that it thought worth a test.
"""

import functools
import re
import warnings

import numpy as np
import pytest
from oracles import oracle
from tolerance import assert_close

import gconv

torch = oracle("torch")
oracle("expecttest")
# These are PyTorch's own test data, private to it: those of the version that they were written for.
samples = oracle("torch.testing._internal.common_methods_invocations")

FUNCTIONS = {1: gconv.conv1d, 2: gconv.conv2d, 3: gconv.conv3d}
LAYERS = {1: gconv.Conv1d, 2: gconv.Conv2d, 3: gconv.Conv3d}
TRANSPOSED_FUNCTIONS = {
    1: gconv.conv_transpose1d, 2: gconv.conv_transpose2d, 3: gconv.conv_transpose3d
}
TRANSPOSED_LAYERS = {
    1: gconv.ConvTranspose1d, 2: gconv.ConvTranspose2d, 3: gconv.ConvTranspose3d
}
OPERATORS = {
    dims: next(op for op in samples.op_db if op.name == f"nn.functional.conv{dims}d")
    for dims in (1, 2, 3)
}


def arrays_of(sample):
    """Return x, weight, bias of one of PyTorch's samples."""
    weight, bias = (*sample.args, None)[:2]
    return [None if t is None else t.numpy() for t in (sample.input, weight, bias)]


def torch_sum(name, x, weight, bias, options):
    """Return PyTorch's result in float64."""
    tensors = [
        None if a is None else torch.from_numpy(a.astype(np.float64)) for a in (x, weight, bias)
    ]
    return getattr(torch.nn.functional, name)(*tensors, **options).numpy()


@functools.cache
def cases(name, dtype):
    """Return (x, weight, bias, options, PyTorch's sum, its magnitude) for every sample."""
    operator = next(op for op in samples.op_db if op.name == f"nn.functional.{name}")
    torch.manual_seed(0)
    made = []
    with warnings.catch_warnings():
        # PyTorch says that an odd padding costs it a copy.
        warnings.simplefilter("ignore")
        for sample in operator.sample_inputs("cpu", getattr(torch, np.dtype(dtype).name)):
            arrays, options = arrays_of(sample), sample.kwargs
            magnitudes = [None if array is None else abs(array) for array in arrays]
            sums = [torch_sum(name, *terms, options) for terms in (arrays, magnitudes)]
            made.append((*arrays, options, *sums))
    return made


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_samples(dims, isa, dtype):
    for x, weight, bias, options, want, magnitude in cases(f"conv{dims}d", dtype):
        assert x.dtype == dtype
        depth = int(np.prod(weight.shape[1:]))
        got = FUNCTIONS[dims](x, weight, bias, **options)
        assert got.dtype == dtype
        assert_close(got, want, magnitude, depth)
        assert_close(LAYERS[dims](weight, bias, **options)(x), want, magnitude, depth)
    assert len(cases(f"conv{dims}d", dtype)) >= 10


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_transposed_samples(dims, isa, dtype):
    made = cases(f"conv_transpose{dims}d", dtype)
    for x, weight, bias, options, want, magnitude in made:
        assert x.dtype == dtype
        depth = int(np.prod(weight.shape) / weight.shape[1])
        got = TRANSPOSED_FUNCTIONS[dims](x, weight, bias, **options)
        assert got.dtype == dtype
        assert_close(got, want, magnitude, depth)
        assert_close(TRANSPOSED_LAYERS[dims](weight, bias, **options)(x), want, magnitude, depth)
    assert len(made) >= 5


#: What PyTorch says, and what gconv says instead.
MESSAGES = {
    "should be the same": r"float|int64|complex",
    "non-positive stride": r"stride.* -1\b|stride.*\(-1,\)",
    "negative padding": r"padding.* -1\b|padding.*\(-1,\)",
    "dilation should be greater than zero": r"dilation.* -1\b|dilation.*\(-1,\)",
    "weight should have at least three dimensions": r"weight.*\(1, 2\)",
    r"Expected \d-dimensional input for \d-dimensional weight": r"weight must have [45] dimensions",
    "expected weight to be at least 3 at dimension 0": r"groups=3 must divide",
    "non-positive groups": r"groups.* (0|-1)\b",
    "padding='same' is not supported for strided": r"stride.*same_upper",
}


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_error_inputs(dims):
    count = 0
    for error in OPERATORS[dims].error_inputs("cpu"):
        x, weight, bias = arrays_of(error.sample_input)
        message = next(
            ours for theirs, ours in MESSAGES.items() if re.search(theirs, error.error_regex)
        )
        out = np.full((2, 2, *(2,) * dims), np.pi)
        with pytest.raises((ValueError, TypeError), match=message):
            FUNCTIONS[dims](x, weight, bias, **error.sample_input.kwargs, out=out)
        assert (out == np.pi).all()
        count += 1
    assert count >= 9
