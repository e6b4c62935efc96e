"""Which activations get 16 bits: the cost of each 8-bit rounding, and the order in which to remove them.

An op runs at the width of its output, and its inputs are converted to that width first. So a rounding is on
the path from a tensor to one reader, and is removed only where both have 16 bits: tensors gain little alone,
and a region of them much. The costs of roundings add up, as their errors are independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlclint.model.op_facts import Role
from dlclint.simulate.assigning import fused
from dlclint.simulate.evaluating import Evaluator
from dlclint.simulate.scheme import Scheme, what
from dlclint.simulate.search.trials import Trials
from dlclint_schemas.record import record


@record
class Edge:
    """A rounding between the producer of a tensor and a reader, each by the leader of its grid.

    `end` is None for a graph output and for a reader without a width. `cost` is the noise that it adds to
    each output, divided by the output's energy.
    """

    tensor: str
    start: str
    end: str | None
    cost: tuple[float, ...]


@record
class GridGroup:
    """Tensors of one grid: how many of them are stored, and whether they may have 16 bits."""

    leader: str
    members: tuple[str, ...]
    may: bool


def groups(
    scheme: Scheme, evaluator: Evaluator, shared: Mapping[str, str], lacking: frozenset[str]
) -> list[GridGroup]:
    """The groups of a scheme in the order of the graph.

    `lacking` are ops that have no 16-bit form: an output of such an op cannot have 16 bits.
    """
    network = evaluator.network
    never_stored = fused(network)
    makers = {name: step.op for step in network.steps for name in step.outputs}
    by_leader: dict[str, list[str]] = {}
    for name in (*network.inputs, *(n for step in network.steps for n in step.outputs)):
        if name in scheme.activations:
            by_leader.setdefault(shared.get(name, name), []).append(name)
    return [
        GridGroup(
            leader,
            tuple(name for name in members if name not in never_stored),
            not any(makers.get(name, "") in lacking for name in members),
        )
        for leader, members in by_leader.items()
    ]


def edges(trials: Trials, scheme: Scheme, shared: Mapping[str, str]) -> list[Edge]:
    """Every rounding of a scheme with its cost, measured one by one."""
    evaluator = trials.evaluator
    network = evaluator.network
    readers = network.consumers()
    never_stored = fused(network)
    names = [*network.inputs, *(n for step in network.steps for n in step.outputs)]
    roundings: list[Edge] = []
    for name in dict.fromkeys(names):
        grid = scheme.activations.get(name)
        if grid is None or name in never_stored:
            continue
        leader = shared.get(name, name)
        ends: list[tuple[str | None, Scheme]] = []
        for step in readers.get(name, ()):
            places = [at for at, each in enumerate(step.inputs) if each == name]
            if not any(what(step, at, network) is Role.DATA for at in places):
                continue
            output = next((out for out in step.outputs if out in scheme.activations), None)
            end = None if output is None else shared.get(output, output)
            if end == leader:
                continue  # on the same grid: nothing is rounded again
            ends.append((end, Scheme(edges={(step.index, name): grid}, otherwise=16)))
        if name in network.outputs:
            ends.append((None, Scheme({name: grid}, otherwise=16)))
        for number, (end, alone) in enumerate(ends):
            cost = trials.noise(f"edge {name} {number}", alone)
            roundings.append(Edge(name, leader, end, tuple(cost)))
    return roundings


def order(
    roundings: Sequence[Edge], all_groups: Sequence[GridGroup], base: Sequence[float]
) -> list[tuple[str, ...]]:
    """The groups to give 16 bits, in steps of one or two, the step that gains most for its price first.

    Args:
        found: the roundings.
        all_groups: every group.
        base: the noise of each output that no activation causes.

    A step's gain is the noise that it removes from the output which is worst at that time, and a little of
    the others'; its price is the number of tensors.
    """
    sizes = {group.leader: max(len(group.members), 1) for group in all_groups}
    may = {group.leader for group in all_groups if group.may}
    near: dict[str, list[Edge]] = {}
    for edge in roundings:
        for end in _ends(edge):
            near.setdefault(end, []).append(edge)
    chosen: set[str] = set()
    total = [sum(column) for column in zip(base, *(edge.cost for edge in roundings), strict=True)]
    steps: list[tuple[str, ...]] = []
    while candidates := _candidates(roundings, chosen, may):
        worst = max(range(len(total)), key=lambda position: total[position])
        best, closed = max(
            ((ends, _closed(ends, chosen, near)) for ends in candidates),
            key=lambda pair: _worth(pair[1], worst) / sum(sizes[end] for end in pair[0]),
        )
        chosen.update(best)
        steps.append(best)
        for edge in closed:
            total = [max(before - cost, 0.0) for before, cost in zip(total, edge.cost, strict=True)]
    return steps


def _ends(edge: Edge) -> tuple[str, ...]:
    return (edge.start,) if edge.end is None else (edge.start, edge.end)


def _candidates(roundings: Sequence[Edge], chosen: set[str], may: set[str]) -> dict[tuple[str, ...], None]:
    """The pairs and single groups that remove a rounding."""
    candidates = (tuple(end for end in _ends(edge) if end not in chosen) for edge in roundings)
    return dict.fromkeys(ends for ends in candidates if ends and all(end in may for end in ends))


def _closed(ends: tuple[str, ...], chosen: set[str], near: Mapping[str, list[Edge]]) -> list[Edge]:
    """The roundings that are removed when some groups are chosen as well."""
    touching = {id(edge): edge for end in ends for edge in near[end]}
    return [edge for edge in touching.values() if all(x in chosen or x in ends for x in _ends(edge))]


def _worth(closed: Sequence[Edge], worst: int) -> float:
    return sum(edge.cost[worst] + 1e-3 * sum(edge.cost) for edge in closed)
