"""A float model as a quantized one, in memory: QuantizeLinear and DequantizeLinear around its ops.

Every activation is quantized after the op that computes it and dequantized before each op that reads it;
weights and other stored floats are stored quantized, biases as int32 with the product of both scales, which
is the form that the provider turns into quantized QNN ops. The ops are those of the domain com.microsoft,
because they have 4- and 16-bit types at every opset. A recognized GELU or layer normalization becomes one op.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper

from dlclint.analysis.folding import NodeKey
from dlclint.analysis.matching.patterns import Pattern
from dlclint.analysis.view import ModelView
from dlclint.confirm.layers import Gelu, Normalization, one_op_patterns
from dlclint.confirm.question import CannotAsk
from dlclint.confirm.ranges import DEFAULT, ActivationGrids, UnsignedGrid
from dlclint.confirm.stored import QuantizedInput, StoredGrids, is_bias, is_parameter
from dlclint.encodings.grid import packed_nibbles
from dlclint.model.graph import Graph, Model, Node
from dlclint.model.op_facts import (
    MICROSOFT,
    PARAMETER_ROLES,
    WEIGHTED_OPS,
    Role,
    role,
)
from dlclint.model.tensors import Array, Unavailable
from dlclint_schemas.quantization import quantization_facts

_UNSIGNED = {8: (np.uint8, TensorProto.UINT8), 16: (np.uint16, TensorProto.UINT16)}
_MOST = 1 << 30
"""Bytes of quantized weights that one serialized model holds, well below protobuf's 2 GiB."""
_STAYS_FLOAT = PARAMETER_ROLES | {Role.MEAN, Role.VARIANCE, Role.BOUND}
"""Float inputs that the provider reads as parameters, which must stay float."""


def insert_quantization(
    view: ModelView, copy: Model, grids: ActivationGrids, stored: StoredGrids
) -> frozenset[NodeKey]:
    """Insert quantization into `copy`, a copy of the view's model, and return the nodes that it surrounds.

    Only the main graph is quantized, and of that graph only what the converter does not fold.

    Raises:
        CannotAsk: the model is float16, or its weights are missing or too large.
    """
    graph = view.model.graph
    types = (graph.type_of(name) for node in graph.nodes for name in node.outputs)
    if any(tensor_type is not None and tensor_type.data_type == TensorProto.FLOAT16 for tensor_type in types):
        # Its scales would be float16 too, and with these the provider computes ops that only move data in
        # float.
        raise CannotAsk("the model computes in float16; ask without --quantize, or about a float32 export")
    work = _Insertion(view, graph, copy, grids, stored)
    work.run()
    if not any(opset.domain == MICROSOFT for opset in copy.proto.opset_import):
        copy.proto.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    return frozenset(work.meant)


