"""One layer, all contenders: prepare, check, time."""

from __future__ import annotations

from typing import Any

import numpy as np

from gconv._bench import affinity, checking, machine
from gconv._bench.balance import balance
from gconv._bench.contenders import Contender, Unsupported
from gconv._bench.layers import Layer
from gconv._bench.targets import BALANCE_THREADS
from gconv._bench.timing import Schedule, interleave, settle


def measure(
    layer: Layer, contenders: list[Contender], threads: int, schedule: Schedule
) -> dict[str, Any]:
    """Time one layer at one thread count: a row of the results.

    A contender whose result is off by more than its dtype explains keeps its time, and `errors`
    (multiples of the tolerance) tells; reports do not count it as a peer to beat.
    """
    x, weight = layer.arrays()
    expected = checking.reference(layer, x, weight)
    calls, errors, skipped = {}, {}, {}
    for contender in contenders:
        dtype = contender.dtype
        try:
            prepared = contender.prepare(
                layer, x.astype(dtype, copy=False), weight.astype(dtype, copy=False), threads
            )
        except Unsupported as reason:
            skipped[contender.name] = str(reason)
            continue
        result = prepared.to_numpy(prepared.call())
        allowed = checking.tolerance(layer, x, weight, dtype)
        if not contender.direct:
            allowed *= checking.WINOGRAD_ALLOWANCE
        errors[contender.name] = checking.error(result, expected, allowed)
        calls[contender.name] = prepared.call

    copies = machine.CopyProbe(layer.compulsory_bytes, threads)
    peaks: list[float] = []
    bandwidths: list[float] = []

    def probe() -> None:
        peaks.append(machine.peak_flops(threads))
        bandwidths.append(copies.rate())

    try:
        for call in calls.values():
            settle()
            affinity.pin_workers(call, threads)
        timings = interleave(calls, schedule, between=probe)
    finally:
        affinity.release()
    return {
        "layer": layer.name,
        "class": layer.kind,
        "threads": threads,
        "flops": layer.flops,
        "flops_inside": layer.flops_inside,
        "bytes": layer.compulsory_bytes,
        # Rates where the contenders have times: the quartile of the quiet moments.
        "peak": float(np.percentile(peaks, 75)),
        "bandwidth": float(np.percentile(bandwidths, 75)),
        "seconds": {name: timing.seconds for name, timing in timings.items()},
        "waited": {name: timing.waited for name, timing in timings.items()},
        "errors": errors,
        "skipped": skipped,
        "balance": balance(layer, BALANCE_THREADS),
    }
