"""The GitHub action's own script, run as the runner runs it, with the installed dlclint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from onnx import parser

ACTION = Path(__file__).parent.parent / "action.yml"
GOOD = '<ir_version: 8, opset_import: ["" : 12]> g (float[1,3,3] x) => (float[1,3,3] y) { y = Relu(x) }'
BAD = '<ir_version: 8, opset_import: ["" : 12]> g (float[1,3,3] x) => (float[1] y) { y = Det(x) }'


def run(folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    action = yaml.safe_load(ACTION.read_text("utf-8"))
    step = action["runs"]["steps"][-1]
    given = {
        name: inputs.get(name.replace("-", "_"), item["default"]) for name, item in action["inputs"].items()
    }
    variables = {
        name: given[value.removeprefix("${{ inputs.").removesuffix(" }}")]
        for name, value in step["env"].items()
    }
    tool = folder / "runner" / "dlclint" / "bin" / "dlclint"
    tool.parent.mkdir(parents=True, exist_ok=True)
    if not tool.exists():
        tool.symlink_to(Path(sys.executable).with_name("dlclint"))
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env=os.environ | variables | {"RUNNER_TEMP": str(folder / "runner")},
        capture_output=True,
        text=True,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="runs bash")
def test_action(tmp_path: Path, validate: Callable[[str, Any], None]) -> None:
    models = tmp_path / "two words"
    models.mkdir()
    (models / "good.onnx").write_bytes(parser.parse_model(GOOD).SerializeToString())
    done = run(tmp_path, paths="two words\n", args="--runtime htp")
    assert done.returncode == 0, done.stderr
    (models / "bad.onnx").write_bytes(parser.parse_model(BAD).SerializeToString())
    done = run(tmp_path, paths="two words\n\n", args="--runtime htp", sarif_file="out.sarif")
    assert done.returncode == 1
    assert "bad.onnx#0: error ops/unsupported Det" in done.stdout
    report = json.loads((tmp_path / "out.sarif").read_text("utf-8"))
    validate("sarif", report)
    assert "ops/unsupported" in {result["ruleId"] for result in report["runs"][0]["results"]}


def test_no_input_is_pasted_into_a_script() -> None:
    for step in yaml.safe_load(ACTION.read_text("utf-8"))["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
