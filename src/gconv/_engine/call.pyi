from collections.abc import Callable, Sequence
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gconv._plan.items import Layout

compiler: str
most_threads: int
padding_modes: dict[str, int]
activations: dict[str, int]
item_orders: dict[str, int]
flat: int
thread_limit_variable: ContextVar[int | None]

def cpu_supports(isa: str) -> bool: ...
def on_threads_unknown(function: Callable[[], None]) -> None: ...
def keep_threads(fixed: int, cpus: int) -> None: ...
def runtime_threads() -> int: ...
def fork_lost_threads() -> bool: ...
def default_threads() -> int: ...
def address_of(array: NDArray[Any]) -> int: ...
def crowds_seen() -> tuple[int, bool]: ...
def calls_now() -> int: ...
def is_image(array: NDArray[Any], batched: bool, in_order: bool) -> bool: ...
def is_slice(array: NDArray[Any], batched: bool, in_order: bool) -> bool: ...
def channels_last_output(
    shape: tuple[int, ...], dtype: np.dtype[Any], batched: bool
) -> NDArray[Any]: ...
def key_of(
    name: str,
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    options: tuple[object, ...],
    activation: object,
    setting: object,
) -> object | None: ...

class CrowdDetector:
    def begin(self, threads: int, cpus: int, now: int) -> int: ...
    def end(self, threads: int, begin: int, end: int, computed: int) -> int: ...

class Plan:
    layout: Layout
    copied: bool
    nbytes: int
    def __init__(
        self,
        record: NDArray[Any],
        engine: ModuleType,
        layout: Layout,
        *,
        keep: Sequence[NDArray[Any]] = (),
        flops: int,
        serial_flops: int,
        dimensions: int,
        weight_offset: int = 0,
    ) -> None: ...
    def run(
        self,
        x: NDArray[Any],
        weight: NDArray[Any],
        packed: NDArray[Any] | None,
        bias: NDArray[Any] | None,
        y: NDArray[Any],
        threads: int,
        residual: NDArray[Any] | None = None,
        result: NDArray[Any] | None = None,
    ) -> None: ...

class ShortCut:
    nbytes: int
    def __init__(
        self,
        plan: Plan,
        packed: NDArray[Any] | None,
        x: NDArray[Any],
        y_shape: tuple[int, ...],
    ) -> None: ...
    def __call__(
        self,
        x: ArrayLike,
        weight: ArrayLike,
        bias: ArrayLike | None,
        residual: ArrayLike | None,
        out: NDArray[Any] | None,
        num_threads: int | None,
    ) -> NDArray[Any]: ...
    def replaces(self, other: ShortCut) -> bool: ...

class Step:
    def __init__(
        self,
        plan: Plan,
        packed: NDArray[Any] | None,
        chunk_shape: tuple[int, ...],
        state_shape: tuple[int, ...],
        y_shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None: ...
    def __call__(
        self,
        chunk: ArrayLike,
        state: ArrayLike | None,
        weight: ArrayLike,
        bias: ArrayLike | None,
        num_threads: int | None,
    ) -> tuple[NDArray[Any], NDArray[Any]]: ...

class LayerBase:
    weight: NDArray[Any]
    bias: NDArray[Any] | None
    _short_cuts: tuple[ShortCut, ...]
    def __call__(
        self,
        x: ArrayLike,
        *,
        residual: ArrayLike | None = None,
        out: NDArray[Any] | None = None,
        num_threads: int | None = None,
    ) -> NDArray[Any]: ...
