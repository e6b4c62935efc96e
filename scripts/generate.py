"""Write the generated documentation, or with `--check` fail if it is not fresh.

`docs/rules` and `docs/tables` are generated whole; what else lies in `docs` is written by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dlclint.cli.ops import COLUMNS, op_lines
from dlclint.engine.registry import all_rules
from dlclint_schemas.layers import layer_table
from dlclint_schemas.ops import op_table

DOCS = Path(__file__).parent.parent / "docs"
GENERATED = ("rules", "tables")


def pages() -> dict[str, str]:
    """Every generated page by its path under docs/."""
    rules = all_rules()
    found = {f"rules/{rule.id}.md": f"# {rule.id}\n\n{rule.docs}\n" for rule in rules}
    lines = [f"- [{rule.id}]({rule.id}.md): {rule.title}" for rule in rules]
    found["rules/index.md"] = "# Rules\n\n" + "\n".join(lines) + "\n"
    table = op_table()
    blocks = "\n\n".join("\n".join(op_lines(op)[:-1]) for op in table.rows)
    found["tables/ops.md"] = f"# Supported ops\n\nSource: {table.document}.\n\n```text\n{blocks}\n```\n"
    layers = layer_table()
    head = f"| no | layer | ONNX | {' | '.join(COLUMNS)} |\n|{' --- |' * (3 + len(COLUMNS))}\n"
    rows = "".join(
        f"| {row.number} | {row.name} | {', '.join(row.onnx)} | "
        f"{' | '.join('yes' if row.runtimes[column] else 'no' for column in COLUMNS)} |\n"
        for row in layers.rows.values()
    )
    found["tables/layers.md"] = f"# Layers by runtime\n\nSource: {layers.document}.\n\n{head}{rows}"
    return found


def main(arguments: list[str]) -> int:
    """Exit 1 if `--check` is given and a page is stale, missing or left over."""
    wanted = pages()
    present = {p.relative_to(DOCS).as_posix() for folder in GENERATED for p in (DOCS / folder).rglob("*.md")}
    if arguments == ["--check"]:
        stale = [n for n, text in wanted.items() if n not in present or (DOCS / n).read_text("utf-8") != text]
        stale += sorted(present - set(wanted))
        for name in stale:
            print(f"docs/{name} is not fresh; run python scripts/generate.py")
        return 1 if stale else 0
    for name in present - set(wanted):
        (DOCS / name).unlink()
    for name, text in wanted.items():
        (DOCS / name).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
