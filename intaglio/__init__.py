"""Intaglio: integer MAC-array accelerators, generated, scheduled and simulated to the bit and the cycle.

What `intaglio.api` has is found here too; it is imported at its first use, so that `import intaglio` stays fast.
"""

from __future__ import annotations

from intaglio.version import __version__

TYPE_CHECKING = False  # typing's would take time, and `import intaglio` comes first in everything
if TYPE_CHECKING:
    from typing import Any

    from intaglio.api import (
        Comparison,
        Config,
        Graph,
        InputError,
        LayerFigures,
        NetworkRun,
        OutputError,
        Refusal,
        RefusedError,
        Session,
        Table,
        Trace,
        compare,
        layers,
        load,
        load_config,
        load_table,
        map,
        random_inputs,
    )

__all__ = [
    "Comparison",
    "Config",
    "Graph",
    "InputError",
    "LayerFigures",
    "NetworkRun",
    "OutputError",
    "Refusal",
    "RefusedError",
    "Session",
    "Table",
    "Trace",
    "__version__",
    "compare",
    "layers",
    "load",
    "load_config",
    "load_table",
    "map",
    "random_inputs",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from intaglio import api

        return getattr(api, name)
    raise AttributeError(f"module 'intaglio' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
