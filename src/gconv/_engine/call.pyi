from collections.abc import Callable
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from gconv._plan import Spec

compiler: str
openmp_version: int
openmp_runtime: str
thread_limit_variable: ContextVar[int | None]

def cpu_supports(isa: str) -> bool: ...
def on_threads_unknown(function: Callable[[], None]) -> None: ...
def keep_threads(fixed: int, cpus: int) -> None: ...
def runtime_threads() -> int: ...
def fork_lost_threads() -> bool: ...
def default_threads() -> int: ...

class Plan:
    spec: Spec
    def __init__(self, spec: Spec, engine: ModuleType) -> None: ...
    def run(
        self,
        x: NDArray[Any],
        weight: NDArray[Any],
        packed: NDArray[Any] | None,
        bias: NDArray[Any] | None,
        y: NDArray[Any],
        threads: int,
    ) -> None: ...
