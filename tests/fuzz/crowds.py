"""Graphs of many small pieces, so that one input meets many rules with many operators at once."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence

import onnx
from onnx import TensorProto, helper

from .structure import single, sizes

PIECES = 16
_TIED = ("Identity", "Cast", "Reshape", "Transpose", "Relu", "Mul", "Add", "Concat", "Unsqueeze", "Dropout")
_OF_ONE = ("Identity", "Cast", "Transpose", "Relu")
_DECLARED = (1, 1, 1, 7, 6, 9, 10, 2, 3)


@functools.cache
def _schemas_at(version: int) -> Sequence[onnx.defs.OpSchema]:
    """The schema of every operator of the default domain that an opset has."""
    newest: dict[str, onnx.defs.OpSchema] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "" and schema.since_version <= version:
            known = newest.get(schema.name)
            if known is None or known.since_version < schema.since_version:
                newest[schema.name] = schema
    return tuple(newest[name] for name in sorted(newest) if not newest[name].deprecated)


def crowd(random: random.Random) -> bytes:
    """Single nodes of one opset in one graph; some read what others write, some outputs are declared."""
    version = random.choice((7, 9, 11, 13, 13, 17, 17, 18, 20, 22, 24, 26))
    graph = onnx.GraphProto(name="crowd")
    written: list[str] = []
    if random.random() < 0.3:
        _tie(graph, random)
        written.extend(name for node in graph.node for name in node.output)
    for piece in range(PIECES):
        part = onnx.ModelProto.FromString(single(random.choice(_schemas_at(version)), random)).graph
        for node in part.node:
            for ends in (node.input, node.output):
                for index, name in enumerate(ends):
                    ends[index] = name and f"{name}_{piece}"
            for index, name in enumerate(node.input):
                if name and written and random.random() < 0.25:
                    node.input[index] = random.choice(written)
            written.extend(filter(None, node.output))
        for named in (*part.initializer, *part.input):
            named.name = f"{named.name}_{piece}"
        graph.node.extend(part.node)
        graph.initializer.extend(part.initializer)
        graph.input.extend(part.input)
    for name in written:
        if any(value.name == name for value in graph.value_info):
            continue
        draw = random.random()
        if draw < 0.4:
            shape = sizes(random) if random.random() < 0.7 else None
            values = graph.output if draw < 0.2 else graph.value_info
            values.append(helper.make_tensor_value_info(name, random.choice(_DECLARED), shape))
        elif draw < 0.6:
            graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=8)
    return bytes(model.SerializeToString())


def _tie(graph: onnx.GraphProto, random: random.Random) -> None:
    """Add a cycle of one to three nodes that mostly pass on what they read, at a size that is declared."""
    names = [f"tied_{index}" for index in range(random.randrange(1, 4))]
    dims = [random.choice((1, 2, 4)) for _ in range(random.choice((1, 2, 3, 4, 6, 6)))]
    for index, name in enumerate(names):
        op = random.choice(_TIED)
        others = [random.choice(("", *names)) for _ in range(random.randrange(3))]
        inputs = [names[index - 1], *(others if op not in _OF_ONE else ())]
        if random.random() < 0.3:
            inputs.reverse()
        attributes = {"Cast": {"to": TensorProto.FLOAT}, "Concat": {"axis": 0}}.get(op, {})
        graph.node.append(helper.make_node(op, inputs, [name], name, **attributes))
        if random.random() < 0.9:
            graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
