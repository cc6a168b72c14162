"""Whole PyTorch models: as they are, in both memory orders, and with `gconv.torch.replace_convs_`.

    python -m gconv._bench.swapping [--names NAME,...] [--threads 1,2] [--batches 1,8]
                                  [--markdown FILE] [--compile]

Turns of the contenders are interleaved, in rotating order; a time is the lower quartile over the
rounds. Every model runs in a process of its own. The status is 1 where a swapped model is below
0.98 of PyTorch in its faster order.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gconv._bench import machine, zoo
from gconv._bench.ratios import geometric_mean
from gconv._bench.report import origin, table

#: timm's models that are measured, those with grouped or depthwise layers first.
GROUPED = (
    "mobilenetv2_100", "mobilenetv3_large_100", "efficientnet_b0", "efficientnetv2_rw_t",
    "ghostnet_100", "mnasnet_100", "regnety_016", "regnetx_016", "resnext50_32x4d",
    "seresnext26t_32x4d", "fastvit_t8", "mobileone_s1", "repvgg_b1g4", "convnext_tiny",
)
DENSE = ("resnet50", "resnet18", "vgg16", "hrnet_w18", "densenet121", "inception_v3")
TRANSFORMERS = ("wav2vec2", "convnext", "segformer")
NAMES = (*GROUPED, *DENSE, *TRANSFORMERS)

ROUNDS = 7
TURN = 0.1  # seconds at least of a contender's turn
LEAST = 0.98

#: What turns a model and its input into what is timed.
Contender = Callable[[Any, Any], tuple[Any, Any]]


def build(name: str, batch: int = 1) -> tuple[Any, Any]:
    """A model in evaluation mode, and what it is called with: one of `NAMES`, or any other of
    timm's, and so many images, or signals of one second at 16 kHz."""
    import torch

    if name in TRANSFORMERS:
        torch.manual_seed(0)
        return _of_transformers(name, batch)
    return zoo.build(name, batch)


def _of_transformers(name: str, batch: int) -> tuple[Any, Any]:
    import torch

    zoo.import_timm()  # with a torchvision that transformers can import
    import transformers

    makers: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
        "wav2vec2": (
            lambda: transformers.Wav2Vec2Model(transformers.Wav2Vec2Config()), (16000,)),
        "convnext": (
            lambda: transformers.ConvNextModel(transformers.ConvNextConfig()), (3, 224, 224)),
        "segformer": (
            lambda: transformers.SegformerForSemanticSegmentation(transformers.SegformerConfig()),
            (3, 512, 512)),
    }
    make, shape = makers[name]
    return make().eval(), torch.randn(batch, *shape)


def _torch(model: Any, x: Any) -> tuple[Any, Any]:
    return model, x


def _channels_last(model: Any, x: Any) -> tuple[Any, Any]:
    import torch

    if x.ndim != 4:
        return model, x
    order = torch.channels_last
    return model.to(memory_format=order), x.contiguous(memory_format=order)


def _swapped(model: Any, x: Any) -> tuple[Any, Any]:
    import gconv.torch

    gconv.torch.replace_convs_(model, x)
    return model, x


def _compiled(model: Any, x: Any) -> tuple[Any, Any]:
    import torch

    return torch.compile(_swapped(model, x)[0]), x


CONTENDERS: dict[str, Contender] = {
    "PyTorch": _torch,
    "PyTorch channels-last": _channels_last,
    "gconv.torch": _swapped,
    "gconv.torch channels-last": lambda model, x: _swapped(*_channels_last(model, x)),
}
COMPILED: dict[str, Contender] = {"gconv.torch compiled": _compiled}


