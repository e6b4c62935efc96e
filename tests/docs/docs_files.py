"""The files that commands in the documents name: small models, override files, inputs and a log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper, parser

SIZE = 32
LOG = """[INFO] converting model.onnx
WARNING_OP_VERSION_NOT_SUPPORTED: Operation Relu Not Supported. Expected operator version: [1, 6], \
instead got version: [14]
[ERROR]QnnDsp <E> [4294967295] has incorrect Value 68, expected >= 73.
[ERROR]QnnDsp <E> QnnBackend_validateOpConfig failed 3110
[ERROR]QnnDsp <E> Failed to validate op conv2 with error 0xc26
Failed to finalize graph (id: 1) with err 1002
"""
FLAWED = """<ir_version: 8, opset_import: ["" : 17]>
flawed (float[1,3,32,32] image) => (float[1] score) {
  doubled = Add(image, image)
  [head] score = Det(doubled)
}"""
WORDS = """<ir_version: 8, opset_import: ["" : 17]>
words (float[batch,sequence,16] hidden, float[16,16] weight) => (float[batch,sequence,16] logits) {
  logits = MatMul(hidden, weight)
}"""


def _weight(random: np.random.Generator, name: str, *shape: int) -> onnx.TensorProto:
    fan = int(np.prod(shape[1:])) or 1
    return numpy_helper.from_array(random.normal(0, fan**-0.5, shape).astype(np.float32), name)


def classifier() -> onnx.ModelProto:
    """Two convolutions with batch normalization, and a linear layer: input `data`, output `probabilities`."""
    random = np.random.default_rng(1)
    stored = [_weight(random, "conv1.weight", 32, 3, 3, 3), _weight(random, "conv2.weight", 32, 32, 3, 3)]
    stored += [
        _weight(random, "fc.weight", 10, 32),
        numpy_helper.from_array(np.zeros(10, np.float32), "fc.bias"),
    ]
    nodes = []
    before = "data"
    for number in (1, 2):
        name, norm = f"conv{number}", f"bn{number}"
        vectors = {"gamma": 1.0, "beta": 0.1, "mean": 0.0, "var": 1.0}
        stored += [
            numpy_helper.from_array(np.full(32, value, np.float32), f"{norm}.{vector}")
            for vector, value in vectors.items()
        ]
        nodes += [
            helper.make_node("Conv", [before, f"{name}.weight"], [name], name, pads=[1, 1, 1, 1]),
            helper.make_node(
                "BatchNormalization", [name, *(f"{norm}.{vector}" for vector in vectors)], [norm], norm
            ),
            helper.make_node("Relu", [norm], [f"relu{number}"], f"relu{number}"),
        ]
        before = f"relu{number}"
    nodes += [
        helper.make_node("GlobalAveragePool", [before], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["scores"], "fc", transB=1),
        helper.make_node("Softmax", ["scores"], ["probabilities"], "softmax", axis=1),
    ]
    return _model(nodes, stored, [1, 3, SIZE, SIZE], {"probabilities": [1, 10]})


def detector() -> onnx.ModelProto:
    """A head as YOLOv8 has it: boxes in pixels and scores from 0 to 1, joined in one output."""
    random = np.random.default_rng(2)
    stored = [_weight(random, "stem.weight", 32, 3, 3, 3), _weight(random, "head.weight", 6, 32, 1, 1)]
    stored += [
        numpy_helper.from_array(np.array(value, kind), name)
        for name, value, kind in (
            ("flat", [1, 6, -1], np.int64),
            ("parts", [4, 2], np.int64),
            ("stride", [320.0], np.float32),
        )
    ]
    nodes = [
        helper.make_node(
            "Conv", ["images", "stem.weight"], ["stem"], "stem", pads=[1, 1, 1, 1], strides=[2, 2]
        ),
        helper.make_node("Relu", ["stem"], ["features"], "relu"),
        helper.make_node("Conv", ["features", "head.weight"], ["head"], "head"),
        helper.make_node("Reshape", ["head", "flat"], ["cells"], "reshape"),
        helper.make_node("Split", ["cells", "parts"], ["distances", "logits"], "split", axis=1),
        helper.make_node("Sigmoid", ["distances"], ["unit"], "box_sigmoid"),
        helper.make_node("Mul", ["unit", "stride"], ["boxes"], "to_pixels"),
        helper.make_node("Sigmoid", ["logits"], ["scores"], "score_sigmoid"),
        helper.make_node("Concat", ["boxes", "scores"], ["output0"], "join", axis=1),
    ]
    return _model(nodes, stored, [1, 3, SIZE, SIZE], {"output0": [1, 6, SIZE * SIZE // 4]}, "images")


def _model(
    nodes: Sequence[onnx.NodeProto],
    stored: Sequence[onnx.TensorProto],
    shape: Sequence[int],
    outputs: dict[str, list[int]],
    name: str = "data",
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "main",
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(key, onnx.TensorProto.FLOAT, value) for key, value in outputs.items()],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def overrides(maximum: float) -> str:
    """An override file of model.onnx, in the layout 0.6.1."""
    scale = maximum / 255
    grid = {"bitwidth": 8, "dtype": "int", "is_symmetric": "False", "min": 0.0, "max": maximum}
    return json.dumps(
        {
            "version": "0.6.1",
            "activation_encodings": {"relu1": [grid | {"scale": scale, "offset": 0}]},
            "param_encodings": {},
        },
        indent=2,
    )


def write_files(folder: Path) -> None:
    """Everything at once: a document may name any of it."""
    onnx.save(classifier(), folder / "model.onnx")
    onnx.save(detector(), folder / "detector.onnx")
    onnx.save(parser.parse_model(FLAWED), folder / "flawed.onnx")
    onnx.save(parser.parse_model(WORDS), folder / "words.onnx")
    (folder / "models").mkdir()
    onnx.save(classifier(), folder / "models" / "classifier.onnx")
    (folder / "over.json").write_text(overrides(6.0), "utf-8")
    (folder / "over.encodings").write_text(overrides(4.0).replace('"offset": 0', '"offset": 1'), "utf-8")
    (folder / "before.encodings").write_text(overrides(4.0), "utf-8")
    (folder / "after.encodings").write_text(overrides(5.0), "utf-8")
    (folder / "convert.log").write_text(LOG, "utf-8")
    random = np.random.default_rng(3)
    samples = random.normal(0, 1, (4, 3, SIZE, SIZE)).astype(np.float32)
    np.savez(folder / "samples.npz", data=samples)
    np.savez(folder / "pictures.npz", images=samples)
    raw = folder / "raw"
    raw.mkdir()
    names = []
    for number, sample in enumerate(samples):
        sample.transpose(1, 2, 0).tofile(raw / f"{number}.raw")
        names.append(f"data:=raw/{number}.raw\n")
    (folder / "input_list.txt").write_text("".join(names), "utf-8")
