"""Memories of hw/ram.py as Yosys is told of them, by the attributes that they have."""

from __future__ import annotations

import re

_MODULE = re.compile(r"^(?=module )", re.MULTILINE)
_REGISTERED = re.compile(r"^  attribute \\intaglio\.read_latency [1-9]\d*\n", re.MULTILINE)
_UNDEFINED = re.compile(
    r'^  attribute \\intaglio\.collision "undefined"\n(?:  attribute .*\n)*  memory .* \\(\S+)\n', re.MULTILINE
)


def with_ram_style(text: str, style: str | None) -> str:
    """RTLIL whose memories of registered reads have that ram_style where they state none; as it is for None."""
    if style is None:
        return text
    # Of two the later one counts.
    return _REGISTERED.sub(lambda found: f'{found[0]}  attribute \\ram_style "{style}"\n', text)


def with_undefined_collisions(text: str) -> str:
    """RTLIL whose memories give anything at a collision where Collision.UNDEFINED says so. Amaranth states old data for
    all, which Yosys makes of registers and comparisons where a block RAM does not give them."""
    return "".join(map(_undefined, _MODULE.split(text)))


def _undefined(module: str) -> str:
    for name in _UNDEFINED.findall(module):
        mask = re.compile(
            rf'(    parameter \\MEMID "\\\\{re.escape(name)}"\n(?:    parameter .*\n)*?'
            r"    parameter \\COLLISION_X_MASK \d+')(0+)\n"
        )
        module, count = mask.subn(lambda found: found[1] + "1" * len(found[2]) + "\n", module)
        assert count, f"{name}: no read port"
    return module
