"""Large networks with seeded weights: ResNet-18 and MobileNetV2 1.0 at 224x224, in float, quantized by onnxruntime.

Weights are random (He's scale), with batch normalization folded, so nothing is learned: shapes and costs are those of the
networks, values are not. `python -m benchmarks.large FOLDER` writes the quantized files.

Shapes: K. He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016), table 1; M. Sandler et al., "MobileNetV2"
(CVPR 2018), table 2.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from intaglio import cache
from intaglio.files import write_bytes
from intaglio.quantize.post_training import Settings, quantize
from intaglio.sources import texts_behind

SIZE, CLASSES, SEED, SAMPLES = 224, 1000, 0, 4


class _Builder:
    """Nodes and weights of one network."""

    def __init__(self, name: str):
        self.name = name
        self.random = np.random.default_rng(SEED)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def node(self, op: str, *inputs: str, **attributes: object) -> str:
        output = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, array: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(array.astype(np.float32), f"w{len(self.weights)}"))
        return self.weights[-1].name

    def conv(self, x: str, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> str:
        fan = inputs // groups * kernel * kernel
        weights = self.random.normal(0, np.sqrt(2 / fan), (outputs, inputs // groups, kernel, kernel))
        bias = self.random.normal(0, 0.1, outputs)
        return self.node(
            "Conv",
            x,
            self.constant(weights),
            self.constant(bias),
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[kernel // 2] * 4,
            group=groups,
        )

    def relu(self, x: str) -> str:
        return self.node("Relu", x)

    def relu6(self, x: str) -> str:
        return self.node("Clip", x, self.constant(np.array(0.0)), self.constant(np.array(6.0)))

    def classes(self, x: str, inputs: int) -> str:
        flat = self.node("Flatten", self.node("GlobalAveragePool", x))
        weights = self.random.normal(0, np.sqrt(1 / inputs), (CLASSES, inputs))
        return self.node("Gemm", flat, self.constant(weights), self.constant(np.zeros(CLASSES)), transB=1)

    def model(self, output: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            self.name,
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, CLASSES])],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def resnet18() -> onnx.ModelProto:
    b = _Builder("resnet18")
    x = b.relu(b.conv("image", 3, 64, 7, 2))
    x = b.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    inputs = 64
    for outputs, first in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for stride in (first, 1):
            y = b.conv(b.relu(b.conv(x, inputs, outputs, 3, stride)), outputs, outputs, 3)
            if stride != 1 or inputs != outputs:
                x = b.conv(x, inputs, outputs, 1, stride)
            x, inputs = b.relu(b.node("Add", y, x)), outputs
    return b.model(b.classes(x, inputs))


def mobilenet_v2() -> onnx.ModelProto:
    b = _Builder("mobilenet_v2")
    x, inputs = b.relu6(b.conv("image", 3, 32, 3, 2)), 32
    for expansion, outputs, count, first in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for stride in (first,) + (1,) * (count - 1):
            wide = inputs * expansion
            y = x if expansion == 1 else b.relu6(b.conv(x, inputs, wide))
            y = b.conv(b.relu6(b.conv(y, wide, wide, 3, stride, groups=wide)), wide, outputs)
            x = b.node("Add", y, x) if stride == 1 and inputs == outputs else y
            inputs = outputs
    return b.model(b.classes(b.relu6(b.conv(x, inputs, 1280)), 1280))


NETWORKS: dict[str, Callable[[], onnx.ModelProto]] = {"resnet18": resnet18, "mobilenet_v2": mobilenet_v2}


def write(name: str, folder: Path) -> Path:
    """The quantized network in a file of `folder`, written whole; made unless the cache has it."""
    versions = [metadata.version(package) for package in ("numpy", "onnx", "onnxruntime")]
    texts = texts_behind("intaglio.quantize.post_training") or ()

    def make(scratch: Path) -> Path:
        model, samples, result = scratch / f"{name}.onnx", scratch / "samples.npz", scratch / f"{name}_int8.onnx"
        onnx.save(NETWORKS[name](), model)
        images = np.random.default_rng(SEED).normal(0, 1, (SAMPLES, 3, SIZE, SIZE)).astype(np.float32)
        np.savez(samples, image=images)
        result.write_bytes(quantize(model, samples, Settings(per_channel=True), lambda *_: None).content)
        return result

    made = cache.made(f"{cache.key(name, Path(__file__).read_text(encoding='utf-8'), *versions, *texts)}.onnx", make)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}_int8.onnx"
    write_bytes(target, made.read_bytes())
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name in NETWORKS:
        print(write(name, folder))


if __name__ == "__main__":
    main()
