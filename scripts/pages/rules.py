"""One page per rule, and an index."""

from __future__ import annotations

from dlclint.engine.registry import all_rules


def files() -> dict[str, str]:
    """docs/rules."""
    rules = all_rules()
    found = {f"docs/rules/{rule.id}.md": f"# {rule.id}\n\n{rule.page}\n" for rule in rules}
    lines = [f"- [{rule.id}]({rule.id}.md): {rule.title}" for rule in rules]
    found["docs/rules/index.md"] = "# Rules\n\n" + "\n".join(lines) + "\n"
    return found
