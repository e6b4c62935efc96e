"""`dlclint rule`: a rule's documentation is its docstring."""

from __future__ import annotations

import argparse

from dlclint.cli.errors import UsageError
from dlclint.diagnostic import plain
from dlclint.engine.ignores import UNUSED
from dlclint.engine.registry import BrokenRules, all_rules, suggest
from dlclint.engine.run import CRASHED

ENGINE_RULES = {
    CRASHED: "A rule failed with an exception.\n\nThe other rules ran. Report it; --ignore it until then.",
    UNUSED: "A configured ignore silences nothing.\n\nRemove it, or correct its rule or globs.",
}


def show_rule(given: argparse.Namespace) -> int:
    """Print one rule's documentation, or one line per rule.

    Raises:
        UsageError: there is no such rule.
    """
    try:
        docs = {rule.id: rule.page for rule in all_rules()} | ENGINE_RULES
    except BrokenRules as error:
        raise UsageError(str(error)) from None
    id = given.id
    if id is None:
        width = max(map(len, docs))
        for name, text in sorted(docs.items()):
            print(f"{name:<{width}}  {text.partition(chr(10))[0]}")
        return 0
    if id not in docs:
        raise UsageError(f"no rule is called {plain(id)!r}{suggest(id, set(docs))}")
    print(f"{id}\n\n{docs[id]}")
    return 0
