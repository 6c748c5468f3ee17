"""Named tuples of commands' fields, as compiled kernels are given them."""

from __future__ import annotations

import pickle

import pytest
from numba.core.serialize import dumps

from intaglio.machine.isa import Command
from intaglio.machine.opcodes import Opcode
from intaglio.sim.operands import operands_of


@pytest.mark.parametrize("opcode", Opcode)
def test_their_classes_are_found_again(opcode: Opcode) -> None:
    """What is compiled for a class that pickle takes along by value is never found in the cache: each process compiles anew."""
    form = type(operands_of(Command(opcode, {})))
    assert pickle.loads(dumps(form)) is form
