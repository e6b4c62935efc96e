"""Family `graph`: parts that do nothing, that nothing reads, or that the converter rewrites silently."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sized

import numpy as np
import onnx

from dlclint.analysis.folding import folded_nodes
from dlclint.analysis.matching.computed import find_computed
from dlclint.analysis.matching.norm_axes import spelled_norms, trailing
from dlclint.analysis.matching.terms import other_operand, sole_reader
from dlclint.analysis.roles import layer_name
from dlclint.analysis.shared import short
from dlclint.diagnostic import Confidence, Safety, Severity, Source, counted, first_few
from dlclint.model.evaluation.bounds import real_numbers
from dlclint.model.graph import Graph, Node
from dlclint.model.op_facts import INT32_INDICES, RESIZERS, SIZING_ROLES
from dlclint.rule import Finding, ModelContext, Place, rule
from dlclint_rules import places, repairs, sources
from dlclint_rules.causes import anywhere, here
from dlclint_rules.shapes import steers_only
from dlclint_schemas.layers import layer_table

_INT32 = np.iinfo(np.int32)


def _graphs(context: ModelContext) -> Iterator[Graph]:
    return (graph for graph in context.view.model.graphs() if not graph.is_function)


def _pruned(context: ModelContext) -> Iterator[Graph]:
    """The graphs in which unread parts may be removed: none where the model has no output."""
    return iter(_graphs(context) if context.view.model.graph.outputs else ())


def _nodes_text(nodes: list[Node]) -> str:
    counts = Counter(node.op_type for node in nodes)
    return ", ".join(f"{count} {op}" for op, count in counts.most_common(4))


def _verb(subjects: Sized, one: str, several: str) -> str:
    return one if len(subjects) == 1 else several


@rule(fix=[Safety.SAFE])
def without_effect(context: ModelContext) -> Iterator[Finding]:
    """Nodes pass their input on unchanged.

    Why: Identity, Dropout at inference and Cast to the same type compute nothing. The converter removes them,
    and with them the tensor names that an override file may use.
    What to do: remove them before AIMET processes the model, so that all names match.
    """
    for graph in _graphs(context):
        nodes = [node for node in graph.nodes if _passes_on(node) and repairs.tidying.can_bypass(node)]
        if nodes:
            yield Finding(
                f"{_nodes_text(nodes)} {_verb(nodes, 'passes its', 'pass their')} input on unchanged",
                Severity.INFO,
                sources.layer_row("Identity, Dropout: folded or removed"),
                Confidence.INFERRED,
                help="remove them before override files are made, so that tensor names stay",
                node=nodes[0],
                evidence={"nodes": len(nodes)},
                fix=repairs.tidying.bypass_all(nodes),
            )


def _passes_on(node: Node) -> bool:
    if node.domain or not node.input(0):
        return False
    if node.op_type == "Identity":
        return layer_table().rowless["Identity"].kind == "folded_or_removed"
    if node.op_type == "Dropout":
        mask = node.outputs[1] if len(node.outputs) > 1 else ""
        training = node.graph.small_value(node.input(2)) if node.input(2) else None
        inference = not node.input(2) or (training is not None and not training.any())
        old = (node.version or 0) < 7 and not node.attribute("is_test", 0)
        read = bool(mask) and (bool(node.graph.consumers(mask)) or mask in node.graph.outputs)
        return inference and not old and not read
    if node.op_type == "Cast":
        tensor_type = node.graph.type_of(node.input(0))
        return tensor_type is not None and tensor_type.data_type == node.attribute("to")
    return False


@rule(fix=[Safety.SAFE], follows=anywhere("model/missing-output"))
def unread_output(context: ModelContext) -> Iterator[Finding]:
    """Unused outputs that the converter does not produce.

    Why: the converter does not emit Mask of Dropout, Indices of MaxPool and the statistics of
    BatchNormalization. Unused, they cost nothing, but the DLC has no tensors with their names.
    What to do: remove the outputs.
    """
    ops = {"Dropout", "MaxPool", "BatchNormalization"}
    for graph in _graphs(context):
        outputs = [
            (node, position)
            for node in graph.nodes
            if node.op_type in ops and not node.domain and not node.attribute("training_mode", 0)
            for position, name in enumerate(node.outputs[1:], 1)
            if name and not graph.consumers(name) and name not in graph.outputs
        ]
        if outputs:
            node, position = outputs[0]
            yield Finding(
                f"{counted(len(outputs), 'output')} {_verb(outputs, 'is', 'are')} not produced and not used,"
                f" such as {node.outputs[position]!r}",
                Severity.INFO,
                sources.op_row(context.view.table, node.op_type),
                help="leave them out",
                node=node,
                evidence={"outputs": len(outputs)},
                fix=repairs.layers.without_unread_outputs(outputs),
            )


@rule(fix=[Safety.SAFE])
def unread_initializer(context: ModelContext) -> Iterator[Finding]:
    """Unused initializers.

    Why: they make the file larger and slower to load, and an override file may name them without effect.
    What to do: remove them.
    """
    for graph in _pruned(context):
        if graph.proto.sparse_initializer:
            continue
        names = [n for n in graph.initializers if not graph.consumers(n) and n not in graph.outputs]
        if names:
            size = sum(max(0, graph.initializers[name].nbytes) for name in names)
            yield Finding(
                f"{counted(len(names), 'initializer')} ({size} bytes) {_verb(names, 'is', 'are')} not used,"
                f" such as {names[0]!r}",
                Severity.INFO,
                sources.ONNX,
                Confidence.INFERRED,
                help="remove them",
                graph=graph,
                tensor=names[0],
                evidence={"initializers": len(names), "bytes": size},
                fix=repairs.tidying.without_initializers(graph, names),
            )


@rule(fix=[Safety.SAFE], follows=anywhere("model/missing-output"))
def unread_node(context: ModelContext) -> Iterator[Finding]:
    """Nodes whose results are not used.

    Why: the converter prunes them, so their names are not in the DLC.
    What to do: remove them, or make their result an output if it was meant to be one.
    """
    for graph in _pruned(context):
        nodes = [
            node
            for node in graph.nodes
            if node.outputs
            and not any(name and (graph.consumers(name) or name in graph.outputs) for name in node.outputs)
        ]
        if nodes:
            yield Finding(
                f"the result{'s' * (len(nodes) > 1)} of {_nodes_text(nodes)}"
                f" {_verb(nodes, 'is', 'are')} not used",
                Severity.INFO,
                sources.ONNX,
                Confidence.INFERRED,
                help="remove them, or declare their result an output",
                node=nodes[0],
                evidence={"nodes": len(nodes)},
                fix=repairs.tidying.without_nodes(nodes),
            )


@rule(fix=[Safety.SAFE])
def initializer_as_input(context: ModelContext) -> Iterator[Finding]:
    """Initializers are listed as inputs of the model too.

    Why: such a weight is only a default that the caller may replace, so tools that fold constants leave it
    alone. Models of IR version 3 must list initializers; later ones need not.
    What to do: remove them from the inputs.
    """
    model = context.view.model
    graph = model.graph
    if model.proto.ir_version < 4:
        return
    names = [value.name for value in model.proto.graph.input if value.name in graph.initializers]
    if names:
        yield Finding(
            f"{counted(len(names), 'initializer')} {_verb(names, 'is an input', 'are inputs')} too,"
            f" such as {names[0]!r}",
            Severity.INFO,
            Source("ONNX specification", "IR version 4, graph inputs and initializers"),
            Confidence.INFERRED,
            help="remove them from the inputs: they are constants",
            tensor=names[0],
            evidence={"initializers": len(names)},
            fix=repairs.tidying.without_default(graph, names),
        )


@rule(fix=[Safety.SAFE])
def nameless_node(context: ModelContext) -> Iterator[Finding]:
    """Nodes without a name, in a model with an override file.

    Why: reports and layers use the name of their node. If the name is missing, each tool invents one, so you
    cannot match what two tools report about a layer.
    What to do: give every node a name before you quantize the model.
    """
    if context.target.simplify:
        return
    for graph in _graphs(context):
        nodes = [node for node in graph.nodes if not node.name]
        if nodes:
            yield Finding(
                f"{len(nodes)} of {counted(len(graph.nodes), 'node')} {_verb(nodes, 'has', 'have')} no name",
                Severity.INFO,
                sources.ONNX,
                Confidence.INFERRED,
                help="name them before the model is quantized",
                node=nodes[0],
                evidence={"nodes": len(nodes)},
                fix=repairs.tidying.named(graph, nodes),
            )


@rule(fix=[Safety.SAFE], follows=here("ops/not-foldable"))
def constant_expression(context: ModelContext) -> Iterator[Finding]:
    """Nodes compute values that are constant in the model, and the converter will not fold them.

    Why: with quantization overrides, custom ops or `--no-simplification`, the converter does not simplify, so
    arithmetic on constants and shapes stays in the graph, or stops the conversion.
    What to do: fold it before you create the overrides, so that nodes and tensor names match.
    """
    if context.target.simplify:
        return
    keys = folded_nodes(context.view.model)
    for graph in _graphs(context):
        nodes = [node for node in graph.nodes if node.key in keys and node.op_type != "Constant"]
        if nodes:
            yield Finding(
                f"{counted(len(nodes), 'node')} {_verb(nodes, 'computes', 'compute')} constants"
                f" ({_nodes_text(nodes)}) and {_verb(nodes, 'is', 'are')} not folded",
                Severity.INFO,
                sources.CONVERTER,
                help="fold them before the override file is made",
                node=nodes[0],
                evidence={"nodes": len(nodes)},
                fix=repairs.folding.stored_results(graph, nodes),
            )


@rule(fix=[Safety.SAFE])
def wide_indices(context: ModelContext) -> Iterator[Finding]:
    """Stored indices of 64 bits, which become 32 bits wide in the DLC.

    Why: the runtimes have no 64-bit integers; the DLC stores indices as int32.
    What to do: nothing if the values fit; store them as int32 to have the same values in the model and the
    DLC.
    """
    indices = list(_narrowed_indices(context))
    if indices:
        tensors = {id(node.graph.constant(node.input(position))) for node, position in indices}
        yield Finding(
            f"int64 indices stored in {counted(len(tensors), 'tensor')} become int32",
            Severity.INFO,
            Source(
                "QNN SDK documentation 2.25.0, HTP precision",
                "Cast: int64 only to and from 32-bit integers",
            ),
            Confidence.INFERRED,
            help="nothing has to be done: the values fit; store them as int32 to see what will run",
            node=indices[0][0],
            evidence={"tensors": len(tensors)},
            fix=repairs.layers.narrow_indices(indices),
        )


def _narrowed_indices(context: ModelContext) -> Iterator[tuple[Node, int]]:
    """Nodes with stored int64 indices that fit in 32 bits, and the position of the input."""
    folded = context.view.folded
    for graph in _graphs(context):
        for node in graph.nodes:
            position = INT32_INDICES.get(node.op_type)
            if position is None or node.domain or node.key in folded:
                continue
            stored = graph.constant(node.input(position))
            if stored is None or stored.data_type != onnx.TensorProto.INT64:
                continue
            value = graph.small_value(node.input(position), limit=1 << 20)
            if value is not None and value.size and _INT32.min <= value.min() <= value.max() <= _INT32.max:
                yield node, position


@rule()
def resize_ratio(context: ModelContext) -> Iterator[Finding]:
    """The scales of a Resize or Upsample are not the output's size over the input's.

    Why: ONNX computes with the stored scale, and rounds the output's size down. QNN's Resize has no scales
    and computes with output over input, which is then a different number: it takes the samples at other
    positions. On noise, by ONNX Runtime: 33 to 16 at scale 0.5 agrees to 16 dB, 33 to 43 at 1.32 to 24 dB.
    With align_corners, neither number is used.
    What to do: give sizes instead of scales, or a scale that is exactly output over input, and train or
    evaluate with it.
    """
    for node in (node for op in RESIZERS for node in context.view.by_op.get(op, ())):
        scales = _scales(node)
        data = node.graph.type_of(node.input(0))
        sizes = None if data is None else data.static_shape
        mode = node.attribute("coordinate_transformation_mode")
        if scales is None or sizes is None or mode in ("align_corners", "tf_crop_and_resize"):
            continue
        axes = node.attribute("axes") if node.op_type == "Resize" else None
        for axis, scale in zip(axes or range(len(sizes)), scales, strict=False):
            size = sizes[axis] if -len(sizes) <= axis < len(sizes) else 0
            rounded = math.floor(size * scale) if math.isfinite(size * scale) else 0
            if size > 0 and rounded > 0 and abs(rounded / scale - size) > _SAME_SIZE * size:
                yield Finding(
                    f"{node.op_type}: the scale {scale:.6g} of axis {axis} makes {rounded} of {size}, whose "
                    f"ratio is {rounded / size:.6g}; QNN computes with the ratio",
                    Severity.WARNING,
                    Source("onnxruntime/onnxruntime-qnn#53", "QNN's Resize has no scales"),
                    Confidence.FIELD_REPORTED,
                    help="give sizes in place of scales, or a scale that is output over input",
                    node=node,
                    evidence={"scale": scale, "ratio": rounded / size, "axis": axis},
                )
                break


def _scales(node: Node) -> list[float] | None:
    """The scales of a Resize or Upsample, where they are known: an attribute up to Upsample 7."""
    written = node.attribute("scales") if node.op_type == "Upsample" else None
    if isinstance(written, list):
        return written
    position = 2 if node.op_type == "Resize" and (node.version or 11) >= 11 else 1
    scales = real_numbers(node.graph.model.values.whole(node.graph, node.input(position)))
    return None if scales is None else scales.reshape(-1).tolist()


_SAME_SIZE = 1e-4
"""The relative difference from output over input that a scale may have: the loss of float32 and printing."""


@rule()
def wide_inputs(context: ModelContext) -> Iterator[Finding]:
    """Inputs or outputs of the model are 64-bit integers.

    Why: the runtimes have no 64-bit integers. AI Hub requires `--truncate_64bit_io` ("Must use
    --truncate_64bit_io when input tensors have type int64"), and the converters take `--input_dtype NAME
    int32` (SNPE) and `--source_model_input_datatype NAME int32` (QAIRT). The inputs and outputs are then
    int32: raw files written as int64 hold twice the bytes that are read. The quantizers and net-run read raw
    files as float32 unless `--use_native_input_files` is given.
    What to do: cast to int32 at the inputs and outputs, or pass the options; write raw inputs as int32 with
    `--use_native_input_files`, and read raw outputs as int32 with `--use_native_output_files`. `dlclint plan`
    prints the commands. The rule skips axes, sizes and the like that are inputs: the converter needs them
    stored (`ops/dynamic-parameter`, `ops/not-foldable`).
    """
    graph = context.view.model.graph
    for kind, names in (("input", graph.inputs), ("output", graph.outputs)):
        wide = [
            name
            for name in names
            if (tensor_type := graph.type_of(name)) is not None
            and tensor_type.data_type == onnx.TensorProto.INT64
            and not (kind == "input" and steers_only(graph, name, SIZING_ROLES))
        ]
        if wide:
            shown = first_few(map(repr, wide), len(wide), 4)
            raw = "write" if kind == "input" else "read"
            yield Finding(
                f"{counted(len(wide), kind)} of type int64 become{'s' * (len(wide) == 1)} int32: {shown}",
                Severity.WARNING if kind == "input" else Severity.INFO,
                Source("qualcomm/ai-hub-models#68", "--truncate_64bit_io"),
                Confidence.FIELD_REPORTED,
                help=f"{raw} the raw files as int32 (4 bytes an element), with --use_native_{kind}_files of "
                "the tools, which else take float32; AI Hub wants --truncate_64bit_io",
                tensor=wide[0],
                evidence={f"{kind}s": wide},
            )


@rule(fix=[Safety.SAFE])
def unmatched_pattern(context: ModelContext) -> Iterator[Finding]:
    """A HardSwish or layer normalization in a form that the converter does not recognize.

    Why: if recognized, the nodes become one layer, which runs faster and is quantized as one; otherwise each
    node is a separate layer with its own range.
    What to do: write it as x * Clip(x + 3, 0, 6) / 6, or as Sub, Pow, ReduceMean, Add, Sqrt and Div.
    """
    view = context.view.as_float
    for node in view.nodes():
        if node.key in view.in_pattern or node.op_type == "Erf":
            continue
        match = find_computed(node)
        if match is None or match.last.key in view.in_pattern:
            continue
        row = layer_table().rows[match.layer]
        if not any(row.runtimes[runtime.column] for runtime in context.target.considered):
            continue  # as one layer it would not run there at all
        yield Finding(
            f"{match.source!r} to {match.last.outputs[0]!r} computes {match.layer} in a form that"
            " the converter does not recognize",
            Severity.INFO,
            sources.layer_row(f"row {row.number} {row.name}"),
            Confidence.INFERRED,
            help="rewrite it in the form that the converter recognizes",
            node=match.last,
            fix=None if context.view.carried else repairs.patterns.rewritten(match),
            related=(places.source(match.last.graph, match.source, "what it begins with"),),
        )


@rule()
def norm_axis(context: ModelContext) -> Iterator[Finding]:
    """A decomposed normalization over axes other than the last.

    Why: QNN's LayerNorm and RmsNorm normalize over the last axes. Over the channels of an image (axis 1), the
    nodes are not fused: each is a layer that reads and writes the complete tensor, and at 8 bits each has its
    own grid.
    What to do: transpose the channels last (0 2 3 1), use LayerNormalization there, and transpose back; or
    keep the channels last in the complete network.
    """
    view = context.view.as_float
    for graph in context.view.model.graphs():
        for norm in spelled_norms(graph):
            if norm.axes == trailing(norm.rank, len(norm.axes)) or norm.last.key in view.in_pattern:
                continue
            kind = "layer" if norm.centered else "root mean square"
            shown = ", ".join(map(str, norm.axes))
            yield Finding(
                f"{norm.nodes} nodes to {norm.last.outputs[0]!r} spell out a {kind} normalization over axis"
                f" {shown} of {norm.rank}; only over the last axes it is one layer",
                Severity.INFO,
                Source("onnxruntime/onnxruntime-qnn#649", "LayerNorm over channels, spelled out"),
                Confidence.FIELD_REPORTED,
                help="transpose so that the axis is the last, normalize there, and transpose back",
                node=norm.last,
                tensor=norm.tensor,
                evidence={"nodes": norm.nodes, "axes": list(norm.axes), "rank": norm.rank},
                related=(places.source(graph, norm.tensor, "what is normalized"),),
            )


@rule(fix=[Safety.SAFE], weights=True)
def split_fully_connected(context: ModelContext) -> Iterator[Finding]:
    """MatMul and Add instead of Gemm, the documented fully connected layer.

    Why: the tables define Gemm with transB 1 as fully connected. A MatMul of a matrix with an Add after it
    computes the same, but the bias is a separate element-wise op.
    One finding covers all of them in a model.
    What to do: write them as one Gemm, with the weight transposed.
    """
    split = [(node, add) for node in context.view.as_float.nodes() if (add := _bias_of(node)) is not None]
    if not split:
        return
    said = "MatMul and Add of a stored matrix and row form one fully connected layer, as two nodes"
    help = "merge them into one Gemm with transB 1"
    if len(split) > 1:
        named = first_few((short(layer_name(node)) for node, _ in split), len(split))
        said += f", {len(split)} times: {named}"
        help = "merge each two into one Gemm with transB 1"
    node, add = split[0]
    others = places.nodes((other for other, _ in split[1:]), "is followed by such an Add too")
    yield Finding(
        said,
        Severity.INFO,
        sources.op_row(context.view.table, "Gemm"),
        Confidence.INFERRED,
        help=help,
        node=node,
        evidence={"layers": len(split)},
        fix=None if context.view.carried else repairs.layers.fully_connected(split),
        related=(Place("adds the row", add), *others),
    )


def _bias_of(product: Node) -> Node | None:
    """The Add after a MatMul of a matrix and a stored matrix, if it adds a stored row."""
    graph = product.graph
    if (
        product.op_type != "MatMul"
        or product.domain
        or graph.is_function
        or graph.rank(product.input(0)) != 2
    ):
        return None
    weight = graph.constant(product.input(1))
    add = sole_reader(graph, product.outputs[0])
    if weight is None or len(weight.shape) != 2 or add is None:
        return None
    if add.op_type != "Add" or len(add.inputs) != 2 or (add.version or 0) < 7:
        return None
    bias = graph.constant(other_operand(add, product.outputs[0]))
    return add if bias is not None and bias.shape in ((weight.shape[1],), (1, weight.shape[1])) else None
