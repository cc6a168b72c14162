from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconv._steps.step import Step

kinds: dict[str, int]
functions: dict[str, int]
reductions: dict[str, int]
copy_modes: dict[str, int]
struct_sizes: dict[str, int]
most_places: int
most_axes: int
most_operands: int
chunk: int
transposed_rows: int
reduced_columns: int
softmax_columns: int
room: int
vector_bytes: int

class Program:
    nbytes: int
    def __init__(self, steps: Sequence[Step], engine: ModuleType) -> None: ...
    def __len__(self) -> int: ...
    def run(
        self,
        buffers: Sequence[NDArray[Any]],
        threads: int,
        times: NDArray[np.int64] | None = None,
        first: int = 0,
        last: int | None = None,
    ) -> None: ...
