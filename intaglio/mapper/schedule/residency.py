"""Residency of tensors in the activation memory: which stay, for how long, and at which address.

Each value has `keep`, the number of its uses, from the first on, that find it on chip; later uses read it from
outside. A walk over the layers places values and plans each layer, or chain of layers, in what remains. First every
value is kept; where a layer does not fit, the value whose absence costs least gives way. Then neighbours are joined
into chains, and single changes are tried, as long as the estimate falls.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NoReturn

from intaglio.errors import Refusal, RefusedError
from intaglio.machine.config import Config
from intaglio.mapper.fusion.chain import Chain, can_chain
from intaglio.mapper.fusion.chain_planner import ChainPlanner
from intaglio.mapper.lower.lowered import Lowered, Value
from intaglio.mapper.schedule.schedule import ByCycles, Keep, Placed, Schedule, Structure
from intaglio.mapper.schedule.walks import NOTHING, PARTS, State, Step, Walk
from intaglio.mapper.tiling.allocate import FreeSpace
from intaglio.mapper.tiling.buffers import Setting
from intaglio.mapper.tiling.estimate import Spare
from intaglio.mapper.tiling.layer_planner import LayerPlanner

PASSES = 2
"""Rounds of single changes at most."""


class Scheduler:
    def __init__(
        self,
        network: Lowered,
        config: Config,
        keep_all: bool,
        choice: ByCycles | None = None,
        like: Scheduler | None = None,
    ):
        """choice: what the search prefers; by default fewer cycles. like: of the same network; its planners know what these may
        share, as LayerPlanner says."""
        self.network, self.config, self.keep_all = network, config, keep_all
        self.choice, self._like = choice or ByCycles(), like
        alike: dict[object, LayerPlanner] = {}
        known = [None] * len(network.tasks) if like is None else like.planners
        self.planners: list[LayerPlanner] = [
            alike.setdefault(task.alike, LayerPlanner(task, config, of))
            for task, of in zip(network.tasks, known, strict=True)
        ]
        self._alike: dict[object, ChainPlanner] = {}
        self.chains = [Chain((task,)) for task in network.tasks]
        self._joined: dict[range, tuple[Chain, ChainPlanner]] = {}
        self._steps: dict[object, tuple[Placed | None, tuple[str, ...], dict[str, tuple[int, int]]]] = {}
        self._spans = [range(i, i + 1) for i in range(len(network.tasks))]
        self.required = {network.operands[name].value for name in network.inputs + network.outputs}

    def prefer(self, choice: ByCycles) -> None:
        """Begins anew with another choice; the planners stay."""
        self.choice, self._steps = choice, {}

    def run(self) -> Schedule:
        """Raises RefusedError with the layers that do not fit and the field that is too small."""
        found = self.planned(self.search())
        assert found is not None
        return found

    def planned(self, structure: Structure) -> Schedule | None:
        """The schedule of a structure, each layer with the plan that this configuration prefers; None where a layer does not fit."""
        self._spans = structure.spans
        walk = self._walk(structure.keep)
        if walk.failed is not None:
            return None
        outside = frozenset(v.name for v in self.network.values.values() if self._outside(v, structure.keep))
        return Schedule(tuple(walk.layers), outside, walk.cycles)

    def adopted(self, found: Schedule, smaller: Config) -> Schedule:
        """The schedule that was found for a smaller machine, with the same plans and addresses, for this one: its layers' planners are
        this one's, and what lies beyond the smaller memory is free."""
        number = {task: i for i, task in enumerate(self.network.tasks)}
        beyond = (smaller.activation_bytes, self.config.activation_bytes)
        layers = []
        for layer in found.layers:
            first, last = (number[layer.chain.tasks[i]] for i in (0, -1))
            chain, planner = self._planner(range(first, last + 1))
            layers.append(replace(layer, chain=chain, planner=planner, setting=layer.setting.with_free(*beyond)))
        return replace(found, layers=tuple(layers))

    def search(self, begin: Structure | None = None) -> Structure:
        """As run, without the plans. begin: whose spans the search begins with; without it every task is by itself."""
        self._spans = [range(i, i + 1) for i in range(len(self.network.tasks))] if begin is None else begin.spans
        values = self.network.values.values()
        keep = {v.name: 0 if v.producer is None and len(v.uses) == 1 else len(v.uses) for v in values}
        keep, walk = self._repair(keep)
        for _ in range(PASSES):
            before = walk
            keep, walk = self._join(keep, walk)
            keep, walk = self._part(keep, walk)
            keep, walk = self._improve(keep, walk)
            if not self.choice.better(walk, before):
                break
        return Structure(self._spans, keep)

    def _outside(self, value: Value, keep: Keep) -> bool:
        if self._between(value):
            return False
        spilled = keep[value.name] < len(value.uses) or not value.uses
        return self.keep_all or spilled or value.name in self.required

    # Search.

    def _repair(self, keep: Keep) -> tuple[Keep, Walk[Placed]]:
        walk = self._walk(keep)
        while walk.failed is not None:
            best: tuple[tuple[bool, int], Keep, str] | None = None
            for name in walk.held:
                value = self.network.values[name]
                fewer = sum(use < walk.failed for use in value.uses)
                if value.producer == walk.failed:
                    fewer = 0
                if fewer >= keep[name] or fewer < value.least_kept:
                    continue
                changed = {**keep, name: fewer}
                trial = self._walk(changed, walk, (name,), stop=walk.failed + 1)
                stuck = trial.failed is not None
                moves = len(value.uses) - fewer + (not self._outside(value, keep))
                score = (stuck, -value.size if stuck else value.size * moves)
                if best is None or score < best[0]:
                    best = score, changed, name
            if best is None:
                self._refuse(walk)
            keep = best[1]
            walk = self._walk(keep, walk, (best[2],))
        return keep, walk

    def _improve(self, keep: Keep, walk: Walk[Placed]) -> tuple[Keep, Walk[Placed]]:
        for value in self.network.values.values():
            for count in range(value.least_kept, len(value.uses) + 1):
                if count == keep[value.name] or self._between(value):
                    continue
                changed = {**keep, value.name: count}
                trial = self._walk(changed, walk, (value.name,))
                if trial.failed is None and self.choice.better(trial, walk):
                    keep, walk = changed, trial
        return keep, walk

    def _join(self, keep: Keep, walk: Walk[Placed]) -> tuple[Keep, Walk[Placed]]:
        """Joins neighbouring spans, the first of which leaves its output outside, or that can run by channels, as long as the
        estimate falls."""
        if self.keep_all:
            return keep, walk
        at = 0
        while at + 1 < len(self._spans):
            before = self._spans
            joined = range(before[at].start, before[at + 1].stop)
            spans = self._regrouped(at, 2, joined)
            if spans is not None and self._worth_joining(before[at], joined, keep):
                self._spans = spans
                ends = self._ends_outside(keep, walk, at)
                better = next((found for found in ends if self.choice.better(found[1], walk)), None)
                if better is not None:
                    keep, walk = better
                    at = max(at - 1, 0)
                    continue
                self._spans = before
            at += 1
        return keep, walk

    def _part(self, keep: Keep, walk: Walk[Placed]) -> tuple[Keep, Walk[Placed]]:
        """Parts chains in two where that is better: layers that were joined early may do better with those behind them, or with an
        input that was put outside for the chain's sake back on chip."""
        for span in [span for span in self._spans if len(span) > 2]:
            before = self._spans
            at = before.index(span)
            best = before
            for cut in span[1:]:
                self._spans = before
                spans = self._regrouped(at, 1, range(span.start, cut), range(cut, span.stop))
                if spans is None:
                    continue
                self._spans = spans
                made = self._made_by(self._spans[at])
                read = [
                    self.network.values[name] for name in dict.fromkeys(x.value for x in self._planner(span)[0].inputs)
                ]
                whole = {made.name: len(made.uses)}
                for change in (
                    {made.name: made.least_kept},
                    whole,
                    *(whole | {value.name: len(value.uses)} for value in read),
                ):
                    changed = {**keep, **change}
                    trial = self._walk(changed, walk, change, at=at, instead=2)
                    if trial.failed is None and self.choice.better(trial, walk):
                        keep, walk, best = changed, trial, self._spans
            self._spans = best
        return keep, walk

    def _ends_outside(self, keep: Keep, walk: Walk[Placed], at: int) -> Iterator[tuple[Keep, Walk[Placed]]]:
        """Walks with the output and the inputs of the chain that is span number `at` where they are, and with one of the two or
        both outside, for more room within. walk: the one before the two were joined."""
        span = self._spans[at]
        made = {(of := self._made_by(span)).name: of.least_kept}
        values = [self.network.values[name] for name in {x.value for x in self._planner(span)[0].inputs}]
        read = {v.name: max(sum(use < span.start for use in v.uses), v.least_kept) for v in values}
        changes: list[Keep] = [{}, made, read, {**read, **made}]
        tried: list[Keep] = []
        for change in changes:
            fewer = {name: n for name, n in change.items() if n < keep[name]}
            if fewer not in tried:
                tried.append(fewer)
                changed = {**keep, **fewer}
                trial = self._walk(changed, walk, fewer, at=at, instead=1)
                if trial.failed is None:
                    yield changed, trial

    def _regrouped(self, at: int, count: int, *instead: range) -> list[range] | None:
        """The spans with `count` of them, from number `at` on, replaced; None where one of those instead is several tasks that
        cannot run as a chain."""
        if any(len(span) > 1 and not can_chain(self.network, span, self.required) for span in instead):
            return None
        return [*self._spans[:at], *instead, *self._spans[at + count :]]

    def _worth_joining(self, first: range, joined: range, keep: Keep) -> bool:
        """True where there is anything to gain: `first` leaves its output outside, or the two can run by channels."""
        return self._outside(self._made_by(first), keep) or self._planner(joined)[0].by_channels

    def _made_by(self, span: range) -> Value:
        return self.network.values[self.network.tasks[span[-1]].output.value]

    def _between(self, value: Value) -> bool:
        """True for a value that lives within a chain only."""
        return value.producer is not None and value.producer != self._spans[self._number(value.producer)][-1]

    def _refuse(self, walk: Walk[Placed]) -> NoReturn:
        """Every layer that does not fit even alone. Where a walk fails with nothing left to put outside, its layer
        is one of them."""
        assert walk.failed is not None
        small = {i for i, planner in enumerate(self.planners) if planner.alone() is None} | {walk.failed}
        named = [(self.network.layers[self.network.tasks[i].tag], self.planners[i]) for i in sorted(small)]
        raise RefusedError(
            f"configuration {self.config.name!r} is too small:",
            [Refusal(layer.name, layer.kind, *planner.shortage()) for layer, planner in named],
        )

    # One walk.

    def _walk(
        self,
        keep: Keep,
        base: Walk[Placed] | None = None,
        changed: Iterable[str] = (),
        stop: int | None = None,
        at: int | None = None,
        instead: int = 0,
    ) -> Walk[Placed]:
        """Places the spans before task `stop` (all by default) in order.

        base: a walk that differs: in the values `changed` that it keeps; and in spans, of which there are `instead` others from
        number `at` on. What comes before is shared with it, and what comes behind as soon as the states agree and nothing that
        differs is left.
        """
        first, shared, shift = 0, 0, 0
        state = NOTHING
        if base is not None:
            reach = [self._reach(name) for name in changed]
            starts = [self._number(low) for low, _ in reach] + ([] if at is None else [at])
            first = min([len(base.steps), *starts])
            shift = len(self._spans) - self._spans_of(base)
            shared = max(
                [first, *(self._number(high) + 1 for _, high in reach), *([] if at is None else [at + instead])]
            )
            state = base.state(first)
        middle: list[Step[Placed]] = []
        for number in range(first, len(self._spans)):
            span = self._spans[number]
            if stop is not None and span.start >= stop:
                break
            joins = base is not None and number >= shared and number - shift < len(base.steps)
            if base is not None and joins and base.steps[number - shift].before.same(state):
                return Walk(middle, base.after, base.failed, base.held, base, first, number - shift)
            layer, names, held = self._step(span, keep, state.held, state.spare)
            if layer is None:
                return Walk(middle, state, span.start, names, base, first)
            cycles = layer.plan.cycles.after(state.spare)
            for name, _ in (*layer.fetched, *layer.left):
                size = self.network.values[name].size
                cycles += self.config.memory.cost.cycles(size)
            middle.append(Step(layer, state, round(cycles * PARTS)))
            state = State(held, layer.plan.cycles.spare)
        return Walk(middle, state, base=base, first=first)

    def _spans_of(self, walk: Walk[Placed]) -> int:
        """Number of spans that a walk was made over."""
        if walk.failed is None:
            return len(walk.steps)
        return len(self._spans)  # spans change only once all layers fit

    def _reach(self, name: str) -> tuple[int, int]:
        """The first and the last task that how often a value is kept may matter to."""
        value = self.network.values[name]
        tasks = [*([] if value.producer is None else [value.producer]), *value.uses]
        return tasks[0], tasks[-1]

    def _number(self, task: int) -> int:
        """Number of the span that a task is in."""
        return bisect_right(self._spans, task, key=lambda span: span.start) - 1

    def _step(
        self, span: range, keep: Keep, held: dict[str, tuple[int, int]], spare: Spare
    ) -> tuple[Placed | None, tuple[str, ...], dict[str, tuple[int, int]]]:
        """The result of `_place`, and what is on chip after the layer or chain. Most walks differ in a few layers only: each state
        that a layer meets is placed once."""
        chain = self._planner(span)[0]
        values = *held, *(x.value for x in chain.inputs), chain.output.value
        state = span, spare, tuple(held.items()), tuple(keep[name] for name in values)
        if state not in self._steps:
            after = dict(held)
            layer, names = self._place(span, keep, after, spare)
            if layer is not None:
                uses = {name: self.network.values[name].uses[keep[name] - 1] for name in after}
                after = {name: at for name, at in after.items() if uses[name] >= span.stop}
            self._steps[state] = layer, names, after
        return self._steps[state]

    def _place(
        self, span: range, keep: Keep, held: dict[str, tuple[int, int]], spare: Spare
    ) -> tuple[Placed | None, tuple[str, ...]]:
        """Places one layer or chain; adds its output and fetched inputs to `held` (name to interval). spare: what the layer before
        leaves."""
        chain, planner = self._planner(span)
        fetched = []
        for operand in chain.inputs:
            value = self.network.values[operand.value]
            if self._kept(value, span, keep) and value.name not in held:
                at = self._space(held).take(value.size, 0)
                if at is None:
                    return None, (*held, value.name)
                held[value.name] = (at, at + value.size)
                fetched.append((value.name, at))
        resident = tuple(
            held[x.value][0] if x.value in held and self._kept(self.network.values[x.value], span, keep) else None
            for x in chain.inputs
        )
        output = self.network.values[chain.output.value]
        outside = self._outside(output, keep)
        stored = outside and not output.in_parts
        address = None
        if output.in_parts and output.name in held:
            address = held[output.name][0]
        elif keep[output.name]:
            address = self._output_address(span, keep, held, stored)
            if address is None:
                return None, (*held, output.name)
            held[output.name] = (address, address + output.size)
        setting = Setting((*resident, address), stored, tuple(self._space(held).free))
        plan = self.choice.plan(chain, planner, setting, spare)
        if plan is None:
            return None, tuple(held)
        left: tuple[tuple[str, int], ...] = ()
        if outside and output.in_parts and output.writers[-1] in span:
            assert address is not None, f"{output.name!r} is written in parts outside"
            left = ((output.name, address),)
        return Placed(chain, planner, plan, setting, tuple(fetched), left), ()

    def _planner(self, span: range) -> tuple[Chain, LayerPlanner | ChainPlanner]:
        if len(span) == 1:
            return self.chains[span.start], self.planners[span.start]
        if span not in self._joined:
            chain = Chain(tuple(self.network.tasks[i] for i in span))
            shape = (chain.sources, *(task.alike for task in chain.tasks))
            if shape not in self._alike:
                known = None if self._like is None else self._like._planner(span)[1]
                assert not isinstance(known, LayerPlanner)
                self._alike[shape] = ChainPlanner(chain, self.config, known)
            self._joined[span] = chain, self._alike[shape]
        return self._joined[span]

    def _kept(self, value: Value, span: range, keep: Keep) -> bool:
        """True where every use within the span finds the value on chip."""
        return [use for use in value.uses if use in span][-1] in value.uses[: keep[value.name]]

    def _output_address(self, span: range, keep: Keep, held: dict[str, tuple[int, int]], stored: bool) -> int | None:
        """A new block, or the block of an input that is not needed any more (where transfers do not suffer)."""
        chain, task = self._planner(span)[0], self.network.tasks[span.start]
        space = self._space(held)
        size = self.network.values[chain.output.value].size
        mine = [x for x in chain.inputs if x.value in held]
        over = None
        if len(span) == 1 and task.in_place:
            for x in mine:
                last = self.network.values[x.value].uses[keep[x.value] - 1]
                if last == span.start and x.layout == task.output.layout:
                    over = held[x.value][0]
        if over is not None and not stored:
            return over
        avoid = 0
        for x in mine:
            avoid |= space.banks(held[x.value][0], x.layout.size)
        at = space.take(size, avoid)
        return over if at is None else at

    def _space(self, held: dict[str, tuple[int, int]]) -> FreeSpace:
        return FreeSpace(self.config.activation_bytes, self.config.bank_bytes, held.values())
