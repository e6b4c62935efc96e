"""Every rule has good and bad fixtures; bad ones raise it, good ones do not; whole findings are pinned."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dlclint.cli.main import main
from dlclint.engine.registry import all_rules

FIXTURES = Path(__file__).parent / "fixtures"
SNAPSHOTS = Path(__file__).parent / "snapshots" / "fixtures"
OVERRIDES = ("encodings", "precision")
"""Families of override files: a fixture is a .json file, with its model next to it where there is one, or
a model alone, which carries its encodings."""


def _has_override_file(path: Path) -> bool:
    """Whether a fixture is a model that is linted with the file next to it."""
    return path.suffix != ".json" and path.with_suffix(".json").exists()


CASES = sorted(
    path
    for path in FIXTURES.glob("*/*/*")
    if path.name.startswith(("bad", "good"))
    and (path.parent.parent.name not in OVERRIDES or not _has_override_file(path))
)


@cache
def findings(path: Path) -> tuple[dict[str, Any], ...]:
    """What the command finds in a fixture, as its JSON report has it."""
    model = path.with_suffix(".onnxtxt")
    first = model.read_text("utf-8").partition("\n")[0] if model.exists() else ""
    options = shlex.split(first[1:]) if first.startswith("#") else []
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        status = main(["check", "--isolated", "--format", "json", *options, str(path.relative_to(FIXTURES))])
    assert status in (0, 1)
    assert errors.getvalue() == ""
    return tuple(
        finding | {"cause": None if finding["cause"] is None else file["findings"][finding["cause"]]["rule"]}
        for file in json.loads(output.getvalue())["files"]
        for finding in file["findings"]
    )


def rule_of(path: Path) -> str:
    return f"{path.parent.parent.name}/{path.parent.name}"


def listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())


def shown(finding: dict[str, Any]) -> Iterator[str]:
    """A finding in lines, nothing of it left out."""
    location = {key: value for key, value in finding["location"].items() if value not in (None, "")}
    yield f"  {finding['severity']}, {finding['confidence']}, at {listed(location) or 'the file'}"
    yield f"    {finding['message']}"
    for key in ("help", "source", "evidence", "fix"):
        value = finding[key]
        if value:
            yield f"    {key}: {listed(value) if isinstance(value, dict) else value}"
    for other in finding["related"]:
        location = {key: value for key, value in other["location"].items() if value not in (None, "")}
        yield f"    {other['what']}: {other['file']}, {listed(location)}"
    if finding["cause"]:
        yield f"    follows from {finding['cause']}"
    rest = set(finding) - {"rule", "severity", "confidence", "location", "message", "stage"}
    assert rest == {"help", "source", "evidence", "fix", "related", "cause"}


@pytest.fixture(autouse=True)
def in_fixtures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FIXTURES)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.relative_to(FIXTURES).as_posix())
def test_fixture(path: Path) -> None:
    rules = {finding["rule"] for finding in findings(path)}
    assert "engine/crashed-rule" not in rules
    assert (rule_of(path) in rules) == path.name.startswith("bad")


def test_every_rule_has_both() -> None:
    have = {(f"{p.parent.parent.name}/{p.parent.name}", p.stem.partition("_")[0]) for p in CASES}
    assert have == {(rule.id, kind) for rule in all_rules() for kind in ("bad", "good")}


@pytest.mark.parametrize("rule", sorted({rule_of(path) for path in CASES}))
def test_whole_findings(rule: str, request: pytest.FixtureRequest) -> None:
    """Of each bad fixture, the whole of what the rule under test says; what other rules say is theirs."""
    lines: list[str] = []
    for path in CASES:
        if rule_of(path) == rule and path.name.startswith("bad"):
            lines.append(path.name)
            for finding in findings(path):
                if finding["rule"] == rule:
                    lines.extend(shown(finding))
    text = "\n".join(lines) + "\n"
    snapshot = SNAPSHOTS / f"{rule}.txt"
    if request.config.getoption("--update-snapshots"):
        snapshot.parent.mkdir(parents=True, exist_ok=True)
        snapshot.write_text(text, "utf-8")
    assert text == snapshot.read_text("utf-8")


def test_every_snapshot_has_a_rule() -> None:
    kept = {path.relative_to(SNAPSHOTS).with_suffix("").as_posix() for path in SNAPSHOTS.rglob("*.txt")}
    assert kept == {rule_of(path) for path in CASES}


NAMES_ANOTHER_PLACE = {
    "batch": ("detector-batch", "inputs-disagree"),
    "cle": ("activation", "branch", "folded-batchnorm", "incomplete-chain", "relu6", "would-help"),
    "encodings": (
        *("bias-saturates", "bias-scale", "bit-width", "bound-lost", "duplicate-key", "float-between"),
        *("layout", "moved-grid", "range-cut", "shared-bias", "shared-grid", "side-input"),
        *("unknown-tensor", "version"),
    ),
    "graph": ("norm-axis", "split-fully-connected", "unmatched-pattern"),
    "htp": ("factor-before-norm", "factor-before-softmax", "prelu", "unfused-activation"),
    "model": ("dangling-input", "duplicate-name", "unsorted-nodes"),
    "ops": ("control-flow", "dynamic-parameter", "extra-output", "not-foldable"),
    "precision": ("convert-inserted", "float-spread", "int32-incomplete", "mixed-inputs"),
    "quantization": (
        *("already-quantized", "bias-saturates", "mask-constant", "shared-bias", "shared-grid"),
        "standalone-batchnorm",
    ),
    "runtime": ("element-type", "layer-limit", "side-input"),
    "shapes": ("contradiction", "rank-above-five"),
}
"""Rules whose findings are about two places: both ends of an edge, two entries, two tensors."""


def test_findings_about_two_places_name_both() -> None:
    """What every finding on an override file has, the node of its tensor in the model, does not count."""
    own = dict.fromkeys(OVERRIDES, ("makes it", "reads it"))
    naming = {
        finding["rule"]
        for path in CASES
        if path.name.startswith("bad")
        for finding in findings(path)
        if any(
            other["what"] not in own.get(finding["rule"].partition("/")[0], ())
            for other in finding["related"]
        )
    }
    assert naming == {f"{family}/{name}" for family, names in NAMES_ANOTHER_PLACE.items() for name in names}
