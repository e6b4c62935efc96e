"""The position of an axis of a tensor throughout a graph, and what ops do with it.

`dlclint.analysis.axis_steps` states what each op does with an axis.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from dlclint.analysis.axis_steps import AxisStep, ends_of
from dlclint.model.graph import Graph, Node
from dlclint.model.op_facts import BROADCASTING, ELEMENTWISE_UNARY, MEETING
from dlclint_schemas.record import record

_DEPTH = 8
"""How many producers back a tensor is checked for being constant along an axis."""


@record
class Event:
    """What a node does with a followed axis, other than passing it on."""

    step: AxisStep
    node: Node


@dataclass(slots=True)
class Followed:
    """The axis in each tensor that has it, by the path of the tensor's graph and its name; and events."""

    axes: dict[tuple[str, str], int] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def axis(self, graph: Graph, tensor: str) -> int | None:
        """The axis in a tensor that is visible in a graph, or None."""
        here: Graph | None = graph
        while here is not None:
            known = self.axes.get((here.path, tensor))
            if known is not None or here.makes(tensor) or tensor in here.initializers:
                return known
            here = here.parent
        return None


def follow(graph: Graph, starts: Mapping[str, int]) -> Followed:
    """Follow an axis of some inputs of a graph wherever it is passed on, including into branches of If."""
    followed = Followed()
    pending: deque[tuple[Graph, str]] = deque()

    def reach(home: Graph, name: str, axis: int) -> bool:
        """Whether the tensor has the axis, and only at this position."""
        if axis < 0:
            return False  # ranks that contradict each other, as damaged files have them
        if (home.path, name) not in followed.axes:
            followed.axes[home.path, name] = axis
            pending.append((home, name))
        return followed.axes[home.path, name] == axis

    for name, axis in starts.items():
        reach(graph, name, axis)
    while pending:
        home, name = pending.popleft()
        axis = followed.axes[home.path, name]
        for node in home.consumers(name):
            for position, read in enumerate(node.inputs):
                ends = ends_of(node, position, axis) if read == name else {}
                if isinstance(ends, AxisStep):
                    followed.events.append(Event(ends, node))
                    continue
                for output, index in ends.items():
                    if node.output(output) and not reach(node.graph, node.output(output), index):
                        followed.events.append(Event(AxisStep.MIXED, node))
        for node, output in _branch_outputs(home, name):
            if node.output(output) and not reach(node.graph, node.output(output), axis):
                followed.events.append(Event(AxisStep.MIXED, node))
    for inner in graph.with_subgraphs():
        followed.events += [
            Event(AxisStep.MIXED, node) for node in inner.nodes if _meets_others(node, followed)
        ]
    return followed


def _branch_outputs(home: Graph, name: str) -> list[tuple[Node, int]]:
    """The outputs of an If through which a tensor leaves its branch."""
    if home.parent is None or name not in home.outputs:
        return []
    node = next((node for node in home.parent.nodes if home in node.subgraphs), None)
    if node is None or node.op_type != "If" or node.domain:
        return []
    return [(node, position) for position, output in enumerate(home.outputs) if output == name]


def _meets_others(node: Node, followed: Followed) -> bool:
    """Whether the parts of an axis are combined with an unfollowed tensor that differs between parts."""
    if node.domain or node.op_type not in MEETING:
        return False
    graph = node.graph
    axes = {name: followed.axis(graph, name) for name in node.inputs if name}
    ranks = {name: graph.rank(name) for name in axes}
    if any(axis is not None and axis >= (ranks[name] or 0) for name, axis in axes.items()):
        return True  # the rank is unknown, or another one than where the axis came from
    places = {axis - (ranks[name] or 0) for name, axis in axes.items() if axis is not None}
    others = [name for name, axis in axes.items() if axis is None]
    if node.op_type == "MatMul":
        places = {index for index in places if index < -2}
    return any(_differs(graph, name, position) for name in others for position in places)


def _differs(graph: Graph, name: str, position: int, depth: int = _DEPTH) -> bool:
    """Whether a tensor may differ along an axis, which is counted from the end."""
    kind = graph.type_of(name)
    if kind is None or kind.shape is None:
        return True
    if len(kind.shape) < -position or kind.shape[position] in (0, 1):
        return False
    stored = graph.small_value(name)
    if stored is not None:  # its shape may contradict the declared one
        several = stored.ndim >= -position and stored.shape[position] > 1
        return several and bool((stored != np.take(stored, [0], position)).any())
    node = graph.producer(name)
    if node is None or node.domain or not depth or node.op_type == "Constant":
        return True
    if node.op_type == "ConstantOfShape":
        return False
    if node.op_type in ELEMENTWISE_UNARY or node.op_type == "Expand":
        return _differs(node.graph, node.input(0), position, depth - 1)
    if node.op_type in BROADCASTING:
        return any(_differs(node.graph, each, position, depth - 1) for each in node.inputs if each)
    return True
