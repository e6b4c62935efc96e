"""The hook, run by the real pre-commit on a real repository with a good and a bad model."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from onnx import parser

ROOT = Path(__file__).parent.parent
GOOD = '<ir_version: 8, opset_import: ["" : 12]> g (float[1,3,3] x) => (float[1,3,3] y) { y = Relu(x) }'
BAD = '<ir_version: 8, opset_import: ["" : 12]> g (float[1,3,3] x) => (float[1] y) { y = Det(x) }'


def run(*command: str, folder: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    home = {"PRE_COMMIT_HOME": str(folder.parent / "hooks")}
    done = subprocess.run(command, cwd=folder, env=clean | home, capture_output=True, text=True)
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture
def hooks(tmp_path: Path) -> tuple[Path, str]:
    """A repository with the working tree of this one, as pre-commit would clone it."""
    folder = tmp_path / "dlclint"
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("lint", "rules", "schemas"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    commit(folder)
    return folder, run("git", "rev-parse", "HEAD", folder=folder).stdout.strip()


def commit(folder: Path) -> None:
    run("git", "init", "-q", folder=folder)
    run("git", "add", "-A", folder=folder)
    run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x", folder=folder)


def test_hook(tmp_path: Path, hooks: tuple[Path, str]) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    source, revision = hooks
    (folder / ".pre-commit-config.yaml").write_text(
        f"repos:\n- repo: {source.as_uri()}\n  rev: {revision}\n  hooks:\n  - id: dlclint\n"
    )
    (folder / "good.onnx").write_bytes(parser.parse_model(GOOD).SerializeToString())
    commit(folder)
    pre_commit = (sys.executable, "-m", "pre_commit", "run", "--all-files")
    run(*pre_commit, folder=folder)
    (folder / "bad.onnx").write_bytes(parser.parse_model(BAD).SerializeToString())
    run("git", "add", "-A", folder=folder)
    done = run(*pre_commit, folder=folder, check=False)
    assert done.returncode == 1
    assert "bad.onnx#0: error ops/unsupported Det" in done.stdout
    assert "good.onnx" not in done.stdout
