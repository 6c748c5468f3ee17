"""Cut the shipped images out of Fashion-MNIST.

    python -m training.select_images

Writes intaglio/data/fashion_test.npz, the first 500 test images, and fashion_calibration.npz, 128 training
images drawn with a fixed seed.
"""

from __future__ import annotations

import numpy as np

from intaglio import data
from training.fashion_mnist import load_split

TEST_IMAGES = 500
CALIBRATION_IMAGES = 128
SEED = 7


def main() -> None:
    """Write both files."""
    images, labels = load_split("t10k")
    np.savez_compressed(data.TEST_SET, images=images[:TEST_IMAGES], labels=labels[:TEST_IMAGES])
    images, _ = load_split("train")
    chosen = np.sort(np.random.default_rng(SEED).choice(len(images), CALIBRATION_IMAGES, replace=False))
    np.savez_compressed(data.CALIBRATION_SET, images=images[chosen])
    for path in (data.TEST_SET, data.CALIBRATION_SET):
        print(f"wrote {path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
