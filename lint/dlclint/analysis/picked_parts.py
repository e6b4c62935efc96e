"""Whether the parts of an axis that a graph selects one by one are combined with each other later."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator

from dlclint.analysis.axes import Event
from dlclint.analysis.axis_steps import AxisStep, slice_cuts
from dlclint.analysis.matching.terms import stored_integers
from dlclint.model.graph import Graph, Node
from dlclint.model.op_facts import JOINING, SHAPE_READERS


def parts_meet(events: Iterable[Event]) -> bool:
    """Whether a node computes with two different parts, such as the input of a time step and the state.

    A node that only puts parts side by side does not count, nor one that reads only their shape. Each tensor
    counts as the first part that reaches it, so the walk is linear.
    """
    parts: dict[tuple[str, str], Hashable] = {}
    pending: deque[tuple[Graph, str]] = deque()
    for event in events:
        if event.step is AxisStep.PICKED:
            for output, part in _selected(event.node):
                parts[event.node.graph.path, output] = part
                pending.append((event.node.graph, output))
    while pending:
        home, name = pending.popleft()
        part = parts[home.path, name]
        for node in home.consumers(name):
            if node.op_type in JOINING or node.op_type in SHAPE_READERS:
                continue
            for output in filter(None, node.outputs):
                key = (node.graph.path, output)
                if key not in parts:
                    parts[key] = part
                    pending.append((node.graph, output))
                elif parts[key] != part:
                    return True
    return False


def _selected(node: Node) -> Iterator[tuple[str, Hashable]]:
    """The outputs of a node that selects by stored numbers, each with its part: where it starts and ends.

    The axis does not count, because a transposed copy has the same samples along another one.
    """
    if node.op_type == "Split":
        yield from ((output, position) for position, output in enumerate(node.outputs) if output)
        return
    if node.op_type == "Slice":
        cuts = [(start, end) for _, start, end in slice_cuts(node) or ()]
    else:
        cuts = [(index, index + 1) for index in stored_integers(node.graph, node.input(1)) or ()]
    if node.output(0):
        yield node.outputs[0], frozenset(cuts)
