"""The search by an Objective: plans and schedules by the exact energy of their commands beside their estimated cycles.

Counting a plan's actions takes its commands, which takes longer than an estimate. So plans go in the order of the least that
they may cost, and those are left out that cannot cost less than the best one so far: whatever the plan, the layer's products
are computed, its bytes move outside, and each piece takes a command.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace

from intaglio.machine.config import Config
from intaglio.machine.isa import ENGINE_OF, WORDS_OF, Command, Engine
from intaglio.mapper.emit.emission import Emission
from intaglio.mapper.emit.emit import emit
from intaglio.mapper.fusion.chain import Chain
from intaglio.mapper.fusion.chain_plan import ChainPlan
from intaglio.mapper.fusion.chain_planner import ChainPlanner
from intaglio.mapper.lower.lowered import Lowered
from intaglio.mapper.schedule.residency import Scheduler
from intaglio.mapper.schedule.schedule import ByCycles, Placed, Schedule
from intaglio.mapper.schedule.walks import Walk
from intaglio.mapper.search.objective import FJ_PER_PJ, GOALS, Cost, Objective
from intaglio.mapper.tasks.convolution import ConvTask
from intaglio.mapper.tasks.groups import Groups
from intaglio.mapper.tasks.job import Job
from intaglio.mapper.tasks.parts import loads_of_parts
from intaglio.mapper.tasks.task import Task
from intaglio.mapper.tiling.buffers import Setting
from intaglio.mapper.tiling.estimate import Spare
from intaglio.mapper.tiling.layer_plan import LayerPlan
from intaglio.mapper.tiling.layer_planner import LayerPlanner
from intaglio.program.grid import Grid
from intaglio.program.layout import Region

_LEAST_WORDS = min(words for opcode, words in WORDS_OF.items() if ENGINE_OF[opcode] is Engine.COMPUTE)
"""32-bit words of the shortest compute command."""
_BY_PART = ("macs", "weight_reads")
_BY_PATCH = ("macs", "weight_reads", "activation_reads")
"""Actions of which a layer in pieces may take fewer than one in one piece."""


@dataclass(frozen=True)
class _Option:
    """A plan, and the least energy of its actions, in fJ."""

    plan: LayerPlan | ChainPlan
    least: int


def schedule_by(network: Lowered, config: Config, keep_all: bool, objective: Objective) -> Schedule:
    """The best schedule that searches for the goal itself and for those before it in GOALS find: each search takes single
    steps, so that one for energy may miss what the one for cycles comes upon. Raises as Scheduler.run does."""
    found = []
    choice = ByObjective(network, config, objective)
    scheduler = Scheduler(network, config, keep_all, choice)
    for goal in GOALS[: GOALS.index(objective.goal) + 1]:
        scheduler.prefer(choice.with_goal(goal))
        schedule = scheduler.run()
        found.append((objective.key(choice.cost(schedule.layers, schedule.cycles)), schedule))
    return min(found, key=lambda option: option[0])[1]


class ByObjective(ByCycles):
    """Preference for less energy, or a product of energy and cycles. Energies are whole fJ, kept by kinds of plans: of actions, without the price of cycles."""

    def __init__(self, network: Lowered, config: Config, objective: Objective):
        self.network, self.config, self.objective = network, config, objective
        self._options: dict[tuple[LayerPlanner | ChainPlanner, Setting], list[_Option]] = {}
        self._chosen: dict[tuple[LayerPlanner | ChainPlanner, Setting, Spare], LayerPlan | ChainPlan | None] = {}
        self._kinds: dict[tuple[LayerPlanner | ChainPlanner, Setting, LayerPlan | ChainPlan], Hashable] = {}
        self._energies: dict[Hashable, int] = {}
        self._computing: dict[tuple[LayerPlanner | ChainPlanner, bool], int] = {}
        self._fetching: dict[tuple[tuple[str, int], ...], int] = {}
        bus = config.bus_bytes
        moves = ("load_activation_words", "load_weight_words", "store_words")
        self._byte = min(objective.price(action) for action in moves) / bus
        self._command = 4 * _LEAST_WORDS * objective.price("fetch_words") / bus

    def with_goal(self, goal: str) -> ByObjective:
        """The same with another goal, and one knowledge of energies."""
        other = copy(self)
        other.objective, other._chosen = replace(self.objective, goal=goal), {}
        return other

    def plan(
        self, chain: Chain, planner: LayerPlanner | ChainPlanner, setting: Setting, spare: Spare
    ) -> LayerPlan | ChainPlan | None:
        if (planner, setting, spare) not in self._chosen:
            self._chosen[planner, setting, spare] = self._choose(chain, planner, setting, spare)
        return self._chosen[planner, setting, spare]

    def _choose(
        self, chain: Chain, planner: LayerPlanner | ChainPlanner, setting: Setting, spare: Spare
    ) -> LayerPlan | ChainPlan | None:
        key = planner, setting
        if key not in self._options:
            plans: list[LayerPlan | ChainPlan] = [*planner.candidates(setting)]
            self._options[key] = [_Option(plan, self._least(chain, planner, plan)) for plan in plans]
        score = self.objective.key

        def cost(plan: LayerPlan | ChainPlan, energy: int) -> tuple[float, float]:
            return score(self._with_cycles(energy, plan.cycles.after(spare)))

        order = sorted(self._options[key], key=lambda option: cost(option.plan, option.least))
        best: tuple[tuple[float, float], LayerPlan | ChainPlan] | None = None
        for option in order:
            if best is not None and cost(option.plan, option.least) >= best[0]:
                break
            found = cost(option.plan, self._energy(Placed(chain, planner, option.plan, setting, ())))
            if best is None or found < best[0]:
                best = found, option.plan
        return None if best is None else best[1]

    def better(self, walk: Walk[Placed], than: Walk[Placed]) -> bool:
        a, b = self.cost(walk.layers, walk.cycles), self.cost(than.layers, than.cycles)
        return self.objective.key(a) < self.objective.key(b)

    def cost(self, layers: Iterable[Placed], cycles: float) -> Cost:
        """Cost of layers that together take so many estimated cycles."""
        energy = sum(self._energy(layer) + self._fetch_energy(layer.fetched) for layer in layers)
        return self._with_cycles(energy, cycles)

    def _with_cycles(self, energy: int, cycles: float) -> Cost:
        return Cost(cycles, energy + round(FJ_PER_PJ * cycles * self.objective.price("cycles")))

    def _energy(self, layer: Placed) -> int:
        """Energy of the commands of one layer or chain by themselves, whose plan is one of `_options`; where its values lie outside
        does not matter."""
        key = self._kind(layer)
        if key not in self._energies:
            alone = Schedule((replace(layer, fetched=()),), frozenset(self.network.values), 0.0)
            self._energies[key] = self._counted(emit(self.network, self.config, alone).commands)
        return self._energies[key]

    def _kind(self, layer: Placed) -> Hashable:
        """All that the counts of its commands depend on: of addresses only where in a half word they are."""
        plan, setting = layer.plan, layer.setting
        key = layer.planner, setting, plan
        if key not in self._kinds:
            half, bus, row = self.config.half_word_bytes, self.config.bus_bytes, layer.chain.output.layout.row_elements
            b = plan.buffers
            places = [tuple(at % half for at in side) for side in (*b.inputs, b.between, b.output)]
            if len(set(places[-1])) == 1 and not any(piece.x1 % bus and piece.x1 < row for piece in plan.pieces):
                places[-1] = places[-1][:1]  # nothing is carried from one to the next
            resident = tuple(None if at is None else at % half for at in setting.resident)
            cut = plan.pieces, plan.groups, plan.blocks if isinstance(plan, LayerPlan) else (plan.slabs, plan.rings)
            self._kinds[key] = layer.planner, cut, tuple(places), resident, setting.stored
        return self._kinds[key]

    def _fetch_energy(self, fetched: tuple[tuple[str, int], ...]) -> int:
        """Energy of loading whole values."""
        if not fetched:
            return 0
        if fetched not in self._fetching:
            emission = Emission(self.network, self.config, Schedule((), frozenset(self.network.values), 0.0))
            emission.fetch(0, fetched)
            self._fetching[fetched] = self._counted(emission.commands)
        return self._fetching[fetched]

    def _counted(self, commands: list[Command]) -> int:
        return round(FJ_PER_PJ * self.objective.energy(self.config, commands, 0))

    # The least that a plan may cost.

    def _least(self, chain: Chain, planner: LayerPlanner | ChainPlanner, plan: LayerPlan | ChainPlan) -> int:
        config = self.config
        groups = (plan.groups,) if isinstance(plan, LayerPlan) else plan.groups
        moved = plan.cycles.external * config.memory.cost.bytes_per_cycle
        commands = 0
        for task, group in zip(chain.tasks, groups, strict=True):
            conv = task.weighted
            tiles = conv.channel_tiles(config) if conv is not None else 1
            if conv is not None and group is not None and group.in_parts:
                # The estimate has the weights once, for what lies in the padding may be left out.
                again = _weight_words(conv, config, plan.pieces, group) - sum(part.steps for part in group.parts)
                moved += tiles * max(0, again) * config.weight_word_bytes
            if isinstance(plan, LayerPlan) or not plan.rings or task is chain.tasks[-1]:
                # With rings a piece may need no more rows of what comes before its own.
                commands += len(plan.pieces) * -(-tiles // (group.tiles if group is not None else 1))
        return int(FJ_PER_PJ * (moved * self._byte + commands * self._command)) + self._least_computing(
            chain, planner, groups
        )

    def _least_computing(
        self, chain: Chain, planner: LayerPlanner | ChainPlanner, groups: tuple[Groups | None, ...]
    ) -> int:
        """fJ of each layer's commands, were everything on chip and in one piece; pieces add array tiles that are not full, and
        what windows share. Not counted is what may be less: a reduction in parts may leave out products with the padding, and
        a depthwise layer's pieces may have patches that suit them better."""
        in_parts = any(group is not None and group.in_parts for group in groups)
        if (planner, in_parts) not in self._computing:
            done = 0.0
            for task in chain.tasks:
                unsure = {
                    "fetch_words",
                    *(_BY_PATCH if task.weighted and task.channelwise else _BY_PART if in_parts else ()),
                }
                amounts = self.objective.count(self.config, _whole(task, self.config))
                done += sum(amounts.get(a, 0) * price for a, price in self.objective.prices.items() if a not in unsure)
            self._computing[planner, in_parts] = int(FJ_PER_PJ * done)
        return self._computing[planner, in_parts]


def _weight_words(task: ConvTask, config: Config, pieces: Sequence[Region], groups: Groups) -> int:
    """Weight words of one channel tile that are loaded for these pieces: a reduction in parts."""
    return sum(n * part.steps for part, n in loads_of_parts(config, task, pieces, groups.parts).items())


def _whole(task: Task, config: Config) -> list[Command]:
    """The compute commands of a layer's images, each whole."""
    images = Grid(task.output.layout, task.cut.image_rows, task.cut.image_rows, task.output.layout.row_elements)
    *inputs, output = (operand.layout.view(0) for operand in (*task.inputs, task.output))
    return [command for image in images for command in task.commands(config, Job(image, tuple(inputs), output))]
