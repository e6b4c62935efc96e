"""`dlclint rule`: a rule's documentation is its docstring."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from dlclint.cli.errors import UsageError
from dlclint.diagnostic import plain
from dlclint.engine.registry import BrokenRules, all_rules, suggest
from dlclint.own_rules import OWN_DOCS


def _list(docs: Mapping[str, str]) -> None:
    """One line per rule."""
    width = max(map(len, docs))
    for name, text in sorted(docs.items()):
        print(f"{name:<{width}}  {text.partition(chr(10))[0]}")


def _show(docs: Mapping[str, str], form: str) -> None:
    if form == "json":
        print(json.dumps([_described(id, docs[id]) for id in sorted(docs)], indent=2))
    else:
        _list(docs)


def _described(id: str, docs: str) -> dict[str, Any]:
    """What is known of a rule, for programs."""
    rule = next((rule for rule in all_rules() if rule.id == id), None)
    title, _, rest = docs.partition("\n")
    return {
        "id": id,
        "family": id.partition("/")[0],
        "title": title,
        "documentation": rest.strip(),
        "about": None if rule is None else rule.about.value,
        "subject": None if rule is None else rule.subject.value,
        "fix": [] if rule is None else sorted(safety.value for safety in rule.fix),
        "follows": {} if rule is None else {other: reach.value for other, reach in rule.follows.items()},
    }


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
        _show(docs, given.format)
        return 0
    family = {name: text for name, text in docs.items() if name.partition("/")[0] == id.lower().rstrip("/")}
    if family:
        _show(family, given.format)
        return 0
    id = id.lower()
    if id not in docs:
        known = suggest(id, set(docs)) or "; `dlclint rule` lists them"
        raise UsageError(f"no rule is called {plain(id)!r}{known}")
    if given.format == "json":
        print(json.dumps(_described(id, docs[id]), indent=2))
    else:
        print(f"{id}\n\n{docs[id]}")
    return 0
