"""The shipped float network as ONNX, and the shipped images as .npz, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from intaglio import data
from intaglio.network.float_network import FloatNetwork
from training.export_onnx import float_model


def channels_first(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def write_own_network(folder: Path, calibration: int = 48) -> tuple[Path, Path, Path]:
    """(float ONNX, calibration images without labels, the 500 test images with labels)."""
    paths = folder / "float.onnx", folder / "calibration.npz", folder / "test.npz"
    paths[0].write_bytes(float_model(FloatNetwork.load(data.FLOAT_MODEL)).SerializeToString())
    np.savez(paths[1], inputs=channels_first(data.calibration_images()[:calibration]))
    pixels, labels = data.test_set()
    np.savez(paths[2], inputs=channels_first(data.network_input(pixels)), labels=labels)
    return paths
