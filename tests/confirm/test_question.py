"""The question computes what the file computes, names every node, and leaves the weights where they lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper, parser
from onnx.reference import ReferenceEvaluator

from dlclint.confirm.question import CannotAsk, question_of, with_places
from dlclint.model.reading import read

LIGHT = sorted(Path(onnx.__file__).parent.glob("backend/test/data/light/light_*.onnx"))


def run(model: bytes, folder: Path, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)  # type: ignore[no-any-return]


def big_model(path: Path, **save: object) -> None:
    """Large weights in raw bytes, as packed floats, as packed integers and in a Constant."""
    rng = np.random.default_rng(0)
    raw = numpy_helper.from_array(rng.normal(size=(32, 32)).astype(np.float32), "raw")
    floats = rng.normal(size=1024).astype(np.float32).tolist()
    packed = helper.make_tensor("packed", TensorProto.FLOAT, [32, 32], floats)
    order = helper.make_tensor("order", TensorProto.INT64, [1024], list(range(1023, -1, -1)))
    held = numpy_helper.from_array(rng.normal(size=(32, 32)).astype(np.float32))
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "raw"], ["a"]),
            helper.make_node("MatMul", ["a", "packed"], ["b"]),
            helper.make_node("Constant", [], ["held"], value=held),
            helper.make_node("Add", ["b", "held"], ["c"], name="same"),
            helper.make_node("Flatten", ["c"], ["d"], name="same", axis=0),
            helper.make_node("Gather", ["d", "order"], ["y"], axis=1),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1024])],
        [raw, packed, order],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path, **save)


@pytest.mark.parametrize("save", [{}, {"save_as_external_data": True, "location": "w.bin"}])
def test_it_computes_the_same(save: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    big_model(path, **save)
    question = question_of(read(path))
    feeds = {"x": np.random.default_rng(1).normal(size=(32, 32)).astype(np.float32)}
    # ONNX Runtime refuses the file itself, because two nodes are named alike.
    expected = ReferenceEvaluator(str(path)).run(None, feeds)
    np.testing.assert_allclose(run(question.model, question.folder, feeds)[0], expected[0], rtol=1e-4)


def test_weights_stay_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    big_model(path)
    question = question_of(read(path))
    # Integers stored value by value are the one form that has no place of its own: 8 kB.
    assert len(question.model) < 12_000 < path.stat().st_size
    asked = onnx.ModelProto.FromString(question.model)
    places = {tensor.name: tensor.data_location for tensor in asked.graph.initializer}
    assert places == {"raw": 1, "packed": 1, "order": 0, "held": 1}


@pytest.mark.parametrize("path", LIGHT, ids=lambda path: path.stem)
def test_every_node_has_a_way_back(path: Path) -> None:
    model = read(path)
    question = question_of(model)
    asked = onnx.ModelProto.FromString(question.model)
    names = [node.name for node in asked.graph.node]
    assert len(set(names)) == len(names)
    assert [question.node_of(name) for name in names] == [node.key for node in model.graph.nodes]


def test_names_that_the_backend_changes(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[1] x) => (float[1] y) { y = Relu(x) }'
    onnx.save(parser.parse_model(text), path)
    question = question_of(read(path))
    for name in ("dlclint_0_0_", "dlclint_0_0__token_12", "_inlfunc_f_dlclint_0_0_", "dlclint_0_0__2"):
        assert question.node_of(name) == ("", 0)
    for name in ("Transpose_token_0", "dlclint_0_1_", "", "dlclint_9_0_"):
        assert question.node_of(name) is None


def test_bodies_and_functions_are_named_too(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    text = """<ir_version: 8, opset_import: ["": 17, "f": 1]>
    g (float[1] x, bool c) => (float[1] y) {
      z = f.twice(x)
      y = If(c) <then_branch = t () => (float[1] a) { a = Relu(z) },
                 else_branch = e () => (float[1] b) { b = Neg(z) }>
    }
    <domain: "f", opset_import: ["": 17]> twice (p) => (q) { q = Add(p, p) }"""
    onnx.save(parser.parse_model(text), path)
    model = read(path)
    question = question_of(model)
    assert sorted(question.nodes.values()) == sorted(
        node.key for graph in model.graphs() for node in graph.nodes
    )
    feeds = {"x": np.ones(1, np.float32), "c": np.array(False)}
    np.testing.assert_array_equal(run(question.model, tmp_path, feeds)[0], [-2])


def test_what_cannot_be_asked(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    text = (
        '<ir_version: 8, opset_import: ["": 17]> g () => (float[1] y) { y = Constant<value_floats=[1.0]>() }'
    )
    onnx.save(parser.parse_model(text), path)
    with pytest.raises(CannotAsk, match="no input"):
        question_of(read(path))
    big_model(path, save_as_external_data=True, location="w.bin", size_threshold=0)
    (tmp_path / "w.bin").unlink()
    with pytest.raises(CannotAsk, match="missing"):
        question_of(read(path))


@pytest.mark.parametrize("external", [False, True])
def test_a_model_that_is_a_link(external: bool, tmp_path: Path) -> None:
    """ONNX Runtime follows no link out of the folder that a question names."""
    kept = tmp_path / "kept" / "blob"
    kept.parent.mkdir()
    big_model(kept, **({"save_as_external_data": True, "location": "w.bin"} if external else {}))
    link = tmp_path / "linked" / "m.onnx"
    link.parent.mkdir()
    link.symlink_to(kept)
    if external:
        weights = link.with_name("w.bin")
        weights.symlink_to(kept.with_name("w.bin"))
        with pytest.raises(CannotAsk, match="outside the model's folder"):
            question_of(read(link))
        weights.unlink()
        kept.with_name("w.bin").rename(weights)
    question = question_of(read(link))
    assert question.folder == (link if external else kept).parent.resolve()
    run(question.model, question.folder, {"x": np.ones((32, 32), np.float32)})


def test_no_name_of_a_question_reaches_a_reader() -> None:
    text = "no kernel for Det(11) node with name 'dlclint_0_12_' after dlclint_0_3__token_7, not dlclint_x"
    assert with_places(text) == "no kernel for Det(11) node with name node 12 after node 3, not dlclint_x"
