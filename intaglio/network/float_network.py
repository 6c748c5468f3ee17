"""A float network as plain layers and arrays, run in numpy: what the quantizer starts from.

Saved as one .npz: an array "<layer>/weights" and "<layer>/bias" for each layer that has them, and "network",
a JSON text with the name, the input's shape and the layers in order.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.errors import InputError
from intaglio.npz import read_npz

KINDS = ("conv2d", "add", "average_pool", "fully_connected")
ACTIVATIONS = {
    None: (-np.inf, np.inf),
    "RELU": (0.0, np.inf),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
}
"""Fused activation -> lowest and highest real output."""


@dataclass(frozen=True)
class Layer:
    """One layer. inputs: names of earlier layers or "input"; pairs are (rows, columns); padding: "SAME" or
    "VALID" as TensorFlow means them; filter: the window of a pool."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: str = "SAME"
    activation: str | None = None
    filter: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class FloatNetwork:
    """input_shape: (H, W, C). arrays: conv2d weights [O, KH, KW, I], fully connected [O, I], biases [O]."""

    name: str
    input_shape: tuple[int, int, int]
    layers: tuple[Layer, ...]
    arrays: dict[str, np.ndarray]

    def run(self, images: np.ndarray, dtype: type = np.float32) -> dict[str, np.ndarray]:
        """Every value by layer name, "input" too, for images [N, H, W, C], computed in dtype."""
        values: dict[str, np.ndarray] = {"input": images.astype(dtype)}
        for layer in self.layers:
            values[layer.name] = self._run_layer(layer, [values[name] for name in layer.inputs], dtype)
        return values

    def logits(self, images: np.ndarray, batch: int = 100) -> np.ndarray:
        """The last layer's output [N, classes] in float32, batch images at a time."""
        last = self.layers[-1].name
        parts = [self.run(images[at : at + batch])[last] for at in range(0, len(images), batch)]
        return np.concatenate(parts)

    def _run_layer(self, layer: Layer, inputs: list[np.ndarray], dtype: type) -> np.ndarray:
        if layer.kind == "add":
            y = inputs[0] + inputs[1]
        elif layer.kind == "average_pool":
            y = average_pool(inputs[0], layer.filter, layer.stride, layer.padding)
        else:
            weights: np.ndarray = self.arrays[f"{layer.name}/weights"].astype(dtype)
            bias: np.ndarray = self.arrays[f"{layer.name}/bias"].astype(dtype)
            if layer.kind == "conv2d":
                y = conv2d(inputs[0], weights, layer.stride, layer.dilation, layer.padding) + bias
            else:
                y = inputs[0].reshape(len(inputs[0]), -1) @ weights.T + bias
        return activate(y, layer.activation)

    def save(self, path: Path) -> None:
        """Write the .npz; equal networks give equal arrays."""
        text = json.dumps(
            {
                "name": self.name,
                "input_shape": self.input_shape,
                "layers": [dataclasses.asdict(layer) for layer in self.layers],
            }
        )
        np.savez(path, allow_pickle=False, network=np.array(text), **self.arrays)

    @classmethod
    def load(cls, path: Path) -> FloatNetwork:
        """Read what save wrote; InputError where the file is not such a network."""
        try:
            arrays = read_npz(Path(path), remedy="give the .npz that FloatNetwork.save writes")
            header = json.loads(str(arrays.pop("network")))
            layers = tuple(_layer(fields) for fields in header["layers"])
            return cls(header["name"], tuple(header["input_shape"]), layers, arrays)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: not a float network ({error}); expected the .npz that FloatNetwork.save writes"
            ) from error


def _layer(fields: dict[str, Any]) -> Layer:
    if fields["kind"] not in KINDS:
        raise ValueError(f"layer {fields['name']}: kind {fields['kind']}, known are {', '.join(KINDS)}")
    pairs = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
    return Layer(**(fields | pairs))


def activate(x: np.ndarray, activation: str | None) -> np.ndarray:
    """x clamped to the activation's range."""
    low, high = ACTIVATIONS[activation]
    clamped: np.ndarray = np.clip(x, low, high)
    return clamped


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """(before, after) of TensorFlow's SAME padding along one dimension; the odd element goes after."""
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def output_size(size: int, kernel: int, stride: int, dilation: int, padding: str) -> int:
    """Output elements along one dimension; 0 or less where a VALID window does not fit."""
    if padding == "SAME":
        return -(-size // stride)
    return (size - (kernel - 1) * dilation - 1) // stride + 1


def conv2d(
    x: np.ndarray, weights: np.ndarray, stride: tuple[int, int], dilation: tuple[int, int], padding: str
) -> np.ndarray:
    """x [N, H, W, I], weights [O, KH, KW, I] -> [N, OH, OW, O], no bias, in the inputs' type."""

    def add_tap(total: np.ndarray | float, window: np.ndarray, row: int, col: int) -> np.ndarray:
        added: np.ndarray = total + window @ weights[:, row, col].T
        return added

    return _over_windows(x, weights.shape[1:3], stride, dilation, padding, add_tap)


def average_pool(x: np.ndarray, filter: tuple[int, int], stride: tuple[int, int], padding: str) -> np.ndarray:
    """Mean of the elements of each window that lie inside x [N, H, W, C]."""

    def add_tap(total: np.ndarray | float, window: np.ndarray, row: int, col: int) -> np.ndarray:
        added: np.ndarray = total + window
        return added

    inside = np.ones((1, *x.shape[1:3], 1), x.dtype)
    counts = _over_windows(inside, filter, stride, (1, 1), padding, add_tap)
    means: np.ndarray = _over_windows(x, filter, stride, (1, 1), padding, add_tap) / counts
    return means


def _over_windows(
    x: np.ndarray,
    kernel: tuple[int, ...],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: str,
    add_tap: Callable[[np.ndarray | float, np.ndarray, int, int], np.ndarray],
) -> np.ndarray:
    """The last add_tap(total, window, row, col); window [N, OH, OW, C] is what the kernel's tap sees."""
    pads = [(0, 0)] * 4
    sizes = []
    for axis in range(2):
        size = x.shape[1 + axis]
        geometry = kernel[axis], stride[axis], dilation[axis]
        if padding == "SAME":
            pads[1 + axis] = same_padding(size, *geometry)
        sizes.append(output_size(size, *geometry, padding))
    padded = np.pad(x, pads)
    total: np.ndarray | float = 0.0
    for row in range(kernel[0]):
        for col in range(kernel[1]):
            top, left = row * dilation[0], col * dilation[1]
            rows = slice(top, top + (sizes[0] - 1) * stride[0] + 1, stride[0])
            cols = slice(left, left + (sizes[1] - 1) * stride[1] + 1, stride[1])
            total = add_tap(total, padded[:, rows, cols], row, col)
    assert isinstance(total, np.ndarray)
    return total
