"""From the quality at 8 bits to a target: first changes without a cost, then 16 bits where they gain most."""

from __future__ import annotations

import math
import zlib
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from dlclint.diagnostic import counted, first_few, plain
from dlclint.model.op_facts import CONVOLUTIONS, Role
from dlclint.simulate.assigning import Settings, assign, fixed_grid, second_grid, second_inputs, weight_grid
from dlclint.simulate.network import Step
from dlclint.simulate.outcome import SearchOutcome, SearchRow
from dlclint.simulate.reference import observe, share_at_16
from dlclint.simulate.scheme import Grid, ParamGrid, Scheme, grid_of_range, what
from dlclint.simulate.search.biases import fit_biases, fit_grids
from dlclint.simulate.search.equalizing import equalized
from dlclint.simulate.search.floating import fewest_in_float, in_float, roundings_left
from dlclint.simulate.search.regions import Edge, GridGroup, edges, groups, order
from dlclint.simulate.search.trials import Goal, SchemeQuality, Trials, near, value_text
from dlclint.simulate.simulating import Prepared, prepare

WIDE_WEIGHTS = 73
"""The Hexagon version from which HTP takes 16-bit weights (measured with QNN 2.51.0)."""
_LESS = 0.95
"""The share of the weights' noise that must remain for other grids to be kept."""
_DROPPED = 64
"""How often 16 bits are taken back again, in halves, quarters and so on, after the target is reached."""


