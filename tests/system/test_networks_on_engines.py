"""Whole networks on the host engine, on the RTL and in LiteRT: every tensor, cycle and count equal."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from intaglio import data
from intaglio.machine.config_files import load_config
from intaglio.network import execute, extreme_inputs, load, random_inputs
from intaglio.network.graph import Conv2D, FullyConnected
from intaglio.network.tflite.oracle import LiteRTOracle
from intaglio.network.tflite.write import TfliteBuilder
from intaglio.session import NetworkRun, Session
from intaglio.verify import verify
from tests.networks import random_network
from tests.onnx_arithmetic import in_onnx_arithmetic

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
RESNET8 = SHARED / "models" / "mlptiny_ic_resnet8_int8.tflite"

NETWORKS = [
    pytest.param(data.MODEL, id="shipped"),
    pytest.param(
        RESNET8,
        id="resnet8",
        marks=[
            pytest.mark.conformance,
            pytest.mark.skipif(not RESNET8.exists(), reason=f"{RESNET8} (conformance data) is missing"),
        ],
    ),
]

# Builds of the RTL, and memories, which need no build of their own. The smallest builds run in `make test`.
ODD = ("tiny16", ("rows=5", "cols=7", "requantizers=3"))
TFLITE_ONLY = ("tiny16", ("rounding=[double, single, away]", "weight_zero_points=false"))
WIDE_BUS = ("tiny16", ("bus_bytes=32", "memory.bytes_per_cycle=32"))
slow = pytest.mark.slow
MACHINES = [
    pytest.param("tiny16", (), id="tiny16"),
    pytest.param(*ODD, id="5x7"),
    pytest.param(*TFLITE_ONLY, id="tflite-only"),
    pytest.param("edge64", (), id="edge64"),
    pytest.param("edge256", (), id="edge256", marks=slow),
    pytest.param("wide", (), id="wide", marks=slow),
    pytest.param(*WIDE_BUS, id="bus32", marks=slow),
    *(pytest.param(name, (), id=name, marks=slow) for name in ("tang20k", "colorlight", "ulx3s", "arty35", "arty100")),
    pytest.param("edge64", ("memory.bytes_per_cycle=1",), id="rate1"),
    pytest.param("edge64", ("memory.bytes_per_cycle=4",), id="rate4"),
    pytest.param("edge64", ("memory.latency=1",), id="latency1"),
    pytest.param("edge64", ("memory.latency=200",), id="latency200"),
    pytest.param("tiny16", ("memory.bytes_per_cycle=3", "memory.latency=77"), id="rate3"),
]


@cache
def loaded(path: Path):
    return load(path)


@cache
def oracle(path: Path) -> LiteRTOracle:
    return LiteRTOracle(path)


def assert_engines_equal(host: NetworkRun, rtl: NetworkRun) -> None:
    for name, value in host.tensors.items():
        assert np.array_equal(value, rtl.tensors[name]), name
    assert host.result.cycles == rtl.result.cycles
    assert host.result.retire_cycles.tolist() == rtl.result.retire_cycles.tolist()
    assert host.result.layer_cycles == rtl.result.layer_cycles
    assert host.result.counters == rtl.result.counters
    assert sum(host.result.layer_cycles.values()) == host.result.cycles


def assert_every_tensor(run: NetworkRun, expected: dict[str, np.ndarray]) -> None:
    for name, value in expected.items():
        assert np.array_equal(run.tensors[name], value), name


def inputs_of(graph, count: int):
    return [random_inputs(graph, seed) for seed in range(count)]


@pytest.mark.parametrize("path", NETWORKS)
@pytest.mark.parametrize("name, overrides", MACHINES)
def test_host_equals_rtl(path, name, overrides):
    session = Session.map(loaded(path), load_config(name, overrides))
    for inputs in inputs_of(session.graph, 2):
        assert_engines_equal(session.run(inputs), session.run(inputs, "rtl"))


@pytest.mark.parametrize("path", NETWORKS)
@pytest.mark.parametrize("name", ["tiny16", "edge64", "edge256", "wide"])
def test_every_tensor_of_the_host_equals_litert(path, name):
    graph = loaded(path)
    session = Session.map(graph, load_config(name), keep_all=True)
    for inputs in [*inputs_of(graph, 20), *extreme_inputs(graph).values()]:
        assert_every_tensor(session.run(inputs), oracle(path).run(inputs))


@pytest.mark.parametrize("path", NETWORKS)
def test_every_tensor_of_the_rtl_equals_litert(path):
    graph = loaded(path)
    session = Session.map(graph, load_config("edge64"), keep_all=True)
    for inputs in inputs_of(graph, 2):
        run = session.run(inputs, "rtl")
        assert_every_tensor(run, oracle(path).run(inputs))
        assert_engines_equal(session.run(inputs), run)


@pytest.mark.conformance
@pytest.mark.parametrize(
    "name",
    [
        "mlptiny_kws_int8",
        pytest.param("tflm_person_detect_int8_patched", marks=slow),
        pytest.param("coral_mobilenet_v1_025_128_uint8", marks=slow),
    ],
)
def test_depthwise_networks(name):
    path = SHARED / "models" / f"{name}.tflite"
    if not path.exists():
        pytest.skip(f"{path} (conformance data) is missing")
    graph = loaded(path)
    assert any(op.kind == "Conv2D" and op.groups > 1 for op in graph.operators)
    for keep_all in (False, True):
        session = Session.map(graph, load_config("tiny16"), keep_all)
        inputs = random_inputs(graph, 1)
        run = session.run(inputs, "rtl")
        assert_engines_equal(session.run(inputs), run)
    assert_every_tensor(run, oracle(path).run(inputs))


@pytest.mark.conformance
@pytest.mark.skipif(not RESNET8.exists(), reason=f"{RESNET8} (conformance data) is missing")
def test_resnet8_in_fewer_cycles_than_its_bar():
    """An ideal array of 256 needs 48,834 cycles; Ethos-U55-256, as Vela estimates it, 107,151."""
    config = load_config("edge256", ("bus_bytes=16", "memory.bytes_per_cycle=16"))
    assert Session.map(loaded(RESNET8), config).clock().cycles < 75_000


@slow
def test_windows_that_do_not_fit(tmp_path):
    """Pooling in parts that continue each other's sums (`hold`, `resume`)."""
    builder = TfliteBuilder("windows")
    x = builder.input((1, 16, 16, 64), 0.1, 3)
    outputs = [builder.mean(x, 0.05, 1), builder.average_pool(x, (9, 9), stride=(5, 5), padding="SAME")]
    path = tmp_path / "windows.tflite"
    builder.write(path, outputs)
    session = Session.map(load(path), load_config("tiny16", ["activation_bytes=4096"]))
    assert any(command["hold"] for command in session.program.commands)
    inputs = random_inputs(session.graph, 1)
    host, rtl = session.run(inputs), session.run(inputs, "rtl")
    assert_engines_equal(host, rtl)
    expected = LiteRTOracle(path).run(inputs)
    for name in session.graph.outputs:
        assert np.array_equal(rtl.tensors[name], expected[name]), name


