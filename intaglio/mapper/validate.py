"""Proves a Program safe on a configuration, without trusting how it was made.

Every command legal; sums continued where they were kept; the image whole; dispatch, queues and tokens without a
deadlock and without a counter's overflow; and each pair of commands of different engines that must not overlap or
change places ordered by tokens. Ordering is by vector clocks over the three engines, footprints are this side's own (footprint.py).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from intaglio.errors import InputError
from intaglio.hw.config import Config
from intaglio.hw.isa import Command, Engine, LocalMemory, token_bit
from intaglio.mapper.continuation import continuation_faults
from intaglio.mapper.footprint import Footprint
from intaglio.mapper.legality import faults
from intaglio.mapper.program import PROGRAM_OFFSET, VERSION, Program

QUEUE_DEPTH = {Engine.LOAD: 4, Engine.COMPUTE: 1, Engine.STORE: 4}
"""Commands that wait in an engine's queue beside the one that runs."""
MOST_TOKENS = 255
TOKEN_BITS = {me: [(other, token_bit(me, other)) for other in Engine if other != me] for me in Engine}
PAIRS = tuple((a, b) for a in Engine for b in Engine if a != b)


def validate(program: Program, config: Config) -> None:
    """Raises InputError that names the first command at fault, or the part of the program."""
    _check_frame(program, config)
    validate_commands(program.commands, config, program.memory_bytes, len(program.layers))
    code = program.words().astype("<u4").tobytes()
    if code != program.image[PROGRAM_OFFSET : PROGRAM_OFFSET + len(code)]:
        raise InputError("program: its image does not begin with its commands; map the network again")


def validate_commands(commands: tuple[Command, ...], config: Config, memory_bytes: int, layers: int) -> None:
    """Raises InputError that names the first command at fault. memory_bytes: of external memory; layers: tags are less."""
    touched: list[list[Footprint]] = []
    for index, command in enumerate(commands):
        touched.append([])
        for fault in faults(config, command, memory_bytes, touched[-1]):
            _refuse(index, command, fault)
        if command["tag"] >= layers:
            _refuse(index, command, f"tag = {command['tag']}, the program has {layers} layers")
    for index, fault in continuation_faults(config, commands):
        _refuse(index, commands[index], fault)
    links = [_links(command) for command in commands]
    order = _run(commands, links, None)
    for engine in Engine:
        _run(commands, links, engine)
    _check_order(config, commands, touched, _clocks(links, order))


def _refuse(index: int, command: Command, reason: str) -> None:
    raise InputError(f"program: command {index} ({command.opcode.name}): {reason}; map the network again")


def _check_frame(program: Program, config: Config) -> None:
    if program.version != VERSION:
        raise InputError(f"program: version {program.version}, this intaglio has {VERSION}; map again")
    if program.config_hash != config.hardware_hash():
        raise InputError(
            f"program: made for configuration hash {program.config_hash:016x}, {config.name!r} has "
            f"{config.hardware_hash():016x}; map the network for this configuration"
        )
    if not len(program.image) <= program.memory_bytes <= 1 << 32:
        raise InputError(f"program: memory_bytes = {program.memory_bytes} does not hold the image, or is above 4 GiB")
    for name in (*program.inputs, *program.outputs):
        if name not in program.places:
            raise InputError(f"program: tensor {name!r} has no place; map the network again")
    for name, place in program.places.items():
        if min(place.rows, place.row_bytes) < 1 or place.offset < 0 or place.row_stride < place.row_bytes:
            raise InputError(f"program: the place of tensor {name!r} is malformed; map the network again")
        if place.offset + place.span > program.memory_bytes:
            raise InputError(f"program: tensor {name!r} ends beyond memory_bytes; map the network again")


# Dispatch without time.


@dataclass(frozen=True)
class _Links:
    """A command's engine, the engines whose tokens it waits for, and those that it signals."""

    engine: Engine
    waits: tuple[Engine, ...]
    signals: tuple[Engine, ...]


def _links(command: Command) -> _Links:
    me = command.engine
    waits, signals = (
        tuple(other for other, bit in TOKEN_BITS[me] if command[name] >> bit & 1) for name in ("wait", "signal")
    )
    return _Links(me, waits, signals)


