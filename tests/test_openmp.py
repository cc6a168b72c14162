"""Which OpenMP runtime computes: one that is loaded, else the system's, else the wheel's copy."""

import ctypes
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from interpreter import printed, run_python
from oracles import oracle

from gconv._call.threads import available_cpus
from gconv._engine import openmp

MODULES = Path(openmp.__file__).parent
COPY = MODULES / "libgomp.so.1"

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="reads the libraries of a process as Linux lists them"
)

#: Begins a program: `runtimes` lists the OpenMP runtimes that the process has loaded; `convolve`
#: sees to it that a call is right and runs on that many threads, and returns gconv's runtime.
BEGIN = """
import ctypes, os, re, sys
os.environ["OPENBLAS_NUM_THREADS"] = "1"

def runtimes():
    with open("/proc/self/maps") as maps:
        files = {line.split(maxsplit=5)[5].strip() for line in maps if "/lib" in line}
    names = re.compile(r"lib(gomp|omp|iomp5)[-.][^/]*$")
    return sorted(file for file in files if names.match(os.path.basename(file)))

def convolve(num_threads=None, started=None):
    import numpy as np
    import gconv
    from gconv._engine import openmp
    x, weight = np.ones((1, 64, 64, 64), np.float32), np.ones((64, 64, 3, 3), np.float32)
    before = len(os.listdir("/proc/self/task"))
    assert (gconv.conv2d(x, weight, num_threads=num_threads) == 64 * 9).all()
    threads = len(os.listdir("/proc/self/task")) - before + 1
    wanted = num_threads or gconv.get_num_threads() if started is None else started
    assert threads == wanted, f"{threads} threads, not {wanted}"
    file, origin = openmp.library()
    return os.path.realpath(file), origin
"""


def said(program, **environment):
    """Return the lines that a program prints after BEGIN."""
    return printed("-c", BEGIN + program, **environment).splitlines()


def system_has_a_runtime():
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        return False
    return True


needs_copy = pytest.mark.skipif(not COPY.is_file(), reason="this build brings no runtime")
needs_system = pytest.mark.skipif(not system_has_a_runtime(), reason="the system has no runtime")


@pytest.mark.parametrize("module", sorted(MODULES.glob("*.so")), ids=lambda path: path.name)
def test_no_module_needs_an_openmp_runtime_to_be_loaded(module):
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("needs readelf")
    dynamic = subprocess.run(
        [readelf, "--dynamic", module], capture_output=True, text=True, check=True
    ).stdout
    assert "(SYMTAB)" in dynamic
    assert not re.findall(r"NEEDED.*omp.*", dynamic)


@needs_system
def test_the_systems_serves_where_none_is_loaded():
    runtimes, origin = said(
        "assert not runtimes()\norigin = convolve()[1]\nprint(len(runtimes()))\nprint(origin)"
    )
    assert (runtimes, origin) == ("1", "the system's")


@needs_copy
def test_the_wheels_copy_uses_all_cpus():
    file, origin, count = said(
        "for said in convolve(): print(said)\nprint(len(runtimes()))", GCONV_OPENMP="bundled"
    )
    assert Path(file).samefile(COPY)
    assert origin == "the copy in gconv's wheel"
    assert count == "1"
    threads = said(
        "import gconv\nfrom gconv._engine import call\nprint(call.runtime_threads())",
        GCONV_OPENMP="bundled",
    )
    assert threads == [str(available_cpus())]


@needs_copy
@pytest.mark.parametrize("name", ["libgomp.so.1", "libgomp-e985bcbb.so.1.0.0", "libomp.so.5"])
def test_no_other_is_loaded_where_one_is(tmp_path, name):
    """Whatever its name, and although it was loaded for its owner alone."""
    loaded = tmp_path / name
    shutil.copyfile(COPY, loaded)
    program = f"ctypes.CDLL({str(loaded)!r}, os.RTLD_LOCAL)\n"
    program += "for said in convolve(3): print(said)\nfor file in runtimes(): print(file)"
    assert said(program) == [str(loaded), "loaded by another library", str(loaded)]


@needs_copy
def test_one_under_its_own_name_comes_before_a_private_copy(tmp_path):
    """As PyTorch's before scikit-learn's, whoever was first."""
    private, public = tmp_path / "libgomp-e985bcbb.so.1.0.0", tmp_path / "libgomp.so.1"
    for file in (private, public):
        shutil.copyfile(COPY, file)
    program = "".join(f"ctypes.CDLL({str(file)!r})\n" for file in (private, public))
    assert said(program + "print(convolve(2)[0])") == [str(public)]


def test_a_loaded_library_that_lacks_what_is_called_is_passed_over(tmp_path):
    """As the runtimes of GCC 8 and before, which cannot be paused before a fork."""
    other = Path(__import__("_ctypes").__file__)
    lacking = tmp_path / "libgomp-a34b3233.so.1.0.0"
    shutil.copyfile(other, lacking)
    program = f"ctypes.CDLL({str(lacking)!r})\nprint(convolve(2)[0])\nprint(len(runtimes()))"
    file, count = said(program)
    assert file != str(lacking)
    assert count == "2"


@needs_copy
def test_a_file_can_be_forced_although_another_is_loaded(tmp_path):
    forced = tmp_path / "libgomp.so.1"
    shutil.copyfile(COPY, forced)
    program = f"ctypes.CDLL({str(COPY)!r})\nfor said in convolve(2): print(said)"
    assert said(program, GCONV_OPENMP=forced) == [str(forced), "by name"]


@pytest.mark.parametrize("forced", ["gomp", "libgomp.so.1", "/nowhere/libgomp.so.1", __file__])
def test_what_cannot_be_forced_is_an_error_of_the_import(forced):
    done = run_python("-c", "import gconv", GCONV_OPENMP=forced)
    assert done.returncode == 1
    assert "ValueError: gconv: GCONV_OPENMP" in done.stderr
    assert repr(forced) in done.stderr
    done = run_python("-m", "gconv", "info", GCONV_OPENMP=forced)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert repr(forced) in done.stderr


def test_gconv_info_says_which_serves_and_why():
    out = printed("-m", "gconv", "info")
    file, origin = openmp.library()
    assert re.search(r"OpenMP runtime: +(/\S+ \(\w|none)", out)
    assert openmp.VARIABLE in out or not file
    if origin == "the system's":
        assert f"{file} ({origin};" in out


@pytest.mark.parametrize("imports", ["import torch, gconv", "import gconv, torch"])
def test_beside_pytorch_one_runtime_is_loaded_and_serves_both(imports):
    oracle("torch")
    program = f"""
{imports}
from gconv._engine import call
print(*runtimes())
torch.set_num_threads(3)
assert torch.ones(1 << 22).exp_().sum() > 0
print(call.runtime_threads())
file, _ = convolve(3, started=1)  # the threads that PyTorch has started
print(file)
"""
    mapped, threads, file = said(program)
    if mapped != file:
        pytest.skip(f"this PyTorch brings a runtime that gconv cannot use: {mapped}")
    assert threads == "3"