RANDOM_MACHINES = [
    ("tiny16", ()),
    (ODD[0], ODD[1]),
    ("edge64", ()),
    TFLITE_ONLY,
]


def run_random_network(seed: int, folder: Path, uint8: str = "") -> None:
    """A network, a machine and a memory by the seed: host, RTL and LiteRT agree."""
    rng = np.random.default_rng(seed)
    path = folder / f"random{seed}.tflite"
    network = random_network(seed, path, bool(seed % 2) and uint8 != "edges", uint8)
    name, overrides = RANDOM_MACHINES[seed % len(RANDOM_MACHINES)]
    if any(op.weight_zero_point for op in load(path).operators if isinstance(op, Conv2D | FullyConnected)):
        name, overrides = RANDOM_MACHINES[seed % 3]  # TFLITE_ONLY has symmetric weights
    memory = (f"memory.bytes_per_cycle={rng.integers(1, 9)}", f"memory.latency={rng.choice([1, 7, 32, 200])}")
    print(f"seed {seed}: {name} {overrides} {memory}: {network.description}")
    graph = load(path)
    config = load_config(name, (*overrides, *memory))
    inputs = random_inputs(graph, seed)
    session = Session.map(graph, config)
    assert_engines_equal(session.run(inputs), session.run(inputs, "rtl"))
    everything = Session.map(graph, config, keep_all=True)
    host, rtl = everything.run(inputs), everything.run(inputs, "rtl")
    assert_engines_equal(host, rtl)
    assert_every_tensor(rtl, LiteRTOracle(path).run(inputs))


