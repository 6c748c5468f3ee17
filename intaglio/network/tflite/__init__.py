"""Quantized TensorFlow Lite: importer, writer, and LiteRT's reference kernels as an oracle."""
