"""Float ONNX models to quantized ones, by calibration."""

from intaglio.errors import InputError
from intaglio.extras import install

try:
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401
except ImportError:
    raise InputError(f"quantize needs onnx and onnxruntime, of which one is not installed; {install('onnx')}") from None