@dataclass
class _Machine:
    """Dispatch, three queues and six token counters; any amount of time may pass between two events."""

    commands: tuple[Command, ...]
    links: list[_Links]
    next: int = 0
    queues: dict[Engine, deque[int]] = field(default_factory=lambda: {e: deque() for e in Engine})
    tokens: dict[tuple[Engine, Engine], int] = field(default_factory=lambda: dict.fromkeys(PAIRS, 0))
    order: list[int] = field(default_factory=list)

    def dispatch(self) -> bool:
        """Moves as many commands as the queues take; the first that does not fit blocks those behind it."""
        moved = False
        while self.next < len(self.commands):
            engine = self.links[self.next].engine
            if len(self.queues[engine]) > QUEUE_DEPTH[engine]:  # the first of the queue is the one staged
                break
            self.queues[engine].append(self.next)
            self.next += 1
            moved = True
        return moved

    def step(self, engine: Engine) -> bool:
        """Runs an engine's next command if its tokens are there."""
        if not self.queues[engine]:
            return False
        index = self.queues[engine][0]
        links = self.links[index]
        for other in links.waits:
            if not self.tokens[other, engine]:
                return False
        for other in links.waits:
            self.tokens[other, engine] -= 1
        for other in links.signals:
            self.tokens[engine, other] += 1
            if self.tokens[engine, other] > MOST_TOKENS:
                _refuse(index, self.commands[index], f"may leave more than {MOST_TOKENS} tokens for {other.name}")
        self.queues[engine].popleft()
        self.order.append(index)
        return True


def _run(commands: tuple[Command, ...], links: list[_Links], late: Engine | None) -> list[int]:
    """An order in which the commands can complete; engine `late` moves only when nothing else can, so that its
    tokens pile up as high as they ever may. A program that stops raises InputError."""
    machine = _Machine(commands, links)
    eager = [engine for engine in Engine if engine != late]
    while len(machine.order) < len(commands):
        moved = machine.dispatch()
        for engine in eager:
            while machine.step(engine):
                moved = True
        if not moved and not (late is not None and machine.step(late)):
            heads = [queue[0] for queue in machine.queues.values() if queue]
            index = min(heads)
            _refuse(index, commands[index], "waits for a token that never comes")
    return machine.order


# Order by tokens.

Clock = dict[Engine, int]
"""For each engine the greatest index of its commands known to be complete, -1 for none."""


def _clocks(links: list[_Links], order: list[int]) -> list[Clock]:
    """What is complete when each command starts."""
    started: list[Clock] = [{} for _ in links]
    last: dict[Engine, Clock] = {e: dict.fromkeys(Engine, -1) for e in Engine}
    signals: dict[tuple[Engine, Engine], deque[Clock]] = {pair: deque() for pair in PAIRS}
    for index in order:
        me = links[index].engine
        clock = dict(last[me])
        for other in links[index].waits:
            heard = signals[other, me].popleft()
            clock = {e: max(clock[e], heard[e]) for e in Engine}
        started[index] = clock
        done = {**clock, me: index}
        last[me] = done
        for other in links[index].signals:
            signals[me, other].append(done)
    return started


def _check_order(
    config: Config, commands: tuple[Command, ...], touched: list[list[Footprint]], clocks: list[Clock]
) -> None:
    """Each command against those before it, of other engines, that may still run when it starts."""
    indices: dict[Engine, list[int]] = {engine: [] for engine in Engine}
    for index, command in enumerate(commands):
        for other in Engine:
            if other == command.engine:
                continue
            for earlier in reversed(indices[other]):
                if earlier <= clocks[index][other]:
                    break
                reason = _conflict(config, touched[earlier], touched[index])
                if reason:
                    _refuse(index, command, f"may overlap command {earlier} ({other.name}): {reason}")
        indices[command.engine].append(index)


def _conflict(config: Config, earlier: list[Footprint], later: list[Footprint]) -> str:
    for a in earlier:
        for b in later:
            if (a.write or b.write) and a.overlaps(b):
                where = "external memory" if a.memory is None else f"the {a.memory.name.lower()} memory"
                return f"both touch bytes {max(a.low, b.low)} to {min(a.high, b.high) - 1} of {where}"
            if a.memory is b.memory is LocalMemory.ACTIVATION and a.write == b.write:
                shared = a.banks(config.bank_bytes) & b.banks(config.bank_bytes)
                if shared:
                    port = "write" if a.write else "read"
                    return f"both use the {port} port of activation bank {min(shared)}"
    return ""
