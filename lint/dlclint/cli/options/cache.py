"""Options of `dlclint cache`."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `cache`."""
    cache = commands.add_parser(
        "cache",
        help="show or clean the folder of earlier results",
        description="dlclint keeps results of check in the user's cache folder, so that it does not read "
        "unchanged files again. DLCLINT_CACHE_DIR sets another folder; an empty value turns the cache off.",
    )
    cache.set_defaults(run="dlclint.cli.cache:cache")
    cache.add_argument("action", choices=("clean", "dir"), help="remove every result, or print the folder")
