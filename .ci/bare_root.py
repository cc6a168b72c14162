"""Make a root directory with a Python, NumPy, a wheel, and the libraries that these need to start.

No compiler and no libgomp are in it, as on the smallest machines. For Linux with glibc.

Usage: bare_root.py ROOT WHEEL
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

root, wheel = Path(sys.argv[1]), sys.argv[2]
stdlib = Path(sysconfig.get_path("stdlib"))
home = root / "python"
lib = home / "lib" / stdlib.name
site = lib / "site-packages"
unused = shutil.ignore_patterns(
    "site-packages", "test", "tests", "idlelib", "tkinter", "lib2to3", "ensurepip", "config-*",
    "__pycache__", "*.a", "_tkinter*", "_test*",
)
shutil.copytree(stdlib, lib, ignore=unused)
(home / "bin").mkdir()
shutil.copy(Path(sys.executable).resolve(), home / "bin" / "python3")
subprocess.run(
    [sys.executable, "-m", "pip", "install", "--no-compile", "--target", site, wheel], check=True
)

needed = set()
for file in [home / "bin" / "python3", *root.rglob("*.so*")]:
    out = subprocess.run(["ldd", file], capture_output=True, text=True, check=False).stdout
    needed |= {Path(path) for path in re.findall(r"(/\S+) \(0x", out)}
for path in needed - set(root.rglob("*")):
    if root not in path.parents:
        # Where it was found: that of the loader is written into programs.
        (root / path.parent.relative_to("/")).mkdir(parents=True, exist_ok=True)
        shutil.copy(path.resolve(), root / path.relative_to("/"))
copies = [path for path in root.rglob("libgomp*.so*") if path.parent.name != "_engine"]
assert not copies, copies
