"""Whole models for benchmarks and tests: timm's by name, and some written here.

Usage::

    python -m gconv._bench.zoo NAME BATCH DIRECTORY     # what benchmarks/models.py measures
    python -m gconv._bench.zoo --list

All have random weights, the same in every run. Needs PyTorch, and timm for its models.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

OPSET = 17
SEED = 0
INPUT, OUTPUT = "x", "y"

# Weights by channel below this do not count: they end residual branches, or scale them.
HARDLY_ANY = 0.01


@dataclass(frozen=True)
class Entry:
    """A model that can be measured.

    Attributes
    ----------
    name
        timm's, or one of those written below.
    kind
        "grouped" where grouped or depthwise convolutions are most of its layers; "dense"; "small"
        where what is measured is the cost of a node.
    groups
        The lists of ``--names`` that it is on.
    """

    name: str
    kind: str
    groups: tuple[str, ...]


ZOO = {
    entry.name: entry
    for entry in (
        Entry("resnext50_32x4d", "grouped", ("six",)),
        Entry("resnet50", "dense", ("six",)),
        Entry("mobilenetv2_100", "grouped", ("six",)),
        Entry("efficientnet_b0", "grouped", ("six",)),
        Entry("regnety_016", "grouped", ("six",)),
        Entry("ghostnet_100", "grouped", ("six",)),
        Entry("chain50", "small", ("written",)),
        Entry("mobilenetv3_large_100", "grouped", ("others",)),
        Entry("densenet121", "dense", ("others",)),
        Entry("convnext_tiny", "grouped", ("others",)),
        Entry("resnet18", "dense", ("others",)),
        Entry("vgg11", "dense", ("others",)),
        Entry("hrnet_w18_small", "dense", ("others",)),
        Entry("fastvit_t8", "grouped", ("others",)),
        Entry("repvgg_b1g4", "grouped", ("others",)),
        Entry("mixnet_s", "grouped", ("others",)),
        Entry("deit_tiny_patch16_224", "dense", ("others",)),
        Entry("shufflenet_g3", "grouped", ("others", "written")),
        Entry("segformer", "grouped", ("others", "written")),
        Entry("unet", "dense", ("others", "written")),
        Entry("tcn", "grouped", ("others", "written")),
    )
}
GROUPS = ("six", "others", "written", "all")


def names_of(group: str) -> list[str]:
    """The models of a group of `GROUPS`, or the one of that name."""
    if group in ZOO:
        return [group]
    if group not in GROUPS:
        raise ValueError(f"no model {group!r}; there are {', '.join([*GROUPS, *ZOO])}")
    return [entry.name for entry in ZOO.values() if group == "all" or group in entry.groups]


def build(name: str, batch: int = 1, size: int | None = None) -> tuple[Any, Any]:
    """Make a model and an input for it.

    Parameters
    ----------
    name
        Of `ZOO`, or any other of timm's.
    batch
        Samples of the input.
    size
        Height and width (length, for a model of signals); the model's own if left out.

    Returns
    -------
    module : torch.nn.Module
        In evaluation mode, with random weights that let every part of it show in the result.
    x : torch.Tensor
        Normally distributed, (batch, channels, ...).
    """
    import torch

    with torch.random.fork_rng([]):
        torch.manual_seed(SEED)
        if name in WRITTEN:
            module, shape = WRITTEN[name]()
        else:
            module = import_timm().create_model(name, pretrained=False)
            shape = module.default_cfg["input_size"]
        if size is not None:
            shape = (shape[0], *(size for _ in shape[1:]))
        _enliven(module, shape)
        x = torch.randn(batch, *shape)
    return module.eval(), x


def import_timm() -> Any:
    """Import timm, beside a torchvision without its compiled operators too.

    A build of torchvision that does not fit PyTorch's has none, and its import asks for two.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        import torch

        for module in [module for module in sys.modules if module.startswith("torchvision")]:
            del sys.modules[module]
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(library)
    import timm

    return timm


_KEPT: list[Any] = []  # operators are gone with the library that defines them


