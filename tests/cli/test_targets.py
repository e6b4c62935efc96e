"""Options and configuration result in one target; a contradiction is one line and exit status 2."""

from __future__ import annotations

import itertools
import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from onnx import parser

from dlclint.cli.main import main
from dlclint.cli.main import parser as command_line
from dlclint.cli.targets import target_of
from dlclint.engine.config import ModelSection
from dlclint.target import DlcKind, Runtime, Target

RELU = '<ir_version: 8, opset_import: ["" : 12]> g (float[1,3] x) => (float[1,3] y) { y = Relu(x) }'


def target(*options: str, **section: object) -> Target:
    args = command_line().parse_args(["check", *options, "m.onnx"])
    return target_of(args, ModelSection(**section))  # type: ignore[arg-type]


def test_nothing_said() -> None:
    assert target() == Target()
    assert target().kind == DlcKind(False, 8, 8, 8, 32, False, False)


def test_every_documented_combination_of_widths() -> None:
    """80-63442-2 Rev BL, Tools: activations 8, 16; weights 4, 8, 16; bias 8, 32; floats 16, 32."""
    every = itertools.product((8, 16), (4, 8, 16), (8, 32), (16, 32), (None, 16, 32))
    for act, weights, bias, floats, float_bias in every:
        widths = ["--act-bitwidth", str(act), "--weights-bitwidth", str(weights)]
        widths += ["--bias-bitwidth", str(bias), "--float-bitwidth", str(floats)]
        widths += [] if float_bias is None else ["--float-bias-bitwidth", str(float_bias)]
        wanted = DlcKind(True, act, weights, bias, floats, False, True, float_bias)
        assert target("--quantize", *widths).kind == wanted
        assert (
            target(
                "--quantize", *(f"--{text[2:].replace('-', '_')}" if "-" in text else text for text in widths)
            ).kind
            == wanted
        )


def test_float_and_per_channel() -> None:
    assert target("--float").kind == DlcKind(stated=True)
    assert target("--float", "--float_bitwidth", "16").kind == DlcKind(float_bitwidth=16, stated=True)
    assert target("--quantize", "--use_per_channel_quantization").kind.per_channel


def test_runtimes_and_soc() -> None:
    parsed = target("--runtime", "HTP,cpu", "--runtime", "htp", "--soc", "8 Gen 3", "-n")
    assert parsed.runtimes == (Runtime.HTP, Runtime.CPU)
    assert parsed.soc is not None
    assert parsed.soc.name == "SM8650"
    assert not parsed.simplify
    assert parsed.means(Runtime.HTP)
    assert not parsed.means(Runtime.GPU)


def test_the_soc_narrows_what_is_considered() -> None:
    assert target("--soc", "sm8650").considered == (
        Runtime.CPU,
        Runtime.GPU,
        Runtime.GPU_FLOAT16,
        Runtime.HTP,
    )
    assert target("--soc", "865", "--runtime", "htp").considered == ()
    assert target().considered == tuple(Runtime)


