"""`dlclint rule`: a rule's documentation is its docstring."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from dlclint.cli.errors import UsageError
from dlclint.diagnostic import plain
from dlclint.engine.registry import ENCODINGS_GROUP, GROUP, BrokenRules, all_rules, broken_plugins, suggest
from dlclint.own_rules import OWN_DOCS
from dlclint.rule import Rule
from dlclint.version import __version__


def _list(docs: Mapping[str, str]) -> None:
    """One line per rule; that of a plugin's rule ends in the plugin's name and version."""
    width = max(map(len, docs))
    origins = {rule.id: f" [{plain(rule.origin)}]" for rule in all_rules() if rule.origin}
    for name, text in sorted(docs.items()):
        print(f"{name:<{width}}  {text.partition(chr(10))[0]}{origins.get(name, '')}")


def _show(docs: Mapping[str, str], form: str) -> None:
    if form == "json":
        print(json.dumps([_described(id, docs[id]) for id in sorted(docs)], indent=2))
    else:
        _list(docs)


def _described(id: str, docs: str) -> dict[str, Any]:
    """The description of a rule, for programs."""
    rule = next((rule for rule in all_rules() if rule.id == id), None)
    title, _, rest = docs.partition("\n")
    return {
        "id": id,
        "family": id.partition("/")[0],
        "origin": _origin(rule),
        "title": title,
        "documentation": rest.strip(),
        "about": None if rule is None else rule.about.value,
        "subject": None if rule is None else rule.subject.value,
        "fix": [] if rule is None else sorted(safety.value for safety in rule.fix),
        "follows": {} if rule is None else {other: reach.value for other, reach in rule.follows.items()},
    }


def _origin(rule: Rule | None) -> dict[str, str]:
    """The distribution that a rule comes from, and its version."""
    name, _, version = rule.origin.rpartition(" ") if rule is not None and rule.origin else ("", "", "")
    return {"package": name, "version": version} if name else {"package": "dlclint", "version": __version__}


def _whence(id: str) -> str:
    rule = next((rule for rule in all_rules() if rule.id == id), None)
    return f" [{plain(rule.origin)}]" if rule is not None and rule.origin else ""


def show_rule(args: argparse.Namespace) -> int:
    """Print one rule's documentation, or one line per rule, of one family or of all.

    Returns 2 where a plugin whose rules were requested is broken, which a line reports, else 0.

    Raises:
        UsageError: there is no such rule.
    """
    try:
        docs = {rule.id: rule.page for rule in all_rules()} | OWN_DOCS
    except BrokenRules as error:
        raise UsageError(str(error)) from None
    asked = () if args.id is None else (args.id,)
    broken = broken_plugins(asked, (), (GROUP, ENCODINGS_GROUP))
    for plugin in broken:
        print(f"dlclint: error: {plugin}", file=sys.stderr)
    status = 2 if broken else 0
    id = args.id
    if id is None:
        _show(docs, args.format)
        return status
    family = {name: text for name, text in docs.items() if name.partition("/")[0] == id.lower().rstrip("/")}
    if family:
        _show(family, args.format)
        return status
    id = id.lower()
    if id not in docs and broken:
        return status
    if id not in docs:
        known = suggest(id, set(docs)) or "; `dlclint rule` lists them"
        raise UsageError(f"unknown rule {plain(id)!r}{known}")
    if args.format == "json":
        print(json.dumps(_described(id, docs[id]), indent=2))
    else:
        print(f"{id}{_whence(id)}\n\n{docs[id]}")
    return status
