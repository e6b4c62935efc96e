"""Formats that services read: none can be steered by a name, each is what its service asks for."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
import xmlschema
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, parser

from dlclint.cli.main import main
from dlclint.diagnostic import Diagnostic, Location, Severity, plain
from dlclint.outcome import FileOutcome, Outcome
from dlclint.report.fingerprints import fingerprints
from dlclint.report.render import render
from dlclint.report.sarif.check import MAX_RESULTS
from dlclint.target import Target

MODEL = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,3] x, float[1,3,3] z) => (float[1] y, float[1] w) { y = Det(x) w = Det(z) }"""
Validate = Callable[[str, Any], None]


def finding(name: str = "node", message: str = "it fails", severity: Severity = Severity.ERROR) -> Diagnostic:
    location = Location("a.onnx", "", plain(name), 3, "Det", plain(name))
    return Diagnostic("ops/unsupported", severity, plain(message, 400), location, help=plain(message, 400))


def outcome(
    *findings: Diagnostic, path: str = "a.onnx", fail_on: Severity | None = Severity.ERROR
) -> Outcome:
    return Outcome("0", (FileOutcome(path, "model", Target(), findings),), fail_on, {})


@given(st.text(max_size=80), st.text(max_size=80))
def test_a_name_gives_github_no_command(name: str, message: str) -> None:
    changed = replace(finding(name).location, file=plain(f"::error::{name}"))
    reported = replace(finding(name, f"x::set-output name=a::{message}"), location=changed)
    *commands, count = render("check", "github", outcome(reported), None).splitlines()
    assert len(commands) == 1 and count.startswith("1 error")
    match = re.fullmatch(r"::error title=[^:,]*,file=[^:,]*::(.*)", commands[0])
    assert match is not None and "\r" not in match[1]


def test_github_puts_the_worst_first_and_lines_where_there_are_any() -> None:
    note = finding(severity=Severity.INFO)
    placed = replace(finding(), location=Location("a.encodings", line=4, column=7))
    lines = render("check", "github", outcome(note, placed), None).splitlines()
    assert lines[0].startswith(
        "::error title=ops/unsupported,file=a.encodings,line=4,col=7::it fails%0Ahelp: "
    )
    assert lines[1].startswith("::notice title=ops/unsupported,file=a.onnx::it fails%0Aat node 3 node (Det)")


