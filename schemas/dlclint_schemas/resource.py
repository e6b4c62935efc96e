"""The way to open a data file of this package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Any


def load(name: str) -> dict[str, Any]:
    """The parsed content of `data/<name>.json`."""
    data = json.loads(files(__package__).joinpath(f"data/{name}.json").read_bytes())
    assert isinstance(data, dict)
    return data


def citation(source: Mapping[str, Any]) -> str:
    """A document as rules cite it: number, revision and the page's title."""
    title = str(source["title"]).rpartition(" - ")[2]
    return f"{source['document']} Rev {source['revision']}, {title}"


def frozen(value: Any) -> Any:
    """`value` with every list made a tuple and every dict read-only."""
    if isinstance(value, dict):
        return MappingProxyType({key: frozen(element) for key, element in value.items()})
    return tuple(frozen(element) for element in value) if isinstance(value, list) else value
