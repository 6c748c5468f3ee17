"""A process of its own for Yosys, which needs nothing of this package: the current folder is all that Yosys sees.

python -P yosys_process.py --compile yosys.wasm COMPILED, or COMPILED and Yosys's arguments.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import wasmtime


def main(first: str, *others: str) -> int:
    """The exit status."""
    engine = wasmtime.Engine()
    if first == "--compile":
        source, target = others
        Path(target).write_bytes(wasmtime.Module(engine, Path(source).read_bytes()).serialize())
        return 0
    settings = wasmtime.WasiConfig()
    settings.argv = ("yosys", *others)
    settings.preopen_dir(".", ".")
    settings.inherit_stdout()
    settings.inherit_stderr()
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    store = wasmtime.Store(engine)
    store.set_wasi(settings)
    program: Any = linker.instantiate(store, wasmtime.Module.deserialize_file(engine, first)).exports(store)
    try:
        program["_start"](store)
    except wasmtime.ExitTrap as trap:
        return int(trap.code)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
