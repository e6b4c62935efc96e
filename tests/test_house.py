"""Imports point one way: rules on lint on schemas, and inside lint from the command line down."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_import_direction() -> None:
    root = Path(__file__).parent.parent
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_test_modules_have_names_of_their_own() -> None:
    """Pytest imports test files by their bare names, so that two of one name cannot run together."""
    names = [path.name for path in Path(__file__).parent.rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))
