"""Operator versions compared with the supported-ops table.

The table lists operator since_versions and is not a whitelist: the converter warns about a version it
does not list and uses the highest it knows.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import onnx

from dlclint.model.attributes import schema_of
from dlclint.model.graph import Node
from dlclint_schemas.ops import OpTable


class Listing(enum.Enum):
    """How a node's operator version relates to the table."""

    ABSENT = "absent"
    LISTED = "listed"
    UNLISTED_SAME = "unlisted, structure unchanged"
    UNLISTED_CHANGED = "unlisted, structure changed"
    UNKNOWN = "unknown"
    """The registry does not know which version the node resolves to."""


def listing_of(table: OpTable, op: str, version: int | None) -> Listing:
    """How an operator version of the default domain relates to the table."""
    row = table.rows.get(op)
    if row is None:
        return Listing.ABSENT
    if version is None:
        return Listing.UNKNOWN
    if version in row.versions:
        return Listing.LISTED
    unlisted = row.unlisted.get(version)
    if unlisted is None:
        # Beyond the opset that the tool claims: compare with the newest listed version here.
        return (
            Listing.UNLISTED_SAME
            if same_structure(op, version, max(row.versions))
            else Listing.UNLISTED_CHANGED
        )
    return Listing.UNLISTED_SAME if unlisted.structure_unchanged else Listing.UNLISTED_CHANGED


_SMALL_FLOATS = frozenset(
    value
    for name, value in onnx.TensorProto.DataType.items()
    if name.startswith(("FLOAT8", "FLOAT4", "FLOAT6"))
)
"""Element types that `saturate` is about."""


def listing_for(table: OpTable, node: Node) -> Listing:
    """How a node's operator version relates to the table; only features that the node uses count."""
    listing = listing_of(table, node.op_type, node.version)
    if listing is Listing.UNLISTED_CHANGED and _uses_nothing_new(
        node, max(table.rows[node.op_type].versions)
    ):
        return Listing.UNLISTED_SAME
    return listing


def _uses_nothing_new(node: Node, listed: int) -> bool:
    """Cast 19 and later only added `saturate`, for 8-bit floats; Dropout does nothing at inference."""
    if node.op_type == "Cast":
        return node.attribute("to") not in _SMALL_FLOATS
    if node.op_type == "Dropout":
        training = node.input(2)
        value = node.graph.small_value(training) if training else None
        return not training or (value is not None and not value.any())
    return node.op_type == "Sign" and same_structure("Sign", node.version or listed, listed)


def _layout(schema: onnx.defs.OpSchema) -> tuple[object, ...]:
    attributes = tuple(
        (name, str(schema.attributes[name].default_value), schema.attributes[name].required)
        for name in sorted(schema.attributes)
    )
    ends = tuple((str(parameter.option), parameter.name) for parameter in (*schema.inputs, *schema.outputs))
    return attributes, ends


def same_structure(op: str, version: int, listed: int) -> bool:
    """Whether two versions of an op have the same attributes, defaults, inputs and outputs."""
    new, old = schema_of(op, "", version), schema_of(op, "", listed)
    return new is not None and old is not None and _layout(new) == _layout(old)


def newest_listed_opset(table: OpTable, nodes: Iterable[Node]) -> int | None:
    """The newest opset at which every op of the nodes has a listed version, if there is one.

    Only ops in the table count, up to the opset that the table claims.
    """
    ops = {node.op_type for node in nodes if not node.domain and node.op_type in table.rows}
    for opset in range(table.stated_max_opset, 0, -1):
        if all(_is_listed_at(table, op, opset) for op in ops):
            return opset
    return None


def _is_listed_at(table: OpTable, op: str, opset: int) -> bool:
    schema = schema_of(op, "", opset)
    return schema is not None and schema.since_version in table.rows[op].versions
