"""Reports in a real notebook, and `dlclint.simulate_model` from Python."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import parser

import dlclint

pytest.importorskip("onnxruntime")
MODEL = """<ir_version: 8, opset_import: ["" : 13]>
g (float[1,4] x) => (float[1,4] y) <float[4,4] w = {
  0.5, -1.0, 0.25, 2.0, 0.1, 0.2, -0.3, 0.4, 1.0, 1.5, -0.5, 0.0, 0.7, -0.7, 0.9, 0.3
}> { [fc] t = MatMul(x, w) [act] y = Relu(t) }"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    proto = parser.parse_model(MODEL)
    proto.graph.node[0].name = "<img src=x onerror=alert(1)>"
    path = tmp_path / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_simulate(model: Path) -> None:
    random = np.random.default_rng(0)
    inputs = {"x": random.normal(size=(8, 1, 4)).astype(np.float32)}
    narrow = dlclint.simulate_model(model, inputs=inputs)
    wide = dlclint.simulate_model(model, inputs=inputs, act_bitwidth=16, soc="sm8650")
    assert 20 < narrow.worst < wide.worst
    assert narrow.simulation.samples == 8 and not narrow.simulation.random
    assert narrow.engines[0].outputs[0].tensor == "y"
    assert "output y" in narrow.text() == f"{narrow}\n"
    html = narrow._repr_html_()
    assert "<img" not in html and "&lt;img" in html and "<table>" in html
    assert "random inputs" in dlclint.simulate_model(model)._repr_html_()


@pytest.mark.parametrize("name", ["file", "allow_pickle", "a/b"])
def test_an_input_of_any_name(tmp_path: Path, name: str) -> None:
    proto = parser.parse_model(MODEL)
    proto.graph.input[0].name = proto.graph.node[0].input[0] = name
    path = tmp_path / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    inputs = {name: np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 1, 4)}
    assert dlclint.simulate_model(path, inputs=inputs).simulation.samples == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"engine": "both2"}, "reference, htp, both"),
        ({"act_quantizer": "best"}, "tf, symmetric"),
        ({"inputs": "nosuch.npz"}, "nosuch.npz"),
        ({"inputs": {"z": np.zeros((1, 1, 4), np.float32)}}, "z"),
        ({"inputs": {"x": np.array([{}])}}, "holds Python objects"),
        ({"soc": "nonsense"}, "unknown SoC"),
        ({"samples": 0}, "at least 1"),
        ({"engine": "htp"}, "onnxruntime-qnn|give --soc"),
    ],
)
def test_what_cannot_be_simulated(model: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(dlclint.CannotLint, match=message):
        dlclint.simulate_model(model, **arguments)  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform == "win32", reason="the kernel's event loop differs")
def test_in_a_real_notebook(model: Path) -> None:
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    from nbformat import v4

    cells = [
        "import dlclint",
        f"dlclint.lint({str(model)!r}, soc='sm8650', quantize=True)",
        f"dlclint.simulate_model({str(model)!r})",
    ]
    notebook = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])
    client.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    for cell in notebook.cells[1:]:
        (output,) = cell.outputs
        html = output["data"]["text/html"]
        assert html.startswith("<div>") and "<table>" in html and "<img" not in html
