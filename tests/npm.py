"""Packages from the npm registry, for tests that ask a program of others."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def installed(folder: Path, package: str, program: str, seconds: float) -> Path:
    """The folder, with a package installed into it; the test skips where none can be."""
    if shutil.which("npm") is None:
        pytest.skip(f"npm is not installed, so {program} cannot be asked")
    (folder / "package.json").write_text('{"private": true}', "utf-8")
    try:
        done = subprocess.run(
            ["npm", "install", "--silent", "--no-package-lock", package],
            cwd=folder,
            capture_output=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("the npm registry does not answer")
    if done.returncode:
        pytest.skip("the npm registry cannot be reached")
    return folder
