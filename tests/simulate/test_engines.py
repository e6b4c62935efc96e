"""Both engines on the same grids: the reference is what ONNX Runtime makes of the QDQ model, HTP is asked."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from simulated_networks import YOLO, evaluator_of, inputs, saved, small_conv

from dlclint.cli.main import main
from dlclint.report.simulate_words import apart_notes
from dlclint.simulate.assigning import Settings, assign, leaders
from dlclint.simulate.evaluating import Evaluator
from dlclint.simulate.htp import HtpSession, layers_on_htp
from dlclint.simulate.inputs.samples import Samples
from dlclint.simulate.outcome import Departure, Simulation
from dlclint.simulate.qdq import SEEN, quantized_model
from dlclint.simulate.reference import observe
from dlclint.simulate.scheme import Grid, Scheme, grid_of_range

needs_backend = pytest.mark.skipif(find_spec("onnxruntime_qnn") is None, reason="onnxruntime-qnn is absent")

ATTENTION = """g (float[1,6,8] x) => (float[1,6,8] y) <float scale = {0.35}> {
  l = LayerNormalization(x, gamma, beta)
  q = MatMul(l, wq) k = MatMul(l, wk) v = MatMul(l, wv)
  t = Transpose<perm=[0,2,1]>(k) s = MatMul(q, t) m = Mul(s, scale) p = Softmax(m)
  o = MatMul(p, v) y = Add(x, o) }"""


SPELLED = """m0 = ReduceMean<axes=[-1]>(x) d0 = Sub(x, m0) q0 = Mul(d0, d0) v0 = ReduceMean<axes=[-1]>(q0)
  e0 = Add(v0, tiny) r0 = Sqrt(e0) n0 = Div(d0, r0) g0 = Mul(n0, gamma) l = Add(g0, beta)"""


def attention(tmp_path: Path) -> Path:
    return _attention(tmp_path, ATTENTION)


def spelled(tmp_path: Path) -> Path:
    """The same with its layer normalization written with basic ops."""
    text = ATTENTION.replace("l = LayerNormalization(x, gamma, beta)", SPELLED)
    return _attention(tmp_path, text.replace("{0.35}>", "{0.35}, float tiny = {0.00001}>"))


def _attention(tmp_path: Path, text: str) -> Path:
    random = np.random.default_rng(3)
    weights = {name: random.normal(0, 0.4, (8, 8)).astype(np.float32) for name in ("wq", "wk", "wv")}
    weights["gamma"] = random.uniform(0.5, 1.5, 8).astype(np.float32)
    weights["beta"] = random.normal(0, 0.2, 8).astype(np.float32)
    return saved(tmp_path, text, weights)


def scheme_of(path: Path, settings: Settings) -> tuple[Evaluator, Scheme, dict[str, np.ndarray]]:
    evaluator = evaluator_of(path)
    feed = inputs(path)
    observed = observe(evaluator, Samples("", (lambda: feed,)), settings.needs_bins)
    return evaluator, assign(evaluator.network, observed, settings, leaders(evaluator.network)), feed


def whole(evaluator: Evaluator, scheme: Scheme, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The QDQ model in ONNX Runtime without graph optimizations, every quantized activation an output."""
    network = evaluator.network
    steps = [name for step in network.steps for name in step.outputs if name in scheme.activations]
    watched = [name for name in steps if name not in network.outputs]
    shapes = {name: values.shape for name, values in feed.items()}
    model = quantized_model(evaluator, scheme, shapes, {n: v.dtype for n, v in feed.items()}, watched)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs = dict(zip((o.name for o in session.get_outputs()), session.run(None, feed), strict=True))
    return {name.removesuffix(SEEN): values for name, values in outputs.items()}


