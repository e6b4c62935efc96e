"""Equalizing whole models: the function stays, a second run changes nothing, odd weights are left alone."""

from __future__ import annotations

import json
import random as pick
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from networks import Network, initializers, pair, relative, run
from onnx import numpy_helper

from dlclint.analysis.cle.absorption import HighBias
from dlclint.cli.main import main
from dlclint.engine.equalize import EqualizedDiffers, Options, QuantizedAlready, Relu6, write_equalized

pytest.importorskip("onnxruntime")
EXTENDED = Options(extended=True)


def random_network(seed: int, spread: float) -> Network:
    """A chain of convolutions of every kind, with what may lie between."""
    choose, random = pick.Random(seed), np.random.default_rng(seed)
    channels = choose.choice([1, 2, 4])
    network = Network(channels)
    for _ in range(choose.randint(2, 5)):
        kind = choose.choice(["dense", "grouped", "depthwise", "transposed"])
        outputs = channels if kind == "depthwise" else 2 * choose.randint(1, 4)
        group = {"depthwise": channels, "grouped": 2 if channels > 1 else 1}.get(kind, 1)
        attributes: dict[str, Any] = {"pads": [1] * 4} if choose.random() < 0.5 else {}
        network.conv(
            random, outputs, channels, 3 if attributes else 1, group, spread,
            bias=choose.random() < 0.5, norm=choose.random() < 0.6, transposed=kind == "transposed",
            **attributes,
        )  # fmt: skip
        channels = outputs
        between = choose.choice(["", "Relu", "LeakyRelu", "PRelu", "MaxPool", "Pad", "Sigmoid"])
        if between == "PRelu":
            network.add(between, network.value(random.random((channels, 1, 1))))
        elif between == "MaxPool":
            network.add(between, kernel_shape=[2, 2], pads=[0, 0, 1, 1])
        elif between == "Pad":
            network.add(between, "pads")
            network.values["pads"] = np.array([0, 0, 1, 1, 0, 0, 0, 0])
        elif between:
            network.add(between)
    return network


@example(104880, 1.0)
@given(st.integers(0, 2**32 - 1), st.floats(0, 2.5))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_outputs_stay_and_a_second_run_changes_nothing(tmp_path: Path, seed: int, spread: float) -> None:
    network = random_network(seed, spread)
    source, once, twice = network.save(tmp_path), tmp_path / "once.onnx", tmp_path / "twice.onnx"
    outcome = write_equalized(source, once, EXTENDED)
    assert outcome.unconverged == 0
    feed = np.random.default_rng(0).standard_normal((1, network.channels, 8, 8)).astype(np.float32)
    before = run(source, feed)
    if np.abs(before).max() > 1e-30:
        # A Sigmoid after large numbers that cancel magnifies rounding, whoever rounds: what a change of the
        # input in its last bits does is allowed.
        rounding = relative(before, run(source, feed * np.float32(1 + 1e-6)))
        assert relative(before, run(once, feed)) < max(1e-4, 10 * rounding)
    again = write_equalized(once, twice, EXTENDED)
    assert not again.changed
    assert once.read_bytes() == twice.read_bytes()
    onnx.checker.check_model(once)


def test_threads_and_pieces_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = random_network(11, 1.5).save(tmp_path)
    outcome = write_equalized(source, tmp_path / "once.onnx", EXTENDED)
    assert outcome.changed
    monkeypatch.setattr("dlclint.analysis.weights.reading.WORTH_THREADS", 1)
    monkeypatch.setattr("dlclint.analysis.weights.reading._cores", lambda: 3)
    write_equalized(source, tmp_path / "threads.onnx", EXTENDED)
    assert (tmp_path / "threads.onnx").read_bytes() == (tmp_path / "once.onnx").read_bytes()
    monkeypatch.setattr("dlclint.analysis.cle.cells._PIECE", 1)
    pieces = write_equalized(source, tmp_path / "pieces.onnx", EXTENDED)
    for row, other in zip(outcome.layers, pieces.layers, strict=True):
        assert row.chain_sqnr_after == pytest.approx(other.chain_sqnr_after, abs=1e-3)
    for name, values in initializers(tmp_path / "once.onnx").items():
        np.testing.assert_allclose(initializers(tmp_path / "pieces.onnx")[name], values, rtol=1e-4)


