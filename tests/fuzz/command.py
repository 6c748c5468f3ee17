"""The command: draws pairs, tries them in processes, shrinks what fails and tells."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.fuzz.case import Case, draw_case, read_case
from tests.fuzz.hold import Failure, Held, hold
from tests.fuzz.pool import Ended, OutOfTime, run_jobs
from tests.fuzz.recipe import described
from tests.fuzz.shrink import shrunk
from tests.fuzz.state import Line, State

SECONDS = 60.0
MEMORY = 4 << 30
SHRINKING = 240.0
"""Seconds for each kind of failure."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where every pair holds, else 1."""
    options = _parser().parse_args(arguments)
    if options.replay:
        return replay(options.replay, options.shrink, options.seconds)
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 40)
    print(f"pairs {first} to {first + options.count - 1}; one again: python -m tests.fuzz --replay SEED", flush=True)
    state = State(options.state)
    kinds = fuzz(range(first, first + options.count), state, options.jobs, options.seconds, print)
    if kinds and options.shrink:
        for kind, seeds in kinds.items():
            _shrink_kind(kind, seeds, state, options.seconds)
    return 1 if kinds else 0


def fuzz(
    seeds: Sequence[int], state: State, jobs: int, seconds: float = SECONDS, tell: Callable[[str], None] = print
) -> dict[str, list[int]]:
    """Tries the pairs of seeds that the state does not have; the failing seeds by kind, the most frequent first."""
    todo = [seed for seed in seeds if seed not in state.lines]
    begin = told = time.monotonic()
    done = 0
    for seed, result, took in run_jobs(try_seed, todo, jobs, seconds, MEMORY):
        done += 1
        failure = as_failure(result)
        if failure is None:
            state.add(Line(seed, took, None, vars(result)))
        else:
            state.add(Line(seed, took, failure.kind, {}))
            name = state.save_case(draw_case(seed), failure.kind, failure.text, str(seed))
            tell(f"FAILED {seed} after {took:.1f} s: {failure.kind}" + (f" ({name})" if name else ""))
        if time.monotonic() - told > 30:
            told = time.monotonic()
            tell(f"{done} of {len(todo)} pairs in {told - begin:.0f} s")
    mine = [state.lines[seed] for seed in seeds if seed in state.lines]
    kinds: dict[str, list[int]] = defaultdict(list)
    for line in mine:
        if line.kind is not None:
            kinds[line.kind].append(line.seed)
    refused = sum(bool(line.figures.get("refused")) for line in mine)
    checked = sum(bool(line.figures.get("rechecked")) for line in mine)
    failed = sum(map(len, kinds.values()))
    tell(f"{len(mine)} pairs, {refused} refused by check and map, {checked} through map --check; {failed} failed; "
         f"{sum(line.seconds for line in mine):.0f} s of work")  # fmt: skip
    kinds = dict(sorted(kinds.items(), key=lambda item: -len(item[1])))
    for kind, failing in kinds.items():
        tell(f"{len(failing):5}  {kind}: {' '.join(map(str, failing[:5]))}")
    return kinds


def try_seed(seed: int, folder: Path) -> Held | Failure:
    return try_case(draw_case(seed), folder)


def try_case(case: Case, folder: Path) -> Held | Failure:
    try:
        return hold(case, folder)
    except OutOfTime:  # it rang outside of what hold catches
        return Failure("hang", "")


def as_failure(result: Held | Failure | Ended) -> Failure | None:
    if isinstance(result, Ended):
        return Failure(result.how, "")
    return result if isinstance(result, Failure) else None


def replay(what: str, shrink: bool, seconds: float) -> int:
    """One pair, by its seed or from a file of a case."""
    case = draw_case(int(what)) if what.isdigit() else read_case(Path(what))
    print(case.machine, case.way, "keep_all" if case.keep_all else "")
    print(described(case.recipe), flush=True)
    (_, result, took) = next(iter(run_jobs(try_case, [case], 1, seconds, MEMORY)))
    failure = as_failure(result)
    if failure is None:
        print(f"holds, {took:.1f} s: {result}")
        return 0
    print(f"{failure.text}\nFAILED after {took:.1f} s: {failure.kind}")
    if shrink:
        small, path = shrink_case(case, failure.kind, seconds, Path("."))
        print(described(small.recipe), small.machine, small.way, f"python -m tests.fuzz --replay {path}", sep="\n")
    return 1


def shrink_case(case: Case, kind: str, seconds: float, folder: Path) -> tuple[Case, Path | None]:
    def still_fails(smaller: Case) -> bool:
        (_, result, _) = next(iter(run_jobs(try_case, [smaller], 1, seconds, MEMORY)))
        failure = as_failure(result)
        return failure is not None and failure.kind == kind

    small = shrunk(case, still_fails, SHRINKING)
    return small, State(folder).save_case(small, kind, "", f"{case.seed}_small")


def _shrink_kind(kind: str, seeds: list[int], state: State, seconds: float) -> None:
    """The pair that failed soonest, made smaller."""
    seed = min(seeds, key=lambda seed: state.lines[seed].seconds)
    small, path = shrink_case(draw_case(seed), kind, seconds, state.folder or Path("build/fuzz"))
    print(f"\n{kind}, from {seed}: python -m tests.fuzz --replay {path}")
    print(described(small.recipe))
    print(small.machine, small.way, "keep_all" if small.keep_all else "", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Random networks on random machines.")
    parser.add_argument("--count", type=int, default=300, help="pairs")
    parser.add_argument("--seed", type=int, help="of the first pair, the others follow; without it a fresh one, printed")
    parser.add_argument("--replay", metavar="SEED|FILE", help="one pair, by its seed or from a file of a case")
    parser.add_argument("--jobs", type=int, default=len(os_cores()), help="processes")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of a pair; what takes longer has failed")
    parser.add_argument("--state", type=Path, help="a folder: results are kept there, and a run with the same goes on")
    parser.add_argument("--shrink", action=argparse.BooleanOptionalAction, default=True,
                        help="make a pair of each kind of failure smaller")  # fmt: skip
    return parser


def os_cores() -> set[int]:
    import os

    return os.sched_getaffinity(0)


if __name__ == "__main__":
    sys.exit(main())
