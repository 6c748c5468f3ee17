"""The driver as a user has it: compiled, linked with Verilator's model of the exported Verilog, run on networks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from intaglio import data
from intaglio.machine.faults import Fault
from intaglio.network import random_inputs
from intaglio.network.tflite.write import TfliteBuilder
from tests.export.exported import Exported, export, need_compilers

OTHER = ("rows=3", "cols=5", "bus_bytes=16", "memory.bytes_per_cycle=16")
"""Rows and columns differ, and every row of a small tensor has padding."""
OK, NOT_FOUND, WRONG_VERSION, WRONG_HARDWARE, WRONG_ADDRESS, WRONG_IMAGE, BUSY, NOT_STARTED, TIMEOUT, STOPPED = range(
    10
)
"""intaglio_result"""


@pytest.fixture(scope="module", autouse=True)
def compilers() -> None:
    need_compilers()


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(data.MODEL, tmp_path_factory.mktemp("shipped") / "out", "tiny16")


def two_by_two(path: Path) -> Path:
    """Two int8 inputs, two outputs (one 4-dimensional), odd sizes."""
    random = np.random.default_rng(3)
    builder = TfliteBuilder("two by two")

    def weights(*shape: int) -> np.ndarray:
        return random.integers(-127, 128, shape).astype(np.int8)

    def scales(length: int) -> np.ndarray:
        return random.uniform(0.002, 0.004, length).astype(np.float32)

    x = builder.input((1, 7, 5, 3), 0.02, -3, "left")
    y = builder.input((1, 7, 5, 3), 0.03, 5, "right")
    s = builder.add(x, y, 0.04, 2, name="sum")
    c = builder.conv2d(s, weights(7, 3, 3, 3), np.zeros(7, np.int32), scales(7), 0.05, 4, name="features")
    p = builder.mean(c, 0.04, 0, name="mean")
    out = builder.fully_connected(p, weights(11, 7), np.zeros(11, np.int32), scales(1), 0.05, 0, name="classes")
    builder.write(path, [c, builder.softmax(out, name="answer")])
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("small")
    return export(two_by_two(folder / "two.tflite"), folder / "out", "tiny16", OTHER)


def equal_outputs(exported: Exported, inputs: list[dict[str, np.ndarray]]) -> None:
    """main.c's results are the session's, to the bit."""
    for given, found in zip(inputs, exported.example(inputs), strict=True):
        for name, expected in exported.session.outputs(given).items():
            assert found[name].dtype == expected.dtype
            assert np.array_equal(found[name], expected), name


def checksum(exported: Exported, operands: dict[str, np.ndarray]) -> int:
    """program.c's, of what the accelerator's outputs must be."""
    from intaglio.sim.functional import execute_program

    session = exported.session
    written = session.written(execute_program(session.config, session.program, operands).memory)
    total = 0
    for name in session.program.outputs:
        for value in session.graph.tensors[name].to_file(written[name]).ravel().view(np.uint8).tolist():
            total = (31 * total + value) % 1000000007
    return total


@pytest.fixture(scope="module")
def operands(small: Exported) -> dict[str, np.ndarray]:
    return random_inputs(small.graph, 5)


def test_shipped_network_on_the_exported_main(shipped: Exported) -> None:
    pixels, _ = data.test_set()
    images = [{"images": data.network_input(pixels[i : i + 1])} for i in range(2)]
    equal_outputs(shipped, [*images, random_inputs(shipped.graph, 1)])


def test_inputs_and_outputs_in_numbers(small: Exported) -> None:
    assert len(small.session.program.inputs) == 2 and len(small.session.program.outputs) == 2
    equal_outputs(small, [random_inputs(small.graph, seed) for seed in range(5)])


def test_second_run_without_reset(small: Exported, operands: dict[str, np.ndarray]) -> None:
    found = small.case("twice", operands)
    expected = checksum(small, operands)
    assert found["not_started"] == NOT_STARTED
    assert found["outputs"] == found["outputs_again"] == expected
    # The harness's memory pauses at random, so that cycles differ from run to run.
    bound = sum(layer.compute_cycles for layer in small.session.program.layers)
    assert min(found["cycles"], found["cycles_again"]) >= bound > 0
    manifest = json.loads((small.folder / "manifest.json").read_text())
    assert found["cycles"] < 3 * manifest["cycles"]
    assert found["macs"] >= 7 * 5 * 7 * 27 and found["image"] == OK


def test_memory_at_the_top_of_the_addresses(small: Exported, operands: dict[str, np.ndarray]) -> None:
    assert small.case("high", operands)["outputs"] == checksum(small, operands)


def test_wrong_hardware_address_and_image(small: Exported, operands: dict[str, np.ndarray]) -> None:
    found = small.case("identity", operands)
    accesses = found.pop("accesses")
    assert found == {
        "hash": WRONG_HARDWARE,
        "version": WRONG_VERSION,
        "unaligned": WRONG_ADDRESS,
        "beyond": WRONG_ADDRESS,
        "good": OK,
        "no_image": WRONG_IMAGE,
        "bad_image": WRONG_IMAGE,
        "short_image": WRONG_IMAGE,
        "image": OK,
    }
    assert accesses == 1
    assert small.case("absent", operands) == {"open": NOT_FOUND}


def test_timeout(small: Exported, operands: dict[str, np.ndarray]) -> None:
    assert small.case("timeout", operands) == {
        "start": OK,
        "wait": TIMEOUT,
        "start_again": BUSY,
        "load": BUSY,
        "watchdog": BUSY,
        "open": BUSY,
        "wait_again": OK,
        "outputs": checksum(small, operands),
    }


def test_interrupt(small: Exported, operands: dict[str, np.ndarray]) -> None:
    assert small.case("interrupt", operands) == {
        "early": 0,
        "start": OK,
        "rose": 1,
        "mine": 1,
        "high_after": 0,
        "mine_again": 0,
        "wait": OK,
        "outputs": checksum(small, operands),
        "start_idle": OK,
        "wait_idle": OK,
        "idled": 1,
        "start_off": OK,
        "high_off": 0,
        "wait_off": OK,
        "high_end": 0,
    }


def test_bus_error_and_recovery(small: Exported, operands: dict[str, np.ndarray]) -> None:
    assert small.case("bus_error", operands) == {
        "open": OK,
        "start": OK,
        "wait": STOPPED,
        "code": Fault.READ_RESPONSE,
        "address": 0x80000000,
        "interrupt": 1,
        "recovered": OK,
        "code_after": Fault.NONE,
        "outputs": checksum(small, operands),
    }


def test_broken_program(small: Exported, operands: dict[str, np.ndarray]) -> None:
    assert small.case("bad_program", operands) == {
        "start": OK,
        "wait": STOPPED,
        "code": Fault.BAD_OPCODE,
        "address": 0,
        "image": WRONG_IMAGE,
    }


def test_bus_that_stops(small: Exported, operands: dict[str, np.ndarray]) -> None:
    found = small.case("watchdog", operands)
    found.pop("address")
    assert found == {
        "set": OK,
        "start": OK,
        "running": TIMEOUT,
        "wait": STOPPED,
        "code": Fault.WATCHDOG,
        "blocked": BUSY,
        "recovered": OK,
        "outputs": checksum(small, operands),
    }


def test_stop(small: Exported, operands: dict[str, np.ndarray]) -> None:
    """At many moments; afterwards nothing is in flight, the hardware starts again at once, and the image is whole."""
    found = small.case("stop", operands)
    assert found.pop("stopped_runs") >= 5
    assert found == {
        "idle": OK,
        "drained_late": 1,
        "outputs": checksum(small, operands),
        "done": OK,
        "wait": OK,
        "image": OK,
    }
