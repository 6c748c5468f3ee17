"""ConvTranspose with random parameters: within 1 of onnxruntime's float32, which a note says, and mapped onto machines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from onnx_check import on_machine
from onnx_files import OnnxBuilder, middle
from test_onnx_operators import compare

from intaglio.network import load_onnx
from intaglio.network.graph import Conv2D

MACHINES = [
    ("tiny16", []),
    ("tiny16", ["activation_bytes=1024", "activation_banks=2", "weight_bytes=1024", "channel_bytes=256"]),
    ("edge64", []),
]


@pytest.mark.parametrize("seed", range(40))
def test_random(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng([13, seed])
    b = OnnxBuilder(22, [np.int8, np.uint8][seed % 2])
    groups = int(rng.choice([1, 1, 2, 3]))
    n, h, w = (int(v) for v in rng.integers(1, [3, 7, 7]))
    inputs, outputs = (groups * int(v) for v in rng.integers(1, 5, 2))
    kernel, stride, dilation = rng.integers(1, 5, 2), rng.integers(1, 4, 2), rng.integers(1, 3, 2)
    span = (kernel - 1) * dilation + 1
    before, behind = (rng.integers(0, span) // 2 for _ in range(2))
    attributes = {"strides": stride.tolist(), "dilations": dilation.tolist(), "group": groups}
    kind = rng.choice(["pads", "pads", "output_padding", "output_shape", "SAME_UPPER", "SAME_LOWER", "VALID"])
    if kind in ("pads", "output_padding"):
        attributes["pads"] = [*before.tolist(), *behind.tolist()]
    if kind == "output_padding":
        attributes["output_padding"] = [int(rng.integers(0, s)) for s in stride]
    if kind == "output_shape":
        whole = stride * (np.array([h, w]) - 1) + span
        attributes["output_shape"] = [int(rng.integers(max(1, n - k), n + 1)) for n, k in zip(whole, span, strict=True)]
    if kind in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        attributes["auto_pad"] = str(kind)
        if kind != "VALID" and (span < stride).any():
            attributes["auto_pad"] = "VALID"
    scale, zero = 0.02, middle(b.dtype, int(rng.integers(-99, 99)))
    x = b.qdq(b.input("x", (n, inputs, h, w)), scale, zero)
    values = rng.integers(-127, 128, (inputs, outputs // groups, *kernel))
    per_channel = groups == 1 and rng.integers(2)
    scales = rng.uniform(0.005, 0.02, outputs).astype(np.float32) if per_channel else 0.01
    weights = b.weights("w", values, scales, axis=1)
    y = b.node("ConvTranspose", [x, weights], "y", **attributes)
    path = b.write(tmp_path / "m.onnx", [b.qdq(y, 0.1, middle(b.dtype, int(rng.integers(-99, 99))))])
    graph = load_onnx(path)
    assert "y_q" in graph.inexact and "ConvTranspose has no integer kernel" in graph.notes[0]
    compare(path, inexact=True)
    assert any(isinstance(op, Conv2D) for op in graph.operators)
    machine, settings = MACHINES[seed % len(MACHINES)]
    on_machine(graph, machine, settings, seed)
