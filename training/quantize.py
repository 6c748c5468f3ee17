"""Make the shipped int8 network from the shipped float weights and calibration images.

    python -m training.quantize

Writes intaglio/data/fashion_resnet_int8.tflite; the same bytes on every run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from intaglio import data
from intaglio.network.float_network import FloatNetwork
from intaglio.network.post_training import quantize_network


def quantized() -> bytes:
    """The .tflite's bytes."""
    return quantize_network(FloatNetwork.load(data.FLOAT_MODEL), data.calibration_images())


def main() -> None:
    """Quantize and write."""
    parser = argparse.ArgumentParser(description="Quantize the shipped network.")
    parser.add_argument("--output", type=Path, default=data.MODEL)
    output = parser.parse_args().output
    output.write_bytes(quantized())
    print(f"wrote {output}: {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
