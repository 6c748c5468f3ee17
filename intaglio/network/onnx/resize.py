"""Resize and Upsample to the nearest element: onnxruntime itself tells which index of each axis that is.

There are many rules (coordinate transformations, roundings, opsets), and float32 decides some; so the node runs on a row of
numbers that count, one axis at a time.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from intaglio.errors import InputError
from intaglio.network.onnx.file import LONGEST, Node, onnx_module
from intaglio.network.onnx.host import session_of
from intaglio.network.onnx.scope import Scope
from intaglio.network.onnx.values import Unsupported

AGAIN = "export the model again"
OUTSIDE = -1.0


def resize(scope: Scope, node: Node, shape: tuple[int, ...]) -> dict[int, list[int]]:
    """For each axis the input's indices."""
    mode = str(node.attributes.get("mode", "nearest"))
    if mode != "nearest":
        raise Unsupported(f"its mode is {mode!r}, which computes new elements", "use the mode 'nearest'")
    if str(node.attributes.get("keep_aspect_ratio_policy", "stretch")) != "stretch":
        raise Unsupported("it keeps the ratio of its axes", "give the scales instead")
    rank = len(shape)
    axes = [int(a) % rank for a in node.attributes.get("axes", range(rank))]
    roi, scales, sizes = _inputs(scope, node)
    given = scales if scales is not None else sizes
    if given is None or len(given) != len(axes) or len(set(axes)) < len(axes):
        raise Unsupported("its scales or sizes are not one for each axis", AGAIN)
    needs_roi = node.attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    if needs_roi and (roi is None or len(roi) != 2 * len(axes)):
        raise Unsupported("its region (roi) is not two numbers for each axis", AGAIN)
    found = {}
    for i, axis in enumerate(axes):
        value, n = float(given[i]), shape[axis]
        length = value if scales is None else value * n
        if not math.isfinite(value) or not 1 <= length <= LONGEST:
            raise Unsupported(f"{n} elements become {length:g} along axis {axis}", AGAIN)
        region = (float(roi[i]), float(roi[i + len(axes)])) if needs_roi and roi is not None else None
        content = _axis_model(scope, node, value, scales is None, region)
        try:
            at = _indices(content, n)
        except InputError:
            raise
        except Exception as error:  # onnxruntime's exceptions have no common base
            reason = f"onnxruntime cannot compute it: {' '.join(str(error).split())[:300]}"
            raise Unsupported(reason, AGAIN) from None
        if min(at, default=0) < 0:
            raise Unsupported("it takes elements from outside of its input", "use a region within the input")
        found[axis] = at
    return found


def _inputs(scope: Scope, node: Node) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Region, scales and sizes as far as the node has them: positions follow the opset."""

    def at(position: int) -> np.ndarray | None:
        if position >= len(node.inputs) or not node.inputs[position]:
            return None
        values = scope.constant(node, position).reshape(-1)
        return values if values.size else None

    if "scales" in node.attributes:
        return None, np.asarray(node.attributes["scales"], np.float32), None
    if node.op == "Upsample" or scope.file.opsets.get("", 0) < 11:
        return None, at(1), None
    return at(1), at(2), at(3)


def _axis_model(scope: Scope, node: Node, value: float, as_size: bool, region: tuple[float, float] | None) -> bytes:
    """A model of the node for a tensor [1, 1, n, 1], of which only the axis of n elements changes."""
    onnx = onnx_module()
    helper = onnx.helper
    attributes: dict[str, Any] = {
        key: v for key, v in node.attributes.items() if key not in ("axes", "scales", "extrapolation_value")
    }
    row = [1, 1, int(value), 1] if as_size else [1.0, 1.0, value, 1.0]
    constants = {"sizes" if as_size else "scales": np.array(row, np.int64 if as_size else np.float32)}
    old = node.op == "Upsample" or scope.file.opsets.get("", 0) < 11
    if "scales" in node.attributes:
        attributes["scales"], constants, names = row, {}, ["x"]
    elif old:
        names = ["x", "scales"]
    else:
        names = ["x", "", "", "sizes"] if as_size else ["x", "", "scales"]
    if region is not None:
        constants["roi"] = np.array([0, 0, region[0], 0, 1, 1, region[1], 1], np.float32)
        names[1] = "roi"
        attributes["extrapolation_value"] = OUTSIDE
    elif not old and scope.file.opsets.get("", 0) < 13:  # the region is no optional input there
        constants["roi"], names[1] = np.zeros(0, np.float32), "roi"
    if len(names) == 4 and scope.file.opsets.get("", 0) < 13:
        constants["scales"], names[2] = np.zeros(0, np.float32), "scales"
    graph = helper.make_graph(
        [helper.make_node(node.op, names, ["y"], **attributes)],
        "resize",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 1, "n", 1])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", scope.file.opsets[""])]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    return content


@functools.lru_cache(maxsize=256)
def _indices(model: bytes, length: int) -> list[int]:
    (found,) = session_of(model).run(None, {"x": np.arange(length, dtype=np.float32).reshape(1, 1, length, 1)})
    return [int(n) for n in np.asarray(found).reshape(-1)]
