"""The command `intaglio`: how it ends, whatever happens. What it does is in `app` and the modules beside it.

Little is imported here, so that Ctrl-C during the imports of the rest, a second's worth, ends as at any other moment.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from intaglio.cli.interrupts import interrupted, watched
from intaglio.cli.streams import ReaderGone, say, streams
from intaglio.errors import InputError, OutputError

DONE, DIFFERENCE, BAD_INPUT, FAULT, NOT_WRITTEN, INTERRUPTED = 0, 1, 2, 3, 4, 130
"""Exit status; docs/exit-status.md is their table."""


def main() -> None:
    """The entry point: the process ends with `status`."""
    with watched():
        ended = status(sys.argv[1:])
    sys.exit(ended)


def status(arguments: Sequence[str]) -> int:
    """Runs `intaglio ARGUMENTS` and gives its exit status."""
    return ended(lambda: _call(arguments))


def ended(work: Callable[[], int]) -> int:
    """The exit status of what a command does: `work`'s own, or that of the exception that ends it, with one message.

    No exception passes. Standard output is written out before the end, so that a full disk is known.
    """
    try:
        with streams():
            return work()
    except ReaderGone:
        return DONE
    except KeyboardInterrupt:
        pass
    except BaseException as error:
        if not interrupted():
            return _told(error)
    say("interrupted")
    return INTERRUPTED


def _call(arguments: Sequence[str]) -> int:
    from intaglio.cli.app import call

    return call(arguments)


def _told(error: BaseException) -> int:
    if isinstance(error, SystemExit):  # shell completion ends so
        return error.code if isinstance(error.code, int) else DONE if error.code is None else FAULT
    if isinstance(error, InputError):
        say(str(error))
        return BAD_INPUT
    if isinstance(error, OutputError):
        say(str(error))
        return NOT_WRITTEN
    from intaglio.cli import faults

    say(faults.message(error))
    return FAULT
