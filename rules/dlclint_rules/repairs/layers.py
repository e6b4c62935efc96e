"""Layers in the form that the tables require: fully connected, normalization, RoiAlign, Reshape."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx

from dlclint.diagnostic import Safety, counted
from dlclint.fix import CannotFix, Fix
from dlclint.model.constants import add_constant, fresh_name, replace_constant
from dlclint.model.edits import (
    InsertBefore,
    ModelEdit,
    RemoveAttribute,
    ReplaceNodes,
    SetAttribute,
    SetInput,
    SetOutput,
)
from dlclint.model.evaluation.bounds import is_native
from dlclint.model.graph import Node
from dlclint.model.tensors import Array, Produced, Tensor, Unavailable
from dlclint.model.types import is_float, numpy_type

_STRIP = 64 << 20
"""Bytes of a transposed weight that are assembled at once."""


def transposed(tensor: Tensor) -> Produced:
    """A stored matrix transposed, read as often as necessary to hold only a strip of it.

    Raises:
        CannotFix: its values cannot be read.
    """
    rows, columns = tensor.shape
    try:
        if tensor.location() is None:
            tensor.array()
    except Unavailable as reason:
        raise CannotFix(f"tensor {tensor.name!r} cannot be read: {reason}") from None

    def strips() -> Iterator[Array]:
        width = max(1, _STRIP // max(1, tensor.nbytes // max(columns, 1)))
        for start in range(0, columns, width):
            strip: Array | None = None
            row = 0
            for chunk in tensor.chunks():
                # A chunk may begin and end within a row, so it is placed by its flat position.
                if strip is None:
                    strip = np.empty((min(width, columns - start), rows), chunk.dtype)
                row = _place(chunk, row, columns, start, strip)
            if strip is not None:
                yield strip

    return Produced(tensor.data_type, (columns, rows), strips)


def _place(chunk: Array, position: int, columns: int, start: int, strip: Array) -> int:
    """Copy the elements of a chunk in the strip's columns; returns the next position."""
    done = 0
    while done < len(chunk):
        row, column = divmod(position, columns)
        whole = (len(chunk) - done) // columns if column == 0 else 0
        if whole:
            block = chunk[done : done + whole * columns].reshape(whole, columns)
            strip[:, row : row + whole] = block[:, start : start + len(strip)].T
            taken = whole * columns
        else:
            taken = min(columns - column, len(chunk) - done)
            low, high = max(column, start), min(column + taken, start + len(strip))
            if low < high:
                strip[low - start : high - start, row] = chunk[done + low - column : done + high - column]
        done += taken
        position += taken
    return position


def documented_gemm(node: Node) -> Fix | None:
    """Gemm with transA 0 and transB 1: the weight transposed offline, the input by a Transpose."""
    weight = node.graph.constant(node.input(1))
    if node.graph.is_function or weight is None or len(weight.shape) != 2:
        return None
    turn_weight, turn_input = not node.attribute("transB"), bool(node.attribute("transA"))
    if not (turn_weight or turn_input):
        return None

    def edits() -> Iterator[ModelEdit]:
        graph = node.graph
        if turn_weight:
            yield from replace_constant([(node, 1)], transposed(weight))
            yield SetAttribute(node, onnx.helper.make_attribute("transB", 1))
        if turn_input:
            name = fresh_name(graph, f"{node.outputs[0]}_input")
            turn = onnx.helper.make_node("Transpose", [node.input(0)], [name], perm=[1, 0])
            yield InsertBefore(node, (turn,))
            yield SetInput(node, 0, name)
            yield RemoveAttribute(node, "transA")

    actions = ["transpose the weight"] if turn_weight else []
    actions += ["put a Transpose before"] if turn_input else []
    return Fix(f"{' and '.join(actions)}, as Gemm is documented", Safety.SAFE, edits)


def gemm_of_activations(node: Node) -> Fix | None:
    """Gemm of two computed matrices as MatMul, with Transpose, Mul and Add where needed."""
    graph = node.graph
    opset = graph.opset("")
    kind = graph.type_of(node.outputs[0])
    dtype = None if kind is None else numpy_type(kind.data_type)
    if graph.is_function or opset is None or opset < 7 or dtype is None:
        return None
    if not all(_holds(dtype, node.attribute(attribute, 1.0)) for attribute in ("alpha", "beta")):
        return None

    def edits() -> Iterator[ModelEdit]:
        nodes: list[onnx.NodeProto] = []
        result = node.outputs[0]
        number = 0

        def step(op: str, *inputs: str, **attributes: Any) -> str:
            nonlocal number
            number += 1
            name = fresh_name(graph, f"{result}_{number}")
            nodes.append(
                onnx.helper.make_node(op, inputs, [name], name=name if node.name else "", **attributes)
            )
            return name

        ends = [node.input(0), node.input(1)]
        for position, attribute in enumerate(("transA", "transB")):
            if node.attribute(attribute):
                ends[position] = step("Transpose", ends[position], perm=[1, 0])
        last = step("MatMul", *ends)
        bias = node.input(2)
        for attribute in ("alpha", "beta"):
            factor = node.attribute(attribute, 1.0)
            if factor != 1.0 and (attribute == "alpha" or bias):
                constant = fresh_name(graph, f"{result}_{attribute}")
                yield add_constant(graph, constant, np.array(factor, dtype))
                if attribute == "alpha":
                    last = step("Mul", last, constant)
                else:
                    bias = step("Mul", bias, constant)
        if bias:
            step("Add", last, bias)
        nodes[-1].output[0] = result
        nodes[-1].name = node.name
        yield ReplaceNodes(graph, (node,), tuple(nodes))

    return Fix("replace it with MatMul and Add", Safety.SAFE, edits)


