"""Standard output and standard error of a command: what cannot be written has a name, and no character fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from intaglio.errors import OutputError
from intaglio.text import shown


class ReaderGone(Exception):
    """Who read standard output has left, as `head` does; nothing is wrong."""


@contextmanager
def streams() -> Iterator[None]:
    """sys.stdout and sys.stderr so that characters which they do not have are escaped, an unwritable standard output raises
    OutputError or ReaderGone, and an unwritable standard error says nothing. OutputError at once where standard output is closed."""
    out, err = sys.stdout, sys.stderr
    if err is None:
        _occupy(2)
    if out is None:
        _occupy(1)
        raise OutputError("standard output is closed; direct it to a file, or to /dev/null")
    _escaping(out)
    _escaping(err)
    sys.stdout, sys.stderr = _Output(out), _Errors(err)
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = out, err


def say(*lines: str) -> None:
    """A message of the command's on standard error."""
    with suppress(OSError, ValueError, AttributeError):
        print("intaglio: " + "\n".join(map(shown, lines)), file=sys.stderr, flush=True)


class _Stream:
    """A text stream with a word in its errors; in all else the stream itself, but for the bytes below it, past which text would
    go without a word."""

    def __init__(self, stream: Any):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return self._try(self._stream.write, text) or 0

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, call: Any, *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except BrokenPipeError:
            self._failed(ReaderGone())
        except OSError as error:
            self._failed(OutputError(f"standard output: cannot be written ({error.strerror or error})"))

    def _failed(self, error: Exception) -> None:
        raise NotImplementedError


class _Output(_Stream):
    """Once it has failed it fails for ever, since libraries try a stream out and hide what comes of it."""

    _error: Exception | None = None

    def _try(self, call: Any, *arguments: Any) -> Any:
        if self._error is not None:
            raise self._error from None
        return super()._try(call, *arguments)

    def _failed(self, error: Exception) -> None:
        _discard(self._stream)
        self._error = error
        raise error from None


class _Errors(_Stream):
    def _failed(self, error: Exception) -> None:
        _discard(self._stream)


def _escaping(stream: Any) -> None:
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def _discard(stream: Any) -> None:
    """Discards what the stream still holds, so that the end of Python does not fail again."""
    with suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _occupy(descriptor: int) -> None:
    """Or the next file that is opened takes a standard stream's number, and gets what libraries write there."""
    null = os.open(os.devnull, os.O_WRONLY)
    if null != descriptor:
        os.dup2(null, descriptor)
        os.close(null)
