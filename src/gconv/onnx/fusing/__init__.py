"""Patterns of ONNX's nodes become our operators."""
