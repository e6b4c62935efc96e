"""What a user decides: severities, thresholds, exclusion, nearest configuration, baseline, suppression."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from onnx import ModelProto, helper, numpy_helper, parser

from dlclint.cli.jobs import config_of
from dlclint.cli.main import main
from dlclint.engine.config import ConfigError, load_config
from dlclint.server.configuration import schema

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MODEL = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,3] x) => (float[1] y, float[1,3,3] z) { y = Det(x) z = Relu(x) }"""


def model(text: str = MODEL) -> ModelProto:
    return parser.parse_model(text)


def save(path: Path, proto: ModelProto | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((proto or model()).SerializeToString())
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dlclint.toml").write_text("")
    return tmp_path


def check(capsys: pytest.CaptureFixture[str], *words: str, status: int = 1) -> list[dict[str, Any]]:
    assert main(["check", "--format", "json", *words]) == status
    files: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["files"]
    return files


def severities(file: dict[str, Any]) -> dict[str, str]:
    return {finding["rule"]: finding["severity"] for finding in file["findings"]}


def test_severity_by_rule_and_family(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(here / "m.onnx")
    (before,) = check(capsys, "m.onnx")
    assert severities(before) == {"ops/unsupported": "error", "ops/version-not-listed": "info"}
    (here / "dlclint.toml").write_text('[severity]\nops = "info"\n"ops/version-not-listed" = "error"\n')
    (after,) = check(capsys, "m.onnx")
    assert severities(after) == {"ops/unsupported": "info", "ops/version-not-listed": "error"}
    (here / "dlclint.toml").write_text('[severity]\nops = "off"\n')
    (off,) = check(capsys, "m.onnx", status=0)
    assert off["findings"] == []
    # The verdict depends on what the rules report, whatever they are called.
    for key in ("verdict", "support"):
        assert before[key] == after[key] == off[key]
    (here / "dlclint.toml").write_text('[severity]\nunsuported = "error"\n')
    assert main(["check", "m.onnx"]) == 2
    assert "unknown rule or family 'unsuported'" in capsys.readouterr().err


def test_thresholds(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proto = model(
        """<ir_version: 8, opset_import: ["" : 12]>
        g (float[1,4,8,8] x) => (float[1,4,8,8] y) { y = Conv<kernel_shape = [1, 1]>(x, w) }"""
    )
    weights = np.random.default_rng(1).normal(size=(4, 4, 1, 1)).astype(np.float32)
    weights *= np.array([1, 1e-3, 1e-3, 1e-3], np.float32).reshape(4, 1, 1, 1)
    proto.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    save(here / "m.onnx", proto)
    options = ("--runtime", "htp", "--quantize", "--select", "quantization/channel-spread", "m.onnx")
    assert severities(check(capsys, *options, status=0)[0])
    (here / "dlclint.toml").write_text("[thresholds]\nchannel_spread_gain = 200\n")
    assert not severities(check(capsys, *options, status=0)[0])
    (here / "dlclint.toml").write_text("[thresholds]\nchannel_spread_gian = 200\n")
    assert main(["check", "m.onnx"]) == 2
    assert "did you mean channel_spread_gain?" in capsys.readouterr().err


def linted_files(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["check", "--show-files", *words]) == 0
    return capsys.readouterr().out.split()


def test_what_a_search_leaves_out(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = (
        "a.onnx", "old/b.onnx", "old/kept.onnx", "build/c.onnx", "sub/d.onnx", "sub/e.onnx",
        ".venv/x.onnx", "node_modules/p/x.onnx", ".git/x.onnx",
    )  # fmt: skip
    for name in names:
        save(here / name)
    assert linted_files(capsys, ".") == [
        "a.onnx",
        "build/c.onnx",
        "old/b.onnx",
        "old/kept.onnx",
        "sub/d.onnx",
        "sub/e.onnx",
    ]
    (here / ".gitignore").write_text("build/\n")
    (here / "sub" / ".gitignore").write_text("*.onnx\n!e.onnx\n")
    assert linted_files(capsys, ".") == ["a.onnx", "old/b.onnx", "old/kept.onnx", "sub/e.onnx"]
    (here / "dlclint.toml").write_text('exclude = ["old/*", "!old/kept.onnx"]\n')
    assert linted_files(capsys, ".") == ["a.onnx", "old/kept.onnx", "sub/e.onnx"]
    # From another folder, and one named by itself.
    assert linted_files(capsys, "sub") == ["sub/e.onnx"]
    assert linted_files(capsys, "old/b.onnx") == ["old/b.onnx"]
    (here / "dlclint.toml").write_text("respect-gitignore = false\n")
    assert "sub/d.onnx" in linted_files(capsys, ".") and "build/c.onnx" in linted_files(capsys, ".")
    assert main(["check", ".venv/nothing"]) == 2


def test_the_nearest_configuration_holds(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(here / "a.onnx")
    save(here / "sub" / "b.onnx")
    (here / "dlclint.toml").write_text('ignore = ["ops/version-not-listed"]\n')
    (here / "sub" / "dlclint.toml").write_text('ignore = ["ops/unsupported"]\n')
    a, b = check(capsys, ".")
    assert set(severities(a)) == {"ops/unsupported"} and set(severities(b)) == {"ops/version-not-listed"}
    (here / "sub" / "dlclint.toml").write_text('extend = "../dlclint.toml"\nignore = ["ops/unsupported"]\n')
    assert severities(check(capsys, ".")[1]) == {}
    assert set(severities(check(capsys, "--config", "dlclint.toml", ".")[1])) == {"ops/unsupported"}
    assert len(severities(check(capsys, "--isolated", ".")[1])) == 2


def test_each_run_reads_what_is_next_to_a_model_again(here: Path) -> None:
    (here / "sub").mkdir()
    nothing_given = argparse.Namespace(isolated=False, config=None)
    for ignored in ("ops/unsupported", "ops/version-not-listed"):
        (here / "sub" / "dlclint.toml").write_text(f'ignore = ["{ignored}"]\n')
        assert config_of(nothing_given).beside(here / "sub" / "b.onnx").ignore == (ignored,)
    (here / "sub" / "dlclint.toml").unlink()
    assert config_of(nothing_given).beside(here / "sub" / "b.onnx").ignore == ()


def test_what_extend_adds_up_to(here: Path) -> None:
    (here / "base.toml").write_text(
        'fail-on = "warning"\nselect = ["ops"]\nignore = ["cle"]\n[severity]\nops = "info"\nmodel = "error"\n'
        '[[models]]\npath = "*"\nsoc = "SM8550"\n'
    )
    (here / "sub").mkdir()
    child = here / "sub" / "dlclint.toml"
    child.write_text(
        'extend = "../base.toml"\nignore = ["htp"]\nselect = ["model"]\n[severity]\nops = "error"\n'
    )
    config = load_config(child)
    assert (config.select, config.ignore, config.fail_on) == (("model",), ("cle", "htp"), "warning")
    assert {name: word.value for name, word in config.severities.items()} == {
        "ops": "error",
        "model": "error",
    }
    assert config.section_for(Path("x.onnx")).socs == ("SM8550",)
    (here / "base.toml").write_text('extend = "sub/dlclint.toml"\n')
    with pytest.raises(ConfigError, match="leads back"):
        load_config(child)
    (here / "base.toml").unlink()
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(child)


def test_a_baseline_shows_what_is_new(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(here / "m.onnx")
    assert main(["check", "--write-baseline", "m.onnx"]) == 0
    assert "wrote 2 findings to dlclint-baseline.json" in capsys.readouterr().err
    again = ("--baseline", "dlclint-baseline.json", "m.onnx")
    (file,) = check(capsys, *again, status=0)
    assert file["findings"] == [] and file["baselined"] == 2
    assert file["verdict"]["converts"]["word"] == "no"
    # A node inserted before the others moves them all.
    proto = model()
    proto.graph.node.insert(0, helper.make_node("Relu", ["x"], ["unused"], name="new"))
    save(path, proto)
    new = severities(check(capsys, *again, status=0)[0])
    assert "ops/unsupported" not in new and new
    proto.graph.node.append(helper.make_node("Det", ["x"], ["y2"], name="second"))
    proto.graph.output.append(helper.make_tensor_value_info("y2", 1, [1]))
    save(path, proto)
    assert [i["rule"] for i in check(capsys, *again)[0]["findings"] if i["severity"] == "error"] == [
        "ops/unsupported"
    ]
    save(path, model(MODEL.replace("y = Det(x)", "y = ReduceMean<keepdims = 0, axes = [1, 2]>(x)")))
    (gone,) = check(capsys, *again, status=0)
    assert any(note.startswith("no longer found since the baseline: 1 finding") for note in gone["notes"])


def test_a_baseline_keeps_what_was_not_linted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "sub/b"):
        save(here / f"{name}.onnx")
    (here / "dlclint.toml").write_text('baseline = "known.json"\n')
    assert main(["check", "--write-baseline", "."]) == 0
    save(here / "a.onnx", model(MODEL.replace("Det", "Sum").replace("float[1] y", "float[1,3,3] y")))
    assert main(["check", "--write-baseline", "a.onnx"]) == 0
    files = {row["file"] for row in json.loads((here / "known.json").read_text())["findings"]}
    assert "sub/b.onnx" in files
    capsys.readouterr()
    assert check(capsys, ".", status=0)[1]["baselined"] == 2


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version": 2, "findings": []}', '{"version": 1, "findings": [1]}', "[" * 100_000]
)
def test_what_is_not_a_baseline(text: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(here / "m.onnx")
    (here / "known.json").write_text(text)
    assert main(["check", "--baseline", "known.json", "m.onnx"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--write-baseline" in error
    assert main(["check", "--baseline", "nowhere.json", "m.onnx"]) == 2


def test_a_model_may_carry_its_ignores(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proto = model()
    entry = proto.metadata_props.add(key="dlclint:ignore")
    entry.value = (
        "ops/unsupported tensor=y: computed by the application\n\nops/version-not-listed: types only"
    )
    save(here / "m.onnx", proto)
    (file,) = check(capsys, "m.onnx", status=0)
    assert file["findings"] == [] and file["ignored"] == 2
    assert file["verdict"]["converts"]["word"] == "no"
    entry.value = "ops/unsupported tensor=other: not here\nops/unsupported\nops unsupported: no"
    save(here / "m.onnx", proto)
    (file,) = check(capsys, "m.onnx")
    rules = [finding["rule"] for finding in file["findings"]]
    assert rules.count("config/ignore-without-reason") == 2 and rules.count("config/unused-ignore") == 1
    (unused,) = [finding for finding in file["findings"] if finding["rule"] == "config/unused-ignore"]
    assert "metadata of the model" in unused["help"]


def test_a_node_may_carry_its_ignores(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proto = model(
        MODEL.replace("z = Relu(x)", "z = Relu(x) v = Det(x)").replace("float[1] y", "float[1] y, float[1] v")
    )
    if not hasattr(proto.graph.node[0], "metadata_props"):
        pytest.skip("this onnx has no metadata of nodes")
    proto.graph.node[0].metadata_props.add(key="dlclint:ignore", value="ops/unsupported: a test")
    save(here / "m.onnx", proto)
    (file,) = check(capsys, "m.onnx")
    places = [i["location"]["node_index"] for i in file["findings"] if i["rule"] == "ops/unsupported"]
    assert places == [2] and file["ignored"] == 1


def test_show_settings(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(here / "m.onnx")
    (here / "dlclint.toml").write_text(
        'ignore = ["cle"]\n[severity]\nops = "info"\n'
        '[[models]]\npath = "m.onnx"\nsoc = "SM8650"\nquantize = true\n'
    )
    assert main(["check", "--show-settings", "-b", "1", "m.onnx"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert shown["configuration"].endswith("dlclint.toml")
    assert shown["options"] == ["--soc", "SM8650", "--quantize", "-b", "1"]
    assert (shown["ignore"], shown["severity"]) == (["cle"], {"ops": "info"})


def test_a_missing_path_does_not_stop_the_others(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(here / "m.onnx")
    (here / "empty").mkdir()
    (here / "text.md").write_text("")
    assert main(["check", "nowhere.onnx", "empty", "text.md", "m.onnx"]) == 2
    said = capsys.readouterr()
    assert "ops/unsupported" in said.out
    errors = said.err.splitlines()
    assert len(errors) == 3 and all(line.startswith("dlclint: error: ") for line in errors)
    assert main(["check", "nowhere.onnx"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_init(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "dlclint.toml").unlink()
    save(here / "models" / "plain.onnx")
    save(
        here / "models" / "a [1].onnx",
        model("""<ir_version: 8, opset_import: ["" : 12]>
        g (float[N,3,height,4] image) => (float[N,3,height,4] y) { y = Relu(image) }"""),
    )
    save(here / "models" / "q.onnx")
    (here / "models" / "q.encodings").write_text('{"activation_encodings": {}, "param_encodings": {}}')
    (here / "models" / "broken.onnx").write_text("no model")
    assert main(["init", "models"]) == 0
    assert "for 4 models" in capsys.readouterr().out
    path = here / "models" / "dlclint.toml"
    text = path.read_text()
    table = tomllib.loads(text)
    jsonschema.validate(table, schema())
    assert [row["path"] for row in table["models"]] == [
        "a [[]1].onnx",
        "broken.onnx",
        "plain.onnx",
        "q.onnx",
    ]
    assert '# input-dim."image" = [1, 3, HEIGHT, 4]  # float[N,3,height,4]' in text
    assert table["models"][3] == {"path": "q.onnx", "encodings": "q.encodings", "quantize": True}
    # What is commented out is right too.
    filled = text.replace("# soc", "soc").replace(
        '# input-dim."image" = [1, 3, HEIGHT', 'input-dim."image" = [1, 3, 4'
    )
    jsonschema.validate(tomllib.loads(filled), schema())
    path.write_text(filled)
    files = check(capsys, "models")
    assert {file["target"]["soc"]["name"] for file in files} == {"SM8650"}
    assert not any("dynamic" in finding["rule"] for finding in files[0]["findings"])
    assert main(["init", "models"]) == 2
    assert main(["init", "models", "--overwrite"]) == 0
    assert path.read_text() == text
    assert main(["init", "nowhere"]) == 2


def test_rules_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rule", "shapes/unknown-shape", "--format", "json"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert one["follows"]["shapes/data-length"] == "before" and one["about"] == "file"
    assert main(["rule", "--format", "json"]) == 0
    every = json.loads(capsys.readouterr().out)
    assert one in every and len(every) > 100
    assert main(["rule", "ops", "--format", "json"]) == 0
    assert {row["family"] for row in json.loads(capsys.readouterr().out)} == {"ops"}