@dataclass(slots=True)
class SearchState:
    """The state of a search. `lacking` are ops without a 16-bit form; `hexagon` is None without a chip.

    `takes_float` is whether the chip computes in float16.
    """

    prepared: Prepared
    trials: Trials
    goal: Goal
    lacking: frozenset[str] = frozenset()
    hexagon: int | None = None
    takes_float: bool = True
    rows: list[SearchRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    scheme: Scheme = field(default_factory=Scheme)
    settings: Settings = field(default_factory=Settings)
    value: SchemeQuality = field(default_factory=lambda: SchemeQuality(-math.inf, None))
    roundings: list[Edge] = field(default_factory=list)
    weights: dict[int, list[float]] = field(default_factory=dict)
    """The noise that the weights of each step add to each output, by the step's index."""
    equalized: int = 0
    """Pairs of layers that are equalized in what is currently measured."""
    _second: frozenset[str] = frozenset()
    _floated: tuple[str, ...] = ()

    def run(self) -> SearchOutcome:
        """Search until the goal is reached or nothing helps.

        Raises:
            CannotRun: a step of the network does not run.
            BadInput: a sample cannot be read.
        """
        self._start()
        for attempt in (
            self._per_channel,
            self._wide_biases,
            self._weight_ranges,
            self._activation_ranges,
            self._equalization,
            self._outputs,
        ):
            if self.goal.reached(self.value):
                break
            attempt()
        return self._end()

    def widths_alone(self) -> SearchOutcome:
        """Search among the widths of activations and weights, and float, with the current grids.

        Raises:
            CannotRun: a step of the network does not run.
            BadInput: a sample cannot be read.
        """
        self._start()
        if not self.goal.reached(self.value):
            self._outputs()
        return self._end()

    def _start(self) -> None:
        self.scheme, self.settings = self.prepared.scheme.copy(), self.prepared.settings
        self._second = second_inputs(self.prepared.network, self.prepared.shared)
        self.value = self.trials.value("start", self.scheme)
        self._row("as it is", self.value, True, self.scheme, 0)

    def _end(self) -> SearchOutcome:
        if not self.goal.reached(self.value):
            self._wider()
        reached = self.goal.reached(self.value)
        if self.value.lost:
            self.notes.append(
                f"still lost: {', '.join(self.value.lost)}; give each part a separate output with its"
                " own grid"
            )
        raised = self._raised()
        if raised:
            self.notes.append(
                f"the scales of {counted(raised, 'weight channel')} are larger than their weights ask for, so"
                " that the biases fit into int32"
            )
        return SearchOutcome(
            str(self.goal),
            reached,
            self.value.sqnr,
            self.value.agreement,
            share_at_16(self.prepared.network, self.scheme),
            tuple(self.rows),
            tuple(self.notes),
            tuple(map(plain, self.value.lost)),
            self.equalized,
        )

    def _raised(self) -> int:
        """The number of weight channels whose scale is larger than their range requires."""
        plainly = self._with_params(self.settings)
        return sum(
            int((grid.scale > 1.001 * plainly.params[name].scale).sum())
            for name, grid in self.scheme.params.items()
            if grid.scale.shape == plainly.params[name].scale.shape
        )

    def _row(self, change: str, value: SchemeQuality, kept: bool, scheme: Scheme, size: int) -> None:
        share = share_at_16(self.prepared.network, scheme)
        self.rows.append(
            SearchRow(
                plain(change, 300),
                value.sqnr,
                value.agreement,
                kept,
                size,
                self._traffic(scheme),
                share,
                tuple(map(plain, value.lost)),
            )
        )

    def _traffic(self, scheme: Scheme) -> int:
        """The additional bytes of activations that one inference moves, compared with 8 bits."""
        names = [*self.prepared.network.inputs, *(n for s in self.prepared.network.steps for n in s.outputs)]
        samples = len(self.prepared.samples)
        return sum(
            self.prepared.observed[name].count // samples
            for name in names
            if name in scheme.floats or (name in scheme.activations and scheme.activations[name].bitwidth > 8)
        )

    def _try(
        self, key: str, change: str, scheme: Scheme, settings: Settings, size: int, kept: bool | None = None
    ) -> None:
        """Keep a change if it brings the goal nearer, or according to `kept`."""
        fit_biases(self.prepared.network, scheme)
        value = self.trials.value(key, scheme)
        if kept is None:
            kept = self.goal.better(value, self.value)
        self._row(change, value, kept, scheme, size)
        if kept:
            self.scheme, self.settings, self.value = scheme, settings, value

    def _weights_gain(self, key: str, scheme: Scheme) -> bool:
        """Whether other grids of the weights add less noise, on exact activations: 8-bit ones hide it."""
        before, after = (
            sum(self.trials.noise(f"weights alone {name}", Scheme(params=dict(each.params), otherwise=16)))
            for name, each in (("before " + key, self.scheme), (key, scheme))
        )
        return after < _LESS * before

    def _per_channel(self) -> None:
        ops = {step.op for step, _, _ in self._own_weights()}
        if self.settings.per_channel or ops.isdisjoint(CONVOLUTIONS):
            return
        settings = replace(self.settings, per_channel=True)
        scheme = self._with_params(settings)
        size = 8 * sum(g.scale.size - 1 for n, g in scheme.params.items() if n in self.scheme.params)
        gain = self._weights_gain("per channel", scheme)
        change = "weights of convolutions: a grid for each channel"
        self._try("per channel", change, scheme, settings, size, gain)

    def _wide_biases(self) -> None:
        if not self.scheme.biases:
            return
        settings = replace(self.settings, bias_bitwidth=32)
        scheme = self.scheme.copy()
        size = 3 * sum(self.prepared.network.constants[name].size for name in scheme.biases)
        scheme.biases.clear()
        self._try("bias", "biases at 32 bits", scheme, settings, size)

    def _weight_ranges(self) -> None:
        if self.settings.param_quantizer == "enhanced" or not self._own_weights():
            return
        settings = replace(self.settings, param_quantizer="enhanced")
        scheme = self._with_params(settings)
        gain = self._weights_gain("weight ranges", scheme)
        self._try("weight ranges", "ranges of weights searched (enhanced)", scheme, settings, 0, gain)

    def _own_weights(self) -> list[tuple[Step, int, str]]:
        """The weights whose grids are the search's to choose: those that an override file lacks."""
        network, params = self.prepared.network, self.scheme.params
        return [
            (step, position, name)
            for step in network.steps
            for position, name in enumerate(step.inputs)
            if name in params and what(step, position, network) is Role.WEIGHT
            if not self.prepared.has_entry(name)
        ]

    def _with_params(self, settings: Settings) -> Scheme:
        scheme = self.scheme.copy()
        for step, position, name in self._own_weights():
            bits = replace(settings, weights_bitwidth=scheme.params[name].bitwidth)
            scheme.params[name] = weight_grid(step, position, self.prepared.network.constants[name], bits)
        return scheme

    def _weighted(self) -> list[Step]:
        """The steps with a weight of their own."""
        network, params = self.prepared.network, self.scheme.params
        return [
            step
            for step in network.steps
            if any(
                name in params and what(step, position, network) is Role.WEIGHT
                for position, name in enumerate(step.inputs)
            )
        ]

    def _activation_ranges(self) -> None:
        if self.settings.act_quantizer == "enhanced":
            return
        settings = replace(self.settings, act_quantizer="enhanced")
        prepared = self.prepared
        binned = observe(prepared.evaluator, prepared.samples, True)
        other = assign(prepared.network, binned, settings, prepared.shared)
        scheme = self.scheme.copy()
        for name, grid in scheme.activations.items():
            if not grid.fixed and name in other.activations and not prepared.has_entry(name):
                scheme.activations[name] = other.activations[name].at(grid.bitwidth)
        self._try("activation ranges", "ranges of activations searched (enhanced)", scheme, settings, 0)

    def _equalization(self) -> None:
        """Cross-layer equalization on a copy, which is measured like the model."""
        if self.prepared.from_file:
            self.notes.append(
                "not equalized: the grids of the override file would not hold for other weights"
            )
            return
        copy = equalized(self.prepared.network.view, self.settings.weights_bitwidth)
        if copy is None:
            return
        settings = self.settings
        prepared = prepare(copy.view, self.prepared.samples, settings)
        if not settings.bias_bitwidth < 32:
            prepared.scheme.biases.clear()
        fit_biases(prepared.network, prepared.scheme)
        trials = self.trials.of(prepared.evaluator, prepared.pieces, "equalized: ")
        value = trials.value("equalized", prepared.scheme)
        kept = self.goal.better(value, self.value)
        before = self.prepared
        self.prepared = prepared
        self._row(
            f"{counted(copy.pairs, 'pair')} of layers equalized (a copy)", value, kept, prepared.scheme, 0
        )
        if not kept:
            self.prepared = before
            return
        self.trials, self.scheme, self.value, self.equalized = trials, prepared.scheme, value, copy.pairs
        self._second = second_inputs(prepared.network, prepared.shared)

    def _outputs(self) -> None:
        """16 bits for the grids of the outputs only; kept where that suffices."""
        shared = self.prepared.shared
        grid_groups = groups(self.scheme, self.trials.evaluator, shared, self.lacking)
        leaders = {shared.get(name, name) for name in self.prepared.network.outputs}
        able = [g.leader for g in grid_groups if g.may and g.leader in leaders and self._is_narrow(g.leader)]
        if not able:
            return
        wide = self._widened(self.scheme, able, grid_groups)
        value = self.trials.value("outputs", wide)
        kept = self.goal.reached(value)
        for leader in able if kept and len(able) > 1 else ():
            fewer = [other for other in able if other != leader]
            narrower = self._widened(self.scheme, fewer, grid_groups)
            again = self.trials.value(f"outputs {_digest([tuple(fewer)])}", narrower)
            if fewer and self.goal.reached(again):
                able, wide, value = fewer, narrower, again
        names = first_few(able, len(able), 4)
        self._row(f"16 bits for {counted(len(able), 'grid')} of outputs: {names}", value, kept, wide, 0)
        if kept:
            self.scheme, self.value = wide, value

    def _is_narrow(self, leader: str) -> bool:
        return leader in self.scheme.activations and self.scheme.activations[leader].bitwidth < 16

    def _wider(self) -> None:
        """16 bits for the activations, and if necessary the weights, that cost most; then float."""
        shared = self.prepared.shared
        grid_groups = groups(self.scheme, self.trials.evaluator, shared, self.lacking)
        able = [group for group in grid_groups if group.may]
        if len(able) < len(grid_groups):
            left = ", ".join(sorted(self.lacking))
            self.notes.append(
                f"{counted(len(grid_groups) - len(able), 'grid')} stay at 8 bits: {left} have no"
                " 16-bit form there"
            )
        whole = self._widened(self.scheme, [group.leader for group in able], grid_groups)
        best = self.trials.value("all 16", whole)
        self._row("for comparison: every activation at 16 bits", best, False, whole, 0)
        self._costs()
        if not self.goal.reached(best):
            whole, best = self._wide_weights(whole, best)
        if not self.goal.reached(best):
            whole, best = self._in_float(whole, best, grid_groups)
        goal = self.goal
        if not goal.reached(best):
            goal = near(goal, best)
            said = f"{self.goal} is not reached by any step: the best is {value_text(best)}"
            if not goal.better(best, self.value) or goal.reached(self.value):
                self.notes += [said, "no step helps: the current settings come as close"]
                return
            self.notes.append(f"{said}; what follows comes close to that ({goal})")
        self._fewest(goal, grid_groups, whole)

    def _costs(self) -> None:
        """Measure the cost of each rounding and each weight."""
        trials, scheme = self.trials, self.scheme
        self.roundings = edges(trials, scheme, self.prepared.shared)
        self.weights: dict[int, list[float]] = {}
        for step in self._weighted():
            params = {name: scheme.params[name] for name in step.inputs if name in scheme.params}
            key = f"weights {step.outputs[0]} {self.settings.per_channel} {self.settings.param_quantizer}"
            self.weights[step.index] = trials.noise(key, Scheme(params=params, otherwise=16))

    def _widened(self, scheme: Scheme, leaders: Sequence[str], grid_groups: Sequence[GridGroup]) -> Scheme:
        """A scheme with 16 bits for some groups, including their fused tensors and stored operands."""
        wanted = set(leaders)
        shared = self.prepared.shared
        wide = scheme.copy()
        for name, grid in scheme.activations.items():
            leader = shared.get(name, name)
            if leader in wanted and grid.bitwidth < 16:
                wide.activations[name] = self._wide_grid(leader, grid)
        for step in self.prepared.network.steps:
            if wide.width(step) == 16:
                for position, name in enumerate(step.inputs):
                    stored = name in self.prepared.network.constants and name in wide.activations
                    if stored and what(step, position, self.prepared.network) is Role.DATA:
                        wide.activations[name] = wide.activations[name].at(16)
        self._keep_narrow(wide)
        fit_grids(self.prepared.network, wide, shared, self.prepared.from_file)
        return wide

    def _keep_narrow(self, scheme: Scheme) -> None:
        """Restore 8 bits for weights of steps that run at 8 bits: 16-bit weights need 16-bit activations."""
        for step in self.prepared.network.steps:
            if scheme.width(step) == 16:
                continue
            for name in step.inputs:
                before, now = self.scheme.params.get(name), scheme.params.get(name)
                if before is not None and now is not None and now.bitwidth == 16 > before.bitwidth:
                    scheme.params[name] = before

    def _wide_grid(self, leader: str, grid: Grid) -> Grid:
        """A grid at 16 bits: of the observed range, unless the op or the override file determines it."""
        if grid.fixed:
            maker = next((step for step in self.prepared.network.steps if leader in step.outputs), None)
            return (fixed_grid(maker.op, 16) if maker is not None else None) or grid.at(16)
        seen = self.prepared.observed.get(leader)
        if seen is None or not seen.is_seen or leader in self.prepared.from_file or grid.symmetric:
            return grid.at(16)
        if leader in self._second:
            return second_grid(seen.low, seen.high, self.hexagon)
        return grid_of_range(seen.low, seen.high, 16)

    def _in_float(
        self, whole: Scheme, best: SchemeQuality, grid_groups: Sequence[GridGroup]
    ) -> tuple[Scheme, SchemeQuality]:
        """Float16 for the layers that cost most with every activation at 16 bits."""
        if not self.takes_float:
            self.notes.append("no layer is tried in float: the chip has no float16 on HTP")
            return whole, best
        floated = fewest_in_float(self.trials, self.goal, whole, grid_groups, self.prepared.shared)
        if floated is None or not floated.leaders:
            return whole, best
        self._floated = floated.leaders
        names = first_few(floated.leaders, len(floated.leaders), 4)
        what_for = f"float16 for what makes {counted(len(floated.leaders), 'grid')}: {names}"
        self._row(f"{what_for}; every other activation at 16 bits", floated.value, False, floated.scheme, 0)
        return floated.scheme, floated.value

    def _fewest(self, goal: Goal, grid_groups: Sequence[GridGroup], whole: Scheme) -> None:
        """The fewest groups at 16 bits that still reach a goal which all of them reach."""
        base = [sum(column) for column in zip(*self.weights.values(), strict=True)]
        base = base or [0.0] * len(self.roundings[0].cost if self.roundings else ())
        grid_groups = [group for group in grid_groups if group.leader not in self._floated]
        sequence = order(roundings_left(self.roundings, self._floated), grid_groups, base)
        start = in_float(self.prepared.network, self.scheme, self._floated, self.prepared.shared)
        start.params = dict(whole.params)

        def tried(count: int) -> tuple[Scheme, SchemeQuality]:
            leaders = [leader for ends in sequence[:count] for leader in ends]
            scheme = self._widened(start, leaders, grid_groups)
            return scheme, self.trials.value(f"first {count} of {_digest(sequence[:count])}", scheme)

        fewest = _fewest_of(len(sequence), lambda count: goal.reached(tried(count)[1]))
        scheme, value = tried(fewest)
        kept = [leader for ends in sequence[:fewest] for leader in ends]
        size, left = max(len(kept) // 2, 1), _DROPPED
        while kept and size and left > 0:
            # The last groups gain least; those that come first are checked last.
            for end in range(len(kept), 0, -size):
                dropped = kept[max(end - size, 0) : end]
                fewer = [leader for leader in kept if leader not in dropped]
                narrower = self._widened(start, fewer, grid_groups)
                again = self.trials.value(f"only {_digest([tuple(fewer)])}", narrower)
                left -= 1
                if goal.reached(again):
                    kept, scheme, value = fewer, narrower, again
                if left <= 0:
                    break
            size //= 2
        self.scheme, self.value = scheme, value
        names = first_few(kept, len(kept), 4)
        more = f", float16 for {len(self._floated)}" if self._floated else ""
        self._row(
            f"16 bits for {counted(len(kept), 'grid')}: {names or 'none'}{more}", value, True, scheme, 0
        )

    def _wide_weights(self, whole: Scheme, best: SchemeQuality) -> tuple[Scheme, SchemeQuality]:
        """16 bits for the weights that cost most, where the chip supports them."""
        if self.hexagon is not None and self.hexagon < WIDE_WEIGHTS:
            self.notes.append(
                f"weights keep their bits: 16 need Hexagon v{WIDE_WEIGHTS}, the chip has v{self.hexagon}"
            )
            return whole, best
        network = self.prepared.network
        steps = {step.index: step for step in network.steps}
        ranked = sorted(self.weights, key=lambda index: -max(self.weights[index], default=0.0))
        ranked = [index for index in ranked if whole.width(steps[index]) == 16]

        def tried(count: int) -> tuple[Scheme, SchemeQuality]:
            scheme = whole.copy()
            for index in ranked[:count]:
                for position, name in enumerate(steps[index].inputs):
                    if name in scheme.params and what(steps[index], position, network) is Role.WEIGHT:
                        scheme.params[name] = self._wide_param(steps[index], position, scheme.params[name])
            fit_biases(network, scheme)
            return scheme, self.trials.value(f"weights of the first {count}", scheme)

        scheme, value = tried(len(ranked))
        if not self.goal.better(value, best):
            return whole, best
        goal = self.goal if self.goal.reached(value) else near(self.goal, value)
        fewest = bisect_left(range(len(ranked)), True, key=lambda count: goal.reached(tried(count)[1]))
        scheme, value = tried(fewest)
        size = sum(
            network.constants[name].size for name, grid in scheme.params.items()
            if grid is not whole.params[name]
        )  # fmt: skip
        what_for = f"weights of {counted(fewest, 'layer')} at 16 bits, every activation too"
        self._row(what_for, value, False, scheme, size)
        return scheme, value

    def _wide_param(self, step: Step, position: int, before: ParamGrid) -> ParamGrid:
        if before.bitwidth == 16 or (position == 1 and not _is_weight(step)):
            return before
        settings = replace(self.settings, weights_bitwidth=16)
        return weight_grid(step, position, self.prepared.network.constants[step.inputs[position]], settings)


def _fewest_of(most: int, reached: Callable[[int], bool]) -> int:
    """A small number that reaches; `most` where no smaller one does.

    It doubles from below and bisects the last step: more is not always better, and bisecting the whole range
    could miss a small number that suffices.
    """
    tried = 1
    if reached(0):
        return 0
    while tried < most and not reached(tried):
        tried *= 2
    low = tried // 2 + 1 if tried > 1 else 1
    return low + bisect_left(range(low, min(tried, most)), True, key=reached)


def _is_weight(step: Step) -> bool:
    return not step.op.endswith("Normalization") and step.op != "PRelu"


def _digest(sequence: Sequence[tuple[str, ...]]) -> str:
    return f"{zlib.crc32(repr(list(sequence)).encode()):08x}"
