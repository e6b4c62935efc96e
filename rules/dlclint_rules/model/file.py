"""What the file declares: its opsets, weights and external data, and what onnx's own code reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from dlclint.diagnostic import About, Confidence, Safety, Severity, Source, counted
from dlclint.model import external
from dlclint.model.evaluation.bounds import real_numbers
from dlclint.model.graph import Graph, Node
from dlclint.model.op_facts import COMPARES, MICROSOFT, Role, is_qdq, role
from dlclint.model.tensors import Tensor, Unavailable
from dlclint.rule import FileContext, Finding, ModelContext, Subject, rule
from dlclint_rules import repairs, sources
from dlclint_schemas.layers import layer_table
from dlclint_schemas.ops import WHOLE
from dlclint_schemas.releases import Release, opset_since, table_source
from dlclint_schemas.remedies import remedy


@rule(Subject.FILE, about=About.FILE)
def unreadable(context: FileContext) -> Iterator[Finding]:
    """The file cannot be read as an ONNX model.

    Why: a converter cannot read it either, and its message names protobuf, not the cause.
    What to do: export or download the model again; the finding says what the file looks like.
    """
    if context.problem.kind == "unreadable":
        yield Finding(context.problem.message, Severity.ERROR, sources.ONNX, help=context.problem.help)


@rule(Subject.FILE, about=About.FILE)
def lfs_pointer(context: FileContext) -> Iterator[Finding]:
    """The file is a Git LFS pointer instead of the model.

    Why: the repository was cloned without its large files; a converter reports a parse error.
    What to do: run `git lfs pull`.
    """
    if context.problem.kind == "lfs-pointer":
        yield Finding(context.problem.message, Severity.ERROR, sources.ONNX, help=context.problem.help)


_SAID_OF_NODES = ("Nodes in a graph must be topologically sorted", "No opset import for domain")
"""The start of the checker's complaints for which separate rules report every node."""


@rule(about=About.FILE)
def invalid(context: ModelContext) -> Iterator[Finding]:
    """onnx.checker complains about the model.

    Why: the converter's front end runs the checker and may stop there. Many real models fail it and still
    work, so this is a warning and linting continues.
    What to do: fix the exporter or update it; each complaint is a separate finding.
    """
    for complaint in context.view.model.complaints:
        if complaint.startswith("Mismatched attribute type"):
            continue  # ops/attribute-type reports it for every node
        if complaint.startswith(_SAID_OF_NODES):
            continue  # dangling-input and missing-opset report it, with the node
        yield Finding(complaint, Severity.WARNING, sources.CHECKER, Confidence.INFERRED)
    # The checker sees only the structure, so the number of bytes is checked here.
    for graph in context.view.model.graphs():
        for tensor in graph.initializers.values():
            if tensor.is_external:
                continue
            try:
                tensor.location()
            except Unavailable as problem:
                yield Finding(
                    f"weight {tensor.name!r}: {problem}",
                    Severity.ERROR,
                    sources.ONNX,
                    help="export the model again",
                    tensor=tensor.name,
                    graph=graph,
                )


@rule(about=About.FILE)
def crashes_onnx(context: ModelContext) -> Iterator[Finding]:
    """The onnx package's own code dies on the model, or does not end.

    Why: the converter loads the model, checks it and infers its shapes with the same package. If that native
    code crashes, hangs or fills memory, the converter may end the same way, without reporting the cause.
    dlclint runs it in a separate process; linting continues without its results.
    What to do: complete the node as its operator requires (inputs, attributes, ranks); the finding names it
    if a single node is the cause. Another release of onnx may read the model.
    """
    model = context.view.model
    graphs = {graph.path: graph for graph in model.graphs()}
    left_out: Counter[str] = Counter()
    for crash in model.crashes.found():
        if not crash.tried:
            left_out[crash.call] += 1
            continue
        graph = graphs.get(crash.graph)
        node = None if graph is None or crash.index is None else graph.nodes[crash.index]
        subject = (
            "this node" if node is not None else f"function {crash.graph}" if crash.graph else "the model"
        )
        yield Finding(
            f"{crash.call} {crash.how} on {subject}",
            Severity.WARNING,
            sources.ONNX,
            Confidence.INFERRED,
            help="give the node the inputs and attributes that its operator demands"
            if node is not None
            else "remove parts of the model until it loads, or try another release of onnx",
            node=node,
            graph=graph if node is None else None,
            evidence={"call": crash.call, "end": crash.how},
        )
    for call, count in left_out.items():
        yield Finding(
            f"{call} is left out for {counted(count, 'other node')}, after it died on several",
            Severity.WARNING,
            sources.ONNX,
            Confidence.INFERRED,
            help="correct the nodes that end it; the lint then sees the shapes after the others",
            evidence={"call": call, "nodes": count},
        )


