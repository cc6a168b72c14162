"""The contenders: gconv and its peers, each behind the same small interface."""

from __future__ import annotations

from .base import Contender, Prepared, Unsupported
from .gconv import GconvFunction, GconvLayer, GconvLayerOut
from .mnn import Mnn
from .ncnn import Ncnn
from .onnxruntime import OnnxRuntime
from .openvino import OpenVino
from .pytorch import TorchChannelsLast, TorchContiguous

__all__ = ["CONTENDERS", "Contender", "Prepared", "Unsupported", "load_contenders"]

CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (
        GconvFunction(),
        GconvLayer(),
        GconvLayerOut(),
        TorchContiguous(),
        TorchChannelsLast(),
        OnnxRuntime(),
        OpenVino(),
        Ncnn(),
        Mnn(),
    )
}


def load_contenders(names: list[str] | None = None) -> tuple[list[Contender], dict[str, str]]:
    """Import the named contenders (all by default).

    Returns
    -------
    loaded : list of Contender
    missing : dict
        Why each of the others is left out, by name.
    """
    loaded, missing = [], {}
    for name in names or list(CONTENDERS):
        if name not in CONTENDERS:
            raise ValueError(f"no contender {name!r}; there are {', '.join(CONTENDERS)}")
        try:
            CONTENDERS[name].load()
        except ImportError as error:
            missing[name] = str(error)
        else:
            loaded.append(CONTENDERS[name])
    return loaded, missing