@pytest.mark.parametrize("block", range(10))
def test_random_networks(block, tmp_path):
    for seed in range(20 * block, 20 * block + 20):
        run_random_network(seed, tmp_path)


@pytest.mark.parametrize("name", ["tiny16", "edge64"])
def test_a_uint8_network_is_verified(name, tmp_path):
    """Convolutions with a stride and a residual, depthwise, pooled both ways, classified; scales of real weights."""
    rng = np.random.default_rng(11)
    builder = TfliteBuilder("uint8")

    def weights(*shape):
        return rng.normal(10, 40, shape).clip(-128, 127).astype(np.int8)

    def parameters(count, scale, zero_point, of):
        return rng.integers(-3000, 3000, count).astype(np.int32), np.float32([of]), scale, zero_point

    x = builder.input((1, 17, 15, 3), 1 / 128, 0, dtype="uint8")
    more = {"activation": "RELU6", "weight_zero_point": 10}
    a = builder.conv2d(x, weights(16, 3, 3, 3), *parameters(16, 0.0235, -128, 0.004), stride=(2, 2), **more)
    b = builder.depthwise_conv2d(a, weights(16, 3, 3, 1), *parameters(16, 0.0235, -128, 0.01), **more)
    c = builder.conv2d(b, weights(16, 1, 1, 16), *parameters(16, 0.05, 4, 0.004), weight_zero_point=-31)
    d = builder.max_pool(builder.add(a, c, 0.06, -9), (2, 2), (1, 1), "SAME")
    e = builder.average_pool(d, (3, 2), (2, 2), "SAME")
    f = builder.mean(builder.relu(e, 0.03, -128), 0.03, -101)
    g = builder.fully_connected(f, weights(10, 16), *parameters(10, 0.1, 2, 0.01), weight_zero_point=9)
    path = tmp_path / "uint8.tflite"
    builder.write(path, [builder.dequantize(builder.softmax(g)), e])
    graph = load(path)
    assert {str(graph.tensors[name].file_dtype) for name in (*graph.inputs, *graph.outputs)} == {"uint8", "float32"}
    found = verify(path, graph, load_config(name))
    assert found.difference is None and found.reference == "LiteRT" and found.tensors == 11


@pytest.mark.parametrize("uint8", ["throughout", "edges"])
def test_random_networks_of_uint8(uint8, tmp_path):
    for seed in range(24):
        run_random_network(seed, tmp_path, uint8)


def run_onnx_arithmetic(seed: int, folder: Path) -> None:
    """A random network in ONNX's arithmetic: host, RTL and the reference agree."""
    path = folder / f"random{seed}.tflite"
    network = random_network(seed, path, edges=bool(seed % 2))
    graph = in_onnx_arithmetic(load(path), seed)
    name, overrides = (("tiny16", ()), ODD)[seed // 2 % 2]
    print(f"seed {seed}: {name} {overrides}: {network.description}")
    config = load_config(name, (*overrides, f"memory.latency={1 + seed % 50}"))
    inputs = random_inputs(graph, seed)
    expected = execute(graph, inputs)
    for keep_all in (False, True):
        session = Session.map(graph, config, keep_all)
        host, rtl = session.run(inputs), session.run(inputs, "rtl")
        assert_engines_equal(host, rtl)
        for tensor, value in rtl.tensors.items():
            assert np.array_equal(value, expected[tensor]), tensor


@pytest.mark.parametrize("block", range(3))
def test_random_networks_in_onnx_arithmetic(block, tmp_path):
    for seed in range(20 * block, 20 * block + 20):
        run_onnx_arithmetic(seed, tmp_path)
