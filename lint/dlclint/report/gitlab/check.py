"""Format `gitlab`: GitLab's Code Quality report, a subset of Code Climate's.

Source: GitLab's documentation, Code Quality, Code Quality report format: description, check_name,
fingerprint, location.path, location.lines.begin, and a severity of info, minor, major, critical, blocker.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import tee
from textwrap import indent
from typing import Any, TextIO

from dlclint.diagnostic import Diagnostic, Severity
from dlclint.outcome import Outcome
from dlclint.report.fingerprints import fingerprints
from dlclint.report.places import at_text, cause_text

_SEVERITY = {Severity.ERROR: "critical", Severity.WARNING: "minor", Severity.INFO: "info"}


def render(outcome: Outcome, stream: TextIO | None) -> Iterator[str]:
    """One entry for each finding; a model has no lines, so its findings are at the first line."""
    findings, marked = tee(diagnostic for file in outcome.files for diagnostic in file.shown)
    between = "["
    for finding, mark in zip(findings, fingerprints(marked), strict=True):
        yield f"{between}\n{indent(json.dumps(_entry(finding, mark), indent=2, ensure_ascii=True), '  ')}"
        between = ","
    yield "[]\n" if between == "[" else "\n]\n"


def _entry(finding: Diagnostic, mark: str) -> dict[str, Any]:
    location = finding.location
    text = f"{finding.message}{'' if location.line is not None else at_text(location)}"
    text = "; ".join(filter(None, (text, cause_text(finding))))
    return {
        "description": f"{text}; help: {finding.help}" if finding.help else text,
        "check_name": finding.rule,
        "fingerprint": mark,
        "severity": _SEVERITY[finding.severity],
        "location": {"path": location.file, "lines": {"begin": location.line or 1}},
    }
