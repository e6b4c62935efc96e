"""Format `sarif`: SARIF 2.1.0, for code-scanning services.

Source of "section" numbers: the OASIS standard, Static Analysis Results Interchange Format Version 2.1.0.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePath
from typing import Any, TextIO
from urllib.parse import quote

from dlclint.diagnostic import Diagnostic, Severity
from dlclint.outcome import Outcome
from dlclint.own_rules import OWN_DOCS

_LEVEL = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def render(outcome: Outcome, stream: TextIO | None) -> str:
    """One run; rules carry their documentation, nodes are logical locations."""
    found = [item for file in outcome.files for item in file.diagnostics]
    ids = sorted({item.rule for item in found} | set(outcome.rule_docs))
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "dlclint",
                        "version": outcome.version,
                        "rules": [_rule(id, outcome) for id in ids],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(item, ids) for item in found],
            }
        ],
    }
    return json.dumps(log, indent=2, ensure_ascii=True) + "\n"


def _rule(id: str, outcome: Outcome) -> dict[str, Any]:
    docs = outcome.rule_docs.get(id) or OWN_DOCS.get(id, id)
    return {
        "id": id,
        "shortDescription": {"text": docs.partition("\n")[0]},
        "fullDescription": {"text": docs},
        "help": {"text": docs},
    }


def _uri(file: str) -> str:
    """A path as section 3.4.3 wants it: relative where it is, else with the scheme `file`."""
    path = PurePath(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _message(text: str) -> str:
    """A text as section 3.11 wants it, in which nothing from a model is a placeholder or a link."""
    return text.replace("{", "{{").replace("}", "}}").replace("](", "] (")


def _result(item: Diagnostic, ids: list[str]) -> dict[str, Any]:
    place = item.location
    physical: dict[str, Any] = {"artifactLocation": {"uri": _uri(place.file)}}
    if place.line is not None:
        physical["region"] = {"startLine": place.line, "startColumn": place.column or 1}
    location: dict[str, Any] = {"physicalLocation": physical}
    spot = f"{place.graph}#{place.node_index if place.node_index is not None else place.tensor}"
    if place.node_index is not None or place.tensor:
        location["logicalLocations"] = [
            {"name": place.node or place.tensor, "fullyQualifiedName": spot, "kind": place.op or "tensor"}
        ]
    text = f"{item.message}. To do: {item.help}." if item.help else item.message
    mark = "\0".join((item.rule, place.file.rpartition("/")[2], spot, place.tensor, item.message))
    properties: dict[str, Any] = {"confidence": item.confidence.value}
    if item.source is not None:
        properties["source"] = str(item.source)
    if item.fix is not None:
        # SARIF's own `fixes` hold text replacements, which a binary model does not have.
        properties["fix"] = {"title": item.fix.title, "safety": item.fix.safety.value}
    return {
        "ruleId": item.rule,
        "ruleIndex": ids.index(item.rule),
        "level": _LEVEL[item.severity],
        "message": {"text": _message(text)},
        "locations": [location],
        "partialFingerprints": {"dlclint/v1": hashlib.sha256(mark.encode()).hexdigest()},
        "properties": properties,
    }
