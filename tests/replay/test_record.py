"""Every pair and design gives what the record has, and the record covers what the machine and the mapper have."""

import pytest

from intaglio.machine.isa import Opcode
from tests.fuzz.case import WAYS, read_case
from tests.replay.command import difference, digests, recorded
from tests.replay.pairs import CASES, design_names, pair_names

NAMES = [*design_names(), *pair_names()]
EACH = 3
"""Of so many pairs one is quick: what `make test` and the lowest versions run."""
PARAMS = [
    *(pytest.param(name, marks=pytest.mark.slow) for name in design_names()),
    *(pytest.param(name, marks=[pytest.mark.slow] if i % EACH else []) for i, name in enumerate(pair_names())),
]


@pytest.mark.parametrize("name", PARAMS)
def test_is_as_recorded(name):
    told = difference(recorded().get(name), digests(name))
    assert not told, f"{told}; `make replay` compares all, `make replay RENEW=1` writes the record anew"


def test_nothing_else_is_recorded():
    assert recorded().keys() == set(NAMES)


def test_every_opcode_and_objective_is_covered():
    commands = " ".join(str(held.get("commands", "")) for held in recorded().values()).split()
    assert {opcode.name for opcode in Opcode} <= set(commands)
    cases = [read_case(path) for path in CASES.glob("*.json")]
    assert {case.way for case in cases} == set(WAYS)
    assert {case.keep_all for case in cases} == {False, True}
    assert len(cases) >= 60
