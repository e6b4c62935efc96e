"""`dlclint cache`: show where results are kept, or remove them."""

from __future__ import annotations

import argparse

from dlclint.cli.errors import UsageError
from dlclint.diagnostic import counted, plain
from dlclint.engine.cache import FOLDER, Cache, default_folder


def cache(args: argparse.Namespace) -> int:
    """Run the command; returns the exit status.

    Raises:
        UsageError: nothing is kept.
    """
    folder = default_folder()
    if folder is None:
        raise UsageError(f"no result is kept: {FOLDER} is empty, or there is no home folder")
    if args.action == "dir":
        print(plain(str(folder), 1000))
        return 0
    print(f"removed {counted(Cache(folder).clean(), 'result')} from {plain(str(folder), 1000)}")
    return 0
