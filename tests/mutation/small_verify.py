"""A small `verify`, for a changed hardware: random commands on host and RTL, and networks against LiteRT too, on one small machine.

    python -m tests.mutation.small_verify

Exit status 1 and a message at the first difference.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from intaglio.machine.config import MemoryConfig
from intaglio.network import load
from intaglio.sim.engines import run_program
from intaglio.verify import verify
from tests.networks import random_network
from tests.sim.programs import SMALL, random_program

MACHINE = replace(SMALL, activation_bytes=4096, memory=MemoryConfig(5, 9, 3))
PROGRAMS, NETWORKS = range(10), range(10)


def main() -> int:
    for seed in PROGRAMS:
        program = random_program(MACHINE, seed)
        host, rtl = (run_program(MACHINE, program, {}, engine) for engine in ("host", "rtl"))
        if not (
            np.array_equal(host.memory, rtl.memory)
            and host.counters == rtl.counters
            and host.retire_cycles.tolist() == rtl.retire_cycles.tolist()
        ):
            print(f"random program of seed {seed}: host and RTL differ")
            return 1
    with tempfile.TemporaryDirectory() as folder:
        for seed in NETWORKS:
            path = random_network(seed, Path(folder) / f"{seed}.tflite", edges=bool(seed % 2)).path
            result = verify(path, load(path), MACHINE, 1, 0, lambda _: None, lambda _: None)
            if result.difference is not None:
                print(f"{path.name}: {result.difference}")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
