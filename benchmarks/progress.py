"""A progress bar on terminals that have one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def tracked(items: Sequence[T], label: Callable[[T], str]) -> Iterator[T]:
    """Iterate over `items` and show how far it is, on standard error.

    Without a terminal, or without rich, one plain line per item.
    """
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
    except ImportError:
        fancy = False
    else:
        fancy = sys.stderr.isatty()
    if not fancy:
        for index, item in enumerate(items, 1):
            print(f"[{index}/{len(items)}] {label(item)}", file=sys.stderr, flush=True)
            yield item
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # Refreshed between items alone: a thread that redraws would take a core from a contender.
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as bar:
        task = bar.add_task("", total=len(items))
        for item in items:
            bar.update(task, description=label(item), refresh=True)
            yield item
            bar.advance(task)
            bar.refresh()
