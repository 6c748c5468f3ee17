"""Quantized ONNX: importer, and onnxruntime as its oracle. docs/onnx.md."""
