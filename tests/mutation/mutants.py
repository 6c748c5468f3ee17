"""Which single changes of the hardware there are, and a draw of them.

The changes are cosmic-ray's (operators, comparisons, numbers, conditions, loops), and one of our own for what hardware
descriptions are made of, the assignment.
"""

from __future__ import annotations

import ast
import hashlib
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.number_replacer import OFFSETS
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names
from parso.tree import NodeOrLeaf

from tests.mutation.assignments import RemoveAssignment

FOLDERS = (Path("intaglio/hw"), Path("intaglio/machine"))

_FAMILIES = (
    "ReplaceBinaryOperator_",
    "ReplaceComparisonOperator_",
    "ReplaceUnaryOperator_",
    "AddNot",
    "ReplaceTrue",
    "ReplaceFalse",
    "ReplaceAnd",
    "ReplaceOr",
    "ReplaceBreak",
    "ReplaceContinue",
    "NumberReplacer",
    "ZeroIteration",
)
_NO_HARDWARE = {"Div", "Pow", "Mod", "FloorDiv", "Is", "IsNot", "Not"}
"""What Amaranth's values do not have, or what gives no hardware of it (`is`, `not`): such changes end in a TypeError, or are all
the same, and would only flatter the figures."""
_NO_CODE = {"annassign", "tfpdef", "param", "fstring", "raise_stmt", "assert_stmt", "decorator", "import_from"}
"""Nodes of the syntax below which nothing decides what is built: annotations, messages, checks of the generator itself."""

_SHAPES = ("Signal", "In", "Out", "unsigned", "signed", "StructLayout", "Signature", "Const")
_WIDTH = ("width", "shape")
"""Calls, and named arguments, in which a number gives a width. There numbers only become less: a wider signal computes the same."""


@dataclass(frozen=True)
class Mutant:
    """One change. file: relative to the tree. line: its text, stripped, where the change begins; nth: which of the changes by
    `operator` in lines of that text inside `definition`. code: the whole file, changed; before: as it is."""

    file: str
    definition: str
    line: str
    operator: str
    nth: int
    code: str = field(repr=False)
    before: str = field(repr=False)

    @property
    def key(self) -> str:
        """Names this change of this file's text."""
        return hashlib.sha256(f"{self.file}\n{self.code}".encode()).hexdigest()[:16]


@cache
def operators() -> dict[str, Operator]:
    """The operators by name."""
    out: dict[str, Operator] = {"RemoveAssignment": RemoveAssignment()}
    for name in sorted(operator_names()):
        short = name.removeprefix("core/")
        _, *words = short.split("_")
        if (
            short.startswith(_FAMILIES)
            and (not words or words[-1] not in _NO_HARDWARE or words[0] == "Delete")
            and words[:1] != ["Pow"]
        ):
            out[short] = get_operator(name)()
    return out


@dataclass(frozen=True)
class _Change:
    """The occurrence-th change that the operator `name` can make in a file; definition, line, nth as in Mutant."""

    file: Path
    name: str
    occurrence: int
    definition: str
    line: str
    nth: int


def places_of(root: Path, file: Path) -> list[list[_Change]]:
    """For every place of a file where something can be changed, in order, its changes."""
    source = (root / file).read_text()
    lines = source.splitlines()
    tree = list(ast_nodes(get_ast(source)))
    skipped = {id(node) for node in tree if _no_code(node)}
    places: dict[tuple[int, int], list[_Change]] = defaultdict(list)
    for name, operator in operators().items():
        seen: Counter[tuple[str, str]] = Counter()
        occurrence = 0
        for node in tree:
            for at, (start, _) in enumerate(operator.mutation_positions(node)):
                place = _definition(node), lines[start[0] - 1].strip()
                wider = name == "NumberReplacer" and OFFSETS[at] > 0 and _in_shape(node)
                if id(node) not in skipped and not wider:
                    places[start].append(_Change(file, name, occurrence, *place, seen[place]))
                seen[place] += 1
                occurrence += 1
    return [changes for _, changes in sorted(places.items())]


def draw(root: Path, count: int, seed: int) -> list[Mutant]:
    """`count` changes of different places of all files, every place as likely as any other; of a place, one of its changes.

    A place has its lot by the seed and what it says, so that a draw stays as it is where other lines change.
    """
    lots = []
    for path in sorted(path for folder in FOLDERS for path in (root / folder).glob("*.py")):
        for changes in places_of(root, path.relative_to(root)):
            first = changes[0]
            rng = random.Random(f"{seed} {first.file} {first.definition} {first.line} {first.name} {first.nth}")
            lots.append((rng.random(), rng, changes))
    lots.sort(key=lambda lot: lot[0])
    made = (_made(root, rng.choice(changes)) for _, rng, changes in lots)
    return list(islice((mutant for mutant in made if mutant is not None), count))


def _made(root: Path, change: _Change) -> Mutant | None:
    """None where the text that results is no Python, or the same."""
    source = (root / change.file).read_text()
    code = mutate_code(source, operators()[change.name], change.occurrence)
    try:
        if code is None or ast.dump(ast.parse(code)) == ast.dump(ast.parse(source)):
            return None
    except SyntaxError:
        return None
    return Mutant(str(change.file), change.definition, change.line, change.name, change.nth, code, source)


def _no_code(node: NodeOrLeaf) -> bool:
    above = node
    while above is not None:
        if (
            above.type == "argument" and above.children[0].get_code().strip() == "reset_less"
        ):  # of what nothing reads after a reset
            return True
        if above.type in _NO_CODE or (above.type == "if_stmt" and "__name__" in above.children[1].get_code()):
            return True
        if above.parent is not None and above.parent.type == "funcdef" and above is above.parent.annotation:
            return True
        above = above.parent
    return False


def _in_shape(node: NodeOrLeaf) -> bool:
    """Whether a call of _SHAPES, or an argument of _WIDTH, stands around it, in its statement."""
    while node.parent is not None and node.type != "expr_stmt":
        if node.type == "argument" and node.children[0].get_code().strip() in _WIDTH:
            return True
        if (
            node.type == "trailer"
            and node.children[0].value == "("
            and node.get_previous_sibling().get_last_leaf().value in _SHAPES
        ):
            return True
        node = node.parent
    return False


def _definition(node: NodeOrLeaf) -> str:
    names = []
    while node is not None:
        if node.type in ("funcdef", "classdef"):
            names.append(node.name.value)
        node = node.parent
    return ".".join(reversed(names))