def _enliven(module: Any, shape: tuple[int, ...]) -> None:
    """Give a new model weights that a trained one could have.

    A new model ends residual branches with a scale of zero or nearly so: a mistake within would
    not show. And what its layers compute shrinks or grows from one to the next, down to
    denormal numbers, with which nobody's arithmetic has its speed. So such scales are drawn
    anew, and batch norms get the mean and variance of noise that passes.
    """
    import torch
    from torch import nn

    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    with torch.no_grad():
        for name, values in module.named_parameters():
            by_channel = values.ndim > 0 and values.numel() == values.shape[0]
            if by_channel and "bias" not in name and values.abs().max() < HARDLY_ANY:
                values.uniform_(0.5, 1.5)
        module.eval()
        for norm in norms:
            norm.train()
            norm.momentum = 1.0
        if norms:
            module(torch.randn(4, *shape))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def export(name: str, path: str | Path, batch: int = 1, *, dynamic: bool = False,
           size: int | None = None) -> None:
    """Write a model as an ONNX file.

    Parameters
    ----------
    name, batch, size
        As for `build`. The input is called "x", the result "y".
    path
        The file.
    dynamic
        Whether the number of samples is left open, as a dimension "batch".
    """
    _write_onnx(*build(name, batch, size), path, dynamic=dynamic)


def _write_onnx(module: Any, x: Any, path: str | Path, *, dynamic: bool = False) -> None:
    import warnings

    import torch

    axes = {name: {0: "batch"} for name in (INPUT, OUTPUT)} if dynamic else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, which traces
        torch.onnx.export(
            module, (x,), str(path), dynamo=False, opset_version=OPSET, input_names=[INPUT],
            output_names=[OUTPUT], dynamic_axes=axes,
        )


@dataclass(frozen=True)
class Exported:
    """A model as files, in a directory of its own.

    Attributes
    ----------
    onnx, mnn, module : Path
        For the peers that read ONNX, for MNN (made by whoever wants it), for PyTorch.
    feeds : Path
        The input, for `worker.Worker`.
    expected : Path
        What PyTorch computes in float64, ``.npy``.
    about : Path
        What `description` returns, as JSON.
    """

    directory: Path

    @property
    def onnx(self) -> Path:
        return self.directory / "model.onnx"

    @property
    def mnn(self) -> Path:
        return self.directory / "model.mnn"

    @property
    def module(self) -> Path:
        return self.directory / "model.pt"

    @property
    def feeds(self) -> Path:
        return self.directory / "feeds.npz"

    @property
    def expected(self) -> Path:
        return self.directory / "expected.npy"

    @property
    def about(self) -> Path:
        return self.directory / "about.json"

    def description(self) -> dict[str, Any]:
        """Number of weights, and how far PyTorch's float32 result is from that in float64."""
        about: dict[str, Any] = json.loads(self.about.read_text())
        return about


def write(name: str, batch: int, directory: Path) -> Exported:
    """Write what is needed to measure a model and to check its results."""
    import torch

    from gconv._bench.worker import write_arrays

    files = Exported(directory)
    directory.mkdir(parents=True, exist_ok=True)
    module, x = build(name, batch)
    with torch.inference_mode():
        single = module(x).numpy()
        expected = copy.deepcopy(module).double()(x.double()).numpy()
    _write_onnx(module, x, files.onnx)
    torch.save(module, files.module)
    write_arrays(files.feeds, {INPUT: x.numpy()})
    np.save(files.expected, expected)
    about = {
        "weights": sum(values.numel() for values in module.parameters()),
        "error": float(np.abs(single - expected).max()),
        "largest": float(np.abs(expected).max()),
    }
    files.about.write_text(json.dumps(about))  # last: a directory that has it is complete
    return files


# ---- models written here -----------------------------------------------------------------------


def _parts() -> Any:
    """The modules of those models, in a namespace that exists once PyTorch does."""
    from gconv._bench import zoo_modules

    return zoo_modules


WRITTEN: dict[str, Callable[[], tuple[Any, tuple[int, ...]]]] = {
    "chain50": lambda: (_parts().Chain(10, 16), (16, 8, 8)),
    "shufflenet_g3": lambda: (_parts().ShuffleNet(3), (3, 224, 224)),
    "segformer": lambda: (_parts().SegFormer(), (3, 256, 256)),
    "unet": lambda: (_parts().UNet(), (3, 192, 192)),
    "tcn": lambda: (_parts().Tcn(), (40, 2000)),
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="write a model and what its peers need")
    parser.add_argument("name", nargs="?")
    parser.add_argument("batch", nargs="?", type=int, default=1)
    parser.add_argument("directory", nargs="?", type=Path, default=Path())
    parser.add_argument("--list", action="store_true", help="name the models and stop")
    arguments = parser.parse_args(argv)
    if arguments.list or arguments.name is None:
        for entry in ZOO.values():
            print(f"{entry.name:24} {entry.kind:8} {', '.join(entry.groups)}")
        return 0
    write(arguments.name, arguments.batch, arguments.directory)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
