"""Small random int8 and uint8 networks as .tflite files, for every test that holds one engine against another.

    network = random_network(seed, tmp_path / "net.tflite")

Scales follow the values that random inputs give, so that activations fill int8 without all saturating;
one seed gives one file.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intaglio.network.arithmetic import windows
from intaglio.network.float_network import ACTIVATIONS, average_pool, conv2d, output_size, same_padding
from intaglio.network.tflite.write import TfliteBuilder, Value

LARGEST_MACS = 200_000
LARGEST_SIZE, LARGEST_CHANNELS, LARGEST_LAYERS = 20, 40, 6
LARGEST_SOFTMAX = 1000
"""Values; LiteRT's int8 softmax overflows above 4,095."""
SAMPLES = 4
"""Random inputs whose values set the scales."""


@dataclass(frozen=True)
class RandomNetwork:
    """What random_network wrote. description: one line a layer; macs: with padding, at most LARGEST_MACS."""

    seed: int
    path: Path
    description: str
    macs: int


def random_network(seed: int, path: Path, edges: bool = False, uint8: str = "") -> RandomNetwork:
    """Write one random network of 1 to 6 layers, batch 1, to path.

    edges: give it a float32 input before a QUANTIZE, and SOFTMAX or DEQUANTIZE at the end. uint8: "throughout", its layers
    included; or "edges", with QUANTIZE between them and int8 layers (and no floats).
    """
    sketch = _Sketch(seed, edges, uint8)
    wanted = int(sketch.rng.integers(1, LARGEST_LAYERS + 1))
    while len(sketch.lines) - sketch.edge_lines < wanted:
        sketch.add_layer(wanted - len(sketch.lines) + sketch.edge_lines)
    sketch.finish(path)
    return RandomNetwork(seed, path, "\n".join(sketch.lines), sketch.macs)


