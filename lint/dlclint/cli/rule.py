"""`dlclint rule`: a rule's documentation is its docstring."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from dlclint.cli.errors import UsageError
from dlclint.diagnostic import plain
from dlclint.engine.registry import BrokenRules, all_rules, suggest
from dlclint.own_rules import OWN_DOCS


def _list(docs: Mapping[str, str]) -> None:
    """One line per rule."""
    width = max(map(len, docs))
    for name, text in sorted(docs.items()):
        print(f"{name:<{width}}  {text.partition(chr(10))[0]}")


def show_rule(given: argparse.Namespace) -> int:
    """Print one rule's documentation, or one line per rule, of one family or of all.

    Raises:
        UsageError: there is no such rule.
    """
    try:
        docs = {rule.id: rule.page for rule in all_rules()} | OWN_DOCS
    except BrokenRules as error:
        raise UsageError(str(error)) from None
    id = given.id
    if id is None:
        _list(docs)
        return 0
    family = {name: text for name, text in docs.items() if name.partition("/")[0] == id.lower().rstrip("/")}
    if family:
        _list(family)
        return 0
    id = id.lower()
    if id not in docs:
        known = suggest(id, set(docs)) or "; `dlclint rule` lists them"
        raise UsageError(f"no rule is called {plain(id)!r}{known}")
    print(f"{id}\n\n{docs[id]}")
    return 0
