"""Float ONNX models to quantized ones, by calibration."""

from intaglio.errors import InputError

try:
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401
except ImportError:
    raise InputError("quantize needs onnx and onnxruntime: pip install 'intaglio[onnx]'") from None
