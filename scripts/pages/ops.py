"""The supported-ops table, op by op, as `dlclint ops` prints it."""

from __future__ import annotations

from dlclint.cli.ops import op_lines
from dlclint_schemas.ops import op_table


def files() -> dict[str, str]:
    """docs/tables/ops.md."""
    table = op_table()
    blocks = "\n\n".join("\n".join(op_lines(op, table)[:-1]) for op in table.rows)
    return {"docs/tables/ops.md": f"# Supported ops\n\nSource: {table.document}.\n\n```text\n{blocks}\n```\n"}
