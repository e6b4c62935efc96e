"""Options of `dlclint rule`."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `rule`."""
    rule = commands.add_parser(
        "rule",
        help="explain a rule, or list all rules",
        description="Explain a rule: the flaw, why it matters and what to do. Without an id, list all.",
    )
    rule.set_defaults(run="dlclint.cli.rule:show_rule")
    rule.add_argument("id", nargs="?", metavar="ID", help="its id, FAMILY/NAME, or a family")
    rule.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