def measure(name: str, threads: int, batch: int, contenders: dict[str, Contender]) -> Any:
    """Seconds of each contender, and of PyTorch's convolutions alone, for one model."""
    import torch

    torch.set_num_threads(threads)
    model, x = build(name, batch)
    with torch.inference_mode():
        convolutions = _share_of_convolutions(model, x)
    with torch.no_grad():
        ready = {key: make(copy.deepcopy(model), x) for key, make in contenders.items()}
    del model
    calls: dict[str, int] = {}
    turns: dict[str, list[float]] = {key: [] for key in ready}
    with torch.inference_mode():
        for key, (module, example) in ready.items():
            module(example)
            begin = time.perf_counter()
            module(example)
            calls[key] = max(1, math.ceil(TURN / (time.perf_counter() - begin)))
        keys = [*ready]
        for number in range(ROUNDS):
            for key in keys[number % len(keys):] + keys[:number % len(keys)]:
                module, example = ready[key]
                module(example)
                begin = time.perf_counter()
                for _ in range(calls[key]):
                    module(example)
                turns[key].append((time.perf_counter() - begin) / calls[key])
    return {
        "name": name, "threads": threads, "batch": batch, "convolutions": convolutions,
        "seconds": {key: sorted(times)[len(times) // 4] for key, times in turns.items()},
    }


def _share_of_convolutions(model: Any, x: Any) -> float:
    """Which part of PyTorch's time its convolution modules take."""
    import torch

    spent = 0.0
    begins: list[float] = []
    handles = []
    for module in model.modules():
        if isinstance(module, torch.nn.modules.conv._ConvNd):
            handles.append(module.register_forward_pre_hook(
                lambda module, args: begins.append(time.perf_counter())))

            def ended(module: Any, args: Any, y: Any) -> None:
                nonlocal spent
                spent += time.perf_counter() - begins.pop()

            handles.append(module.register_forward_hook(ended))
    model(x)
    shares = []
    for _ in range(3):
        spent, begin = 0.0, time.perf_counter()
        model(x)
        shares.append(spent / (time.perf_counter() - begin))
    for handle in handles:
        handle.remove()
    return sorted(shares)[1]


# ---- the table ---------------------------------------------------------------------------------


def ratio(row: Any, of: Sequence[str] = ("gconv.torch", "gconv.torch channels-last")) -> float:
    """How many times as fast as PyTorch, both in their faster order."""
    seconds = row["seconds"]
    theirs: float = min(seconds["PyTorch"], seconds["PyTorch channels-last"])
    ours: float = min(seconds[key] for key in of)
    return theirs / ours


def report(rows: Sequence[Any]) -> str:
    """The rows in Markdown, with what the targets say."""
    keys = [*rows[0]["seconds"]]
    header = ["model", "batch", "threads", "convolutions", *(f"{key}, ms" for key in keys),
              "times as fast"]
    cells = [
        [row["name"], str(row["batch"]), str(row["threads"]), f"{row['convolutions']:.0%}",
         *(f"{row['seconds'][key] * 1e3:.1f}" for key in keys), f"{ratio(row):.2f}"]
        for row in rows
    ]
    heavy = [row for row in rows if row["convolutions"] > 0.5]
    grouped = [row for row in rows if row["name"] in GROUPED]
    found = machine.description(["gconv", "torch"])
    return "\n".join([
        table(header, cells),
        "Times as fast: PyTorch in its faster order over the swapped model in its faster order. "
        "Convolutions: their part of PyTorch's time.",
        "",
        f"- least: {min(map(ratio, rows)):.2f} (target {LEAST})",
        f"- where convolutions take more than half: least {_least(heavy)} (target 1.3)",
        f"- nets with grouped or depthwise layers: geometric mean {_mean(grouped)} (target 1.5)",
        "",
        f"{origin(found)} float32, random weights, lower quartile of {ROUNDS} rounds.",
    ])


def _least(rows: Sequence[Any]) -> str:
    if not rows:
        return "–"
    row = min(rows, key=ratio)
    below = sum(ratio(row) < 1.3 for row in rows)
    return (f"{ratio(row):.2f} ({row['name']}, batch {row['batch']}, {row['threads']} threads); "
            f"{below} of {len(rows)} below 1.3, geometric mean {_mean(rows)}")


def _mean(rows: Sequence[Any]) -> str:
    mean = geometric_mean(map(ratio, rows))
    return "–" if mean is None else f"{mean:.2f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m gconv._bench.swapping")
    parser.add_argument("--names", default=",".join(NAMES))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path, help="rows; those of an earlier run are kept")
    parser.add_argument("--compile", action="store_true", help="the swap under torch.compile too")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    cases = [
        (name, int(threads), int(batch))
        for name in options.names.split(",")
        for batch in options.batches.split(",")
        for threads in options.threads.split(",")
    ]
    contenders = CONTENDERS | (COMPILED if options.compile else {})
    if options.one:
        print(json.dumps(measure(*cases[0], contenders)))
        return 0
    rows = []
    if options.json and options.json.exists():
        rows = json.loads(options.json.read_text())
    done = {(row["name"], row["threads"], row["batch"]) for row in rows}
    for name, threads, batch in (case for case in cases if case not in done):
        command = [
            sys.executable, "-m", "gconv._bench.swapping", "--one", "--names", name,
            "--threads", str(threads), "--batches", str(batch),
            *(["--compile"] if options.compile else []),
        ]
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if result.returncode:
            print(f"{name}, batch {batch}, {threads} threads: failed", file=sys.stderr)
            continue
        rows.append(json.loads(result.stdout.splitlines()[-1]))
        print(f"{name}, batch {batch}, {threads} threads: {ratio(rows[-1]):.2f}", file=sys.stderr)
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1))
    text = report(rows)
    print(text)
    if options.markdown:
        options.markdown.write_text(f"# Whole PyTorch models\n\n{text}\n", encoding="utf-8")
    return int(min(map(ratio, rows)) < LEAST)


if __name__ == "__main__":
    sys.exit(main())