@pytest.mark.parametrize("build", [small_conv, attention, spelled], ids=["conv", "attention", "spelled"])
@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(16, 8, 32, True),
        Settings(8, 4, 32, True, "symmetric", "symmetric"),
        Settings(8, 8, 8, False, "enhanced", "enhanced"),
        Settings(16, 16, 32, True, "percentile", "adjusted"),
    ],
    ids=["a8w8", "a16w8", "a8w4", "enhanced", "a16w16"],
)
def test_the_reference_equals_the_qdq_model(tmp_path: Path, build: object, settings: Settings) -> None:
    path = build(tmp_path)  # type: ignore[operator]
    evaluator, scheme, feed = scheme_of(path, settings)
    expected = whole(evaluator, scheme, feed)
    arrays = evaluator.run(feed, scheme, keep=[name for name in expected if name not in ("n",)])
    for name, values in expected.items():
        if name == "n":  # fused: on the grid of the Relu after it in one, never stored in the other
            continue
        step = scheme.activations[name].scale
        # Sums in another order may fall to the other side of a rounding.
        assert np.abs(arrays[name] - values).max() <= step * 1.01
        assert (arrays[name] == values).mean() > 0.9


def test_unlike_widths_are_converted_before_the_op(tmp_path: Path) -> None:
    evaluator, scheme, feed = scheme_of(saved(tmp_path, YOLO), Settings())
    scheme.activations["out"] = scheme.activations["out"].at(16)
    scheme.activations["boxes"] = scheme.activations["boxes"].at(16)
    expected = whole(evaluator, scheme, feed)
    arrays = evaluator.run(feed, scheme, keep=list(expected))
    for name, values in expected.items():
        assert arrays[name] == pytest.approx(values, abs=1.01 * scheme.activations[name].scale)


@needs_backend
def test_both_engines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, YOLO)
    arguments = ["simulate", "--isolated", "--soc", "sm8550", "--engine", "both", "--samples", "2"]
    assert main([*arguments, "--format", "json", str(path)]) == 0
    reference, htp = json.loads(capsys.readouterr().out)["files"][0]["engines"]
    assert (reference["engine"], htp["engine"]) == ("reference", "htp")
    assert htp["versions"]["QNN"]
    assert abs(reference["outputs"][0]["sqnr"] - htp["outputs"][0]["sqnr"]) < 1
    assert {layer["tensor"] for layer in htp["layers"]} == {"p", "s", "out"}
    assert main([*arguments, str(path)]) == 0
    assert "Qualcomm's HTP backend on x86 (measured)" in " ".join(capsys.readouterr().out.split())


def test_a_layer_normalization_of_basic_ops_is_one_op(tmp_path: Path) -> None:
    evaluator, scheme, feed = scheme_of(spelled(tmp_path), Settings())
    model = quantized_model(evaluator, scheme, {"x": (1, 6, 8)}, {"x": feed["x"].dtype})
    ops = [node.op_type for node in model.graph.node]
    assert ops.count("LayerNormalization") == 1 and not {"ReduceMean", "Sqrt", "Div"} & set(ops)


@needs_backend
@pytest.mark.parametrize("soc", ["sm8350", "sm8550"])
def test_htp_computes_a_layer_normalization_of_basic_ops(
    tmp_path: Path, soc: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hexagon v68 does not compile it as float ops, and on v73 it was one of 31.4 dB."""
    arguments = ["simulate", "--isolated", "--soc", soc, "--engine", "htp", "--samples", "2"]
    assert main([*arguments, "--format", "json", str(spelled(tmp_path))]) == 0
    (htp,) = json.loads(capsys.readouterr().out)["files"][0]["engines"]
    assert htp["in_float"] == []
    assert htp["outputs"][0]["sqnr"] == pytest.approx(31.4, abs=1)


@needs_backend
def test_the_layer_that_departs_is_named_and_asked_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Reciprocal of a grid that holds zero: what HTP makes of it no document says."""
    body = """g (float[1,64] x) => (float[1,64] y) <float tiny = {0.0001}> {
      s = Sigmoid(x) q = Mul(s, s) m = Add(q, tiny) r = Reciprocal(m) y = Tanh(r) }"""
    path = saved(tmp_path, body)
    np.savez(tmp_path / "in.npz", x=np.linspace(-9, 4, 64, dtype=np.float32)[np.newaxis])
    arguments = ["simulate", "--isolated", "--soc", "sm8550", "--engine", "both", str(path)]
    arguments += ["--inputs", str(tmp_path / "in.npz")]
    assert main([*arguments, "--format", "json"]) == 0
    apart = json.loads(capsys.readouterr().out)["files"][0]["apart"]
    assert [tensor["op"] for tensor in apart] == ["Reciprocal"]
    assert apart[0]["off"] > 0
    assert apart[0]["alone"] == pytest.approx(apart[0]["between"], abs=3)
    assert main(arguments) == 0
    assert "Reciprocal r computes something else even alone" in " ".join(capsys.readouterr().out.split())


@needs_backend
def test_what_htp_does_not_take_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, "g (float[1,8] x) => (float[1,8] y) { s = Sigmoid(x) y = Acosh(s) }")
    assert main(["simulate", "--isolated", "--soc", "sm8550", "--engine", "both", str(path)]) == 2
    assert "HTP does not take the whole model: Acosh y: " in " ".join(capsys.readouterr().out.split())


