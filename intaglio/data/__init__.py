"""The network and the images that come with Intaglio; README.md tells where each file is from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

_FOLDER = Path(__file__).parent
MODEL = _FOLDER / "fashion_resnet_int8.tflite"
"""int8 network: float32 [1, 28, 28, 1] in 0..1 to the probabilities of ten classes, float32 [1, 10]."""
FLOAT_MODEL = _FOLDER / "fashion_resnet_float.npz"
"""The same network in float32, for intaglio.network.float_network.FloatNetwork.load."""
TEST_SET = _FOLDER / "fashion_test.npz"
CALIBRATION_SET = _FOLDER / "fashion_calibration.npz"
ACCURACY = _FOLDER / "fashion_accuracy.json"
"""Measured shares of right answers: {"float" | "int8_litert_ref": {"500" | "10000": 0..1}}."""
CLASSES = (
    "T-shirt",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def network_input(pixels: np.ndarray) -> np.ndarray:
    """pixels uint8 [N, 28, 28] as the networks take them: float32 [N, 28, 28, 1], 0..1."""
    return (pixels.astype(np.float32) / np.float32(255))[..., None]


def test_set() -> tuple[np.ndarray, np.ndarray]:
    """The first 500 test images: pixels uint8 [500, 28, 28], labels uint8 [500], indices into CLASSES."""
    with np.load(TEST_SET) as file:
        return file["images"], file["labels"]


def calibration_images() -> np.ndarray:
    """128 training images as network_input gives them."""
    with np.load(CALIBRATION_SET) as file:
        return network_input(file["images"])
