"""Format `github`: workflow commands that GitHub shows next to the files of a pull request.

Source: GitHub's documentation, Workflow commands for GitHub Actions: properties escape % : , and line
ends, the message escapes % and line ends; a step shows 10 annotations of each kind.
"""

from __future__ import annotations

from typing import TextIO

from dlclint.diagnostic import Diagnostic, Severity
from dlclint.outcome import Outcome
from dlclint.report.counts import count_line
from dlclint.report.places import cause_text, place_text, related_texts

_KIND = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def render(outcome: Outcome, stream: TextIO | None) -> str:
    """One command for each finding, causes and the worst first, and the counts as a separate line."""
    findings = [diagnostic for file in outcome.files for diagnostic in file.shown]
    findings.sort(key=lambda finding: (finding.cause is not None, finding.severity.rank))
    # The older commands, `##[error]`, are recognized anywhere in a line that starts with no command.
    return "".join(f"{line}\n" for line in (*map(_command, findings), count_line(outcome)))


def _command(finding: Diagnostic) -> str:
    location = finding.location
    properties = {"title": finding.rule, "file": location.file}
    if location.line is not None:
        properties |= {"line": str(location.line), "col": str(location.column or 1)}
    where = "" if location.line is not None else place_text(location)
    lines = [
        finding.message,
        f"at {where}" if where else "",
        *related_texts(finding),
        cause_text(finding),
        f"help: {finding.help}" if finding.help else "",
    ]
    options = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{_KIND[finding.severity]} {options}::{_data(chr(10).join(filter(None, lines)))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
