"""The layer table by runtime."""

from __future__ import annotations

from dlclint.cli.ops import COLUMNS
from dlclint_schemas.layers import layer_table
from pages._markdown import table


def files() -> dict[str, str]:
    """docs/tables/layers.md."""
    layers = layer_table()
    rows = (
        (
            str(row.number),
            row.name,
            ", ".join(row.onnx),
            *("yes" if row.runtimes[column] else "no" for column in COLUMNS),
        )
        for row in layers.rows.values()
    )
    body = table(("no", "layer", "ONNX", *COLUMNS), rows)
    return {"docs/tables/layers.md": f"# Layers by runtime\n\nSource: {layers.document}.\n\n{body}"}
