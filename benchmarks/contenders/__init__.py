"""The contenders: gconv and its peers, each behind the same small interface."""

from __future__ import annotations

import numpy as np

from gconv._bench.contenders.base import Contender, Prepared, Unsupported
from gconv._bench.contenders.gconv import (
    GconvFunction,
    GconvLayer,
    GconvLayerChannelsLast,
    GconvLayerFloat64,
    GconvLayerOut,
)
from gconv._bench.contenders.mnn import Mnn
from gconv._bench.contenders.ncnn import Ncnn
from gconv._bench.contenders.onnxruntime import OnnxRuntime
from gconv._bench.contenders.openvino import OpenVino
from gconv._bench.contenders.pytorch import (
    TorchChannelsLast,
    TorchContiguous,
    TorchFloat64,
)

__all__ = [
    "CONTENDERS",
    "FLOAT32",
    "FLOAT64",
    "Contender",
    "Prepared",
    "Unsupported",
    "load_contenders",
]

CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (
        GconvFunction(),
        GconvLayer(),
        GconvLayerOut(),
        GconvLayerChannelsLast(),
        TorchContiguous(),
        TorchChannelsLast(),
        OnnxRuntime(),
        OpenVino(),
        Ncnn(),
        Mnn(),
        GconvLayerFloat64(),
        TorchFloat64(),
    )
}
FLOAT32 = [name for name, contender in CONTENDERS.items() if contender.dtype is np.float32]
FLOAT64 = [name for name in CONTENDERS if name not in FLOAT32]


def load_contenders(names: list[str] | None = None) -> tuple[list[Contender], dict[str, str]]:
    """Import the named contenders (by default all that compute in float32).

    Returns
    -------
    loaded : list of Contender
    missing : dict
        Why each of the others is left out, by name.
    """
    loaded, missing = [], {}
    for name in names or FLOAT32:
        if name not in CONTENDERS:
            raise ValueError(f"no contender {name!r}; there are {', '.join(CONTENDERS)}")
        try:
            CONTENDERS[name].load()
        except ImportError as error:
            missing[name] = str(error)
        else:
            loaded.append(CONTENDERS[name])
    return loaded, missing
