"""SARIF as Microsoft's own validator sees it, by the rules of the format and of code scanning."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path

import pytest

from dlclint.cli.main import main
from dlclint.version import REPOSITORY
from npm import installed

pytestmark = pytest.mark.external
SYSTEM = {"Linux": "linux", "Darwin": "darwin", "Windows": "win32"}
PACKAGE = f"@microsoft/sarif-multitool-{SYSTEM.get(platform.system(), 'linux')}"
FIXTURES = Path(__file__).parents[1] / "fixtures"
FILES = ("ops/unsupported/bad_det.onnxtxt", "encodings/offset-sign/bad_list.json")


@pytest.fixture(scope="module")
def multitool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The validator, installed from the npm registry."""
    folder = tmp_path_factory.mktemp("multitool")
    return installed(folder, f"{PACKAGE}@5", "sarif-multitool", 60)


def asked(multitool: Path, *reports: Path) -> dict[str, list[str]]:
    """The errors and warnings of reports, by file name."""
    path = reports[0].with_suffix(".validated")
    tool = subprocess.run(
        ["node", "-p", f"require('{PACKAGE}')"], cwd=multitool, capture_output=True, text=True, check=True
    ).stdout.strip()
    Path(tool).chmod(0o755)  # the package's own script does, which npm 12 does not run
    words = ["--rule-kind", "Sarif;Ghas", "--level", "Error;Warning", "--output", str(path)]
    # The tool wants ICU for languages, which it has no use for here.
    quiet = os.environ | {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}
    subprocess.run(
        [tool, "validate", *map(str, reports), *words], env=quiet, capture_output=True, timeout=120
    )
    told: dict[str, list[str]] = {report.name: [] for report in reports}
    for result in json.loads(path.read_text("utf-8-sig"))["runs"][0]["results"]:
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        told[uri.rpartition("/")[2]].append(f"{result['ruleId']} {result['message']}")
    return told


def test_no_error_and_no_warning(multitool: Path, tmp_path: Path) -> None:
    report, broken = tmp_path / "report.sarif", tmp_path / "broken.sarif"
    paths = [str(FIXTURES / name) for name in FILES]
    main(["check", "--isolated", "--format", "sarif", "-o", str(report), *paths])
    log = json.loads(report.read_text("utf-8"))
    assert len(log["runs"][0]["results"]) >= 2
    # What is broken is found, so that an empty list says something.
    log["runs"][0]["results"][0]["ruleIndex"] = 100_000
    broken.write_text(json.dumps(log), "utf-8")
    told = asked(multitool, report, broken)
    assert any("100000" in line for line in told["broken.sarif"])
    sarif = told["report.sarif"]
    if not REPOSITORY:  # a release is stamped with it; before there is nothing to link to
        assert len(sarif) == 1 and "ProvideToolnformationUri" in sarif.pop()  # spelled as the tool does
    assert sarif == []
