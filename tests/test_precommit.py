"""The hooks, run by the real pre-commit on a real repository with good and bad models and override files."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import parser

ROOT = Path(__file__).parent.parent
GOOD = (
    '<ir_version: 8, opset_import: ["" : 12]> g (float[1,3,3] x) => (float[1,3,3] y) { [relu] y = Relu(x) }'
)
FIXABLE = GOOD.replace("x) =>", "x, float[1] z) =>")
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
    for name in ("lint", "rules", "schemas", "share"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    commit(folder)
    return folder, run("git", "rev-parse", "HEAD", folder=folder).stdout.strip()


def commit(folder: Path) -> None:
    run("git", "init", "-q", folder=folder)
    run("git", "add", "-A", folder=folder)
    run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x", folder=folder)


def encodings(maximum: float) -> str:
    entry = {"bitwidth": 8, "dtype": "int", "is_symmetric": "False", "min": 0.0, "max": maximum}
    entry |= {"scale": maximum / 255, "offset": 0}
    return json.dumps({"version": "0.6.1", "activation_encodings": {"y": [entry]}, "param_encodings": {}})


def test_hooks(tmp_path: Path, hooks: tuple[Path, str]) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    source, revision = hooks
    (folder / ".pre-commit-config.yaml").write_text(
        f"repos:\n- repo: {source.as_uri()}\n  rev: {revision}\n  hooks:\n"
        "  - id: dlclint\n"
        "  - id: dlclint-encodings\n"
        "    files: \\.(encodings|jsonc)$\n"
        "    args: [--fail-on, warning]\n"
    )
    (folder / "good.onnx").write_bytes(parser.parse_model(GOOD).SerializeToString())
    (folder / "good.encodings").write_text(encodings(6.0))
    (folder / "package.json").write_text("{}")
    commit(folder)
    pre_commit = (sys.executable, "-m", "pre_commit", "run", "--all-files")
    run(*pre_commit, folder=folder)

    (folder / "bad.onnx").write_bytes(parser.parse_model(BAD).SerializeToString())
    run("git", "add", "-A", folder=folder)
    done = run(*pre_commit, folder=folder, check=False)
    assert done.returncode == 1
    assert "bad.onnx#0: error ops/unsupported Det" in done.stdout
    assert "good.onnx" not in done.stdout
    assert re.search(r"dlclint \(quantization overrides\)\.+Passed", done.stdout)

    (folder / "bad.onnx").unlink()
    (folder / "bad.encodings").write_text(encodings(6.0).replace('"max": 6.0', '"max": -6.0'))
    (folder / "other.jsonc").write_text("{")
    run("git", "add", "-A", folder=folder)
    done = run(*pre_commit, folder=folder, check=False)
    assert done.returncode == 1
    assert re.search(r"dlclint \(ONNX models\)\.+Passed", done.stdout)
    assert "bad.encodings:1:" in done.stdout
    assert "error encodings/inverted-range" in done.stdout
    assert "error encodings/syntax" in done.stdout
    assert not re.search(r"good\.\S+ error", done.stdout)
    assert "package.json" not in done.stdout

    (folder / "bad.encodings").unlink()
    (folder / "other.jsonc").unlink()
    (folder / ".pre-commit-config.yaml").write_text(
        f"repos:\n- repo: {source.as_uri()}\n  rev: {revision}\n  hooks:\n  - id: dlclint-fix\n"
    )
    (folder / "fixable.onnx").write_bytes(parser.parse_model(FIXABLE).SerializeToString())
    run("git", "add", "-A", folder=folder)
    done = run(*pre_commit, folder=folder, check=False)
    assert done.returncode == 1
    assert "files were modified by this hook" in done.stdout
    assert "fixed model/unused-input: remove 'z' from the inputs" in done.stdout
    assert "good.onnx" in done.stdout
    assert [value.name for value in onnx.load(folder / "fixable.onnx").graph.input] == ["x"]
    run("git", "add", "-A", folder=folder)
    run(*pre_commit, folder=folder)

    # An override file with a turned sign, which its own range proves.
    (folder / "turned.encodings").write_text(encodings(6.0).replace('"min": 0.0', '"min": -1.0'))
    broken = (folder / "turned.encodings").read_text()
    (folder / ".pre-commit-config.yaml").write_text(
        f"repos:\n- repo: {source.as_uri()}\n  rev: {revision}\n  hooks:\n  - id: dlclint-encodings-fix\n"
    )
    run("git", "add", "-A", folder=folder)
    done = run(*pre_commit, folder=folder, check=False)
    assert done.returncode == 1 and "files were modified by this hook" in done.stdout, done.stdout
    assert (folder / "turned.encodings").read_text() != broken
    assert (folder / "good.encodings").read_text() == encodings(6.0)
    run("git", "add", "-A", folder=folder)
    run(*pre_commit, folder=folder)

    # However many files: one process, which ends in one count.
    (folder / "turned.encodings").unlink()
    (folder / ".pre-commit-config.yaml").write_text(
        f"repos:\n- repo: {source.as_uri()}\n  rev: {revision}\n  hooks:\n  - id: dlclint\n"
    )
    model = (folder / "good.onnx").read_bytes()
    for number in range(200):
        (folder / f"model{number}.onnx").write_bytes(model)
    run("git", "add", "-A", folder=folder)
    done = run(*pre_commit, "--verbose", folder=folder)
    counts = re.findall(r"in (\d+) files", done.stdout)
    assert len(counts) == 1 and int(counts[0]) >= 200

    # What Git LFS has not fetched is left out, with one note.
    (folder / "good.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    run("git", "add", "-A", folder=folder)
    done = run(*pre_commit, "--verbose", folder=folder)
    assert done.stdout.count("Git LFS has not fetched") == 1 and "good.onnx" in done.stdout
