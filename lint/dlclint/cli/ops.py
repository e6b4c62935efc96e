"""`dlclint ops`: the rows of an op in the tables."""

from __future__ import annotations

import argparse

from dlclint.cli.errors import UsageError
from dlclint.cli.targets import sdk_of
from dlclint.diagnostic import plain
from dlclint.engine.registry import suggest
from dlclint_schemas.layers import layer_table
from dlclint_schemas.ops import OpTable, listed_since, op_table
from dlclint_schemas.precision import PRECISIONS, SUPPLEMENT, supplement_precisions
from dlclint_schemas.releases import Change, Release, changes, oldest_stated, release
from dlclint_schemas.remedies import remedy_in_any_case

COLUMNS = ("cpu", "gpu", "dsp_v66", "htp", "aip")


def show_op(args: argparse.Namespace) -> int:
    """Print the rows of one op, or one line per op.

    Raises:
        UsageError: the table has no such op.
    """
    sdk, op = release(sdk_of(args.sdk or "")), args.op
    table = op_table(sdk.table)
    if op is None:
        for row in table.rows.values():
            layers = ", ".join(layer_table().onnx_to_layers.get(row.name, ())) or "-"
            print(f"{row.name:<24} {','.join(map(str, row.versions)):<24} {layers}")
        return 0
    names = {name.lower(): name for name in table.rows}
    if op.lower() not in names:
        came = [change for change in changes() if op.lower() in map(str.lower, change.ops)]
        if came:
            name = next(name for name in came[0].ops if name.lower() == op.lower())
            print("\n".join([name, f"  not in {table.document}", *change_lines(came, sdk)]))
            return 0
        advice = remedy_in_any_case(op)
        known = f"; {advice}" if advice else "" if _is_onnx_op(op) else suggest(op, set(table.rows))
        raise UsageError(
            f"{plain(op)!r} is not in {table.document}, so the converter does not take it{known}"
        )
    name = names[op.lower()]
    *lines, sources = op_lines(name, table)
    print("\n".join([*lines, *change_lines(changes_of(name), sdk), sources]))
    return 0


def _is_onnx_op(name: str) -> bool:
    """Whether the name is that of an ONNX op, and not a misspelling."""
    # Imported here because it takes longer than printing the tables, and only an unknown op needs it.
    import onnx

    return any(schema.name == name and not schema.domain for schema in onnx.defs.get_all_schemas())


def changes_of(op: str) -> list[Change]:
    """The changes to an op in later releases."""
    return [change for change in changes() if op in change.ops]


def change_lines(came: list[Change], of: Release) -> list[str]:
    """What each release added, and whether a given release has it."""
    words = {True: "has it", False: "does not have it", None: "may have it"}
    return [
        f"  {change.runtime} since SDK {change.since_text}: {change.says}"
        + f"; SDK {of.name} {words[change.holds(of)]} ({change.source})"
        for change in came
    ]


def _listed(op: str, versions: tuple[int, ...]) -> str:
    """Versions with the release whose table lists them first, where that is not the oldest release."""
    oldest = oldest_stated()
    shown = []
    for version in versions:
        since = listed_since(op, version)
        shown.append(f"{version} (since SDK {since})" if since != oldest else str(version))
    return ", ".join(shown)


def op_lines(op: str, table: OpTable) -> list[str]:
    """The rows of the op table and the layer table for an op, line by line."""
    layers = layer_table()
    row = table.rows[op]
    lines = [op, f"  listed versions: {_listed(op, row.versions)}"]
    for unlisted in row.unlisted.values():
        same = "is the same" if unlisted.structure_unchanged else "differs"
        lines.append(
            f"  version {unlisted.version}: not listed, read as {unlisted.same_as}, whose structure {same}"
        )
    if row.notes:
        lines.append(f"  note: {row.notes}")
    for constraint in row.constraints:
        fields = ", ".join(f"{key} {value}" for key, value in constraint.fields.items())
        lines.append(f"  constraint: {table.constraint_kinds[constraint.kind]} ({fields or 'no parameters'})")
    for name in layers.onnx_to_layers.get(op, ()):
        layer = layers.rows[name]
        held = [column for column in COLUMNS if layer.runtimes[column]]
        lines.append(f"  layer {layer.number} {name}: {', '.join(held) or 'on no runtime'}")
    if op in layers.rowless:
        lines.append(f"  no layer names this op: {layers.rowless[op].why}")
    candidates = layers.rowless[op].candidate_layers if op in layers.rowless else ()
    for name in (*layers.onnx_to_layers.get(op, ()), *candidates):
        precisions = supplement_precisions((name,))
        if precisions:
            named = ", ".join(PRECISIONS[precision] for precision in precisions)
            lines.append(f"  {name} on htp by QNN's own table: {named} ({SUPPLEMENT})")
    if op in layers.derived:
        lines.append(f"  the link to the layer is derived: {layers.derived[op]}")
    return [*lines, f"  source: {row.document}; {layers.document}"]
