"""Changes that lengthen each pipeline by a stage, and one of the queues and tokens: a number or a line of one file each."""

from __future__ import annotations

from dataclasses import dataclass

LATENCY, LIMITS = "intaglio/machine/latency.py", "intaglio/machine/limits.py"


@dataclass(frozen=True)
class Change:
    """name: of the pipeline. edits: (text, the text in its place), each found once in file."""

    name: str
    file: str
    edits: tuple[tuple[str, str], ...]

    def made(self, code: str) -> str:
        """The file's text with the change. ValueError where a text is not there once."""
        for before, after in self.edits:
            if code.count(before) != 1:
                raise ValueError(f"{self.name}: {before!r} stands {code.count(before)} times in {self.file}")
            code = code.replace(before, after)
        return code


def _longer(name: str, constant: str, now: int) -> Change:
    return Change(name, LATENCY, ((f"\n{constant} = {now}\n", f"\n{constant} = {now + 1}\n"),))


STAGES = (
    _longer("activation read", "ACTIVATION_READ", 7),
    _longer("activation write", "ACTIVATION_WRITE", 3),
    _longer("weight read", "WEIGHT_READ", 2),
    _longer("channel read", "CHANNEL_READ", 2),
    _longer("partial sums, read", "PARTIAL_READ", 2),
    _longer("partial sums, write", "PARTIAL_WRITE", 1),
    _longer("command start", "COMMAND_START", 5),
    _longer("tiles", "LEAST_TILE", 2),
    _longer("slabs", "LEAST_SLAB", 2),
    _longer("sequencers, step", "SEQUENCER_STEP", 1),
    _longer("sequencers, request", "SEQUENCER_REQUEST", 5),
    _longer("feed", "FEED_ROWS", 2),
    _longer("array, element", "ARRAY_ELEMENT", 3),
    _longer("array, gather", "ARRAY_GATHER", 1),
    _longer("drain", "DRAIN_READ", 2),
    Change("requantizer", LATENCY, (('        "product2",\n', '        "product2",\n        "spare",\n'),)),
    Change("vector path, operands", LATENCY, (('"sum", "shifted")', '"sum", "spare", "shifted")'),)),
    _longer("vector path, sum", "ADD_SUM", 1),
    _longer("vector path, window", "POOL_SUM", 2),
    _longer("clear", "CLEAR", 2),
    _longer("registers, answer", "WRITE_ANSWER", 3),
    _longer("fetch", "FETCH", 7),
    _longer("fetch, request", "FETCH_REQUEST", 2),
    _longer("load and store, request", "TRANSFER_REQUEST", 2),
    _longer("dispatch", "DISPATCH", 2),
    _longer("load", "LOAD", 1),
    _longer("store, request", "STORE_ISSUE", 1),
    _longer("store, buffer", "STORE_BUFFER", 2),
)
QUEUES = Change(
    "queues and tokens",
    LIMITS,
    (
        (
            "{Engine.LOAD: 4, Engine.COMPUTE: 1, Engine.STORE: 4}",
            "{Engine.LOAD: 2, Engine.COMPUTE: 2, Engine.STORE: 1}",
        ),
        ("\nTOKEN_BITS = 8\n", "\nTOKEN_BITS = 6\n"),
    ),
)
