"""The limitations: 64 entries, each with the document it stands in; `limitations.schema.json` types them."""

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


@cache
def suggested_constants() -> Mapping[str, int]:
    """Constants that entries name in `constants`, as taken for parts of which no value is documented."""
    machines = (entry.get("machine", {}) for entry in limit_table().values())
    return MappingProxyType({m["name"]: m["suggested"] for m in machines if m.get("kind") == "constants"})


@cache
def socs_that_need_the_quantizer() -> frozenset[str]:
    """SoCs whose DSP takes no DLC but the quantizer's."""
    machines = (entry.get("machine", {}) for entry in limit_table().values())
    return frozenset(
        soc for m in machines if m.get("kind") == "requires_quantized_dlc" for soc in m.get("soc", ())
    )
