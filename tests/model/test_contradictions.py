"""Contradictions: found where they are, each once, and nothing where a model can be."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from dlclint.model.contradictions import Contradiction, contradictions
from dlclint.model.reading import read


def contradictions_of(text: str, folder: Path) -> tuple[Contradiction, ...]:
    path = folder / "model.onnx"
    onnx.save(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}'), path)
    return contradictions(read(path))


def test_only_the_first_node_of_a_chain_is_named(tmp_path: Path) -> None:
    text = """g (float[1,3] x, float[1,4] z) => (float[1,3] y)
    { a = Add(x, z)  b = Relu(a)  c = Mul(b, x)  y = Tanh(c) }"""
    assert [
        (contradiction.node.index, contradiction.words) for contradiction in contradictions_of(text, tmp_path)
    ] == [(0, "Incompatible dimensions")]


def test_an_op_without_an_inference_of_its_own_is_not_blamed_for_another(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]>
    g (float[1,4,4,4] x, float[3] z) => (float[1,4,4,4] y) <float[4] s = {1, 1, 1, 1}>
    { n = GroupNormalization<num_groups = 2>(x, s, s)  y = Add(n, z) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "model.onnx")
    told = contradictions(read(tmp_path / "model.onnx"))
    assert [(contradiction.node.op_type, contradiction.words) for contradiction in told] == [
        ("Add", "Incompatible dimensions")
    ]


def test_a_stored_tensor_that_is_an_input_of_another_type(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [size])
            for name, size in (("x", 4), ("w", 3))
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor("w", TensorProto.FLOAT, [4], [1, 2, 3, 4])],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        tmp_path / "model.onnx",
    )
    (told,) = contradictions(read(tmp_path / "model.onnx"))
    assert told.words == "'w' is declared as an input float[3] and stored as float[4]"


def test_two_nodes_without_names_are_distinguished(tmp_path: Path) -> None:
    text = """g (float[1,3] x, float[1,4] z) => (float[1,3] y, float[1,4] w)
    { y = Add(x, x)  a = Add(x, z)  w = Add(z, z)  b = Mul(z, x) }"""
    assert [contradiction.node.index for contradiction in contradictions_of(text, tmp_path)] == [1, 3]


def test_a_body_contradicts_what_it_is_given(tmp_path: Path) -> None:
    body = helper.make_graph(
        [helper.make_node("Add", ["x", "z"], ["inner"])],
        "branch",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )
    graph = helper.make_graph(
        [helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)],
        "g",
        [
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3]),
            helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 4]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    assert [contradiction.node.op_type for contradiction in contradictions(read(path))] == ["Add", "Add"]


@pytest.mark.parametrize(
    "node",
    [
        "y = Conv <group: int = 2> (x, w)",
        "y = ConvTranspose(x, w)",
        'y = Conv <auto_pad: string = "SAME_UPPER"> (x, w)',
        "y = Conv <dilations: ints = [9, 1], pads: ints = [9, 0, 9, 0]> (x, w)",
    ],
)
def test_convolutions_that_fit(node: str, tmp_path: Path) -> None:
    weight = "float[4,2,3,3]" if "group" in node else "float[4,4,3,3]"
    assert not contradictions_of(
        f"g (float[1,4,4,4] x, {weight} w) => (float[a,b,c,d] y) {{ {node} }}", tmp_path
    )


@pytest.mark.parametrize(
    ("node", "weight", "words"),
    [
        ("Conv <group: int = 2>", "[4,3,3,3]", "channels"),
        ("Conv <group: int = 3>", "[4,2,3,3]", "channels"),
        ("Conv <group: int = 4>", "[6,1,3,3]", "do not divide"),
        ("ConvTranspose", "[5,4,3,3]", "channels"),
        ("Conv <dilations: ints = [2, 1]>", "[4,4,3,3]", "a window of 5 (kernel 3, dilation 2)"),
    ],
)
def test_convolutions_that_do_not(node: str, weight: str, words: str, tmp_path: Path) -> None:
    said = contradictions_of(
        f"g (float[1,4,4,4] x, float{weight} w) => (float[a,b,c,d] y) {{ y = {node} (x, w) }}", tmp_path
    )
    assert len(said) == 1
    assert words in said[0].words
