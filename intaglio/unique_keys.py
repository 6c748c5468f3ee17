"""YAML as people mean it: no key stands twice, and 1e2 is a number."""

from __future__ import annotations

import re
from typing import Any

import yaml


class UniqueKeys(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML libraries keep the last without a word; and takes numbers as YAML 1.2 has them,
    where an exponent needs neither a sign nor a point before it."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: list[Any] = []
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.YAMLError(f"{key.value!r} stands twice, again in line {key.start_mark.line + 1}")
            seen.append(key.value)
        return super().construct_mapping(node, deep)


class _Quoted(yaml.SafeDumper):
    """Quotes the texts that UniqueKeys would take for numbers."""


for _kind in (UniqueKeys, _Quoted):
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
        list("-+.0123456789"),
    )


def yaml_of(data: Any, **options: Any) -> str:
    """Plain values as YAML that UniqueKeys reads as they were, keys in their order. options: PyYAML's."""
    text: str = yaml.dump(data, Dumper=_Quoted, sort_keys=False, **options)
    return text
