"""Plans under what the user settles, what the rules refuse, and what the override file carries of them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from awkward import awkward, save, uneven
from onnx import TensorProto, helper

from dlclint.cli.main import main

VERSIONS = ("0.6.1", "1.0.0", "2.0.0")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    status = main(["plan", "--isolated", *options])
    output = capsys.readouterr()
    assert output.err == ""
    return status, output.out


def planned(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    _, text = run(capsys, *options, "--format", "json")
    data: dict[str, Any] = json.loads(text)
    return data


def checked(capsys: pytest.CaptureFixture[str], line: str) -> list[dict[str, Any]]:
    words = shlex.split(line)
    assert words[:2] == ["dlclint", "check"]
    main(["check", "--isolated", "--format", "json", *words[2:]])
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["files"][0]["findings"]
    return rows


def reason(plan: dict[str, Any], topic: str) -> tuple[str, str]:
    """Choice and reason of a topic."""
    return next((row["choice"], row["reason"]) for row in plan["advice"] if row["topic"] == topic)


def test_errors_stand_first_and_are_those_of_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "relu"),
        helper.make_node("Det", ["a"], ["y"], "the <det>"),
        helper.make_node("Det", ["a"], ["z"], "other"),
    ]
    model = save("det.onnx", nodes, {"x": [1, 2, 3, 3], "y": [1, 2], "z": [1, 2]}, {})
    plan = planned(capsys, model, "--soc", "SM8650")
    (error,) = (row for row in plan["errors"] if row["rule"] == "ops/unsupported")
    assert (error["times"], error["where"]) == (2, "Det the <det>")
    said = checked(capsys, plan["check"])
    for key, severity in (("errors", "error"), ("warnings", "warning")):
        of_check = [
            f for f in said if f["severity"] == severity and f["rule"].split("/")[0] != "quantization"
        ]
        assert sum(row["times"] for row in plan[key]) == len(of_check)
    for form in ("rich", "markdown"):
        status, text = run(capsys, model, "--soc", "SM8650", "--format", form)
        assert status == 1
        assert text.index("check predicts") < text.index("ops/unsupported") < text.lower().index("settings")
        assert plan["check"] in text and "once the errors are fixed" in text
    assert "the \\<det\\>" in text


def test_a_plan_without_errors_does_not_mention_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save(
        "relu.onnx", [helper.make_node("Relu", ["x"], ["y"])], {"x": [1, 8, 4, 4], "y": [1, 8, 4, 4]}, {}
    )
    status, text = run(capsys, model, "--soc", "SM8650")
    assert status == 0
    assert "fail" not in text and "are fixed" not in text


@pytest.mark.parametrize(
    ("options", "choice", "said"),
    [
        (
            ["--weights-bitwidth", "4"],
            {"weights_bitwidth": 4, "act_bitwidth": 8},
            "given (--weights-bitwidth)",
        ),
        (
            ["--weights-bitwidth", "16"],
            {"weights_bitwidth": 16, "act_bitwidth": 16},
            "need 16-bit activations",
        ),
        (["--act-bitwidth", "16"], {"weights_bitwidth": 8, "act_bitwidth": 16}, "given (--act-bitwidth)"),
        (["--bias-bitwidth", "8"], {"bias_bitwidth": 8}, "given (--bias-bitwidth)"),
        (["--float-bias-bitwidth", "32"], {"float_bias_bitwidth": 32}, ""),
        (["--float", "--float-bitwidth", "16"], {"quantize": False, "float_bitwidth": 16}, "given (--float)"),
    ],
)
def test_what_is_settled_is_followed(
    options: list[str],
    choice: dict[str, Any],
    said: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    awkward(folder / "awkward.onnx")
    plan = planned(capsys, "awkward.onnx", "--soc", "SM8650", *options)
    assert choice.items() <= plan["choice"].items()
    assert said in " ".join(row["reason"] for row in plan["advice"])
    lines = " ".join(command["line"] for chain in plan["commands"].values() for command in chain)
    for name, bits in choice.items():
        if name == "float_bias_bitwidth":
            assert lines.count("--float_bias_bitwidth 32") == 2
        elif name != "quantize":
            assert lines.count(f"--{name} {bits}") == 2, name
    assert not plan["errors"]


def test_what_the_chip_refuses_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    awkward(folder / "awkward.onnx")
    plan = planned(capsys, "awkward.onnx", "--soc", "SM8450", "--weights-bitwidth", "16")
    assert [row["rule"] for row in plan["errors"]] == ["runtime/precision"]
    plan = planned(capsys, "awkward.onnx", "--runtime", "dsp", "--act-bitwidth", "16")
    assert [row["rule"] for row in plan["errors"]] == ["runtime/precision"]
    plan = planned(capsys, "awkward.onnx", "--runtime", "dsp", "--use-per-channel-quantization")
    assert plan["choice"]["per_channel"] and "AIMET" in reason(plan, "grid of convolutions")[1]


def test_a_configured_width_is_settled_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    awkward(folder / "awkward.onnx")
    Path("dlclint.toml").write_text(
        '[[models]]\npath = "*"\nweights-bitwidth = 4\nquantize = true\n', "utf-8"
    )
    assert main(["plan", "awkward.onnx", "--soc", "SM8650", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["choice"]["weights_bitwidth"] == 4


def test_four_bits_are_weighed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights of -1, 0 and 1 need no more than 4 bits; normal ones keep 14 dB."""
    generator = np.random.default_rng(1)
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    shapes = {"x": [1, 64, 4, 4], "y": [1, 64, 4, 4]}
    for name, weight in (
        ("ternary", generator.integers(-1, 2, (64, 64, 1, 1)).astype(np.float32)),
        ("normal", generator.normal(size=(64, 64, 1, 1)).astype(np.float32)),
    ):
        model = save(f"{name}.onnx", [node], shapes, {"w": weight})
        choice, why = reason(planned(capsys, model, "--soc", "SM8650"), "4-bit weights")
        assert choice == {"ternary": "worth a try", "normal": "no"}[name], why
        assert reason(planned(capsys, model, "--runtime", "dsp"), "4-bit weights")[0] == "no"
    plan = planned(capsys, "ternary.onnx", "--soc", "SM8650")
    assert "2.0 kB for 4.1 kB" in reason(plan, "4-bit weights")[1]


