"""Each pipeline a stage longer, one at a time: RTL and host still agree to the cycle. `make stages`; minutes, no part of CI."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.changed_tree import VERIFY, Tree
from tests.stages.changes import QUEUES, STAGES, Change

ROOT = Path(__file__).resolve().parents[2]
CHECKS = (VERIFY, "tests/sim/clock/test_event_model.py")
"""RTL and host; the clock from event to event and the one that steps."""
VERIFIER = "tests/verifier/test_limits_of_programs.py"
"""What the verifier says of programs that a machine of other queues and tokens would not run."""


def main() -> int:
    """0 where all hold, 1 where one does not, 2 where none is named so."""
    parser = argparse.ArgumentParser(prog="python -m tests.stages", description=__doc__)
    parser.add_argument("--only", metavar="WORD", default="", help="changes with this word in their names")
    options = parser.parse_args()
    changes = [change for change in (*STAGES, QUEUES) if options.only in change.name]
    if not changes:
        print(f"no change is named {options.only!r}: {', '.join(change.name for change in (*STAGES, QUEUES))}")
        return 2
    tree = Tree(ROOT, ROOT / "build" / "stages")
    failed = [change.name for change in changes if not _holds(tree, change)]
    print(f"{len(changes) - len(failed)} of {len(changes)} hold{'; not ' * bool(failed)}{', '.join(failed)}")
    return 1 if failed else 0


def _holds(tree: Tree, change: Change) -> bool:
    with tree.changed(change.file, change.made((tree.path / change.file).read_text())):
        for check in (VERIFY, VERIFIER) if change is QUEUES else CHECKS:
            outcome, text, seconds = tree.run(check)
            print(f"{change.name}: {check}: {outcome} in {seconds:.0f} s", flush=True)
            if outcome != "passed":
                print(text, flush=True)
                return False
    return True


if __name__ == "__main__":
    sys.exit(main())
