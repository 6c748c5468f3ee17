"""A pair: a network and a machine, with what to do with them; drawn from one number, or read from a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.machine.config import Config
from tests.fuzz.machines import Fields, draw_machine, draw_small_machine, machine_of, whole
from tests.fuzz.networks import SIZES, draw_network
from tests.fuzz.onnx_files import fits_onnx
from tests.fuzz.recipe import Recipe
from tests.fuzz.tflite_files import fits_tflite

WAYS = {"cycles": 0.55, "prove": 0.2, "energy": 0.125, "edp": 0.125}
"""An objective of `intaglio map`, or --prove; and how often."""
FORMS = {"graph": 0.84, "tflite": 0.08, "onnx": 0.08}
"""What the network is read from: an integer graph, or a file that its reference runs too; how often, where a file can hold it."""


@dataclass(frozen=True)
class Case:
    """name: what --replay takes to draw it again. way: one of WAYS. form: one of FORMS. keep_all: every tensor has a place
    outside, as `verify` asks for. rtl: the emitted design runs it too."""

    name: str
    machine: Fields
    recipe: Recipe
    way: str
    form: str
    keep_all: bool
    rtl: bool = False

    @property
    def config(self) -> Config:
        return machine_of(self.machine)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "way": self.way,
            "form": self.form,
            "keep_all": self.keep_all,
            "rtl": self.rtl,
            "machine": self.machine,
            "network": self.recipe.to_json(),
        }

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Case:
        recipe = Recipe.from_json(document["network"])
        named = {key: document[key] for key in ("name", "way", "form", "keep_all", "rtl")}
        return Case(machine=whole(document["machine"]), recipe=recipe, **named)


def draw_case(name: str) -> Case:
    """The same name gives the same pair: a number; or of the RTL's pairs, of which many share a machine, "MACHINE:NETWORK"."""
    if ":" not in name:
        rng = np.random.default_rng(int(name))
        return _drawn(rng, name, int(name), draw_machine(rng), tuple(SIZES))
    machine, network = map(int, name.split(":"))
    rng = np.random.default_rng((machine, network))
    case = _drawn(rng, name, machine + network, draw_small_machine(np.random.default_rng(machine)), ("tiny",))
    return replace(case, rtl=True)


def _drawn(rng: np.random.Generator, name: str, seed: int, machine: Fields, sizes: Sequence[str]) -> Case:
    way = str(rng.choice(list(WAYS), p=list(WAYS.values())))
    recipe = draw_network(rng, machine_of(machine), seed, way != "cycles", sizes)
    form = str(rng.choice(list(FORMS), p=list(FORMS.values())))
    if not {"graph": True, "tflite": fits_tflite(recipe), "onnx": fits_onnx(recipe)}[form]:
        form = "graph"
    return Case(name, machine, recipe, way, form, bool(rng.random() < 0.1))


def read_case(path: Path) -> Case:
    return Case.from_json(json.loads(path.read_text()))
