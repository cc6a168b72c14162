"""Fail where `import gconv` adds 20 ms or more to `import numpy`, or loads an optional package."""

from __future__ import annotations

import statistics
import subprocess
import sys

PROBE = """
import sys, time, numpy
begin = time.perf_counter()
import gconv
print((time.perf_counter() - begin) * 1e3)
optional = {"dask", "matplotlib", "onnx", "PIL", "rich", "scipy", "tifffile", "torch"}
assert not optional & set(sys.modules), "optional import"
"""

times = [
    float(subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True,
                         check=True).stdout)
    for _ in range(9)
]
quartile = statistics.quantiles(times, n=4)[0]  # what others do on the machine only adds
print(f"import gconv: {quartile:.1f} ms after numpy")
sys.exit(quartile >= 20)
