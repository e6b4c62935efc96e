"""Whether onnx's data propagation, which has no bound of its own, stays small on a model.

onnx.shape_inference.infer_shapes(data_prop=True) computes the values of shape arithmetic, with a protobuf
message for each element. A Concat of a value with itself doubles it, so that 26 nodes, 999 bytes, take 10 GB.
The maximum length of values follows from the nodes alone. Source: the data propagators in onnx/defs (1.16 to
1.19).
"""

from __future__ import annotations

import math

import onnx

from dlclint.model.op_facts import UNIT_AXES
from dlclint.model.protos import graphs_below

_LONGEST, _IN_ALL = 1 << 16, 4_000_000
"""Elements of one value, and of all: a few hundred megabytes in onnx."""
_RANK = 64
"""Elements that the result of Shape may have; more only where a longer list is used as a shape."""
_AS_LONG = frozenset({"Add", "Sub", "Mul"})
"""Ops whose inputs must all be known, and whose result is as long as the longest input."""
_OF_FIRST = frozenset({"Cast", *UNIT_AXES, "Slice", "Identity"})
"""Ops whose result is at most as long as their first input."""
_RESHAPE = frozenset({"Reshape", "Expand", "ConstantOfShape", "Tile"})
_PROPAGATED = frozenset({"Concat", "Shape", "Gather", "Constant"}) | _AS_LONG | _OF_FIRST | _RESHAPE
"""Ops that produce such values or decide their length; the others need no look at their inputs."""
_WHOLE = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)


def stays_small(graph: onnx.GraphProto) -> bool:
    """Whether the values that data propagation computes are few and short; one walk over the nodes."""
    lengths: dict[str, int] = {}
    rank, total = _RANK, 0
    for inner in graphs_below(graph):
        lengths.update((tensor.name, _length(tensor)) for tensor in inner.initializer)
        for node in inner.node:
            op = node.op_type
            if op not in _PROPAGATED:
                continue
            known = [lengths.get(name, 0) for name in node.input]
            elements = 0
            if op == "Concat" or op in _AS_LONG:
                elements = (sum(known) if op == "Concat" else max(known, default=0)) if all(known) else 0
            elif op == "Shape":
                elements = rank
            elif op in _OF_FIRST:
                elements = known[0] if known else 0
            elif op == "Gather" and len(known) > 1 and known[0]:
                elements = known[1]
            elif op == "Constant":
                elements = max(map(_attribute_length, node.attribute), default=0)
            elif op in _RESHAPE:
                rank = max([rank, *known])
            total += elements
            if elements > _LONGEST or total > _IN_ALL:
                return False
            if elements:
                lengths.update(dict.fromkeys(node.output, elements))
    return True


def _length(tensor: onnx.TensorProto) -> int:
    """Elements of a list, or of a single number, that is propagated; else 0."""
    if tensor.data_type not in _WHOLE or len(tensor.dims) > 1:
        return 0
    return max(0, int(math.prod(tensor.dims)))


def _attribute_length(attribute: onnx.AttributeProto) -> int:
    if attribute.name == "value":
        return _length(attribute.t)
    return len(attribute.ints) or int(attribute.name == "value_int")
