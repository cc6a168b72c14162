"""Whole models: an ONNX network on gconv.

`InferenceSession` loads a model and runs it, with the methods that users of ONNX Runtime know. It
needs the package onnx, which the extra of the same name installs.
"""

from gconv.onnx.session import InferenceSession

__all__ = ["InferenceSession"]
