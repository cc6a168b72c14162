"""No byte outside the arrays given is read or written, on any instruction set."""

import sys
from pathlib import Path

import pytest
from interpreter import run_python

from gconv._call.isa import usable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")

PROGRAM = Path(__file__).with_name("guard_pages.py")
STEPS = Path(__file__).with_name("guard_steps.py")


@pytest.mark.parametrize("isa", usable())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_outside_is_touched(isa, dtype):
    done = run_python(PROGRAM, isa, dtype, timeout=240)
    last = done.stderr.strip().splitlines()[-1:]
    assert done.returncode == 0, f"exit status {done.returncode} at {last}\n{done.stderr[-3000:]}"
    assert int(done.stdout) > 2000


@pytest.mark.parametrize("isa", usable())
def test_no_step_touches_anything_outside(isa):
    done = run_python(STEPS, isa, timeout=240)
    last = done.stderr.strip().splitlines()[-1:]
    assert done.returncode == 0, f"exit status {done.returncode} at {last}\n{done.stderr[-3000:]}"
    assert int(done.stdout) > 1000


def test_a_stray_access_would_be_noticed():
    """The guards do guard: one element too far on either side kills the process."""
    program = (
        "import numpy, guard_pages\n"
        "room = guard_pages.Room(100)\n"
        "view = room.place(numpy.zeros(5), (8,), at_end={at_end})\n"
        "print(view.sum(), flush=True)\n"
        "numpy.lib.stride_tricks.as_strided(view, (6,), ({stride},)).sum()\n"
        "print('not noticed')\n"
    )
    for at_end, stride in ((True, 8), (False, -8)):
        done = run_python("-c", program.format(at_end=at_end, stride=stride), cwd=PROGRAM.parent)
        assert done.returncode < 0
        assert done.stdout == "0.0\n"
