"""The supported-ops tables: 80-63442-2 Rev BL, Supported ONNX Ops (122 rows), and parts of newer ones.

Each table applies to the releases from one on (`dlclint_schemas.releases`). `snpe-2025-06` was read
completely; of `qairt-2025-10` the first 29 rows and of `qairt-2026` (80-63442-10) the first 24. Missing rows
of a table are those of the one before, and the `document` of each states its source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Any

from dlclint_schemas.record import record
from dlclint_schemas.releases import releases
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
    """The source of this row."""


@record
class OpTable:
    """The whole table, by op name. `document` was read completely; rows of newer documents have their own."""

    name: str
    rows: Mapping[str, OpRow]
    document: str
    stated_max_opset: int
    constraint_kinds: Mapping[str, str]
    absent_ops: tuple[str, ...]

    @property
    def documents(self) -> tuple[str, ...]:
        """The numbers of the documents of its rows, the newest first."""
        every = {row.document for row in self.rows.values()}
        numbers = sorted({document.split(maxsplit=1)[0].rstrip(",") for document in every})
        return tuple(numbers) if len(every) > 1 else (self.document.partition(",")[0],)


WHOLE, BETWEEN, NEWEST = TABLES = ("snpe-2025-06", "qairt-2025-10", "qairt-2026")


@cache
def op_table(name: str = NEWEST) -> OpTable:
    """A table by name, read once.

    Raises:
        KeyError: there is no such table.
    """
    return {WHOLE: _whole, BETWEEN: _between, NEWEST: _newest}[name]()


def _whole() -> OpTable:
    data = load("snpe_onnx_ops")
    document = citation(data["source"])
    rows = {name: _row(name, row, document) for name, row in data["ops"].items()}
    return OpTable(
        WHOLE,
        MappingProxyType(rows),
        document,
        int(data["source"]["stated_max_opset"]),
        frozen(data["constraint_kinds"]),
        tuple(data["onnx_ops_absent_from_table"]),
    )


def _between() -> OpTable:
    table, revision = op_table(WHOLE), load("qairt_onnx_ops")["intermediate_revision"]
    document = f"{revision['document']} (October 2025), Supported ONNX Ops"
    rows = dict(table.rows)
    for name, versions in revision["ops"].items():
        rows[name] = _listing_more(rows[name], tuple(versions), document)
    return _next(table, BETWEEN, rows)


def _newest() -> OpTable:
    table, data = op_table(BETWEEN), load("qairt_onnx_ops")
    document = f"{data['source']['document']}, Supported ONNX Ops"
    rows = dict(table.rows)
    for name, row in data["ops"].items():
        rows[name] = replace(
            _listing_more(rows[name], tuple(row["opset_versions"]), document),
            notes=row["notes"],
            constraints=_constraints(name, row),
        )
    return _next(table, NEWEST, rows)


def _next(table: OpTable, name: str, rows: dict[str, OpRow]) -> OpTable:
    """A newer table based on the one before."""
    opset = next(release.opset for release in releases().values() if release.table == name)
    return replace(table, name=name, rows=MappingProxyType(rows), stated_max_opset=opset)


def listed_since(op: str, version: int) -> str:
    """The first release whose table lists an operator version; "" where none does."""
    for table in TABLES:
        row = op_table(table).rows.get(op)
        if row is not None and version in row.versions:
            return next(release.stated_for for release in releases().values() if release.table == table)
    return ""


def _listing_more(row: OpRow, versions: tuple[int, ...], document: str) -> OpRow:
    unlisted = {
        version: unlisted_version
        for version, unlisted_version in row.unlisted.items()
        if version not in versions
    }
    return replace(row, versions=versions, unlisted=MappingProxyType(unlisted), document=document)


def _constraints(name: str, row: Mapping[str, Any]) -> tuple[Constraint, ...]:
    return tuple(
        Constraint(constraint["kind"], name, frozen({k: v for k, v in constraint.items() if k != "kind"}))
        for constraint in row["constraints"]
    )


def _row(name: str, row: dict[str, Any], document: str) -> OpRow:
    unlisted = {
        version["version"]: UnlistedVersion(
            version["version"],
            version.get("same_attributes_inputs_outputs_as"),
            version["structure_unchanged"],
        )
        for version in row.get("unlisted_registry_versions_up_to_21") or ()
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