def bottleneck(spread: float = 1.5, norm: bool = True, activation: str = "Relu") -> Network:
    random = np.random.default_rng(1)
    network = Network(4).conv(random, 16, 4, spread=spread, norm=norm)
    network.add(activation) if activation else None
    network.conv(random, 16, 16, 3, 16, spread, norm=norm, pads=[1] * 4)
    network.add(activation) if activation else None
    return network.conv(random, 8, 16, spread=spread, norm=norm)


def test_weights_rise_out_of_the_noise(tmp_path: Path) -> None:
    outcome = write_equalized(bottleneck().save(tmp_path), tmp_path / "o.onnx", Options(runs=20))
    assert (outcome.pairs, len(outcome.layers), outcome.left_alone) == (2, 3, ())
    before = min(row.chain_sqnr_before for row in outcome.layers)
    after = min(row.chain_sqnr_after for row in outcome.layers)
    assert after > before + 6
    assert outcome.checked is not None
    assert outcome.checked.runs == 20
    assert outcome.checked.largest_relative < 1e-4


def test_batchnorm_stays_and_takes_the_factors(tmp_path: Path) -> None:
    """Every node and name survives, the first weight unchanged: its scale is in gamma and beta."""
    source = bottleneck().save(tmp_path)
    write_equalized(source, tmp_path / "o.onnx", Options())
    before, after = onnx.load(source), onnx.load(tmp_path / "o.onnx")
    assert before.graph.node == after.graph.node
    old, new = initializers(source), initializers(tmp_path / "o.onnx")
    assert old.keys() == new.keys()
    changed = {name for name in old if not np.array_equal(old[name], new[name])}
    # Of each of the three convolutions: weight, gamma, beta, mean, variance.
    assert changed == {"v1", "v2", "v5", "v6", "v7", "v10"}


def test_an_output_next_to_another_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = bottleneck().save(tmp_path), tmp_path / "o.onnx"
    output.write_bytes(b"precious")
    monkeypatch.setattr(
        "dlclint.verify.RELATIVE", {"float32": 0.0}
    )  # the slightest rounding now counts as another function
    with pytest.raises(EqualizedDiffers, match="something else"):
        write_equalized(source, output, Options(runs=1))
    assert output.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "o.onnx"]


def linear_pair(pads: list[int], activation: bool, gamma: float = 1.0, norm: bool = True) -> Network:
    """A pair whose first batch normalization has a mean of 10 in every channel."""
    random = np.random.default_rng(2)
    network = Network(3).conv(random, 6, 3)
    norms = [np.full(6, gamma), np.full(6, 10.0), np.zeros(6), np.ones(6)]
    network.add("BatchNormalization", *map(network.value, norms))
    if activation:
        network.add("Relu")
    return network.conv(random, 6, 6, 3, norm=norm, pads=pads)


ABSORPTIONS = [
    # activation, pads, gamma, how -> channels absorbed, whether the function stays
    (False, 0, 1.0, HighBias.EXACT, 6, True),
    (False, 1, 1.0, HighBias.EXACT, 0, True),
    (True, 0, 1.0, HighBias.EXACT, 0, True),
    (True, 0, 0.0, HighBias.EXACT, 6, True),
    (True, 0, 1.0, HighBias.ABSORB, 6, False),
    (True, 1, 1.0, HighBias.ABSORB, 0, True),
    (True, 0, 4.0, HighBias.ABSORB, 0, True),
    (False, 0, 1.0, HighBias.KEEP, 0, True),
]


