"""Ten plain residual networks with seeded weights, as people write them: blocks of two 3 x 3 convolutions, shortcuts that are
strided 1 x 1 convolutions where the shape changes, and a classifier."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from intaglio.network import Graph, load
from intaglio.network.tflite.write import TfliteBuilder

SHAPES = (
    # Pixels a side, channels of the first layer, blocks of each stage.
    (32, 16, (1, 1, 1)),
    (32, 16, (3, 3, 3)),
    (32, 32, (2, 2)),
    (64, 16, (2, 2, 2)),
    (64, 32, (1, 1, 1, 1)),
    (96, 16, (1, 1, 1)),
    (96, 32, (2, 2, 2)),
    (48, 24, (2, 1, 2)),
    (28, 12, (1, 2)),
    (128, 8, (1, 1, 1, 1)),
)


def residual(number: int) -> Graph:
    """The network of SHAPES[number]."""
    size, channels, stages = SHAPES[number]
    builder = TfliteBuilder(f"residual{number}")
    random = np.random.default_rng(number)

    def conv(x: object, inputs: int, outputs: int, kernel: int, stride: int = 1) -> object:
        weights = random.integers(-127, 128, (outputs, kernel, kernel, inputs)).astype(np.int8)
        bias = random.integers(-2000, 2000, outputs).astype(np.int32)
        return builder.conv2d(x, weights, bias, np.array([0.003], np.float32), 0.05, 0, stride=(stride, stride))

    wide = channels
    x = conv(builder.input((1, size, size, 3), 0.02, -3, "image"), 3, wide, 3)
    for stage, blocks in enumerate(stages):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            outputs = channels << stage
            y = conv(conv(x, wide, outputs, 3, stride), outputs, outputs, 3)
            short = x if stride == 1 and wide == outputs else conv(x, wide, outputs, 1, stride)
            x, wide = builder.add(y, short, 0.08, 2), outputs
    mean = builder.mean(x, 0.04, 0)
    weights = random.integers(-127, 128, (10, wide)).astype(np.int8)
    out = builder.fully_connected(mean, weights, np.zeros(10, np.int32), np.array([0.003], np.float32), 0.05, 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"residual{number}.tflite"
        builder.write(path, [out])
        return load(path)
