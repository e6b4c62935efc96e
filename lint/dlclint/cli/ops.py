"""`dlclint ops`: what the tables say of an op."""

from __future__ import annotations

import argparse

from dlclint.cli.errors import UsageError
from dlclint.diagnostic import plain
from dlclint.engine.registry import suggest
from dlclint_schemas.layers import layer_table
from dlclint_schemas.ops import OpTable, op_table

COLUMNS = ("cpu", "gpu", "dsp_v66", "htp", "aip")


def show_op(given: argparse.Namespace) -> int:
    """Print the rows of one op, or one line per op.

    Raises:
        UsageError: the table has no such op.
    """
    table, op = op_table(given.sdk), given.op
    if op is None:
        for row in table.rows.values():
            layers = ", ".join(layer_table().onnx_to_layers.get(row.name, ())) or "-"
            print(f"{row.name:<24} {','.join(map(str, row.versions)):<24} {layers}")
        return 0
    names = {name.lower(): name for name in table.rows}
    if op.lower() not in names:
        known = suggest(op, set(table.rows))
        raise UsageError(f"{plain(op)} is not in {table.document}, so the converter does not take it{known}")
    print("\n".join(op_lines(names[op.lower()], table)))
    return 0


def op_lines(op: str, table: OpTable) -> list[str]:
    """What the op table and the layer table say of an op of the table, line by line."""
    layers = layer_table()
    row = table.rows[op]
    lines = [op, f"  listed versions: {', '.join(map(str, row.versions))}"]
    for unlisted in row.unlisted.values():
        what = "same structure" if unlisted.structure_unchanged else "structure changed"
        lines.append(f"  version {unlisted.version}: not listed, {what} as {unlisted.same_as}")
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
    if op in layers.derived:
        lines.append(f"  the link to the layer is derived: {layers.derived[op]}")
    return [*lines, f"  source: {row.document}; {layers.document}"]
