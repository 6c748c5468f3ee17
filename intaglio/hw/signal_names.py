"""Names of signals from the assignments that make them: in tuples and comprehensions too, and in every Python the same.

Amaranth reads the name off the bytecode after the call, which it finds in plain assignments only, and not in all versions
of Python. Here it comes from the source's syntax tree.
"""

from __future__ import annotations

import ast
import functools
import linecache
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from sys import _getframe
from types import CodeType
from typing import Any

from amaranth import tracer

_Position = tuple[int | None, int | None, int | None, int | None]


@contextmanager
def named_by_source() -> Iterator[None]:
    """Within it, Amaranth names what it would have to name by itself after the variable that it is assigned to."""
    before = tracer.get_var_name
    calls: Counter[tuple[CodeType, int]] = Counter()

    def name(depth: int = 2, default: Any = None, **others: Any) -> Any:
        frame = _getframe(depth)
        found = _names_at(frame.f_code, frame.f_lasti)
        if found:
            calls[frame.f_code, frame.f_lasti] += 1
            return found[(calls[frame.f_code, frame.f_lasti] - 1) % len(found)]
        return before(depth + 1, default) if default is not None else before(depth + 1, **others)

    tracer.get_var_name = name
    try:
        yield
    finally:
        tracer.get_var_name = before


@functools.cache
def _names_at(code: CodeType, instruction: int) -> tuple[str, ...]:
    """The variables for the call that is this instruction (an offset into the bytecode), in turns; none if there are none."""
    position = next(islice(code.co_positions(), instruction // 2, None), None)
    # Columns are known where the file's text is.
    return _names_of(code.co_filename).get(position, ()) if position else ()


@functools.cache
def _names_of(filename: str) -> dict[_Position, tuple[str, ...]]:
    """The variables of each call in a file by its place: first and last line, first and last column."""
    text = "".join(linecache.getlines(filename))
    found: dict[_Position, tuple[str, ...]] = {}
    for node in ast.walk(ast.parse(text)) if text else ():
        if isinstance(node, ast.Assign):
            _pair(node.targets[0], node.value, found)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            _pair(node.target, node.value, found)
    return found


def _pair(target: ast.expr, value: ast.expr, found: dict[_Position, tuple[str, ...]]) -> None:
    if isinstance(value, ast.Tuple) and isinstance(target, ast.Tuple) and len(value.elts) == len(target.elts):
        for one, other in zip(target.elts, value.elts, strict=True):
            _pair(one, other, found)
    elif isinstance(value, ast.Tuple | ast.List):
        for element in value.elts:
            _pair(target, element, found)
    elif isinstance(value, ast.ListComp | ast.GeneratorExp):
        _pair(target, value.elt, found)
    elif isinstance(value, ast.DictComp):
        _pair(target, value.value, found)
    elif isinstance(value, ast.Dict):
        for element in value.values:
            _pair(target, element, found)
    elif isinstance(value, ast.Call):
        while isinstance(target, ast.Subscript):
            target = target.value
        # A comprehension that is taken apart makes one after the other.
        targets = target.elts if isinstance(target, ast.Tuple) else [target]
        names = [
            t.id if isinstance(t, ast.Name) else t.attr for t in targets if isinstance(t, ast.Name | ast.Attribute)
        ]
        if names and len(names) == len(targets):
            found[value.lineno, value.end_lineno, value.col_offset, value.end_col_offset] = tuple(names)
