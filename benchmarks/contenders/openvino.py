"""OpenVINO's CPU plugin."""

from __future__ import annotations

from typing import Any

from gconv._bench.contenders.base import Array, Contender, Prepared
from gconv._bench.contenders.onnx_model import onnx_model
from gconv._bench.layers import Layer


def configuration(threads: int) -> dict[str, str]:
    """How models are compiled."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": str(threads),
        # It would compute in bfloat16 on CPUs that have it.
        "INFERENCE_PRECISION_HINT": "f32",
        # Whoever measures pins everyone's threads alike.
        "ENABLE_CPU_PINNING": "NO",
    }


class OpenVino(Contender):
    name = "openvino"
    title = "OpenVINO"
    package = "openvino"

    def load(self) -> None:
        import onnx  # noqa: F401
        import openvino  # noqa: F401

    def prepare(self, layer: Layer, x: Array, weight: Array, threads: int) -> Prepared:
        import openvino as ov

        core = ov.Core()
        model = core.read_model(onnx_model(layer, weight))
        request = core.compile_model(model, "CPU", configuration(threads)).create_infer_request()
        request.set_input_tensor(ov.Tensor(x, shared_memory=True))

        # The result lies in the request's own tensor, written anew by every call.
        def call() -> Any:
            request.infer()
            return request

        return Prepared(call, lambda done: done.get_output_tensor().data)
