"""What users may rely on: the names, their signatures, their documentation, a light import."""

import doctest
import importlib
import importlib.resources
import inspect
import pkgutil
import re
import types
from importlib.metadata import version

import numpy as np
import pytest
from interpreter import printed

import gconv

NAMES = {
    "CausalConv1d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "filter_bank",
    "from_torch",
    "get_num_threads",
    "set_num_threads",
    "show_config",
    "thread_limit",
}
#: All but the benchmarks, which import what they compare gconv with, and what needs PyTorch, which
#: test_torch_replace.py looks at.
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(gconv.__path__, "gconv.")
    if not module.name.endswith("__main__")
    and not module.name.startswith(("gconv._bench", "gconv.torch"))
)


def test_the_public_names_are_these_and_no_others():
    assert set(gconv.__all__) - {"__version__"} == NAMES
    public = {
        name
        for name, value in vars(gconv).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public == NAMES


def test_no_module_is_public_but_those_of_extras():
    modules = {module.name.split(".")[1] for module in pkgutil.walk_packages(gconv.__path__, "g.")}
    assert {name for name in modules if not name.startswith("_")} == {"dask", "onnx", "torch"}


def test_the_version_has_one_source():
    assert gconv.__version__ == version("gconv")
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", gconv.__version__)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_public_object_says_that_it_is_of_gconv(name):
    value = getattr(gconv, name)
    assert value.__module__ == "gconv"
    assert value.__name__ == value.__qualname__ == name


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_public_object_is_documented(name):
    doc = inspect.getdoc(getattr(gconv, name))
    assert len(doc.splitlines()[0]) > 20
    assert "Examples\n--------" in doc or name == "get_num_threads"


SIGNATURES = {
    "CausalConv": "(weight, bias=None, *, dilation=1, groups=1, activation=None)",
    "conv": "(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, *, "
    "padding_mode='zeros', activation=None, residual=None, out=None, num_threads=None)",
    "Conv": "(weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1, "
    "padding_mode='zeros', activation=None)",
    "conv_transpose": "(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, "
    "dilation=1, *, activation=None, residual=None, out=None, num_threads=None)",
    "ConvTranspose": "(weight, bias=None, *, stride=1, padding=0, output_padding=0, dilation=1, "
    "groups=1, activation=None)",
    "filter_bank": "(x, kernels, *, stride=1, padding=0, dilation=1, padding_mode='zeros', "
    "activation=None, out=None, num_threads=None)",
    "from_torch": "(module)",
    "get_num_threads": "()",
    "set_num_threads": "(num_threads)",
    "show_config": "()",
    "thread_limit": "(num_threads)",
}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_signatures(name):
    signature = inspect.signature(getattr(gconv, name))
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
        # A layer takes more positions only to say what it is not made from.
        if parameter.kind is not inspect.Parameter.VAR_POSITIONAL
    ]
    bare = str(inspect.Signature(parameters))
    assert bare == SIGNATURES[re.sub(r"\dd$", "", name)]


# ---- documentation that runs


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_the_modules_run(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    for name in NAMES - {"get_num_threads"}:
        tests = finder.find(getattr(gconv, name), name, globs={})
        assert any(test.examples for test in tests), name


# ---- import


def test_importing_gconv_imports_nothing_else_but_numpy():
    program = (
        "import sys, numpy\n"
        "before = set(sys.modules)\n"
        "import gconv\n"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before}\n"
        "      - set(sys.stdlib_module_names))\n"
    )
    new = {name for name in printed("-c", program).split() if "cython" not in name}
    assert new <= {"gconv", "numpy"}


def test_importing_gconv_does_without_the_slow_parts_of_the_standard_library():
    program = (
        "import sys, numpy\n"
        "before = set(sys.modules)\n"
        "import gconv\n"
        "print(*set(sys.modules) - before)\n"
    )
    slow = {"asyncio", "concurrent.futures", "email", "importlib.metadata", "json", "logging"}
    slow |= {"multiprocessing", "platform", "socket", "subprocess", "tempfile", "unittest"}
    assert not slow & set(printed("-c", program).split())


def test_importing_gconv_starts_no_thread_and_changes_no_number():
    program = (
        "import os\n"
        "os.environ['OPENBLAS_NUM_THREADS'] = '1'\n"
        "import threading, numpy\n"
        "import gconv\n"
        "print(threading.active_count(), float(numpy.float32(1e-40)) > 0)\n"
        "if os.path.isdir('/proc/self/task'): assert len(os.listdir('/proc/self/task')) == 1\n"
    )
    assert printed("-c", program) == "1 True"


def test_the_library_is_typed():
    assert (importlib.resources.files("gconv") / "py.typed").is_file()


def test_results_are_like_the_documentation_says_in_six_lines():
    """The README's first use."""
    image = np.random.default_rng(0).random((3, 48, 64), dtype=np.float32)
    kernels = np.ones((10, 3, 3), np.float32)
    responses = gconv.filter_bank(image, kernels)
    assert responses.shape == (3, 10, 46, 62)
    want = gconv.conv2d(image, np.tile(kernels[:, None], (3, 1, 1, 1)), groups=3)
    np.testing.assert_array_equal(responses.reshape(30, 46, 62), want)
