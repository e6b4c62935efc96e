"""The named mutants can be made: each changes one place that is there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
MUTANTS = tomllib.loads((ROOT / ".ci" / "mutants.toml").read_text("utf-8"))["mutant"]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant["name"])
def test_a_mutant_changes_one_place(mutant: dict[str, Any]) -> None:
    assert (ROOT / mutant["file"]).read_text("utf-8").count(mutant["before"]) == 1
    assert mutant["after"] != mutant["before"]
