"""How the nodes of a graph are connected: what they read, in which order, under which names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dlclint.diagnostic import About, Confidence, Safety, Severity, counted
from dlclint.model.graph import Graph, Node
from dlclint.rule import Finding, ModelContext, Place, rule
from dlclint_rules import places, repairs, sources
from dlclint_rules.causes import anywhere


def _is_around(graph: Graph, name: str, whole: dict[Graph, set[str]]) -> bool:
    """Whether an outer graph has a tensor; `whole` has the tensors of each graph, outermost first."""
    outer = graph.parent
    while outer is not None:
        if name in whole[outer]:
            return True
        outer = outer.parent
    return False


@rule(fix=[Safety.SAFE], about=About.FILE)
def unsorted_nodes(context: ModelContext) -> Iterator[Finding]:
    """Nodes precede those whose results they read.

    Why: ONNX requires topological order. onnx.checker refuses the model, and tools that make one pass over
    the nodes do not know later ones; ONNX Runtime sorts them itself. dlclint evaluates the nodes in the
    correct order.
    What to do: sort the nodes; `dlclint fix` does this.
    """
    for graph in context.view.model.graphs():
        places = {node.index: position for position, node in enumerate(graph.in_order)}
        early = [
            (node, name, maker)
            for node in graph.nodes
            for name in node.inputs
            if graph.makes(name) and (maker := graph.producer(name)) is not None
            if maker.index > node.index and places[maker.index] < places[node.index]
        ]
        if early:
            node, name, maker = early[0]
            count = len({reader.index for reader, _, _ in early})
            read = "reads" if count == 1 else "read"
            yield Finding(
                f"the nodes are not in topological order: {counted(count, 'node')} {read}"
                f" what a later node makes, such as {node.op_type} at {node.index}, which reads {name!r} of"
                f" {maker.op_type} at {maker.index}",
                Severity.ERROR,
                sources.ONNX,
                help="sort the nodes topologically",
                node=node,
                evidence={"nodes": count},
                fix=repairs.tidying.sort(graph),
                related=(Place("makes what it reads", maker, name),),
            )


@rule(fix=[Safety.UNSAFE], about=About.FILE)
def dangling_input(context: ModelContext) -> Iterator[Finding]:
    """A node reads a tensor that no node produces.

    Why: the graph is incomplete, or its nodes form a cycle; conversion fails.
    What to do: remove the node or connect its input; check the tool that edited the graph.
    """
    whole: dict[Graph, set[str]] = {}
    for graph in context.view.model.graphs():
        known = {*graph.inputs, *graph.initializers}
        for node in graph.in_order:
            for name in node.inputs:
                if name and name not in known and not _is_around(graph, name, whole):
                    circular = graph.producer(name) is not None
                    how = "a later node produces: the nodes form a cycle" if circular else "no node produces"
                    yield Finding(
                        f"input {name!r} of {node.op_type}, which {how}",
                        Severity.ERROR,
                        sources.ONNX,
                        help="break the cycle" if circular else "connect the input",
                        node=node,
                        tensor=name,
                        related=(places.source(graph, name, "what it reads"),) if circular else (),
                    )
            known.update(node.outputs)
        whole[graph] = known
        for name in graph.outputs:
            if name not in known and not _is_around(graph, name, whole):
                yield Finding(
                    f"graph output {name!r} is not produced by any node",
                    Severity.ERROR,
                    sources.ONNX,
                    help="remove the output or connect it",
                    tensor=name,
                    graph=graph,
                    fix=None
                    if graph.path or len(graph.outputs) == 1
                    else repairs.tidying.without_output(name),
                )


@rule(fix=[Safety.SAFE], about=About.FILE, follows=anywhere("model/missing-output"))
def unused_input(context: ModelContext) -> Iterator[Finding]:
    """A graph input is not used by any node.

    Why: simplification removes it, and the application then feeds an input that the DLC does not have.
    What to do: remove the input from the model.
    """
    graph = context.view.model.graph
    if not graph.outputs:
        return  # missing-output reports it, and what must be computed is not known
    for name in graph.inputs:
        if not graph.consumers(name) and name not in graph.outputs:
            yield Finding(
                f"input {name!r} is not used by any node",
                Severity.INFO,
                sources.ONNX,
                Confidence.INFERRED,
                help="remove it from the model's inputs",
                tensor=name,
                fix=repairs.tidying.without_input(graph, name),
            )


@rule(fix=[Safety.SAFE], about=About.FILE)
def duplicate_name(context: ModelContext) -> Iterator[Finding]:
    """Two nodes share a name, or two definitions share a tensor name.

    Why: a tensor with two definitions is undefined; override files and the DLC's layer names cannot
    distinguish nodes of the same name.
    What to do: give every node and tensor a unique name.
    """
    for graph in context.view.model.graphs():
        names: dict[str, Node] = {}
        definitions: dict[str, tuple[str, Node | None]] = dict.fromkeys(graph.inputs, ("a graph input", None))
        for name, count in Counter(graph.initializer_names).items():
            if count > 1:
                yield Finding(
                    f"initializer {name!r} is defined {count} times",
                    Severity.ERROR,
                    sources.ONNX,
                    help="keep one definition",
                    tensor=name,
                    graph=graph,
                    fix=repairs.tidying.one_initializer(graph, name),
                )
            definitions[name] = ("an initializer", None)
        for node in graph.nodes:
            for output in node.outputs:
                if output and output in definitions:
                    yield Finding(
                        f"output {output!r} is already {definitions[output][0]}",
                        Severity.ERROR,
                        sources.ONNX,
                        help="rename one of them",
                        node=node,
                        tensor=output,
                        related=(Place("has the name already", definitions[output][1], output, graph),),
                    )
                definitions[output] = (f"an output of node {node.index}", node)
            if node.name and node.name in names:
                yield Finding(
                    f"node {names[node.name].index} already has the name {node.name!r}",
                    Severity.WARNING,
                    sources.ONNX,
                    help="rename one of them",
                    node=node,
                    fix=repairs.tidying.named(graph, [node]),
                    related=(Place("has the name already", names[node.name]),),
                )
            names.setdefault(node.name, node)
