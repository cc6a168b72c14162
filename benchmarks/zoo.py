"""Whole models, built with random weights: timm's, and three of transformers from their
configurations. Nothing is downloaded.

Both import torchvision, whose wheels on PyPI lack their compiled operators beside a CPU build of
PyTorch; the two that its import names are declared here, and never called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: timm's models that are measured, those with grouped or depthwise layers first.
GROUPED = (
    "mobilenetv2_100", "mobilenetv3_large_100", "efficientnet_b0", "efficientnetv2_rw_t",
    "ghostnet_100", "mnasnet_100", "regnety_016", "regnetx_016", "resnext50_32x4d",
    "seresnext26t_32x4d", "fastvit_t8", "mobileone_s1", "repvgg_b1g4", "convnext_tiny",
)
DENSE = ("resnet50", "resnet18", "vgg16", "hrnet_w18", "densenet121", "inception_v3")
TRANSFORMERS = ("wav2vec2", "convnext", "segformer")
NAMES = (*GROUPED, *DENSE, *TRANSFORMERS)


def build(name: str, batch: int = 1) -> tuple[Any, Any]:
    """A model in evaluation mode, and what it is called with.

    Parameters
    ----------
    name : str
        One of `NAMES`, or any other model of timm's.
    batch : int
        How many images, or signals of one second at 16 kHz.
    """
    import torch

    torch.manual_seed(0)
    _declare_operators()
    if name in TRANSFORMERS:
        return _of_transformers(name, batch)
    import timm

    model = timm.create_model(name, pretrained=False).eval()
    return model, torch.randn(batch, *model.default_cfg["input_size"])


_kept: list[Any] = []  # operators live as long as the library that declared them


def _declare_operators() -> None:
    """Declare torchvision's operators, unless they are there."""
    import torch

    if _kept or hasattr(torch.ops.torchvision, "nms"):
        return
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float threshold) -> Tensor")
    _kept.append(library)


def _of_transformers(name: str, batch: int) -> tuple[Any, Any]:
    import torch
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
