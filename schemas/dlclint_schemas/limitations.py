"""The limitations: 64 entries, each with the document it stands in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from dlclint_schemas.resource import frozen, load


@cache
def limit_table() -> Mapping[str, Mapping[str, Any]]:
    """Limit by id (LIM001 ...), read once; `document` and `title` say where it stands."""
    data = load("snpe_limitations")
    sources = data["sources"]
    rows = {}
    for row in data["limits"]:
        origin = sources[row["source"]]
        revision = f" Rev {origin['revision']}" if "revision" in origin else ""
        rows[row["id"]] = frozen(
            {**row, "document": f"{origin['document']}{revision}", "title": origin["title"]}
        )
    return MappingProxyType(rows)


@cache
def limit_effects() -> Mapping[str, str]:
    """What each kind of effect means, read once."""
    effects: Mapping[str, str] = frozen(load("snpe_limitations")["effects"])
    return effects
