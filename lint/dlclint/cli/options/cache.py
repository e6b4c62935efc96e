"""Options of `dlclint cache`."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `cache`."""
    cache = commands.add_parser(
        "cache",
        help="show or clean the folder of earlier results",
        description="Results of check are kept in the user's cache folder, so that unchanged files are not "
        "read again. DLCLINT_CACHE_DIR names another folder; empty, nothing is kept.",
    )
    cache.set_defaults(run="dlclint.cli.cache:cache")
    cache.add_argument("action", choices=("clean", "dir"), help="remove every result, or say where they are")
