"""Format `sarif`: SARIF 2.1.0, for code-scanning services.

Source of "section" numbers: the OASIS standard, Static Analysis Results Interchange Format Version 2.1.0.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

from dlclint.diagnostic import Diagnostic, Location, Severity
from dlclint.outcome import Outcome
from dlclint.own_rules import OWN_DOCS
from dlclint.report.fingerprints import fingerprints
from dlclint.report.markup import cell
from dlclint.report.places import at_text, cause_text, place_text
from dlclint.version import REPOSITORY

_LEVEL = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


MAX_RESULTS = 25_000
"""GitHub refuses a run with more (its documentation, SARIF support for code scanning, limits)."""


RELATED = 100
"""Related places of a result; more are of no use."""


def render(outcome: Outcome, stream: TextIO | None) -> str:
    """One run; rules carry their documentation, nodes are logical locations."""
    worst: dict[str, Severity] = {}
    cited: dict[str, str] = {}
    counts: Counter[Severity] = Counter()
    for finding in _every(outcome):
        counts[finding.severity] += 1
        if finding.source is not None:
            cited.setdefault(finding.rule, finding.source.document)
        worst[finding.rule] = min(
            worst.get(finding.rule, finding.severity), finding.severity, key=lambda one: one.rank
        )
    shown = list(_worst(_every(outcome), counts))
    ids = sorted(worst.keys() | set(outcome.rule_docs))
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "dlclint",
                "version": outcome.version,
                "semanticVersion": outcome.version,
                **({"informationUri": REPOSITORY} if REPOSITORY else {}),
                "rules": [_rule(id, outcome, worst.get(id), cited.get(id, "")) for id in ids],
            }
        },
        "automationDetails": {"id": "dlclint/"},
        "columnKind": "unicodeCodePoints",
        "results": [
            _result(diagnostic, ids, mark)
            for diagnostic, mark in zip(shown, fingerprints(shown), strict=True)
        ],
    }
    if len(shown) < counts.total():
        text = f"{counts.total() - len(shown)} further findings are left out: a run holds {MAX_RESULTS}"
        notes = [{"level": "note", "message": {"text": text}}]
        run["invocations"] = [{"executionSuccessful": True, "toolExecutionNotifications": notes}]
    log = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, ensure_ascii=True) + "\n"


def _every(outcome: Outcome) -> Iterator[Diagnostic]:
    return (finding for file in outcome.files for finding in file.shown)


def _worst(findings: Iterable[Diagnostic], counts: Mapping[Severity, int]) -> Iterator[Diagnostic]:
    """As many findings as a run holds, the worst ones first, in the order of the report."""
    left, room = {}, MAX_RESULTS
    for severity in sorted(Severity, key=lambda one: one.rank):
        left[severity] = min(room, counts[severity])
        room -= left[severity]
    for finding in findings:
        if left[finding.severity]:
            left[finding.severity] -= 1
            yield finding


def _rule(id: str, outcome: Outcome, worst: Severity | None, cited: str) -> dict[str, Any]:
    docs = outcome.rule_docs.get(id) or OWN_DOCS.get(id, id)
    title, _, rest = docs.partition("\n")
    return {
        "id": id,
        "name": "".join(part.capitalize() for part in re.split(r"[^A-Za-z0-9]+", id)),
        "shortDescription": {"text": title},
        "fullDescription": {"text": docs},
        "help": {"text": docs, "markdown": f"**{cell(title)}**\n\n{_markdown(rest)}".strip()},
        **_help_uri(id, outcome, cited),
        "defaultConfiguration": {"level": _LEVEL[worst or Severity.WARNING]},
    }


def _help_uri(id: str, outcome: Outcome, cited: str) -> dict[str, str]:
    """The rule's page as of the release, else the document that its first finding cites."""
    if REPOSITORY and id in outcome.pages:
        return {"helpUri": f"{REPOSITORY}/blob/v{outcome.version}/docs/rules/{id}.md"}
    # Imported here because no other format contains addresses.
    from dlclint_schemas.addresses import address_of

    address = address_of(cited) if cited else ""
    return {"helpUri": address} if address else {}


def _markdown(docs: str) -> str:
    """A rule's sections, each a paragraph with its name in bold."""
    return re.sub(r"(?m)^([A-Z][A-Za-z ]{2,20}):", r"\n**\1:**", docs).strip()


def _uri(file: str) -> str:
    """A path as section 3.4.3 requires: relative paths unchanged, others with the scheme `file`."""
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _message(text: str) -> str:
    """A text as section 3.11 requires, in which nothing from a model is a placeholder or a link."""
    return text.replace("{", "{{").replace("}", "}}").replace("](", "] (")


def _location(where: Location) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": {"uri": _uri(where.file)}}
    # A model has no lines, but code scanning shows no result without a region.
    physical["region"] = {"startLine": where.line or 1, "startColumn": where.column or 1}
    location: dict[str, Any] = {"physicalLocation": physical}
    spot = f"{where.graph}#{where.node_index if where.node_index is not None else where.tensor}"
    if where.node_index is not None or where.tensor:
        location["logicalLocations"] = [
            {"name": where.node or where.tensor, "fullyQualifiedName": spot, "kind": where.op or "tensor"}
        ]
    return location


def _related(finding: Diagnostic) -> list[dict[str, Any]]:
    """Section 3.27.22: the other places that a finding names, and its cause."""
    places = [
        (f"{other.description}: {place_text(other.location)}", other.location) for other in finding.related
    ]
    if finding.cause is not None:
        places.insert(0, (cause_text(finding), finding.cause.location))
    return [
        {"id": number, **_location(location), "message": {"text": _message(text)}}
        for number, (text, location) in enumerate(places[:RELATED], 1)
    ]


def _result(finding: Diagnostic, ids: list[str], mark: str) -> dict[str, Any]:
    location, related = finding.location, _related(finding)
    text = finding.message + ("" if location.line is not None else at_text(location))
    text = f"{text}. Help: {finding.help}." if finding.help else f"{text}."
    properties: dict[str, Any] = {"confidence": finding.confidence.value}
    if finding.source is not None:
        properties["source"] = str(finding.source)
    if finding.fix is not None:
        # SARIF's own `fixes` hold text replacements, which a binary model does not have.
        properties["fix"] = {"title": finding.fix.title, "safety": finding.fix.safety.value}
    return {
        "ruleId": finding.rule,
        "ruleIndex": ids.index(finding.rule),
        "level": _LEVEL[finding.severity],
        "message": {"text": _message(text)},
        "locations": [_location(location)],
        **({"relatedLocations": related} if related else {}),
        # The first is the name that code scanning knows; without a line of text it would compute its own.
        "partialFingerprints": {"primaryLocationLineHash": f"{mark[:16]}:1", "dlclint/v2": mark},
        "properties": properties,
    }
