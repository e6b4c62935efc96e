"""Plans: whole outputs, options that exist, and override files that pass every rule."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import onnx
import pytest
from awkward import awkward, uneven

from dlclint.analysis.plan.commands import command
from dlclint.cli.main import main
from dlclint_schemas.quantization import tool_options
from dlclint_schemas.releases import option_times

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
SAMPLES = Path(__file__).parents[2].parent / "shared" / "samples" / "models"
SNAPSHOTS = Path(__file__).parents[1] / "snapshots"
FAILING = {"attention_past_state", "silero_vad_16k_op15", "yunet_n_dynamic", "ultraface_rfb_320"}
"""Samples that `check` has errors for with overrides, or because dimensions are left open."""
VERSIONS = ("0.6.1", "1.0.0", "2.0.0")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    awkward(tmp_path / "awkward.onnx")
    return "awkward.onnx"


def planned(capsys: pytest.CaptureFixture[str], *options: str, fails: bool = False) -> str:
    assert main(["plan", "--isolated", *options]) == int(fails)
    output = capsys.readouterr()
    assert output.err == ""
    return output.out


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plan.rich.txt", ["--soc", "SM8650"]),
        ("plan.markdown.txt", ["--soc", "SM8250", "--format", "markdown"]),
        ("plan.json.txt", ["--runtime", "htp", "--format", "json", "-d", "x", "1,8,4,4"]),
        ("plan.float.txt", ["--soc", "SM8650", "--runtime", "gpu"]),
    ],
)
def test_whole_output(
    name: str,
    options: list[str],
    model: str,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    text = planned(capsys, model, *options)
    snapshot = SNAPSHOTS / name
    if request.config.getoption("--update-snapshots"):
        snapshot.write_text(text, "utf-8")
    assert text == snapshot.read_text("utf-8")


def test_json_follows_its_schema(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(files("dlclint_schemas").joinpath("plan-v1.schema.json").read_bytes())
    whole = json.loads(planned(capsys, model, "--soc", "SM8650", "--format", "json"))
    jsonschema.validate(whole, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**whole, "more": 1}, schema)


def test_options_are_on_the_tools_page_and_agree(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    for soc in ("SM8650", "SM8250", "QCM4490"):
        whole = json.loads(
            planned(capsys, model, "--soc", soc, "--format", "json", *_emitting(soc, "o.json"))
        )
        for planned_command in (
            planned_command for chain in whole["commands"].values() for planned_command in chain
        ):
            rows = tool_options(planned_command["tool"])
            names = [option[0] for option in planned_command["options"]]
            for name, *values in planned_command["options"]:
                if name in option_times(planned_command["tool"]):
                    continue  # a newer page than the one that was read whole has it
                row = rows[name]
                assert not row.get("deprecated"), name
                assert bool(values) == row["takes_value"], name
                allowed = row.get("allowed_values")
                if isinstance(allowed, tuple) and len(values) == 1:
                    assert values[0] in map(str, allowed), name
                assert not set(row.get("conflicts_with", ())) & set(names), name
                assert all(need in names for need in row.get("requires", ()) if need.startswith("--")), name
    with pytest.raises(KeyError, match="--htp_soc"):
        command("snpe-dlc-graph-prepare", ("--htp_soc", "sm8650"))


def _emitting(soc: str, path: str) -> list[str]:
    return [] if soc == "QCM4490" else ["--emit-overrides", path]


def _judged(model: Path | str, overrides: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    main(
        [
            *("check", "--isolated", "--format", "json", "--select", "encodings,precision"),
            *("--encodings", overrides, str(model)),
        ]
    )
    files = json.loads(capsys.readouterr().out)["files"]
    return [finding for file in files for finding in file["findings"]]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("soc", ["SM8650", "SM8250"])
def test_overrides_pass_every_rule(
    version: str, soc: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    emit = ["--emit-overrides", "o.json", "--encodings-version", version, "--estimated-activations"]
    planned(capsys, model, "--soc", soc, *emit)
    reasons = _judged(model, "o.json", capsys)
    assert {finding["severity"] for finding in reasons} == {"info"}
    assert {finding["rule"] for finding in reasons} == {"encodings/coverage", "precision/bias-bits"}


def test_overrides_hold_what_the_weights_say(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    planned(capsys, model, "--soc", "SM8650", "--emit-overrides", "o.json", "--estimated-activations")
    whole = json.loads(Path("o.json").read_text("utf-8"))
    params = whole["param_encodings"]
    lengths = {name: len(entries) for name, entries in params.items()}
    assert lengths == {
        **dict.fromkeys(("shared", "grouped", "depthwise", "up", "constant", "zero"), 8),
        **dict.fromkeys(("one", "gemm", "matrix", "half"), 1),
    }
    for name, entries in params.items():
        assert all(entry["offset"] == -128 and entry["is_symmetric"] == "True" for entry in entries), name
        assert all(entry["scale"] > 0 for entry in entries), name
    # A folded normalization of -2 / sqrt(4 + 1e-5) turns the weight's range round; the same weight is
    # read without one as well, so the range covers both.
    array = onnx.numpy_helper.to_array(
        next(tensor for tensor in onnx.load(model).graph.initializer if tensor.name == "shared")
    )
    for channel, entry in enumerate(params["shared"]):
        largest = abs(array[channel]).max()
        assert entry["min"] <= -largest * 0.9999 and entry["max"] >= largest * 0.99
    assert whole["activation_encodings"].keys() == {"c", "d", "f", "g", "h", "i", "j", "k", "y"}
    # A Softmax has the range 0 to 1 in steps of 1/256, as on HTP.
    assert whole["activation_encodings"]["y"][0]["max"] == pytest.approx(255 / 256)


@pytest.mark.parametrize(
    "path",
    # What is quantized in the model already gets no second set of encodings (test_kept).
    [path for path in sorted(SAMPLES.glob("*.onnx")) if "qdq" not in path.stem],
    ids=lambda path: path.stem,
)
@pytest.mark.parametrize("version", VERSIONS)
def test_overrides_of_real_models(
    path: Path, version: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "o.json")
    emit = ["--emit-overrides", out, "--encodings-version", version, "--estimated-activations"]
    planned(capsys, str(path), "--soc", "SM8650", *emit, fails=path.stem in FAILING)
    assert {finding["severity"] for finding in _judged(path, out, capsys)} <= {"info"}


@pytest.mark.parametrize("name", ["light_resnet50", "light_shufflenet", "light_densenet121"])
def test_light_networks(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads(planned(capsys, str(LIGHT / f"{name}.onnx"), "--soc", "SM8550", "--format", "json"))
    assert whole["activations"]["estimated"] > 0.5 * whole["activations"]["total"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "give --soc"),
        (["--soc", "QCM4490", "--runtime", "htp"], "none of the runtimes"),
        (["--soc", "SM8650", "--runtime", "htp", "--runtime", "gpu"], "give --runtime once"),
        (["--soc", "SM8650", "--estimated-activations"], "goes with --emit-overrides"),
        (["--soc", "SM8650", "--runtime", "gpu", "--emit-overrides", "o.json"], "float DLC"),
        (["--soc", "SM8650", "--emit-overrides", "absent/o.json"], "cannot write"),
        (["--soc", "SM8650", "-o", "absent/plan.md"], "cannot write"),
    ],
)
def test_what_cannot_be_done(
    options: list[str], said: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--isolated", model, *options]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


@pytest.mark.parametrize("options", [["--runtime", "cpu"], ["--soc", "SM8650", "--float"]])
def test_an_override_file_that_a_float_dlc_does_not_take(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The plan says so; without the file the converter simplifies, so that shape arithmetic folds."""
    model, overrides = tmp_path / "m.onnxtxt", tmp_path / "kept.encodings"
    model.write_text(
        '<ir_version: 8, opset_import: ["" : 13]> g (float[1,3,4,4] x) => (float[a,b] y)'
        " <int64[1] zero = {0}, int64[1] rest = {-1}>"
        " { s = Shape(x) p = Gather(s, zero) w = Concat<axis = 0>(p, rest) y = Reshape(x, w) }"
    )
    overrides.write_text('{"activation_encodings": {}, "param_encodings": {}}')
    text = planned(capsys, str(model), "--encodings", str(overrides), *options)
    assert f"{overrides} is not used: a DLC that stays float takes no encodings" in text.replace("\n  ", " ")
    assert "--quantization_overrides" not in text and "predicts" not in text


