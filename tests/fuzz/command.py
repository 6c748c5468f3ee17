"""The command: draws pairs, tries them in processes, shrinks what fails and tells."""

from __future__ import annotations

import argparse
import itertools
import os
import random
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
"""Of the processor, for a pair."""
MEMORY = 4 << 30
SHRINKING = 240.0
"""Seconds for each kind of failure."""
SMALL_CASES = Path("build/fuzz")
"""Where shrunk pairs go without --state."""

Tell = Callable[[str], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where every pair holds, else 1."""
    options = _parser().parse_args(arguments)
    kept = options.state or SMALL_CASES
    if options.replay:
        return _replay(options.replay, options.shrink, options.seconds, kept)
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 40)
    names = [str(first + i) for i in range(options.count)]
    tell = _teller()
    if options.rtl:
        machines = range(first, first + options.rtl)
        names = rtl_names(machines, options.networks, options.jobs)
        tell(f"{options.networks} networks on the RTL of each of the machines {first} to {machines[-1]}")
    else:
        tell(f"pairs {first} to {names[-1]}")
    tell("one again: python -m tests.fuzz --replay PAIR")
    state = State(options.state)
    kinds = fuzz(names, state, options.jobs, options.seconds, tell)
    if options.shrink:
        for kind, failing in kinds.items():
            soonest = min(failing, key=lambda name: state.lines[name].seconds)
            tell(f"\n{kind}, from {soonest}:\n" + told(*shrink_case(draw_case(soonest), kind, options.seconds, kept)))
    return 1 if kinds else 0


def rtl_names(machines: Sequence[int], networks: int, jobs: int) -> list[str]:
    """The RTL's pairs in an order in which `jobs` processes compile different machines at a time."""
    out = []
    for i in range(0, len(machines), jobs):
        out += [f"{m}:{n}" for n, m in itertools.product(range(networks), machines[i : i + jobs])]
    return out


def fuzz(
    names: Sequence[str], state: State, jobs: int, seconds: float = SECONDS, tell: Tell = print
) -> dict[str, list[str]]:
    """Tries the pairs that the state does not have; the names of those that fail by kind, the most frequent first."""
    todo = [name for name in names if name not in state.lines]
    begin = last = time.monotonic()
    for done, (name, result, took) in enumerate(run_jobs(try_named, todo, jobs, seconds, MEMORY), 1):
        failure = as_failure(result)
        if failure is None:
            state.add(Line(name, took, None, vars(result)))
        else:
            state.add(Line(name, took, failure.kind, {}))
            path = state.save_case(draw_case(name), failure.kind, failure.text, name.replace(":", "_"))
            tell(f"FAILED {name} after {took:.1f} s: {failure.kind}" + (f" ({path})" if path else ""))
        if time.monotonic() - last > 30:
            last = time.monotonic()
            tell(f"{done} of {len(todo)} pairs in {last - begin:.0f} s")
    lines = [state.lines[name] for name in names if name in state.lines]
    kinds: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        if line.kind is not None:
            kinds[line.kind].append(line.name)
    counts = {
        figure: sum(bool(line.figures.get(figure)) for line in lines) for figure in ("refused", "rechecked", "on_rtl")
    }
    tell(
        f"{len(lines)} pairs, {sum(map(len, kinds.values()))} failed; {counts['refused']} refused by check and map, "
        f"{counts['rechecked']} through map --check, {counts['on_rtl']} on the RTL; "
        f"{sum(line.seconds for line in lines):.0f} s of the processor"
    )
    ordered = dict(sorted(kinds.items(), key=lambda item: -len(item[1])))
    for kind, failing in ordered.items():
        tell(f"{len(failing):5}  {kind}: {' '.join(failing[:6])}")
    return ordered


def try_named(name: str, folder: Path) -> Held | Failure:
    return try_case(draw_case(name), folder)


def try_case(case: Case, folder: Path) -> Held | Failure:
    try:
        return hold(case, folder)
    except OutOfTime:  # between two steps of hold
        return Failure("hang", "")


def as_failure(result: Held | Failure | Ended) -> Failure | None:
    if isinstance(result, Ended):
        return Failure(result.how, "")
    return result if isinstance(result, Failure) else None


def tried(case: Case, seconds: float) -> tuple[Held | Failure | Ended, float]:
    """The result of one pair, in a process of its own, and its seconds."""
    _, result, took = next(iter(run_jobs(try_case, [case], 1, seconds, MEMORY)))
    return result, took


def shrink_case(case: Case, kind: str, seconds: float, folder: Path) -> tuple[Case, Path | None]:
    """A smaller one that fails alike, and its file."""

    def still_fails(smaller: Case) -> bool:
        failure = as_failure(tried(smaller, seconds)[0])
        return failure is not None and failure.kind == kind

    small = shrunk(case, still_fails, SHRINKING)
    failure = as_failure(tried(small, seconds)[0])
    name = f"{case.name.replace(':', '_')}_small"
    return small, State(folder).save_case(small, kind, failure.text if failure else "", name)


def told(case: Case, path: Path | None) -> str:
    """A pair for a person."""
    ways = [case.way, case.form, *(["keep_all"] if case.keep_all else []), *(["rtl"] if case.rtl else [])]
    again = f"\npython -m tests.fuzz --replay {path}" if path else ""
    return f"{described(case.recipe)}\nmachine: {case.machine}\n{', '.join(ways)}{again}"


def _replay(what: str, shrink: bool, seconds: float, kept: Path) -> int:
    case = read_case(Path(what)) if Path(what).is_file() else draw_case(what)
    print(told(case, None), flush=True)
    result, took = tried(case, seconds)
    failure = as_failure(result)
    if failure is None:
        print(f"holds, {took:.1f} s: {result}")
        return 0
    print(f"{failure.text}\nFAILED after {took:.1f} s: {failure.kind}", flush=True)
    if shrink:
        print(f"\nsmaller:\n{told(*shrink_case(case, failure.kind, seconds, kept))}")
    return 1


def _teller() -> Tell:
    return lambda text: print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description="Random networks on random machines: check, map, map --check, host, RTL.",
    )
    parser.add_argument("--count", type=int, default=300, help="pairs (300)")
    parser.add_argument("--seed", type=int, help="the first pair, the others follow; without it a fresh one, printed")
    parser.add_argument(
        "--replay", metavar="PAIR|FILE", help="one pair, by its number or from a file of one that failed"
    )
    parser.add_argument(
        "--rtl",
        type=int,
        default=0,
        metavar="MACHINES",
        help="pairs on the RTL instead: so many machines, each with --networks networks",
    )
    parser.add_argument("--networks", type=int, default=16, help="for each machine of --rtl (16)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes (one for each core)")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="of the processor, for a pair; what takes longer has failed (60)"
    )
    parser.add_argument("--state", type=Path, help="a folder that keeps results; a run with the same one goes on")
    parser.add_argument(
        "--shrink",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="make a pair of each kind of failure smaller",
    )
    return parser
