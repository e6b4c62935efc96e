"""Findings in the form of the Language Server Protocol."""

from __future__ import annotations

from lsprotocol.types import Diagnostic, DiagnosticSeverity, Range

from dlclint.diagnostic import Diagnostic as Finding
from dlclint.diagnostic import Severity, plain

SOURCE = "dlclint"
_SEVERITY = {
    Severity.ERROR: DiagnosticSeverity.Error,
    Severity.WARNING: DiagnosticSeverity.Warning,
    Severity.INFO: DiagnosticSeverity.Information,
}


def as_diagnostic(finding: Finding, span: Range) -> Diagnostic:
    """A finding at a place: its message, then what to do."""
    message = f"{finding.message}\nhelp: {finding.help}" if finding.help else finding.message
    return Diagnostic(span, message, _SEVERITY[finding.severity], code=finding.rule, source=SOURCE)


def code(text: str) -> str:
    """A name as Markdown code, which nothing in the name can end."""
    return f"`{plain(text).replace('`', chr(0x2CB))}`"