def entries_of(version: str, file: str) -> dict[str, Any]:
    """Activation entries by name, in any version; the legacy layout's list is opened."""
    whole = json.loads(Path(file).read_text("utf-8"))
    if version == "0.6.1":
        return {name: entry[0] for name, entry in whole["activation_encodings"].items()}
    return {
        entry["name"]: entry for entry in whole["encodings" if version == "2.0.0" else "activation_encodings"]
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("estimated", [False, True])
def test_the_file_carries_the_16_bits_of_the_plan(
    version: str, estimated: bool, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = uneven(1)
    options = ["--emit-overrides", "o.json", "--encodings-version", version]
    options += ["--estimated-activations"] * estimated
    plan = planned(capsys, model, "--soc", "SM8650", *options)
    assert plan["activations"]["wide_by_overrides"] == ["n0"]
    notes = " ".join(plan["notes"])
    entries = entries_of(version, "o.json")
    if estimated:
        assert entries.keys() == {f"n{i}" for i in range(12)}
        assert "12 activations with estimated ranges" in notes
        width = {"0.6.1": "bitwidth", "1.0.0": "bw", "2.0.0": "output_dtype"}[version]
        wanted = {"0.6.1": (16, 8), "1.0.0": (16, 8), "2.0.0": ("uint16", "uint8")}[version]
        assert (entries["n0"][width], entries["n1"][width]) == wanted
    elif version == "0.6.1":
        assert entries == {"n0": {"bitwidth": 16, "dtype": "int"}}
        assert "1 activation at 16 bits without a range" in notes
    else:
        assert not entries
        assert f"not written: the 16-bit entries of 1 activation, because {version} has no entry" in notes
    main(
        [
            "check",
            "--isolated",
            "--format",
            "json",
            "--select",
            "encodings,precision",
            "--encodings",
            "o.json",
            model,
        ]
    )
    files = json.loads(capsys.readouterr().out)["files"]
    assert not [finding for file in files for finding in file["findings"] if finding["severity"] != "info"]


def test_matrices_by_row_have_no_entry(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(2)
    weight = generator.normal(size=(32, 64)) * np.geomspace(1, 1e-3, 32)[:, None]
    nodes = [
        helper.make_node("Gemm", ["x", "rows"], ["a"], transB=1),
        helper.make_node("Gemm", ["a", "even"], ["y"], transB=1),
    ]
    even = generator.normal(size=(8, 32)).astype(np.float32)
    model = save(
        "rows.onnx", nodes, {"x": [1, 64], "y": [1, 8]}, {"rows": weight.astype(np.float32), "even": even}
    )
    plan = planned(capsys, model, "--soc", "SM8650", "--emit-overrides", "o.json")
    assert plan["choice"]["per_row"]
    assert json.loads(Path("o.json").read_text("utf-8"))["param_encodings"] == {}
    assert "--use_per_row_quantization quantizes them by row" in " ".join(plan["notes"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("bits", ["4", "8", "16"])
def test_a_widened_range_passes(
    bits: str, version: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A channel below the minimum range is widened to it, whatever is lost in rounding."""
    weight = np.array([0.5, -0.4, 2e-6, -1e-6], np.float32).reshape(2, 2, 1, 1)
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    model = save("m.onnx", nodes, {"x": [1, 2, 4, 4], "y": [1, 2, 4, 4]}, {"w": weight})
    emit = ["--emit-overrides", "o.json", "--encodings-version", version, "--weights-bitwidth", bits]
    planned(capsys, model, "--soc", "SM8650", *emit)
    main(["check", "--isolated", "--format", "json", "--select", "encodings", "--encodings", "o.json", model])
    files = json.loads(capsys.readouterr().out)["files"]
    assert not [finding for file in files for finding in file["findings"] if finding["severity"] != "info"]


def test_float_takes_no_encodings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    awkward(folder / "awkward.onnx")
    options = ["--soc", "SM8650", "--float", "--emit-overrides", "o.json"]
    assert main(["plan", "--isolated", "awkward.onnx", *options]) == 2
    assert "a float DLC was asked for" in capsys.readouterr().err
    assert not Path("o.json").exists()
    assert (
        main(["plan", "--isolated", "awkward.onnx", "--soc", "SM8650", "--float", "--act-bitwidth", "8"]) == 2
    )
    assert "float DLC has no such width" in capsys.readouterr().err


def test_what_is_stated_about_the_inputs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weight = np.random.default_rng(3).normal(size=(16, 8, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    model = save("m.onnx", nodes, {"x": [1, 8, 6, 6], "y": [1, 16, 4, 4]}, {"w": weight})
    emit = ["--emit-overrides", "o.json", "--estimated-activations"]
    plan = planned(capsys, model, "--soc", "SM8650", "--input-moments", "x", "0", "1", *emit)
    assert (plan["activations"]["estimated"], plan["activations"]["total"]) == (1, 1)
    assert reason(plan, "activations")[1].startswith(
        "taken alone, the one (of 1) whose range can be estimated does not fall below 20 dB"
    )
    assert entries_of("0.6.1", "o.json") == {}
    assert "not written: 1 activation without an estimate that rests on the model's own" in " ".join(
        plan["notes"]
    )
    assert planned(capsys, model, "--soc", "SM8650")["activations"]["estimated"] == 0
    for moments, said in (
        (["x", "0", "wide"], "give a mean and a standard deviation"),
        (["x", "0", "-1"], "give a mean and a standard deviation"),
        (["z", "0", "1"], "is not an input"),
    ):
        assert main(["plan", "--isolated", model, "--soc", "SM8650", "--input-moments", *moments]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1


@pytest.mark.parametrize("wide", [1, 12])
def test_ops_without_16_bits_keep_activations_at_8(
    wide: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """LRN has no 16-bit form on HTP: where it reads what wants 16 bits, and where most tensors do."""
    uneven(wide)
    model = onnx.load("uneven.onnx")
    model.graph.node.append(helper.make_node("LRN", ["n0"], ["y"], size=3))
    model.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 256, 4, 4]))
    onnx.save(model, "lrn.onnx")
    plan = planned(capsys, "lrn.onnx", "--soc", "SM8650")
    assert len(plan["activations"]["narrow"]) >= wide
    assert plan["choice"]["act_bitwidth"] == 8
    assert "n0" not in plan["activations"]["wide_by_overrides"]
    assert "LRN" in reason(plan, "activations")[1] and "16-bit form" in reason(plan, "activations")[1]
    assert planned(capsys, "uneven.onnx", "--soc", "SM8650")["choice"]["act_bitwidth"] == (
        16 if wide > 1 else 8
    )