@given(st.text(max_size=60), st.sampled_from(Severity))
def test_gitlab(name: str, severity: Severity) -> None:
    entries = json.loads(
        render("check", "gitlab", outcome(finding(name, name, severity), finding("other")), None)
    )
    for entry in entries:
        assert set(entry) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert entry["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert entry["location"]["path"] == "a.onnx" and entry["location"]["lines"]["begin"] >= 1
    assert len({entry["fingerprint"] for entry in entries}) == 2


@given(st.text(max_size=60))
def test_junit_is_xml_whatever_the_names(name: str) -> None:
    text = render("check", "junit", outcome(finding(name, f"<&]]>{name}"), path=plain(name) or "x"), None)
    root = ElementTree.fromstring(text)
    assert root.tag == "testsuites"
    (suite,) = root
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")


def test_junit_fails_where_the_command_does() -> None:
    warning = finding(severity=Severity.WARNING)
    for fail_on, failures in ((Severity.ERROR, "0"), (Severity.WARNING, "1"), (None, "0")):
        (suite,) = ElementTree.fromstring(render("check", "junit", outcome(warning, fail_on=fail_on), None))
        assert suite.get("failures") == failures
        assert outcome(warning, fail_on=fail_on).failed == (failures == "1")
    (suite,) = ElementTree.fromstring(render("check", "junit", outcome(), None))
    assert [case.get("name") for case in suite] == ["no findings"]


@given(st.text(max_size=60))
def test_markdown_takes_no_markup_from_names(name: str) -> None:
    hostile = finding(f"<img src=x>|{name}", f"[a](b) @team `x` {name}")
    text = render("check", "markdown", outcome(hostile), None)
    assert not re.search(r"(?<!\\)(<img|\]\(b|`x|@team)", text)


def test_markdown_stays_below_what_github_shows() -> None:
    files = tuple(
        FileOutcome(
            f"{index}.onnx", "model", Target(), tuple(finding(f"n{i}", "long " * 60) for i in range(3))
        )
        for index in range(1500)
    )
    text = render("check", "markdown", replace(outcome(), files=files), None)
    assert len(text.encode()) < 1 << 20
    assert "1499.onnx" in text and "too many to list" in text


def test_sarif_names_what_a_run_cannot_hold(validate: Validate) -> None:
    findings = [finding(f"n{index}", severity=Severity.INFO) for index in range(MAX_RESULTS + 5)]
    findings[-1] = finding("last")
    (run,) = json.loads(render("check", "sarif", outcome(*findings), None))["runs"]
    assert len(run["results"]) == MAX_RESULTS
    assert run["results"][-1]["level"] == "error"
    (note,) = run["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"].startswith("5 further findings")
    small = json.loads(render("check", "sarif", outcome(finding()), None))
    validate("sarif", small)
    assert "invocations" not in small["runs"][0]


def test_fingerprints_survive_an_inserted_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proto = parser.parse_model(MODEL)
    path = tmp_path / "m.onnx"

    def marks(form: str) -> list[str]:
        path.write_bytes(proto.SerializeToString())
        main(["check", "--isolated", "--select", "ops/unsupported", "--format", form, str(path)])
        report = json.loads(capsys.readouterr().out)
        if form == "gitlab":
            return [entry["fingerprint"] for entry in report]
        return [
            result["partialFingerprints"]["primaryLocationLineHash"]
            for result in report["runs"][0]["results"]
        ]

    before = {form: marks(form) for form in ("gitlab", "sarif")}
    proto.graph.node.insert(0, helper.make_node("Relu", ["z"], ["r"], name="new"))
    assert {form: marks(form) for form in ("gitlab", "sarif")} == before
    assert len(set(before["sarif"])) == 2


def test_alike_findings_differ_by_their_order() -> None:
    one = finding()
    assert len(set(fingerprints([one, one, replace(one, message="it fails 3 times")]))) == 3
    # Numbers take no part, so that training on leaves a finding as it is.
    low, high = (replace(one, message=f"loses {number} dB") for number in ("1.5", "22"))
    assert list(fingerprints([low])) == list(fingerprints([high]))


def test_several_reports_in_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, sarif, junit = tmp_path / "m.onnx", tmp_path / "r.sarif", tmp_path / "r.xml"
    path.write_bytes(parser.parse_model(MODEL).SerializeToString())
    reports = ["--output-format", f"sarif={sarif}", "--output-format", f"junit={junit}"]
    assert main(["check", "--isolated", "--format", "concise", *reports, str(path)]) == 1
    assert "ops/unsupported Det" in capsys.readouterr().out
    assert json.loads(sarif.read_text("utf-8"))["version"] == "2.1.0"
    assert ElementTree.parse(junit).getroot().tag == "testsuites"
    before = path.read_bytes()
    assert main(["check", "--isolated", "--output-format", f"sarif={path}", str(path)]) == 2
    assert path.read_bytes() == before and "is an input" in capsys.readouterr().err
    twice = ["--output-format", f"sarif={sarif}", "-o", str(sarif)]
    assert main(["check", "--isolated", *twice, str(path)]) == 2
    assert "two reports go to one file" in capsys.readouterr().err
    for wrong in ("sarif", "nosuch=x", "=x", "sarif="):
        assert main(["check", "--output-format", wrong, str(path)]) == 2
        assert "give FORMAT=FILE" in capsys.readouterr().err


JUNIT = Path(__file__).parent / "junit-10" / "junit-10.xsd"
JUNIT_SHA256 = "a1a816f58d1bf95ebabf371994df0b9246dee66ea9572fbec4f9296f1b2c0ff6"
"""As NOTICE.md next to the schema states."""
GITLAB = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "description": {"type": "string"},
            "check_name": {"type": "string"},
            "fingerprint": {"type": "string"},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": r"^(?!\./)"},
                    "lines": {
                        "type": "object",
                        "required": ["begin"],
                        "properties": {"begin": {"type": "integer"}},
                    },
                },
            },
        },
    },
}
"""What GitLab demands of each entry: the types and required fields of its own schema
(app/validators/json_schemas/codeclimate.json, commit 33827e3), and the severities, the check's name
and the line that its documentation of Code Quality asks for."""


def several() -> Outcome:
    """Files with findings of every severity, in lines and at nodes, and one with none."""
    placed = replace(finding(), location=Location("b.encodings", line=4, column=7))
    worse = finding("</testcase>]]>", "a \x00 <message> & 'more'", Severity.WARNING)
    files = (
        FileOutcome("a.onnx", "model", Target(), (finding(), worse, finding(severity=Severity.INFO))),
        FileOutcome("b.encodings", "encodings", Target(), (placed,)),
        FileOutcome("clean.onnx", "model", Target(), ()),
    )
    return Outcome("0", files, Severity.ERROR, {})


@pytest.mark.parametrize("run_outcome", [several(), outcome(), Outcome("0", (), None, {})])
def test_junit_against_its_schema(run_outcome: Outcome) -> None:
    assert hashlib.sha256(JUNIT.read_bytes()).hexdigest() == JUNIT_SHA256
    schema = xmlschema.XMLSchema(str(JUNIT))
    text = render("check", "junit", run_outcome, None)
    schema.validate(text)
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        schema.validate(text.replace("testsuites", "suites"))


@pytest.mark.parametrize("run_outcome", [several(), outcome(), Outcome("0", (), None, {})])
def test_gitlab_against_its_schema(run_outcome: Outcome) -> None:
    entries = json.loads(render("check", "gitlab", run_outcome, None))
    jsonschema.validate(entries, GITLAB)
    prints = [entry["fingerprint"] for entry in entries]
    assert len(set(prints)) == len(prints)
    for entry in entries:
        del entry["fingerprint"]
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(entries, GITLAB)
