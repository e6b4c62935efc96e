"""The supported-ops tables: 80-63442-2 Rev BL, Supported ONNX Ops (122 rows), and what is known of newer.

`snpe-2025-06` is that table. Of `qairt-2026` (80-63442-10) only the first 24 rows could be read; rows it
lacks are those of an October 2025 revision where that was read, else those of `snpe-2025-06`, and each
says so by its `document`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Any

from dlclint_schemas.record import record
from dlclint_schemas.resource import citation, frozen, load


@record
class Constraint:
    """One restriction of a row; `kind` is explained in `OpTable.constraint_kinds`."""

    kind: str
    op: str
    fields: Mapping[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        """A field of the constraint, such as `attribute`, `value`, `ranks` or `inputs`."""
        return self.fields.get(name, default)

    def applies_to(self, version: int) -> bool:
        """Whether the restriction exists for this operator version."""
        return int(self.get("since_op_version", 1)) <= version <= int(self.get("max_op_version", version))


@record
class UnlistedVersion:
    """A registry version that the table does not list, compared with the last listed one."""

    version: int
    same_as: int | None
    structure_unchanged: bool


@record
class OpRow:
    """One op: listed operator versions (since_versions, not model opsets) and constraints."""

    name: str
    versions: tuple[int, ...]
    notes: str
    constraints: tuple[Constraint, ...]
    registry_versions: tuple[int, ...]
    unlisted: Mapping[int, UnlistedVersion]
    document: str
    """Where this row stands."""


@record
class OpTable:
    """The whole table, by op name. `document` is the table's own; fallback rows have another."""

    rows: Mapping[str, OpRow]
    document: str
    stated_max_opset: int
    constraint_kinds: Mapping[str, str]
    absent_ops: tuple[str, ...]

    @property
    def fallback_rows(self) -> frozenset[str]:
        """Ops whose row is another document's."""
        return frozenset(name for name, row in self.rows.items() if row.document != self.document)


DEFAULT_SDK, NEWER_SDK = "snpe-2025-06", "qairt-2026"
SDKS = (DEFAULT_SDK, NEWER_SDK)


@cache
def op_table(sdk: str = DEFAULT_SDK) -> OpTable:
    """The table of an SDK, read once.

    Raises:
        KeyError: no such SDK.
    """
    if sdk not in SDKS:
        raise KeyError(sdk)
    data = load("snpe_onnx_ops")
    document = citation(data["source"])
    rows = {name: _row(name, row, document) for name, row in data["ops"].items()}
    table = OpTable(
        MappingProxyType(rows),
        document,
        int(data["source"]["stated_max_opset"]),
        frozen(data["constraint_kinds"]),
        tuple(data["onnx_ops_absent_from_table"]),
    )
    return table if sdk == DEFAULT_SDK else _newer(table)


def _newer(table: OpTable) -> OpTable:
    data = load("qairt_onnx_ops")
    between = data["intermediate_revision"]
    document = f"{data['source']['document']}, Supported ONNX Ops"
    rows = dict(table.rows)
    for name, versions in between["ops"].items():
        if tuple(versions) != rows[name].versions:
            rows[name] = _listing_more(
                rows[name], tuple(versions), f"{between['document']} (October 2025), Supported ONNX Ops"
            )
    for name, row in data["ops"].items():
        rows[name] = replace(
            _listing_more(table.rows[name], tuple(row["opset_versions"]), document),
            notes=row["notes"],
            constraints=_constraints(name, row),
        )
    return replace(
        table,
        rows=MappingProxyType(rows),
        document=document,
        stated_max_opset=int(data["completeness"]["opset_ceiling"]),
    )


def _listing_more(row: OpRow, versions: tuple[int, ...], document: str) -> OpRow:
    unlisted = {version: item for version, item in row.unlisted.items() if version not in versions}
    return replace(row, versions=versions, unlisted=MappingProxyType(unlisted), document=document)


def _constraints(name: str, row: Mapping[str, Any]) -> tuple[Constraint, ...]:
    return tuple(
        Constraint(item["kind"], name, frozen({k: v for k, v in item.items() if k != "kind"}))
        for item in row["constraints"]
    )


def _row(name: str, row: dict[str, Any], document: str) -> OpRow:
    unlisted = {
        item["version"]: UnlistedVersion(
            item["version"], item.get("same_attributes_inputs_outputs_as"), item["structure_unchanged"]
        )
        for item in row.get("unlisted_registry_versions_up_to_21") or ()
    }
    return OpRow(
        name,
        tuple(row["opset_versions"]),
        row["notes"],
        _constraints(name, row),
        tuple(row.get("registry_versions") or ()),
        MappingProxyType(unlisted),
        document,
    )
