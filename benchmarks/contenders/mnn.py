"""MNN."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from gconv._bench.contenders.base import Array, Contender, Prepared, Unsupported
from gconv._bench.contenders.onnx_model import onnx_model
from gconv._bench.layers import Layer


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what MNN's C++ side prints to standard output."""
    sys.stdout.flush()
    saved = os.dup(1)
    with open(os.devnull, "w") as null:
        os.dup2(null.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(saved, 1)
            os.close(saved)


class Mnn(Contender):
    name = "mnn"
    title = "MNN"
    package = "MNN"
    direct = False

    def load(self) -> None:
        with quiet():
            import _tools  # noqa: F401
            import MNN  # noqa: F401
            import onnx  # noqa: F401

    def prepare(self, layer: Layer, x: Array, weight: Array, threads: int) -> Prepared:
        with quiet():
            return self._prepare(layer, x, weight, threads)

    def _prepare(self, layer: Layer, x: Array, weight: Array, threads: int) -> Prepared:
        # The converter as MNN's wheel installs it, below the command that reports usage.
        import _tools
        import MNN

        with tempfile.TemporaryDirectory() as directory:
            source, model = Path(directory, "conv.onnx"), Path(directory, "conv.mnn")
            source.write_bytes(onnx_model(layer, weight, as_2d=True))
            arguments = ["mnnconvert", "-f", "ONNX", "--modelFile", os.fspath(source)]
            _tools.mnnconvert([*arguments, "--MNNModel", os.fspath(model), "--bizCode", "gconv"])
            if not model.exists():
                raise Unsupported("MNN's converter has no such layer")
            interpreter = MNN.Interpreter(os.fspath(model))
        session = interpreter.createSession(
            {"backend": "CPU", "numThread": threads, "precision": "high"}
        )
        target = interpreter.getSessionInput(session)
        interpreter.resizeTensor(target, tuple(self._shape(layer, layer.x_shape)))
        interpreter.resizeSession(session)
        order = MNN.Tensor_DimensionType_Caffe
        source_tensor = MNN.Tensor(
            self._shape(layer, layer.x_shape), MNN.Halide_Type_Float, x, order
        )
        output = interpreter.getSessionOutput(session)
        result = MNN.Tensor(
            self._shape(layer, layer.out_shape),
            MNN.Halide_Type_Float,
            np.zeros(layer.out_shape, np.float32),
            order,
        )

        # Copies in and out belong to the call: they convert from and to its blocked layout.
        def call() -> Any:
            target.copyFrom(source_tensor)
            interpreter.runSession(session)
            output.copyToHostTensor(result)
            return result

        return Prepared(
            call,
            lambda y: np.array(y.getNumpyData(), dtype=np.float32).reshape(layer.out_shape),
            x.nbytes,
        )

    @staticmethod
    def _shape(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:2], 1, *shape[2:]) if layer.dims == 1 else shape
