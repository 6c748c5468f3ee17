"""The main job on the network that comes with Intaglio: `make demo`, or `python -m intaglio.demo`.

Schedules it, runs it, measures its accuracy on 500 images in float, in LiteRT and here, and holds host, RTL and
LiteRT against each other. Exit status 1 if anything differs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intaglio import data
from intaglio.accuracy import first_outputs, score
from intaglio.analysis.layers import layer_figures, totals
from intaglio.api import compare
from intaglio.cli import end_with
from intaglio.cli.console import Progress, progress, report_terminal
from intaglio.dataset import Dataset
from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.network import Graph, load
from intaglio.network.float_network import FloatNetwork
from intaglio.network.tflite.oracle import LiteRTOracle
from intaglio.power_model import Comparison
from intaglio.report.documents import run_document, verify_document
from intaglio.report.tables import print_run, print_verification
from intaglio.report.terminal import Terminal
from intaglio.session import Session
from intaglio.verify import verify

CONFIG = "edge64"
RTL_INPUTS = 2


@dataclass(frozen=True)
class Accuracy:
    """Right answers of images on each engine; differing: elements of the outputs that differ between LiteRT's
    and ours; seconds: for our images."""

    images: int
    right: dict[str, int]
    differing: int
    seconds: float


def measure_accuracy(session: Session) -> Accuracy:
    """Accuracy of the shipped network over the shipped test images."""
    pixels, labels = data.test_set()
    images = data.network_input(pixels)
    name, output = session.graph.inputs[0], session.graph.outputs[0]
    oracle = LiteRTOracle(data.MODEL)
    reference = np.stack([oracle.run({name: image[None]})[output] for image in images])
    begin = time.perf_counter()
    ours = first_outputs(session, Dataset({name: images[:, None]}, labels))
    seconds = time.perf_counter() - begin
    scores = {
        "float32": FloatNetwork.load(data.FLOAT_MODEL).logits(images)[:, None],
        "int8, LiteRT": reference,
        "int8, Intaglio": ours,
    }
    right = {who: score(values, labels, (-1,), output).correct for who, values in scores.items()}
    return Accuracy(len(labels), right, int((reference != ours).sum()), seconds)


def main() -> int:
    """The exit status."""
    begin = time.perf_counter()
    terminal = report_terminal(None)
    config, graph = load_config(CONFIG), load(data.MODEL)
    with progress() as tell:
        equal = _report(terminal, config, graph, tell)
    terminal.line()
    terminal.line(f"{time.perf_counter() - begin:.0f} s in all")
    return 0 if equal else 1


def _report(terminal: Terminal, config: Config, graph: Graph, tell: Progress) -> bool:
    """Prints the report. True if everything is equal."""
    tell.step("mapping")
    begin = time.perf_counter()
    session = Session.map(graph, config)
    mapped = time.perf_counter()
    pixels, labels = data.test_set()
    run = session.run({graph.inputs[0]: data.network_input(pixels[:1])})
    seconds = {"map": mapped - begin, "run": time.perf_counter() - mapped}
    layers = layer_figures(config, session.program, run.result.retire_cycles, run.result.cycles, run.host_seconds)
    summary = totals(config, session.program, layers, run.result.cycles)
    model = Path(data.MODEL.name)
    document = run_document(
        model, config, "host", "test image 0", layers, summary, run.result.counters, seconds, graph.notes, None
    )
    terminal.line("One inference", bold=True)
    print_run(terminal, document)
    answer = int(run.tensors[graph.outputs[0]].argmax())
    terminal.line(f"answer: {data.CLASSES[answer]}; label: {data.CLASSES[labels[0]]}")

    terminal.line()
    terminal.line("Accuracy", bold=True)
    tell.step("500 images in float, in LiteRT and here")
    accuracy = measure_accuracy(session)
    for who, right in accuracy.right.items():
        terminal.line(f"{who:15s} {100 * right / accuracy.images:5.2f} % of {accuracy.images} images")
    terminal.line(
        f"{accuracy.differing} of the outputs' elements differ between LiteRT and Intaglio "
        f"({1000 * accuracy.seconds / accuracy.images:.1f} ms an image here)"
    )

    terminal.line()
    terminal.line("Energy beside FP32", bold=True)
    print_energy(terminal, compare(run))

    terminal.line()
    terminal.line("Host, RTL and LiteRT", bold=True)
    found = verify(data.MODEL, graph, config, RTL_INPUTS, 0, tell.step, tell.long)
    print_verification(terminal, verify_document(model, config, found), graph.notes)
    return found.difference is None and accuracy.differing == 0


def print_energy(terminal: Terminal, compared: Comparison) -> None:
    """The network's energy in a few lines; `intaglio compare` has the layers and the conditions."""
    gain, total = compared.total.gain["equal_elements"], compared.total
    assert gain is not None
    int8, fp32 = (side.energy.total.value / 1e6 for side in (total.int8, total.fp32["equal_elements"]))
    terminal.line(
        f"{compared.table.name}: INT8 {int8:.1f} uJ an inference; the same array and schedule in FP32 "
        f"{fp32:.1f} uJ: {gain.value:.2f}X ({gain.low:.2f} to {gain.high:.2f})"
    )
    shares = ", ".join(
        f"{c.name.lower().replace('_', ' ')} {100 * share:.1f} %" for c, share in compared.share.items() if share
    )
    terminal.line(f"INT8's energy: {shares}; leakage, clock and registers are not in that table")


if __name__ == "__main__":
    end_with(main)
