"""A network and its grids as a QDQ model, the form in which a backend takes quantization.

Every activation is quantized after the op that computes it and dequantized before each op that reads it;
where the reader runs at another width, a second pair is inserted, like the converter's Convert. Weights are
stored quantized, biases as int32 with the product of both scales. The ops are those of the domain
com.microsoft, because they have 4- and 16-bit types at every opset.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dlclint.confirm.layers import Gelu, Normalization, one_op_patterns
from dlclint.encodings.grid import packed_nibbles
from dlclint.model.op_facts import MICROSOFT, Role
from dlclint.model.tensors import Array
from dlclint.simulate.evaluating import Evaluator
from dlclint.simulate.network import CannotSimulate, Step
from dlclint.simulate.scheme import Grid, ParamGrid, Scheme, product_scale, what

SEEN = "/seen"
"""Suffix of the name of a tensor that becomes an output to be read."""
_KINDS = {
    (False, 8): (np.uint8, TensorProto.UINT8),
    (False, 16): (np.uint16, TensorProto.UINT16),
    (True, 4): (np.int8, TensorProto.INT4),
    (True, 8): (np.int8, TensorProto.INT8),
    (True, 16): (np.int16, TensorProto.INT16),
}
"""By whether the grid is symmetric, and bitwidth: element types that QDQ models hold."""
_MOST = 1 << 30
"""Bytes of constants that one serialized model holds, well below protobuf's 2 GiB."""


def node_name(step: Step) -> str:
    """The name of a step's node, with which the backend's log can be mapped back to it."""
    return f"dlclint_0_{step.index}_"


def quantized_model(
    evaluator: Evaluator,
    scheme: Scheme,
    shapes: Mapping[str, tuple[int, ...]],
    kinds: Mapping[str, np.dtype],
    watched: Collection[str] = (),
) -> onnx.ModelProto:
    """The QDQ model of a scheme.

    Args:
        evaluator: that of the network.
        scheme: the grids.
        shapes: those of the inputs; the model takes no others.
        kinds: element types of the inputs.
        watched: quantized activations that become outputs too, with the suffix `SEEN`.

    Raises:
        CannotSimulate: a grid has a width that QDQ models do not hold, or the weights are too large.
    """
    work = _Insertion(evaluator, scheme)
    graph = work.graph(shapes, kinds, watched)
    model = evaluator.network.view.model
    imports = [helper.make_opsetid(domain, version) for domain, version in model.opsets.items()]
    if MICROSOFT not in model.opsets:
        imports.append(helper.make_opsetid(MICROSOFT, 1))
    return helper.make_model(
        graph,
        opset_imports=imports,
        functions=list(model.proto.functions),
        ir_version=max(model.proto.ir_version, 8),
    )


