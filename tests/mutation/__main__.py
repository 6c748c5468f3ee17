"""`make mutate`: changes the hardware in one place at a time and asks whether the tests notice. See docs/testing.md."""

from __future__ import annotations

import argparse
import difflib
import json
import random
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.changed_tree import LONGEST, VERIFY, Tree
from tests.mutation.mutants import Mutant, draw
from tests.mutation.trial import stages_of

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).parent / "equivalent.yaml"
MOST_EQUIVALENT, LEAST_KILLED = 0.05, 0.95
_NAMES = ("file", "definition", "line", "operator", "nth")


class State:
    """What is known, in a folder: the draw, and of each change (Mutant.key) what became of it."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._draw = folder / "results.jsonl", folder / "draw.json"
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        self.results = {record["key"]: record for record in map(json.loads, lines)}

    def seed(self, asked: int | None) -> int:
        """The one asked for, else the last one's, else a new one."""
        last = json.loads(self._draw.read_text())["seed"] if self._draw.exists() else None
        seed = asked if asked is not None else last if last is not None else random.SystemRandom().randrange(1 << 31)
        self._draw.write_text(json.dumps({"seed": seed}))
        return seed

    def add(self, record: dict[str, Any]) -> None:
        self.results[record["key"]] = record
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")


class Baseline:
    """The stages on the unchanged hardware, each run once: what does not pass there says nothing about a change."""

    def __init__(self, tree: Tree, known: bool):
        """known: take it that all pass, as after `make test`."""
        self._tree, self._known = tree, known
        self._seconds: dict[str, float] = {}

    def seconds(self, stage: str) -> float:
        """How long one takes."""
        if self._known and stage != VERIFY:  # which fills the caches
            return LONGEST / 15
        if stage not in self._seconds:
            outcome, text, self._seconds[stage] = self._tree.run(stage)
            if outcome != "passed":
                sys.exit(f"{stage}: {outcome} without any change, so it can notice none\n{text}")
            print(f"      {stage} passes without a change, {self._seconds[stage]:.0f} s", flush=True)
        return self._seconds[stage]


def declared() -> dict[tuple[Any, ...], str]:
    """The reason of each change that is declared equivalent, by what names it."""
    out = {}
    for entry in yaml.safe_load(EQUIVALENT.read_text()) or []:
        if entry["line"] not in [line.strip() for line in (ROOT / entry["file"]).read_text().splitlines()]:
            sys.exit(f"{EQUIVALENT}: no line of {entry['file']} is any more: {entry['line']}")
        out[tuple(entry[name] for name in _NAMES)] = entry["reason"]
    return out


def name_of(mutant: Mutant) -> tuple[Any, ...]:
    return tuple(getattr(mutant, name) for name in _NAMES)


def trial(tree: Tree, baseline: Baseline, mutant: Mutant) -> dict[str, Any]:
    """What became of it."""
    outcome, by, text, total = "survived", "", "", 0.0
    for stage in stages_of(mutant):
        limit = min(LONGEST, 5 * baseline.seconds(stage))
        with tree.changed(mutant.file, mutant.code):
            ended, text, seconds = tree.run(stage, limit)
        total += seconds
        if ended != "passed":
            outcome, by = "killed", f"{stage} ({ended})"
            break
    named = dict(zip(_NAMES, name_of(mutant), strict=True))
    return {
        "key": mutant.key,
        **named,
        "outcome": outcome,
        "by": by,
        "seconds": round(total, 1),
        "end": text,
        "version": tree.version,
        "diff": diff_of(mutant),
    }


def diff_of(mutant: Mutant) -> str:
    before = mutant.before.splitlines()
    return "\n".join(difflib.unified_diff(before, mutant.code.splitlines(), mutant.file, "changed", lineterm="", n=1))


def report(mutants: list[Mutant], state: State) -> int:
    """Prints survivors and figures; the exit status."""
    reasons = declared()
    groups: dict[str, list[Mutant]] = {"killed": [], "survived": [], "equivalent": [], "not run": []}
    wrong = []
    for mutant in mutants:
        outcome = state.results.get(mutant.key, {}).get("outcome", "not run")
        if name_of(mutant) in reasons:
            wrong += [mutant] if outcome == "killed" else []
            outcome = "killed" if outcome == "killed" else "equivalent"
        groups[outcome].append(mutant)
    for mutant in groups["equivalent"]:
        print(f"\nequivalent: {reasons[name_of(mutant)]}\n{diff_of(mutant)}")
    for mutant in wrong:
        print(f"\ndeclared equivalent, but killed by {state.results[mutant.key]['by']}\n{diff_of(mutant)}")
    for mutant in groups["survived"]:
        print(f"\nsurvived: {mutant.operator}, {mutant.nth} of its line, in {mutant.definition}\n{diff_of(mutant)}")
    ran = len(groups["killed"]) + len(groups["survived"])
    share = len(groups["killed"]) / ran if ran else 0.0
    equivalent = len(groups["equivalent"]) / max(1, len(mutants))
    counts = ", ".join(f"{len(group)} {name}" for name, group in groups.items())
    print(
        f"\n{len(mutants)} changes: {counts}. Killed of those that ran and are not equivalent: {share:.1%} (at least "
        f"{LEAST_KILLED:.0%}); equivalent of all: {equivalent:.1%} (at most {MOST_EQUIVALENT:.0%})"
    )
    return int(bool(wrong or groups["not run"]) or share < LEAST_KILLED or equivalent > MOST_EQUIVALENT)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--count", type=int, default=120, help="changes to draw (default 120)")
    parser.add_argument("--seed", type=int, help="of the draw; without it the folder's, or a new one")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "mutate", help="of the state, to go on from")
    parser.add_argument("--again", action="store_true", help="run the survivors again, with the tests as they are now")
    parser.add_argument(
        "--tests-pass", action="store_true", help="do not run the tests on the unchanged hardware first"
    )
    parser.add_argument("--report", action="store_true", help="run nothing; print what is known")
    options = parser.parse_args()
    state = State(options.folder.resolve())
    seed = state.seed(options.seed)
    print(f"seed {seed}", flush=True)
    mutants = draw(ROOT, options.count, seed)
    if not options.report:
        tree, reasons = Tree(ROOT, options.folder.resolve()), declared()
        baseline = Baseline(tree, options.tests_pass)
        for number, mutant in enumerate(mutants, 1):
            known = state.results.get(mutant.key, {}).get("outcome")
            if name_of(mutant) in reasons or known == "killed" or (known == "survived" and not options.again):
                continue
            print(f"{number:4} {mutant.file}: {mutant.operator}: {mutant.line}", flush=True)
            record = trial(tree, baseline, mutant)
            state.add(record)
            print(f"      {record['outcome']} {record['by']} {record['seconds']:.0f} s", flush=True)
    return report(mutants, state)


if __name__ == "__main__":
    sys.exit(main())