def _holds(dtype: np.dtype[Any], factor: float) -> bool:
    """Whether a type has a factor's number: integers have no fractions and an end, texts have none."""
    if dtype.kind not in "iu":
        return dtype.kind in "fV" and math.isfinite(factor)
    limits = np.iinfo(dtype)
    return math.isfinite(factor) and factor.is_integer() and limits.min <= factor <= limits.max


def turned_round(node: Node) -> Fix:
    """A commutative node with its two operands swapped."""
    edits = (SetInput(node, 0, node.input(1)), SetInput(node, 1, node.input(0)))
    return Fix("swap the operands", Safety.SAFE, lambda: edits)


def inference_form(node: Node) -> Fix | None:
    """BatchNormalization or Dropout in training mode as it is at inference, with the stored statistics."""
    if node.op_type == "BatchNormalization":
        if any(node.graph.constant(name) is None for name in node.inputs[1:5]):
            return None
        title = "use the stored statistics, as at inference; results change where the batch's own differ"
        extra = range(1, len(node.outputs))
        if any(_is_used(node, position) for position in extra):
            return None

        def normalized() -> Iterator[ModelEdit]:
            yield RemoveAttribute(node, "training_mode")
            yield from (SetOutput(node, position, "") for position in extra)

        return Fix(title, Safety.UNSAFE, normalized)
    if node.op_type == "Dropout" and node.input(2):
        return Fix(
            "run Dropout in inference mode; values are no longer dropped at random",
            Safety.UNSAFE,
            lambda: (SetInput(node, 2, ""),),
        )
    return None


def _is_used(node: Node, position: int) -> bool:
    name = node.outputs[position]
    return bool(name) and (bool(node.graph.consumers(name)) or name in node.graph.outputs)


def output_half_pixel(node: Node) -> Fix:
    """RoiAlign in the only coordinate mode that is converted."""
    mode = onnx.helper.make_attribute("coordinate_transformation_mode", "output_half_pixel")
    return Fix(
        "set coordinate_transformation_mode to output_half_pixel: regions shift by half a pixel",
        Safety.UNSAFE,
        lambda: (SetAttribute(node, mode),),
    )


def without_kernel_shape(node: Node) -> Fix:
    """Conv whose kernel_shape contradicts its weight: the weight's shape is used."""
    return Fix(
        "remove kernel_shape, which follows from the weight",
        Safety.SAFE,
        lambda: (RemoveAttribute(node, "kernel_shape"),),
    )


def without_allowzero(nodes: Sequence[Node]) -> Fix | None:
    """Reshapes with allowzero, which has no effect where the shape has no zero."""
    known = [(node, node.graph.small_value(node.input(1))) for node in nodes if not node.graph.is_function]
    plain = [node for node, shape in known if shape is not None and shape.all()]
    if not plain:
        return None
    return Fix(
        f"remove allowzero from {counted(len(plain), 'node')}: no shape has a zero",
        Safety.SAFE,
        lambda: [RemoveAttribute(node, "allowzero") for node in plain],
    )


def without_unread_outputs(nodes: list[tuple[Node, int]]) -> Fix:
    """Outputs that nothing reads and the converter does not produce."""

    def edits() -> Iterator[ModelEdit]:
        yield from (SetOutput(node, position, "") for node, position in nodes)

    return Fix(f"remove {counted(len(nodes), 'unused output')}", Safety.SAFE, edits)


def multiplications(nodes: list[Node]) -> Fix | None:
    """Divisions by stored numbers as multiplications by their reciprocals."""
    factors = [(node, factor) for node in nodes if (factor := _reciprocal(node)) is not None]
    if not factors:
        return None

    def edits() -> Iterator[ModelEdit]:
        for node, factor in factors:
            new = onnx.NodeProto()
            new.CopyFrom(node.proto)
            new.op_type = "Mul"
            name = fresh_name(node.graph, f"{node.outputs[0]}_factor")
            new.input[1] = name
            yield add_constant(node.graph, name, factor)
            yield ReplaceNodes(node.graph, (node,), (new,))

    plural = "s" if len(factors) > 1 else ""
    return Fix(f"multiply by the reciprocal in {len(factors)} node{plural}", Safety.SAFE, edits)


