"""What docstrings say of ports: every one of every component, in its direction, and as wide as it is where that is a
number."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Iterator

import pytest
from amaranth.hdl import Shape
from amaranth.lib import wiring
from units import small_config

import intaglio.hw
from intaglio.machine.counters import Counter
from intaglio.machine.row_product import RowProduct

CONFIG = dataclasses.replace(small_config(8), tables=2)
ARGUMENTS = {
    "ArrayRow": (4, 9, True, RowProduct.PACKED, True),
    "Array": (4, 4, True, 16, 2),
    "CommandQueue": (8, 4),
    "DelayLine": (9, 2, 4, 16, 1),
    "Ledger": ({counter: 1 for counter in Counter},),
    "Multiples": (),
    "OperandScale": (True,),
    "PackedProducts": (4, 9, True),
    "PartialMemory": (16, 2),
    "Requantizer": (),
    "RowDelays": (4, 16),
    "StallCause": (),
    "StepMemory": (1024, 8, 8, 2),
    "TilePauses": (),
    "Tokens": (),
    "Watchdog": (),
}


def components() -> Iterator[type[wiring.Component]]:
    for found in pkgutil.iter_modules(intaglio.hw.__path__, "intaglio.hw."):
        if found.name.endswith("yosys_process"):  # a program
            continue
        module = importlib.import_module(found.name)
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, wiring.Component) and value.__module__ == found.name:
                yield value


def stated(kind: type[wiring.Component]) -> dict[str, tuple[str, str]]:
    """Direction and width by the name of the port."""
    text = kind.__doc__ or ""
    assert "\n    Ports\n    -----\n" in text, kind.__name__
    out: dict[str, tuple[str, str]] = {}
    for names, direction, width in re.findall(
        r"^    (\w[\w\[\], ]*?) : (In|Out), (.+)$", text.split("-----\n")[1], re.MULTILINE
    ):
        for name in names.split(", "):
            assert name.split("[")[0] not in out, (kind.__name__, name)
            out[name.split("[")[0]] = direction, width
    return out


@pytest.mark.parametrize("kind", list(components()), ids=lambda kind: kind.__name__)
def test_docstrings_name_the_ports(kind: type[wiring.Component]) -> None:
    component = kind(*ARGUMENTS.get(kind.__name__, (CONFIG,)))
    component._MustUse__silence = True  # it is looked at, not built in
    members = component.signature.members
    said = stated(kind)
    if kind.__name__ == "Accelerator":  # of a reset that these lines name
        assert said.pop("clk") == said.pop("aresetn") and CONFIG.reset == "rst"
    assert {name: direction for name, (direction, _) in said.items()} == {
        name: "In" if member.flow == wiring.In else "Out" for name, member in members.items()
    }
    for name, (_, width) in said.items():
        if plain := re.fullmatch(r"(?:(un)?signed )?(\d+)(?: bits?)?(?: each)?", width.split(";")[0]):
            assert members[name].is_port and Shape.cast(members[name].shape).width == int(plain[2]), name


def test_the_components_are_found() -> None:
    names = {kind.__name__ for kind in components()}
    assert len(names) > 30 and set(ARGUMENTS) <= names
