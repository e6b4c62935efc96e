"""Format `junit`: a test suite for each file, and in it a test case for each rule that has a finding.

A rule fails where one of its findings reaches `--fail-on`; its other findings are its output. A file without
a finding is one test case that passes. There is no standard; elements and attributes are those of the schema
that Jenkins uses (JUnit 10).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import TextIO
from xml.etree import ElementTree

from dlclint.diagnostic import Diagnostic
from dlclint.outcome import FileOutcome, Outcome
from dlclint.report.places import at_text, cause_text, related_texts

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not have, such as unpaired surrogates."""


def render(outcome: Outcome, stream: TextIO | None) -> Iterator[str]:
    """The whole document, suite by suite."""
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    if not outcome.files:
        yield '<testsuites name="dlclint" />\n'
        return
    yield '<testsuites name="dlclint">\n'
    for file in outcome.files:
        suite = _suite(file, outcome)
        ElementTree.indent(suite, level=1)
        yield f"  {ElementTree.tostring(suite, encoding='unicode')}\n"
    yield "</testsuites>\n"


def _suite(file: FileOutcome, outcome: Outcome) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=_plain(file.path))
    findings = sorted(file.shown, key=lambda diagnostic: diagnostic.rule)
    failed = [
        _case(suite, rule, list(group), outcome)
        for rule, group in groupby(findings, key=lambda finding: finding.rule)
    ]
    if not findings:
        ElementTree.SubElement(suite, "testcase", classname="dlclint", name="no findings")
    suite.set("tests", str(len(failed) or 1))
    suite.set("failures", str(sum(failed)))
    suite.set("errors", "0")
    return suite


def _case(suite: ElementTree.Element, rule: str, findings: list[Diagnostic], outcome: Outcome) -> bool:
    family, _, name = rule.partition("/")
    case = ElementTree.SubElement(suite, "testcase", classname=f"dlclint.{family}", name=_plain(name))
    failing = [finding for finding in findings if outcome.reaches(finding)]
    text = "\n".join(map(_text, findings))
    if failing:
        kind = failing[0].severity.value
        failure = ElementTree.SubElement(case, "failure", type=kind, message=_plain(failing[0].message))
        failure.text = text
    else:
        ElementTree.SubElement(case, "system-out").text = text
    return bool(failing)


def _text(finding: Diagnostic) -> str:
    help = f"help: {finding.help}" if finding.help else ""
    more = "".join(f"\n  {text}" for text in (*related_texts(finding), cause_text(finding), help) if text)
    return _plain(f"{finding.severity.value}: {finding.message}{at_text(finding.location)}{more}")


def _plain(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
