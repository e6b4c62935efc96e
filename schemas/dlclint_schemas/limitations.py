"""The limitations: 64 entries, each with the document and section it stands in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from dlclint_schemas.resource import frozen, load


@cache
def limit_table() -> Mapping[str, Mapping[str, Any]]:
    """Limit by id (LIM001 ...), read once."""
    return MappingProxyType({row["id"]: frozen(row) for row in load("snpe_limitations")["limits"]})
