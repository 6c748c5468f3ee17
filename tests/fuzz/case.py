"""A pair: a network and a machine, with what to do with them; drawn from one number, or read from a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.hw.config import Config
from tests.fuzz.machines import Fields, draw_machine, machine_of
from tests.fuzz.networks import draw_network
from tests.fuzz.recipe import Recipe
from tests.fuzz.tflite_files import fits_tflite

WAYS = {"cycles": 0.55, "prove": 0.2, "energy": 0.125, "edp": 0.125}
"""An objective of `intaglio map`, or --prove; and how often."""
FORMS = {"graph": 0.9, "tflite": 0.1}
"""What the network is read from: an integer graph, or a file that its reference runs too; how often, where a file can hold it."""


@dataclass(frozen=True)
class Case:
    """way: one of WAYS. form: one of FORMS. keep_all: every tensor has a place outside, as `verify` asks for."""

    seed: int
    machine: Fields
    recipe: Recipe
    way: str
    form: str
    keep_all: bool

    @property
    def config(self) -> Config:
        return machine_of(self.machine)

    def to_json(self) -> dict[str, Any]:
        return {"seed": self.seed, "way": self.way, "form": self.form, "keep_all": self.keep_all, "machine": self.machine,
                "network": self.recipe.to_json()}  # fmt: skip

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Case:
        recipe = Recipe.from_json(document["network"])
        return Case(document["seed"], dict(document["machine"]), recipe, document["way"], document["form"], document["keep_all"])


def draw_case(seed: int) -> Case:
    """The same seed gives the same pair."""
    rng = np.random.default_rng(seed)
    machine = draw_machine(rng)
    way = str(rng.choice(list(WAYS), p=list(WAYS.values())))
    recipe = draw_network(rng, machine_of(machine), seed, way != "cycles")
    form = str(rng.choice(list(FORMS), p=list(FORMS.values())))
    if form == "tflite" and not fits_tflite(recipe):
        form = "graph"
    return Case(seed, machine, recipe, way, form, bool(rng.random() < 0.1))


def read_case(path: Path) -> Case:
    return Case.from_json(json.loads(path.read_text()))
