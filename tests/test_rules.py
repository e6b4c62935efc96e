"""Every rule has good and bad fixtures; bad ones raise it, good ones do not; whole outputs are pinned."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from dlclint.cli.main import main
from dlclint.engine.registry import all_rules

FIXTURES = Path(__file__).parent / "fixtures"
SNAPSHOTS = Path(__file__).parent / "snapshots" / "fixtures"
OVERRIDES = ("encodings", "precision")
"""Families of override files: a fixture is a .json file, with its model beside it where there is one."""
CASES = sorted(
    path
    for path in FIXTURES.glob("*/*/*")
    if path.name.startswith(("bad", "good"))
    and (path.parent.parent.name not in OVERRIDES or path.suffix == ".json")
)


def lint(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    model = path.with_suffix(".onnxtxt")
    first = model.read_text("utf-8").partition("\n")[0] if model.exists() else ""
    options = shlex.split(first[1:]) if first.startswith("#") else []
    status = main(["check", "--isolated", "--format", "concise", *options, str(path.relative_to(FIXTURES))])
    output = capsys.readouterr()
    assert status in (0, 1)
    assert output.err == ""
    return output.out


@pytest.fixture(autouse=True)
def in_fixtures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FIXTURES)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.relative_to(FIXTURES).as_posix())
def test_fixture(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = f"{path.parent.parent.name}/{path.parent.name}"
    output = lint(path, capsys)
    assert "engine/crashed-rule" not in output  # whose message names the rule as well
    raised = f" {rule} " in output
    assert raised == path.name.startswith("bad")


def test_every_rule_has_both() -> None:
    have = {(f"{p.parent.parent.name}/{p.parent.name}", p.stem.partition("_")[0]) for p in CASES}
    assert have == {(rule.id, kind) for rule in all_rules() for kind in ("bad", "good")}


@pytest.mark.parametrize("family", sorted({path.parent.parent.name for path in CASES}))
def test_whole_output(
    family: str, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    text = "".join(lint(path, capsys) for path in CASES if path.parent.parent.name == family)
    snapshot = SNAPSHOTS / f"{family}.txt"
    if request.config.getoption("--update-snapshots"):
        snapshot.parent.mkdir(exist_ok=True)
        snapshot.write_text(text, "utf-8")
    assert text == snapshot.read_text("utf-8")