@rule(fix=[Safety.SAFE], about=About.FILE)
def opset_too_new(context: ModelContext) -> Iterator[Finding]:
    """The model imports a newer opset than the converter documents.

    Why: each release of the SDK states the newest opset of its converter: 21 in 2.35, 22 in 2.39, 24 in 2.47.
    dlclint uses the older one for a release between two of them, and 2.47 for anything newer.
    What to do: name the release with `--sdk` if it is not the newest; export at the opset that it supports.
    """
    opset = context.view.model.opsets.get("")
    table = context.view.table
    release = context.target.release
    limit = release.opset
    if opset is not None and opset > limit:
        newest = context.view.newest_listed_opset
        advice = f"export at opset {newest}" if newest else f"export at opset {limit} or older"
        since = opset_since(opset)
        yield Finding(
            f"opset {opset} is newer than {limit}, the newest that SDK {release.stated_for} documents"
            + (f"; SDK {since} and newer take it" if since else ""),
            Severity.ERROR,
            sources.limit("LIM004") if table.name == WHOLE else Source(table_source(table.name)),
            _sureness(release),
            help=advice + (f", or use SDK {since} (--sdk {since})" if since else ""),
            evidence={"opset": opset, "stated_max": limit},
            fix=repairs.versions.downgraded(context.view),
        )


def _sureness(release: Release) -> Confidence:
    if not release.is_stated:
        return Confidence.INFERRED
    return sources.READ.get(release.confidence, Confidence.FIELD_REPORTED)


@rule(fix=[Safety.SAFE], about=About.FILE)
def missing_opset(context: ModelContext) -> Iterator[Finding]:
    """The model imports no opset for a domain that its nodes use.

    Why: without an import, the version of an operator is undefined, and onnx.checker refuses the model. For
    com.microsoft, ONNX Runtime has only version 1, so dlclint can add its import.
    What to do: add the opset import, or export again.
    """
    model = context.view.model
    missing: Counter[str] = Counter()
    in_functions: set[str] = set()
    for graph in model.graphs():
        for node in graph.nodes:
            if graph.opset(node.domain) is None and not model.is_function(node):
                missing[node.domain or "ai.onnx"] += 1
                if graph.root.is_function:
                    in_functions.add(node.domain)
    for domain, count in missing.items():
        fixable = domain == MICROSOFT and domain not in in_functions
        yield Finding(
            f"no opset import for domain {domain}, which {counted(count, 'node')} use{'s' * (count == 1)}",
            Severity.ERROR,
            sources.ONNX,
            help="add the opset import, or export the model again",
            evidence={"domain": domain, "nodes": count},
            fix=repairs.versions.imported(domain, 1) if fixable else None,
        )


@rule(about=About.FILE)
def missing_output(context: ModelContext) -> Iterator[Finding]:
    """The model has no output.

    Why: none of its results can be read, so every node may be pruned and nothing remains to convert.
    What to do: declare the results of the network as outputs, or export again.
    """
    graph = context.view.model.graph
    if not graph.outputs:
        yield Finding(
            "the graph declares no output, so none of it is computed",
            Severity.ERROR,
            sources.ONNX,
            help="declare the results as outputs of the graph, or export the model again",
            evidence={"nodes": len(graph.nodes)},
        )


def _external(context: ModelContext, flaw: type[Exception]) -> Iterator[tuple[Graph, Tensor, str]]:
    """External tensors with a flaw in their location, and the flaw."""
    for graph in context.view.model.graphs():
        for tensor in graph.stored:
            if tensor.is_external:
                try:
                    external.resolve_location(tensor.proto, context.path.parent)
                except external.FLAWS as problem:
                    if isinstance(problem, flaw):
                        yield graph, tensor, str(problem)


@rule(about=About.FILE)
def external_data_missing(context: ModelContext) -> Iterator[Finding]:
    """External weights are absent or shorter than the tensor.

    Why: the converter needs every weight; the .onnx file by itself is not the complete model.
    What to do: copy the data files next to the model, or run `git lfs pull`.
    """
    for graph, tensor, problem in _external(context, external.ExternalDataMissing):
        yield Finding(
            f"external data missing: {problem}",
            Severity.ERROR,
            sources.ONNX,
            help="put the data file next to the model",
            tensor=tensor.name,
            graph=graph,
        )


