"""A program: steps whose operands end, or begin, where the memory that may be touched does.

    python guard_steps.py ISA

See guard_pages.py. What lies beside an operand is compared afterwards.
"""

import itertools
import os
import sys

import numpy as np
from guard_pages import Room
from step_cases import BUILDERS, run

from gconv import _steps as steps
from gconv._call.isa import steps_of

ROOM = 1 << 17


def sliced(shape, itemsize):
    """Strides of all but the last entries along every axis but the first."""
    step, strides = itemsize, []
    for n in reversed(shape):
        strides.append(step)
        step *= n + 2
    return tuple(reversed(strides))


def c_strides(shape, itemsize):
    return tuple(step * itemsize for step in steps.c_strides(shape))


def check(case, engine, rooms, layout, at_end, threads):
    """Run a case with every operand against a guard."""
    arrays = [*case.inputs, np.full_like(case.want, 77)]
    placed = [
        room.place(array, layout(array.shape, array.itemsize), at_end)
        for room, array in zip(rooms, arrays, strict=False)
    ]
    buffers = [room.bytes for room in rooms]
    step = case.build(*(
        steps.within(number, buffer, view)
        for number, (buffer, view) in enumerate(zip(buffers, placed, strict=False))))
    if step is None:
        return 0
    *inputs, y = placed
    around = rooms[len(inputs)].around(y)
    run(step, buffers, engine, threads)
    case.check(y.copy())
    np.testing.assert_array_equal(rooms[len(inputs)].around(y), around)
    for view, array in zip(inputs, case.inputs, strict=True):
        np.testing.assert_array_equal(view, array)
    return 1


def main(isa):
    engine, done = steps_of(isa), 0
    rooms = [Room(ROOM) for _ in range(4)]
    for name, builder in BUILDERS.items():
        for case in builder(np.random.default_rng(0)):
            if max(array.nbytes for array in (*case.inputs, case.want)) > ROOM // 4:
                continue
            for layout, at_end in itertools.product((c_strides, sliced), (True, False)):
                os.write(2, f"{isa} {name} {case.name} {layout.__name__} {at_end}\n".encode())
                done += check(case, engine, rooms, layout, at_end, 1 + done % 2)
    print(done)


if __name__ == "__main__":
    main(*sys.argv[1:])
