"""A trace tells exactly what the counters count, on every track, and its file is a legal one."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from amaranth.sim import Simulator

from intaglio.errors import OutputError
from intaglio.hw.conv_feed import FeedSequencer
from intaglio.hw.depthwise_feed import PatchSequencer
from intaglio.machine.config_files import load_config
from intaglio.machine.counters import Counter
from intaglio.machine.isa import Engine
from intaglio.machine.latency import SEQUENCER_STEP
from intaglio.machine.timing import compute_cycles
from intaglio.network import load, random_inputs
from intaglio.session import NetworkRun, Session
from intaglio.sim.clock.result import BURST_COLUMNS
from intaglio.trace.chrome import KINDS, beyond, tracks, write_chrome
from intaglio.trace.events import STATES, Trace, conv_tiles, patch_tiles
from tests.cli.command import validate
from tests.hw.core_commands import random_conv
from tests.hw.depthwise_commands import random_depthwise
from tests.networks import random_network

MACHINES = [
    ("tiny16", ()),
    ("tiny16", ("rows=5", "cols=7", "requantizers=3", "activation_bytes=1024", "weight_bytes=256")),
    ("edge64", ("memory.bytes_per_cycle=1", "memory.latency=200", "memory.outstanding=1")),
    ("edge64", ("memory.latency=1", "bus_bytes=32", "memory.bytes_per_cycle=32", "memory.outstanding=16")),
    ("tiny16", ("memory.bytes_per_cycle=3", "memory.latency=77", "activation_bytes=512")),
]


def runs(name: str, overrides: tuple[str, ...], folder: Path) -> list[NetworkRun]:
    out = []
    for seed in range(4):
        graph = load(random_network(seed, folder / f"{seed}.tflite").path)
        session = Session.map(graph, load_config(name, overrides), keep_all=seed % 2 == 0)
        out.append(session.run(random_inputs(graph, seed)))
    return out


@pytest.mark.parametrize(("name", "overrides"), MACHINES, ids=lambda v: "-".join(v) if isinstance(v, tuple) else v)
def test_the_trace_is_the_ledger(name: str, overrides: tuple[str, ...], tmp_path: Path) -> None:
    for run in runs(name, overrides, tmp_path):
        trace, counters, config = run.trace, run.counters, run.session.config
        assert trace.cycles == run.cycles
        assert np.array_equal(trace.retire_cycles, run.result.retire_cycles)
        states = dict.fromkeys(STATES.values(), 0)
        for piece in trace.states():
            states[piece.name] += piece.end - piece.begin
        assert states == {label: counters[counter] for counter, label in STATES.items()}

        bursts = dict(zip(BURST_COLUMNS, trace.recording.bursts.T, strict=True))
        words = {e: int(bursts["beats"][mask].sum()) for e, mask in burst_engines(run, bursts["command"]).items()}
        loads = sum(counters[c] for c in Counter if c.name.startswith("LOAD_"))
        assert words == {"FETCH": counters[Counter.FETCH_WORDS], "LOAD": loads, "STORE": counters[Counter.STORE_WORDS]}

        for engine in Engine:
            pieces = list(trace.commands(engine))
            assert [p.details["dispatched"] for p in pieces] == sorted(p.details["dispatched"] for p in pieces)
            assert all(p.details["dispatched"] < p.begin for p in pieces)
        lengths = [p.end - p.details["taken"] for p in trace.commands(Engine.COMPUTE)]
        compute = [c for c in run.session.program.commands if c.engine == Engine.COMPUTE]
        assert lengths == [compute_cycles(config, c) for c in compute]
        layers = list(trace.layers())
        assert [p.begin for p in layers] == [0, *(p.end for p in layers[:-1])] and layers[-1].end == run.cycles
        sums: dict[str, int] = {}
        for p in layers:
            sums[p.name] = sums.get(p.name, 0) + p.end - p.begin
        named = {run.session.program.layers[tag].name: n for tag, n in run.result.layer_cycles.items()}
        assert sums == named


def burst_engines(run: NetworkRun, commands: np.ndarray) -> dict[str, np.ndarray]:
    engines = np.array([c.engine.name for c in run.session.program.commands])
    named = np.where(commands < 0, "FETCH", engines[commands])
    return {name: named == name for name in ("FETCH", "LOAD", "STORE")}


@pytest.mark.parametrize(("name", "overrides"), MACHINES, ids=lambda v: "-".join(v) if isinstance(v, tuple) else v)
def test_bursts_keep_to_the_memory(name: str, overrides: tuple[str, ...], tmp_path: Path) -> None:
    for run in runs(name, overrides, tmp_path):
        memory, bus = run.session.config.memory, run.session.config.bus_bytes
        b = dict(zip(BURST_COLUMNS, run.trace.recording.bursts.T, strict=True))
        end = b["address"] + b["beats"] * bus
        assert (
            (b["beats"] >= 1).all() and (b["beats"] <= 256).all() and (b["address"] // 4096 == (end - 1) // 4096).all()
        )
        write = b["is_write"] == 1
        assert (b["requested"] < b["accepted"]).all() and (b["accepted"] < b["first"]).all()
        assert (b["first"][~write] >= b["accepted"][~write] + memory.latency).all()
        assert (b["answered"][write] >= b["last"][write] + memory.latency).all()
        assert (b["answered"][~write] == b["last"][~write]).all()
        assert (b["last"] - b["first"] >= b["beats"] - 1).all()
        # One channel: bursts one after another in the order of their acceptance, within the rate.
        assert (np.diff(b["accepted"]) > 0).all() and (b["first"][1:] > b["last"][:-1]).all()
        assert (
            (b["last"] - b["first"] + 1) * memory.bytes_per_cycle > (b["beats"] - 1) * bus - memory.bytes_per_cycle
        ).all()
        # At most so many outstanding, counted where one is accepted.
        for cycle in b["accepted"]:
            assert ((b["accepted"] <= cycle) & (b["answered"] >= cycle)).sum() <= memory.outstanding
        # A command's bursts lie between its start and its retirement; a LOAD is over with its last beat.
        trace = run.trace
        for engine in (Engine.LOAD, Engine.STORE):
            for piece in trace.commands(engine):
                mine = b["command"] == piece.details["command"]
                assert piece.begin < b["requested"][mine].min() and b["answered"][mine].max() < piece.end


@pytest.mark.parametrize(("name", "overrides"), MACHINES, ids=lambda v: "-".join(v) if isinstance(v, tuple) else v)
def test_no_overlap_on_any_track_and_a_valid_file(name: str, overrides: tuple[str, ...], tmp_path: Path) -> None:
    for number, run in enumerate(runs(name, overrides, tmp_path)):
        trace = run.trace
        for track, _, slices in tracks(trace, set()):
            at = 0
            for piece in slices:
                assert at <= piece.begin < piece.end <= run.cycles, (track, piece)
                at = piece.end
        assert write_chrome(tmp_path / "T.json", trace) == {}
        document = json.loads((tmp_path / "T.json").read_text())
        if number == 0:  # the validator takes seconds for a large file
            validate(document, "trace")
        names = [e["args"]["name"] for e in document["traceEvents"] if e["name"] == "thread_name"]
        assert names[:4] == ["layers", "COMPUTE state", "COMPUTE", "array tiles"] and "external read" in names
        written = [e for e in document["traceEvents"] if e["ph"] == "X"]
        assert len(written) == sum(beyond(trace, 0).values()) - len(trace.program.layers) + len(list(trace.layers()))
        assert document["otherData"]["cycles"] == run.cycles


def test_the_rtls_run_has_the_same_trace(tmp_path: Path) -> None:
    """Retire cycles and counters of the RTL are those of the trace, which names its engine."""
    graph = load(random_network(2, tmp_path / "2.tflite").path)
    session = Session.map(graph, load_config("tiny16", ["memory.latency=40", "memory.bytes_per_cycle=2"]))
    inputs = random_inputs(graph, 2)
    host, rtl = session.run(inputs).trace, (run := session.run(inputs, "rtl")).trace
    assert (host.engine, rtl.engine) == ("host", "rtl")
    assert np.array_equal(rtl.retire_cycles, run.result.retire_cycles) and rtl.cycles == run.cycles
    states = dict.fromkeys(STATES.values(), 0)
    for piece in rtl.states():
        states[piece.name] += piece.end - piece.begin
    assert states == {label: run.counters[counter] for counter, label in STATES.items()}
    for (track, _, a), (_, _, b) in zip(tracks(host, set()), tracks(rtl, set()), strict=True):
        assert list(a) == list(b), track


def test_recording_changes_nothing(tmp_path: Path) -> None:
    graph = load(random_network(3, tmp_path / "3.tflite").path)
    session = Session.map(graph, load_config("tiny16"))
    plain, recorded = session.clock(), session.clock(record=True)
    assert plain.recording is None and recorded.recording is not None
    assert plain.cycles == recorded.cycles and plain.counters == recorded.counters
    assert np.array_equal(plain.retire_cycles, recorded.retire_cycles)


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    graph = load(random_network(1, tmp_path / "1.tflite").path)
    trace = Session.map(graph, load_config("tiny16")).run(random_inputs(graph, 1)).trace
    everything = beyond(trace, 0)
    assert list(everything) == list(KINDS)
    limit = sum(everything.values()) - 1
    for kinds in (("tiles",), ("tiles", "bursts"), ("tiles", "bursts", "commands")):
        path = tmp_path / "T.json"
        left_out = write_chrome(path, trace, limit)
        assert left_out == {kind: everything[kind] for kind in kinds}
        document = json.loads(path.read_text())
        validate(document, "trace")
        assert document["otherData"]["left_out"] == left_out
        assert {e["cat"] for e in document["traceEvents"] if e["ph"] == "X"} == set(KINDS) - set(kinds)
        limit = sum(everything.values()) - sum(left_out.values()) - 1


def test_the_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = load(random_network(1, tmp_path / "1.tflite").path)
    trace = Session.map(graph, load_config("tiny16")).run(random_inputs(graph, 1)).trace
    path = tmp_path / "T.json"
    path.write_text("before")

    def full(self: Trace) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Trace, "tiles", full)
    with pytest.raises(OutputError, match=r"T\.json: cannot be written \(No space left on device\)"):
        write_chrome(path, trace)
    assert path.read_text() == "before" and sorted(p.name for p in tmp_path.iterdir()) == ["1.tflite", "T.json"]


@pytest.mark.parametrize(
    ("make", "component", "tiles_of"),
    [
        (partial(random_conv, small=True), FeedSequencer, conv_tiles),
        (random_depthwise, PatchSequencer, patch_tiles),
    ],
    ids=["conv", "depthwise"],
)
def test_tiles_are_the_sequencers(make: Callable, component: type, tiles_of: Callable) -> None:
    """The sequencers begin, end and separate tiles in the cycles that conv_tiles and patch_tiles give."""
    seed = 7
    print("seed", seed)
    rng = np.random.default_rng(seed)
    config = load_config("tiny16", ["rows=3", "cols=3", "requantizers=1"])
    for _ in range(8):
        command = make(config, rng)
        sequencer = component(config)
        begins: list[int] = []
        active: list[int] = []

        async def bench(ctx, sequencer=sequencer, command=command, begins=begins, active=active) -> None:  # type: ignore[no-untyped-def]
            ctx.set(sequencer.command, sum(w << 32 * i for i, w in enumerate(command.words())))
            ctx.set(sequencer.start, 1)
            await ctx.tick()
            ctx.set(sequencer.start, 0)
            await ctx.tick()
            going = ctx.get(sequencer.active)  # of the next cycle
            await ctx.tick()
            cycle, after_last = 0, True
            while going or cycle < len(active) + SEQUENCER_STEP:
                if going:
                    active.append(cycle)
                going = going and ctx.get(sequencer.active)
                control = ctx.get(sequencer.step.control)
                if control.valid and after_last:
                    begins.append(cycle - SEQUENCER_STEP)
                    after_last = False
                if control.valid and control.last:
                    after_last = True
                await ctx.tick()
                cycle += 1

        simulator = Simulator(sequencer)
        simulator.add_clock(1e-6)
        simulator.add_testbench(bench)
        simulator.run()
        *tiles, rest = tiles_of(config, command, 0, 0, 1 << 20)
        assert begins == [tile.begin for tile in tiles]
        assert active == list(range(tiles[-1].end)) and rest.begin == tiles[-1].end
