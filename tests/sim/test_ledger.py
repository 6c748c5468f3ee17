"""The ledger of commands by themselves is that of the commands as they run, on every kind of command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intaglio.machine.config_files import load_config
from intaglio.machine.counters import Counter
from intaglio.mapper import map_network
from intaglio.network.tflite.importer import load_tflite
from intaglio.sim.functional import execute_program
from intaglio.sim.ledger import count
from tests.networks import random_network

MACHINES = [
    ("tiny16", []),
    ("tiny16", ["activation_bytes=2048", "activation_banks=2", "weight_bytes=1024", "channel_bytes=256"]),
    ("edge64", ["activation_bytes=4096", "weight_bytes=2048"]),
]


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_no_count_depends_on_running(seed: int, tmp_path: Path) -> None:
    graph = load_tflite(random_network(seed, tmp_path / "net.tflite").path)
    for name, overrides in MACHINES:
        print(f"seed {seed} on {name} {overrides}")
        config = load_config(name, overrides)
        program = map_network(graph, config)
        random = np.random.default_rng(seed)
        places = {n: program.places[n] for n in program.inputs}
        inputs = {n: random.integers(-128, 128, (p.rows, p.row_bytes), np.int8) for n, p in places.items()}
        ran = execute_program(config, program, inputs).counters
        counted = count(config, program.commands)
        assert np.array_equal(ran, counted)
        assert counted[:, Counter.MACS].sum() > 0 and (counted[:, Counter.COMMANDS] == 1).all()
