"""The limitations: 64 entries, each with its document; `limitations.schema.json` types them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from dlclint_schemas.resource import frozen, load


@cache
def limit_table() -> Mapping[str, Mapping[str, Any]]:
    """Limit by id (LIM001 ...), read once; `document` and `title` are its source."""
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
    """The meaning of each kind of effect, read once."""
    effects: Mapping[str, str] = frozen(load("snpe_limitations")["effects"])
    return effects


@cache
def suggested_constants() -> Mapping[str, int]:
    """Constants in `constants` of entries, as assumed for parts without a documented value."""
    machines = (entry.get("machine", {}) for entry in limit_table().values())
    return MappingProxyType({m["name"]: m["suggested"] for m in machines if m.get("kind") == "constants"})


@cache
def socs_that_need_the_quantizer() -> frozenset[str]:
    """SoCs whose DSP only takes DLCs of the quantizer."""
    machines = (entry.get("machine", {}) for entry in limit_table().values())
    return frozenset(
        soc for m in machines if m.get("kind") == "requires_quantized_dlc" for soc in m.get("soc", ())
    )
