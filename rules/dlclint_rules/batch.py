"""Family `batch`: the leading dimension, which must be 1 for the quantizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial

from dlclint.analysis.axis_steps import END_OF_AXIS
from dlclint.analysis.batch import Batch
from dlclint.diagnostic import About, Confidence, Safety, Severity, counted
from dlclint.model.evaluation.bounds import whole_numbers
from dlclint.model.graph import Graph, Node
from dlclint.model.op_facts import SIZE_INPUT, UNIT_AXES
from dlclint.rule import Finding, ModelContext, Place, rule
from dlclint.target import Runtime
from dlclint_rules import repairs, sources
from dlclint_rules.causes import here
from dlclint_rules.shapes import (
    graph_inputs,
    only_the_batch_is_open,
    open_texts,
    sizes_option,
    what_waits,
)
from dlclint_schemas.limitations import limit_table


@rule(fix=[Safety.SAFE, Safety.UNSAFE], about=About.FILE, weights=True)
def not_one(context: ModelContext) -> Iterator[Finding]:
    """The batch of an input is not 1.

    Why: a model for the quantizer must be converted with batch 1; a larger batch can be set later by resizing
    when the network is initialized. Below rank 4, the leading dimension may have another meaning, so the
    finding is less certain there. A dimension that a recurrent op reads as time, the states of several
    layers, and a tensor that is multiplied or read as a shape do not count as a batch. A DLC that is declared
    float may have any batch.
    What to do: convert with `-b 1`, or export with batch 1.
    """
    inputs = list(graph_inputs(context))
    quantize = context.target.quantize
    if context.target.kind.is_float:
        return
    shapes = [input_type.shape for _, input_type in inputs if input_type.shape]
    symbols = {shape[0] for shape in shapes if not isinstance(shape[0], int)}
    for name, tensor_type in inputs:
        shape = tensor_type.shape or ()
        if symbols & set(shape[1:]) - {None}:
            continue  # a recurrent state or cache, whose batch is not its leading dimension
        if len(shape) >= 2 and isinstance(shape[0], int) and shape[0] > 1:
            if not context.view.batch.meaning(name).is_batch:
                continue
            image = len(shape) >= 4
            # Below rank 4 a leading 2 may be anything: treat it as a batch where the first input has it too,
            # and only for the quantizer.
            if not image and not (quantize and shape[0] == shapes[0][0]):
                continue
            yield Finding(
                f"input {name!r} ({tensor_type}) has batch {shape[0]}",
                Severity.ERROR if quantize and image else Severity.INFO,
                sources.limit("LIM003"),
                Confidence.DOCUMENTED if image else Confidence.INFERRED,
                help="convert with batch 1 (-b 1) and resize when the network is initialized",
                tensor=name,
                evidence={"batch": shape[0]},
                # Below rank 4 only running both models shows whether it is a batch.
                fix=repairs.sizes.batch_of_one(context.view, frozenset({shape[0]}), quantize and image),
            )


@rule(fix=[Safety.SAFE, Safety.UNSAFE], about=About.SIZES, follows=here("shapes/odd-dim"))
def symbolic(context: ModelContext) -> Iterator[Finding]:
    """The batch is a symbol, and the only size that inputs lack.

    Why: the converter stops at a dynamic input without a given size, and the quantizer needs a batch of 1. A
    leading dimension that is time, the states of several layers or an operand is not a batch;
    `shapes/dynamic-dim` reports it, and models that lack other sizes too.
    What to do: pass `-b 1`, `-d NAME 1,...` or `-s SYMBOL 1`, to dlclint and to the converter.
    """
    names, graph = context.view.lengths.open_inputs, context.view.model.graph
    if not names or not only_the_batch_is_open(context):
        return
    symbols = {
        tensor_type.shape[0]
        for tensor_type in map(graph.type_of, names)
        if tensor_type is not None and tensor_type.shape
    }
    yield Finding(
        f"{counted(len(names), 'input')} with a symbolic batch: {open_texts(context)}{what_waits(context)}",
        Severity.ERROR,
        sources.limit("LIM003") if context.target.quantize else sources.CONVERTER,
        help=f"give the batch, here and to the converter: {sizes_option(context)}",
        tensor=names[0],
        evidence={"inputs": list(names), "waiting_nodes": len(context.view.lengths.waiting)},
        fix=repairs.sizes.batch_of_one(context.view, frozenset(symbols), True),
    )


_PASSED = frozenset({"Cast", "Identity", *UNIT_AXES})


def _written(graph: Graph, tensor: str, depth: int = 8) -> list[int] | None:
    """The leading sizes of a list as far as they are stored in the model, and depend on no shape."""
    value = graph.small_value(tensor)
    if value is not None:
        return whole_numbers(value)
    node = graph.producer(tensor)
    if node is None or node.domain or not depth:
        return None
    if node.op_type in _PASSED or node.op_type == "Concat":
        return _written(node.graph, node.input(0), depth - 1)
    return None


def _leads(batch: Batch, graph: Graph, tensor: str) -> bool:
    """Whether the samples of a batch other than 1 are along a tensor's first axis."""
    tensor_type = graph.type_of(tensor)
    named = (
        tensor_type is not None
        and bool(tensor_type.shape)
        and isinstance((tensor_type.shape or (1,))[0], str)
    )
    return batch.axis(graph, tensor) == 0 or (named and (tensor_type.shape or (1,))[0] in batch.dims)  # type: ignore[union-attr]


