"""The supported-ops table: 80-63442-2 Rev BL, Supported ONNX Ops (122 rows)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from dlclint_schemas.resource import citation, frozen, load


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class UnlistedVersion:
    """A registry version that the table does not list, compared with the last listed one."""

    version: int
    same_as: int | None
    structure_unchanged: bool


@dataclass(frozen=True, slots=True)
class OpRow:
    """One op: listed operator versions (since_versions, not model opsets) and constraints."""

    name: str
    versions: tuple[int, ...]
    notes: str
    constraints: tuple[Constraint, ...]
    registry_versions: tuple[int, ...]
    unlisted: Mapping[int, UnlistedVersion]


@dataclass(frozen=True, slots=True)
class OpTable:
    """The whole table, by op name."""

    rows: Mapping[str, OpRow]
    document: str
    stated_max_opset: int
    constraint_kinds: Mapping[str, str]
    absent_ops: tuple[str, ...]


@cache
def op_table() -> OpTable:
    """The table, read once."""
    data = load("snpe_onnx_ops")
    rows = {name: _row(name, row) for name, row in data["ops"].items()}
    return OpTable(
        MappingProxyType(rows),
        citation(data["source"]),
        int(data["source"]["stated_max_opset"]),
        frozen(data["constraint_kinds"]),
        tuple(data["onnx_ops_absent_from_table"]),
    )


def _row(name: str, row: dict[str, Any]) -> OpRow:
    constraints = tuple(
        Constraint(item["kind"], name, frozen({k: v for k, v in item.items() if k != "kind"}))
        for item in row["constraints"]
    )
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
        constraints,
        tuple(row.get("registry_versions") or ()),
        MappingProxyType(unlisted),
    )
