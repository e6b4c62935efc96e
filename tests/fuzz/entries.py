"""Override files of many entries with extreme numbers, and models that have a tensor for each of them.

One wrong number in one entry rarely meets the rule that it ends: a tiny step counts where a range is
beyond what an op produces, say. So one input holds many entries, each with several numbers replaced.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Entry = dict[str, Any]
COUNT = 60
"""Entries of a file."""
NUMBERS: tuple[float, ...] = (
    *(0, -0.0, 1, -1, 2, 3, 0.5, -7.5, 255, 1e-4, 1e-20, 1e20, 2**31, -(2**31), 2**32, -(2**53)),
    *(5e-324, 1e-320, 1e-45, 1.5e-45, 1e-38, 3.4028235e38, -3.4028235e38, 1e39, -1e39, 1e300, -1e308),
)
WIDTHS = (0, 1, 2, 3, 4, 8, 8, 16, 16, 31, 32, 33, 64, 1e39, 7.5)
LAYOUTS: dict[str, Entry] = {
    "0.6.1": {"bitwidth": 8, "dtype": "int", "min": -1.0, "max": 1.0, "scale": 0.01, "offset": -100},
    "1.0.0": {"bw": 8, "dtype": "INT", "enc_type": "PER_TENSOR", "scale": [0.01], "offset": [-128]},
    "2.0.0": {"output_dtype": "uint8", "y_scale": 0.01, "y_zero_point": 100},
}
DTYPES = ("uint2", "int2", "uint4", "int4", "uint8", "int8", "uint16", "int16", "uint32", "int32", "float16")
Nodes = Callable[[int, Random], list[onnx.NodeProto]]


def _outputs(index: int, random: Random) -> list[onnx.NodeProto]:
    op = random.choice(("Relu", "Sigmoid", "Softmax", "Tanh", "Neg", "Reshape", "Transpose", "Exp", "Sqrt"))
    return [helper.make_node(op, ["x", "shape"] if op == "Reshape" else ["x"], [f"t{index}"])]


def _neighbors(index: int, random: Random) -> list[onnx.NodeProto]:
    op = random.choice(("Concat", "Add", "Sub", "Max", "MatMul", "Where", "Softmax"))
    operands = [f"t{index}", f"t{random.randrange(index + 1)}"]
    operands = {"Where": ["mask", *operands], "Softmax": operands[:1]}.get(op, operands)
    attributes = {"axis": 1} if op == "Concat" else {}
    return [
        *_outputs(index, random),
        helper.make_node(op, operands, [f"after{index}"], **attributes),
        helper.make_node("MaxPool", ["image"], [f"pooled{index}"], kernel_shape=[1, 1]),
    ]


def _weights(index: int, random: Random) -> list[onnx.NodeProto]:
    op = random.choice(("Conv", "ConvTranspose"))
    nodes = [helper.make_node(op, ["image", f"w{index}", "vector"], [f"t{index}"])]
    if random.random() < 0.3:
        nodes.append(helper.make_node("Relu", [f"t{index}"], [f"after{index}"]))
    return nodes


def _vectors(index: int, random: Random) -> list[onnx.NodeProto]:
    op = random.choice(("Conv", "PRelu", "LayerNormalization", "Mul", "Add", "Div", "Gemm", "Pow"))
    operands = {"Conv": ["image", "w", f"b{index}"], "Gemm": ["x", "matrix", f"b{index}"]}
    return [helper.make_node(op, operands.get(op, ["x", f"b{index}"]), [f"t{index}"])]


ROLES: dict[str, tuple[str, str, Nodes]] = {
    "outputs": ("activation_encodings", "t", _outputs),
    "neighbors": ("activation_encodings", "t", _neighbors),
    "weights": ("param_encodings", "w", _weights),
    "vectors": ("param_encodings", "b", _vectors),
}
"""The section of the entries, the first letter of their tensors, and the nodes that write or read one."""


def beside_a_model(random: Random, role: str = "", layout: str = "") -> tuple[bytes, bytes]:
    """An override file and its model."""
    role, layout = role or random.choice(tuple(ROLES)), layout or random.choice(tuple(LAYOUTS))
    section, letter, _ = ROLES[role]
    by_name = {f"{letter}{index}": _entry(layout, letter == "w", random) for index in range(COUNT)}
    if layout == "0.6.1":
        sections: dict[str, Any] = {"activation_encodings": {}, "param_encodings": {}}
        sections[section] = {name: [entry] for name, entry in by_name.items()}
    else:
        named = [{"name": name, **entry} for name, entry in by_name.items()]
        sections = {"activation_encodings": [], "param_encodings": []}
        sections = {"encodings": named} if layout == "2.0.0" else sections | {section: named}
    model = _network(role, random)
    return json.dumps({"version": layout, **sections}).encode(), model.SerializeToString()


def _entry(layout: str, by_channel: bool, random: Random) -> Entry:
    """An entry with some of its numbers replaced, and seldom one left out."""
    replaced = random.choice((0.2, 0.5, 0.9))
    entry: Entry = {}
    for key, value in LAYOUTS[layout].items():
        if random.random() < 0.05:
            continue
        if isinstance(value, str) or random.random() > replaced:
            entry[key] = value
        else:
            number = random.choice(WIDTHS if key in ("bitwidth", "bw") else NUMBERS)
            entry[key] = [number] * len(value) if isinstance(value, list) else number
    if layout == "2.0.0":
        entry["output_dtype"] = random.choice(DTYPES)
    else:
        symmetric = random.random() < 0.5
        entry["is_symmetric" if layout == "0.6.1" else "is_sym"] = (
            str(symmetric) if layout == "0.6.1" else symmetric
        )
    if by_channel and layout != "0.6.1" and random.random() < 0.5:
        for key in ("scale", "offset", "y_scale", "y_zero_point"):
            if key in entry:
                first = entry[key][0] if isinstance(entry[key], list) else entry[key]
                entry[key] = [first, *random.choices(NUMBERS, k=3)]
        entry |= {"enc_type": "PER_CHANNEL"} if layout == "1.0.0" else {"axis": random.choice((0, 1))}
    return entry


def _network(role: str, random: Random) -> onnx.ModelProto:
    """A model in whose graph `COUNT` tensors have a role."""
    nodes = [node for index in range(COUNT) for node in ROLES[role][2](index, random)]
    weight = np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4, 1, 1)
    vector = np.array([1.0, -2.0, 0.5, 300.0], np.float32)
    if random.random() < 0.3:
        vector *= np.float32(random.choice((0.0, 1e-30, 1e30)))
    stored = {
        "shape": np.array([4, 4], np.int64),
        "mask": np.array([[True, False, True, False]]),
        "matrix": weight.reshape(4, 4),
    }
    written = {name for node in nodes for name in node.output}
    for name in sorted({name for node in nodes for name in node.input} - written - {"x", "image"}):
        stored.setdefault(name, weight if name[0] == "w" else vector)
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 4]),
        helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 4, 2, 2]),
    ]
    ends = random.sample(sorted(written), len(written) // 2)
    graph = helper.make_graph(
        nodes,
        "g",
        inputs,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ends],
        [numpy_helper.from_array(values, name) for name, values in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
