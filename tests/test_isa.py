"""The instruction set: the best one unless GCONV_ISA forces another, and always the one named."""

from pathlib import Path

import numpy as np
import pytest
from arrays import normals
from interpreter import printed, run_python

import gconv
from gconv._call import isa as isa_module
from gconv._call.isa import usable, use_isa
from gconv._engine import call

ISAS = ("generic", "avx2", "avx512")

#: Prints the engine modules that the import, a convolution of float32, and then one of float64
#: have loaded.
LOADED = """
import sys
import numpy as np, gconv

def print_engines():
    modules = (name.rpartition(".")[2] for name in sys.modules if name.startswith("gconv._engine."))
    print("loaded:", *sorted(name for name in modules if name.endswith(("_f32", "_f64"))))

print_engines()
for dtype in (np.float32, np.float64):
    gconv.conv2d(np.ones((1, 4, 9, 9), dtype), np.ones((8, 2, 3, 3), dtype), groups=2)
    print_engines()
"""


def engines(**environment):
    """Return the modules that `LOADED` has printed, a list for each time."""
    return [line.split()[1:] for line in printed("-c", LOADED, **environment).splitlines()]


def best():
    """The widest vectors first."""
    return next(isa for isa in reversed(ISAS) if isa in usable())


def cpu_flags():
    """Return what Linux says of the first x86-64 CPU."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    found = next((line for line in lines if line.startswith("flags")), None)
    if found is None:
        pytest.skip("needs Linux on x86-64")
    return set(found.partition(":")[2].split())


def test_the_cpu_supports_what_the_system_says():
    """The x86-64 levels 3 and 4, flag by flag, as the psABI lists them."""
    level3 = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"}
    level4 = level3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
    flags = cpu_flags()
    assert call.cpu_supports("avx2") == (level3 <= flags)
    assert call.cpu_supports("avx512") == (level4 <= flags)


def test_generic_runs_everywhere():
    assert "generic" in usable()
    assert set(usable()) <= set(ISAS)


@pytest.mark.parametrize("isa", usable())
def test_the_environment_forces_one_and_no_other_is_loaded(isa):
    at_import, after_f32, after_f64 = engines(GCONV_ISA=isa)
    assert at_import in ([], [f"{isa}_f32"])
    assert after_f32 == [f"{isa}_f32"]
    assert after_f64 == [f"{isa}_f32", f"{isa}_f64"]


@pytest.mark.parametrize("environment", [{}, {"GCONV_ISA": ""}])
def test_the_best_one_is_the_default(environment):
    assert engines(**environment)[1] == [f"{best()}_f32"]


@pytest.mark.parametrize("name", ["sse2", "AVX2", "avx-512", "avx2 ", "native", "0"])
def test_an_unknown_name_is_an_error_at_import(name):
    done = run_python("-c", "import gconv", GCONV_ISA=name)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: ")
    assert "GCONV_ISA" in last
    assert repr(name) in last
    for isa in ISAS:
        assert isa in last


def test_one_that_this_cpu_lacks_is_an_error(monkeypatch):
    monkeypatch.setattr(isa_module, "usable", lambda: ("generic",))
    monkeypatch.setenv("GCONV_ISA", "avx2")
    with pytest.raises(ValueError, match=r"GCONV_ISA.*'avx2'.*generic"):
        isa_module.chosen()
    monkeypatch.setenv("GCONV_ISA", "generic")
    assert isa_module.chosen() == "generic"


def test_the_tests_do_run_on_the_one_they_name():
    """Or the fixture `isa` would test nothing."""
    for isa in usable():
        program = LOADED + (
            "from gconv._call.isa import use_isa\n"
            f"with use_isa({isa!r}):\n"
            "    gconv.conv1d(np.ones((1, 9)), np.ones((1, 1, 3)))\n"
            "print_engines()\n"
        )
        assert f"{isa}_f64" in printed("-c", program, GCONV_ISA="generic").splitlines()[-1]
    with pytest.raises(ValueError, match="sse2"), use_isa("sse2"):
        pass


def test_all_agree_to_within_roundings(dtype, rng):
    x, weight = normals(rng, (2, 12, 20, 21), dtype), normals(rng, (18, 4, 3, 3), dtype)
    results = {}
    for isa in usable():
        with use_isa(isa):
            results[isa] = gconv.conv2d(x, weight, padding=1, groups=3)
    bound = 36 * np.finfo(dtype).eps * gconv.conv2d(np.abs(x), np.abs(weight), padding=1, groups=3)
    for result in results.values():
        assert (np.abs(result - results["generic"]) <= bound).all()


# ---- show_config


def test_show_config_says_what_is_used(capsys):
    gconv.show_config()
    text = capsys.readouterr().out
    assert gconv.__version__ in text
    assert np.__version__ in text
    for word in ("compiler", "instruction set", "OpenMP", "threads"):
        assert word in text
    with gconv.thread_limit(11):
        gconv.show_config()
    (line,) = [li for li in capsys.readouterr().out.splitlines() if "threads:" in li]
    assert "11" in line


@pytest.mark.parametrize("isa", usable())
def test_show_config_says_which_instruction_set(isa):
    text = printed("-c", "import gconv; gconv.show_config()", GCONV_ISA=isa)
    (line,) = [line for line in text.splitlines() if "instruction set" in line]
    assert line.split(":")[1].split()[0] == isa
