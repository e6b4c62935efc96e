"""Family `shapes`: what the converter must know about every tensor's dimensions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

from dlclint.analysis.lengths import sizing_inputs
from dlclint.analysis.matching.six_dimensions import (
    SPACE_TO_DEPTH,
    first_of_six,
    merged_chain,
    turned_tensors,
)
from dlclint.diagnostic import About, Confidence, Severity, Source, counted, first_few
from dlclint.model.contradictions import operand_texts
from dlclint.model.dimensions import NOTHING
from dlclint.model.graph import Graph, Node
from dlclint.model.op_facts import (
    DATA_DECIDED,
    PARAMETER_ROLES,
    Role,
    role,
)
from dlclint.model.types import Dim, TensorType
from dlclint.rule import Finding, ModelContext, rule
from dlclint.target import Runtime
from dlclint_rules import places, sources
from dlclint_rules.causes import UNTYPED, before, here

INFERENCE = Source("ONNX shape inference", "strict")
EMPTY = Source("QNN 2.51 HTP backend", "error 6005 composing a graph")


def graph_inputs(context: ModelContext) -> Iterator[tuple[str, TensorType]]:
    """Name and type of each real input (without initializers that are listed as inputs)."""
    graph = context.view.model.graph
    for name in graph.inputs:
        tensor_type = graph.type_of(name)
        if tensor_type is not None:
            yield name, tensor_type


def sizes_option(context: ModelContext) -> str:
    """The options that give every open input its sizes: 1 for a batch, ? where the user must fill it in."""
    graph, batch = context.view.model.graph, context.view.batch
    dims_of: dict[str, tuple[Dim, ...]] = {}
    for name in context.view.lengths.open_inputs:
        tensor_type = graph.type_of(name)
        dims_of[name] = (None,) if tensor_type is None or tensor_type.shape is None else tensor_type.shape
    leading = {name for name, dims in dims_of.items() if dims != (None,) and batch.meaning(name).is_batch}
    # States of recurrent layers have the batch of another input in their second dimension.
    symbols = {dims_of[name][0] for name in leading if isinstance(dims_of[name][0], str)}
    options = []
    for name, dims in dims_of.items():
        sizes = (
            str(dim)
            if isinstance(dim, int)
            else "1"
            if dim in symbols or (axis == 0 and name in leading)
            else "?"
            for axis, dim in enumerate(dims)
        )
        options.append(f"-d {name} {','.join(sizes)}")
    option = " ".join(options)
    return option + (", with a number for each ?" if "?" in option else "")


def what_waits(context: ModelContext) -> str:
    """What the converter cannot compute without sizes, as the end of a sentence, or ""."""
    waiting = context.view.lengths.waiting if context.target.simplify else frozenset()
    if not waiting:
        return ""
    return f"; {counted(len(waiting), 'node')} of shape arithmetic cannot be computed before they are given"


def open_texts(context: ModelContext) -> str:
    """The open inputs with their types, the first four by name."""
    graph, names = context.view.model.graph, context.view.lengths.open_inputs
    return first_few((f"{name!r} ({graph.type_of(name) or 'no type'})" for name in names), len(names), 4)


def only_the_batch_is_open(context: ModelContext) -> bool:
    """Whether every size that inputs lack is their batch."""
    graph, batch = context.view.model.graph, context.view.batch
    for name in context.view.lengths.open_inputs:
        tensor_type = graph.type_of(name)
        if tensor_type is None or not tensor_type.shape or not batch.meaning(name).is_batch:
            return False
        if not all(isinstance(dim, int) for dim in tensor_type.shape[1:]):
            return False
    return True


@rule(about=About.SIZES, follows=here("shapes/odd-dim"))
def dynamic_dim(context: ModelContext) -> Iterator[Finding]:
    """Inputs have dimensions without a size.

    Why: the converter stops at a dynamic input whose size its command line does not give ("Missing command
    line inputs for dynamic inputs", "Negative/placeholder dimensions is not supported"). Shapes that are
    computed from such an input are unknown too ("Target shape has to be constant"); this finding counts them
    instead of reporting each one.
    What to do: pass `-d NAME DIMS` with the sizes you deploy, to dlclint and to the converter.
    """
    names = context.view.lengths.open_inputs
    if not names or only_the_batch_is_open(context):
        return  # batch/symbolic reports an open batch
    yield Finding(
        f"{counted(len(names), 'input')} without all sizes: {open_texts(context)}{what_waits(context)}",
        Severity.ERROR,
        sources.CONVERTER,
        Confidence.FIELD_REPORTED,
        help=f"give the sizes, here and to the converter: {sizes_option(context)}",
        tensor=names[0],
        evidence={"inputs": list(names), "waiting_nodes": len(context.view.lengths.waiting)},
    )


@rule(about=About.CONVERSION, follows=here("ops/unsupported", "runtime/layer-limit"))
def data_length(context: ModelContext) -> Iterator[Finding]:
    """The length of a tensor depends on the data.

    Why: QNN has no dynamic shapes: a backend needs every output's size when the graph is built ("NonZero
    output shape must be static"), and refuses the nodes that read a tensor of unknown length as well. This
    applies to selections (NonZero, NonMaxSuppression), and to a shape, a k or a limit that is an input or is
    computed from data. A length that is declared in the model counts as known.
    What to do: end the network before the node, with its inputs as outputs, and compute the rest in the
    application; or keep a fixed number (TopK) instead of a selection, and store the values that determine a
    size.
    """
    lengths = context.view.lengths
    for node in context.view.official_nodes:
        if node.key in lengths.decided:
            count = lengths.decided[node.key]
            follow = f"; {counted(count, 'node')} after it {'has' if count == 1 else 'have'} no fixed size"
            deciding = sizing_inputs(node, context.view.folded)
            if deciding:
                yield _open_size(node, deciding[0], follow * bool(count), count)
                continue
            computed = [f"{name!r}" for name in node.inputs if node.graph.producer(name) is not None]
            advice = (
                f"end the model before it: make {' and '.join(computed)}"
                f" {'an output' if len(computed) == 1 else 'outputs'}, and do the rest outside"
                if computed
                else "it reads what the application gives: do it there, before the model"
            )
            yield Finding(
                f"{node.op_type}: the data decide {DATA_DECIDED[node.op_type]}{follow * bool(count)}",
                Severity.WARNING,
                Source("QNN 2.51 HTP backend", "output shape must be static"),
                Confidence.FIELD_REPORTED,
                help=advice,
                node=node,
                evidence={"following_nodes": count},
            )


def _open_size(node: Node, tensor: str, follow: str, count: int) -> Finding:
    """A finding for a node whose length depends on an input that is not constant."""
    is_input = node.graph.producer(tensor) is None
    return Finding(
        f"{node.op_type}: {tensor!r}, which decides how long its output is, is not constant{follow}",
        Severity.WARNING,
        Source("QNN 2.51 HTP backend", "output shape must be static"),
        Confidence.FIELD_REPORTED,
        help="store its value in the model in place of an input"
        if is_input
        else "store it, or end the model before the node and do the rest outside",
        node=node,
        tensor=tensor,
        evidence={"following_nodes": count},
    )


@rule(about=About.FILE, follows=UNTYPED | before("shapes/data-length", "shapes/contradiction"))
def unknown_shape(context: ModelContext) -> Iterator[Finding]:
    """Shape inference cannot determine the rank of a tensor.

    Why: layout and layer choice depend on ranks; rules that need them skip this tensor.
    What to do: give the input sizes, or add value info if the exporter omitted it.
    """
    for graph in context.view.model.graphs():
        if graph.is_function:
            continue
        unknown = [
            output
            for node in graph.nodes
            if node.key not in context.view.folded
            for output in node.outputs
            if output
            and graph.rank(output) is None
            and not context.view.lengths.open_inputs
            and (graph.consumers(output) or output in graph.outputs)
        ]
        if unknown:
            shown = ", ".join(unknown[:3]) + (" ..." if len(unknown) > 3 else "")
            yield Finding(
                f"the rank of {counted(len(unknown), 'tensor')} is unknown: {shown}",
                Severity.INFO,
                Source("ONNX shape inference"),
                Confidence.INFERRED,
                help="give every input its size, or export with shapes",
                graph=graph,
                tensor=unknown[0],
                evidence={"tensors": len(unknown)},
            )


@rule(about=About.FILE, follows=UNTYPED)
def contradiction(context: ModelContext) -> Iterator[Finding]:
    """Shapes or types that exclude each other.

    Why: operands do not broadcast, a Reshape changes the number of elements, a window exceeds the padded
    input, or the operator does not support a type. ONNX Runtime refuses to load or to run such a model, and
    the converter has no layer for it. The text of the message comes from onnx's strict shape inference, or
    from the operator's document if inference does not check this.
    What to do: check the node and its inputs; after `-d`, `-s` or `-b`, check the sizes given.
    """
    overridden = context.view.model.overridden is not NOTHING
    advice = (
        "check the sizes given with -d, -s or -b" if overridden else "correct the model where it was edited"
    )
    for each in context.view.contradictions:
        if each.lenient:
            continue
        subject = f"output {each.tensor!r} is " if each.tensor else ""
        operands = "" if each.tensor else f" ({operand_texts(each.node)})"
        yield Finding(
            f"{each.node.op_type}: {subject}{each.words}{operands}",
            Severity.ERROR,
            INFERENCE if each.inferred else sources.ONNX,
            help=f"{advice}, or export again",
            node=each.node,
            tensor=each.tensor,
            related=tuple(
                places.source(each.node.graph, name, f"operand {name!r}")
                for name in dict.fromkeys(filter(None, each.node.inputs[: places.MOST]))
                if each.node.graph.constant(name) is None
            ),
        )


@rule(about=About.FILE)
def declared_otherwise(context: ModelContext) -> Iterator[Finding]:
    """A tensor's declared sizes differ from the inferred ones.

    Why: exporters and graph editors leave outdated shapes in value_info and outputs. ONNX Runtime warns and
    uses the shapes that it infers from the nodes; strict shape inference refuses the model, and tools that
    read only the declared shape use the wrong sizes.
    What to do: remove the declared shapes (value_info) and infer them again, or export again.
    """
    for each in context.view.contradictions:
        if each.lenient:
            yield Finding(
                f"{each.node.op_type}: output {each.tensor!r} is {each.words}",
                Severity.WARNING,
                INFERENCE,
                help="remove the declared shape and infer it again, or export again",
                node=each.node,
                tensor=each.tensor,
            )


@rule(about=About.FILE)
def input_rank(context: ModelContext) -> Iterator[Finding]:
    """An input has more than four dimensions.

    Why: the documented input is 4-D with the batch first; the layer table has some rank-5 layers.
    What to do: check that every layer that reads it supports the rank.
    """
    for name, tensor_type in graph_inputs(context):
        if tensor_type.shape is not None and len(tensor_type.shape) > 4:
            yield Finding(
                f"input {name!r} ({tensor_type}) has rank {len(tensor_type.shape)}, the documented"
                " input has at most 4",
                Severity.INFO,
                sources.limit("LIM001"),
                help="merge dimensions, or check the layers it meets",
                tensor=name,
                evidence={"rank": len(tensor_type.shape)},
            )


@rule(about=About.FORM)
def rank_above_five(context: ModelContext) -> Iterator[Finding]:
    """A tensor has more than five dimensions.

    Why: HTP refuses it ("has incorrect Rank 6"); no row of the layer table mentions more than five
    dimensions. ONNX Runtime's provider for HTP merges two forms: Gather, Transpose, Reshape if the Gather
    reads each place once, and Reshape, Transpose, Reshape if a dimension of 1 stays in its place, which it
    drops. Of the permutations 0 1 3 5 2 4 and 0 3 5 1 2 4 it merges only a space to depth, [n,c,h*a,w*b] to
    [n,c*a*b,h,w]. Data that follow from an op such as Conv, which it turns to channels last, are permuted
    otherwise if the first Reshape leaves batch and channels: it merges those two, and refuses 0 2 4 1 3 5, as
    in attention over windows, and 0 4 1 2 3 5. In float it also merges Reshape, Einsum, Reshape if they make
    an image [n,c,h*a,w*b] of patches [n,h,w,a,b,c]. Nodes that read the six dimensions and fold, such as a
    Shape, do not count. No document says whether the converter merges these forms. A chain that may be merged
    has one finding, at its first node.
    What to do: merge dimensions before the op, or split the transpose that needs six.
    """
    on_htp = Runtime.HTP in context.target.chosen
    told: set[tuple[str, int]] = set()
    chain_from = cache(
        partial(merged_chain, context.view.folded, context.target.kind.is_float, cache(turned_tensors))
    )
    without_six = cache(_without_six)  # many nodes may read one such tensor
    for node in context.view.nodes():
        for name in (*node.outputs, *node.inputs):
            rank = max(node.graph.ranks(name), default=0) if name else 0
            if rank > 5:
                first = first_of_six(node.graph, name)
                chain = () if first is None else chain_from(first)
                if node.key not in told:
                    told |= {each.key for each in chain}
                    ops = ", ".join(each.op_type for each in chain if each.op_type != "Identity")
                    merged = f", in a {ops} that may be merged" if chain else ""
                    yield Finding(
                        f"{node.op_type}: {name!r} has rank {rank}{merged}",
                        Severity.ERROR if on_htp and not chain else Severity.WARNING,
                        Source("HTP validator", "incorrect Rank 6"),
                        Confidence.INFERRED if chain else Confidence.FIELD_REPORTED,
                        help=without_six(node.graph, name),
                        node=node,
                        tensor=name,
                        evidence={"rank": rank},
                        related=places.nodes(
                            (each for each in chain if each.key != node.key), "is merged with it"
                        ),
                    )
                break


def _without_six(graph: Graph, tensor: str) -> str:
    """The ops to write instead of a tensor of six dimensions."""
    ends = (graph.producer(tensor), *graph.consumers(tensor))
    if any(node is not None and node.attribute("perm") in SPACE_TO_DEPTH for node in ends):
        return "write it as one SpaceToDepth where the blocks are square, or merge dimensions"
    return "merge dimensions so that no tensor has more than five"


@rule(about=About.FILE, follows=before("shapes/contradiction", "shapes/empty-tensor"))
def odd_dim(context: ModelContext) -> Iterator[Finding]:
    """A dimension is 0, or the text "None".

    Why: such values indicate a failed export and are not sizes; the converter takes them literally. A list of
    axes or pads may be empty and does not count. If only Concats read an empty input, such as the initial
    cache of past steps, the finding is a warning: ONNX Runtime drops the input. A size of -1 counts as
    unknown (`shapes/dynamic-dim`).
    What to do: export with real sizes or symbols, or override with `-d NAME DIMS`.
    """
    graph = context.view.model.graph
    for kind, names in (("input", graph.inputs), ("output", graph.outputs)):
        for name in names:
            tensor_type = graph.type_of(name)
            if kind == "input" and steers_only(graph, name):
                continue
            for axis, dim in enumerate((tensor_type and tensor_type.shape) or ()):
                if (isinstance(dim, int) and dim <= 0) or dim in ("None", "-1", "0"):
                    wrong = _is_read(graph, name) if kind == "input" else _is_constant(context, name)
                    yield Finding(
                        f"dimension {axis} of {kind} {name!r} is {dim!r}",
                        Severity.ERROR if wrong else Severity.WARNING,
                        sources.ONNX,
                        help=f"give its size: -d {name} DIMS" if kind == "input" else "export again",
                        tensor=name,
                        evidence={"axis": axis, "dim": str(dim)},
                    )


def _is_read(graph: Graph, name: str) -> bool:
    """Whether anything reads an input's elements, except a Concat, which ignores empty inputs."""
    for node in graph.consumers(name):
        joined = node.op_type == "Concat" and len(node.inputs) > 1
        of_type_alone = node.op_type == "CastLike" and node.input(0) != name
        if not joined and not of_type_alone:
            return True
    return False


def _is_constant(context: ModelContext, name: str) -> bool:
    """Whether an output is computed in advance, so that there is no node for `empty_tensor` to report."""
    producer = context.view.model.graph.producer(name)
    return producer is not None and producer.key in context.view.folded


def steers_only(graph: Graph, name: str, wanted: frozenset[Role] = PARAMETER_ROLES) -> bool:
    """Whether a tensor is a list of axes, pads and the like (of these roles) for all ops that read it."""
    roles = {
        role(node.op_type, position)
        for node in graph.consumers(name)
        for position, read in enumerate(node.inputs)
        if read == name
    }
    return bool(roles) and roles <= wanted


@rule(about=About.CONVERSION, follows=before("shapes/contradiction"))
def empty_tensor(context: ModelContext) -> Iterator[Finding]:
    """A node produces a tensor without elements.

    Why: a Slice past the end, a Split into empty parts or a window without elements produces a dimension of
    0. A layer without elements cannot be built: QNN stops composing the graph with error 6005. ONNX Runtime
    drops an empty tensor that a Concat joins, and the converter does so if its simplification removes it.
    What to do: remove the node that produces it; after `-d`, check the sizes given.
    """
    for node in context.view.nodes():
        for name in node.outputs:
            tensor_type = node.graph.type_of(name) if name else None
            if tensor_type is None or tensor_type.shape is None or 0 not in tensor_type.shape:
                continue
            computed = [source for source in node.inputs if source and node.graph.constant(source) is None]
            reads = [node.graph.type_of(source) for source in computed]
            if any(kind is not None and kind.shape is not None and 0 in kind.shape for kind in reads):
                continue  # the node that produces the first one is named
            yield Finding(
                f"{node.op_type} makes {name!r} ({tensor_type}), which has no elements",
                Severity.ERROR,
                EMPTY,
                Confidence.FIELD_REPORTED,
                help="remove the nodes that produce nothing, or give the inputs other sizes",
                node=node,
                tensor=name,
                evidence={"axis": tensor_type.shape.index(0)},
            )
            break
