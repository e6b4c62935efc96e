"""`dlclint completions`: shell completion, generated from the options themselves."""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterable, Iterator

import shtab

from dlclint.cli.errors import UsageError
from dlclint.cli.main import parser
from dlclint.engine.registry import BrokenRules, all_rules
from dlclint.own_rules import OWN_DOCS
from dlclint.socs import all_socs
from dlclint.target import Runtime
from dlclint_schemas.releases import releases

FILES = {"PATH", "FILE", "MODEL", "OUT", "LOG", "DB", "M", "A", "B"}
"""Placeholders that mean a file."""


def print_completions(args: argparse.Namespace) -> int:
    """Print a script that completes commands, options and their values, files, rules, chips and releases.

    Raises:
        UsageError: a rule package is broken, so that its rules cannot be named.
    """
    try:
        rules = {rule.id for rule in all_rules()}
    except BrokenRules as error:
        raise UsageError(str(error)) from None
    words = {
        "ID": sorted(rules | OWN_DOCS.keys()),
        "RULES": sorted(rules | {id.partition("/")[0] for id in rules}),
        "R": [runtime.value for runtime in Runtime],
        "RELEASE": list(releases()),
        "SOC": sorted({part for soc in all_socs() for part in soc.name.split() if part.isalnum()}),
    }
    top = parser()
    for action in _actions(top):
        offered = words.get("SOC" if action.dest == "soc" else str(action.metavar))
        if offered is not None:
            # shtab defines the attribute.
            action.complete = _among(offered)  # type: ignore[attr-defined]
        elif action.metavar in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(top, args.shell), end="")
    return 0


def _actions(top: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every argument and option of all commands."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
        else:
            yield action


def _among(words: Iterable[str]) -> dict[str, str | dict[str, str]]:
    """The words that each shell offers; none of them has a character that is special to a shell."""
    text = " ".join(words)
    name = f"_dlclint_words_{zlib.crc32(text.encode()):x}"
    function = f'{name}() {{ compgen -W "{text}" -- "$1"; }}'
    return {
        "bash": name,
        "preamble": {"bash": function},
        "zsh": f"({text})",
        "fish": text,
        "tcsh": f"({text})",
    }