class _Sketch:
    """A network under construction: x is its newest value, samples the real numbers of each value."""

    def __init__(self, seed: int, edges: bool, uint8: str) -> None:
        self.rng = np.random.default_rng(seed)
        self.builder = TfliteBuilder(f"random_{seed}")
        self.edges, self.uint8 = edges, uint8
        self.macs = 0
        self.lines: list[str] = []
        self.earlier: list[Value] = []
        self.samples: dict[int, np.ndarray] = {}
        rows, cols = self.rng.integers(1, LARGEST_SIZE + 1, 2).tolist()
        shape = (1, rows, cols, int(self.rng.integers(1, LARGEST_CHANNELS + 1)))
        scale, zero_point = float(self.rng.uniform(0.01, 0.1)), int(self.rng.integers(-128, 128))
        integers = self.rng.integers(-128, 128, (SAMPLES, *shape[1:]))
        dtype = "uint8" if uint8 == "throughout" else "int8"
        if uint8 == "edges":
            self.x = self.builder.quantize(self._edge(shape, scale, zero_point), scale, zero_point, dtype=dtype)
        elif edges:
            self.x = self.builder.quantize(self.builder.float_input(shape), scale, zero_point, dtype=dtype)
        else:
            self.x = self.builder.input(shape, scale, zero_point, dtype=dtype)
        self.edge_lines = 1
        self._record(self.x, (integers - zero_point) * scale, "input")

    def add_layer(self, room: int) -> None:
        """Append one layer, or a convolution and the Add over it where room for two is left."""
        steps: list[tuple[float, Callable[[], None]]] = [(1, self._relu), (1, self._rescale)]
        if self._partners():
            steps.append((2, self._add))
        if len(self.x.shape) == 4:
            steps += [(7, self._conv), (4, self._grouped), (3, self._pool), (1, self._mean), (1, self._fully_connected)]
            steps += [(3, self._residual), (2, self._flatten_and_connect)] if room > 1 else []
        else:
            steps.append((5, self._fully_connected))
        odds = np.array([weight for weight, _ in steps])
        steps[self.rng.choice(len(steps), p=odds / odds.sum())][1]()

    def finish(self, path: Path) -> None:
        """Close the network and write it."""
        y = self.x
        if self.uint8 == "edges":
            scaling = (y.scale, y.zero_point) if self._happens(0.7) else self._scaling(self.samples[y.index])
            y = self.builder.quantize(y, *scaling, dtype="uint8")
            self.lines.append("quantize to uint8")
        elif self.edges:
            if len(y.shape) == 2 and y.shape[1] <= LARGEST_SOFTMAX and self._happens(0.7):
                y = self.builder.softmax(y)
                self.lines.append("softmax")
            y = self.builder.dequantize(y)
            self.lines.append("dequantize")
        self.builder.write(path, [y])

    def _edge(self, shape: tuple[int, ...], scale: float, zero_point: int) -> Value:
        """A uint8 input; three times of four with nothing but its type to change."""
        if self._happens(0.75):
            return self.builder.input(shape, scale, zero_point, dtype="uint8")
        return self.builder.input(shape, scale * float(self.rng.uniform(0.7, 1.4)), -zero_point - 1, dtype="uint8")

    def _residual(self) -> None:
        before = self.x
        self._conv(keep_shape=True)
        self._add(before)

    def _flatten_and_connect(self) -> None:
        samples = self.samples[self.x.index].reshape(SAMPLES, -1)
        self._record(self.builder.reshape(self.x, (1, samples.shape[1])), samples, "reshape")
        self._fully_connected()

    def _conv(self, keep_shape: bool = False) -> None:
        _, *size, channels = self.x.shape
        kernel, stride, dilation = (self._pair((1, 2, 3, 4, 5), (4, 2, 5, 1, 2)), (1, 1), (1, 1))
        padding = "SAME"
        if not keep_shape:
            stride = self._pair((1, 2, 3), (6, 3, 1))
            dilation = self._pair((1, 2), (5, 1))
            padding = "SAME" if self._happens(0.6) else "VALID"
        if padding == "VALID":
            fits = [(n - 1) // d + 1 for n, d in zip(size, dilation, strict=True)]
            kernel = (min(kernel[0], fits[0]), min(kernel[1], fits[1]))
        out = [output_size(*g, padding) for g in zip(size, kernel, stride, dilation, strict=True)]
        outputs = channels if keep_shape else int(self.rng.integers(1, LARGEST_CHANNELS + 1))
        if self._room_for(out[0] * out[1] * channels * kernel[0] * kernel[1]) < outputs:
            kernel = (1, 1)  # fits wherever one output channel does; the rest of the budget sets the channels
            out = [output_size(*g, padding) for g in zip(size, kernel, stride, dilation, strict=True)]
            room = self._room_for(out[0] * out[1] * channels)
            if room < (outputs if keep_shape else 1):
                return self._rescale()
            outputs = min(outputs, room)
        weights = self._weights((outputs, *kernel, channels))
        x, point = self.samples[self.x.index], self._weight_zero_point(weights)
        scales, bias, real = self._parameters(
            weights, conv2d(x, weights - float(point), stride, dilation, padding), self._happens(0.8)
        )
        activation = self._fused()
        real = np.clip(real, *ACTIVATIONS[activation])
        numbers = (weights, bias, scales, *self._scaling(real))
        y = self.builder.conv2d(self.x, *numbers, stride, dilation, padding, activation, weight_zero_point=point)
        self.macs += int(np.prod(y.shape)) * weights[0].size
        self._record(y, real, f"conv2d {kernel} stride {stride} dilation {dilation} {padding} {activation}")

    def _grouped(self) -> None:
        """A DEPTHWISE_CONV_2D, or a CONV_2D whose weights have fewer input channels than its input."""
        _, *size, channels = self.x.shape
        depths = [n for n in range(1, channels + 1) if channels % n == 0]
        depthwise = self._happens(0.7)
        depth = 1 if depthwise else int(self.rng.choice(depths))
        groups = channels // depth
        kernel, stride = self._pair((1, 2, 3, 4, 5), (1, 2, 5, 1, 2)), self._pair((1, 2, 3), (6, 3, 1))
        dilation = self._pair((1, 2, 3), (6, 2, 1))
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        fits = all(span <= n for span, n in zip(spans, size, strict=True))
        padding = "VALID" if fits and self._happens(0.4) else "SAME"
        out = [output_size(*g, padding) for g in zip(size, kernel, stride, dilation, strict=True)]
        room = self._room_for(out[0] * out[1] * kernel[0] * kernel[1] * channels)
        multiplier = min(int(self.rng.choice([1, 2, 3, 8], p=[0.6, 0.2, 0.1, 0.1])), LARGEST_CHANNELS // groups, room)
        if multiplier < 1:
            return self._rescale()
        weights = self._weights((groups * multiplier, *kernel, depth))
        point = self._weight_zero_point(weights)
        parts = zip(
            np.split(self.samples[self.x.index], groups, -1), np.split(weights - float(point), groups), strict=True
        )
        sums = np.concatenate([conv2d(x, w, stride, dilation, padding) for x, w in parts], -1)
        scales, bias, real = self._parameters(weights, sums, self._happens(0.8))
        activation = self._fused()
        real = np.clip(real, *ACTIVATIONS[activation])
        build = self.builder.depthwise_conv2d if depthwise else self.builder.conv2d
        numbers = (weights, bias, scales, *self._scaling(real))
        y = build(self.x, *numbers, stride, dilation, padding, activation, weight_zero_point=point)
        self.macs += int(np.prod(y.shape)) * weights[0].size
        name = "depthwise_conv2d" if depthwise else "conv2d"
        shape = f"{kernel} groups {groups} stride {stride} dilation {dilation}"
        self._record(y, real, f"{name} {shape} {padding} {activation}")

    def _fully_connected(self) -> None:
        x = self.samples[self.x.index].reshape(SAMPLES, -1)
        units = min(int(self.rng.integers(1, LARGEST_CHANNELS + 1)), self._room_for(x.shape[1]))
        if units < 1:
            return self._rescale()
        weights = self._weights((units, x.shape[1]))
        point = self._weight_zero_point(weights)
        scales, bias, real = self._parameters(weights, x @ (weights.T - float(point)), self._happens(0.2))
        activation = self._fused()
        real = np.clip(real, *ACTIVATIONS[activation])
        numbers = (weights, bias, scales, *self._scaling(real))
        y = self.builder.fully_connected(self.x, *numbers, activation, weight_zero_point=point)
        self.macs += weights.size
        self._record(y, real, f"fully_connected {activation}")

    def _add(self, other: Value | None = None) -> None:
        partners = self._partners()
        other = other or partners[self.rng.integers(len(partners))]
        operands = [self.x, other] if self._happens(0.5) else [other, self.x]
        activation = self._fused()
        total = self.samples[self.x.index] + self.samples[other.index]
        real = np.clip(total, *ACTIVATIONS[activation])
        y = self.builder.add(operands[0], operands[1], *self._scaling(real), activation)
        self._record(y, real, f"add {activation}")

    def _pool(self) -> None:
        size = self.x.shape[1:3]
        padding = "SAME" if self._happens(0.5) else "VALID"
        filter = self._pair((1, 2, 3, 4, 5), (1, 5, 3, 1, 1))
        if self._happens(0.2):
            filter = (size[0], size[1])
        if padding == "VALID":
            filter = (min(filter[0], size[0]), min(filter[1], size[1]))
        stride = self._pair((1, 2, 3), (3, 5, 1))
        activation = self._fused()
        x = self.samples[self.x.index]
        kind, add, pooled = ("average_pool", self.builder.average_pool, average_pool)
        if self._happens(0.5):
            kind, add, pooled = ("max_pool", self.builder.max_pool, max_pool)
        real = np.clip(pooled(x, filter, stride, padding), *ACTIVATIONS[activation])
        y = add(self.x, filter, stride, padding, activation)
        self._record(y, real, f"{kind} {filter} stride {stride} {padding} {activation}")

    def _mean(self) -> None:
        keep = self._happens(0.4)
        real = self.samples[self.x.index].mean(axis=(1, 2), keepdims=keep)
        self._record(self.builder.mean(self.x, *self._scaling(real), keep), real, "mean")

    def _relu(self) -> None:
        kind = "RELU" if self._happens(0.5) else "RELU6"
        real = np.clip(self.samples[self.x.index], *ACTIVATIONS[kind])
        self._record(self.builder.relu(self.x, *self._scaling(real), kind), real, kind.lower())

    def _rescale(self) -> None:
        real = self.samples[self.x.index]
        self._record(self.builder.quantize(self.x, *self._scaling(real)), real, "quantize")

    def _record(self, y: Value, real: np.ndarray, text: str) -> None:
        """Make y the newest value, its samples real numbers rounded and clamped as int8 would."""
        assert y.scale is not None and y.zero_point is not None
        integers = np.clip(np.rint(real / y.scale) + y.zero_point, -128, 127)
        self.samples[y.index] = (integers - y.zero_point) * y.scale
        self.lines.append(f"{text} -> {y.shape} scale {y.scale:.4g} zero point {y.zero_point}")
        self.earlier.append(y)
        self.x = y

    def _partners(self) -> list[Value]:
        """Earlier values that can be added to x."""
        return [value for value in self.earlier[:-1] if value.shape == self.x.shape]

    def _scaling(self, real: np.ndarray) -> tuple[float, int]:
        """(scale, zero point) that spread most of real over int8, a little moved and stretched at random."""
        low, high = np.percentile(real, [2, 98])
        low, high = min(float(low), 0.0), max(float(high), 0.0)
        scale = (high - low) / 255 * float(self.rng.uniform(0.8, 1.3)) or 0.02
        moved = -128 - low / scale + self.rng.integers(-20, 21) * self._happens(0.5)
        return scale, int(np.clip(np.rint(moved), -128, 127))

    def _weights(self, shape: tuple[int, ...]) -> np.ndarray:
        """int8 weights; now and then tiny ones, which ask for multipliers near or above 1."""
        largest = self.rng.choice([127, 31, 3, 1], p=[0.7, 0.1, 0.1, 0.1])
        return self.rng.integers(-largest, largest + 1, shape).astype(np.int8)

    def _weight_zero_point(self, weights: np.ndarray) -> int:
        """One between uint8's weights, or the middle of all uint8; 0 of int8's."""
        if self.uint8 != "throughout" or self._happens(0.3):
            return 0
        return int(float(self.rng.uniform(-0.25, 0.25)) * np.abs(weights.astype(np.int64)).max())

    def _parameters(
        self, weights: np.ndarray, sums: np.ndarray, per_channel: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weight scales, bias, real outputs of about -6..6; sums [..., O]: x times the integer weights."""
        assert self.x.scale is not None
        outputs = len(weights)
        spread = float(sums.std()) or float(np.abs(sums).max()) or 1.0
        per_channel = per_channel and self.uint8 != "throughout"
        factors = 2.0 ** self.rng.uniform(-1, 1, outputs if per_channel else 1)
        scales = (3 / spread * factors).astype(np.float32)
        bias_scales = self.x.scale * scales.astype(np.float64)
        bias = np.rint(self.rng.normal(0, 1.5, outputs) / bias_scales).clip(-(2**30), 2**30).astype(np.int32)
        return scales, bias, sums * scales + bias * bias_scales

    def _room_for(self, macs: int) -> int:
        """How often macs, those of one output channel, still fit."""
        return (LARGEST_MACS - self.macs) // macs

    def _fused(self) -> str | None:
        names = (None, "RELU", "RELU6", "RELU_N1_TO_1")
        return names[self.rng.choice(4, p=[0.4, 0.35, 0.2, 0.05])]

    def _pair(self, values: tuple[int, ...], weights: tuple[int, ...]) -> tuple[int, int]:
        """Two of values, equal three times in four."""
        odds = np.array(weights) / sum(weights)
        first, second = self.rng.choice(values, 2, p=odds).tolist()
        return first, (first if self._happens(0.75) else second)

    def _happens(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)


def max_pool(x: np.ndarray, filter: tuple[int, int], stride: tuple[int, int], padding: str) -> np.ndarray:
    """Maximum of the elements of each window that lie inside x [N, H, W, C]."""
    pads = [(0, 0)] * 4
    if padding == "SAME":
        pads[1:3] = [same_padding(x.shape[1 + axis], filter[axis], stride[axis]) for axis in range(2)]
    return windows(np.pad(x, pads, constant_values=-np.inf), filter, stride, (1, 1)).max(axis=(4, 5))


def main() -> None:
    """Write one network and print it: python -m tests.networks SEED FILE."""
    parser = argparse.ArgumentParser(description="Write a random int8 network.")
    parser.add_argument("seed", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--edges", action="store_true", help="float32 input and output")
    arguments = parser.parse_args()
    network = random_network(arguments.seed, arguments.file, arguments.edges)
    print(f"{network.description}\n{network.macs} MACs")


if __name__ == "__main__":
    main()