@dataclass(slots=True)
class _Insertion:
    view: ModelView
    graph: Graph
    """As it is in the file: the stored tensors and their types."""
    copy: Model
    grids: ActivationGrids
    params: StoredGrids
    meant: list[NodeKey] = field(default_factory=list)
    quantized: dict[str, UnsignedGrid] = field(default_factory=dict)
    """Activations that are quantized."""
    moved: dict[NodeKey, UnsignedGrid] = field(default_factory=dict)
    """The grid of each node's first input, which an op that only moves data keeps."""
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    scales: dict[str, Array] = field(default_factory=dict)
    """The scale of each weight, by what its op reads: the scale of a bias is a multiple of it."""
    stored: dict[str, None] = field(default_factory=dict)
    patterns: dict[NodeKey, Pattern] = field(default_factory=dict)
    merged: dict[Pattern, Gelu | Normalization] = field(default_factory=dict)
    """The patterns that become one op."""
    within: set[str] = field(default_factory=set)
    """Tensors that only nodes of their own pattern read, so that no quantization is inserted there."""
    movers: frozenset[str] = frozenset(quantization_facts()["aimet_htp_config"]["output_not_quantized_ops"])
    bytes: int = 0

    def __post_init__(self) -> None:
        self.merged = one_op_patterns(self.view)
        for pattern in self.view.patterns:
            self.patterns.update(dict.fromkeys(pattern.nodes, pattern))
            self.within |= pattern.inner(self.graph)

    def run(self) -> None:
        outputs = set(self.graph.outputs)
        for name in self.graph.inputs:
            self.quantize(name, name)
        for node, copied in zip(self.graph.nodes, self.copy.graph.nodes, strict=True):
            if node.key in self.view.folded or node.domain:
                self.nodes.append(copied.proto)
                continue
            pattern = self.patterns.get(node.key)
            if pattern is not None and pattern in self.merged:
                if node.key != max(pattern.nodes):
                    continue
                self.merge(pattern, copied.proto)
            else:
                self.rewire(node, copied.proto)
            self.nodes.append(copied.proto)
            for position, name in enumerate(node.outputs):
                if not name or not self.is_float(name) or name in self.within:
                    continue
                inner = f"{name}/float" if name in outputs else name
                if self.is_forced(node):
                    continue
                moved = self.moved.get(node.key) if node.op_type in self.movers else None
                if self.quantize(name, inner, moved) and inner != name:
                    copied.proto.output[position] = inner
                    self.dequantize(name, name)
        kept = [onnx.NodeProto.FromString(proto.SerializeToString()) for proto in self.nodes]
        del self.copy.proto.graph.node[:]
        self.copy.proto.graph.node.extend(kept)

    def is_forced(self, node: Node) -> bool:
        """Whether the file keeps a weight or bias float, which makes both of them and the output float.

        Source: 80-63442-2 Rev BL, Quantized vs Non-Quantized Models, mixed precision.
        """
        return node.op_type in WEIGHTED_OPS and any(map(self.params.is_float, node.inputs[1:3]))

    def width(self, node: Node) -> int | None:
        """The width that an op runs at, which is that of its output; None if the input determines it.

        Where they differ, the converter inserts a Convert before the op, because HTP has no op of two widths:
        without the Convert, the provider computes the op in float (measured).
        """
        pattern = self.patterns.get(node.key)
        ends = [node] if pattern is None else pattern.members(self.graph)
        for end in ends:
            for name in end.outputs:
                if not name or not self.is_float(name) or name in self.within:
                    continue
                file_grid = self.grids.entry_grid(name)
                if isinstance(file_grid, UnsignedGrid):
                    return file_grid.bitwidth
                if file_grid is None and end.op_type not in self.movers:
                    return self.grids.width
        return None

    def is_float(self, name: str) -> bool:
        tensor_type = self.graph.type_of(name)
        return tensor_type is not None and tensor_type.data_type == TensorProto.FLOAT

    def quantize(self, name: str, inner: str, moved: UnsignedGrid | None = None) -> bool:
        """Quantize an activation computed as `inner`; `moved`: the grid of data that its op only moves."""
        grid = self.grids.of(name, moved) if self.is_float(name) else None
        if grid is None:
            return False
        self.quantized[name] = grid
        self.nodes.append(
            helper.make_node(
                "QuantizeLinear", [inner, *self.parameters(name, grid)], [f"{name}/q"], domain=MICROSOFT
            )
        )
        return True

    def dequantize(self, name: str, result: str, width: int | None = None) -> UnsignedGrid:
        """Dequantize an activation, converted to another width first where `width` says so.

        Returns the resulting grid.
        """
        own = self.quantized[name]
        grid = own if width is None else own.at(width)
        if grid.bitwidth != own.bitwidth:
            converted = f"{name}/as{grid.bitwidth}"
            if converted not in self.stored:
                self.stored[converted] = None
                self.grids.converted += 1
                self.dequantize(name, f"{converted}/float")
                self.nodes.append(
                    helper.make_node(
                        "QuantizeLinear",
                        [f"{converted}/float", *self.parameters(converted, grid)],
                        [f"{converted}/q"],
                        domain=MICROSOFT,
                    )
                )
            name = converted
        ends = self.parameters(name, grid)
        self.nodes.append(
            helper.make_node("DequantizeLinear", [f"{name}/q", *ends], [result], domain=MICROSOFT)
        )
        return grid

    def parameters(self, name: str, grid: UnsignedGrid) -> list[str]:
        dtype, kind = _UNSIGNED[grid.bitwidth]
        scale = self.store(f"{name}/scale", np.float32(grid.scale), TensorProto.FLOAT)
        zero = self.store(f"{name}/zero", np.asarray(grid.zero, dtype), kind)
        return [scale, zero]

    def store(self, name: str, values: Array | np.generic, kind: int) -> str:
        """Add an initializer once; returns its name."""
        if name not in self.stored:
            self.stored[name] = None
            array = np.asarray(values)
            raw = packed_nibbles(array) if kind in (TensorProto.INT4, TensorProto.UINT4) else array.tobytes()
            self.bytes += len(raw)
            if self.bytes > _MOST:
                raise CannotAsk("its quantized weights exceed 1 GiB, more than one question holds")
            self.copy.proto.graph.initializer.append(
                onnx.TensorProto(name=name, data_type=kind, dims=array.shape, raw_data=raw)
            )
        return name

    def rewire(self, node: Node, proto: onnx.NodeProto) -> None:
        """Make a node, which is `proto` in the changed model, read dequantized values."""
        changed = False
        width, data = self.width(node), None
        pattern = self.patterns.get(node.key)
        if width is None:
            reads = [self.quantized[name].bitwidth for name in node.inputs if name in self.quantized]
            width = max(reads, default=None)
        for position, name in enumerate(node.inputs):
            if not name or role(node.op_type, position) in _STAYS_FLOAT or not self.is_float(name):
                continue
            if pattern is not None and name not in self.quantized:
                continue  # the constants of a pattern are part of its form
            result = f"{proto.name}/in{position}"
            if name in self.quantized:
                self.moved.setdefault(
                    node.key, self.quantized[name].at(width or self.quantized[name].bitwidth)
                )
                if pattern is not None:
                    # Two reads of one tensor make the pattern's form.
                    result = f"{name}/pattern{min(pattern.nodes)[1]}"
                if result not in self.stored:
                    self.stored[result] = None
                    read = self.dequantize(name, result, width)
                    data = read if position == 0 else data
            else:
                values = self.values(name)
                if values is None or not self.dequantize_stored(node, position, values, data, width):
                    continue
            proto.input[position] = result
            changed = True
        if changed:
            self.meant.append(node.key)

    def merge(self, pattern: Pattern, proto: onnx.NodeProto) -> None:
        """Replace a pattern by one op, at its last node's position and with its first node's name."""
        first = pattern.members(self.graph)[0]
        name = self.copy.graph.nodes[first.index].proto.name
        reads, outputs = pattern.source, list(proto.output)
        if reads in self.quantized:
            reads = f"{name}/in0"
            self.dequantize(pattern.source, reads, self.width(first))
            self.meant.append(first.key)
        norm = self.merged[pattern]
        if isinstance(norm, Gelu):
            made = helper.make_node("Gelu", [reads], outputs, name, domain=MICROSOFT)
        else:
            # The layer has a scale. The model's own, if it has one, is the Mul that follows.
            self.dequantize_constant(self.params.ones(f"{name}/in1", norm.sizes), f"{name}/in1")
            made = helper.make_node(
                "LayerNormalization",
                [reads, f"{name}/in1"],
                outputs,
                name,
                axis=norm.axis,
                epsilon=norm.epsilon,
            )
        proto.CopyFrom(made)

    def values(self, name: str) -> Array | None:
        """The values stored under a name, or folded to something small; None for computed tensors."""
        stored = self.graph.constant(name)
        if stored is not None:
            try:
                return _finite(stored.array().astype(np.float32))
            except Unavailable as error:
                raise CannotAsk(f"the weights of {name!r} cannot be read: {error}") from None
        producer = self.graph.producer(name)
        if producer is None or producer.key not in self.view.folded:
            return None
        if producer.op_type == "Identity":  # exporters share equal parameters through it
            return self.values(producer.input(0))
        folded = self.view.model.values.whole(self.graph, name)
        return None if folded is None else _finite(folded.astype(np.float32))

    def dequantize_stored(
        self, node: Node, position: int, values: Array, data: UnsignedGrid | None, width: int | None
    ) -> bool:
        """Store a float constant quantized, in the form that the file or its role requires.

        `data` is the grid of the node's first input, `width` the width that the op runs at. Returns whether
        the node reads the stored tensor; otherwise the constant stays float.
        """
        name = node.input(position)
        if self.is_forced(node) or self.params.is_float(name):
            return False
        result = f"{self.copy.graph.nodes[node.index].proto.name}/in{position}"
        if is_bias(node, position):
            factor = self.scales.get(f"{result.rpartition('/')[0]}/in1")
            if data is None or factor is None:
                return False
            quantized_input = self.params.bias(name, values, np.asarray(factor * np.float32(data.scale)))
        elif is_parameter(node, position):
            quantized_input = self.params.parameter(node, position, name, values)
            self.scales[result] = quantized_input.scale
        else:
            file_grid = self.grids.entry_grid(name)
            quantized_input, grid = self.params.operand(
                name,
                values,
                file_grid if isinstance(file_grid, UnsignedGrid) else None,
                width or self.grids.width,
            )
            self.moved.setdefault(node.key, grid)
        self.dequantize_constant(quantized_input, result)
        return True

    def dequantize_constant(self, quantized_input: QuantizedInput, result: str) -> None:
        inputs = [
            self.store(f"{result}/q", quantized_input.integers, quantized_input.kind),
            self.store(f"{result}/scale", quantized_input.scale.astype(np.float32), TensorProto.FLOAT),
            self.store(f"{result}/zero", quantized_input.zero, quantized_input.kind),
        ]
        made_node = helper.make_node("DequantizeLinear", inputs, [result], domain=MICROSOFT)
        if quantized_input.axis is not None:
            made_node.attribute.append(helper.make_attribute("axis", quantized_input.axis))
        self.nodes.append(made_node)


def _finite(values: Array) -> Array:
    """The values with infinities, which no grid holds, replaced by the largest finite numbers."""
    known = values[np.isfinite(values)]
    if known.size == values.size:
        return values
    low, high = known.min(initial=DEFAULT[0]), known.max(initial=DEFAULT[1])
    return np.asarray(np.nan_to_num(values, nan=0.0, posinf=high, neginf=low))