@pytest.mark.parametrize("norm", [True, False], ids=["norm", "no norm"])
@pytest.mark.parametrize(("activation", "pad", "gamma", "how", "channels", "same"), ABSORPTIONS)
def test_high_bias(
    tmp_path: Path,
    activation: bool,
    pad: int,
    gamma: float,
    how: HighBias,
    channels: int,
    same: bool,
    norm: bool,
) -> None:
    source = linear_pair([pad] * 4, activation, gamma, norm).save(tmp_path)
    output = tmp_path / "o.onnx"
    outcome = write_equalized(source, output, Options(high_bias=how))
    assert outcome.absorbed == channels
    feed = 20 * np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    assert (relative(run(source, feed), run(output, feed)) < 1e-4) is same
    if channels:
        beta = initializers(output)["v2"]
        left = 0.0 if how is HighBias.EXACT else 3.0 * np.abs(initializers(output)["v1"])
        np.testing.assert_allclose(beta, left, rtol=1e-5)
    assert not write_equalized(output, tmp_path / "p.onnx", Options(high_bias=how)).changed


def test_relu6_is_kept_unless_asked(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    network = Network(3).conv(random, 6, 3, spread=1.5)
    network.add("Clip", network.value(np.array(0.0), "low"), network.value(np.array(6.0), "high"))
    source = network.conv(random, 4, 6, spread=1.5).save(tmp_path)
    output = tmp_path / "o.onnx"
    kept = write_equalized(source, output, Options())
    assert not kept.changed
    assert [left.reason for left in kept.left_alone] == ["ReLU6 lies between, which does not scale"]
    replaced = write_equalized(source, output, Options(relu6=Relu6.ANYWAY, runs=1))
    assert (replaced.relu6_replaced, replaced.left_alone) == (1, ())
    model = onnx.load(output)
    assert [node.op_type for node in model.graph.node] == ["Conv", "Relu", "Conv"]
    assert [len(node.input) for node in model.graph.node] == [2, 1, 2]
    assert not {"low", "high"} & initializers(output).keys()
    onnx.checker.check_model(output)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = bottleneck().save(tmp_path), tmp_path / "o.onnx"
    command = ["equalize", str(source), "-o", str(output), "--verify", "2"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "3 of 3 convolutions: 2 pairs in 1 chain" in said
    assert "compared on 2 random inputs: largest difference" in said
    assert main([*command, "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    validate(report)
    assert report["pairs"] == 2
    assert report["checked"]["runs"] == 2
    assert [row["node"] for row in report["layers"]] == ["Conv_0", "Conv_3", "Conv_6"]


def test_open_dimensions_are_given_as_to_the_converter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The network takes one height only, which none of those is that are tried unasked."""
    random = np.random.default_rng(7)
    network = Network(3).conv(random, 4, 3, spread=1.0).add("Relu").conv(random, 2, 4, spread=1.0)
    network.add("Reshape", "shape")
    model = network.model()
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 2, 320, 8]), "shape"))
    height = model.graph.input[0].type.tensor_type.shape.dim[2]
    height.Clear()
    height.dim_param = "height"
    source, output = tmp_path / "m.onnx", tmp_path / "o.onnx"
    onnx.save(model, source)
    command = ["equalize", str(source), "-o", str(output), "--verify", "2"]
    assert main(command) == 1
    assert "give the sizes of its inputs with -d or -s" in capsys.readouterr().err
    assert not output.exists()
    for more in (["-d", "x", "1,3,320,8"], ["-s", "height", "320"]):
        assert main([*command, *more]) == 0
        assert "compared on 2 random inputs" in capsys.readouterr().out
        assert onnx.load(output).graph.input[0] == model.graph.input[0]
        output.unlink()
    assert main([*command, "-d", "y", "1,3,320,8"]) == 2
    assert "--input-dim names 'y', which is not an input of the model" in capsys.readouterr().err
    assert main([*command, "-d", "x", "320"]) == 1
    assert main([*command[:-2], "-d", "x", "320"]) == 0
    assert "note: --input-dim gives 'x' 1 dimension, the model declares 4" in capsys.readouterr().out


def validate(report: object) -> None:
    schema = json.loads(files("dlclint_schemas").joinpath("equalize-v1.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(report)


def test_report_of_weights_without_noise_and_pairs_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights that lie on the grid have no noise: a ratio that JSON has no number for."""
    exact = pair(w1=np.full((4, 2, 1, 1), 1.0), w2=np.full((3, 4, 1, 1), 1.0))
    for network in (exact, pair(w1=np.full((4, 2, 1, 1), np.nan))):
        source = network.save(tmp_path)
        assert main(["equalize", str(source), "-o", str(tmp_path / "o.onnx"), "--format", "json"]) == 0
        validate(json.loads(capsys.readouterr().out))


def test_four_reasons_are_listed_at_most(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = Network(2)
    for _ in range(7):
        network.add("Conv", network.value(np.full((2, 2, 1, 1), np.nan))).add("MaxPool", kernel_shape=[1, 1])
        network.add("Conv", network.value(np.ones((2, 2, 1, 1)))).add("Softmax")
    source = network.save(tmp_path)
    assert main(["equalize", str(source), "-o", str(tmp_path / "o.onnx")]) == 0
    assert "--extended finds 7 pairs more" in capsys.readouterr().out
    assert main(["equalize", str(source), "-o", str(tmp_path / "o.onnx"), "--extended"]) == 0
    said = capsys.readouterr().out
    assert said.count("holds NaN") == 4
    assert "left alone for reasons of their own: 3 pairs" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent.onnx", "-o", "o.onnx"], "absent.onnx does not exist"),
        (["text.onnx", "-o", "o.onnx"], "the file is text, not an ONNX model"),
        (["m.onnx", "-o", "nowhere/o.onnx"], "nowhere is not a folder"),
        (["m.onnx", "-o", "."], ". is a folder"),
        (["m.onnx", "-o", "o.onnx", "--verify", "-1"], "give a number of at least 1"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    bottleneck().save(tmp_path)
    Path("text.onnx").write_text("not a model\n")
    assert main(["equalize", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "text.onnx"]


@pytest.mark.parametrize("seed", range(12))
def test_no_chain_is_left_worse_than_it_was(seed: int, tmp_path: Path) -> None:
    """Some of these networks have pairs that would lose; those are refused, with the number."""
    random = np.random.default_rng(seed)
    network = Network(3)
    for inputs, outputs in ((3, 8), (8, 4), (4, 8), (8, 5)):
        network.conv(random, outputs, inputs, spread=(seed % 4) * 0.2).add("Relu")
    outcome = write_equalized(network.save(tmp_path), tmp_path / "o.onnx", Options())
    for chain in {row.chain for row in outcome.layers}:
        rows = [row for row in outcome.layers if row.chain == chain]
        before = sum(10 ** (-row.chain_sqnr_before / 10) for row in rows)
        after = sum(10 ** (-row.chain_sqnr_after / 10) for row in rows)
        assert after <= before * 10 ** (0.05 / 10)


def test_a_pair_that_would_lose_is_left_alone(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    source = Network(3).conv(random, 2, 3).add("Relu").conv(random, 8, 2).save(tmp_path)
    outcome = write_equalized(source, tmp_path / "o.onnx", Options())
    assert not outcome.changed
    assert "dB less at 8 bits together" in outcome.left_alone[0].reason
    assert outcome.verdict == "nothing was equalized"
    assert (tmp_path / "o.onnx").read_bytes() == source.read_bytes()


def test_quantized_models_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    text = """<ir_version: 8, opset_import: ["": 13]> g (float[1] x) => (float[1] y)
      <float s = {0.1}, uint8 z = {1}> {
      q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z) }"""
    onnx.save(onnx.parser.parse_model(text), path)
    with pytest.raises(QuantizedAlready, match="encodings extract"):
        write_equalized(path, tmp_path / "o.onnx", Options())
