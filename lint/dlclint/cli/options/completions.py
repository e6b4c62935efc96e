"""Options of `dlclint completions`."""

from __future__ import annotations

import argparse

SHELLS = ("bash", "zsh", "fish", "tcsh")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `completions`."""
    completions = commands.add_parser(
        "completions",
        help="print completions for a shell",
        description='Print completions for a shell, such as: eval "$(dlclint completions bash)".',
    )
    completions.set_defaults(run="dlclint.cli.completions:print_completions")
    completions.add_argument("shell", choices=SHELLS, help="the shell")
