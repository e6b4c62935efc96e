"""The conversion of a float model and its encodings back to QDQ, which verifies the opposite direction."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import TensorProto, helper

from dlclint.analysis.qdq.grids import Quantization
from dlclint.analysis.qdq.lifting import Lifted, LiftedEncoding
from dlclint.model.draft import Draft
from dlclint.model.protos import subgraphs

_UNQUANTIZABLE = "int32"
"""A type that DequantizeLinear reads and QuantizeLinear does not write: biases are stored in it."""


def quantized_again(lifted: Lifted) -> Draft:
    """The float model with every encoding applied where its tensor is produced, in the main graph only.

    An int32 bias is not changed: its float values are those of its integers.
    """
    draft = lifted.draft.copy()
    graph = draft.proto.graph
    wanted = {
        lifted_encoding.name: lifted_encoding
        for lifted_encoding in lifted.encoded
        if lifted_encoding.grid.dtype != _UNQUANTIZABLE
    }
    outputs = {value.name for value in graph.output}
    inner = {name: f"{name}/float" if name in outputs else name for name in wanted}
    shown = {name: name if name in outputs else f"{name}/dequantized" for name in wanted}
    nodes: list[onnx.NodeProto] = []
    for name in (*(value.name for value in graph.input), *(tensor.name for tensor in graph.initializer)):
        if name in wanted:
            nodes += _pair(graph, wanted.pop(name), name, shown[name])
    held = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    for node in held:
        _rename(node, shown)
        # Each once: a damaged node may have one name twice.
        made_here = dict.fromkeys(name for name in node.output if name in wanted)
        for position, name in enumerate(node.output):
            node.output[position] = inner.get(name, name)
        nodes.append(node)
        for name in made_here:
            nodes += _pair(graph, wanted.pop(name), inner[name], shown[name])
    del graph.node[:]
    graph.node.extend(nodes)
    kept = [value for value in graph.value_info if value.name not in inner]
    kept = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in kept]
    del graph.value_info[:]
    graph.value_info.extend(kept)
    present = {opset.domain for opset in draft.proto.opset_import}
    draft.proto.opset_import.extend(
        helper.make_opsetid(domain, 1) for domain in {node.domain for node in nodes} - present - {"ai.onnx"}
    )
    return draft


def _rename(node: onnx.NodeProto, shown: dict[str, str]) -> None:
    for position, name in enumerate(node.input):
        node.input[position] = shown.get(name, name)
    for _, graph in subgraphs(node):
        for inside in graph.node:
            _rename(inside, shown)


def _pair(
    graph: onnx.GraphProto, lifted_encoding: LiftedEncoding, reads: str, makes: str
) -> Iterator[onnx.NodeProto]:
    grid = lifted_encoding.grid
    ends = [f"{lifted_encoding.name}/scale", f"{lifted_encoding.name}/zero"]
    kind = TensorProto.DataType.Value(grid.dtype.upper())
    shape = list(grid.scale.shape)
    graph.initializer.append(helper.make_tensor(ends[0], grid.result, shape, grid.scale.reshape(-1).tolist()))
    graph.initializer.append(helper.make_tensor(ends[1], kind, shape, _points(grid)))
    for op, source, result in (
        ("QuantizeLinear", reads, f"{lifted_encoding.name}/quantized"),
        ("DequantizeLinear", f"{lifted_encoding.name}/quantized", makes),
    ):
        node = helper.make_node(op, [source, *ends], [result], result, domain=lifted_encoding.node.domain)
        for name, value in (("axis", grid.axis), ("block_size", grid.block_size)):
            if value is not None:
                node.attribute.append(helper.make_attribute(name, value))
        yield node


def _points(grid: Quantization) -> list[float]:
    flat = grid.zero.reshape(-1).tolist()
    return flat if grid.dtype.startswith("float") else [int(point) for point in flat]
