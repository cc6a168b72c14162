"""Fail where a register tile keeps an accumulator or an operand on the stack.

Disassembles the object file of an engine module, or a module that was built with its symbols
(GCONV_KEEP_SYMBOLS=1), and looks at every loop with a fused multiply-add in the function of a tile,
but for those around another one: nothing may be read from the stack into a vector register there.
(A value that a loop only puts aside costs a store at most.)

Usage: check_tiles.py MODULE.o|MODULE.so
"""

from __future__ import annotations

import re
import subprocess
import sys

FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(.*)$")
JUMP = re.compile(r"^j\w+\s+([0-9a-f]+)\b")
TILE = re.compile(
    r"(?:width|depthwise|three|channel|masked)_\d+x\d+|(?:sliding_\d+|square_\d+|upsampling_\d|padded_\d|held)_s\d_\d|dilated_\d"
    r"|(?:fitting|picked)_\d+|pixels_\d_s\d_\d|descending_(?:picked_)?\d|wide_\d+|neighbours_\d+"
)
# The last operand is the destination: what is only written there is never missed in the loop.
STACK_VECTOR = re.compile(r"(?=.*%[xyz]mm)(?=.*\((?:%rsp|%rbp)[^)]*\),)")

Code = list[tuple[int, str]]


def tile_functions(module: str) -> dict[str, Code]:
    """The machine code of each tile: (address, instruction) lists by tile name."""
    listing = subprocess.run(
        ["objdump", "--disassemble", "--no-show-raw-insn", module],
        capture_output=True, text=True, check=True,
    ).stdout
    functions: dict[str, Code] = {}
    code: Code = []
    for line in listing.splitlines():
        if match := FUNCTION.match(line):
            tile = TILE.search(match[1])
            code = functions.setdefault(tile[0], []) if tile else []
        elif match := INSTRUCTION.match(line):
            code.append((int(match[1], 16), match[2]))
    return functions


def innermost_loops(code: Code) -> list[list[str]]:
    """The bodies of the loops with a multiply-add that contain no other such loop."""
    fused = [address for address, text in code if "fmadd" in text]
    jumps = [(int(match[1], 16), address) for address, text in code if (match := JUMP.match(text))]
    ends = [
        (begin, end)
        for begin, end in jumps
        if code[0][0] <= begin <= end and any(begin <= address <= end for address in fused)
    ]
    return [
        [text for address, text in code if begin <= address <= end]
        for begin, end in ends
        if not any((b, e) != (begin, end) and begin <= b and e <= end for b, e in ends)
    ]


def main(module: str) -> int:
    tiles = tile_functions(module)
    loops = {tile: innermost_loops(code) for tile, code in tiles.items()}
    without = [tile for tile, bodies in loops.items() if not bodies]
    if not tiles or without:
        print(f"{module}: no tiles found, or no multiply-add in {without}; built with symbols?")
        return 1
    spilling = {
        tile: sum(bool(STACK_VECTOR.match(text)) for body in bodies for text in body)
        for tile, bodies in loops.items()
    }
    for tile, accesses in spilling.items():
        if accesses:
            print(f"{module}: {tile} touches the stack {accesses} times in its inner loops")
    if not any(spilling.values()):
        print(f"{len(tiles)} tiles, {sum(map(len, loops.values()))} inner loops, none on the stack")
    return 1 if any(spilling.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
