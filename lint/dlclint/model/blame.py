"""Which node ends onnx's shape inference."""

from __future__ import annotations

from contextlib import suppress

import onnx

from dlclint.contained.guard import spot
from dlclint.model.graph import Model, Node
from dlclint.model.native import INFERENCE
from dlclint.model.propagation import stays_small


def blame(model: Model) -> None:
    """If inference ended on the whole model but on no single node yet, try each node as a separate model.

    In such a model, an input without a type is absent as it is in the whole model, which single-node
    inference cannot express.
    """
    if not model.crashes.ended(INFERENCE) or model.crashes.on_node(INFERENCE):
        return
    for graph in model.graphs():
        for node in graph.nodes:
            with suppress(Exception):  # inference that only raises an error did not crash
                alone = _alone(node)
                model.crashes.attempt(
                    INFERENCE,
                    onnx.shape_inference.infer_shapes,
                    alone,
                    graph=graph.path,
                    index=node.index,
                    op=node.op_type,
                    where=spot("alone", graph.path, next(filter(None, node.outputs), node.index)),
                    data_prop=stays_small(alone.graph),
                )
            if model.crashes.on_node(INFERENCE):
                return


def _alone(node: Node) -> onnx.ModelProto:
    graph = node.graph
    alone = onnx.ModelProto(ir_version=graph.model.proto.ir_version)
    for domain in dict.fromkeys(("", node.domain)):
        version = graph.opset(domain)
        if version is not None:
            alone.opset_import.add(domain=domain, version=version)
    alone.graph.node.add().CopyFrom(node.proto)
    for name in dict.fromkeys(filter(None, node.inputs)):
        value, tensor_type = graph.small_value(name), graph.type_of(name)
        if value is not None:
            alone.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
        elif tensor_type is not None:
            kind = onnx.helper.make_tensor_type_proto(tensor_type.data_type, tensor_type.shape)
            alone.graph.input.add(name=name).type.CopyFrom(kind)
    return alone
