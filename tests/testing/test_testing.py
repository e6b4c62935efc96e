"""The package of docs/writing-rules.md, built from its blocks; and `dlclint.testing` on what is wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from dlclint.testing import Fixture, check, collect, untested

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "writing-rules.md"
FIXTURES = ROOT / "tests" / "fixtures"
FIXED = ["model/duplicate-name", "htp/divide", "graph/unmatched-pattern", "encodings/offset-sign"]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the page, and the metadata that installing the package would leave."""
    folder = tmp_path_factory.mktemp("acme")
    files = re.findall(r"(?ms)^`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", PAGE.read_text("utf-8"))
    assert len(files) == 5
    for name, text in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n", "utf-8")
    points = ConfigParser()
    points.read_dict(project["entry-points"])
    with (info / "entry_points.txt").open("w", encoding="utf-8") as stream:
        points.write(stream)
    return folder


def run(package: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH", ""))))
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=package,
        env=os.environ | {"PYTHONPATH": path, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_rule_of_the_page_runs(package: Path) -> None:
    folder = "tests/fixtures/acme/large-kernel"
    bad = run(
        package, "dlclint", "check", "--select", "acme", "--format", "concise", f"{folder}/bad_9.onnxtxt"
    )
    assert bad.returncode == 0 and bad.stderr == ""
    assert "#0: warning acme/large-kernel a kernel larger than 7 (help: use several small ones)" in bad.stdout
    good = run(
        package, "dlclint", "check", "--select", "acme", "--format", "concise", f"{folder}/good_3.onnxtxt"
    )
    assert "acme/" not in good.stdout
    page = run(package, "dlclint", "rule", "acme/large-kernel")
    assert "our camera pipeline has no time for it" in page.stdout


def test_the_tests_of_the_page_pass(package: Path) -> None:
    done = run(package, "pytest", "-q", "-p", "no:cacheprovider", "tests/test_rules.py")
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_the_tests_of_the_page_can_fail(package: Path) -> None:
    fixtures = package / "tests" / "fixtures" / "acme" / "large-kernel"
    text = (fixtures / "bad_9.onnxtxt").read_text("utf-8")
    wrong = fixtures / "good_9.onnxtxt"
    wrong.write_text(text, "utf-8")
    done = run(package, "pytest", "-q", "-p", "no:cacheprovider", "tests/test_rules.py")
    wrong.unlink()
    assert done.returncode == 1
    assert "acme/large-kernel/good_9.onnxtxt is good, but gives: a kernel larger than 7" in done.stdout


@pytest.mark.parametrize("rule", FIXED)
def test_fixes_of_own_rules_converge(rule: str) -> None:
    cases = [fixture for fixture in collect(FIXTURES) if fixture.rule == rule]
    assert {fixture.is_bad for fixture in cases} == {True, False}
    for fixture in cases:
        if "onnx_refuses" not in fixture.path.name and fixture.path.stem != "bad_nodes":
            check(fixture)


def test_a_bad_fixture_without_the_finding_fails() -> None:
    good = next(
        fixture for fixture in collect(FIXTURES) if fixture.rule == "batch/symbolic" and not fixture.is_bad
    )
    with pytest.raises(AssertionError, match="is bad, but gives no finding of batch/symbolic"):
        check(Fixture(good.path, good.rule, True))


def test_missing_fixtures_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no fixtures in"):
        collect(tmp_path)
    case = tmp_path / "batch" / "symbolic" / "bad_1.onnxtxt"
    case.parent.mkdir(parents=True)
    case.write_text("", "utf-8")
    missing = untested(tmp_path, ["batch"])
    assert "batch/symbolic/good_*" in missing and "batch/symbolic/bad_*" not in missing
