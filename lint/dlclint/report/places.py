"""The place of a finding in words, for every format that is read as text."""

from __future__ import annotations

from dlclint.diagnostic import Location


def place_text(place: Location) -> str:
    """Such as `node 3 conv1 (Conv, tensor x)`, `tensor x` or `line 4, column 7`; "" for the file itself."""
    if place.line is not None:
        return f"line {place.line}, column {place.column or 1}"
    if place.node_index is not None:
        graph = f"{place.graph}/" if place.graph else ""
        name = f" {place.node}" if place.node else ""
        return f"{graph}node {place.node_index}{name} ({place.op}, tensor {place.tensor})"
    if place.tensor:
        return f"tensor {place.tensor}"
    return place.graph