@dataclass(slots=True)
class _Insertion:
    evaluator: Evaluator
    scheme: Scheme
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    stored: list[onnx.TensorProto] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    bytes: int = 0

    def graph(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        kinds: Mapping[str, np.dtype],
        watched: Collection[str],
    ) -> onnx.GraphProto:
        """The whole graph."""
        network = self.evaluator.network
        merged = one_op_patterns(network.view)
        pattern_of = {key: pattern for pattern in merged for key in pattern.nodes}
        for name in network.inputs:
            self.quantize(name, name)
        for step in network.steps:
            pattern = pattern_of.get(step.key)
            if pattern is not None and step.key != max(pattern.nodes):
                continue
            outputs = [self.inner(name) for name in step.outputs]
            self.nodes.append(
                self.rewired(step, outputs)
                if pattern is None
                else self.merged(step, pattern.source, merged[pattern], outputs)
            )
            for name in filter(None, step.outputs):
                self.quantize(name, self.inner(name))
                if name in network.outputs and name in self.scheme.activations:
                    self.dequantize(name, self.scheme.activations[name], name)
        for name in network.outputs:
            self.keep(name)
        for name in watched:
            self.dequantize(name, self.scheme.activations[name], f"{name}{SEEN}")
        inputs = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(kinds[name]), list(shapes[name])
            )
            for name in network.inputs
        ]
        outputs_of = [*network.outputs, *(f"{name}{SEEN}" for name in watched)]
        return helper.make_graph(
            self.nodes,
            "quantized",
            inputs,
            [onnx.ValueInfoProto(name=name) for name in outputs_of],
            self.stored,
        )

    def merged(self, step: Step, reads: str, op: Gelu | Normalization, outputs: list[str]) -> onnx.NodeProto:
        """The op that replaces the nodes of a pattern."""
        grid, name = self.scheme.read(reads, self.scheme.width(step)), node_name(step)
        read = reads if grid is None else self.read(reads, grid, f"{step.outputs[0]}/in0")
        if isinstance(op, Gelu):
            return helper.make_node("Gelu", [read], outputs, name, domain=MICROSOFT)
        ones = f"{step.outputs[0]}/in1"
        exact = Grid(1.0, 0, 8)
        self.stored_operand(ones, np.ones(op.sizes, np.float32), exact, ones)
        return helper.make_node(
            "LayerNormalization", [read, ones], outputs, name, axis=op.axis, epsilon=op.epsilon
        )

    def inner(self, name: str) -> str:
        """The name of a tensor before it is quantized."""
        taken = name in self.scheme.activations and name in self.evaluator.network.outputs
        return f"{name}/float" if taken else name

    def quantize(self, name: str, computed: str) -> None:
        """Quantize an activation that is computed as `made`, if it has a grid."""
        grid = self.scheme.activations.get(name)
        if grid is not None:
            self.nodes.append(
                helper.make_node(
                    "QuantizeLinear",
                    [computed, *self.ends(grid)],
                    [f"{name}/q"],
                    f"{name}/q",
                    domain=MICROSOFT,
                )
            )

    def dequantize(self, name: str, grid: Grid, result: str) -> None:
        self.nodes.append(
            helper.make_node(
                "DequantizeLinear", [f"{name}/q", *self.ends(grid)], [result], result, domain=MICROSOFT
            )
        )

    def ends(self, grid: Grid) -> list[str]:
        """The names of scale and zero point, stored once for each grid."""
        # Symmetric activations of 16 bits are signed: otherwise MatMul does not keep those of its second
        # input.
        signed = grid.symmetric and grid.bitwidth == 16
        try:
            dtype, kind = _KINDS[signed, grid.bitwidth]
        except KeyError:
            raise CannotSimulate(
                f"an activation has {grid.bitwidth} bits, which is not passed to the backend"
            ) from None
        zero = 0 if signed else grid.zero
        name = f"grid/{grid.scale!r}/{zero}/{np.dtype(dtype).name}"
        scale = self.store(f"{name}/scale", np.float32(grid.scale), TensorProto.FLOAT)
        return [scale, self.store(f"{name}/zero", np.asarray(zero, dtype), kind)]

    def store(self, name: str, values: Array | np.generic, kind: int) -> str:
        """Store a constant once; returns its name."""
        if name not in self.names:
            self.names.add(name)
            array = np.asarray(values)
            raw = packed_nibbles(array) if kind == TensorProto.INT4 else array.tobytes()
            self.bytes += len(raw)
            if self.bytes > _MOST:
                raise CannotSimulate("its constants exceed 1 GiB, more than is passed to the backend at once")
            self.stored.append(TensorProto(name=name, data_type=kind, dims=array.shape, raw_data=raw))
        return name

    def rewired(self, step: Step, outputs: list[str]) -> onnx.NodeProto:
        """A step's node, reading dequantized values."""
        network, width = self.evaluator.network, self.scheme.width(step)
        proto = onnx.NodeProto()
        proto.CopyFrom(step.proto)
        proto.name = node_name(step)
        del proto.output[:]
        proto.output.extend(outputs)
        for position, name in enumerate(step.inputs):
            if not name:
                continue
            result = f"{step.outputs[0]}/in{position}"
            role = what(step, position, network)
            if role is Role.DATA:
                proto.input[position] = self.operand(name, width, result)
            elif role is Role.WEIGHT and width is not None and name in self.scheme.params:
                values = self.evaluator.store.constant(name)
                proto.input[position] = self.weight(name, values, self.scheme.params[name], result)
            elif (
                role is Role.BIAS and (scale := product_scale(step, position, self.scheme, width)) is not None
            ):
                proto.input[position] = self.bias(name, scale, result)
            else:
                self.keep(name)
        for name in step.reads[len(dict.fromkeys(filter(None, step.inputs))) :]:
            self.keep(name)  # what bodies read from outside
        return proto

    def keep(self, name: str) -> None:
        """Store a constant unchanged."""
        if name in self.evaluator.network.constants and name not in self.names:
            self.names.add(name)
            values = self.evaluator.store.constant(name)
            self.bytes += values.nbytes
            if self.bytes > _MOST:
                raise CannotSimulate("its constants exceed 1 GiB, more than is passed to the backend at once")
            self.stored.append(numpy_helper.from_array(np.ascontiguousarray(values), name))

    def operand(self, name: str, width: int | None, result: str) -> str:
        """An activation, or a stored operand, as a step of a width reads it."""
        grid = self.scheme.activations.get(name)
        if name in self.evaluator.network.constants:
            values = self.evaluator.store.constant(name)
            if grid is None or values.dtype.kind != "f":
                self.keep(name)
                return name
            seen = grid if width is None else grid.at(width)
            return self.stored_operand(name, values, seen, result)
        if grid is None:
            seen_float = self.scheme.read(name, width)
            return name if seen_float is None else self.read(name, seen_float, result)
        return self.read(name, grid if width is None else grid.at(width), result)

    def read(self, name: str, seen: Grid, result: str) -> str:
        """Dequantize an activation for one reader, converted to the reader's width first."""
        own = self.scheme.activations.get(name)
        if own is not None and seen.bitwidth == own.bitwidth:
            self.dequantize(name, own, result)
            return result
        converted = f"{name}/as{seen.bitwidth}"
        if converted not in self.names:
            self.names.add(converted)
            if own is not None:
                self.dequantize(name, own, f"{converted}/float")
            self.nodes.append(
                helper.make_node(
                    "QuantizeLinear",
                    [name if own is None else f"{converted}/float", *self.ends(seen)],
                    [f"{converted}/q"],
                    f"{converted}/q",
                    domain=MICROSOFT,
                )
            )
        self.dequantize(converted, seen, result)
        return result

    def stored_operand(self, name: str, values: Array, grid: Grid, result: str) -> str:
        signed = grid.symmetric and grid.bitwidth == 16
        dtype, kind = _KINDS[signed, grid.bitwidth]
        whole = ParamGrid(np.asarray(grid.scale), np.asarray(float(grid.zero)), grid.bitwidth, False)
        integers = (whole.integers(values.astype(np.float32)) - (2**15 if signed else 0)).astype(dtype)
        stored = self.store(f"{name}/q{grid.bitwidth}", integers, kind)
        self.nodes.append(
            helper.make_node(
                "DequantizeLinear", [stored, *self.ends(grid)], [result], result, domain=MICROSOFT
            )
        )
        return result

    def weight(self, name: str, values: Array, grid: ParamGrid, result: str) -> str:
        try:
            dtype, kind = _KINDS[grid.symmetric, grid.bitwidth]
        except KeyError:
            how = "symmetric" if grid.symmetric else "asymmetric"
            raise CannotSimulate(
                f"weight {name} has {grid.bitwidth} {how} bits, which is not passed to the backend"
            ) from None
        if grid.block is not None:
            raise CannotSimulate(f"weight {name} is quantized in blocks, which is not passed to the backend")
        half = 2 ** (grid.bitwidth - 1) if grid.symmetric else 0
        integers = (grid.integers(values.astype(np.float32)) - half).astype(dtype)
        zero = (grid.zero - half).astype(dtype)
        inputs = [
            self.store(f"{name}/weight", integers, kind),
            self.store(f"{name}/scale", grid.scale.astype(np.float32), TensorProto.FLOAT),
            self.store(f"{name}/zero", np.broadcast_to(zero, grid.scale.shape), kind),
        ]
        node = helper.make_node("DequantizeLinear", inputs, [result], result, domain=MICROSOFT)
        if grid.axis is not None:
            node.attribute.append(helper.make_attribute("axis", grid.axis))
        self.nodes.append(node)
        return result

    def bias(self, name: str, scale: Array, result: str) -> str:
        values = self.evaluator.store.constant(name)
        param_grid = self.scheme.biases.get(name)
        before = values if param_grid is None else param_grid.rounded(values)
        if 1 < scale.size < values.size:
            scale = np.tile(scale, values.size // scale.size)
        steps = np.clip(np.rint(before.astype(np.float64) / scale), -(2.0**31), 2.0**31 - 1)
        inputs = [
            self.store(f"{result}/q", steps.astype(np.int32), TensorProto.INT32),
            self.store(f"{result}/scale", scale.astype(np.float32), TensorProto.FLOAT),
            self.store(f"{result}/zero", np.zeros(scale.shape, np.int32), TensorProto.INT32),
        ]
        node = helper.make_node("DequantizeLinear", inputs, [result], result, domain=MICROSOFT)
        if scale.ndim:
            node.attribute.append(helper.make_attribute("axis", 0))
        self.nodes.append(node)
        return result
