"""What the model view reads is what onnx reads, for every element type and way of storing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from dlclint.model import wire
from dlclint.model.reading import Unreadable, read

LIGHT = sorted((Path(onnx.__file__).parent / "backend/test/data/light").glob("*.onnx"))
NUMERIC = [
    value
    for name, value in TensorProto.DataType.items()
    if name not in ("UNDEFINED", "STRING") and value in helper.get_all_tensor_dtypes()
]


def model_with(*tensors: onnx.TensorProto) -> onnx.ModelProto:
    node = helper.make_node("Identity", [tensors[0].name], ["y"])
    output = helper.make_tensor_value_info("y", tensors[0].data_type, None)
    graph = helper.make_graph([node], "g", [], [output], list(tensors))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])


@pytest.mark.parametrize("path", LIGHT, ids=lambda path: path.stem)
def test_light_networks_read_as_onnx_reads_them(path: Path) -> None:
    model, whole = read(path), onnx.load(path)
    assert model.notes == ()
    assert model.complaints == ()
    assert [node.op_type for node in model.graph.nodes] == [node.op_type for node in whole.graph.node]
    for tensor in whole.graph.initializer:
        np.testing.assert_array_equal(
            model.graph.initializers[tensor.name].array(), numpy_helper.to_array(tensor)
        )


@pytest.mark.parametrize("data_type", NUMERIC, ids=TensorProto.DataType.Name)
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
@pytest.mark.parametrize("count", [3, 5001, 50001])
def test_every_type(tmp_path: Path, data_type: int, raw: bool, count: int) -> None:
    dtype = helper.tensor_dtype_to_np_dtype(data_type)
    values = np.random.default_rng(0).integers(0, 2, count).astype(dtype)
    stored = numpy_helper.from_array(values, "w")
    if not raw:
        if dtype.itemsize < 2 and dtype.kind == "V":
            stored = helper.make_tensor("w", data_type, [count], values.astype(np.float32))
        else:
            stored = helper.make_tensor("w", data_type, [count], values)
    path = tmp_path / "m.onnx"
    onnx.save(model_with(stored), path)
    weight = read(path).graph.initializers["w"]
    assert weight.shape == (count,)
    np.testing.assert_array_equal(weight.array().astype(np.complex128), values.astype(np.complex128))


def test_external_data(tmp_path: Path) -> None:
    values = np.arange(6000, dtype=np.float32).reshape(60, 100)
    path = tmp_path / "m.onnx"
    onnx.save(
        model_with(numpy_helper.from_array(values, "w")), path, save_as_external_data=True, location="w.bin"
    )
    weight = read(path).graph.initializers["w"]
    assert weight.is_external
    np.testing.assert_array_equal(weight.array(), values)
    np.testing.assert_array_equal(np.concatenate([c.copy() for c in weight.chunks(1000)]), values.ravel())


def test_weights_are_not_in_the_structure(tmp_path: Path) -> None:
    values = np.zeros(1 << 20, np.float32)
    path = tmp_path / "m.onnx"
    onnx.save(model_with(numpy_helper.from_array(values, "w")), path)
    skimmed = wire.skim(path.read_bytes())
    assert len(skimmed.structure) < 400
    (payload,) = skimmed.payloads.values()
    assert payload.size == values.nbytes


def test_bodies_of_nodes_with_one_name_are_distinguished(tmp_path: Path) -> None:
    """A node's key, its graph's path and its index, is what analyses know it by."""
    body = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["r"])],
        "b",
        [],
        [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)],
    )
    branches = {"then_branch": body, "else_branch": body}
    nodes = [helper.make_node("If", ["c"], [f"y{i}"], name="same", **branches) for i in range(3)]
    values = [helper.make_tensor_value_info(name, kind, []) for name, kind in (("c", 9), ("x", 1))]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", values, [])), tmp_path / "m.onnx")
    paths = [graph.path for graph in read(tmp_path / "m.onnx").graphs()]
    wanted = {f"same.{branch}{mark}" for branch in branches for mark in ("", "#1", "#2")}
    assert sorted(paths) == ["", *sorted(wanted)]


def test_constant_in_a_subgraph(tmp_path: Path) -> None:
    values = np.arange(4000, dtype=np.float32)
    constant = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(values))
    output = helper.make_tensor_value_info("c", TensorProto.FLOAT, [4000])
    branch = helper.make_graph([constant], "b", [], [output])
    node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4000])],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    (outer,) = read(path).graph.nodes
    assert [inner.path for inner in outer.subgraphs] == ["If#0.then_branch", "If#0.else_branch"] or [
        inner.path for inner in outer.subgraphs
    ] == ["If#0.else_branch", "If#0.then_branch"]
    for inner in outer.subgraphs:
        constant = inner.constant("c")
        assert constant is not None
        np.testing.assert_array_equal(constant.array(), values)


def test_initializer_listed_as_input_is_not_an_input(tmp_path: Path) -> None:
    model = model_with(numpy_helper.from_array(np.ones(3, np.float32), "w"))
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3]))
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    assert read(path).graph.inputs == ()


@given(st.binary(max_size=300))
def test_any_bytes_are_skimmed_or_refused(data: bytes) -> None:
    try:
        skimmed = wire.skim(data)
    except (wire.MalformedMessage, wire.TooDeep, wire.Unusual):
        return
    assert skimmed.structure == data  # nothing that small is taken out


@given(st.integers(0, 6000), st.binary(min_size=1, max_size=4))
def test_any_damage_is_read_or_refused(offset: int, damage: bytes) -> None:
    values = np.arange(1500, dtype=np.float32)
    whole = bytearray(model_with(numpy_helper.from_array(values, "w")).SerializeToString())
    whole[offset : offset + len(damage)] = damage
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.onnx")
        path.write_bytes(whole)
        try:
            model = read(path)
        except Unreadable as problem:
            assert problem.help
        else:
            assert model.graph.path == ""