@rule(about=About.FILE)
def external_data_escapes(context: ModelContext) -> Iterator[Finding]:
    """External weights point out of the model's folder.

    Why: ONNX forbids such locations, the onnx package refuses to load these models, and a hostile model could
    read other files this way. dlclint never follows such a location.
    What to do: save the model again with its data next to it.
    """
    for graph, tensor, problem in _external(context, external.ExternalDataEscapes):
        yield Finding(
            problem,
            Severity.ERROR,
            sources.ONNX,
            help="save the model again with its data in the same folder",
            tensor=tensor.name,
            graph=graph,
        )


@rule(about=About.FILE)
def external_data_size(context: ModelContext) -> Iterator[Finding]:
    """The offset or length of external weights is invalid, or does not match the tensor.

    Why: ONNX Runtime refuses such a model, and a tool that reads it anyway reads the wrong bytes. dlclint
    uses type and shape, never the declared length.
    What to do: save the model again with external data (onnx.save_model, save_as_external_data=True).
    """
    for graph, tensor, problem in _external(context, external.ExternalDataSize):
        yield Finding(
            f"external data of {tensor.name!r}: {problem}",
            Severity.ERROR,
            sources.ONNX,
            help="save the model again with its external data",
            tensor=tensor.name,
            graph=graph,
        )


@rule(about=About.FILE, weights=True)
def non_finite_weights(context: ModelContext) -> Iterator[Finding]:
    """A weight holds NaN or infinity.

    Why: a tensor with such a value has no finite range, so no encoding can be computed for it. An infinite
    bound of Clip, Max or Min is not reported: it bounds nothing, and no range is computed from it.
    What to do: train or export again; replace -inf in a mask by a large finite number.
    """
    non_finite = context.view.weights.non_finite
    for graph in context.view.model.graphs() if non_finite else ():
        for name, tensor in graph.initializers.items():
            count = non_finite.get((graph.path, name))
            if count and not _is_bound(graph, name):
                yield Finding(
                    f"{count} of {tensor.count} values of {name!r} are NaN or infinite",
                    Severity.WARNING,
                    sources.op_row(context.view.table),
                    Confidence.INFERRED,
                    help="replace them before quantization",
                    tensor=name,
                    graph=graph,
                    evidence={"non_finite": count, "values": tensor.count},
                )


def _is_bound(graph: Graph, name: str) -> bool:
    """Whether a stored number is infinite and a bound, for all ops that read it."""
    values = real_numbers(graph.small_value(name, 1))
    readers = graph.consumers(name)
    if values is None or np.isnan(values).any() or not readers:
        return False
    return all(
        not node.domain
        and (
            node.op_type in COMPARES
            or all(role(node.op_type, i) is Role.BOUND for i, read in enumerate(node.inputs) if read == name)
        )
        for node in readers
    )


@rule(about=About.FILE)
def custom_op(context: ModelContext) -> Iterator[Finding]:
    """The domain of a node is not covered by the converter's tables.

    Why: such ops only convert with your own op package, and with custom ops the converter does not simplify
    the model. ONNX Runtime's quantizer writes its own QuantizeLinear and DequantizeLinear for opsets without
    16- or 4-bit ones (before 21); the converter's table lists those of ONNX.
    What to do: export without contrib or framework-specific ops, or register an op package. For a QDQ model,
    `dlclint encodings extract` writes a float model and an override file, which the converters read.
    """
    known = layer_table().other_domain_layers
    quantizing: list[Node] = []
    for node in context.view.nodes():
        if node.domain and not context.view.model.is_function(node):
            if (node.domain, node.op_type) in known:
                continue
            if is_qdq(node.op_type, node.domain):
                quantizing.append(node)
                continue
            yield Finding(
                f"{node.op_type} of domain {node.domain!r} is a custom op",
                Severity.ERROR,
                sources.op_row(context.view.table),
                help=remedy(node.op_type, node.domain)
                or "export it as standard ONNX ops, or supply an op package",
                node=node,
                evidence={"domain": node.domain},
            )
    if quantizing:
        first = quantizing[0]
        yield Finding(
            f"{counted(len(quantizing), 'node')} of domain {first.domain!r} quantize or dequantize; the table"
            " has those of ONNX's own domain",
            Severity.ERROR,
            sources.op_row(context.view.table),
            Confidence.INFERRED,
            "run dlclint encodings extract: a float model and an override file, which the converters read; or"
            " export at opset 21 or newer, whose own ops have 16 and 4 bits",
            first,
            evidence={"domain": first.domain, "count": len(quantizing)},
        )