_Met = Callable[[Node], Mapping[int | None, Sequence[str]]]


def _met(batch: Batch, node: Node) -> Mapping[int | None, Sequence[str]]:
    """The first two inputs of each rank that have samples along their first axis."""
    names: dict[int | None, list[str]] = {}
    for name in dict.fromkeys(filter(None, node.inputs)):
        if _leads(batch, node.graph, name):
            alike = names.setdefault(node.graph.rank(name), [])
            alike += [name] * (len(alike) < 2)
    return names


def _meets(met: _Met, node: Node) -> bool:
    """Whether the output of a node is combined with samples along its first axis."""
    graph, output = node.graph, node.outputs[0]
    rank = graph.rank(output)
    return any(name != output for reader in graph.consumers(output) for name in met(reader).get(rank, ()))


_DIMENSIONS = 64
"""The most dimensions that arrays have (numpy's limit); a longer list of sizes does not count as a shape."""


def _shape_flaw(node: Node, batch: Batch, met: _Met) -> tuple[int, str] | None:
    """The size to which a stored shape fixes the leading dimension, and how."""
    sizes = _written(node.graph, node.input(SIZE_INPUT[node.op_type]))
    data = node.graph.type_of(node.input(0))
    if not sizes or len(sizes) > _DIMENSIONS or sizes[0] <= 0 or data is None or not data.shape:
        return None
    leading, own = sizes[0], data.shape[0]
    sentence = f"{node.op_type} fixes the leading dimension to {leading}"
    if node.op_type != "ConstantOfShape":  # which has no other input than the shape
        sentence += f", its input has {own or '?'}"
    if node.op_type != "Reshape":
        is_batch = leading > 1 and leading in batch.dims and _meets(met, node)
        return (leading, sentence) if is_batch else None
    if _leads(batch, node.graph, node.input(0)) and (leading == own or not isinstance(own, int)):
        return leading, sentence
    stored = node.graph.small_value(node.input(1))
    if own == 1 and stored is not None and data.static_shape is not None and 0 not in sizes:
        count, wanted = math.prod(data.static_shape), math.prod(size for size in sizes if size > 0)
        if leading > 1 and (count % wanted if -1 in sizes else count != wanted):
            return leading, f"{sentence}, and {count} elements do not fill {sizes}"
    return None


def _slice_flaw(node: Node, batch: Batch) -> tuple[int, str] | None:
    """The end at which constants cut the batch."""
    data = node.graph.type_of(node.input(0))
    if data is None or not data.shape or not _leads(batch, node.graph, node.input(0)):
        return None
    bounds = [
        node.attribute(name) if node.has(name) else _written(node.graph, node.input(position))
        for position, name in ((1, "starts"), (2, "ends"), (3, "axes"))
    ]
    starts, ends, axes = bounds
    if not starts or not ends:
        return None
    for axis, end in zip(axes or range(len(ends)), ends, strict=False):
        if axis in (0, -len(data.shape)) and 0 < end < END_OF_AXIS:
            return end, f"Slice ends the leading dimension at {end}, its input has {data.shape[0] or '?'}"
    return None


def _concat_flaw(node: Node, batch: Batch) -> tuple[int, str] | None:
    """The leading dimension of a constant that is joined to data of another batch."""
    if node.attribute("axis") == 0:
        return None
    kinds = [node.graph.type_of(name) for name in node.inputs]
    shapes = [kind.shape for kind in kinds if kind is not None and kind.shape]
    if not shapes or len(shapes) != len(node.inputs) or len(shapes[0]) < 2:
        return None
    joined = (
        shape[0] for name, shape in zip(node.inputs, shapes, strict=True) if _leads(batch, node.graph, name)
    )
    size = next(joined, 1)
    for name, shape in zip(node.inputs, shapes, strict=True):
        leading = shape[0]
        if size != 1 and isinstance(leading, int) and node.graph.constant(name) is not None:
            sentence = f"Concat joins the constant {name!r}, whose leading dimension is {leading}"
            return leading, f"{sentence}, to data with {size or '?'}"
    return None


