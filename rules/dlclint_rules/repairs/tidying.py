"""Parts of a graph that do nothing, or that have no name or one too many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from dlclint.diagnostic import Safety, counted
from dlclint.fix import CannotFix, Fix
from dlclint.model.edits import (
    ModelEdit,
    RemoveInitializer,
    RemoveInput,
    RemoveOutput,
    RenameNode,
    ReplaceNodes,
    ReplaceUses,
    SetOutput,
    SortNodes,
)
from dlclint.model.graph import Graph, Model, Node


def bypass(node: Node) -> Iterator[ModelEdit]:
    """Edits that remove a node whose output 0 equals its input 0.

    Raises:
        CannotFix: input and output are both names that the graph must keep.
    """
    graph, source, result = node.graph, node.input(0), node.outputs[0]
    if result not in graph.outputs:
        yield ReplaceNodes(graph, (node,), ())
        yield ReplaceUses(graph, result, source)
        return
    maker = graph.producer(source)
    if maker is None or maker.graph is not graph or source in graph.outputs:
        raise CannotFix(
            f"it stands between {source!r} and the output {result!r}, which both keep their names"
        )
    yield ReplaceNodes(graph, (node,), ())
    yield SetOutput(maker, maker.outputs.index(source), result)
    yield ReplaceUses(graph, source, result)


def can_bypass(node: Node) -> bool:
    """Whether `bypass` can remove it: not between two names that the graph must keep."""
    graph, source = node.graph, node.input(0)
    if node.outputs[0] not in graph.outputs:
        return True
    maker = graph.producer(source)
    if maker is None or maker.graph is not graph or source in graph.outputs:
        return False
    # A name read in a subgraph would have to change there too, where other names may shadow it.
    return all(reader.graph is graph for reader in graph.consumers(source))


def bypass_all(nodes: list[Node]) -> Fix:
    """Remove nodes that return their input."""

    def edits() -> Iterator[ModelEdit]:
        for node in nodes:
            yield from bypass(node)

    shown = ", ".join(f"{count} {op}" for op, count in Counter(node.op_type for node in nodes).items())
    return Fix(f"remove {shown}", Safety.SAFE, edits)


def without_input(graph: Graph, name: str) -> Fix:
    """Remove an input that nothing reads."""
    return Fix(f"remove {name!r} from the inputs", Safety.SAFE, lambda: (RemoveInput(graph, name),))


def without_default(graph: Graph, names: list[str]) -> Fix:
    """Make initializers constants only, and not inputs as well."""

    def edits() -> Iterator[ModelEdit]:
        yield from (RemoveInput(graph, name) for name in names)

    return Fix(f"remove {counted(len(names), 'initializer')} from the inputs", Safety.SAFE, edits)


def without_initializers(graph: Graph, names: list[str]) -> Fix:
    """Drop initializers that nothing reads."""
    unread = frozenset(names)

    def edits() -> Iterator[ModelEdit]:
        for position, name in enumerate(graph.initializer_names):
            if name in unread:
                yield RemoveInitializer(graph, name, position)

    return Fix(f"remove {counted(len(names), 'initializer')}", Safety.SAFE, edits)


def without_nodes(nodes: list[Node]) -> Fix:
    """Drop nodes whose outputs nothing reads."""
    return Fix(
        f"remove {counted(len(nodes), 'node')}",
        Safety.SAFE,
        lambda: (ReplaceNodes(nodes[0].graph, tuple(nodes), ()),),
    )


def one_initializer(graph: Graph, name: str) -> Fix | None:
    """Keep one of several initializers of a name, if they are equal; otherwise the one used is unknown."""
    positions = _positions(graph)[name]
    protos = graph.proto.initializer
    if graph.proto.sparse_initializer or any(position >= len(protos) for position in positions):
        return None
    first = protos[positions[0]]
    if first.external_data or any(protos[position] != first for position in positions[1:]):
        return None
    return Fix(
        f"keep one of {len(positions)} equal initializers {name!r}",
        Safety.SAFE,
        lambda: tuple(RemoveInitializer(graph, name, position) for position in positions[1:]),
    )


@lru_cache(maxsize=4)
def _positions(graph: Graph) -> dict[str, list[int]]:
    """The indices of initializers, by name."""
    by_name: dict[str, list[int]] = {}
    for position, name in enumerate(graph.initializer_names):
        by_name.setdefault(name, []).append(position)
    return by_name


def sort(graph: Graph) -> Fix | None:
    """Sort the nodes so that each tensor is produced before it is read, if that is possible."""
    if graph.is_function:
        return None
    return Fix("put the nodes in topological order", Safety.SAFE, lambda: (SortNodes(graph),))


def without_output(name: str) -> Fix:
    """Remove an output that nothing produces: the model cannot run with it."""
    return Fix(
        f"remove {name!r} from the outputs; a caller can no longer request it",
        Safety.UNSAFE,
        lambda: (RemoveOutput(name),),
    )


@lru_cache(maxsize=4)
def _node_names(model: Model) -> frozenset[str]:
    return frozenset(node.name for graph in model.graphs() for node in graph.nodes)


def named(graph: Graph, nodes: list[Node]) -> Fix:
    """Name nodes after their op and first output."""

    def edits() -> Iterator[ModelEdit]:
        taken = _node_names(graph.model)
        assigned: set[str] = set()
        numbers: dict[str, int] = {}
        for node in nodes:
            wanted = f"{node.op_type}_{next(filter(None, node.outputs), node.index)}"
            number = numbers.get(wanted, 0)
            name = f"{wanted}_{number}" if number else wanted
            while name in taken or name in assigned:
                number += 1
                name = f"{wanted}_{number}"
            numbers[wanted] = number
            assigned.add(name)
            yield RenameNode(node, name)

    plural = "s" if len(nodes) > 1 else ""
    return Fix(f"name {len(nodes)} node{plural} after op and output", Safety.SAFE, edits)