def test_what_is_not_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("no model", "utf-8")
    for path in (text, tmp_path, tmp_path / "absent.onnx"):
        assert main(["plan", "--isolated", str(path), "--soc", "SM8650"]) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("wide", "bits"), [(1, {"n0": 16, "n1": 8}), (12, {"n0": 16, "n1": 16})])
def test_activations_that_8_bits_do_not_suit(
    wide: int, bits: dict[str, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = uneven(wide, str(tmp_path / "m.onnx")), tmp_path / "o.json"
    emit = ["--format", "json", "--emit-overrides", str(out), "--estimated-activations"]
    for soc, most in (("SM8650", bits), ("SM8250", dict.fromkeys(bits, 8))):
        whole = json.loads(planned(capsys, path, "--soc", soc, *emit))
        assert len(whole["activations"]["narrow"]) == wide
        assert whole["choice"]["act_bitwidth"] == min(most.values())
        written = json.loads(out.read_text("utf-8"))["activation_encodings"]
        assert {name: written[name][0]["bitwidth"] for name in most} == most
        row = whole["activations"]["narrow"][0]
        assert (row["estimated_min"], row["estimated_max"]) == (-6000.0, 6000.0)
        # 256 channels share the power of one: 37.4 dB of a normal one less 24.1 dB.
        assert row["db_at_8_bits"] == pytest.approx(13.3, abs=0.1)
