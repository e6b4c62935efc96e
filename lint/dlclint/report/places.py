"""The place of a finding in words, for every text format."""

from __future__ import annotations

from collections.abc import Iterator

from dlclint.diagnostic import Diagnostic, Location


def place_text(location: Location) -> str:
    """A text such as `node 3 conv1 (Conv, tensor x)` or `line 4, column 7`; "" for the file itself."""
    if location.line is not None:
        return f"line {location.line}, column {location.column or 1}"
    if location.node_index is not None:
        graph = f"{location.graph}/" if location.graph else ""
        name = f" {location.node}" if location.node else ""
        # Some exporters give a node the name of its output.
        tensor = f", tensor {location.tensor}" if location.tensor and location.tensor != location.node else ""
        return f"{graph}node {location.node_index}{name} ({location.op}{tensor})"
    if location.tensor:
        return f"tensor {location.tensor}"
    return location.graph


def at_text(location: Location) -> str:
    """` (at ...)` after a sentence; "" for the file itself."""
    where = place_text(location)
    return f" (at {where})" if where else ""


def related_texts(finding: Diagnostic) -> Iterator[str]:
    """Each other place of a finding: its description, and the file where it is another."""
    for other in finding.related:
        file = "" if other.location.file == finding.location.file else f"{other.location.file}, "
        yield f"{other.description}: {file}{place_text(other.location)}"


def cause_text(finding: Diagnostic) -> str:
    """The cause of a finding, such as `follows from RULE (at PLACE)`; "" without one."""
    cause = finding.cause
    return "" if cause is None else f"follows from {cause.rule}{at_text(cause.location)}"
