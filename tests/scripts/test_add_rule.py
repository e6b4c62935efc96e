"""A scaffold passes the linters, and fails the tests as long as it is one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "scripts"))
import add_rule

ROOT = add_rule.ROOT

RULES = (
    ("shapes/too-many-inputs", ""),
    ("batch/oddly-made", ""),
    ("precision/half-said", ""),
    ("runtime/too-old", "chip"),
    ("quantization/never-seen", "graph"),
    ("encodings/odd-thing", "ranges"),
)
"""Families of every make: one module or several, of models or of override files."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parts of the project that rules lie in, with a scaffold of each make."""
    root = tmp_path_factory.mktemp("project")
    for folder in ("lint", "schemas", "rules", "tests/fixtures", "tests/snapshots"):
        shutil.copytree(ROOT / folder, root / folder)
    for file in ("pyproject.toml", "tests/test_rules.py", "tests/conftest.py"):
        shutil.copy(ROOT / file, root / file)
    shutil.copytree(ROOT / "tests/report/sarif-2.1.0", root / "tests/report/sarif-2.1.0")
    for id, module in RULES:
        for path in add_rule.add_rule(root, id, module):
            assert path.is_file()
    return root


SOURCES = ("lint", "rules", "schemas")


def run(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(root / name) for name in SOURCES)}
    line = [sys.executable, "-m", *command]
    return subprocess.run(line, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "--no-cache", "rules"),
        ("ruff", "format", "--check", "--no-cache", "rules"),
        ("mypy", "--cache-dir", str(ROOT / ".mypy_cache" / "scaffold"), "-p", "dlclint_rules"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_the_linters_take_it(copy: Path, command: tuple[str, ...]) -> None:
    done = run(copy, *command)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_fails_until_it_is_written(copy: Path) -> None:
    wanted = " or ".join(f"{id}/bad" for id, _ in RULES)
    done = run(copy, "pytest", "-n", "0", "-p", "no:cacheprovider", "tests/test_rules.py", "-k", wanted)
    assert done.returncode == 1, done.stdout + done.stderr
    for id, _ in RULES:
        assert f"FAILED tests/test_rules.py::test_fixture[{id}/bad_scaffold." in done.stdout
    assert "engine/crashed-rule" in done.stdout
    assert " passed" not in done.stdout


def test_nothing_of_a_scaffold_is_left_here() -> None:
    assert list((ROOT / "tests/fixtures").rglob("*_scaffold.*")) == []
    for path in (ROOT / "rules").rglob("*.py"):
        assert '"""TODO:' not in path.read_text("utf-8"), path


@pytest.mark.parametrize(
    ("id", "module", "expected"),
    [
        ("ops", "", "give FAMILY/NAME"),
        ("ops/Too_many", "", "give FAMILY/NAME"),
        ("oops/name", "", "no family is called 'oops'; there are batch, cle, encodings"),
        ("repairs/name", "", "no family is called 'repairs'"),
        ("batch/not-one", "", "not_one means something in rules/dlclint_rules/batch.py already"),
        ("batch/sources", "", "sources means something"),
        ("batch/global", "", "global means something"),
        ("batch/name", "chip", "batch is one module; leave out 'chip'"),
        ("runtime/name", "", "runtime is a package; give one of chip, forms"),
        ("runtime/name", "breaches", "runtime has no module 'breaches' with rules; give one of chip"),
        ("runtime/partition", "chip", "partition means something in rules/dlclint_rules/runtime/subnets.py"),
    ],
)
def test_what_cannot_be_started_is_one_line(
    id: str, module: str, expected: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "write_text", lambda *_: pytest.fail("nothing may be written"))
    assert add_rule.main([id, module] if module else [id]) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert said.count("\n") == 1
