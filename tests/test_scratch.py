"""Beside a layer's packed weights, memory use is bounded by 512 KiB a thread, whatever the size."""

import math
import os

import pytest
from interpreter import printed

from gconv._call.isa import usable

pytestmark = pytest.mark.skipif(
    not os.path.isfile("/proc/self/clear_refs"), reason="measures memory where Linux tells it"
)

#: Convolve with everything in memory already; print by how many KiB the process grew at most.
PROGRAM = """
import re, sys
import numpy as np, gconv
from gconv._call.isa import use_isa

def memory(field):
    with open("/proc/self/status") as file:
        return int(re.search(rf"{field}:\\s+(\\d+)", file.read())[1])

call, isa, dtype, num_threads, dims, x, weight, options = eval(sys.argv[1])
x, weight = np.ones(x, dtype), np.ones(weight, dtype)
with use_isa(isa):
    options["activation"] = "silu" if call == "fused" else None
    layer = getattr(gconv, f"Conv{dims}d")(weight, **options)
    out = np.ones(layer.out_shape(x.shape), dtype)
    calls = {
        "function": lambda: getattr(gconv, f"conv{dims}d")(
            x, weight, **options, out=out, num_threads=num_threads
        ),
        "layer": lambda: layer(x, out=out, num_threads=num_threads),
        "fused": lambda: layer(x, residual=out, out=out, num_threads=num_threads),
        "allocating": lambda: layer(x, num_threads=num_threads),
    }
    # Another convolution brings the code, the threads and their stacks.
    gconv.conv2d(np.ones((1, 32, 40, 40), dtype), np.ones((32, 32, 3, 3), dtype),
                 num_threads=num_threads)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = memory("VmRSS")
    calls[call]()
    print(memory("VmHWM") - before)
"""

CASES = {
    "a large image": (2, (1, 8, 1024, 1024), (8, 1, 3, 3), {"padding": 1, "groups": 8}),
    "a wide row": (1, (1, 4, 4_000_000), (8, 4, 5), {"padding": 2}),
    "a wide row strided": (1, (1, 4, 4_000_000), (8, 4, 5), {"stride": 3, "dilation": 2}),
    "far taps": (1, (1, 64, 64_000), (64, 64, 2), {"dilation": 512}),
    "many channels": (2, (1, 2048, 28, 28), (64, 2048, 1, 1), {}),
    "many channels strided": (2, (1, 1024, 56, 56), (64, 1024, 1, 1), {"stride": 2}),
    "many weights": (2, (1, 512, 14, 14), (1024, 512, 3, 3), {"padding": 1}),
    "a large kernel": (2, (1, 16, 200, 200), (16, 1, 31, 31), {"padding": 15, "groups": 16}),
    "a volume": (3, (1, 16, 40, 100, 100), (16, 4, 3, 3, 3), {"padding": 1, "groups": 4}),
    "a batch": (2, (64, 16, 64, 64), (16, 16, 3, 3), {"padding": 1}),
}


def grown(call, name, dtype, num_threads):
    """Return by how many KiB memory grew."""
    setting = (call, usable()[0], dtype, num_threads, *CASES[name])
    return int(printed("-c", PROGRAM, repr(setting)))


def bound(num_threads):
    """Beside the scratch there is what Python allocates on the way, and whole pages are counted."""
    return num_threads * 512 + 1024


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("dtype", "num_threads"), [("float32", 1), ("float32", 4), ("float64", 1)])
def test_a_function_needs_no_more(name, dtype, num_threads):
    assert grown("function", name, dtype, num_threads) <= bound(num_threads)


@pytest.mark.parametrize("name", CASES)
def test_a_layer_packs_its_weights_once_and_needs_no_more(name):
    packed = math.prod(CASES[name][2]) * 4 // 1024
    # Packed to whole tiles: a little more, of few output channels much more.
    assert grown("layer", name, "float32", 2) <= bound(2) + 2 * packed


@pytest.mark.parametrize("name", CASES)
def test_an_epilogue_in_place_needs_no_more(name):
    packed = math.prod(CASES[name][2]) * 4 // 1024
    assert grown("fused", name, "float32", 2) <= bound(2) + 2 * packed


def test_more_would_be_seen():
    """A result is 8 channels of 4 MiB."""
    assert grown("allocating", "a large image", "float32", 1) > 30_000


def test_what_is_kept_of_past_geometries_is_bounded():
    """Once the caches are full, which are bounded in bytes, more shapes need no more."""
    program = (
        "import re\n"
        "import numpy as np, gconv\n"
        "def memory():\n"
        "    with open('/proc/self/statm') as file: return int(file.read().split()[1]) * 4\n"
        "layer = gconv.Conv2d(np.ones((4, 2, 5, 5)), groups=2)\n"
        "def many(begin, end):\n"
        "    for width in range(begin, end):\n"
        "        x = np.ones((1, 4, 5, width))\n"
        "        layer(x)\n"
        "        gconv.conv2d(x, layer.weight, groups=2)\n"
        "many(5, 1400)\n"
        "before = memory()\n"
        "many(1400, 2300)\n"
        "print(memory() - before)\n"
    )
    assert int(printed("-c", program)) < 3000
