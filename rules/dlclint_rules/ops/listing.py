"""Ops and operator versions that the supported-ops table does not list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlclint.analysis.versions import Listing, listing_for
from dlclint.diagnostic import About, Safety, Severity
from dlclint.model.graph import Node
from dlclint.rule import Finding, ModelContext, rule
from dlclint_rules import repairs, sources
from dlclint_rules.causes import anywhere, here
from dlclint_schemas.remedies import remedy

if TYPE_CHECKING:
    pass


@rule(about=About.CONVERSION, follows=here("quantization/already-quantized"))
def unsupported(context: ModelContext) -> Iterator[Finding]:
    """The op is not in the supported-ops table.

    Why: the converter stops at an op that it cannot translate.
    What to do: rewrite it with listed ops, move it out of the model, or supply an op package.
    """
    rows = context.view.table.rows
    for node in context.view.official_nodes:
        if node.op_type not in rows:
            yield Finding(
                f"{node.op_type} is not in the supported-ops table",
                Severity.ERROR,
                sources.op_row(context.view.table),
                help=remedy(node.op_type)
                or "rewrite it with listed ops (`dlclint ops`), or move it out of the model",
                node=node,
            )


def _unlisted(context: ModelContext, listing: Listing) -> Iterator[tuple[Node, int, int]]:
    for node in context.view.official_nodes:
        version = node.version
        if version is not None and listing_for(context.view.table, node) is listing:
            versions = context.view.table.rows[node.op_type].versions
            known = max((v for v in versions if v < version), default=max(versions))
            yield node, version, known


@rule(about=About.CONVERSION, follows=anywhere("model/opset-too-new"))
def version_not_listed(context: ModelContext) -> Iterator[Finding]:
    """The operator version is not listed, but has the structure of a listed one.

    Why: the table lists since_versions and is not a whitelist. The converter warns and treats the node as the
    highest version it knows, which here has the same attributes, inputs and outputs. One finding covers all
    nodes of an op in a model.
    What to do: nothing, or export at the opset that the summary names.
    """
    advice = _export_help(context) or "no action needed: the converter warns and continues"
    alike: dict[tuple[str, int, int], list[Node]] = {}
    for node, version, known in _unlisted(context, Listing.UNLISTED_SAME):
        alike.setdefault((node.op_type, version, known), []).append(node)
    for (op, version, known), nodes in alike.items():
        where = f" ({len(nodes)} nodes)" if len(nodes) > 1 else ""
        yield Finding(
            f"{op} {version}{where} is not listed; it is read as {known}, whose structure is the same",
            Severity.INFO,
            sources.op_row(context.view.table, op),
            help=advice,
            node=nodes[0],
            evidence={"version": version, "read_as": known, "nodes": len(nodes)},
        )


@rule(fix=[Safety.SAFE], about=About.CONVERSION, follows=anywhere("model/opset-too-new"), weights=True)
def version_changed_structure(context: ModelContext) -> Iterator[Finding]:
    """The operator version is not listed and differs in structure from the listed ones.

    Why: the converter warns and reads the node as the highest version it knows, so attributes that became
    inputs, or new ones, are lost or misread.
    What to do: export at the opset that the summary names.
    """
    changed = list(_unlisted(context, Listing.UNLISTED_CHANGED))
    fix = repairs.versions.downgraded(context.view) if changed else None
    advice = _export_help(context)
    for node, version, known in changed:
        yield Finding(
            f"{node.op_type} {version} is not listed and is read as {known}, whose structure differs",
            Severity.WARNING,
            sources.op_row(context.view.table, node.op_type),
            help=advice
            or f"no opset lists every op of this model; at opset {known} {node.op_type} is listed",
            node=node,
            evidence={"version": version, "read_as": known},
            fix=fix,
        )


def _export_help(context: ModelContext) -> str:
    newest, rows = context.view.newest_listed_opset, context.view.table.rows
    unlisted = any(node.op_type not in rows for node in context.view.official_nodes)
    return f"at opset {newest} every {'other ' * unlisted}op of this model is listed" if newest else ""
