"""Sums that continue from one command to the next: the sequence of CONV commands, and that of POOL commands.

Only CONV and DEPTHWISE commands change the array's sums and only POOL commands the vector path's, so the commands of
each are looked at by themselves, in program order. DEPTHWISE neither keeps nor takes sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from intaglio.hw.isa import Command, Opcode

SHAPE = {Opcode.CONV: ("last_pixels", "last_channels"), Opcode.POOL: ("channels", "maximum")}
"""Fields that say which sums there are, and whether they are sums."""


def continuation_faults(commands: Iterable[Command]) -> Iterator[tuple[int, str]]:
    """(index, reason) of commands that drop sums which were kept, or continue sums that were not."""
    kept: dict[Opcode, tuple[int, Command]] = {}
    for index, command in enumerate(commands):
        opcode = command.opcode
        if opcode is Opcode.CONV:
            resumes, holds = not command["start"], not command["drain"]
        elif opcode is Opcode.DEPTHWISE:
            opcode, resumes, holds = Opcode.CONV, False, False
        elif opcode not in SHAPE:
            continue
        else:
            resumes, holds = bool(command["resume"]), bool(command["hold"])
        before = kept.pop(opcode, None)
        if resumes and before is None:
            yield index, f"continues sums that no {opcode.name} before it kept"
        elif not resumes and before is not None:
            yield index, f"drops the sums that command {before[0]} kept"
        elif before is not None:
            for name in SHAPE[opcode]:
                if command[name] != before[1][name]:
                    yield index, f"{name} = {command[name]} continues command {before[0]}, of {before[1][name]}"
        if holds:
            kept[opcode] = index, command
    for index, _ in kept.values():
        yield index, "keeps sums that no command takes"
