"""The layer table by runtime: 80-63442-2 Rev BL, Supported Network Layers (134 rows)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from dlclint_schemas.record import record
from dlclint_schemas.resource import citation, frozen, load


@record
class LayerRow:
    """One layer: its ONNX column and which runtime columns (cpu, gpu, aip, htp, dsp_v66) have it."""

    number: int
    name: str
    onnx: tuple[str, ...]
    runtimes: Mapping[str, bool]
    note: str
    other_domain: str
    other_domain_ops: tuple[str, ...]
    is_sequence: bool


@record
class RowlessOp:
    """An op of the ops table that no layer row names.

    `kind` is `folded_or_removed`, `row_exists_onnx_column_blank` or `no_row`.
    """

    op: str
    kind: str
    candidate_layers: tuple[str, ...]
    why: str


@record
class LayerTable:
    """The whole table by layer name, and the mappings from ONNX ops to layers."""

    rows: Mapping[str, LayerRow]
    onnx_to_layers: Mapping[str, tuple[str, ...]]
    derived: Mapping[str, str]
    """Op to the reason, for links that are derived and not printed."""
    conditions: tuple[Mapping[str, Any], ...]
    rowless: Mapping[str, RowlessOp]
    other_domain_layers: Mapping[tuple[str, str], str]
    """(domain, op) to layer."""
    document: str


@cache
def layer_table() -> LayerTable:
    """The table, read once."""
    data = load("snpe_network_layers")
    rows = {row["name"]: _row(row) for row in data["layers"]}
    rowless = {
        row["onnx"]: RowlessOp(row["onnx"], row["class"], tuple(row["candidate_layers"]), row["why"])
        for row in data["flags"]["onnx_ops_in_ops_table_without_layer_row"]
    }
    conditions = data["onnx_to_layers_conditions"]
    return LayerTable(
        MappingProxyType(rows),
        frozen(data["onnx_to_layers"]),
        MappingProxyType(
            {condition["onnx"]: condition["why"] for condition in conditions if condition.get("derived")}
        ),
        tuple(frozen(condition) for condition in conditions if not condition.get("derived")),
        MappingProxyType(rowless),
        MappingProxyType(
            {(row.other_domain, op): row.name for row in rows.values() for op in row.other_domain_ops}
        ),
        citation(data["source"]),
    )


def _row(row: dict[str, Any]) -> LayerRow:
    other = row.get("onnx_other_domain") or {}
    return LayerRow(
        row["no"],
        row["name"],
        tuple(row["onnx"]),
        frozen(row["runtimes"]),
        row["onnx_note"],
        other.get("domain", ""),
        tuple(other.get("ops", ())),
        bool(row.get("onnx_is_sequence")),
    )
