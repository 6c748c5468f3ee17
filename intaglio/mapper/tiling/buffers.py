"""Places on chip of the pieces of a layer or of a chain, and what then waits for what.

LOAD and COMPUTE share a bank's write port, STORE and COMPUTE its read port. So what is loaded should share no bank with
what COMPUTE writes, and what is stored none with what COMPUTE reads; where they do, transfers and computing take turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from intaglio.machine.config import Config
from intaglio.mapper.tiling.allocate import FreeSpace, Interval
from intaglio.program.layout import align_up


class Setting(NamedTuple):
    """The surroundings of a layer. resident: on-chip address of each input, then of the output, None where it is
    outside. stored: the output goes outside (too). free: intervals for buffers."""

    resident: tuple[int | None, ...]
    stored: bool
    free: tuple[Interval, ...]

    def space(self, config: Config) -> FreeSpace:
        """The free intervals, to be taken from."""
        return FreeSpace.of(self.free, config.bank_bytes)

    def with_free(self, low: int, high: int) -> Setting:
        """With an interval behind all others free too, empty or not."""
        if low == high:
            return self
        *before, last = self.free or ((low, low),)
        joined = [(last[0], high)] if last[1] == low else [last, (low, high)]
        return self._replace(free=(*before, *joined))

    def taken(self, config: Config, but: Sequence[Interval] = ()) -> list[Interval]:
        """Intervals in use, without the intervals `but`."""
        out = []
        at = 0
        for low, high in sorted([*self.free, *but, (config.activation_bytes, config.activation_bytes)]):
            if at < low:
                out.append((at, low))
            at = max(at, high)
        return out


_INPUT, _BETWEEN, _OUTPUT, _RESIDENT = range(4)
_SHUN = {_INPUT: (_BETWEEN, _OUTPUT), _BETWEEN: (_INPUT,), _OUTPUT: (_INPUT, _BETWEEN, _RESIDENT)}
"""Whose banks a buffer keeps out of."""


class Wanted(NamedTuple):
    """Bytes of a piece's buffers. inputs, output: 0 where resident. between: of what lies between a chain's layers."""

    inputs: tuple[int, ...]
    between: tuple[int, ...]
    output: int


class Buffers(NamedTuple):
    """inputs, between, output: addresses; none where nothing is wanted. waiting: indices of inputs whose loads do not
    overlap with computing. store_waits: nor do stores, except with a chain's first layer where `store_beside_first`."""

    inputs: tuple[tuple[int, ...], ...]
    between: tuple[int, ...]
    output: tuple[int, ...]
    waiting: tuple[int, ...]
    store_waits: bool
    store_beside_first: bool = False


def placements(
    config: Config,
    setting: Setting,
    resident_bytes: Sequence[int],
    wanted: Wanted,
    pieces: int,
    slabs: int = 1,
    best: bool = False,
) -> Iterator[Buffers]:
    """Ways to place the buffers of `pieces` > 0 pieces: inputs and output double-buffered, one of them, or none. slabs: parts
    of each piece, by channels, that leave by themselves. best: none behind one in which nothing waits, for none is better.

    resident_bytes: sizes of the whole inputs and output, of which only those that are resident count.
    """
    depths = [(2, 2), (2, 1), (1, 2), (1, 1)]
    turns = pieces, pieces * slabs
    for depth in depths:
        if depth[0] > 1 and not (any(wanted.inputs) and turns[0] > 1):
            continue
        if depth[1] > 1 and not (wanted.output and turns[1] > 1):
            continue
        for apart in (True, False):
            placed = _place(config, setting, resident_bytes, wanted, depth, apart, turns)
            if placed is not None:
                yield placed
                if best and not placed.waiting and not placed.store_waits:
                    return
                break


def _place(
    config: Config,
    setting: Setting,
    resident_bytes: Sequence[int],
    wanted: Wanted,
    depth: tuple[int, int],
    apart: bool,
    turns: tuple[int, int],
) -> Buffers | None:
    """apart: in different banks where that leaves room. turns: how often the buffers of inputs, and of the output, are used."""
    space = setting.space(config)
    bus = config.bus_bytes
    items = [(size, _INPUT, i, depth[0]) for i, size in enumerate(wanted.inputs) if size]
    items += [(size, _BETWEEN, i, 1) for i, size in enumerate(wanted.between)]
    items += [(wanted.output, _OUTPUT, 0, depth[1])] if wanted.output else []
    if sum(align_up(size, bus) * count for size, _, _, count in items) > sum(high - low for low, high in setting.free):
        return None
    items.sort(key=lambda item: -item[0])
    banks = [0, 0, 0, 0]
    for at, size in zip(setting.resident[:-1], resident_bytes, strict=False):
        if at is not None:
            banks[_RESIDENT] |= space.banks(at, size)
    if setting.resident[-1] is not None:
        banks[_OUTPUT] |= space.banks(setting.resident[-1], resident_bytes[-1])
    loaded = [0] * len(wanted.inputs)
    found: dict[tuple[int, int], tuple[int, ...]] = {}
    for size, kind, index, count in items:
        avoid = 0
        for other in _SHUN[kind] if apart else ():
            avoid |= banks[other]
        addresses = []
        for _ in range(count):
            at = space.take(align_up(max(size, 1), bus), avoid)
            if at is None:
                return None
            addresses.append(at)
            touched = space.banks(at, size)
            banks[kind] |= touched
            if kind == _INPUT:
                loaded[index] |= touched
        found[kind, index] = tuple(addresses)
    written = banks[_BETWEEN] | banks[_OUTPUT]
    alone = turns[0] > 1 and depth[0] == 1, turns[1] > 1 and depth[1] == 1
    waiting = [i for i, size in enumerate(wanted.inputs) if size and (loaded[i] & written or alone[0])]
    read = banks[_INPUT] | banks[_BETWEEN] | banks[_RESIDENT]
    store_waits = setting.stored and (bool(banks[_OUTPUT] & read) or (alone[1] and wanted.output > 0))
    return Buffers(
        tuple(found.get((_INPUT, i), ()) for i in range(len(wanted.inputs))),
        tuple(found[_BETWEEN, i][0] for i in range(len(wanted.between))),
        found.get((_OUTPUT, 0), ()),
        tuple(waiting),
        store_waits,
        not banks[_OUTPUT] & (banks[_INPUT] | banks[_RESIDENT]),
    )
