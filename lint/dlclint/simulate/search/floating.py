"""Float16 where 16 bits do not suffice: which grids to give up; the ops before them then compute in float."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace

from dlclint.model.op_facts import Role
from dlclint.simulate.network import Network
from dlclint.simulate.scheme import Scheme, what
from dlclint.simulate.search.regions import Edge, GridGroup
from dlclint.simulate.search.trials import Goal, SchemeQuality, Trials, near
from dlclint_schemas.record import record


@record
class InFloat:
    """What float adds: the scheme, its quality, and the leaders of the grids that it gives up."""

    scheme: Scheme
    value: SchemeQuality
    leaders: tuple[str, ...]


def fewest_in_float(
    trials: Trials, goal: Goal, whole: Scheme, grid_groups: Sequence[GridGroup], shared: Mapping[str, str]
) -> InFloat | None:
    """The fewest grids to give up, on top of a scheme, to reach a goal or come close to what float can do.

    None where giving up all of them does not bring the goal nearer.
    """
    network = trials.evaluator.network
    costs = {
        group.leader: max(trials.noise(f"grid {group.leader}", _alone(network, whole, group, shared)))
        for group in grid_groups
    }
    ranked = sorted(costs, key=lambda leader: (-costs[leader], leader))

    def tried(count: int) -> tuple[Scheme, SchemeQuality]:
        scheme = in_float(network, whole, ranked[:count], shared)
        return scheme, trials.value(f"float for the first {count}", scheme)

    _, before = tried(0)
    _, most = tried(len(ranked))
    if not goal.better(most, before):
        return None
    wanted = goal if goal.reached(most) else near(goal, most)
    fewest = bisect_left(range(len(ranked)), True, key=lambda count: wanted.reached(tried(count)[1]))
    scheme, value = tried(fewest)
    return InFloat(scheme, value, tuple(ranked[:fewest]))


def _alone(network: Network, whole: Scheme, group: GridGroup, shared: Mapping[str, str]) -> Scheme:
    """A scheme with the grids of one group, and of the weights of the ops that compute it."""
    kept = {name: grid for name, grid in whole.activations.items() if shared.get(name, name) == group.leader}
    params = {
        name: whole.params[name]
        for step in network.steps
        if any(name in kept for name in step.outputs)
        for name in step.inputs
        if name in whole.params
    }
    return Scheme(kept, params, otherwise=16)


def in_float(network: Network, scheme: Scheme, leaders: Sequence[str], shared: Mapping[str, str]) -> Scheme:
    """A scheme in which some groups are float, and the stored tensors that only their producers read too."""
    floated, wanted = scheme.copy(), set(leaders)
    for name in scheme.activations:
        if shared.get(name, name) in wanted and name not in network.constants:
            floated.put_into_float(name)
    users = network.consumers()
    for name in scheme.activations:
        steps = users.get(name, ())
        if name in network.constants and steps and all(floated.is_half(step) for step in steps):
            floated.put_into_float(name)
    for step in network.steps:
        if floated.is_half(step):
            for position, name in enumerate(step.inputs):
                if name and what(step, position, network) is Role.BIAS:
                    floated.biases.pop(name, None)
    return floated


def roundings_left(roundings: Sequence[Edge], floated: Sequence[str]) -> list[Edge]:
    """The roundings that remain when some grids are given up; a float reader takes any width."""
    gone = set(floated)
    return [
        replace(edge, end=None) if edge.end in gone else edge for edge in roundings if edge.start not in gone
    ]
