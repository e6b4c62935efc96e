"""The place of a finding in words, for every format that is read as text."""

from __future__ import annotations

from collections.abc import Iterator

from dlclint.diagnostic import Diagnostic, Location


def place_text(place: Location) -> str:
    """Such as `node 3 conv1 (Conv, tensor x)`, `tensor x` or `line 4, column 7`; "" for the file itself."""
    if place.line is not None:
        return f"line {place.line}, column {place.column or 1}"
    if place.node_index is not None:
        graph = f"{place.graph}/" if place.graph else ""
        name = f" {place.node}" if place.node else ""
        # Some exporters name a node as what it makes.
        tensor = f", tensor {place.tensor}" if place.tensor and place.tensor != place.node else ""
        return f"{graph}node {place.node_index}{name} ({place.op}{tensor})"
    if place.tensor:
        return f"tensor {place.tensor}"
    return place.graph


def at_text(place: Location) -> str:
    """` (at ...)` after a sentence; "" for the file itself."""
    where = place_text(place)
    return f" (at {where})" if where else ""


def related_texts(finding: Diagnostic) -> Iterator[str]:
    """Each other place that a finding names: what is there, and the file where it is another."""
    for other in finding.related:
        file = "" if other.location.file == finding.location.file else f"{other.location.file}, "
        yield f"{other.what}: {file}{place_text(other.location)}"


def cause_text(finding: Diagnostic) -> str:
    """What a finding follows from, such as `follows from RULE (at PLACE)`; "" for nothing."""
    cause = finding.cause
    return "" if cause is None else f"follows from {cause.rule}{at_text(cause.location)}"
