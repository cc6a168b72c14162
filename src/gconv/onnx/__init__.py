"""Whole models: an ONNX network on gconv.

`InferenceSession` loads a model and runs it, with the methods that users of ONNX Runtime know. It
needs the package onnx, which the extra of the same name installs.
"""

try:
    import onnx  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "gconv.onnx needs the package onnx, part of the extra gconv[onnx]", name=error.name
    ) from error

from gconv.onnx.session import InferenceSession

__all__ = ["InferenceSession"]
