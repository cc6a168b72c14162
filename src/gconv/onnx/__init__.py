"""Whole models: an ONNX network on gconv."""
