"""The command `intaglio`: how it ends, whatever happens. What it does is in `app` and the modules beside it.

Nothing of weight is imported before `main` runs, so that Ctrl-C while all the rest is, a second's worth, ends as at any other moment.
"""

from __future__ import annotations

import sys

from intaglio.cli.exits import BAD_INPUT, DONE, FAULT, INTERRUPTED, NOT_WRITTEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main() -> None:
    """The entry point: the process ends with `status`."""
    end_with(lambda: _call(sys.argv[1:]))


def end_with(work: Callable[[], int]) -> None:
    """Ends the process with the status of `work`, as `ended` decides it."""
    try:
        from intaglio.cli.interrupts import watched

        with watched():
            found = ended(work)
    except KeyboardInterrupt:  # before the block
        sys.stderr.write("intaglio: interrupted\n")
        found = INTERRUPTED
    sys.exit(found)


def status(arguments: Sequence[str]) -> int:
    """Runs `intaglio ARGUMENTS` and gives its exit status."""
    return ended(lambda: _call(arguments))


def ended(work: Callable[[], int]) -> int:
    """The exit status of what a command does: `work`'s own, or that of the exception that ends it, with one message.

    No exception but KeyboardInterrupt before the first import passes. Standard output is written out before the end, so that a
    full disk is known.
    """
    from intaglio.cli.streams import ReaderGone, say, streams

    try:
        import warnings

        from intaglio.files import roles_kept

        with streams(), roles_kept(), warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("ignore")  # libraries' words to programmers
            return _returned(work)
    except ReaderGone:
        return DONE
    except KeyboardInterrupt:  # of a program that calls `status`; a process of ours has no more time
        say("interrupted")
        return INTERRUPTED
    except Exception as error:
        return _told(error, say)


def _call(arguments: Sequence[str]) -> int:
    from intaglio.cli.app import call

    return call(arguments)


def _returned(work: Callable[[], int]) -> int:
    """The result of `work`, or the status that it exits with, as typer does at the end of a shell's completion."""
    try:
        return work()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else DONE if end.code is None else FAULT


def _told(error: Exception, say: Callable[..., None]) -> int:
    from intaglio.cli import faults
    from intaglio.errors import InputError, OutputError

    known = {InputError: BAD_INPUT, OutputError: NOT_WRITTEN}
    for kind, found in known.items():
        if isinstance(error, kind):
            say(*getattr(error, "lines", (str(error),)))
            return found
    say(faults.message(error))
    return FAULT