def test_a_layer_that_only_the_whole_graph_spoils_is_distinguished() -> None:
    spoiled = Departure("m", "Mul", 28.4, 20.2, 20.9, 0.01, 98.4)
    itself = Departure("r", "Reciprocal", 30.0, 3.1, 3.1, 0.98, 3.1)
    assert (spoiled.spoiled, itself.spoiled) == (True, False)
    assert not Departure("n", "Conv", 30.0, 5.0, 5.0, 0.5).spoiled  # it was not asked alone
    one, other = apart_notes(Simulation("m.onnx", apart=(spoiled, itself)))
    assert one.startswith("Reciprocal r computes something else even alone")
    assert other.startswith("Mul m is right alone and wrong in the whole graph, in 1 % of its values")


def test_htp_needs_a_soc(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if find_spec("onnxruntime_qnn") is None:
        pytest.skip("onnxruntime-qnn is absent")
    path = saved(tmp_path, YOLO)
    assert main(["simulate", "--isolated", "--engine", "htp", "--samples", "1", str(path)]) == 2
    assert "give --soc" in capsys.readouterr().err


def test_squares_of_negative_numbers(tmp_path: Path) -> None:
    path = saved(tmp_path, "g (float[1,4,64] x) => (float[1,4,64] y) <float two = {2}> { y = Pow(x, two) }")
    off = []
    for bits in (8, 16):
        evaluator, scheme, feed = scheme_of(path, Settings(act_bitwidth=bits))
        exact, rounded = (evaluator.run(feed, each)["y"] for each in (None, scheme))
        off.append(float(np.abs(rounded - exact).max() / exact.max()))
        # An exponent that is no longer whole: HTP loses the negative numbers at 8 bits, and not at 16.
        scheme.activations["two"] = grid_of_range(0.0, 2.0001, bits)
        evaluator = evaluator_of(path)
        off.append(float(np.abs(evaluator.run(feed, scheme)["y"] - exact).max() / exact.max()))
    assert [value < 0.02 for value in off] == [True, False, True, True]


def test_what_belongs_to_a_relu_is_not_looked_at_on_htp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = evaluator_of(small_conv(tmp_path))
    sample = inputs(tmp_path / "m.onnx")
    names = [name for step in evaluator.network.steps for name in step.outputs]
    scheme = Scheme({name: Grid(0.1, 128, 8) for name in names})
    looked_at: list[str] = []

    def run(*arguments: object) -> list[dict[str, np.ndarray]]:
        looked_at.extend(arguments[-1])  # type: ignore[call-overload]
        return [{}]

    monkeypatch.setattr("dlclint.simulate.htp._run", run)
    layers_on_htp(HtpSession(None, None), evaluator, scheme, sample)  # type: ignore[arg-type]
    # The convolution's own tensor n holds negative values that its Relu takes away.
    assert "n" not in looked_at
    assert {"r", "m", "d"} <= set(looked_at)