@rule(fix=[Safety.SAFE, Safety.UNSAFE], about=About.FILE)
def baked_in(context: ModelContext) -> Iterator[Finding]:
    """A constant fixes the batch inside the model.

    Why: a stored shape (Reshape, Expand, Tile, ConstantOfShape, also if Concat builds it), the end of a Slice
    or a constant in a Concat was written for another batch than the one that the model runs with. The model
    fails there, or silently uses only a part of the data.
    What to do: export with batch 1, or replace the constant by -1 or 0.
    """
    batch = context.view.batch
    met = cache(partial(_met, batch))
    safe = context.target.quantize or not any(isinstance(dim, int) for dim in batch.dims)
    # A constant expression fixes the batch as much as an op that does not fold.
    for node in (node for graph in context.view.model.graphs() for node in graph.nodes if not node.domain):
        if node.op_type in SIZE_INPUT:
            flaw = _shape_flaw(node, batch, met)
        elif node.op_type == "Slice":
            flaw = _slice_flaw(node, batch)
        elif node.op_type == "Concat":
            flaw = _concat_flaw(node, batch)
        else:
            continue
        if flaw is not None:
            constant, message = flaw
            fixable = bool(batch.dims) and repairs.sizes.leading_constant(node) is not None
            yield Finding(
                message,
                Severity.WARNING,
                sources.limit("LIM003"),
                Confidence.INFERRED,
                help="export with batch 1, or use -1 (Reshape) in place of the constant",
                node=node,
                evidence={"constant": constant},
                fix=repairs.sizes.batch_of_one(context.view, batch.dims, safe) if fixable else None,
            )


@rule(about=About.FILE)
def inputs_disagree(context: ModelContext) -> Iterator[Finding]:
    """Inputs of the same rank have different batches.

    Why: the quantizer and the runtime resize all inputs by one batch.
    What to do: check which inputs have a batch, and export them with the same one.
    """
    by_rank: dict[int, dict[int, list[str]]] = {}
    for name, tensor_type in graph_inputs(context):
        shape = tensor_type.shape or ()
        if len(shape) >= 3 and isinstance(shape[0], int):
            by_rank.setdefault(len(shape), {}).setdefault(shape[0], []).append(name)
    for rank, inputs in by_rank.items():
        if len(inputs) > 1:
            is_batch = context.view.batch.meaning
            batches = {
                size: names[0]
                for size, sized in inputs.items()
                if (names := [name for name in sized if is_batch(name).is_batch])
            }
            if len(batches) < 2:
                continue
            shown = ", ".join(f"{name!r} {batch}" for batch, name in batches.items())
            yield Finding(
                f"inputs of rank {rank} differ in their leading dimension: {shown}",
                Severity.INFO,
                sources.limit("LIM003"),
                Confidence.INFERRED,
                help="give inputs that share a batch the same one",
                tensor=next(iter(batches.values())),
                evidence={"batches": list(batches)},
                related=tuple(
                    Place(f"has {batch}", tensor=name) for batch, name in list(batches.items())[1:]
                ),
            )


@rule(about=About.FILE)
def detector_batch(context: ModelContext) -> Iterator[Finding]:
    """An RCNN-style detector has a batch other than 1.

    Why: such detectors only run with batch 1.
    What to do: convert with batch 1.
    """
    ops = limit_table()["LIM002"]["machine"]["with_any_op"]
    detector = next((node for node in context.view.nodes() if node.op_type in ops), None)
    if detector is None:
        return
    for name, tensor_type in graph_inputs(context):
        shape = tensor_type.shape or ()
        if len(shape) >= 4 and isinstance(shape[0], int) and shape[0] != 1:
            yield Finding(
                f"input {name!r} has batch {shape[0]}, and {detector.op_type} marks an RCNN-style detector",
                Severity.ERROR,
                sources.limit("LIM002"),
                help="convert with batch 1 (-b 1)",
                tensor=name,
                evidence={"batch": shape[0]},
                related=(Place("marks the detector", detector),),
            )


@rule(about=About.FILE)
def hta_input(context: ModelContext) -> Iterator[Finding]:
    """The input layer does not fit the HTA of the AIP runtime.

    Why: HTA supports a first input that is 4-D (NHWC in the DLC), with batch 1 and at most 16 channels; other
    inputs start on the DSP.
    What to do: nothing if the DSP may run the first layer; otherwise change the input.
    """
    if Runtime.AIP not in context.target.chosen:
        return
    limit = limit_table()["LIM018"]["machine"]
    for name, tensor_type in graph_inputs(context):
        shape = tensor_type.shape
        if shape is None:
            continue
        problems = []
        if len(shape) != limit["rank"]:
            problems.append(f"rank {len(shape)}")
        else:
            if isinstance(shape[0], int) and shape[0] != limit["batch"]:
                problems.append(f"batch {shape[0]}")
            # ONNX is NCHW; the converter makes it NHWC.
            if isinstance(shape[1], int) and shape[1] > limit["channels_max"]:
                problems.append(counted(shape[1], "channel"))
        if problems:
            yield Finding(
                f"HTA cannot run the input layer of {name!r} ({tensor_type}): {', '.join(problems)}",
                Severity.WARNING,
                sources.limit("LIM018"),
                help="a 4-D input with batch 1 and at most 16 channels starts on HTA",
                tensor=name,
            )
