"""What is held: pairs of networks and machines from files of cases/, the shipped network on the shipped machines, and designs."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config, shipped_names
from intaglio.network import survey
from intaglio.network.survey import Survey
from tests.fuzz.case import read_case
from tests.fuzz.hold import surveyed
from tests.fuzz.machines import draw_small_machine, machine_of

FOLDER = Path(__file__).parent
CASES = FOLDER / "cases"
SHIPPED = Path(__file__).parents[2] / "intaglio" / "data" / "fashion_resnet_int8.tflite"
WAYS = {"tiny16": "energy", "edge64": "prove", "wide": "edp"}
"""What the shipped network is mapped for, on machines where it is not cycles."""
DRAWN_DESIGNS = (0, 2, 4, 5)
"""Seeds of small machines whose Verilog is held, beside the shipped ones."""


@dataclass(frozen=True)
class Pair:
    """found: the network. way, keep_all: of a fuzzer's Case. seed: of the random inputs."""

    found: Survey
    config: Config
    way: str
    keep_all: bool
    seed: int


def pair_names() -> list[str]:
    """Those that take longest first."""
    return [*(f"shipped {name}" for name in shipped_names()), *sorted(path.stem for path in CASES.glob("*.json"))]


def pair_of(name: str) -> Pair:
    if name.startswith("shipped "):
        machine = name.removeprefix("shipped ")
        return Pair(survey(SHIPPED), load_config(machine), WAYS.get(machine, "cycles"), False, 0)
    case = read_case(CASES / f"{name}.json")
    with tempfile.TemporaryDirectory() as folder:
        return Pair(surveyed(case, Path(folder)), case.config, case.way, case.keep_all, case.recipe.seed)


def design_names() -> list[str]:
    """The largest first."""
    shipped = sorted(shipped_names(), key=lambda name: -load_config(name).macs_per_cycle)
    return [f"verilog {name}" for name in [*shipped, *map(str, DRAWN_DESIGNS)]]


def design_of(name: str) -> Config:
    of = name.removeprefix("verilog ")
    return machine_of(draw_small_machine(np.random.default_rng(int(of)))) if of.isdigit() else load_config(of)