def test_the_command_line_wins() -> None:
    wide = {"kind": {"float": True, "float_bias_bitwidth": 32}}
    assert target(**wide).kind.float_bias_bitwidth == 32
    assert target("--quantize", "--float-bias-bitwidth", "16", **wide).kind.float_bias_bitwidth == 16
    section = {"kind": {"quantize": True, "act_bitwidth": 16, "per_channel": True}, "socs": ("865",)}
    assert target(**section).kind == DlcKind(True, 16, per_channel=True, stated=True)
    assert target("--act-bitwidth", "8", **section).kind.act_bitwidth == 8
    assert target("--float", **section).kind == DlcKind(stated=True)
    assert target("--soc", "sm8650", **section).soc.name == "SM8650"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--soc", "sm865"], "--soc sm865: unknown SoC; did you mean SM8650 or SM8635 or 865?"),
        (["--soc", "XR2 Gen 2"], "several SoCs share that name; did you mean SXR2230P or SXR2250P?"),
        (["--soc", "zzz"], "--soc zzz: unknown SoC; `dlclint soc` lists them"),
        (["--float", "--quantize"], "--float and --quantize contradict each other; give one"),
        (["--act-bitwidth", "16"], "--act-bitwidth is an option of the quantizer; give --quantize too"),
        (["--float", "--bias_bitwidth", "8"], "--bias-bitwidth is an option of the quantizer; a float DLC"),
        (["--float", "--use-per-channel-quantization"], "--use-per-channel-quantization is an option of"),
        (["--float-bitwidth", "16"], "--float-bitwidth goes with --float, or with --quantize"),
        (["--float-bias-bitwidth", "16"], "--float-bias-bitwidth goes with --float, or with --quantize"),
        (
            ["--quantize", "--float_bias_bitwidth", "8"],
            "--float-bias-bitwidth 8: the quantizer takes 16 or 32",
        ),
        (["--quantize", "--float_bias_bw", "32"], "did you mean --float_bias_bitwidth?"),
        (["--quantize", "--act-bitwidth", "4"], "--act-bitwidth 4: the quantizer takes 8 or 16"),
        (["--quantize", "--weights-bitwidth", "int8"], "the quantizer takes 4, 8 or 16"),
        (["--quantize", "--bias-bitwidth", "16"], "--bias-bitwidth 16: the quantizer takes 8 or 32"),
        (["--float", "--float-bitwidth", "8"], "--float-bitwidth 8: the quantizer takes 16 or 32"),
        (["--quantize", "--bitwidth", "8"], "it is deprecated, give --act-bitwidth, --weights-bitwidth and"),
        (["--axis_quant"], "it is deprecated, give --use-per-channel-quantization"),
        (["--weight_bitwidth", "8"], "did you mean --weights_bitwidth?"),
        (["--quantise"], "unknown option --quantise of dlclint check; did you mean --quantize?"),
        (["--runtime", "hpt"], "unknown runtime 'hpt'; did you mean htp?"),
    ],
)
def test_one_line(
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.onnx").write_bytes(parser.parse_model(RELU).SerializeToString())
    try:
        status = main(["check", "--isolated", *options, "m.onnx"])
    except SystemExit as stop:
        status = stop.code  # type: ignore[assignment]
    output = capsys.readouterr()
    assert status == 2
    assert output.out == ""
    assert message in output.err
    assert output.err.startswith("dlclint: error: ")
    assert output.err.count("\n") == 1


def test_an_option_before_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--soc", "sm8650", "check", "m.onnx"]) == 2
    assert capsys.readouterr().err == "dlclint: error: --soc goes after a command: dlclint check --soc ...\n"


def test_configuration_is_checked_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.onnx").write_bytes(parser.parse_model(RELU).SerializeToString())
    config = Path("dlclint.toml")
    section = '[[models]]\npath = "*.onnx"\nsoc = "sm8650"\nquantize = true\nact-bitwidth = {}\n'
    config.write_text(section.format(16), "utf-8")
    assert main(["check", "--format", "json", "m.onnx"]) == 0
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert file["target"]["soc"]["name"] == "SM8650"
    assert file["target"]["kind"]["act_bitwidth"] == 16
    config.write_text(section.format(12), "utf-8")
    assert main(["check", "m.onnx"]) == 2
    assert "--act-bitwidth 12: the quantizer takes 8 or 16" in capsys.readouterr().err


CONV_22 = """<ir_version: 10, opset_import: ["" : 22]>
g (float[1,4,8,8] x, float[4,4,1,1] w) => (float[1,4,8,8] y) { a = Conv(x, w) y = Relu(a) }"""


def test_releases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Opset 22 from SDK 2.39 on, as the documents have it; a release says what an older one refuses."""
    monkeypatch.chdir(tmp_path)
    Path("m.onnx").write_bytes(parser.parse_model(CONV_22).SerializeToString())

    def said(*options: str) -> tuple[int, str, set[tuple[str, str]], list[str]]:
        status = main(["check", "--isolated", "--format", "json", *options, "m.onnx"])
        (file,) = json.loads(capsys.readouterr().out)["files"]
        rules = {(finding["rule"], finding["location"]["op"]) for finding in file["findings"]}
        return status, file["target"]["sdk"], rules, file["notes"]

    older = ["older releases of the SDK refuse opset 22 (before 2.39)"]
    for names, release, refused, notes in (
        (("2.35", "2.35.0.250530", "v2.35", "snpe-2025-06"), "2.35", True, []),
        (("2.38",), "2.38", True, []),
        (("2.39", "2.39.0.250926"), "2.39", False, older),
        (("2.47", "2.47.0.251014"), "2.47", False, older),
        (("qairt-2026",), "2.49", False, older),
        (("",), "2.52", False, older),
    ):
        for name in names:
            status, sdk, rules, lines = said(*(["--sdk", name] if name else []))
            assert (status, sdk, lines) == (int(refused), release, notes)
            assert (("model/opset-too-new", "") in rules) == refused
            assert (("ops/version-not-listed", "Conv") in rules) == refused  # the tables of 2.39 list Conv 22
            assert ("ops/version-not-listed", "Relu") in rules


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("9.9", "SDK 9.9 is not known; the nearest is 2.52, known are 2.21 to 2.52"),
        ("2.5", "SDK 2.5 is not known; the nearest is 2.21, known are 2.21 to 2.52"),
        ("newest", "this names no release; known are 2.21 to 2.52, their build numbers, and snpe-2025-06"),
        ("2.", "this names no release"),
        ("2.39.0.250926.1.1", "this names no release"),
        ("2.39\n", "this names no release"),
    ],
)
def test_unknown_releases(name: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(parser.parse_model(RELU).SerializeToString())
    equalize = ["equalize", "-o", str(tmp_path / "out.onnx")]
    asked = [["confirm"]] if find_spec("onnxruntime_qnn") else []
    for command in (["check"], ["plan"], ["fix"], *asked, equalize, ["simulate"]):
        assert main([*command, "--sdk", name, str(path)]) == 2
        assert says in capsys.readouterr().err
    assert main(["ops", "--sdk", name]) == 2
    assert says in capsys.readouterr().err
    configuration = tmp_path / "dlclint.toml"
    configuration.write_text(f'[[models]]\npath = "*"\nsdk = {json.dumps(name)}\n', "utf-8")
    assert main(["check", "--config", str(configuration), str(path)]) == 2
    assert says in capsys.readouterr().err


def test_the_configuration_names_the_release(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, configuration = tmp_path / "m.onnx", tmp_path / "dlclint.toml"
    path.write_bytes(parser.parse_model(CONV_22).SerializeToString())
    configuration.write_text('[[models]]\npath = "*"\nsdk = "2.35"\n', "utf-8")
    command = ["check", "--config", str(configuration), "--format", "concise"]
    assert main([*command, str(path)]) == 1
    assert main([*command, "--sdk", "2.39", str(path)]) == 0
    capsys.readouterr()


def test_ops_says_since_when(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ops", "Conv"]) == 0
    shown = capsys.readouterr().out
    assert "listed versions: 1, 11, 22 (since SDK 2.39)" in shown
    assert "htp since SDK 2.44: 16-bit activations with 4-bit weights; SDK 2.52 has it" in shown
    assert main(["ops", "Conv", "--sdk", "2.35"]) == 0
    shown = capsys.readouterr().out
    assert "listed versions: 1, 11\n" in shown
    assert "16-bit activations with 4-bit weights; SDK 2.35 does not have it" in shown
    assert main(["ops", "ScatterElements", "--sdk", "2.47"]) == 0
    assert "htp since SDK 2.46 to 2.49: on int32 the reductions" in capsys.readouterr().out
    assert main(["ops", "groupqueryattention"]) == 0
    assert capsys.readouterr().out.startswith("GroupQueryAttention\n  not in 80-63442-2 Rev BL")
