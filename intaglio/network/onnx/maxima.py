"""ONNX's MaxPool of 8-bit tensors: maxima do not depend on scale or zero point, nor on how uint8 is relabelled."""

from __future__ import annotations

from intaglio.network.arithmetic import has_empty_window
from intaglio.network.graph import MaxPool2D, Padding
from intaglio.network.onnx.file import Node
from intaglio.network.onnx.output import pair, window
from intaglio.network.onnx.scope import Scope, int8_tensor
from intaglio.network.onnx.values import Stored, Unsupported, channels_last


def maxima(scope: Scope, node: Node, stored: Stored, name: str, clamp: tuple[int, int]) -> Stored:
    """Emits the MaxPool2D of an 8-bit tensor; the result, called `name`, keeps its type, scale and zero point."""
    if any(node.outputs[1:]):
        raise Unsupported("it gives the places of its maxima (Indices) too", "remove its second output")
    stored = scope.solid(stored)
    source, shape = scope.image(stored), stored.shape
    size = pair(node.attributes.get("kernel_shape", ()), "kernel_shape")
    stride, dilation, padding, _ = window(node, shape, size, Padding())
    sides = ((padding.top, padding.bottom), (padding.left, padding.right))
    same = str(node.attributes.get("auto_pad", "NOTSET")).startswith("SAME")
    ceil = bool(node.attributes.get("ceil_mode", 0))
    pads, counts = [], []
    for n, k, s, d, (before, after) in zip(shape[2:], size, stride, dilation, sides, strict=True):
        if same and (-(-n // s) - 1) * s + k < n:
            raise Unsupported(
                f"auto_pad with windows of {k} every {s} of {n} rows or columns; onnxruntime cuts off some there",
                "use explicit pads",
            )
        if max(before, after) >= k:
            raise Unsupported(f"its pads {before}, {after} are as large as its window of {k}", "use smaller pads")
        count, room = output_count(n + before, after, (k - 1) * d + 1, s, ceil)
        pads += [before, room]
        counts.append(count)
    op = MaxPool2D(name, (source,), (name,), size, stride, Padding(*pads), clamp, dilation)
    rows, cols = counts
    form = channels_last((shape[0], shape[1], rows, cols), stored.form.dtype)
    expected = scope.file.shapes.get(name)
    if expected is not None and expected != form.shape:
        if ceil:
            raise Unsupported(
                f"ceil_mode adds a window behind the end of its input, which onnxruntime leaves out (output "
                f"{list(form.shape)}) and ONNX before opset 22 counts ({list(expected)})",
                "use ceil_mode 0, or export with opset 22",
            )
        raise Unsupported(f"its output has shape {list(form.shape)}, the file says {list(expected)}", "export it again")
    if has_empty_window(op, scope.tensors[source].shape):
        raise Unsupported("a window lies in its padding alone", "use smaller pads")
    scope.emit(op, int8_tensor(name, form.unfolded, form, scope.tensors[stored.tensor].quantization))
    return Stored(name, form)


def output_count(length: int, after: int, span: int, stride: int, ceil: bool) -> tuple[int, int]:
    """(windows, padding behind them) along an axis of `length` with the padding before it.

    ceil_mode adds a window that lies partly behind the end, unless it would start behind the input.
    """
    rest = length + after - span
    count = (-(-rest // stride) if ceil else rest // stride) + 1
    if ceil and (count - 1) * stride >= length:
        count -= 1
    return count, max((count - 1) * stride + span - length, 0)
