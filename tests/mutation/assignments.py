"""A change of cosmic-ray's kind for hardware: one assignment less."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cosmic_ray.operators.operator import Example, Operator
from parso.python.tree import Keyword

Span = tuple[tuple[int, int], tuple[int, int]]


class RemoveAssignment(Operator):
    """Leaves out what is added to a domain (`m.d.comb += x.eq(y)`) or to a list: all of it, or one element of a list."""

    def mutation_positions(self, node: Any) -> Iterator[Span]:
        for target in self._targets(node):
            yield target.start_pos, target.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        target = list(self._targets(node))[index]
        if target is node:
            first = node.get_first_leaf()
            return Keyword("pass", first.start_pos, first.prefix)
        elements = target.parent.children
        at = elements.index(target)
        del elements[at : at + 2]  # with the comma behind it
        return node

    def _targets(self, node: Any) -> list[Any]:
        """Of `x += [...]` the elements, unless there is only one, else the statement."""
        if node.type != "expr_stmt" or node.children[1].get_code().strip() != "+=":
            return []
        right = node.children[2]
        if right.type == "atom" and right.children[0].value == "[" and right.children[1].type == "testlist_comp":
            elements = right.children[1].children
            if len(elements) > 1 and elements[1].type == "operator":
                return elements[::2]
        return [node]

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("m.d.sync += x.eq(y)", "pass"),
            Example("m.d.comb += [x.eq(y), z.eq(y)]", "m.d.comb += [ z.eq(y)]"),
            Example("m.d.comb += [x.eq(y), z.eq(y)]", "m.d.comb += [x.eq(y),]", occurrence=1),
        )
