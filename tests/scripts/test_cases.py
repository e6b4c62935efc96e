"""The table of reported cases names rules that exist, and asks for nothing where the cases are absent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlclint.engine.registry import all_rules

ROOT = Path(__file__).parents[2]
CASES = json.loads((ROOT / "tests" / "cases.json").read_text("utf-8"))["cases"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "cases.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_rules_exist_and_every_case_expects_something() -> None:
    ids = {rule.id for rule in all_rules()}
    for case in CASES:
        if "soc" in case:
            assert len(case["rules"]) == 1, case
            continue
        assert set(case["rules"]) | set(case.get("quiet", ())) <= ids | {"errors"}, case
        assert case["rules"] or case["quiet"], case
        assert case["model"] or case["file"], case


def test_absent_cases_are_said_and_nothing_is_written(tmp_path: Path) -> None:
    before = (ROOT / "docs" / "cases.md").read_bytes()
    done = run("--check", str(tmp_path / "none"))
    assert done.returncode == 0
    assert "is not there" in done.stdout
    assert (ROOT / "docs" / "cases.md").read_bytes() == before


def test_the_page_has_a_row_for_each_case() -> None:
    rows = [
        line for line in (ROOT / "docs" / "cases.md").read_text("utf-8").splitlines() if line.startswith("| ")
    ]
    assert len(rows) == len(CASES) + 2  # the heads, and the line below them


@pytest.mark.skipif("DLCLINT_CASES" not in os.environ, reason="DLCLINT_CASES names no folder of cases")
def test_the_page_is_fresh() -> None:
    done = run("--check", os.environ["DLCLINT_CASES"])
    assert done.returncode == 0, done.stdout
