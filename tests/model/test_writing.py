"""A draft is written as it was read, byte for byte, and with edits it differs only where they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper, parser

from dlclint.model import writing
from dlclint.model.draft import open_draft, tensors
from dlclint.model.tensors import Produced
from dlclint.model.weaving import REFERENCE
from dlclint.model.writing import CannotWrite, write_model

LIGHT = sorted((Path(onnx.__file__).parent / "backend/test/data/light").glob("*.onnx"))
RELU = '<ir_version: 8, opset_import: ["" : 12]> g (float[1,3] x) => (float[1,3] y) { y = Relu(x) }'


def weighty(*shapes: tuple[int, ...]) -> onnx.ModelProto:
    """A model with weights of these shapes, one of them in a subgraph and one in a Constant."""
    random = np.random.default_rng(0)
    model = parser.parse_model(RELU)
    model.graph.input.append(helper.make_tensor_value_info("condition", onnx.TensorProto.BOOL, []))
    values = [numpy_helper.from_array(random.random(s, np.float32), f"w{i}") for i, s in enumerate(shapes)]
    model.graph.initializer.extend(values)
    inner = helper.make_graph(
        [helper.make_node("Identity", ["v"], ["r"])],
        "then",
        [],
        [helper.make_tensor_value_info("r", 1, None)],
        [numpy_helper.from_array(random.random(3000, np.float32), "v")],
    )
    model.graph.node.append(
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(random.random(700), "c"))
    )
    model.graph.node.append(
        helper.make_node("If", ["condition"], ["z"], then_branch=inner, else_branch=inner)
    )
    return model


@pytest.mark.parametrize("path", LIGHT, ids=lambda path: path.stem)
def test_light_networks_unchanged(tmp_path: Path, path: Path) -> None:
    write_model(open_draft(path), tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").read_bytes() == path.read_bytes()


def test_nested_weights_unchanged(tmp_path: Path) -> None:
    source = tmp_path / "in.onnx"
    source.write_bytes(weighty((300, 40), (2,), (5000,)).SerializeToString())
    draft = open_draft(source)
    assert len(draft.contents) == 5  # two weights, the Constant, and one in each branch
    write_model(draft, tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").read_bytes() == source.read_bytes()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_tensor_field_unchanged(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    kinds = ["float_data", "double_data", "int64_data", "int32_data", "uint64_data", "raw_data"]
    model = parser.parse_model(RELU)
    for index in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(kinds))
        count = data.draw(st.sampled_from([0, 1, 250, 900, 70_000]))
        tensor = onnx.TensorProto(name=f"w{index}", data_type=1, dims=[count], doc_string="d")
        if kind == "raw_data":
            tensor.raw_data = bytes(4 * count)
        else:
            getattr(tensor, kind).extend(range(count))
        tensor.metadata_props.add(key="k", value="v")
        model.graph.initializer.append(tensor)
    folder = tmp_path_factory.mktemp("fields")
    (folder / "in.onnx").write_bytes(model.SerializeToString())
    write_model(open_draft(folder / "in.onnx"), folder / "out.onnx")
    assert (folder / "out.onnx").read_bytes() == (folder / "in.onnx").read_bytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.int64, np.bool_, ">f4"])
def test_replaced_and_added(tmp_path: Path, dtype: type) -> None:
    source = tmp_path / "in.onnx"
    model = weighty((300, 40), (600, 3))
    source.write_bytes(model.SerializeToString())
    draft = open_draft(source)
    new = np.arange(3000).reshape(100, 30).T.astype(dtype)
    small = np.array(7).astype(dtype)
    draft.put_initializer("w0", new)
    draft.put_initializer("added", small)
    viewed = draft.model().graph
    assert np.array_equal(viewed.initializers["w0"].array(), new)
    assert np.array_equal(viewed.initializers["added"].array(), small)
    assert np.array_equal(np.concatenate(list(viewed.initializers["w0"].chunks())), new.reshape(-1))
    write_model(draft, source)
    written = onnx.load(source)
    weight = {tensor.name: numpy_helper.to_array(tensor) for tensor in written.graph.initializer}
    assert np.array_equal(weight["w0"], new.astype(weight["w0"].dtype))
    assert np.array_equal(weight["added"], small.astype(weight["added"].dtype))
    assert np.array_equal(weight["w1"], numpy_helper.to_array(model.graph.initializer[1]))
    assert REFERENCE.encode() not in source.read_bytes()


def test_pieces_are_written_in_order(tmp_path: Path) -> None:
    source = tmp_path / "in.onnx"
    source.write_bytes(weighty((4,)).SerializeToString())
    draft = open_draft(source)
    whole = np.random.default_rng(1).random((400, 30), np.float32)
    pieces = Produced(1, whole.shape, lambda: iter(np.array_split(whole, 7)))
    draft.put_initializer("w0", pieces)
    write_model(draft, tmp_path / "out.onnx")
    assert np.array_equal(numpy_helper.to_array(onnx.load(tmp_path / "out.onnx").graph.initializer[0]), whole)
    short = Produced(1, whole.shape, lambda: iter(np.array_split(whole, 7)[:-1]))
    draft.put_initializer("w0", short)
    with pytest.raises(CannotWrite, match="short"):
        write_model(draft, tmp_path / "short.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.onnx", "out.onnx"]


def external(folder: Path) -> Path:
    folder.mkdir()
    onnx.save_model(
        weighty((300, 40), (600, 30)),
        folder / "m.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=100,
    )
    return folder / "m.onnx"


def values(path: Path) -> dict[str, bytes]:
    return {
        ".".join(map(str, path_parts)): numpy_helper.to_array(tensor, str(path.parent)).tobytes()
        for path_parts, tensor in tensors(onnx.load(path))
    }


def test_external_data_stay(tmp_path: Path) -> None:
    source = external(tmp_path / "a")
    before = source.with_name("weights.bin").read_bytes()
    expected = values(source)
    draft = open_draft(source)
    assert write_model(draft, source.with_name("n.onnx")).data is None
    assert source.with_name("n.onnx").read_bytes() == source.read_bytes()
    draft.put_initializer("w0", np.zeros((300, 40), np.float32))
    written = write_model(draft, source)
    assert written.data == source.with_name("m.onnx.data")
    original = values(source)
    assert original["7.0.5.0"] == bytes(48_000)
    assert {k: v for k, v in original.items() if k != "7.0.5.0"} == {
        k: v for k, v in expected.items() if k != "7.0.5.0"
    }
    assert source.with_name("weights.bin").read_bytes() == before


def test_external_data_follow(tmp_path: Path) -> None:
    source = external(tmp_path / "a")
    expected = values(source)
    (tmp_path / "b").mkdir()
    target = tmp_path / "b" / "out.onnx"
    for suffix in ("data", "1.data", "data"):  # no name that exists, and nothing that the new one replaces
        written = write_model(open_draft(source), target)
        assert written.data == target.with_name(f"out.onnx.{suffix}")
        assert sorted(path.name for path in target.parent.iterdir()) == ["out.onnx", f"out.onnx.{suffix}"]
    for path in source.parent.iterdir():
        path.unlink()
    assert values(target) == expected


@pytest.mark.parametrize(
    "keep", ("another model", "a model above", "a hard link", "a name of the user's", "an unreadable model")
)
def test_data_that_something_else_may_name_stay(tmp_path: Path, keep: str) -> None:
    source = external(tmp_path / "a")
    (tmp_path / "b").mkdir()
    target = tmp_path / "b" / "out.onnx"
    write_model(open_draft(source), target)
    data = target.with_name("out.onnx.data")
    if keep == "another model":
        target.with_name("copy.onnx").write_bytes(target.read_bytes())
    elif keep == "a model above":
        model = onnx.load(target, load_external_data=False)
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                entry.value = f"b/{entry.value}" if entry.key == "location" else entry.value
        (tmp_path / "above.onnx").write_bytes(model.SerializeToString())
    elif keep == "a hard link":
        target.with_name("kept.data").hardlink_to(data)
    elif keep == "an unreadable model":
        target.write_bytes(b"\xff" + target.read_bytes())
    else:
        data = data.rename(target.with_name("weights.data"))
        model = onnx.load(target, load_external_data=False)
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                entry.value = data.name if entry.key == "location" else entry.value
        target.write_bytes(model.SerializeToString())
    before = data.read_bytes()
    write_model(open_draft(source), target)
    assert data.read_bytes() == before


def test_too_large_goes_external(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "in.onnx"
    model = weighty((300, 40), (600, 30))
    source.write_bytes(model.SerializeToString())
    monkeypatch.setattr(writing, "INLINE_LIMIT", 60_000)
    draft = open_draft(source)
    draft.put_initializer("more", np.ones((100, 100), np.float32))
    written = write_model(draft, tmp_path / "out.onnx")
    assert written.data is not None and written.size < 60_000
    onnx.checker.check_model(str(tmp_path / "out.onnx"))
    weight = {t.name: numpy_helper.to_array(t) for t in onnx.load(tmp_path / "out.onnx").graph.initializer}
    assert np.array_equal(weight["w1"], numpy_helper.to_array(model.graph.initializer[1]))
    assert np.array_equal(weight["more"], np.ones((100, 100)))
    monkeypatch.setattr(writing, "INLINE_LIMIT", 1000)
    with pytest.raises(CannotWrite, match="2 GiB"):  # weights in subgraphs stay inline
        write_model(draft, tmp_path / "none.onnx")
    assert not list(tmp_path.glob("*none*"))


def forged(path: Path) -> None:
    model = weighty((400, 4))
    for tensor in model.graph.initializer:
        tensor.external_data.add(key=REFERENCE, value="99")
    model.graph.doc_string = f"\n{chr(len(REFERENCE))}{REFERENCE}"
    path.write_bytes(model.SerializeToString())


def test_forged_reference(tmp_path: Path) -> None:
    forged(tmp_path / "in.onnx")
    write_model(open_draft(tmp_path / "in.onnx"), tmp_path / "out.onnx")
    before, after = onnx.load(tmp_path / "in.onnx"), onnx.load(tmp_path / "out.onnx")
    del before.graph.initializer[0].external_data[:]
    assert before == after


def refuse(path: Path) -> None:
    raise RuntimeError("no")


@pytest.mark.parametrize("accept", [lambda path: onnx.checker.check_model(str(path)), refuse])
def test_accept_sees_the_whole_file(tmp_path: Path, accept: Callable[[Path], None]) -> None:
    source = external(tmp_path / "a")
    (tmp_path / "b").mkdir()
    target = tmp_path / "b" / "out.onnx"
    model = parser.parse_model(RELU)
    target.write_bytes(model.SerializeToString())
    target.chmod(0o640)
    draft = open_draft(source)
    del draft.proto.graph.node[:]
    draft.proto.graph.node.extend(model.graph.node)
    if accept is refuse:
        with pytest.raises(RuntimeError, match="no"):
            write_model(draft, target, accept)
        assert target.read_bytes() == model.SerializeToString()
        assert [path.name for path in target.parent.iterdir()] == ["out.onnx"]
    else:
        write_model(draft, target, accept)
        assert target.stat().st_mode & 0o777 == 0o640
        assert sorted(path.name for path in target.parent.iterdir()) == ["out.onnx", "out.onnx.data"]


def test_full_disk(tmp_path: Path) -> None:
    source = tmp_path / "in.onnx"
    source.write_bytes(weighty((300, 400)).SerializeToString())
    before = source.read_bytes()
    resource = pytest.importorskip("resource", reason="Windows limits no file sizes")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
    try:
        with pytest.raises(CannotWrite, match=r"cannot write .*in\.onnx: File too large"):
            write_model(open_draft(source), source)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert source.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["in.onnx"]


def test_refusals(tmp_path: Path) -> None:
    source = tmp_path / "in.onnx"
    source.write_bytes(weighty((300, 4)).SerializeToString())
    draft = open_draft(source)
    with pytest.raises(CannotWrite, match="No such file"):
        write_model(draft, tmp_path / "absent" / "out.onnx")
    link = tmp_path / "link.onnx"
    link.symlink_to(source)
    with pytest.raises(CannotWrite, match="symbolic link"):
        write_model(open_draft(link), link)
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(CannotWrite, match="not an ordinary file"):
        write_model(draft, tmp_path / "pipe.onnx")
    assert (tmp_path / "pipe.onnx").is_fifo()
    (tmp_path / "pipe.onnx").unlink()
    os.utime(source, (1, 1))
    with pytest.raises(CannotWrite, match="changed while"):
        write_model(draft, tmp_path / "out.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.onnx", "link.onnx"]
