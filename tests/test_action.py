"""The GitHub action's own steps, run as the runner runs them, with the installed dlclint."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from onnx import parser

ROOT = Path(__file__).parent.parent
ACTION = ROOT / "action.yml"
GOOD = '<ir_version: 8, opset_import: ["" : 12]> g (float[1,3,3] x) => (float[1,3,3] y) { y = Relu(x) }'
BAD = '<ir_version: 8, opset_import: ["" : 12]> g (float[1,3,3] x) => (float[1] y) { y = Det(x) }'
WARNS = """<ir_version: 8, opset_import: ["" : 12]>
g (float[1,64,64] x) => (float[1,64,64] y) <float[1] d = {3.0}> { y = Div(x, d) }"""
Validate = Callable[[str, Any], None]


def run(folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """The last step, with what GitHub gives it."""
    action = yaml.safe_load(ACTION.read_text("utf-8"))
    step = action["runs"]["steps"][-1]
    inputs_given = {
        name: inputs.get(name.replace("-", "_"), declared["default"])
        for name, declared in action["inputs"].items()
    }
    variables = {
        name: inputs_given[value.removeprefix("${{ inputs.").removesuffix(" }}")]
        for name, value in step["env"].items()
    }
    runner = {
        "DLCLINT_PYTHON": sys.executable,
        "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
    }
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env=os.environ | variables | runner,
        capture_output=True,
        text=True,
    )


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(parser.parse_model(text).SerializeToString())


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="runs bash")


def test_annotations_report_and_summary(tmp_path: Path, validate: Validate) -> None:
    write(tmp_path / "two words" / "good.onnx", GOOD)
    done = run(tmp_path, paths="two words\n", args="--runtime htp")
    assert done.returncode == 0, done.stderr
    write(tmp_path / "two words" / "bad.onnx", BAD)
    done = run(tmp_path, paths="two words\n\n", args="--runtime htp", sarif_file="out.sarif")
    assert done.returncode == 1
    assert "::error title=ops/unsupported,file=two words/bad.onnx::" in done.stdout
    report = json.loads((tmp_path / "out.sarif").read_text("utf-8"))
    validate("sarif", report)
    assert "ops/unsupported" in {result["ruleId"] for result in report["runs"][0]["results"]}
    summary = (tmp_path / "summary.md").read_text("utf-8")
    assert summary.count("## dlclint ") == 2 and "ops/unsupported" in summary


def test_every_line_of_args_counts(tmp_path: Path) -> None:
    write(tmp_path / "m.onnx", WARNS)
    line = "--runtime htp --quantize"
    assert run(tmp_path, paths="m.onnx", args=line).returncode == 0
    assert run(tmp_path, paths="m.onnx", args=f"{line}\n--fail-on warning").returncode == 1
    done = run(tmp_path, paths="m.onnx", args=f'{line}\n# a comment\n--soc "8 Gen 3"\n')
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("args", ["--nosuch", "--soc 'half", "--soc nonsense"])
def test_what_cannot_run_leaves_a_report_too(tmp_path: Path, validate: Validate, args: str) -> None:
    write(tmp_path / "m.onnx", GOOD)
    done = run(tmp_path, paths="m.onnx", args=args)
    assert done.returncode == 2
    assert done.stdout.startswith("::error title=dlclint::dlclint: error: ")
    report = json.loads((tmp_path / "dlclint.sarif").read_text("utf-8"))
    validate("sarif", report)
    assert report["runs"][0]["invocations"][0]["executionSuccessful"] is False


def test_no_input_is_pasted_into_a_script() -> None:
    for step in yaml.safe_load(ACTION.read_text("utf-8"))["runs"]["steps"]:
        assert "${{" not in step.get("run", "")


def test_a_failing_command_fails_its_step() -> None:
    """The shell that GitHub takes where none is named has no pipefail, so that `| tee` hides a status."""
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        assert yaml.safe_load(path.read_text("utf-8"))["defaults"]["run"]["shell"] == "bash", path.name
    for step in yaml.safe_load(ACTION.read_text("utf-8"))["runs"]["steps"]:
        assert "run" not in step or step["shell"] == "bash"


def test_foreign_actions_are_pinned() -> None:
    texts = [ACTION, *(ROOT / ".github" / "workflows").glob("*.yml")]
    for text in texts:
        for used in re.findall(r"uses: (\S+)", text.read_text("utf-8")):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", used), f"{text.name}: {used}"
