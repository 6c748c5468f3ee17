"""LiteRT's answer about small .tflite files, before they run: in a process of its own, since damaged operators can end it."""

from __future__ import annotations

import functools
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from intaglio.unfinished import run_program

SECONDS = 120
"""Time for all operators of a file."""
MEMORY = 8 << 30
"""Bytes of address space of the process."""
ENDS = 4
"""Operators of a file that may end the process; then what is left is not tried."""
CHILD = """
import json, os, resource, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), int(sys.argv[1])))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
told, given = os.fdopen(os.dup(1), "w"), sys.stdin.buffer
os.dup2(2, 1)
while size := int.from_bytes(given.read(8), "little"):
    try:
        it = Interpreter(
            model_content=given.read(size),
            num_threads=1,
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
            experimental_preserve_all_tensors=True,
        )
        it.allocate_tensors()
        outputs = it.get_output_details()
        found = {"outputs": [[[int(d) for d in o["shape"]], np.dtype(o["dtype"]).name] for o in outputs], "dynamic": False}
        try:
            [it.get_tensor(o["index"]) for o in outputs]
        except ValueError:
            found["dynamic"] = True
        else:
            for x in it.get_input_details():
                it.set_tensor(x["index"], np.zeros(x["shape"], x["dtype"]))
            it.invoke()
    except Exception as error:
        found = {"error": " ".join(str(error).split())[:300] or type(error).__name__}
    print(json.dumps(found), file=told, flush=True)
"""


@dataclass(frozen=True)
class Verdict:
    """error: why LiteRT does not run a file, in words, or ''. outputs: shape and numpy's type of each. dynamic: True where an
    output's shape is known only when it has run."""

    error: str = ""
    outputs: tuple[tuple[tuple[int, ...], str], ...] = ()
    dynamic: bool = False


@functools.lru_cache(maxsize=16)
def tried(models: tuple[bytes, ...]) -> tuple[Verdict, ...]:
    """A verdict on each file, prepared and run once, on zeros."""
    verdicts: list[Verdict] = []
    ends = 0
    while len(verdicts) < len(models):
        if ends == ENDS:
            verdicts += [Verdict("others of its kind ended LiteRT's process")] * (len(models) - len(verdicts))
            break
        found, reason = _session(models[len(verdicts) :])
        verdicts += found
        if len(verdicts) < len(models):
            verdicts.append(Verdict(reason))
            ends += 1
    return tuple(verdicts)


def _session(models: Sequence[bytes]) -> tuple[list[Verdict], str]:
    """The verdicts of one process, and why it told no more of them."""
    given = b"".join(len(model).to_bytes(8, "little") + model for model in models)
    command, pipe = [sys.executable, "-P", "-c", CHILD, str(MEMORY)], subprocess.PIPE
    try:
        done = run_program(command, given, SECONDS, stdout=pipe, stderr=subprocess.DEVNULL)
        lines, reason = done.stdout, _ended(done.returncode)
    except subprocess.TimeoutExpired as error:
        lines, reason = error.output or b"", f"LiteRT takes more than {SECONDS} s for it"
    except OSError as error:
        return [], f"LiteRT's process cannot be started ({error})"
    return [_verdict(line) for line in lines.split(b"\n")[:-1]], reason


def _verdict(line: bytes) -> Verdict:
    found = json.loads(line)
    if "error" in found:
        return Verdict(found["error"])
    outputs = tuple((tuple(shape), dtype) for shape, dtype in found["outputs"])
    return Verdict(outputs=outputs, dynamic=found["dynamic"])


def _ended(status: int) -> str:
    """A process's end in words."""
    if status < 0 and -status in set(signal.Signals):
        return f"it ends LiteRT's process ({signal.Signals(-status).name})"
    return f"LiteRT's process ended with {status}"
