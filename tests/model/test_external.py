"""External data: taken as ONNX Runtime takes it, and never more than the tensor's type and shape ask for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from dlclint.cli.main import main
from dlclint.model.external import FLAWS, ExternalData, resolve_location

ENTRIES: tuple[dict[str, str], ...] = (
    {},
    {"length": "64"},
    {"length": "0"},
    {"length": "3"},
    {"length": "65"},
    {"length": "9000000000"},
    {"length": "-64"},
    {"length": ""},
    {"offset": "16"},
    {"offset": "016"},
    {"offset": "1_0"},
    {"offset": " 16"},
    {"offset": "16 "},
    {"offset": "+16"},
    {"offset": "-16"},
    {"offset": "0x10"},
    {"offset": "\u0661\u0666"},
    {"offset": "1e1"},
    {"offset": "240"},
    {"offset": "9223372036854775807"},
    {"offset": "99999999999999999999"},
)


def model(folder: Path, entries: dict[str, str]) -> Path:
    """A 4x4 weight in a file of 256 bytes; returns the path of the model."""
    (folder / "data.bin").write_bytes(np.arange(64, dtype="<f4").tobytes())
    weight = TensorProto(name="w", data_type=1, dims=[4, 4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "data.bin", **entries}.items():
        weight.external_data.add(key=key, value=value)
    ends = [helper.make_tensor_value_info(name, 1, [4, 4]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weight]
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def first_location(path: Path) -> ExternalData | None:
    try:
        return resolve_location(
            onnx.ModelProto.FromString(path.read_bytes()).graph.initializer[0], path.parent
        )
    except FLAWS:
        return None


@pytest.mark.parametrize("entries", ENTRIES, ids=str)
def test_as_onnx_runtime_reads_it(
    entries: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime = pytest.importorskip("onnxruntime")
    path = model(tmp_path, entries)
    data = first_location(path)
    try:
        runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        loads = True
    except Exception:  # ONNX Runtime has an exception for each kind of failure
        loads = False
    assert (data is not None) == loads
    assert data is None or data.size == 64
    main(["check", "--isolated", "--format", "concise", str(path)])
    assert (" model/external-data-" in capsys.readouterr().out) != loads


@pytest.mark.parametrize("dims", [[-4, -4], [1 << 40, 1 << 40], [4, 5]], ids=str)
def test_other_shapes_than_the_file_holds(dims: list[int], tmp_path: Path) -> None:
    path = model(tmp_path, {"offset": "192", "length": "64"})
    proto = onnx.ModelProto.FromString(path.read_bytes())
    del proto.graph.initializer[0].dims[:]
    proto.graph.initializer[0].dims.extend(dims)
    path.write_bytes(proto.SerializeToString())
    assert first_location(path) is None


def test_equalize_writes_no_declared_length(tmp_path: Path) -> None:
    path = model(tmp_path, {"length": "9000000000"})
    other = tmp_path / "other"
    other.mkdir()
    assert main(["equalize", str(path), "-o", str(other / "out.onnx")]) == 2
    assert list(other.iterdir()) == []
