"""Options of `dlclint soc`."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `soc`."""
    soc = commands.add_parser(
        "soc",
        help="show what a chip supports, or list all chips",
        description="Show a chip's Hexagon version, runtimes and precisions, or list every chip.",
    )
    soc.set_defaults(run="dlclint.cli.soc:show_soc")
    soc.add_argument("name", nargs="*", metavar="NAME", help="such as SM8650, 865 or 8 Gen 3")
