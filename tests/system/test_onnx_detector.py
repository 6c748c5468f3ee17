"""A network with what ShuffleNet and YOLO are made of, in QDQ form: verified on host, RTL and onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from intaglio.machine.config_files import load_config
from intaglio.network import load_onnx
from intaglio.verify import verify
from tests.network.onnx_files import OnnxBuilder, middle


class Detector(OnnxBuilder):
    """Layers with random weights and scales; each result is quantized."""

    def __init__(self, dtype: type, seed: int) -> None:
        super().__init__(17, dtype)
        self.rng = np.random.default_rng(seed)

    def quantized(self, x: str) -> str:
        return self.qdq(x, float(self.rng.uniform(0.02, 0.05)), middle(self.dtype, int(self.rng.integers(-20, 20))))

    def conv(self, x: str, name: str, inputs: int, outputs: int, size: int = 1, **attributes: Any) -> str:
        shape = (outputs, inputs // attributes.get("group", 1), size, size)
        w = self.weights(f"{name}_w", self.rng.integers(-128, 128, shape), 0.01)
        pads = [size // 2] * 4
        return self.quantized(self.node("Conv", [x, w], name, pads=pads, **attributes))

    def silu(self, x: str, name: str) -> str:
        """With a QuantizeLinear behind each of its nodes, or behind the last alone."""
        gate = self.node("Sigmoid", [x], f"{name}_gate")
        if self.rng.integers(2):
            gate = self.qdq(gate, 1 / 256, middle(self.dtype, -128))
        return self.quantized(self.node("Mul", [x, gate], name))

    def ints(self, name: str, values: list[int]) -> str:
        return self.constant(name, values, np.int64)

    def shuffle_unit(self, x: str, channels: int, side: int) -> str:
        half = channels // 2
        self.node("Split", [x, self.ints("halves", [half, half])], "left", axis=1)
        self.nodes[-1].output.append("right")
        left, right = self.quantized("left"), self.quantized("right")
        y = self.conv(
            self.silu(self.conv(right, "unit1", half, half), "unit1_silu"), "unit2", half, half, 3, group=half
        )
        y = self.quantized(self.node("Concat", [left, y], "joined", axis=1))
        y = self.node("Reshape", [y, self.ints("groups", [1, 2, half, side, side])], "grouped")
        y = self.node("Transpose", [y], "turned", perm=[0, 2, 1, 3, 4])
        return self.node("Reshape", [y, self.ints("image", [1, channels, side, side])], "shuffled")

    def model_of(self, path: Path) -> Path:
        x = self.quantized(self.input("x", (1, 3, 16, 16)))
        fine = self.silu(self.conv(x, "stem", 3, 8, 3, strides=[2, 2]), "stem_silu")
        fine = self.quantized(self.shuffle_unit(fine, 8, 8))
        coarse = self.silu(self.conv(fine, "down", 8, 12, 3, strides=[2, 2]), "down_silu")
        scales = self.constant("twice", [1, 1, 2, 2], np.float32)
        wide = self.node("Resize", [coarse, "", scales], "wide", mode="nearest", nearest_mode="floor",
                         coordinate_transformation_mode="asymmetric")  # fmt: skip
        neck = self.quantized(self.node("Concat", [self.quantized(wide), fine], "neck", axis=1))
        heads = []
        for name, y, channels, side in (("small", neck, 20, 8), ("large", coarse, 12, 4)):
            y = self.conv(y, f"{name}_head", channels, 7)
            y = self.quantized(self.node("Sigmoid", [y], f"{name}_scores"))
            heads.append(self.node("Reshape", [y, self.ints(f"{name}_shape", [1, 7, side * side])], f"{name}_flat"))
        return self.write(path, [self.quantized(self.node("Concat", heads, "boxes", axis=2))])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_a_detector(tmp_path: Path, dtype: type) -> None:
    path = Detector(dtype, 5).model_of(tmp_path / "m.onnx")
    graph = load_onnx(path)
    kinds = {op.kind for op in graph.operators}
    assert {"Conv2D", "Concat", "Split", "Transpose", "Resize", "Sigmoid", "SiLU"} <= kinds
    assert graph.inexact == ()
    found = verify(path, graph, load_config("tiny16", ["tables=4"]), 2, 0, lambda text: None, lambda text: None)
    assert found.difference is None and found.reference == "onnxruntime"