def _reciprocal(node: Node) -> Array | None:
    """The reciprocal of a stored divisor, None where it is not a finite number or the type cannot hold it."""
    divisor = node.graph.small_value(node.input(1), limit=1 << 20)
    if node.graph.is_function or node.op_type != "Div" or divisor is None:
        return None
    if divisor.dtype.kind != "f" or not is_native(divisor.dtype):  # float8_e5m2 is of kind f, too
        return None
    if not np.isfinite(divisor).all() or not divisor.all():
        return None
    with np.errstate(all="ignore"):
        factor: Array = (1 / divisor.astype(np.float64)).astype(divisor.dtype)
    # A subnormal reciprocal keeps too few digits.
    usable = np.isfinite(factor).all() and (np.abs(factor) >= np.finfo(divisor.dtype).tiny).all()
    return factor if usable else None


def relus(nodes: list[Node]) -> Fix | None:
    """PRelu and LeakyRelu as Relu: the same where all slopes are 0, another function elsewhere."""
    slopes = [(node, slope) for node in nodes if (slope := _largest_slope(node)) is not None]
    if not slopes:
        return None
    same = [node for node, slope in slopes if slope == 0]
    if same:
        plural = "s" if len(same) > 1 else ""
        title = f"replace {len(same)} node{plural} by Relu: every slope is 0"
        return Fix(title, Safety.SAFE, lambda: tuple(map(_relu, same)))
    largest = max(slope for _, slope in slopes)
    return Fix(
        f"replace by Relu: negative inputs give 0, not up to {largest:.3g} of themselves; needs fine-tuning",
        Safety.UNSAFE,
        lambda: tuple(_relu(node) for node, _ in slopes),
    )


def _largest_slope(node: Node) -> float | None:
    if node.graph.is_function:
        return None
    if node.op_type == "LeakyRelu":
        return abs(float(node.attribute("alpha", 0.01)))
    slope = node.graph.constant(node.input(1))
    if node.op_type != "PRelu" or slope is None or not is_float(slope.data_type):
        return None
    try:
        return max(
            (float(np.abs(c.astype(np.float64)).max(initial=0.0)) for c in slope.chunks()), default=0.0
        )
    except Unavailable:
        return None


def relus_of_clips(nodes: list[Node]) -> Fix | None:
    """Clip from 0 to 6 as Relu, through which cross-layer equalization can scale."""
    clips = [node for node in nodes if node.op_type == "Clip" and not node.graph.is_function]
    if not clips:
        return None
    plural = "s" if len(clips) > 1 else ""
    return Fix(
        f"replace {len(clips)} node{plural} by Relu: values above 6 are no longer clipped",
        Safety.UNSAFE,
        lambda: tuple(map(_relu, clips)),
    )


def _relu(node: Node) -> ModelEdit:
    new = onnx.helper.make_node("Relu", [node.input(0)], [node.outputs[0]], name=node.name)
    return ReplaceNodes(node.graph, (node,), (new,))


def of_attribute(node: Node, kind: str, attribute: str | None) -> Fix | None:
    """The fix of an attribute that the table excludes.

    Args:
        kind: the constraint's kind in the op table, such as `attribute_must_equal`.
        attribute: the attribute that the constraint is about.
    """
    if node.graph.is_function:
        return None
    if kind == "inference_only" or attribute == "training_mode":
        return inference_form(node)
    if attribute == "coordinate_transformation_mode":
        return output_half_pixel(node)
    if kind == "attribute_matches_weight_shape":
        return without_kernel_shape(node)
    return None


def narrow_indices(inputs: list[tuple[Node, int]]) -> Fix:
    """Stored indices as int32, where they fit: one tensor for all nodes of a graph that read the same one."""
    readers: dict[tuple[str, str], list[tuple[Node, int]]] = defaultdict(list)
    for node, position in inputs:
        readers[node.graph.path, node.input(position)].append((node, position))

    def edits() -> Iterator[ModelEdit]:
        for reads in readers.values():
            node, position = reads[0]
            value = node.graph.small_value(node.input(position), limit=1 << 20)
            if value is not None:
                yield from replace_constant(reads, value.astype(np.int32))

    return Fix(f"store {counted(len(readers), 'tensor', 'of indices as int32')}", Safety.SAFE, edits)


def fully_connected(layers: Sequence[tuple[Node, Node]]) -> Fix:
    """MatMul and Add of a stored matrix and row, each two of `layers` as one Gemm with transB 1."""

    def edits() -> Iterator[ModelEdit]:
        for product, add in layers:
            yield from _merged(product, add)

    one = "merge them into one Gemm with transB 1"
    title = one if len(layers) == 1 else f"merge {len(layers)} pairs into one Gemm each, with transB 1"
    return Fix(title, Safety.SAFE, edits)


def _merged(product: Node, add: Node) -> Iterator[ModelEdit]:
    graph = product.graph
    weight = graph.constant(product.input(1))
    bias = add.input(1) if add.input(0) == product.outputs[0] else add.input(0)
    assert weight is not None
    name = fresh_name(graph, f"{add.outputs[0]}_weight")
    gemm = onnx.helper.make_node(
        "Gemm", [product.input(0), name, bias], [add.outputs[0]], name=product.name, transB=1
    )
    yield add_constant(graph, name, transposed(weight))
    yield ReplaceNodes(graph, (product, add), (gemm,))
