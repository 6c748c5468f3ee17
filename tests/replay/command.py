"""The command: what pairs and designs give now, beside the record."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from intaglio.sim.rtl.build import verilog_of
from tests.replay.digests import Digests, digests_of, of_text
from tests.replay.pairs import FOLDER, design_names, design_of, pair_names, pair_of

RECORD = FOLDER / "record.json"
READABLE = ("cycles", "commands")
"""Digests that are told with a difference; the others are hashes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where everything is as the record has it, 1 where it is not, 2 where nothing is named so."""
    options = _parser().parse_args(arguments)
    every = [*design_names(), *pair_names()]
    names = [name for name in every if not options.only or name in options.only]
    if not names:
        print(f"no pair or design of {options.only}; the names are in {RECORD.name}")
        return 2
    known = recorded()
    found = everything(names, options.jobs)
    changed = {name: told for name in names if (told := difference(known.get(name), found[name]))}
    gone = [] if options.only else sorted(known.keys() - found.keys())
    for name, told in changed.items():
        print(f"{name}: {told}")
    for name in gone:
        print(f"{name}: is in the record alone")
    if options.renew:
        kept = known if options.only else {}
        RECORD.write_text(json.dumps({**kept, **found}, indent=1, sort_keys=True) + "\n")
        print(f"{len(found)} written to {RECORD}, {len(changed) + len(gone)} of them changed")
        return 0
    print(f"{len(found)} pairs and designs, {len(changed) + len(gone)} other than in {RECORD.name}")
    return 1 if changed or gone else 0


def recorded() -> dict[str, Digests]:
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def everything(names: Sequence[str], jobs: int) -> dict[str, Digests]:
    with ProcessPoolExecutor(jobs) as pool:
        return dict(zip(names, pool.map(digests, names), strict=True))


def digests(name: str) -> Digests:
    """Of a pair or design."""
    if name.startswith("verilog "):
        return {"verilog": of_text(verilog_of(design_of(name)))}
    return digests_of(pair_of(name))


def difference(known: Digests | None, found: Digests) -> str:
    """Those that differ, with both values of what can be read; empty where none does."""
    if known is None:
        return "is not in the record"
    keys = [key for key in sorted(known.keys() | found.keys()) if known.get(key) != found.get(key)]
    return "; ".join(f"{key} {known.get(key)} -> {found.get(key)}" if key in READABLE else key for key in keys)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.replay",
        description="Programs, cycles, counters, outputs, documents and Verilog beside the record.",
    )
    parser.add_argument("--renew", action="store_true", help=f"write {RECORD.name} anew")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these pairs or designs")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes (one for each core)")
    return parser
