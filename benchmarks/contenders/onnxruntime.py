"""ONNX Runtime, CPU execution provider."""

from __future__ import annotations

from typing import Any

from gconv._bench.contenders.base import Array, Contender, Prepared
from gconv._bench.contenders.onnx_model import onnx_model
from gconv._bench.layers import Layer


class OnnxRuntime(Contender):
    name = "onnxruntime"
    title = "ONNX Runtime"
    package = "onnxruntime"

    def load(self) -> None:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401

    def prepare(self, layer: Layer, x: Array, weight: Array, threads: int) -> Prepared:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        # Its threads spin between calls, which is its default and its best; they are given time
        # to stop before the next contender's turn (see timing.settle).
        session = ort.InferenceSession(
            onnx_model(layer, weight), options, providers=["CPUExecutionProvider"]
        )
        feed = {"x": ort.OrtValue.ortvalue_from_numpy(x)}

        # OrtValues, because session.run copies the result into a NumPy array.
        def call() -> Any:
            return session.run_with_ort_values(["y"], feed)[0]

        return Prepared(call, lambda y: y.numpy())
