"""Published measurements of whole systems, to stand beside the array's model where a network is the one measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fingerprint:
    """A network's identity, whatever its file is called: shapes of input and output, MACs and weights (biases
    apart)."""

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    macs: int
    weights: int


@dataclass(frozen=True)
class Measured:
    """Energy (uJ) and rate of one inference of a system as measured; conditions: what was running, and what of it
    was measured."""

    benchmark: str
    system: str
    microjoules: float
    inferences_per_second: float
    conditions: str
    source: str


_STM32 = "STM32U575 (Cortex-M33, 160 MHz)"
_CONDITIONS = (
    "measured at the microcontroller's 1.8 V supply while it ran nothing else: core, memories, regulator, clock and "
    "leakage together; INT8, X-CUBE-AI 9.0"
)


def _mlperf(benchmark: str, folder: str, microjoules: float, rate: float) -> Measured:
    source = (
        f"MLCommons, MLPerf Tiny v1.2 results, closed division, STMicroelectronics NUCLEO-U575ZI-Q: "
        f"github.com/mlcommons/tiny_results_v1.2, closed/STMicroelectronics/results/NUCLEO_U575ZI_Q/{folder}/energy/"
        f"results.txt (medians)"
    )
    return Measured(benchmark, _STM32, microjoules, rate, _CONDITIONS, source)


# MLPerf Tiny's reference networks as int8 .tflite files (github.com/mlcommons/tiny).
_KNOWN = {
    Fingerprint((1, 640), (1, 640), 264_192, 264_192): _mlperf("MLPerf Tiny anomaly detection", "ad", 81.875, 293.341),
    Fingerprint((1, 32, 32, 3), (1, 10), 12_501_632, 77_360): _mlperf(
        "MLPerf Tiny image classification (ResNet-8)", "ic", 2578.969, 9.057
    ),
    Fingerprint((1, 49, 10, 1), (1, 12), 2_656_768, 22_016): _mlperf(
        "MLPerf Tiny keyword spotting (DS-CNN)", "kws", 656.163, 34.623
    ),
    Fingerprint((1, 96, 96, 3), (1, 2), 7_489_664, 208_112): _mlperf(
        "MLPerf Tiny visual wake words (MobileNet)", "vww", 1354.685, 16.978
    ),
}


def measured(network: Fingerprint) -> Measured | None:
    """The measurement of this network on a microcontroller, if there is one."""
    return _KNOWN.get(network)
