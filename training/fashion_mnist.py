"""Read Fashion-MNIST (MIT licence, Zalando SE) as Debian's package dataset-fashion-mnist installs it."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np

FOLDER = Path("/usr/share/datasets/fashion-mnist")


def load_split(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, 28, 28] and labels uint8 [N], 0..9; split: "train" (60,000) or "t10k" (10,000)."""
    if not FOLDER.is_dir():
        sys.exit(f"{FOLDER} is missing: apt-get install dataset-fashion-mnist")
    images = gzip.decompress((FOLDER / f"{split}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((FOLDER / f"{split}-labels-idx1-ubyte.gz").read_bytes())
    return (
        np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28).copy(),
        np.frombuffer(labels, np.uint8, offset=8).copy(),
    )
