"""The repository's address comes in when a release is built, and reaches metadata, README and SARIF."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from onnx import parser
from scripts.stamp import stamp

from dlclint.version import REPOSITORY, __version__

ROOT = Path(__file__).parents[2]
PARTS = (
    "lint",
    "rules",
    "schemas",
    "share",
    "docs/ci.md",
    "docs/reference",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)
ADDRESS = REPOSITORY or "https://example.org/acme/dlclint"
"""That of the source where it is stamped already, as the tests of a release are."""
BAD = '<ir_version: 8, opset_import: ["" : 12]> g (float[1,3,3] x) => (float[1] y) { y = Det(x) }'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in PARTS:
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, path, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, path)
    return tmp_path / "source"


def test_a_wheel_that_is_built_with_an_address_has_it(source: Path, tmp_path: Path) -> None:
    stamp(source, ADDRESS)
    readme = (source / "README.md").read_bytes()
    stamp(source, ADDRESS)
    assert (source / "README.md").read_bytes() == readme and b"URL-OF-THIS" not in readme
    action = re.search(r"uses: (.+/dlclint@v.+)", (source / "docs" / "ci.md").read_text("utf-8"))
    assert action is not None and action[1] == f"{'/'.join(ADDRESS.split('/')[-2:])}@v{__version__}"
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = archive.read(name).decode().splitlines()
        archive.extractall(tmp_path / "installed")
    assert f"Project-URL: Repository, {ADDRESS}" in metadata
    assert f"Project-URL: Issues, {ADDRESS}/issues" in metadata
    (tmp_path / "m.onnx").write_bytes(parser.parse_model(BAD).SerializeToString())
    check = [
        sys.executable,
        "-m",
        "dlclint",
        "check",
        "--isolated",
        "--no-cache",
        "--format",
        "sarif",
        "m.onnx",
    ]
    done = subprocess.run(
        check,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
    )
    driver = json.loads(done.stdout)["runs"][0]["tool"]["driver"]
    assert driver["informationUri"] == ADDRESS
    version = driver["version"]
    links = {rule["id"]: rule["helpUri"] for rule in driver["rules"]}
    assert links["ops/unsupported"] == f"{ADDRESS}/blob/v{version}/docs/rules/ops/unsupported.md"
    assert all((ROOT / "docs" / "rules" / f"{rule}.md").is_file() for rule in links)


@pytest.mark.parametrize(
    "address",
    ["", "example.org/acme/dlclint", "https://example.org/", 'https://example.org/a/b"\n', "https://e/a"],
)
def test_what_is_not_an_address_is_refused(tmp_path: Path, address: str) -> None:
    """Before a file is looked at: there is none."""
    with pytest.raises(ValueError, match="not the address of a repository"):
        stamp(tmp_path, address)


def test_another_address_is_refused(source: Path) -> None:
    stamp(source, ADDRESS)
    with pytest.raises(ValueError, match="stands there already"):
        stamp(source, f"{ADDRESS}2")
